//! A peer that speaks HTTP/2 frame by frame, so that a test says exactly what goes over the wire, faults included.
#![allow(dead_code, reason = "each test takes what it needs")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const MAX_CONCURRENT_STREAMS: u16 = 3;

/// `:status: 200`, an entry of HPACK's static table.
const STATUS_200: &[u8] = &[0x88];

/// One frame as it was read.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The server's end of one connection.
pub struct RawPeer {
    pub socket: TcpStream,
}

// === impl RawPeer ===

impl RawPeer {
    /// Takes a connection and its preface, and sends SETTINGS.
    pub async fn accept(listener: &TcpListener, settings: &[(u16, u32)]) -> RawPeer {
        let mut peer = RawPeer::accept_silently(listener).await;
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        peer.send(SETTINGS, 0, 0, &payload).await;
        peer
    }

    /// Takes a connection and its preface, and says nothing.
    pub async fn accept_silently(listener: &TcpListener) -> RawPeer {
        let (socket, _) = listener.accept().await.expect("accept");
        socket.set_nodelay(true).expect("nodelay");
        let mut peer = RawPeer { socket };
        let mut preface = [0; 24];
        peer.socket.read_exact(&mut preface).await.expect("preface");
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        peer
    }

    /// Sends a frame; a peer that has gone is no failure of the script.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        let _ = self.socket.write_all(&bytes).await;
    }

    /// The next frame; `None` when the connection has ended.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.socket.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of a kind; others are passed over.
    pub async fn expect(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await.expect("the connection ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Acknowledges the client's SETTINGS.
    pub async fn acknowledge(&mut self) {
        self.expect(SETTINGS).await;
        self.send(SETTINGS, ACK, 0, &[]).await;
    }

    /// The head of an answer: status 200 and nothing else.
    pub async fn answer_head(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
    }

    pub async fn data(&mut self, stream: u32, bytes: &[u8]) {
        self.send(DATA, 0, stream, bytes).await;
    }

    /// Trailers with `grpc-status: 0`.
    pub async fn trailers(&mut self, stream: u32) {
        let mut block = vec![0, 11];
        block.extend(b"grpc-status");
        block.extend([1, b'0']);
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
    }

    /// A whole answer with one chunk.
    pub async fn answer(&mut self, stream: u32, bytes: &[u8]) {
        self.answer_head(stream).await;
        self.data(stream, bytes).await;
        self.trailers(stream).await;
    }

    pub async fn reset(&mut self, stream: u32, reason: h2::Reason) {
        self.send(RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes()).await;
    }

    pub async fn go_away(&mut self, last: u32, reason: h2::Reason, text: &str) {
        let payload = [&last.to_be_bytes()[..], &u32::from(reason).to_be_bytes(), text.as_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }
}
