//! The caller's side of a call as a stream of body bytes, whatever door it came through.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::Stream;
use http_body::Body;
use hyper::body::Incoming;

/// The bytes that the caller sends, chunk by chunk, as they arrive. Doors fill it; a dialect makes messages of it.
#[derive(Debug)]
pub enum Inbound {
    /// Nothing more will come.
    Done,
    /// A body that is there whole.
    Whole(Bytes),
    /// A body that hyper reads.
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
    incoming: Option<Incoming>,
    lingers: bool,
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
            Inbound::Http(body) => body.incoming.as_ref().is_none_or(Incoming::is_end_stream),
        }
    }

    /// For a request of HTTP. `waits`: the caller sends nothing before it is told to go on, so that there is nothing to
    /// read on for.
    pub fn http(body: Incoming, waits: bool) -> Inbound {
        if body.is_end_stream() {
            return Inbound::Done;
        }
        Inbound::Http(HttpBody { incoming: Some(body), lingers: !waits })
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
                Inbound::Http(body) => match std::task::ready!(body.poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(CallerGone))),
                    None => *self = Inbound::Done,
                },
                Inbound::Fed(chunks) => match std::task::ready!(Pin::new(chunks).poll_next(cx)) {
                    Some(chunk) => return Poll::Ready(Some(Ok(chunk))),
                    None => *self = Inbound::Done,
                },
            }
        }
    }
}

// === impl HttpBody ===

impl HttpBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for HttpBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take().filter(|body| self.lingers && !body.is_end_stream()) else { return };
        // without a runtime the process is about to end
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(hear_out(incoming));
        }
    }
}

/// Reads and drops what is still to come. Gives up after 8 MiB, or after a second: whoever sends more, or keeps a stream
/// open, has had the time to read the answer.
async fn hear_out(mut body: Incoming) {
    const MOST: usize = 8 << 20;
    const PATIENCE: Duration = Duration::from_secs(1);
    let reading = async {
        let mut heard = 0usize;
        while heard < MOST {
            match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                Some(Ok(frame)) => heard = heard.saturating_add(frame.data_ref().map_or(0, Bytes::len)),
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}
