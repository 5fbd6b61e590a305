//! What all endpoints of a cluster share, process-wide: its clock, its bounds and how they are used, and the sign that
//! somebody's health has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::policy::{CodeSet, Ejection, Limits};

/// Shared by a cluster, its endpoints and its connections. Holds none of them, so that calls do not keep a cluster.
#[derive(Debug)]
pub(super) struct Vitals {
    pub(super) cluster: Arc<str>,
    pub(super) ejection: Option<Ejection>,
    pub(super) limits: Limits,
    /// How long an endpoint that is new or back warms up; zero: not at all.
    pub(super) slow_start: Duration,
    born: Instant,
    /// When the plan is to be made anew: microseconds since `born`, `NEVER` if nothing is known to change.
    due: AtomicU64,
    /// Before this it is not made anew because of changes: 10,000 endpoints that fail together are not to be planned with
    /// 10,000 times.
    not_before: AtomicU64,
    /// When a connection ended last: microseconds since `born`, `NEVER` if none has.
    parted: AtomicU64,
    /// Endpoints that there are, and those that are ejected.
    pub(super) members: AtomicUsize,
    pub(super) ejected: AtomicUsize,
    calls: AtomicUsize,
    pending: AtomicUsize,
    overloaded: [AtomicU64; Bound::ALL.len()],
}

/// A bound of [`Limits`] that a call was refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Calls,
    Pending,
    EndpointCalls,
}

/// Holds a call's place among the cluster's.
#[derive(Debug)]
pub(super) struct Permit(Arc<Vitals>);

/// Counts a call as waiting for a connection for as long as it lives.
#[derive(Debug)]
pub(super) struct Pending<'a>(&'a Vitals);

const NEVER: u64 = u64::MAX;

// === impl Bound ===

impl Bound {
    pub(super) const ALL: [Bound; 3] = [Bound::Calls, Bound::Pending, Bound::EndpointCalls];

    /// As it is written in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Bound::Calls => "calls",
            Bound::Pending => "pending",
            Bound::EndpointCalls => "calls_per_endpoint",
        }
    }
}

// === impl Vitals ===

impl Vitals {
    pub(super) fn new(
        cluster: Arc<str>,
        ejection: Option<Ejection>,
        limits: Limits,
        slow_start: Duration,
        now: Instant,
    ) -> Vitals {
        Vitals {
            cluster,
            ejection,
            limits,
            slow_start,
            born: now,
            due: AtomicU64::new(NEVER),
            not_before: AtomicU64::new(0),
            parted: AtomicU64::new(NEVER),
            members: AtomicUsize::new(0),
            ejected: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            overloaded: Default::default(),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.born).as_micros()).unwrap_or(NEVER - 1)
    }

    /// The cluster's clock, for latencies.
    pub(super) fn millis(&self, at: Instant) -> u64 {
        self.micros(at) / 1000
    }

    /// A connection has ended.
    pub(super) fn parts(&self, now: Instant) {
        self.parted.store(self.micros(now), Ordering::Relaxed);
    }

    /// Whether a connection has ended so recently.
    pub(super) fn parted_within(&self, time: Duration, now: Instant) -> bool {
        let parted = self.parted.load(Ordering::Relaxed);
        let time = u64::try_from(time.as_micros()).unwrap_or(NEVER);
        parted != NEVER && self.micros(now).saturating_sub(parted) < time
    }

    /// Whether it is time to plan anew.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        due != NEVER && due <= self.micros(now)
    }

    /// Planning begins: what changes from now on asks for another. `rest`: no other for this long.
    pub(super) fn begin_planning(&self, now: Instant, rest: Duration) {
        self.due.store(NEVER, Ordering::SeqCst);
        let rest = u64::try_from(rest.as_micros()).unwrap_or(NEVER);
        self.not_before.store(self.micros(now).saturating_add(rest), Ordering::Relaxed);
    }

    /// Something will change at this time.
    pub(super) fn due_at(&self, at: Instant) {
        self.due.fetch_min(self.micros(at), Ordering::SeqCst);
    }

    /// Something has changed.
    pub(super) fn changed(&self) {
        self.due.fetch_min(self.not_before.load(Ordering::Relaxed), Ordering::SeqCst);
    }

    /// Takes one of the places for ejected endpoints, if there is one left.
    pub(super) fn may_eject(&self) -> bool {
        let (members, ejected) = (self.members.load(Ordering::Relaxed), self.ejected.load(Ordering::Relaxed));
        let percent = self.ejection.as_ref().map_or(0, |ejection| usize::from(ejection.max_ejected));
        let most = (members.saturating_mul(percent) / 100).max(1);
        let may = members > 1 && ejected < most;
        if may {
            self.ejected.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Whether the status that an endpoint told counts against it.
    pub(super) fn failures(&self) -> CodeSet {
        self.ejection.as_ref().map_or(CodeSet::FAILURES, |ejection| ejection.failures)
    }

    /// A place for a call, which nobody needs if there is no bound; an error if there are no more.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Option<Permit>, Bound> {
        let Some(most) = self.limits.calls else { return Ok(None) };
        let permit = Permit(Arc::clone(self));
        if self.calls.fetch_add(1, Ordering::Relaxed) < most {
            return Ok(Some(permit));
        }
        Err(Bound::Calls)
    }

    pub(super) fn wait(&self) -> Result<Pending<'_>, Bound> {
        let pending = Pending(self);
        let before = self.pending.fetch_add(1, Ordering::Relaxed);
        if self.limits.pending.is_none_or(|most| before < most) {
            return Ok(pending);
        }
        Err(Bound::Pending)
    }

    /// A call was refused.
    pub(super) fn overloaded(&self, bound: Bound) {
        if let Some(count) = self.overloaded.get(bound as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls that wait.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Calls refused so far, by bound.
    pub(super) fn refused(&self) -> impl Iterator<Item = (Bound, u64)> {
        Bound::ALL.into_iter().zip(self.overloaded.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals(limits: Limits) -> Arc<Vitals> {
        Arc::new(Vitals::new("a".into(), Some(Ejection::default()), limits, Duration::ZERO, Instant::now()))
    }

    #[test]
    fn places_are_given_up_to_the_bound_and_come_back() {
        let vitals = vitals(Limits { calls: Some(2), pending: Some(1), endpoint_calls: None });
        let (first, second) = (vitals.enter().unwrap(), vitals.enter().unwrap());
        assert_eq!(vitals.enter().unwrap_err(), Bound::Calls);
        drop(first);
        assert!(vitals.enter().is_ok() && second.is_some());
        let waiting = vitals.wait().unwrap();
        assert_eq!((vitals.wait().unwrap_err(), vitals.pending()), (Bound::Pending, 1));
        drop(waiting);
        assert!(vitals.wait().is_ok());
        vitals.overloaded(Bound::Pending);
        assert_eq!(vitals.refused().map(|(_, count)| count).collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn at_least_one_of_two_may_be_ejected_and_never_the_only_one() {
        let vitals = vitals(Limits::default());
        for (members, most) in [(0, 0), (1, 0), (2, 1), (3, 1), (6, 1), (7, 2), (10, 3)] {
            vitals.members.store(members, Ordering::Relaxed);
            vitals.ejected.store(0, Ordering::Relaxed);
            assert_eq!((0..20).filter(|_| vitals.may_eject()).count(), most, "{members}");
        }
    }

    #[test]
    fn a_change_asks_for_a_plan_but_not_at_once_after_the_last() {
        let vitals = vitals(Limits::default());
        let now = vitals.born + Duration::from_secs(1);
        assert!(!vitals.is_due(now));
        vitals.due_at(now + Duration::from_secs(1));
        assert!(!vitals.is_due(now) && vitals.is_due(now + Duration::from_secs(1)));
        vitals.changed();
        assert!(vitals.is_due(now));
        vitals.begin_planning(now, Duration::from_millis(5));
        vitals.changed();
        assert!(!vitals.is_due(now) && vitals.is_due(now + Duration::from_millis(5)));
    }
}
