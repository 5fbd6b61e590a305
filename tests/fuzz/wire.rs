//! What the wire codings' fuzz targets do with their input; `tests/wire.rs` runs the committed corpora through the same.
#![allow(dead_code)] // each target uses one function

use bytes::Bytes;
use transom::status::Status;
use transom::wire::{
    BadMultipart, BadPacked, Encoding, FrameReader, FrameScanner, MultipartEvent, MultipartReader, PartHead,
    TextDecoder, Unpacked, Unpacker, decode_bin, decode_message, encode_bin, encode_message, format_grpc_timeout,
    parse_connect_timeout, parse_grpc_timeout,
};

const LIMIT: usize = 1 << 16;

/// Frames: the reader and the scanner see the same messages and the same faults, however the stream is cut.
pub fn frames(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    for size in [1, 3, 7] {
        assert_eq!(read(data, size), whole, "chunks of {size}");
        let mut scanner = FrameScanner::new(LIMIT);
        let scanned = data.chunks(size).try_for_each(|chunk| scanner.scan(chunk));
        match (&scanned, &whole.1) {
            (Err(fault), seen) => assert_eq!(Some(format!("{fault:?}")), *seen),
            (Ok(()), seen) => {
                assert!(seen.is_none(), "{seen:?}");
                assert_eq!(scanner.at_boundary(), whole.2);
                let begun = u64::from(!whole.2 && scanner.messages() > whole.0.len() as u64);
                assert_eq!(scanner.messages(), whole.0.len() as u64 + begun);
            }
        }
    }
}

type Seen = (Vec<usize>, Option<String>, bool);

/// The messages' lengths, the fault, and whether the stream ended at a boundary.
fn read(data: &[u8], size: usize) -> Seen {
    let (mut reader, mut lengths) = (FrameReader::new(LIMIT), Vec::new());
    for chunk in data.chunks(size) {
        reader.push(Bytes::copy_from_slice(chunk));
        loop {
            match reader.next() {
                Ok(Some(frame)) => lengths.push(frame.payload.len()),
                Ok(None) => break,
                Err(fault) => return (lengths, Some(format!("{fault:?}")), false),
            }
        }
    }
    let whole = reader.finish().is_ok();
    (lengths, None, whole)
}

/// gRPC-Web text: the same bytes, however the text is cut; never more than three quarters of it.
pub fn text(data: &[u8]) {
    let whole = decode(data, data.len().max(1));
    for size in [1, 2, 3, 5] {
        assert_eq!(decode(data, size), whole, "chunks of {size}");
    }
    if let Some(bytes) = whole {
        assert!(bytes.len() <= data.len() / 4 * 3 + 3);
    }
}

fn decode(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let (mut decoder, mut out) = (TextDecoder::default(), Vec::new());
    for chunk in data.chunks(size) {
        out.extend_from_slice(&decoder.decode(chunk).ok()?);
    }
    out.extend_from_slice(&decoder.finish().ok()?);
    Some(out)
}

/// Header fields of the gRPC family: whatever a peer sends, nothing panics, and what is read is written the same.
pub fn fields(data: &[u8]) {
    let message = decode_message(data);
    assert_eq!(decode_message(encode_message(&message).as_bytes()), message);
    if let Ok(bytes) = decode_bin(data) {
        assert_eq!(decode_bin(encode_bin(&bytes).as_bytes()).ok(), Some(bytes.clone()));
        let _ = Status::decode(&bytes);
    }
    if let Some(timeout) = parse_grpc_timeout(data) {
        let again = parse_grpc_timeout(format_grpc_timeout(timeout).as_bytes()).expect("what we write is read");
        assert!(again <= timeout.max(std::time::Duration::from_nanos(1)));
    }
    let _ = parse_connect_timeout(data);
    let _ = Status::decode(data);
}

/// Packed bytes, the encoding named by the first of them: whole or piece by piece, the same comes out, and no more than
/// the limit; what is measured is what there is.
pub fn packed(data: &[u8]) {
    const NAMES: [&str; 5] = ["gzip", "deflate", "snappy", "zstd", "br"];
    let Some((first, packed)) = data.split_first() else { return };
    let Some(encoding) = Encoding::from_name(NAMES[usize::from(*first) % NAMES.len()].as_bytes()) else { return };
    let whole = encoding.unpack(packed, LIMIT);
    match &whole {
        Ok(plain) => {
            assert!(plain.len() <= LIMIT);
            if let Some(less) = plain.len().checked_sub(1).filter(|less| *less > 0) {
                assert_eq!(encoding.unpack(packed, less), Err(BadPacked::TooLarge { limit: less }));
                assert_eq!(encoding.holds_more(packed, less), Ok(true));
                assert_eq!(encoding.holds_more(packed, plain.len()), Ok(false));
            }
            for size in [1, 5, packed.len().max(1)] {
                assert_eq!(in_pieces(encoding, packed, size).as_ref(), Some(plain), "{encoding:?} by {size}");
            }
        }
        Err(BadPacked::TooLarge { limit }) => assert_eq!(*limit, LIMIT),
        Err(BadPacked::Corrupt) => {}
    }
    Encoding::accepted([packed].into_iter());
}

/// What comes out of a body that comes in such pieces, unless it is damaged or too much.
fn in_pieces(encoding: Encoding, packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let (mut unpacker, mut out) = (Unpacker::new(encoding), Vec::new());
    let mut pieces = packed.chunks(size);
    loop {
        match unpacker.pull().ok()? {
            Unpacked::Block(block) => out.extend(block),
            Unpacked::End => return Some(out),
            Unpacked::Dry => match pieces.next() {
                Some(piece) => unpacker.push(Bytes::copy_from_slice(piece)),
                None => unpacker.finish(),
            },
        }
        if out.len() > LIMIT {
            return None;
        }
    }
}

/// Multipart forms: the same parts and the same fault however the body is cut, and no byte that is not in it.
pub fn multipart(data: &[u8]) {
    let whole = read_form(data, data.len().max(1));
    for size in [1, 2, 7, 64] {
        assert_eq!(read_form(data, size), whole, "pieces of {size}");
    }
    let content: usize = whole.0.iter().map(|(_, content)| content.len()).sum();
    assert!(content <= data.len());
}

type FormRead = (Vec<(PartHead, Vec<u8>)>, Result<(), BadMultipart>);

fn read_form(data: &[u8], size: usize) -> FormRead {
    let (mut reader, mut parts) = (MultipartReader::new(b"b"), Vec::<(PartHead, Vec<u8>)>::new());
    for chunk in data.chunks(size) {
        reader.push(chunk);
        loop {
            match reader.next() {
                Ok(MultipartEvent::Part(head)) => parts.push((head, Vec::new())),
                Ok(MultipartEvent::Data(data)) => parts.last_mut().expect("a part").1.extend_from_slice(&data),
                Ok(MultipartEvent::PartEnd) => {}
                Ok(MultipartEvent::End | MultipartEvent::More) => break,
                // what was handed out of a part before its fault depends on the pieces
                Err(bad) => return (parts.into_iter().map(|(head, _)| (head, Vec::new())).collect(), Err(bad)),
            }
        }
    }
    let end = reader.finish();
    (parts, end)
}
