//! A stream of HTTP/2 as a pair of byte streams, after an extended CONNECT (RFC 8441).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Bytes both ways. Dropping it resets the stream, unless it was shut down.
#[derive(Debug)]
pub(in crate::listen) struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Read, and not yet asked for.
    left: Bytes,
}

/// What becomes a [`Tunnel`] when the answer is out.
#[derive(Debug)]
pub(super) struct Offer {
    receive: RecvStream,
    taker: oneshot::Sender<Tunnel>,
}

/// For a request whose answer may open a tunnel.
pub(super) fn offer(receive: RecvStream) -> (Offer, oneshot::Receiver<Tunnel>) {
    let (taker, tunnel) = oneshot::channel();
    (Offer { receive, taker }, tunnel)
}

// === impl Offer ===

impl Offer {
    pub(super) fn open(self, send: SendStream<Bytes>) {
        let tunnel = Tunnel { send, receive: self.receive, left: Bytes::new() };
        // a session that is gone drops it, which resets the stream
        let _ = self.taker.send(tunnel);
    }
}

// === impl Tunnel ===

/// A caller that cancels, or wants no more, ends its side.
fn ending<T>(error: h2::Error, end: T) -> io::Result<T> {
    match error.reason() {
        Some(Reason::NO_ERROR | Reason::CANCEL | Reason::STREAM_CLOSED) => Ok(end),
        _ => Err(broken(error)),
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    io::Error::other(error)
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(data)) => self.left = data,
                Some(Err(error)) => return Poll::Ready(ending(error, ())),
            }
        }
        let count = self.left.len().min(buffer.remaining());
        buffer.put_slice(self.left.get(..count).unwrap_or_default());
        self.left.advance(count);
        // fails only if the stream is over, which the next read tells
        let _ = self.receive.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.send.reserve_capacity(bytes.len());
        if self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = self.send.capacity().min(bytes.len());
        let piece = Bytes::copy_from_slice(bytes.get(..count).unwrap_or_default());
        if count == 0 {
            // `h2` wakes this task when there is room
            return Poll::Pending;
        }
        Poll::Ready(self.send.send_data(piece, false).map(|()| count).map_err(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.send.send_data(Bytes::new(), true) {
            Ok(()) => Ok(()),
            Err(error) => ending(error, ()),
        })
    }
}
