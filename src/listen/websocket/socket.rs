//! The wire of one WebSocket, with small buffers: 4 KiB each way, where the library's own are 128 KiB.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::listen::http2::Tunnel;

/// A socket that is written to frame by frame, and flushed before more is taken.
pub(super) struct Socket {
    stream: WebSocketStream<Pieces<Wire>>,
    /// What was written may not be out yet.
    unflushed: bool,
    /// Nothing that the caller sends can be understood any more.
    broken: bool,
}

/// The connection or stream that the handshake's answer turns into a socket.
pub(in crate::listen) enum Upgrade {
    Http1(OnUpgrade),
    Http2(oneshot::Receiver<Tunnel>),
}

/// What a socket reads and writes.
pub(super) enum Wire {
    Http1(TokioIo<Upgraded>),
    Http2(Tunnel),
}

/// What comes of a caller.
#[derive(Debug)]
pub(super) enum Heard {
    Text(Bytes),
    Binary(Bytes),
    /// A ping, which is answered already, or a pong: the caller lives.
    Alive,
    /// The caller closes; it will be answered by the next flush.
    Close,
    /// A message over the limit, of so many bytes.
    TooLarge(usize),
    /// No WebSocket any more: what to close it with.
    Broken(CloseCode, &'static str),
    /// The connection is gone.
    Gone,
}

/// Hands large writes on in pieces: HTTP/2 copies each write whole before it looks at the caller's window.
struct Pieces<S>(S);

const BUFFER: usize = 4 << 10;
const PIECE: usize = 16 << 10;
/// What an unlimited message is limited to: the library makes room for a message by what its first bytes promise.
const MOST: usize = 256 << 20;
/// What both sides may take to part: our last frame, the caller's answer to it.
const PARTING: Duration = Duration::from_secs(2);
/// A caller whose frames cannot be told apart has parted when it is silent for so long.
const SILENCE: Duration = Duration::from_millis(200);

// === impl Upgrade ===

impl Upgrade {
    /// Once the answer is out; `None` if it does not get out.
    pub(super) async fn done(self) -> Option<Wire> {
        Some(match self {
            Upgrade::Http1(upgrade) => Wire::Http1(TokioIo::new(upgrade.await.ok()?)),
            Upgrade::Http2(tunnel) => Wire::Http2(tunnel.await.ok()?),
        })
    }
}

// === impl Wire ===

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Http1(upgraded) => Pin::new(upgraded).poll_read(cx, buffer),
            Wire::Http2(tunnel) => Pin::new(tunnel).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Http1(upgraded) => Pin::new(upgraded).poll_write(cx, bytes),
            Wire::Http2(tunnel) => Pin::new(tunnel).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Http1(upgraded) => Pin::new(upgraded).poll_flush(cx),
            Wire::Http2(tunnel) => Pin::new(tunnel).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Http1(upgraded) => Pin::new(upgraded).poll_shutdown(cx),
            Wire::Http2(tunnel) => Pin::new(tunnel).poll_shutdown(cx),
        }
    }
}

// === impl Socket ===

impl Socket {
    /// `longest`: the most bytes of a message, 0 for [`MOST`].
    pub(super) async fn new(wire: Wire, longest: usize) -> Socket {
        let longest = Some(if longest == 0 { MOST } else { longest });
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(longest)
            .max_frame_size(longest);
        let stream = WebSocketStream::from_raw_socket(Pieces(wire), Role::Server, Some(config)).await;
        Socket { stream, unflushed: false, broken: false }
    }

    /// Whether more may be written.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Writes one frame, which [`Socket::poll_flush`] gets out.
    fn write(&mut self, message: Message) -> Result<(), Error> {
        self.unflushed = true;
        Pin::new(&mut self.stream).start_send(message)
    }

    /// Writes a text frame.
    ///
    /// Errors: the text is none, or the socket is gone.
    pub(super) fn text(&mut self, text: Bytes) -> Result<(), Error> {
        self.write(Message::Text(Utf8Bytes::try_from(text)?))
    }

    pub(super) fn binary(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.write(Message::Binary(bytes))
    }

    pub(super) fn ping(&mut self) -> Result<(), Error> {
        self.write(Message::Ping(Bytes::new()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame; nothing more after [`Heard::Close`], and after what follows it in the list.
    pub(super) fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        if self.broken {
            return Poll::Pending;
        }
        let heard = match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => Heard::Text(text.into()),
            Some(Ok(Message::Binary(bytes))) => Heard::Binary(bytes),
            Some(Ok(Message::Close(_))) => Heard::Close,
            Some(Ok(_)) => Heard::Alive,
            Some(Err(error)) => fault(&error),
            None => Heard::Gone,
        };
        self.broken = matches!(heard, Heard::TooLarge(_) | Heard::Broken(..));
        Poll::Ready(heard)
    }

    /// Closes, by this code unless the caller has closed already, and waits a little for the caller to part too, lest our
    /// last words are lost in a reset.
    pub(super) async fn close(mut self, frame: Option<(u16, &str)>) {
        let frame = frame.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        let parting = async {
            if let Some(frame) = frame
                && self.write(Message::Close(Some(frame))).is_err()
            {
                return;
            }
            self.unflushed = true;
            if std::future::poll_fn(|cx| self.poll_flush(cx)).await.is_err() {
                return;
            }
            if self.broken {
                return self.outwait().await;
            }
            while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await {}
        };
        let _ = timeout(PARTING, parting).await;
        let _ = timeout(SILENCE, self.stream.get_mut().shutdown()).await;
    }

    /// Reads bytes that mean nothing until the caller ends or falls silent.
    async fn outwait(&mut self) {
        let mut scratch = [0; 1024];
        while let Ok(Ok(1..)) = timeout(SILENCE, self.stream.get_mut().read(&mut scratch)).await {}
    }
}

/// What a fault of the library's means (RFC 6455 section 7.4.1).
fn fault(error: &Error) -> Heard {
    use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => Heard::TooLarge(*size),
        Error::Utf8(_) => Heard::Broken(CloseCode::Invalid, "a text frame is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Heard::Gone,
        Error::Protocol(_) | Error::Capacity(_) => Heard::Broken(CloseCode::Protocol, "not the WebSocket protocol"),
        _ => Heard::Gone,
    }
}

// === impl Pieces ===

impl<S: AsyncRead + Unpin> AsyncRead for Pieces<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pieces<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = bytes.get(..bytes.len().min(PIECE)).unwrap_or_default();
        Pin::new(&mut self.0).poll_write(cx, piece)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
