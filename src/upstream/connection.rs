//! One connection as its calls share it, and a call's hold on it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::endpoint::{Endpoint, Failure};
use super::fault::FaultKind;
use super::intake::Intake;
use super::lock;
use super::parting::{Leaver, Parting};
use super::vitals::Permit;
use crate::observe::Meters;

/// What all connections of a cluster on one worker share: where calls wait for a slot or a connect.
pub(super) struct Hub {
    pub(super) meters: Arc<Meters>,
    /// One is told when a slot becomes free, all when a connect has ended.
    pub(super) changed: Notify,
    waiting: AtomicUsize,
}

/// A connection: handle for new calls, count of its calls, and why it ended.
pub(super) struct Connection {
    /// `None` once it is retired. When this and all streams are gone, `h2` closes the connection.
    sender: Mutex<Option<SendRequest<Bytes>>>,
    /// What the peer allows at once (SETTINGS_MAX_CONCURRENT_STREAMS), as the driver saw it last.
    limit: AtomicUsize,
    active: AtomicUsize,
    /// Calls ever opened.
    opened: AtomicU64,
    cause: OnceLock<Box<str>>,
    /// Some call on it has told that it was lost.
    lost: AtomicBool,
    unread: Mutex<Register>,
    pub(super) parting: Parting,
    pub(super) endpoint: Arc<Endpoint>,
    hub: Arc<Hub>,
}

/// One stream of a connection, as we count them.
pub(super) struct Slot(Arc<Connection>);

/// What a call brings along to its lease.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) now: Instant,
    /// When the caller's patience ends.
    pub(super) deadline: Option<std::time::Instant>,
    /// Its place among the cluster's calls, if these are bounded.
    pub(super) permit: Option<Permit>,
    /// Its outcome decides whether the endpoint is back.
    pub(super) trial: bool,
}

/// A call's hold on a connection: counted from before its head is sent until both halves are dropped and the stream is
/// over.
pub(super) struct Lease {
    pub(super) connection: Arc<Connection>,
    pub(super) intake: Intake,
    left: Mutex<Left>,
    /// The call's number on the connection, counted from 1 in the order of the streams.
    number: u64,
    opened: Instant,
    deadline: Option<std::time::Instant>,
    trial: bool,
    /// The head of the answer has come.
    answered: AtomicBool,
    /// What the call's end says of the endpoint was said.
    judged: AtomicBool,
    _permit: Option<Permit>,
}

/// What is left of a call: handles of its stream that were dropped while its answer had not begun.
struct Left {
    head: Option<ResponseFuture>,
    request: Option<SendStream<Bytes>>,
    slot: Option<Slot>,
}

/// A claimed slot, with a handle to send the head by.
pub(super) struct Claim {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) lease: Arc<Lease>,
    /// Three quarters of the slots are taken: time for another connection.
    pub(super) crowded: bool,
}

/// Counts a call as waiting for as long as it lives.
pub(super) struct Waiting<'a>(&'a Hub);

/// Why there is no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The connection takes no more calls.
    Closing,
    /// The endpoint has as many as it may.
    Overloaded,
    /// There is no connection with a free slot.
    NoSlot,
}

/// How long before its deadline a call counts as over it: clocks of servers are as quick as ours.
const EARLY: Duration = Duration::from_millis(5);

/// The streams that have a body to read, for the sweep.
#[derive(Default)]
struct Register {
    leases: Vec<Option<Arc<Lease>>>,
    free: Vec<usize>,
}

// === impl Hub ===

impl Hub {
    pub(super) fn new(meters: Arc<Meters>) -> Hub {
        Hub { meters, changed: Notify::new(), waiting: AtomicUsize::new(0) }
    }

    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    fn slot_freed(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(sender: SendRequest<Bytes>, endpoint: Arc<Endpoint>, hub: Arc<Hub>) -> Connection {
        Connection {
            limit: AtomicUsize::new(sender.current_max_send_streams()),
            sender: Mutex::new(Some(sender)),
            active: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            cause: OnceLock::new(),
            lost: AtomicBool::new(false),
            unread: Mutex::default(),
            parting: Parting::default(),
            endpoint,
            hub,
        }
    }

    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn has_slot(&self) -> bool {
        self.active() < self.limit()
    }

    /// Notes what the peer allows; calls may have waited for more.
    pub(super) fn set_limit(&self, limit: usize) {
        if self.limit.swap(limit, Ordering::Relaxed) < limit && self.hub.waiting.load(Ordering::Relaxed) > 0 {
            self.hub.changed.notify_waiters();
        }
    }

    /// Takes a slot. The caller has seen that there is one. What the terms hold is taken out of them by success only.
    pub(super) fn claim(self: &Arc<Self>, terms: &mut Terms) -> Result<Claim, Denied> {
        // A clone: the handle itself must not wait for a stream that is still to open, since polling it would take
        // the waker of that stream's sender.
        let mut sender = lock(&self.sender).clone().ok_or(Denied::Closing)?;
        let mut cx = Context::from_waker(noop_waker_ref());
        if !matches!(sender.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
            // a GOAWAY came, the connection broke, or its stream numbers are used up
            return Err(Denied::Closing);
        }
        if !self.endpoint.load().enter(self.endpoint.vitals().limits.endpoint_calls) {
            return Err(Denied::Overloaded);
        }
        let active = self.active.fetch_add(1, Ordering::Relaxed) + 1;
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        self.hub.meters.upstream_streams_active.add(1);
        let lease = Lease::new(Arc::clone(self), number, terms);
        let limit = self.limit();
        Ok(Claim { sender, lease: Arc::new(lease), crowded: active >= limit - limit / 4 })
    }

    /// No more calls; those on it finish, and then it closes.
    pub(super) fn retire(&self) {
        drop(lock(&self.sender).take());
        // calls that wait for one of its slots look elsewhere
        if self.hub.waiting.load(Ordering::Relaxed) > 0 {
            self.hub.changed.notify_waiters();
        }
    }

    /// Notes why the connection ended; the first word counts.
    pub(super) fn ended(&self, cause: impl Into<Box<str>>) {
        let _ = self.cause.set(cause.into());
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.get().map(|cause| &**cause)
    }

    /// Joins what lies unread in the queues of its streams.
    pub(super) fn sweep(&self) {
        for lease in lock(&self.unread).leases.iter().flatten() {
            lease.intake.sweep();
        }
    }
}

// === impl Lease ===

impl Lease {
    /// For a slot that has been counted.
    fn new(connection: Arc<Connection>, number: u64, terms: &mut Terms) -> Lease {
        let slot = Some(Slot(Arc::clone(&connection)));
        Lease {
            connection,
            intake: Intake::default(),
            left: Mutex::new(Left { head: None, request: None, slot }),
            number,
            opened: terms.now,
            deadline: terms.deadline,
            trial: terms.trial,
            answered: AtomicBool::new(false),
            judged: AtomicBool::new(false),
            _permit: terms.permit.take(),
        }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.connection.endpoint
    }

    /// The answer has begun. `is_end`: it has ended by that, which is how errors are told.
    pub(super) fn answered(&self, is_end: bool) {
        self.connection.parting.answered(self.number);
        self.answered.store(true, Ordering::Relaxed);
        let (endpoint, now) = (self.endpoint(), Instant::now());
        let took = now.saturating_duration_since(self.opened);
        endpoint.load().observe(endpoint.vitals().millis(now), took, is_end);
        if self.trial && !is_end {
            // the call may go on for hours; that it is answered is enough
            endpoint.call_succeeded(true);
        }
    }

    /// What the call's end says of the endpoint; the first word counts. `None`: it did its work.
    pub(super) fn judge(&self, failure: Option<Failure>) {
        if !self.judged.swap(true, Ordering::Relaxed) {
            match failure {
                None => self.endpoint().call_succeeded(self.trial),
                Some(failure) => self.endpoint().call_failed(failure, self.trial),
            }
        }
    }

    /// The call's end says nothing of the endpoint.
    pub(super) fn excuse(&self) {
        if !self.judged.swap(true, Ordering::Relaxed) && self.trial {
            self.endpoint().end_trial();
        }
    }

    /// What a fault says of the endpoint.
    pub(super) fn judge_fault(&self, kind: FaultKind) {
        let failure = match kind {
            // all that are lost with one connection count as one
            FaultKind::Broken if self.connection.lost.swap(true, Ordering::Relaxed) => return self.excuse(),
            FaultKind::Broken => Failure::Lost,
            // servers reset so what is over its deadline, which they see pass as we do
            FaultKind::Reset(h2::Reason::CANCEL) if self.is_late() => match self.answered.load(Ordering::Relaxed) {
                true => return self.excuse(),
                false => Failure::Deadline,
            },
            FaultKind::Reset(_) => Failure::Reset,
            FaultKind::Protocol => Failure::Protocol,
            FaultKind::Refused => {
                self.endpoint().count(Failure::Refused);
                return self.excuse();
            }
            FaultKind::Connect | FaultKind::Overloaded => return self.excuse(),
        };
        self.judge(Some(failure));
    }

    /// Whether the deadline has passed, or is about to.
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|at| std::time::Instant::now() + EARLY >= at)
    }

    /// The response half was dropped before its head came.
    pub(super) fn leave_head(&self, head: ResponseFuture) {
        lock(&self.left).head = Some(head);
    }

    /// The request half was dropped before it ended.
    pub(super) fn leave_request(&self, request: SendStream<Bytes>) {
        lock(&self.left).request = Some(request);
    }

    /// Enters the stream into the register of those to be swept; the number takes it out again.
    pub(super) fn register(self: &Arc<Self>) -> usize {
        let mut register = lock(&self.connection.unread);
        let entry = Some(Arc::clone(self));
        match register.free.pop() {
            Some(place) => {
                if let Some(free) = register.leases.get_mut(place) {
                    *free = entry;
                }
                place
            }
            None => {
                register.leases.push(entry);
                register.leases.len() - 1
            }
        }
    }

    pub(super) fn unregister(&self, place: usize) {
        let mut register = lock(&self.connection.unread);
        let entry = register.leases.get_mut(place).and_then(Option::take);
        if entry.is_some() {
            register.free.push(place);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !*self.judged.get_mut() {
            // let go by the edge: because of the deadline, or because the caller went away
            if !*self.answered.get_mut() && self.is_late() {
                self.judge(Some(Failure::Deadline));
            } else {
                self.excuse();
            }
        }
        let left = self.left.get_mut().unwrap_or_else(PoisonError::into_inner);
        let request = left.request.take();
        if let (Some(head), Some(slot)) = (left.head.take(), left.slot.take()) {
            self.connection.parting.leave(Leaver::new((self.number, self.opened), head, request, slot));
        }
        // else all is dropped here, handles before the slot
    }
}

// === impl Slot ===

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
        self.0.endpoint.load().leave();
        self.0.hub.meters.upstream_streams_active.sub(1);
        self.0.hub.slot_freed();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("active", &self.connection.active()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("active", &self.active())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}
