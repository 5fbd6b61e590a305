//! Required fields of messages that come in parts: a singular message that stands twice is one message, merged of both
//! (encoding guide, "Last One Wins"), and what one part lacks another may have.
//!
//! Looked at only when a part lacks something, since merging allocates: 40 bytes for each value, and a copy of each
//! message that comes in parts, at each depth.

use super::{Outcome, Stop, absent};
use crate::catalog::{Known, Label, Message, MessageId, Schema};
use crate::transcode::message_set::from_items;
use crate::transcode::regroup::{Group, regroup};
use crate::wire::Piece;

/// Whether the merged message has all required fields, at any depth. The bytes have been walked: they are well-formed,
/// and nested no deeper than they may.
pub(super) fn check(schema: &Schema, id: MessageId, wire: &[u8]) -> Outcome<()> {
    let table = schema.message(id);
    if table.known == Known::MessageSet {
        return groups(schema, table, &from_items(wire)?);
    }
    groups(schema, table, wire)
}

fn groups(schema: &Schema, table: &Message, wire: &[u8]) -> Outcome<()> {
    let found = regroup(schema, table, wire)?;
    for index in &table.required {
        let is_there = found.iter().any(|group| group.index == *index);
        if let Some(field) = table.field(*index).filter(|_| !is_there) {
            return Err(absent(field));
        }
    }
    found.iter().try_for_each(|group| values(schema, table, group))
}

fn values(schema: &Schema, table: &Message, group: &Group<'_>) -> Outcome<()> {
    let Some((field, id)) = table.field(group.index).and_then(|field| Some((field, field.kind.message()?))) else {
        return Ok(());
    };
    let named = |stop: Box<Stop>| stop.map(|fault| fault.within(field.name()));
    match (&*group.pieces, field.label) {
        ([(_, only)], Label::Singular) => check(schema, id, only.bytes).map_err(named),
        (parts, Label::Singular) => {
            let whole = parts.iter().map(|(_, part)| part.bytes).collect::<Vec<_>>().concat();
            check(schema, id, &whole).map_err(named)
        }
        (elements, _) => {
            let check = |(at, (_, element)): (usize, &(u32, Piece<'_>))| {
                check(schema, id, element.bytes).map_err(|stop| named(stop.map(|fault| fault.element(at))))
            };
            elements.iter().enumerate().try_for_each(check)
        }
    }
}
