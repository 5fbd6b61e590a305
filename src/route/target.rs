//! From a call whose method is known to the cluster that answers it: the configuration's `routes`.
//!
//! Rules are looked at in order, the first that fits has the call; if none does, it goes to its catalog's own cluster.
//! Everything that can be looked up is looked up at load: a method that no rule names has an empty plan, and its calls pay
//! a look at that.

mod condition;
mod resolve;
mod told;

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;

pub use self::condition::{FieldRule, FieldWanted, Glob, HeaderTest, HostPattern, IdentityTest, ValueTest};
pub use self::told::RouteTold;
use super::table::MethodRef;
use crate::call::Head;
use crate::catalog::{FieldReader, OwnedFieldValue, Place};
use crate::status::Code;
use crate::wire::Malformed;
use condition::FieldTest;

/// One entry of `routes`, as the configuration has it.
#[derive(Clone, Debug)]
pub struct TargetRule {
    /// For logs and counters; as `key` unless it was given.
    pub name: Arc<str>,
    /// `routes[2]`.
    pub key: Box<str>,
    /// The methods: `*`, `pkg.*`, `pkg.Service/*` or `pkg.Service/Method`.
    pub patterns: Vec<(String, Option<Place>)>,
    pub when: When,
    /// Names and weights; empty: the catalog's own cluster. Weights are more than 0.
    pub clusters: Vec<(Box<str>, u32)>,
    /// `pkg.v2.Service/Method` or `pkg.v2.Service/*`.
    pub rename: Option<(String, Option<Place>)>,
    pub mirror: Option<MirrorRule>,
    pub fault: Option<FaultRule>,
    pub place: Option<Place>,
}

/// What a call must be like; all of it.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub headers: Vec<HeaderTest>,
    /// One of these; empty: any.
    pub hosts: Vec<HostPattern>,
    pub identity: Option<IdentityTest>,
    pub field: Option<FieldRule>,
    pub share: Share,
}

/// A part of all calls, in millionths; by default all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u32);

/// A second cluster that gets the same calls, and whose answers nobody hears.
#[derive(Clone, Debug)]
pub struct MirrorRule {
    pub cluster: Box<str>,
    pub share: Share,
    /// Whether its answers are compared with those that callers get.
    pub compare: bool,
    /// Bytes of one request that may wait for it; beyond that it loses the call.
    pub buffer: usize,
}

/// What goes wrong on purpose.
#[derive(Clone, Debug, Default)]
pub struct FaultRule {
    pub share: Share,
    /// Of the caller; all of it.
    pub headers: Vec<HeaderTest>,
    /// The least and the most.
    pub delay: Option<(Duration, Duration)>,
    /// The code that callers are told; `None`: the call goes on.
    pub status: Option<Code>,
    pub message: Option<Box<str>>,
    /// The HTTP code of REST callers; `None`: as the code says.
    pub http: Option<u16>,
}

/// The rules of a generation, method by method.
#[derive(Debug, Default)]
pub struct Targets {
    /// Names of all clusters that rules name.
    pub clusters: Box<[Box<str>]>,
    pub rules: Box<[Arc<Resolved>]>,
    /// By catalog and method.
    plans: Box<[Box<[Plan]>]>,
    /// For methods that no catalog has.
    unknown: Plan,
}

/// A rule whose names are looked up.
#[derive(Debug)]
pub struct Resolved {
    /// Its index among all rules.
    pub number: u32,
    pub rule: TargetRule,
    /// Sums of weights up to here, and indices into [`Targets::clusters`].
    shares: Box<[(u64, u32)]>,
    /// Index into [`Targets::clusters`].
    pub mirror: Option<u32>,
}

/// The rules for one method, in order; mostly none.
#[derive(Debug, Default)]
pub struct Plan(Box<[Planned]>);

/// A rule for one method.
#[derive(Debug)]
pub struct Planned {
    pub resolved: Arc<Resolved>,
    field: Option<FieldTest>,
    /// `:path` towards the upstream, if the method is called otherwise there.
    pub path: Option<PathAndQuery>,
    /// Of a rule for methods that no catalog has: patterns for the path, since nothing was known of it at load.
    unseen: Box<[Box<str>]>,
}

/// What choosing has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No rule fits.
    Own,
    /// To go on from this rule, the first message must be known.
    Message(usize),
    Chosen(Chosen),
}

/// The way that a rule sends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Index into the plan.
    pub at: usize,
    /// Index into the rule's clusters, and into [`Targets::clusters`]; `None`: the catalog's own cluster.
    pub cluster: Option<(usize, u32)>,
}

/// What is known of the first message of a call.
#[derive(Clone, Copy, Debug)]
pub enum First<'m> {
    NotYet,
    /// There is none: all fields are unset.
    None,
    Message(&'m [u8]),
}

// === impl Share ===

impl Share {
    pub const ALL: Share = Share(1_000_000);

    /// Whether a call belongs to it; draws only if that is not certain.
    #[inline]
    pub fn holds(self, draw: impl FnOnce() -> u64) -> bool {
        match self.0 {
            0 => false,
            share if share >= Share::ALL.0 => true,
            share => draw() % u64::from(Share::ALL.0) < u64::from(share),
        }
    }
}

impl Default for Share {
    fn default() -> Share {
        Share::ALL
    }
}

// === impl Targets ===

impl Targets {
    /// The plan of a method.
    #[inline]
    pub fn plan(&self, at: MethodRef) -> Option<&Plan> {
        let plan = self.plans.get(at.catalog as usize)?.get(at.method as usize)?;
        Some(plan).filter(|plan| !plan.0.is_empty())
    }

    /// The plan for methods that no catalog has.
    pub fn unknown(&self) -> Option<&Plan> {
        Some(&self.unknown).filter(|plan| !plan.0.is_empty())
    }
}

// === impl Plan ===

impl Plan {
    /// The rules, in order.
    pub fn rules(&self) -> &[Planned] {
        &self.0
    }

    /// Looks at the rules from this one on. `draw` gives random numbers.
    ///
    /// Errors: a rule looks at a field of the message, and the message is none.
    pub fn choose(
        &self,
        from: usize,
        head: &Head,
        first: First<'_>,
        mut draw: impl FnMut() -> u64,
    ) -> Result<Step, Malformed> {
        for (at, planned) in self.0.iter().enumerate().skip(from) {
            let when = &planned.resolved.rule.when;
            if !planned.is_for(head) || !when.fits(head) {
                continue;
            }
            if let Some(field) = &planned.field {
                let holds = match first {
                    First::NotYet => return Ok(Step::Message(at)),
                    First::None => field.holds(b"")?,
                    First::Message(message) => field.holds(message)?,
                };
                if !holds {
                    continue;
                }
            }
            if when.share.holds(&mut draw) {
                return Ok(Step::Chosen(Chosen { at, cluster: planned.resolved.pick(draw) }));
            }
        }
        Ok(Step::Own)
    }
}

// === impl Planned ===

impl Planned {
    fn is_for(&self, head: &Head) -> bool {
        let path = || head.parts.uri.path().trim_start_matches('/');
        self.unseen.is_empty() || self.unseen.iter().any(|pattern| resolve::covers(pattern, path()))
    }
}

// === impl Resolved ===

impl Resolved {
    /// One of the clusters, by weight.
    fn pick(&self, draw: impl FnOnce() -> u64) -> Option<(usize, u32)> {
        let (total, last) = *self.shares.last()?;
        if self.shares.len() == 1 {
            return Some((0, last));
        }
        let drawn = draw().checked_rem(total)?;
        self.shares.iter().enumerate().find(|(_, (upto, _))| drawn < *upto).map(|(at, (_, cluster))| (at, *cluster))
    }
}

// === impl When ===

impl When {
    /// Whether the call is like that, as far as its head tells.
    fn fits(&self, head: &Head) -> bool {
        self.headers.iter().all(|test| test.holds(&head.parts.headers))
            && (self.hosts.is_empty() || head.host().is_some_and(|host| self.hosts.iter().any(|one| one.is(host))))
            && self.identity.as_ref().is_none_or(|test| test.holds(head.connection.tls.as_ref()))
    }
}

// === impl FaultRule ===

impl FaultRule {
    /// Whether it strikes this call.
    pub fn strikes(&self, head: &Head, draw: impl FnOnce() -> u64) -> bool {
        self.headers.iter().all(|test| test.holds(&head.parts.headers)) && self.share.holds(draw)
    }
}

#[cfg(test)]
mod tests;
