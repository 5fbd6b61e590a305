//! The transcoder against prost-reflect's `DynamicMessage`, over random schemas, random messages, and damaged input.
//!
//! Where the two differ on purpose, the difference is named in `tests/fuzz/dynamic.rs`, and of rules in
//! `tests/fuzz/rules.rs`, which the fuzz targets share.

mod corpus;
#[path = "../fuzz/dynamic.rs"]
mod dynamic;
#[path = "../fuzz/field.rs"]
mod field;
mod guard;
#[path = "../fuzz/rules.rs"]
mod judges;
mod messages;
mod rules;
mod schemas;
mod speed;
mod tape;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value as Json;
use tape::Tape;
use transom::catalog::{EnumForm, Schema, UnknownFields};
use transom::transcode::PrintOptions;

use dynamic::{Both, Oddities, ours_is_stricter, ours_is_wider, rounds_to_whole, same, same_json};

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
    let schema = Arc::new(Schema::build(&pool).expect("builds"));
    let both = Both::new(schema, &pool, "p.M0");
    let message = messages::message(tape, &both.descriptor, 0);
    (both, message)
}

/// prost-reflect's JSON of a message that has one.
fn slow_json(message: &DynamicMessage, options: &SerializeOptions) -> Json {
    message.serialize_with_options(serde_json::value::Serializer, options).expect("has a JSON form")
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
        let slow = both.slow_read(text.as_bytes(), UnknownFields::Refuse).expect("prost-reflect reads its own JSON");
        let fast = both.fast_read(text.as_bytes(), UnknownFields::Refuse);
        let fast = fast.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert!(same(&fast, &slow), "{text}\n{fast:?}\n{slow:?}");
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
    fn a_field_alone_is_what_dynamic_message_says_of_it(bytes in tape()) {
        let mut tape = Tape::new(&bytes.0);
        let (both, message) = case(&mut tape);
        let other = messages::message(&mut tape, &both.descriptor, 0).encode_to_vec();
        let mut wire = [message.encode_to_vec(), other].concat();
        let fields_of_both = field::Fields::new(&both.schema, both.id, &both.descriptor);
        fields_of_both.compare(&both, &wire);
        let mut cut = fields(&wire);
        for at in (1..cut.len()).rev() {
            let with = tape.below(at + 1);
            cut.swap(at, with);
        }
        fields_of_both.compare(&both, &cut.concat());
        if !wire.is_empty() {
            let at = tape.below(wire.len());
            wire[at] ^= 1 << tape.below(8);
            fields_of_both.compare(&both, &wire);
        }
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
        let back = both.fast_read(text.as_bytes(), UnknownFields::Refuse).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert!(same(&back, &message), "{text}\n{back:?}\n{message:?}");
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
        match (both.fast_read(&text, UnknownFields::Refuse), both.slow_read(&text, UnknownFields::Refuse)) {
            (Ok(fast), Ok(slow)) => prop_assert!(same(&fast, &slow), "{shown}\n{fast:?}\n{slow:?}"),
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
        let mut wire = message.encode_to_vec();
        if wire.is_empty() {
            return Ok(());
        }
        for (at, byte) in damage {
            let at = usize::from(at) % wire.len();
            wire[at] = if byte & 1 == 0 { byte } else { wire[at] ^ (1 << (byte >> 1 & 7)) };
        }
        let options = PrintOptions::default();
        match (both.fast_print(&wire, &options), both.slow_print(&wire, &options)) {
            _ if Oddities::of(&both.schema, both.id, &wire) != Oddities::NONE => {}
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
        let _ = both.fast_read(&noise, UnknownFields::Refuse);
    }
}
