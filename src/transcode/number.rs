//! Numbers as text, both ways: exact for every integer, shortest for floats.

use crate::catalog::Kind;
use crate::wire::{number_len, zigzag};

/// Why a text is not a number of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotThatNumber(pub(super) &'static str);

const NOT_A_NUMBER: NotThatNumber = NotThatNumber("not a number");
const OUT_OF_RANGE: NotThatNumber = NotThatNumber("out of range");
const NOT_WHOLE: NotThatNumber = NotThatNumber("not a whole number");

// === impl NotThatNumber ===

impl NotThatNumber {
    /// For people; `name` is the kind's. Whole numbers that do not fit are told what does.
    #[cold]
    pub(super) fn told(self, kind: Kind, name: &str) -> String {
        let range: Option<(i128, i128)> = match kind {
            _ if self != OUT_OF_RANGE => None,
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => Some((i32::MIN.into(), i32::MAX.into())),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some((i64::MIN.into(), i64::MAX.into())),
            Kind::Uint32 | Kind::Fixed32 => Some((0, u32::MAX.into())),
            Kind::Uint64 | Kind::Fixed64 => Some((0, u64::MAX.into())),
            _ => None,
        };
        match range {
            Some((least, most)) => format!("{} for {name} ({least} to {most})", self.0),
            None => format!("{} for {name}", self.0),
        }
    }
}

/// The exact value of a number in JSON's grammar, if it is whole and its digits fit 64 bits: `1e3` and `2.50e1` are.
pub(super) fn whole(text: &str) -> Result<i128, NotThatNumber> {
    if number_len(text.as_bytes()) != Some(text.len()) {
        return Err(NOT_A_NUMBER);
    }
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (digits, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = || digits.bytes().chain(fraction.bytes());
    let significant = all().count() - all().rev().take_while(|digit| *digit == b'0').count();
    if significant == 0 {
        return Ok(0);
    }
    // An exponent that does not even fit i32 is too large or too small for any digits that fit into memory.
    let exponent: i64 = match exponent.parse::<i32>() {
        Ok(exponent) => exponent.into(),
        Err(_) if exponent.starts_with('-') => return Err(NOT_WHOLE),
        Err(_) => return Err(OUT_OF_RANGE),
    };
    let zeros = digits.len() as i64 + exponent - significant as i64;
    if zeros < 0 {
        return Err(NOT_WHOLE);
    }
    let mut value = 0u64;
    for digit in all().take(significant) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0'))).ok_or(OUT_OF_RANGE)?;
    }
    for _ in 0..zeros.min(20) {
        value = value.checked_mul(10).ok_or(OUT_OF_RANGE)?;
    }
    Ok(if negative { -i128::from(value) } else { i128::from(value) })
}

/// The same as [`integer_bits`] for a sign and a number without one.
#[inline]
pub(super) fn plain_integer_bits(kind: Kind, (negative, digits): (bool, u64)) -> Result<u64, NotThatNumber> {
    match i64::try_from(digits) {
        // nothing that 32 bits do not hold either way has to be looked at closely
        Ok(value) if !negative && value <= i64::from(i32::MAX) => Ok(match kind {
            Kind::Sint32 | Kind::Sint64 => zigzag(value),
            _ => digits,
        }),
        _ if negative => integer_bits(kind, -i128::from(digits)),
        _ => integer_bits(kind, i128::from(digits)),
    }
}

/// What a whole number is on the wire, as a field of this kind: the varint's value, or the fixed-size field's bits.
pub(super) fn integer_bits(kind: Kind, value: i128) -> Result<u64, NotThatNumber> {
    let signed32 = || i32::try_from(value).map(i64::from).map_err(|_| OUT_OF_RANGE);
    let signed64 = || i64::try_from(value).map_err(|_| OUT_OF_RANGE);
    Ok(match kind {
        Kind::Int32 | Kind::Enum(_) => signed32()? as u64,
        Kind::Int64 | Kind::Sfixed64 => signed64()? as u64,
        Kind::Sint32 => zigzag(signed32()?),
        Kind::Sint64 => zigzag(signed64()?),
        Kind::Sfixed32 => u64::from(signed32()? as u32),
        Kind::Uint32 | Kind::Fixed32 => u64::from(u32::try_from(value).map_err(|_| OUT_OF_RANGE)?),
        _ => u64::try_from(value).map_err(|_| OUT_OF_RANGE)?,
    })
}

/// The bits of a float or double that JSON gives as a number.
#[inline]
pub(super) fn float_bits(kind: Kind, text: &str) -> Result<u64, NotThatNumber> {
    if kind == Kind::Float {
        let value: f32 = text.parse().map_err(|_| NOT_A_NUMBER)?;
        return if value.is_finite() { Ok(u64::from(value.to_bits())) } else { Err(OUT_OF_RANGE) };
    }
    let value: f64 = text.parse().map_err(|_| NOT_A_NUMBER)?;
    if value.is_finite() { Ok(value.to_bits()) } else { Err(OUT_OF_RANGE) }
}

/// The bits of a float or double given as text: a number in JSON's grammar, or one of the three names.
pub(super) fn float_text_bits(kind: Kind, text: &str) -> Result<u64, NotThatNumber> {
    let named = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if number_len(text.as_bytes()) == Some(text.len()) => return float_bits(kind, text),
        _ => return Err(NOT_A_NUMBER),
    };
    Ok(if kind == Kind::Float { u64::from((named as f32).to_bits()) } else { named.to_bits() })
}

/// Prints a double: shortest digits that read back the same, `1` rather than `1.0`, the three names quoted.
#[inline]
pub(super) fn print_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        print_shortest(zmij::Buffer::new().format_finite(value), out);
    } else {
        print_named(value, out);
    }
}

/// The same for a float; its shortest digits are fewer than its double's.
#[inline]
pub(super) fn print_float(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        print_shortest(zmij::Buffer::new().format_finite(value), out);
    } else {
        print_named(value.into(), out);
    }
}

#[inline]
fn print_shortest(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

#[cold]
fn print_named(value: f64, out: &mut Vec<u8>) {
    let name: &[u8] = match value {
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    };
    out.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact_in_every_form() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("0e99999999999", 0),
            ("18446744073709551615", u64::MAX as i128),
            ("-9223372036854775808", i64::MIN as i128),
            ("1e3", 1000),
            ("1.0", 1),
            ("2.50e1", 25),
            ("100e-2", 1),
            ("9007199254740993", 9_007_199_254_740_993),
            ("900719925474099.3e1", 9_007_199_254_740_993),
        ] {
            assert_eq!(whole(text), Ok(value), "{text}");
        }
        for text in ["1.5", "1e-1", "0.1", "1e-99999999999"] {
            assert_eq!(whole(text), Err(NOT_WHOLE), "{text}");
        }
        for text in ["1e20", "18446744073709551616", "1e99999999999", "1e2147483647"] {
            assert_eq!(whole(text), Err(OUT_OF_RANGE), "{text}");
        }
        for text in ["", " 1", "1 ", "+1", "01", "0x1", "1_0", "NaN", "--1"] {
            assert_eq!(whole(text), Err(NOT_A_NUMBER), "{text}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_kind() {
        assert_eq!(integer_bits(Kind::Int32, -1), Ok(u64::MAX));
        assert_eq!(integer_bits(Kind::Sfixed32, -1), Ok(u64::from(u32::MAX)));
        assert_eq!(integer_bits(Kind::Sint32, i32::MIN.into()), Ok(u64::from(u32::MAX)));
        assert_eq!(integer_bits(Kind::Sint64, i64::MIN.into()), Ok(u64::MAX));
        assert_eq!(integer_bits(Kind::Uint32, -1), Err(OUT_OF_RANGE));
        assert_eq!(integer_bits(Kind::Int32, 1 << 31), Err(OUT_OF_RANGE));
        assert_eq!(integer_bits(Kind::Int64, 1 << 63), Err(OUT_OF_RANGE));
    }

    #[test]
    fn floats_print_their_shortest_form_and_read_back() {
        let print = |value: f64| {
            let mut out = Vec::new();
            print_double(value, &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        for (value, text) in
            [(1.0, "1"), (-0.0, "-0"), (0.1, "0.1"), (f64::NAN, "\"NaN\""), (f64::NEG_INFINITY, "\"-Infinity\"")]
        {
            assert_eq!(print(value), text);
        }
        for value in [1e16, 1e21, 1.5e300, f64::MIN_POSITIVE, f64::MAX, 5e-324, 123_456_789.125] {
            let text = print(value);
            assert_eq!(number_len(text.as_bytes()), Some(text.len()), "{text} is JSON");
            assert_eq!(text.parse(), Ok(value), "{text}");
        }
        let mut out = Vec::new();
        print_float(0.1, &mut out);
        assert_eq!(out, b"0.1");
        assert_eq!(float_bits(Kind::Float, "3.5e38"), Err(OUT_OF_RANGE));
        assert_eq!(float_bits(Kind::Double, "1e400"), Err(OUT_OF_RANGE));
        assert_eq!(float_text_bits(Kind::Double, "inf"), Err(NOT_A_NUMBER));
    }
}
