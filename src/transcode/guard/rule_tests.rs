//! Messages that come as no encoder writes them, judged by rules.

use super::*;
use crate::catalog::{BrokenRules, Source, load};
use crate::status::Subscript;
use crate::wire::{put_bytes, put_uint};

const TEXT: &str = r#"syntax = "proto3";
package t;
import "buf/validate/validate.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message M {
  int32 number = 1 [(buf.validate.field).int32 = {gte: 0, lt: 10}];
  string name = 2 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE, string: {min_len: 2}}];
  repeated int32 list = 3 [(buf.validate.field).repeated = {min_items: 0, max_items: 3, unique: true, items: {int32: {gt: -5}}}];
  map<string, int32> map = 4 [(buf.validate.field).map = {max_pairs: 2, keys: {string: {max_len: 3}}, values: {int32: {not_in: [7]}}}];
  M inner = 5;
  oneof choice {
    string text = 6 [(buf.validate.field).string.min_len = 3];
    int32 count = 7 [(buf.validate.field).int32.gt = 5];
    M part = 8;
  }
  google.protobuf.Duration length = 9 [(buf.validate.field).duration.lte = {seconds: 5}];
  google.protobuf.Int32Value wrapped = 10 [(buf.validate.field).int32.lt = 5];
  repeated M many = 11;
  map<int32, M> by_number = 12;
  google.protobuf.Timestamp at = 13 [(buf.validate.field).timestamp = {lt_now: true, within: {seconds: 100}}];
  bytes raw = 14 [(buf.validate.field).bytes.pattern = "^a*$"];
}
message Needs {
  option (buf.validate.message).oneof = {fields: ["b", "c"], required: true};
  string a = 1 [(buf.validate.field).required = true];
  string b = 2;
  repeated int32 c = 3;
  oneof choice {
    option (buf.validate.oneof).required = true;
    int32 x = 4;
    int32 y = 5 [(buf.validate.field).required = true];
  }
}
message Pairs { map<string, int32> map = 1 [(buf.validate.field).map.min_pairs = 2]; }
message Bad { int32 a = 1 [(buf.validate.field).string.min_len = 1]; }
message Free { string a = 1; Free free = 2; }
"#;

fn schema() -> Schema {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("t.proto"), TEXT).expect("written");
    let mut source = Source { proto_paths: vec![folder.path().into()], ..Source::new("t", "none") };
    source.broken_rules = BrokenRules::Keep;
    load(&source).expect("loads").catalog.schema
}

/// Ten seconds after 1970.
const NOW: Clock = Clock::Fixed(10_000_000_000);

fn judged(name: &str, wire: &[u8]) -> Result<Vec<RuleViolation>, Violation> {
    let schema = schema();
    let id = schema.find(name).expect(name);
    let options = GuardOptions { rules: true, ..GuardOptions::default() };
    guard_at(&schema, id, wire, &options, NOW).map(|guarded| guarded.broken)
}

/// Which rules are broken where.
fn broken(name: &str, parts: &[Vec<u8>]) -> Vec<(String, String)> {
    let found = judged(name, &parts.concat()).expect("well-made");
    found.iter().map(|violation| (violation.field_path(), violation.rule_id.clone())).collect()
}

#[track_caller]
fn check(name: &str, parts: &[Vec<u8>], expected: &[(&str, &str)]) {
    let found = broken(name, parts);
    let found: Vec<(&str, &str)> = found.iter().map(|(field, id)| (&**field, &**id)).collect();
    assert_eq!(found, expected);
}

fn uint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, number, value);
    out
}

fn field(number: u32, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number, &parts.concat());
    out
}

fn text(number: u32, text: &str) -> Vec<u8> {
    field(number, &[text.as_bytes().to_vec()])
}

fn entry(number: u32, key: &str, value: u64) -> Vec<u8> {
    field(number, &[text(1, key), uint(2, value)])
}

#[test]
fn of_a_field_that_comes_twice_the_last_value_is_judged() {
    check("t.M", &[], &[]);
    check("t.M", &[uint(1, 99), uint(1, 3)], &[]);
    check("t.M", &[uint(1, 3), uint(1, 99)], &[("number", "int32.gte_lt")]);
    check("t.M", &[text(2, "x"), text(2, "")], &[]);
    check("t.M", &[text(2, ""), text(2, "x")], &[("name", "string.min_len")]);
}

#[test]
fn messages_in_parts_are_judged_as_one() {
    check("t.M", &[field(5, &[uint(1, 99)]), field(5, &[uint(1, 3)])], &[]);
    check("t.M", &[field(5, &[uint(1, 3)]), field(5, &[uint(1, 99)])], &[("inner.number", "int32.gte_lt")]);
    let list = |values: &[u64]| field(5, &values.iter().map(|value| uint(3, *value)).collect::<Vec<_>>());
    check("t.M", &[list(&[1, 2]), list(&[3, 4])], &[("inner.list", "repeated.max_items")]);
    check("t.M", &[list(&[1]), list(&[1])], &[("inner.list", "repeated.unique")]);
    let seconds = |value| field(9, &[uint(1, value)]);
    check("t.M", &[seconds(99), seconds(5)], &[]);
    check("t.M", &[seconds(5), field(9, &[uint(2, 1)])], &[("length", "duration.lte")]);
    check("t.M", &[field(10, &[uint(1, 9)]), field(10, &[])], &[("wrapped", "int32.lt")]);
    check("t.M", &[field(10, &[uint(1, 9), uint(1, 1)])], &[]);
}

#[test]
fn of_a_oneof_the_last_member_is_judged() {
    check("t.M", &[text(6, "a")], &[("text", "string.min_len")]);
    check("t.M", &[text(6, "a"), uint(7, 9)], &[]);
    check("t.M", &[uint(7, 9), text(6, "a")], &[("text", "string.min_len")]);
    // a part that another member displaced in between is gone
    let part = |number| field(8, &[uint(1, number)]);
    check("t.M", &[part(99), uint(7, 9), field(8, &[])], &[]);
    check("t.M", &[part(3), field(8, &[uint(1, 99)])], &[("part.number", "int32.gte_lt")]);
}

#[test]
fn elements_are_one_list_however_they_come() {
    check("t.M", &[uint(3, 1), field(3, &[vec![2, 3]])], &[]);
    check("t.M", &[uint(3, 1), field(3, &[vec![2, 3]]), uint(1, 1), uint(3, 4)], &[("list", "repeated.max_items")]);
    check("t.M", &[uint(3, 1), uint(1, 1), field(3, &[vec![2, 1]])], &[("list", "repeated.unique")]);
    let minus = |value: i64| value.cast_unsigned();
    check("t.M", &[uint(3, 1), uint(3, minus(-5))], &[("list[1]", "int32.gt")]);
    let mut packed = vec![1];
    crate::wire::put_varint(&mut packed, minus(-9));
    check("t.M", &[uint(3, 4), field(3, &[packed])], &[("list[2]", "int32.gt")]);
    check("t.M", &[field(3, &[vec![]])], &[]);
    check("t.Needs", &[text(1, "a"), field(3, &[vec![]]), uint(5, 1)], &[("", "message.oneof")]);
}

#[test]
fn of_a_key_that_comes_twice_the_last_entry_is_judged() {
    check("t.M", &[entry(4, "a", 7)], &[("map[\"a\"]", "int32.not_in")]);
    check("t.M", &[entry(4, "a", 7), entry(4, "a", 8)], &[]);
    check("t.M", &[entry(4, "a", 1), entry(4, "b", 1), entry(4, "a", 1)], &[]);
    check("t.M", &[entry(4, "a", 1), entry(4, "b", 1), entry(4, "c", 1)], &[("map", "map.max_pairs")]);
    check("t.M", &[field(4, &[text(1, "long"), text(1, "s")])], &[]);
    check("t.Pairs", &[entry(1, "a", 1), entry(1, "b", 1)], &[]);
    check("t.Pairs", &[entry(1, "a", 1), entry(1, "a", 2)], &[("map", "map.min_pairs")]);
    check("t.Pairs", &[], &[("map", "map.min_pairs")]);
    let found = judged("t.M", &entry(4, "long", 7)).expect("well-made");
    let told: Vec<_> = found.iter().map(|found| (&*found.rule_id, found.for_key, &found.field[0])).collect();
    assert_eq!([(told[0].0, told[0].1), (told[1].0, told[1].1)], [("string.max_len", true), ("int32.not_in", false)]);
    assert_eq!((told[0].2.entry, &told[0].2.subscript), (Some((9, 5)), &Some(Subscript::String("long".into()))));
}

#[test]
fn what_an_entry_leaves_out_is_judged_as_zero() {
    check("t.M", &[field(4, &[])], &[]);
    check("t.M", &[field(12, &[uint(1, 3)])], &[]);
    check("t.M", &[field(12, &[uint(1, 3), field(2, &[uint(1, 99)])])], &[("by_number[3].number", "int32.gte_lt")]);
    let split = field(12, &[field(2, &[uint(1, 99)]), field(2, &[uint(1, 1)])]);
    check("t.M", &[split], &[]);
}

#[test]
fn what_is_needed_has_to_be_there_in_the_end() {
    check("t.Needs", &[text(1, "a"), text(2, "b"), uint(5, 0)], &[]);
    check("t.Needs", &[], &[("", "message.oneof"), ("choice", "required"), ("a", "required"), ("y", "required")]);
    check("t.Needs", &[text(1, "a"), text(1, ""), text(2, "b"), uint(5, 0)], &[("a", "required")]);
    check("t.Needs", &[text(1, "a"), text(2, "b"), uint(5, 0), uint(4, 1)], &[("y", "required")]);
    check("t.Needs", &[text(1, "a"), text(2, "b"), uint(3, 1), uint(5, 0)], &[("", "message.oneof")]);
    check("t.Needs", &[text(1, "a"), text(2, "b"), text(2, ""), uint(3, 1), uint(5, 0)], &[]);
    check("t.Needs", &[text(1, "a"), text(2, ""), uint(5, 0)], &[("", "message.oneof")]);
}

#[test]
fn now_is_what_the_clock_says() {
    check("t.M", &[field(13, &[uint(1, 10)])], &[]);
    check("t.M", &[field(13, &[uint(1, 11)])], &[("at", "timestamp.lt_now")]);
    check("t.M", &[field(13, &[uint(1, (-91i64).cast_unsigned())])], &[("at", "timestamp.within")]);
    check("t.M", &[field(13, &[uint(1, (-90i64).cast_unsigned())])], &[]);
}

#[test]
fn a_rule_that_cannot_be_applied_is_an_error_with_its_path() {
    check("t.M", &[text(14, "aa")], &[]);
    check("t.M", &[text(14, "b")], &[("raw", "bytes.pattern")]);
    let wire = field(11, &[field(14, &[vec![0xff]])]);
    let violation = judged("t.M", &wire).expect_err("no text");
    assert_eq!(violation.rule, Rule::RuleFailure);
    assert_eq!(violation.to_string(), "many[0].raw: value must be valid UTF-8 to apply regexp");
}

#[test]
fn types_whose_rules_do_not_fit_are_not_judged() {
    let violation = judged("t.Bad", b"").expect_err("not judged");
    assert_eq!(violation.rule, Rule::BrokenRules);
    let schema = schema();
    let id = schema.find("t.Bad").expect("there");
    assert!(guard(&schema, id, b"", &GuardOptions::default()).is_ok(), "without rules it is a message as any other");
}

#[test]
fn malformed_messages_are_errors_with_rules_as_without() {
    for (name, wire, rule) in [
        ("t.M", &b"\x08"[..], Rule::Malformed),
        ("t.M", b"\x2a\x02\x08", Rule::Malformed),
        ("t.M", b"\x0a\x01\x01", Rule::WireType),
        ("t.M", b"\x12\x01\xff", Rule::Utf8),
        ("t.M", b"\x22\x03\x0a\x01\xff", Rule::Utf8),
        ("t.M", b"\x1a\x01\xff", Rule::Malformed),
        ("t.Free", b"\x0a\x01\xff", Rule::Utf8),
    ] {
        assert_eq!(judged(name, wire).expect_err("malformed").rule, rule, "{wire:x?}");
    }
    let mut deep = Vec::new();
    for _ in 0..101 {
        deep = field(5, &[deep]);
    }
    assert_eq!(judged("t.M", &deep).expect_err("deep").rule, Rule::Depth);
}

#[test]
fn violations_are_counted_up_to_a_hundred_and_less_if_their_paths_are_long() {
    let many = |count: usize| field(5, &vec![field(11, &[uint(1, 99)]); count]);
    assert_eq!(judged("t.M", &many(99)).expect("well-made").len(), 99);
    assert_eq!(judged("t.M", &many(500)).expect("well-made").len(), MAX_BROKEN);
    let key = "k".repeat(30_000);
    let long: Vec<Vec<u8>> = (0..50).map(|at| entry(4, &format!("{key}{at}"), 1)).collect();
    assert_eq!(broken("t.M", &long).len(), 4);
}
