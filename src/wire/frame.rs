//! The five-byte envelope of gRPC, gRPC-Web and Connect streams: one flag byte, four bytes of length (big endian),
//! the message (gRPC `doc/PROTOCOL-HTTP2.md`, "Length-Prefixed-Message").

use bytes::{Buf, Bytes, BytesMut};

/// Flag: the message is compressed.
pub const COMPRESSED: u8 = 0x01;
/// Flag of gRPC-Web: the frame holds the trailers, and is the last one.
pub const TRAILERS: u8 = 0x80;
/// Bytes before each message.
pub const PREFIX: usize = 5;

/// What is wrong with a stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// A message is longer than the limit; both in bytes.
    TooLarge { length: usize, limit: usize },
    /// A flag that the protocol does not know, or that is not expected here.
    BadFlags(u8),
    /// The stream ended within a frame.
    Cut,
}

/// Follows the frames of a stream over its chunks without touching their bytes: counts messages, checks sizes.
#[derive(Debug)]
pub struct FrameScanner {
    prefix: [u8; PREFIX],
    /// How many bytes of the prefix are there.
    have: u8,
    /// How many bytes of the message are still to come.
    left: usize,
    messages: u64,
    limit: usize,
    /// Of the last chunk, the bytes before the frame that is broken.
    sound: usize,
}

/// Cuts a stream of chunks into messages. A message that lies in one chunk is a slice of it; only one that is spread
/// over several is copied. Holds at most one message of the limit's size plus one chunk.
#[derive(Debug)]
pub struct FrameReader {
    chunk: Bytes,
    partial: BytesMut,
    limit: usize,
}

/// One message with its flags.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub flags: u8,
    pub payload: Bytes,
}

/// The envelope's prefix for a message of this length. A length over 4 GiB does not fit the envelope; limits keep
/// messages far below it, and such a length is cut to the largest so that the receiver refuses it.
pub fn prefix(flags: u8, length: usize) -> [u8; PREFIX] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flags, a, b, c, d]
}

fn check(prefix: [u8; PREFIX], limit: usize) -> Result<(u8, usize), FrameFault> {
    let [flags, a, b, c, d] = prefix;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if flags & !COMPRESSED != 0 {
        return Err(FrameFault::BadFlags(flags));
    }
    if length > limit {
        return Err(FrameFault::TooLarge { length, limit });
    }
    Ok((flags, length))
}

/// 0 in settings means: no limit.
fn effective(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

// === impl FrameScanner ===

impl FrameScanner {
    /// `limit`: the most bytes of one message; 0 for no limit.
    pub fn new(limit: usize) -> FrameScanner {
        FrameScanner { prefix: [0; PREFIX], have: 0, left: 0, messages: 0, limit: effective(limit), sound: 0 }
    }

    /// Follows one chunk. After a fault there is nothing more to be followed; [`FrameScanner::sound`] says how much of
    /// the chunk is good.
    pub fn scan(&mut self, mut chunk: &[u8]) -> Result<(), FrameFault> {
        let whole = chunk.len();
        loop {
            if self.left > 0 {
                let skip = self.left.min(chunk.len());
                self.left -= skip;
                chunk = chunk.get(skip..).unwrap_or(&[]);
            }
            if chunk.is_empty() {
                return Ok(());
            }
            let have = usize::from(self.have);
            let take = (PREFIX - have).min(chunk.len());
            let (front, rest) = chunk.split_at(take);
            if let Some(slot) = self.prefix.get_mut(have..have + take) {
                slot.copy_from_slice(front);
            }
            chunk = rest;
            self.have += take as u8;
            if usize::from(self.have) == PREFIX {
                self.have = 0;
                self.left = match check(self.prefix, self.limit) {
                    Ok((_, length)) => length,
                    Err(fault) => {
                        // what earlier chunks held of the broken frame's prefix is what has gone out of it
                        self.have = have as u8;
                        self.sound = whole.saturating_sub(chunk.len() + take);
                        return Err(fault);
                    }
                };
                self.messages += 1;
            }
        }
    }

    /// After a fault: bytes of the last chunk that stand before the frame that is broken.
    pub fn sound(&self) -> usize {
        self.sound
    }

    /// Messages whose prefix has been seen.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether the stream may end here; after a fault, whether it may behind what is sound.
    pub fn at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

// === impl FrameReader ===

impl FrameReader {
    /// `limit`: the most bytes of one message; 0 for no limit.
    pub fn new(limit: usize) -> FrameReader {
        FrameReader { chunk: Bytes::new(), partial: BytesMut::new(), limit: effective(limit) }
    }

    /// Takes the next chunk; call [`FrameReader::next`] until it has no more before giving another.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() && self.partial.is_empty() {
            self.chunk = chunk;
        } else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            self.partial.extend_from_slice(&chunk);
        }
    }

    /// The next whole message, if it is there.
    #[allow(clippy::should_implement_trait)] // fallible, and not the end of anything when it is `None`
    pub fn next(&mut self) -> Result<Option<Frame>, FrameFault> {
        let found = self.next_framed()?;
        Ok(found.map(|(flags, mut payload)| {
            payload.advance(PREFIX);
            Frame { flags, payload }
        }))
    }

    /// The same with its prefix before it, as it came: what is only looked at can go on without being copied. Beside it
    /// its flags.
    pub fn next_framed(&mut self) -> Result<Option<(u8, Bytes)>, FrameFault> {
        let partial = !self.partial.is_empty();
        let held: &[u8] = if partial { &self.partial } else { &self.chunk };
        let Some(prefix) = held.first_chunk::<PREFIX>() else { return Ok(None) };
        let (flags, length) = check(*prefix, self.limit)?;
        if held.len() - PREFIX < length {
            if partial {
                // room for the rest of this message, which is within the limit
                self.partial.reserve((PREFIX + length).saturating_sub(self.partial.len()).min(1 << 20));
            }
            return Ok(None);
        }
        let whole = PREFIX + length;
        let frame = if partial { self.partial.split_to(whole).freeze() } else { self.chunk.split_to(whole) };
        Ok(Some((flags, frame)))
    }

    /// To be called when the stream has ended and [`FrameReader::next`] has no more.
    pub fn finish(&self) -> Result<(), FrameFault> {
        if self.chunk.is_empty() && self.partial.is_empty() { Ok(()) } else { Err(FrameFault::Cut) }
    }
}

impl std::fmt::Display for FrameFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameFault::TooLarge { length, limit } => {
                write!(f, "a message of {length} bytes is over the limit of {limit} bytes")
            }
            FrameFault::BadFlags(flags) => write!(f, "a frame has the flags {flags:#04x}, which mean nothing here"),
            FrameFault::Cut => f.write_str("the stream ended within a frame"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        for len in [0usize, 1, 4, 300, 0, 70_000] {
            bytes.extend_from_slice(&prefix(0, len));
            bytes.extend(std::iter::repeat_n(b'x', len));
        }
        bytes
    }

    #[test]
    fn reader_and_scanner_agree_however_the_stream_is_cut() {
        let bytes = stream();
        for size in [1, 2, 3, 5, 6, 7, 64, 1000, 100_000] {
            let (mut scanner, mut reader) = (FrameScanner::new(0), FrameReader::new(0));
            let mut lengths = Vec::new();
            for chunk in bytes.chunks(size) {
                scanner.scan(chunk).unwrap();
                reader.push(Bytes::copy_from_slice(chunk));
                while let Some(frame) = reader.next().unwrap() {
                    lengths.push(frame.payload.len());
                }
            }
            assert_eq!(lengths, [0, 1, 4, 300, 0, 70_000], "chunks of {size}");
            assert_eq!(scanner.messages(), 6);
            assert!(scanner.at_boundary());
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn a_frame_that_lies_in_one_chunk_is_a_part_of_it() {
        let bytes = Bytes::from(stream());
        let mut reader = FrameReader::new(0);
        reader.push(bytes.clone());
        let mut at = 0;
        while let Some((flags, frame)) = reader.next_framed().unwrap() {
            assert_eq!(flags, 0);
            assert_eq!(frame.as_ptr(), bytes[at..].as_ptr(), "nothing is copied");
            at += frame.len();
        }
        assert_eq!(at, bytes.len());
        for size in [1, 4, 7, 1000] {
            let (mut reader, mut joined) = (FrameReader::new(0), Vec::new());
            for chunk in bytes.chunks(size) {
                reader.push(Bytes::copy_from_slice(chunk));
                while let Some((_, frame)) = reader.next_framed().unwrap() {
                    joined.extend_from_slice(&frame);
                }
            }
            assert_eq!(joined, bytes, "chunks of {size}");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_prefix_alone() {
        let fault = FrameFault::TooLarge { length: 11, limit: 10 };
        assert_eq!(FrameScanner::new(10).scan(&prefix(0, 11)), Err(fault));
        let mut reader = FrameReader::new(10);
        reader.push(Bytes::copy_from_slice(&prefix(0, 11)));
        assert_eq!(reader.next(), Err(fault));
        assert_eq!(FrameScanner::new(10).scan(&prefix(0, 10)), Ok(()));
    }

    #[test]
    fn what_stands_before_a_broken_frame_is_sound() {
        let good = [&prefix(0, 3)[..], b"abc", &prefix(0, 0)].concat();
        let bytes = [&good[..], &prefix(4, 9), b"rest"].concat();
        for cut in 0..good.len() + PREFIX {
            let mut scanner = FrameScanner::new(0);
            let (first, second) = bytes.split_at(cut);
            assert_eq!(scanner.scan(first), Ok(()), "{cut}");
            assert_eq!(scanner.scan(second), Err(FrameFault::BadFlags(4)), "{cut}");
            assert_eq!(scanner.sound(), good.len().saturating_sub(cut));
            // a part of the broken frame's prefix stood in the first chunk
            assert_eq!(scanner.at_boundary(), cut <= good.len());
            assert_eq!(scanner.messages(), 2);
        }
    }

    #[test]
    fn unknown_flags_and_a_cut_stream_are_faults() {
        assert_eq!(FrameScanner::new(0).scan(&prefix(2, 0)), Err(FrameFault::BadFlags(2)));
        assert_eq!(FrameScanner::new(0).scan(&prefix(TRAILERS, 0)), Err(FrameFault::BadFlags(TRAILERS)));
        let mut scanner = FrameScanner::new(0);
        scanner.scan(&[0, 0]).unwrap();
        assert!(!scanner.at_boundary());
        let mut reader = FrameReader::new(0);
        reader.push(Bytes::from_static(&[0, 0, 0, 0, 2, 1]));
        assert_eq!(reader.next(), Ok(None));
        assert_eq!(reader.finish(), Err(FrameFault::Cut));
    }
}
