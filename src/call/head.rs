//! The head of a call as a door hands it over: what the caller asked for, and over which connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Subprotocol;
use crate::net::CertificateNames;

/// What a door read before any body: the request's head and the facts about its connection.
#[derive(Debug)]
pub struct Head {
    pub parts: http::request::Parts,
    pub connection: Arc<Connection>,
    /// When the head was complete; deadlines count from here.
    pub received: Instant,
    /// What the caller speaks if it came by WebSocket.
    pub socket: Option<Subprotocol>,
}

/// Facts about the connection that a call came in on. One per connection, shared by its calls.
#[derive(Clone, Debug)]
pub struct Connection {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// `None` on a clear-text connection.
    pub tls: Option<TlsFacts>,
}

/// What the TLS handshake told.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// The name that the caller asked for (SNI).
    pub server_name: Option<Arc<str>>,
    /// The caller's verified leaf certificate, DER.
    pub client_certificate: Option<bytes::Bytes>,
    /// Whom that names, read once per connection; nobody without one.
    pub client_names: CertificateNames,
}

// === impl Head ===

impl Head {
    pub fn new(parts: http::request::Parts, connection: Arc<Connection>) -> Head {
        Head { parts, connection, received: Instant::now(), socket: None }
    }

    /// The host that the call is for: `:authority`, else `Host`, else SNI; without port.
    pub fn host(&self) -> Option<&str> {
        let host = match self.parts.uri.host() {
            Some(host) => host,
            None => match self.parts.headers.get(http::header::HOST) {
                Some(value) => strip_port(value.to_str().ok()?),
                None => self.connection.tls.as_ref()?.server_name.as_deref()?,
            },
        };
        Some(host)
    }
}

/// `example.com:443` -> `example.com`, `[::1]:80` -> `[::1]`.
fn strip_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::strip_port;

    #[test]
    fn a_port_is_cut_off_and_an_address_in_brackets_is_not() {
        assert_eq!(strip_port("a.example:443"), "a.example");
        assert_eq!(strip_port("a.example"), "a.example");
        assert_eq!(strip_port("[::1]:80"), "[::1]");
        assert_eq!(strip_port("[::1]"), "[::1]");
    }
}
