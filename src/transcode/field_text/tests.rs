use super::*;
use crate::transcode::tests::{id, schema};
use crate::transcode::{json_to_wire, wire_to_json};

fn path(schema: &Schema, dotted: &str) -> FieldPath {
    let mut message = id(schema, "t.Book");
    let steps = dotted.split('.').map(|name| {
        let (index, field) = schema.message(message).field_by_name(name).expect(name);
        message = field.kind.message().unwrap_or(message);
        index
    });
    FieldPath(steps.collect())
}

fn wire(json: &str) -> Vec<u8> {
    let (schema, mut wire) = (schema(), Vec::new());
    json_to_wire(&schema, id(&schema, "t.Book"), json.as_bytes(), &ReadOptions::default(), &mut wire).expect(json);
    wire
}

fn shown(wire: &[u8], dotted: &str) -> Option<String> {
    let schema = schema();
    let options = PrintOptions { indent: 2, print_unset: true, ..PrintOptions::default() };
    show_field(&schema, id(&schema, "t.Book"), &path(&schema, dotted), wire, &options).expect("a message")
}

#[test]
fn every_kind_of_value_has_a_text() {
    for (json, field, expected) in [
        (r#"{"title":"a \"b\" ä"}"#, "title", Some("a \"b\" ä")),
        (r#"{"pageCount":"-5"}"#, "page_count", Some("-5")),
        (r#"{"color":"RED"}"#, "color", Some("RED")),
        (r#"{"sold":true}"#, "sold", Some("true")),
        (r#"{"price":0.5}"#, "price", Some("0.5")),
        (r#"{"cover":"+/8="}"#, "cover", Some("+/8=")),
        (r#"{"author":{"teacher":{"born":7}}}"#, "author.teacher.born", Some("7")),
        (r#"{"made":"2024-01-01T00:00:00Z"}"#, "made", Some("2024-01-01T00:00:00Z")),
        (r#"{"count":"9"}"#, "count", Some("9")),
        ("{}", "page_count", Some("0")),
        ("{}", "sold", Some("false")),
        (r#"{"author":{}}"#, "author.born", Some("0")),
        ("{}", "title", None),
        (r#"{"label":""}"#, "label", None),
        ("{}", "copies", None),
        (r#"{"copies":0}"#, "copies", Some("0")),
        ("{}", "author.born", None),
        ("{}", "count", None),
        (r#"{"isbn":"i"}"#, "donor.name", None),
    ] {
        assert_eq!(shown(&wire(json), field).as_deref(), expected, "{field} of {json}");
    }
}

#[test]
fn parts_are_put_together_and_damage_is_told() {
    let parts = [wire(r#"{"author":{"name":"a","born":1}}"#), wire(r#"{"author":{"born":2}}"#)].concat();
    assert_eq!(shown(&parts, "author.name").as_deref(), Some("a"));
    assert_eq!(shown(&parts, "author.born").as_deref(), Some("2"));
    let both = [wire(r#"{"donor":{"name":"d"}}"#), wire(r#"{"isbn":"i"}"#)].concat();
    assert_eq!(shown(&both, "donor.name"), None);
    let schema = schema();
    for (damaged, field) in
        [(&b"\x0a\x05t"[..], "title"), (b"\x42\x03\x0a\x05a", "author.name"), (b"\x0a\x01\xff", "title")]
    {
        let options = PrintOptions::default();
        assert!(show_field(&schema, id(&schema, "t.Book"), &path(&schema, field), damaged, &options).is_err());
    }
}

#[test]
fn a_field_is_filled_whatever_the_message_says_of_it() {
    let schema = schema();
    let book = id(&schema, "t.Book");
    for (json, field, text, expected) in [
        (r#"{"pageCount":"5","title":"t"}"#, "page_count", "0", r#"{"title":"t"}"#),
        (r#"{"pageCount":"5"}"#, "page_count", "7", r#"{"pageCount":"7"}"#),
        (r#"{"author":{"name":"a"}}"#, "author.teacher.born", "3", r#"{"author":{"name":"a","teacher":{"born":3}}}"#),
        (r#"{"donor":{"name":"a"}}"#, "isbn", "", r#"{"isbn":""}"#),
        ("{}", "made", "2024-01-01T00:00:00Z", r#"{"made":"2024-01-01T00:00:00Z"}"#),
        ("{}", "color", "RED", r#"{"color":"RED"}"#),
    ] {
        let mut wire = wire(json);
        put_field(&schema, book, &path(&schema, field), text, &ReadOptions::default(), &mut wire).expect(text);
        let mut out = Vec::new();
        wire_to_json(&schema, book, &wire, &PrintOptions::default(), &mut out).expect("prints");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
    for (field, text) in
        [("page_count", "x"), ("page_count", ""), ("color", "BLUE"), ("author.born", "1.5"), ("made", "now")]
    {
        let mut out = b"before".to_vec();
        assert!(put_field(&schema, book, &path(&schema, field), text, &ReadOptions::default(), &mut out).is_err());
        assert_eq!(out, b"before");
    }
}
