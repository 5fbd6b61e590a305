//! Timestamp, Duration and FieldMask as text, both ways (the comments of google/protobuf/*.proto, "JSON Mapping").

use crate::wire::{close, open, put_uint, put_varint};

/// What Timestamp and Duration are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seconds {
    pub(super) seconds: i64,
    pub(super) nanos: i32,
}

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// About 10,000 years: the limit of `seconds` in `duration.proto`.
const LONGEST: i64 = 315_576_000_000;

const DAY: i64 = 86_400;

// === impl Seconds ===

impl Seconds {
    /// Writes the two fields of a Timestamp or a Duration.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        if self.seconds != 0 {
            put_uint(out, 1, self.seconds as u64);
        }
        if self.nanos != 0 {
            put_uint(out, 2, i64::from(self.nanos) as u64);
        }
    }

    /// Reads RFC 3339 with capital `T` and `Z`, up to nine digits of a second, years 1 to 9999. Leap seconds are
    /// refused: a Timestamp cannot hold one.
    pub(super) fn read_timestamp(text: &str) -> Option<Seconds> {
        let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', mi1, mi2, b':', s1, s2, rest @ ..] =
            text.as_bytes()
        else {
            return None;
        };
        let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
        let (month, day) = (two(*mo1, *mo2)?, two(*d1, *d2)?);
        let (hour, minute, second) = (two(*h1, *h2)?, two(*mi1, *mi2)?, two(*s1, *s2)?);
        if !(1..=12).contains(&month)
            || day < 1
            || day > days_of(year, month)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let (nanos, rest) = match rest {
            [b'.', rest @ ..] => fraction(rest)?,
            rest => (0, rest),
        };
        let offset = match rest {
            [b'Z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (two(*h1, *h2)?, two(*m1, *m2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        let seconds = days_from_date(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
        (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then_some(Seconds { seconds, nanos })
    }

    /// Prints RFC 3339 in UTC with 0, 3, 6 or 9 digits; `None` outside of the years 1 to 9999 and of [0, 1 s).
    pub(super) fn print_timestamp(self, out: &mut Vec<u8>) -> Option<()> {
        if !(FIRST_SECOND..=LAST_SECOND).contains(&self.seconds) || !(0..1_000_000_000).contains(&self.nanos) {
            return None;
        }
        let (year, month, day) = date_from_days(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY) as u32;
        let mut text = *b"0000-00-00T00:00:00";
        let parts = [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, second / 3600),
            (14, second / 60 % 60),
            (17, second % 60),
        ];
        for (at, value) in parts {
            // exact below 179
            let tens = (value * 103) >> 10;
            text[at] += tens as u8;
            text[at + 1] += (value - tens * 10) as u8;
        }
        out.extend_from_slice(&text);
        print_fraction(self.nanos.unsigned_abs(), out);
        out.push(b'Z');
        Some(())
    }

    /// Reads seconds with up to nine digits of a fraction and the suffix `s`.
    pub(super) fn read_duration(text: &str) -> Option<Seconds> {
        let text = text.strip_suffix('s')?;
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, nanos) = match text.split_once('.') {
            Some((whole, digits)) => match fraction(digits.as_bytes())? {
                (nanos, []) => (whole, nanos),
                _ => return None,
            },
            None => (text, 0),
        };
        if whole.is_empty() || whole.len() > 12 || !whole.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let sign = if negative { -1 } else { 1 };
        let read = Seconds { seconds: seconds * sign, nanos: nanos * sign as i32 };
        (seconds <= LONGEST).then_some(read)
    }

    /// Prints seconds with 0, 3, 6 or 9 digits and `s`; `None` out of range, or if the two parts differ in sign.
    pub(super) fn print_duration(self, out: &mut Vec<u8>) -> Option<()> {
        let opposite = (self.seconds > 0 && self.nanos < 0) || (self.seconds < 0 && self.nanos > 0);
        if self.seconds.unsigned_abs() > LONGEST.unsigned_abs() || self.nanos.unsigned_abs() > 999_999_999 || opposite {
            return None;
        }
        if self.seconds < 0 || self.nanos < 0 {
            out.push(b'-');
        }
        out.extend_from_slice(itoa::Buffer::new().format(self.seconds.unsigned_abs()).as_bytes());
        print_fraction(self.nanos.unsigned_abs(), out);
        out.push(b's');
        Some(())
    }
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// One to nine digits behind a point, as nanoseconds, and what follows them.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(len)?;
    if !(1..=9).contains(&len) {
        return None;
    }
    let mut nanos = digits.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    for _ in len..9 {
        nanos *= 10;
    }
    Some((nanos, rest))
}

fn print_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let digits = match nanos {
        _ if nanos.is_multiple_of(1_000_000) => 3,
        _ if nanos.is_multiple_of(1_000) => 6,
        _ => 9,
    };
    let mut text = *b".000000000";
    for (group, value) in text[1..].chunks_exact_mut(3).zip([nanos / 1_000_000, nanos / 1_000 % 1_000, nanos % 1_000]) {
        // exact below 1,099 and below 179
        let hundreds = (value * 41) >> 12;
        let rest = value - hundreds * 100;
        let tens = (rest * 103) >> 10;
        for (byte, digit) in group.iter_mut().zip([hundreds, tens, rest - tens * 10]) {
            *byte += digit as u8;
        }
    }
    let end = out.len() + 1 + digits;
    out.extend_from_slice(&text);
    out.truncate(end);
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    // Years counted from March, so that the leap day is the last of a year.
    let y = if month <= 2 { year - 1 } else { year };
    let m = (month + 9) % 12;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day - 1 - 719_468
}

/// The date of a day since 1970-01-01, from the year 1 on: the inverse of [`days_from_date`].
fn date_from_days(days: i64) -> (u32, u32, u32) {
    let z = (days + 719_468) as u32;
    let (era, d) = (z / 146_097, z % 146_097);
    let y = (d - d / 1460 + d / 36_524 - d / 146_096) / 365;
    let in_year = d - (365 * y + y / 4 - y / 100);
    let m = (5 * in_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (era * 400 + y + u32::from(month <= 2), month, in_year - (153 * m + 2) / 5 + 1)
}

/// Reads a FieldMask's paths (`a.fooBar,b`) and writes them as its field 1. With `snake_too`, segments already in
/// proto spelling are taken as they are: that is how they are written in query strings. Commas without anything between
/// them are empty paths, as to protobuf's C++, so that every mask that prints reads back; no text at all is no path.
pub(super) fn read_field_mask(text: &str, snake_too: bool, out: &mut Vec<u8>) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    for path in text.split(',') {
        put_varint(out, 0x0a);
        let at = open(out);
        for byte in path.bytes() {
            match byte {
                b'A'..=b'Z' => out.extend_from_slice(&[b'_', byte.to_ascii_lowercase()]),
                b'_' if !snake_too => return None,
                _ => out.push(byte),
            }
        }
        close(out, at);
    }
    Some(())
}

/// Prints one path of a FieldMask; `None` if its camel case would not lead back to it.
pub(super) fn print_mask_path(path: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'A'..=b'Z' => return None,
            b'_' => match bytes.next()? {
                letter @ b'a'..=b'z' => out.push(letter.to_ascii_uppercase()),
                _ => return None,
            },
            _ => out.push(byte),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(print: impl Fn(&mut Vec<u8>) -> Option<()>) -> Option<String> {
        let mut out = Vec::new();
        print(&mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn timestamps_read_and_print() {
        for (written, seconds, nanos, printed) in [
            ("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", FIRST_SECOND, 0, "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", LAST_SECOND, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
            ("2024-02-29T12:00:00.5+02:00", 1_709_200_800, 500_000_000, "2024-02-29T10:00:00.500Z"),
            ("1969-12-31T23:59:59.000001-00:30", 1799, 1_000, "1970-01-01T00:29:59.000001Z"),
        ] {
            let read = Seconds::read_timestamp(written).expect(written);
            assert_eq!(read, Seconds { seconds, nanos }, "{written}");
            assert_eq!(text(|out| read.print_timestamp(out)).as_deref(), Some(printed));
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for bad in [
            "",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01t00:00:00Z",
            "2024-01-01T00:00:00z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+0100",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "+024-01-01T00:00:00Z",
        ] {
            assert_eq!(Seconds::read_timestamp(bad), None, "{bad}");
        }
        for (seconds, nanos) in
            [(FIRST_SECOND - 1, 0), (LAST_SECOND + 1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, 0)]
        {
            assert_eq!(Seconds { seconds, nanos }.print_timestamp(&mut Vec::new()), None);
        }
    }

    #[test]
    fn every_day_of_every_year_survives() {
        for days in (-719_162..=2_932_896).step_by(17) {
            let (year, month, day) = date_from_days(days);
            let (year, month, day) = (year.into(), month.into(), day.into());
            assert_eq!(days_from_date(year, month, day), days);
            assert!((1..=12).contains(&month) && day >= 1 && day <= days_of(year, month));
        }
    }

    #[test]
    fn durations_read_and_print() {
        for (written, seconds, nanos, printed) in [
            ("0s", 0, 0, "0s"),
            ("1.5s", 1, 500_000_000, "1.500s"),
            ("-0.5s", 0, -500_000_000, "-0.500s"),
            ("-315576000000s", -LONGEST, 0, "-315576000000s"),
            ("3.000000001s", 3, 1, "3.000000001s"),
        ] {
            let read = Seconds::read_duration(written).expect(written);
            assert_eq!(read, Seconds { seconds, nanos }, "{written}");
            assert_eq!(text(|out| read.print_duration(out)).as_deref(), Some(printed));
        }
        for bad in ["", "s", "1", "1.s", ".5s", "1.0000000001s", "315576000001s", "+1s", "--1s", "1e3s", "1 s"] {
            assert_eq!(Seconds::read_duration(bad), None, "{bad}");
        }
        for (seconds, nanos) in [(1, -1), (-1, 1), (LONGEST + 1, 0), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            assert_eq!(Seconds { seconds, nanos }.print_duration(&mut Vec::new()), None);
        }
    }

    #[test]
    fn masks_change_their_case_and_back() {
        let mut out = Vec::new();
        assert_eq!(read_field_mask("fooBar.x,b", false, &mut out), Some(()));
        assert_eq!(out, b"\x0a\x09foo_bar.x\x0a\x01b");
        let mut out = Vec::new();
        assert_eq!(read_field_mask("a,,b,", false, &mut out), Some(()));
        assert_eq!(out, b"\x0a\x01a\x0a\x00\x0a\x01b\x0a\x00");
        assert_eq!(read_field_mask("", false, &mut out), Some(()));
        assert_eq!(out.len(), 10);
        assert_eq!(text(|out| print_mask_path("foo_bar.x", out)).as_deref(), Some("fooBar.x"));
        assert_eq!(read_field_mask("foo_bar", false, &mut Vec::new()), None);
        assert_eq!(read_field_mask("foo_bar", true, &mut Vec::new()), Some(()));
        for bad in ["fooBar", "a__b", "a_", "a_1"] {
            assert_eq!(print_mask_path(bad, &mut Vec::new()), None, "{bad}");
        }
    }
}
