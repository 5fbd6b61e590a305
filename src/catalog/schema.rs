//! The schema as dense, immutable tables: what the transcoder walks instead of descriptors.
//!
//! Built once from a descriptor pool at load time (`schema_build.rs`). Messages, enums and fields are numbered densely
//! and link to each other by number, so that a walk costs array look-ups and no reference counting.

use super::cel::CelRules;
use super::name_index::NameIndex;
use super::rules::MessageRules;
use crate::wire::append_start;

/// Index of a message in [`Schema::messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u32);

/// Index of an enum in [`Schema::enums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnumId(pub u32);

/// All messages and enums of a catalog.
#[derive(Debug, Default)]
pub struct Schema {
    pub messages: Box<[Message]>,
    pub enums: Box<[Enum]>,
    /// Rules that are CEL expressions; `None` if there are none.
    pub cel: Option<CelRules>,
    pub(super) message_names: NameIndex,
    pub(super) enum_names: NameIndex,
}

/// One message type.
#[derive(Debug)]
pub struct Message {
    /// Full name, without a leading dot.
    pub name: Box<str>,
    /// In the order of their numbers; extensions of this message are among them. At most 65,535.
    pub fields: Box<[Field]>,
    /// How protobuf's JSON mapping treats the type.
    pub known: Known,
    /// Indices of the fields that must be there (proto2 `required`, editions' `LEGACY_REQUIRED`); mostly none.
    pub required: Box<[u16]>,
    /// Number of real oneofs (synthetic ones of proto3 `optional` not counted).
    pub oneofs: u16,
    pub is_map_entry: bool,
    /// The rules of `buf.validate` for it and what is below it; `None`: there are none.
    pub rules: Option<Box<MessageRules>>,
    /// Both spellings of the fields; empty for messages so small that looking at each is quicker.
    pub(super) field_names: NameIndex,
}

/// One field of a message, or an extension of it.
#[derive(Debug)]
pub struct Field {
    pub(super) names: FieldNames,
    pub number: u32,
    /// The tag that we write in front of a value: number and wire type (packed: 2).
    pub tag: u32,
    pub kind: Kind,
    pub label: Label,
    /// Whether we write a repeated scalar packed. Both forms are read.
    pub packed: bool,
    pub presence: Presence,
    /// The real oneof that it belongs to, numbered within its message.
    pub oneof: Option<u16>,
    /// Whether a string is checked to be UTF-8 when read from the wire (proto2 strings are not, nor those of editions with
    /// `utf8_validation = NONE`).
    pub check_utf8: bool,
}

/// The names of a field in one text: `,"jsonName":"`, then whatever of the JSON name and the proto name is not in there
/// already. Most fields need no more than the first part. Zeros fill it up to 32 bytes, so that a key can be copied in one
/// piece.
#[derive(Debug)]
pub(super) struct FieldNames {
    text: Box<str>,
    /// Up to and including the colon.
    key_len: u32,
    json: (u32, u32),
    name: (u32, u32),
}

/// What a field holds; of a map, look at the entry message's fields 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    /// Delimited encoding, start and end tags: proto2 groups, `message_encoding = DELIMITED` of editions.
    Group(MessageId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Singular,
    Repeated,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// proto3 scalars, and those of editions by `field_presence = IMPLICIT`: the zero value and absence are the same.
    Implicit,
    /// `optional`, messages, members of oneofs: a zero value that is set is written.
    Explicit,
    /// proto2 `required`, `field_presence = LEGACY_REQUIRED` of editions.
    Required,
}

/// The types that protobuf's JSON mapping treats apart. A message counts as one only if it also has the fields that
/// protobuf gives it: a catalog may hold anything under these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    None,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    Empty,
    /// DoubleValue and its eight brothers: field 1 is the value.
    Wrapper,
    /// `option message_set_wire_format = true`: an object in JSON, but its extensions are encoded each as a group of
    /// number and content.
    MessageSet,
}

/// One enum type.
#[derive(Debug)]
pub struct Enum {
    pub name: Box<str>,
    /// As declared; aliases included, the first of a number is the one printed.
    pub values: Box<[EnumValue]>,
    /// A closed enum (of a proto2 file, or by `enum_type = CLOSED` of editions) refuses numbers it does not know. It is the
    /// enum's own word that counts, whatever the file of the field that uses it says.
    pub closed: bool,
    /// `google.protobuf.NullValue`, written `null`.
    pub is_null_value: bool,
    /// How much of each value's name is the enum's own name, as `CURRENCY_` in an enum `Currency`; 0 if that is not so
    /// for all of them.
    pub(super) prefix: usize,
    /// Empty for enums so small that looking at each value is quicker.
    pub(super) value_names: NameIndex,
    /// Positions in `values`, by number, aliases left out; empty if `values` is already in that order.
    pub(super) by_number: Box<[u32]>,
}

#[derive(Debug)]
pub struct EnumValue {
    pub name: Box<str>,
    pub number: i32,
}

/// Up to this many entries, comparing names one by one beats hashing.
pub(super) const FEW: usize = 8;

// === impl Schema ===

impl Schema {
    /// The message with this id. Ids come from this schema's own tables; one of another schema may panic.
    #[inline]
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// The enum with this id; see [`Schema::message`].
    #[inline]
    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }

    /// Finds a message by its full name (no leading dot).
    pub fn find(&self, name: &str) -> Option<MessageId> {
        let at = self.message_names.find(name, |at| self.messages.get(at).is_some_and(|m| *m.name == *name))?;
        u32::try_from(at).ok().map(MessageId)
    }

    /// Whether messages of this type are held to rules of `buf.validate`, their own or those of what they hold. Panics as
    /// [`Schema::message`] does.
    #[inline]
    pub fn has_rules(&self, id: MessageId) -> bool {
        self.message(id).rules.is_some() || self.cel.as_ref().is_some_and(|cel| cel.covers(id))
    }

    /// Finds an enum by its full name (no leading dot).
    pub fn find_enum(&self, name: &str) -> Option<EnumId> {
        let at = self.enum_names.find(name, |at| self.enums.get(at).is_some_and(|e| *e.name == *name))?;
        u32::try_from(at).ok().map(EnumId)
    }
}

// === impl Message ===

impl Message {
    /// The field with this number, and its index in [`Message::fields`].
    #[inline]
    pub fn field_by_number(&self, number: u32) -> Option<(u16, &Field)> {
        // Most messages number their fields 1, 2, 3 ...
        let dense = (number as usize).wrapping_sub(1);
        if let Some(field) = self.fields.get(dense)
            && field.number == number
        {
            return Some((dense as u16, field));
        }
        let at = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some((at as u16, self.fields.get(at)?))
    }

    /// The field that is written with this tag and stands at the place of its number, as most fields do; of others nothing
    /// is said.
    #[inline]
    pub fn dense_field(&self, tag: u32) -> Option<(u16, &Field)> {
        let at = (tag >> 3).wrapping_sub(1);
        let field = self.fields.get(at as usize).filter(|field| field.tag == tag)?;
        Some((at as u16, field))
    }

    /// The field with this JSON name or proto name (`[pkg.name]` for extensions), and its index in [`Message::fields`].
    #[inline]
    pub fn field_by_name(&self, name: &str) -> Option<(u16, &Field)> {
        let at = if self.fields.len() <= FEW {
            self.fields.iter().position(|field| field.is_called(name))?
        } else {
            self.field_names.find(name, |at| self.fields.get(at).is_some_and(|field| field.is_called(name)))?
        };
        Some((at as u16, self.fields.get(at)?))
    }

    /// The field at this index of [`Message::fields`].
    #[inline]
    pub fn field(&self, index: u16) -> Option<&Field> {
        self.fields.get(usize::from(index))
    }

    /// Whether it is `google.api.HttpBody`, with the two fields that hold a body: 1 its content type, 2 its bytes. A catalog
    /// may hold anything under that name.
    pub fn is_http_body(&self) -> bool {
        let is = |number, kind| {
            let field = self.field_by_number(number).map(|(_, field)| (field.kind, field.label));
            field == Some((kind, Label::Singular))
        };
        &*self.name == "google.api.HttpBody" && is(1, Kind::String) && is(2, Kind::Bytes)
    }

    /// The key and value fields, if this is the entry of a map.
    #[inline]
    pub fn entry(&self) -> Option<(&Field, &Field)> {
        match &*self.fields {
            [key, value] if self.is_map_entry => Some((key, value)),
            _ => None,
        }
    }
}

// === impl Field ===

impl Field {
    /// Name in the `.proto` file. Extensions: `[pkg.name]`.
    #[inline]
    pub fn name(&self) -> &str {
        self.names.part(self.names.name)
    }

    /// lowerCamelCase name, or what `json_name` says. Extensions: `[pkg.name]`.
    #[inline]
    pub fn json_name(&self) -> &str {
        self.names.part(self.names.json)
    }

    /// `"jsonName":`, escaped and ready to be written.
    #[inline]
    pub fn json_key(&self) -> &[u8] {
        self.next_json_key().get(1..).unwrap_or_default()
    }

    /// The same with a comma in front: what follows the member before it.
    #[inline]
    pub fn next_json_key(&self) -> &[u8] {
        self.names.text.as_bytes().get(..self.names.key_len as usize).unwrap_or_default()
    }

    /// Appends [`Field::next_json_key`].
    #[inline]
    pub fn put_next_json_key(&self, out: &mut Vec<u8>) {
        append_start(out, self.names.text.as_bytes(), self.names.key_len as usize);
    }

    /// Appends [`Field::next_json_key`] and the quote that a string begins with.
    #[inline]
    pub fn put_next_json_key_and_quote(&self, out: &mut Vec<u8>) {
        append_start(out, self.names.text.as_bytes(), self.names.key_len as usize + 1);
    }

    #[inline]
    pub fn is_extension(&self) -> bool {
        self.name().starts_with('[')
    }

    #[inline]
    fn is_called(&self, name: &str) -> bool {
        self.json_name() == name || (self.names.json != self.names.name && self.name() == name)
    }
}

// === impl FieldNames ===

impl FieldNames {
    pub(super) fn new(json: &str, name: &str) -> FieldNames {
        let quoted = serde_json::Value::from(json).to_string();
        let mut text = format!(",{quoted}:\"");
        let key_len = text.len() - 1;
        let json_at = if quoted.len() == json.len() + 2 {
            (2, json.len())
        } else {
            text.push_str(json);
            (text.len() - json.len(), json.len())
        };
        let name_at = if name == json {
            json_at
        } else {
            text.push_str(name);
            (text.len() - name.len(), name.len())
        };
        text.extend(std::iter::repeat_n('\0', 32usize.saturating_sub(text.len())));
        // A name of 4 GiB cannot be: a descriptor set is limited to 2 GiB.
        let short = |(start, len): (usize, usize)| (start as u32, len as u32);
        FieldNames { key_len: key_len as u32, json: short(json_at), name: short(name_at), text: text.into() }
    }

    #[inline]
    fn part(&self, (start, len): (u32, u32)) -> &str {
        let start = start as usize;
        self.text.get(start..start + len as usize).unwrap_or_default()
    }
}

// === impl Known ===

impl Known {
    /// Whether JSON shows it as an object with a member for each of its fields.
    #[inline]
    pub const fn is_object(self) -> bool {
        matches!(self, Known::None | Known::MessageSet)
    }
}

// === impl Kind ===

impl Kind {
    /// The wire type of one value (protobuf encoding guide, "Message Structure").
    #[inline]
    pub const fn wire_type(self) -> u32 {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
            Kind::String | Kind::Bytes | Kind::Message(_) => 2,
            Kind::Group(_) => 3,
            _ => 0,
        }
    }

    /// Whether several values may stand in one length-delimited field.
    #[inline]
    pub const fn can_be_packed(self) -> bool {
        matches!(self.wire_type(), 0 | 1 | 5)
    }

    /// The message type that it holds, delimited or not.
    #[inline]
    pub const fn message(self) -> Option<MessageId> {
        match self {
            Kind::Message(id) | Kind::Group(id) => Some(id),
            _ => None,
        }
    }
}

// === impl Enum ===

impl Enum {
    /// The number of the value with this name.
    #[inline]
    pub fn number_of(&self, name: &str) -> Option<i32> {
        let is_it = |at: usize| self.values.get(at).is_some_and(|value| *value.name == *name);
        let at = if self.values.len() <= FEW {
            (0..self.values.len()).find(|at| is_it(*at))?
        } else {
            self.value_names.find(name, is_it)?
        };
        self.values.get(at).map(|value| value.number)
    }

    /// A value's name without the enum's own in front of it: as it is if the values have no such prefix.
    #[inline]
    pub fn short_name<'n>(&self, name: &'n str) -> &'n str {
        name.get(self.prefix..).unwrap_or(name)
    }

    /// The number of the value with this short name ([`Enum::short_name`]).
    pub fn number_of_short(&self, short: &str) -> Option<i32> {
        let prefix = self.values.first()?.name.get(..self.prefix)?;
        self.number_of(&[prefix, short].concat())
    }

    /// The name that is printed for this number: of aliases the first declared.
    #[inline]
    pub fn name_of(&self, number: i32) -> Option<&str> {
        // Most enums number their values 0, 1, 2 ...
        if let Ok(dense) = usize::try_from(number)
            && let Some(value) = self.values.get(dense)
            && value.number == number
            && self.by_number.is_empty()
        {
            return Some(&value.name);
        }
        let value = if self.by_number.is_empty() {
            let at = self.values.binary_search_by_key(&number, |value| value.number).ok()?;
            self.values.get(at)?
        } else {
            let number_at = |at: &u32| self.values.get(*at as usize).map_or(i32::MAX, |value| value.number);
            let at = self.by_number.binary_search_by_key(&number, number_at).ok()?;
            self.values.get(*self.by_number.get(at)? as usize)?
        };
        Some(&value.name)
    }
}
