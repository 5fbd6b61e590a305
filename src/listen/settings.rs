//! What can be set per listener, with our defaults.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::tls;

/// How one listener receives callers. [`Settings::new`] gives the defaults named at each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Port 0 takes a free port.
    pub address: SocketAddr,
    /// With it the listener takes TLS only, unless `plaintext_also`.
    pub tls: Option<tls::ServerSettings>,
    /// Take clear text too on a listener that has a certificate. Off.
    pub plaintext_also: bool,
    /// Connections open at once; one more is closed at once. 0: no limit. 65,536.
    pub max_connections: usize,
    /// From accept to the end of TLS handshake and HTTP/2 preface, together. 10 s.
    pub greeting_timeout: Duration,
    /// For the head of an HTTP/1.1 request, from its first byte. 10 s.
    pub header_timeout: Duration,
    /// A connection without a call is closed after this. 10 min.
    pub idle_timeout: Duration,
    /// A connection takes no new calls after this, give or take a tenth; calls in flight finish. 1 h.
    pub max_age: Duration,
    /// HTTP/2 calls at once per connection. 256.
    pub max_concurrent_streams: u32,
    /// Bytes that a caller may send ahead per stream. 1 MiB.
    pub stream_window: u32,
    /// Bytes that a caller may send ahead per connection; larger than a stream's, so that one slow stream does not
    /// stop the others. 4 MiB.
    pub connection_window: u32,
    /// Answer bytes that wait per stream for the caller's window. 64 KiB.
    pub max_send_buffer: usize,
    /// All header fields of a request together; 431 beyond. 32 KiB.
    pub max_header_bytes: u32,
    /// HTTP/2 pings to a silent caller, and how long it has to answer: finds dead mobile callers. 60 s, 20 s.
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// Whether handshakes for WebSockets are answered; where they are not, they are plain requests. Yes.
    pub websockets: bool,
    /// Pings to a WebSocket; one that answers none for two of these is dropped. 30 s.
    pub websocket_ping_interval: Duration,
}

// === impl Settings ===

impl Settings {
    pub fn new(address: SocketAddr) -> Settings {
        Settings {
            address,
            tls: None,
            plaintext_also: false,
            max_connections: 65_536,
            greeting_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            max_age: Duration::from_secs(3600),
            max_concurrent_streams: 256,
            stream_window: 1024 * 1024,
            connection_window: 4 * 1024 * 1024,
            max_send_buffer: 64 * 1024,
            max_header_bytes: 32 * 1024,
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
            websockets: true,
            websocket_ping_interval: Duration::from_secs(30),
        }
    }
}
