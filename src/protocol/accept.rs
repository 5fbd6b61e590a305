//! What a caller takes: `Accept` (RFC 9110, 12.5.1). Of several ranges that a media type is in the most exact one counts;
//! of several media types the one with the highest weight, then the one named more exactly, then the one named first.

use http::HeaderMap;
use http::header::ACCEPT;

/// So many ranges are looked at. Browsers send ten at most.
const MOST_RANGES: usize = 64;

/// The ranges of a caller's `Accept`, as far as they can be read.
#[derive(Debug)]
pub(super) struct Accept<'h> {
    ranges: Vec<Range<'h>>,
}

/// How much a caller likes a media type; the greater the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Liking {
    /// In thousandths; never 0.
    pub(super) weight: u16,
    exactness: Exactness,
    /// The first of them is the greatest.
    position: std::cmp::Reverse<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    /// `*/*`
    Any,
    /// `text/*`
    Kind,
    /// `text/plain`
    Full,
}

#[derive(Debug)]
struct Range<'h> {
    kind: &'h [u8],
    subtype: &'h [u8],
    weight: u16,
}

// === impl Accept ===

impl<'h> Accept<'h> {
    /// `None`: the caller says nothing, or nothing that can be read, and takes what it gets.
    pub(super) fn of(headers: &'h HeaderMap) -> Option<Accept<'h>> {
        let mut values = headers.get_all(ACCEPT).iter().peekable();
        values.peek()?;
        let members = values.flat_map(|value| split(value.as_bytes(), b','));
        let ranges: Vec<Range<'h>> = members.filter_map(Range::parse).take(MOST_RANGES).collect();
        (!ranges.is_empty()).then_some(Accept { ranges })
    }

    /// How much this media type is liked (lower case, without parameters); `None` if it is not taken at all.
    pub(super) fn liking(&self, media: &str) -> Option<Liking> {
        let (kind, subtype) = media.split_once('/')?;
        let likings = self.ranges.iter().enumerate().filter_map(|(at, range)| {
            let exactness = range.covers(kind.as_bytes(), subtype.as_bytes())?;
            Some(Liking { weight: range.weight, exactness, position: std::cmp::Reverse(at) })
        });
        // of ranges that are as exact the first one counts
        let exact = likings.max_by_key(|liking| (liking.exactness, liking.position))?;
        (exact.weight > 0).then_some(exact)
    }
}

// === impl Liking ===

impl Liking {
    /// Whether the media type was named, rather than covered by a wildcard.
    pub(super) fn is_named(&self) -> bool {
        self.exactness == Exactness::Full
    }
}

// === impl Range ===

impl<'h> Range<'h> {
    /// `type/subtype;parameter=value;q=0.5`. Parameters other than `q` are not looked at: none of ours depend on them.
    fn parse(text: &'h [u8]) -> Option<Range<'h>> {
        let mut parts = split(text, b';');
        let name = parts.next()?.trim_ascii();
        let slash = memchr::memchr(b'/', name)?;
        let (kind, subtype) = (name.get(..slash)?, name.get(slash + 1..)?);
        let sound = is_token(kind) && is_token(subtype) && (kind != b"*" || subtype == b"*");
        let mut weight = 1000;
        for part in parts {
            let Some(equals) = memchr::memchr(b'=', part) else { continue };
            if part.get(..equals)?.trim_ascii().eq_ignore_ascii_case(b"q") {
                weight = parse_weight(part.get(equals + 1..)?.trim_ascii())?;
            }
        }
        sound.then_some(Range { kind, subtype, weight })
    }

    fn covers(&self, kind: &[u8], subtype: &[u8]) -> Option<Exactness> {
        match (self.kind, self.subtype) {
            (b"*", _) => Some(Exactness::Any),
            (own, b"*") if own.eq_ignore_ascii_case(kind) => Some(Exactness::Kind),
            (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => Some(Exactness::Full),
            _ => None,
        }
    }
}

/// `0`, `0.5`, `1.000`: thousandths (RFC 9110, 12.4.2).
fn parse_weight(text: &[u8]) -> Option<u16> {
    let (whole, digits) = match text {
        [whole] => (whole, &b""[..]),
        [whole, b'.', digits @ ..] => (whole, digits),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        weight += u16::from(digit - b'0') * unit;
    }
    (weight <= 1000).then_some(weight)
}

/// Token characters (RFC 9110, 5.6.2), at least one.
fn is_token(text: &[u8]) -> bool {
    let special = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}

/// Splits at a delimiter that does not stand in a quoted string.
fn split(text: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte => return *byte == delimiter && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (ACCEPT, value.parse().expect("a value"))).collect()
    }

    /// The best of two media types, `-` if none is taken, `any` if nothing is said.
    fn best(values: &[&str], one: &'static str, other: &'static str) -> &'static str {
        let headers = headers(values);
        let Some(accept) = Accept::of(&headers) else { return "any" };
        match (accept.liking(one), accept.liking(other)) {
            (None, None) => "-",
            (first, second) if first >= second => one,
            _ => other,
        }
    }

    #[test]
    fn the_most_exact_range_gives_the_weight() {
        let headers = headers(&["text/*;q=0.3, text/plain;q=0.7, text/html;q=0, */*;q=0.5"]);
        let accept = Accept::of(&headers).expect("ranges");
        let weight = |media: &str| accept.liking(media).map(|liking| liking.weight);
        assert_eq!(weight("text/plain"), Some(700));
        assert_eq!(weight("text/csv"), Some(300));
        assert_eq!(weight("text/html"), None);
        assert_eq!(weight("image/png"), Some(500));
    }

    #[test]
    fn weight_comes_before_exactness_and_that_before_the_order() {
        let (json, lines) = ("application/json", "application/x-ndjson");
        for (values, expected) in [
            (&["application/json;q=0.5, application/x-ndjson"][..], lines),
            (&["application/json;q=0.5", "application/x-ndjson;q=0.6"], lines),
            (&["application/x-ndjson, application/json"], lines),
            (&["application/json, application/x-ndjson"], json),
            (&["*/*, application/x-ndjson"], lines),
            (&["application/*, APPLICATION/X-NDJSON;Q=1.000"], lines),
            (&["application/x-ndjson;q=0, */*"], json),
            (&["application/json;q=0.001, application/x-ndjson;q=0"], json),
            (&["text/html, application/xml;q=0.9, */*;q=0.8"], json),
            (&["text/html, image/*"], "-"),
            (&["*/*;q=0"], "-"),
            (&[], "any"),
        ] {
            assert_eq!(best(values, json, lines), expected, "{values:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        for damaged in [
            "",
            ",",
            ";",
            "/",
            "json",
            "a/",
            "/b",
            "*/json",
            "a/b/c",
            "a b/c",
            "a/b;q=",
            "a/b;q=2",
            "a/b;q=0.1234",
            "a/b;q=-1",
        ] {
            assert!(Accept::of(&headers(&[damaged])).is_none(), "{damaged:?}");
        }
        assert!(Accept::of(&headers(&["a/b;q=1.001"])).is_none());
        // a good one beside it counts
        assert_eq!(best(&["json, a/b;q=x, application/json;q=0.1"], "application/json", "a/b"), "application/json");
        // a comma within quotes is none, a quote that is never closed swallows the rest
        assert_eq!(best(&[r#"a/b;x="\",c/d", c/d;q=0.5"#], "a/b", "c/d"), "a/b");
        assert_eq!(best(&[r#"a/b;x=", c/d"#], "c/d", "c/d"), "-");
        let mut many = "x/y,".repeat(100_000);
        many.push_str("a/b");
        assert_eq!(best(&[&many], "a/b", "a/b"), "-");
        let opaque = HeaderMap::from_iter([(ACCEPT, http::HeaderValue::from_bytes(b"\xff/\xfe").expect("bytes"))]);
        assert!(Accept::of(&opaque).is_none());
    }
}
