//! Answers whose callers are not left in the dark: the head goes out after a while even if the upstream has said nothing, and
//! silences are filled. Readers of server-sent events take a stream for open only then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::time::Sleep;

use super::body::Body;
use super::ending::{expand, from_refusal};
use super::handler::{Call, Handler, Outcome, respond, told_packer};
use crate::call::{CallRecord, Head, Inbound, Refusal};
use crate::protocol::{End, Ending, Pace};
use crate::wire::Packer;

/// The call itself, on its way to what its head would have waited for.
type Work = Pin<Box<dyn Future<Output = (Box<Call>, Result<Outcome, Refusal>)> + Send>>;

/// The body of an answer whose head went out before anything was known of it.
pub struct Early {
    handler: Arc<Handler>,
    work: Work,
    /// Ends with the body, as cancelled if it is dropped before.
    pub(super) record: Option<CallRecord>,
    heartbeat: Heartbeat,
    packer: Option<Packer>,
    /// The first bytes, until they are sent.
    opening: Option<Bytes>,
}

/// What comes next of an early body.
pub(super) enum Next {
    Bytes(Bytes),
    /// It goes on as another.
    Becomes(Body),
}

/// Fills silences.
pub(super) struct Heartbeat {
    every: Duration,
    /// Looked at when it fires, and then put off by what was sent meanwhile: no timer is touched per message.
    sleep: Pin<Box<Sleep>>,
    last: Instant,
    bytes: Bytes,
}

// === impl Heartbeat ===

impl Heartbeat {
    pub(super) fn new(pace: &Pace) -> Heartbeat {
        Heartbeat {
            every: pace.every,
            sleep: Box::pin(tokio::time::sleep(pace.every)),
            last: Instant::now(),
            bytes: pace.heartbeat.clone(),
        }
    }

    /// Something was sent.
    pub(super) fn moved(&mut self) {
        self.last = Instant::now();
    }

    /// What is to be sent when nothing was for so long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            std::task::ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            let is_due = self.last + self.every <= now;
            if is_due {
                self.last = now;
            }
            self.sleep.as_mut().reset((self.last + self.every).into());
            if is_due {
                return Poll::Ready(self.bytes.clone());
            }
        }
    }
}

// === impl Handler ===

impl Handler {
    /// Carries a call whose head does not wait for longer than its pace says.
    pub(super) async fn paced(
        self: &Arc<Self>,
        mut call: Box<Call>,
        head: Head,
        inbound: Inbound,
        record: CallRecord,
        pace: Pace,
    ) -> Response<Body> {
        let mut out = call.answer.head(HeaderMap::new());
        let packs = call.packs_stream();
        let handler = Arc::clone(self);
        let mut work: Work = Box::pin(async move {
            let outcome = handler.in_time(&mut call, head, inbound).await;
            (call, outcome)
        });
        match tokio::time::timeout(pace.head_after, &mut work).await {
            Ok((call, outcome)) => self.answer(*call, outcome, record),
            Err(_) => {
                let early = Early {
                    handler: Arc::clone(self),
                    work,
                    record: Some(record),
                    heartbeat: Heartbeat::new(&pace),
                    packer: packs.and_then(|encoding| told_packer(encoding, &mut out.headers)),
                    opening: Some(pace.opening),
                };
                respond(out.status, out.headers, Body::Early(Box::new(early)))
            }
        }
    }
}

// === impl Early ===

impl Early {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(opening) = self.opening.take() {
            return self.bytes(&opening);
        }
        if let Poll::Ready((call, outcome)) = self.work.as_mut().poll(cx) {
            return Poll::Ready(Next::Becomes(self.follow(*call, outcome)));
        }
        let beat = std::task::ready!(self.heartbeat.poll(cx));
        self.bytes(&beat)
    }

    fn bytes(&mut self, bytes: &Bytes) -> Poll<Next> {
        let packed = match &mut self.packer {
            None => Some(bytes.clone()),
            Some(packer) => packer.push(bytes).map(Bytes::from),
        };
        Poll::Ready(packed.map_or(Next::Becomes(Body::cut()), Next::Bytes))
    }

    /// What follows once the call has come as far as its head should have waited for. An error is told as the end of a body
    /// that has begun.
    fn follow(&mut self, mut call: Call, outcome: Result<Outcome, Refusal>) -> Body {
        let Some(mut record) = self.record.take() else { return Body::cut() };
        call.note(&mut record);
        call.answer.opened();
        let mut end = match outcome {
            Ok(Outcome::Stream { down, first, uplink, .. }) => {
                let relay = self.handler.relay(call, down, first, uplink, record, self.packer.take());
                return Body::Relay(Box::new(relay));
            }
            Ok(Outcome::Whole { end, .. }) => end,
            Err(refusal) => from_refusal(&refusal, call.answer.details()),
        };
        record.end(end.status.code);
        expand(&mut end, call.answer.details(), Some(call.called.catalog()));
        self.last(call, end)
    }

    fn last(&mut self, mut call: Call, end: End) -> Body {
        let Ending { bytes, cut, .. } = call.answer.end(end);
        let packed = match self.packer.take() {
            None => Some(bytes),
            Some(mut packer) => {
                let last = packer.push(&bytes);
                last.zip(packer.finish()).map(|(last, end)| [last, end].concat().into())
            }
        };
        match packed {
            Some(bytes) if !cut => Body::of(bytes, None),
            _ => Body::cut(),
        }
    }
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Early").field("record", &self.record).finish_non_exhaustive()
    }
}
