use super::*;
use crate::catalog::{Catalog, Mistake, Source, load};

/// Loads a `.proto` text that imports what rules need.
fn catalog(text: &str, broken_rules: BrokenRules) -> Result<Catalog, Vec<Mistake>> {
    let folder = tempfile::tempdir().expect("a folder");
    let head = "syntax = \"proto3\";\npackage t;\nimport \"buf/validate/validate.proto\";\n";
    let imports = ["any", "duration", "timestamp", "field_mask", "wrappers"]
        .map(|name| format!("import \"google/protobuf/{name}.proto\";\n"))
        .concat();
    std::fs::write(folder.path().join("t.proto"), format!("{head}{imports}{text}")).expect("written");
    let source = Source { proto_paths: vec![folder.path().into()], broken_rules, ..Source::new("t", "none") };
    load(&source).map(|loaded| loaded.catalog)
}

fn mistakes(text: &str) -> Vec<(u32, u32, String)> {
    let mistakes = catalog(text, BrokenRules::Refuse).expect_err("refused");
    let told = |mistake: Mistake| {
        let place = mistake.place.expect("a place");
        (place.line, place.column, mistake.text)
    };
    mistakes.into_iter().map(told).collect()
}

fn rules<'c>(catalog: &'c Catalog, name: &str) -> Option<&'c MessageRules> {
    catalog.schema.message(catalog.schema.find(name).expect(name)).rules.as_deref()
}

#[test]
fn messages_without_rules_and_without_any_below_have_no_table() {
    let text = "message Plain { int32 a = 1; Other other = 2; }
        message Other { repeated Plain plain = 1; }
        message Ruled { int32 a = 1 [(buf.validate.field).int32.gt = 0]; Plain plain = 2; }
        message Holder { map<string, Ruled> by_name = 1; Plain plain = 2; }
        message Blind { Ruled ruled = 1 [(buf.validate.field).ignore = IGNORE_ALWAYS];
            repeated Ruled more = 2 [(buf.validate.field).repeated.items.ignore = IGNORE_ALWAYS]; }
        message Round { Round again = 1; Ruled ruled = 2; }";
    let catalog = catalog(text, BrokenRules::Refuse).expect("loads");
    for name in ["t.Plain", "t.Other", "t.Blind", "google.protobuf.Duration"] {
        assert!(rules(&catalog, name).is_none(), "{name}");
    }
    let fields = |name| {
        let rules = rules(&catalog, name).expect(name);
        rules.fields().map(|(index, field)| (index, field.value.below)).collect::<Vec<_>>()
    };
    assert_eq!(fields("t.Ruled"), [(0, false)]);
    assert_eq!(fields("t.Holder"), [(0, true)]);
    assert_eq!(fields("t.Holder.ByNameEntry"), [(1, true)]);
    assert_eq!(fields("t.Round"), [(0, true), (1, true)]);
}

#[test]
fn what_must_not_be_absent_is_known_beforehand() {
    let text = "message M {
        int32 no_zero = 1 [(buf.validate.field).int32.gt = 0];
        int32 zero = 2 [(buf.validate.field).int32.lt = 5];
        optional int32 optional = 3 [(buf.validate.field).int32.gt = 0];
        int32 ignored = 4 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE, int32: {gt: 0}}];
        string required = 5 [(buf.validate.field).required = true];
        repeated int32 some = 6 [(buf.validate.field).repeated.min_items = 1];
        repeated int32 any = 7 [(buf.validate.field).repeated.max_items = 1];
        google.protobuf.Duration duration = 8 [(buf.validate.field).duration.gt = {seconds: 1}];
        google.protobuf.Timestamp at = 9 [(buf.validate.field) = {required: true, timestamp: {lt_now: true}}];
        string mail = 10 [(buf.validate.field).string.email = true];
    }";
    let catalog = catalog(text, BrokenRules::Refuse).expect("loads");
    let rules = rules(&catalog, "t.M").expect("rules");
    assert_eq!(rules.needed, 0b11_0011_0001, "{:b}", rules.needed);
    assert!(rules.complete(0b11_0011_0001, |_| false) && !rules.complete(0b10_0011_0001, |_| true));
}

#[test]
fn every_rule_that_does_not_fit_is_told_with_its_place() {
    let told = mistakes(
        "message M {
  int32 a = 1 [(buf.validate.field).string.min_len = 1];
  string b = 2 [
    deprecated = true,
    (buf.validate.field).string.pattern = \"(\"
  ];
  M m = 3 [(buf.validate.field).int32.gt = 0];
  repeated M list = 4 [(buf.validate.field).repeated.unique = true];
  google.protobuf.Duration d = 5 [(buf.validate.field).timestamp.lt_now = true];
  google.protobuf.Int32Value w = 6 [(buf.validate.field).int64.gt = 0];
  map<string, string> map = 7 [(buf.validate.field).map.keys.int32.gt = 0];
  repeated string items = 8 [(buf.validate.field).string.min_len = 1];
  message Inner {
    option (buf.validate.message).oneof = { fields: [\"x\", \"y\"] };
    string x = 1;
  }
  string fine = 9 [(buf.validate.field).string.min_len = 1];
}
message N { option (buf.validate.message).oneof = { fields: [] }; }
message O { option (buf.validate.message).oneof = { fields: [\"a\", \"a\"] }; int32 a = 1; }",
    );
    let expected = [
        (22, 5, "t.M.Inner: a oneof rule names \"y\", and there is no such field"),
        (10, 16, "t.M.a: rules of `string` do not fit: its type takes `int32`"),
        (13, 5, "t.M.b: \"(\" is no regular expression: unclosed group"),
        (15, 12, "t.M.m: rules of `int32` do not fit: its type takes none by type"),
        (16, 24, "t.M.list: `unique` is for lists of scalars and enums"),
        (17, 35, "t.M.d: rules of `timestamp` do not fit: its type takes `duration`"),
        (18, 37, "t.M.w: rules of `int64` do not fit: its type takes `int32`"),
        (19, 32, "t.M.map: rules of `int32` do not fit: its type takes `string`"),
        (20, 30, "t.M.items: rules of `string` do not fit: its type takes `repeated`"),
        (27, 13, "t.N: a oneof rule names no field"),
        (28, 13, "t.O: a oneof rule names \"a\" twice"),
    ];
    let told: Vec<(u32, u32, &str)> = told.iter().map(|(line, column, text)| (*line, *column, &**text)).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_rule_that_does_not_fit_is_no_mistake_where_nothing_is_looked_at() {
    let text = "message M { int32 a = 1 [(buf.validate.field) = {ignore: IGNORE_ALWAYS, string: {min_len: 1}}]; }";
    assert!(rules(&catalog(text, BrokenRules::Refuse).expect("loads"), "t.M").is_none());
}

#[test]
fn kept_rules_that_do_not_fit_spoil_their_message_and_those_that_may_hold_it() {
    let text = "message Bad { int32 a = 1 [(buf.validate.field).string.min_len = 1]; }
        message Holder { repeated Bad bad = 1; }
        message Blind { Bad bad = 1 [(buf.validate.field).ignore = IGNORE_ALWAYS]; }
        message Good { int32 a = 1 [(buf.validate.field).int32.gt = 1]; }";
    let catalog = catalog(text, BrokenRules::Keep).expect("loads");
    let broken = |name| rules(&catalog, name).and_then(|rules| rules.broken.as_deref());
    let reason = Some("t.Bad.a: rules of `string` do not fit: its type takes `int32`");
    assert_eq!(["t.Bad", "t.Holder", "t.Blind", "t.Good"].map(broken), [reason, reason, None, None]);
}

#[test]
fn rules_in_parts_are_one_and_of_two_types_the_last_counts() {
    // (buf.validate.field).string.min_len = 1, .max_len = 2, as protoc encodes them; and int32 before
    let rules = |bytes: &[u8]| {
        let fields = super::compile::Fields::read(bytes).expect("reads");
        (fields.member(&[3, 14]), fields.merged(14))
    };
    assert_eq!(rules(&[0x72, 2, 0x10, 1, 0x72, 2, 0x18, 2]), (Some(14), Some(vec![0x10, 1, 0x18, 2])));
    assert_eq!(rules(&[0x72, 2, 0x10, 1, 0x1a, 2, 0x20, 2]), (Some(3), Some(vec![0x10, 1])));
}

#[test]
fn rules_of_a_later_version_are_not_passed_over() {
    // a descriptor set whose StringRules have a field 99
    let mut options = Vec::new();
    crate::wire::put_bytes(&mut options, 1159, &[0x72, 3, 0x98, 0x06, 1]);
    let mut written = super::written::Written::default();
    let mut field = Vec::new();
    crate::wire::put_bytes(&mut field, 1, b"a");
    crate::wire::put_uint(&mut field, 3, 1);
    crate::wire::put_bytes(&mut field, 8, &options);
    let mut message = Vec::new();
    crate::wire::put_bytes(&mut message, 1, b"M");
    crate::wire::put_bytes(&mut message, 2, &field);
    let mut file = Vec::new();
    crate::wire::put_bytes(&mut file, 2, b"t");
    crate::wire::put_bytes(&mut file, 4, &message);
    written.read(0, &file);
    let mut schema = catalog("message M { string a = 1; }", BrokenRules::Refuse).expect("loads").schema;
    let unfit = compile(&mut schema, &written);
    let told: Vec<_> = unfit.iter().map(|unfit| (&unfit.spot.path[..], &*unfit.text)).collect();
    let text = "t.M.a: no rule of string has the number 99 (as of protovalidate 1.2.2)";
    assert_eq!(told, [(&[4, 0, 2, 0][..], text)]);
}
