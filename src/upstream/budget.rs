//! How many requests a cluster may be sent twice: a share of the calls that could be, and some that are always free.
//!
//! Retries multiply the load of an upstream that fails for its load. So they are rationed where all of them meet, at the
//! cluster, over all workers and methods: in any window there are no more than `ratio` of the calls that might be tried
//! again, and a floor, without which a cluster of few calls would never see a retry (as in Finagle, linkerd and tower).
//! gRPC's own throttle (proposal A6, "Throttling Retry Attempts and Hedged RPCs") counts failures per server name at each
//! client; a share of the calls bounds the same thing, and needs no second knob, so there is only this one.
//!
//! The window is cut into slots, each of them one atomic word that knows its time. A call adds to the present one, and
//! clears it if it is a turn old. Nothing is locked and no clock is read: times are those that calls have with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the operator says of a cluster's retries and hedges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudgetSettings {
    /// Attempts beyond the first per call that might have some. Default 0.2.
    pub ratio: f64,
    /// Such attempts per second that are free, on the average of a window. Default 10.
    pub min_per_second: u32,
    /// How long calls and attempts count. Default 10 s.
    pub window: Duration,
}

/// What is left of the retries of a cluster, process-wide.
#[derive(Debug)]
pub struct RetryBudget {
    settings: RetryBudgetSettings,
    began: Instant,
    slots: [AtomicU64; SLOTS],
}

/// What a slot's word holds: its time, in slots since the beginning; calls; and attempts beyond their first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    turn: u64,
    calls: u64,
    repeats: u64,
}

const SLOTS: usize = 8;

const REPEAT_BITS: u32 = 16;
const CALL_BITS: u32 = 24;
/// Times wrap after half a year and more of the shortest slots; a slot is misread then if nothing was counted in between.
const TURN_MASK: u64 = (1 << 24) - 1;
const MOST_CALLS: u64 = (1 << CALL_BITS) - 1;
const MOST_REPEATS: u64 = (1 << REPEAT_BITS) - 1;
const ONE_CALL: u64 = 1 << REPEAT_BITS;

// === impl RetryBudgetSettings ===

impl Default for RetryBudgetSettings {
    fn default() -> RetryBudgetSettings {
        RetryBudgetSettings { ratio: 0.2, min_per_second: 10, window: Duration::from_secs(10) }
    }
}

// === impl Slot ===

impl Slot {
    fn of(word: u64) -> Slot {
        Slot {
            turn: word >> (REPEAT_BITS + CALL_BITS),
            calls: (word >> REPEAT_BITS) & MOST_CALLS,
            repeats: word & MOST_REPEATS,
        }
    }

    fn word(self) -> u64 {
        self.turn << (REPEAT_BITS + CALL_BITS) | self.calls.min(MOST_CALLS) << REPEAT_BITS | self.repeats
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget that begins at this time.
    pub fn new(settings: RetryBudgetSettings, began: Instant) -> RetryBudget {
        RetryBudget { settings, began, slots: Default::default() }
    }

    /// Counts a call that might be sent again. `now` need not be exact: the time at which the call came will do.
    pub fn deposit(&self, now: Instant) {
        let turn = self.turn(now);
        let Some(word) = self.slot(turn) else { return };
        let found = Slot::of(word.load(Ordering::Relaxed));
        if found.turn == turn {
            // far from the most, so that no neighbour's bits are reached by however many workers at once
            if found.calls < MOST_CALLS / 2 {
                word.fetch_add(ONE_CALL, Ordering::Relaxed);
            }
            return;
        }
        // an update that fails is one of a later time, which this call is too late for
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let slot = current(word, turn)?;
            Some(Slot { calls: slot.calls + 1, ..slot }.word())
        });
    }

    /// Takes one attempt beyond a call's first out of the budget, if it is in there. Attempts that are asked for at the
    /// very same time by several workers may be that many too many.
    pub fn withdraw(&self, now: Instant) -> bool {
        let turn = self.turn(now);
        let (calls, repeats) = self.slots.iter().map(|word| Slot::of(word.load(Ordering::Relaxed))).fold(
            (0, 0),
            |(calls, repeats), slot| match turn.wrapping_sub(slot.turn) & TURN_MASK {
                age if age < SLOTS as u64 => (calls + slot.calls, repeats + slot.repeats),
                _ => (calls, repeats),
            },
        );
        let free = f64::from(self.settings.min_per_second) * self.settings.window.as_secs_f64();
        if repeats as f64 + 1.0 > calls as f64 * self.settings.ratio + free {
            return false;
        }
        let Some(word) = self.slot(turn) else { return false };
        let counted = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let slot = current(word, turn)?;
            (slot.repeats < MOST_REPEATS).then(|| Slot { repeats: slot.repeats + 1, ..slot }.word())
        });
        counted.is_ok()
    }

    fn turn(&self, now: Instant) -> u64 {
        let length = (self.settings.window / SLOTS as u32).max(Duration::from_millis(1)).as_millis();
        let turns = now.saturating_duration_since(self.began).as_millis() / length;
        u64::try_from(turns).unwrap_or(u64::MAX) & TURN_MASK
    }

    fn slot(&self, turn: u64) -> Option<&AtomicU64> {
        self.slots.get(usize::try_from(turn).ok()? % SLOTS)
    }
}

/// The slot as it is to be counted in at this time: cleared, if it is an older one; `None`, if it is a later one.
fn current(word: u64, turn: u64) -> Option<Slot> {
    let slot = Slot::of(word);
    if slot.turn == turn {
        return Some(slot);
    }
    let is_older = turn.wrapping_sub(slot.turn) & TURN_MASK <= TURN_MASK / 2;
    is_older.then_some(Slot { turn, calls: 0, repeats: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(ratio: f64, min_per_second: u32) -> (RetryBudget, Instant) {
        let began = Instant::now();
        let settings = RetryBudgetSettings { ratio, min_per_second, window: Duration::from_secs(8) };
        (RetryBudget::new(settings, began), began)
    }

    fn granted(budget: &RetryBudget, at: Instant) -> usize {
        (0..10_000).take_while(|_| budget.withdraw(at)).count()
    }

    #[test]
    fn a_share_of_the_calls_may_be_sent_again_and_a_floor_is_free() {
        let (share, now) = budget(0.2, 0);
        assert!(!share.withdraw(now), "no call, no retry");
        (0..100).for_each(|_| share.deposit(now));
        assert_eq!(granted(&share, now), 20);
        let (floor, now) = budget(0.0, 10);
        (0..100).for_each(|_| floor.deposit(now));
        assert_eq!(granted(&floor, now), 80, "ten a second over eight seconds");
    }

    #[test]
    fn calls_and_retries_are_forgotten_when_the_window_has_passed() {
        let (budget, began) = budget(0.5, 0);
        (0..100).for_each(|_| budget.deposit(began));
        assert_eq!(granted(&budget, began), 50);
        let later = began + Duration::from_millis(7_900);
        assert_eq!(granted(&budget, later), 0, "still the same window");
        budget.deposit(later);
        budget.deposit(later);
        let next = began + Duration::from_secs(8);
        assert_eq!(granted(&budget, next), 1, "the old calls are gone, and so are the old retries");
        assert_eq!(granted(&budget, next + Duration::from_secs(3600)), 0);
    }

    #[test]
    fn a_time_that_is_late_or_before_the_beginning_harms_nothing() {
        let (budget, began) = budget(1.0, 0);
        let later = began + Duration::from_secs(80);
        budget.deposit(later);
        budget.deposit(began);
        assert_eq!(granted(&budget, later), 1);
        assert!(!budget.withdraw(began), "another turn has the slot");
        budget.deposit(began.checked_sub(Duration::from_secs(1)).unwrap_or(began));
    }

    #[test]
    fn a_slot_that_is_full_counts_no_further_and_spills_nowhere() {
        let (budget, now) = budget(1.0, 0);
        let full = Slot { turn: 0, calls: MOST_CALLS, repeats: MOST_REPEATS };
        budget.slots[0].store(full.word(), Ordering::Relaxed);
        budget.deposit(now);
        assert!(!budget.withdraw(now));
        assert_eq!(Slot::of(budget.slots[0].load(Ordering::Relaxed)), full);
    }
}
