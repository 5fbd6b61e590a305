//! Plain HTTP/JSON, one message each way. Errors are `google.rpc.Status` as JSON with the mapped HTTP code.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, Detail, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::json_text::put_json_string;
use super::metadata::append_trailers;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a REST call with one answer.
#[derive(Debug)]
pub struct Rest;

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
        let mut head = self.head(metadata);
        append_trailers(&mut head.headers, std::mem::take(&mut end.trailers));
        head.headers.extend(std::mem::take(&mut end.hints));
        match message {
            Some(body) if end.status.is_ok() => WholeOut { head, body, trailers: None },
            _ => {
                head.status = end.http_status();
                let mut body = Vec::with_capacity(128);
                put_status_json(&mut body, &end);
                WholeOut { head, body: body.into(), trailers: None }
            }
        }
    }
}

/// `{"code": 5, "message": "...", "details": [{"@type": ...}]}`, the JSON form of `google.rpc.Status`. A detail whose
/// type the catalog does not know is kept as `@type` and base64 `value`.
pub(super) fn put_status_json(out: &mut Vec<u8>, end: &End) {
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(end.status.code.digits().as_bytes());
    out.extend_from_slice(b",\"message\":");
    put_json_string(out, &end.status.message);
    out.extend_from_slice(b",\"details\":[");
    for (i, detail) in end.details.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_detail(out, detail);
    }
    out.extend_from_slice(b"]}");
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
}
