//! Answers that may be kept: entity tags, `If-None-Match` (RFC 9110, 8.8.3 and 13.1.2) and `Cache-Control`, for GET of
//! methods without side effects, in REST and in Connect.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Method as Verb, StatusCode};

use crate::call::Head;
use crate::catalog::Method;
use crate::protocol::{WholeOut, takes_get};

/// Bytes of a digest that a tag is made of: two bodies have the same one by chance once in 2^64 of them.
const TAG: usize = 16;

/// What a caller and the settings say of keeping the answer.
#[derive(Debug)]
pub(super) struct Conditional {
    /// `If-None-Match`, if there are tags.
    known: Option<Vec<HeaderValue>>,
    cache_control: Option<HeaderValue>,
}

// === impl Conditional ===

impl Conditional {
    /// `None` for nearly all calls: the method's settings say nothing of it, or it is not called so that answers may be kept.
    pub(super) fn of(head: &Head, method: &Method) -> Option<Box<Conditional>> {
        let rest = &method.answers.as_ref()?.rest;
        let keeps = rest.etag || rest.cache_control.is_some();
        let reads = matches!(head.parts.method, Verb::GET | Verb::HEAD) && head.socket.is_none();
        if !(keeps && reads && takes_get(method)) {
            return None;
        }
        let fields = head.parts.headers.get_all(IF_NONE_MATCH);
        let known = rest.etag.then(|| fields.iter().cloned().collect());
        Some(Box::new(Conditional { known, cache_control: rest.cache_control.clone() }))
    }

    /// Adds what caches need to a good answer; if its caller has it already, that is all it gets. `packs`: the body will be
    /// compressed, which makes its tag a weak one.
    pub(super) fn apply(&self, out: &mut WholeOut, packs: bool) {
        if !out.head.status.is_success() {
            return;
        }
        let headers = &mut out.head.headers;
        vary_by_encoding(headers);
        if let Some(value) = &self.cache_control {
            // the upstream knows better, if it says so
            headers.entry(CACHE_CONTROL).or_insert_with(|| value.clone());
        }
        // of a part no tag can be made that is the whole's
        let untagged = matches!(out.head.status, StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT);
        let Some(known) = self.known.as_ref().filter(|_| !untagged) else { return };
        let opaque = tag_of(&out.body);
        let tag = if packs { format!("W/{opaque}") } else { opaque.clone() };
        if let Ok(value) = HeaderValue::try_from(tag) {
            headers.insert(ETAG, value);
        }
        if known.iter().any(|field| names(field.as_bytes(), opaque.as_bytes())) {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_ENCODING);
            out.head.status = StatusCode::NOT_MODIFIED;
            out.body = Bytes::new();
        }
    }
}

/// Says that the body depends on the encodings that the caller accepts, once.
pub(super) fn vary_by_encoding(headers: &mut HeaderMap) {
    let field = HeaderValue::from_static("accept-encoding");
    if !headers.get_all(VARY).iter().any(|value| *value == field) {
        headers.append(VARY, field);
    }
}

/// The opaque tag of a body, with its quotes.
fn tag_of(body: &[u8]) -> String {
    let digest = digest(&SHA256, body);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest.as_ref().get(..TAG).unwrap_or_default()))
}

/// Whether a field of `If-None-Match` names this tag, by weak comparison. A field that is not written as it should be names none
/// from there on.
fn names(field: &[u8], tag: &[u8]) -> bool {
    let mut rest = field.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        rest = rest.trim_ascii_start();
        if let Some(behind) = rest.strip_prefix(b",") {
            rest = behind;
            continue;
        }
        let opaque = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(inner) = opaque.strip_prefix(b"\"") else { return false };
        let Some(end) = memchr::memchr(b'"', inner) else { return false };
        let (this, behind) = opaque.split_at((end + 2).min(opaque.len()));
        if this == tag {
            return true;
        }
        rest = behind.trim_ascii_start();
        if !rest.starts_with(b",") {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::HeadOut;

    fn answered(known: &[&'static str], packs: bool) -> WholeOut {
        let known = known.iter().map(|text| HeaderValue::from_static(text)).collect();
        let cache_control = Some(HeaderValue::from_static("max-age=60"));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let head = HeadOut { status: StatusCode::OK, headers };
        let mut out = WholeOut { head, body: Bytes::from_static(b"{}"), trailers: None };
        Conditional { known: Some(known), cache_control }.apply(&mut out, packs);
        out
    }

    const TAG_OF_OBJECT: &str = "\"RBNvo1WzZ4oRRq0W9-hkng\"";

    #[test]
    fn a_good_answer_has_a_tag_and_who_knows_it_gets_no_body() {
        let fresh = answered(&[], false);
        assert_eq!((fresh.head.status.as_u16(), &fresh.body[..]), (200, &b"{}"[..]));
        assert_eq!(fresh.head.headers[ETAG], TAG_OF_OBJECT);
        assert_eq!(fresh.head.headers[CACHE_CONTROL], "max-age=60");
        assert_eq!(fresh.head.headers[VARY], "accept-encoding");
        let packed = answered(&["\"other\""], true);
        assert_eq!(packed.head.status.as_u16(), 200);
        assert_eq!(packed.head.headers[ETAG], format!("W/{TAG_OF_OBJECT}"));
        for packs in [false, true] {
            let known = answered(&["\"x\"", "W/\"RBNvo1WzZ4oRRq0W9-hkng\""], packs);
            assert_eq!((known.head.status.as_u16(), known.body.len()), (304, 0));
            for name in [ETAG, CACHE_CONTROL, VARY] {
                assert!(known.head.headers.contains_key(&name), "{name}");
            }
            assert!(!known.head.headers.contains_key(CONTENT_TYPE));
        }
    }

    #[test]
    fn tags_are_found_in_lists_and_damaged_fields_name_none() {
        for (field, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("*", true),
            (" \"b\" ,, W/\"c\",\"a\"", true),
            ("\"b\", \"a", false),
            ("\"b\" \"a\"", false),
            ("a", false),
            ("w/\"a\"", false),
            ("\"b,\", \"a\"", true),
            ("\"\"", false),
            ("\"", false),
            ("W/", false),
            (",", false),
            ("", false),
            ("*, \"a\"", false),
            ("\"b\",*", false),
        ] {
            assert_eq!(names(field.as_bytes(), b"\"a\""), expected, "{field}");
        }
    }
}
