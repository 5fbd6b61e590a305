//! Base64 as the gRPC family uses it: in `-bin` metadata, and as the streaming coding of gRPC-Web text.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Reads with and without padding, writes without (gRPC `doc/PROTOCOL-HTTP2.md`, "Binary-Header").
const BIN: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A byte that base64 does not have, padding in a wrong place, or a group cut after its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBase64;

/// Decodes gRPC-Web text: base64 in which any piece may be padded, and pieces need not match frames or chunks
/// (grpc `doc/PROTOCOL-WEB.md`).
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// The group that is not whole yet: up to four characters, padding included.
    group: [u8; 4],
    have: usize,
}

/// The value of a `-bin` field.
pub fn decode_bin(value: &[u8]) -> Result<Vec<u8>, BadBase64> {
    BIN.decode(value.trim_ascii()).map_err(|_| BadBase64)
}

/// A `-bin` field's value for these bytes, unpadded.
pub fn encode_bin(bytes: &[u8]) -> String {
    BIN.encode(bytes)
}

/// One piece of gRPC-Web text for these bytes: padded, so that it can be decoded as soon as it is there.
pub fn encode_text(bytes: &[u8]) -> Bytes {
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

// === impl TextDecoder ===

impl TextDecoder {
    /// Decodes a chunk; what does not fill a group is kept for the next one.
    pub fn decode(&mut self, chunk: &[u8]) -> Result<Bytes, BadBase64> {
        let mut out = Vec::with_capacity(chunk.len() / 4 * 3 + 3);
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.have == 0 {
                // whole groups up to the first padding go in one piece
                let plain = memchr::memchr(b'=', rest).unwrap_or(rest.len()) & !3;
                let (whole, behind) = rest.split_at(plain);
                BIN.decode_vec(whole, &mut out).map_err(|_| BadBase64)?;
                rest = behind;
            }
            let Some((&byte, behind)) = rest.split_first() else { break };
            rest = behind;
            self.take(byte, &mut out)?;
        }
        Ok(out.into())
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), BadBase64> {
        let slot = self.group.get_mut(self.have).ok_or(BadBase64)?;
        *slot = byte;
        self.have += 1;
        if byte == b'=' && self.have < 3 {
            return Err(BadBase64);
        }
        if self.have == 4 {
            self.have = 0;
            BIN.decode_vec(self.group, out).map_err(|_| BadBase64)?;
        }
        Ok(())
    }

    /// The end of the body: what is left must be whole but for its padding.
    pub fn finish(&mut self) -> Result<Bytes, BadBase64> {
        let have = std::mem::take(&mut self.have);
        let left = self.group.get(..have).ok_or(BadBase64)?;
        BIN.decode(left).map(Bytes::from).map_err(|_| BadBase64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &[u8], size: usize) -> Result<Vec<u8>, BadBase64> {
        let (mut decoder, mut out) = (TextDecoder::default(), Vec::new());
        for chunk in text.chunks(size) {
            out.extend_from_slice(&decoder.decode(chunk)?);
        }
        out.extend_from_slice(&decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn padding_may_stand_anywhere_and_chunks_may_cut_anywhere() {
        let bytes: Vec<u8> = (0..=255).collect();
        for piece in [1, 2, 3, 4, 5, 7, 64, 256] {
            let text: Vec<u8> = bytes.chunks(piece).flat_map(|piece| encode_text(piece).to_vec()).collect();
            for size in [1, 2, 3, 4, 5, 63, 1000] {
                assert_eq!(decode(&text, size).as_deref(), Ok(&bytes[..]), "pieces of {piece}, chunks of {size}");
            }
        }
    }

    #[test]
    fn the_last_group_needs_no_padding() {
        assert_eq!(decode(b"AAAAAAU", 3).unwrap(), [0, 0, 0, 0, 5]);
        assert_eq!(decode(b"AA", 1).unwrap(), [0]);
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in [&b"A"[..], b"AAAA=", b"A===", b"=AAA", b"AA=A", b"AAA!", b"AAAA\n", b"AA--", b"====", b"AAAAA==="]
        {
            for size in [1, 2, 3, 100] {
                assert_eq!(decode(text, size), Err(BadBase64), "{:?}", std::str::from_utf8(text));
            }
        }
    }

    #[test]
    fn binary_metadata_is_read_with_and_without_padding_and_written_without() {
        assert_eq!(decode_bin(b"AAE=").unwrap(), [0, 1]);
        assert_eq!(decode_bin(b"AAE").unwrap(), [0, 1]);
        assert_eq!(encode_bin(&[0, 1]), "AAE");
        assert_eq!(decode_bin(b"A"), Err(BadBase64));
    }
}
