//! Frames of an answer that go to the caller as they came: their boundaries are followed, small chunks put together, and
//! what stands before a broken frame is handed on before the fault is told.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::ending::{from_answer_frames, from_fault};
use crate::call::{Kind, Refusal};
use crate::upstream::ResponseStream;
use crate::wire::FrameScanner;

/// Reads the bytes of one answer.
#[derive(Debug)]
pub(super) struct PassingFrames {
    scanner: FrameScanner,
    /// Bytes handed on, for which the upstream's window is to be opened again when the next are asked for.
    owed: usize,
    /// What is wrong behind what was handed on last.
    broken: Option<Box<Refusal>>,
    ended: bool,
}

/// Small chunks are gathered up to this size before they go on: each DATA frame costs as much as its bytes.
pub(super) const GATHER: usize = 16 << 10;
/// A chunk of at least this size goes on as it is.
pub(super) const LARGE: usize = 4 << 10;

// === impl PassingFrames ===

impl PassingFrames {
    /// `limit`: the most bytes of a message; 0 for no limit.
    pub(super) fn new(limit: usize) -> PassingFrames {
        PassingFrames { scanner: FrameScanner::new(limit), owed: 0, broken: None, ended: false }
    }

    /// Messages that have begun so far.
    pub(super) fn messages(&self) -> u64 {
        self.scanner.messages()
    }

    /// Whether what was handed on so far ends with a whole message.
    pub(super) fn at_boundary(&self) -> bool {
        self.scanner.at_boundary()
    }

    /// Whether no more bytes are to come.
    pub(super) fn is_over(&self) -> bool {
        self.ended || self.broken.is_some()
    }

    /// An answer must not end within a message.
    pub(super) fn check_end(&self) -> Result<(), Refusal> {
        if self.at_boundary() {
            return Ok(());
        }
        Err(Refusal::new(Kind::BadAnswer, "the answer ended within a message"))
    }

    /// The next bytes, never none of them; `None` at the end of the body.
    pub(super) fn poll(
        &mut self,
        response: &mut ResponseStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Refusal>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Err(*broken));
        }
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        if self.owed > 0 {
            response.release(std::mem::take(&mut self.owed));
        }
        match ready!(self.poll_chunk(response, cx))? {
            Some(chunk) if chunk.len() < LARGE => Poll::Ready(Ok(Some(self.gather(chunk, response, cx)))),
            chunk => Poll::Ready(Ok(chunk)),
        }
    }

    fn poll_chunk(
        &mut self,
        response: &mut ResponseStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Refusal>> {
        let chunk = match ready!(response.poll_chunk(cx)) {
            Some(Ok(chunk)) => chunk,
            Some(Err(fault)) => return Poll::Ready(Err(from_fault(&fault))),
            None => {
                self.ended = true;
                return Poll::Ready(Ok(None));
            }
        };
        self.owed += chunk.len();
        let Err(fault) = self.scanner.scan(&chunk) else { return Poll::Ready(Ok(Some(chunk))) };
        let refusal = from_answer_frames(fault);
        let sound = chunk.slice(..self.scanner.sound().min(chunk.len()));
        if sound.is_empty() {
            return Poll::Ready(Err(refusal));
        }
        self.broken = Some(Box::new(refusal));
        Poll::Ready(Ok(Some(sound)))
    }

    /// Adds what is there already behind a small chunk. What goes wrong on the way is told behind it.
    fn gather(&mut self, first: Bytes, response: &mut ResponseStream, cx: &mut Context<'_>) -> Bytes {
        let mut gathered = BytesMut::new();
        while gathered.len() < GATHER && !self.is_over() {
            match self.poll_chunk(response, cx) {
                Poll::Ready(Ok(Some(next))) => {
                    if gathered.is_empty() {
                        gathered.reserve(GATHER);
                        gathered.extend_from_slice(&first);
                    }
                    gathered.extend_from_slice(&next);
                }
                Poll::Ready(Err(refusal)) => self.broken = Some(Box::new(refusal)),
                Poll::Ready(Ok(None)) | Poll::Pending => break,
            }
        }
        if gathered.is_empty() { first } else { gathered.freeze() }
    }
}
