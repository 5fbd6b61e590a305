//! gRPC over HTTP/2 towards upstreams, by the `h2` crate itself and with a pool of our own.
//!
//! A [`Cluster`] is process-wide: settings, and what is known of each endpoint's health. A [`Pool`] belongs to one
//! worker: its connections, its tasks and its calls stay on one thread, since all streams of an `h2` connection share
//! a lock. Pools are keyed by cluster, so connections outlive a reload that leaves the cluster as it was.
//!
//! Why not hyper's client: it costs eight allocations, 4 KB and a write more per call, releases the window before
//! anybody took the bytes, and does not expose `data_frame_budget` (see `connect.rs`).

mod balance;
mod cluster;
mod connect;
mod connection;
mod drive;
mod exchange;
mod fault;
mod intake;
mod parting;
mod pool;
mod tls;

pub use cluster::{Backoff, Cluster, ClusterSettings, Clusters, EndpointSettings, EndpointState, SettingsError};
pub use exchange::{Exchange, RequestStream, ResponseHead, ResponseStream};
pub use fault::{Fault, FaultKind};
pub use pool::Pool;
pub use tls::{ClientIdentity, Roots, TlsSettings};
