//! Rules of strings and bytes.

use super::compile::{Fields, Found};
use super::format::Format;
use super::hostname::Version;
use super::pattern;
use super::spoken::{hex, list};
use super::steps::{BOOL, BYTES, STRING, Step, UINT64, WELL_KNOWN_REGEX};
use super::test::{Bytes, Text};

/// A rule about a length: its field, its test, and the words for it, where `#` stands for the length.
type Count<T> = (Step, fn(u64) -> T, &'static str);

/// What is said of a format: number and name of its rule, what it means, and the words for it.
type Row = (u32, &'static str, Format, &'static str);

const FORMATS: [Row; 20] = [
    (12, "email", Format::Email, "email address"),
    (13, "hostname", Format::Hostname, "hostname"),
    (14, "ip", Format::Ip(Version::Any), "IP address"),
    (15, "ipv4", Format::Ip(Version::V4), "IPv4 address"),
    (16, "ipv6", Format::Ip(Version::V6), "IPv6 address"),
    (17, "uri", Format::Uri, "URI"),
    (18, "uri_ref", Format::UriReference, "URI Reference"),
    (21, "address", Format::Address, "hostname, or ip address"),
    (22, "uuid", Format::Uuid, "UUID"),
    (33, "tuuid", Format::TrimmedUuid, "trimmed UUID"),
    (26, "ip_with_prefixlen", Format::Prefix(Version::Any, false), "IP prefix"),
    (27, "ipv4_with_prefixlen", Format::Prefix(Version::V4, false), "IPv4 address with prefix length"),
    (28, "ipv6_with_prefixlen", Format::Prefix(Version::V6, false), "IPv6 address with prefix length"),
    (29, "ip_prefix", Format::Prefix(Version::Any, true), "IP prefix"),
    (30, "ipv4_prefix", Format::Prefix(Version::V4, true), "IPv4 prefix"),
    (31, "ipv6_prefix", Format::Prefix(Version::V6, true), "IPv6 prefix"),
    (32, "host_and_port", Format::HostAndPort, "host (hostname or IP address) and port pair"),
    (35, "ulid", Format::Ulid, "ULID"),
    (37, "protobuf_fqn", Format::Name, "fully-qualified Protobuf name"),
    (38, "protobuf_dot_fqn", Format::DottedName, "fully-qualified Protobuf name with a leading dot"),
];

const FORMAT_NUMBERS: [u32; 21] = [12, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 37, 38];

/// The numbers of `StringRules`.
pub(super) const STRING_RULES: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32, 33, 34, 35, 37, 38,
];

/// The numbers of `BytesRules`.
pub(super) const BYTES_RULES: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// `StringRules`. Errors: what does not fit.
pub(super) fn strings(fields: &Fields<'_>, found: &mut Found<Text>) -> Result<(), String> {
    let text = |step: Step| fields.text(step.0).map(|text| Box::<str>::from(&*text));
    let part = |step: Step, test: fn(Box<str>) -> Text, said: &str, found: &mut Found<Text>| {
        if let Some(text) = text(step) {
            let message = format!("{said} `{text}`");
            found.add(test(text), step.1, message, step);
        }
    };
    part((1, "const", STRING), Text::Const, "must equal", found);
    let counts: [Count<Text>; 6] = [
        ((19, "len", UINT64), Text::Len, "must be # characters"),
        ((2, "min_len", UINT64), Text::MinLen, "must be at least # characters"),
        ((3, "max_len", UINT64), Text::MaxLen, "must be at most # characters"),
        ((20, "len_bytes", UINT64), Text::LenBytes, "must be # bytes"),
        ((4, "min_bytes", UINT64), Text::MinBytes, "must be at least # bytes"),
        ((5, "max_bytes", UINT64), Text::MaxBytes, "must be at most # bytes"),
    ];
    sizes(fields, &counts, found);
    if let Some(written) = fields.text(6) {
        let message = format!("does not match regex pattern `{written}`");
        found.add(Text::Pattern(pattern::compile(&written)?), "pattern", message, (6, "pattern", STRING));
    }
    part((7, "prefix", STRING), Text::Prefix, "does not have prefix", found);
    part((8, "suffix", STRING), Text::Suffix, "does not have suffix", found);
    part((9, "contains", STRING), Text::Contains, "does not contain substring", found);
    part((23, "not_contains", STRING), Text::NotContains, "contains substring", found);
    let (among, not_among) = (texts(fields, 10), texts(fields, 11));
    let shown = |texts: &[Box<str>]| list(texts.iter().map(|text| text.to_string()));
    if !among.is_empty() {
        let message = format!("must be in list {}", shown(&among));
        found.add(Text::In(among), "in", message, (10, "in", STRING));
    }
    if !not_among.is_empty() {
        let message = format!("must not be in list {}", shown(&not_among));
        found.add(Text::NotIn(not_among), "not_in", message, (11, "not_in", STRING));
    }
    formats(fields, found)
}

fn formats(fields: &Fields<'_>, found: &mut Found<Text>) -> Result<(), String> {
    let Some(number) = fields.member(&FORMAT_NUMBERS) else { return Ok(()) };
    let value = fields.bits(number).unwrap_or_default();
    if number == WELL_KNOWN_REGEX.0 {
        return headers(value, fields.bits(25) != Some(0), found);
    }
    let Some((_, name, format, words)) = FORMATS.iter().find(|row| row.0 == number).filter(|_| value != 0) else {
        return Ok(());
    };
    let step = (number, *name, BOOL);
    found.add(Text::Format(*format), name, format!("must be a valid {words}"), step);
    if *format != Format::UriReference {
        // validate.proto words this one in its own way
        let words = if *format == Format::HostAndPort { "host and port pair" } else { words };
        let message = format!("value is empty, which is not a valid {words}");
        found.add(Text::NotEmpty, &format!("{name}_empty"), message, step);
    }
    Ok(())
}

fn headers(value: u64, strict: bool, found: &mut Found<Text>) -> Result<(), String> {
    match value {
        0 => {}
        1 => {
            let format = if strict { Format::HeaderName } else { Format::LooseHeaderName };
            let (id, message) = ("well_known_regex.header_name", "must be a valid HTTP header name");
            found.add(Text::Format(format), id, message.into(), WELL_KNOWN_REGEX);
            let message = "value is empty, which is not a valid HTTP header name";
            found.add(Text::NotEmpty, &format!("{id}_empty"), message.into(), WELL_KNOWN_REGEX);
        }
        2 => {
            let format = if strict { Format::HeaderValue } else { Format::LooseHeaderValue };
            let (id, message) = ("well_known_regex.header_value", "must be a valid HTTP header value");
            found.add(Text::Format(format), id, message.into(), WELL_KNOWN_REGEX);
        }
        other => return Err(format!("there is no well_known_regex with the number {other}")),
    }
    Ok(())
}

/// `BytesRules`. Errors: what does not fit.
pub(super) fn bytes(fields: &Fields<'_>, found: &mut Found<Bytes>) -> Result<(), String> {
    let part = |step: Step, test: fn(Box<[u8]>) -> Bytes, said: &str, found: &mut Found<Bytes>| {
        if let Some(bytes) = fields.bytes(step.0) {
            found.add(test(bytes.into()), step.1, format!("{said} {}", hex(bytes)), step);
        }
    };
    part((1, "const", BYTES), Bytes::Const, "must be", found);
    let counts: [Count<Bytes>; 3] = [
        ((13, "len", UINT64), Bytes::Len, "must be # bytes"),
        ((2, "min_len", UINT64), Bytes::MinLen, "must be at least # bytes"),
        ((3, "max_len", UINT64), Bytes::MaxLen, "must be at most # bytes"),
    ];
    sizes(fields, &counts, found);
    if let Some(written) = fields.text(4) {
        let message = format!("must match regex pattern `{written}`");
        found.add(Bytes::Pattern(pattern::compile(&written)?), "pattern", message, (4, "pattern", STRING));
    }
    part((5, "prefix", BYTES), Bytes::Prefix, "does not have prefix", found);
    part((6, "suffix", BYTES), Bytes::Suffix, "does not have suffix", found);
    part((7, "contains", BYTES), Bytes::Contains, "does not contain", found);
    let all = |number| fields.all(number).map(|piece| Box::<[u8]>::from(piece.bytes)).collect::<Box<[_]>>();
    let shown = |all: &[Box<[u8]>]| list(all.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    let (among, not_among) = (all(8), all(9));
    if !among.is_empty() {
        let message = format!("must be in list {}", shown(&among));
        found.add(Bytes::In(among), "in", message, (8, "in", BYTES));
    }
    if !not_among.is_empty() {
        let message = format!("must not be in list {}", shown(&not_among));
        found.add(Bytes::NotIn(not_among), "not_in", message, (9, "not_in", BYTES));
    }
    known_sizes(fields, found);
    Ok(())
}

fn known_sizes(fields: &Fields<'_>, found: &mut Found<Bytes>) {
    let Some(number) = fields.member(&[10, 11, 12, 15]).filter(|number| fields.bits(*number) != Some(0)) else {
        return;
    };
    let (name, sizes, words): (_, &[usize], _) = match number {
        10 => ("ip", &[4, 16], "IP address"),
        11 => ("ipv4", &[4], "IPv4 address"),
        12 => ("ipv6", &[16], "IPv6 address"),
        _ => ("uuid", &[16], "UUID"),
    };
    let step = (number, name, BOOL);
    found.add(Bytes::Sizes(sizes), name, format!("must be a valid {words}"), step);
    let message = format!("value is empty, which is not a valid {words}");
    found.add(Bytes::NotEmpty, &format!("{name}_empty"), message, step);
}

fn sizes<T>(fields: &Fields<'_>, counts: &[Count<T>], found: &mut Found<T>) {
    for (step, test, words) in counts {
        if let Some(count) = fields.bits(step.0) {
            found.add(test(count), step.1, words.replace('#', &count.to_string()), *step);
        }
    }
}

fn texts(fields: &Fields<'_>, number: u32) -> Box<[Box<str>]> {
    fields.all(number).map(|piece| String::from_utf8_lossy(piece.bytes).into()).collect()
}

/// `AnyRules`: `in` = 2, `not_in` = 3.
pub(super) fn types(fields: &Fields<'_>, found: &mut Found<Text>) {
    let (among, not_among) = (texts(fields, 2), texts(fields, 3));
    if !among.is_empty() {
        found.add(Text::In(among), "in", "type URL must be in the allow list".into(), (2, "in", STRING));
    }
    if !not_among.is_empty() {
        let message = "type URL must not be in the block list".into();
        found.add(Text::NotIn(not_among), "not_in", message, (3, "not_in", STRING));
    }
}
