//! Connect streams (Connect protocol reference, "Streaming-RPCs"): five-byte envelopes, HTTP 200 always, and a last
//! envelope with flag 0x02 that holds the end as JSON.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::connect_unary::put_error;
use super::json_text::put_json_string;
use super::metadata::CONNECT_ENCODING;
use crate::wire::prefix;

/// Flag of the last envelope.
const END_STREAM: u8 = 0x02;

/// The answer to a Connect stream.
#[derive(Debug)]
pub struct ConnectStream {
    pub codec: Codec,
}

// === impl ConnectStream ===

impl Answer for ConnectStream {
    fn due(&self) -> Due {
        Due::AtOnce
    }

    fn form(&self) -> AnswerForm {
        match self.codec {
            Codec::Proto => AnswerForm::Frames,
            Codec::Json => AnswerForm::Messages,
        }
    }

    fn codec(&self) -> Codec {
        self.codec
    }

    fn packing(&self) -> Packing {
        Packing::Messages(CONNECT_ENCODING)
    }

    fn details(&self) -> DetailForm {
        DetailForm::Json
    }

    fn head(&mut self, mut metadata: HeaderMap) -> HeadOut {
        let content_type = match self.codec {
            Codec::Proto => "application/connect+proto",
            Codec::Json => "application/connect+json",
        };
        metadata.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    fn message(&mut self, flags: u8, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&prefix(flags, message.len()));
        out.extend_from_slice(message);
    }

    fn end(&mut self, end: End) -> Ending {
        Ending { bytes: end_envelope(&end), trailers: None, cut: false }
    }

    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, mut end: End) -> WholeOut {
        let mut head = self.head(metadata);
        head.headers.extend(std::mem::take(&mut end.hints));
        let mut body = Vec::new();
        if let Some(message) = message {
            self.message(0, &message, &mut body);
        }
        body.extend_from_slice(&end_envelope(&end));
        WholeOut { head, body: body.into(), trailers: None }
    }
}

/// `{"error": {...}, "metadata": {"name": ["value"]}}`, both only if there are any.
fn end_envelope(end: &End) -> Bytes {
    let mut out = vec![0; 5];
    out.push(b'{');
    if !end.status.is_ok() {
        out.extend_from_slice(b"\"error\":");
        put_error(&mut out, end);
    }
    if !end.trailers.is_empty() {
        if !end.status.is_ok() {
            out.push(b',');
        }
        put_metadata(&mut out, &end.trailers);
    }
    out.push(b'}');
    let front = prefix(END_STREAM, out.len() - 5);
    if let Some(slot) = out.first_chunk_mut::<5>() {
        *slot = front;
    }
    out.into()
}

fn put_metadata(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"\"metadata\":{");
    for (i, name) in trailers.keys().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_json_string(out, name.as_str());
        out.extend_from_slice(b":[");
        for (i, value) in trailers.get_all(name).iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            put_json_string(out, &String::from_utf8_lossy(value.as_bytes()));
        }
        out.push(b']');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Code, Status};

    #[test]
    fn the_last_envelope_tells_the_end() {
        let mut answer = ConnectStream { codec: Codec::Json };
        assert_eq!(answer.end(End::new(Status::OK)).bytes, &b"\x02\0\0\0\x02{}"[..]);
        let mut end = End::new(Status::new(Code::Aborted, "x"));
        end.trailers.append("a", HeaderValue::from_static("1"));
        end.trailers.append("a", HeaderValue::from_static("2"));
        let text = r#"{"error":{"code":"aborted","message":"x"},"metadata":{"a":["1","2"]}}"#;
        assert_eq!(&answer.end(end).bytes[5..], text.as_bytes());
    }
}
