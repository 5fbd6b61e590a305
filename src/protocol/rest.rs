//! Plain HTTP/JSON, one message each way. Errors are `google.rpc.Status` as JSON with the mapped HTTP code, or problem
//! details (RFC 9457) for callers who prefer those.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Codec;
use super::accept::{Accept, Liking};
use super::answer::{Answer, AnswerForm, Detail, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::json_text::put_json_string;
use super::metadata::append_trailers;
use crate::catalog::AnswerPlan;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// For `Vary`, where the answer depends on what the caller accepts.
pub(super) const ACCEPT_FIELD: HeaderValue = HeaderValue::from_static("accept");

/// The answer to a REST call with one answer, of which no setting says anything, and whose caller wants nothing particular.
#[derive(Debug)]
pub struct Rest;

/// The same as settings and the caller would have it.
#[derive(Debug)]
pub struct ShapedRest(pub Shape);

/// What a method's settings and a caller's wishes make of answers.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// What the method's settings say.
    pub plan: Option<Arc<AnswerPlan>>,
    /// Errors are told as problem details (RFC 9457).
    pub problems: bool,
}

// === impl Rest ===

impl Answer for Rest {
    fn due(&self) -> Due {
        Due::End
    }

    fn form(&self) -> AnswerForm {
        AnswerForm::Messages
    }

    fn codec(&self) -> Codec {
        Codec::Json
    }

    fn packing(&self) -> Packing {
        Packing::Body
    }

    fn details(&self) -> DetailForm {
        DetailForm::AnyJson
    }

    fn head(&mut self, mut metadata: HeaderMap) -> HeadOut {
        metadata.insert(CONTENT_TYPE, JSON);
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    /// Never reached in a unary dialect, whose head is due with its end: a body that was begun cannot say how it ends.
    fn end(&mut self, _end: End) -> Ending {
        Ending { cut: true, ..Ending::default() }
    }

    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, mut end: End) -> WholeOut {
        match message {
            Some(body) if end.status.is_ok() => {
                let mut head = self.head(metadata);
                append_trailers(&mut head.headers, std::mem::take(&mut end.trailers));
                head.headers.extend(std::mem::take(&mut end.hints));
                WholeOut { head, body, trailers: None }
            }
            _ => Shape::default().failure(metadata, end),
        }
    }
}

// === impl ShapedRest ===

impl Answer for ShapedRest {
    fn due(&self) -> Due {
        Rest.due()
    }

    fn form(&self) -> AnswerForm {
        Rest.form()
    }

    fn codec(&self) -> Codec {
        Rest.codec()
    }

    fn packing(&self) -> Packing {
        Rest.packing()
    }

    fn details(&self) -> DetailForm {
        Rest.details()
    }

    fn head(&mut self, metadata: HeaderMap) -> HeadOut {
        Rest.head(metadata)
    }

    fn end(&mut self, end: End) -> Ending {
        Rest.end(end)
    }

    fn whole(&mut self, mut metadata: HeaderMap, message: Option<Bytes>, mut end: End) -> WholeOut {
        if !end.status.is_ok() {
            return self.0.failure(metadata, end);
        }
        self.0.choose(&mut metadata);
        self.0.choose(&mut end.trailers);
        let mut out = Rest.whole(metadata, message, end);
        if let Some(plan) = &self.0.plan
            && out.head.status == StatusCode::OK
        {
            out.head.status = StatusCode::from_u16(plan.rest.success).unwrap_or(StatusCode::OK);
            // neither has content (RFC 9110, 15.3.5 and 15.3.6)
            if matches!(out.head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
                out.head.headers.remove(CONTENT_TYPE);
                out.body = Bytes::new();
            }
        }
        out
    }
}

// === impl Shape ===

impl Shape {
    /// Leaves of an upstream's metadata what its callers are to see.
    pub(super) fn choose(&self, metadata: &mut HeaderMap) {
        let Some(listed) = self.plan.as_ref().and_then(|plan| plan.rest.response_headers.as_deref()) else { return };
        let others: Vec<HeaderName> = metadata.keys().filter(|name| !listed.contains(name)).cloned().collect();
        for name in others {
            metadata.remove(name);
        }
    }

    /// An answer that is an error. Its form depends on `accept`, and caches are told so.
    pub(super) fn failure(&self, mut metadata: HeaderMap, mut end: End) -> WholeOut {
        self.choose(&mut metadata);
        self.choose(&mut end.trailers);
        append_trailers(&mut metadata, std::mem::take(&mut end.trailers));
        metadata.extend(std::mem::take(&mut end.hints));
        metadata.append(VARY, ACCEPT_FIELD);
        let status = self.error_code(&end);
        let mut body = Vec::with_capacity(128);
        if self.problems {
            metadata.insert(CONTENT_TYPE, PROBLEM);
            put_problem_json(&mut body, &end, status);
        } else {
            metadata.insert(CONTENT_TYPE, JSON);
            put_status_json(&mut body, &end);
        }
        WholeOut { head: HeadOut { status, headers: metadata }, body: body.into(), trailers: None }
    }

    /// The HTTP code of an error: that of the settings, unless the edge gives it one that tells more than the status does, as
    /// 404 and 405 do.
    fn error_code(&self, end: &End) -> StatusCode {
        let code = end.status.code;
        let listed = self.plan.iter().flat_map(|plan| plan.rest.error_codes.iter());
        let told = end.http.is_none_or(|http| http == code.http());
        let listed = listed.filter(|(other, _)| told && *other == code).map(|(_, http)| *http).next_back();
        listed.and_then(|http| StatusCode::from_u16(http).ok()).unwrap_or_else(|| end.http_status())
    }
}

/// Whether the caller names `application/problem+json`, and likes it no less than `application/json`: clients that understand
/// problem details name both, the one for errors and the other for what they ask for.
pub(super) fn wants_problems(headers: &HeaderMap) -> bool {
    let names = |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), b"problem").is_some();
    // few do, so that this is all that most pay; media types are nearly always written in lower case
    if !headers.get_all(ACCEPT).iter().any(names) {
        return false;
    }
    let Some(accept) = Accept::of(headers) else { return false };
    let Some(problem) = accept.liking("application/problem+json").filter(Liking::is_named) else { return false };
    accept.liking("application/json").is_none_or(|json| json.weight <= problem.weight)
}

/// `{"code": 5, "message": "...", "details": [{"@type": ...}]}`, the JSON form of `google.rpc.Status`. A detail whose
/// type the catalog does not know is kept as `@type` and base64 `value`.
pub(super) fn put_status_json(out: &mut Vec<u8>, end: &End) {
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(end.status.code.digits().as_bytes());
    out.extend_from_slice(b",\"message\":");
    put_json_string(out, &end.status.message);
    put_details(out, end);
    out.push(b'}');
}

/// Problem details: the status's code by name as `code`, and its details as `details`, beside the members of RFC 9457. The
/// type is left open, so that the title is that of the HTTP code (section 4.2.1).
fn put_problem_json(out: &mut Vec<u8>, end: &End, status: StatusCode) {
    let code = end.status.code.name();
    let title = status.canonical_reason().unwrap_or(code);
    out.extend_from_slice(b"{\"type\":\"about:blank\",\"title\":");
    put_json_string(out, title);
    out.extend_from_slice(format!(",\"status\":{},\"detail\":", status.as_u16()).as_bytes());
    put_json_string(out, &end.status.message);
    out.extend_from_slice(b",\"code\":");
    put_json_string(out, code);
    put_details(out, end);
    out.push(b'}');
}

fn put_details(out: &mut Vec<u8>, end: &End) {
    out.extend_from_slice(b",\"details\":[");
    for (i, detail) in end.details.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_detail(out, detail);
    }
    out.push(b']');
}

fn put_detail(out: &mut Vec<u8>, detail: &Detail) {
    if let Some(json) = &detail.json {
        out.extend_from_slice(json.as_bytes());
        return;
    }
    out.extend_from_slice(b"{\"@type\":");
    put_json_string(out, &detail.any.type_url);
    out.extend_from_slice(b",\"value\":\"");
    out.extend_from_slice(STANDARD.encode(&detail.any.value).as_bytes());
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Any, Code, Status, error_info};

    #[test]
    fn an_error_is_a_status_with_its_details_expanded_or_kept() {
        let mut end = End::new(Status::new(Code::NotFound, "line\nbreak\u{1}"));
        let json = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R"}"#;
        end.details.push(Detail { any: error_info("R", "d", &[]), json: Some(json.into()) });
        let any = Any { type_url: "type.googleapis.com/x.Y".into(), value: Bytes::from_static(&[0xff]) };
        end.details.push(Detail { any, json: None });
        let out = Rest.whole(HeaderMap::new(), None, end);
        assert_eq!(out.head.status, 404);
        assert_eq!(
            out.body,
            format!(
                r#"{{"code":5,"message":"line\nbreak\u0001","details":[{json},{{"@type":"type.googleapis.com/x.Y","value":"/w=="}}]}}"#
            )
        );
    }

    #[test]
    fn a_refusal_may_have_an_http_code_of_its_own() {
        let mut end = End::new(Status::new(Code::Unimplemented, ""));
        end.http = Some(405);
        end.hints.insert("allow", HeaderValue::from_static("GET"));
        let out = Rest.whole(HeaderMap::new(), None, end);
        assert_eq!(out.head.status, 405);
        assert_eq!(out.head.headers["allow"], "GET");
    }
    fn accepts(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn problem_details_are_for_callers_who_name_them() {
        for (accept, expected) in [
            ("application/problem+json", true),
            ("application/json, application/problem+json", true),
            ("application/problem+json;q=0.9, application/json;q=0.8", true),
            ("application/json, application/problem+json;q=0.5", false),
            ("application/problem+json;q=0, */*", false),
            ("application/*, */*", false),
            ("application/problem+xml", false),
            ("problem", false),
        ] {
            assert_eq!(wants_problems(&accepts(accept)), expected, "{accept}");
        }
        assert!(!wants_problems(&HeaderMap::new()));
    }

    #[test]
    fn a_problem_has_the_members_of_the_rfc_and_the_status_beside_them() {
        let mut end = End::new(Status::new(Code::NotFound, "no \"such\" book"));
        end.details.push(Detail { any: error_info("R", "d", &[]), json: Some(r#"{"@type":"x"}"#.into()) });
        let out = ShapedRest(Shape { plan: None, problems: true }).whole(HeaderMap::new(), None, end);
        assert_eq!(out.head.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(out.head.headers[VARY], "accept");
        assert_eq!(
            out.body,
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no \"such\" book","code":"NOT_FOUND","details":[{"@type":"x"}]}"#
        );
    }

    fn shaped(change: impl FnOnce(&mut AnswerPlan)) -> ShapedRest {
        let mut plan = AnswerPlan::default();
        change(&mut plan);
        ShapedRest(Shape { plan: Some(Arc::new(plan)), problems: false })
    }

    #[test]
    fn settings_change_the_http_codes() {
        let good = || End::new(Status::OK);
        let made = shaped(|plan| plan.rest.success = 201).whole(HeaderMap::new(), Some("{}".into()), good());
        assert_eq!((made.head.status.as_u16(), &made.body[..]), (201, &b"{}"[..]));
        let none = shaped(|plan| plan.rest.success = 204).whole(HeaderMap::new(), Some("{}".into()), good());
        assert_eq!((none.head.status.as_u16(), none.body.len()), (204, 0));
        assert!(!none.head.headers.contains_key(CONTENT_TYPE));
        let codes = [(Code::Unimplemented, 410), (Code::InvalidArgument, 400), (Code::InvalidArgument, 422)];
        let failed = |code: Code, http: Option<u16>| {
            let end = End { http, ..End::new(Status::new(code, "")) };
            let mut answer = shaped(|plan| plan.rest.error_codes = codes.into());
            answer.whole(HeaderMap::new(), None, end).head.status.as_u16()
        };
        assert_eq!(failed(Code::InvalidArgument, None), 422);
        assert_eq!(failed(Code::InvalidArgument, Some(400)), 422, "our own word for the same");
        assert_eq!(failed(Code::Unimplemented, None), 410);
        assert_eq!(failed(Code::Unimplemented, Some(405)), 405, "405 tells more");
        assert_eq!(failed(Code::NotFound, None), 404);
    }

    #[test]
    fn metadata_is_shown_as_listed() {
        let list = [HeaderName::from_static("x-a"), HeaderName::from_static("x-b-bin")];
        let mut answer = shaped(|plan| plan.rest.response_headers = Some(list.into()));
        let fields = || -> HeaderMap {
            let names = ["x-a", "x-b-bin", "x-c"].map(HeaderName::from_static);
            names.into_iter().map(|name| (name, HeaderValue::from_static("AA"))).collect()
        };
        let end = |code| End { trailers: fields(), ..End::new(Status::new(code, "")) };
        for (code, message) in [(Code::Ok, Some("{}".into())), (Code::Aborted, None)] {
            let out = answer.whole(fields(), message, end(code));
            let mut names: Vec<&str> = out.head.headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            names.retain(|name| *name != "vary");
            assert_eq!(names, ["content-type", "trailer-x-a", "trailer-x-b-bin", "x-a", "x-b-bin"]);
        }
    }
}
