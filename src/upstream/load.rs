//! How busy an endpoint is and how fast it answers, over all workers: what balancing compares.
//!
//! The latency is the time from the head of a call to the head of its answer, averaged with a weight that grows with the
//! time since the last sample (a half after three seconds). What was measured fades when no more comes, so that an endpoint
//! which was slow once is tried again. Answers that are an error from their head never make an endpoint look faster: one
//! that fails at once would draw all calls.
//!
//! Writers race: two workers that observe at the same moment may lose one of the samples, which an average can bear.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The calls on an endpoint.
#[derive(Debug, Default)]
pub(super) struct Load {
    active: AtomicUsize,
    calls: AtomicU64,
    /// Milliseconds of the last sample (wrapping) above, microseconds of the average below; 0: none yet.
    latency: AtomicU64,
}

/// Milliseconds after which a sample counts as much as all before it.
const HALF: u32 = 3_000;
/// Milliseconds after which what was measured counts half, and after twice as many a quarter: a second that was measured
/// once keeps calls away for half a minute, if others take milliseconds.
const FADE: f32 = 3_000.0;
/// Below this, differences between latencies are noise. Milliseconds.
const NOISE: f32 = 1.0;
/// Latencies up to this factor apart are alike.
const ALIKE: f32 = 1.5;

// === impl Load ===

impl Load {
    /// Counts a call in, unless there are `most` already.
    pub(super) fn enter(&self, most: Option<usize>) -> bool {
        let before = self.active.fetch_add(1, Ordering::Relaxed);
        if most.is_some_and(|most| before >= most) {
            self.active.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        true
    }

    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Calls open now.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Calls ever opened.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.calls().saturating_sub(self.active() as u64)
    }

    /// An answer has begun. `millis`: the time, on any clock; `is_error`: it can only make the endpoint look slower.
    pub(super) fn observe(&self, millis: u64, took: Duration, is_error: bool) {
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let (at, average) = unpack(self.latency.load(Ordering::Relaxed));
        if is_error && sample <= average {
            return;
        }
        let now = wrapped(millis);
        let next = if average == 0 {
            sample
        } else {
            // at least a little, or of many samples in one millisecond all but one were lost
            let since = now.wrapping_sub(at).clamp(HALF / 64, HALF * 64);
            let part = f64::from(since) / (f64::from(since) + f64::from(HALF));
            (f64::from(average) + (f64::from(sample) - f64::from(average)) * part) as u32
        };
        self.latency.store(pack(now, next.max(1)), Ordering::Relaxed);
    }

    /// What was measured says nothing of it any more.
    pub(super) fn forget(&self) {
        self.latency.store(0, Ordering::Relaxed);
    }

    /// Milliseconds, faded; `None` if nothing was measured.
    pub(super) fn latency(&self, millis: u64) -> Option<f32> {
        let (at, average) = unpack(self.latency.load(Ordering::Relaxed));
        if average == 0 {
            return None;
        }
        // another worker's sample may be newer than our `millis`
        let age = match wrapped(millis).wrapping_sub(at) {
            age if age > u32::MAX / 2 => 0,
            age => age,
        };
        Some(average as f32 / 1000.0 * (-(age as f32) / FADE).exp2())
    }
}

/// Whether `b` is clearly the better choice of two. Each comes with what a call weighs there: less than 1 on endpoints of
/// more than the average weight. Without a clear winner the first one stays, so that weights hold among equals: calls alone
/// decide while the latencies are alike.
pub(super) fn is_better(b: (&Load, f32), a: (&Load, f32), millis: u64) -> bool {
    let (Some(b_took), Some(a_took)) = (b.0.latency(millis), a.0.latency(millis)) else { return is_freer(b, a) };
    let (b_took, a_took) = (b_took + NOISE, a_took + NOISE);
    if b_took < a_took * ALIKE && a_took < b_took * ALIKE {
        return is_freer(b, a);
    }
    let expect = |(load, each): (&Load, f32), took| (load.active() as f32 * each + 1.0) * took;
    expect(b, b_took) < expect(a, a_took)
}

/// The same by calls alone: `b` with this call has no more to do than `a` without it. One call on a light endpoint is as
/// much as several on a heavy one, and no sign that it has too many: that much is let pass, or light endpoints would get a
/// fifth less than their share while few calls are open.
pub(super) fn is_freer((b, b_each): (&Load, f32), (a, a_each): (&Load, f32)) -> bool {
    (b.active() as f32 + 1.0) * b_each + (a_each - b_each).max(0.0) <= a.active() as f32 * a_each
}

fn pack(at: u32, average: u32) -> u64 {
    u64::from(at) << 32 | u64::from(average)
}

fn unpack(packed: u64) -> (u32, u32) {
    // the two halves
    ((packed >> 32) as u32, packed as u32)
}

fn wrapped(millis: u64) -> u32 {
    // differences are all that counts
    millis as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: &[(u64, u64)]) -> Load {
        let load = Load::default();
        for (millis, took) in samples {
            load.observe(*millis, Duration::from_millis(*took), false);
        }
        load
    }

    #[test]
    fn the_average_follows_the_samples_and_fades_without_any() {
        let load = after(&[(1000, 10), (1001, 10)]);
        assert!((load.latency(1001).unwrap() - 10.0).abs() < 0.01);
        load.observe(4001, Duration::from_millis(20), false);
        assert!((load.latency(4001).unwrap() - 15.0).abs() < 0.1, "{:?}", load.latency(4001));
        assert!((load.latency(7001).unwrap() - 7.5).abs() < 0.1);
        assert!(load.latency(34_001).unwrap() < 0.02);
        load.forget();
        assert_eq!(load.latency(34_001), None);
        load.observe(4001, Duration::from_millis(15), false);
        assert_eq!(Load::default().latency(9), None);
        // a clock that is behind, and one that wraps
        assert!(load.latency(0).unwrap() > 14.0);
        assert!(load.latency(u64::from(u32::MAX) + 4002).unwrap() > 14.0);
    }

    #[test]
    fn many_samples_of_one_moment_count_all_the_same() {
        let load = after(&[(5, 1)]);
        for _ in 0..300 {
            load.observe(5, Duration::from_millis(100), false);
        }
        assert!(load.latency(5).unwrap() > 90.0);
    }

    #[test]
    fn quick_errors_do_not_make_an_endpoint_look_fast() {
        let load = after(&[(0, 50)]);
        load.observe(1000, Duration::from_millis(1), true);
        assert!(load.latency(0).unwrap() > 49.0);
        load.observe(9000, Duration::from_millis(500), true);
        assert!(load.latency(9000).unwrap() > 200.0);
    }

    #[test]
    fn a_limit_is_not_passed_and_what_was_refused_is_not_counted() {
        let load = Load::default();
        assert!(load.enter(Some(2)) && load.enter(Some(2)) && !load.enter(Some(2)) && load.enter(None));
        load.leave();
        assert_eq!((load.active(), load.calls(), load.ended()), (2, 3, 1));
    }

    #[test]
    fn the_clearly_better_one_is_taken_and_among_equals_the_first_stays() {
        let (fast, slow, alike, new) = (after(&[(0, 5)]), after(&[(0, 50)]), after(&[(0, 6)]), Load::default());
        assert!(is_better((&fast, 1.0), (&slow, 1.0), 0) && !is_better((&slow, 1.0), (&fast, 1.0), 0));
        assert!(!is_better((&fast, 1.0), (&alike, 1.0), 0) && !is_better((&alike, 1.0), (&fast, 1.0), 0));
        assert!(!is_better((&new, 1.0), (&slow, 1.0), 0), "nothing is known of it");
        for _ in 0..20 {
            fast.enter(None);
        }
        assert!(is_better((&slow, 1.0), (&fast, 1.0), 0), "the fast one is busy");
        assert!(is_freer((&slow, 1.0), (&fast, 1.0)) && !is_freer((&fast, 0.1), (&slow, 1.0)));
    }
}
