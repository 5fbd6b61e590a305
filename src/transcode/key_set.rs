//! The keys that an object or a map has had so far, to notice a key that comes twice.

use std::collections::HashSet;
use std::hash::Hash;

/// Keeps few keys in place and many in a hash set with a random seed, so that hostile keys cannot make it slow.
pub(super) struct KeySet<K> {
    few: [Option<K>; FEW],
    len: usize,
    many: Option<HashSet<K>>,
}

const FEW: usize = 8;

// === impl KeySet ===

impl<K: Eq + Hash> KeySet<K> {
    #[inline]
    pub(super) fn new() -> KeySet<K> {
        KeySet { few: [const { None }; FEW], len: 0, many: None }
    }

    /// Notes a key; false if it is there already.
    #[inline]
    pub(super) fn insert(&mut self, key: K) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(key);
        }
        if self.few.iter().take(self.len).flatten().any(|other| *other == key) {
            return false;
        }
        match self.few.get_mut(self.len) {
            Some(free) => {
                *free = Some(key);
                self.len += 1;
            }
            None => {
                let kept = self.few.iter_mut().filter_map(Option::take);
                self.many = Some(kept.chain([key]).collect());
            }
        }
        true
    }
}

/// The fields (or oneofs) of a message that have come so far, by index.
#[derive(Default)]
pub(super) struct Seen {
    first: u64,
    rest: Vec<u64>,
}

// === impl Seen ===

impl Seen {
    /// Notes an index; false if it is there already.
    #[inline]
    pub(super) fn insert(&mut self, index: u16) -> bool {
        if index < 64 {
            let bit = 1 << index;
            let is_new = self.first & bit == 0;
            self.first |= bit;
            return is_new;
        }
        self.insert_far(index)
    }

    fn insert_far(&mut self, index: u16) -> bool {
        let (word, bit) = (usize::from(index / 64) - 1, 1u64 << (index % 64));
        if self.rest.len() <= word {
            self.rest.resize(word + 1, 0);
        }
        let Some(slot) = self.rest.get_mut(word) else { return false };
        let is_new = *slot & bit == 0;
        *slot |= bit;
        is_new
    }

    /// Those of the first 64 as bits.
    #[inline]
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn contains(&self, index: u16) -> bool {
        let bit = 1u64 << (index % 64);
        match usize::from(index / 64).checked_sub(1) {
            None => self.first & bit != 0,
            Some(word) => self.rest.get(word).is_some_and(|slot| slot & bit != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_noticed_the_second_time_however_many_there_are() {
        let mut set = KeySet::new();
        for key in 0..100 {
            assert!(set.insert(key));
            assert!(!set.insert(key / 2));
        }
    }

    #[test]
    fn indices_are_noticed_the_second_time_over_all_their_range() {
        let mut seen = Seen::default();
        for index in [0, 63, 64, 127, 128, 65_535] {
            assert!(!seen.contains(index));
            assert!(seen.insert(index));
            assert!(!seen.insert(index) && seen.contains(index));
        }
        assert!(!seen.contains(65));
    }
}
