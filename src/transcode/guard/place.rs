//! Where in a message something is wrong: which element of a list, which key of a map. Found by walking once more, so
//! that messages in order pay nothing for it.

use crate::catalog::{Field, Kind, Label, Schema};
use crate::transcode::fault::Fault;
use crate::wire::{Cursor, unzigzag};

/// Characters of a map's key that a path shows.
const KEY: usize = 32;

/// Adds the steps for this field to a path. `span`: where its message starts, and where the field does; `element`: which
/// one of a packed run.
pub(super) fn add(
    fault: Box<Fault>,
    schema: &Schema,
    span: (Cursor<'_>, Cursor<'_>),
    field: &Field,
    element: usize,
) -> Box<Fault> {
    let key = if field.label == Label::Map { key(schema, span.1, field) } else { None };
    let fault = match (field.label, key) {
        (Label::Singular, _) => fault,
        (_, Some(key)) => fault.key(key),
        (_, None) => fault.element(elements(span, field).saturating_add(element)),
    };
    fault.within(field.name())
}

/// How many elements the field has had before.
fn elements((mut cursor, field_start): (Cursor<'_>, Cursor<'_>), field: &Field) -> usize {
    let mut count = 0;
    while cursor.remaining() > field_start.remaining() {
        let Ok(tag) = cursor.tag() else { break };
        let Ok(piece) = cursor.piece(tag) else { break };
        if tag >> 3 != field.number {
            continue;
        }
        count += match (tag & 7 == field.kind.wire_type(), field.kind.wire_type()) {
            (true, _) => 1,
            (_, 1) => piece.bytes.len() / 8,
            (_, 5) => piece.bytes.len() / 4,
            _ => piece.bytes.iter().filter(|byte| **byte < 0x80).count(),
        };
    }
    count
}

/// The key of the entry that starts here, as text, if it can be read.
fn key(schema: &Schema, mut cursor: Cursor<'_>, field: &Field) -> Option<String> {
    let (key, _) = schema.message(field.kind.message()?).entry()?;
    cursor.tag().ok()?;
    let mut entry = Cursor::new(cursor.bytes().ok()?);
    let mut found = None;
    while let Ok(tag) = entry.tag() {
        let Ok(piece) = entry.piece(tag) else { break };
        if tag == key.tag {
            found = Some(piece);
        }
    }
    let piece = found?;
    Some(match key.kind {
        Kind::String => {
            let text = std::str::from_utf8(piece.bytes).ok()?;
            let mut shown: String = text.chars().take(KEY).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        }
        Kind::Bool => (piece.bits != 0).to_string(),
        Kind::Sint32 | Kind::Sint64 => unzigzag(piece.bits).to_string(),
        Kind::Int32 | Kind::Sfixed32 => (piece.bits as i32).to_string(),
        Kind::Int64 | Kind::Sfixed64 => (piece.bits as i64).to_string(),
        _ => piece.bits.to_string(),
    })
}
