use prost_reflect::DescriptorPool;

use super::*;

const PROTO: &str = r#"
syntax = "proto3";
package t;
enum Tier { TIER_NONE = 0; TIER_GOLD = 1; TIER_SILVER = 2; }
message Place { string region = 1; optional string zone = 2; oneof at { string town = 3; int32 code = 4; Place inner = 5; } }
message Order {
  Place shipment = 1;
  int32 count = 2;
  sint32 change = 3;
  bool express = 4;
  Tier tier = 5;
  bytes key = 6;
  double weight = 7;
  repeated string tags = 8;
  map<string, string> labels = 9;
  oneof who { Place sender = 10; string anonymous = 11; }
  uint64 serial = 12;
  float height = 13;
}
"#;

fn schema() -> Schema {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("t.proto"), PROTO).expect("a file");
    let set = protox::compile(["t.proto"], [folder.path()]).expect("compiles");
    Schema::build(&DescriptorPool::from_file_descriptor_set(set).expect("a pool")).expect("builds")
}

fn reader(schema: &Schema, path: &str) -> FieldReader {
    FieldReader::new(schema, schema.find("t.Order").expect("there"), path).expect(path)
}

fn told(schema: &Schema, path: &str) -> String {
    let mistake = FieldReader::new(schema, schema.find("t.Order").expect("there"), path).expect_err(path);
    format!("{} {}", mistake.text, mistake.hint.unwrap_or_default())
}

/// A length-delimited field.
fn part(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

#[test]
fn a_path_that_leads_to_no_single_value_is_refused_with_what_was_meant() {
    let schema = schema();
    assert_eq!(told(&schema, "shipment.regoin"), "t.Place has no field \"regoin\" did you mean \"region\"?");
    assert!(told(&schema, "shipment").contains("is a message (t.Place) name a field of it, as in shipment.region"));
    assert!(told(&schema, "count.x").contains("no message"));
    assert!(told(&schema, "tags").contains("repeated"));
    assert!(told(&schema, "labels").contains("a map"));
    assert!(told(&schema, "").contains("no field"));
    let deep = format!("shipment{}.region", ".inner".repeat(20));
    assert!(told(&schema, &deep).contains("at most 16"));
}

#[test]
fn values_of_every_kind_are_read_in_one_form() {
    let schema = schema();
    let message = [
        &part(1, &part(1, b"EU"))[..],
        // -3, written in ten bytes
        &[0x10, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x18, 0x05],
        &[0x20, 0x02],
        &[0x28, 0x01],
        &part(6, b"\0\xff"),
        &[0x39],
        &1.5f64.to_le_bytes(),
        &[0x60, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x6d],
        &(-0.0f32).to_le_bytes(),
    ]
    .concat();
    for (path, text) in [
        ("shipment.region", "EU"),
        ("count", "-3"),
        ("change", "-3"),
        ("express", "true"),
        ("tier", "TIER_GOLD"),
        ("tier", "GOLD"),
        ("tier", "1"),
        ("key", "AP8="),
        ("weight", "1.5"),
        ("serial", "18446744073709551615"),
        ("height", "0"),
    ] {
        let reader = reader(&schema, path);
        let wanted = reader.kind().parse(&schema, text).expect(path);
        let read = reader.read(&message).expect("reads").expect("is there");
        assert!(wanted == read, "{path}: {wanted:?} {read:?}");
    }
    for (path, text) in [("tier", "GOLDEN"), ("count", "x"), ("express", "yes"), ("key", "%"), ("serial", "-1")] {
        assert!(reader(&schema, path).kind().parse(&schema, text).is_err(), "{path}");
    }
}

#[test]
fn parts_of_a_message_are_merged_and_the_last_value_counts() {
    let schema = schema();
    let region = reader(&schema, "shipment.region");
    let parts = [part(1, &part(1, b"EU")), part(1, b""), part(1, &[part(1, b"US"), part(1, b"CN")].concat())].concat();
    assert_eq!(region.read(&parts), Ok(Some(FieldValue::Text(b"CN"))));
    let parts = [part(1, &part(1, b"EU")), part(1, &part(2, b"b"))].concat();
    assert_eq!(region.read(&parts), Ok(Some(FieldValue::Text(b"EU"))), "the second part says nothing of it");
    // a field of another wire type is an unknown field
    assert_eq!(region.read(&[&parts[..], &[0x08, 1]].concat()), Ok(Some(FieldValue::Text(b"EU"))));
}

#[test]
fn a_member_of_a_oneof_is_unset_by_its_rivals_at_any_level() {
    let schema = schema();
    let town = reader(&schema, "sender.town");
    let sent = part(10, &part(3, b"Ulm"));
    assert_eq!(town.read(&sent), Ok(Some(FieldValue::Text(b"Ulm"))));
    assert_eq!(town.read(&[sent.clone(), part(11, b"x")].concat()), Ok(None));
    assert_eq!(town.read(&[sent.clone(), part(11, b"x"), part(10, b"")].concat()), Ok(None));
    assert_eq!(town.read(&[part(11, b"x"), sent.clone()].concat()), Ok(Some(FieldValue::Text(b"Ulm"))));
    assert_eq!(town.read(&[sent.clone(), part(10, &[0x20, 7])].concat()), Ok(None), "by the code beside it");
    assert_eq!(town.read(&[sent, part(10, &part(4, b"x"))].concat()), Ok(Some(FieldValue::Text(b"Ulm"))));
}

#[test]
fn what_is_not_there_is_zero_without_presence_and_nothing_with_it() {
    let schema = schema();
    assert_eq!(reader(&schema, "shipment.region").read(b""), Ok(Some(FieldValue::Text(b""))));
    assert_eq!(reader(&schema, "tier").read(b""), Ok(Some(FieldValue::Number(0))));
    assert_eq!(reader(&schema, "shipment.zone").read(b""), Ok(None));
    assert_eq!(reader(&schema, "shipment.zone").read(&part(1, &part(2, b""))), Ok(Some(FieldValue::Text(b""))));
}

#[test]
fn damage_on_the_way_is_an_error_and_damage_beside_it_is_not_looked_at() {
    let schema = schema();
    let region = reader(&schema, "shipment.region");
    for damaged in [&[0x0a, 5, 1][..], &[0x0a, 1, 0x0a], &[0x07], &[0x0a, 2, 0x0c, 0x0c], &[0xff; 12]] {
        assert!(region.read(damaged).is_err(), "{damaged:?}");
    }
    assert_eq!(region.read(&part(10, &[0xff; 5])), Ok(Some(FieldValue::Text(b""))));
}
