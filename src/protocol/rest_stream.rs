//! Plain HTTP/JSON with a stream of answers: a JSON array, or one JSON text a line (NDJSON) if `accept` asks for it.
//!
//! A stream that fails says so: NDJSON ends with a line `{"error": <google.rpc.Status>}`; a JSON array gets the same as
//! its last element and is then cut, never closed, so that no parser takes it for whole.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::rest::{JSON, Rest, put_status_json};

/// How the messages of a stream stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Array,
    Lines,
}

/// The answer to a REST call with a stream of answers.
#[derive(Debug)]
pub struct RestStream {
    pub layout: Layout,
    written: bool,
}

// === impl RestStream ===

impl RestStream {
    pub fn new(layout: Layout) -> RestStream {
        RestStream { layout, written: false }
    }

    fn content_type(&self) -> HeaderValue {
        match self.layout {
            Layout::Array => JSON,
            Layout::Lines => HeaderValue::from_static("application/x-ndjson"),
        }
    }

    fn failure(&self, end: &End) -> Ending {
        let mut bytes = Vec::with_capacity(128);
        if self.layout == Layout::Array {
            bytes.push(if self.written { b',' } else { b'[' });
        }
        bytes.extend_from_slice(b"{\"error\":");
        put_status_json(&mut bytes, end);
        bytes.push(b'}');
        if self.layout == Layout::Lines {
            bytes.push(b'\n');
        }
        Ending { bytes: bytes.into(), trailers: None, cut: self.layout == Layout::Array }
    }
}

impl Answer for RestStream {
    /// With the first message: a stream that fails at once has an HTTP code that says so.
    fn due(&self) -> Due {
        Due::FirstMessage
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
        metadata.insert(CONTENT_TYPE, self.content_type());
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    fn message(&mut self, _flags: u8, message: &[u8], out: &mut Vec<u8>) {
        if self.layout == Layout::Array {
            out.push(if self.written { b',' } else { b'[' });
        }
        self.written = true;
        out.extend_from_slice(message);
        if self.layout == Layout::Lines {
            out.push(b'\n');
        }
    }

    fn end(&mut self, end: End) -> Ending {
        if !end.status.is_ok() {
            return self.failure(&end);
        }
        let bytes = match (self.layout, self.written) {
            (Layout::Array, true) => Bytes::from_static(b"]"),
            (Layout::Array, false) => Bytes::from_static(b"[]"),
            (Layout::Lines, _) => Bytes::new(),
        };
        Ending { bytes, trailers: None, cut: false }
    }

    fn whole(&mut self, metadata: HeaderMap, _message: Option<Bytes>, end: End) -> WholeOut {
        if !end.status.is_ok() {
            return Rest.whole(metadata, None, end);
        }
        let head = self.head(metadata);
        let body = self.end(end).bytes;
        WholeOut { head, body, trailers: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Code, Status};

    fn body(layout: Layout, messages: &[&str], status: Status) -> (String, bool) {
        let mut answer = RestStream::new(layout);
        let mut out = Vec::new();
        for message in messages {
            answer.message(0, message.as_bytes(), &mut out);
        }
        let ending = answer.end(End::new(status));
        out.extend_from_slice(&ending.bytes);
        (String::from_utf8(out).unwrap(), ending.cut)
    }

    #[test]
    fn a_good_stream_is_a_closed_array_or_whole_lines() {
        assert_eq!(body(Layout::Array, &["1", "2"], Status::OK), ("[1,2]".into(), false));
        assert_eq!(body(Layout::Array, &[], Status::OK), ("[]".into(), false));
        assert_eq!(body(Layout::Lines, &["1", "2"], Status::OK), ("1\n2\n".into(), false));
    }

    #[test]
    fn a_failed_stream_never_looks_whole() {
        let failed = || Status::new(Code::DataLoss, "gone");
        let error = r#"{"error":{"code":15,"message":"gone","details":[]}}"#;
        assert_eq!(body(Layout::Array, &["1"], failed()), (format!("[1,{error}"), true));
        assert_eq!(body(Layout::Lines, &["1"], failed()), (format!("1\n{error}\n"), false));
    }
}
