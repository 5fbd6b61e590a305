//! The rules of `buf.validate` as the guard judges them, against prost-protovalidate: messages that no encoder writes,
//! with fields that come twice, messages in parts, members of a oneof in turns, lists packed and not.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use prost_reflect::DynamicMessage;
use transom::catalog::{Kind, Label, MessageId, Schema};
use transom::transcode::{GuardOptions, guard};
use transom::wire::{put_bytes, put_varint};

use super::{few, tape};
use crate::judges::{JUDGES, Judges, RULES, TYPES};
use crate::tape::Tape;

/// Strings that one rule or other takes, and most do not.
const TEXTS: [&str; 24] = [
    "",
    "a",
    "ab",
    "abc0",
    "a@b",
    "a::b",
    "é",
    "1.2.3.4",
    "1.2.3.0/24",
    "::1",
    "::/0",
    "fe80::1%x",
    "a.b.",
    "a.b:80",
    "[::1]:1",
    "http://a/b?c#d",
    "//a:x",
    "a:b",
    "%c3%a9",
    "123e4567-e89b-12d3-a456-426614174000",
    "a_1.B",
    ":x",
    "x\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// A message as the wire may have it: any number of values of any of its fields, in any order.
fn message(tape: &mut Tape<'_>, schema: &Schema, id: MessageId, depth: usize) -> Vec<u8> {
    let (table, mut out) = (schema.message(id), Vec::new());
    if table.fields.is_empty() {
        return out;
    }
    // nearly whole, so that some messages break no rule
    let whole = tape.chance(2);
    let count = if whole { table.fields.len() } else { tape.below(8) };
    for at in 0..count {
        let field = if whole { &table.fields[at] } else { tape.pick(&table.fields) };
        if field.kind.message().is_some() && depth > 4 {
            continue;
        }
        if field.label == Label::Repeated && field.kind.can_be_packed() && tape.chance(2) {
            let mut run = Vec::new();
            (0..tape.below(4)).for_each(|_| scalar(tape, field.kind, &mut run));
            put_bytes(&mut out, field.number, &run);
            continue;
        }
        put_varint(&mut out, u64::from(field.number << 3 | field.kind.wire_type()));
        match field.kind {
            Kind::Message(id) => {
                let inner = message(tape, schema, id, depth + 1);
                put_varint(&mut out, inner.len() as u64);
                out.extend(inner);
            }
            // of nanoseconds that are seconds the two think differently: we carry them over
            Kind::Int32 if field.name() == "nanos" => put_varint(&mut out, tape.below(12) as u64),
            kind => scalar(tape, kind, &mut out),
        }
    }
    out
}

fn scalar(tape: &mut Tape<'_>, kind: Kind, out: &mut Vec<u8>) {
    let number = if tape.chance(3) { tape.number() } else { tape.below(12) as u64 };
    match kind {
        Kind::String => {
            let text = if tape.chance(8) { tape.text() } else { (*tape.pick(&TEXTS)).to_owned() };
            put_varint(out, text.len() as u64);
            out.extend(text.as_bytes());
        }
        Kind::Bytes => {
            let bytes: Vec<u8> = (0..tape.below(18)).map(|_| *tape.pick(b"ab\xff")).collect();
            put_varint(out, bytes.len() as u64);
            out.extend(bytes);
        }
        Kind::Double => out.extend(real(tape, number).to_le_bytes()),
        Kind::Float => out.extend((real(tape, number) as f32).to_le_bytes()),
        Kind::Fixed64 | Kind::Sfixed64 => out.extend(number.to_le_bytes()),
        Kind::Fixed32 | Kind::Sfixed32 => out.extend((number as u32).to_le_bytes()),
        Kind::Bool => put_varint(out, number & 1),
        _ => put_varint(out, number),
    }
}

/// Of what is no number the two think differently: the other stops at the first rule. Of minus zero as well: to it that
/// is a field that is not set.
fn real(tape: &mut Tape<'_>, number: u64) -> f64 {
    if tape.chance(8) { f64::INFINITY } else { number as f64 }
}

proptest! {
    #![proptest_config(few(400))]

    #[test]
    fn what_the_guard_says_of_rules_is_what_prost_protovalidate_says(bytes in tape()) {
        let judges = &*JUDGES;
        let mut tape = Tape::new(&bytes.0);
        for name in TYPES {
            let id = judges.schema.find(name).expect(name);
            let wire = message(&mut tape, &judges.schema, id, 0);
            let read = DynamicMessage::decode(judges.descriptor(name), &wire[..]).expect("well-made");
            match (judges.ours(name, &wire), judges.theirs(&read)) {
                // there may be more
                (Ok(None), _) | (Err(_), Err(_)) => {}
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, Some(theirs), "{} {:02x?}", name, wire),
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?} {name} {wire:02x?}"),
            }
        }
    }
}

/// So that damage to the fuzz target's corpus also comes to messages that are nearly in order.
#[test]
fn the_corpus_of_rules_has_messages_that_keep_them_and_messages_that_do_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/rules");
    for (name, file, keeps) in [
        ("r.Numbers", "numbers_kept", true),
        ("r.Numbers", "numbers_broken", false),
        ("r.Told", "told_kept", true),
        ("r.Told", "told_broken", false),
    ] {
        let data = std::fs::read(folder.join(file)).expect(file);
        let broken = JUDGES.ours(name, &data[1..]).expect(file).expect("not too many");
        assert_eq!(broken.is_empty(), keeps, "{file}: {broken:?}");
    }
}

/// What rules cost on the benchmark's order:
/// `cargo test --profile quick --test transcode cost_of_rules -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for optimised builds"]
fn cost_of_rules() {
    use crate::speed::{order, time};
    use transom::transcode::{ReadOptions, json_to_wire};

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
    let (plain, ruled) = (Judges::of(folder.join("order.proto")), Judges::of(folder.join("order_rules.proto")));
    let name = "bench.v1.Order";
    let id = ruled.schema.find(name).expect(name);
    let mut wire = Vec::new();
    json_to_wire(&ruled.schema, id, order(1).to_string().as_bytes(), &ReadOptions::default(), &mut wire)
        .expect("reads");
    let descriptor = ruled.descriptor(name);
    let decoded = DynamicMessage::decode(descriptor.clone(), &wire[..]).expect("decodes");
    assert_eq!(ruled.ours(name, &wire), Ok(Some(BTreeSet::new())));
    assert_eq!(ruled.theirs(&decoded), Ok(BTreeSet::new()));
    let report = |what: &str, nanos: f64| {
        println!("{what}: {nanos:.0} ns for {} bytes, {:.0} MB/s", wire.len(), wire.len() as f64 * 1000.0 / nanos);
    };
    let guarded = |judges: &Judges, options: &GuardOptions| {
        let id = judges.schema.find(name).expect(name);
        time(|| drop(std::hint::black_box(guard(&judges.schema, id, &wire, options))))
    };
    let without = GuardOptions { rules: false, ..RULES };
    report("guard, no rules in the schema", guarded(&plain, &RULES));
    report("guard, rules not asked for", guarded(&ruled, &without));
    report("guard with rules", guarded(&ruled, &RULES));
    let mut broken = wire.clone();
    put_bytes(&mut broken, 12, &[b'n'; 1001]);
    report("guard with rules, one broken", {
        time(|| drop(std::hint::black_box(guard(&ruled.schema, id, &broken, &RULES))))
    });
    report("prost-protovalidate, with decoding", {
        time(|| {
            let message = DynamicMessage::decode(descriptor.clone(), &wire[..]).expect("decodes");
            assert!(ruled.theirs(&message).is_ok());
        })
    });
}
