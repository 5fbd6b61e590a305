//! Connect unary calls by POST (Connect protocol reference, "Unary-Request"): one message each way, errors as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, Detail, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::json_text::put_json_string;
use super::metadata::append_trailers;

/// The answer to a Connect unary call.
#[derive(Debug)]
pub struct ConnectUnary {
    pub codec: Codec,
}

// === impl ConnectUnary ===

impl Answer for ConnectUnary {
    fn due(&self) -> Due {
        Due::End
    }

    fn form(&self) -> AnswerForm {
        AnswerForm::Messages
    }

    fn codec(&self) -> Codec {
        self.codec
    }

    fn packing(&self) -> Packing {
        Packing::Body
    }

    fn details(&self) -> DetailForm {
        DetailForm::Json
    }

    fn head(&mut self, metadata: HeaderMap) -> HeadOut {
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
        let (content_type, body) = match message {
            Some(message) if end.status.is_ok() => (
                match self.codec {
                    Codec::Proto => "application/proto",
                    Codec::Json => "application/json",
                },
                message,
            ),
            _ => {
                head.status = http_status(&end);
                ("application/json", {
                    let mut body = Vec::with_capacity(128);
                    put_error(&mut body, &end);
                    body.into()
                })
            }
        };
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        WholeOut { head, body, trailers: None }
    }
}

/// By the table of Connect's; but what is not there is told by 404, from which Connect's clients derive UNIMPLEMENTED
/// (protocol reference, "Error Codes"), and which its conformance suite asks for.
fn http_status(end: &End) -> StatusCode {
    let told = end.http.filter(|code| *code == 404);
    StatusCode::from_u16(told.unwrap_or_else(|| end.status.code.http())).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `{"code": ..., "message": ..., "details": [{"type", "value", "debug"}]}`.
pub(super) fn put_error(out: &mut Vec<u8>, end: &End) {
    out.extend_from_slice(b"{\"code\":\"");
    out.extend_from_slice(end.status.code.connect_name().as_bytes());
    out.push(b'"');
    if !end.status.message.is_empty() {
        out.extend_from_slice(b",\"message\":");
        put_json_string(out, &end.status.message);
    }
    if !end.details.is_empty() {
        out.extend_from_slice(b",\"details\":[");
        for (i, detail) in end.details.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            put_detail(out, detail);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn put_detail(out: &mut Vec<u8>, detail: &Detail) {
    out.extend_from_slice(b"{\"type\":");
    put_json_string(out, detail.any.type_name());
    out.extend_from_slice(b",\"value\":\"");
    out.extend_from_slice(STANDARD_NO_PAD.encode(&detail.any.value).as_bytes());
    out.push(b'"');
    if let Some(json) = &detail.json {
        out.extend_from_slice(b",\"debug\":");
        out.extend_from_slice(json.as_bytes());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Code, Status, error_info};

    #[test]
    fn an_error_is_json_with_details_and_the_http_code_of_its_status() {
        let mut end = End::new(Status::new(Code::NotFound, "no \"such\" book"));
        let any = error_info("R", "d", &[]);
        end.details.push(Detail { any, json: Some("{\"reason\":\"R\"}".into()) });
        end.trailers.insert("x-app", HeaderValue::from_static("1"));
        let out = ConnectUnary { codec: Codec::Proto }.whole(HeaderMap::new(), None, end);
        assert_eq!(out.head.status, 404);
        assert_eq!(out.head.headers["content-type"], "application/json");
        assert_eq!(out.head.headers["trailer-x-app"], "1");
        assert_eq!(
            out.body,
            r#"{"code":"not_found","message":"no \"such\" book","details":[{"type":"google.rpc.ErrorInfo","value":"CgFSEgFk","debug":{"reason":"R"}}]}"#
        );
    }

    #[test]
    fn a_good_answer_is_the_message_alone() {
        let out = ConnectUnary { codec: Codec::Proto }.whole(
            HeaderMap::new(),
            Some(Bytes::from_static(b"m")),
            End::new(Status::OK),
        );
        assert_eq!((out.head.status.as_u16(), &out.body[..]), (200, &b"m"[..]));
        assert_eq!(out.head.headers["content-type"], "application/proto");
    }
}
