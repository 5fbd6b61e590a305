//! JSON text to wire bytes, by the message table.

use std::borrow::Cow;

use super::fault::{BadInput, Fault, Outcome};
use super::key_set::Seen;
use super::leaf::Woven;
use super::map_keys::{MapKeys, Mark};
use super::{MAX_DEPTH, ReadOptions, message_set, number, suggest, text};
use crate::catalog::{
    BytesForm, EnumId, Field, Kind, Known, Label, Message, MessageId, Presence, Schema, UnknownFields,
};
use crate::wire::{Tokens, close, open, put_varint};

/// Turns the JSON form of a message (protobuf's "ProtoJSON") into its encoding, appended to `out`.
///
/// Both spellings of field names are read; a field given twice, two members of one oneof, and numbers that do not fit
/// are refused, and so is a message without a required field. On an error `out` holds whatever had been written so far.
///
/// `json` of n bytes makes at most 7 n bytes (numbers of lists that are encoded as doubles), and never holds more than 16 n
/// bytes and 16 KiB while it does, `out` with its room to grow and the keys of maps included (`tests/allocation.rs`).
pub fn json_to_wire(
    schema: &Schema,
    message: MessageId,
    json: &[u8],
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), BadInput> {
    out.reserve(json.len());
    read_whole(schema, json, options, |reader| reader.message(message, out, 0))
}

/// Reads one JSON text to its end.
pub(super) fn read_whole<'a>(
    schema: &'a Schema,
    json: &'a [u8],
    options: &ReadOptions<'_>,
    read: impl FnOnce(&mut JsonReader<'a>) -> Outcome<()>,
) -> Result<(), BadInput> {
    let whole = || {
        let tokens = Tokens::new(json)?;
        let mut reader = JsonReader {
            schema,
            tokens,
            ignore_unknown: options.unknown == UnknownFields::Ignore,
            short_enums: options.short_enums,
            bytes: options.bytes,
            keys: Vec::new(),
        };
        read(&mut reader)?;
        Ok(reader.tokens.end()?)
    };
    whole().map_err(|fault: Box<Fault>| fault.in_text(json))
}

/// Reads one JSON text; what it makes is appended to the output that each call is given.
pub(super) struct JsonReader<'a> {
    pub(super) schema: &'a Schema,
    pub(super) tokens: Tokens<'a>,
    pub(super) ignore_unknown: bool,
    short_enums: bool,
    bytes: BytesForm,
    /// What [`MapKeys`]s share.
    keys: Vec<Mark>,
}

/// What is said of a field that must be there and is not.
const REQUIRED: &str = "is required";

/// What an object's members have used up so far.
#[derive(Default)]
pub(super) struct Used {
    pub(super) fields: Seen,
    pub(super) oneofs: Seen,
    /// Woven fields whose content the text has completed.
    pub(super) merged: Seen,
    /// The object is an Any whose `@type` is still to come.
    pub(super) in_any: bool,
}

// === impl JsonReader ===

impl<'a> JsonReader<'a> {
    /// Reads the JSON form of this type and writes the message's content.
    pub(super) fn message(&mut self, id: MessageId, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(self.fault("nested deeper than 100 levels"));
        }
        let message = self.schema.message(id);
        match message.known {
            Known::None | Known::Empty => self.object(message, Used::default(), out, depth, None),
            known => self.known(message, known, out, depth),
        }
    }

    /// Reads an object whose members are fields that come as the items of a message set.
    pub(super) fn message_set(
        &mut self,
        message: &'a Message,
        used: Used,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Outcome<()> {
        let mut fields = Vec::new();
        self.object(message, used, &mut fields, depth, None)?;
        Ok(message_set::to_items(&fields, out)?)
    }

    /// Reads an object whose members are the message's fields; `woven` are fields that the path and the query set.
    pub(super) fn object(
        &mut self,
        message: &'a Message,
        mut used: Used,
        out: &mut Vec<u8>,
        depth: u32,
        woven: Option<&Woven<'_>>,
    ) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(self.fault("nested deeper than 100 levels"));
        }
        if self.tokens.peek()? != b'{' {
            return Err(self.wrong("an object"));
        }
        let offset = self.tokens.offset();
        self.tokens.expect(b'{')?;
        if let Some(woven) = woven {
            for (index, _) in woven.groups() {
                if let Some(oneof) = message.field(index).and_then(|field| field.oneof) {
                    used.oneofs.insert(oneof);
                }
            }
        }
        if !self.tokens.take(b'}')? {
            self.members(message, &mut used, out, depth, woven)?;
        }
        if let Some(woven) = woven {
            woven.emit(self.schema, message, out, |index| used.merged.contains(index))?;
        }
        if !message.required.is_empty() {
            let has = |index| used.fields.contains(index) || woven.is_some_and(|woven| woven.under(index).is_some());
            complete(message, has).map_err(|fault| fault.place(offset))?;
        }
        Ok(())
    }

    fn members(
        &mut self,
        message: &'a Message,
        used: &mut Used,
        out: &mut Vec<u8>,
        depth: u32,
        woven: Option<&Woven<'_>>,
    ) -> Outcome<()> {
        let mut next = 0u16;
        let mut found = self.named(message, next, used)?;
        loop {
            if let Some((index, field)) = found {
                next = index.saturating_add(1);
                if !used.fields.insert(index) {
                    return Err(self.fault("is given twice").within(field.name()));
                }
                match woven.and_then(|woven| woven.under(index)) {
                    Some(under) => self.woven_field(field, index, used, &under, out, depth),
                    None => self.member(field, used, out, depth),
                }
                .map_err(|fault| fault.within(field.name()))?;
            }
            // Members mostly come in the order of the fields, compactly written: try for exactly that first.
            found = match message.field(next) {
                Some(field) if self.tokens.take_key(field.next_json_key()) => Some((next, field)),
                _ if self.tokens.more(b'}')? => self.named(message, next, used)?,
                _ => return Ok(()),
            };
        }
    }

    /// Reads a member's name and the colon; `next` is the field that it probably is. `None` for a member that is not a
    /// field and has been skipped.
    fn named(&mut self, message: &'a Message, next: u16, used: &mut Used) -> Outcome<Option<(u16, &'a Field)>> {
        self.tokens.peek()?;
        if let Some(field) = message.field(next)
            && self.tokens.take_key(field.json_key())
        {
            return Ok(Some((next, field)));
        }
        let at = self.tokens.offset();
        let name = self.tokens.string()?;
        self.tokens.expect(b':')?;
        if let Some(found) = message.field_by_name(&name) {
            return Ok(Some(found));
        }
        if used.in_any && name == "@type" {
            // It has been looked up before; here it is only passed. A second one is an unknown field.
            used.in_any = false;
        } else if !self.ignore_unknown {
            let what = format!("no such field{}", suggest::field(message, &name));
            return Err(Fault::at(at, what).within(name));
        }
        self.tokens.skip_value(0)?;
        Ok(None)
    }

    /// Reads one member's value.
    #[inline]
    fn member(&mut self, field: &'a Field, used: &mut Used, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        if self.tokens.peek()? == b'n' && !self.takes_null(field) {
            return self.no_value(field);
        }
        if let Some(oneof) = field.oneof
            && !used.oneofs.insert(oneof)
        {
            return Err(self.fault("another member of the same oneof is given as well"));
        }
        self.field(field, out, depth)
    }

    /// Reads `null` where it means that there is no value.
    pub(super) fn no_value(&mut self, field: &Field) -> Outcome<()> {
        if field.presence == Presence::Required {
            return Err(self.fault(REQUIRED));
        }
        Ok(self.tokens.null()?)
    }

    /// A member that the path or the query has set wholly, which is refused, or in part, which is completed here so
    /// that one message goes out.
    pub(super) fn woven_field(
        &mut self,
        field: &'a Field,
        index: u16,
        used: &mut Used,
        under: &Woven<'_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Outcome<()> {
        let nested = field.kind.message().map(|id| self.schema.message(id)).filter(|m| m.known == Known::None);
        let Some(nested) = nested.filter(|_| !under.is_leaf() && field.label == Label::Singular) else {
            return Err(self.fault("is set by the path already"));
        };
        used.merged.insert(index);
        if self.tokens.peek()? == b'n' {
            // The text has no such message; the path's part of it stands alone.
            self.tokens.null()?;
            return under.emit_field(self.schema, field, out);
        }
        self.delimited(field, out, |reader, out| reader.object(nested, Used::default(), out, depth + 1, Some(under)))
    }

    /// Reads a field's value, which is not null (or a null that is a value) and writes it, tag and all.
    #[inline]
    pub(super) fn field(&mut self, field: &'a Field, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        match field.label {
            Label::Singular => self.single(field, field.presence == Presence::Implicit, out, depth),
            Label::Repeated => self.list(field, out, depth),
            Label::Map => self.map(field, out, depth),
        }
    }

    /// Whether `null` is a value of this field, rather than its absence.
    pub(super) fn takes_null(&self, field: &Field) -> bool {
        field.label == Label::Singular && self.kind_takes_null(field.kind)
    }

    fn kind_takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Enum(id) => self.schema.enumeration(id).is_null_value,
            Kind::Message(id) => self.schema.message(id).known == Known::Value,
            _ => false,
        }
    }

    /// Reads one value and writes it with its tag; with `elide`, a zero value is not written.
    #[inline]
    fn single(&mut self, field: &'a Field, elide: bool, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        match field.kind {
            Kind::String => self.text(field, elide, out)?,
            Kind::Bytes => {
                let start = out.len();
                put_varint(out, field.tag.into());
                let at = open(out);
                self.bytes(out)?;
                if elide && out.len() == at {
                    out.truncate(start);
                } else {
                    close(out, at);
                }
            }
            Kind::Message(id) | Kind::Group(id) => {
                self.delimited(field, out, |reader, out| reader.message(id, out, depth + 1))?;
            }
            kind => match self.scalar(kind)? {
                Some(0) if elide => {}
                Some(bits) => {
                    put_varint(out, field.tag.into());
                    put_scalar(kind, bits, out);
                }
                None if field.presence == Presence::Required => return Err(self.fault(REQUIRED)),
                None => {}
            },
        }
        Ok(())
    }

    /// Reads a string field; text without escapes, whose length is known, is copied once.
    #[inline]
    fn text(&mut self, field: &Field, elide: bool, out: &mut Vec<u8>) -> Outcome<()> {
        if self.tokens.peek()? != b'"' {
            return Err(self.wrong("a string"));
        }
        let mut opened = None;
        self.tokens.string_to(out, |out, len| match len {
            Some(0) if elide => {}
            Some(len) => {
                put_varint(out, field.tag.into());
                put_varint(out, len as u64);
            }
            None => {
                put_varint(out, field.tag.into());
                opened = Some(open(out));
            }
        })?;
        if let Some(at) = opened {
            close(out, at);
        }
        Ok(())
    }

    /// Writes tag and length, or the two tags of a group, around what `content` writes.
    #[inline]
    fn delimited(
        &mut self,
        field: &Field,
        out: &mut Vec<u8>,
        content: impl FnOnce(&mut Self, &mut Vec<u8>) -> Outcome<()>,
    ) -> Outcome<()> {
        put_varint(out, field.tag.into());
        if let Kind::Group(_) = field.kind {
            content(self, out)?;
            put_varint(out, u64::from(field.tag) + 1);
            return Ok(());
        }
        let at = open(out);
        content(self, out)?;
        close(out, at);
        Ok(())
    }

    fn list(&mut self, field: &'a Field, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        if self.tokens.peek()? != b'[' {
            return Err(self.wrong("an array"));
        }
        self.tokens.expect(b'[')?;
        if self.tokens.take(b']')? {
            return Ok(());
        }
        if !field.packed {
            return self.elements(field.kind, |reader| reader.single(field, false, out, depth));
        }
        let start = out.len();
        put_varint(out, field.tag.into());
        let at = open(out);
        self.elements(field.kind, |reader| {
            if let Some(bits) = reader.scalar(field.kind)? {
                put_scalar(field.kind, bits, out);
            }
            Ok(())
        })?;
        if out.len() == at {
            out.truncate(start);
        } else {
            close(out, at);
        }
        Ok(())
    }

    #[inline]
    fn elements(&mut self, kind: Kind, mut each: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        for index in 0.. {
            if self.tokens.peek()? == b'n' && !self.kind_takes_null(kind) {
                return Err(self.fault("null cannot stand in a list").element(index));
            }
            each(self).map_err(|fault| fault.element(index))?;
            if !self.tokens.more(b']')? {
                break;
            }
        }
        Ok(())
    }

    fn map(&mut self, field: &'a Field, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        let entry = field.kind.message().and_then(|id| self.schema.message(id).entry());
        let Some((key_field, value_field)) = entry else {
            return Err(self.fault("the catalog's map has no key and value"));
        };
        self.pairs(|reader, key| {
            let start = out.len();
            put_varint(out, field.tag.into());
            let at = open(out);
            write_key(key_field, key, out).map_err(Fault::new)?;
            if reader.tokens.peek()? == b'n' && !reader.takes_null(value_field) {
                return Err(reader.fault("null cannot be the value of a map"));
            }
            let before = out.len();
            reader.single(value_field, false, out, depth + 1)?;
            if out.len() == before {
                // An enum name that is to be ignored: the entry goes with it.
                out.truncate(start);
            } else {
                close(out, at);
            }
            Ok(())
        })
    }

    /// Reads an object whose names are keys: none may come twice.
    pub(super) fn pairs(&mut self, mut each: impl FnMut(&mut Self, &str) -> Outcome<()>) -> Outcome<()> {
        if self.tokens.peek()? != b'{' {
            return Err(self.wrong("an object"));
        }
        self.tokens.expect(b'{')?;
        if self.tokens.take(b'}')? {
            return Ok(());
        }
        let mut keys = MapKeys::new();
        loop {
            self.tokens.peek()?;
            let offset = self.tokens.offset();
            let key = self.tokens.string()?;
            self.tokens.expect(b':')?;
            each(self, &key).map_err(|fault| fault.place(offset).key(&*key))?;
            // Keys are compared as written: there is only one way to write each (see `write_key`).
            let (mark, left) = (Mark::text(key.as_bytes(), offset), self.tokens.remaining());
            if !keys.insert(mark, left, &mut self.keys, |at| self.tokens.string_at(at)) {
                return Err(Fault::at(offset, "is given twice").key(key));
            }
            if !self.tokens.more(b'}')? {
                break;
            }
        }
        match keys.repeated(&mut self.keys, |at| self.tokens.string_at(at)) {
            None => Ok(()),
            Some(at) => Err(Fault::at(at, "is given twice").key(self.tokens.string_at(at).unwrap_or_default())),
        }
    }

    /// Reads a value that is neither length-delimited nor a group: the varint's value or the fixed-size bits. `None`
    /// for an enum name that is to be ignored.
    #[inline]
    fn scalar(&mut self, kind: Kind) -> Outcome<Option<u64>> {
        match kind {
            Kind::Bool => Ok(Some(u64::from(self.boolean()?))),
            Kind::Double | Kind::Float => self.float(kind).map(Some),
            Kind::Enum(id) => self.enumeration(id),
            _ => self.integer(kind).map(Some),
        }
    }

    /// A number, or a number in a string.
    #[inline]
    fn integer(&mut self, kind: Kind) -> Outcome<u64> {
        let next = self.tokens.peek()?;
        let offset = self.tokens.offset();
        let quick = match next {
            b'"' => self.tokens.quoted(Tokens::plain_integer),
            _ => self.tokens.plain_integer(),
        };
        match (quick, next) {
            (Some(plain), _) => number::plain_integer_bits(kind, plain),
            (None, b'"') => number::whole(&self.tokens.string()?).and_then(|value| number::integer_bits(kind, value)),
            (None, b'-' | b'0'..=b'9') => {
                number::whole(self.tokens.number()?).and_then(|value| number::integer_bits(kind, value))
            }
            _ => return Err(self.wrong("a whole number")),
        }
        .map_err(|why| not_that_number(offset, why, kind))
    }

    #[inline]
    fn float(&mut self, kind: Kind) -> Outcome<u64> {
        let next = self.tokens.peek()?;
        let offset = self.tokens.offset();
        if let Some(decimal) = self.tokens.plain_decimal() {
            return Ok(match kind {
                Kind::Float => decimal.as_float().to_bits().into(),
                _ => decimal.as_double().to_bits(),
            });
        }
        match next {
            b'"' => number::float_text_bits(kind, &self.tokens.string()?),
            b'-' | b'0'..=b'9' => number::float_bits(kind, self.tokens.number()?),
            _ => return Err(self.wrong("a number")),
        }
        .map_err(|why| not_that_number(offset, why, kind))
    }

    fn enumeration(&mut self, id: EnumId) -> Outcome<Option<u64>> {
        let enumeration = self.schema.enumeration(id);
        let next = self.tokens.peek()?;
        let offset = self.tokens.offset();
        match next {
            b'"' => {
                let name = self.tokens.string()?;
                match text::enum_number(enumeration, &name, self.short_enums) {
                    Some(number) => Ok(Some(i64::from(number) as u64)),
                    None if self.ignore_unknown => Ok(None),
                    None => Err(Fault::at(offset, text::no_such_value(enumeration, &name, self.short_enums))),
                }
            }
            b'n' if enumeration.is_null_value => {
                self.tokens.null()?;
                Ok(Some(0))
            }
            b'-' | b'0'..=b'9' => {
                let bits = self.integer(Kind::Enum(id))?;
                if enumeration.closed && enumeration.name_of(bits as i32).is_none() {
                    return Err(Fault::at(
                        offset,
                        text::no_such_value(enumeration, &(bits as i32).to_string(), self.short_enums),
                    ));
                }
                Ok(Some(bits))
            }
            _ => Err(self.wrong("the name or the number of an enum value")),
        }
    }

    fn bytes(&mut self, out: &mut Vec<u8>) -> Outcome<()> {
        let offset = self.tokens.offset();
        let text = self.string()?;
        text::decode_bytes(self.bytes, &text, out).map_err(|why| Fault::at(offset, why))
    }

    #[inline]
    fn boolean(&mut self) -> Outcome<bool> {
        match self.tokens.peek()? {
            b't' | b'f' => Ok(self.tokens.boolean()?),
            _ => Err(self.wrong("true or false")),
        }
    }

    #[inline]
    pub(super) fn string(&mut self) -> Outcome<Cow<'a, str>> {
        match self.tokens.peek()? {
            b'"' => Ok(self.tokens.string()?),
            _ => Err(self.wrong("a string")),
        }
    }

    pub(super) fn fault(&self, what: impl Into<String>) -> Box<Fault> {
        Fault::at(self.tokens.offset(), what)
    }

    /// The next value is not of the form that the field needs.
    #[cold]
    pub(super) fn wrong(&mut self, expected: &str) -> Box<Fault> {
        let found = match self.tokens.peek() {
            Err(error) => return error.into(),
            Ok(b'{') => "an object",
            Ok(b'[') => "an array",
            Ok(b'"') => "a string",
            Ok(b't' | b'f') => "a boolean",
            Ok(b'n') => "null",
            Ok(b'-' | b'0'..=b'9') => "a number",
            Ok(_) => return self.fault(format!("expected {expected}")),
        };
        self.fault(format!("expected {expected}, found {found}"))
    }
}

#[cold]
fn not_that_number(offset: usize, why: number::NotThatNumber, kind: Kind) -> Box<Fault> {
    Fault::at(offset, why.told(kind, text::kind_name(kind)))
}

/// Checks that a message has the fields that it must have.
pub(super) fn complete(message: &Message, has: impl Fn(u16) -> bool) -> Outcome<()> {
    let missing = message.required.iter().find(|index| !has(**index)).and_then(|index| message.field(*index));
    missing.map_or(Ok(()), |field| Err(Fault::new(REQUIRED).within(field.name())))
}

/// Writes the varint or the fixed-size bytes of a scalar.
#[inline]
pub(super) fn put_scalar(kind: Kind, bits: u64, out: &mut Vec<u8>) {
    match kind.wire_type() {
        1 => out.extend_from_slice(&bits.to_le_bytes()),
        5 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => put_varint(out, bits),
    }
}

/// Writes a map's key. Numbers only in the one form that has neither sign of plus nor zeros in front nor an exponent, so
/// that equal keys are equal texts.
pub(super) fn write_key(field: &Field, key: &str, out: &mut Vec<u8>) -> Result<(), String> {
    put_varint(out, field.tag.into());
    let bits = match (field.kind, key) {
        (Kind::String, _) => {
            put_varint(out, key.len() as u64);
            out.extend_from_slice(key.as_bytes());
            return Ok(());
        }
        (Kind::Bool, "true") => 1,
        (Kind::Bool, "false") => 0,
        (Kind::Bool, _) => return Err("the key must be true or false".into()),
        _ => {
            let digits = key.strip_prefix('-').unwrap_or(key);
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && key != "-0";
            let value = if plain { number::whole(key) } else { Err(number::NotThatNumber("not a number")) };
            value
                .and_then(|value| number::integer_bits(field.kind, value))
                .map_err(|why| format!("the key is {}", why.told(field.kind, text::kind_name(field.kind))))?
        }
    };
    put_scalar(field.kind, bits, out);
    Ok(())
}

#[cfg(test)]
mod tests;
