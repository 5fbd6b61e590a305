//! The keys that a map has had so far, to notice one that comes twice without keeping them.

use std::collections::HashSet;
use std::hash::Hash;

/// A map's keys. Few are kept in place and compared one by one. More go to a list that all maps of a message share, one
/// within the other, and are sorted when the map ends: one allocation for all of them, whatever their number.
pub(super) struct MapKeys {
    few: [Mark; FEW],
    len: usize,
    /// Where in the shared list the keys of this map begin, once there are many.
    base: Option<usize>,
}

/// One key: a number that equal keys share and others hardly ever, and where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    print: u64,
    at: usize,
}

const FEW: usize = 8;

// === impl MapKeys ===

impl MapKeys {
    #[inline]
    pub(super) fn new() -> MapKeys {
        MapKeys { few: [Mark::default(); FEW], len: 0, base: None }
    }

    /// Notes a key; false if it is known that it is there already, for which of many only [`MapKeys::repeated`] tells.
    /// `left` is how many bytes may still hold keys, `read` gives the key at a place.
    #[inline]
    pub(super) fn insert<K: Eq>(
        &mut self,
        key: Mark,
        left: usize,
        many: &mut Vec<Mark>,
        read: impl Fn(usize) -> K,
    ) -> bool {
        if self.base.is_some() {
            many.push(key);
            return true;
        }
        if self.few.iter().take(self.len).any(|other| other.print == key.print && read(other.at) == read(key.at)) {
            return false;
        }
        match self.few.get_mut(self.len) {
            Some(free) => {
                *free = key;
                self.len += 1;
            }
            None => self.spill(key, left, many),
        }
        true
    }

    #[cold]
    fn spill(&mut self, key: Mark, left: usize, many: &mut Vec<Mark>) {
        if many.capacity() - many.len() <= FEW {
            // If what is left is like what has been, the list need not grow again, for the maps behind this one neither.
            let each = (key.at.saturating_sub(self.few[0].at) / FEW).max(1);
            many.reserve(FEW + 1 + left / each + left / each / 4);
        }
        self.base = Some(many.len());
        many.extend_from_slice(&self.few);
        many.push(key);
    }

    /// At the end of the map: where the first key stands that is there already, if there is one.
    #[inline]
    pub(super) fn repeated<K: Eq + Hash>(&self, many: &mut Vec<Mark>, read: impl Fn(usize) -> K) -> Option<usize> {
        let base = self.base?;
        let marks = many.get_mut(base..)?;
        marks.sort_unstable();
        let alike = marks.windows(2).any(|pair| matches!(pair, [one, other] if one.print == other.print));
        let found = if alike { repeated(marks, read) } else { None };
        many.truncate(base);
        found
    }
}

/// The same for sorted marks some of which are alike. Whoever makes many keys with one print gains nothing: those are told
/// apart by a hash with a random seed.
#[cold]
fn repeated<K: Eq + Hash>(marks: &[Mark], read: impl Fn(usize) -> K) -> Option<usize> {
    let runs = marks.chunk_by(|one, other| one.print == other.print).filter(|run| run.len() > 1);
    let first_of = |run: &[Mark]| {
        let mut keys = HashSet::new();
        run.iter().map(|mark| mark.at).find(|at| !keys.insert(read(*at)))
    };
    runs.filter_map(first_of).min()
}

// === impl Mark ===

impl Mark {
    #[inline]
    pub(super) fn text(key: &[u8], at: usize) -> Mark {
        let mut print = key.len() as u64;
        let (words, _) = key.as_chunks::<8>();
        for word in words {
            print = mix(print ^ u64::from_le_bytes(*word));
        }
        // what is left, with some of what is not; or all of a short key
        let last = match (key.last_chunk::<8>(), key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(last), ..) => u64::from_le_bytes(*last),
            (None, Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => key.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
        };
        Mark { print: mix(print ^ last), at }
    }

    /// A number is its own print.
    #[inline]
    pub(super) fn number(key: u64, at: usize) -> Mark {
        Mark { print: key, at }
    }
}

/// All bits of the result depend on all bits of the number.
#[inline]
fn mix(bits: u64) -> u64 {
    let wide = u128::from(bits ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (wide >> 64) as u64 ^ wide as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes all keys; the position of the first that is there already, and whether it was noticed at once.
    fn first_repeated(keys: &[&str], mark: impl Fn(&str, usize) -> Mark) -> Option<(usize, bool)> {
        let (mut set, mut many) = (MapKeys::new(), vec![Mark::default(); 3]);
        for (at, key) in keys.iter().enumerate() {
            if !set.insert(mark(key, at), keys.len() - at, &mut many, |at| keys[at]) {
                return Some((at, true));
            }
        }
        let found = set.repeated(&mut many, |at| keys[at]).map(|at| (at, false));
        assert_eq!(many.len(), 3, "the list is left as it was");
        found
    }

    #[test]
    fn a_key_is_noticed_the_second_time_however_many_there_are() {
        let texts: Vec<String> = (0..500).map(|i| "key".repeat(i % 7) + &i.to_string()).collect();
        let mut keys: Vec<&str> = texts.iter().map(String::as_str).collect();
        let print = |key: &str, at| Mark::text(key.as_bytes(), at);
        for count in [0, 1, 8, 9, 10, 500] {
            assert_eq!(first_repeated(&keys[..count], print), None, "{count}");
        }
        keys[7] = keys[3];
        assert_eq!(first_repeated(&keys[..8], print), Some((7, true)));
        keys[7] = "seven";
        (keys[400], keys[450], keys[300]) = (keys[2], keys[5], keys[299]);
        assert_eq!(first_repeated(&keys, print), Some((300, false)));
    }

    #[test]
    fn keys_with_one_print_are_told_apart() {
        let texts: Vec<String> = (0..300).map(|i| i.to_string()).collect();
        let mut keys: Vec<&str> = texts.iter().map(String::as_str).collect();
        let alike = |_: &str, at: usize| Mark::number((at % 2) as u64, at);
        assert_eq!(first_repeated(&keys, alike), None);
        assert_eq!(first_repeated(&keys[..7], alike), None);
        keys[298] = "1";
        assert_eq!(first_repeated(&keys, |_, at| Mark::number(0, at)), Some((298, false)));
    }

    #[test]
    fn prints_differ_where_keys_do() {
        let texts: Vec<String> =
            (0..20).flat_map(|len| (0..10).map(move |i| "x".repeat(len) + &i.to_string())).collect();
        let prints: HashSet<u64> = texts.iter().map(|text| Mark::text(text.as_bytes(), 0).print).collect();
        assert_eq!(prints.len(), texts.len());
    }
}
