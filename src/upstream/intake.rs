//! What arrived on a stream and has not been read, kept small.
//!
//! The stream's window bounds unread *bytes*, not frames: 1 MiB in DATA frames of five bytes is 200,000 entries of
//! `h2`'s receive queue, some 30 MB, for one reader that has stopped; and `h2` answers too many small unread frames by
//! closing the whole connection, with all its neighbours. We switch that off (`connect.rs`) and instead let the
//! connection's driver sweep now and then: what lies unread in `h2`'s queue is moved here, small frames into one
//! buffer. Nothing is released by that, so the windows go on to bound the bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::task::noop_waker_ref;
use h2::RecvStream;
use http::HeaderMap;

/// The receiving half of one stream, shared by its reader and the connection's driver. Empty until the head came.
#[derive(Debug, Default)]
pub(super) struct Intake(Mutex<Option<Taken>>);

#[derive(Debug)]
struct Taken {
    stream: RecvStream,
    /// Bytes that were looked at, in front of all others.
    first: Option<Bytes>,
    /// The body had no bytes: its trailers, which were looked at.
    bare: Option<Option<HeaderMap>>,
    /// Swept chunks, oldest first.
    queue: VecDeque<Bytes>,
    /// Small chunks swept after those of the queue, joined.
    tail: BytesMut,
    /// Bytes taken from `h2` and not released.
    outstanding: usize,
    failed: Option<h2::Error>,
}

/// Frames below this size are joined.
const SMALL: usize = 1024;
/// Less than this lies in `h2`'s queue undisturbed.
const WORTH_IT: usize = 1024;

// === impl Intake ===

impl Intake {
    fn lock(&self) -> MutexGuard<'_, Option<Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fill(&self, stream: RecvStream) {
        let (queue, tail) = (VecDeque::new(), BytesMut::new());
        *self.lock() = Some(Taken { stream, first: None, bare: None, queue, tail, outstanding: 0, failed: None });
    }

    /// Lets go of the stream and of what was not read.
    pub(super) fn clear(&self) {
        drop(self.lock().take());
    }

    pub(super) fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        match &mut *self.lock() {
            Some(taken) => taken.poll_chunk(cx),
            None => Poll::Ready(None),
        }
    }

    /// Ready when the body has begun (`true`) or has ended without a byte; both are still there to be read then.
    pub(super) fn poll_begun(&self, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        match &mut *self.lock() {
            Some(taken) => taken.poll_begun(cx),
            None => Poll::Ready(Ok(false)),
        }
    }

    /// Shows the trailers of a body without a byte, once that is known.
    pub(super) fn bare_trailers<T>(&self, show: impl FnOnce(&HeaderMap) -> T) -> Option<T> {
        self.lock().as_ref()?.bare.as_ref()?.as_ref().map(show)
    }

    pub(super) fn poll_trailers(&self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        match &mut *self.lock() {
            Some(taken) => match taken.failed.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => match taken.bare.take() {
                    Some(trailers) => Poll::Ready(Ok(trailers)),
                    None => taken.stream.poll_trailers(cx),
                },
            },
            None => Poll::Ready(Ok(None)),
        }
    }

    pub(super) fn release(&self, count: usize) {
        if let Some(taken) = &mut *self.lock() {
            // more than was taken would be a caller's mistake, which h2 would refuse as a whole
            let count = count.min(taken.outstanding);
            taken.outstanding -= count;
            let _ = taken.stream.flow_control().release_capacity(count);
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.lock().as_ref().is_some_and(|taken| taken.swept_is_empty() && taken.stream.is_end_stream())
    }

    /// Takes over what lies in `h2`'s queue.
    pub(super) fn sweep(&self) {
        if let Some(taken) = &mut *self.lock() {
            taken.sweep();
        }
    }
}

// === impl Taken ===

impl Taken {
    fn swept_is_empty(&self) -> bool {
        self.first.is_none() && self.queue.is_empty() && self.tail.is_empty()
    }

    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        if !self.swept_is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.bare.is_some() {
            return Poll::Ready(Ok(false));
        }
        match std::task::ready!(self.poll_chunk(cx)) {
            Some(Ok(bytes)) => {
                self.first = Some(bytes);
                Poll::Ready(Ok(true))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => {
                self.bare = Some(std::task::ready!(self.stream.poll_trailers(cx))?);
                Poll::Ready(Ok(false))
            }
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if let Some(bytes) = self.first.take().or_else(|| self.queue.pop_front()) {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.bare.is_some() {
            return Poll::Ready(None);
        }
        if !self.tail.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.tail).freeze())));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match std::task::ready!(self.stream.poll_data(cx)) {
                // the empty DATA frame that only ends the stream
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    self.outstanding += bytes.len();
                    return Poll::Ready(Some(Ok(bytes)));
                }
                other => return Poll::Ready(other),
            }
        }
    }

    /// Bytes in `h2`'s queue. While there are any, `poll_data` is ready and leaves the reader's waker alone.
    fn unread(&mut self) -> usize {
        self.stream.flow_control().used_capacity().saturating_sub(self.outstanding)
    }

    fn sweep(&mut self) {
        if self.unread() < WORTH_IT {
            return;
        }
        let mut cx = Context::from_waker(noop_waker_ref());
        while self.failed.is_none() && self.unread() > 0 {
            match self.stream.poll_data(&mut cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.outstanding += bytes.len();
                    self.keep(bytes);
                }
                Poll::Ready(Some(Err(error))) => self.failed = Some(error),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn keep(&mut self, bytes: Bytes) {
        if bytes.len() < SMALL {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.queue.push_back(std::mem::take(&mut self.tail).freeze());
        }
        self.queue.push_back(bytes);
    }
}
