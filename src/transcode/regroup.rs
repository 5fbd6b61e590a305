//! A message's values by field, after protobuf's rules of merging: the exact way for messages that come out of order.

use super::json_write::{is_empty_run, shows, takes};
use crate::catalog::{Label, Message, Schema};
use crate::wire::{Cursor, Malformed, Piece};

/// All values of one field that count, in the order in which they came, with their wire types.
pub(super) struct Group<'w> {
    pub(super) index: u16,
    pub(super) pieces: Vec<(u32, Piece<'w>)>,
}

/// Groups in the order of the fields. Of a oneof only the member that came last is there, with nothing of it from
/// before another member displaced it. Costs some 40 bytes for each value while it lasts.
pub(super) fn regroup<'w>(schema: &Schema, message: &Message, bytes: &'w [u8]) -> Result<Vec<Group<'w>>, Malformed> {
    let mut found: Vec<(u16, u32, Piece<'w>)> = Vec::new();
    // Per oneof: the member that holds it, and from where on in `found`.
    let mut oneofs: Vec<(u16, u16, usize)> = Vec::new();
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        let Some((index, field)) = message
            .field_by_number(tag >> 3)
            .filter(|(_, field)| takes(field, tag & 7) && !is_empty_run(field, tag & 7, &piece))
        else {
            continue;
        };
        if field.label == Label::Singular && !shows(schema, field.kind, piece.bits) {
            continue;
        }
        if let Some(oneof) = field.oneof {
            match oneofs.iter_mut().find(|(other, ..)| *other == oneof) {
                Some((_, member, from)) if *member != index => (*member, *from) = (index, found.len()),
                Some(_) => {}
                None => oneofs.push((oneof, index, found.len())),
            }
        }
        found.push((index, tag & 7, piece));
    }
    let counts = |position: usize, index: u16| match message.field(index).and_then(|field| field.oneof) {
        Some(oneof) => {
            oneofs.iter().any(|(other, member, from)| *other == oneof && *member == index && position >= *from)
        }
        None => true,
    };
    let mut kept: Vec<_> = found.into_iter().enumerate().filter(|(at, (index, ..))| counts(*at, *index)).collect();
    kept.sort_by_key(|(_, (index, ..))| *index);
    Ok(kept
        .chunk_by(|(_, (one, ..)), (_, (other, ..))| one == other)
        .filter_map(|run| {
            let index = run.first().map(|(_, (index, ..))| *index)?;
            Some(Group { index, pieces: run.iter().map(|(_, (_, wire_type, piece))| (*wire_type, *piece)).collect() })
        })
        .collect())
}
