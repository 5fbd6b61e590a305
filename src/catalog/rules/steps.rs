//! Paths into `buf.validate.FieldRules`, as violations have them.

use crate::catalog::schema::Kind;
use crate::status::PathElement;

/// A field of the rules: its number, its name and its type (`FieldDescriptorProto.Type`).
pub(super) type Step = (u32, &'static str, u8);

pub(super) const BOOL: u8 = 8;
pub(super) const STRING: u8 = 9;
pub(super) const MESSAGE: u8 = 11;
pub(super) const BYTES: u8 = 12;
pub(super) const INT32: u8 = 5;
pub(super) const UINT64: u8 = 4;
const ENUM: u8 = 14;

pub(super) const REPEATED: Step = (18, "repeated", MESSAGE);
pub(super) const MAP: Step = (19, "map", MESSAGE);
pub(super) const ITEMS: Step = (4, "items", MESSAGE);
pub(super) const KEYS: Step = (4, "keys", MESSAGE);
pub(super) const VALUES: Step = (5, "values", MESSAGE);
pub(super) const WELL_KNOWN_REGEX: Step = (24, "well_known_regex", ENUM);

/// A path of these steps, each a field of what the step before it holds.
pub(super) fn path(outer: &[Step], last: &[Step]) -> Box<[PathElement]> {
    outer.iter().chain(last).map(|step| element(*step)).collect()
}

fn element((number, name, kind): Step) -> PathElement {
    PathElement { number, name: name.into(), kind, entry: None, subscript: None }
}

/// The number of a kind in `google.protobuf.FieldDescriptorProto.Type`.
pub fn type_number(kind: Kind) -> u8 {
    match kind {
        Kind::Double => 1,
        Kind::Float => 2,
        Kind::Int64 => 3,
        Kind::Uint64 => UINT64,
        Kind::Int32 => INT32,
        Kind::Fixed64 => 6,
        Kind::Fixed32 => 7,
        Kind::Bool => BOOL,
        Kind::String => STRING,
        Kind::Group(_) => 10,
        Kind::Message(_) => MESSAGE,
        Kind::Bytes => BYTES,
        Kind::Uint32 => 13,
        Kind::Enum(_) => ENUM,
        Kind::Sfixed32 => 15,
        Kind::Sfixed64 => 16,
        Kind::Sint32 => 17,
        Kind::Sint64 => 18,
    }
}

/// The member of `FieldRules.type` that is for values of a kind; `None` for messages.
pub(super) fn rules_for(kind: Kind) -> Option<Step> {
    let (number, name) = match kind {
        Kind::Float => (1, "float"),
        Kind::Double => (2, "double"),
        Kind::Int32 => (3, "int32"),
        Kind::Int64 => (4, "int64"),
        Kind::Uint32 => (5, "uint32"),
        Kind::Uint64 => (6, "uint64"),
        Kind::Sint32 => (7, "sint32"),
        Kind::Sint64 => (8, "sint64"),
        Kind::Fixed32 => (9, "fixed32"),
        Kind::Fixed64 => (10, "fixed64"),
        Kind::Sfixed32 => (11, "sfixed32"),
        Kind::Sfixed64 => (12, "sfixed64"),
        Kind::Bool => (13, "bool"),
        Kind::String => (14, "string"),
        Kind::Bytes => (15, "bytes"),
        Kind::Enum(_) => (16, "enum"),
        Kind::Message(_) | Kind::Group(_) => return None,
    };
    Some((number, name, MESSAGE))
}

/// The name of a member of `FieldRules.type`.
pub(super) fn name_of(number: u32) -> Option<&'static str> {
    const NAMES: [&str; 16] = [
        "float", "double", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
        "sfixed64", "bool", "string", "bytes", "enum",
    ];
    match number {
        18 => Some("repeated"),
        19 => Some("map"),
        20 => Some("any"),
        21 => Some("duration"),
        22 => Some("timestamp"),
        28 => Some("field_mask"),
        _ => NAMES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied(),
    }
}
