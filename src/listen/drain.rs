//! How connections end without cutting a call: idle ones, old ones, slow ones, and all of them at a shutdown.
//!
//! One [`Ward`] per worker knows its connections. Its sweep looks at each about once a second, so that a connection
//! needs no timer of its own and a call touches two plain atomics. An order reaches the connection's task by its
//! waker: `FINISH` means GOAWAY or `connection: close`, calls in flight go on; `CUT` means now. Callers over HTTP/2 that are
//! silent get a ping, and are cut if they stay so.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, watch};

use super::Settings;
use crate::net::batch::Driven;

/// How busy a worker is, as the acceptors see it.
#[derive(Debug, Default)]
pub struct Load {
    connections: AtomicUsize,
    calls: AtomicUsize,
    emptied: Notify,
}

/// A connection's place at a worker, from placement to end.
#[derive(Debug)]
pub struct Seat(Arc<Load>);

/// The connections of one worker.
#[derive(Debug)]
pub struct Ward<H> {
    pub(super) handler: Arc<H>,
    entries: Mutex<Vec<Entry>>,
    draining: AtomicBool,
    /// For those who are no connections of hyper's: WebSockets.
    stage: watch::Sender<Stage>,
    random: RandomState,
    tick: Duration,
}

/// How far the end of a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    /// Calls in flight finish, none begins.
    Draining,
    /// What is left is cut, after a last word.
    Over,
}

/// What the sweep keeps of a connection.
#[derive(Debug)]
struct Entry {
    live: Weak<Live>,
    idle_since: Instant,
    head_since: Option<Instant>,
    finishing_since: Option<Instant>,
    ends: Instant,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// When bytes had come last, as far as the sweep has seen.
    heard_at: Instant,
    pinged_at: Option<Instant>,
    ping_interval: Duration,
    ping_timeout: Duration,
}

/// What a connection's task, its calls and the sweep share.
#[derive(Debug)]
pub(super) struct Live {
    load: Arc<Load>,
    order: AtomicU8,
    waker: AtomicWaker,
    /// In flight.
    calls: AtomicUsize,
    /// A call began since the last sweep.
    touched: AtomicBool,
    /// Bytes arrived while no call was in flight, and no call has begun yet (HTTP/1.1).
    head: AtomicBool,
    /// The connection can be pinged (HTTP/2).
    pings: AtomicBool,
    /// Bytes arrived since the last sweep.
    heard: AtomicBool,
    /// The sweep asks for a ping.
    ping: AtomicBool,
}

/// One call in flight; rides in its answer's body.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Live>);

pin_project! {
    /// A connection that listens to orders. `ties` is what must live as long as it.
    pub(super) struct Tended<C: Future, S, T> {
        #[pin]
        driven: Driven<C, S>,
        live: Arc<Live>,
        finish: fn(Pin<&mut C>),
        finishing: bool,
        ties: T,
    }
}

/// Orders; a higher one replaces a lower one.
const NONE: u8 = 0;
const FINISH: u8 = 1;
const CUT: u8 = 2;

/// How long a connection that was told to finish and carries no call may take to close.
const LINGER: Duration = Duration::from_secs(10);
/// What a connection without a first byte is waited for when it is asked to finish.
const GREETING: Duration = Duration::from_millis(250);
/// What the close frames of WebSockets may take at the end of a worker.
const FAREWELL: Duration = Duration::from_millis(300);
/// The sweep's pace: a quarter of the shortest timeout, within these.
const TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

// === impl Load ===

impl Load {
    /// Connections and calls together: few idle connections weigh less than one that carries many calls.
    pub fn weight(&self) -> usize {
        self.connections().saturating_add(self.calls.load(Ordering::Relaxed))
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes a place for a connection that is about to be handed over.
    pub fn seat(self: &Arc<Self>) -> Seat {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }

    /// Resolves when no connection is left.
    pub async fn emptied(&self) {
        while self.connections() > 0 {
            self.emptied.notified().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_one();
        }
    }
}

// === impl Ward ===

impl<H> Ward<H> {
    /// `listeners`: all whose connections may come here; their shortest timeout sets the sweep's pace.
    pub fn new<'a>(handler: Arc<H>, listeners: impl IntoIterator<Item = &'a Settings>) -> Arc<Ward<H>> {
        let shortest = listeners
            .into_iter()
            .map(|one| {
                one.header_timeout.min(one.idle_timeout).min(one.max_age).min(one.ping_interval).min(one.ping_timeout)
            })
            .min();
        Arc::new(Ward {
            handler,
            entries: Mutex::default(),
            draining: AtomicBool::new(false),
            stage: watch::Sender::new(Stage::Open),
            random: RandomState::new(),
            tick: shortest.map_or(TICK.1, |shortest| (shortest / 4).clamp(TICK.0, TICK.1)),
        })
    }

    /// Closes what is idle, old or slow; runs until dropped.
    pub async fn sweep(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(self.tick).await;
            let now = Instant::now();
            self.entries().retain_mut(|entry| entry.look(now));
        }
    }

    /// Asks every connection, also those still to come, to finish.
    pub fn drain(&self) {
        let entries = self.entries();
        self.draining.store(true, Ordering::Relaxed);
        for live in entries.iter().filter_map(|entry| entry.live.upgrade()) {
            live.order(FINISH);
        }
        self.stage.send_replace(Stage::Draining);
    }

    /// Tells WebSockets that the worker ends now, and gives them a moment for their close frames.
    pub async fn farewell(&self) {
        self.stage.send_replace(Stage::Over);
        let _ = tokio::time::timeout(FAREWELL, self.stage.closed()).await;
    }

    /// The worker's end, for those who are to be told of it.
    pub(super) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    pub(super) fn enroll(&self, seat: &Seat, settings: &Settings) -> Arc<Live> {
        let now = Instant::now();
        let age = jittered(settings.max_age, self.random.hash_one(now));
        let mut entries = self.entries();
        let order = if self.draining.load(Ordering::Relaxed) { FINISH } else { NONE };
        let live = Arc::new(Live::new(Arc::clone(&seat.0), order));
        entries.push(Entry {
            live: Arc::downgrade(&live),
            idle_since: now,
            head_since: None,
            finishing_since: None,
            ends: now + age,
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
            heard_at: now,
            pinged_at: None,
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
        });
        live
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nine to eleven tenths of `age`, so that callers that came together do not leave together. Bounded to a year, that
/// no setting overflows the clock.
fn jittered(age: Duration, random: u64) -> Duration {
    let age = age.min(Duration::from_secs(365 * 24 * 3600));
    age * 9 / 10 + age.mul_f64((random % 1024) as f64 / 1024.0) / 5
}

// === impl Entry ===

impl Entry {
    /// Gives the order that is due; false when the connection is gone.
    fn look(&mut self, now: Instant) -> bool {
        let Some(live) = self.live.upgrade() else { return false };
        let calls = live.calls.load(Ordering::Relaxed);
        if live.touched.swap(false, Ordering::Relaxed) || calls > 0 {
            self.idle_since = now;
        }
        let over = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        if live.head.load(Ordering::Relaxed) {
            if over(*self.head_since.get_or_insert(now), self.header_timeout) {
                live.order(CUT);
            }
        } else {
            self.head_since = None;
        }
        self.look_for_silence(&live, now);
        if live.order.load(Ordering::Relaxed) == FINISH {
            let since = *self.finishing_since.get_or_insert(now);
            if calls == 0 && over(since.max(self.idle_since), LINGER) {
                live.order(CUT);
            }
        } else if now >= self.ends || over(self.idle_since, self.idle_timeout) {
            live.order(FINISH);
        }
        true
    }
}

impl Entry {
    /// Has a caller who is silent pinged, and cut if nothing comes then.
    fn look_for_silence(&mut self, live: &Live, now: Instant) {
        if live.heard.swap(false, Ordering::Relaxed) || !live.pings.load(Ordering::Relaxed) {
            self.heard_at = now;
            self.pinged_at = None;
            return;
        }
        match self.pinged_at {
            Some(at) if now.saturating_duration_since(at) >= self.ping_timeout => live.order(CUT),
            Some(_) => {}
            None if now.saturating_duration_since(self.heard_at) >= self.ping_interval => {
                self.pinged_at = Some(now);
                live.ping.store(true, Ordering::Release);
                live.waker.wake();
            }
            None => {}
        }
    }
}

// === impl Live ===

impl Live {
    fn new(load: Arc<Load>, order: u8) -> Live {
        Live {
            load,
            order: AtomicU8::new(order),
            waker: AtomicWaker::new(),
            calls: AtomicUsize::new(0),
            touched: AtomicBool::new(false),
            head: AtomicBool::new(false),
            pings: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            ping: AtomicBool::new(false),
        }
    }

    fn order(&self, order: u8) {
        if self.order.fetch_max(order, Ordering::AcqRel) < order {
            self.waker.wake();
        }
    }

    /// Resolves when a connection that has said nothing yet is to go: a moment after it was asked to finish, as its
    /// first call may be on its way.
    pub(super) async fn ordered_to_leave(&self) {
        self.ordered(FINISH).await;
        let _ = tokio::time::timeout(GREETING, self.ordered(CUT)).await;
    }

    /// Resolves when there is this order or a higher one.
    async fn ordered(&self, least: u8) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.order.load(Ordering::Acquire) < least { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Notes that bytes have arrived; over HTTP/1.1 they may begin a request's head.
    pub(super) fn heard(&self) {
        if self.pings.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        } else if self.calls.load(Ordering::Relaxed) == 0 {
            self.head.store(true, Ordering::Relaxed);
        }
    }

    /// From now on the caller is pinged when it is silent.
    pub(super) fn wants_pings(&self) {
        self.pings.store(true, Ordering::Relaxed);
    }

    /// Whether a ping is to be sent, once per order.
    pub(super) fn takes_ping_order(&self) -> bool {
        // mostly there is none, and a plain read costs less
        self.ping.load(Ordering::Relaxed) && self.ping.swap(false, Ordering::Acquire)
    }

    /// Counts a call in, until the returned guard falls.
    pub(super) fn call(self: &Arc<Self>) -> InFlight {
        self.head.store(false, Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.load.calls.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
        self.0.load.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Tended ===

impl<C: Future, S, T> Tended<C, S, T> {
    /// `finish` asks the connection to take no more calls and to end with the last one.
    pub(super) fn new(driven: Driven<C, S>, live: Arc<Live>, finish: fn(Pin<&mut C>), ties: T) -> Tended<C, S, T> {
        Tended { driven, live, finish, finishing: false, ties }
    }
}

impl<C: Future, S: AsyncWrite + Unpin, T> Future for Tended<C, S, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.live.waker.register(cx.waker());
        match this.live.order.load(Ordering::Acquire) {
            NONE => {}
            FINISH if *this.finishing => {}
            FINISH => {
                *this.finishing = true;
                // a call that has arrived is begun before: hyper closes what looks idle, with what it has not read
                if this.driven.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if let Some(connection) = this.driven.as_mut().connection() {
                    (this.finish)(connection);
                }
            }
            _ => return Poll::Ready(()),
        }
        this.driven.poll(cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(now: Instant) -> (Arc<Live>, Entry) {
        let live = Arc::new(Live::new(Arc::default(), NONE));
        let entry = Entry {
            live: Arc::downgrade(&live),
            idle_since: now,
            head_since: None,
            finishing_since: None,
            ends: now + Duration::from_secs(3600),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            heard_at: now,
            pinged_at: None,
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
        };
        (live, entry)
    }

    fn order(live: &Live) -> u8 {
        live.order.load(Ordering::Relaxed)
    }

    #[test]
    fn a_connection_is_idle_from_the_end_of_its_last_call() {
        let start = Instant::now();
        let (live, mut entry) = entry(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let call = live.call();
        entry.look(at(2000));
        drop(call);
        entry.look(at(2001));
        entry.look(at(2599));
        assert_eq!(order(&live), NONE);
        drop(live.call());
        entry.look(at(2600));
        entry.look(at(3199));
        assert_eq!(order(&live), NONE, "a call between two looks counts");
        entry.look(at(3200));
        assert_eq!(order(&live), FINISH);
    }

    #[test]
    fn age_asks_to_finish_and_never_cuts_a_call() {
        let start = Instant::now();
        let (live, mut entry) = entry(start);
        let call = live.call();
        entry.look(start + Duration::from_secs(3600));
        assert_eq!(order(&live), FINISH);
        entry.look(start + Duration::from_secs(9000));
        assert_eq!(order(&live), FINISH);
        drop(call);
        entry.look(start + Duration::from_secs(9009));
        assert_eq!(order(&live), FINISH);
        entry.look(start + Duration::from_secs(9010));
        assert_eq!(order(&live), CUT, "a peer that does not close is left");
        drop(live);
        assert!(!entry.look(start + Duration::from_secs(9011)));
    }

    #[test]
    fn a_head_that_does_not_end_is_cut_and_one_that_ends_is_forgotten() {
        let start = Instant::now();
        let (live, mut entry) = entry(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        live.heard();
        entry.look(at(1));
        entry.look(at(10));
        drop(live.call());
        entry.look(at(12));
        live.heard();
        entry.look(at(13));
        entry.look(at(22));
        assert_eq!(order(&live), NONE);
        entry.look(at(23));
        assert_eq!(order(&live), CUT);
    }

    #[test]
    fn a_silent_caller_is_pinged_and_cut_if_it_stays_silent() {
        let start = Instant::now();
        let (live, mut entry) = entry(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        live.wants_pings();
        entry.look(at(59));
        assert!(!live.takes_ping_order());
        entry.look(at(60));
        assert!(live.takes_ping_order() && !live.takes_ping_order());
        live.heard();
        entry.look(at(79));
        entry.look(at(138));
        assert!(!live.takes_ping_order(), "the answer was a sign of life");
        entry.look(at(139));
        entry.look(at(158));
        assert_eq!((live.takes_ping_order(), order(&live)), (true, NONE));
        entry.look(at(159));
        assert_eq!(order(&live), CUT);
    }

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(3600);
        for random in [0, 1, 511, 512, 1023, u64::MAX] {
            let jittered = jittered(age, random);
            assert!(jittered >= age * 9 / 10 && jittered <= age * 11 / 10, "{jittered:?}");
        }
        assert!(jittered(Duration::MAX, 7) < Duration::MAX);
    }

    #[tokio::test]
    async fn a_load_is_empty_when_the_last_seat_is_given_up() {
        let load = Arc::new(Load::default());
        let seats = [load.seat(), load.seat()];
        assert_eq!(load.weight(), 2);
        let waiting = tokio::spawn({
            let load = Arc::clone(&load);
            async move { load.emptied().await }
        });
        tokio::task::yield_now().await;
        for seat in seats {
            assert!(!waiting.is_finished());
            drop(seat);
        }
        waiting.await.unwrap();
    }
}
