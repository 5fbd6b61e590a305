//! Walking encoded protobuf (encoding guide, "Message Structure") without a schema.

use super::varint;

/// The rest of a message that is being read, front to back. Copying one is how to look ahead.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

/// The value of one field, whatever its type: the number it holds, or the bytes of its content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece<'a> {
    /// Of a varint the value, of fixed-size fields the little-endian bits.
    pub bits: u64,
    /// Of length-delimited fields and groups the content, without length or tags.
    pub bytes: &'a [u8],
}

/// One field as it stands in a message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Field number times 8 plus wire type.
    pub tag: u32,
    pub piece: Piece<'a>,
    /// All its bytes, the tag included.
    pub whole: &'a [u8],
}

/// The fields at the top level of an encoded message, in the order of the bytes. An error is the last item.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
}

/// Why bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Groups nested deeper than this are refused while they are skipped (as deep as messages may nest).
const MAX_GROUPS: usize = 100;

const CUT_SHORT: Malformed = Malformed("the message is cut short");

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads a varint of at most ten bytes.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        // One byte is what most are: tags, lengths, small numbers.
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        // handed over by value: a cursor whose address nobody takes stays in registers
        let (value, rest) = long_varint(self.rest)?;
        self.rest = rest;
        Ok(value)
    }

    /// Reads a tag: field number (1 to 2^29-1) times 8 plus wire type, in at most five bytes.
    #[inline]
    pub fn tag(&mut self) -> Result<u32, Malformed> {
        if let [byte @ 8..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u32::from(*byte));
        }
        let (tag, rest) = long_tag(self.rest)?;
        self.rest = rest;
        Ok(tag)
    }

    /// Reads a length and as many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| CUT_SHORT)?)
    }

    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// What is behind the value that follows this tag.
    #[inline(never)]
    pub fn behind(mut self, tag: u32) -> Result<Cursor<'a>, Malformed> {
        self.piece(tag)?;
        Ok(self)
    }

    /// Reads the value that follows this tag; a group up to and including its end tag.
    #[inline(always)]
    pub fn piece(&mut self, tag: u32) -> Result<Piece<'a>, Malformed> {
        match tag & 7 {
            0 => Ok(Piece { bits: self.varint()?, bytes: &[] }),
            2 => Ok(Piece { bits: 0, bytes: self.bytes()? }),
            _ => {
                let (piece, behind) = self.other_piece(tag)?;
                *self = behind;
                Ok(piece)
            }
        }
    }

    /// Reads a tag and its value.
    #[inline]
    pub fn record(&mut self) -> Result<Record<'a>, Malformed> {
        let before = self.rest;
        let tag = self.tag()?;
        let piece = self.piece(tag)?;
        let whole = before.get(..before.len() - self.rest.len()).ok_or(CUT_SHORT)?;
        Ok(Record { tag, piece, whole })
    }

    #[inline(never)]
    fn other_piece(mut self, tag: u32) -> Result<(Piece<'a>, Cursor<'a>), Malformed> {
        let piece = match tag & 7 {
            1 => Piece { bits: self.fixed64()?, bytes: &[] },
            3 => Piece { bits: 0, bytes: self.group(tag >> 3)? },
            5 => Piece { bits: u64::from(self.fixed32()?), bytes: &[] },
            4 => return Err(Malformed("a group ends that did not begin")),
            _ => return Err(Malformed("a tag has a wire type that does not exist")),
        };
        Ok((piece, self))
    }

    /// Reads one value of this wire type as it stands in a packed field: 0, 1 or 5.
    #[inline]
    pub fn packed(&mut self, wire_type: u32) -> Result<u64, Malformed> {
        match wire_type {
            0 => self.varint(),
            1 => self.fixed64(),
            _ => self.fixed32().map(u64::from),
        }
    }

    /// Whether the next field has this tag, as far as one or two bytes tell; a wrong no costs a look-up, nothing else.
    #[inline]
    pub fn goes_on(&self, tag: u32) -> bool {
        match self.rest {
            [first, ..] if tag < 0x80 => u32::from(*first) == tag,
            [first, second, ..] => u32::from(*first & 0x7f) | u32::from(*second) << 7 == tag,
            _ => false,
        }
    }

    /// Reads a group's content, up to and including its end tag. Iterates: a peer cannot exhaust the stack.
    fn group(&mut self, number: u32) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        let mut open = [0u32; MAX_GROUPS];
        let mut depth = 0;
        if let Some(outermost) = open.first_mut() {
            *outermost = number;
        }
        loop {
            let before = self.rest.len();
            let tag = self.tag()?;
            match tag & 7 {
                3 => {
                    depth += 1;
                    *open.get_mut(depth).ok_or(Malformed("groups are nested deeper than 100 levels"))? = tag >> 3;
                }
                4 if open.get(depth) != Some(&(tag >> 3)) => {
                    return Err(Malformed("a group ends that did not begin"));
                }
                4 if depth == 0 => return start.get(..start.len() - before).ok_or(CUT_SHORT),
                4 => depth -= 1,
                _ => {
                    self.piece(tag)?;
                }
            }
        }
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// The field's number.
    pub fn number(&self) -> u32 {
        self.tag >> 3
    }

    /// The field's number and its value.
    pub fn numbered(&self) -> (u32, Piece<'a>) {
        (self.number(), self.piece)
    }
}

// === impl Records ===

/// Goes through an encoded message.
pub fn records(message: &[u8]) -> Records<'_> {
    Records { cursor: Cursor::new(message) }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let record = self.cursor.record();
        if record.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(record)
    }
}

fn long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let (value, used) = varint(bytes).ok_or(Malformed("a varint is cut short or too long"))?;
    Ok((value, bytes.get(used..).ok_or(CUT_SHORT)?))
}

fn long_tag(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let (tag, rest) = long_varint(bytes)?;
    match u32::try_from(tag) {
        Ok(tag) if tag >= 8 && bytes.len() - rest.len() <= 5 => Ok((tag, rest)),
        _ => Err(Malformed("a tag has no valid field number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_at_its_own_end_tag() {
        // group 1 { 2: varint 5, group 3 { } }, then field 4
        let bytes = [0x0b, 0x10, 5, 0x1b, 0x1c, 0x0c, 0x20, 7];
        let mut cursor = Cursor::new(&bytes);
        let tag = cursor.tag().expect("a tag");
        assert_eq!(cursor.piece(tag).expect("a group").bytes, &bytes[1..5]);
        assert_eq!(cursor.tag(), Ok(0x20));
        assert_eq!(cursor.varint(), Ok(7));
        assert!(cursor.is_empty());
    }

    #[test]
    fn records_are_all_of_a_message_and_end_with_the_first_error() {
        let bytes = [0x0b, 0x10, 5, 0x0c, 0x12, 2, b'a', b'b', 0x18, 7];
        let read: Vec<_> = records(&bytes).map(|record| record.expect("a record")).collect();
        assert_eq!(read.iter().map(Record::number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((read[1].piece.bytes, read[2].piece.bits), (&b"ab"[..], 7));
        assert_eq!(read.iter().map(|record| record.whole).collect::<Vec<_>>().concat(), bytes);
        let ends: Vec<_> = records(&bytes[..7]).map(|record| record.is_ok()).collect();
        assert_eq!(ends, [true, false]);
    }

    #[test]
    fn a_tag_has_at_most_five_bytes() {
        for (bytes, tag) in [
            (&[0x08][..], Ok(8)),
            (&[0x7f], Ok(0x7f)),
            (&[0x88, 0x80, 0x80, 0x80, 0x00], Ok(8)),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(u32::MAX)),
            (&[0x88, 0x80, 0x80, 0x80, 0x80, 0x00], Err(())),
            (&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(())),
            (&[0x07], Err(())),
            (&[0x87, 0x00], Err(())),
            (&[0x88], Err(())),
            (&[], Err(())),
        ] {
            assert_eq!(Cursor::new(bytes).tag().map_err(drop), tag, "{bytes:x?}");
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        for bytes in [
            &[0x0b, 0x14][..],
            &[0x0c],
            &[0x0b],
            &[0x07],
            &[0x00],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x0d, 1, 2],
        ] {
            let mut cursor = Cursor::new(bytes);
            let read = cursor.tag().and_then(|tag| cursor.piece(tag));
            assert!(read.is_err(), "{bytes:?}");
        }
        let deep = vec![0x0b; 100_000];
        let mut cursor = Cursor::new(&deep);
        assert!(cursor.tag().and_then(|tag| cursor.piece(tag)).is_err());
    }
}
