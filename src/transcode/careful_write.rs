//! Wire bytes to JSON for messages that come out of order: each (nested) message is regrouped by field first.

use super::MAX_DEPTH;
use super::json_write::{Printer, Stop, enclose, narrow, shows};
use super::key_set::KeySet;
use super::regroup::{Group, Groups, Parts, Value};
use crate::catalog::{Field, Kind, Known, Label, Message};
use crate::wire::Piece;

// === impl Printer ===

impl<'a> Printer<'a> {
    /// Prints the members of an object, each with a comma in front, without braces: each field's values together, after
    /// protobuf's rules for merging.
    pub(super) fn by_group(
        &self,
        message: &'a Message,
        parts: Parts<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        let groups = Groups::of(self.schema, message, parts)?;
        for group in groups.iter() {
            let Some(field) = message.field(group.index) else { continue };
            let last = group.values.last().map_or(Piece::default(), |value| value.piece);
            if field.label == Label::Singular && is_zero(field.kind, &last) && self.elides(field) {
                continue;
            }
            let start = out.len();
            self.key(field, out);
            let value = out.len();
            self.group(field, group, out, depth).map_err(|stop| stop.within(field))?;
            if field.label != Label::Singular && out.len() == value + 2 && !self.options.print_unset {
                // all of it were numbers that a closed enum does not know
                out.truncate(start);
            }
        }
        if self.options.print_unset {
            self.unset(message, out, |index| groups.find(index).is_some());
        }
        Ok(())
    }

    /// Prints all values of one field: the array, the object, or the one value that they make.
    pub(super) fn group(
        &self,
        field: &'a Field,
        group: Group<'_, '_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        match field.label {
            Label::Map => self.merged_map(field, group.values, out, depth),
            Label::Repeated => {
                let start = out.len();
                for value in group.values {
                    self.elements(field, value.wire_type.into(), &value.piece, out, depth)?;
                }
                enclose(out, start, *b"[]");
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
        let start = out.len();
        self.by_group(message, parts, out, depth)?;
        enclose(out, start, *b"{}");
        Ok(())
    }

    /// Prints a map of which the last entry of each key counts.
    pub(super) fn merged_map(
        &self,
        field: &Field,
        values: &[Value<'_>],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Stop> {
        self.merged_map_by(field, values, out, |kind, parts, out| self.merged(kind, parts, out, depth + 1))
    }

    /// The same; `value` prints the value that these make.
    pub(super) fn merged_map_by(
        &self,
        field: &Field,
        values: &[Value<'_>],
        out: &mut Vec<u8>,
        value: impl Fn(Kind, &[Value<'_>], &mut Vec<u8>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (key_field, value_field) = self.entry_fields(field)?;
        let entry_message = field.kind.message().map(|id| self.schema.message(id));
        let mut keys = KeySet::new();
        let counts = values.iter().rev().map(|value| {
            let entry = self.read_entry(key_field, value_field, value.piece.bytes)?;
            entry.key.check()?;
            Ok(shows(self.schema, value_field.kind, entry.value.unwrap_or_default().bits) && keys.insert(entry.key))
        });
        let counts = counts.collect::<Result<Vec<bool>, Stop>>()?;
        let start = out.len();
        for (one, _) in values.iter().zip(counts.iter().rev()).filter(|(_, counts)| **counts) {
            let entry = self.read_entry(key_field, value_field, one.piece.bytes)?;
            let entry_parts = Parts::Whole(one.piece.bytes);
            let groups = entry_message.map(|message| Groups::of(self.schema, message, entry_parts)).transpose()?;
            self.entry_key(key_field.kind, &entry.key, out)?;
            let parts = groups.as_ref().and_then(|groups| groups.find(1)).map_or(&[][..], |group| group.values);
            value(value_field.kind, parts, out).map_err(|stop| stop.map(|fault| fault.key(entry.key.shown())))?;
        }
        enclose(out, start, *b"{}");
        Ok(())
    }
}

/// Whether a value is what its absence would be, but for messages.
pub(super) fn is_zero(kind: Kind, piece: &Piece<'_>) -> bool {
    kind.message().is_none() && narrow(kind, piece.bits) == 0 && piece.bytes.is_empty()
}
