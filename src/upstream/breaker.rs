//! Passive ejection: an endpoint whose calls fail gets none for a while.
//!
//! Two signals in one breaker, since each misses what the other sees. Failures in a row tell of an endpoint that is dead,
//! within a few calls, however few there are. The success rate within a window tells of one that answers well often enough
//! never to fail five times in a row; it needs a sample to be believed. Either trips.
//!
//! An ejected endpoint is out for a time that doubles with each ejection in a row, spread by a fifth so that several do not
//! come back at one moment. Then it is half open: one call at a time goes there as a trial. Once one has succeeded it is
//! back (and warms up, if the cluster says so); one that failed ejects it anew. An ejection counts as one of a row if it
//! comes before the endpoint was back for as long as it had been out, or for the window if that is longer.
//!
//! What bounds the damage: no more than a part of the endpoints is out at once (when all fail, it is not the endpoints that
//! are at fault), and with too few left the panic threshold ignores who is out (`plan.rs`).
//!
//! What counts: the codes that speak of servers ([`super::CodeSet::FAILURES`] unless said otherwise), resets, answers that
//! break the protocol, a call without the head of an answer at its deadline. All calls that are lost with one connection
//! count as one failure, as it is one event: a process that was killed and is there again is not to be shunned for its
//! hundred calls. Neither counts what the upstream never took (REFUSED_STREAM, GOAWAY), which is how servers leave, nor
//! what the edge or the caller ended.
//!
//! The path of a call pays for none of this while calls succeed: the window is only looked at when one has failed, by the
//! counters as they stood at earlier failures. Rejected: rates against those of the other endpoints (Envoy's "success rate"
//! by standard deviations), which need tens of endpoints to mean anything.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::Ejection;

/// The state of one endpoint. Times are given, so that it can be tested without waiting.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// Ejections in a row.
    streak: u32,
    /// How long the last one lasted, and when the endpoint was back.
    lasted: Duration,
    returned: Option<Instant>,
    /// Counters at earlier failures of the window, oldest first, a tenth of the window apart at least.
    window: VecDeque<Mark>,
    /// Failures ever.
    failed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Closed,
    Ejected {
        until: Instant,
    },
    /// Its time is over; trials decide.
    HalfOpen,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    ended: u64,
    failed: u64,
}

/// Marks per window.
const MARKS: u32 = 10;

// === impl Breaker ===

impl Breaker {
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Takes note of a failure; whether the endpoint is to be ejected for it. `ended`: calls that have ended so far.
    pub(super) fn trips(&mut self, now: Instant, consecutive: u32, ended: u64, by: &Ejection) -> bool {
        let before = Mark { at: now, ended: ended.saturating_sub(1), failed: self.failed };
        self.failed = self.failed.wrapping_add(1);
        while self.window.front().is_some_and(|mark| now.saturating_duration_since(mark.at) > by.window) {
            self.window.pop_front();
        }
        if self.window.back().is_none_or(|last| now.saturating_duration_since(last.at) >= by.window / MARKS) {
            self.window.push_back(before);
        }
        if self.state != State::Closed {
            return false;
        }
        if by.consecutive > 0 && consecutive >= by.consecutive {
            return true;
        }
        let Some(first) = self.window.front() else { return false };
        let calls = ended.saturating_sub(first.ended);
        let failed = self.failed.wrapping_sub(first.failed);
        let succeeded = calls.saturating_sub(failed) as f64;
        calls >= u64::from(by.min_calls) && succeeded < by.success_rate * calls as f64
    }

    /// Out, from now on; for how long. `random` spreads it.
    pub(super) fn eject(&mut self, now: Instant, by: &Ejection, random: u64) -> Duration {
        let calm = self.lasted.max(by.window);
        if self.returned.is_some_and(|back| now.saturating_duration_since(back) > calm) {
            self.streak = 0;
        }
        self.streak = self.streak.saturating_add(1);
        self.lasted = by.time.pause(self.streak, random);
        self.window.clear();
        self.returned = None;
        self.state = match now.checked_add(self.lasted) {
            Some(until) => State::Ejected { until },
            None => State::HalfOpen,
        };
        self.lasted
    }

    /// Opens half when its time is over; until when it is not.
    pub(super) fn open_half(&mut self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Ejected { until } if until > now => Some(until),
            State::Ejected { .. } => {
                self.state = State::HalfOpen;
                None
            }
            State::Closed | State::HalfOpen => None,
        }
    }

    /// A trial has succeeded. Whether the endpoint is back by that.
    pub(super) fn close(&mut self, now: Instant) -> bool {
        if self.state != State::HalfOpen {
            return false;
        }
        self.state = State::Closed;
        self.returned = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Backoff;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn five_in_a_row_trip_and_four_do_not() {
        let (mut breaker, by, now) = (Breaker::default(), Ejection::default(), Instant::now());
        for consecutive in 1..5 {
            assert!(!breaker.trips(now, consecutive, consecutive.into(), &by));
        }
        assert!(breaker.trips(now, 5, 5, &by));
        let never = Ejection { consecutive: 0, success_rate: 0.0, ..by };
        assert!(!breaker.trips(now, 500, 505, &never));
    }

    /// Whether calls of which every `nth` succeeds, a hundred a second, trip; and after how many.
    fn tripped(nth: u64, by: &Ejection) -> Option<u64> {
        let (mut breaker, began) = (Breaker::default(), Instant::now());
        (1..3_000).find(|call| {
            let now = began + Duration::from_millis(call * 10);
            !call.is_multiple_of(nth) && breaker.trips(now, 1, *call, by)
        })
    }

    #[test]
    fn a_rate_below_the_threshold_trips_once_there_is_a_sample() {
        let by = Ejection::default();
        assert_eq!(tripped(3, &by), Some(20));
        assert_eq!(tripped(2, &Ejection { success_rate: 0.4, ..by.clone() }), None, "half of them succeed");
        assert_eq!(tripped(3, &Ejection { min_calls: 2_000, ..by }), None, "the window never holds as many");
    }

    #[test]
    fn what_happened_before_the_window_is_forgotten() {
        let (mut breaker, by, now) = (Breaker::default(), Ejection::default(), Instant::now());
        for call in 1..19 {
            assert!(!breaker.trips(now, 1, call, &by));
        }
        assert!(!breaker.trips(now + seconds(11), 1, 19, &by));
        assert!(!breaker.trips(now + seconds(11), 1, 20, &by));
        assert!(breaker.window.len() <= 2);
        for call in 0..10_000 {
            breaker.trips(now + seconds(12) + Duration::from_millis(call * 20), 0, 21 + 100 * call, &by);
        }
        assert!(breaker.window.len() <= 12, "{}", breaker.window.len());
    }

    #[test]
    fn ejections_in_a_row_double_and_calm_makes_the_next_one_a_first() {
        let time = Backoff { first: seconds(5), cap: seconds(30) };
        let (mut breaker, by, mut now) = (Breaker::default(), Ejection { time, ..Ejection::default() }, Instant::now());
        for expected in [5, 10, 20, 30, 30] {
            let lasts = breaker.eject(now, &by, 512);
            assert_eq!(lasts, seconds(expected));
            assert!(!breaker.trips(now, 99, 99, &by), "it is out already");
            assert_eq!(breaker.open_half(now + lasts / 2), Some(now + lasts));
            assert!(!breaker.close(now));
            now += lasts;
            assert_eq!((breaker.open_half(now), breaker.state()), (None, State::HalfOpen));
            assert!(breaker.close(now) && !breaker.close(now));
            now += seconds(3);
        }
        assert_eq!(breaker.eject(now + seconds(31), &by, 512), seconds(5));
    }

    #[test]
    fn a_trial_that_fails_ejects_for_longer() {
        let (mut breaker, by, now) = (Breaker::default(), Ejection::default(), Instant::now());
        breaker.eject(now, &by, 512);
        breaker.open_half(now + seconds(6));
        assert_eq!(breaker.eject(now + seconds(6), &by, 512), seconds(10));
    }
}
