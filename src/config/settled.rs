//! What runs: the configuration checked and completed. Plain values; each room has its own settings among them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::Source;
use crate::describe::OpenapiOptions;
use crate::listen;
use crate::policy::cors;
use crate::reflect;
use crate::route::TargetRule;
use crate::upstream::ClusterSettings;

/// A whole configuration, in which every name refers to something and every file was there when it was read.
#[derive(Clone, Debug)]
pub struct Settled {
    /// At least one.
    pub listeners: Vec<listen::Settings>,
    /// Where health, readiness and metrics answer; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Threads that serve; `None`: as many as the machine has cores.
    pub workers: Option<usize>,
    /// How long calls in flight may go on when the process is told to stop.
    pub drain_timeout: Duration,
    /// Names are unique. Without endpoints only for a catalog that is described and never served ([`super::Purpose`]).
    pub clusters: Vec<ClusterSettings>,
    /// Names are unique; each names one of `clusters`, and has the `settings` of the top and its own.
    pub catalogs: Vec<Source>,
    /// The catalogs that come from reflection, by their names; those of `catalogs` lack what upstreams say until it is
    /// filled in ([`reflect::Book::fill`]).
    pub reflections: Vec<reflect::Settings>,
    /// To which clusters calls go, in order. Their methods and fields are looked for when the catalogs are loaded.
    pub routes: Vec<TargetRule>,
    /// `None`: no browser of another origin may call.
    pub cors: Option<cors::Settings>,
    /// What the OpenAPI document says beside what the catalogs do.
    pub openapi: OpenapiOptions,
    /// The files that were read, to watch for changes: the configuration and what TLS needs. The catalogs' own files
    /// are not among them.
    pub files: Vec<PathBuf>,
}

// === impl Settled ===

impl Settled {
    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&ClusterSettings> {
        self.clusters.iter().find(|cluster| &*cluster.name == name)
    }
}
