//! Appending short texts without calling memcpy.

/// `out.extend_from_slice(bytes)`, quicker for what names, keys and numbers are: up to 32 bytes. Copies of a length that
/// the compiler knows become two or three instructions; what is too much is dropped again.
#[inline(always)]
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len();
    if len > 32 || out.capacity() - out.len() < 32 {
        return append_long(out, bytes, len);
    }
    let end = out.len() + len;
    if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        // two that overlap make any length between theirs
        out.extend_from_slice(first);
        out.truncate(end - 16);
        out.extend_from_slice(last);
        return;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let whole = u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (len - 8));
        out.extend_from_slice(&whole.to_le_bytes());
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let whole = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4));
        out.extend_from_slice(&whole.to_le_bytes());
    } else {
        bytes.iter().for_each(|byte| out.push(*byte));
    }
    out.truncate(end);
}

/// Appends the first `len` bytes of `bytes`; quickest if 32 or more may be read and written, of which what is too much is
/// dropped again.
#[inline(always)]
pub fn append_start(out: &mut Vec<u8>, bytes: &[u8], len: usize) {
    match bytes.first_chunk::<32>() {
        Some(chunk) if len <= 32 && out.capacity() - out.len() >= 32 => {
            let end = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        _ => append_long(out, bytes, len),
    }
}

#[inline(never)]
fn append_long(out: &mut Vec<u8>, bytes: &[u8], len: usize) {
    out.extend_from_slice(bytes.get(..len).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_whole() {
        let bytes: Vec<u8> = (0..100).collect();
        for len in 0..=bytes.len() {
            let mut out = vec![255];
            append(&mut out, &bytes[..len]);
            append_start(&mut out, &bytes, len);
            assert_eq!(out.len(), 1 + 2 * len);
            assert_eq!((out[0], &out[1..=len], &out[1 + len..]), (255, &bytes[..len], &bytes[..len]));
        }
    }
}
