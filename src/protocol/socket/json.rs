//! JSON over WebSocket: bare, where a text frame is a message and the close code tells the status; and in envelopes
//! (`transom.json.v1`), which tell metadata, details and trailers too, and close the socket by the same codes.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{CLOSE, FAILED, NORMAL, cut_reason};
use crate::protocol::Codec;
use crate::protocol::answer::{Answer, AnswerForm, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use crate::protocol::json_text::put_json_string;
use crate::protocol::rest::put_status_json;
use crate::status::Status;
use crate::wire::prefix;

/// The answer to a JSON call by WebSocket.
#[derive(Debug)]
pub(super) struct JsonSocket {
    pub(super) envelopes: bool,
    /// Whether the method answers with a stream; one that does not must answer once when it ends well.
    pub(super) streams: bool,
}

// === impl JsonSocket ===

impl Answer for JsonSocket {
    fn due(&self) -> Due {
        if self.streams { Due::AtOnce } else { Due::End }
    }

    fn form(&self) -> AnswerForm {
        AnswerForm::Messages
    }

    fn codec(&self) -> Codec {
        Codec::Json
    }

    /// The door reads while it writes.
    fn hears_out(&self) -> bool {
        false
    }

    fn packing(&self) -> Packing {
        Packing::Never
    }

    fn details(&self) -> DetailForm {
        if self.envelopes { DetailForm::AnyJson } else { DetailForm::Encoded }
    }

    fn head(&mut self, metadata: HeaderMap) -> HeadOut {
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    fn message(&mut self, _flags: u8, message: &[u8], out: &mut Vec<u8>) {
        if self.envelopes {
            put_text(out, &[b"{\"message\":", message, b"}"]);
        } else {
            put_text(out, &[message]);
        }
    }

    fn end(&mut self, end: End) -> Ending {
        let mut bytes = Vec::with_capacity(128);
        self.put_end(&mut bytes, &end);
        Ending { bytes: bytes.into(), trailers: None, cut: false }
    }

    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, end: End) -> WholeOut {
        let mut body = Vec::with_capacity(128 + message.as_ref().map_or(0, Bytes::len));
        if let Some(message) = message.filter(|_| end.status.is_ok()) {
            self.message(0, &message, &mut body);
        }
        self.put_end(&mut body, &end);
        WholeOut { head: self.head(metadata), body: body.into(), trailers: None }
    }
}

impl JsonSocket {
    fn put_end(&self, out: &mut Vec<u8>, end: &End) {
        if self.envelopes {
            let mut envelope = b"{\"status\":".to_vec();
            put_status_json(&mut envelope, end);
            envelope.extend_from_slice(b",\"trailers\":");
            put_fields(&mut envelope, &end.trailers);
            envelope.push(b'}');
            put_text(out, &[&envelope]);
        }
        let (code, reason) = closing(&end.status);
        put_close(out, code, reason);
    }
}

/// `{"headers":{"name":["value"]}}`: the first envelope of every answer.
pub(super) fn headers_envelope(fields: &HeaderMap) -> Vec<u8> {
    let mut out = b"{\"headers\":".to_vec();
    put_fields(&mut out, fields);
    out.push(b'}');
    out
}

/// The close code of a status, and its reason.
fn closing(status: &Status) -> (u16, &str) {
    if status.is_ok() {
        return (NORMAL, "");
    }
    (FAILED.saturating_add(status.code.number().into()), cut_reason(&status.message))
}

/// Appends an envelope that holds a text frame of these pieces.
pub(super) fn put_text(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    out.reserve(length + 5);
    out.extend_from_slice(&prefix(0, length));
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// Appends an envelope that holds a close frame.
pub(super) fn put_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    out.extend_from_slice(&prefix(CLOSE, reason.len().saturating_add(2)));
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Metadata as an object: each name with all its values, in order. Values of `-bin` names stay in base64.
fn put_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    out.push(b'{');
    for (i, name) in fields.keys().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_json_string(out, name.as_str());
        out.extend_from_slice(b":[");
        for (i, value) in fields.get_all(name).iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            put_json_string(out, &text(value));
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// HTTP lets values have bytes that are no text; JSON does not.
fn text(value: &HeaderValue) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::{Cutter, SocketFrame};
    use super::*;
    use crate::call::Subprotocol;
    use crate::protocol::Detail;
    use crate::status::{Code, error_info};

    fn frames(body: &[u8]) -> Vec<SocketFrame> {
        let mut cutter = Cutter::new(Subprotocol::Json);
        cutter.push(Bytes::copy_from_slice(body));
        std::iter::from_fn(|| cutter.next().expect("a body")).collect()
    }

    fn text(text: &str) -> SocketFrame {
        SocketFrame::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn failed() -> End {
        let mut end = End::new(Status::new(Code::NotFound, "no \"such\" book"));
        let json = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R"}"#;
        end.details.push(Detail { any: error_info("R", "d", &[]), json: Some(json.into()) });
        end.trailers.append("x-a", HeaderValue::from_static("1"));
        end.trailers.append("x-a", HeaderValue::from_static("2"));
        end
    }

    #[test]
    fn a_bare_answer_is_its_messages_and_a_close_code() {
        let mut answer = JsonSocket { envelopes: false, streams: true };
        let mut body = Vec::new();
        answer.message(0, b"{\"a\":1}", &mut body);
        answer.message(0, b"{}", &mut body);
        body.extend_from_slice(&answer.end(End::new(Status::OK)).bytes);
        assert_eq!(frames(&body), [text("{\"a\":1}"), text("{}"), SocketFrame::Close(1000, String::new())]);
        let body = answer.end(failed()).bytes;
        assert_eq!(frames(&body), [SocketFrame::Close(4005, "no \"such\" book".into())]);
    }

    #[test]
    fn an_enveloped_answer_tells_the_whole_status_and_the_trailers() {
        let mut answer = JsonSocket { envelopes: true, streams: false };
        let whole = answer.whole(HeaderMap::new(), Some(Bytes::from_static(b"{}")), End::new(Status::OK));
        let status = r#"{"status":{"code":0,"message":"","details":[]},"trailers":{}}"#;
        let close = SocketFrame::Close(1000, String::new());
        assert_eq!(frames(&whole.body), [text("{\"message\":{}}"), text(status), close]);
        let whole = answer.whole(HeaderMap::new(), Some(Bytes::from_static(b"{}")), failed());
        let status = concat!(
            r#"{"status":{"code":5,"message":"no \"such\" book","details":["#,
            r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R"}]},"trailers":{"x-a":["1","2"]}}"#
        );
        let close = SocketFrame::Close(4005, "no \"such\" book".into());
        assert_eq!(frames(&whole.body), [text(status), close], "an answer before an error is none");
    }

    #[test]
    fn every_status_has_a_close_code_of_the_private_range() {
        for code in Code::ALL {
            let status = Status::new(code, "x".repeat(300));
            let (close, reason) = closing(&status);
            let expected = if code == Code::Ok { (1000, 0) } else { (4000 + u16::from(code.number()), 123) };
            assert_eq!((close, reason.len()), expected, "{code:?}");
        }
    }
}
