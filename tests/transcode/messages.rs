//! Random messages of a random schema, as prost-reflect's objects; and when two of them are the same.

use std::collections::HashMap;

use prost::Message;
use prost_reflect::{Cardinality, DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

use crate::tape::Tape;

/// A message whose JSON form both ways agree on: no minus zero, no NaN where prost-reflect prints null.
pub fn message(tape: &mut Tape<'_>, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut made = DynamicMessage::new(descriptor.clone());
    if known(tape, &mut made, depth) {
        return made;
    }
    for field in descriptor.fields() {
        let is_set = tape.chance(2) && (depth < 5 || field.kind().as_message().is_none());
        if is_set || field.cardinality() == Cardinality::Required {
            let value = value_of(tape, &field.kind(), field.is_list(), field.is_map(), depth);
            made.set_field(&field, value);
        }
    }
    for extension in descriptor.extensions() {
        if tape.chance(2) && (depth < 5 || extension.kind().as_message().is_none()) {
            let value = value_of(tape, &extension.kind(), extension.is_list(), false, depth);
            made.set_extension(&extension, value);
        }
    }
    made
}

fn value_of(tape: &mut Tape<'_>, kind: &Kind, is_list: bool, is_map: bool, depth: usize) -> Value {
    let count = if tape.chance(20) { 30 } else { tape.below(4) };
    if is_map {
        let entry = kind.as_message().expect("a map's entry").clone();
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let entries = (0..count).map(|_| (map_key(tape, &key.kind()), single(tape, &value.kind(), depth)));
        return Value::Map(entries.collect::<HashMap<_, _>>());
    }
    if is_list {
        return Value::List((0..count).map(|_| single(tape, kind, depth)).collect());
    }
    single(tape, kind, depth)
}

fn map_key(tape: &mut Tape<'_>, kind: &Kind) -> MapKey {
    match single(tape, kind, 0) {
        Value::String(text) => MapKey::String(text),
        Value::Bool(value) => MapKey::Bool(value),
        Value::I32(value) => MapKey::I32(value),
        Value::I64(value) => MapKey::I64(value),
        Value::U32(value) => MapKey::U32(value),
        Value::U64(value) => MapKey::U64(value),
        other => panic!("{other:?} is no key"),
    }
}

fn double(tape: &mut Tape<'_>) -> f64 {
    let value = match tape.below(4) {
        0 => f64::from(tape.byte()) / 8.0,
        1 => f64::from_bits(tape.bits()),
        2 => tape.number() as f64 * 0.01,
        _ => *tape.pick(&[1.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e21, 1e-7, 123456789012345680.0]),
    };
    if value == 0.0 || !value.is_finite() { 0.0 } else { value }
}

fn single(tape: &mut Tape<'_>, kind: &Kind, depth: usize) -> Value {
    match kind {
        Kind::Double => Value::F64(if tape.chance(8) {
            *tape.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY])
        } else {
            double(tape)
        }),
        Kind::Float => {
            let value = f32::from_bits(tape.number() as u32);
            Value::F32(if value == 0.0 { 0.0 } else { value })
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(tape.number() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(tape.number() as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(tape.number() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(tape.number()),
        Kind::Bool => Value::Bool(tape.chance(2)),
        Kind::String => Value::String(tape.text()),
        Kind::Bytes => Value::Bytes((0..tape.below(6)).map(|_| tape.byte()).collect::<Vec<u8>>().into()),
        Kind::Enum(kind) => {
            let values: Vec<i32> = kind.values().map(|value| value.number()).collect();
            let open = kind.parent_file().syntax() == prost_reflect::Syntax::Proto3 && kind.name() != "NullValue";
            Value::EnumNumber(if open && tape.chance(8) { 77 } else { *tape.pick(&values) })
        }
        Kind::Message(descriptor) => Value::Message(message(tape, descriptor, depth + 1)),
    }
}

/// Fills a well-known type with something that has a JSON form.
fn known(tape: &mut Tape<'_>, made: &mut DynamicMessage, depth: usize) -> bool {
    let descriptor = made.descriptor();
    let set = |made: &mut DynamicMessage, name: &str, value: Value| made.set_field_by_name(name, value);
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let seconds = [0, 1, -1, 1_700_000_000, -62_135_596_800, 253_402_300_799];
            set(made, "seconds", Value::I64(*tape.pick(&seconds)));
            set(made, "nanos", Value::I32(*tape.pick(&[0, 5_000_000, 999_999_999, 1, 1000])));
        }
        "google.protobuf.Duration" => {
            let (seconds, nanos) =
                *tape.pick(&[(0, 0), (1, 5), (-1, -500_000_000), (0, -1), (315_576_000_000, 0), (7, 120_000)]);
            set(made, "seconds", Value::I64(seconds));
            set(made, "nanos", Value::I32(nanos));
        }
        "google.protobuf.FieldMask" => {
            let paths =
                (0..tape.below(4)).map(|_| Value::String((*tape.pick(&["a", "foo_bar", "a.b_c", "x1"])).into()));
            set(made, "paths", Value::List(paths.collect()));
        }
        "google.protobuf.Any" => any(tape, made, depth),
        "google.protobuf.Struct" => {
            let field = descriptor.get_field_by_name("fields").expect("fields");
            let empty = depth > 6;
            let value =
                if empty { Value::Map(HashMap::new()) } else { value_of(tape, &field.kind(), false, true, depth + 1) };
            made.set_field(&field, value);
        }
        "google.protobuf.ListValue" => {
            let count = if depth > 6 { 0 } else { tape.below(4) };
            let value = descriptor.parent_pool().get_message_by_name("google.protobuf.Value").expect("Value");
            let values = (0..count).map(|_| Value::Message(message(tape, &value, depth + 1))).collect();
            set(made, "values", Value::List(values));
        }
        "google.protobuf.Value" => {
            let names = ["null_value", "number_value", "string_value", "bool_value", "struct_value", "list_value"];
            let name = names[tape.below(if depth > 6 { 4 } else { 6 })];
            let field = descriptor.get_field_by_name(name).expect(name);
            let value =
                if name == "number_value" { Value::F64(double(tape)) } else { single(tape, &field.kind(), depth) };
            made.set_field(&field, value);
        }
        "google.protobuf.DoubleValue" => set(made, "value", Value::F64(double(tape))),
        "google.protobuf.FloatValue" => set(made, "value", Value::F32(f32::from(tape.byte()) / 4.0)),
        _ => return false,
    }
    true
}

/// An Any that holds a message of the pool. (Not `Empty`: prost-reflect writes a `value` with it that we leave out.)
fn any(tape: &mut Tape<'_>, made: &mut DynamicMessage, depth: usize) {
    let names = [
        "p.M0",
        "google.protobuf.Duration",
        "google.protobuf.Value",
        "google.protobuf.StringValue",
        "google.protobuf.FieldMask",
    ];
    let name = if depth > 4 { "google.protobuf.Duration" } else { *tape.pick(&names) };
    let inner = made.descriptor().parent_pool().get_message_by_name(name).expect(name);
    let inner = message(tape, &inner, depth + 1);
    made.set_field_by_name("type_url", Value::String(format!("type.googleapis.com/{name}")));
    made.set_field_by_name("value", Value::Bytes(inner.encode_to_vec().into()));
}
