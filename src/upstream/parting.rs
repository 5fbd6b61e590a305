//! Calls that were cut off before their answer began, and how fast the upstream is told.
//!
//! A call is cancelled by RST_STREAM. Servers since CVE-2023-44487 ("rapid reset") count the streams that are reset
//! before they took them up, and close the *connection* when there are too many: `h2`, and so tonic and hyper, at 21 in
//! their queue. When one caller with thirty young calls goes away, HEADERS and RST_STREAM of all thirty would arrive in
//! one read, and every other caller's calls on that connection would fail.
//!
//! So a stream is reset at once if the server must have taken it up by now: its answer has begun, or that of a later
//! stream of the connection, or it is a tenth of a second old. Younger ones pass a bucket: ten at once, then one every
//! five milliseconds, and all of them once they are old enough. Until then they hold their slots, as they do in the
//! upstream's eyes. (A PING would tell for sure, but gRPC servers punish pings.)

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
    /// The call's number on its connection.
    number: u64,
    opened: Instant,
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
    /// The highest number of a call whose answer has begun.
    answered: u64,
    /// The connection is over: nothing is sent any more.
    over: bool,
}

const BURST: u32 = 10;
const PACE: Duration = Duration::from_millis(5);
/// A server that has not taken up a stream after so long hangs.
const TAKEN_UP: Duration = Duration::from_millis(100);

// === impl Leaver ===

impl Leaver {
    pub(super) fn new(
        (number, opened): (u64, Instant),
        head: ResponseFuture,
        request: Option<SendStream<Bytes>>,
        slot: Slot,
    ) -> Leaver {
        Leaver { number, opened, _head: head, _request: request, _slot: slot }
    }
}

// === impl Parting ===

impl Parting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the call of this number has begun: it and all before it have been taken up.
    pub(super) fn answered(&self, number: u64) {
        let mut state = self.lock();
        state.answered = state.answered.max(number);
    }

    /// Resets a stream, now or when its turn comes.
    pub(super) fn leave(&self, leaver: Leaver) {
        let mut state = self.lock();
        if state.over || state.queue.is_empty() && state.may_leave(leaver.number, leaver.opened, Instant::now()) {
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
            let (mut state, now) = (self.lock(), Instant::now());
            let (number, opened) = state.queue.front().map(|first| (first.number, first.opened))?;
            if !state.may_leave(number, opened, now) {
                return Some(now + PACE);
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
    fn may_leave(&mut self, number: u64, opened: Instant, now: Instant) -> bool {
        number <= self.answered || now.saturating_duration_since(opened) >= TAKEN_UP || self.take_turn(now)
    }

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
    fn a_burst_goes_at_once_and_then_one_every_five_milliseconds() {
        let (mut state, began) = (State::default(), Instant::now());
        let mut went = |millis| {
            let now = began + Duration::from_millis(millis);
            (0..100).filter(|_| state.may_leave(1, now, now)).count()
        };
        assert_eq!((went(0), went(4), went(15), went(16), went(20), went(3_600_000)), (10, 0, 3, 0, 1, 10));
    }

    #[test]
    fn streams_that_were_taken_up_go_at_once() {
        let (mut state, now) = (State { answered: 50, ..State::default() }, Instant::now());
        let later = now + TAKEN_UP;
        assert_eq!((0..100).filter(|number| state.may_leave(*number, now, now)).count(), 51 + 10);
        assert_eq!((0..100).filter(|number| state.may_leave(*number, now, later)).count(), 100);
    }
}
