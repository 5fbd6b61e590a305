//! The reader of single fields beside prost-reflect's `DynamicMessage`, for the property test and the fuzz target.
#![allow(dead_code)] // each user has its own needs

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use transom::catalog::{FieldReader, FieldValue, MessageId, Schema};

use crate::dynamic::{Both, Oddities};

/// All paths to single values below a message, through at most so many messages.
pub fn paths(message: &MessageDescriptor, levels: usize) -> Vec<Vec<FieldDescriptor>> {
    let mut found = Vec::new();
    for field in message.fields().filter(|field| !field.is_list() && !field.is_map()) {
        match field.kind() {
            Kind::Message(inner) if levels > 0 => {
                for rest in paths(&inner, levels - 1) {
                    found.push([vec![field.clone()], rest].concat());
                }
            }
            Kind::Message(_) => {}
            _ => found.push(vec![field]),
        }
    }
    found
}

/// The path as a configuration has it.
pub fn written(path: &[FieldDescriptor]) -> String {
    path.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>().join(".")
}

/// What `DynamicMessage` says of the field; `None`: it has presence and is not set.
pub fn slow(message: &DynamicMessage, path: &[FieldDescriptor]) -> Option<Value> {
    let (last, before) = path.split_last()?;
    let mut at = message.clone();
    for field in before {
        let inner = at.get_field(field).into_owned();
        at = inner.as_message().expect("a message").clone();
    }
    let set = at.has_field(last) || !last.supports_presence();
    set.then(|| at.get_field(last).into_owned())
}

/// Whether both say the same.
pub fn same(fast: Option<FieldValue<'_>>, slow: Option<&Value>) -> bool {
    let float = |value: f64| if value == 0.0 { 0 } else { value.to_bits() };
    match (fast, slow) {
        (None, None) => true,
        (Some(FieldValue::Text(text)), Some(Value::String(string))) => text == string.as_bytes(),
        (Some(FieldValue::Text(text)), Some(Value::Bytes(bytes))) => text == bytes,
        (Some(FieldValue::Number(number)), Some(value)) => {
            let theirs = match value {
                Value::Bool(value) => u64::from(*value),
                Value::I32(value) | Value::EnumNumber(value) => i64::from(*value) as u64,
                Value::I64(value) => *value as u64,
                Value::U32(value) => u64::from(*value),
                Value::U64(value) => *value,
                Value::F32(value) => float(f64::from(*value)),
                Value::F64(value) => float(*value),
                _ => return false,
            };
            number == theirs
        }
        _ => false,
    }
}

/// The single values that paths of a type lead to, and readers for them.
pub struct Fields(Vec<(Vec<FieldDescriptor>, FieldReader)>);

// === impl Fields ===

impl Fields {
    /// Through two messages at most, and no more than some hundred.
    pub fn new(schema: &Schema, id: MessageId, descriptor: &MessageDescriptor) -> Fields {
        let reader = |path: Vec<FieldDescriptor>| {
            let reader = FieldReader::new(schema, id, &written(&path)).expect("a field of the schema");
            (path, reader)
        };
        Fields(paths(descriptor, 2).into_iter().take(300).map(reader).collect())
    }

    /// Reads each out of the message by both. Where `DynamicMessage` reads the message, ours must say the same.
    pub fn compare(&self, both: &Both, wire: &[u8]) {
        let odd = Oddities::of(&both.schema, both.id, wire) != Oddities::NONE;
        let message = DynamicMessage::decode(both.descriptor.clone(), wire).ok().filter(|_| !odd);
        for (path, reader) in &self.0 {
            let fast = reader.read(wire);
            let Some(message) = &message else { continue };
            let name = written(path);
            let fast = match fast {
                Ok(fast) => fast,
                // prost takes tags of more than five bytes
                Err(damage) if damage.0.contains("valid field number") => continue,
                Err(damage) => panic!("{name}: {damage:?}"),
            };
            let slow = slow(message, path);
            assert!(same(fast, slow.as_ref()), "{name}: {fast:?} {slow:?} {wire:02x?}");
        }
    }
}
