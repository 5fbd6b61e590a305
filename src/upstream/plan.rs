//! Which endpoints calls go to, and in which shares: made of the set and everybody's health, whenever one of them changes.
//! A call only reads it, so that choosing among any number of endpoints costs the same.
//!
//! **Tiers.** Endpoints stand in tiers: by priority, and within a priority those of the edge's zone before the others. The
//! shares are Envoy's: a tier takes calls for 1.4 times its healthy part (by weight), so that it keeps all of them until
//! fewer than 72 % are healthy; what is left goes to the next tier, and so on. If all tiers together cannot take all, each
//! takes its part of it.
//!
//! **Panic.** When even together they cannot, a tier of which less than the threshold (50 %) is healthy is called as a whole,
//! whatever is known of its endpoints: what looks like the death of most is more often the death of something else, and the
//! few that are left would die of all the calls.
//!
//! **Subsets.** Where workers times endpoints grows large, each worker can keep to a part. Their order is a circle that all
//! workers agree on; each worker starts at its own place, equally far from the next one's, and takes the healthy ones that
//! follow: so endpoints are used by about as many workers each, and one that fails is replaced by its successor alone. Where
//! the first worker stands is drawn per process, for several edges not to crowd the same endpoints.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::set::{EndpointSet, Tier};

/// How the cluster's calls are spread until something changes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) set: Arc<EndpointSet>,
    /// Of the cluster's plans; those of subsets have that of the whole they were made of.
    pub(super) version: u64,
    /// Those that take calls.
    pub(super) shares: Box<[Share]>,
    /// By member.
    standings: Box<[Standing]>,
    /// Members that a call may be risked on, or a connect.
    pub(super) trials: Box<[u32]>,
    /// What a call weighs on a member: 1 on one of average weight, less on heavier ones. Empty: 1 on each.
    burdens: Box<[f32]>,
    /// Too few are healthy: some tier is called as a whole.
    pub(super) panic: bool,
    /// Until when some member warms up, milliseconds of the cluster's clock; 0: none does.
    pub(super) warm_at: u64,
}

/// What is known of a member's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) healthy: bool,
    /// Not healthy, but it is time to try whether that is so.
    pub(super) trial: bool,
}

/// A tier that takes calls.
#[derive(Debug)]
pub(super) struct Share {
    /// The tier's index in the set.
    pub(super) tier: usize,
    /// Its calls are those whose draw (16 bits) is below this and not below the one before.
    below: u32,
    /// Members by weight, evenly interleaved: in turn they make a round robin, at random a draw by weight.
    pub(super) slots: Box<[u32]>,
    /// All its members may be called, healthy or not.
    panic: bool,
}

/// What a plan is made by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) version: u64,
    /// Percent.
    pub(super) panic_threshold: u8,
    /// See [`Plan::warm_at`].
    pub(super) warm_at: u64,
}

/// A worker's part of the endpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subset {
    pub(super) size: usize,
    pub(super) worker: usize,
    pub(super) workers: usize,
    /// Where the first worker stands on the circle.
    pub(super) start: usize,
}

/// A tier is taken for whole while this many percent of its healthy part make it up (Envoy's overprovisioning factor).
const OVERPROVISIONING: u64 = 140;
/// Draws.
const DRAWS: u32 = 1 << 16;
/// All shares together, in hundredths of a percent.
const ALL: u64 = 10_000;
/// Slots of a tier, about. With more weight than that, weights are rounded.
const MOST_SLOTS: u64 = 8_192;

// === impl Plan ===

impl Plan {
    pub(super) fn new(set: Arc<EndpointSet>, standings: Box<[Standing]>, rules: Rules) -> Plan {
        Plan::made(set, standings, rules, None)
    }

    /// The part of it that one worker keeps to.
    pub(super) fn subset(&self, subset: Subset, panic_threshold: u8) -> Plan {
        let rules = Rules { version: self.version, panic_threshold, warm_at: self.warm_at };
        Plan::made(Arc::clone(&self.set), self.standings.clone(), rules, Some(subset))
    }

    fn made(set: Arc<EndpointSet>, standings: Box<[Standing]>, rules: Rules, subset: Option<Subset>) -> Plan {
        let (loads, panics) = loads(&set, &standings, rules.panic_threshold);
        let mut below = 0;
        let mut shares = Vec::new();
        for (tier, (load, panic)) in loads.iter().zip(&panics).enumerate().filter(|(_, (load, _))| **load > 0) {
            below += u32::try_from(load * u64::from(DRAWS) / ALL).unwrap_or(DRAWS);
            let members = set.tiers.get(tier).map(|members| chosen(&set, members, &standings, *panic, subset));
            let slots = interleaved(&members.unwrap_or_default());
            shares.push(Share { tier, below, slots, panic: *panic });
        }
        if let Some(last) = shares.last_mut() {
            last.below = DRAWS;
        }
        let trials = standings.iter().zip(0..).filter(|(standing, _)| standing.trial).map(|(_, index)| index);
        Plan {
            version: rules.version,
            shares: shares.into(),
            trials: trials.collect(),
            burdens: burdens(&set),
            panic: panics.contains(&true),
            warm_at: rules.warm_at,
            standings,
            set,
        }
    }

    /// The tier that a draw (of 16 bits) falls to.
    pub(super) fn share(&self, draw: u16) -> Option<&Share> {
        match &*self.shares {
            [only] => Some(only),
            shares => shares.iter().find(|share| u32::from(draw) < share.below),
        }
    }

    /// Whether calls of this share may go to the member.
    pub(super) fn may(&self, share: &Share, index: u32) -> bool {
        share.panic || self.standings.get(index as usize).is_some_and(|standing| standing.healthy)
    }

    /// What a call weighs on the member.
    pub(super) fn burden(&self, index: u32) -> f32 {
        self.burdens.get(index as usize).copied().unwrap_or(1.0)
    }

    /// Whether another plan of the same set would differ.
    pub(super) fn stands(&self, set: &Arc<EndpointSet>, standings: &[Standing], warm_at: u64) -> bool {
        Arc::ptr_eq(&self.set, set) && *self.standings == *standings && self.warm_at == warm_at
    }

    /// The tiers' parts of the calls, percent, by the index of the tier.
    #[cfg(test)]
    pub(super) fn percents(&self) -> impl Iterator<Item = (usize, f64)> {
        let mut before = 0;
        self.shares.iter().map(move |share| {
            let part = share.below - std::mem::replace(&mut before, share.below);
            (share.tier, f64::from(part) * 100.0 / f64::from(DRAWS))
        })
    }
}

/// Each tier's part of the calls, in hundredths of a percent, and whether it panics.
fn loads(set: &EndpointSet, standings: &[Standing], panic_threshold: u8) -> (Vec<u64>, Vec<bool>) {
    let weigh = |tier: &Tier, only_healthy: bool| -> u64 {
        let counts =
            |index: &&u32| !only_healthy || standings.get(**index as usize).is_some_and(|standing| standing.healthy);
        let members = tier.members.iter().filter(counts).filter_map(|index| set.member(*index));
        members.map(|member| u64::from(member.weight)).sum()
    };
    let sums: Vec<(u64, u64)> = set.tiers.iter().map(|tier| (weigh(tier, true), weigh(tier, false))).collect();
    let parts: Vec<u64> = sums.iter().map(|(healthy, all)| healthy * ALL / (*all).max(1)).collect();
    let could: Vec<u64> = parts.iter().map(|part| (part * OVERPROVISIONING / 100).min(ALL)).collect();
    let total: u64 = could.iter().sum();
    if total >= ALL {
        let mut left = ALL;
        let loads = could.iter().map(|could| {
            let load = left.min(*could);
            left -= load;
            load
        });
        return (loads.collect(), vec![false; sums.len()]);
    }
    let threshold = u64::from(panic_threshold) * 100;
    let panics: Vec<bool> = parts.iter().map(|part| *part < threshold).collect();
    if total > 0 {
        return (could.iter().map(|could| could * ALL / total).collect(), panics);
    }
    // no one is healthy: all are called by weight, or none
    let everyone: u64 = sums.iter().map(|(_, all)| all).sum();
    let part = |(all, panic): (u64, bool)| if panic { (all * ALL / everyone.max(1)).max(1) } else { 0 };
    (sums.iter().map(|(_, all)| *all).zip(panics.iter().copied()).map(part).collect(), panics)
}

/// The members of a tier that calls go to, with their weights.
fn chosen(
    set: &EndpointSet,
    tier: &Tier,
    standings: &[Standing],
    panic: bool,
    subset: Option<Subset>,
) -> Vec<(u32, u32)> {
    let may = |index: &u32| panic || standings.get(*index as usize).is_some_and(|standing| standing.healthy);
    let weighed = |index: u32| Some((index, set.member(index)?.weight));
    match subset {
        None => tier.members.iter().copied().filter(may).filter_map(weighed).collect(),
        Some(subset) => {
            let circle = set.circle(tier);
            let start = (subset.start + subset.worker * circle.len() / subset.workers.max(1)) % circle.len().max(1);
            let (before, from) = circle.split_at_checked(start).unwrap_or((&[], circle));
            let from = from.iter().chain(before).copied().filter(may);
            from.take(subset.size.max(1)).filter_map(weighed).collect()
        }
    }
}

/// Members by weight, each as evenly spread as can be: the k-th of w slots of a member stands at (2k + 1) / 2w of the way.
fn interleaved(members: &[(u32, u32)]) -> Box<[u32]> {
    let weights = || members.iter().map(|(_, weight)| u64::from(*weight));
    let common = weights().fold(0, greatest_common_divisor).max(1);
    let sum: u64 = weights().sum::<u64>() / common;
    let most = MOST_SLOTS.max(members.len() as u64);
    // rounding up to a slot each may exceed the bound by as many as there are members
    let slots = |weight: u32| {
        let weight = u64::from(weight) / common;
        if sum <= most { weight } else { (weight * most / sum).max(1) }
    };
    let place = |turn: u64, of: u64| (2 * turn + 1) * (1 << 32) / of.max(1);
    let mut heap: BinaryHeap<Reverse<(u64, u32, u64, u64)>> =
        members.iter().map(|(index, weight)| Reverse((place(0, slots(*weight)), *index, 0, slots(*weight)))).collect();
    let mut order = Vec::new();
    while let Some(Reverse((_, index, turn, of))) = heap.pop() {
        order.push(index);
        if turn + 1 < of {
            heap.push(Reverse((place(turn + 1, of), index, turn + 1, of)));
        }
    }
    order.into()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// See [`Plan::burdens`].
fn burdens(set: &EndpointSet) -> Box<[f32]> {
    let Some(first) = set.members.first() else { return Box::default() };
    if set.members.iter().all(|member| member.weight == first.weight) {
        return Box::default();
    }
    let sum: f32 = set.members.iter().map(|member| member.weight as f32).sum();
    let average = sum / set.members.len() as f32;
    set.members.iter().map(|member| average / member.weight as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Cluster, ClusterSettings, EndpointSettings};

    const UP: Standing = Standing { healthy: true, trial: false };
    const OUT: Standing = Standing { healthy: false, trial: false };

    /// A set of endpoints with these weights, priorities and zones, seen from zone "here".
    fn set(members: &[(u32, u32, &str)]) -> Arc<EndpointSet> {
        let endpoints = members.iter().zip(1..).map(|((weight, priority, zone), port)| EndpointSettings {
            weight: *weight,
            priority: *priority,
            zone: (!zone.is_empty()).then(|| (*zone).into()),
            ..EndpointSettings::new("a", port, false)
        });
        let mut settings = ClusterSettings::new("test", endpoints.collect());
        settings.zone = Some("here".into());
        Cluster::new(settings).unwrap().plan().set.clone()
    }

    fn plan(members: &[(u32, u32, &str)], healthy: &[bool], panic_threshold: u8) -> Plan {
        let standings = healthy.iter().map(|up| if *up { UP } else { OUT }).collect();
        Plan::new(set(members), standings, Rules { version: 1, panic_threshold, warm_at: 0 })
    }

    fn percents(plan: &Plan) -> Vec<(usize, u32)> {
        plan.percents().map(|(tier, percent)| (tier, percent.round() as u32)).collect()
    }

    #[test]
    fn slots_hold_the_weights_and_spread_them_evenly() {
        assert_eq!(*interleaved(&[(0, 2), (1, 2), (2, 2)]), [0, 1, 2]);
        assert_eq!(*interleaved(&[(0, 1), (1, 3)]), [1, 0, 1, 1]);
        let slots = interleaved(&[(0, 90), (1, 10)]);
        assert_eq!((slots.len(), slots.iter().filter(|index| **index == 1).count()), (10, 1));
        let heavy = interleaved(&[(0, u32::MAX), (1, 1), (2, u32::MAX / 3)]);
        assert!(heavy.len() as u64 <= MOST_SLOTS + 3 && heavy.contains(&1));
        assert!(interleaved(&[]).is_empty());
    }

    #[test]
    fn the_nearest_tier_takes_all_until_less_than_72_percent_of_it_are_healthy() {
        let members = [(1, 0, "here"), (1, 0, "here"), (1, 0, "here"), (1, 0, "here"), (1, 0, "there"), (1, 1, "here")];
        assert_eq!(percents(&plan(&members, &[true; 6], 50)), [(0, 100)]);
        // three of four: 105 %
        assert_eq!(percents(&plan(&members, &[false, true, true, true, true, true], 50)), [(0, 100)]);
        // two of four: 70 %, and the rest goes to the next zone
        assert_eq!(percents(&plan(&members, &[false, false, true, true, true, true], 50)), [(0, 70), (1, 30)]);
        // one of four, and no one in the other zone: the next priority
        let last = plan(&members, &[false, false, false, true, false, true], 50);
        assert_eq!(percents(&last), [(0, 35), (2, 65)]);
        assert!(!last.panic, "another tier can take it");
    }

    #[test]
    fn endpoints_of_unknown_zone_come_after_those_of_the_own() {
        let plan = plan(&[(1, 0, ""), (1, 0, "here"), (1, 1, "")], &[true; 3], 50);
        let tiers: Vec<&[u32]> = plan.set.tiers.iter().map(|tier| &*tier.members).collect();
        assert_eq!(tiers, [&[1][..], &[0], &[2]]);
    }

    #[test]
    fn with_too_few_healthy_all_are_called_and_a_threshold_of_zero_never_panics() {
        let members = [(1, 0, "here"); 4];
        let up = [true, false, false, false];
        let panicking = plan(&members, &up, 50);
        assert!(panicking.panic && panicking.shares[0].slots.len() == 4);
        let calm = plan(&members, &up, 0);
        assert!(!calm.panic);
        assert_eq!(*calm.shares[0].slots, [0]);
        // half are healthy: not below the threshold
        assert!(!plan(&members, &[true, true, false, false], 50).panic);
        assert!(plan(&members, &[false; 4], 0).shares.is_empty());
        assert_eq!(plan(&members, &[false; 4], 50).shares[0].slots.len(), 4);
        let two = plan(&[(1, 0, "here"), (3, 1, "here")], &[false; 2], 50);
        assert_eq!(percents(&two), [(0, 25), (1, 75)]);
        assert!(plan(&[], &[], 50).shares.is_empty());
    }

    #[test]
    fn every_draw_falls_to_a_share_that_may_be_called() {
        let members = [(1, 0, "here"), (1, 0, "here"), (1, 0, "there"), (1, 1, "here"), (1, 2, "here")];
        for bits in 0..32_u32 {
            let healthy: Vec<bool> = (0..5).map(|bit| bits >> bit & 1 == 1).collect();
            for threshold in [0, 50, 100] {
                let plan = plan(&members, &healthy, threshold);
                for draw in [0, 1, 9_999, 32_768, u16::MAX] {
                    match plan.share(draw) {
                        Some(share) => assert!(share.slots.iter().all(|index| plan.may(share, *index))),
                        None => assert!(plan.shares.is_empty() && threshold == 0 && bits == 0),
                    }
                    assert!(plan.share(draw).is_none_or(|share| !share.slots.is_empty()));
                }
            }
        }
    }

    #[test]
    fn subsets_use_every_endpoint_by_as_many_workers_and_replace_one_that_fails() {
        let members = [(1, 0, "here"); 40];
        let whole = plan(&members, &[true; 40], 50);
        let part = |plan: &Plan, worker| {
            let subset = plan.subset(Subset { size: 10, worker, workers: 8, start: 3 }, 50);
            let mut slots = subset.shares[0].slots.to_vec();
            slots.sort_unstable();
            slots
        };
        let mut uses = [0; 40];
        for worker in 0..8 {
            assert_eq!(part(&whole, worker).len(), 10);
            part(&whole, worker).iter().for_each(|index| uses[*index as usize] += 1);
        }
        assert_eq!(uses, [2; 40]);
        let first = part(&whole, 0);
        let mut healthy = [true; 40];
        healthy[first[4] as usize] = false;
        let then = part(&plan(&members, &healthy, 50), 0);
        assert_eq!(first.iter().filter(|index| then.contains(index)).count(), 9);
        assert_eq!(then.len(), 10);
    }
}
