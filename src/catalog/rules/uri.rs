//! URIs and references (RFC 3986), with zones in IPv6 literals (RFC 6874).

use super::hostname::{Version, is_ip};

/// `URI = scheme ":" hier-part [ "?" query ] [ "#" fragment ]`
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_further = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_further) && is_rest(rest)
}

/// `URI-reference = URI / relative-ref`, the first segment of whose path has no colon.
pub(super) fn is_uri_reference(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let first = path.split('/').next().unwrap_or_default();
    is_uri(text) || (!first.contains(':') && is_rest(text))
}

/// What comes behind the scheme: authority, path, query, fragment.
fn is_rest(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let is_path = |path: &str| is_made_of(path, b":@/");
    let fits = match text.strip_prefix("//") {
        None => is_path(text),
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            is_authority(authority) && is_path(path)
        }
    };
    fits && is_made_of(query, b":@/?") && is_made_of(fragment, b":@/?")
}

/// `authority = [ userinfo "@" ] host [ ":" port ]`
fn is_authority(text: &str) -> bool {
    let (user, host) = text.split_once('@').unwrap_or(("", text));
    let (host, port) = match host.rfind(']').map_or(0, |end| end + 1) {
        at if host.is_char_boundary(at) => {
            let (literal, rest) = host.split_at(at);
            let colon = rest.find(':').map_or(rest.len(), |colon| colon);
            (&host[..literal.len() + colon], &host[literal.len() + colon..])
        }
        _ => return false,
    };
    let is_port = port.strip_prefix(':').unwrap_or(port).bytes().all(|byte| byte.is_ascii_digit());
    is_made_of(user, b":") && is_host(host) && is_port
}

/// `host = IP-literal / IPv4address / reg-name`, the second being a kind of the third.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[') {
        None => is_made_of(text, b"") && is_utf8(text),
        Some(rest) => rest.strip_suffix(']').is_some_and(|literal| match literal.strip_prefix('v') {
            Some(future) => is_future(future),
            None => is_v6(literal),
        }),
    }
}

fn is_v6(literal: &str) -> bool {
    let (address, zone) = literal.split_once("%25").map_or((literal, None), |(address, zone)| (address, Some(zone)));
    let is_zone = |zone: &str| !zone.is_empty() && is_encoded(zone, is_unreserved) && is_utf8(zone);
    !address.contains('%') && is_ip(address, Version::V6) && zone.is_none_or(is_zone)
}

/// `IPvFuture`, behind its `v`.
fn is_future(text: &str) -> bool {
    let Some((version, rest)) = text.split_once('.') else { return false };
    let is_one = |byte: u8| is_unreserved(byte) || is_delimiter(byte) || byte == b':';
    !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !rest.is_empty()
        && rest.bytes().all(is_one)
}

/// Unreserved characters, percent encodings, sub-delims and these.
fn is_made_of(text: &str, others: &[u8]) -> bool {
    is_encoded(text, |byte| is_unreserved(byte) || is_delimiter(byte) || others.contains(&byte))
}

/// Bytes of a kind, and percent encodings.
fn is_encoded(text: &str, is_plain: impl Fn(u8) -> bool) -> bool {
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_plain(*byte) => rest,
            _ => return false,
        };
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// Percent encodings in hosts stand for UTF-8 (RFC 3986, section 3.2.2).
fn is_utf8(text: &str) -> bool {
    percent_encoding::percent_decode_str(text).decode_utf8().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_a_scheme_and_parts_of_their_own_characters() {
        for good in [
            "a:",
            "a+b-c.1:x",
            "https://example.com/foo/bar?baz=quux#frag",
            "http://",
            "http:///",
            "file:///a",
            "a://u:p@h:80/",
            "a://h:",
            "a://[::1]",
            "a://[::1%25eth0]:8/",
            "a://[v1f.x:y]",
            "a://%c3%a9",
            "a:%20",
            "a:?#",
            "a:#?/",
            "a:b:c@d",
            "a:/b//c",
            "mailto:a@b.c",
            "a://1.2.3.4:1",
        ] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "",
            ":",
            "a",
            "1a:",
            "a b:",
            "\u{e9}:",
            "a: ",
            "a:%",
            "a:%2",
            "a:%g0",
            "a:^",
            "a:\u{e9}",
            "a://h:8x",
            "a://[::1",
            "a://[::1]x",
            "a://::1",
            "a://[::1%eth0]",
            "a://[::1%25]",
            "a://[::1%25%c3]",
            "a://[1.2.3.4]",
            "a://%c3",
            "a://u@v@w",
            "a:##",
            "a:#[",
            "a:?[",
            "a:/[",
            "a://[v.x]",
            "a://[v1.]",
            "a://h:1:2",
            "//a",
            "a:\\",
            "a://[]",
            "a://x[::1]",
            "a:/b|c",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
    }

    #[test]
    fn a_reference_may_do_without_a_scheme() {
        for good in ["", "a", "./a:b", "/a:b", "//h/p", "?q", "#f", "a?b:c", "a:b", "../x", "//"] {
            assert!(is_uri_reference(good), "{good}");
        }
        for bad in [":", "1a:b", "a b", "//h:x", "%", "\u{e9}", "#a#b"] {
            assert!(!is_uri_reference(bad), "{bad}");
        }
    }
}
