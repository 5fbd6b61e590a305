//! The answer's body as doors poll it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::downlink::{Downlink, Part};
use super::early::{Early, Heartbeat, Next};
use super::ending::{deadline_passed, expand, from_refusal, late};
use super::tables::Called;
use super::uplink::Uplink;
use crate::call::{CallRecord, Kind, Refusal};
use crate::observe::GaugeGuard;
use crate::protocol::{Answer, AnswerForm, End};
use crate::status::Code;
use crate::wire::{self, Packer};

/// Messages are gathered up to this size before they go to the door.
const GATHER: usize = 16 << 10;

/// The body of an answer. An error from it means: reset the stream (HTTP/2) or abort the connection (HTTP/1.1), so that
/// a cut answer never looks complete.
#[derive(Debug)]
pub enum Body {
    Empty,
    Whole(Bytes),
    /// A whole body with HTTP trailers behind it.
    Trailed(Option<Bytes>, Option<HeaderMap>),
    Relay(Box<Relay>),
    /// Its head went out before anything was known of it.
    Early(Box<Early>),
    /// Nothing more can be said of it.
    Cut,
}

/// Why a body was cut. Its source is an `h2::Error` with the reason for the reset.
#[derive(Debug)]
pub struct BodyError(h2::Error);

/// An answer that streams: polls the upstream, feeds the dialect, and ends the call's record.
pub struct Relay {
    pub(super) down: SharedDown,
    pub(super) answer: Box<dyn Answer>,
    pub(super) record: CallRecord,
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    pub(super) idle: Option<Idle>,
    pub(super) pump: Option<Pump>,
    pub(super) called: Called,
    /// A message that was read before the head was due.
    pub(super) first: Option<wire::Frame>,
    /// For a body that is compressed as a whole, while it goes on.
    pub(super) packer: Option<Packer>,
    /// For callers who want to hear something in silences.
    pub(super) heartbeat: Option<Box<Heartbeat>>,
    pub(super) after: After,
}

/// Ends a call in which nothing moved for a while, in either direction.
pub(super) struct Idle {
    after: Duration,
    /// Looked at when it fires, and then put off by what has moved meanwhile: no timer is touched per message.
    sleep: Pin<Box<Sleep>>,
    last: Instant,
    up: Arc<AtomicU64>,
    seen_up: u64,
}

/// The answer's way, which a deadline may take away while the body is not polled.
pub(super) type SharedDown = Arc<Mutex<Way>>;

/// The way of an answer as long as it is open, then what its end must know of it.
#[allow(clippy::large_enum_variant, reason = "one per call, made once")]
pub(super) enum Way {
    Open(Downlink),
    Left {
        /// What was handed on ends with a whole message.
        whole: bool,
        messages: u64,
    },
}

/// What follows the bytes of the body.
#[derive(Debug)]
pub(super) enum After {
    /// The body is not at its end.
    More,
    Trailers(HeaderMap),
    /// A cut that lets the door write first: both hyper and h2 throw away what is not written when a body fails.
    CutSoon,
    Cut,
    Nothing,
}

/// A request body that is carried beside its answer, in a task of its own so that a caller who does not read the answer
/// can still send. Dropping it stops the task and resets the upstream stream.
pub(super) struct Pump {
    task: tokio::task::JoinHandle<Result<(), Refusal>>,
    done: bool,
}

// === impl Idle ===

impl Idle {
    pub(super) fn new(after: Duration, uplink: &Uplink) -> Idle {
        let sleep = Box::pin(tokio::time::sleep(after));
        Idle { after, sleep, last: Instant::now(), up: uplink.moved(), seen_up: 0 }
    }

    fn down_moved(&mut self) {
        self.last = Instant::now();
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Option<Refusal> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let up = self.up.load(Ordering::Relaxed);
            if up != self.seen_up {
                // it moved some time since the last look; to count from now errs on the side of patience
                self.seen_up = up;
                self.last = Instant::now();
            }
            let due = self.last + self.after;
            if due <= Instant::now() {
                let text = format!("nothing moved for {} s, in either direction", self.after.as_secs_f64());
                return Some(Refusal::new(Kind::Idle, text));
            }
            self.sleep.as_mut().reset(due.into());
        }
        None
    }
}

// === impl Pump ===

impl Pump {
    /// With a deadline, it also lets go of the upstream when that has passed.
    pub(super) fn spawn(mut uplink: Uplink, watched: Option<(Instant, SharedDown)>, guard: GaugeGuard) -> Pump {
        let task = tokio::spawn(async move {
            let _guard = guard;
            let Some((deadline, down)) = watched else { return std::future::poll_fn(|cx| uplink.poll(cx)).await };
            let watch = tokio::time::sleep_until(deadline.into());
            let carry = async {
                std::future::poll_fn(|cx| uplink.poll(cx)).await?;
                std::future::pending().await
            };
            tokio::select! {
                refused = carry => return refused,
                () = watch => {}
            }
            drop(uplink);
            leave(&down);
            Ok(())
        });
        Pump { task, done: false }
    }

    /// A refusal that the request met on its way.
    pub(super) fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Option<Refusal> {
        if self.done {
            return None;
        }
        match Pin::new(&mut self.task).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(Err(refusal))) => {
                self.done = true;
                Some(refusal)
            }
            Poll::Ready(_) => {
                self.done = true;
                None
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Relay ===

impl Relay {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match std::mem::replace(&mut self.after, After::Nothing) {
                After::More => {
                    self.after = After::More;
                    let bytes = std::task::ready!(self.poll_body(cx));
                    let bytes = if self.packer.is_some() { self.packed(&bytes) } else { bytes };
                    if !bytes.is_empty() {
                        if let Some(heartbeat) = &mut self.heartbeat {
                            heartbeat.moved();
                        }
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                After::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                After::CutSoon => {
                    self.after = After::Cut;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                After::Cut => return Poll::Ready(Some(Err(BodyError(h2::Reason::INTERNAL_ERROR.into())))),
                After::Nothing => return Poll::Ready(None),
            }
        }
    }

    /// Bytes for the caller; none when the end has none, and `after` says what follows.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Some(refusal) = self.poll_refusal(cx) {
            return Poll::Ready(self.end(from_refusal(&refusal, self.answer.details())));
        }
        let mut out = Vec::new();
        if let Some(first) = self.first.take() {
            if self.answer.form() == AnswerForm::Contents {
                return Poll::Ready(self.answer.chunk(first.payload));
            }
            self.answer.message(first.flags, &first.payload, &mut out);
        }
        let ended = loop {
            let part = match &mut *self.down.lock().unwrap_or_else(PoisonError::into_inner) {
                Way::Open(down) => down.poll_part(cx),
                Way::Left { .. } => Poll::Ready(Err(deadline_passed())),
            };
            if part.is_ready()
                && let Some(idle) = &mut self.idle
            {
                idle.down_moved();
            }
            match part {
                Poll::Pending if out.is_empty() => {
                    let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
                    return heartbeat.poll(cx);
                }
                Poll::Pending => return Poll::Ready(out.into()),
                Poll::Ready(Ok(Part::Chunk(chunk))) => return Poll::Ready(self.answer.chunk(chunk)),
                Poll::Ready(Ok(Part::Content(content))) => return Poll::Ready(self.answer.chunk(content.data)),
                Poll::Ready(Ok(Part::Message(message))) => {
                    self.answer.message(message.flags, &message.payload, &mut out);
                    if out.len() >= GATHER {
                        return Poll::Ready(out.into());
                    }
                }
                Poll::Ready(Ok(Part::End(end))) => break self.end(*end),
                Poll::Ready(Err(refusal)) => {
                    let deadline = self.deadline.as_ref().map(|sleep| sleep.deadline().into_std());
                    break self.end(from_refusal(&late(refusal, deadline), self.answer.details()));
                }
            }
        };
        if out.is_empty() {
            return Poll::Ready(ended);
        }
        out.extend_from_slice(&ended);
        Poll::Ready(out.into())
    }

    /// The next piece of a body that is compressed as a whole. One that ends well is finished; one that is cut is not,
    /// so that it is not taken for whole.
    fn packed(&mut self, bytes: &[u8]) -> Bytes {
        let Some(packer) = &mut self.packer else { return Bytes::new() };
        let mut packed = if bytes.is_empty() { Some(Vec::new()) } else { packer.push(bytes) };
        if matches!(self.after, After::Nothing)
            && let Some(end) = self.packer.take().map(Packer::finish)
        {
            packed = packed.zip(end).map(|(packed, end)| [packed, end].concat());
        }
        packed.map(Bytes::from).unwrap_or_else(|| {
            self.after = After::Cut;
            Bytes::new()
        })
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Option<Refusal> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Some(deadline_passed());
        }
        if let Some(refusal) = self.idle.as_mut().and_then(|idle| idle.poll_refusal(cx)) {
            return Some(refusal);
        }
        self.pump.as_mut()?.poll_refusal(cx)
    }

    /// Renders the end, and lets go of the upstream.
    fn end(&mut self, mut end: End) -> Bytes {
        let (whole, messages) = leave(&self.down);
        self.record.response_messages = messages;
        self.pump = None;
        self.record.end(end.status.code);
        expand(&mut end, self.answer.details(), Some(self.called.catalog()));
        let ending = self.answer.end(end);
        self.after = match ending.trailers {
            Some(trailers) => After::Trailers(trailers),
            // an end that is told in the body cannot stand behind half a message
            None if ending.cut || !whole => After::CutSoon,
            None => After::Nothing,
        };
        if whole { ending.bytes } else { Bytes::new() }
    }
}

/// Lets go of the upstream. Says whether what was handed on ends with a whole message, and how many there were.
fn leave(down: &SharedDown) -> (bool, u64) {
    let mut way = down.lock().unwrap_or_else(PoisonError::into_inner);
    let (whole, messages) = match &*way {
        Way::Open(down) => (down.at_boundary(), down.messages()),
        Way::Left { whole, messages } => (*whole, *messages),
    };
    let left = std::mem::replace(&mut *way, Way::Left { whole, messages });
    // its stream is reset: not under the lock
    drop(way);
    drop(left);
    (whole, messages)
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("record", &self.record).field("after", &self.after).finish_non_exhaustive()
    }
}

impl Drop for Relay {
    /// A body that is dropped before its end was cut off by its caller.
    fn drop(&mut self) {
        self.record.end(Code::Cancelled);
    }
}

// === impl BodyError ===

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was cut")
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

// === impl Body ===

impl Body {
    /// A body that breaks off.
    pub(super) fn cut() -> Body {
        Body::Cut
    }

    /// A body of these bytes, and HTTP trailers behind them if there are any.
    pub(super) fn of(bytes: Bytes, trailers: Option<HeaderMap>) -> Body {
        match trailers {
            Some(trailers) => Body::Trailed(Some(bytes).filter(|bytes| !bytes.is_empty()), Some(trailers)),
            None if bytes.is_empty() => Body::Empty,
            None => Body::Whole(bytes),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Body::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::Trailed(bytes, trailers) => Poll::Ready(match bytes.take() {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            }),
            Body::Relay(relay) => relay.poll_frame(cx),
            Body::Cut => Poll::Ready(Some(Err(BodyError(h2::Reason::INTERNAL_ERROR.into())))),
            Body::Early(early) => match std::task::ready!(early.poll(cx)) {
                Next::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Next::Becomes(body) => {
                    *self = body;
                    self.poll_frame(cx)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Trailed(None, None) => true,
            Body::Whole(_) | Body::Trailed(..) | Body::Early(_) | Body::Cut => false,
            Body::Relay(relay) => matches!(relay.after, After::Nothing),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Trailed(..) | Body::Relay(_) | Body::Early(_) | Body::Cut => SizeHint::default(),
        }
    }
}
