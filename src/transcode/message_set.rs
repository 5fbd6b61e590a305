//! `option message_set_wire_format`: messages that hold nothing but extensions, encoded in a way that predates them.
//!
//! `group Item = 1 { required int32 type_id = 2; required string message = 3; }` for each extension; in JSON an object
//! as any other. Both directions turn these items from and into plain fields, and let the tables do the rest: such
//! messages are rare, and the two ways stay one.

use crate::wire::{Cursor, Malformed, put_bytes, put_uint, put_varint};

/// The tags of an item, and of what is in it.
const ITEM: u32 = 1 << 3 | 3;
const END: u32 = 1 << 3 | 4;
const TYPE_ID: u32 = 2 << 3;
const MESSAGE: u32 = 3 << 3 | 2;

/// Field numbers end below this (encoding guide); the type ids of items may be larger, but no field of ours is.
const NUMBERS: u64 = 1 << 29;

/// Writes length-delimited fields as items.
pub(super) fn to_items(fields: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(fields);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let content = cursor.piece(tag)?.bytes;
        put_varint(out, ITEM.into());
        put_uint(out, 2, u64::from(tag >> 3));
        put_bytes(out, 3, content);
        put_varint(out, END.into());
    }
    Ok(())
}

/// The fields that a message set's items stand for, in their order; fields beside the items stay as they are, as in
/// protobuf's readers. Items without a type are left out.
pub(super) fn from_items(wire: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut fields = Vec::with_capacity(wire.len());
    let mut cursor = Cursor::new(wire);
    while !cursor.is_empty() {
        let before = cursor.remaining();
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        if tag == ITEM {
            item(piece.bytes, &mut fields)?;
        } else {
            let whole = wire.len() - before..wire.len() - cursor.remaining();
            fields.extend_from_slice(wire.get(whole).unwrap_or_default());
        }
    }
    Ok(fields)
}

/// One item, whose two fields may come in either order. Encodings behind one another are the merged message.
fn item(bytes: &[u8], fields: &mut Vec<u8>) -> Result<(), Malformed> {
    let (mut number, mut content) = (0, Vec::new());
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        match tag {
            TYPE_ID => number = piece.bits,
            MESSAGE => content.extend_from_slice(piece.bytes),
            _ => {}
        }
    }
    match u32::try_from(number) {
        Ok(number @ 1..) if u64::from(number) < NUMBERS => put_bytes(fields, number, &content),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_fields_are_turned_into_one_another() {
        let items = b"\x0b\x10\x64\x1a\x02\x08\x01\x0c\x0b\x10\x65\x1a\x00\x0c";
        let fields = b"\xa2\x06\x02\x08\x01\xaa\x06\x00";
        assert_eq!(from_items(items).as_deref(), Ok(&fields[..]));
        let mut out = Vec::new();
        assert_eq!(to_items(fields, &mut out), Ok(()));
        assert_eq!(out, items);
    }

    #[test]
    fn items_are_read_in_any_order_and_odd_ones_left_out() {
        for (items, fields) in [
            (&b"\x0b\x1a\x01a\x10\x64\x1a\x01b\x0c"[..], &b"\xa2\x06\x02ab"[..]),
            (b"\xa2\x06\x01a", b"\xa2\x06\x01a"),
            (b"\x0b\x1a\x01a\x0c", b""),
            (b"\x0b\x10\x00\x1a\x01a\x0c", b""),
            (b"\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01a\x0c", b""),
            (b"\x0b\x10\x80\x80\x80\x80\x02\x1a\x01a\x0c", b""),
        ] {
            assert_eq!(from_items(items).as_deref(), Ok(fields), "{items:x?}");
        }
        for cut in [&b"\x0b\x10\x64\x1a\x02a\x0c"[..], b"\x0b\x10\x64", b"\x0b\x0b\x0c", b"\xa2\x06\x02a"] {
            assert!(from_items(cut).is_err(), "{cut:x?}");
        }
    }
}
