//! The caller's side of a call as a stream of body bytes, whatever door it came through.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;

/// The bytes that the caller sends, chunk by chunk, as they arrive. Doors fill it; a dialect makes messages of it.
#[derive(Debug)]
pub enum Inbound {
    /// Nothing more will come.
    Done,
    /// A body that is there whole.
    Whole(Bytes),
    /// A body that hyper reads.
    Http(hyper::body::Incoming),
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
            Inbound::Whole(_) => false,
            Inbound::Http(body) => body.is_end_stream(),
        }
    }

    /// Reads and drops what is still to come, so that an answer that is given early is not lost on a caller who is busy
    /// sending. Gives up after 8 MiB, after one second, or when nothing comes for a tenth of that: whoever sends more, or
    /// keeps a stream open, is answered all the same.
    pub async fn hear_out(&mut self) {
        const MOST: usize = 8 << 20;
        const PATIENCE: Duration = Duration::from_secs(1);
        const QUIET: Duration = Duration::from_millis(100);
        let (begun, mut heard) = (Instant::now(), 0usize);
        while heard < MOST && begun.elapsed() < PATIENCE && !self.is_done() {
            match tokio::time::timeout(QUIET, std::future::poll_fn(|cx| self.poll_chunk(cx))).await {
                Ok(Some(Ok(chunk))) => heard = heard.saturating_add(chunk.len()),
                _ => return,
            }
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
                Inbound::Http(body) => match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(CallerGone))),
                    None => *self = Inbound::Done,
                },
            }
        }
    }
}
