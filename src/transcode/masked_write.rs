//! Wire bytes to JSON of the fields that a mask names. Beside the quick printer, which asks nobody whether it should: each
//! message that the mask looks into is regrouped by field, what is wanted whole is printed as ever.

use super::PrintOptions;
use super::careful_write::is_zero;
use super::fault::{BadWire, Fault};
use super::json_write::{Printer, Stop, enclose, print};
use super::mask::{Level, Mask, below};
use super::regroup::{Group, Groups, Parts, Value, check_parts};
use crate::catalog::{Field, Label, Message, MessageId, Presence, Schema};
use crate::wire::Piece;

/// Prints as [`super::wire_to_json`] does, but no fields other than those of the mask, which was made for this type. They come in
/// the order of their numbers.
pub fn wire_to_json_masked(
    schema: &Schema,
    message: MessageId,
    mask: &Mask,
    wire: &[u8],
    options: &PrintOptions,
    out: &mut Vec<u8>,
) -> Result<(), BadWire> {
    if mask.root.all {
        return super::wire_to_json(schema, message, wire, options, out);
    }
    let table = schema.message(message);
    print(schema, options, out, |printer, out| {
        if printer.careful {
            check_parts(schema, table, wire, 0).map_err(Stop::Bad)?;
        }
        printer.masked(table, &mask.root, Parts::Whole(wire), out)
    })
}

/// Prints as [`super::wire_to_json_field`] does; the mask was made for what this field holds.
pub fn wire_to_json_field_masked(
    schema: &Schema,
    message: MessageId,
    field: u16,
    mask: &Mask,
    wire: &[u8],
    options: &PrintOptions,
    out: &mut Vec<u8>,
) -> Result<(), BadWire> {
    if mask.root.all {
        return super::wire_to_json_field(schema, message, field, wire, options, out);
    }
    let table = schema.message(message);
    let Some(found) = table.field(field) else {
        return Err(Fault::new("the catalog's rule names a field that there is not").in_wire());
    };
    print(schema, options, out, |printer, out| {
        if printer.careful {
            check_parts(schema, table, wire, 0).map_err(Stop::Bad)?;
        }
        match Groups::of(schema, table, Parts::Whole(wire))?.find(field) {
            Some(group) => printer.masked_group(found, &mask.root, group, out).map_err(|stop| stop.within(found)),
            None => {
                printer.absent(found, out);
                Ok(())
            }
        }
    })
}

// === impl Printer ===

// a mask is no deeper than messages may be, and each level of it is one of theirs: their depth needs no counting here
impl<'a> Printer<'a> {
    /// Prints an object of the wanted fields.
    fn masked(&self, message: &'a Message, level: &Level, parts: Parts<'_, '_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let start = out.len();
        let groups = Groups::of(self.schema, message, parts)?;
        for (index, wanted) in &level.fields {
            let Some(field) = message.field(*index) else { continue };
            match groups.find(*index) {
                Some(group) => self.masked_member(field, wanted, group, out).map_err(|stop| stop.within(field))?,
                None if self.options.print_unset && shown_unset(field) => {
                    self.key(field, out);
                    self.absent(field, out);
                }
                None => {}
            }
        }
        enclose(out, start, *b"{}");
        Ok(())
    }

    fn masked_member(
        &self,
        field: &'a Field,
        wanted: &Level,
        group: Group<'_, '_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let last = group.values.last().map_or(Piece::default(), |value| value.piece);
        if field.label == Label::Singular && is_zero(field.kind, &last) && self.elides(field) {
            return Ok(());
        }
        let start = out.len();
        self.key(field, out);
        let value = out.len();
        self.masked_group(field, wanted, group, out)?;
        if field.label != Label::Singular && out.len() == value + 2 && !self.options.print_unset {
            // all of it were numbers that a closed enum does not know
            out.truncate(start);
        }
        Ok(())
    }

    /// Prints all values of one field, with what is wanted of each.
    fn masked_group(
        &self,
        field: &'a Field,
        wanted: &Level,
        group: Group<'_, '_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let Some(message) = below(self.schema, field).filter(|_| !wanted.all) else {
            return self.group(field, group, out, 0);
        };
        match field.label {
            Label::Map => self.merged_map_by(field, group.values, out, |_, parts, out| {
                self.masked_merged(message, wanted, parts, out)
            }),
            Label::Repeated => {
                let start = out.len();
                for value in group.values {
                    out.push(b',');
                    self.masked(message, wanted, Parts::Whole(value.piece.bytes), out)?;
                }
                enclose(out, start, *b"[]");
                Ok(())
            }
            Label::Singular => self.masked_merged(message, wanted, group.values, out),
        }
    }

    /// The one message that several make, of which none is an empty one.
    fn masked_merged(
        &self,
        message: &'a Message,
        wanted: &Level,
        values: &[Value<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        match values {
            [] => self.masked(message, wanted, Parts::Whole(&[]), out),
            [one] => self.masked(message, wanted, Parts::Whole(one.piece.bytes), out),
            // their parts are to be checked first
            _ if !self.careful => Err(Stop::OutOfOrder),
            several => self.masked(message, wanted, Parts::Several(several), out),
        }
    }
}

/// Whether a field that is not there is printed when unset ones are.
fn shown_unset(field: &Field) -> bool {
    (field.label != Label::Singular || field.presence == Presence::Implicit) && !field.is_extension()
}
