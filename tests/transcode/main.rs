//! The transcoder against prost-reflect's `DynamicMessage`, over random schemas, random messages, and damaged input.
//!
//! Where the two differ on purpose, the difference is named here, in [`ours_is_stricter`] and [`ours_is_wider`], and
//! nowhere else.

mod corpus;
mod guard;
mod messages;
mod rules;
mod schemas;
mod speed;
mod tape;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value as Json;
use tape::Tape;
use transom::catalog::{EnumForm, Known, Label, MessageId, Schema};
use transom::transcode::{PrintOptions, ReadOptions, json_to_wire, wire_to_json};

/// One schema, both ways.
struct Both {
    schema: Schema,
    descriptor: MessageDescriptor,
}

impl Both {
    fn new(pool: &DescriptorPool, name: &str) -> Both {
        let descriptor = pool.get_message_by_name(name).expect(name);
        Both { schema: Schema::build(pool).expect("builds"), descriptor }
    }

    fn fast_read(&self, json: &[u8]) -> Result<DynamicMessage, String> {
        let id = self.schema.find(self.descriptor.full_name()).expect("in the schema");
        let mut wire = Vec::new();
        json_to_wire(&self.schema, id, json, &ReadOptions::default(), &mut wire).map_err(|error| error.message)?;
        Ok(DynamicMessage::decode(self.descriptor.clone(), &wire[..]).expect("what we write can be read"))
    }

    fn slow_read(&self, json: &[u8]) -> Result<DynamicMessage, String> {
        let mut text = serde_json::Deserializer::from_slice(json);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let read = DynamicMessage::deserialize_with_options(self.descriptor.clone(), &mut text, &options);
        let read = read.map_err(|error| error.to_string())?;
        text.end().map_err(|error| error.to_string())?;
        Ok(read)
    }

    fn fast_print(&self, wire: &[u8], options: &PrintOptions) -> Result<Json, String> {
        let id = self.schema.find(self.descriptor.full_name()).expect("in the schema");
        let mut out = Vec::new();
        wire_to_json(&self.schema, id, wire, options, &mut out).map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out))))
    }

    fn slow_print(&self, wire: &[u8], options: &PrintOptions) -> Result<Json, String> {
        let message = DynamicMessage::decode(self.descriptor.clone(), wire).map_err(|error| error.to_string())?;
        let options = SerializeOptions::new()
            .skip_default_fields(!options.print_unset)
            .use_proto_field_name(options.proto_names)
            .use_enum_numbers(options.enums == EnumForm::Number);
        // By way of the text: as a `serde_json::Value` a float would turn into the digits of its double.
        let mut text = serde_json::Serializer::new(Vec::new());
        message.serialize_with_options(&mut text, &options).map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&text.into_inner()).expect("JSON"))
    }
}

/// The same JSON, but for what is settled differently on purpose: floats without a fraction print as integers, NaN and infinity in
/// a wrapper by name (prost-reflect: null), minus zero is a value, and an Any of `Empty` goes without its `value`.
fn same_json(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            let is_zero = |value: &Json| value.as_f64().is_some_and(|value| value == 0.0 && value.is_sign_negative());
            let is_empty = |object: &serde_json::Map<String, Json>| {
                object.get("@type").and_then(Json::as_str).is_some_and(|name| name.ends_with("/google.protobuf.Empty"))
            };
            a.iter().filter(|(key, _)| !b.contains_key(*key)).all(|(_, value)| is_zero(value))
                && b.iter().all(|(key, value)| match a.get(key) {
                    Some(ours) => same_json(ours, value),
                    None => key == "value" && is_empty(b),
                })
        }
        (Json::String(name), Json::Null) => matches!(&**name, "NaN" | "Infinity" | "-Infinity"),
        _ => ours == theirs,
    }
}

/// What we refuse and prost-reflect takes.
fn ours_is_stricter(error: &str) -> bool {
    [
        "is given twice",                   // duplicate keys, two spellings of one field
        "another member of the same oneof", // prost-reflect: the last one wins
        "not a number",                     // "+1", "007", "inf", "nan" in strings; keys likewise
        "not a timestamp",                  // more than nine digits of a second, leap seconds
        "a timestamp out of range",         // a billion nanoseconds and more, which prost carries over
        "a duration out of range",          // seconds and nanoseconds of opposite signs
        "not a duration",                   // more than nine digits, parts left out
        "camel case",                       // a path that ends with '_'
        "not base64",                       // both alphabets mixed
        "is no value of",                   // unknown numbers of closed enums
        "out of range for float",           // what rounds up beyond the largest float
        "null cannot",
        "is required",
        "nested deeper",
        "expected an object, found", // sequences where an object belongs
        "more text behind the value",
    ]
    .iter()
    .any(|reason| error.contains(reason))
}

/// Whether a number of the text has a fraction that a double is too coarse to hold, as `1e-999` or `2.00000000000000000001`:
/// prost-reflect takes it for a whole one, we go by its digits.
fn rounds_to_whole(text: &[u8]) -> bool {
    let of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    text.split(|byte| !of_number(byte)).filter_map(|number| std::str::from_utf8(number).ok()).any(|number| {
        let has_fraction = number.contains('.') || number.contains("e-") || number.contains("E-");
        has_fraction && number.parse::<f64>().is_ok_and(|value| value.fract() == 0.0)
    })
}

/// What we take and prost-reflect refuses.
fn ours_is_wider(error: &str) -> bool {
    [
        "invalid digit found in string", // exponents and fractions of whole value in strings
        "expected '@type' field",        // {} is an empty Any; an Any of Empty needs no value
        "expected 'value' field",
        "number out of range", // serde_json's exponents
        "recursion limit",
        "unsupported type url",
        "type url",
        "float value out of range",
    ]
    .iter()
    .any(|reason| error.contains(reason))
}

/// Bytes that a failure prints in one line.
#[derive(Clone)]
struct Hex(Vec<u8>);

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn tape() -> impl Strategy<Value = Hex> {
    prop::collection::vec(any::<u8>(), 0..1500).prop_map(Hex)
}

/// So few that all tests together take some seconds; `TRANSCODE_CASES=100000` looks longer. A case that fails is kept in
/// `target/tmp/transcode.txt` with its seed and its shortest form, even if the output gets lost, and is tried first in the
/// next run.
fn few(cases: u32) -> ProptestConfig {
    let cases = std::env::var("TRANSCODE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    let kept = FileFailurePersistence::Direct(concat!(env!("CARGO_TARGET_TMPDIR"), "/transcode.txt"));
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

/// A random schema with a random message of its first type.
fn case(tape: &mut Tape<'_>) -> (Both, DynamicMessage) {
    let pool = schemas::pool(tape);
    let both = Both::new(&pool, "p.M0");
    let message = messages::message(tape, &both.descriptor, 0);
    (both, message)
}

/// prost-reflect's JSON of a message that has one.
fn slow_json(message: &DynamicMessage, options: &SerializeOptions) -> Json {
    message.serialize_with_options(serde_json::value::Serializer, options).expect("has a JSON form")
}

/// Whether a known field comes with a wire type that is not its own: we skip it like an unknown field, as protobuf's
/// readers do; prost-reflect fails, or (for maps) reads on in the middle of it.
fn has_wrong_wire_type(schema: &Schema, id: MessageId, wire: &[u8]) -> bool {
    let message = schema.message(id);
    let mut cursor = transom::wire::Cursor::new(wire);
    let mut payload_type = None;
    while !cursor.is_empty() {
        let Ok(tag) = cursor.tag() else { return false };
        let found = message.field_by_number(tag >> 3);
        let is_own = found.is_none_or(|(_, field)| {
            let packed = field.label == Label::Repeated && field.kind.can_be_packed() && tag & 7 == 2;
            tag & 7 == field.kind.wire_type() || packed
        });
        if !is_own {
            return true;
        }
        let Ok(piece) = cursor.piece(tag) else { return false };
        let Some((_, field)) = found else { continue };
        if message.known == Known::Any && field.number == 1 {
            payload_type = std::str::from_utf8(piece.bytes).ok().and_then(|url| schema.find(url.rsplit('/').next()?));
        }
        let nested = if message.known == Known::Any { payload_type } else { field.kind.message() };
        if nested.is_some_and(|nested| has_wrong_wire_type(schema, nested, piece.bytes)) {
            return true;
        }
    }
    false
}

/// Cuts an encoded message into its fields.
fn fields(wire: &[u8]) -> Vec<&[u8]> {
    let mut cut = Vec::new();
    let (mut rest, mut cursor) = (wire, transom::wire::Cursor::new(wire));
    while !cursor.is_empty() {
        let tag = cursor.tag().expect("a tag");
        cursor.piece(tag).expect("a value");
        let len = rest.len() - cursor.remaining();
        cut.push(&rest[..len]);
        rest = &rest[len..];
    }
    cut
}

proptest! {
    #![proptest_config(few(150))]

    #[test]
    fn json_is_read_as_dynamic_message_reads_it(bytes in tape()) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        let options = SerializeOptions::new().use_proto_field_name(tape.chance(2)).use_enum_numbers(tape.chance(2));
        let json = slow_json(&message, &options);
        let text = if tape.chance(2) { json.to_string() } else { serde_json::to_string_pretty(&json).expect("JSON") };
        let slow = both.slow_read(text.as_bytes()).expect("prost-reflect reads its own JSON");
        let fast = both.fast_read(text.as_bytes());
        let fast = fast.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert!(messages::same(&fast, &slow), "{text}\n{fast:?}\n{slow:?}");
    }

    #[test]
    fn wire_is_printed_as_dynamic_message_prints_it(bytes in tape()) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        let (print_unset, proto_names) = (tape.chance(3), tape.chance(3));
        let enums = if tape.chance(3) { EnumForm::Number } else { EnumForm::Name };
        let indent = if tape.chance(3) { 3 } else { 0 };
        let options = PrintOptions { print_unset, proto_names, enums, indent, ..PrintOptions::default() };
        let wire = message.encode_to_vec();
        let slow = both.slow_print(&wire, &options).expect("prints");
        let fast = both.fast_print(&wire, &options).map_err(TestCaseError::fail)?;
        prop_assert!(same_json(&fast, &slow), "{fast}\n{slow}");
    }

    #[test]
    fn fields_in_any_order_are_merged_as_dynamic_message_merges_them(bytes in tape()) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        let other = messages::message(&mut tape, &both.descriptor, 0).encode_to_vec();
        let wire = [message.encode_to_vec(), other].concat();
        let mut cut = fields(&wire);
        for at in (1..cut.len()).rev() {
            let with = tape.below(at + 1);
            if tape.chance(2) {
                cut.swap(at, with);
            }
        }
        let wire = cut.concat();
        let options = PrintOptions { print_unset: tape.chance(2), ..PrintOptions::default() };
        match both.slow_print(&wire, &options) {
            Ok(slow) => {
                match both.fast_print(&wire, &options) {
                    Ok(fast) => prop_assert!(same_json(&fast, &slow), "{fast}\n{slow}\n{wire:02x?}"),
                    Err(error) => prop_assert!(error.contains("a duration out of range"), "{error}\n{wire:02x?}"),
                }
            }
            // Durations whose parts are merged may be none, and an Any may hold the bytes of another type, which is
            // full of wrong wire types.
            Err(error) => {
                let fast = both.fast_print(&wire, &options);
                let known = fast.is_err() || error.contains("error decoding");
                prop_assert!(known, "only we take it: {error}\n{wire:02x?}\n{}", fast.unwrap_or_default());
            }
        }
    }

    #[test]
    fn what_is_printed_is_read_back(bytes in tape()) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        let json = both.fast_print(&message.encode_to_vec(), &PrintOptions::default()).map_err(TestCaseError::fail)?;
        let text = json.to_string();
        let back = both.fast_read(text.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert!(messages::same(&back, &message), "{text}\n{back:?}\n{message:?}");
    }

    #[test]
    fn damaged_json_is_judged_as_dynamic_message_judges_it(bytes in tape(), damage in prop::collection::vec(any::<(u16, u8)>(), 1..4)) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        let json = slow_json(&message, &SerializeOptions::new());
        let mut text = json.to_string().into_bytes();
        for (at, byte) in damage {
            let at = usize::from(at) % text.len();
            let marks = b"\"\\{}[],:0123456789-+.eEntfau \n\x01\xff";
            match byte % 4 {
                0 => text[at] = byte,
                1 => text[at] = marks[usize::from(byte) % marks.len()],
                2 => { text.remove(at); }
                _ => text.insert(at, marks[usize::from(byte) % marks.len()]),
            }
            if text.is_empty() {
                break;
            }
        }
        let shown = String::from_utf8_lossy(&text);
        match (both.fast_read(&text), both.slow_read(&text)) {
            (Ok(fast), Ok(slow)) => prop_assert!(messages::same(&fast, &slow), "{shown}\n{fast:?}\n{slow:?}"),
            (Err(error), Ok(_)) => {
                let known = ours_is_stricter(&error) || error.contains("not a whole number") && rounds_to_whole(&text);
                prop_assert!(known, "only we refuse it: {error}\n{shown}");
            }
            (Ok(_), Err(error)) => prop_assert!(ours_is_wider(&error), "only we take it: {error}\n{shown}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn damaged_wire_is_judged_as_dynamic_message_judges_it(bytes in tape(), damage in prop::collection::vec(any::<(u16, u8)>(), 0..4)) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        // Closed enums differ on purpose: prost-reflect prints numbers that they do not have.
        let mut wire = message.encode_to_vec();
        if wire.is_empty() || both.descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto2 {
            return Ok(());
        }
        for (at, byte) in damage {
            let at = usize::from(at) % wire.len();
            wire[at] = if byte & 1 == 0 { byte } else { wire[at] ^ (1 << (byte >> 1 & 7)) };
        }
        let options = PrintOptions::default();
        match (both.fast_print(&wire, &options), both.slow_print(&wire, &options)) {
            _ if has_wrong_wire_type(&both.schema, both.schema.find("p.M0").expect("found"), &wire) => {}
            (Ok(fast), Ok(slow)) => prop_assert!(same_json(&fast, &slow), "{wire:02x?}\n{fast}\n{slow}"),
            (Err(error), Ok(slow)) => prop_assert!(ours_is_stricter(&error), "only we refuse it: {error}\n{wire:02x?}\n{slow}"),
            (Ok(fast), Err(error)) => prop_assert!(ours_is_wider(&error), "only we take it: {error}\n{wire:02x?}\n{fast}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in tape(), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let (both, _) = case(&mut Tape::new(&bytes.0));
        let _ = both.fast_print(&noise, &PrintOptions::default());
        let _ = both.fast_read(&noise);
    }
}
