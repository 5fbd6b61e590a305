//! Whether a failed attempt is followed by another, and when.

use std::time::{Duration, Instant};

use super::failed::{Pushback, Why};
use super::{Look, RepeatMeters};
use crate::catalog::{HedgeSettings, RetryOn, RetrySettings};
use crate::proxy::tables::Called;
use crate::proxy::target::random;
use crate::upstream::Cluster;

/// The attempts of a call so far.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Tally {
    /// Those that the policy counts.
    pub tries: u32,
    /// Those that were surely never taken up.
    pub refusals: u32,
    /// The upstream wants no more of them.
    pub unwanted: bool,
}

/// What is known of a call when one of its attempts has failed.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct Facts<'c> {
    pub called: &'c Called,
    /// Where the call goes, whose budget is asked.
    pub cluster: &'c Cluster,
    pub meters: &'c RepeatMeters,
    pub look: Look,
    pub deadline: Option<Instant>,
    /// The request is there for another attempt.
    pub has_body: bool,
    /// Other attempts are under way.
    pub others: bool,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Next {
    /// Another attempt after this time.
    Start(Duration),
    /// The other attempts go on.
    Others,
    /// The failure is the caller's.
    Over,
}

/// How often a call that is never taken up is sent, the first time included: in a restart of everything at once it meets
/// that many dying connections at most. With its pauses that lasts a second or so.
const MOST_REFUSALS: u32 = 16;
/// So many of them follow at once: another connection is likely to be fine.
const FREE_REFUSALS: u32 = 2;
const REFUSAL_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_REFUSAL_PAUSE: Duration = Duration::from_millis(250);
/// An upstream that asks for a longer pause is answered by handing its failure on: callers know whether they wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

// === impl Facts ===

impl<'c> Facts<'c> {
    /// The hedging of the method, and how long after.
    pub(super) fn hedging(&self) -> Option<(&'c HedgeSettings, Duration)> {
        let hedge = &self.called.method().settings.hedge;
        hedge.after.filter(|_| self.look != Look::Never).map(|after| (hedge, after))
    }

    fn most_tries(&self) -> u32 {
        self.hedging().map_or(self.called.method().settings.retry.attempts, |(hedge, _)| hedge.attempts)
    }

    fn on(&self) -> RetryOn {
        self.hedging().map_or(self.called.method().settings.retry.on, |(hedge, _)| hedge.on)
    }

    fn pause(&self, tries: u32) -> Duration {
        let RetrySettings { first_backoff, max_backoff, .. } = self.called.method().settings.retry;
        match self.hedging() {
            // the next in line begins at once (A6, "Hedging Policy")
            Some(_) => Duration::ZERO,
            None => jittered(first_backoff, tries.saturating_sub(1), max_backoff, random()),
        }
    }

    /// Whether another attempt after this pause has its request, and time.
    pub(super) fn are_there_for(&self, pause: Duration) -> bool {
        let then = Instant::now().checked_add(pause);
        self.has_body && self.deadline.is_none_or(|at| then.is_some_and(|then| then < at))
    }
}

// === impl Tally ===

impl Tally {
    /// With the first attempt under way.
    pub(in crate::proxy) const FIRST: Tally = Tally { tries: 1, refusals: 0, unwanted: false };

    /// Decides what follows a failure. An attempt that follows is counted, and taken out of the budget.
    pub(in crate::proxy) fn next(&mut self, why: &Why, facts: &Facts<'_>) -> Next {
        // an upstream that was there a moment ago has a successor soon
        let is_replaced = || self.refusals > 0 || facts.cluster.was_there_lately();
        let next = if why.is_refusal() || why.is_connect() && is_replaced() {
            self.after_refusal(facts)
        } else if facts.look == Look::Never || !why.is_among(facts.on()) {
            return Next::Over;
        } else {
            self.by_policy(why, facts)
        };
        match next {
            Some(wait) => Next::Start(wait),
            None if facts.others => Next::Others,
            None => Next::Over,
        }
    }

    /// The pause before a request that was never taken up goes again.
    fn after_refusal(&mut self, facts: &Facts<'_>) -> Option<Duration> {
        self.refusals += 1;
        let pause = match self.refusals.checked_sub(FREE_REFUSALS + 1) {
            None => Duration::ZERO,
            Some(doublings) => jittered(REFUSAL_PAUSE, doublings, LONGEST_REFUSAL_PAUSE, random()),
        };
        let is_possible = self.refusals < MOST_REFUSALS && !self.unwanted && facts.are_there_for(pause);
        is_possible.then_some(pause)
    }

    /// The pause before the next attempt, if the policy, the upstream and the budget allow one.
    fn by_policy(&mut self, why: &Why, facts: &Facts<'_>) -> Option<Duration> {
        let (pushback, least) = why.asked();
        if pushback != Pushback::None || least.is_some() {
            facts.meters.pushbacks.add(1);
        }
        let wait = match pushback {
            Pushback::Never => {
                self.unwanted = true;
                return None;
            }
            Pushback::After(wait) => wait,
            Pushback::None => facts.pause(self.tries).max(least.unwrap_or_default()),
        };
        let is_possible = self.tries < facts.most_tries() && !self.unwanted && wait <= LONGEST_WAIT;
        (is_possible && facts.are_there_for(wait) && self.grant(facts)).then_some(wait)
    }

    /// Takes an attempt out of the budget.
    pub(super) fn grant(&mut self, facts: &Facts<'_>) -> bool {
        let granted = facts.cluster.retry_budget().withdraw(Instant::now());
        if granted {
            self.tries += 1;
        } else {
            facts.meters.over_budget.add(1);
        }
        granted
    }
}

/// A random part of `first`, doubled so often, but no longer than `max` ("full jitter": callers that failed together do not
/// come back together).
fn jittered(first: Duration, doublings: u32, max: Duration, random: u64) -> Duration {
    let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let longest = first.saturating_mul(factor).min(max);
    longest.mul_f64((random % (1 << 20)) as f64 / f64::from((1 << 20) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_parts_of_what_doubles_up_to_a_limit() {
        let (first, max) = (Duration::from_millis(25), Duration::from_millis(250));
        let longest = |doublings| jittered(first, doublings, max, u64::MAX);
        assert_eq!([0, 1, 2, 3].map(longest), [25, 50, 100, 200].map(Duration::from_millis));
        for doublings in [4, 31, 32, u32::MAX] {
            assert_eq!(longest(doublings), max);
        }
        assert_eq!(jittered(first, 0, max, 0), Duration::ZERO);
        let spread: Vec<Duration> = (0..1000).map(|_| jittered(first, 2, max, random())).collect();
        assert!(spread.iter().all(|pause| *pause <= Duration::from_millis(100)));
        assert!(spread.iter().any(|pause| *pause < Duration::from_millis(20)));
        assert!(spread.iter().any(|pause| *pause > Duration::from_millis(80)));
    }
}
