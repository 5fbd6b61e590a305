//! The caller's side of a call as a stream of body bytes, whatever door it came through.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::Stream;
use h2::RecvStream;
use h2::server::SendResponse;
use http_body::Body;
use hyper::body::Incoming;

use super::Head;

/// The bytes that the caller sends, chunk by chunk, as they arrive. Doors fill it; a dialect makes messages of it.
#[derive(Debug)]
pub enum Inbound {
    /// Nothing more will come.
    Done,
    /// A body that is there whole.
    Whole(Bytes),
    /// The body of an HTTP request.
    Http(HttpBody),
    /// Chunks that a door makes of its caller's messages, each of them whole. The body ends with its sender; a caller who
    /// is gone is no end, for then the door drops the call.
    Fed(mpsc::Receiver<Bytes>),
    /// Somebody has looked at these bytes already, and they are still to come; the rest behind them.
    Peeked(Bytes, Box<Inbound>),
}

/// A body of an HTTP request. One that is dropped before its end is read on for a while, so that an answer that is given
/// early is not lost on a caller who is still sending: over HTTP/1.1 the connection would be closed on it, over HTTP/2
/// the stream reset behind the answer (RFC 9113 section 8.1), which curl takes for a failure.
#[derive(Debug)]
pub struct HttpBody {
    /// `None` once it is dropped.
    incoming: Option<Wire>,
    lingers: bool,
}

/// Who reads the body.
#[derive(Debug)]
enum Wire {
    Http1(Incoming),
    Http2 {
        stream: RecvStream,
        /// Bytes handed on, for which the caller's window is opened again when the next are asked for: who asks has found a
        /// place for them.
        owed: usize,
    },
}

/// A call of a caller over HTTP/2, with its stream.
#[derive(Debug)]
pub struct Http2Call {
    pub head: Head,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

/// The caller's body broke off: its stream was reset or its connection lost. There is no one left to answer.
#[derive(Debug)]
pub struct CallerGone;

// === impl Inbound ===

impl Inbound {
    /// Whether the end is known already, without polling.
    pub fn is_done(&self) -> bool {
        match self {
            Inbound::Done => true,
            Inbound::Whole(_) | Inbound::Fed(_) | Inbound::Peeked(..) => false,
            Inbound::Http(body) => body.incoming.as_ref().is_none_or(Wire::is_end),
        }
    }

    /// For a request of HTTP/1.1. `waits`: the caller sends nothing before it is told to go on, so that there is nothing
    /// to read on for.
    pub fn http1(body: Incoming, waits: bool) -> Inbound {
        Inbound::of(Wire::Http1(body), !waits)
    }

    /// For a request of HTTP/2.
    pub fn http2(stream: RecvStream) -> Inbound {
        Inbound::of(Wire::Http2 { stream, owed: 0 }, true)
    }

    fn of(wire: Wire, lingers: bool) -> Inbound {
        if wire.is_end() { Inbound::Done } else { Inbound::Http(HttpBody { incoming: Some(wire), lingers }) }
    }

    /// The first bytes there are, which stay there; none at the end.
    pub async fn peek(&mut self) -> Result<Bytes, CallerGone> {
        while let Some(chunk) = std::future::poll_fn(|cx| self.poll_chunk(cx)).await {
            let chunk = chunk?;
            if !chunk.is_empty() {
                *self = Inbound::Peeked(chunk.clone(), Box::new(std::mem::replace(self, Inbound::Done)));
                return Ok(chunk);
            }
        }
        Ok(Bytes::new())
    }

    /// For callers who are known to read an early answer whatever becomes of their request: nothing is read once the
    /// call is over.
    pub fn let_go(&mut self) {
        match self {
            Inbound::Http(body) => body.lingers = false,
            Inbound::Peeked(_, rest) => rest.let_go(),
            Inbound::Done | Inbound::Whole(_) | Inbound::Fed(_) => {}
        }
    }

    /// The next chunk, `None` at the end. Trailers of a request mean nothing to gRPC and are dropped.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CallerGone>>> {
        loop {
            match self {
                Inbound::Done => return Poll::Ready(None),
                Inbound::Whole(bytes) => {
                    let bytes = std::mem::take(bytes);
                    *self = Inbound::Done;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Inbound::Peeked(bytes, rest) => {
                    let bytes = std::mem::take(bytes);
                    *self = std::mem::replace(&mut **rest, Inbound::Done);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Inbound::Http(body) => match ready!(body.poll_data(cx)) {
                    Some(read) => return Poll::Ready(Some(read)),
                    None => *self = Inbound::Done,
                },
                Inbound::Fed(chunks) => match ready!(Pin::new(chunks).poll_next(cx)) {
                    Some(chunk) => return Poll::Ready(Some(Ok(chunk))),
                    None => *self = Inbound::Done,
                },
            }
        }
    }
}

// === impl HttpBody ===

impl HttpBody {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CallerGone>>> {
        match &mut self.incoming {
            Some(wire) => wire.poll_data(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for HttpBody {
    fn drop(&mut self) {
        let Some(wire) = self.incoming.take().filter(|wire| self.lingers && !wire.is_end()) else { return };
        // without a runtime the process is about to end
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(hear_out(wire));
        }
    }
}

/// Reads and drops what is still to come. Gives up after 8 MiB, or after a second: whoever sends more, or keeps a stream
/// open, has had the time to read the answer.
async fn hear_out(mut wire: Wire) {
    const MOST: usize = 8 << 20;
    const PATIENCE: Duration = Duration::from_secs(1);
    let reading = async {
        let mut heard = 0usize;
        while heard < MOST {
            match std::future::poll_fn(|cx| wire.poll_data(cx)).await {
                Some(Ok(data)) => heard = heard.saturating_add(data.len()),
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

// === impl Wire ===

impl Wire {
    fn is_end(&self) -> bool {
        match self {
            Wire::Http1(incoming) => incoming.is_end_stream(),
            Wire::Http2 { stream, .. } => stream.is_end_stream(),
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CallerGone>>> {
        match self {
            Wire::Http1(incoming) => loop {
                match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(CallerGone))),
                    None => return Poll::Ready(None),
                }
            },
            Wire::Http2 { stream, owed } => {
                if *owed > 0 {
                    // fails only if the stream is over, which the next line tells as well
                    let _ = stream.flow_control().release_capacity(std::mem::take(owed));
                }
                loop {
                    match ready!(stream.poll_data(cx)) {
                        // the empty DATA frame that only ends the stream
                        Some(Ok(data)) if data.is_empty() => {}
                        Some(Ok(data)) => {
                            *owed = data.len();
                            return Poll::Ready(Some(Ok(data)));
                        }
                        Some(Err(_)) => return Poll::Ready(Some(Err(CallerGone))),
                        None => return Poll::Ready(None),
                    }
                }
            }
        }
    }
}
