//! gRPC-Web, binary and text (grpc `doc/PROTOCOL-WEB.md`): frames pass, the end is a last frame in the body.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Codec;
use super::answer::{Answer, AnswerForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::grpc::status_fields;
use super::metadata::GRPC_ENCODING;
use crate::wire::{TRAILERS, encode_text, prefix};

/// The answer to a gRPC-Web call.
#[derive(Debug)]
pub struct GrpcWeb {
    /// The answer is base64: the caller's `accept` asked for it.
    pub text: bool,
    pub codec: Codec,
}

// === impl GrpcWeb ===

impl GrpcWeb {
    fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match (self.text, self.codec) {
            (false, Codec::Proto) => "application/grpc-web+proto",
            (true, Codec::Proto) => "application/grpc-web-text+proto",
            (false, Codec::Json) => "application/grpc-web+json",
            (true, Codec::Json) => "application/grpc-web-text+json",
        })
    }

    fn coded(&self, bytes: Vec<u8>) -> Bytes {
        if self.text { encode_text(&bytes) } else { bytes.into() }
    }
}

impl Answer for GrpcWeb {
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
        Packing::Messages(GRPC_ENCODING)
    }

    fn head(&mut self, mut metadata: HeaderMap) -> HeadOut {
        metadata.insert(CONTENT_TYPE, self.content_type());
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    fn chunk(&mut self, chunk: Bytes) -> Bytes {
        if self.text { encode_text(&chunk) } else { chunk }
    }

    fn message(&mut self, flags: u8, message: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&prefix(flags, message.len()));
        out.extend_from_slice(message);
        if self.text {
            let coded = encode_text(out.get(start..).unwrap_or(&[]));
            out.truncate(start);
            out.extend_from_slice(&coded);
        }
    }

    fn end(&mut self, end: End) -> Ending {
        Ending { bytes: self.coded(fields_frame(&status_fields(end))), trailers: None, cut: false }
    }

    /// A refusal is a trailers-only answer: the status in the HTTP headers, an empty body.
    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, end: End) -> WholeOut {
        let hints = end.hints.clone();
        let mut head = self.head(metadata);
        head.headers.extend(hints);
        let fields = status_fields(end);
        let body = match message {
            Some(message) => {
                let mut body = prefix(0, message.len()).to_vec();
                body.extend_from_slice(&message);
                body.extend_from_slice(&fields_frame(&fields));
                self.coded(body)
            }
            None => {
                head.headers.extend(fields);
                Bytes::new()
            }
        };
        WholeOut { head, body, trailers: None }
    }
}

/// A frame of fields, as the last frame is: `name:value` lines, each ended by CRLF; lower-case names, no blank behind the colon, as Envoy writes
/// it. Values of one name are joined by commas, since Google's client keeps only the last line of a name.
pub(super) fn fields_frame(fields: &HeaderMap) -> Vec<u8> {
    // room for a status, a message and some fields of the server's own
    let mut frame = Vec::with_capacity(128);
    frame.extend_from_slice(&prefix(TRAILERS, 0));
    for name in fields.keys() {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.push(b':');
        for (i, value) in fields.get_all(name).iter().enumerate() {
            if i > 0 {
                frame.push(b',');
            }
            frame.extend_from_slice(value.as_bytes());
        }
        frame.extend_from_slice(b"\r\n");
    }
    let front = prefix(TRAILERS, frame.len() - 5);
    if let Some(slot) = frame.first_chunk_mut::<5>() {
        *slot = front;
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Code, Status};

    #[test]
    fn the_last_frame_has_lower_case_names_no_blanks_and_joined_values() {
        let mut answer = GrpcWeb { text: false, codec: Codec::Proto };
        let mut end = End::new(Status::new(Code::NotFound, "caf\u{e9} 100%"));
        end.trailers.append("X-App", HeaderValue::from_static("a"));
        end.trailers.append("X-App", HeaderValue::from_static("b"));
        let ending = answer.end(end);
        let body = b"x-app:a,b\r\ngrpc-status:5\r\ngrpc-message:caf%C3%A9 100%25\r\n";
        let mut expected = vec![0x80, 0, 0, 0, body.len() as u8];
        expected.extend_from_slice(body);
        assert_eq!(ending.bytes, expected);
        assert!(ending.trailers.is_none() && !ending.cut);
    }

    #[test]
    fn text_mode_codes_each_piece_with_its_padding() {
        let mut answer = GrpcWeb { text: true, codec: Codec::Proto };
        assert_eq!(answer.chunk(Bytes::from_static(&[0, 0, 0, 0, 0])), "AAAAAAA=");
        let ending = answer.end(End::new(Status::OK));
        assert_eq!(ending.bytes, encode_text(b"\x80\0\0\0\x0fgrpc-status:0\r\n"));
    }

    #[test]
    fn a_refusal_is_in_the_headers_and_has_no_body() {
        let mut answer = GrpcWeb { text: true, codec: Codec::Proto };
        let out = answer.whole(HeaderMap::new(), None, End::new(Status::new(Code::Unavailable, "down")));
        assert_eq!(out.head.status, 200);
        assert_eq!(out.head.headers["grpc-status"], "14");
        assert_eq!(out.head.headers["grpc-message"], "down");
        assert_eq!(out.head.headers["content-type"], "application/grpc-web-text+proto");
        assert!(out.body.is_empty());
    }
}
