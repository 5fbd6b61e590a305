use std::sync::LazyLock;

use super::*;
use crate::transcode::tests::{id, schema};
use crate::transcode::{
    PrintOptions, ReadOptions, json_to_wire, wire_to_json, wire_to_json_field_masked, wire_to_json_masked,
};

static SCHEMA: LazyLock<Schema> = LazyLock::new(schema);

const BOOK: &str = r#"{"title":"t","pageCount":"5","tags":["a"],"people":{"x":{"name":"n","born":1},"y":{"born":2}},"author":{"name":"a","born":3,"teacher":{"name":"b","born":4}},"editors":[{"name":"c","born":5},{"born":6}],"donor":{"name":"d"},"made":"2024-01-01T00:00:00Z","extra":{"k":1}}"#;

fn masked_as(wire: &[u8], text: &str, options: &PrintOptions) -> Result<String, Vec<String>> {
    let schema = &*SCHEMA;
    let book = id(schema, "t.Book");
    let mask = Mask::parse(schema, book, None, [text])?;
    let mut out = Vec::new();
    wire_to_json_masked(schema, book, &mask, wire, options, &mut out).expect("prints");
    Ok(String::from_utf8(out).expect("UTF-8"))
}

fn wire(json: &str) -> Vec<u8> {
    let (schema, mut wire) = (schema(), Vec::new());
    json_to_wire(&schema, id(&schema, "t.Book"), json.as_bytes(), &ReadOptions::default(), &mut wire).expect(json);
    wire
}

fn masked(text: &str) -> Result<String, Vec<String>> {
    masked_as(&wire(BOOK), text, &PrintOptions::default())
}

#[test]
fn only_what_is_named_is_printed() {
    for (mask, expected) in [
        ("title", r#"{"title":"t"}"#),
        ("tags, title", r#"{"title":"t","tags":["a"]}"#),
        ("page_count", r#"{"pageCount":"5"}"#),
        ("pageCount,page_count", r#"{"pageCount":"5"}"#),
        ("author.name", r#"{"author":{"name":"a"}}"#),
        ("author/teacher/born", r#"{"author":{"teacher":{"born":4}}}"#),
        ("author(name,teacher(name))", r#"{"author":{"name":"a","teacher":{"name":"b"}}}"#),
        ("author.teacher(name, born)", r#"{"author":{"teacher":{"name":"b","born":4}}}"#),
        ("author.name,author", r#"{"author":{"name":"a","born":3,"teacher":{"name":"b","born":4}}}"#),
        ("editors.name", r#"{"editors":[{"name":"c"},{}]}"#),
        ("people.born", r#"{"people":{"x":{"born":1},"y":{"born":2}}}"#),
        ("people.name,donor.*", r#"{"people":{"x":{"name":"n"},"y":{}},"donor":{"name":"d"}}"#),
        ("isbn", "{}"),
        ("made,extra", r#"{"made":"2024-01-01T00:00:00Z","extra":{"k":1}}"#),
        ("author.teacher.teacher", r#"{"author":{"teacher":{}}}"#),
        ("*", BOOK),
        ("title,*", BOOK),
        ("", BOOK),
        (" ", BOOK),
    ] {
        assert_eq!(masked(mask).as_deref(), Ok(expected), "{mask}");
    }
}

#[test]
fn a_mask_of_all_fields_prints_what_is_printed_without() {
    let (schema, wire) = (schema(), wire(BOOK));
    let book = id(&schema, "t.Book");
    let names: Vec<&str> = schema.message(book).fields.iter().map(Field::name).collect();
    for options in
        [PrintOptions::default(), PrintOptions { print_unset: true, proto_names: true, ..PrintOptions::default() }]
    {
        let mut plain = Vec::new();
        wire_to_json(&schema, book, &wire, &options, &mut plain).expect("prints");
        let masked = masked_as(&wire, &names.join(","), &options).expect("a mask");
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(masked.as_bytes()), value(&plain));
    }
}

#[test]
fn unset_fields_are_printed_only_if_they_are_named() {
    let options = PrintOptions { print_unset: true, ..PrintOptions::default() };
    let text = masked_as(&wire("{}"), "title,tags,people,author,serial", &options);
    assert_eq!(text.as_deref(), Ok(r#"{"title":"","tags":[],"people":{},"serial":"0"}"#));
    let text = masked_as(&wire(r#"{"author":{}}"#), "author.born", &options);
    assert_eq!(text.as_deref(), Ok(r#"{"author":{"born":0}}"#));
}

#[test]
fn messages_in_parts_and_out_of_order_are_put_together() {
    let part = |json: &str| wire(&format!(r#"{{"author":{json}}}"#));
    let parts = [part(r#"{"name":"a","born":1}"#), wire(r#"{"title":"t"}"#), part(r#"{"born":2}"#)].concat();
    assert_eq!(masked_as(&parts, "author.born", &PrintOptions::default()).as_deref(), Ok(r#"{"author":{"born":2}}"#));
    assert_eq!(masked_as(&parts, "author.name", &PrintOptions::default()).as_deref(), Ok(r#"{"author":{"name":"a"}}"#));
    let twice = [wire(r#"{"people":{"x":{"name":"n"}}}"#), wire(r#"{"people":{"x":{"born":7}}}"#)].concat();
    assert_eq!(
        masked_as(&twice, "people.born", &PrintOptions::default()).as_deref(),
        Ok(r#"{"people":{"x":{"born":7}}}"#)
    );
    // a member of the oneof that another displaced is not there
    let both = [wire(r#"{"donor":{"name":"d"}}"#), wire(r#"{"isbn":"i"}"#)].concat();
    assert_eq!(masked_as(&both, "donor.name,isbn", &PrintOptions::default()).as_deref(), Ok(r#"{"isbn":"i"}"#));
}

#[test]
fn what_is_not_asked_for_cannot_fail() {
    let schema = schema();
    let book = id(&schema, "t.Book");
    // a title that is not UTF-8
    let damaged = [b"\x0a\x01\xff".to_vec(), wire(r#"{"isbn":"i"}"#)].concat();
    assert_eq!(masked_as(&damaged, "isbn", &PrintOptions::default()).as_deref(), Ok(r#"{"isbn":"i"}"#));
    let mask = Mask::parse(&schema, book, None, ["title"]).expect("a mask");
    for wire in [&damaged[..], b"\x0a\x05t", b"\xff"] {
        let mut out = b"before".to_vec();
        assert!(wire_to_json_masked(&schema, book, &mask, wire, &PrintOptions::default(), &mut out).is_err());
        assert_eq!(out, b"before");
    }
}

#[test]
fn paths_begin_behind_the_field_that_is_shown_alone() {
    let schema = schema();
    let book = id(&schema, "t.Book");
    let show = |field: &str, text: &str| {
        let (index, _) = schema.message(book).field_by_name(field).expect(field);
        let mask = Mask::parse(&schema, book, Some(index), [text])?;
        let mut out = Vec::new();
        wire_to_json_field_masked(&schema, book, index, &mask, &wire(BOOK), &PrintOptions::default(), &mut out)
            .expect("prints");
        Ok::<_, Vec<String>>(String::from_utf8(out).expect("UTF-8"))
    };
    assert_eq!(show("editors", "name").as_deref(), Ok(r#"[{"name":"c"},{}]"#));
    assert_eq!(show("people", "born").as_deref(), Ok(r#"{"x":{"born":1},"y":{"born":2}}"#));
    assert_eq!(show("author", "*").as_deref(), Ok(r#"{"name":"a","born":3,"teacher":{"name":"b","born":4}}"#));
    assert_eq!(show("editors", "title").unwrap_err(), ["title: t.Author has no field \"title\""]);
    assert_eq!(show("tags", "name").unwrap_err(), ["the answer has no fields to choose from"]);
    assert_eq!(show("tags", "").as_deref(), Ok(r#"["a"]"#));
}

#[test]
fn mistakes_are_told_with_the_path_and_the_likely_name() {
    for (mask, expected) in [
        ("titel", &["titel: t.Book has no field \"titel\" (did you mean \"title\"?)"][..]),
        ("author.nmae,tags", &["author.nmae: t.Author has no field \"nmae\" (did you mean \"author.name\"?)"]),
        ("author(nmae)", &["author.nmae: t.Author has no field \"nmae\" (did you mean \"author.name\"?)"]),
        ("xx,title.y", &["xx: t.Book has no field \"xx\"", "title: \"title\" has no fields to choose from"]),
        ("extra.k", &["extra: \"extra\" has no fields to choose from"]),
        ("made.seconds", &["made: \"made\" has no fields to choose from"]),
        ("xx(a(b)),title", &["xx: t.Book has no field \"xx\""]),
        ("title,", &["a name is missing at the end"]),
        (",", &["a name is missing before \",\""]),
        ("author.", &["a name is missing at the end"]),
        ("author(name", &["a bracket is not closed at the end"]),
        ("xx(name", &["xx: t.Book has no field \"xx\"", "a bracket is not closed at the end"]),
        ("title)", &["a comma is missing before \")\""]),
        ("author(name)title", &["a comma is missing before \"title\""]),
        ("author()", &["a name is missing before \")\""]),
        ("*.name", &["a comma is missing before \".name\""]),
    ] {
        assert_eq!(masked(mask).unwrap_err(), expected, "{mask}");
    }
}

#[test]
fn any_text_is_a_mask_or_a_mistake() {
    let deep = "author.teacher".to_owned() + &".teacher".repeat(10_000);
    let nested = "author(".to_owned() + &"teacher(".repeat(10_000);
    for text in [&deep, &nested, &"(".repeat(10_000), &"a,".repeat(50_000), "[", "[a", "[a]", "ä.ö(ü", "\0", "a\nb"]
    {
        let mistakes = masked(text).unwrap_err();
        assert!((1..=MOST_MISTAKES).contains(&mistakes.len()), "{text:.20}: {}", mistakes.len());
        assert!(mistakes.iter().all(|mistake| mistake.len() < 1000));
    }
    let parts = ["title", "author", "people", "name", "*", ".", "/", ",", "(", ")", " ", "x", "[", "]", "ß"];
    let book = wire(BOOK);
    let mut state = 1u64;
    for _ in 0..5_000 {
        let mut text = String::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(parts[(state >> 33) as usize % parts.len()]);
        }
        if let Ok(printed) = masked_as(&book, &text, &PrintOptions::default()) {
            assert!(serde_json::from_str::<serde_json::Value>(&printed).is_ok(), "{text}: {printed}");
        }
    }
}
