//! Which header fields are metadata and which belong to a hop.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(super) const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_GRPC_WEB: HeaderName = HeaderName::from_static("x-grpc-web");

/// Turns a caller's header fields into the request metadata that goes upstream: hop-by-hop fields go, gRPC's own are
/// set. With `frames_pass` the caller's frames go upstream as they are, and so do the fields that say how they are
/// compressed; otherwise messages are ours, and never compressed.
pub fn forwardable_request(headers: &mut HeaderMap, frames_pass: bool) {
    remove_hop_by_hop(headers);
    for name in [HOST, CONTENT_LENGTH, ACCEPT, ACCEPT_ENCODING, X_GRPC_WEB, EXPECT] {
        headers.remove(name);
    }
    if !frames_pass {
        headers.remove(CONTENT_ENCODING);
        remove_prefixed(headers, "grpc-");
        remove_prefixed(headers, "connect-");
        headers.insert(GRPC_ACCEPT_ENCODING, IDENTITY);
    } else if !headers.contains_key(GRPC_ACCEPT_ENCODING) {
        headers.insert(GRPC_ACCEPT_ENCODING, IDENTITY);
    }
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
}

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const EXPECT: HeaderName = http::header::EXPECT;

/// Rids the upstream's header fields (or trailers) of what is not for callers. With `frames_pass` the fields that say
/// how messages are compressed stay.
pub fn forwardable_answer(headers: &mut HeaderMap, frames_pass: bool) {
    if headers.is_empty() {
        return;
    }
    remove_hop_by_hop(headers);
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    if !frames_pass {
        headers.remove(GRPC_ENCODING);
        headers.remove(GRPC_ACCEPT_ENCODING);
    }
}

/// RFC 9110 section 7.6.1: `Connection`, what it names, and the fields that are about a connection by themselves.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(value) = headers.remove(CONNECTION)
        && let Ok(names) = value.to_str()
    {
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            headers.remove(name);
        }
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS] {
        headers.remove(name);
    }
}

fn remove_prefixed(headers: &mut HeaderMap, prefix: &str) {
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn fields_of_the_hop_are_not_metadata() {
        let mut headers = map(&[
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("host", "a"),
            ("te", "gzip"),
            ("x-app", "1"),
            ("user-agent", "me"),
            ("content-type", "application/json"),
        ]);
        forwardable_request(&mut headers, false);
        let expected = map(&[
            ("x-app", "1"),
            ("user-agent", "me"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-accept-encoding", "identity"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_caller_that_sends_no_frames_cannot_set_the_fields_of_grpc() {
        let mut headers = map(&[("grpc-timeout", "1S"), ("grpc-encoding", "gzip"), ("grpc-internal-x", "1")]);
        forwardable_request(&mut headers, false);
        assert!(!headers.contains_key("grpc-timeout") && !headers.contains_key("grpc-internal-x"));
        assert_eq!(headers["grpc-accept-encoding"], "identity");
    }

    #[test]
    fn compression_fields_stay_with_frames_that_pass() {
        let mut headers = map(&[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")]);
        forwardable_request(&mut headers, true);
        assert_eq!(headers["grpc-encoding"], "gzip");
        assert_eq!(headers["grpc-accept-encoding"], "gzip");
    }
}
