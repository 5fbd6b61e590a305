//! Deadlines as header fields.

use std::time::Duration;

/// Reads `grpc-timeout`: one to eight digits and a unit of `H M S m u n` (gRPC `doc/PROTOCOL-HTTP2.md`). `None` if it
/// is anything else.
pub fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount = decimal(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// Reads `connect-timeout-ms`: one to ten digits (Connect protocol reference, "Timeout-Milliseconds").
pub fn parse_connect_timeout(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || value.len() > 10 {
        return None;
    }
    decimal(value).map(Duration::from_millis)
}

/// Reads `x-server-timeout`: decimal seconds, as `2.5`; up to eighteen digits before the point and any number behind it,
/// of which nine count.
pub fn parse_server_timeout(value: &[u8]) -> Option<Duration> {
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next());
    if whole.len() > 18 || fraction.map_or(whole.is_empty(), |digits| digits.is_empty()) {
        return None;
    }
    let fraction = fraction.unwrap_or(b"");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = nanos.fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(Duration::new(decimal(whole)?, nanos))
}

/// Writes `grpc-timeout` in the finest unit that eight digits can hold. Rounds down, but never to nothing.
pub fn format_grpc_timeout(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let nanos = timeout.as_nanos().max(1);
    for (unit, size) in [('n', 1), ('u', 1_000), ('m', 1_000_000), ('S', 1_000_000_000), ('M', 60_000_000_000)] {
        if nanos / size <= MOST {
            return format!("{}{unit}", nanos / size);
        }
    }
    format!("{}H", (nanos / 3_600_000_000_000).min(MOST))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => Some(sum * 10 + u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parse_grpc_timeout(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_a_timeout() {
        for text in ["", "1", "S", "123456789S", "-1S", "1 S", "1s", "1.5S"] {
            assert_eq!(parse_grpc_timeout(text.as_bytes()), None, "{text:?}");
        }
        for text in ["", "12345678901", "1.5", "x"] {
            assert_eq!(parse_connect_timeout(text.as_bytes()), None, "{text:?}");
        }
        for text in ["", ".", "1.", "-1", "1e3", "1s", "0x1", "1.2.3", "inf", "1111111111111111111"] {
            assert_eq!(parse_server_timeout(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_connect_timeout(b"9999999999"), Some(Duration::from_millis(9_999_999_999)));
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        for (text, expected) in [
            ("2", Duration::from_secs(2)),
            ("2.5", Duration::from_millis(2500)),
            (".25", Duration::from_millis(250)),
            ("0.0000000019", Duration::from_nanos(1)),
        ] {
            assert_eq!(parse_server_timeout(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_never_longer_than_what_was_meant_and_loses_little() {
        for nanos in [0u64, 1, 99_999_999, 100_000_000, 123_456_789_012, 3_600_000_000_000, u64::MAX] {
            let meant = Duration::from_nanos(nanos.max(1));
            let text = format_grpc_timeout(Duration::from_nanos(nanos));
            assert!(text.len() <= 9, "{text}");
            let read = parse_grpc_timeout(text.as_bytes()).unwrap();
            assert!(read <= meant && read >= meant.mul_f64(0.999), "{text}: {meant:?} became {read:?}");
        }
    }
}
