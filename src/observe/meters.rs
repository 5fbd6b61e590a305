//! The counters of the process. Every name that appears in `/metrics` is here.
//!
//! Labels come from closed sets of ours (dialect, code, reason) or from the configuration (routes, clusters), never from a
//! caller, so the page cannot be made to grow. Endpoints may be discovered in any number; beyond a hundred of a cluster they
//! share a label.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::labelled::Labelled;
use super::reflection::ReflectionMeters;
use super::repeats::RepeatMeters;
use super::upstreams::{ClusterFigures, Upstreams};

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// A number that only goes up.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

/// Holds one unit of a gauge for as long as it lives, so that what is counted cannot be forgotten.
#[derive(Debug)]
pub struct GaugeGuard {
    meters: Arc<Meters>,
    pick: fn(&Meters) -> &Gauge,
}

/// The dialects that can be counted; a name that is not here counts as `unknown`.
pub const DIALECTS: [&str; 14] = [
    "unknown",
    "grpc",
    "grpc-web",
    "grpc-web-text",
    "connect-unary",
    "connect-get",
    "connect-stream",
    "rest",
    "rest-stream",
    "rest-raw",
    "grpc-websocket",
    "json-websocket",
    "json-websocket-v1",
    "local",
];

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the upstream.
    Request,
    /// To the caller.
    Response,
}

/// What the schema guard did with a message that breaks the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardWord {
    /// It passed.
    Shadow,
    /// It was refused.
    Enforce,
    /// It passed: all that is wrong are fields that the schema does not have, and these are only reported.
    Report,
}

/// What the rules of `buf.validate` say of a message that they do not let be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It breaks rules.
    Broken,
    /// It is no message of its type, cannot be unpacked, or a rule failed over it.
    Unjudged,
}

/// Upper bounds of the call duration histogram, seconds.
pub(super) const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// All counters of the process.
#[derive(Debug)]
pub struct Meters {
    /// Connections of callers that are open.
    pub connections_active: Gauge,
    pub connections_total: Tally,
    /// Connections closed while we still waited for their first bytes or their TLS handshake.
    pub connections_refused: Tally,
    /// WebSockets of callers, from their handshake to their end.
    pub websockets_active: Gauge,
    /// Calls between head and end.
    pub calls_active: Gauge,
    /// Streams open towards upstreams.
    pub upstream_streams_active: Gauge,
    pub upstream_connections_active: Gauge,
    pub upstream_connect_failures: Tally,
    /// Requests that were sent more than once.
    pub repeats: RepeatMeters,
    /// Tasks that carry a request body beside its response.
    pub pumps_active: Gauge,
    pub reloads: Tally,
    pub reload_failures: Tally,
    /// Number of the generation in force, from 1.
    pub generation: Gauge,
    /// Of catalogs that come from reflection.
    pub reflection: ReflectionMeters,
    /// Write one access line per call.
    pub access_log: bool,
    /// Who knows of upstreams, once somebody has said so.
    pub(super) upstreams: OnceLock<Arc<dyn Upstreams>>,
    /// By direction and word, in the order of their `ALL`.
    pub(super) guard_violations: [[AtomicU64; GuardWord::ALL.len()]; Direction::ALL.len()],
    /// By direction, whether it was enforced, and verdict.
    pub(super) rule_violations: [[[AtomicU64; Verdict::ALL.len()]; 2]; Direction::ALL.len()],
    /// Calls by route and cluster.
    pub route_calls: Labelled,
    /// Calls that went to a second cluster besides, by that cluster and by what came of it.
    pub mirrored: Labelled,
    /// Faults that were injected, by route and kind.
    pub faults: Labelled,
    pub(super) calls: [[AtomicU64; 17]; DIALECTS.len()],
    /// Calls per bucket, not summed up; the last one holds those over every bound.
    pub(super) durations: [AtomicU64; BUCKETS.len() + 1],
    pub(super) duration_micros: AtomicU64,
}

// === impl Direction ===

impl Direction {
    /// Both, in the order in which they are counted.
    pub const ALL: [Direction; 2] = [Direction::Request, Direction::Response];

    /// For labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Request => "request",
            Direction::Response => "response",
        }
    }
}

// === impl GuardWord ===

impl GuardWord {
    /// All, in the order in which they are counted.
    pub const ALL: [GuardWord; 3] = [GuardWord::Shadow, GuardWord::Enforce, GuardWord::Report];

    /// For labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            GuardWord::Shadow => "shadow",
            GuardWord::Enforce => "enforce",
            GuardWord::Report => "report",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Both, in the order in which they are counted.
    pub const ALL: [Verdict; 2] = [Verdict::Broken, Verdict::Unjudged];

    /// For labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Broken => "broken",
            Verdict::Unjudged => "unjudged",
        }
    }
}

// === impl Gauge ===

impl Gauge {
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn sub(&self, n: i64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Tally ===

impl Tally {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl GaugeGuard ===

impl GaugeGuard {
    pub fn new(meters: &Arc<Meters>, pick: fn(&Meters) -> &Gauge) -> GaugeGuard {
        pick(meters).add(1);
        GaugeGuard { meters: Arc::clone(meters), pick }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        (self.pick)(&self.meters).sub(1);
    }
}

// === impl Meters ===

impl Meters {
    pub fn new(access_log: bool) -> Arc<Meters> {
        Arc::new(Meters {
            connections_active: Gauge::default(),
            connections_total: Tally::default(),
            connections_refused: Tally::default(),
            websockets_active: Gauge::default(),
            calls_active: Gauge::default(),
            upstream_streams_active: Gauge::default(),
            upstream_connections_active: Gauge::default(),
            upstream_connect_failures: Tally::default(),
            repeats: RepeatMeters::default(),
            pumps_active: Gauge::default(),
            reloads: Tally::default(),
            reload_failures: Tally::default(),
            generation: Gauge::default(),
            reflection: ReflectionMeters::default(),
            access_log,
            upstreams: OnceLock::new(),
            guard_violations: Default::default(),
            rule_violations: Default::default(),
            route_calls: Labelled::new(
                "transom_route_calls",
                "Calls that a route chose the way of, by route and cluster",
                &["route", "cluster"],
            ),
            mirrored: Labelled::new(
                "transom_mirror",
                "Calls that went to a mirror besides, by its cluster and by how its answer compares",
                &["cluster", "outcome"],
            ),
            faults: Labelled::new("transom_faults", "Faults that were injected, by route and kind", &["route", "kind"]),
            calls: Default::default(),
            durations: Default::default(),
            duration_micros: AtomicU64::new(0),
        })
    }

    /// From whom the figures of upstreams are to be had; the first word counts.
    pub fn ask_of_upstreams(&self, upstreams: Arc<dyn Upstreams>) {
        let _ = self.upstreams.set(upstreams);
    }

    /// The figures of upstreams as they are now, by the names of their clusters.
    pub fn upstreams(&self) -> Vec<ClusterFigures> {
        self.upstreams.get().map_or_else(Vec::new, |upstreams| upstreams.figures())
    }

    /// Counts a message that breaks the schema.
    pub fn guard_violated(&self, direction: Direction, word: GuardWord) {
        let words = self.guard_violations.get(direction as usize);
        if let Some(count) = words.and_then(|words| words.get(word as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a message that rules do not let be; `enforced`: it was refused, else it passed.
    pub fn rules_violated(&self, direction: Direction, enforced: bool, verdict: Verdict) {
        let verdicts = self.rule_violations.get(direction as usize).and_then(|modes| modes.get(usize::from(enforced)));
        if let Some(count) = verdicts.and_then(|verdicts| verdicts.get(verdict as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The dialects in which calls have ended so far.
    pub fn dialects_heard(&self) -> impl Iterator<Item = &'static str> {
        let is_heard = |codes: &[AtomicU64; 17]| codes.iter().any(|count| count.load(Ordering::Relaxed) > 0);
        DIALECTS.iter().zip(&self.calls).filter(move |(_, codes)| is_heard(codes)).map(|(dialect, _)| *dialect)
    }

    /// Counts a call that ended with this gRPC code number.
    pub fn call_ended(&self, dialect: &str, code: u8, took: Duration) {
        let dialect = DIALECTS.iter().position(|name| *name == dialect).unwrap_or(0);
        if let Some(count) = self.calls.get(dialect).and_then(|codes| codes.get(usize::from(code))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = self.durations.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.duration_micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}
