//! What becomes of single findings: thresholds, and when an endpoint is told that it is healthy or not.

use std::sync::Arc;

use super::Finding;
use crate::upstream::Probed;

/// The findings of one endpoint so far.
#[derive(Debug)]
pub(super) struct Opinion {
    healthy_after: u32,
    unhealthy_after: u32,
    /// What the endpoint was told.
    told: Told,
    /// Findings in a row that contradict it.
    against: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Healthy,
    Unhealthy(Arc<str>),
}

// === impl Opinion ===

impl Opinion {
    /// Thresholds are findings in a row, at least 1.
    pub(super) fn new(healthy_after: u32, unhealthy_after: u32) -> Opinion {
        Opinion {
            healthy_after: healthy_after.max(1),
            unhealthy_after: unhealthy_after.max(1),
            told: Told::Nothing,
            against: 0,
        }
    }

    /// What is to be told now, if anything. The first finding of all counts at once, and so does what a server says of
    /// itself unasked; what only we found counts when it was found often enough.
    pub(super) fn found(&mut self, finding: &Finding, unasked: bool) -> Option<Probed> {
        let (agrees, threshold) = match (&self.told, finding) {
            (Told::Healthy, Finding::Healthy) | (Told::Unhealthy(_), Finding::Unhealthy(_)) => (true, 0),
            (Told::Nothing, _) => (false, 1),
            (_, Finding::Healthy) => (false, self.healthy_after),
            (_, Finding::Unhealthy(_)) => (false, self.unhealthy_after),
        };
        if agrees {
            self.against = 0;
            return self.other_reason(finding);
        }
        self.against = self.against.saturating_add(1);
        (unasked || self.against >= threshold).then(|| self.tell(finding))
    }

    /// Unhealthy as before, but for another reason.
    fn other_reason(&mut self, finding: &Finding) -> Option<Probed> {
        match (&self.told, finding) {
            (Told::Unhealthy(old), Finding::Unhealthy(new)) if old != new => Some(self.tell(finding)),
            _ => None,
        }
    }

    fn tell(&mut self, finding: &Finding) -> Probed {
        self.against = 0;
        match finding {
            Finding::Healthy => {
                self.told = Told::Healthy;
                Probed::Healthy
            }
            Finding::Unhealthy(why) => {
                self.told = Told::Unhealthy(Arc::clone(why));
                Probed::Unhealthy(Arc::clone(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(why: &str) -> Finding {
        Finding::Unhealthy(why.into())
    }

    #[test]
    fn the_first_finding_counts_at_once_and_later_ones_when_they_insist() {
        let mut opinion = Opinion::new(2, 3);
        let mut found = |finding: Finding| opinion.found(&finding, false);
        assert_eq!(found(Finding::Healthy), Some(Probed::Healthy));
        assert_eq!(found(bad("a")), None);
        assert_eq!(found(bad("a")), None);
        assert_eq!(found(Finding::Healthy), None);
        assert_eq!([found(bad("a")), found(bad("a"))], [None, None], "only those in a row count");
        assert_eq!(found(bad("b")), Some(Probed::Unhealthy("b".into())));
        assert_eq!([found(bad("b")), found(bad("c"))], [None, Some(Probed::Unhealthy("c".into()))]);
        assert_eq!([found(Finding::Healthy), found(Finding::Healthy)], [None, Some(Probed::Healthy)]);
    }

    #[test]
    fn what_a_server_says_of_itself_counts_at_once() {
        let mut opinion = Opinion::new(9, 9);
        for _ in 0..3 {
            assert_eq!(opinion.found(&Finding::Healthy, true), Some(Probed::Healthy));
            assert_eq!(opinion.found(&Finding::Healthy, true), None);
            assert_eq!(opinion.found(&bad("x"), true), Some(Probed::Unhealthy("x".into())));
        }
    }
}
