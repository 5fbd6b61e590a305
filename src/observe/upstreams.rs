//! What is known of upstreams, as plain figures: for `/metrics` and for the operator's page about clusters. The rooms above
//! gather them when somebody asks; nothing is counted here.

use std::sync::Arc;

use serde::Serialize;

/// Whoever knows the clusters in use.
pub trait Upstreams: std::fmt::Debug + Send + Sync {
    /// One of each name.
    fn figures(&self) -> Vec<ClusterFigures>;
}

/// A cluster, over all workers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClusterFigures {
    pub name: Arc<str>,
    /// The policy by which calls are spread, as it is written in the configuration.
    pub balance: &'static str,
    /// So few endpoints are healthy that health is not looked at.
    pub panic: bool,
    /// Calls that wait for a connection.
    pub pending: u64,
    /// Calls refused because of a bound, by the bound's name.
    pub overloaded: Vec<Count>,
    /// How the source of the endpoints does; `None` where they are fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryFigures>,
    pub endpoints: Vec<EndpointFigures>,
}

/// A source of endpoints: DNS, a file, Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiscoveryFigures {
    /// Sets that differed from the one before.
    pub updates: u64,
    /// Looks that failed or found nobody; the last good set is kept.
    pub failures: u64,
    /// Why the last look failed; `None` when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

/// An endpoint, over all workers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EndpointFigures {
    /// Host and port.
    pub endpoint: Arc<str>,
    pub weight: u32,
    pub priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Box<str>>,
    pub health: Health,
    /// Why it is not healthy, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Calls open on it now.
    pub active: u64,
    /// Calls ever sent to it.
    pub calls: u64,
    /// Calls that failed because of it, and connects, by what went wrong.
    pub failures: Vec<Count>,
    /// Connections open to it.
    pub connections: u64,
    /// Failed connects in a row.
    pub connect_failures: u32,
    pub ejections: u64,
    /// From head to head, averaged; `None` if nothing was answered lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    #[default]
    Healthy,
    /// Healthy, but new or just back: it gets fewer calls for a while.
    Warming,
    /// No connection can be made to it.
    Down,
    /// An active check says so.
    Unhealthy,
    /// Too many calls have failed on it.
    Ejected,
    /// It was ejected, and is tried by one call at a time.
    Trial,
}

/// How often something of this name has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    pub name: &'static str,
    pub count: u64,
}

// === impl Health ===

impl Health {
    /// All, in the order of their numbers.
    pub const ALL: [Health; 6] =
        [Health::Healthy, Health::Warming, Health::Down, Health::Unhealthy, Health::Ejected, Health::Trial];

    /// For labels and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Warming => "warming",
            Health::Down => "down",
            Health::Unhealthy => "unhealthy",
            Health::Ejected => "ejected",
            Health::Trial => "trial",
        }
    }
}

// === impl ClusterFigures ===

impl ClusterFigures {
    /// Takes in the figures of a cluster of the same name, as there is one while the calls of an earlier generation end:
    /// what is counted is added up, what is known is kept. Endpoints that only the other has are left out.
    pub fn add(&mut self, other: &ClusterFigures) {
        self.pending += other.pending;
        add_counts(&mut self.overloaded, &other.overloaded);
        for own in &mut self.endpoints {
            if let Some(other) = other.endpoints.iter().find(|other| other.endpoint == own.endpoint) {
                own.add(other);
            }
        }
    }
}

// === impl EndpointFigures ===

impl EndpointFigures {
    /// Adds up what is counted.
    pub(super) fn add(&mut self, other: &EndpointFigures) {
        self.active += other.active;
        self.calls += other.calls;
        self.connections += other.connections;
        self.ejections += other.ejections;
        add_counts(&mut self.failures, &other.failures);
    }
}

fn add_counts(own: &mut [Count], other: &[Count]) {
    for count in own {
        count.count += other.iter().find(|other| other.name == count.name).map_or(0, |other| other.count);
    }
}
