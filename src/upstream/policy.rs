//! What the operator says of how a cluster's calls are spread over its endpoints, and when not.

use std::time::Duration;

use http::HeaderName;

use super::cluster::Backoff;
use crate::status::Code;

/// How a call's endpoint is chosen, among those that may take it. Weights hold for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Of two at random the one that is less busy and answers faster.
    #[default]
    P2c,
    /// One after the other.
    RoundRobin,
    /// Of two at random the one with fewer calls.
    LeastRequest,
    /// Calls with the same key go to the same endpoint; a call without one goes anywhere.
    RingHash(HashBy),
}

/// What the key of a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    Header(HeaderName),
    /// The cookie of this name.
    Cookie(Box<str>),
    /// A field of the first message, by its path: `shipment.region`.
    Field(Box<str>),
}

/// When an endpoint is ejected for how its calls end (`breaker.rs` says how it works).
#[derive(Clone, Debug, PartialEq)]
pub struct Ejection {
    /// Failed calls in a row; 0: never for these. Default 5.
    pub consecutive: u32,
    /// Ejected when fewer calls than this part of 1 succeed within the window; 0: never for that. Default 0.5.
    pub success_rate: f64,
    /// Default 10 s.
    pub window: Duration,
    /// So many calls must have ended within the window for their rate to count. Default 20.
    pub min_calls: u32,
    /// For how long: the first time, and at most. Default 5 s, doubling up to 5 min.
    pub time: Backoff,
    /// The part of the endpoints that may be out at once, percent; one always may, if there are two. Default 30.
    pub max_ejected: u8,
    /// What counts as a failure when the endpoint says it.
    pub failures: CodeSet,
}

/// A set of gRPC codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSet(u32);

/// How much a cluster takes at once, over all workers; `None`: no bound. What is beyond is refused at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls from the choice of an endpoint to their end.
    pub calls: Option<usize>,
    /// Calls that wait for a connection, or for a free stream on one.
    pub pending: Option<usize>,
    /// Calls on one endpoint.
    pub endpoint_calls: Option<usize>,
}

// === impl Balance ===

impl Balance {
    /// As it is written in the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Balance::P2c => "p2c",
            Balance::RoundRobin => "round_robin",
            Balance::LeastRequest => "least_request",
            Balance::RingHash(_) => "ring_hash",
        }
    }
}

// === impl Ejection ===

impl Default for Ejection {
    fn default() -> Ejection {
        Ejection {
            consecutive: 5,
            success_rate: 0.5,
            window: Duration::from_secs(10),
            min_calls: 20,
            time: Backoff { first: Duration::from_secs(5), cap: Duration::from_secs(300) },
            max_ejected: 30,
            failures: CodeSet::FAILURES,
        }
    }
}

// === impl CodeSet ===

impl CodeSet {
    /// What says that the server, and not the caller or the matter, is at fault. RESOURCE_EXHAUSTED is not among them:
    /// it is told of callers' quotas more often than of servers.
    pub const FAILURES: CodeSet =
        CodeSet::of(&[Code::Unavailable, Code::DeadlineExceeded, Code::Internal, Code::Unknown, Code::DataLoss]);

    pub const fn of(codes: &[Code]) -> CodeSet {
        let (mut bits, mut at) = (0, 0);
        while at < codes.len() {
            bits |= 1 << codes[at].number();
            at += 1;
        }
        CodeSet(bits)
    }

    pub fn has(self, code: Code) -> bool {
        self.0 & (1 << code.number()) != 0
    }
}

impl FromIterator<Code> for CodeSet {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> CodeSet {
        CodeSet(codes.into_iter().fold(0, |bits, code| bits | 1 << code.number()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_codes_it_was_made_of() {
        let made: CodeSet = [Code::Ok, Code::Unauthenticated].into_iter().collect();
        assert!(made.has(Code::Ok) && made.has(Code::Unauthenticated) && !made.has(Code::Unavailable));
        assert!(CodeSet::FAILURES.has(Code::Unavailable) && !CodeSet::FAILURES.has(Code::ResourceExhausted));
    }
}
