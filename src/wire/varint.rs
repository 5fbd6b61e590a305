//! Protobuf varints and tags (protobuf encoding guide, "Base 128 Varints").

/// Appends a varint: one to ten bytes.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        put_long_varint(out, value);
    }
}

fn put_long_varint(out: &mut Vec<u8>, mut value: u64) {
    // in place first, so that the output is asked for room only once
    let (mut bytes, mut len) = ([0u8; 10], 1);
    for byte in &mut bytes {
        *byte = value as u8 | 0x80;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            break;
        }
        len += 1;
    }
    let end = out.len() + len;
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

/// How many bytes `put_varint` writes for this value: 1 to 10.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    // 9/64 is 1/7 rounded so that it is exact for every bit length up to 64
    (((64 - (value | 1).leading_zeros()) * 9 + 64) / 64) as usize
}

/// Reads a varint at the front of `bytes`: the value and its length, or `None` when it is cut short, longer than ten
/// bytes, or does not fit 64 bits.
#[inline]
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    if let Some(&first) = bytes.first()
        && first < 0x80
    {
        return Some((u64::from(first), 1));
    }
    match bytes.first_chunk::<8>() {
        Some(word) if u64::from_le_bytes(*word) & ENDS != ENDS => Some(short_varint(u64::from_le_bytes(*word))),
        _ => varint_by_bytes(bytes),
    }
}

/// The high bit of each byte: not set in the last one of a varint.
const ENDS: u64 = 0x8080_8080_8080_8080;

/// Reads a varint that ends within eight bytes, all of them at once.
#[inline]
fn short_varint(word: u64) -> (u64, usize) {
    let end = !word & ENDS;
    let len = end.trailing_zeros() / 8 + 1;
    // up to the end; then groups of 7, 14 and 28 bits move together
    let bits = word & (end ^ end.wrapping_sub(1)) & !ENDS;
    let bits = bits & 0x007f_007f_007f_007f | (bits & 0x7f00_7f00_7f00_7f00) >> 1;
    let bits = bits & 0x0000_3fff_0000_3fff | (bits & 0x3fff_0000_3fff_0000) >> 2;
    let bits = bits & 0x0000_0000_0fff_ffff | (bits & 0x0fff_ffff_0000_0000) >> 4;
    (bits, len as usize)
}

fn varint_by_bytes(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Appends a length-delimited field: tag, length, bytes.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a varint field: tag, value.
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Starts length-delimited content of a length not yet known: keeps one byte for it. The result is for [`close`].
#[inline]
pub fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Ends the content that began at `at`: fills in its length. Content of 128 bytes and more moves up to make room, which
/// is cheaper than to measure all messages beforehand: most are short.
#[inline]
pub fn close(out: &mut Vec<u8>, at: usize) {
    let len = out.len() - at;
    match out.get_mut(at - 1) {
        Some(byte) if len < 0x80 => *byte = len as u8,
        _ => close_long(out, at, len),
    }
}

fn close_long(out: &mut Vec<u8>, at: usize, len: usize) {
    let extra = varint_len(len as u64) - 1;
    out.resize(out.len() + extra, 0);
    out.copy_within(at..at + len, at + extra);
    let mut left = len;
    for byte in out.iter_mut().skip(at - 1).take(extra) {
        *byte = left as u8 | 0x80;
        left >>= 7;
    }
    if let Some(last) = out.get_mut(at - 1 + extra) {
        *last = left as u8;
    }
}

/// Zigzag: small negative numbers become small varints (`sint32`, `sint64`).
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_alike_at_once_and_byte_by_byte() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift, 0xdead_beef_1234_5678 >> shift] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                let len = bytes.len();
                assert_eq!(varint(&bytes), Some((value, len)));
                for behind in [0x00, 0x7f, 0x80, 0xff] {
                    bytes.resize(len + 10, behind);
                    assert_eq!(varint(&bytes), Some((value, len)), "{value:x} {behind:x}");
                    assert_eq!(varint_by_bytes(&bytes), Some((value, len)));
                    bytes.truncate(len);
                }
            }
        }
    }

    #[test]
    fn every_length_round_trips() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, (1u64 << shift).wrapping_add(1), u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(varint(&out), Some((value, out.len())));
                assert_eq!(varint(&out[..out.len() - 1]), None, "cut short: {value}");
            }
        }
    }

    #[test]
    fn lengths_are_filled_in_whatever_their_size() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let mut out = vec![9];
            let at = open(&mut out);
            out.extend((0..len).map(|i| i as u8));
            close(&mut out, at);
            let (read, used) = varint(&out[1..]).expect("a length");
            assert_eq!((read as usize, used), (len, varint_len(len as u64)));
            assert!(out[1 + used..].iter().enumerate().all(|(i, byte)| *byte == i as u8));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
        assert_eq!(varint(&[0x80; 11]), None);
        assert_eq!(varint(&[]), None);
    }
}
