//! How messages and bodies are compressed: the five encodings that gRPC, Connect and HTTP callers use, unpacked with a
//! bound on what comes out, and packed.
//!
//! The names are those of `grpc-encoding` (gRPC `doc/compression.md`), `connect-content-encoding` and
//! `content-encoding` (RFC 9110 section 8.4.1; zstd: RFC 8878, br: RFC 7932). `deflate` is the zlib format (RFC 1950),
//! `snappy` the framed one (`framing_format.txt`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use flate2::{Compress, Compression, FlushCompress, Status};

/// An encoding that is read and written here. `identity` is none: it is `None` wherever an encoding may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Gzip,
    Deflate,
    Snappy,
    Zstd,
    Br,
}

/// What is wrong with packed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPacked {
    /// More than the limit came out, in bytes; nothing beyond it was unpacked.
    TooLarge { limit: usize },
    /// Not what the encoding says.
    Corrupt,
}

/// Unpacks a body that comes piece by piece, as far as it is there.
pub struct Unpacker {
    feed: Feed,
    reader: Box<dyn Read + Send>,
    /// The reader has come to its end.
    done: bool,
}

/// What comes out of an [`Unpacker`].
#[derive(Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// The next bytes, at most 16 KiB.
    Block(Vec<u8>),
    /// Nothing before more is pushed.
    Dry,
    /// The body is whole.
    End,
}

/// What a reader reads: blocks as long as more may come.
#[derive(Clone, Debug, Default)]
struct Feed(Arc<Mutex<Fed>>);

/// For snappy, whose reader cannot wait within one of its chunks.
#[derive(Debug)]
struct WholeChunks {
    feed: Feed,
    /// Bytes of the chunk that are still to be read.
    left: usize,
}

#[derive(Debug, Default)]
struct Fed {
    chunks: VecDeque<Bytes>,
    any: bool,
    ended: bool,
}

/// Packs a body that is written piece by piece; each piece can be unpacked as soon as it is there.
pub struct Packer(Writer);

enum Writer {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
}

/// The encodings by name, for a caller that named another.
pub const ENCODINGS: &str = "gzip, deflate, snappy, zstd, br";

/// The most that is unpacked where the operator set no limit: a frame can be no longer than 4 GiB, and a few kilobytes
/// of zeros unpack to that.
const MOST: usize = 1 << 30;

/// Level of gzip and deflate, of 9: about what web servers use for answers that are made on the spot.
const DEFLATE_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// Of 11; the higher ones are for files that are packed once.
const BR_QUALITY: u32 = 4;
/// What an [`Unpacker`] gives at a time.
const BLOCK: usize = 16 << 10;
/// Windows of 4 MiB; RFC 8878 section 3.1.1.1.2 asks decoders for 8 MiB at least.
const BR_WINDOW: u32 = 22;
const ZSTD_WINDOW_MOST: u32 = 23;
/// For bodies that stay open: what each of them costs in memory.
const STREAM_WINDOW: u32 = 17;

thread_local! {
    // a deflate state takes a quarter of a megabyte, which costs more to make anew than a message to pack
    static GZIP: RefCell<Compress> = RefCell::new(Compress::new_gzip(Compression::new(DEFLATE_LEVEL), 15));
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(DEFLATE_LEVEL), true));
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok());
}

// === impl Encoding ===

impl Encoding {
    /// All, the dearest to us first: by how much they take off for the time they take.
    const PREFERRED: [Encoding; 5] =
        [Encoding::Zstd, Encoding::Gzip, Encoding::Br, Encoding::Deflate, Encoding::Snappy];

    /// By its name in a header, in any case. `x-gzip` is the same as `gzip` (RFC 9110 section 8.4.1.3).
    pub fn from_name(name: &[u8]) -> Option<Encoding> {
        let known = Encoding::PREFERRED.into_iter();
        let mut named = known.filter(|one| name.eq_ignore_ascii_case(one.name().as_bytes()));
        named.next().or_else(|| name.eq_ignore_ascii_case(b"x-gzip").then_some(Encoding::Gzip))
    }

    pub fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Snappy => "snappy",
            Encoding::Zstd => "zstd",
            Encoding::Br => "br",
        }
    }

    /// The encoding for somebody who accepts these, in the form of `accept-encoding` (RFC 9110 section 12.5.3), which
    /// those of gRPC and Connect are a part of: the one of the highest weight, and of equal ones the one we prefer.
    /// `None` if it is best to send the bytes as they are.
    pub fn accepted<'a>(lists: impl Iterator<Item = &'a [u8]>) -> Option<Encoding> {
        let (mut best, mut plain, mut any) = (None::<(u16, usize)>, 0, None);
        for item in lists.flat_map(|list| list.split(|byte| *byte == b',')) {
            let mut parts = item.split(|byte| *byte == b';');
            let name = parts.next().unwrap_or(&[]).trim_ascii();
            let weight = parts.find_map(weight).unwrap_or(1000);
            if name == b"*" {
                any = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                plain = weight;
            } else if let Some(rank) = Encoding::from_name(name).and_then(Encoding::rank)
                && weight > 0
                && best.is_none_or(|(most, at)| (weight, at) > (most, rank))
            {
                best = Some((weight, rank));
            }
        }
        // whoever takes anything is given what everybody has
        let best = best.or(any.filter(|weight| *weight > 0).and_then(|weight| Some((weight, Encoding::Gzip.rank()?))));
        // `identity` stands in every list of gRPC, without a weight
        let (weight, rank) = best?;
        if plain > weight { None } else { Encoding::PREFERRED.get(rank).copied() }
    }

    fn rank(self) -> Option<usize> {
        Encoding::PREFERRED.iter().position(|one| *one == self)
    }

    /// What is packed in these bytes; at most `limit` of it, 0 for no limit (which is one of 1 GiB). No bytes are no
    /// bytes in every encoding (Connect protocol, "Unary-Request").
    pub fn unpack(self, packed: &[u8], limit: usize) -> Result<Vec<u8>, BadPacked> {
        if packed.is_empty() {
            return Ok(Vec::new());
        }
        let limit = if limit == 0 { MOST } else { limit };
        match self {
            Encoding::Gzip => read_all(flate2::bufread::MultiGzDecoder::new(packed), packed.len(), limit),
            Encoding::Deflate => read_all(flate2::bufread::ZlibDecoder::new(packed), packed.len(), limit),
            Encoding::Snappy => read_all(snap::read::FrameDecoder::new(packed), packed.len(), limit),
            Encoding::Br => read_all(brotli::Decompressor::new(packed, 4096), packed.len(), limit),
            Encoding::Zstd => read_all(zstd_reader(packed).map_err(|_| BadPacked::Corrupt)?, packed.len(), limit),
        }
    }

    /// Whether more than `limit` bytes (not 0) are packed in these. Nothing is kept of what is unpacked, and nothing is
    /// unpacked where so few bytes cannot hold so many.
    pub fn holds_more(self, packed: &[u8], limit: usize) -> Result<bool, BadPacked> {
        if packed.len().saturating_mul(self.most_ratio()) <= limit {
            return Ok(false);
        }
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let length = match self {
            Encoding::Gzip => count(flate2::bufread::MultiGzDecoder::new(packed), most),
            Encoding::Deflate => count(flate2::bufread::ZlibDecoder::new(packed), most),
            Encoding::Snappy => count(snap::read::FrameDecoder::new(packed), most),
            Encoding::Br => count(brotli::Decompressor::new(packed, 4096), most),
            Encoding::Zstd => count(zstd_reader(packed).map_err(|_| BadPacked::Corrupt)?, most),
        };
        length.map(|length| length >= most).map_err(|_| BadPacked::Corrupt)
    }

    /// How many bytes one packed byte may hold. Deflate: 258 bytes take two bits at best (RFC 1951 section 3.2.5).
    /// Snappy: 64 bytes take three.
    fn most_ratio(self) -> usize {
        match self {
            Encoding::Gzip | Encoding::Deflate => 1032,
            Encoding::Snappy => 64,
            Encoding::Zstd | Encoding::Br => usize::MAX,
        }
    }

    /// These bytes, packed. `None` if that is not possible (out of memory), or makes them no smaller.
    pub fn pack(self, plain: &[u8]) -> Option<Vec<u8>> {
        let packed = match self {
            Encoding::Gzip => GZIP.with_borrow_mut(|state| deflate(state, plain)),
            Encoding::Deflate => DEFLATE.with_borrow_mut(|state| deflate(state, plain)),
            Encoding::Zstd => ZSTD.with_borrow_mut(|state| state.as_mut()?.compress(plain).ok()),
            Encoding::Snappy => {
                let mut writer = snap::write::FrameEncoder::new(Vec::with_capacity(plain.len() / 2));
                writer.write_all(plain).ok()?;
                writer.into_inner().ok()
            }
            Encoding::Br => {
                let out = Vec::with_capacity(plain.len() / 2);
                let mut writer = brotli::CompressorWriter::new(out, 4096, BR_QUALITY, BR_WINDOW);
                writer.write_all(plain).ok()?;
                Some(writer.into_inner())
            }
        };
        packed.filter(|packed| packed.len() < plain.len())
    }
}

/// The weight of a parameter `q=0.5`, in thousandths. A weight that is none counts as 0: nothing is sent on a doubt.
fn weight(parameter: &[u8]) -> Option<u16> {
    let text = parameter.trim_ascii();
    let digits = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q="))?;
    let value: f32 = std::str::from_utf8(digits).ok()?.parse().unwrap_or(0.0);
    Some((value.clamp(0.0, 1.0) * 1000.0) as u16)
}

fn read_all(reader: impl Read, packed: usize, limit: usize) -> Result<Vec<u8>, BadPacked> {
    let mut out = Vec::with_capacity(packed.saturating_mul(3).min(limit).min(1 << 20));
    // one byte over the limit tells that there is more
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut out).map_err(|_| BadPacked::Corrupt)?;
    if out.len() > limit { Err(BadPacked::TooLarge { limit }) } else { Ok(out) }
}

fn count(reader: impl Read, most: u64) -> io::Result<u64> {
    io::copy(&mut reader.take(most), &mut io::sink())
}

fn deflate(state: &mut Compress, plain: &[u8]) -> Option<Vec<u8>> {
    state.reset();
    let mut out = Vec::with_capacity(plain.len() / 2 + 64);
    loop {
        let taken = usize::try_from(state.total_in()).ok()?;
        let rest = plain.get(taken..)?;
        if let Status::StreamEnd = state.compress_vec(rest, &mut out, FlushCompress::Finish).ok()? {
            return Some(out);
        }
        if out.len() >= plain.len() {
            return None;
        }
        out.reserve(out.capacity().max(256));
    }
}

// === impl Unpacker ===

impl Unpacker {
    pub fn new(encoding: Encoding) -> Unpacker {
        let feed = Feed::default();
        let reader: Box<dyn Read + Send> = match encoding {
            Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(feed.clone())),
            Encoding::Deflate => Box::new(flate2::read::ZlibDecoder::new(feed.clone())),
            Encoding::Br => Box::new(brotli::Decompressor::new(feed.clone(), 4096)),
            Encoding::Zstd => match zstd_reader(io::BufReader::new(feed.clone())) {
                Ok(reader) => Box::new(reader),
                Err(_) => Box::new(io::empty()),
            },
            Encoding::Snappy => Box::new(snap::read::FrameDecoder::new(WholeChunks { feed: feed.clone(), left: 0 })),
        };
        Unpacker { feed, reader, done: false }
    }

    /// What is left behind the end is dropped.
    fn rest(&mut self) -> Unpacked {
        let mut fed = self.feed.lock();
        fed.chunks.clear();
        if fed.ended { Unpacked::End } else { Unpacked::Dry }
    }

    /// Takes the next bytes of the body; pull until it is dry before giving more.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let mut fed = self.feed.lock();
        fed.any = true;
        fed.chunks.push_back(chunk);
    }

    /// Nothing more is pushed.
    pub fn finish(&mut self) {
        self.feed.lock().ended = true;
    }

    /// The next bytes that are there. A body that ends before its encoding says so is corrupt.
    pub fn pull(&mut self) -> Result<Unpacked, BadPacked> {
        if self.done {
            return Ok(self.rest());
        }
        {
            let fed = self.feed.lock();
            if !fed.any {
                return Ok(if fed.ended { Unpacked::End } else { Unpacked::Dry });
            }
        }
        let mut block = vec![0; BLOCK];
        match self.reader.read(&mut block) {
            Ok(0) => {
                // deflate and br say where they end; what comes behind that means nothing
                self.done = true;
                Ok(self.rest())
            }
            Ok(length) => {
                block.truncate(length);
                Ok(Unpacked::Block(block))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Unpacked::Dry),
            Err(_) => Err(BadPacked::Corrupt),
        }
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("feed", &self.feed).finish_non_exhaustive()
    }
}

fn zstd_reader<R: io::BufRead>(reader: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut reader = zstd::stream::read::Decoder::with_buffer(reader)?;
    reader.window_log_max(ZSTD_WINDOW_MOST)?;
    Ok(reader)
}

// === impl Feed ===

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Fed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for WholeChunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // a type and three bytes of length, little endian; longer ones are refused by the reader
        const HEAD: usize = 4;
        const LONGEST: usize = 128 << 10;
        if self.left == 0 {
            let fed = self.feed.lock();
            let mut bytes = fed.chunks.iter().flatten().copied();
            let head: Vec<u8> = bytes.by_ref().take(HEAD).collect();
            let length = match head[..] {
                [_, a, b, c] => u32::from_le_bytes([a, b, c, 0]) as usize,
                _ => 0,
            };
            let there: usize = fed.chunks.iter().map(Bytes::len).sum();
            if !fed.ended && (head.len() < HEAD || there < HEAD + length.min(LONGEST)) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.left = HEAD + length;
        }
        let most = out.len().min(self.left);
        let length = self.feed.read(out.get_mut(..most).unwrap_or_default())?;
        self.left -= length.min(self.left);
        Ok(length)
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut fed = self.lock();
        let Some(front) = fed.chunks.front_mut() else {
            return if fed.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let length = front.len().min(out.len());
        front.copy_to_slice(out.get_mut(..length).unwrap_or_default());
        if front.is_empty() {
            fed.chunks.pop_front();
        }
        Ok(length)
    }
}

// === impl Packer ===

impl Packer {
    /// Small windows, for such bodies may stay open for hours. `None` if there is no memory.
    pub fn new(encoding: Encoding) -> Option<Packer> {
        let level = Compression::new(DEFLATE_LEVEL);
        Some(Packer(match encoding {
            Encoding::Gzip => Writer::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Encoding::Deflate => Writer::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level)),
            Encoding::Snappy => Writer::Snappy(Box::new(snap::write::FrameEncoder::new(Vec::new()))),
            Encoding::Zstd => {
                let mut writer = zstd::stream::write::Encoder::new(Vec::new(), 1).ok()?;
                writer.window_log(STREAM_WINDOW).ok()?;
                Writer::Zstd(writer)
            }
            Encoding::Br => {
                Writer::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, BR_QUALITY, STREAM_WINDOW)))
            }
        }))
    }

    /// The packed form of the next piece, whole.
    pub fn push(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        fn all<W: Write>(writer: &mut W, plain: &[u8]) -> Option<()> {
            writer.write_all(plain).ok()?;
            writer.flush().ok()
        }
        Some(std::mem::take(match &mut self.0 {
            Writer::Gzip(writer) => all(writer, plain).map(|()| writer.get_mut())?,
            Writer::Deflate(writer) => all(writer, plain).map(|()| writer.get_mut())?,
            Writer::Snappy(writer) => all(writer, plain).map(|()| writer.get_mut())?,
            Writer::Zstd(writer) => all(writer, plain).map(|()| writer.get_mut())?,
            Writer::Br(writer) => all(writer, plain).map(|()| writer.get_mut())?,
        }))
    }

    /// What ends the body. Without it a reader takes the body for cut.
    pub fn finish(self) -> Option<Vec<u8>> {
        match self.0 {
            Writer::Gzip(writer) => writer.finish().ok(),
            Writer::Deflate(writer) => writer.finish().ok(),
            Writer::Snappy(writer) => writer.into_inner().ok(),
            Writer::Zstd(writer) => writer.finish().ok(),
            Writer::Br(writer) => Some(writer.into_inner()),
        }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|i| b"the quick brown fox "[i % 20]).collect()
    }

    #[test]
    fn what_is_packed_unpacks_to_the_same() {
        for encoding in Encoding::PREFERRED {
            for length in [200, 5_000, 300_000] {
                let plain = text(length);
                // twice: states are kept between messages
                for _ in 0..2 {
                    let packed = encoding.pack(&plain).unwrap();
                    assert!(packed.len() < plain.len());
                    assert_eq!(encoding.unpack(&packed, 0).as_ref(), Ok(&plain), "{encoding:?} {length}");
                    assert_eq!(encoding.unpack(&packed, length).as_ref(), Ok(&plain));
                }
            }
            assert_eq!(encoding.unpack(b"", 1), Ok(Vec::new()));
            assert_eq!(Encoding::from_name(encoding.name().as_bytes()), Some(encoding));
            assert!(ENCODINGS.contains(encoding.name()));
        }
    }

    #[test]
    fn what_does_not_shrink_is_not_packed() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let noise: Vec<u8> = (0..400).map(|_| random()).collect();
        for encoding in Encoding::PREFERRED {
            assert_eq!(encoding.pack(b"ab"), None, "{encoding:?}");
            assert_eq!(encoding.pack(&noise), None, "{encoding:?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for encoding in Encoding::PREFERRED {
            let packed = encoding.pack(&zeros).unwrap();
            assert_eq!(encoding.unpack(&packed, 1 << 20), Err(BadPacked::TooLarge { limit: 1 << 20 }), "{encoding:?}");
            assert_eq!(encoding.unpack(&packed, zeros.len() - 1), Err(BadPacked::TooLarge { limit: zeros.len() - 1 }));
            assert_eq!(encoding.holds_more(&packed, zeros.len() - 1), Ok(true), "{encoding:?}");
            assert_eq!(encoding.holds_more(&packed, zeros.len()), Ok(false), "{encoding:?}");
        }
    }

    #[test]
    fn damaged_bytes_are_corrupt_and_never_a_panic() {
        for encoding in Encoding::PREFERRED {
            let packed = encoding.pack(&text(3_000)).unwrap();
            assert_eq!(encoding.unpack(b"not packed at all", 0), Err(BadPacked::Corrupt), "{encoding:?}");
            // framed snappy has no end: it is whole behind each of its chunks, the ten bytes of its name included
            for cut in (1..packed.len()).filter(|cut| encoding != Encoding::Snappy || *cut != 10) {
                assert!(encoding.unpack(&packed[..cut], 0).is_err(), "{encoding:?} cut at {cut} of {}", packed.len());
            }
            for at in 0..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x55;
                let _ = encoding.unpack(&damaged, 1 << 16);
            }
        }
    }

    #[test]
    fn the_best_that_is_accepted_is_chosen() {
        let chosen = |list: &str| Encoding::accepted([list.as_bytes()].into_iter());
        assert_eq!(chosen("identity,deflate,gzip"), Some(Encoding::Gzip));
        assert_eq!(chosen("gzip, deflate, br, zstd"), Some(Encoding::Zstd));
        assert_eq!(chosen("gzip;q=0.5, br;q=1.0"), Some(Encoding::Br));
        assert_eq!(chosen("gzip;q=0, br ; q=0"), None);
        assert_eq!(chosen("identity;q=1, gzip;q=0.5"), None);
        assert_eq!(chosen("*"), Some(Encoding::Gzip));
        assert_eq!(chosen("*;q=0"), None);
        assert_eq!(chosen("lz4, identity"), None);
        assert_eq!(chosen("gzip;q=nonsense"), None);
        assert_eq!(chosen(""), None);
        assert_eq!(Encoding::accepted([b"br".as_slice(), b"GZIP"].into_iter()), Some(Encoding::Gzip));
    }

    #[test]
    fn a_body_is_unpacked_as_it_comes_however_it_is_cut() {
        for encoding in Encoding::PREFERRED {
            let plain = text(100_000);
            let packed = encoding.pack(&plain).unwrap();
            for size in [1, 7, 1_000, packed.len()] {
                let mut unpacker = Unpacker::new(encoding);
                let mut out = Vec::new();
                let mut drain = |unpacker: &mut Unpacker| loop {
                    match unpacker.pull().unwrap() {
                        Unpacked::Block(block) => out.extend(block),
                        other => return other,
                    }
                };
                for piece in packed.chunks(size) {
                    unpacker.push(Bytes::copy_from_slice(piece));
                    assert_eq!(drain(&mut unpacker), Unpacked::Dry, "{encoding:?} by {size}");
                }
                unpacker.finish();
                assert_eq!(drain(&mut unpacker), Unpacked::End, "{encoding:?} by {size}");
                assert!(out == plain, "{encoding:?} by {size}");
            }
            let mut cut = Unpacker::new(encoding);
            cut.push(Bytes::copy_from_slice(&packed[..packed.len() - 3]));
            cut.finish();
            let last = loop {
                match cut.pull() {
                    Ok(Unpacked::Block(_)) => {}
                    other => break other,
                }
            };
            assert_eq!(last, Err(BadPacked::Corrupt), "{encoding:?}");
            let mut none = Unpacker::new(encoding);
            none.finish();
            assert_eq!(none.pull(), Ok(Unpacked::End));
        }
    }

    #[test]
    fn each_piece_of_a_stream_can_be_unpacked_at_once() {
        for encoding in Encoding::PREFERRED {
            let mut packer = Packer::new(encoding).unwrap();
            let mut packed = packer.push(b"one\n").unwrap();
            assert!(!packed.is_empty(), "{encoding:?}");
            packed.extend(packer.push(b"two\n").unwrap());
            packed.extend(packer.finish().unwrap());
            assert_eq!(encoding.unpack(&packed, 0).unwrap(), b"one\ntwo\n", "{encoding:?}");
        }
    }
}
