//! What runs: the configuration checked and completed. Plain values; the rooms take their settings from here.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::{MethodSettings, Place, UnknownFields};

/// A whole configuration, in which every name refers to something and every file was there when it was read.
#[derive(Clone, Debug, PartialEq)]
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
    /// Names are unique; each names one of `clusters`.
    pub catalogs: Vec<CatalogSource>,
    /// `None`: no browser of another origin may call.
    pub cors: Option<Cors>,
    /// In the order to apply them: later ones override earlier ones.
    pub settings: Vec<SettingsRule>,
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
    /// `None`: no limit.
    pub max_connections: Option<usize>,
    /// From the connection's first byte, TLS included, to the end of a request's head. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection without a call stays open. Default 10 min.
    pub idle_timeout: Duration,
    /// How long a connection stays open at all; calls in flight end in peace. `None`: for ever.
    pub max_age: Option<Duration>,
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
    /// Per endpoint and worker. Default 4.
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

/// Where a catalog comes from, and what is said about it besides its descriptors.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogSource {
    pub name: String,
    /// Import roots.
    pub proto_paths: Vec<PathBuf>,
    /// Files to compile; none: every `.proto` under the roots.
    pub protos: Vec<PathBuf>,
    pub descriptor_sets: Vec<PathBuf>,
    pub cluster: String,
    /// In the order written.
    pub hosts: Vec<HostRule>,
    pub rules: Vec<HttpRule>,
    pub conflicts: Conflicts,
    pub auto_mapping: bool,
    pub pass_unknown_methods: bool,
    /// Where the configuration speaks of it.
    pub place: Option<Place>,
}

/// The hosts under which some services answer; services that no rule names answer under all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// `*`, `pkg.*` or `pkg.Service`.
    pub services: String,
    /// Lower case, without a port; `*.` may stand for one label in front.
    pub hosts: Vec<String>,
    pub place: Option<Place>,
}

/// A `google.api.HttpRule` that the configuration gives.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    /// `pkg.Service.Method`.
    pub selector: String,
    pub binding: RuleBinding,
    pub additional_bindings: Vec<RuleBinding>,
    /// Beside the method's own annotations; otherwise in their place.
    pub add: bool,
    pub place: Option<Place>,
}

/// One path of a rule. Template and field names are checked where the catalog is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleBinding {
    /// `GET` and so on, or `*`.
    pub verb: String,
    pub path: String,
    pub body: Option<String>,
    pub response_body: Option<String>,
    pub place: Option<Place>,
}

/// What to do about two rules of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// The catalog does not load.
    Refuse,
    /// It loads; these templates stay unrouted and are reported.
    Report,
}

/// Which browsers of other origins may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Cors {
    /// As browsers send them, in lower case; or `*`.
    pub origins: Vec<String>,
    /// `None`: those that the catalogs' bindings use.
    pub methods: Option<Vec<String>>,
    /// Besides those that the protocols need. Lower case.
    pub allow_headers: Vec<String>,
    /// Besides those that the protocols need. Lower case.
    pub expose_headers: Vec<String>,
    /// Cookies and HTTP authentication are allowed. Never together with `*`.
    pub credentials: bool,
    /// How long a browser may keep a preflight's answer. Default 2 h.
    pub max_age: Duration,
}

/// Settings for some methods; what is `None` stays as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsRule {
    pub matches: Match,
    pub max_request_message: Option<usize>,
    pub max_response_message: Option<usize>,
    pub default_deadline: Option<Duration>,
    pub max_deadline: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    pub unknown_json_fields: Option<UnknownFields>,
    pub print_unset: Option<bool>,
    pub proto_names: Option<bool>,
    pub enum_numbers: Option<bool>,
    pub ignored_query: Option<Vec<String>>,
    pub place: Option<Place>,
}

/// Which methods a rule is for. Narrower ones override wider ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    All,
    /// Every method of this catalog.
    Catalog(String),
    /// `pkg.Service`.
    Service(String),
    /// `pkg.Service` and `Method`.
    Method(String, String),
}

// === impl Settled ===

impl Settled {
    /// What holds for a method: defaults, then the rules for all, its catalog, its service, itself.
    pub fn method_settings(&self, catalog: &str, service: &str, method: &str) -> MethodSettings {
        let mut settings = MethodSettings::default();
        for rule in self.settings.iter().filter(|rule| rule.matches.covers(catalog, service, method)) {
            rule.apply(&mut settings);
        }
        settings
    }

    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }
}

// === impl SettingsRule ===

impl SettingsRule {
    /// A rule that changes nothing.
    pub fn new(matches: Match) -> SettingsRule {
        SettingsRule {
            matches,
            max_request_message: None,
            max_response_message: None,
            default_deadline: None,
            max_deadline: None,
            idle_timeout: None,
            unknown_json_fields: None,
            print_unset: None,
            proto_names: None,
            enum_numbers: None,
            ignored_query: None,
            place: None,
        }
    }

    /// Lays this rule over what held before.
    pub fn apply(&self, to: &mut MethodSettings) {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        set(&mut to.max_request_message, &self.max_request_message);
        set(&mut to.max_response_message, &self.max_response_message);
        set(&mut to.unknown_json_fields, &self.unknown_json_fields);
        set(&mut to.print_unset, &self.print_unset);
        set(&mut to.proto_names, &self.proto_names);
        set(&mut to.enum_numbers, &self.enum_numbers);
        to.default_deadline = self.default_deadline.or(to.default_deadline);
        to.max_deadline = self.max_deadline.or(to.max_deadline);
        to.idle_timeout = self.idle_timeout.or(to.idle_timeout);
        if let Some(ignored) = &self.ignored_query {
            to.ignored_query = ignored.iter().map(|name| name.as_str().into()).collect();
        }
    }
}

// === impl Match ===

impl Match {
    pub fn covers(&self, catalog: &str, service: &str, method: &str) -> bool {
        match self {
            Match::All => true,
            Match::Catalog(name) => name == catalog,
            Match::Service(name) => name == service,
            Match::Method(name, of) => name == service && of == method,
        }
    }

    /// Wider choices first.
    pub(super) fn breadth(&self) -> u8 {
        match self {
            Match::All => 0,
            Match::Catalog(_) => 1,
            Match::Service(_) => 2,
            Match::Method(..) => 3,
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Match::All => f.write_str("*"),
            Match::Catalog(name) => write!(f, "catalog {name}"),
            Match::Service(name) => write!(f, "{name}/*"),
            Match::Method(service, method) => write!(f, "{service}/{method}"),
        }
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
