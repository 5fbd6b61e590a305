//! The numbers of JSON (RFC 8259, section 6): where one ends, and what the plain ones are.

/// A number of at most 19 digits without an exponent, as it stands in a text.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'a> {
    text: &'a str,
    negative: bool,
    /// All digits as one whole number.
    digits: u64,
    /// How many of them stand behind the point.
    fraction: usize,
}

/// So many digits fit 64 bits whatever they are.
const MAX_DIGITS: usize = 19;

/// The powers of ten that are exact as doubles, as far as [`MAX_DIGITS`] go.
const POWERS: [f64; MAX_DIGITS] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The powers of ten that are exact as floats.
const FLOAT_POWERS: [f32; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

// === impl Decimal ===

impl<'a> Decimal<'a> {
    /// The number that a text starts with, if it is such a one.
    #[inline]
    pub(super) fn at_start(text: &'a str) -> Option<Decimal<'a>> {
        let (negative, number) = signed(text.as_bytes());
        let (mut value, whole) = digits(0, number);
        let (mut len, mut fraction) = (whole, 0);
        if number.get(whole) == Some(&b'.') {
            (value, fraction) = digits(value, number.get(whole + 1..)?);
            if fraction == 0 {
                return None;
            }
            len += 1 + fraction;
        }
        let starts_well = whole == 1 || (whole > 1 && number.first() != Some(&b'0'));
        if !starts_well || whole + fraction > MAX_DIGITS || matches!(number.get(len), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        let text = text.get(..len + usize::from(negative))?;
        Some(Decimal { text, negative, digits: value, fraction })
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The nearest double. If the digits and the power of ten are both exact as doubles, one division rounds correctly
    /// (Clinger 1990), and that is so for most.
    #[inline]
    pub fn as_double(&self) -> f64 {
        match POWERS.get(self.fraction) {
            Some(power) if self.digits < 1 << 53 => {
                let value = self.digits as f64 / power;
                if self.negative { -value } else { value }
            }
            // digits with a point are a number to Rust as well
            _ => self.text.parse().unwrap_or_default(),
        }
    }

    /// The nearest float.
    #[inline]
    pub fn as_float(&self) -> f32 {
        match FLOAT_POWERS.get(self.fraction) {
            Some(power) if self.digits < 1 << 24 => {
                let value = self.digits as f32 / power;
                if self.negative { -value } else { value }
            }
            _ => self.text.parse().unwrap_or_default(),
        }
    }
}

/// The integer that a text starts with, if it is one without fraction and exponent and fits 64 bits without its sign:
/// whether a minus stands in front, the digits, and the length of it all.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<(bool, u64, usize)> {
    let (negative, number) = signed(text);
    let (value, len) = digits(0, number);
    let starts_well = len == 1 || (len > 1 && number.first() != Some(&b'0'));
    if !starts_well || matches!(number.get(len), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    // of 20 digits, those fit that have not wrapped around, which a one in front and no less than 10^19 tell
    let fits = len <= MAX_DIGITS || (len == 20 && number.first() == Some(&b'1') && value >= 10u64.pow(19));
    fits.then_some((negative, value, len + usize::from(negative)))
}

/// The digits that a text starts with, behind those of `value`: the number that all of them make, which wraps around when
/// they are too many, and how many they are.
#[inline]
fn digits(mut value: u64, text: &[u8]) -> (u64, usize) {
    let mut rest = text;
    while let Some((eight, behind)) = rest.split_first_chunk::<8>()
        && let Some(number) = eight_digits(u64::from_le_bytes(*eight))
    {
        value = value.wrapping_mul(100_000_000).wrapping_add(number);
        rest = behind;
    }
    while let [byte, behind @ ..] = rest
        && byte.is_ascii_digit()
    {
        value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        rest = behind;
    }
    (value, text.len() - rest.len())
}

/// Eight digits at once: neighbours are joined to pairs, those to fours, and those to eight.
#[inline]
fn eight_digits(text: u64) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    // a digit's high half is 3, and stays so when 6 is added; no byte carries into the next unless its high half is 15
    if text & HIGH != ZEROS || text.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    let ones = text ^ ZEROS;
    let pairs = (ones.wrapping_mul(10) + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The length of the JSON number that `text` starts with.
pub fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| digits(0, text.get(from..).unwrap_or_default()).1;
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

/// Whether a minus stands in front, and what follows it.
#[inline]
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_decimals_round_as_careful_ones() {
        for text in [
            "0",
            "-0",
            "7",
            "-12.5",
            "0.1",
            "123456789012345",
            "99999999999.9999",
            "3.0",
            "1.005",
            "16777217",
            "-3.4028235",
            "0.30000000000000004",
            "9007199254740993",
            "1234567890123456789",
            "1.234567890123456789",
            "9999999999999999.999",
            "12345678.12345678",
            "1234567.123456789",
        ] {
            let quick = Decimal::at_start(text).expect(text);
            assert_eq!(quick.len(), text.len());
            assert_eq!(quick.as_double().to_bits(), text.parse::<f64>().expect("a number").to_bits(), "{text}");
            assert_eq!(quick.as_float().to_bits(), text.parse::<f32>().expect("a number").to_bits(), "{text}");
        }
        for text in ["01", "-", "", ".5", "1.", "1e5", "1.5e1", "12345678901234567890", "1.2.3", "--1", "00", "-01.5"] {
            assert!(Decimal::at_start(text).is_none(), "{text}");
        }
    }

    #[test]
    fn quick_integers_are_exact_or_left_alone() {
        for (text, read) in [
            ("0", (false, 0, 1)),
            ("-0]", (true, 0, 2)),
            ("-123456789012345678,", (true, 123_456_789_012_345_678, 19)),
            ("9999999999999999999", (false, 9_999_999_999_999_999_999, 19)),
            ("10000000000000000000", (false, 10_000_000_000_000_000_000, 20)),
            ("18446744073709551615", (false, u64::MAX, 20)),
        ] {
            assert_eq!(integer(text.as_bytes()), Some(read), "{text}");
        }
        for text in [
            "01",
            "-",
            "",
            "1.0",
            "1e2",
            "+1",
            "-01",
            "18446744073709551616",
            "19999999999999999999",
            "20000000000000000000",
            "100000000000000000000",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }
}
