//! What a caller who came by WebSocket speaks, as the handshake settled it (RFC 6455 section 1.9).

/// The language of one socket. A socket carries one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subprotocol {
    /// `grpc-websockets`, as improbable-eng/grpc-web and nice-grpc-web speak it: gRPC-Web's frames in binary messages.
    Grpc,
    /// No subprotocol: one JSON message a text frame.
    Json,
    /// `transom.json.v1`: JSON messages in envelopes, with metadata and the whole status.
    Envelopes,
}

// === impl Subprotocol ===

impl Subprotocol {
    /// What the handshake's `sec-websocket-protocol` says of it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Subprotocol::Grpc => Some("grpc-websockets"),
            Subprotocol::Json => None,
            Subprotocol::Envelopes => Some("transom.json.v1"),
        }
    }

    /// The one of this name; case matters in none of them, for Go's server takes `grpc-websockets` in any.
    pub fn named(name: &str) -> Option<Subprotocol> {
        let all = [Subprotocol::Grpc, Subprotocol::Envelopes];
        all.into_iter().find(|one| one.name().is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }
}
