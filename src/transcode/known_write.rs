//! The well-known types that JSON shows apart, to JSON.

use super::UnknownAny;
use super::json_write::{Printer, Stop, enclose, utf8};
use super::known_types::{Seconds, print_mask_path};
use super::map_keys::MapKeys;
use super::quoted::print_text;
use super::regroup::{Groups, Parts, check_parts};
use super::text;
use crate::catalog::{Field, Kind, Known, Message};
use crate::wire::{Cursor, Malformed, Piece};

// === impl Printer ===

impl<'a> Printer<'a> {
    /// Prints the JSON form of a known type.
    pub(super) fn known(
        &self,
        message: &'a Message,
        parts: Parts<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        match (message.known, &*message.fields) {
            (Known::Timestamp, _) => {
                out.push(b'"');
                seconds(parts)?.print_timestamp(out).ok_or_else(|| Stop::bad("a timestamp out of range"))?;
                out.push(b'"');
                Ok(())
            }
            (Known::Duration, _) => {
                out.push(b'"');
                seconds(parts)?.print_duration(out).ok_or_else(|| Stop::bad("a duration out of range"))?;
                out.push(b'"');
                Ok(())
            }
            (Known::FieldMask, _) => field_mask(parts, out),
            (Known::Wrapper, [value]) => {
                let last = self.last_of(value, parts)?.unwrap_or_default();
                self.value(value.kind, &last, out, depth)
            }
            (Known::Any, _) => self.any(parts, out, depth),
            (Known::Struct, [fields]) => self.structure(message, fields, parts, out, depth),
            (Known::ListValue, [values]) => self.list_value(values, parts, out, depth),
            (Known::Value, _) => self.free_value(message, parts, out, depth),
            (Known::MessageSet, _) => {
                let start = out.len();
                self.by_group(message, parts, out, depth)?;
                enclose(out, start, *b"{}");
                Ok(())
            }
            // `Empty`; the others have been checked to have these very fields.
            _ => {
                parts.fields().try_for_each(|field| field.map(drop))?;
                out.extend_from_slice(b"{}");
                Ok(())
            }
        }
    }

    fn any(&self, parts: Parts<'_, '_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        let (mut url, mut value) = (None, &[][..]);
        for field in parts.fields() {
            let (tag, piece) = field?;
            match tag {
                0x0a if url.replace(piece.bytes).is_some() && !self.careful => return Err(Stop::OutOfOrder),
                0x12 => value = piece.bytes,
                _ => {}
            }
        }
        let url = utf8(url.unwrap_or_default())?;
        if url.is_empty() && value.is_empty() {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        out.extend_from_slice(b"{\"@type\":");
        print_text(url, out);
        let name = url.split_once('/').and_then(|_| url.rsplit('/').next());
        match name.and_then(|name| self.schema.find(name)) {
            Some(id) => {
                let message = self.schema.message(id);
                if depth >= super::MAX_DEPTH {
                    return Err(Stop::bad("nested deeper than 100 levels"));
                }
                if self.careful {
                    check_parts(self.schema, message, value, depth + 1).map_err(Stop::Bad)?;
                }
                match message.known {
                    Known::None => self.members(message, value, out, depth + 1)?,
                    Known::MessageSet => {
                        self.by_group(message, Parts::Whole(value), out, depth + 1)?;
                    }
                    Known::Empty => {}
                    _ => {
                        out.extend_from_slice(b",\"value\":");
                        self.message(id, value, out, depth + 1)?;
                    }
                }
            }
            None if self.options.unknown_any == UnknownAny::Raw => {
                out.extend_from_slice(b",\"value\":\"");
                text::encode_base64(value, out);
                out.push(b'"');
            }
            None => {
                let shown: String = url.chars().take(200).collect();
                return Err(Stop::bad(format!("the catalog has no type {shown:?}, which an Any holds")));
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn structure(
        &self,
        message: &'a Message,
        fields: &'a Field,
        parts: Parts<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if self.careful {
            let groups = Groups::of(self.schema, message, parts)?;
            return self.merged_map(fields, groups.find(0).map_or(&[], |group| group.values), out, depth);
        }
        let start = out.len();
        let mut keys = MapKeys::new();
        each_of(fields, parts, |piece, left| self.entry(fields, piece.bytes, &mut keys, left, out, depth))?;
        enclose(out, start, *b"{}");
        self.no_key_repeated(&keys, out)
    }

    fn list_value(&self, values: &'a Field, parts: Parts<'_, '_>, out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        let start = out.len();
        let mut index = 0;
        each_of(values, parts, |piece, _| {
            out.push(b',');
            index += 1;
            self.value(values.kind, &piece, out, depth).map_err(|stop| stop.map(|fault| fault.element(index - 1)))
        })?;
        enclose(out, start, *b"[]");
        Ok(())
    }

    /// The value that counts of a field of which there should be one.
    fn last_of<'w>(&self, field: &Field, parts: Parts<'_, 'w>) -> Result<Option<Piece<'w>>, Stop> {
        let mut last = None;
        each_of(field, parts, |piece, _| match last.replace(piece) {
            Some(_) if !self.careful => Err(Stop::OutOfOrder),
            _ => Ok(()),
        })?;
        Ok(last)
    }

    /// A `google.protobuf.Value`: whichever of its members is set, bare. None at all is printed as null.
    fn free_value(
        &self,
        message: &'a Message,
        parts: Parts<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if self.careful {
            let groups = Groups::of(self.schema, message, parts)?;
            let member = groups.iter().next().and_then(|group| Some((message.field(group.index)?, group)));
            return match member {
                Some((field, group)) => {
                    finite(field, group.values.last().map_or(0, |value| value.piece.bits))?;
                    self.merged(field.kind, group.values, out, depth)
                }
                None => {
                    out.extend_from_slice(b"null");
                    Ok(())
                }
            };
        }
        let mut set: Option<(&Field, Piece<'_>)> = None;
        for found in parts.fields() {
            let (tag, piece) = found?;
            if let Some((_, field)) = message.field_by_number(tag >> 3)
                && tag == field.tag
            {
                if set.is_some() {
                    return Err(Stop::OutOfOrder);
                }
                set = Some((field, piece));
            }
        }
        match set {
            Some((field, piece)) => {
                finite(field, piece.bits)?;
                self.value(field.kind, &piece, out, depth)
            }
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }
}

/// A Value's number must have a JSON form that reads back as a number: `"NaN"` would read back as a string.
fn finite(field: &Field, bits: u64) -> Result<(), Stop> {
    if field.kind == Kind::Double && !f64::from_bits(bits).is_finite() {
        return Err(Stop::bad("a google.protobuf.Value holds a number that JSON cannot show (NaN or infinity)"));
    }
    Ok(())
}

/// Calls back for each value of this field, with how many bytes are behind it; other fields are skipped.
fn each_of<'w>(
    field: &Field,
    parts: Parts<'_, 'w>,
    mut each: impl FnMut(Piece<'w>, usize) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut fields = parts.fields();
    while let Some(found) = fields.next() {
        let (tag, piece) = found?;
        if tag == field.tag {
            each(piece, fields.left())?;
        }
    }
    Ok(())
}

/// The two fields of a Timestamp or a Duration.
fn seconds(parts: Parts<'_, '_>) -> Result<Seconds, Malformed> {
    let mut read = Seconds::default();
    match parts {
        // nearly always
        Parts::Whole(bytes) => add_seconds(bytes, &mut read)?,
        Parts::Several(values) => values.iter().try_for_each(|value| add_seconds(value.piece.bytes, &mut read))?,
    }
    Ok(read)
}

fn add_seconds(bytes: &[u8], read: &mut Seconds) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        match tag {
            0x08 => read.seconds = piece.bits as i64,
            0x10 => read.nanos = piece.bits as i32,
            _ => {}
        }
    }
    Ok(())
}

fn field_mask(parts: Parts<'_, '_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    let (mut paths, mut is_first) = (Vec::new(), true);
    for field in parts.fields() {
        let (tag, piece) = field?;
        if tag == 0x0a {
            if !std::mem::take(&mut is_first) {
                paths.push(b',');
            }
            print_mask_path(utf8(piece.bytes)?, &mut paths)
                .ok_or_else(|| Stop::bad("a field mask has a path that camel case cannot show"))?;
        }
    }
    print_text(utf8(&paths)?, out);
    Ok(())
}
