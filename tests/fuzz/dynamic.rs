//! prost-reflect's `DynamicMessage` beside the transcoder, for the property tests (`tests/transcode`) and the fuzz targets.
//!
//! Where the two differ on purpose, the difference is named here, in [`ours_is_stricter`], [`ours_is_wider`],
//! [`same_json`] and [`Oddities`], and nowhere else.
#![allow(dead_code)] // each user has its own needs

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, ReflectMessage, SerializeOptions, Value,
};
use serde_json::Value as Json;
use transom::catalog::{EnumForm, Kind, Known, Label, MessageId, Schema, UnknownFields};
use transom::transcode::{PrintOptions, ReadOptions, json_to_wire, wire_to_json};
use transom::wire::{Cursor, Malformed, Piece};

/// One message type, both ways.
pub struct Both {
    pub schema: Arc<Schema>,
    pub descriptor: MessageDescriptor,
    pub id: MessageId,
}

/// What a message holds that prost-reflect treats otherwise than protobuf's own readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// A known field with a wire type that is not its own: we skip it like an unknown field, as protobuf's readers do;
    /// prost-reflect fails, or (for maps) reads on in the middle of it.
    pub wrong_wire_type: bool,
    /// A number that a closed enum does not have: an unknown field to us and to protobuf, printed by prost-reflect.
    pub unknown_closed: bool,
}

// === impl Both ===

impl Both {
    pub fn new(schema: Arc<Schema>, pool: &DescriptorPool, name: &str) -> Both {
        let descriptor = pool.get_message_by_name(name).expect(name);
        let id = schema.find(name).expect("in the schema");
        Both { schema, descriptor, id }
    }

    pub fn fast_read(&self, json: &[u8], unknown: UnknownFields) -> Result<DynamicMessage, String> {
        let mut wire = Vec::new();
        let options = ReadOptions { unknown, ..ReadOptions::default() };
        json_to_wire(&self.schema, self.id, json, &options, &mut wire).map_err(|error| error.message)?;
        Ok(DynamicMessage::decode(self.descriptor.clone(), &wire[..]).expect("what we write can be read"))
    }

    pub fn slow_read(&self, json: &[u8], unknown: UnknownFields) -> Result<DynamicMessage, String> {
        let mut text = serde_json::Deserializer::from_slice(json);
        let options = DeserializeOptions::new().deny_unknown_fields(unknown == UnknownFields::Refuse);
        let read = DynamicMessage::deserialize_with_options(self.descriptor.clone(), &mut text, &options);
        let read = read.map_err(|error| error.to_string())?;
        text.end().map_err(|error| error.to_string())?;
        Ok(read)
    }

    pub fn fast_print(&self, wire: &[u8], options: &PrintOptions) -> Result<Json, String> {
        let mut out = Vec::new();
        wire_to_json(&self.schema, self.id, wire, options, &mut out).map_err(|error| error.to_string())?;
        parse(&out).map_err(|e| panic!("{e}: {}", String::from_utf8_lossy(&out)))
    }

    pub fn slow_print(&self, wire: &[u8], options: &PrintOptions) -> Result<Json, String> {
        let message = DynamicMessage::decode(self.descriptor.clone(), wire).map_err(|error| error.to_string())?;
        let options = SerializeOptions::new()
            .skip_default_fields(!options.print_unset)
            .use_proto_field_name(options.proto_names)
            .use_enum_numbers(options.enums == EnumForm::Number);
        // By way of the text: as a `serde_json::Value` a float would turn into the digits of its double.
        let mut text = serde_json::Serializer::new(Vec::new());
        message.serialize_with_options(&mut text, &options).map_err(|error| error.to_string())?;
        Ok(parse(&text.into_inner()).expect("JSON"))
    }
}

/// JSON as values; null for what is nested deeper than serde_json reads (128 levels, which a hundred messages can exceed).
pub fn parse(json: &[u8]) -> Result<Json, serde_json::Error> {
    match serde_json::from_slice(json) {
        Err(error) if error.to_string().contains("recursion limit") => Ok(Json::Null),
        parsed => parsed,
    }
}

/// The same JSON, but for what is settled differently on purpose: floats without a fraction print as integers, NaN and infinity in
/// a wrapper by name (prost-reflect: null), minus zero is a value, an Any of `Empty` goes without its `value`, and empty
/// paths of a field mask leave their commas, as in protobuf's C++ and Python.
pub fn same_json(ours: &Json, theirs: &Json) -> bool {
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
                    Some(ours) => same_json(ours, value) || (MASKS.contains(&&**key) && same_mask(ours, value)),
                    None => key == "value" && is_empty(b),
                })
        }
        (Json::String(name), Json::Null) => matches!(&**name, "NaN" | "Infinity" | "-Infinity"),
        _ => ours == theirs,
    }
}

/// Where field masks stand: the schemas' one field, and the content of an Any.
const MASKS: [&str; 2] = ["mask", "value"];

fn same_mask(ours: &Json, theirs: &Json) -> bool {
    let paths = |mask: &'_ Json| -> Option<Vec<String>> {
        Some(mask.as_str()?.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    };
    paths(ours).is_some() && paths(ours) == paths(theirs)
}

/// What we refuse and prost-reflect takes, by our reason.
pub fn ours_is_stricter(error: &str) -> bool {
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
        "a tag has no valid field number", // tags of more than five bytes, which prost takes
    ]
    .iter()
    .any(|reason| error.contains(reason))
}

/// What we refuse even where members are ignored; serde_json does not look into their strings.
pub fn ours_looks_closer(error: &str) -> bool {
    error.contains("the text is not UTF-8") || error.contains("half of a surrogate pair")
}

/// Whether a number of the text has a fraction that a double is too coarse to hold, as `1e-999` or `2.00000000000000000001`:
/// prost-reflect takes it for a whole one, we go by its digits.
pub fn rounds_to_whole(text: &[u8]) -> bool {
    let of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    text.split(|byte| !of_number(byte)).filter_map(|number| std::str::from_utf8(number).ok()).any(|number| {
        let has_fraction = number.contains('.') || number.contains("e-") || number.contains("E-");
        has_fraction && number.parse::<f64>().is_ok_and(|value| value.fract() == 0.0)
    })
}

/// What we take and prost-reflect refuses, by its reason.
pub fn ours_is_wider(error: &str) -> bool {
    [
        "invalid digit found in string", // exponents and fractions of whole value in strings
        "expected a string or integer",  // and as the number of an enum
        "expected '@type' field",        // {} is an empty Any; an Any of Empty needs no value
        "expected 'value' field",
        "expected null",       // the number or the name of a NullValue
        "number out of range", // serde_json's exponents
        "recursion limit",
        "unsupported type url",
        "type url",
        "float value out of range",
    ]
    .iter()
    .any(|reason| error.contains(reason))
}

// === impl Oddities ===

impl Oddities {
    pub const NONE: Oddities = Oddities { wrong_wire_type: false, unknown_closed: false };

    /// Looks through an encoded message as far as it can be read, into the content of each Any as well.
    pub fn of(schema: &Schema, id: MessageId, wire: &[u8]) -> Oddities {
        let mut found = Oddities::default();
        let _ = found.look(schema, id, wire, 0);
        found
    }

    fn look(&mut self, schema: &Schema, id: MessageId, wire: &[u8], depth: u32) -> Result<(), Malformed> {
        let message = schema.message(id);
        let (mut payload_type, mut payload) = (None, &[][..]);
        // the parts of a message are looked at together, as they make one
        let mut parts: BTreeMap<u16, (MessageId, Vec<u8>)> = BTreeMap::new();
        let mut cursor = Cursor::new(wire);
        while !cursor.is_empty() && depth < 200 {
            let tag = cursor.tag()?;
            let Some((index, field)) = message.field_by_number(tag >> 3) else {
                cursor.piece(tag)?;
                continue;
            };
            let packed = field.label == Label::Repeated && field.kind.can_be_packed() && tag & 7 == 2;
            let is_own = tag & 7 == field.kind.wire_type() || packed;
            self.wrong_wire_type |= !is_own;
            let piece = cursor.piece(tag)?;
            if !is_own {
                continue;
            }
            if let Kind::Enum(id) = field.kind {
                self.look_at_numbers(schema.enumeration(id), packed, &piece)?;
            }
            if message.known == Known::Any && field.number == 1 {
                payload_type =
                    std::str::from_utf8(piece.bytes).ok().and_then(|url| schema.find(url.rsplit('/').next()?));
            }
            if message.known == Known::Any && field.number == 2 {
                payload = piece.bytes;
            }
            match field.kind.message() {
                Some(nested) if field.label == Label::Singular => {
                    parts.entry(index).or_insert((nested, Vec::new())).1.extend_from_slice(piece.bytes);
                }
                Some(nested) => self.look(schema, nested, piece.bytes, depth + 1)?,
                None => {}
            }
        }
        for (nested, bytes) in parts.into_values() {
            self.look(schema, nested, &bytes, depth + 1)?;
        }
        payload_type.map_or(Ok(()), |id| self.look(schema, id, payload, depth + 1))
    }

    fn look_at_numbers(
        &mut self,
        enumeration: &transom::catalog::Enum,
        packed: bool,
        piece: &Piece<'_>,
    ) -> Result<(), Malformed> {
        let mut look = |bits: u64| {
            self.unknown_closed |= enumeration.closed && enumeration.name_of(bits as i32).is_none();
        };
        if !packed {
            look(piece.bits);
            return Ok(());
        }
        let mut cursor = Cursor::new(piece.bytes);
        while !cursor.is_empty() {
            look(cursor.varint()?);
        }
        Ok(())
    }
}

/// Whether two messages are the same; NaN equals NaN, the bytes in an Any are compared as messages, and empty paths of a
/// field mask count for nothing, as prost-reflect does not read them.
pub fn same(one: &DynamicMessage, other: &DynamicMessage) -> bool {
    if one.descriptor().full_name() == "google.protobuf.Any" {
        return same_any(one, other);
    }
    if one.descriptor().full_name() == "google.protobuf.FieldMask" {
        return paths(one) == paths(other);
    }
    let fields = |message: &DynamicMessage| {
        let plain = message.fields().map(|(field, value)| (field.number(), value.clone()));
        let extensions = message.extensions().map(|(extension, value)| (extension.number(), value.clone()));
        let mut all: Vec<(u32, Value)> = plain.chain(extensions).filter(|(_, value)| !is_empty(value)).collect();
        all.sort_by_key(|(number, _)| *number);
        all
    };
    let (one, other) = (fields(one), fields(other));
    one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| a.0 == b.0 && same_value(&a.1, &b.1))
}

fn paths(mask: &DynamicMessage) -> Vec<String> {
    let paths = mask.get_field_by_name("paths").map(Cow::into_owned);
    let paths = paths.as_ref().and_then(Value::as_list).unwrap_or_default();
    paths.iter().filter_map(Value::as_str).filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

fn same_any(one: &DynamicMessage, other: &DynamicMessage) -> bool {
    let parts = |any: &DynamicMessage| {
        let url = any.get_field_by_name("type_url").and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let bytes = any.get_field_by_name("value").and_then(|v| v.as_bytes().cloned()).unwrap_or_default();
        (url, bytes)
    };
    let ((url, bytes), (other_url, other_bytes)) = (parts(one), parts(other));
    let name = url.rsplit('/').next().unwrap_or_default();
    let decode = |bytes: prost::bytes::Bytes| {
        let descriptor = one.descriptor().parent_pool().get_message_by_name(name)?;
        DynamicMessage::decode(descriptor, bytes).ok()
    };
    url == other_url
        && (bytes == other_bytes || decode(bytes).zip(decode(other_bytes)).is_some_and(|(a, b)| same(&a, &b)))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}

fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::Message(a), Value::Message(b)) => same(a, b),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same_value(value, other)))
        }
        _ => one == other,
    }
}
