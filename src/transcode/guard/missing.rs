//! Required fields of messages that come in parts: a singular message that stands twice is one message, merged of both
//! (encoding guide, "Last One Wins"), and what one part lacks another may have.
//!
//! Looked at only when a part lacks something, since merging allocates: 32 bytes for each value that a message has, while
//! it and what is in it is looked at.

use super::{Outcome, Stop, absent};
use crate::catalog::{Label, Message, MessageId, Schema};
use crate::transcode::regroup::{Group, Groups, Parts};

/// Whether the merged message has all required fields, at any depth. The bytes have been walked: they are well-formed,
/// and nested no deeper than they may.
pub(super) fn check(schema: &Schema, id: MessageId, parts: Parts<'_, '_>) -> Outcome<()> {
    let table = schema.message(id);
    let found = Groups::of(schema, table, parts)?;
    for index in &table.required {
        if let Some(field) = table.field(*index).filter(|_| found.find(*index).is_none()) {
            return Err(absent(field));
        }
    }
    found.iter().try_for_each(|group| values(schema, table, group))
}

fn values(schema: &Schema, table: &Message, group: Group<'_, '_>) -> Outcome<()> {
    let Some((field, id)) = table.field(group.index).and_then(|field| Some((field, field.kind.message()?))) else {
        return Ok(());
    };
    let named = |stop: Box<Stop>| stop.map(|fault| fault.within(field.name()));
    if field.label == Label::Singular {
        return check(schema, id, Parts::Several(group.values)).map_err(named);
    }
    group.values.iter().enumerate().try_for_each(|(at, element)| {
        let checked = check(schema, id, Parts::Whole(element.piece.bytes));
        checked.map_err(|stop| named(stop.map(|fault| fault.element(at))))
    })
}
