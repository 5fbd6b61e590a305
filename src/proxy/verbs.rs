//! The verbs of HTTP that stand for others, and those that the edge answers of its own: HEAD, OPTIONS,
//! X-HTTP-Method-Override.

use http::header::{ALLOW, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Method as Verb, Response, StatusCode};

use super::body::Body;
use super::handler::respond;
use super::tables::Tables;
use crate::call::{CallRecord, Head};
use crate::catalog;
use crate::protocol::takes_get;
use crate::route::Match;
use crate::status::Code;

/// By which clients that can only GET and POST say what they mean.
const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The verb that a POST says it stands for, if it reaches a method by it whose settings let it: then the field is taken out
/// of the head. Else the POST is what it is. Not for the verbs that the edge answers without a body or without a call.
pub(super) fn overriding(tables: &Tables, head: &mut Head) -> Option<Verb> {
    if head.parts.method != Verb::POST {
        return None;
    }
    let named = head.parts.headers.get(&OVERRIDE)?.as_bytes().trim_ascii().to_ascii_uppercase();
    let verb = Verb::from_bytes(&named).ok()?;
    if matches!(verb, Verb::POST | Verb::HEAD | Verb::OPTIONS | Verb::CONNECT | Verb::TRACE) {
        return None;
    }
    let found = tables.routes.template(&verb, head.host(), head.parts.uri.path());
    let (Match::Found { method, .. } | Match::Malformed { method, .. }) = found else { return None };
    let (_, method) = method.of(&tables.catalogs)?;
    if !method.settings.rest.method_override {
        return None;
    }
    head.parts.headers.remove(&OVERRIDE);
    Some(verb)
}

/// What a method's own path takes, with the rules that it may be a path of as well.
pub(super) fn method_verbs(tables: &Tables, head: &Head, method: &catalog::Method) -> String {
    let own: &[&str] = if takes_get(method) { &["GET", "POST"] } else { &["POST"] };
    tables.routes.allow(head.host(), head.parts.uri.path(), own)
}

/// The answer to OPTIONS (RFC 9110, 9.3.7).
pub(super) fn verbs_response(allow: &str, mut record: CallRecord) -> Response<Body> {
    record.dialect = "local";
    record.end(Code::Ok);
    // verbs are tokens
    let allow = HeaderValue::from_str(allow).unwrap_or(HeaderValue::from_static(""));
    respond(StatusCode::NO_CONTENT, HeaderMap::from_iter([(ALLOW, allow)]), Body::Empty)
}

/// The answer to HEAD: what GET would have got, with its length where that is known, but without the body (RFC 9110,
/// 9.3.2). Of a stream nothing more is wanted: the upstream is told so.
pub(super) fn without_body(mut response: Response<Body>) -> Response<Body> {
    let length = match std::mem::replace(response.body_mut(), Body::Empty) {
        Body::Empty => Some(0),
        Body::Whole(bytes) => Some(bytes.len()),
        Body::Trailed(bytes, _) => Some(bytes.map_or(0, |bytes| bytes.len())),
        Body::Cut => None,
        Body::Early(mut early) => {
            early.record.iter_mut().for_each(|record| record.end(Code::Ok));
            None
        }
        Body::Relay(mut relay) => {
            relay.record.end(Code::Ok);
            None
        }
    };
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = length.filter(|_| !bodiless) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}
