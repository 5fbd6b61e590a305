//! gRPC over HTTP/2 towards upstreams, by the `h2` crate itself and with a pool of our own.
//!
//! A [`Cluster`] is process-wide: settings, and what is known of each endpoint's health. A [`Pool`] belongs to one
//! worker: its connections, its tasks and its calls stay on one thread, since all streams of an `h2` connection share
//! a lock. Pools are keyed by cluster, so connections outlive a reload that leaves the cluster as it was.
//!
//! Why not hyper's client: it costs eight allocations, 4 KB and a write more per call, releases the window before
//! anybody took the bytes, and does not expose `data_frame_budget` (see `connect.rs`).

mod attend;
mod balance;
mod breaker;
mod budget;
mod cluster;
mod connect;
mod connection;
mod discovery;
mod drive;
mod endpoint;
mod exchange;
mod fault;
mod intake;
mod load;
mod parting;
mod plan;
mod policy;
mod pool;
mod probe;
mod ring;
mod set;
mod tls;
mod vitals;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use budget::{RetryBudget, RetryBudgetSettings};
pub use cluster::{Backoff, Cluster, ClusterSettings, Clusters, SettingsError};
pub use discovery::{Discovery, DnsSettings, EndpointsReader, Families, FileSettings, KubernetesSettings, ServicePort};
pub use endpoint::{Endpoint, EndpointSettings, Probed};
pub use exchange::{Exchange, RequestStream, ResponseHead, ResponseStream, Verdict};
pub use fault::{Fault, FaultKind};
pub use policy::{Balance, CodeSet, Ejection, HashBy, Limits};
pub use pool::{Choice, Place, Pool};
pub use probe::{ProbeMode, ProbeSettings};
pub use ring::hash_key;
pub use tls::{ClientIdentity, Roots, SanPattern, TlsSettings, TlsVersion};

/// A lock whose holder panicked is taken all the same: what it guards is never left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
