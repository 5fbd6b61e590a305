//! The ring of a consistent hash: each endpoint stands on it at many points, and a key goes to the next point's endpoint.
//! When one of n endpoints goes, its keys alone move, about one in n (Karger et al., 1997; ketama's form of it).
//!
//! The hash is written out here, so that all edges, of whatever build, send a key to the same endpoint.

/// The points of the endpoints of one tier.
#[derive(Debug)]
pub(super) struct Ring {
    /// By hash, each with the index of a member.
    points: Box<[(u64, u32)]>,
}

/// Points of an endpoint of average weight: enough to spread keys within some 10 % (the deviation is one by the root).
const POINTS: u64 = 160;
/// Of a ring, about; with more than 1,600 endpoints each has fewer.
const MOST_POINTS: u64 = 1 << 18;
/// Points looked at for a member that may take the call. Half of the members out: all of these fail one time in 2^64.
const MOST_STEPS: usize = 256;

/// The number of a key: FNV-1a, and then mixed, since FNV's upper bits hardly differ for short keys.
pub fn hash_key(key: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mixed(key.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// Every bit of the result depends on every bit of the number (the finish of SplitMix64).
pub(super) fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

// === impl Ring ===

impl Ring {
    /// Of members (their indices), with their labels and weights.
    pub(super) fn new<'a>(members: impl Iterator<Item = (u32, &'a str, u32)> + Clone) -> Ring {
        let (count, sum) = members.clone().fold((0, 0), |(n, sum), (_, _, weight)| (n + 1, sum + u64::from(weight)));
        let total = (POINTS * count).min(MOST_POINTS);
        let mut points = Vec::new();
        for (index, label, weight) in members {
            let own = (total * u64::from(weight)).div_ceil(sum.max(1)).max(1);
            let seed = hash_key(label.as_bytes());
            points.extend((0..own).map(|number| (mixed(seed.wrapping_add(mixed(number))), index)));
        }
        points.sort_unstable();
        Ring { points: points.into() }
    }

    /// The first member from the key on that may take the call.
    pub(super) fn find(&self, key: u64, may: impl Fn(u32) -> bool) -> Option<u32> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, from) = self.points.split_at_checked(start)?;
        let mut points = from.iter().chain(before).take(MOST_STEPS).map(|(_, index)| *index);
        points.find(|index| may(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: u32) -> Vec<String> {
        (0..count).map(|number| format!("10.0.0.{number}:50051")).collect()
    }

    fn ring(labels: &[String], weight: impl Fn(u32) -> u32 + Clone) -> Ring {
        let members = labels.iter().zip(0..).map(move |(label, index)| (index, label.as_str(), weight(index)));
        Ring::new(members)
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..20_000).map(|key: u32| hash_key(format!("user-{key}").as_bytes()))
    }

    #[test]
    fn one_of_ten_endpoints_that_goes_moves_its_own_keys_and_no_others() {
        let labels = labels(10);
        let (whole, less) = (ring(&labels, |_| 1), ring(&labels[..9], |_| 1));
        let mut moved = 0;
        for key in keys() {
            let (before, after) = (whole.find(key, |_| true).unwrap(), less.find(key, |_| true).unwrap());
            assert!(before == 9 || before == after, "{key} left an endpoint that stays");
            moved += usize::from(before != after);
            assert_eq!(whole.find(key, |index| index != 9), Some(after), "as if it had gone");
        }
        assert!((1_300..=2_700).contains(&moved), "{moved} of 20,000");
    }

    #[test]
    fn keys_spread_by_weight() {
        let ring = ring(&labels(4), |index| if index == 0 { 5 } else { 1 });
        let mut counts = [0_u32; 4];
        for key in keys() {
            counts[ring.find(key, |_| true).unwrap() as usize] += 1;
        }
        assert!((10_600..=14_400).contains(&counts[0]), "{counts:?}");
        assert!(counts[1..].iter().all(|count| (1_600..=3_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_ring_of_many_is_bounded_and_one_of_none_finds_nothing() {
        let many = ring(&labels(5_000), |index| index % 100 + 1);
        assert!((200_000..300_000).contains(&many.points.len()), "{}", many.points.len());
        assert_eq!(many.find(7, |_| false), None);
        assert_eq!(ring(&[], |_| 1).find(7, |_| true), None);
    }

    #[test]
    fn the_hash_stays_what_it_was() {
        assert_eq!(hash_key(b""), mixed(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash_key(b"user-1"), hash_key(b"user-1"));
        assert_ne!(hash_key(b"user-1") >> 48, hash_key(b"user-2") >> 48);
    }
}
