//! Dialects of WebSocket callers: `grpc-websockets`, bare JSON, and JSON in envelopes (`transom.json.v1`).
//!
//! A door has frames in its hands, a dialect has messages and heads. Between them stand three things of this room:
//! [`said`] tells what a caller's frame means, [`opening`] makes the first frame of an answer of its head, and [`Cutter`]
//! cuts an answer's body into frames. The body of a JSON dialect is a sequence of five-byte envelopes (`wire::prefix`):
//! flag 0 holds a text frame, flag 1 the close code (two bytes) and reason that end the socket.

mod grpc;
mod json;
mod said;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::grpc_web::fields_frame;
use super::metadata::{GRPC_ACCEPT_ENCODING, GRPC_ENCODING, GRPC_TIMEOUT};
use super::registry::{deadline, frames_encoding};
use super::{Answer, Codec, Family, Packed, RequestForm, Spoken, family};
use crate::call::{Head, Hint, Kind, Refusal, Subprotocol};
use crate::catalog::{Method, StreamKind};
use crate::wire::{FrameReader, FrameScanner, parse_grpc_timeout};
use grpc::GrpcSocket;
use json::JsonSocket;
pub use said::{Said, merge, said};

/// A frame towards the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketFrame {
    /// UTF-8.
    Text(Bytes),
    Binary(Bytes),
    /// The last one: the code, and at most 123 bytes of reason.
    Close(u16, String),
}

/// Cuts the body of one answer into frames.
#[derive(Debug)]
pub struct Cutter {
    subprotocol: Subprotocol,
    reader: FrameReader,
    /// What `grpc-websockets` passes on as it came, and where in a message that ends.
    chunk: Option<Bytes>,
    scanner: FrameScanner,
}

/// The body of an answer is not what its dialect writes; never the caller's fault.
#[derive(Debug)]
pub struct BadBody;

/// Bytes of a close frame's reason (RFC 6455 section 5.5: 125 with the code).
const LONGEST_REASON: usize = 123;
/// What closes a socket whose call ended well (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;
/// Added to the number of a gRPC status that is not OK: of the range for private use (RFC 6455 section 7.4.2).
const FAILED: u16 = 4000;
/// The content types that the first message of `grpc-websockets` may name.
const TYPES: &str = "application/grpc-web, application/grpc-web+proto, application/grpc-web+json";
/// Flag of an envelope that holds a close frame.
const CLOSE: u8 = crate::wire::COMPRESSED;

/// The name of a subprotocol's dialect.
fn dialect(subprotocol: Subprotocol) -> &'static str {
    match subprotocol {
        Subprotocol::Grpc => "grpc-websocket",
        Subprotocol::Json => "json-websocket",
        Subprotocol::Envelopes => "json-websocket-v1",
    }
}

/// The dialect of a call whose head came by WebSocket. Takes the fields that the dialect keeps in the head out of it.
///
/// Callers of WebSockets take no compressed messages, so none are asked for.
pub fn by_socket(subprotocol: Subprotocol, head: &mut Head, method: &Method) -> Result<Spoken, Refusal> {
    let (mut codec, mut packed) = (Codec::Json, Packed::No);
    if subprotocol == Subprotocol::Grpc {
        codec = frames_codec(&head.parts.headers)?;
        packed = frames_encoding(&head.parts.headers, GRPC_ENCODING, codec, &method.settings)?;
    }
    let headers = &mut head.parts.headers;
    headers.remove(GRPC_ACCEPT_ENCODING);
    Ok(Spoken {
        dialect: dialect(subprotocol),
        request: request_form(subprotocol, method.kind),
        codec,
        packed,
        wanted: None,
        answer: answer(subprotocol, codec, method.kind.server_streams()),
        deadline: deadline(headers, GRPC_TIMEOUT, parse_grpc_timeout)?,
        message: None,
        rest: None,
    })
}

fn request_form(subprotocol: Subprotocol, kind: StreamKind) -> RequestForm {
    match subprotocol {
        Subprotocol::Grpc => RequestForm::Frames,
        _ if kind.client_streams() => RequestForm::Texts,
        _ => RequestForm::Message,
    }
}

fn answer(subprotocol: Subprotocol, codec: Codec, streams: bool) -> Box<dyn Answer> {
    match subprotocol {
        Subprotocol::Grpc => Box::new(GrpcSocket::new(codec)),
        Subprotocol::Json => Box::new(JsonSocket { envelopes: false, streams }),
        Subprotocol::Envelopes => Box::new(JsonSocket { envelopes: true, streams }),
    }
}

/// What the first message of `grpc-websockets` says of the codec; protobuf if it says nothing.
fn frames_codec(headers: &HeaderMap) -> Result<Codec, Refusal> {
    match family(headers) {
        Family::GrpcWeb { text: false, codec: Some(codec) } | Family::Grpc(Some(codec)) => Ok(codec),
        Family::None => Ok(Codec::Proto),
        _ => {
            let text = "grpc-websockets is not spoken with this content type";
            Err(Refusal::new(Kind::UnsupportedMediaType, text).hint(Hint::AcceptPost(TYPES)))
        }
    }
}

/// Who renders a refusal of a call of which no more is known.
pub fn socket_answer(subprotocol: Subprotocol) -> (&'static str, Box<dyn Answer>) {
    (dialect(subprotocol), answer(subprotocol, Codec::Proto, true))
}

/// The first frame of an answer, made of its head's fields. Bare JSON has none.
pub fn opening(subprotocol: Subprotocol, fields: &HeaderMap) -> Option<SocketFrame> {
    match subprotocol {
        Subprotocol::Grpc => Some(SocketFrame::Binary(fields_frame(fields).into())),
        Subprotocol::Json => None,
        Subprotocol::Envelopes => Some(SocketFrame::Text(json::headers_envelope(fields).into())),
    }
}

/// The longest beginning of a reason that a close frame has room for.
pub fn cut_reason(reason: &str) -> &str {
    let mut end = reason.len().min(LONGEST_REASON);
    while !reason.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    reason.get(..end).unwrap_or_default()
}

// === impl Cutter ===

impl Cutter {
    pub fn new(subprotocol: Subprotocol) -> Cutter {
        Cutter { subprotocol, reader: FrameReader::new(0), chunk: None, scanner: FrameScanner::new(0) }
    }

    /// Takes the next chunk of the body; call [`Cutter::next`] until it has no more before giving another.
    pub fn push(&mut self, chunk: Bytes) {
        if self.subprotocol == Subprotocol::Grpc {
            // the only fault it can meet is the frame of trailers, behind which there is nothing
            let _ = self.scanner.scan(&chunk);
            self.chunk = Some(chunk).filter(|chunk| !chunk.is_empty());
        } else {
            self.reader.push(chunk);
        }
    }

    /// The next frame that is there whole.
    #[allow(clippy::should_implement_trait)] // fallible, and not the end of anything when it is `None`
    pub fn next(&mut self) -> Result<Option<SocketFrame>, BadBody> {
        if self.subprotocol == Subprotocol::Grpc {
            return Ok(self.chunk.take().map(SocketFrame::Binary));
        }
        let Some(mut frame) = self.reader.next().map_err(|_| BadBody)? else { return Ok(None) };
        if frame.flags != CLOSE {
            return Ok(Some(SocketFrame::Text(frame.payload)));
        }
        let code = frame.payload.try_get_u16().map_err(|_| BadBody)?;
        let reason = String::from_utf8(frame.payload.into()).map_err(|_| BadBody)?;
        Ok(Some(SocketFrame::Close(code, reason)))
    }

    /// Whether an end may follow what was pushed so far, without being taken for the rest of a message.
    pub fn at_boundary(&self) -> bool {
        self.scanner.at_boundary()
    }

    /// What closes the socket when the body ends: gRPC-Web has told its end in the body, JSON tells it by the close frame
    /// alone, so that a JSON body without one was cut.
    pub fn end(&self) -> Result<SocketFrame, BadBody> {
        match self.subprotocol {
            Subprotocol::Grpc => Ok(SocketFrame::Close(NORMAL, String::new())),
            _ => Err(BadBody),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut_reason("short"), "short");
        let long = "\u{e9}".repeat(100);
        assert_eq!(cut_reason(&long).len(), 122);
        let emoji = format!("x{}", "\u{1f600}".repeat(40));
        assert_eq!(cut_reason(&emoji).len(), 121);
        assert_eq!(cut_reason(&"x".repeat(200)).len(), LONGEST_REASON);
    }

    #[test]
    fn a_body_in_any_pieces_is_the_same_frames() {
        let mut body = Vec::new();
        json::put_text(&mut body, &[b"{}"]);
        json::put_close(&mut body, 4005, "gone");
        for size in 1..body.len() {
            let mut cutter = Cutter::new(Subprotocol::Json);
            let mut frames = Vec::new();
            for piece in body.chunks(size) {
                cutter.push(Bytes::copy_from_slice(piece));
                while let Some(frame) = cutter.next().expect("a good body") {
                    frames.push(frame);
                }
            }
            let text = SocketFrame::Text(Bytes::from_static(b"{}"));
            assert_eq!(frames, [text, SocketFrame::Close(4005, "gone".into())], "{size}");
        }
    }

    #[test]
    fn an_end_does_not_follow_half_a_message() {
        let mut cutter = Cutter::new(Subprotocol::Grpc);
        for (chunk, whole) in [
            (&b"\0\0\0\0\x02h"[..], false),
            (b"i", true),
            (b"\0\0", false),
            (b"\0\0\0", true),
            (b"\x80\0\0\0\x0fgrpc-status:0\r\n", true),
        ] {
            cutter.push(Bytes::from_static(chunk));
            assert_eq!(cutter.at_boundary(), whole, "{chunk:?}");
            assert_eq!(cutter.next().expect("a body"), Some(SocketFrame::Binary(Bytes::from_static(chunk))));
        }
    }

    #[test]
    fn a_body_that_no_dialect_writes_is_told_as_such() {
        for bad in [&b"\x02\0\0\0\0"[..], b"\x01\0\0\0\x01\x03", b"\x01\0\0\0\x03\x03\xe8\xff"] {
            let mut cutter = Cutter::new(Subprotocol::Envelopes);
            cutter.push(Bytes::from_static(bad));
            assert!(cutter.next().is_err(), "{bad:?}");
        }
        assert!(Cutter::new(Subprotocol::Json).end().is_err());
        assert!(Cutter::new(Subprotocol::Grpc).end().is_ok());
    }

    #[test]
    fn the_head_of_an_answer_is_a_frame_of_fields_an_envelope_or_nothing() {
        let fields = HeaderMap::from_iter([(http::header::CONTENT_TYPE, http::HeaderValue::from_static("a/b"))]);
        let frame = opening(Subprotocol::Grpc, &fields);
        assert_eq!(frame, Some(SocketFrame::Binary(Bytes::from_static(b"\x80\0\0\0\x12content-type:a/b\r\n"))));
        assert_eq!(opening(Subprotocol::Json, &fields), None);
        let Some(SocketFrame::Text(text)) = opening(Subprotocol::Envelopes, &fields) else { panic!("no text") };
        assert_eq!(text, r#"{"headers":{"content-type":["a/b"]}}"#);
    }
}
