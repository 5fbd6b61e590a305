//! Shadow traffic: a call's request goes to a second cluster as well, whose answer nobody hears.
//!
//! The primary call knows nothing of it but a [`Tap`], which copies what goes up into a buffer of bounded size and never
//! waits. The shadow is a task of its own: it takes from the buffer at its own pace, reads its answer and drops it. One
//! that falls behind, is cut off or cannot be reached is counted, and that is all that becomes of it.

mod digest;
mod shadow;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use tokio::sync::oneshot;

use self::digest::{AnswerDigest, Digest};
use super::handler::Call;
use super::target::MIRRORED;
use super::uplink::Uplink;
use crate::observe::{Meters, Tally};
use crate::status::Code;
use crate::upstream::Pool;
use crate::wire::Encoding;

/// What the shadows of one worker hold together.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    bytes: AtomicUsize,
    calls: AtomicUsize,
}

/// How mirrored calls ended, by outcome.
#[derive(Debug)]
pub(super) struct MirrorMeters {
    same: Arc<Tally>,
    different_status: Arc<Tally>,
    different_message: Arc<Tally>,
    answered: Arc<Tally>,
    failed: Arc<Tally>,
    dropped: Arc<Tally>,
}

/// What became of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The same status and the same messages.
    Same,
    DifferentStatus,
    DifferentMessage,
    /// There was an answer, which was not to be compared.
    Answered,
    /// No whole answer: it could not be reached, was reset, said no status, or took too long.
    Failed,
    /// It fell behind, or there was no room for it, or the call itself ended without an answer to compare with.
    Dropped,
}

/// How a call ended, for a comparison.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    code: Code,
    digest: Digest,
}

/// Watches the answer that the caller gets, for the comparison.
pub(super) struct Witness {
    digest: AnswerDigest,
    told: oneshot::Sender<Answered>,
}

/// Copies what goes up, from within the uplink.
pub(super) struct Tap {
    feed: Arc<Feed>,
    /// Bytes copied, and bytes that this attempt has sent: what is sent again was copied before.
    copied: u64,
    sent: u64,
}

/// Between a tap and its shadow.
#[derive(Debug)]
struct Feed {
    state: Mutex<FeedState>,
    limit: usize,
    shadows: Arc<Shadows>,
}

#[derive(Debug, Default)]
struct FeedState {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// The request is at its end.
    ended: bool,
    /// It was cut off, or the shadow fell behind.
    cut: bool,
    waker: Option<Waker>,
}

/// How the request that a shadow takes stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    GoesOn,
    Ended,
    Cut,
}

/// A shadow's place among those of its worker.
struct Seat(Arc<Shadows>);

/// Bytes that the shadows of a worker may hold together, and how many there may be.
const MOST_BYTES: usize = 16 << 20;
const MOST_CALLS: usize = 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the shadow of a call that is about to be sent with these header fields. Does nothing if it is not mirrored.
pub(super) fn start(
    call: &mut Call,
    shadows: &Arc<Shadows>,
    pool: &Arc<Pool>,
    uplink: &mut Uplink,
    path: &PathAndQuery,
    headers: &HeaderMap,
) {
    let Some((cluster, planned, meters)) = call.mirror() else { return };
    let Some(rule) = &planned.resolved.rule.mirror else { return };
    let Some(seat) = Seat::take(shadows) else { return meters.count(Outcome::Dropped) };
    let mut headers = headers.clone();
    let name = HeaderValue::from_str(&planned.resolved.rule.name);
    headers.insert(MIRRORED, name.unwrap_or(HeaderValue::from_static("1")));
    let feed = Arc::new(Feed { state: Mutex::default(), limit: rule.buffer, shadows: Arc::clone(shadows) });
    let limit = call.called.method().settings.max_response_message;
    let (told, hears) = oneshot::channel();
    let shadow = shadow::Shadow {
        feed: Arc::clone(&feed),
        pool: Arc::clone(pool),
        cluster: Arc::clone(cluster),
        meters: Arc::clone(meters),
        primary: rule.compare.then_some(hears),
        limit,
        _seat: seat,
    };
    let witness = rule.compare.then(|| Box::new(Witness { digest: AnswerDigest::new(limit), told }));
    tokio::spawn(shadow.run(path.clone(), headers));
    uplink.tap(Tap { feed, copied: 0, sent: 0 });
    call.witness = witness;
}

// === impl MirrorMeters ===

impl MirrorMeters {
    pub(super) fn new(meters: &Meters, cluster: &str) -> MirrorMeters {
        let cell = |outcome| meters.mirrored.cell(&[cluster, outcome]);
        MirrorMeters {
            same: cell("same"),
            different_status: cell("different_status"),
            different_message: cell("different_message"),
            answered: cell("answered"),
            failed: cell("failed"),
            dropped: cell("dropped"),
        }
    }

    fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Same => self.same.add(1),
            Outcome::DifferentStatus => self.different_status.add(1),
            Outcome::DifferentMessage => self.different_message.add(1),
            Outcome::Answered => self.answered.add(1),
            Outcome::Failed => self.failed.add(1),
            Outcome::Dropped => self.dropped.add(1),
        }
    }
}

// === impl Seat ===

impl Seat {
    fn take(shadows: &Arc<Shadows>) -> Option<Seat> {
        let before = shadows.calls.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(shadows));
        (before < MOST_CALLS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Witness ===

impl Witness {
    /// How the upstream compressed its messages.
    pub(super) fn packed(&mut self, encoding: Option<Encoding>) {
        self.digest.packed(encoding);
    }

    /// Bytes of the answer, as they came.
    pub(super) fn chunk(&mut self, bytes: &[u8]) {
        self.digest.push(bytes);
    }

    /// The answer ended with this status. If it is never said, there is nothing to compare with.
    pub(super) fn end(self, code: Code) {
        // a shadow that fell behind does not listen
        let _ = self.told.send(Answered { code, digest: self.digest.finish() });
    }
}

// === impl Tap ===

impl Tap {
    /// The request is sent once more, from its beginning.
    pub(super) fn again(&mut self) {
        self.sent = 0;
    }

    /// These bytes were sent; `last`: there are no more.
    pub(super) fn sent(&mut self, piece: &[u8], last: bool) {
        let known = self.copied.saturating_sub(self.sent);
        self.sent += piece.len() as u64;
        let new = usize::try_from(known).ok().and_then(|known| piece.get(known..)).unwrap_or_default();
        self.copied = self.copied.max(self.sent);
        self.feed.push(new, last);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.feed.cut();
    }
}

// === impl Feed ===

impl Feed {
    /// Copies, so that a few bytes do not hold a buffer of many. Over a limit, the shadow has lost the call.
    fn push(&self, bytes: &[u8], last: bool) {
        let mut state = lock(&self.state);
        if state.cut || state.ended {
            return;
        }
        if !bytes.is_empty() {
            let room = state.bytes.saturating_add(bytes.len()) <= self.limit && self.shadows.reserve(bytes.len());
            if !room {
                return self.cut_off(state);
            }
            state.bytes += bytes.len();
            state.pieces.push_back(Bytes::copy_from_slice(bytes));
        }
        state.ended = last;
        wake(state);
    }

    fn cut(&self) {
        let state = lock(&self.state);
        if !state.ended && !state.cut {
            self.cut_off(state);
        }
    }

    /// What waits will never be taken.
    fn cut_off(&self, mut state: MutexGuard<'_, FeedState>) {
        state.cut = true;
        state.pieces = VecDeque::new();
        self.shadows.release(std::mem::take(&mut state.bytes));
        wake(state);
    }

    /// How it stands; whoever asks is woken when that changes.
    fn watch(&self, cx: &mut Context<'_>) -> Watched {
        let mut state = lock(&self.state);
        if state.cut {
            return Watched::Cut;
        }
        state.waker = Some(cx.waker().clone());
        if state.ended { Watched::Ended } else { Watched::GoesOn }
    }

    /// The next piece, and whether it is the last; an empty last one is an end by itself. `None`: it was cut off.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<(Bytes, bool)>> {
        let mut state = lock(&self.state);
        if state.cut {
            return Poll::Ready(None);
        }
        match state.pieces.pop_front() {
            Some(piece) => {
                state.bytes -= piece.len().min(state.bytes);
                self.shadows.release(piece.len());
                let last = state.ended && state.pieces.is_empty();
                Poll::Ready(Some((piece, last)))
            }
            None if state.ended => Poll::Ready(Some((Bytes::new(), true))),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shadows.release(lock(&self.state).bytes);
    }
}

/// Wakes the shadow once the lock is open.
fn wake(mut state: MutexGuard<'_, FeedState>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

// === impl Shadows ===

impl Shadows {
    fn reserve(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= MOST_BYTES;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
