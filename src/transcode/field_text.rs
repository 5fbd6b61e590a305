//! Single fields as text: shown in header fields and in ids of events, and filled from them.

use super::fault::{BadWire, Fault};
use super::json_write::{Stop, print};
use super::regroup::{Groups, Parts};
use super::{PrintOptions, ReadOptions, text};
use crate::catalog::{Field, FieldPath, Kind, Label, Message, MessageId, Presence, Schema};
use crate::wire::{close, open, put_varint};

/// What a field of an encoded message holds, as JSON shows it but for the quotes; `None` if it is not set, or an empty text. A
/// number that cannot be told from an unset one is shown: 0 may well be the first of them.
///
/// `path` leads through messages to a field that [`super::text_value`] could fill.
pub fn show_field(
    schema: &Schema,
    message: MessageId,
    path: &FieldPath,
    wire: &[u8],
    options: &PrintOptions,
) -> Result<Option<String>, BadWire> {
    let Some((last, before)) = path.0.split_last() else { return Ok(None) };
    let mut table = schema.message(message);
    let mut parts = std::borrow::Cow::Borrowed(wire);
    for index in before {
        let Some((field, id)) = table.field(*index).and_then(|field| Some((field, field.kind.message()?))) else {
            return Ok(None);
        };
        let Some(inner) = only_message(schema, table, *index, &parts).map_err(|stop| bad(stop.within(field)))? else {
            return Ok(None);
        };
        parts = inner.into();
        table = schema.message(id);
    }
    let Some(field) = table.field(*last) else { return Ok(None) };
    let mut json = Vec::new();
    let options = PrintOptions { indent: 0, ..*options };
    print(schema, &options, &mut json, |printer, out| {
        match Groups::of(schema, table, Parts::Whole(&parts))?.find(*last) {
            Some(group) => printer.group(field, group, out, 0).map_err(|stop| stop.within(field)),
            None => {
                if shows_zero(field) {
                    printer.absent(field, out);
                }
                Ok(())
            }
        }
    })?;
    Ok(unquoted(&json).filter(|text| !text.is_empty()))
}

/// Whether a field that is not there may as well be a number that is zero.
fn shows_zero(field: &Field) -> bool {
    let is_text = matches!(field.kind, Kind::String | Kind::Bytes);
    field.presence == Presence::Implicit && field.label == Label::Singular && !is_text
}

/// The content of a message within another, put together if it came in several parts.
fn only_message(schema: &Schema, table: &Message, index: u16, wire: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let groups = Groups::of(schema, table, Parts::Whole(wire))?;
    Ok(groups.find(index).map(|group| group.values.iter().flat_map(|value| value.piece.bytes).copied().collect()))
}

fn bad(stop: Stop) -> BadWire {
    match stop {
        Stop::Bad(fault) => fault.in_wire(),
        Stop::OutOfOrder => Fault::new("the fields cannot be brought into order").in_wire(),
    }
}

/// The text that a JSON string stands for; numbers and the like are their own. `None` for `null`.
fn unquoted(json: &[u8]) -> Option<String> {
    match json.first()? {
        b'"' => serde_json::from_slice(json).ok(),
        _ if json == b"null" => None,
        _ => String::from_utf8(json.to_vec()).ok(),
    }
}

/// Appends an encoded field, and the messages around it, to a message: whatever that says of the field already gives way, as
/// the last of several counts to protobuf's readers. A zero value is written, too.
///
/// Errors: why the text is no value of the field; `out` is as it was then.
pub fn put_field(
    schema: &Schema,
    message: MessageId,
    path: &FieldPath,
    value: &str,
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let start = out.len();
    put_below(schema, schema.message(message), &path.0, value, options, out).inspect_err(|_| out.truncate(start))
}

fn put_below(
    schema: &Schema,
    message: &Message,
    path: &[u16],
    value: &str,
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let none = || "the catalog's setting names a field that there is not".to_owned();
    let (index, rest) = path.split_first().ok_or_else(none)?;
    let field = message.field(*index).ok_or_else(none)?;
    put_varint(out, field.tag.into());
    if rest.is_empty() {
        return text::text_value(schema, field, value, options, out);
    }
    let inner = schema.message(field.kind.message().ok_or_else(none)?);
    if let Kind::Group(_) = field.kind {
        put_below(schema, inner, rest, value, options, out)?;
        put_varint(out, u64::from(field.tag) + 1);
    } else {
        let at = open(out);
        put_below(schema, inner, rest, value, options, out)?;
        close(out, at);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
