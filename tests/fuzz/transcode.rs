//! What the transcoder's fuzz targets do with their input; `tests/transcode` runs the committed corpora through the same.
#![allow(dead_code)] // each target uses one function

use std::borrow::Cow;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use transom::catalog::{Binding, Body, FieldPath, MessageId, Place, Schema, Template, UnknownNumbers, Verb};
use transom::transcode::{
    Bound, GuardOptions, PrintOptions, ReadOptions, Rule, bind, guard as check, json_to_wire, weave as weave_call,
    wire_to_json,
};
use transom::wire::{JsonScanner, JsonStream, Scan};

struct InMemory;

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "everything.proto" => File::from_source(name, include_str!("everything.proto")),
            "old.proto" => File::from_source(name, include_str!("old.proto")),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(["everything.proto", "old.proto"]).expect("the files compile");
    DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).expect("a valid set")
});

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::build(&POOL).expect("builds"));

fn types() -> [MessageId; 2] {
    ["t.Book", "u.Old"].map(|name| SCHEMA.find(name).expect(name))
}

fn read(id: MessageId, json: &[u8]) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    json_to_wire(&SCHEMA, id, json, &ReadOptions::default(), &mut wire).ok().map(|()| wire)
}

fn print(id: MessageId, wire: &[u8]) -> Result<Vec<u8>, String> {
    let mut json = Vec::new();
    wire_to_json(&SCHEMA, id, wire, &PrintOptions::default(), &mut json).map_err(|error| error.to_string())?;
    Ok(json)
}

/// JSON that is read must print, and print the same once more.
pub fn json_read(data: &[u8]) {
    for id in types() {
        if let Some(wire) = read(id, data) {
            let json = print(id, &wire).expect("what is read can be printed");
            let again = read(id, &json).expect("what is printed can be read");
            let printed = print(id, &again).expect("prints");
            assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&printed));
        }
    }
}

/// Wire bytes that print must print JSON, and JSON that can be read.
pub fn wire_print(data: &[u8]) {
    for id in types() {
        if let Ok(json) = print(id, data) {
            serde_json::from_slice::<serde_json::Value>(&json).expect("JSON");
            let read = json_to_wire(&SCHEMA, id, &json, &ReadOptions::default(), &mut Vec::new());
            // what a field is required in may come without it; it is not for readers of answers to complain
            let known = read.as_ref().err().is_none_or(|error| error.message.contains("is required"));
            assert!(known, "{read:?}: {}", String::from_utf8_lossy(&json));
        }
    }
}

/// What the guard lets pass can be decoded (but for strings of proto2, which need not be UTF-8), and what it says does not
/// depend on its limits where they are not met.
pub fn guard(data: &[u8]) {
    let open = GuardOptions::default();
    for (id, name) in types().into_iter().zip(["t.Book", "u.Old"]) {
        let told = check(&SCHEMA, id, data, &open);
        if told.is_ok() {
            let descriptor = POOL.get_message_by_name(name).expect(name);
            let decoded = DynamicMessage::decode(descriptor, data);
            let fine =
                decoded.as_ref().err().is_none_or(|error| error.to_string().contains("UTF-8") && name == "u.Old");
            assert!(fine, "{decoded:?}");
        }
        let all = data.len().max(1);
        let wide = GuardOptions { max_repeated: all, max_string: all, max_bytes: all, ..open };
        assert_eq!(check(&SCHEMA, id, data, &wide), told);
        let strict = check(&SCHEMA, id, data, &GuardOptions { unknown: UnknownNumbers::Refuse, ..open });
        match (&told, &strict) {
            (Ok(guarded), Ok(_)) => assert_eq!(guarded.unknown_fields, 0),
            (Ok(guarded), Err(violation)) => {
                assert!(guarded.unknown_fields > 0 && violation.rule == Rule::UnknownField)
            }
            (Err(_), strict) => assert!(strict.is_err()),
        }
        let narrow = GuardOptions { max_repeated: 2, max_string: 5, max_bytes: 5, max_depth: 3, ..open };
        assert!(told.is_ok() || check(&SCHEMA, id, data, &narrow).is_err());
    }
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
    let id = types()[0];
    let book = SCHEMA.message(id);
    let index = |name: &str| book.field_by_name(name).expect(name).0;
    for rule in [Body::None, Body::All, Body::Field(index("author")), Body::Field(index("tags"))] {
        let binding = Binding {
            verb: Verb::Exact(http::Method::POST),
            template: Template { text: "/".into(), segments: [].into(), verb: None, variables: [].into() },
            variables: [FieldPath([index("author"), 0].into()), FieldPath([index("pageCount")].into())].into(),
            body: rule,
            response_body: None,
            place: Place::default(),
        };
        let variables: Vec<_> = (0..2).map(|at| (at, Cow::Borrowed(&*value))).collect();
        let mut wire = Vec::new();
        let query = Some(&*query);
        let options = ReadOptions::default();
        let variables = if value.is_empty() { &[] } else { &variables[..1] };
        let woven = weave_call(&SCHEMA, id, &binding, variables, query, Some(body), &options, &mut wire);
        // bound once and woven twice, as for the messages of a stream
        if let Ok(bound) = bind(&SCHEMA, id, &binding, variables, query, &options).map(Bound::into_owned) {
            for _ in 0..2 {
                let mut again = Vec::new();
                assert_eq!(bound.weave(&SCHEMA, id, rule, Some(body), &options, &mut again), woven);
                assert!(woven.is_err() || again == wire);
            }
        }
        if woven.is_ok() {
            let printed = print(id, &wire);
            // A query may write a mask in proto spelling, which has more forms than camel case can show.
            assert!(
                printed.is_ok() || printed.as_ref().is_err_and(|error| error.contains("camel case")),
                "{printed:?}"
            );
        }
    }
}
