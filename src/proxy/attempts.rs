//! One request, and as many attempts as it takes and may take, until an answer goes on to the caller.
//!
//! The model is gRPC's proposal A6. An attempt that the upstream surely never took up (REFUSED_STREAM, a GOAWAY that does not
//! cover it, a connection that closed before the head was written) is repeated whatever the method is, outside of any
//! policy's count and budget: nothing was executed, and as connections are replaced one call may meet several that close.
//! A6 lets that happen once, since a client has its policy besides; an edge before an upstream that restarts endpoint by
//! endpoint has to be more patient, and paces itself instead.
//!
//! All else is repeated only if the method may be executed twice ([`crate::catalog::Method::is_repeatable`]), nothing of the
//! answer went on to the caller, the body is still kept, the budget of the cluster has one left, the upstream has not said no
//! (`grpc-retry-pushback-ms`), and the deadline leaves room. To know the first of these facts, an answer is looked at
//! before it goes on: up to its head, if that is the end; else up to the first byte of its body. Only a stream whose head is
//! due at once (callers wait for it) does not wait for its first message; what is there already is looked at.
//!
//! The first attempt of a call pays for this with a copy of its head (`kept.rs`). What comes after a failure, or beside an
//! attempt that is timed or hedged, lives in a box of its own (`course.rs`).

mod course;
mod failed;
mod policy;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use self::course::Course;
pub(super) use self::failed::Why;
use self::failed::{Bad, Failed};
pub(super) use self::policy::{Facts, Next, Tally};
use super::ending::{deadline_passed, has_status};
use super::handler::{Call, Handler};
use super::kept::KeptHead;
use super::tables::Called;
use super::uplink::Uplink;
use crate::call::{CallRecord, Head, Refusal};
use crate::observe::RepeatMeters;
use crate::protocol::Due;
use crate::upstream::{Exchange, Fault, FaultKind, ResponseHead, ResponseStream};
use crate::wire::format_grpc_timeout;

pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// An answer that is to go on to the caller.
pub(super) type Answered = (ResponseHead, ResponseStream);

/// What became of a call's attempts, for its record.
#[derive(Debug, Default)]
pub(super) struct Trail {
    attempts: u32,
    failed: Option<&'static str>,
}

/// An attempt that the fast lane made and gave up; the next was granted. It goes to the corridor among the extensions of
/// the call's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) tally: Tally,
    /// Before the next one.
    pub(super) pause: Duration,
    pub(super) failed: &'static str,
    pub(super) endpoint: Option<u64>,
}

/// How far an answer is looked at before it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The call is not repeated for what is answered.
    Never,
    /// As far as it is there already.
    Glance,
    /// Up to the first byte of the body, or the end.
    Begun,
}

/// What a look at an answer came to: a failure that is all there is of it, if there is one.
type Looked = Result<Option<Bad>, Fault>;

/// An attempt whose head was sent.
struct Opened {
    response: ResponseStream,
    head: Option<ResponseHead>,
}

// === impl Handler ===

impl Handler {
    /// Sends the request until an answer may go on to the caller, or the call has failed for good. `head` is the caller's,
    /// `headers` what of it goes upstream, with the time that is left.
    pub(super) async fn attempts(
        &self,
        call: &mut Call,
        uplink: &mut Uplink,
        head: &Head,
        path: PathAndQuery,
        headers: HeaderMap,
    ) -> Result<Answered, Refusal> {
        let kept = KeptHead::of(&headers, call.deadline.is_some());
        let look = Look::of(&call.called, call.answer.due());
        if let Some(tried) = head.parts.extensions.get::<Tried>() {
            (call.trail.attempts, call.trail.failed) = (1, Some(tried.failed));
            return Box::pin(Course::new(self, call, uplink, kept, look, path).go_on(tried)).await;
        }
        if look != Look::Never {
            call.cluster().retry_budget().deposit(head.received);
        }
        if look.is_timed(&call.called) {
            return Box::pin(Course::new(self, call, uplink, kept, look, path).begin(headers)).await;
        }
        call.trail.attempts = 1;
        let choice = call.choice();
        let opening = self.pool.open(call.cluster(), &choice, path.clone(), headers, false);
        let failed = match opening.await {
            Err(fault) => Failed::of_fault(fault, None),
            Ok(Exchange { request, response }) => {
                call.reached = self.meters.access_log.then(|| Arc::clone(response.endpoint()));
                uplink.attach(request);
                let mut opened = Opened::new(response);
                let looked = poll_fn(|cx| {
                    if let Poll::Ready(Err(refusal)) = uplink.poll(cx) {
                        return Poll::Ready(Err(refusal));
                    }
                    opened.poll(cx, look).map(Ok)
                });
                let looked = looked.await?;
                match opened.end(looked) {
                    Ok(answered) => return Ok(answered),
                    Err(failed) => failed,
                }
            }
        };
        Box::pin(Course::new(self, call, uplink, kept, look, path).resume(failed)).await
    }
}

/// Tells the upstream how long it has, if the call has a deadline.
pub(super) fn tell_time_left(deadline: Option<Instant>, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let Some(at) = deadline else { return Ok(()) };
    let left = at.saturating_duration_since(Instant::now());
    if left.is_zero() {
        // a fast upstream could still win against the timer
        return Err(deadline_passed());
    }
    if let Ok(value) = HeaderValue::try_from(format_grpc_timeout(left)) {
        headers.insert(TIMEOUT, value);
    }
    Ok(())
}

// === impl Trail ===

impl Trail {
    /// Hands on what the access log has of it.
    pub(super) fn tell(&self, record: &mut CallRecord) {
        record.attempts = self.attempts;
        record.attempt_failure = self.failed;
    }
}

// === impl Look ===

impl Look {
    /// At answers of this method to a caller whose head is due then.
    pub(super) fn of(called: &Called, due: Due) -> Look {
        let method = called.method();
        let settings = &method.settings;
        if settings.retry.attempts <= 1 && settings.hedge.after.is_none() || !method.is_repeatable() {
            return Look::Never;
        }
        // a caller that streams may wait for the head before it goes on, and so may one that awaits a stream
        let is_awaited = method.kind.client_streams() || method.kind.server_streams();
        if is_awaited && due == Due::AtOnce { Look::Glance } else { Look::Begun }
    }

    /// Whether more than failures leads to another attempt: time that passes.
    pub(super) fn is_timed(self, called: &Called) -> bool {
        let settings = &called.method().settings;
        self != Look::Never && (settings.retry.per_attempt_timeout.is_some() || settings.hedge.after.is_some())
    }

    /// Looks at an answer whose head this is; ready when enough of it is there to tell whether it goes on to the caller.
    pub(super) fn poll_at(
        self,
        response: &mut ResponseStream,
        head: &ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bad>, Fault>> {
        let ResponseHead { parts, is_end } = head;
        if self == Look::Never {
            return Poll::Ready(Ok(None));
        }
        if parts.status != StatusCode::OK {
            return Poll::Ready(Ok(Bad::of_http(parts.status.as_u16(), &parts.headers)));
        }
        if *is_end {
            return Poll::Ready(Ok(Bad::of(&parts.headers)));
        }
        let has_begun = match response.poll_begun(cx) {
            Poll::Pending if self == Look::Glance => true,
            begun => ready!(begun)?,
        };
        if has_begun {
            return Poll::Ready(Ok(None));
        }
        // servers whose HTTP library ends every body by itself tell the status in the head
        let bad = response.bare_trailers(|fields| has_status(fields).then(|| Bad::of(fields))).flatten();
        Poll::Ready(Ok(bad.unwrap_or_else(|| Bad::of(&parts.headers))))
    }
}

// === impl Opened ===

impl Opened {
    fn new(response: ResponseStream) -> Opened {
        Opened { response, head: None }
    }

    /// The number of the endpoint.
    fn endpoint(&self) -> u64 {
        self.response.endpoint().id()
    }

    fn poll(&mut self, cx: &mut Context<'_>, look: Look) -> Poll<Looked> {
        let head = match &mut self.head {
            Some(head) => head,
            empty => empty.insert(ready!(self.response.poll_head(cx))?),
        };
        look.poll_at(&mut self.response, head, cx)
    }

    /// The answer, unless it is a failure that might be repeated.
    fn end(self, looked: Looked) -> Result<Answered, Failed> {
        let endpoint = self.endpoint();
        match (looked, self.head) {
            (Ok(None), Some(head)) => Ok((head, self.response)),
            (Ok(Some(bad)), Some(head)) => Err(Failed::of_answer((head, self.response), bad)),
            (Err(fault), _) => Err(Failed::of_fault(fault, Some(endpoint))),
            (Ok(_), None) => {
                let fault = Fault::new(FaultKind::Protocol, "an answer without a head");
                Err(Failed::of_fault(fault, Some(endpoint)))
            }
        }
    }
}
