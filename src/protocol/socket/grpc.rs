//! `grpc-websockets`: gRPC-Web's binary frames in binary messages, with the head of the answer as a frame of fields
//! before them (improbable-eng/grpc-web, `go/grpcweb/websocket_wrapper.go`).

use bytes::Bytes;
use http::HeaderMap;

use crate::protocol::Codec;
use crate::protocol::answer::{Answer, AnswerForm, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
use crate::protocol::grpc_web::GrpcWeb;

/// The answer to a call of `grpc-websockets`: gRPC-Web's own, but that no one has to be heard out.
#[derive(Debug)]
pub(super) struct GrpcSocket(GrpcWeb);

// === impl GrpcSocket ===

impl GrpcSocket {
    pub(super) fn new(codec: Codec) -> GrpcSocket {
        GrpcSocket(GrpcWeb { text: false, codec })
    }
}

impl Answer for GrpcSocket {
    fn due(&self) -> Due {
        self.0.due()
    }

    fn form(&self) -> AnswerForm {
        self.0.form()
    }

    fn codec(&self) -> Codec {
        self.0.codec()
    }

    /// The door reads while it writes.
    fn hears_out(&self) -> bool {
        false
    }

    fn packing(&self) -> Packing {
        Packing::Never
    }

    fn details(&self) -> DetailForm {
        self.0.details()
    }

    fn head(&mut self, metadata: HeaderMap) -> HeadOut {
        self.0.head(metadata)
    }

    fn chunk(&mut self, chunk: Bytes) -> Bytes {
        self.0.chunk(chunk)
    }

    fn message(&mut self, flags: u8, message: &[u8], out: &mut Vec<u8>) {
        self.0.message(flags, message, out);
    }

    fn end(&mut self, end: End) -> Ending {
        self.0.end(end)
    }

    fn whole(&mut self, metadata: HeaderMap, message: Option<Bytes>, end: End) -> WholeOut {
        self.0.whole(metadata, message, end)
    }
}
