//! Bodies that are no JSON: what a rule says of a request's body, and answers that are the content of a
//! `google.api.HttpBody` (`google/api/httpbody.proto`), one or a stream of them.
//!
//! A download's head has the content type of the first message and what metadata the upstream sent (`Content-Disposition`,
//! `ETag`, `Accept-Ranges` ...); with `Content-Range` among it the code is 206 (RFC 9110, 15.3.7). Errors are JSON as
//! everywhere; one behind the head cuts the body, for a cut file must not look like a whole one.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::family::Family;
use super::metadata::append_trailers;
use super::registry::{RequestForm, Spoken, by_template, rest_call};
use super::rest::{Shape, wants_problems};
use crate::call::{Head, Refusal};
use crate::catalog::{self, Binding};
use crate::status::Code;

/// Under which name `Content-Encoding` of content that is not looked into goes upstream as metadata, and comes from there:
/// under its own it would speak of the gRPC messages that hold the content.
pub const X_CONTENT_ENCODING: HeaderName = HeaderName::from_static("x-content-encoding");

/// The answer to a REST call whose rule shows an HttpBody.
#[derive(Debug)]
pub struct RestRaw {
    streams: bool,
    shape: Shape,
}

/// The dialect of a call that came by a rule: what [`by_template`] says, but for bodies that are no JSON. `family`: what the
/// content type says.
pub fn by_rule(family: Family, head: &mut Head, method: &catalog::Method, rule: usize) -> Result<Spoken, Refusal> {
    let binding = method.bindings.get(rule);
    let raw = binding.is_some_and(|binding| binding.raw_request.is_some());
    if raw && let Some(encoding) = head.parts.headers.remove(CONTENT_ENCODING) {
        head.parts.headers.insert(X_CONTENT_ENCODING, encoding);
    }
    let mut spoken = if binding.is_some_and(Binding::answers_raw) {
        rest_call(head, method, |headers, _| Ok(("rest-raw", Box::new(RestRaw::new(headers, method)))))?
    } else {
        by_template(head, method)?
    };
    if raw {
        spoken.request = RequestForm::Raw;
    } else if family == Family::Other
        && let Some(form) = binding.filter(|binding| binding.takes_form).and_then(|_| form(&head.parts.headers))
    {
        spoken.request = form;
    }
    Ok(spoken)
}

/// The form that the content type names, if it names one.
fn form(headers: &HeaderMap) -> Option<RequestForm> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or(value).trim_ascii();
    let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
    match () {
        () if is(b"application/x-www-form-urlencoded") => Some(RequestForm::Form),
        () if is(b"multipart/form-data") => Some(RequestForm::Multipart),
        () => None,
    }
}

// === impl RestRaw ===

impl RestRaw {
    fn new(headers: &HeaderMap, method: &catalog::Method) -> RestRaw {
        let shape = Shape { plan: method.answers.clone(), problems: wants_problems(headers) };
        RestRaw { streams: method.kind.server_streams(), shape }
    }

    /// An error, which is JSON. A range that is not there has a code of its own (RFC 9110, 15.5.17), and says what there is:
    /// the upstream ends with OUT_OF_RANGE and `content-range: bytes */LENGTH`.
    fn failed(&self, mut metadata: HeaderMap, mut end: End) -> WholeOut {
        let told = end.trailers.remove(CONTENT_RANGE).or_else(|| metadata.remove(CONTENT_RANGE));
        metadata.remove(X_CONTENT_ENCODING);
        let out_of_range = end.status.code == Code::OutOfRange;
        if let Some(range) = told.filter(|_| out_of_range) {
            end.hints.insert(CONTENT_RANGE, range);
            end.http.get_or_insert(StatusCode::RANGE_NOT_SATISFIABLE.as_u16());
        }
        self.shape.failure(metadata, end)
    }
}

impl Answer for RestRaw {
    /// With the first message, which has the content type; a stream that fails before has an HTTP code that says so.
    fn due(&self) -> Due {
        if self.streams { Due::FirstMessage } else { Due::End }
    }

    fn form(&self) -> AnswerForm {
        AnswerForm::Contents
    }

    fn codec(&self) -> Codec {
        Codec::Proto
    }

    /// Files mostly are compressed already, and parts of them count in bytes.
    fn packing(&self) -> Packing {
        Packing::Never
    }

    fn details(&self) -> DetailForm {
        DetailForm::AnyJson
    }

    /// The content type is in the metadata.
    fn head(&mut self, mut metadata: HeaderMap) -> HeadOut {
        // what the content is belongs to it, and is not among what settings may keep from callers
        let fields =
            [(CONTENT_TYPE, CONTENT_TYPE), (X_CONTENT_ENCODING, CONTENT_ENCODING), (CONTENT_RANGE, CONTENT_RANGE)];
        let told = fields.map(|(name, shown)| Some((shown, metadata.remove(name)?)));
        self.shape.choose(&mut metadata);
        metadata.extend(told.into_iter().flatten());
        let status = match &self.shape.plan {
            _ if metadata.contains_key(CONTENT_RANGE) => StatusCode::PARTIAL_CONTENT,
            // the setting is for answers that are no streams
            Some(plan) if !self.streams => StatusCode::from_u16(plan.rest.success).unwrap_or(StatusCode::OK),
            _ => StatusCode::OK,
        };
        HeadOut { status, headers: metadata }
    }

    fn end(&mut self, end: End) -> Ending {
        Ending { cut: !end.status.is_ok(), ..Ending::default() }
    }

    /// `message` is the content.
    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, mut end: End) -> WholeOut {
        if !end.status.is_ok() {
            return self.failed(metadata, end);
        }
        self.shape.choose(&mut end.trailers);
        let mut head = self.head(metadata);
        append_trailers(&mut head.headers, std::mem::take(&mut end.trailers));
        let mut body = message.unwrap_or_default();
        // neither has content (RFC 9110, 15.3.5 and 15.3.6)
        if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
            head.headers.remove(CONTENT_TYPE);
            body = Bytes::new();
        }
        WholeOut { head, body, trailers: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AnswerPlan, RestSettings};
    use crate::status::Status;
    use http::HeaderValue;
    use std::sync::Arc;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn content_has_the_head_that_the_upstream_says() {
        let mut answer = RestRaw { streams: false, shape: Shape::default() };
        let told = map(&[("content-type", "image/png"), ("x-content-encoding", "gzip"), ("etag", "\"a\"")]);
        let out = answer.whole(told, Some(Bytes::from_static(b"\x89PNG")), End::new(Status::OK));
        assert_eq!(out.head.status, 200);
        assert_eq!(
            out.head.headers,
            map(&[("content-type", "image/png"), ("content-encoding", "gzip"), ("etag", "\"a\"")])
        );
        assert_eq!(&out.body[..], b"\x89PNG");
        assert_eq!(answer.head(map(&[("content-range", "bytes 0-1/9")])).status, 206);
    }

    #[test]
    fn an_error_is_json_and_a_range_that_is_not_there_has_its_code() {
        let mut answer = RestRaw { streams: true, shape: Shape::default() };
        let mut end = End::new(Status::new(Code::OutOfRange, "no"));
        end.trailers = map(&[("content-range", "bytes */9"), ("x-more", "1")]);
        let out = answer.whole(HeaderMap::new(), None, end);
        assert_eq!(out.head.status, 416);
        let told = [
            ("content-type", "application/json"),
            ("trailer-x-more", "1"),
            ("content-range", "bytes */9"),
            ("vary", "accept"),
        ];
        assert_eq!(out.head.headers, map(&told));
        let end = End::new(Status::new(Code::NotFound, "no"));
        assert_eq!(answer.whole(map(&[("content-range", "x")]), None, end).head.status, 404);
        assert!(answer.end(End::new(Status::new(Code::DataLoss, ""))).cut && !answer.end(End::new(Status::OK)).cut);
    }

    #[test]
    fn settings_hold_for_content_as_far_as_they_leave_it_whole() {
        let rest = RestSettings {
            success: 201,
            error_codes: [(Code::NotFound, 410)].into(),
            response_headers: Some([HeaderName::from_static("etag")].into()),
            ..RestSettings::default()
        };
        let shape = Shape { plan: Some(Arc::new(AnswerPlan { rest, ..AnswerPlan::default() })), problems: true };
        let told = [("content-type", "a/b"), ("etag", "\"a\""), ("x-secret", "1"), ("x-content-encoding", "br")];
        let shown = map(&[("content-type", "a/b"), ("content-encoding", "br"), ("etag", "\"a\"")]);
        for (streams, code) in [(false, 201), (true, 200)] {
            let mut answer = RestRaw { streams, shape: shape.clone() };
            let out = answer.head(map(&told));
            assert_eq!((out.status.as_u16(), &out.headers), (code, &shown));
            let part = answer.head(map(&[("content-range", "bytes 0-1/9")]));
            assert_eq!((part.status.as_u16(), part.headers.len()), (206, 1));
            let failed = answer.whole(map(&told), None, End::new(Status::new(Code::NotFound, "no")));
            assert_eq!(failed.head.status, 410);
            assert_eq!(failed.head.headers["content-type"], "application/problem+json");
        }
        let rest = RestSettings { success: 204, ..RestSettings::default() };
        let plan = Some(Arc::new(AnswerPlan { rest, ..AnswerPlan::default() }));
        let mut answer = RestRaw { streams: false, shape: Shape { plan, problems: false } };
        let out = answer.whole(map(&told), Some(Bytes::from_static(b"x")), End::new(Status::OK));
        assert_eq!((out.head.status.as_u16(), out.body.len()), (204, 0));
        assert!(!out.head.headers.contains_key("content-type"));
    }

    #[test]
    fn forms_are_known_by_their_content_type() {
        for (text, expected) in [
            ("application/x-www-form-urlencoded", Some(RequestForm::Form)),
            ("Application/X-WWW-Form-Urlencoded ; charset=UTF-8", Some(RequestForm::Form)),
            ("multipart/form-data; boundary=x", Some(RequestForm::Multipart)),
            ("multipart/mixed; boundary=x", None),
            ("text/plain", None),
        ] {
            assert_eq!(form(&map(&[("content-type", text)])), expected, "{text}");
        }
        assert_eq!(form(&HeaderMap::new()), None);
    }
}
