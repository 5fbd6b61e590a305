//! Refusals in plain text: what a caller gets whose protocol is not known, or who calls a method by a wrong verb or
//! content type. Such callers read the HTTP code alone; a JSON body would be taken for an error of Connect's, whose
//! clients derive the code from HTTP's otherwise (Connect protocol reference, "Error Codes").

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, Due, End, Ending, HeadOut, Packing, WholeOut};

/// The answer to what is no call.
#[derive(Debug)]
pub struct Plain;

// === impl Plain ===

impl Answer for Plain {
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
        Packing::Never
    }

    fn head(&mut self, mut metadata: HeaderMap) -> HeadOut {
        metadata.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    /// Never reached: a refusal is told in one piece.
    fn end(&mut self, _end: End) -> Ending {
        Ending { cut: true, ..Ending::default() }
    }

    fn whole(&mut self, metadata: HeaderMap, _message: Option<Bytes>, end: End) -> WholeOut {
        let mut head = self.head(metadata);
        head.status = end.http_status();
        let body = format!("{}\n", end.status.message).into();
        head.headers.extend(end.hints);
        WholeOut { head, body, trailers: None }
    }
}
