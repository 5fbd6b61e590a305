//! A hash index from names to positions that stores no names: the caller compares.
//!
//! A catalog holds some 170,000 field names twice over; keeping them only where they belong, and four bytes per
//! slot here, is what keeps a large catalog small.

/// Positions in open addressing; 0 is an empty slot, `n` means position `n - 1`.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    slots: Box<[u32]>,
}

// === impl NameIndex ===

impl NameIndex {
    /// Indexes pairs of name and position. Of two equal names the first one wins: look-ups meet it first.
    pub(super) fn new<'a>(entries: impl ExactSizeIterator<Item = (&'a str, usize)>) -> NameIndex {
        let size = (entries.len() * 2).next_power_of_two().max(4);
        let mut slots = vec![0u32; size].into_boxed_slice();
        for (name, position) in entries {
            let mut at = hash(name) as usize & (size - 1);
            while slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            slots[at] = u32::try_from(position + 1).unwrap_or(0);
        }
        NameIndex { slots }
    }

    /// The first position under this name for which `is_it` says yes.
    #[inline]
    pub(super) fn find(&self, name: &str, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        // The table is never full: it has twice as many slots as entries, so an empty slot ends every search.
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash(name) as usize & mask;
        loop {
            let position = (*self.slots.get(at)?).checked_sub(1)? as usize;
            if is_it(position) {
                return Some(position);
            }
            at = (at + 1) & mask;
        }
    }
}

/// FNV-1a over eight bytes at a time, folded. The names in the table are the catalog's, not the peer's, so a peer cannot
/// make it slow; it only needs to be quick and to spread.
#[inline]
fn hash(name: &str) -> u32 {
    let mut state = 0xcbf2_9ce4_8422_2325u64 ^ name.len() as u64;
    let (words, rest) = name.as_bytes().as_chunks::<8>();
    for word in words {
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    let mut last = 0u64;
    for &byte in rest {
        last = last << 8 | u64::from(byte);
    }
    state = (state ^ last).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (state >> 32) as u32 ^ state as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for count in [0, 1, 3, 100, 5000] {
            let names: Vec<String> = (0..count).map(|i| format!("some_name_{i}")).collect();
            let index = NameIndex::new(names.iter().enumerate().map(|(i, name)| (name.as_str(), i)));
            for (i, name) in names.iter().enumerate() {
                assert_eq!(index.find(name, |at| names[at] == *name), Some(i));
            }
            assert_eq!(index.find("other", |at| names[at] == "other"), None);
        }
        assert_eq!(NameIndex::default().find("x", |_| true), None);
    }

    #[test]
    fn of_equal_names_the_first_wins() {
        let names = ["a", "b", "a"];
        let index = NameIndex::new(names.iter().enumerate().map(|(i, name)| (*name, i)));
        assert_eq!(index.find("a", |at| names[at] == "a"), Some(0));
    }
}
