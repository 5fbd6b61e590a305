//! The records of an encoded message, one after another: descriptors and rules are read by hand where the crates
//! would drop what they do not know (`edition`, extensions of options).

use crate::wire::varint;

/// Groups within groups that are followed: as many as prost follows.
const MAX_GROUPS: usize = 100;

/// The fields at the top level of an encoded message, in the order of the bytes.
pub(super) struct Records<'a> {
    rest: &'a [u8],
    length: usize,
}

/// One field: its number, its value, and all its bytes with the tag.
pub(super) struct Record<'a> {
    pub number: u32,
    pub value: Value<'a>,
    pub whole: &'a [u8],
}

/// A value as the wire shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, or a group; nothing here needs them.
    Other,
}

/// The bytes are not a protobuf message. Holds the offset at which they stop to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub usize);

// === impl Records ===

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { rest: bytes, length: bytes.len() }
    }

    fn read(&mut self) -> Option<Record<'a>> {
        let (tag, tag_length) = varint(self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|&number| number != 0 && number < 1 << 29)?;
        let body = self.rest.get(tag_length..)?;
        let (value, length) = match tag & 7 {
            0 => varint(body).map(|(value, length)| (Value::Varint(value), length))?,
            1 => (Value::Other, 8),
            2 => {
                let (count, prefix) = varint(body)?;
                let end = usize::try_from(count).ok()?.checked_add(prefix)?;
                (Value::Bytes(body.get(prefix..end)?), end)
            }
            3 => (Value::Other, group_length(body, number)?),
            5 => (Value::Other, 4),
            _ => return None,
        };
        let whole = self.rest.get(..tag_length.checked_add(length)?)?;
        self.rest = self.rest.get(whole.len()..)?;
        Some(Record { number, value, whole })
    }
}

/// The length of a group after its start tag, the end tag included. Only options of other people hold groups.
fn group_length(body: &[u8], number: u32) -> Option<usize> {
    let mut open = vec![number];
    let mut at = 0usize;
    while let Some(innermost) = open.last().copied() {
        let rest = body.get(at..)?;
        let (tag, length) = varint(rest)?;
        let number = u32::try_from(tag >> 3).ok()?;
        let rest = rest.get(length..)?;
        let passed = match tag & 7 {
            0 => varint(rest)?.1,
            1 => 8,
            2 => {
                let (count, prefix) = varint(rest)?;
                usize::try_from(count).ok()?.checked_add(prefix)?
            }
            3 if open.len() < MAX_GROUPS => {
                open.push(number);
                0
            }
            4 if number == innermost => {
                open.pop();
                0
            }
            5 => 4,
            _ => return None,
        };
        at = at.checked_add(length)?.checked_add(passed)?;
    }
    Some(at)
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match self.read() {
            Some(record) => Some(Ok(record)),
            None => {
                let at = self.length - self.rest.len();
                self.rest = &[];
                Some(Err(Damaged(at)))
            }
        }
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// The bytes of a string, bytes or message field of this number.
    pub fn bytes(&self, number: u32) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) if self.number == number => Some(bytes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_bytes, put_uint};

    #[test]
    fn records_come_with_number_value_and_all_their_bytes() {
        let mut bytes = Vec::new();
        put_uint(&mut bytes, 3, 300);
        put_bytes(&mut bytes, 72_295_728, b"abc");
        let records: Vec<_> = Records::new(&bytes).map(|record| record.unwrap()).collect();
        assert_eq!((records[0].number, records[0].value), (3, Value::Varint(300)));
        assert_eq!(records[1].bytes(72_295_728), Some(&b"abc"[..]));
        assert_eq!(records.iter().map(|record| record.whole.len()).sum::<usize>(), bytes.len());
    }

    #[test]
    fn groups_are_passed_over_whole() {
        let bytes = b"\x0b\x08\x01\x13\x12\x02ab\x14\x1d\0\0\0\0\x0c\x10\x05";
        let records: Vec<_> = Records::new(bytes).map(|record| record.unwrap()).collect();
        assert_eq!((records[0].number, records[0].value, records[0].whole.len()), (1, Value::Other, 15));
        assert_eq!((records[1].number, records[1].value), (2, Value::Varint(5)));
        let deep = [vec![0x0b; 101], vec![0x0c; 101]].concat();
        for damaged in [&b"\x0b\x14"[..], b"\x0b\x08", b"\x0b\x12\x7f\x0c", b"\x0c", &deep] {
            assert!(Records::new(damaged).any(|record| record.is_err()), "{damaged:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_message_end_with_the_offset_of_the_damage() {
        for damaged in [&b"\x08"[..], b"\x0a\x05ab", b"\x00\x01", b"\x0b", b"\x0d\0\0\0", b"\xff\xff\xff\xff\xff\x01"] {
            let ends: Vec<_> = Records::new(damaged).map(|record| record.err()).collect();
            assert_eq!(ends, [Some(Damaged(0))], "{damaged:?}");
        }
        let ends: Vec<_> = Records::new(b"\x08\x01\x0a\x7f").map(|record| record.err()).collect();
        assert_eq!(ends, [None, Some(Damaged(2))]);
    }
}
