//! What follows the first attempt of a call, or goes beside it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use tokio::time::Sleep;

use super::failed::{Failed, Why};
use super::policy::{Facts, Next, Tally};
use super::{Answered, Look, Looked, Opened, Trail, Tried, tell_time_left};
use crate::call::Refusal;
use crate::observe::RepeatReason;
use crate::proxy::handler::{Call, Handler};
use crate::proxy::kept::KeptHead;
use crate::proxy::replay::Resend;
use crate::proxy::tables::Called;
use crate::proxy::uplink::Uplink;
use crate::upstream::{Choice, Cluster, Endpoint, Exchange, Fault, FaultKind};

/// The attempts of one call.
pub(super) struct Course<'c> {
    handler: &'c Handler,
    called: Called,
    cluster: Arc<Cluster>,
    /// What its endpoint is chosen by.
    hash: Option<u64>,
    reached: Option<&'c mut Option<Arc<Endpoint>>>,
    deadline: Option<Instant>,
    look: Look,
    trail: &'c mut Trail,
    uplink: &'c mut Uplink,
    kept: KeptHead,
    path: PathAndQuery,
    /// Those under way.
    legs: Vec<Leg<'c>>,
    /// Endpoints that attempts went to.
    avoid: Vec<u64>,
    tally: Tally,
    timer: Option<(Pin<Box<Sleep>>, Due)>,
}

struct Leg<'c> {
    stage: Stage<'c>,
    /// It was begun while another was under way: its body is sent beside the caller's.
    is_beside: bool,
    resend: Option<Resend>,
}

enum Stage<'c> {
    Opening(Opening<'c>),
    Open(Box<Opened>),
}

type Opening<'c> = Pin<Box<dyn Future<Output = Result<Exchange, Fault>> + Send + 'c>>;

/// What the timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// An attempt that was granted begins.
    Start,
    /// An attempt is made beside the others, if one may be.
    Hedge,
    /// The attempt has had its time, and is given up if there may be another.
    Replace,
}

enum Event {
    Refused(Refusal),
    Opened(usize, Result<Exchange, Fault>),
    Looked(usize, Looked),
    Due(Due),
}

/// Endpoints that are kept in mind.
const MOST_AVOIDED: usize = 16;

const PREVIOUS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

// === impl Course ===

impl<'c> Course<'c> {
    pub(super) fn new(
        handler: &'c Handler,
        call: &'c mut Call,
        uplink: &'c mut Uplink,
        kept: KeptHead,
        look: Look,
        path: PathAndQuery,
    ) -> Course<'c> {
        Course {
            handler,
            called: call.called.clone(),
            cluster: Arc::clone(call.cluster()),
            hash: call.choice().hash,
            reached: handler.meters.access_log.then_some(&mut call.reached),
            deadline: call.deadline,
            look,
            trail: &mut call.trail,
            uplink,
            kept,
            path,
            legs: Vec::new(),
            avoid: Vec::new(),
            tally: Tally::FIRST,
            timer: None,
        }
    }

    /// From the first attempt on.
    pub(super) async fn begin(mut self, headers: HeaderMap) -> Result<Answered, Refusal> {
        self.start_with(headers)?;
        self.run().await
    }

    /// From the failure of the first attempt on.
    pub(super) async fn resume(mut self, failed: Failed) -> Result<Answered, Refusal> {
        match self.failed(failed) {
            Some(result) => result,
            None => self.run().await,
        }
    }

    /// On from what the fast lane has tried.
    pub(super) async fn go_on(mut self, tried: &Tried) -> Result<Answered, Refusal> {
        self.tally = tried.tally;
        self.avoid.extend(tried.endpoint);
        match self.start_after(tried.pause) {
            Some(result) => result,
            None => self.run().await,
        }
    }

    async fn run(mut self) -> Result<Answered, Refusal> {
        loop {
            let over = match poll_fn(|cx| self.poll(cx)).await {
                Event::Refused(refusal) => return Err(refusal),
                Event::Opened(at, opened) => self.opened(at, opened),
                Event::Looked(at, looked) => self.looked(at, looked),
                Event::Due(Due::Start) => self.start().err().map(Err),
                Event::Due(Due::Hedge) => self.hedge().err().map(Err),
                Event::Due(Due::Replace) => self.replace(),
            };
            if let Some(result) = over {
                return result;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(Err(refusal)) = self.uplink.poll(cx) {
            return Poll::Ready(Event::Refused(refusal));
        }
        for (at, leg) in self.legs.iter_mut().enumerate() {
            if let Some(resend) = &mut leg.resend {
                // its fault is told by the answer
                let _ = resend.poll(cx);
            }
            match &mut leg.stage {
                Stage::Opening(opening) => {
                    if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                        return Poll::Ready(Event::Opened(at, opened));
                    }
                }
                Stage::Open(opened) => {
                    if let Poll::Ready(looked) = opened.poll(cx, self.look) {
                        return Poll::Ready(Event::Looked(at, looked));
                    }
                }
            }
        }
        if let Some((sleep, due)) = &mut self.timer
            && sleep.as_mut().poll(cx).is_ready()
        {
            let due = *due;
            self.timer = None;
            return Poll::Ready(Event::Due(due));
        }
        Poll::Pending
    }

    fn opened(&mut self, at: usize, opened: Result<Exchange, Fault>) -> Option<Result<Answered, Refusal>> {
        let leg = self.legs.get_mut(at)?;
        let Exchange { request, response } = match opened {
            Ok(exchange) => exchange,
            Err(fault) => {
                self.legs.remove(at);
                return self.failed(Failed::of_fault(fault, None));
            }
        };
        if let Some(reached) = &mut self.reached {
            **reached = Some(Arc::clone(response.endpoint()));
        }
        let opened = Opened::new(response);
        let endpoint = opened.endpoint();
        if !self.avoid.contains(&endpoint) && self.avoid.len() < MOST_AVOIDED {
            self.avoid.push(endpoint);
        }
        let attached = if leg.is_beside {
            leg.resend = self.uplink.resend(request);
            leg.resend.is_some()
        } else {
            self.uplink.attach(request)
        };
        leg.stage = Stage::Open(Box::new(opened));
        if attached {
            return None;
        }
        // cannot be: an attempt is only made while the body is there for it
        self.legs.remove(at);
        let fault = Fault::new(FaultKind::Broken, "the request is not kept any more");
        self.failed(Failed::of_fault(fault, Some(endpoint)))
    }

    fn looked(&mut self, at: usize, looked: Looked) -> Option<Result<Answered, Refusal>> {
        if at >= self.legs.len() {
            return None;
        }
        let Leg { stage, is_beside, resend } = self.legs.remove(at);
        let Stage::Open(opened) = stage else { return None };
        match opened.end(looked) {
            Ok(answered) => {
                if is_beside {
                    self.handler.meters.repeats.hedges_won.add(1);
                }
                if let Some(resend) = resend {
                    self.uplink.adopt(resend);
                }
                Some(Ok(answered))
            }
            Err(failed) => {
                if !is_beside {
                    self.uplink.detach();
                }
                self.failed(failed)
            }
        }
    }

    /// What follows; `Some` if that is the end.
    fn failed(&mut self, failed: Failed) -> Option<Result<Answered, Refusal>> {
        self.trail.failed = Some(failed.why.word());
        if let Some(endpoint) = failed.endpoint.filter(|endpoint| !self.avoid.contains(endpoint)) {
            self.avoid.push(endpoint);
        }
        match self.next(&failed.why) {
            Next::Start(wait) => {
                self.count(failed.why.reason());
                failed.give_up();
                self.start_after(wait)
            }
            Next::Others => {
                failed.give_up();
                None
            }
            Next::Over => Some(failed.into_result()),
        }
    }

    fn count(&self, reason: RepeatReason) {
        let repeats = &self.handler.meters.repeats;
        if self.legs.is_empty() { repeats.retried(reason) } else { repeats.hedges.add(1) }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            called: &self.called,
            cluster: &self.cluster,
            meters: &self.handler.meters.repeats,
            look: self.look,
            deadline: self.deadline,
            has_body: if self.legs.is_empty() { self.uplink.can_repeat() } else { self.uplink.is_kept_whole() },
            others: !self.legs.is_empty(),
        }
    }

    fn next(&mut self, why: &Why) -> Next {
        let mut tally = self.tally;
        let next = tally.next(why, &self.facts());
        self.tally = tally;
        next
    }

    /// Begins an attempt that was granted; `Some` if that cannot be.
    fn start_after(&mut self, wait: Duration) -> Option<Result<Answered, Refusal>> {
        if wait.is_zero() {
            // a timer would take a millisecond
            return self.start().err().map(Err);
        }
        self.timer = Some((Box::pin(tokio::time::sleep(wait)), Due::Start));
        None
    }

    fn start(&mut self) -> Result<(), Refusal> {
        self.start_with(self.kept.rebuild())
    }

    /// Begins an attempt, by itself or beside those under way, and sets the timer for what follows it.
    fn start_with(&mut self, mut headers: HeaderMap) -> Result<(), Refusal> {
        tell_time_left(self.deadline, &mut headers)?;
        if let Some(previous) = self.tally.tries.checked_sub(1).filter(|previous| *previous > 0) {
            let callers = headers.get(PREVIOUS).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
            headers.insert(PREVIOUS, HeaderValue::from(previous.saturating_add(callers.unwrap_or(0))));
        }
        self.trail.attempts += 1;
        let (handler, cluster) = (self.handler, Arc::clone(&self.cluster));
        let (path, avoid) = (self.path.clone(), self.avoid.clone());
        let (hash, deadline) = (self.hash, self.deadline);
        let opening = async move {
            let choice = Choice { hash, avoid: &avoid, deadline };
            handler.pool.open(&cluster, &choice, path, headers, false).await
        };
        let is_beside = !self.legs.is_empty();
        self.legs.push(Leg { stage: Stage::Opening(Box::pin(opening)), is_beside, resend: None });
        let due = match self.facts().hedging() {
            Some((hedge, after)) => (self.tally.tries < hedge.attempts).then_some((after, Due::Hedge)),
            None if self.look == Look::Never => None,
            None => self.called.method().settings.retry.per_attempt_timeout.map(|after| (after, Due::Replace)),
        };
        self.timer = due.map(|(after, due)| (Box::pin(tokio::time::sleep(after)), due));
        Ok(())
    }

    /// The attempts so far were without an answer for so long.
    fn hedge(&mut self) -> Result<(), Refusal> {
        let facts = self.facts();
        let Some((_, after)) = facts.hedging().filter(|_| facts.others && !self.tally.unwanted) else { return Ok(()) };
        if !facts.has_body {
            // the caller is slow, or its body too large: in the first case its end may still come
            if self.uplink.can_repeat() {
                self.timer = Some((Box::pin(tokio::time::sleep(after)), Due::Hedge));
            }
            return Ok(());
        }
        let mut tally = self.tally;
        if !facts.are_there_for(Duration::ZERO) || !tally.grant(&facts) {
            return Ok(());
        }
        self.tally = tally;
        self.handler.meters.repeats.hedges.add(1);
        self.start()
    }

    /// The attempt is given up, if another may be made; else it goes on for as long as the call may.
    fn replace(&mut self) -> Option<Result<Answered, Refusal>> {
        // by itself, as it will be when the next one begins
        let legs = std::mem::take(&mut self.legs);
        let Next::Start(wait) = self.next(&Why::Slow) else {
            self.legs = legs;
            return None;
        };
        for leg in &legs {
            if let Stage::Open(opened) = &leg.stage {
                opened.response.judge(Why::Slow.verdict());
            }
        }
        drop(legs);
        self.uplink.detach();
        self.trail.failed = Some(Why::Slow.word());
        self.count(Why::Slow.reason());
        self.start_after(wait)
    }
}
