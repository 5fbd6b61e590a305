//! How a source of endpoints does: for the operator, for the errors of calls that find no endpoint, and for a load that
//! waits for the first answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is known of a source.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Standing {
    updates: AtomicU64,
    failures: AtomicU64,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// There has been a look, for good or ill.
    looked: bool,
    reason: Option<Arc<str>>,
}

// === impl Standing ===

impl Standing {
    /// Sets that differed from the one before.
    pub(in crate::upstream) fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// Looks that failed or found nobody.
    pub(in crate::upstream) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Why the last look failed; `None` when it did not.
    pub(in crate::upstream) fn reason(&self) -> Option<Arc<str>> {
        self.lock().reason.clone()
    }

    /// Waits until there was a look, at most until `deadline`. Blocks the thread: for loads, not for calls.
    pub(in crate::upstream) fn wait_for_a_look(&self, deadline: Instant) {
        let mut state = self.lock();
        while !state.looked {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            state = self.answered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn found(&self, changed: bool) {
        if changed {
            self.updates.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = self.lock();
        (state.looked, state.reason) = (true, None);
        self.answered.notify_all();
    }

    /// Whether this is news.
    pub(super) fn failed(&self, why: &str) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let news = state.reason.as_deref() != Some(why);
        (state.looked, state.reason) = (true, Some(why.into()));
        self.answered.notify_all();
        news
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_waits_for_the_first_look_and_no_longer_than_it_said() {
        let standing = Arc::new(Standing::default());
        let began = Instant::now();
        standing.wait_for_a_look(began + Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50));
        let other = Arc::clone(&standing);
        let looking = std::thread::spawn(move || other.failed("down"));
        standing.wait_for_a_look(Instant::now() + Duration::from_secs(20));
        assert!(looking.join().unwrap() && !standing.failed("down"), "the same again is no news");
        assert_eq!(standing.reason().as_deref(), Some("down"));
    }
}
