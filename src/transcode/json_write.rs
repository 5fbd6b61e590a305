//! Wire bytes to JSON text, by the message table.
//!
//! One pass in wire order, which is right as long as each field comes in one run, no oneof changes its member, no
//! map repeats a key and all of it can be shown. Otherwise what comes later might change what is written already: then all
//! that is written is dropped and the message is printed again *carefully*, each (nested) message regrouped by field first. One flag for
//! the whole message rather than a retry where it happens: with retries inside retries a message nested n deep would
//! cost 2^n.

use std::cell::RefCell;

use super::fault::{BadWire, Fault};
use super::key_set::Seen;
use super::map_keys::{MapKeys, Mark};
use super::quoted::{print_content, print_text, print_utf8, printed_string, put_integer, put_quoted};
use super::regroup::{Groups, Parts, check_parts};
use super::{MAX_DEPTH, PrintOptions, indent::indent, number, text};
use crate::catalog::{EnumForm, EnumId, Field, Kind, Known, Label, Message, MessageId, Presence, Schema};
use crate::wire::{Cursor, Malformed, Piece, unzigzag};

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

pub(super) fn print(
    schema: &Schema,
    options: &PrintOptions,
    out: &mut Vec<u8>,
    run: impl Fn(&Printer<'_>, &mut Vec<u8>) -> Result<(), Stop>,
) -> Result<(), BadWire> {
    let start = out.len();
    let mut printer = Printer { schema, options, careful: false, keys: RefCell::default() };
    if let Err(first) = run(&printer, out) {
        // What JSON cannot show may be replaced by what comes later, so that a mistake stands only if this finds one too.
        out.truncate(start);
        printer.careful = true;
        run(&printer, out).map_err(|second| {
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
    /// What [`MapKeys`]s share, none of which is asked within another's call.
    keys: RefCell<Vec<Mark>>,
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
    /// Not known to be UTF-8.
    Text(&'w [u8]),
    Number(u64),
}

/// A map's entry: its key, and its value if it has one.
pub(super) struct Entry<'w> {
    pub(super) key: Key<'w>,
    pub(super) value: Option<Piece<'w>>,
}

/// What is known of an object that is being printed in wire order.
#[derive(Default)]
struct Object {
    fields: Seen,
    oneofs: Seen,
    run: Option<Run>,
    /// Of the run, if it is a map.
    keys: Option<MapKeys>,
}

/// The values of one repeated field, or the entries of one map, that are being printed.
#[derive(Clone, Copy)]
struct Run {
    index: u16,
    /// Where the opening bracket belongs.
    start: usize,
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
        let start = out.len();
        self.members(message, bytes, out, depth)?;
        enclose(out, start, *b"{}");
        Ok(())
    }

    /// Prints the members of an object, each with a comma in front, without braces.
    pub(super) fn members(
        &self,
        message: &'a Message,
        bytes: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if self.careful {
            self.by_group(message, Parts::Whole(bytes), out, depth)
        } else {
            self.in_order(message, bytes, out, depth)
        }
    }

    fn in_order(&self, message: &'a Message, bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        let mut cursor = Cursor::new(bytes);
        let mut object = Object::default();
        let mut next = 0u16;
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            let (index, field) = match message.field(next) {
                Some(field) if field.tag == tag => (next, field),
                _ => match message.field_by_number(tag >> 3) {
                    Some(found) => found,
                    None => {
                        cursor = cursor.behind(tag)?;
                        continue;
                    }
                },
            };
            if field.label != Label::Singular {
                next = self.repeated((index, field), tag, &mut cursor, &mut object, out, depth)?;
                continue;
            }
            next = index + 1;
            // of singular fields it is the tag of their own wire type
            if tag == field.tag {
                self.singular((index, field), &mut cursor, &mut object, out, depth)
                    .map_err(|stop| stop.within(field))?;
            } else {
                cursor = cursor.behind(tag)?;
            }
        }
        self.end_run(&mut object, out)?;
        if self.options.print_unset {
            self.unset(message, out, |index| object.fields.contains(index));
        }
        Ok(())
    }

    /// A field of which there is one value, of the wire type that it should have. Reads what it needs by its kind.
    #[inline(always)]
    fn singular(
        &self,
        (index, field): (u16, &'a Field),
        cursor: &mut Cursor<'_>,
        object: &mut Object,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        match field.kind {
            Kind::String => {
                let bytes = cursor.bytes()?;
                self.begin(object, index, field, out)?;
                if bytes.is_empty() && self.elides(field) {
                    return Ok(());
                }
                self.key_and_quote(field, out);
                print_content(bytes, out)?;
                out.push(b'"');
                Ok(())
            }
            Kind::Message(id) => {
                let bytes = cursor.bytes()?;
                self.begin(object, index, field, out)?;
                self.key(field, out);
                self.message(id, bytes, out, depth + 1)
            }
            Kind::Bytes | Kind::Group(_) => {
                let piece = cursor.piece(field.tag)?;
                self.begin(object, index, field, out)?;
                if piece.bytes.is_empty() && field.kind == Kind::Bytes && self.elides(field) {
                    return Ok(());
                }
                self.key(field, out);
                self.value(field.kind, &piece, out, depth)
            }
            kind => {
                let bits = cursor.packed(field.tag & 7)?;
                if let Kind::Enum(_) = kind
                    && !shows(self.schema, kind, bits)
                {
                    return Ok(());
                }
                self.begin(object, index, field, out)?;
                if narrow(kind, bits) != 0 || !self.elides(field) {
                    self.key(field, out);
                    self.scalar(kind, bits, out);
                }
                Ok(())
            }
        }
    }

    /// Begins another field; stops if there was one of it, or of another member of its oneof, already.
    #[inline(always)]
    fn begin(&self, object: &mut Object, index: u16, field: &Field, out: &mut Vec<u8>) -> Result<(), Stop> {
        if object.run.is_some() {
            self.end_run(object, out)?;
        }
        let is_new = object.fields.insert(index);
        let is_free = field.oneof.is_none_or(|oneof| object.oneofs.insert(oneof));
        if is_new && is_free { Ok(()) } else { Err(Stop::OutOfOrder) }
    }

    fn end_run(&self, object: &mut Object, out: &mut Vec<u8>) -> Result<(), Stop> {
        if let Some(run) = object.run.take() {
            match &object.keys {
                None => enclose(out, run.start, *b"[]"),
                Some(keys) => {
                    enclose(out, run.start, *b"{}");
                    self.no_key_repeated(keys, out)?;
                    object.keys = None;
                }
            }
        }
        Ok(())
    }

    /// At the end of a map: stops if a key came twice.
    pub(super) fn no_key_repeated(&self, keys: &MapKeys, out: &[u8]) -> Result<(), Stop> {
        match keys.repeated(&mut self.keys.borrow_mut(), |at| printed_string(out, at)) {
            None => Ok(()),
            Some(_) => Err(Stop::OutOfOrder),
        }
    }

    /// A repeated field or a map: one value or entry, or a packed run of values. The index of the field to expect next.
    #[inline(always)]
    fn repeated(
        &self,
        (index, field): (u16, &'a Field),
        tag: u32,
        cursor: &mut Cursor<'_>,
        object: &mut Object,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<u16, Stop> {
        let piece = cursor.piece(tag)?;
        if takes(field, tag & 7) && !is_empty_run(field, tag & 7, &piece) {
            self.run((index, field), tag & 7, &piece, cursor.remaining(), object, out, depth)
                .map_err(|stop| stop.within(field))?;
        }
        // A run goes on with the same tag, or is over.
        Ok(if cursor.goes_on(tag) { index } else { index + 1 })
    }

    /// The same for what has been read; `left` bytes of the message are behind it.
    #[allow(clippy::too_many_arguments)]
    fn run(
        &self,
        (index, field): (u16, &'a Field),
        wire_type: u32,
        piece: &Piece<'_>,
        left: usize,
        object: &mut Object,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if object.run.is_none_or(|run| run.index != index) {
            self.begin(object, index, field, out)?;
            self.key(field, out);
            if field.label == Label::Map {
                object.keys = Some(MapKeys::new());
            }
            object.run = Some(Run { index, start: out.len() });
        }
        match &mut object.keys {
            Some(keys) => self.entry(field, piece.bytes, keys, left, out, depth),
            None => self.elements(field, wire_type, piece, out, depth),
        }
    }

    /// One element, or the elements of a packed run, each with a comma in front.
    #[inline]
    pub(super) fn elements(
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
        self.packed(field.kind, Cursor::new(piece.bytes), out, depth)
    }

    /// The elements of a packed run. The kinds of most lists have a loop of their own each.
    fn packed(&self, kind: Kind, mut run: Cursor<'_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        match kind {
            Kind::Double => {
                each(&mut run, out, Cursor::fixed64, |bits, out| number::print_double(f64::from_bits(bits), out))?
            }
            Kind::Float => {
                each(&mut run, out, Cursor::fixed32, |bits, out| number::print_float(f32::from_bits(bits), out))?
            }
            Kind::Int32 => each(&mut run, out, Cursor::varint, |bits, out| put_integer(bits as i32, out))?,
            Kind::Int64 => each(&mut run, out, Cursor::varint, |bits, out| self.long(bits as i64, out))?,
            _ => {
                while !run.is_empty() {
                    let bits = run.packed(kind.wire_type())?;
                    self.element(kind, &Piece { bits, bytes: &[] }, out, depth)?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn element(&self, kind: Kind, piece: &Piece<'_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        if shows(self.schema, kind, piece.bits) {
            out.push(b',');
            self.value(kind, piece, out, depth)?;
        } else if !self.careful {
            // If there is no other element, there is no list.
            return Err(Stop::OutOfOrder);
        }
        Ok(())
    }

    /// One entry of a map, with `left` bytes behind it. A repeated key stops, now or at the map's end: the entry before it
    /// is void.
    pub(super) fn entry(
        &self,
        field: &Field,
        bytes: &[u8],
        keys: &mut MapKeys,
        left: usize,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let (key_field, value_field) = self.entry_fields(field)?;
        let entry = self.read_entry(key_field, value_field, bytes)?;
        let value = entry.value.unwrap_or_default();
        if !shows(self.schema, value_field.kind, value.bits) {
            return Err(Stop::OutOfOrder);
        }
        let at = self.entry_key(key_field.kind, &entry.key, out)?;
        let mark = match entry.key {
            Key::Text(text) => Mark::text(text, at),
            Key::Number(number) => Mark::number(number, at),
        };
        if !keys.insert(mark, left, &mut self.keys.borrow_mut(), |at| printed_string(out, at)) {
            return Err(Stop::OutOfOrder);
        }
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
        // as most are written: the key, the value, and nothing more
        if cursor.goes_on(key_field.tag) {
            key = Some(cursor.tag().and_then(|tag| cursor.piece(tag))?);
            if cursor.goes_on(value_field.tag) {
                value = Some(cursor.tag().and_then(|tag| cursor.piece(tag))?);
            }
        }
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
            Kind::String => Key::Text(key.bytes),
            // equal numbers are equal keys, whatever bits a sloppy writer has set above them
            Kind::Int32 | Kind::Uint32 | Kind::Sint32 => Key::Number(u64::from(key.bits as u32)),
            Kind::Bool => Key::Number(u64::from(key.bits != 0)),
            _ => Key::Number(key.bits),
        };
        Ok(Entry { key, value })
    }

    /// Prints a map's key, quoted, with a comma before it and the colon behind it; where it stands.
    pub(super) fn entry_key(&self, kind: Kind, key: &Key<'_>, out: &mut Vec<u8>) -> Result<usize, Stop> {
        out.push(b',');
        let at = out.len();
        match key {
            Key::Text(text) => print_utf8(text, out)?,
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
        Ok(at)
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

    /// Whether a zero or empty value of this field, which is no message, says no more than its absence would.
    #[inline]
    pub(super) fn elides(&self, field: &Field) -> bool {
        field.presence == Presence::Implicit && !self.options.print_unset
    }

    /// Prints a member's key, with a comma in front.
    #[inline]
    pub(super) fn key(&self, field: &Field, out: &mut Vec<u8>) {
        if self.options.proto_names {
            proto_key(field, out);
        } else {
            field.put_next_json_key(out);
        }
    }

    /// The same with the quote that a string begins with.
    #[inline]
    fn key_and_quote(&self, field: &Field, out: &mut Vec<u8>) {
        if self.options.proto_names {
            proto_key(field, out);
            out.push(b'"');
        } else {
            field.put_next_json_key_and_quote(out);
        }
    }

    /// Prints the fields without presence that `has` does not know, with their zero values.
    pub(super) fn unset(&self, message: &'a Message, out: &mut Vec<u8>, has: impl Fn(u16) -> bool) {
        for (index, field) in (0u16..).zip(&message.fields) {
            let no_presence = field.label != Label::Singular || field.presence == Presence::Implicit;
            if no_presence && !field.is_extension() && !has(index) {
                self.key(field, out);
                self.absent(field, out);
            }
        }
    }

    /// Prints what stands for a field that is not there.
    pub(super) fn absent(&self, field: &Field, out: &mut Vec<u8>) {
        match (field.label, field.kind) {
            (Label::Repeated, _) => out.extend_from_slice(b"[]"),
            (Label::Map, _) => out.extend_from_slice(b"{}"),
            _ if field.presence != Presence::Implicit => out.extend_from_slice(b"null"),
            (_, Kind::String | Kind::Bytes) => out.extend_from_slice(b"\"\""),
            (_, kind) => self.scalar(kind, 0, out),
        }
    }
}

// === impl Key ===

impl Key<'_> {
    pub(super) fn shown(&self) -> String {
        match self {
            Key::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Key::Number(number) => number.to_string(),
        }
    }

    /// What printing it would check, for a key that is not printed.
    pub(super) fn check(&self) -> Result<(), Stop> {
        match self {
            Key::Text(text) => utf8(text).map(drop),
            Key::Number(_) => Ok(()),
        }
    }
}

fn proto_key(field: &Field, out: &mut Vec<u8>) {
    out.push(b',');
    print_text(field.name(), out);
    out.push(b':');
}

/// Ends an object or an array whose parts each have a comma in front: the first comma becomes the opening bracket.
#[inline]
pub(super) fn enclose(out: &mut Vec<u8>, start: usize, [opening, closing]: [u8; 2]) {
    match out.get_mut(start) {
        Some(first) => *first = opening,
        None => out.push(opening),
    }
    out.push(closing);
}

/// A varint as its kind keeps it: of a 32-bit kind the low bits count, as to protobuf's readers.
#[inline]
pub(super) fn narrow(kind: Kind, bits: u64) -> u64 {
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

/// Prints the numbers of a packed run, each with a comma in front.
#[inline]
fn each<'w, T>(
    run: &mut Cursor<'w>,
    out: &mut Vec<u8>,
    read: impl Fn(&mut Cursor<'w>) -> Result<T, Malformed>,
    print: impl Fn(T, &mut Vec<u8>),
) -> Result<(), Malformed> {
    while !run.is_empty() {
        let value = read(run)?;
        out.push(b',');
        print(value, out);
    }
    Ok(())
}

#[inline]
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(bytes).map_err(|_| Stop::bad("a string is not UTF-8"))
}

#[cfg(test)]
mod tests;
