//! Which header fields are metadata and which belong to a hop.

use http::header::{CONNECTION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::status::Code;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(super) const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

pub(super) const CONNECT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
pub(super) const CONNECT_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// What a field is about, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The application: metadata.
    Application,
    /// This hop's connection (RFC 9110 section 7.6.1).
    Hop,
    /// `Connection`, which names more fields of the hop.
    Connection,
    /// The body as it stands on this hop, or what this caller accepts.
    Body,
    /// How gRPC messages are compressed, which holds for as long as frames pass.
    Encoding,
    /// Which encodings of gRPC messages are understood in the other direction.
    AcceptEncoding,
    /// How a call ended. It is told where it counts, in the last header block; anywhere else it is noise that a caller
    /// could take for the end.
    Status,
    /// Reserved by gRPC.
    Grpc,
    /// Reserved by Connect, which ends here.
    Connect,
}

/// Reads a name once, for asking the map for each of twenty names costs more than a small call has to spend.
fn about(name: &str) -> About {
    match name {
        "connection" => About::Connection,
        "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings" => {
            About::Hop
        }
        "host" | "content-length" | "content-type" | "content-encoding" | "accept" | "accept-encoding" | "expect"
        | "x-grpc-web" => About::Body,
        "grpc-encoding" => About::Encoding,
        "grpc-accept-encoding" => About::AcceptEncoding,
        "grpc-status" | "grpc-message" | "grpc-status-details-bin" => About::Status,
        _ if name.starts_with("grpc-") => About::Grpc,
        _ if name.starts_with("connect-") => About::Connect,
        _ => About::Application,
    }
}

/// What of a call goes through unread; the fields that say how it is compressed go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    /// The caller's frames go upstream as they are.
    pub request: bool,
    /// The upstream's frames may go to the caller as they are.
    pub answer: bool,
}

/// Turns a caller's header fields into the request metadata that goes upstream: hop-by-hop fields and those of other
/// protocols go, gRPC's own are set. Returns which encodings the upstream is told to answer in: the caller's if frames
/// pass to it, else none but `identity`.
pub fn forwardable_request(headers: &mut HeaderMap, passing: Passing) -> HeaderValue {
    // callers of gRPC send these two as they have to be
    retain(headers, |name, value| match about(name.as_str()) {
        About::Application => true,
        About::Encoding | About::Grpc => passing.request,
        About::AcceptEncoding => passing.answer,
        About::Hop => *name == TE && *value == TRAILERS,
        About::Body => is_grpc_type(name, value),
        About::Connect | About::Status | About::Connection => false,
    });
    if !headers.contains_key(TE) {
        headers.insert(TE, TRAILERS);
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, GRPC_TYPE);
    }
    headers.entry(GRPC_ACCEPT_ENCODING).or_insert(IDENTITY).clone()
}

fn is_grpc_type(name: &HeaderName, value: &HeaderValue) -> bool {
    *name == CONTENT_TYPE && *value == GRPC_TYPE
}

/// Rids the upstream's header fields (or trailers) of what is not for callers. How its messages are compressed is told
/// anew, if they still are.
pub fn forwardable_answer(headers: &mut HeaderMap) {
    if headers.is_empty() {
        return;
    }
    retain(headers, |name, _| is_for_callers(about(name.as_str())));
}

fn is_for_callers(about: About) -> bool {
    match about {
        About::Application | About::Grpc => true,
        About::Encoding | About::AcceptEncoding | About::Connect | About::Status => false,
        About::Hop | About::Connection | About::Body => false,
    }
}

/// The same for the head of an answer whose frames pass to a caller of gRPC. How its messages are compressed is taken out.
pub fn forwardable_head(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut is_packed = false;
    retain(headers, |name, value| match about(name.as_str()) {
        About::Body => is_grpc_type(name, value),
        About::Encoding => {
            is_packed = true;
            true
        }
        about => is_for_callers(about),
    });
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, GRPC_TYPE);
    }
    if is_packed { headers.remove(GRPC_ENCODING).filter(|packed| *packed != IDENTITY) } else { None }
}

/// Rids the fields that end an upstream's answer of what is not for a caller of gRPC. The status stays, as a number that
/// there is.
pub fn forwardable_trailers(fields: &mut HeaderMap) {
    retain(fields, |name, _| matches!(about(name.as_str()), About::Application | About::Grpc | About::Status));
    if let Some(status) = fields.get_mut(GRPC_STATUS) {
        let code = Code::from_header(status.as_bytes()).unwrap_or(Code::Unknown);
        if status.as_bytes() != code.digits().as_bytes() {
            *status = HeaderValue::from_static(code.digits());
        }
    }
}

/// Trailing metadata as header fields with the prefix `trailer-`.
pub(super) fn append_trailers(headers: &mut HeaderMap, trailers: HeaderMap) {
    let mut last = None;
    for (name, value) in trailers {
        if let Some(name) = name {
            last = HeaderName::try_from(format!("trailer-{name}")).ok();
        }
        if let Some(name) = &last {
            headers.append(name.clone(), value);
        }
    }
}

/// Removes what is not to be kept, with all values of its name. Most calls have two or three such fields.
fn retain(headers: &mut HeaderMap, mut keep: impl FnMut(&HeaderName, &HeaderValue) -> bool) {
    let mut doomed: [Option<HeaderName>; 8] = Default::default();
    loop {
        let mut found = 0;
        let mut connection = false;
        for (name, value) in headers.iter() {
            if keep(name, value) {
                continue;
            }
            connection |= *name == CONNECTION;
            let Some(slot) = doomed.get_mut(found) else { break };
            *slot = Some(name.clone());
            found += 1;
        }
        if connection {
            remove_named(headers);
        }
        for name in doomed.iter_mut().filter_map(Option::take) {
            headers.remove(name);
        }
        if found < doomed.len() {
            return;
        }
    }
}

/// Removes the fields that `Connection` names.
fn remove_named(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> = named.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect();
    for name in named.iter().filter(|name| !name.is_empty()) {
        headers.remove(name.as_str());
    }
}

const GRPC_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

#[cfg(test)]
mod tests {
    use super::*;

    const GZIP: HeaderValue = HeaderValue::from_static("gzip");
    const NOTHING: Passing = Passing { request: false, answer: false };

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
        forwardable_request(&mut headers, NOTHING);
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
        forwardable_request(&mut headers, NOTHING);
        assert!(!headers.contains_key("grpc-timeout") && !headers.contains_key("grpc-internal-x"));
        assert_eq!(headers["grpc-accept-encoding"], "identity");
    }

    #[test]
    fn any_number_of_fields_can_go() {
        let mut headers = map(&[
            ("connection", "x-1, x-2,,close"),
            ("x-1", "1"),
            ("x-2", "1"),
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("te", "1"),
            ("trailer", "1"),
            ("transfer-encoding", "1"),
            ("upgrade", "1"),
            ("http2-settings", "1"),
            ("host", "1"),
            ("content-length", "1"),
            ("content-type", "1"),
            ("accept", "1"),
            ("accept-encoding", "1"),
            ("expect", "1"),
            ("x-grpc-web", "1"),
            ("x-app", "1"),
        ]);
        forwardable_answer(&mut headers);
        assert_eq!(headers, map(&[("x-app", "1")]));
    }

    #[test]
    fn a_status_is_no_metadata() {
        let status = [("grpc-status", "0"), ("grpc-message", "m"), ("grpc-status-details-bin", "AA"), ("x-app", "1")];
        let mut headers = map(&status);
        forwardable_answer(&mut headers);
        assert_eq!(headers, map(&[("x-app", "1")]));
        let mut headers = map(&status);
        forwardable_request(&mut headers, Passing { request: true, answer: true });
        assert!(!headers.contains_key("grpc-status") && headers.contains_key("x-app"));
    }

    #[test]
    fn trailers_keep_a_status_and_make_it_one_that_there_is() {
        let fields = [("grpc-status", "99"), ("grpc-message", "m"), ("content-type", "x"), ("grpc-encoding", "gzip")];
        let mut fields = map(&[&fields[..], &[("x-app", "1"), ("connection", "x-mine"), ("x-mine", "1")]].concat());
        forwardable_trailers(&mut fields);
        assert_eq!(fields, map(&[("grpc-status", "2"), ("grpc-message", "m"), ("x-app", "1")]));
    }

    #[test]
    fn compression_fields_stay_with_the_frames_that_pass() {
        let fields = [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip"), ("connect-protocol-version", "1")];
        let mut headers = map(&fields);
        let accepted = forwardable_request(&mut headers, Passing { request: true, answer: false });
        assert_eq!((&headers["grpc-encoding"], &accepted), (&GZIP, &IDENTITY));
        assert!(!headers.contains_key("connect-protocol-version"));
        let mut headers = map(&fields);
        let accepted = forwardable_request(&mut headers, Passing { request: false, answer: true });
        assert_eq!((headers.get("grpc-encoding"), &accepted), (None, &GZIP));
        forwardable_answer(&mut headers);
        assert!(!headers.contains_key("grpc-accept-encoding"));
    }
}
