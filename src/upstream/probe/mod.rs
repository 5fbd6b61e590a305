//! Active health checks: each endpoint of a cluster is asked by `grpc.health.v1`, from the process and not from each
//! worker, on a connection of its own.
//!
//! `Watch` is preferred: the server says at once what has changed. Where it is UNIMPLEMENTED, `Check` is asked every
//! interval, and where that is too, a connection has to be enough. Whatever an endpoint answers, it is held to a few
//! bytes and to the timeout.

mod health_wire;
mod opinion;
mod rounds;
mod session;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use self::health_wire::Health;
pub(super) use self::session::Io;
#[cfg(feature = "kubernetes")]
pub(super) use self::session::keep_asking;
pub(super) use self::supervisor::supervise;

/// How the endpoints of a cluster are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Between checks, and between pings of a watched endpoint. Default 10 s.
    pub interval: Duration,
    /// In place of `interval` while the cluster gets no calls, unless an endpoint is watched. Default 60 s.
    pub no_traffic_interval: Duration,
    /// For a check, from the first packet to the end of the answer. Default 2 s.
    pub timeout: Duration,
    /// Good checks in a row that make an unhealthy endpoint healthy. Default 1.
    pub healthy_threshold: u32,
    /// Failed checks in a row that make a healthy endpoint unhealthy. Default 2. What a watched server says of itself
    /// counts at once, either way.
    pub unhealthy_threshold: u32,
    /// The service to ask for; empty: the server as a whole.
    pub service: Box<str>,
    pub mode: ProbeMode,
    /// How much longer than its interval a pause may be, by chance, percent. Default 10.
    pub jitter: u32,
}

/// How endpoints are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ProbeMode {
    /// `Watch`; where the server does not implement it `Check`; and where not even that, a connection.
    #[default]
    Auto,
    /// `Watch`, and a server that does not implement it is unhealthy.
    Watch,
    /// `Check`, likewise.
    Check,
    /// A connection: TCP, and TLS for endpoints that have it.
    Tcp,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Healthy,
    Unhealthy(Arc<str>),
}

// === impl ProbeSettings ===

impl Default for ProbeSettings {
    fn default() -> ProbeSettings {
        ProbeSettings {
            interval: Duration::from_secs(10),
            no_traffic_interval: Duration::from_secs(60),
            timeout: Duration::from_secs(2),
            healthy_threshold: 1,
            unhealthy_threshold: 2,
            service: "".into(),
            mode: ProbeMode::Auto,
            jitter: 10,
        }
    }
}

// === impl Finding ===

impl Finding {
    fn of(serving: Health) -> Finding {
        match serving {
            Health::Serving => Finding::Healthy,
            other => Finding::Unhealthy(format!("it says {}", other.name()).into()),
        }
    }

    fn unhealthy(why: &str) -> Finding {
        Finding::Unhealthy(why.into())
    }
}

#[cfg(test)]
mod tests;
