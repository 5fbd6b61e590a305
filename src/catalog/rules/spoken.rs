//! Values as protovalidate's messages show them: as CEL's `format` does.

use super::test::{Instant, Length, nanoseconds};

/// A value that a message may show.
pub(super) trait Spoken {
    fn spoken(&self) -> String;
}

// === impls of Spoken ===

impl Spoken for i64 {
    fn spoken(&self) -> String {
        self.to_string()
    }
}

impl Spoken for u64 {
    fn spoken(&self) -> String {
        self.to_string()
    }
}

impl Spoken for f64 {
    fn spoken(&self) -> String {
        if self.is_infinite() {
            return if *self > 0.0 { "Infinity".into() } else { "-Infinity".into() };
        }
        // without an exponent, as many digits as it takes
        self.to_string()
    }
}

impl Spoken for Length {
    fn spoken(&self) -> String {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        format!("{}s", seconds as f64 + nanos as f64 / 1e9)
    }
}

impl Spoken for Instant {
    fn spoken(&self) -> String {
        let (seconds, nanos) = (self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000));
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let fraction = format!(".{nanos:09}");
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            fraction.trim_end_matches('0').trim_end_matches('.')
        )
    }
}

/// `[a, b]`
pub(super) fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

/// Two lower-case digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A duration that a rule holds.
pub(super) fn length(message: &[u8]) -> String {
    Length(nanoseconds(message)).spoken()
}

/// Year, month and day of the Gregorian calendar, by days since 1970: eras of 400 years that begin in March.
fn date(days: i128) -> (i128, i128, i128) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let month_day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i128::from(month <= 2), month, month_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_cel_does() {
        for (shown, expected) in [
            (0.1f64.spoken(), "0.1"),
            (1e21f64.spoken(), "1000000000000000000000"),
            (f64::from(0.1f32).spoken(), "0.10000000149011612"),
            (f64::NAN.spoken(), "NaN"),
            (f64::NEG_INFINITY.spoken(), "-Infinity"),
            (Length(1_000).spoken(), "0.000001s"),
            (Length(-1_500_000_000).spoken(), "-1.5s"),
            (Length(3_000_000_000).spoken(), "3s"),
            (Instant(0).spoken(), "1970-01-01T00:00:00Z"),
            (Instant(-1).spoken(), "1969-12-31T23:59:59.999999999Z"),
            (Instant(951_782_400_500_000_000).spoken(), "2000-02-29T00:00:00.5Z"),
            (Instant(-62_135_596_800_000_000_000).spoken(), "0001-01-01T00:00:00Z"),
            (hex(&[0, 0x99]), "0099"),
            (list(["a".into(), "b".into()].into_iter()), "[a, b]"),
        ] {
            assert_eq!(shown, expected);
        }
    }
}
