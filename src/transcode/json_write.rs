//! Wire bytes to JSON text, by the message table.
//!
//! One pass in wire order, which is right as long as each field comes in one run, no oneof changes its member, no
//! map repeats a key and all of it can be shown. Otherwise what comes later might change what is written already: then all
//! that is written is dropped and the message is printed again *carefully*, each (nested) message regrouped by field first. One flag for
//! the whole message rather than a retry where it happens: with retries inside retries a message nested n deep would
//! cost 2^n.

use super::fault::{BadWire, Fault};
use super::key_set::{KeySet, Seen};
use super::regroup::{Group, Groups, Parts, Value, check_parts};
use super::{MAX_DEPTH, PrintOptions, indent::indent, number, text};
use crate::catalog::{EnumForm, EnumId, Field, Kind, Known, Label, Message, MessageId, Presence, Schema};
use crate::wire::{Cursor, Malformed, Piece, plain_ascii, special, unzigzag};

/// Prints an encoded message as canonical JSON ("ProtoJSON"), appended to `out`. On an error `out` is as it was.
///
/// Fields come in wire order. Unknown fields, and known ones of another wire type, are left out, as protobuf's readers
/// treat them. Strings that are not UTF-8, Timestamps and Durations out of range and the like have no JSON form and fail.
///
/// How much text n bytes make depends on the schema: a packed bool is six characters, a number of an enum its name and three, an
/// empty message with `print_unset` all of its fields. Beside three times that text (`out` as it grows) printing never
/// holds more than 20 n bytes and 16 KiB, and next to nothing if the fields come in order (`tests/allocation.rs`).
pub fn wire_to_json(
    schema: &Schema,
    message: MessageId,
    wire: &[u8],
    options: &PrintOptions,
    out: &mut Vec<u8>,
) -> Result<(), BadWire> {
    out.reserve(wire.len() * 5 / 2 + 64);
    print(schema, options, out, |printer, out| {
        if printer.careful {
            check_parts(schema, schema.message(message), wire, 0).map_err(Stop::Bad)?;
        }
        printer.message(message, wire, out, 0)
    })
}

/// Prints one field of an encoded message, for `response_body`: an array, object or value; of an absent field its zero
/// value, or `null` if it has presence.
pub fn wire_to_json_field(
    schema: &Schema,
    message: MessageId,
    field: u16,
    wire: &[u8],
    options: &PrintOptions,
    out: &mut Vec<u8>,
) -> Result<(), BadWire> {
    let table = schema.message(message);
    let Some(found) = table.field(field) else {
        return Err(Fault::new("the catalog's rule names a field that there is not").in_wire());
    };
    out.reserve(wire.len() * 5 / 2 + 64);
    print(schema, options, out, |printer, out| {
        let groups = Groups::of(schema, table, Parts::Whole(wire))?;
        let group = groups.find(field);
        if printer.careful || group.is_some_and(|group| group.values.len() > 1) {
            check_parts(schema, table, wire, 0).map_err(Stop::Bad)?;
        }
        match group {
            Some(group) => printer.group(found, group, out, 0).map_err(|stop| stop.within(found)),
            None => {
                printer.absent(found, out);
                Ok(())
            }
        }
    })
}

fn print(
    schema: &Schema,
    options: &PrintOptions,
    out: &mut Vec<u8>,
    run: impl Fn(&Printer<'_>, &mut Vec<u8>) -> Result<(), Stop>,
) -> Result<(), BadWire> {
    let start = out.len();
    if let Err(first) = run(&Printer { schema, options, careful: false }, out) {
        // What JSON cannot show may be replaced by what comes later, so that a mistake stands only if this finds one too.
        out.truncate(start);
        run(&Printer { schema, options, careful: true }, out).map_err(|second| {
            out.truncate(start);
            match (first, second) {
                (Stop::Bad(fault), _) | (Stop::OutOfOrder, Stop::Bad(fault)) => fault.in_wire(),
                // Careful printing never stops for order; if it did, an error is the only honest answer.
                _ => Fault::new("the fields cannot be brought into order").in_wire(),
            }
        })?;
    }
    if options.indent > 0 {
        indent(out, start, options.indent);
    }
    Ok(())
}

/// Prints one message.
pub(super) struct Printer<'a> {
    pub(super) schema: &'a Schema,
    pub(super) options: &'a PrintOptions,
    /// Regroup each message by field before printing it.
    pub(super) careful: bool,
}

/// Why printing stopped.
pub(super) enum Stop {
    /// What comes now changes what is printed already.
    OutOfOrder,
    Bad(Box<Fault>),
}

/// The key of a map's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'w> {
    Text(&'w str),
    Number(u64),
}

/// A map's entry: its key, and its value if it has one.
pub(super) struct Entry<'w> {
    pub(super) key: Key<'w>,
    pub(super) value: Option<Piece<'w>>,
}

/// What is known of an object that is being printed in wire order.
struct Object<'w> {
    fields: Seen,
    oneofs: Seen,
    /// The field of the run that is being printed: its index, and what ends it (0: nothing).
    current: Option<u16>,
    closing: u8,
    is_empty: bool,
    keys: Option<KeySet<Key<'w>>>,
}

// === impl Stop ===

impl Stop {
    pub(super) fn within(self, field: &Field) -> Stop {
        self.map(|fault| fault.within(field.name()))
    }

    pub(super) fn map(self, change: impl FnOnce(Box<Fault>) -> Box<Fault>) -> Stop {
        match self {
            Stop::Bad(fault) => Stop::Bad(change(fault)),
            Stop::OutOfOrder => Stop::OutOfOrder,
        }
    }

    #[cold]
    pub(super) fn bad(what: impl Into<String>) -> Stop {
        Stop::Bad(Fault::new(what))
    }
}

impl From<Malformed> for Stop {
    #[cold]
    fn from(error: Malformed) -> Stop {
        Stop::Bad(error.into())
    }
}

// === impl Printer ===

impl<'a> Printer<'a> {
    /// Prints a message's JSON form.
    pub(super) fn message(&self, id: MessageId, bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::bad("nested deeper than 100 levels"));
        }
        let message = self.schema.message(id);
        if message.known != Known::None {
            return self.known(message, Parts::Whole(bytes), out, depth);
        }
        out.push(b'{');
        self.members(message, bytes, out, depth, true)?;
        out.push(b'}');
        Ok(())
    }

    /// Prints the JSON form of a message that came in several parts.
    fn merged_message(
        &self,
        message: &'a Message,
        parts: Parts<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::bad("nested deeper than 100 levels"));
        }
        if message.known != Known::None {
            return self.known(message, parts, out, depth);
        }
        out.push(b'{');
        self.by_group(message, parts, out, depth, true)?;
        out.push(b'}');
        Ok(())
    }

    /// Prints the members of an object, without its braces; `first`: no member stands before them.
    pub(super) fn members(
        &self,
        message: &'a Message,
        bytes: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
        first: bool,
    ) -> Result<(), Stop> {
        if self.careful {
            self.by_group(message, Parts::Whole(bytes), out, depth, first)
        } else {
            self.in_order(message, bytes, out, depth, first)
        }
    }

    fn in_order(
        &self,
        message: &'a Message,
        bytes: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
        first: bool,
    ) -> Result<(), Stop> {
        let mut cursor = Cursor::new(bytes);
        let mut object = Object::new(first);
        let mut next = 0u16;
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            let (index, field) = match message.field(next) {
                Some(field) if field.tag == tag => (next, field),
                _ => match message.field_by_number(tag >> 3) {
                    Some(found) => found,
                    None => {
                        cursor.piece(tag)?;
                        continue;
                    }
                },
            };
            if field.label == Label::Singular {
                next = index + 1;
                if tag & 7 == field.kind.wire_type() {
                    self.singular(index, field, &mut cursor, &mut object, out, depth)
                        .map_err(|stop| stop.within(field))?;
                } else {
                    cursor.piece(tag)?;
                }
                continue;
            }
            let piece = cursor.piece(tag)?;
            if takes(field, tag & 7) && !is_empty_run(field, tag & 7, &piece) {
                // A run goes on with the same tag, or is over.
                next = if cursor.goes_on(tag) { index } else { index + 1 };
                self.run(index, field, tag & 7, &piece, &mut object, out, depth).map_err(|stop| stop.within(field))?;
            }
        }
        object.end_run(out);
        if self.options.print_unset {
            self.unset(message, out, &mut object.is_empty, |index| object.fields.contains(index));
        }
        Ok(())
    }

    /// A field of which there is one value, of the wire type that it should have. Reads what it needs by its kind.
    #[inline(always)]
    fn singular(
        &self,
        index: u16,
        field: &'a Field,
        cursor: &mut Cursor<'_>,
        object: &mut Object<'_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let elides = field.presence == Presence::Implicit && !self.options.print_unset;
        match field.kind {
            Kind::String => {
                let bytes = cursor.bytes()?;
                object.begin(index, field.oneof, out)?;
                if elides && bytes.is_empty() {
                    return Ok(());
                }
                self.next_key(field, object, out);
                print_utf8(bytes, out)
            }
            Kind::Bytes | Kind::Group(_) | Kind::Message(_) => {
                let piece = cursor.piece(field.tag)?;
                object.begin(index, field.oneof, out)?;
                if elides && piece.bytes.is_empty() && field.kind == Kind::Bytes {
                    return Ok(());
                }
                self.next_key(field, object, out);
                self.value(field.kind, &piece, out, depth)
            }
            kind => {
                let bits = cursor.packed(kind.wire_type())?;
                if !shows(self.schema, kind, bits) {
                    return Ok(());
                }
                object.begin(index, field.oneof, out)?;
                if !(elides && narrow(kind, bits) == 0) {
                    self.next_key(field, object, out);
                    self.scalar(kind, bits, out);
                }
                Ok(())
            }
        }
    }

    /// The member's key, with a comma if a member stands before it.
    #[inline]
    fn next_key(&self, field: &Field, object: &mut Object<'_>, out: &mut Vec<u8>) {
        if object.is_empty || self.options.proto_names {
            object.comma(out);
            return self.key(field, out);
        }
        out.extend_from_slice(field.next_json_key());
    }

    /// A repeated field or a map: one value or entry, or a packed run of values.
    #[allow(clippy::too_many_arguments)]
    fn run<'w>(
        &self,
        index: u16,
        field: &'a Field,
        wire_type: u32,
        piece: &Piece<'w>,
        object: &mut Object<'w>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let (opening, closing) = if field.label == Label::Map { (b'{', b'}') } else { (b'[', b']') };
        if object.current != Some(index) {
            object.begin(index, None, out)?;
            self.next_key(field, object, out);
            out.push(opening);
            object.closing = closing;
            object.current = Some(index);
            object.keys = (field.label == Label::Map).then(KeySet::new);
        }
        match &mut object.keys {
            Some(keys) => self.entry(field, piece.bytes, |key| keys.insert(key), out, depth),
            None => self.elements(field, wire_type, piece, out, depth),
        }
    }

    /// One element, or the elements of a packed run, each with the comma that it needs.
    fn elements(
        &self,
        field: &Field,
        wire_type: u32,
        piece: &Piece<'_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if wire_type == field.kind.wire_type() {
            return self.element(field.kind, piece, out, depth);
        }
        let mut packed = Cursor::new(piece.bytes);
        while !packed.is_empty() {
            let bits = packed.packed(field.kind.wire_type())?;
            self.element(field.kind, &Piece { bits, bytes: &[] }, out, depth)?;
        }
        Ok(())
    }

    #[inline]
    fn element(&self, kind: Kind, piece: &Piece<'_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        if shows(self.schema, kind, piece.bits) {
            // No value ends with an opening bracket, so one at the end is this array's own.
            if out.last() != Some(&b'[') {
                out.push(b',');
            }
            self.value(kind, piece, out, depth)?;
        } else if !self.careful {
            // If there is no other element, there is no list.
            return Err(Stop::OutOfOrder);
        }
        Ok(())
    }

    /// One entry of a map; `is_new` notes its key. A repeated key stops: the entry before it is void.
    pub(super) fn entry<'w>(
        &self,
        field: &Field,
        bytes: &'w [u8],
        is_new: impl FnOnce(Key<'w>) -> bool,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let (key_field, value_field) = self.entry_fields(field)?;
        let entry = self.read_entry(key_field, value_field, bytes)?;
        if !is_new(entry.key) {
            return Err(Stop::OutOfOrder);
        }
        let value = entry.value.unwrap_or_default();
        if !shows(self.schema, value_field.kind, value.bits) {
            return Err(Stop::OutOfOrder);
        }
        self.entry_key(key_field.kind, &entry.key, out);
        self.value(value_field.kind, &value, out, depth + 1)
            .map_err(|stop| stop.map(|fault| fault.key(entry.key.shown())))
    }

    pub(super) fn entry_fields(&self, field: &Field) -> Result<(&'a Field, &'a Field), Stop> {
        let entry = field.kind.message().and_then(|id| self.schema.message(id).entry());
        entry.ok_or_else(|| Stop::bad("the catalog's map has no key and value"))
    }

    /// Reads an entry: of a key or value that comes twice the last counts, which stops a printer that is not careful.
    pub(super) fn read_entry<'w>(
        &self,
        key_field: &Field,
        value_field: &Field,
        bytes: &'w [u8],
    ) -> Result<Entry<'w>, Stop> {
        let (mut key, mut value) = (None, None);
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            let piece = cursor.piece(tag)?;
            if tag == key_field.tag {
                if key.replace(piece).is_some() && !self.careful {
                    return Err(Stop::OutOfOrder);
                }
            } else if tag == value_field.tag {
                if value.is_some() && !self.careful {
                    return Err(Stop::OutOfOrder);
                }
                if shows(self.schema, value_field.kind, piece.bits) || value.is_none() {
                    value = Some(piece);
                }
            }
        }
        let key = key.unwrap_or_default();
        let key = match key_field.kind {
            Kind::String => Key::Text(utf8(key.bytes)?),
            // equal numbers are equal keys, whatever bits a sloppy writer has set above them
            Kind::Int32 | Kind::Uint32 | Kind::Sint32 => Key::Number(u64::from(key.bits as u32)),
            Kind::Bool => Key::Number(u64::from(key.bits != 0)),
            _ => Key::Number(key.bits),
        };
        Ok(Entry { key, value })
    }

    /// Prints a map's key, quoted, with the comma before it and the colon behind it.
    pub(super) fn entry_key(&self, kind: Kind, key: &Key<'_>, out: &mut Vec<u8>) {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        match key {
            Key::Text(text) => print_text(text, out),
            Key::Number(bits) => match kind {
                Kind::Int64 | Kind::Sfixed64 => put_quoted(*bits as i64, out),
                Kind::Sint64 => put_quoted(unzigzag(*bits), out),
                Kind::Uint64 | Kind::Fixed64 => put_quoted(*bits, out),
                _ => {
                    out.push(b'"');
                    self.scalar(kind, *bits, out);
                    out.push(b'"');
                }
            },
        }
        out.push(b':');
    }

    /// Prints each field's values together, after protobuf's rules for merging.
    pub(super) fn by_group(
        &self,
        message: &'a Message,
        parts: Parts<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
        first: bool,
    ) -> Result<(), Stop> {
        let groups = Groups::of(self.schema, message, parts)?;
        let mut is_empty = first;
        for group in groups.iter() {
            let Some(field) = message.field(group.index) else { continue };
            let last = group.values.last().map_or(Piece::default(), |value| value.piece);
            if field.label == Label::Singular && self.is_elided(field, &last) {
                continue;
            }
            let (start, was_empty) = (out.len(), is_empty);
            comma(&mut is_empty, out);
            self.key(field, out);
            let value = out.len();
            self.group(field, group, out, depth).map_err(|stop| stop.within(field))?;
            if field.label != Label::Singular && out.len() == value + 2 && !self.options.print_unset {
                // all of it were numbers that a closed enum does not know
                out.truncate(start);
                is_empty = was_empty;
            }
        }
        if self.options.print_unset {
            self.unset(message, out, &mut is_empty, |index| groups.find(index).is_some());
        }
        Ok(())
    }

    /// Prints all values of one field: the array, the object, or the one value that they make.
    fn group(&self, field: &'a Field, group: Group<'_, '_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        match field.label {
            Label::Map => self.merged_map(field, group.values, out, depth),
            Label::Repeated => {
                out.push(b'[');
                for value in group.values {
                    self.elements(field, value.wire_type.into(), &value.piece, out, depth)?;
                }
                out.push(b']');
                Ok(())
            }
            Label::Singular => self.merged(field.kind, group.values, out, depth),
        }
    }

    /// Prints the one value that several make: the last one, or all of them merged if they are messages.
    pub(super) fn merged(&self, kind: Kind, values: &[Value<'_>], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        match (values, kind) {
            ([_, _, ..], _) if !self.careful => Err(Stop::OutOfOrder),
            ([_, _, ..], Kind::Message(id) | Kind::Group(id)) => {
                self.merged_message(self.schema.message(id), Parts::Several(values), out, depth + 1)
            }
            ([.., last], _) => self.value(kind, &last.piece, out, depth),
            ([], _) => self.value(kind, &Piece::default(), out, depth),
        }
    }

    /// Prints a map of which the last entry of each key counts.
    pub(super) fn merged_map(
        &self,
        field: &Field,
        values: &[Value<'_>],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let (key_field, value_field) = self.entry_fields(field)?;
        let entry_message = field.kind.message().map(|id| self.schema.message(id));
        let mut keys = KeySet::new();
        let counts = values.iter().rev().map(|value| {
            let entry = self.read_entry(key_field, value_field, value.piece.bytes)?;
            Ok(shows(self.schema, value_field.kind, entry.value.unwrap_or_default().bits) && keys.insert(entry.key))
        });
        let counts = counts.collect::<Result<Vec<bool>, Stop>>()?;
        out.push(b'{');
        for (value, _) in values.iter().zip(counts.iter().rev()).filter(|(_, counts)| **counts) {
            let entry = self.read_entry(key_field, value_field, value.piece.bytes)?;
            let entry_parts = Parts::Whole(value.piece.bytes);
            let groups = entry_message.map(|message| Groups::of(self.schema, message, entry_parts)).transpose()?;
            self.entry_key(key_field.kind, &entry.key, out);
            let parts = groups.as_ref().and_then(|groups| groups.find(1)).map_or(&[][..], |group| group.values);
            self.merged(value_field.kind, parts, out, depth + 1)
                .map_err(|stop| stop.map(|fault| fault.key(entry.key.shown())))?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Prints one value.
    #[inline]
    pub(super) fn value(&self, kind: Kind, piece: &Piece<'_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        match kind {
            Kind::String => print_utf8(piece.bytes, out)?,
            Kind::Message(id) | Kind::Group(id) => return self.message(id, piece.bytes, out, depth + 1),
            Kind::Bytes => {
                out.push(b'"');
                text::encode_bytes(self.options.bytes, piece.bytes, out);
                out.push(b'"');
            }
            _ => self.scalar(kind, piece.bits, out),
        }
        Ok(())
    }

    /// Prints a value that is neither length-delimited nor a group.
    #[inline]
    fn scalar(&self, kind: Kind, bits: u64, out: &mut Vec<u8>) {
        match kind {
            Kind::Double => number::print_double(f64::from_bits(bits), out),
            Kind::Float => number::print_float(f32::from_bits(bits as u32), out),
            // a varint longer than its kind is cut to it, as protobuf's readers do
            Kind::Int32 | Kind::Sfixed32 => put_integer(bits as i32, out),
            Kind::Uint32 | Kind::Fixed32 => put_integer(bits as u32, out),
            Kind::Sint32 => put_integer(unzigzag(u64::from(bits as u32)) as i32, out),
            Kind::Int64 | Kind::Sfixed64 => self.long(bits as i64, out),
            Kind::Sint64 => self.long(unzigzag(bits), out),
            Kind::Bool => out.extend_from_slice(if bits == 0 { b"false" } else { b"true" }),
            Kind::Enum(id) => self.enumeration(id, bits as i32, out),
            _ => self.long(bits, out),
        }
    }

    /// Prints a 64-bit integer.
    #[inline]
    fn long(&self, value: impl itoa::Integer + Copy + TryInto<i64>, out: &mut Vec<u8>) {
        const SAFE: i64 = (1 << 53) - 1;
        let is_number =
            self.options.int64_numbers && value.try_into().is_ok_and(|value: i64| (-SAFE..=SAFE).contains(&value));
        if is_number { put_integer(value, out) } else { put_quoted(value, out) }
    }

    fn enumeration(&self, id: EnumId, number: i32, out: &mut Vec<u8>) {
        let enumeration = self.schema.enumeration(id);
        match enumeration.name_of(number) {
            _ if enumeration.is_null_value => out.extend_from_slice(b"null"),
            None => put_integer(number, out),
            Some(name) => match self.options.enums {
                EnumForm::Name => print_text(name, out),
                EnumForm::ShortName => print_text(enumeration.short_name(name), out),
                EnumForm::Number => put_integer(number, out),
            },
        }
    }

    /// Whether a value says no more than its absence would, which is then what is printed.
    #[inline]
    fn is_elided(&self, field: &Field, piece: &Piece<'_>) -> bool {
        field.presence == Presence::Implicit
            && !self.options.print_unset
            && field.kind.message().is_none()
            && narrow(field.kind, piece.bits) == 0
            && piece.bytes.is_empty()
    }

    #[inline]
    pub(super) fn key(&self, field: &Field, out: &mut Vec<u8>) {
        if self.options.proto_names {
            print_text(field.name(), out);
            out.push(b':');
        } else {
            out.extend_from_slice(field.json_key());
        }
    }

    /// Prints the fields without presence that `has` does not know, with their zero values.
    fn unset(&self, message: &'a Message, out: &mut Vec<u8>, is_empty: &mut bool, has: impl Fn(u16) -> bool) {
        for (index, field) in (0u16..).zip(&message.fields) {
            let no_presence = field.label != Label::Singular || field.presence == Presence::Implicit;
            if no_presence && !field.is_extension() && !has(index) {
                comma(is_empty, out);
                self.key(field, out);
                self.absent(field, out);
            }
        }
    }

    /// Prints what stands for a field that is not there.
    fn absent(&self, field: &Field, out: &mut Vec<u8>) {
        match (field.label, field.kind) {
            (Label::Repeated, _) => out.extend_from_slice(b"[]"),
            (Label::Map, _) => out.extend_from_slice(b"{}"),
            _ if field.presence != Presence::Implicit => out.extend_from_slice(b"null"),
            (_, Kind::String | Kind::Bytes) => out.extend_from_slice(b"\"\""),
            (_, kind) => self.scalar(kind, 0, out),
        }
    }
}

// === impl Object ===

impl<'w> Object<'w> {
    #[inline]
    fn new(is_empty: bool) -> Object<'w> {
        Object { fields: Seen::default(), oneofs: Seen::default(), current: None, closing: 0, is_empty, keys: None }
    }

    /// Begins the run of another field; stops if there was one of it, or of another member of its oneof, already.
    #[inline(always)]
    fn begin(&mut self, index: u16, oneof: Option<u16>, out: &mut Vec<u8>) -> Result<(), Stop> {
        self.end_run(out);
        let is_new = self.fields.insert(index);
        let is_free = oneof.is_none_or(|oneof| self.oneofs.insert(oneof));
        if is_new && is_free { Ok(()) } else { Err(Stop::OutOfOrder) }
    }

    #[inline]
    fn end_run(&mut self, out: &mut Vec<u8>) {
        if self.closing != 0 {
            out.push(self.closing);
            self.closing = 0;
            self.current = None;
            self.keys = None;
        }
    }

    #[inline]
    fn comma(&mut self, out: &mut Vec<u8>) {
        comma(&mut self.is_empty, out);
    }
}

// === impl Key ===

impl Key<'_> {
    pub(super) fn shown(&self) -> String {
        match self {
            Key::Text(text) => (*text).to_owned(),
            Key::Number(number) => number.to_string(),
        }
    }
}

#[inline]
fn comma(is_empty: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(is_empty, false) {
        out.push(b',');
    }
}

/// A varint as its kind keeps it: of a 32-bit kind the low bits count, as to protobuf's readers.
#[inline]
fn narrow(kind: Kind, bits: u64) -> u64 {
    match kind {
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum(_) => bits & u64::from(u32::MAX),
        _ => bits,
    }
}

/// Whether a value is one at all: numbers that a closed enum does not know count as unknown fields.
#[inline]
pub(super) fn shows(schema: &Schema, kind: Kind, bits: u64) -> bool {
    match kind {
        Kind::Enum(id) => {
            let enumeration = schema.enumeration(id);
            !enumeration.closed || enumeration.name_of(bits as i32).is_some()
        }
        _ => true,
    }
}

/// Whether a field that is a list or a map reads a value of this wire type; packed runs are read whether declared or not.
pub(super) fn takes(field: &Field, wire_type: u32) -> bool {
    wire_type == field.kind.wire_type()
        || (field.label == Label::Repeated && wire_type == 2 && field.kind.can_be_packed())
}

/// Whether this is a packed run of no values at all, which is the same as nothing.
pub(super) fn is_empty_run(field: &Field, wire_type: u32, piece: &Piece<'_>) -> bool {
    wire_type == 2 && piece.bytes.is_empty() && field.kind.can_be_packed()
}

#[inline]
fn put_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
fn put_quoted(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(b'"');
    put_integer(value, out);
    out.push(b'"');
}

#[inline]
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(bytes).map_err(|_| Stop::bad("a string is not UTF-8"))
}

/// Prints the bytes of a string, which must be UTF-8. Most are ASCII without anything to escape, which one scan tells.
#[inline]
fn print_utf8(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
    if plain_ascii(bytes) == bytes.len() {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        print_text(utf8(bytes)?, out);
    }
    Ok(())
}

/// Prints a string with its quotes; only what JSON demands is escaped.
#[inline]
pub(super) fn print_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut at = special(bytes, 0);
    if at == bytes.len() {
        out.extend_from_slice(bytes);
    } else {
        let mut from = 0;
        while let Some(&byte) = bytes.get(at) {
            out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
            print_escape(byte, out);
            from = at + 1;
            at = special(bytes, from);
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    }
    out.push(b'"');
}

fn print_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests;
