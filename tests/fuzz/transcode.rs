//! What the transcoder's fuzz targets do with their input; `tests/transcode` runs the committed corpora through the same.
//!
//! The first byte of the input is the message type (its low three bits, [`TYPES`]) and how it is read and printed (the
//! high five): `'0'` to `'7'` are the types with the defaults.
#![allow(dead_code)] // each target uses one function

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value as Json;
use transom::catalog::{
    Binding, Body, BytesForm, EnumForm, FieldPath, Place, Schema, Source, Template, UnknownFields, UnknownNumbers,
    Verb, load,
};
use transom::transcode::{
    Bound, Form, FormPart, GuardOptions, PrintOptions, ReadOptions, Rule, UnknownAny, bind, bind_form, guard as check,
    json_to_wire as read_json, weave as weave_call, wire_to_json as print_wire, wire_to_json_field,
};
use transom::wire::{JsonScanner, JsonStream, MultipartEvent, MultipartReader, PartHead, Scan};

use crate::dynamic::{Both, Oddities, ours_is_stricter, ours_is_wider, ours_looks_closer, parse, same, same_json};
use crate::field::Fields;

const TYPES: [&str; 8] = [
    "t.Book",
    "u.Old",
    "e.Modern",
    "google.protobuf.Value",
    "google.protobuf.Any",
    "google.protobuf.Struct",
    "e.Mixed",
    "u.Sets",
];

/// So many of the types can be compared with `DynamicMessage`, which knows neither message sets nor what editions say
/// beyond the syntaxes.
const COMPARABLE: u8 = 6;

/// The others, as an Any names them.
const NOT_COMPARABLE: [&[u8]; 4] = [b"/e.Mixed", b"/e.Must", b"/u.Set", b"/u.Member"];

/// The bits of the first byte that are set in `'0'` and mean nothing.
const PLAIN: u8 = b'0' >> 3;

static ALL: LazyLock<Vec<Both>> = LazyLock::new(|| {
    let folder = folder();
    let protos = ["everything.proto", "legacy.proto", "edition.proto"].map(|name| folder.join(name));
    let source = Source { protos: protos.into(), proto_paths: vec![folder], ..Source::new("fuzz", "none") };
    let catalog = load(&source).expect("the files load").catalog;
    let pool = DescriptorPool::decode(catalog.descriptor_set).expect("a valid set");
    let schema = Arc::new(catalog.schema);
    TYPES.iter().map(|name| Both::new(schema.clone(), &pool, name)).collect()
});

/// Where the `.proto` files are: in this folder, whichever package it is built into.
fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    if package.join("everything.proto").exists() { package.into() } else { package.join("tests/fuzz") }
}

fn message_type(first: u8) -> &'static Both {
    &ALL[usize::from(first & 7)]
}

fn schema() -> &'static Schema {
    &ALL[0].schema
}

fn bytes_form(bits: u8) -> BytesForm {
    [BytesForm::Base64, BytesForm::Base64Url, BytesForm::Hex, BytesForm::Base64][usize::from(bits >> 2 & 3)]
}

fn read_options(first: u8) -> ReadOptions<'static> {
    let bits = first >> 3 ^ PLAIN;
    let unknown = if bits & 1 == 0 { UnknownFields::Refuse } else { UnknownFields::Ignore };
    ReadOptions { unknown, short_enums: bits & 2 != 0, bytes: bytes_form(bits), ..ReadOptions::default() }
}

/// What [`read_options`] of the same byte read back.
fn print_options(first: u8) -> PrintOptions {
    let bits = first >> 3 ^ PLAIN;
    PrintOptions {
        print_unset: bits & 16 != 0,
        proto_names: bits & 1 != 0,
        enums: if bits & 2 == 0 { EnumForm::Name } else { EnumForm::ShortName },
        int64_numbers: bits & 8 != 0,
        bytes: bytes_form(bits),
        indent: bits & 1,
        unknown_any: UnknownAny::Refuse,
    }
}

/// What `DynamicMessage` can print as well.
fn common_options(first: u8) -> PrintOptions {
    let bits = first >> 3 ^ PLAIN;
    PrintOptions {
        print_unset: bits & 16 != 0,
        proto_names: bits & 1 != 0,
        enums: if bits & 2 == 0 { EnumForm::Name } else { EnumForm::Number },
        ..PrintOptions::default()
    }
}

fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn read(both: &Both, json: &[u8], options: &ReadOptions<'_>) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    read_json(&both.schema, both.id, json, options, &mut wire).map_err(|error| error.message)?;
    Ok(wire)
}

fn print(both: &Both, wire: &[u8], options: &PrintOptions) -> Result<Vec<u8>, String> {
    let mut json = Vec::new();
    print_wire(&both.schema, both.id, wire, options, &mut json).map_err(|error| error.to_string())?;
    Ok(json)
}

/// JSON that is read passes the guard, prints, and reads and prints the same once more.
pub fn json_to_wire(data: &[u8]) {
    let Some((&first, json)) = data.split_first() else { return };
    let (both, reading, printing) = (message_type(first), read_options(first), print_options(first));
    let Ok(wire) = read(both, json, &reading) else { return };
    let guarded = check(&both.schema, both.id, &wire, &GuardOptions { unknown: UnknownNumbers::Refuse, ..STRICT });
    assert!(guarded.is_ok(), "{guarded:?}");
    let printed = print(both, &wire, &printing).expect("what is read can be printed");
    let again = read(both, &printed, &reading).expect("what is printed can be read");
    let once_more = print(both, &again, &printing).expect("prints");
    let (first, again) = (parse(&printed).expect("JSON"), parse(&once_more).expect("JSON"));
    assert!(same_again(&first, &again), "{}\n{}", shown(&printed), shown(&once_more));
}

/// Wire bytes that print must print JSON, which reads back as what prints the same; and field by field the same as whole.
pub fn wire_to_json(data: &[u8]) {
    let Some((&first, wire)) = data.split_first() else { return };
    let (both, reading, printing) = (message_type(first), read_options(first), print_options(first));
    let Ok(json) = print(both, wire, &printing) else { return };
    let parsed = parse(&json).unwrap_or_else(|error| panic!("{error}: {}", shown(&json)));
    match read(both, &json, &reading) {
        Ok(again) => {
            let once_more = print(both, &again, &printing).expect("prints");
            let once_more = parse(&once_more).expect("JSON");
            assert!(same_again(&parsed, &once_more), "{}\n{once_more}", shown(&json));
        }
        // what a field is required in may come without it; it is not for readers of answers to complain
        Err(error) => assert!(error.contains("is required"), "{error}: {}", shown(&json)),
    }
    let table = both.schema.message(both.id);
    let Some(members) = parsed.as_object().filter(|_| table.known == transom::catalog::Known::None) else { return };
    let index = (wire.len() % table.fields.len()) as u16;
    let field = table.field(index).expect("in range");
    let mut alone = Vec::new();
    let printed = wire_to_json_field(&both.schema, both.id, index, wire, &printing, &mut alone);
    assert!(printed.is_ok(), "{printed:?}");
    let name = if printing.proto_names { field.name() } else { field.json_name() };
    let name = if field.is_extension() { format!("[{}]", name.trim_matches(['[', ']'])) } else { name.to_owned() };
    if let Some(member) = members.get(&name) {
        assert_eq!(*member, parse(&alone).expect("JSON"), "{name} of {}", shown(&json));
    }
}

/// The same JSON, but for fields of type `NullValue`: any number of theirs prints as null, which reads back as nothing.
fn same_again(first: &Json, again: &Json) -> bool {
    match (first, again) {
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_again(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            b.keys().all(|key| a.contains_key(key))
                && a.iter().all(|(key, value)| match b.get(key) {
                    Some(again) => same_again(value, again),
                    None => value.is_null() && matches!(&**key, "nullValue" | "null_value"),
                })
        }
        _ => first == again,
    }
}

const STRICT: GuardOptions = GuardOptions {
    unknown: UnknownNumbers::Refuse,
    max_repeated: 0,
    max_string: 0,
    max_bytes: 0,
    max_depth: 100,
    rules: false,
};

/// The guard lets pass what `DynamicMessage` decodes, and nothing else, but for the differences named here; and what it
/// says does not depend on its limits where they are not met.
pub fn guard(data: &[u8]) {
    let Some((&first, wire)) = data.split_first() else { return };
    let both = message_type(first);
    let judge = |options: &GuardOptions| check(&both.schema, both.id, wire, options);
    let open = GuardOptions::default();
    let told = judge(&open);
    match (&told, DynamicMessage::decode(both.descriptor.clone(), wire)) {
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => {
            // prost-reflect holds strings to UTF-8 that need not be
            let unchecked = ["u.Old", "u.Sets", "e.Mixed"].contains(&both.descriptor.full_name());
            assert!(unchecked && error.to_string().contains("UTF-8"), "only the guard takes it: {error}");
        }
        (Err(violation), Ok(_)) => {
            let meant = matches!(violation.rule, Rule::EnumValue | Rule::Required | Rule::WireType);
            // tags of more than five bytes, which prost takes
            let tag = violation.rule == Rule::Malformed && violation.description.contains("a tag has no valid");
            // prost-reflect reads maps whatever their wire type says, even if it says that a group ends
            let end = violation.rule == Rule::Malformed && violation.description.contains("a group ends");
            // the items of message sets are unknown groups to prost-reflect
            let item = both.descriptor.full_name() == "u.Sets";
            assert!(meant || tag || end || item, "only the guard refuses it: {violation}");
        }
    }
    let all = wire.len().max(1);
    assert_eq!(judge(&GuardOptions { max_repeated: all, max_string: all, max_bytes: all, ..open }), told);
    match (&told, &judge(&STRICT)) {
        (Ok(guarded), Ok(_)) => assert_eq!(guarded.unknown_fields, 0),
        (Ok(guarded), Err(violation)) => {
            assert!(guarded.unknown_fields > 0 && violation.rule == Rule::UnknownField)
        }
        (Err(_), strict) => assert!(strict.is_err()),
    }
    let narrow = GuardOptions { max_repeated: 2, max_string: 5, max_bytes: 5, max_depth: 3, ..open };
    assert!(told.is_ok() || judge(&narrow).is_err());
    // what is in order can be printed, but for what JSON cannot show
    let printed = print(both, wire, &PrintOptions { unknown_any: UnknownAny::Raw, ..PrintOptions::default() });
    if let (Ok(_), Err(error)) = (&told, &printed) {
        let unshown = ["out of range", "camel case", "not UTF-8", "that JSON cannot show", "which an Any holds"];
        // the guard takes the content of an Any for bytes
        let in_any = error.starts_with("detail") || both.descriptor.full_name() == "google.protobuf.Any";
        assert!(in_any || unshown.iter().any(|reason| error.contains(reason)), "only the guard takes it: {error}");
    }
}

/// JSON is taken and refused as by `DynamicMessage`, and is the same message to both.
pub fn json_against_dynamic(data: &[u8]) {
    let Some((&first, json)) = data.split_first() else { return };
    if first & 7 >= COMPARABLE {
        return;
    }
    let both = message_type(first);
    let unknown = read_options(first).unknown;
    let (fast, slow) = (both.fast_read(json, unknown), both.slow_read(json, unknown));
    let encoded = |read: &Result<DynamicMessage, String>| read.as_ref().map(Message::encode_to_vec).unwrap_or_default();
    if [json, &encoded(&fast), &encoded(&slow)].into_iter().any(is_beyond) {
        return;
    }
    match (fast, slow) {
        (Ok(fast), Ok(slow)) => assert!(same(&fast, &slow), "{}\n{fast:?}\n{slow:?}", shown(json)),
        (Err(error), Ok(_)) => {
            let closer = unknown == UnknownFields::Ignore && ours_looks_closer(&error);
            // what is too small for a double is 0 to serde_json, and whole
            let tiny = error.contains("not a whole number") && holds(json, b"e-") | holds(json, b"E-");
            assert!(closer || tiny || ours_is_stricter(&error), "only we refuse it: {error}\n{}", shown(json));
        }
        (Ok(_), Err(error)) => assert!(ours_is_wider(&error), "only we take it: {error}\n{}", shown(json)),
        (Err(_), Err(_)) => {}
    }
}

/// Wire bytes are printed and refused as by `DynamicMessage`.
pub fn wire_against_dynamic(data: &[u8]) {
    let Some((&first, wire)) = data.split_first() else { return };
    let both = message_type(first);
    if first & 7 >= COMPARABLE || is_beyond(wire) || Oddities::of(&both.schema, both.id, wire) != Oddities::NONE {
        return;
    }
    let options = common_options(first);
    match (both.fast_print(wire, &options), both.slow_print(wire, &options)) {
        (Ok(fast), Ok(slow)) => assert!(same_json(&fast, &slow), "{wire:02x?}\n{fast}\n{slow}"),
        (Err(error), Ok(slow)) => assert!(ours_is_stricter(&error), "only we refuse it: {error}\n{wire:02x?}\n{slow}"),
        (Ok(fast), Err(error)) => {
            let unchecked = error.contains("UTF-8") && (first & 7 == 1 || holds(wire, b"/u.Old"));
            assert!(unchecked || ours_is_wider(&error), "only we take it: {error}\n{wire:02x?}\n{fast}");
        }
        (Err(_), Err(_)) => {}
    }
}

/// Whether an Any in it may hold what cannot be compared.
fn is_beyond(bytes: &[u8]) -> bool {
    NOT_COMPARABLE.iter().any(|name| holds(bytes, name))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Values are found in the same places however the stream is cut. The first byte is the form and the size of the pieces.
pub fn json_scan(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let form = if first & 1 == 0 { JsonStream::Concatenated } else { JsonStream::Array };
    let scan = |size: usize| {
        let mut scanner = JsonScanner::new(form);
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        for piece in text.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                match scanner.next(&buffer) {
                    Ok(Scan::Value(value)) => {
                        found.push(buffer.get(value.clone()).expect("inside of the buffer").to_vec());
                        buffer.drain(..value.end);
                    }
                    Ok(_) => break,
                    Err(error) => return (found, Err(error)),
                }
            }
        }
        (found, scanner.finish(&buffer))
    };
    let (whole, cut) = (scan(text.len().max(1)), scan(usize::from(first >> 1) + 1));
    assert_eq!(whole.0, cut.0);
    assert_eq!(whole.1.is_ok(), cut.1.is_ok());
}

/// A REST call: path value, query and body, one line each. It never panics, and what it makes is well-formed.
pub fn weave(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (value, query, body) = (String::from_utf8_lossy(line()), String::from_utf8_lossy(line()), line());
    let both = message_type(0);
    let book = schema().message(both.id);
    let index = |name: &str| book.field_by_name(name).expect(name).0;
    let rules = [Body::None, Body::All, Body::Field(index("author")), Body::Field(index("tags"))];
    for (rule, query_brackets) in rules.into_iter().map(|rule| (rule, false)).chain([(Body::None, true)]) {
        let binding = Binding {
            verb: Verb::Exact(http::Method::POST),
            template: Template { text: "/".into(), segments: [].into(), verb: None, variables: [].into() },
            variables: [FieldPath([index("author"), 0].into()), FieldPath([index("pageCount")].into())].into(),
            body: rule,
            response_body: None,
            raw_request: None,
            raw_answer: None,
            takes_form: rule != Body::None,
            mask: Some(index("mask")).filter(|_| rule != Body::None),
            place: Place::default(),
        };
        let variables: Vec<_> = (0..2).map(|at| (at, Cow::Borrowed(&*value))).collect();
        let mut wire = Vec::new();
        let query = Some(&*query);
        let options = ReadOptions { query_brackets, ..ReadOptions::default() };
        let variables = if value.is_empty() { &[] } else { &variables[..1] };
        let woven = weave_call(schema(), both.id, &binding, variables, query, Some(body), &options, &mut wire);
        // bound once and woven twice, as for the messages of a stream
        if let Ok(bound) = bind(schema(), both.id, &binding, variables, query, &options).map(Bound::into_owned) {
            for _ in 0..2 {
                let mut again = Vec::new();
                assert_eq!(bound.weave(schema(), both.id, rule, Some(body), &options, &mut again), woven);
                assert!(woven.is_err() || again == wire);
            }
        }
        form(&binding, variables, query, body, Form::Encoded(body));
        let read = parts(body);
        let shown: Vec<FormPart<'_>> = read.iter().map(|(head, content)| part(head, content)).collect();
        form(&binding, variables, query, body, Form::Parts(&shown));
        if woven.is_ok() {
            let printed = print(both, &wire, &PrintOptions::default());
            // A query may write a mask in proto spelling, which has more forms than camel case can show.
            assert!(
                printed.is_ok() || printed.as_ref().is_err_and(|error| error.contains("camel case")),
                "{printed:?}"
            );
        }
    }
}

/// A REST call with a form, and the mask of a PATCH with the same body. It never panics, and what it makes is well-formed.
fn form(binding: &Binding, variables: &[(usize, Cow<'_, str>)], query: Option<&str>, body: &[u8], form: Form<'_>) {
    let (both, options) = (message_type(0), ReadOptions { query_brackets: true, ..ReadOptions::default() });
    let mut wire = Vec::new();
    let Ok(bound) = bind_form(schema(), both.id, binding, variables, query, form, None, &options) else { return };
    if bound.weave(schema(), both.id, binding.body, None, &options, &mut wire).is_err() {
        return;
    }
    let checked = check(schema(), both.id, &wire, &GuardOptions::default());
    assert!(checked.is_ok(), "{checked:?}: {form:?}");
    if bound.fill_mask(schema(), both.id, binding, Some(body), &mut wire).is_ok() {
        assert!(check(schema(), both.id, &wire, &GuardOptions::default()).is_ok());
    }
}

/// The parts of a form with the boundary `b`, as far as it can be read.
fn parts(body: &[u8]) -> Vec<(PartHead, Vec<u8>)> {
    let (mut reader, mut parts) = (MultipartReader::new(b"b"), Vec::<(PartHead, Vec<u8>)>::new());
    reader.push(body);
    while let Ok(event) = reader.next() {
        match event {
            MultipartEvent::Part(head) => parts.push((head, Vec::new())),
            MultipartEvent::Data(data) => parts.last_mut().expect("a part").1.extend_from_slice(&data),
            MultipartEvent::PartEnd => {}
            MultipartEvent::End | MultipartEvent::More => break,
        }
    }
    parts
}

fn part<'a>(head: &'a PartHead, content: &'a [u8]) -> FormPart<'a> {
    let (filename, content_type) = (head.filename.as_deref(), head.content_type.as_deref());
    FormPart { name: &head.name, filename, content_type, content }
}

/// Single fields: of what `DynamicMessage` decodes, each is read as it is there.
pub fn field(data: &[u8]) {
    static FIELDS: LazyLock<Vec<Fields>> = LazyLock::new(|| {
        ALL.iter().take(COMPARABLE.into()).map(|both| Fields::new(&both.schema, both.id, &both.descriptor)).collect()
    });
    let Some((first, wire)) = data.split_first() else { return };
    let at = first & 7;
    if at < COMPARABLE {
        FIELDS[usize::from(at)].compare(&ALL[usize::from(at)], wire);
    }
}
