//! What runs: the configuration checked and completed. Plain values; the rooms take their settings from here.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::Source;

/// A whole configuration, in which every name refers to something and every file was there when it was read.
#[derive(Clone, Debug)]
pub struct Settled {
    /// At least one.
    pub listeners: Vec<Listener>,
    /// Where health, readiness and metrics answer; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Threads that serve; `None`: as many as the machine has cores.
    pub workers: Option<usize>,
    /// How long calls in flight may go on when the process is told to stop.
    pub drain_timeout: Duration,
    /// Names are unique.
    pub clusters: Vec<Cluster>,
    /// Names are unique; each names one of `clusters`, and has the `settings` of the top and its own.
    pub catalogs: Vec<Source>,
    /// `None`: no browser of another origin may call.
    pub cors: Option<Cors>,
    /// The files that were read, to watch for changes: the configuration and what TLS needs. The catalogs' own files
    /// are not among them.
    pub files: Vec<PathBuf>,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub address: SocketAddr,
    /// `None`: clear text.
    pub tls: Option<ListenerTls>,
    /// 0: no limit. Default 65,536.
    pub max_connections: usize,
    /// From the connection's first byte, TLS included, to the end of a request's head. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection without a call stays open. Default 10 min.
    pub idle_timeout: Duration,
    /// How long a connection stays open at all; calls in flight end in peace. Default 1 h.
    pub max_age: Duration,
    /// Calls at once on one HTTP/2 connection. Default 256.
    pub max_concurrent_streams: u32,
    /// A request's head, in bytes. Default 32 KiB.
    pub max_header_bytes: u32,
}

/// What a listener shows to its callers, and asks of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// For callers that name no server, or one that no other certificate is for.
    pub identity: Identity,
    /// More certificates, by the server name that the caller asks for.
    pub sni: Vec<SniIdentity>,
    /// Callers must show a certificate that one of these authorities signed.
    pub client_ca: Option<PathBuf>,
    /// Clear text is served on the same port. Never together with `client_ca`.
    pub plaintext_also: bool,
}

/// A certificate chain and its key, PEM files that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A certificate for some server names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniIdentity {
    /// Lower case; `*.` may stand for one label in front.
    pub names: Vec<String>,
    pub identity: Identity,
}

/// A set of endpoints that answer the same calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    pub name: String,
    /// At least one, but for a catalog that is only described and never served.
    pub endpoints: Vec<Endpoint>,
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// Per endpoint and worker. Default 8.
    pub max_connections: usize,
    /// HTTP/2 pings on connections.
    pub keep_alive: KeepAlive,
    /// For endpoints over TLS.
    pub tls: ClusterTls,
    /// `:authority` towards the upstream; `None`: the endpoint's host and port.
    pub authority: Option<String>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// When to ping a connection, and how long to wait for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Default 60 s.
    pub interval: Duration,
    /// Default 20 s.
    pub timeout: Duration,
}

/// How an upstream's certificate is judged, and what it is shown.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClusterTls {
    /// Authorities to trust; `None`: the public ones.
    pub ca: Option<PathBuf>,
    pub identity: Option<Identity>,
    /// The name to ask for and to check; `None`: the endpoint's host.
    pub server_name: Option<String>,
}

/// Which browsers of other origins may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Cors {
    /// As browsers send them, in lower case; or `*`.
    pub origins: Vec<String>,
    /// `None`: those that the catalogs' bindings use.
    pub methods: Option<Vec<http::Method>>,
    /// Besides those that the protocols need.
    pub allow_headers: Vec<http::HeaderName>,
    /// Besides those that the protocols need.
    pub expose_headers: Vec<http::HeaderName>,
    /// Cookies and HTTP authentication are allowed. Never together with `*`.
    pub credentials: bool,
    /// How long a browser may keep a preflight's answer. Default 2 h.
    pub max_age: Duration,
}

// === impl Settled ===

impl Settled {
    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }
}

// === impl Endpoint ===

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "h2s" } else { "h2c" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}
