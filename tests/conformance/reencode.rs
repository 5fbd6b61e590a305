//! A message read and written anew, as protobuf's own libraries do it: known fields in the order of their numbers, split
//! messages merged, repeated scalars packed as the schema says, unknown fields kept behind them.
//!
//! Made for the conformance runner alone, from the same tables and the same cursor as the transcoder.

use std::collections::BTreeMap;

use transom::catalog::{Field, Kind, Label, Message, MessageId, Presence, Schema};
use transom::transcode::MAX_DEPTH;
use transom::wire::{Cursor, Malformed, Piece, put_bytes, put_varint};

/// The values of one field, as they came.
type Values<'w> = Vec<Piece<'w>>;

/// Reads a whole message and writes it anew.
pub fn reencode(schema: &Schema, id: MessageId, wire: &[u8]) -> Result<Vec<u8>, Malformed> {
    message(schema, id, wire, 0)
}

fn message(schema: &Schema, id: MessageId, wire: &[u8], depth: u32) -> Result<Vec<u8>, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed("nested deeper than 100 levels"));
    }
    let table = schema.message(id);
    let (known, unknown) = sort(schema, table, wire)?;
    let mut out = Vec::new();
    for (index, values) in known {
        let field = &table.fields[usize::from(index)];
        match field.label {
            Label::Singular => single(schema, field, &values, depth, &mut out)?,
            Label::Repeated if field.packed => packed(field, &values, &mut out),
            _ => values.iter().try_for_each(|value| put(schema, field, value, depth, &mut out))?,
        }
    }
    out.extend(unknown);
    Ok(out)
}

/// Values by field, in the order of the numbers, and all that is unknown, as it came.
fn sort<'w>(
    schema: &Schema,
    table: &Message,
    wire: &'w [u8],
) -> Result<(BTreeMap<u16, Values<'w>>, Vec<u8>), Malformed> {
    let (mut known, mut unknown) = (BTreeMap::<u16, Values<'w>>::new(), Vec::new());
    let mut cursor = Cursor::new(wire);
    while !cursor.is_empty() {
        let before = cursor.remaining();
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        let start = wire.len() - before;
        let raw = &wire[start..wire.len() - cursor.remaining()];
        let Some((index, field)) = table.field_by_number(tag >> 3).filter(|(_, field)| takes(field, tag & 7)) else {
            unknown.extend_from_slice(raw);
            continue;
        };
        if let Some(oneof) = field.oneof {
            known.retain(|other, _| *other == index || table.fields[usize::from(*other)].oneof != Some(oneof));
        }
        let values = if tag & 7 == field.kind.wire_type() { vec![piece] } else { unpack(field.kind, piece.bytes)? };
        for value in values {
            if is_known(schema, field, &value)? {
                known.entry(index).or_default().push(value);
            } else if field.label == Label::Map {
                unknown.extend_from_slice(raw);
            } else {
                put_varint(&mut unknown, u64::from(field.number) << 3);
                put_varint(&mut unknown, value.bits);
            }
        }
    }
    Ok((known, unknown))
}

fn takes(field: &Field, wire_type: u32) -> bool {
    let packed = field.label == Label::Repeated && field.kind.can_be_packed() && wire_type == 2;
    wire_type == field.kind.wire_type() || packed
}

fn unpack(kind: Kind, bytes: &[u8]) -> Result<Values<'_>, Malformed> {
    let (mut cursor, mut values) = (Cursor::new(bytes), Vec::new());
    while !cursor.is_empty() {
        values.push(Piece { bits: cursor.packed(kind.wire_type())?, bytes: &[] });
    }
    Ok(values)
}

/// Whether a value is one that its field may have: numbers that a closed enum lacks make it, or the entry of a map that
/// holds it, an unknown field.
fn is_known(schema: &Schema, field: &Field, value: &Piece<'_>) -> Result<bool, Malformed> {
    let (kind, bits) = match field.kind {
        Kind::Message(id) if field.label == Label::Map => {
            let Some((_, entry)) = schema.message(id).entry() else { return Ok(true) };
            (entry.kind, last(entry, value.bytes)?.map_or(0, |piece| piece.bits))
        }
        kind => (kind, value.bits),
    };
    let Kind::Enum(id) = kind else { return Ok(true) };
    let enumeration = schema.enumeration(id);
    Ok(!enumeration.closed || enumeration.name_of(bits as i32).is_some())
}

fn last<'w>(field: &Field, wire: &'w [u8]) -> Result<Option<Piece<'w>>, Malformed> {
    let (mut cursor, mut last) = (Cursor::new(wire), None);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        last = if tag == field.tag { Some(piece) } else { last };
    }
    Ok(last)
}

fn single(
    schema: &Schema,
    field: &Field,
    values: &[Piece<'_>],
    depth: u32,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let Some(last) = values.last() else { return Ok(()) };
    if field.kind.message().is_some() {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.bytes).copied().collect();
        return put(schema, field, &Piece { bits: 0, bytes: &bytes }, depth, out);
    }
    values.iter().try_for_each(|value| check(field, value))?;
    if field.presence == Presence::Implicit && cut(field.kind, last.bits) == 0 && last.bytes.is_empty() {
        return Ok(());
    }
    put(schema, field, last, depth, out)
}

fn packed(field: &Field, values: &[Piece<'_>], out: &mut Vec<u8>) {
    let mut run = Vec::new();
    values.iter().for_each(|value| scalar(field.kind, value.bits, &mut run));
    if !run.is_empty() {
        put_bytes(out, field.number, &run);
    }
}

fn put(schema: &Schema, field: &Field, value: &Piece<'_>, depth: u32, out: &mut Vec<u8>) -> Result<(), Malformed> {
    check(field, value)?;
    match field.kind {
        Kind::String | Kind::Bytes => put_bytes(out, field.number, value.bytes),
        Kind::Message(id) => put_bytes(out, field.number, &message(schema, id, value.bytes, depth + 1)?),
        Kind::Group(id) => {
            put_varint(out, field.tag.into());
            out.extend(message(schema, id, value.bytes, depth + 1)?);
            put_varint(out, u64::from(field.tag) + 1);
        }
        kind => {
            put_varint(out, u64::from(field.number << 3 | kind.wire_type()));
            scalar(kind, value.bits, out);
        }
    }
    Ok(())
}

fn check(field: &Field, value: &Piece<'_>) -> Result<(), Malformed> {
    if field.check_utf8 && std::str::from_utf8(value.bytes).is_err() {
        return Err(Malformed("a string is not UTF-8"));
    }
    Ok(())
}

fn scalar(kind: Kind, bits: u64, out: &mut Vec<u8>) {
    match kind.wire_type() {
        1 => out.extend_from_slice(&bits.to_le_bytes()),
        5 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => put_varint(out, cut(kind, bits)),
    }
}

/// What is left of a varint that is longer than its kind.
fn cut(kind: Kind, bits: u64) -> u64 {
    match kind {
        Kind::Bool => u64::from(bits != 0),
        Kind::Int32 | Kind::Enum(_) => i64::from(bits as i32) as u64,
        Kind::Uint32 | Kind::Sint32 => u64::from(bits as u32),
        _ => bits,
    }
}
