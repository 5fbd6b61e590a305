//! Catalogs with CEL rules, loaded and judged.

use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::*;
use crate::catalog::{Loaded, Source, load};
use crate::status::Subscript;

/// Loads a directory of files; the mistakes if it does not.
fn load_files(files: &[(&str, &str)], broken: BrokenRules) -> Result<Loaded, Vec<Mistake>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    load(&source(folder.path(), broken))
}

fn source(root: &Path, broken: BrokenRules) -> Source {
    let mut source = Source::new("test", "");
    source.proto_paths = vec![root.to_owned()];
    source.broken_rules = broken;
    source
}

fn load_text(body: &str) -> Loaded {
    let text = format!("syntax = \"proto3\";\npackage t;\n{IMPORTS}{body}");
    load_files(&[("t.proto", &text)], BrokenRules::Refuse).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

const IMPORTS: &str = "import \"buf/validate/validate.proto\";
import \"google/protobuf/duration.proto\";
import \"google/protobuf/timestamp.proto\";
import \"google/protobuf/wrappers.proto\";
";

/// The message as protobuf's JSON mapping writes it, encoded.
fn wire(loaded: &Loaded, name: &str, json: &str) -> Vec<u8> {
    let pool = DescriptorPool::decode(Bytes::clone(&loaded.catalog.descriptor_set)).unwrap();
    let descriptor = pool.get_message_by_name(name).unwrap();
    let mut json = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(descriptor, &mut json).unwrap().encode_to_vec()
}

fn judge(loaded: &Loaded, name: &str, json: &str) -> Result<Vec<RuleViolation>, CelFailure> {
    let schema = &loaded.catalog.schema;
    let id = schema.find(name).unwrap();
    schema.cel.as_ref().unwrap().evaluate(id, &wire(loaded, name, json))
}

/// The violations as `field path: rule path: rule id: message`.
fn told(loaded: &Loaded, name: &str, json: &str) -> Vec<String> {
    let violations = judge(loaded, name, json).unwrap_or_else(|failure| panic!("{failure}"));
    violations.iter().map(shown).collect()
}

fn shown(violation: &RuleViolation) -> String {
    let rule = RuleViolation { field: violation.rule.clone(), ..RuleViolation::default() }.field_path();
    let key = if violation.for_key { " (key)" } else { "" };
    format!("{}{key}: {rule}: {}: {}", violation.field_path(), violation.rule_id, violation.message)
}

#[test]
fn rules_of_messages_tell_their_id_and_message() {
    let loaded = load_text(
        r#"message M {
          option (buf.validate.message).cel = { id: "order", message: "a before b", expression: "this.a < this.b" };
          option (buf.validate.message).cel = { id: "text", expression: "this.a > 5 ? 'too ' + 'much' : ''" };
          option (buf.validate.message).cel_expression = "this.a != 7";
          int32 a = 1; int32 b = 2;
        }"#,
    );
    assert_eq!(told(&loaded, "t.M", r#"{"a": 1, "b": 2}"#), [""; 0]);
    assert_eq!(
        told(&loaded, "t.M", r#"{"a": 7}"#),
        [": : this.a != 7: \"this.a != 7\" returned false", ": : order: a before b", ": : text: too much",]
    );
}

#[test]
fn rules_of_fields_tell_where_they_are_broken() {
    let loaded = load_text(
        r#"message M {
          int32 a = 1 [(buf.validate.field).cel = { id: "even", message: "odd", expression: "this % 2 == 0" },
                       (buf.validate.field).cel_expression = "this < 10"];
          repeated M nested = 2;
          map<string, M> by_name = 3;
        }"#,
    );
    assert_eq!(told(&loaded, "t.M", "{}"), [""; 0]);
    assert_eq!(
        told(&loaded, "t.M", r#"{"a": 11, "nested": [{}, {"a": 1}], "byName": {"x.y": {"a": 3}}}"#),
        [
            "a: cel_expression[0]: this < 10: \"this < 10\" returned false",
            "a: cel[0]: even: odd",
            "nested[1].a: cel[0]: even: odd",
            "by_name[\"x.y\"].a: cel[0]: even: odd",
        ]
    );
}

#[test]
fn items_keys_and_values_have_their_rules() {
    let loaded = load_text(
        r#"message M {
          repeated int32 list = 1 [(buf.validate.field).repeated = {
            min_items: 3, items: { cel: { id: "item", expression: "this > 0" } } }];
          map<int32, string> map = 2 [(buf.validate.field).map = {
            keys: { int32: { gt: 100 }, cel: { id: "key", expression: "this > 0" } },
            values: { cel: { id: "value", expression: "this != ''" } } }];
        }"#,
    );
    let found = judge(&loaded, "t.M", r#"{"list": [1, -1], "map": {"-4": "", "4": "x"}}"#).unwrap();
    let texts: Vec<String> = found.iter().map(shown).collect();
    assert_eq!(
        texts,
        [
            "list[1]: repeated.items.cel[0]: item: \"this > 0\" returned false",
            "map[-4] (key): map.keys.cel[0]: key: \"this > 0\" returned false",
            "map[-4]: map.values.cel[0]: value: \"this != ''\" returned false",
        ]
    );
    assert_eq!(found[1].field[0].entry, Some((5, 9)));
    assert_eq!(found[1].field[0].subscript, Some(Subscript::Int(-4)));
}

#[test]
fn the_descriptors_for_the_build_are_those_of_the_file() {
    let mut source = Source::new("rules", "");
    source.protos = vec!["buf/validate/validate.proto".into()];
    let set = load(&source).unwrap().catalog.descriptor_set;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos/buf/validate/validate.binpb");
    if std::env::var_os("TRANSOM_WRITE_DESCRIPTORS").is_some() {
        std::fs::write(&path, &set).unwrap();
    }
    assert!(
        std::fs::read(&path).unwrap() == set,
        "write it anew: TRANSOM_WRITE_DESCRIPTORS=1 cargo test --lib {}",
        module_path!()
    );
}
