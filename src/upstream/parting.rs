//! Calls that were cut off before their answer began, and how fast the upstream is told.
//!
//! A call is cancelled by RST_STREAM. Servers since CVE-2023-44487 ("rapid reset") count the streams that are reset
//! before they took them up, and close the *connection* when there are too many: `h2`, and so tonic and hyper, at 21 in
//! their queue. When one caller with thirty young calls goes away, HEADERS and RST_STREAM of all thirty would arrive in
//! one read, and every other caller's calls on that connection would fail. So these resets pass a bucket: the first ten
//! go at once, the rest one per millisecond. Until then they hold their slots, as they do in the upstream's eyes.
//!
//! Resets of calls whose answer has begun go at once, always: the server has taken those up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::SendStream;
use h2::client::ResponseFuture;
use tokio::time::Instant;

use super::connection::Slot;

/// What holds a stream open that is to be reset: dropping it resets it.
pub(super) struct Leaver {
    _head: ResponseFuture,
    _request: Option<SendStream<Bytes>>,
    /// Last: free once `h2` knows that the stream is over.
    _slot: Slot,
}

/// The way out of one connection.
#[derive(Default)]
pub(super) struct Parting {
    state: Mutex<State>,
    /// The driver, which lets the queue out.
    driver: AtomicWaker,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Leaver>,
    /// Resets that went in the burst so far, less those that time has made good.
    spent: u32,
    counted_at: Option<Instant>,
    /// The connection is over: nothing is sent any more.
    over: bool,
}

const BURST: u32 = 10;
const PACE: Duration = Duration::from_millis(1);

// === impl Leaver ===

impl Leaver {
    pub(super) fn new(head: ResponseFuture, request: Option<SendStream<Bytes>>, slot: Slot) -> Leaver {
        Leaver { _head: head, _request: request, _slot: slot }
    }
}

// === impl Parting ===

impl Parting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resets a stream, now or when its turn comes.
    pub(super) fn leave(&self, leaver: Leaver) {
        let mut state = self.lock();
        if state.over || state.queue.is_empty() && state.take_turn(Instant::now()) {
            drop(state);
            drop(leaver);
            return;
        }
        state.queue.push_back(leaver);
        drop(state);
        self.driver.wake();
    }

    /// Lets those out whose turn it is; when to come again.
    pub(super) fn let_out(&self, cx: &Context<'_>) -> Option<Instant> {
        self.driver.register(cx.waker());
        loop {
            let mut state = self.lock();
            if state.queue.is_empty() {
                return None;
            }
            if !state.take_turn(Instant::now()) {
                return Some(Instant::now() + PACE);
            }
            let leaver = state.queue.pop_front();
            // its slot tells those that wait: not under the lock
            drop(state);
            drop(leaver);
        }
    }

    /// The connection is over, and with it all that waited.
    pub(super) fn over(&self) {
        let mut state = self.lock();
        state.over = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        drop(queue);
    }
}

// === impl State ===

impl State {
    fn take_turn(&mut self, now: Instant) -> bool {
        let counted_at = *self.counted_at.get_or_insert(now);
        let passed = now.saturating_duration_since(counted_at).as_millis() / PACE.as_millis();
        if passed > 0 {
            self.spent = self.spent.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
            self.counted_at = Some(now);
        }
        let may = self.spent < BURST;
        self.spent += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_per_millisecond() {
        let (mut state, began) = (State::default(), Instant::now());
        let mut went = |millis| {
            let now = began + Duration::from_millis(millis);
            (0..100).filter(|_| state.take_turn(now)).count()
        };
        assert_eq!((went(0), went(0), went(3), went(3), went(4), went(3_600_000)), (10, 0, 3, 0, 1, 10));
    }
}
