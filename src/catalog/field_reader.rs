//! One field of an encoded message, found without reading the rest: what routes and hashing look at.
//!
//! Protobuf merges: of a singular field that comes several times the last one counts, messages that come in parts are put
//! together field by field, and a member of a oneof unsets the others (encoding guide, "Last One Wins"). A reader that
//! stopped at the first occurrence could be told another value than the service sees. So every level on the way is walked
//! to its end, fields off the way are skipped unread, and messages beside it are not entered.

use super::mistake::Mistake;
use super::schema::{EnumId, Field, Kind, Known, Label, MessageId, Presence, Schema};
use crate::wire::{Cursor, Malformed, Piece, closest, unzigzag};

/// The most names in a path: what bounds the reader's stack.
pub const MAX_FIELD_PATH: usize = 16;

/// Reads the field at the end of a dotted path out of messages of one type. Everything is looked up when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldReader {
    steps: Box<[Step]>,
    kind: LeafKind,
    presence: Presence,
}

/// A singular field's value. Numbers of all types are made one: signed ones extended to 64 bits, `false` 0 and `true` 1,
/// enums by number, floats by the bits of their double (minus zero is zero), so that equal values are equal here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'m> {
    /// Of strings and bytes.
    Text(&'m [u8]),
    Number(u64),
}

/// What the field at the end of a path holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKind {
    Text,
    Bytes,
    Bool,
    Signed,
    Unsigned,
    Float,
    Enum(EnumId),
}

/// One field on the way.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    /// Number and wire type as they must come; a field with another wire type is an unknown field to protobuf's readers.
    tag: u32,
    kind: Kind,
    /// Of a closed enum the numbers it has: others are unknown fields.
    closed: Option<Box<[i32]>>,
    /// The other members of its oneof, whose coming unsets it.
    rivals: Box<[Rival]>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rival {
    tag: u32,
    closed: Option<Box<[i32]>>,
}

// === impl FieldReader ===

impl FieldReader {
    /// For messages of this type. `path`: names of fields (either spelling), separated by dots; all but the last lead through
    /// singular messages, the last is a singular number, bool, enum, string or bytes.
    ///
    /// Errors: the first name that leads nowhere, with the one that was probably meant.
    pub fn new(schema: &Schema, message: MessageId, path: &str) -> Result<FieldReader, Mistake> {
        let (mut table, mut steps) = (schema.message(message), Vec::new());
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let unfit = |why: &str| Err(Mistake::new(format!("field {name:?} of {} is {why}", table.name)));
            let Some((_, field)) = table.field_by_name(name).filter(|(_, field)| !field.is_extension()) else {
                let mistake = Mistake::new(format!("{} has no field {name:?}", table.name));
                let meant = closest(name, table.fields.iter().map(Field::name));
                return Err(match meant {
                    Some(meant) => mistake.hint(format!("did you mean {meant:?}?")),
                    None => mistake,
                });
            };
            if steps.len() >= MAX_FIELD_PATH {
                return Err(Mistake::new(format!("a path has at most {MAX_FIELD_PATH} names")));
            }
            match field.label {
                Label::Singular if table.known == Known::MessageSet => return unfit("in a message set"),
                Label::Singular => {}
                Label::Repeated => return unfit("repeated: there is no one value of it"),
                Label::Map => return unfit("a map: there is no one value of it"),
            }
            steps.push(Step::new(schema, table, field));
            match (field.kind.message(), names.peek()) {
                (Some(inner), Some(_)) => table = schema.message(inner),
                (Some(inner), None) => {
                    let first = schema.message(inner).fields.first().map(Field::name);
                    let mistake = unfit(&format!("a message ({})", schema.message(inner).name));
                    return mistake.map_err(|mistake| match first {
                        Some(first) => mistake.hint(format!("name a field of it, as in {path}.{first}")),
                        None => mistake,
                    });
                }
                (None, Some(next)) => return unfit(&format!("no message, it has no field {next:?}")),
                (None, None) => {
                    return Ok(FieldReader {
                        steps: steps.into(),
                        kind: LeafKind::of(field.kind),
                        presence: field.presence,
                    });
                }
            }
        }
        Err(Mistake::new("the path is empty"))
    }

    /// What the field holds, for reading values of the configuration.
    pub fn kind(&self) -> LeafKind {
        self.kind
    }

    /// The field's value in an encoded, unpacked message. A field without presence that is not there is its zero value, as
    /// it is to the service; `None`: a field with presence is not set.
    ///
    /// Costs one pass over the tags of each level on the way; nothing is allocated.
    ///
    /// Errors: the message, or a message on the way, is none.
    pub fn read<'m>(&self, message: &'m [u8]) -> Result<Option<FieldValue<'m>>, Malformed> {
        let mut found = None;
        walk(&self.steps, message, &mut found)?;
        Ok(match found {
            Some(piece) => Some(self.value(piece)),
            None => self.zero(),
        })
    }

    /// What the field is in a message that has nothing.
    pub fn zero(&self) -> Option<FieldValue<'static>> {
        match (self.presence, self.kind) {
            (Presence::Explicit | Presence::Required, _) => None,
            (Presence::Implicit, LeafKind::Text | LeafKind::Bytes) => Some(FieldValue::Text(b"")),
            (Presence::Implicit, _) => Some(FieldValue::Number(0)),
        }
    }

    fn value<'m>(&self, piece: Piece<'m>) -> FieldValue<'m> {
        match self.steps.last().map(|last| last.kind) {
            Some(kind) => match number(kind, piece.bits) {
                Some(number) => FieldValue::Number(number),
                None => FieldValue::Text(piece.bytes),
            },
            None => FieldValue::Text(piece.bytes),
        }
    }
}

/// Follows the first step through a message, and the others through what it leads to. What was found last counts.
fn walk<'m>(steps: &[Step], message: &'m [u8], found: &mut Option<Piece<'m>>) -> Result<(), Malformed> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        if tag == step.tag {
            if !rest.is_empty() {
                walk(rest, piece.bytes, found)?;
            } else if has(step.closed.as_deref(), piece) {
                *found = Some(piece);
            }
        } else if step.rivals.iter().any(|rival| rival.tag == tag && has(rival.closed.as_deref(), piece)) {
            *found = None;
        }
    }
    Ok(())
}

/// Whether a closed enum has the number; other fields take any value.
fn has(closed: Option<&[i32]>, piece: Piece<'_>) -> bool {
    closed.is_none_or(|numbers| numbers.binary_search(&(piece.bits as i32)).is_ok())
}

/// A number in the one form that [`FieldValue`] has; `None`: the kind is none. Longer varints are cut to the type, as
/// protobuf's readers do.
fn number(kind: Kind, bits: u64) -> Option<u64> {
    let signed = |value: i64| Some(value as u64);
    let float = |value: f64| Some(if value == 0.0 { 0 } else { value.to_bits() });
    match kind {
        Kind::Int32 | Kind::Sfixed32 | Kind::Enum(_) => signed(i64::from(bits as i32)),
        Kind::Sint32 => signed(i64::from(unzigzag(u64::from(bits as u32)) as i32)),
        Kind::Sint64 => signed(unzigzag(bits)),
        Kind::Int64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => Some(bits),
        Kind::Uint32 | Kind::Fixed32 => Some(u64::from(bits as u32)),
        Kind::Bool => Some(u64::from(bits != 0)),
        Kind::Float => float(f64::from(f32::from_bits(bits as u32))),
        Kind::Double => float(f64::from_bits(bits)),
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_) => None,
    }
}

// === impl Step ===

impl Step {
    fn new(schema: &Schema, table: &super::schema::Message, field: &Field) -> Step {
        let rivals = table
            .fields
            .iter()
            .filter(|other| field.oneof.is_some() && other.oneof == field.oneof && other.number != field.number);
        Step {
            tag: tag_of(field),
            kind: field.kind,
            closed: closed(schema, field),
            rivals: rivals.map(|rival| Rival { tag: tag_of(rival), closed: closed(schema, rival) }).collect(),
        }
    }
}

fn tag_of(field: &Field) -> u32 {
    field.number << 3 | field.kind.wire_type()
}

/// The numbers of a closed enum, in order.
fn closed(schema: &Schema, field: &Field) -> Option<Box<[i32]>> {
    let Kind::Enum(id) = field.kind else { return None };
    let table = schema.enumeration(id);
    let mut numbers: Vec<i32> = table.values.iter().map(|value| value.number).collect();
    numbers.sort_unstable();
    table.closed.then(|| numbers.into())
}

// === impl LeafKind ===

impl LeafKind {
    fn of(kind: Kind) -> LeafKind {
        match kind {
            Kind::String => LeafKind::Text,
            Kind::Bytes | Kind::Message(_) | Kind::Group(_) => LeafKind::Bytes,
            Kind::Bool => LeafKind::Bool,
            Kind::Enum(id) => LeafKind::Enum(id),
            Kind::Double | Kind::Float => LeafKind::Float,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => LeafKind::Unsigned,
            _ => LeafKind::Signed,
        }
    }

    /// The value that a text of the configuration stands for: enums by name, short name or number, bytes in base64.
    ///
    /// Errors: why it is none of this kind.
    pub fn parse(self, schema: &Schema, text: &str) -> Result<OwnedFieldValue, String> {
        let number = match self {
            LeafKind::Text => return Ok(OwnedFieldValue::Text(text.as_bytes().into())),
            LeafKind::Bytes => {
                let bytes = crate::wire::decode_bin(text.as_bytes()).map_err(|_| "is not base64".to_owned())?;
                return Ok(OwnedFieldValue::Text(Box::from(&bytes[..])));
            }
            LeafKind::Bool => text.parse::<bool>().map(u64::from).map_err(|_| "is not true or false".to_owned())?,
            LeafKind::Signed => {
                text.parse::<i64>().map(|n| n as u64).map_err(|_| "is not a whole number".to_owned())?
            }
            LeafKind::Unsigned => text.parse::<u64>().map_err(|_| "is not a whole number from 0 on".to_owned())?,
            LeafKind::Float => {
                let value: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
                if value == 0.0 { 0 } else { value.to_bits() }
            }
            LeafKind::Enum(id) => {
                let table = schema.enumeration(id);
                let known = table.number_of(text).or_else(|| table.number_of_short(text)).or_else(|| text.parse().ok());
                i64::from(known.ok_or_else(|| {
                    let near = closest(text, table.values.iter().map(|value| &*value.name));
                    let near = near.map(|near| format!(": did you mean {near:?}?")).unwrap_or_default();
                    format!("is no value of {}{near}", table.name)
                })?) as u64
            }
        };
        Ok(OwnedFieldValue::Number(number))
    }
}

/// A [`FieldValue`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedFieldValue {
    Text(Box<[u8]>),
    Number(u64),
}

// === impl OwnedFieldValue ===

impl PartialEq<FieldValue<'_>> for OwnedFieldValue {
    fn eq(&self, other: &FieldValue<'_>) -> bool {
        match (self, other) {
            (OwnedFieldValue::Text(ours), FieldValue::Text(theirs)) => **ours == **theirs,
            (OwnedFieldValue::Number(ours), FieldValue::Number(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

// === impl FieldValue ===

impl FieldValue<'_> {
    /// Whether it is what an unset field without presence is.
    pub fn is_zero(self) -> bool {
        matches!(self, FieldValue::Text(b"") | FieldValue::Number(0))
    }

    /// Hands the bytes to hash to `take`: of text its own, so that a header and a field of equal content are one key; of
    /// numbers their eight little-endian bytes.
    pub fn hash_with<R>(self, take: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            FieldValue::Text(bytes) => take(bytes),
            FieldValue::Number(number) => take(&number.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
