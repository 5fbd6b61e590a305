//! The endpoints of a cluster at one time, in tiers: nearest and most preferred first.

use std::sync::{Arc, OnceLock};

use super::endpoint::Endpoint;
use super::ring::{Ring, hash_key};

/// An immutable set: a change of the endpoints makes another.
#[derive(Debug)]
pub(super) struct EndpointSet {
    /// Counts the changes.
    pub(super) version: u64,
    pub(super) members: Box<[Member]>,
    /// In the order in which they are called.
    pub(super) tiers: Box<[Tier]>,
}

/// An endpoint, and what is said of it now.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    /// At least 1.
    pub(super) weight: u32,
    pub(super) priority: u32,
    pub(super) zone: Option<Box<str>>,
}

/// The members of one priority that are equally near; never empty.
#[derive(Debug)]
pub(super) struct Tier {
    /// Indices, in the order of the set.
    pub(super) members: Box<[u32]>,
    circle: OnceLock<Box<[u32]>>,
    ring: OnceLock<Ring>,
}

// === impl EndpointSet ===

impl EndpointSet {
    /// `zone`: where the edge stands. Of each priority, the endpoints there make a tier before those that are elsewhere, or
    /// nobody knows where.
    pub(super) fn new(version: u64, members: Box<[Member]>, zone: Option<&str>) -> EndpointSet {
        let far = |member: &Member| zone.is_some() && member.zone.as_deref() != zone;
        let mut ranked: Vec<((u32, bool), u32)> =
            members.iter().zip(0..).map(|(member, index)| ((member.priority, far(member)), index)).collect();
        ranked.sort();
        let tiers = ranked.chunk_by(|(a, _), (b, _)| a == b).map(|tier| Tier {
            members: tier.iter().map(|(_, index)| *index).collect(),
            circle: OnceLock::new(),
            ring: OnceLock::new(),
        });
        EndpointSet { version, tiers: tiers.collect(), members }
    }

    pub(super) fn member(&self, index: u32) -> Option<&Member> {
        self.members.get(index as usize)
    }

    /// The members of a tier in an order that has nothing to do with that of the configuration, and is the same for all
    /// workers: for subsets. Made when it is first asked for.
    pub(super) fn circle<'s>(&'s self, tier: &'s Tier) -> &'s [u32] {
        tier.circle.get_or_init(|| {
            let mut circle = tier.members.clone();
            circle.sort_by_cached_key(|index| self.member(*index).map(|at| hash_key(at.endpoint.label().as_bytes())));
            circle
        })
    }

    /// The ring of a tier, made when it is first asked for.
    pub(super) fn ring<'s>(&'s self, tier: &'s Tier) -> &'s Ring {
        tier.ring.get_or_init(|| {
            let members = tier.members.iter().filter_map(|index| Some((*index, self.member(*index)?)));
            Ring::new(members.map(|(index, member)| (index, &**member.endpoint.label(), member.weight)))
        })
    }
}
