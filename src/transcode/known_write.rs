//! The well-known types that JSON shows apart, to JSON.

use super::UnknownAny;
use super::json_write::{Printer, Stop, print_text, utf8};
use super::key_set::KeySet;
use super::known_types::{Seconds, print_mask_path};
use super::regroup::{Group, regroup};
use super::{message_set, text};
use crate::catalog::{Field, Kind, Known, Message};
use crate::wire::{Cursor, Malformed, Piece};

// === impl Printer ===

impl<'a> Printer<'a> {
    /// Prints the JSON form of a known type.
    pub(super) fn known(&self, message: &'a Message, bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        match (message.known, &*message.fields) {
            (Known::Timestamp, _) => {
                out.push(b'"');
                seconds(bytes)?.print_timestamp(out).ok_or_else(|| Stop::bad("a timestamp out of range"))?;
                out.push(b'"');
                Ok(())
            }
            (Known::Duration, _) => {
                out.push(b'"');
                seconds(bytes)?.print_duration(out).ok_or_else(|| Stop::bad("a duration out of range"))?;
                out.push(b'"');
                Ok(())
            }
            (Known::FieldMask, _) => field_mask(bytes, out),
            (Known::Wrapper, [value]) => {
                let last = last_of(value, bytes)?.unwrap_or_default();
                self.value(value.kind, &last, out, depth)
            }
            (Known::Any, _) => self.any(bytes, out, depth),
            (Known::Struct, [fields]) => self.structure(message, fields, bytes, out, depth),
            (Known::ListValue, [values]) => self.list_value(values, bytes, out, depth),
            (Known::Value, _) => self.free_value(message, bytes, out, depth),
            (Known::MessageSet, _) => {
                out.push(b'{');
                self.members(message, &message_set::from_items(bytes)?, out, depth, true)?;
                out.push(b'}');
                Ok(())
            }
            // `Empty`; the others have been checked to have these very fields.
            _ => {
                check_all(bytes)?;
                out.extend_from_slice(b"{}");
                Ok(())
            }
        }
    }

    fn any(&self, bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        let (mut url, mut value) = (&[][..], &[][..]);
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            let piece = cursor.piece(tag)?;
            match tag {
                0x0a => url = piece.bytes,
                0x12 => value = piece.bytes,
                _ => {}
            }
        }
        let url = utf8(url)?;
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
                match message.known {
                    Known::None => self.members(message, value, out, depth + 1, false)?,
                    Known::MessageSet => {
                        self.members(message, &message_set::from_items(value)?, out, depth + 1, false)?;
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
        bytes: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        if self.careful {
            let groups = regroup(self.schema, message, bytes)?;
            return match groups.first() {
                Some(group) => self.merged_map(fields, group, out, depth),
                None => self.merged_map(fields, &Group { index: 0, pieces: Vec::new() }, out, depth),
            };
        }
        out.push(b'{');
        let mut keys = KeySet::new();
        each_of(fields, bytes, |piece| self.entry(fields, piece.bytes, |key| keys.insert(key), out, depth))?;
        out.push(b'}');
        Ok(())
    }

    fn list_value(&self, values: &'a Field, bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        out.push(b'[');
        let mut index = 0;
        each_of(values, bytes, |piece| {
            if index > 0 {
                out.push(b',');
            }
            index += 1;
            self.value(values.kind, &piece, out, depth).map_err(|stop| stop.map(|fault| fault.element(index - 1)))
        })?;
        out.push(b']');
        Ok(())
    }

    /// A `google.protobuf.Value`: whichever of its members is set, bare. None at all is printed as null.
    fn free_value(&self, message: &'a Message, bytes: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<(), Stop> {
        if self.careful {
            let groups = regroup(self.schema, message, bytes)?;
            let member = groups.first().and_then(|group| Some((message.field(group.index)?, group)));
            return match member {
                Some((field, group)) => {
                    finite(field, group.pieces.last().map_or(0, |(_, piece)| piece.bits))?;
                    self.merged(field.kind, group, out, depth)
                }
                None => {
                    out.extend_from_slice(b"null");
                    Ok(())
                }
            };
        }
        let mut set: Option<(&Field, Piece<'_>)> = None;
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            let piece = cursor.piece(tag)?;
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

/// Calls back for each value of this field; other fields are skipped.
fn each_of<'w>(
    field: &Field,
    bytes: &'w [u8],
    mut each: impl FnMut(Piece<'w>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        if tag == field.tag {
            each(piece)?;
        }
    }
    Ok(())
}

fn last_of<'w>(field: &Field, bytes: &'w [u8]) -> Result<Option<Piece<'w>>, Stop> {
    let mut last = None;
    each_of(field, bytes, |piece| {
        last = Some(piece);
        Ok(())
    })?;
    Ok(last)
}

fn check_all(bytes: &[u8]) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        cursor.piece(tag)?;
    }
    Ok(())
}

/// The two fields of a Timestamp or a Duration.
fn seconds(bytes: &[u8]) -> Result<Seconds, Malformed> {
    let mut read = Seconds::default();
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
    Ok(read)
}

fn field_mask(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
    let mut paths = Vec::with_capacity(bytes.len());
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        if tag == 0x0a {
            if !paths.is_empty() {
                paths.push(b',');
            }
            print_mask_path(utf8(piece.bytes)?, &mut paths)
                .ok_or_else(|| Stop::bad("a field mask has a path that camel case cannot show"))?;
        }
    }
    print_text(utf8(&paths)?, out);
    Ok(())
}
