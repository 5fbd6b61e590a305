//! The choice of a call's endpoint among those of the plan. No policy looks at more than two members, but for the ring.
//!
//! p2c draws two by weight and takes the one with less to expect: calls open there (by weight) times the latency that was
//! seen. The first one stays unless the other is clearly better, so that among equals the weights decide and not the noise.
//! An endpoint that warms up is passed over by chance, the less often the longer it is there.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::load::{is_better, is_freer};
use super::plan::{Plan, Share};
use super::policy::Balance;
use super::ring::mixed;

/// One worker's turns and dice.
#[derive(Debug)]
pub(super) struct Turns {
    /// Counts calls from a random start, so that workers do not all begin with the same endpoint.
    turn: AtomicUsize,
    dice: AtomicU64,
}

/// How often an endpoint that warms up is passed over in one choice, at most.
const PASSES: usize = 3;

/// A random number, good enough to spread load and back-off. Slow: for what happens rarely.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

// === impl Turns ===

impl Turns {
    pub(super) fn new() -> Turns {
        Turns { turn: AtomicUsize::new((random() >> 33) as usize), dice: AtomicU64::new(random()) }
    }

    pub(super) fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// SplitMix64.
    pub(super) fn roll(&self) -> u64 {
        mixed(self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }
}

/// The member that a call should go to; `None` if there is none at all. `millis`: the cluster's clock.
/// Calls with a key go by [`on_ring`].
pub(super) fn choose(plan: &Plan, balance: &Balance, turns: &Turns, millis: u64) -> Option<u32> {
    let roll = turns.roll();
    // the upper bits draw the tier, the others the members
    let share = plan.share((roll >> 48) as u16)?;
    let warming = millis < plan.warm_at;
    let mut index = first(plan, share, balance, turns, roll, millis)?;
    for _ in 0..PASSES {
        let member = plan.set.member(index)?;
        if !warming || turns.roll() as u16 <= member.endpoint.warmth(millis) {
            break;
        }
        index = first(plan, share, balance, turns, turns.roll(), millis)?;
    }
    Some(index)
}

/// The endpoint of a key. Which tier it falls to is decided by the key too, so that it stays there.
pub(super) fn on_ring(plan: &Plan, hash: u64, may: impl Fn(u32) -> bool) -> Option<u32> {
    // not the hash itself, whose upper bits are its place on the ring
    let share = plan.share((mixed(hash) >> 48) as u16)?;
    let tier = plan.set.tiers.get(share.tier)?;
    plan.set.ring(tier).find(hash, |index| plan.may(share, index) && may(index))
}

fn first(plan: &Plan, share: &Share, balance: &Balance, turns: &Turns, roll: u64, millis: u64) -> Option<u32> {
    let slots = &*share.slots;
    if let Balance::RoundRobin = balance {
        return slots.get(turns.next().checked_rem(slots.len())?).copied();
    }
    let at = below(slots.len(), roll as u32);
    let one = *slots.get(at)?;
    if slots.len() == 1 {
        return Some(one);
    }
    // any slot but that one
    let step = 1 + below(slots.len() - 1, mixed(roll) as u32);
    let other = *slots.get((at + step) % slots.len())?;
    if other == one {
        return Some(one);
    }
    let (a, b) = (plan.set.member(one)?, plan.set.member(other)?);
    let (a, b) = ((a.endpoint.load(), plan.burden(one)), (b.endpoint.load(), plan.burden(other)));
    let better = match balance {
        Balance::LeastRequest => is_freer(b, a),
        _ => is_better(b, a, millis),
    };
    Some(if better { other } else { one })
}

/// A number below `count` from 32 random bits, without a division.
fn below(count: usize, roll: u32) -> usize {
    (count as u64).wrapping_mul(u64::from(roll)).wrapping_shr(32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::upstream::ring::hash_key;
    use crate::upstream::{Cluster, ClusterSettings, EndpointSettings, HashBy};

    fn cluster(weights: &[u32]) -> Arc<Cluster> {
        let endpoints = weights
            .iter()
            .zip(1..)
            .map(|(weight, port)| EndpointSettings { weight: *weight, ..EndpointSettings::new("a", port, false) });
        Cluster::new(ClusterSettings::new("test", endpoints.collect())).unwrap()
    }

    /// How often each member is chosen in 12,000 calls that end at once.
    fn counts(cluster: &Cluster, balance: &Balance) -> Vec<u32> {
        let (plan, turns) = (cluster.plan(), Turns::new());
        let mut counts = vec![0; plan.set.members.len()];
        for _ in 0..12_000 {
            counts[choose(&plan, balance, &turns, 0).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn every_policy_holds_the_weights() {
        for balance in [Balance::P2c, Balance::RoundRobin, Balance::LeastRequest, ring()] {
            for (weights, expected) in [
                (&[1, 1, 1][..], &[4000, 4000, 4000][..]),
                (&[90, 10], &[10_800, 1_200]),
                (&[1, 2, 3], &[2000, 4000, 6000]),
                (&[7], &[12_000]),
            ] {
                let counts = counts(&cluster(weights), &balance);
                let near = |(count, expected): (&u32, &u32)| count.abs_diff(*expected) <= expected / 10;
                assert!(counts.iter().zip(expected).all(near), "{balance:?}: {counts:?}, not {expected:?}");
                if balance == Balance::RoundRobin {
                    assert!(counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) <= 1));
                }
            }
        }
    }

    fn ring() -> Balance {
        Balance::RingHash(HashBy::Cookie("a".into()))
    }

    #[test]
    fn weights_hold_while_calls_are_open() {
        for balance in [Balance::P2c, Balance::LeastRequest] {
            let cluster = cluster(&[1, 3]);
            let (plan, turns) = (cluster.plan(), Turns::new());
            let mut open = std::collections::VecDeque::new();
            let mut counts = [0_u32; 2];
            for _ in 0..8_000 {
                let index = choose(&plan, &balance, &turns, 0).unwrap();
                counts[index as usize] += 1;
                plan.set.members[index as usize].endpoint.load().enter(None);
                open.push_back(index);
                if open.len() > 40 {
                    plan.set.members[open.pop_front().unwrap() as usize].endpoint.load().leave();
                }
            }
            assert!((1_800..=2_200).contains(&counts[0]), "{balance:?}: {counts:?}");
        }
    }

    #[test]
    fn p2c_prefers_the_endpoint_that_answers_faster_and_the_one_that_is_less_busy() {
        let cluster = cluster(&[1, 1]);
        let (plan, turns) = (cluster.plan(), Turns::new());
        let loads: Vec<_> = plan.set.members.iter().map(|member| member.endpoint.load()).collect();
        let share = |millis| {
            let chosen = (0..1000).map(|_| choose(&plan, &Balance::P2c, &turns, millis).unwrap());
            chosen.filter(|index| *index == 0).count()
        };
        loads[0].observe(0, Duration::from_millis(2), false);
        loads[1].observe(0, Duration::from_millis(40), false);
        assert_eq!(share(0), 1000);
        (0..30).for_each(|_| assert!(loads[0].enter(None)));
        assert_eq!(share(0), 0);
    }

    #[test]
    fn a_key_stays_with_its_endpoint_whatever_happens_to_others() {
        let plan = cluster(&[1; 10]).plan();
        let mut counts = BTreeMap::new();
        for number in 0..2_000 {
            let key = hash_key(format!("{number}").as_bytes());
            let chosen = on_ring(&plan, key, |_| true).unwrap();
            assert_ne!(on_ring(&plan, key, |index| index != chosen), Some(chosen));
            *counts.entry(chosen).or_insert(0) += 1;
        }
        assert!(counts.len() == 10 && counts.values().all(|count| (100..400).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_below_a_count_is_drawn_evenly() {
        let turns = Turns::new();
        let mut counts = [0; 7];
        (0..7_000).for_each(|_| counts[below(7, turns.roll() as u32)] += 1);
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!((below(0, u32::MAX), below(1, u32::MAX), below(9, u32::MAX)), (0, 0, 8));
    }
}
