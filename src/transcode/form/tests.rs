use super::*;
use crate::catalog::{FieldPath, Place, Template, Verb};
use crate::transcode::tests::schema_of;
use crate::transcode::{PrintOptions, wire_to_json};

const BOXES: &str = r#"syntax = "proto3"; package t;
    import "google/api/httpbody.proto"; import "google/protobuf/timestamp.proto"; import "google/protobuf/struct.proto";
    message Box { string name = 1; repeated int32 sizes = 2; bytes raw = 3; google.api.HttpBody body = 4; Item item = 5;
      repeated Item items = 6; google.protobuf.Timestamp made = 7; string file_name = 8; map<string, string> labels = 9;
      oneof either { string left = 10; string right = 11; } repeated bytes many = 12; google.protobuf.Struct free = 13; }
    message Item { string title = 1; int32 count = 2; bytes picture = 3; string filename = 4; }"#;

/// The rule's body: a field, or `*`; and what a variable of the path for `name` holds.
fn bound(body: &str, path: Option<&str>, form: Form<'_>, brackets: bool) -> Result<serde_json::Value, Vec<String>> {
    let schema = schema_of(BOXES);
    let input = schema.find("t.Box").unwrap();
    let binding = Binding {
        verb: Verb::Any,
        template: Template { text: "/".into(), segments: [].into(), verb: None, variables: [].into() },
        variables: [FieldPath([0].into())].into(),
        body: match body {
            "*" => Body::All,
            name => Body::Field(schema.message(input).field_by_name(name).unwrap().0),
        },
        response_body: None,
        raw_request: None,
        raw_answer: None,
        takes_form: true,
        mask: None,
        place: Place::default(),
    };
    let options = ReadOptions { query_brackets: brackets, ..ReadOptions::default() };
    let variables: Vec<_> = path.map(|text| (0, text.into())).into_iter().collect();
    let bound = bind_form(&schema, input, &binding, &variables, None, form, None, &options);
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    bound.and_then(|bound| bound.weave(&schema, input, binding.body, None, &options, &mut wire)).map_err(|bad| {
        bad.violations.iter().map(|one| format!("{}: {}", one.field, one.description)).collect::<Vec<_>>()
    })?;
    wire_to_json(&schema, input, &wire, &PrintOptions::default(), &mut json).expect("prints");
    Ok(serde_json::from_slice(&json).expect("JSON"))
}

fn encoded(body: &str, form: &str) -> Result<serde_json::Value, Vec<String>> {
    bound(body, None, Form::Encoded(form.as_bytes()), false)
}

fn parts(parts: &[FormPart<'_>]) -> Result<serde_json::Value, Vec<String>> {
    bound("*", None, Form::Parts(parts), false)
}

fn text<'a>(name: &'a str, content: &'a str) -> FormPart<'a> {
    FormPart { name, content: content.as_bytes(), ..FormPart::default() }
}

fn json<'a>(name: &'a str, content: &'a str) -> FormPart<'a> {
    FormPart { content_type: Some("Application/JSON; charset=utf-8"), ..text(name, content) }
}

fn file<'a>(name: &'a str, filename: &'a str, kind: Option<&'a str>, content: &'a [u8]) -> FormPart<'a> {
    FormPart { name, filename: Some(filename), content_type: kind, content }
}

#[test]
fn a_form_fills_fields_as_a_query_does() {
    let filled =
        encoded("*", "name=a+b%26%C3%A9&sizes=1&sizes=-2&item.title=x&made=2024-01-01T00:00:00Z&fileName=f&raw=_w&");
    let expected = serde_json::json!({"name": "a b&é", "sizes": [1, -2], "item": {"title": "x"}, "raw": "/w==",
        "made": "2024-01-01T00:00:00Z", "fileName": "f"});
    assert_eq!(filled, Ok(expected));
    assert_eq!(encoded("item", "title=x&count=3"), Ok(serde_json::json!({"item": {"title": "x", "count": 3}})));
    assert_eq!(encoded("*", ""), Ok(serde_json::json!({})));
    let brackets = Form::Encoded(b"labels[a.b]=c&items[0].title=x&items[1][title]=y");
    let expected = serde_json::json!({"labels": {"a.b": "c"}, "items": [{"title": "x"}, {"title": "y"}]});
    assert_eq!(bound("*", None, brackets, true), Ok(expected));
}

#[test]
fn mistakes_of_a_form_are_told_by_its_names_all_at_once() {
    let told =
        encoded("*", "nmae=x&sizes=big&item=x&labels=x&name=a&name=b&%ff=1&left=1&right=2&items.title=x&file_name=%ff");
    let expected = [
        "nmae: unknown form field (did you mean \"name\"?)",
        "item: a message cannot be given in a form, only its fields (as in \"a.b=1\")",
        "%ff: the field's name is not UTF-8",
        "file_name: the field's value is not UTF-8",
        "name: is given more than once, and is not a repeated field",
        "right: another member of the same oneof is given as well",
    ];
    let told = told.unwrap_err();
    assert!(expected.iter().all(|one| told.iter().any(|told| told == one)), "{told:#?}");
    assert_eq!(told.len(), 9, "{told:#?}");
    let told = bound("*", Some("path"), Form::Encoded(b"name=form"), false);
    assert_eq!(told, Err(vec!["name: is set by the path already".into()]));
    let many = "name=&".repeat(MOST_FORM_FIELDS + 1);
    assert!(encoded("*", &many).unwrap_err().iter().any(|told| told.contains("may have 10000 fields")));
    let told = bound("*", None, Form::Encoded(b"name=\xff"), false);
    assert_eq!(told, Err(vec![": the form is not UTF-8".into()]));
    assert_eq!(encoded("item", "item.title=x").unwrap_err().len(), 1);
    for body in ["name", "sizes", "labels", "items"] {
        assert!(encoded(body, "").unwrap_err()[0].contains("no message that a form could fill"), "{body}");
    }
}

#[test]
fn the_field_decides_how_a_part_is_read() {
    let filled = parts(&[
        text("name", "n"),
        file("sizes", "f", None, b"7"),
        json("sizes", "8"),
        file("raw", "photo.png", Some("image/png"), b"\xff\x00"),
        file("body", "ignored", Some("text/html"), b"<p>"),
        json("item", r#"{"title": "x", "count": 3}"#),
        json("items", r#"{"count": 1}"#),
        json("items", r#"{"count": 2}"#),
        json("free", r#"{"a": [1]}"#),
        text("many", "_w"),
        file("many", "f", None, b"\xff"),
    ]);
    let expected = serde_json::json!({"name": "n", "sizes": [7, 8], "raw": "/wA=", "fileName": "photo.png",
        "body": {"contentType": "text/html", "data": "PHA+"}, "item": {"title": "x", "count": 3},
        "items": [{"count": 1}, {"count": 2}], "free": {"a": [1]}, "many": ["/w==", "/w=="]});
    assert_eq!(filled, Ok(expected));
    let named = parts(&[text("file_name", "mine"), file("raw", "theirs", None, b""), text("body", "x")]);
    assert_eq!(named, Ok(serde_json::json!({"fileName": "mine", "body": {"data": "eA=="}})));
    let nested = parts(&[file("item.picture", "p.png", None, b"x"), text("item.title", "t")]);
    assert_eq!(nested, Ok(serde_json::json!({"item": {"title": "t", "picture": "eA==", "filename": "p.png"}})));
}

#[test]
fn mistakes_in_parts_are_told_by_their_names() {
    for (part, expected) in [
        (text("name", "\u{0}"), None),
        (file("name", "f", None, b"\xff"), Some("name: is not UTF-8, as the text of this field has to be")),
        (file("nmae", "f", None, b"\xff"), Some("nmae: unknown form field (did you mean \"name\"?)")),
        (json("item", r#"{"titel": ""}"#), Some("item.titel: no such field (did you mean \"title\"?)")),
        (json("item", r#"{"titel"#), Some("item: line 1, column")),
        (json("item", "[]"), Some("item: expected an object")),
        (json("labels", "{}"), Some("labels: a map cannot be given in a form (only as in")),
        (text("item", "x"), Some("item: a message cannot be given in a form")),
        (text("", "x"), Some(": unknown form field")),
        (text("raw", "?"), Some("raw: not base64")),
        (file("made", "f", None, b"soon"), Some("made: not a timestamp")),
    ] {
        let told = parts(&[part]).err().map(|told| told.join("; "));
        match expected {
            Some(expected) => {
                assert!(told.as_ref().is_some_and(|told| told.contains(expected)), "{told:?}: {expected}")
            }
            None => assert_eq!(told, None),
        }
    }
}
