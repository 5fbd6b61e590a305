//! Protobuf varints and tags (protobuf encoding guide, "Base 128 Varints").

/// Appends a varint: one to ten bytes.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn more_than_64_bits_are_refused() {
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
        assert_eq!(varint(&[0x80; 11]), None);
        assert_eq!(varint(&[]), None);
    }
}
