//! Tests of values: what rules are when they are compiled.

use regex::Regex;

use super::format::Format;
use super::{Clock, Inapplicable};
use crate::catalog::schema::Kind;
use crate::wire::{Cursor, Piece, unzigzag};

/// The tests of one value, by what they read it as.
#[derive(Debug)]
pub(super) enum Tests {
    None,
    Signed(Box<[Number<i64>]>),
    Unsigned(Box<[Number<u64>]>),
    Real(Box<[Number<f64>]>),
    Bool(bool),
    Text(Box<[Text]>),
    Bytes(Box<[Bytes]>),
    Duration(Box<[Number<Length>]>),
    Timestamp(Box<[Moment]>),
    FieldMask(Box<[Mask]>),
    /// Of a `google.protobuf.Any` the type's URL.
    Any(Box<[Text]>),
    /// Of a wrapper (`google.protobuf.StringValue` and its brothers), whose value is of this kind.
    Wrapped(Kind, Box<Tests>),
}

/// A test of a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number<T> {
    Const(T),
    Range(Range<T>),
    In(Box<[T]>),
    NotIn(Box<[T]>),
    /// Neither infinite nor NaN.
    Finite,
    /// One of these, which are in ascending order.
    Defined(Box<[T]>),
}

/// What lies between two bounds or, if the upper is below the lower, outside of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range<T> {
    pub low: Option<Bound<T>>,
    pub high: Option<Bound<T>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound<T> {
    pub value: T,
    /// Whether the bound itself is allowed.
    pub or_equal: bool,
}

/// A test of a string.
#[derive(Debug)]
pub(super) enum Text {
    Const(Box<str>),
    /// In characters (Unicode scalar values).
    Len(u64),
    MinLen(u64),
    MaxLen(u64),
    LenBytes(u64),
    MinBytes(u64),
    MaxBytes(u64),
    Pattern(Regex),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    NotContains(Box<str>),
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    /// The empty string passes: [`Text::NotEmpty`] is for that.
    Format(Format),
    NotEmpty,
}

/// A test of a `bytes` value.
#[derive(Debug)]
pub(super) enum Bytes {
    Const(Box<[u8]>),
    Len(u64),
    MinLen(u64),
    MaxLen(u64),
    Pattern(Regex),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    In(Box<[Box<[u8]>]>),
    NotIn(Box<[Box<[u8]>]>),
    /// Empty, or of one of these lengths.
    Sizes(&'static [usize]),
    NotEmpty,
}

/// A duration in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Length(pub i128);

/// Nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Instant(pub i128);

/// A test of a timestamp.
#[derive(Debug)]
pub(super) enum Moment {
    Fixed(Number<Instant>),
    BeforeNow,
    AfterNow,
    /// No further from now than so many nanoseconds, either way.
    Within(i128),
}

/// A test of a field mask's paths.
#[derive(Debug)]
pub(super) enum Mask {
    Const(Box<[Box<str>]>),
    /// Each path is one of these, or below one of them.
    In(Box<[Box<str>]>),
    /// No path is.
    NotIn(Box<[Box<str>]>),
}

const NOT_TEXT: Inapplicable = Inapplicable("value must be valid UTF-8 to apply regexp");

// === impl Tests ===

impl Tests {
    /// Calls `broken` with the index of each test that a value fails.
    #[inline]
    pub(super) fn run(
        &self,
        kind: Kind,
        piece: &Piece<'_>,
        clock: Clock,
        broken: &mut impl FnMut(usize),
    ) -> Result<(), Inapplicable> {
        match self {
            Tests::None => {}
            Tests::Signed(tests) => each(tests, |test| test.holds(signed(kind, piece.bits)), broken),
            Tests::Unsigned(tests) => each(tests, |test| test.holds(unsigned(kind, piece.bits)), broken),
            Tests::Text(tests) => text(tests, piece.bytes, broken),
            _ => return self.run_rare(kind, piece, clock, broken),
        }
        Ok(())
    }

    fn run_rare(
        &self,
        kind: Kind,
        piece: &Piece<'_>,
        clock: Clock,
        broken: &mut impl FnMut(usize),
    ) -> Result<(), Inapplicable> {
        match self {
            Tests::Real(tests) => each(tests, |test| test.is_kept_by(real(kind, piece.bits)), broken),
            Tests::Bool(expected) if (piece.bits != 0) == *expected => {}
            Tests::Bool(_) => broken(0),
            Tests::Bytes(tests) => {
                for (at, test) in tests.iter().enumerate() {
                    if !test.holds(piece.bytes)? {
                        broken(at);
                    }
                }
            }
            Tests::Duration(tests) => {
                let length = Length(nanoseconds(piece.bytes));
                each(tests, |test| test.holds(length), broken);
            }
            Tests::Timestamp(tests) => {
                let at = nanoseconds(piece.bytes);
                each(tests, |test| test.holds(at, clock), broken);
            }
            Tests::FieldMask(tests) => each(tests, |test| test.holds(piece.bytes), broken),
            Tests::Any(tests) => text(tests, last(piece.bytes, 1).bytes, broken),
            Tests::Wrapped(inner, tests) => return tests.run(*inner, &last(piece.bytes, 1), clock, broken),
            Tests::None | Tests::Signed(_) | Tests::Unsigned(_) | Tests::Text(_) => {}
        }
        Ok(())
    }
}

#[inline]
fn each<T>(tests: &[T], holds: impl Fn(&T) -> bool, broken: &mut impl FnMut(usize)) {
    for (at, test) in tests.iter().enumerate() {
        if !holds(test) {
            broken(at);
        }
    }
}

#[inline]
fn text(tests: &[Text], bytes: &[u8], broken: &mut impl FnMut(usize)) {
    // the guard has looked already, but strings of proto2 may be anything
    let lossy;
    let value = match std::str::from_utf8(bytes) {
        Ok(value) => value,
        Err(_) => {
            lossy = String::from_utf8_lossy(bytes);
            &lossy
        }
    };
    each(tests, |test| test.holds(value), broken);
}

#[inline]
pub(super) fn signed(kind: Kind, bits: u64) -> i64 {
    match kind {
        Kind::Sint32 => i64::from(unzigzag(bits & 0xffff_ffff) as i32),
        Kind::Sint64 => unzigzag(bits),
        Kind::Int64 | Kind::Sfixed64 => bits.cast_signed(),
        _ => i64::from(bits as i32),
    }
}

#[inline]
pub(super) fn unsigned(kind: Kind, bits: u64) -> u64 {
    match kind {
        Kind::Uint32 | Kind::Fixed32 => bits & 0xffff_ffff,
        _ => bits,
    }
}

pub(super) fn real(kind: Kind, bits: u64) -> f64 {
    match kind {
        Kind::Float => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits),
    }
}

/// The last value that a message has of a scalar field: zero or empty if there is none. The guard has seen to it that the
/// bytes are a message.
fn last<'w>(message: &'w [u8], number: u32) -> Piece<'w> {
    let (mut cursor, mut found) = (Cursor::new(message), Piece::default());
    while let Ok(tag) = cursor.tag() {
        let Ok(piece) = cursor.piece(tag) else { break };
        if tag >> 3 == number {
            found = piece;
        }
    }
    found
}

/// A `google.protobuf.Timestamp` or `Duration`.
pub(super) fn nanoseconds(message: &[u8]) -> i128 {
    let (seconds, nanos) = (last(message, 1).bits.cast_signed(), last(message, 2).bits as i32);
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

// === impl Number ===

impl<T: PartialOrd + Copy> Number<T> {
    #[inline]
    pub(super) fn holds(&self, value: T) -> bool {
        match self {
            Number::Const(expected) => value == *expected,
            Number::Range(range) => range.holds(value),
            Number::In(list) => list.contains(&value),
            Number::NotIn(list) => !list.contains(&value),
            Number::Finite => true,
            Number::Defined(list) => {
                list.binary_search_by(|number| number.partial_cmp(&value).unwrap_or(std::cmp::Ordering::Less)).is_ok()
            }
        }
    }
}

impl Number<f64> {
    fn is_kept_by(&self, value: f64) -> bool {
        match self {
            Number::Finite => value.is_finite(),
            _ => self.holds(value),
        }
    }
}

// === impl Range ===

impl<T: PartialOrd + Copy> Range<T> {
    /// Whether the bounds exclude what lies between them.
    pub(super) fn is_outside(&self) -> bool {
        matches!((self.low, self.high), (Some(low), Some(high)) if high.value < low.value)
    }

    #[inline]
    fn holds(&self, value: T) -> bool {
        let above = |low: Bound<T>| value > low.value || (low.or_equal && value == low.value);
        let below = |high: Bound<T>| value < high.value || (high.or_equal && value == high.value);
        match (self.low, self.high) {
            (Some(low), Some(high)) if high.value < low.value => above(low) || below(high),
            (low, high) => low.is_none_or(above) && high.is_none_or(below),
        }
    }
}

// === impl Text ===

impl Text {
    #[inline]
    fn holds(&self, value: &str) -> bool {
        match self {
            Text::Const(expected) => value == &**expected,
            Text::Len(len) => is_at_least(value, *len) && is_at_most(value, *len),
            Text::MinLen(min) => is_at_least(value, *min),
            Text::MaxLen(max) => is_at_most(value, *max),
            Text::LenBytes(len) => value.len() as u64 == *len,
            Text::MinBytes(min) => value.len() as u64 >= *min,
            Text::MaxBytes(max) => value.len() as u64 <= *max,
            Text::Pattern(regex) => regex.is_match(value),
            Text::Prefix(prefix) => value.starts_with(&**prefix),
            Text::Suffix(suffix) => value.ends_with(&**suffix),
            Text::Contains(part) => value.contains(&**part),
            Text::NotContains(part) => !value.contains(&**part),
            Text::In(list) => list.iter().any(|one| **one == *value),
            Text::NotIn(list) => !list.iter().any(|one| **one == *value),
            Text::Format(format) => value.is_empty() || format.fits(value),
            Text::NotEmpty => !value.is_empty(),
        }
    }
}

/// A character takes one to four bytes, so most lengths tell without counting.
#[inline]
fn is_at_least(value: &str, min: u64) -> bool {
    let bytes = value.len() as u64;
    bytes >= min && (bytes.div_ceil(4) >= min || value.chars().count() as u64 >= min)
}

#[inline]
fn is_at_most(value: &str, max: u64) -> bool {
    value.len() as u64 <= max || value.chars().count() as u64 <= max
}

// === impl Bytes ===

impl Bytes {
    fn holds(&self, value: &[u8]) -> Result<bool, Inapplicable> {
        Ok(match self {
            Bytes::Const(expected) => value == &**expected,
            Bytes::Len(len) => value.len() as u64 == *len,
            Bytes::MinLen(min) => value.len() as u64 >= *min,
            Bytes::MaxLen(max) => value.len() as u64 <= *max,
            Bytes::Pattern(regex) => regex.is_match(std::str::from_utf8(value).map_err(|_| NOT_TEXT)?),
            Bytes::Prefix(prefix) => value.starts_with(prefix),
            Bytes::Suffix(suffix) => value.ends_with(suffix),
            Bytes::Contains(part) => memchr::memmem::find(value, part).is_some(),
            Bytes::In(list) => list.iter().any(|one| **one == *value),
            Bytes::NotIn(list) => !list.iter().any(|one| **one == *value),
            Bytes::Sizes(sizes) => value.is_empty() || sizes.contains(&value.len()),
            Bytes::NotEmpty => !value.is_empty(),
        })
    }
}

// === impl Moment ===

impl From<Number<Instant>> for Moment {
    fn from(number: Number<Instant>) -> Moment {
        Moment::Fixed(number)
    }
}

impl Moment {
    fn holds(&self, value: i128, clock: Clock) -> bool {
        match self {
            Moment::Fixed(number) => number.holds(Instant(value)),
            Moment::BeforeNow => value <= clock.now(),
            Moment::AfterNow => value >= clock.now(),
            Moment::Within(distance) => {
                let now = clock.now();
                value >= now.saturating_sub(*distance) && value <= now.saturating_add(*distance)
            }
        }
    }
}

// === impl Mask ===

impl Mask {
    fn holds(&self, message: &[u8]) -> bool {
        match self {
            Mask::Const(expected) => paths(message).eq(expected.iter().map(|path| path.as_bytes())),
            Mask::In(list) => paths(message).all(|path| list.iter().any(|one| covers(one, path))),
            Mask::NotIn(list) => !paths(message).any(|path| list.iter().any(|one| covers(one, path))),
        }
    }
}

/// The paths of a `google.protobuf.FieldMask`.
fn paths(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor::new(message);
    std::iter::from_fn(move || {
        loop {
            let tag = cursor.tag().ok()?;
            let piece = cursor.piece(tag).ok()?;
            if tag >> 3 == 1 {
                return Some(piece.bytes);
            }
        }
    })
}

/// Whether a path is this one, or below it.
fn covers(one: &str, path: &[u8]) -> bool {
    path.strip_prefix(one.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'.', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_in_the_wrong_order_exclude_what_is_between_them() {
        let bound = |value, or_equal| Some(Bound { value, or_equal });
        let inside = Range { low: bound(1, false), high: bound(5, true) };
        assert_eq!([1, 2, 5, 6].map(|value| inside.holds(value)), [false, true, true, false]);
        let outside = Range { low: bound(5, false), high: bound(1, true) };
        assert_eq!([1, 2, 5, 6].map(|value| outside.holds(value)), [true, false, false, true]);
        let empty = Range { low: bound(1, false), high: bound(1, false) };
        assert_eq!([0, 1, 2].map(|value| empty.holds(value)), [false; 3]);
    }

    #[test]
    fn nothing_is_true_of_nan_but_that_it_is_not_in_a_list() {
        let bound = |value| Some(Bound { value, or_equal: true });
        for (test, holds) in [
            (Number::Const(f64::NAN), false),
            (Number::Range(Range { low: bound(1.0), high: None }), false),
            (Number::Range(Range { low: bound(2.0), high: bound(1.0) }), false),
            (Number::In([f64::NAN].into()), false),
            (Number::NotIn([f64::NAN].into()), true),
            (Number::Finite, false),
        ] {
            assert_eq!(test.is_kept_by(f64::NAN), holds, "{test:?}");
        }
    }

    #[test]
    fn lengths_count_characters() {
        for (text, count) in [("", 0), ("abc", 3), ("äöü", 3), ("𝄞𝄞", 2), ("aß𝄞", 3)] {
            for len in 0..6 {
                assert_eq!(Text::Len(len).holds(text), len == count, "{text} {len}");
                assert_eq!(Text::MinLen(len).holds(text), len <= count, "{text} {len}");
                assert_eq!(Text::MaxLen(len).holds(text), len >= count, "{text} {len}");
            }
        }
    }

    #[test]
    fn of_a_scalar_that_comes_twice_the_last_value_counts() {
        assert_eq!(nanoseconds(&[8, 1, 16, 5, 8, 2]), 2_000_000_005);
        let minus = [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(nanoseconds(&minus), -1_000_000_000);
        assert_eq!(nanoseconds(&[8]), 0);
    }
}
