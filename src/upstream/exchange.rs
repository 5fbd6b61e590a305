//! One call on the wire: a request stream and a response stream, each with its own flow control.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::HeaderMap;

use super::connection::Lease;
use super::endpoint::{Endpoint, Failure};
use super::fault::{Fault, FaultKind};
use crate::status::Code;

/// A call whose head was sent. Its halves may go to different tasks of the worker. When both are dropped before the
/// end, the stream is reset with CANCEL at once and its slot is free (when many young calls are dropped together, within
/// a tenth of a second: `parting.rs` says why).
#[derive(Debug)]
pub struct Exchange {
    pub request: RequestStream,
    pub response: ResponseStream,
}

/// The way to the upstream. Dropping it alone does not end the request: say `end`, or [`RequestStream::reset`].
///
/// A fault here says that the upstream takes no more; whether the call failed, and whether it may go again, is said by
/// the [`ResponseStream`]. An upstream may answer before it has read all, and that is a success.
#[derive(Debug)]
pub struct RequestStream {
    /// `Some` until it is dropped.
    stream: Option<SendStream<Bytes>>,
    /// Nothing more can be sent.
    ended: bool,
    lease: Arc<Lease>,
}

/// The way back. Dropping it alone discards what comes.
#[derive(Debug)]
pub struct ResponseStream {
    head: Option<ResponseFuture>,
    /// Its number in the connection's register.
    place: Option<usize>,
    lease: Arc<Lease>,
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    pub parts: http::response::Parts,
    /// No body and no trailers will follow: a trailers-only answer, its status is among the header fields.
    pub is_end: bool,
}

/// What a call's end says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did its work, whether the caller liked the answer or not.
    Success,
    /// It did not.
    Failure,
    /// Nothing: the caller went away, or the edge refused the call.
    Neutral,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn new(response: ResponseFuture, stream: SendStream<Bytes>, ended: bool, lease: Arc<Lease>) -> Exchange {
        let response = ResponseStream { head: Some(response), place: None, lease: Arc::clone(&lease) };
        Exchange { request: RequestStream { stream: Some(stream), ended, lease }, response }
    }

    /// Where the call went.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.response.endpoint()
    }
}

// === impl RequestStream ===

impl RequestStream {
    /// How many bytes may be sent now, at least one, once the peer's windows allow any; `want` is what one would like
    /// to send. Zero is ready at once.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<Result<usize, Fault>> {
        let Some(stream) = self.stream.as_mut().filter(|_| want > 0) else { return Poll::Ready(Ok(0)) };
        stream.reserve_capacity(want.min(MAX_WANT));
        loop {
            let capacity = stream.capacity();
            if capacity > 0 {
                return Poll::Ready(Ok(capacity));
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(Fault::of_stream(&error, self.lease.connection.cause()))),
                None => return Poll::Ready(Err(self.why_closed())),
            }
        }
    }

    /// Sends bytes, no more than [`RequestStream::poll_ready`] has allowed (`h2` would hold the rest in memory), and
    /// ends the request if `end`. Empty with `end` needs no allowance.
    pub fn send(&mut self, bytes: Bytes, end: bool) -> Result<(), Fault> {
        let sent = self.stream.as_mut().map(|stream| stream.send_data(bytes, end));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.why_closed());
        }
        self.ended |= end;
        Ok(())
    }

    /// Resets the stream, both ways, at once. To cancel a call, drop it: that spares the upstream (and so the calls
    /// beside) a burst of resets.
    pub fn reset(&mut self, reason: h2::Reason) {
        self.ended = true;
        if let Some(stream) = &mut self.stream {
            stream.send_reset(reason);
        }
    }

    /// Ready when the upstream takes no more, though the request has not ended: a pump that waits for its caller need
    /// not wait longer.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        match ready!(stream.poll_reset(cx)) {
            Ok(reason) => Poll::Ready(Fault::reset(reason)),
            Err(error) => Poll::Ready(Fault::of_stream(&error, self.lease.connection.cause())),
        }
    }

    fn why_closed(&mut self) -> Fault {
        match self.poll_closed(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(fault) => fault,
            Poll::Pending => Fault::new(FaultKind::Protocol, "the request has ended"),
        }
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take().filter(|_| !self.ended) {
            self.lease.leave_request(stream);
        }
    }
}

// === impl ResponseStream ===

impl ResponseStream {
    /// Where the call went.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.lease.endpoint()
    }

    /// What the call's end says of its endpoint, once that is known; the first word counts. Resets and lost connections
    /// judge themselves.
    pub fn judge(&self, verdict: Verdict) {
        match verdict {
            Verdict::Success => self.lease.judge(None),
            Verdict::Failure => self.lease.judge(Some(Failure::Protocol)),
            Verdict::Neutral => self.lease.excuse(),
        }
    }

    /// As [`ResponseStream::judge`], by the status that the upstream told. Which ones are failures is a matter of the
    /// cluster.
    pub fn judge_status(&self, code: Code) {
        let failed = self.endpoint().vitals().failures().has(code);
        self.lease.judge(failed.then_some(Failure::Status));
    }

    /// What is left of the answer as a stream of its own; nothing more comes of this one.
    pub fn split_off(&mut self) -> ResponseStream {
        ResponseStream { head: self.head.take(), place: self.place.take(), lease: Arc::clone(&self.lease) }
    }

    /// The head of the answer, once. Interim answers (1xx) are skipped.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Fault>> {
        let Some(head) = &mut self.head else {
            return Poll::Ready(Err(Fault::new(FaultKind::Protocol, "the head was taken")));
        };
        let answer = ready!(std::pin::Pin::new(head).poll(cx));
        self.head = None;
        match answer {
            Ok(answer) => {
                let (parts, stream) = answer.into_parts();
                let is_end = stream.is_end_stream();
                self.lease.answered(is_end);
                self.lease.intake.fill(stream);
                Poll::Ready(Ok(ResponseHead { parts, is_end }))
            }
            Err(error) => Poll::Ready(Err(self.fault(&error))),
        }
    }

    /// Ready when the body has begun (`true`), or has ended without a byte. Takes nothing of it: whoever decides by this
    /// whether an answer is handed on leaves it whole. Only behind the head.
    pub fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        let begun = self.lease.intake.poll_begun(cx);
        if begun.is_pending() {
            self.watch();
        }
        begun.map_err(|error| self.fault(&error))
    }

    /// Shows the trailers of an answer of which [`ResponseStream::poll_begun`] said that it has no body; `None` if it has
    /// none of them either.
    pub fn bare_trailers<T>(&self, show: impl FnOnce(&HeaderMap) -> T) -> Option<T> {
        self.lease.intake.bare_trailers(show)
    }

    /// The next bytes of the body, never empty; `None` at its end, when trailers may be asked for. What was taken
    /// counts against the stream's window until it is released.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        match self.lease.intake.poll_chunk(cx) {
            Poll::Pending => {
                self.watch();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.fault(&error)))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    /// Has what arrives unread swept together (`intake.rs`). A reader who waits for more has that by itself; one who may
    /// not begin to read for long asks for it.
    pub fn watch(&mut self) {
        if self.place.is_none() {
            self.place = Some(self.lease.register());
        }
    }

    /// Gives bytes back to the window: call it when they have gone on, and the upstream may send as many more.
    pub fn release(&mut self, count: usize) {
        self.lease.intake.release(count);
    }

    /// The trailers, once the body has ended; `None` if there are none.
    pub fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Fault>> {
        let trailers = ready!(self.lease.intake.poll_trailers(cx));
        Poll::Ready(trailers.map_err(|error| self.fault(&error)))
    }

    /// Whether all was read, trailers included. False while that is not known.
    pub fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.lease.intake.is_end_stream()
    }

    fn fault(&self, error: &h2::Error) -> Fault {
        let fault = Fault::of_stream(error, self.lease.connection.cause());
        self.lease.judge_fault(fault.kind());
        fault
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.lease.unregister(place);
        }
        self.lease.intake.clear();
        if let Some(head) = self.head.take() {
            self.lease.leave_head(head);
        }
    }
}

/// What is asked of the window at once, at most.
const MAX_WANT: usize = 1024 * 1024;
