//! `option message_set_wire_format`: messages that hold nothing but extensions, encoded in a way that predates them.
//!
//! `group Item = 1 { required int32 type_id = 2; required string message = 3; }` for each extension; in JSON an object
//! as any other. Reading, plain fields are turned into these items; printing, the items are values among others
//! ([`super::regroup`]).

use super::regroup::Parts;
use crate::wire::{Cursor, Malformed, put_bytes, put_uint, put_varint};

/// The tags of an item, and of what is in it.
pub(super) const ITEM: u32 = 1 << 3 | 3;
const END: u32 = 1 << 3 | 4;
const TYPE_ID: u32 = 2 << 3;
const MESSAGE: u32 = 3 << 3 | 2;

/// Field numbers end below this (encoding guide); the type ids of items may be larger, but no field of ours is.
const NUMBERS: u32 = 1 << 29;

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

/// What an item holds, with the number of the extension that it belongs to; the two may come in either order, and contents
/// one behind the other are the merged message. Nothing of an item without a type.
pub(super) fn contents(item: &[u8]) -> Result<impl Iterator<Item = (u32, &[u8])>, Malformed> {
    let mut number = 0;
    for field in Parts::Whole(item).fields() {
        let (tag, piece) = field?;
        if tag == TYPE_ID {
            number = piece.bits;
        }
    }
    let number = u32::try_from(number).ok().filter(|number| (1..NUMBERS).contains(number));
    let pieces = Parts::Whole(item).fields().flatten();
    Ok(pieces.filter_map(move |(tag, piece)| Some((number.filter(|_| tag == MESSAGE)?, piece.bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(item: &[u8]) -> Option<Vec<(u32, &[u8])>> {
        contents(item).ok().map(Iterator::collect)
    }

    #[test]
    fn fields_are_written_as_items() {
        let mut out = Vec::new();
        assert_eq!(to_items(b"\xa2\x06\x02\x08\x01\xaa\x06\x00", &mut out), Ok(()));
        assert_eq!(out, b"\x0b\x10\x64\x1a\x02\x08\x01\x0c\x0b\x10\x65\x1a\x00\x0c");
    }

    #[test]
    fn items_are_read_in_any_order_and_odd_ones_left_out() {
        assert_eq!(read(b"\x10\x64\x1a\x01a"), Some(vec![(100, &b"a"[..])]));
        assert_eq!(read(b"\x1a\x01a\x10\x64\x1a\x01b"), Some(vec![(100, &b"a"[..]), (100, b"b")]));
        for item in [
            &b""[..],
            b"\x10\x64",
            b"\x1a\x01a",
            b"\x10\x00\x1a\x01a",
            b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01a",
            b"\x10\x80\x80\x80\x80\x02\x1a\x01a",
        ] {
            assert_eq!(read(item), Some(Vec::new()), "{item:x?}");
        }
        for cut in [&b"\x10\x64\x1a\x02a"[..], b"\x10\x80", b"\x0b"] {
            assert_eq!(read(cut), None, "{cut:x?}");
        }
    }
}
