//! What a dialect does with the answer to a call.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Codec;
use crate::status::{Any, Status};

/// Renders the answer to one call in the caller's protocol. Made per call; keeps what it needs between the steps.
pub trait Answer: Send + Sync {
    /// When the head of a good answer goes out.
    fn due(&self) -> Due;

    /// What the body is fed with.
    fn form(&self) -> AnswerForm;

    /// How the messages of the body are encoded.
    fn codec(&self) -> Codec;

    /// Whether an answer that comes early is told while the rest of the request is read and dropped, for callers that
    /// would lose it otherwise. gRPC's own clients do not.
    fn hears_out(&self) -> bool {
        true
    }

    /// How the caller is told that the answer is compressed.
    fn packing(&self) -> Packing;

    /// How the end's details are wanted.
    fn details(&self) -> DetailForm {
        DetailForm::Encoded
    }

    /// For an answer whose caller is not to be left in the dark for long: how its head and its silences are timed.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// Whether labels stand in front of each message ([`super::put_labels`]).
    fn is_labelled(&self) -> bool {
        false
    }

    /// The head went out early, and [`Pace::opening`] behind it.
    fn opened(&mut self) {}

    /// The head of an answer whose body follows; `metadata` are the upstream's, already rid of what is not for callers.
    fn head(&mut self, metadata: HeaderMap) -> HeadOut;

    /// Body bytes for a chunk of gRPC frames ([`AnswerForm::Frames`]) or of content ([`AnswerForm::Contents`]).
    fn chunk(&mut self, chunk: Bytes) -> Bytes {
        chunk
    }

    /// Appends the body bytes for one message ([`AnswerForm::Messages`]), which is in the caller's codec. `flags` are
    /// those of its frame: set only for a dialect that packs its messages, if this one is packed.
    fn message(&mut self, flags: u8, message: &[u8], out: &mut Vec<u8>) {
        let _ = flags;
        out.extend_from_slice(message);
    }

    /// The end of an answer whose head is out.
    fn end(&mut self, end: End) -> Ending;

    /// An answer that is told in one piece: every one that ends before its head is out. `message` is the only message
    /// of a good unary answer, or its content.
    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, end: End) -> WholeOut;
}

/// When the head of a good answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// As soon as the upstream's head is there.
    AtOnce,
    /// With the first message: an error before it has an HTTP code of its own.
    FirstMessage,
    /// With the end: the status decides the HTTP code.
    End,
}

/// How long a caller waits for a sign of life.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The head goes out after this time even if nothing is known of the answer yet; what its upstream's head says is lost
    /// then, and so is the HTTP code of an error.
    pub head_after: Duration,
    /// The first bytes behind such a head.
    pub opening: Bytes,
    /// After so long a silence `heartbeat` is sent.
    pub every: Duration,
    pub heartbeat: Bytes,
}

/// What the body of an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// gRPC frames as the upstream sends them.
    Frames,
    /// Messages, one by one.
    Messages,
    /// What the HttpBody of each message holds: chunks, and the content type of the first in the head's metadata.
    Contents,
}

/// How a dialect tells that an answer is compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Each message by itself; this field names the encoding, and the flag of a frame says whether it is used.
    Messages(HeaderName),
    /// The body as a whole, by `content-encoding`.
    Body,
    /// Nothing is compressed.
    Never,
}

/// How a dialect wants the details of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailForm {
    /// As they came.
    Encoded,
    /// With the message as JSON beside them.
    Json,
    /// With the JSON form of `google.protobuf.Any` (`@type` inside) beside them.
    AnyJson,
}

/// One detail of a status.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    pub any: Any,
    /// In the form the dialect asked for; `None` if the catalog does not know the type.
    pub json: Option<String>,
}

/// How a call ended, for a dialect to render.
#[derive(Debug)]
pub struct End {
    /// Its `details` are empty: they are in `details` or in `raw_details`.
    pub status: Status,
    /// `grpc-status-details-bin` as the upstream sent it.
    pub raw_details: Option<HeaderValue>,
    /// Filled when the dialect asked for them, or when the edge itself made the status.
    pub details: Vec<Detail>,
    /// Trailing metadata without the fields of gRPC's own.
    pub trailers: HeaderMap,
    /// Headers that the refusal itself asks for, as `allow`; empty for an upstream's end.
    pub hints: HeaderMap,
    /// The HTTP code that REST uses instead of the status's own.
    pub http: Option<u16>,
}

/// The head of an answer.
#[derive(Debug)]
pub struct HeadOut {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// The last bytes of a body, and what follows them.
#[derive(Debug, Default)]
pub struct Ending {
    pub bytes: Bytes,
    pub trailers: Option<HeaderMap>,
    /// The answer cannot say how it ended: the stream is reset, or the connection aborted, after the bytes.
    pub cut: bool,
}

/// A whole answer.
#[derive(Debug)]
pub struct WholeOut {
    pub head: HeadOut,
    pub body: Bytes,
    /// HTTP trailers; only gRPC has them.
    pub trailers: Option<HeaderMap>,
}

// === impl End ===

impl End {
    pub fn new(status: Status) -> End {
        End {
            status,
            raw_details: None,
            details: Vec::new(),
            trailers: HeaderMap::new(),
            hints: HeaderMap::new(),
            http: None,
        }
    }

    /// The HTTP code for a dialect whose HTTP code follows the status.
    pub fn http_status(&self) -> StatusCode {
        let code = self.http.unwrap_or_else(|| self.status.code.http());
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
