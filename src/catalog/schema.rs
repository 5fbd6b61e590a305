//! The schema as dense, immutable tables: what the transcoder walks instead of descriptors.
//!
//! Built once from a descriptor pool at load time. Messages, enums and fields are numbered densely and link to each
//! other by number, so that a walk costs array look-ups and no reference counting.

use std::collections::HashMap;

/// Index of a message in [`Schema::messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(pub u32);

/// Index of an enum in [`Schema::enums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnumId(pub u32);

/// All messages and enums of a catalog.
#[derive(Debug, Default)]
pub struct Schema {
    pub messages: Box<[Message]>,
    pub enums: Box<[Enum]>,
    by_name: HashMap<Box<str>, MessageId>,
}

/// One message type.
#[derive(Debug)]
pub struct Message {
    /// Full name, without a leading dot.
    pub name: Box<str>,
    /// In the order of their numbers; extensions of this message are among them.
    pub fields: Box<[Field]>,
    /// How protobuf's JSON mapping treats the type.
    pub known: Known,
    /// Number of real oneofs (synthetic ones of proto3 `optional` not counted).
    pub oneofs: u16,
    pub is_map_entry: bool,
}

/// One field of a message, or an extension of it.
#[derive(Debug)]
pub struct Field {
    pub number: u32,
    /// Name in the `.proto` file. Extensions: `[pkg.name]`.
    pub name: Box<str>,
    /// lowerCamelCase name, or what `json_name` says. Extensions: `[pkg.name]`.
    pub json_name: Box<str>,
    pub kind: Kind,
    pub label: Label,
    /// Whether we write a repeated scalar packed. Both forms are read.
    pub packed: bool,
    pub presence: Presence,
    /// The real oneof that it belongs to, numbered within its message.
    pub oneof: Option<u16>,
    /// Whether a string is checked to be UTF-8 when read from the wire (proto2 strings are not).
    pub check_utf8: bool,
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
    /// Delimited encoding: start and end tags.
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
    /// proto3 scalars: the zero value and absence are the same.
    Implicit,
    /// `optional`, messages, members of oneofs: a zero value that is set is written.
    Explicit,
    /// proto2 `required`.
    Required,
}

/// The types that protobuf's JSON mapping treats apart.
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
}

/// One enum type.
#[derive(Debug)]
pub struct Enum {
    pub name: Box<str>,
    /// As declared; aliases included, the first of a number is the one printed.
    pub values: Box<[EnumValue]>,
    /// A closed enum (proto2) refuses numbers it does not know.
    pub closed: bool,
    /// `google.protobuf.NullValue`, written `null`.
    pub is_null_value: bool,
}

#[derive(Debug)]
pub struct EnumValue {
    pub name: Box<str>,
    pub number: i32,
}

// === impl Schema ===

impl Schema {
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }

    /// Finds a message by its full name (no leading dot).
    pub fn find(&self, name: &str) -> Option<MessageId> {
        self.by_name.get(name).copied()
    }
}
