//! One connection as its calls share it, and a call's hold on it.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::intake::Intake;
use super::parting::{Leaver, Parting};
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
    unread: Mutex<Register>,
    pub(super) parting: Parting,
    hub: Arc<Hub>,
}

/// One stream of a connection, as we count them.
pub(super) struct Slot(Arc<Connection>);

/// A call's hold on a connection: counted from before its head is sent until both halves are dropped and the stream is
/// over.
pub(super) struct Lease {
    pub(super) connection: Arc<Connection>,
    pub(super) intake: Intake,
    left: Mutex<Left>,
    /// The call's number on the connection, counted from 1 in the order of the streams.
    number: u64,
    opened: Instant,
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

/// The connection takes no more calls.
pub(super) struct Closing;

/// The streams that have a body to read, for the sweep.
#[derive(Default)]
struct Register {
    leases: Vec<Option<Arc<Lease>>>,
    free: Vec<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) fn new(sender: SendRequest<Bytes>, hub: Arc<Hub>) -> Connection {
        Connection {
            limit: AtomicUsize::new(sender.current_max_send_streams()),
            sender: Mutex::new(Some(sender)),
            active: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            cause: OnceLock::new(),
            unread: Mutex::default(),
            parting: Parting::default(),
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

    /// Takes a slot. The caller has seen that there is one.
    pub(super) fn claim(self: &Arc<Self>) -> Result<Claim, Closing> {
        // A clone: the handle itself must not wait for a stream that is still to open, since polling it would take
        // the waker of that stream's sender.
        let mut sender = lock(&self.sender).clone().ok_or(Closing)?;
        let mut cx = Context::from_waker(noop_waker_ref());
        if !matches!(sender.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
            // a GOAWAY came, the connection broke, or its stream numbers are used up
            return Err(Closing);
        }
        let active = self.active.fetch_add(1, Ordering::Relaxed) + 1;
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        self.hub.meters.upstream_streams_active.add(1);
        let lease = Lease::new(Arc::clone(self), number);
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
    fn new(connection: Arc<Connection>, number: u64) -> Lease {
        let slot = Some(Slot(Arc::clone(&connection)));
        let left = Mutex::new(Left { head: None, request: None, slot });
        Lease { connection, intake: Intake::default(), left, number, opened: Instant::now() }
    }

    /// The answer has begun.
    pub(super) fn answered(&self) {
        self.connection.parting.answered(self.number);
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
