//! Which cluster a call goes to, where its method has routes. One that has none comes here for a look at an empty field.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::uri::PathAndQuery;

use super::fault_injection::inject;
use super::handler::Call;
use super::mirror::MirrorMeters;
use super::tables::Called;
use super::uplink::Uplink;
use crate::call::{Head, Kind, Refusal};
use crate::catalog::Mistake;
use crate::observe::{Meters, Tally};
use crate::protocol::Packed;
use crate::route::{Chosen, First, Plan, Planned, Step, Targets};
use crate::upstream::{Cluster, ClusterSettings, Clusters};
use crate::wire::{BadPacked, COMPRESSED, PREFIX};

/// Marks a call that is a mirror's: such a one is mirrored no further.
pub const MIRRORED: HeaderName = HeaderName::from_static("x-transom-mirror");

/// The routes of a generation, with their clusters and counters.
#[derive(Debug)]
pub struct Routing {
    pub(super) targets: Targets,
    /// As [`Targets::clusters`].
    clusters: Box<[Arc<Cluster>]>,
    /// By rule.
    meters: Box<[RouteMeters]>,
}

#[derive(Debug)]
pub(super) struct RouteMeters {
    /// By the rule's clusters; of a rule without one alone.
    calls: Box<[Arc<Tally>]>,
    pub delays: Arc<Tally>,
    pub refusals: Arc<Tally>,
    pub mirror: Option<Arc<MirrorMeters>>,
}

/// What a route has decided about a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    chosen: Chosen,
    /// Whether the mirror gets this call.
    mirrored: bool,
}

/// What stands for the clusters of catalogs in counters of routes that name none.
const OWN: &str = "(catalog)";

// === impl Routing ===

impl Routing {
    /// Finds or makes the clusters that routes name, and their counters.
    pub fn new(
        targets: Targets,
        settings: &[ClusterSettings],
        known: &Clusters,
        meters: &Meters,
    ) -> Result<Routing, Vec<Mistake>> {
        let by_name: HashMap<&str, &ClusterSettings> = settings.iter().map(|one| (&*one.name, one)).collect();
        let (mut clusters, mut mistakes) = (Vec::with_capacity(targets.clusters.len()), Vec::new());
        for name in &targets.clusters {
            let obtained = match by_name.get(&**name) {
                Some(settings) => known.obtain((*settings).clone()).map_err(|error| error.to_string()),
                None => Err(format!("there is no cluster {name:?}")),
            };
            match obtained {
                Ok(cluster) => clusters.push(cluster),
                Err(text) => mistakes.push(Mistake::new(format!("routes: cluster {name:?}: {text}")).key("routes")),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let of_rule = targets.rules.iter().map(|resolved| RouteMeters::new(&resolved.rule, meters)).collect();
        Ok(Routing { targets, clusters: clusters.into(), meters: of_rule })
    }
}

// === impl RouteMeters ===

impl RouteMeters {
    fn new(rule: &crate::route::TargetRule, meters: &Meters) -> RouteMeters {
        let cell = |cluster: &str| meters.route_calls.cell(&[&rule.name, cluster]);
        let fault = |kind| meters.faults.cell(&[&rule.name, kind]);
        RouteMeters {
            calls: match &*rule.clusters {
                [] => Box::new([cell(OWN)]),
                named => named.iter().map(|(name, _)| cell(name)).collect(),
            },
            delays: fault("delay"),
            refusals: fault("status"),
            mirror: rule.mirror.as_ref().map(|mirror| Arc::new(MirrorMeters::new(meters, &mirror.cluster))),
        }
    }
}

// === impl Called ===

impl Called {
    fn planned(&self, at: usize) -> Option<&Planned> {
        self.plan()?.rules().get(at)
    }
}

// === impl Call ===

impl Call {
    /// Chooses the way of a call whose method has routes, and lets its fault happen. Waits for the first message only if a
    /// rule asks for a field of it.
    pub(super) async fn choose_target(&mut self, head: &Head, uplink: &mut Uplink) -> Result<(), Refusal> {
        let Some(chosen) = choose(&self.called, self.packed, head, uplink).await? else { return Ok(()) };
        let Some((planned, meters)) = self.called.planned(chosen.at).zip(self.called.route_meters(chosen.at)) else {
            return Ok(());
        };
        let rule = &planned.resolved.rule;
        if let Some(tally) = meters.calls.get(chosen.cluster.map_or(0, |(at, _)| at)) {
            tally.add(1);
        }
        let is_mirror = head.parts.headers.contains_key(MIRRORED);
        let mirrored = !is_mirror && rule.mirror.as_ref().is_some_and(|mirror| mirror.share.holds(random));
        self.target = Some(Target { chosen, mirrored });
        match &rule.fault {
            Some(fault) if fault.strikes(head, random) => inject(fault, meters).await,
            _ => Ok(()),
        }
    }

    /// The cluster that the call goes to.
    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        let named = || self.called.routing()?.clusters.get(self.target?.chosen.cluster?.1 as usize);
        named().unwrap_or_else(|| self.called.cluster())
    }

    /// `:path`, if the upstream calls the method otherwise.
    pub(super) fn renamed(&self) -> Option<PathAndQuery> {
        self.called.planned(self.target?.chosen.at)?.path.clone()
    }

    /// The name of the route that has the call.
    pub(super) fn route_name(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.called.planned(self.target?.chosen.at)?.resolved.rule.name))
    }

    /// The mirror that gets this call: its cluster, its rule and its counters.
    pub(super) fn mirror(&self) -> Option<(&Arc<Cluster>, &Planned, &Arc<MirrorMeters>)> {
        let target = self.target.filter(|target| target.mirrored)?;
        let planned = self.called.planned(target.chosen.at)?;
        let cluster = self.called.routing()?.clusters.get(planned.resolved.mirror? as usize)?;
        Some((cluster, planned, self.called.route_meters(target.chosen.at)?.mirror.as_ref()?))
    }
}

impl Called {
    fn route_meters(&self, at: usize) -> Option<&RouteMeters> {
        self.routing()?.meters.get(self.planned(at)?.resolved.number as usize)
    }
}

async fn choose(called: &Called, packed: Packed, head: &Head, uplink: &mut Uplink) -> Result<Option<Chosen>, Refusal> {
    let Some(plan) = called.plan() else { return Ok(None) };
    match step(plan, 0, head, First::NotYet)? {
        Step::Own => Ok(None),
        Step::Chosen(chosen) => Ok(Some(chosen)),
        Step::Message(at) => {
            let message = first_message(called, packed, uplink).await?;
            let first = message.as_ref().map_or(First::None, |message| First::Message(message));
            match step(plan, at, head, first)? {
                Step::Chosen(chosen) => Ok(Some(chosen)),
                Step::Own | Step::Message(_) => Ok(None),
            }
        }
    }
}

fn step(plan: &Plan, from: usize, head: &Head, first: First<'_>) -> Result<Step, Refusal> {
    plan.choose(from, head, first, random).map_err(|damage| {
        let text = format!("the message cannot be read, and its route depends on a field of it: {}", damage.0);
        Refusal::new(Kind::BadRequest, text)
    })
}

/// The first message of a request, not compressed; `None`: there is none. It stays to be sent.
///
/// Errors: what refuses the request, as it does without routes; a message that only the upstream can unpack: to choose as
/// if it said nothing would let callers evade the rule.
pub(super) async fn first_message(
    called: &Called,
    packed: Packed,
    uplink: &mut Uplink,
) -> Result<Option<Bytes>, Refusal> {
    let limit = match called.method().settings.max_request_message {
        0 => LOOK_LIMIT,
        limit => limit,
    };
    let Some(frame) = uplink.first_frame(limit).await? else { return Ok(None) };
    let message = frame.slice(PREFIX.min(frame.len())..);
    if frame.first().is_none_or(|flags| flags & COMPRESSED == 0) {
        return Ok(Some(message));
    }
    let Packed::Passes(encoding) = packed else {
        let text = "the first message is compressed in a way that the edge does not read, and its route depends on it";
        return Err(Refusal::new(Kind::UnknownEncoding, text));
    };
    match encoding.unpack(&message, limit) {
        Ok(plain) => Ok(Some(plain.into())),
        Err(BadPacked::TooLarge { limit }) => {
            let text = format!("a request message unpacks to more than the limit of {limit} bytes");
            Err(Refusal::new(Kind::TooLarge, text))
        }
        Err(BadPacked::Corrupt) => {
            Err(Refusal::new(Kind::Malformed, format!("a request message is not {}", encoding.name())))
        }
    }
}

/// The most bytes of a first message that are looked into, of methods without a limit of their own.
const LOOK_LIMIT: usize = 4 << 20;

/// A random number, good enough to share calls out (xorshift64*).
pub(super) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish() | 1);
    }
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        // the low bits of the state are not as good as its product's high ones
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    })
}

#[cfg(test)]
mod tests {
    use super::random;

    #[test]
    fn random_numbers_are_spread_evenly() {
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[(random() % 10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
