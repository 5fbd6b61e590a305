//! How often requests are sent more than once, and what keeps them from it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::meters::Tally;

/// Why a request was sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatReason {
    /// The upstream never took it up: REFUSED_STREAM, a GOAWAY, or a connection that was closing.
    Refused,
    /// There was no connection.
    Connect,
    /// The upstream reset the stream before it answered.
    Reset,
    /// The connection was lost before the answer began.
    Lost,
    /// The upstream answered with a status that may be tried again.
    Status,
    /// The answer did not begin in the time that an attempt has.
    Slow,
}

/// The counters of attempts beyond the first.
#[derive(Debug, Default)]
pub struct RepeatMeters {
    retries: [AtomicU64; RepeatReason::ALL.len()],
    /// Second requests that were sent while the first was still without an answer.
    pub hedges: Tally,
    /// Those of them whose answer was the one that counted.
    pub hedges_won: Tally,
    /// Attempts that the cluster's budget did not allow.
    pub over_budget: Tally,
    /// Times that an upstream said when to come again, or never (`grpc-retry-pushback-ms`, `google.rpc.RetryInfo`).
    pub pushbacks: Tally,
}

// === impl RepeatReason ===

impl RepeatReason {
    /// All, in the order in which they are counted.
    pub const ALL: [RepeatReason; 6] = [
        RepeatReason::Refused,
        RepeatReason::Connect,
        RepeatReason::Reset,
        RepeatReason::Lost,
        RepeatReason::Status,
        RepeatReason::Slow,
    ];

    /// For labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            RepeatReason::Refused => "refused",
            RepeatReason::Connect => "connect",
            RepeatReason::Reset => "reset",
            RepeatReason::Lost => "lost",
            RepeatReason::Status => "status",
            RepeatReason::Slow => "slow",
        }
    }
}

// === impl RepeatMeters ===

impl RepeatMeters {
    /// Counts a request that is sent once more.
    pub fn retried(&self, reason: RepeatReason) {
        if let Some(count) = self.retries.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All reasons, and how often each was one.
    pub fn retries(&self) -> impl Iterator<Item = (RepeatReason, u64)> {
        RepeatReason::ALL.into_iter().zip(self.retries.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
