//! Native gRPC (gRPC `doc/PROTOCOL-HTTP2.md`): frames pass, the end is HTTP trailers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::{Answer, AnswerForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use super::metadata::{GRPC_DETAILS, GRPC_ENCODING, GRPC_MESSAGE, GRPC_STATUS};
use super::{Codec, Detail};
use crate::status::{Status, encode_status};
use crate::wire::{encode_bin, encode_message, prefix};

/// The answer to a gRPC call.
#[derive(Debug)]
pub struct Grpc {
    pub codec: Codec,
}

// === impl Grpc ===

impl Grpc {
    fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match self.codec {
            Codec::Proto => "application/grpc",
            Codec::Json => "application/grpc+json",
        })
    }
}

impl Answer for Grpc {
    fn due(&self) -> Due {
        Due::AtOnce
    }

    fn hears_out(&self) -> bool {
        false
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

    fn message(&mut self, flags: u8, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&prefix(flags, message.len()));
        out.extend_from_slice(message);
    }

    fn end(&mut self, end: End) -> Ending {
        Ending { bytes: Bytes::new(), trailers: Some(status_fields(end)), cut: false }
    }

    /// A refusal is a trailers-only answer: the status in the only header block, HTTP 200.
    fn whole(&mut self, mut metadata: HeaderMap, message: Option<Bytes>, end: End) -> WholeOut {
        metadata.insert(CONTENT_TYPE, self.content_type());
        let hints = end.hints.clone();
        let fields = status_fields(end);
        let mut head = HeadOut { status: StatusCode::OK, headers: metadata };
        head.headers.extend(hints);
        match message {
            Some(message) => {
                let mut body = Vec::with_capacity(message.len() + 5);
                self.message(0, &message, &mut body);
                WholeOut { head, body: body.into(), trailers: Some(fields) }
            }
            None => {
                head.headers.extend(fields);
                WholeOut { head, body: Bytes::new(), trailers: None }
            }
        }
    }
}

/// The end as fields: the caller's own trailing metadata, then status, message and details.
pub(super) fn status_fields(end: End) -> HeaderMap {
    let mut fields = end.trailers;
    fields.insert(GRPC_STATUS, HeaderValue::from_static(end.status.code.digits()));
    if !end.status.message.is_empty() {
        fields.insert(GRPC_MESSAGE, encode_message(&end.status.message));
    }
    if let Some(raw) = end.raw_details {
        fields.insert(GRPC_DETAILS, raw);
    } else if let Some(value) = details_value(&end.status, &end.details) {
        fields.insert(GRPC_DETAILS, value);
    }
    fields
}

fn details_value(status: &Status, details: &[Detail]) -> Option<HeaderValue> {
    if details.is_empty() {
        return None;
    }
    let whole = Status {
        code: status.code,
        message: status.message.clone(),
        details: details.iter().map(|detail| detail.any.clone()).collect(),
    };
    HeaderValue::from_str(&encode_bin(&encode_status(&whole))).ok()
}
