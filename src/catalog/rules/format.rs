//! The formats of strings that `StringRules.well_known` knows by name, as the comments of validate.proto define them.

use super::hostname::{Version, is_email, is_host_and_port, is_hostname, is_ip, is_prefix};
use super::uri::{is_uri, is_uri_reference};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Email,
    Hostname,
    Ip(Version),
    Uri,
    UriReference,
    Address,
    /// With hyphens.
    Uuid,
    /// Without.
    TrimmedUuid,
    Ulid,
    /// An address with the length of a prefix; `true`: with nothing behind that prefix.
    Prefix(Version, bool),
    HostAndPort,
    /// A full name of protobuf.
    Name,
    /// The same with a dot in front.
    DottedName,
    HeaderName,
    /// Anything on one line.
    LooseHeaderName,
    HeaderValue,
    LooseHeaderValue,
}

// === impl Format ===

impl Format {
    pub(super) fn fits(self, text: &str) -> bool {
        match self {
            Format::Email => is_email(text),
            Format::Hostname => is_hostname(text),
            Format::Ip(version) => is_ip(text, version),
            Format::Uri => is_uri(text),
            Format::UriReference => is_uri_reference(text),
            Format::Address => is_hostname(text) || is_ip(text, Version::Any),
            Format::Uuid => is_uuid(text.as_bytes()),
            Format::TrimmedUuid => text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Format::Ulid => is_ulid(text.as_bytes()),
            Format::Prefix(version, strict) => is_prefix(text, version, strict),
            Format::HostAndPort => is_host_and_port(text),
            Format::Name => text.split('.').all(is_identifier),
            Format::DottedName => text.strip_prefix('.').is_some_and(|name| name.split('.').all(is_identifier)),
            Format::HeaderName => is_header_name(text.strip_prefix(':').unwrap_or(text)),
            Format::LooseHeaderName => !text.is_empty() && is_one_line(text),
            Format::HeaderValue => !text.bytes().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)),
            Format::LooseHeaderValue => is_one_line(text),
        }
    }
}

fn is_uuid(text: &[u8]) -> bool {
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(fits)
}

/// Crockford's base 32 in either case, 128 bits.
fn is_ulid(text: &[u8]) -> bool {
    let is_digit =
        |byte: &u8| byte.is_ascii_alphanumeric() && !matches!(byte.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U');
    text.len() == 26 && text.first().is_some_and(|first| matches!(first, b'0'..=b'7')) && text.iter().all(is_digit)
}

fn is_identifier(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Tokens of RFC 9110, and the comma, which validate.proto's pattern lets in.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte))
}

fn is_one_line(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(format.fits(text), "{format:?} {text:?}");
        }
        for text in bad {
            assert!(!format.fits(text), "{format:?} {text:?}");
        }
    }

    #[test]
    fn identifiers_of_things_have_their_digits_and_nothing_else() {
        let uuid = "123e4567-E89b-12d3-a456-426614174000";
        check(
            Format::Uuid,
            &[uuid],
            &["", "123e4567e89b12d3a456426614174000", &uuid[1..], "g23e4567-e89b-12d3-a456-426614174000"],
        );
        check(Format::TrimmedUuid, &["123e4567E89b12d3a456426614174000"], &[uuid, "123e4567e89b12d3a45642661417400"]);
        check(
            Format::Ulid,
            &["01ARZ3NDEKTSV4RRFFQ69G5FAV", "7zzzzzzzzzzzzzzzzzzzzzzzzz"],
            &[
                "81ARZ3NDEKTSV4RRFFQ69G5FAV",
                "01ARZ3NDEKTSV4RRFFQ69G5FA",
                "01ARZ3NDEKTSV4RRFFQ69G5FAI",
                "01ARZ3NDEKTSV4RRFFQ69G5FA\u{e9}",
            ],
        );
        check(Format::Name, &["a", "_a.B2.c"], &["", ".a", "a.", "a..b", "2a", "a-b", "\u{e9}"]);
        check(Format::DottedName, &[".a", ".a.b"], &["", ".", "a", "..a", ".a."]);
    }

    #[test]
    fn header_fields_are_tokens_and_lines() {
        check(Format::HeaderName, &["accept", ":path", "a,b", "x~|`"], &["", ":", "::a", "a b", "a:", "a\n", "\u{e9}"]);
        check(Format::LooseHeaderName, &["a b", "\u{e9}", "\u{7f}"], &["", "a\n", "\0", "\r"]);
        check(Format::HeaderValue, &["", "a\tb", "\u{e9}"], &["a\n", "\0", "\u{7f}", "\u{1f}"]);
        check(Format::LooseHeaderValue, &["", "\u{7f}\u{1f}"], &["a\n", "\0", "\r"]);
    }
}
