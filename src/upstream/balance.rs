//! Which endpoint a call goes to: round robin for now.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts calls from a random start, so that workers do not all begin with the same endpoint.
#[derive(Debug)]
pub(super) struct RoundRobin(AtomicUsize);

/// A random number, good enough to spread load and back-off.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

// === impl RoundRobin ===

impl RoundRobin {
    pub(super) fn new() -> RoundRobin {
        RoundRobin(AtomicUsize::new((random() >> 32) as usize))
    }

    /// The numbers below `count`, in turn, from the next one on.
    pub(super) fn order(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.0.fetch_add(1, Ordering::Relaxed).checked_rem(count).unwrap_or(0);
        (first..count).chain(0..first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_first_in_turn_and_each_order_names_all() {
        let turns = RoundRobin(AtomicUsize::new(usize::MAX - 1));
        let firsts: Vec<_> = (0..9).filter_map(|_| turns.order(3).next()).collect();
        for endpoint in 0..3 {
            assert!(firsts.iter().filter(|first| **first == endpoint).count() >= 2, "{firsts:?}");
        }
        let mut all: Vec<_> = turns.order(5).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        assert_eq!(turns.order(0).count(), 0);
    }
}
