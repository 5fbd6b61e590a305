//! Clusters: what the operator says of an upstream, and what all workers know of its endpoints.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use rustls_pki_types::ServerName;
use tokio::sync::watch;
use tokio::time::Instant;

use super::balance::random;
use super::tls::TlsSettings;

/// What the operator says of an upstream. Two equal ones share their connections across reloads.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSettings {
    pub name: Box<str>,
    pub endpoints: Vec<EndpointSettings>,
    /// From the first packet to the upstream's SETTINGS, name look-up and TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// Per endpoint and worker, at least 1. Default 8.
    pub max_connections: usize,
    /// A connection with open streams that was silent for so long is pinged; zero: never. Default 60 s.
    pub keep_alive_interval: Duration,
    /// How long the ping may stay unanswered before the connection is given up. Default 20 s.
    pub keep_alive_timeout: Duration,
    /// Connections beyond an endpoint's first are closed after so long without a call. Default 5 min.
    pub idle_timeout: Duration,
    /// Sent as `:authority`; `None`: the endpoint's host and port.
    pub authority: Option<Box<str>>,
    /// What an unread answer may take, bytes. Default 1 MiB.
    pub stream_window: u32,
    /// Default 2 GiB - 1, the protocol's maximum. The streams' windows are the bound; with a smaller connection
    /// window, slow readers use it up and stop every other call on the connection.
    pub connection_window: u32,
    /// For endpoints over TLS.
    pub tls: TlsSettings,
    pub backoff: Backoff,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointSettings {
    /// A name, or an IP address without brackets.
    pub host: Box<str>,
    pub port: u16,
    pub tls: bool,
}

/// How long an endpoint is left alone after failed connects: doubling from `first` to `cap`, each 20 % more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Default 100 ms.
    pub first: Duration,
    /// Default 10 s.
    pub cap: Duration,
}

/// Settings that no cluster can be made of; the text says which and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

/// An upstream, process-wide: its settings, and the health of its endpoints as all workers saw it.
///
/// When the last `Arc` of it falls, the pools retire its connections; calls on them finish.
#[derive(Debug)]
pub struct Cluster {
    /// Told apart by number, since an address may be used again.
    pub(super) id: u64,
    settings: ClusterSettings,
    pub(super) endpoints: Box<[Endpoint]>,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    /// Falls with the cluster, and so tells its connections.
    alive: watch::Sender<()>,
}

/// The clusters in use, by settings, so that a reload finds those that did not change.
#[derive(Debug, Default)]
pub struct Clusters(Mutex<Vec<Weak<Cluster>>>);

/// What is known of one endpoint, for health pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// Host and port.
    pub label: Box<str>,
    /// Failed connects in a row.
    pub failures: u32,
    /// Why the last connect failed; `None` while all is well.
    pub reason: Option<Arc<str>>,
}

/// One endpoint: what is sent to it, made once, and its health.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) settings: EndpointSettings,
    pub(super) label: Box<str>,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// `Some` for an endpoint over TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    /// Spares calls the lock while all is well.
    failing: AtomicBool,
    health: Mutex<Health>,
    /// Milliseconds between pings that the endpoint has asked for by GOAWAY "too_many_pings"; 0: it has not.
    calmer: AtomicU64,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    failed_at: Option<Instant>,
    until: Option<Instant>,
    reason: Option<Arc<str>>,
}

/// What an upstream that finds our pings too many is given at least. Go's and C's servers by default tolerate one in
/// five minutes on a connection on which they send nothing, and close it at the fourth that comes too early.
const CALM_INTERVAL: Duration = Duration::from_secs(310);

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl SettingsError ===

impl SettingsError {
    pub(super) fn new(text: impl Into<String>) -> SettingsError {
        SettingsError(text.into())
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

// === impl EndpointSettings ===

impl EndpointSettings {
    /// Reads an upstream's URL: `h2c://`, `http://`, `grpc://` in clear text, `h2s://`, `https://`, `grpcs://` over
    /// TLS; then host and port (80 and 443 if none), IPv6 in brackets. Nothing may follow but a `/`.
    pub fn parse(url: &str) -> Result<EndpointSettings, SettingsError> {
        let wrong = |why: &str| SettingsError(format!("upstream \"{url}\": {why}"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("no scheme: write h2c:// for clear text or h2s:// for TLS before the address"));
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "h2c" | "http" | "grpc" => false,
            "h2s" | "https" | "grpcs" => true,
            "unix" => return Err(wrong("Unix sockets are not supported")),
            _ => return Err(wrong("the scheme must be h2c, http or grpc (clear text), or h2s, https or grpcs (TLS)")),
        };
        let address = rest.strip_suffix('/').unwrap_or(rest);
        if address.contains(['/', '?', '#']) {
            return Err(wrong("only host and port may follow the scheme"));
        }
        if address.contains('@') {
            return Err(wrong("a user name has no meaning here"));
        }
        let (host, port) = split_address(address).map_err(wrong)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(EndpointSettings { host: host.into(), port, tls })
    }

    /// Host and port as one writes them: `[::1]:50051`.
    pub fn label(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`.
fn split_address(address: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("\"[\" without \"]\"")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what stands in brackets is no IPv6 address");
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("only \":port\" may follow \"]\""),
        }
    } else {
        match address.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("write an IPv6 address in brackets, as in [::1]:50051");
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    let name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if !name && host.parse::<IpAddr>().is_err() {
        return Err("the host may have letters, digits, \"-\", \"_\" and \".\" only");
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("the port must be a number from 1 to 65535"),
        },
    };
    Ok((host, port))
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The pause after this many failures in a row, spread by a random number.
    fn pause(self, failures: u32, random: u64) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(doubled).min(self.cap);
        // 80 % to 120 %
        pause.mul_f64(0.8 + 0.4 * ((random % 1024) as f64 / 1024.0))
    }
}

// === impl ClusterSettings ===

impl ClusterSettings {
    /// A cluster with our defaults.
    pub fn new(name: impl Into<Box<str>>, endpoints: Vec<EndpointSettings>) -> ClusterSettings {
        ClusterSettings {
            name: name.into(),
            endpoints,
            connect_timeout: Duration::from_secs(5),
            max_connections: 8,
            keep_alive_interval: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(300),
            authority: None,
            stream_window: 1024 * 1024,
            connection_window: MAX_WINDOW,
            tls: TlsSettings::default(),
            backoff: Backoff::default(),
        }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Checks the settings and makes what is sent to each endpoint. No connection is made yet.
    pub fn new(settings: ClusterSettings) -> Result<Arc<Cluster>, SettingsError> {
        if settings.stream_window > MAX_WINDOW || settings.connection_window > MAX_WINDOW {
            return Err(SettingsError(format!("windows can be {MAX_WINDOW} bytes at most (RFC 9113, 6.9.1)")));
        }
        let tls = settings.endpoints.iter().any(|endpoint| endpoint.tls);
        let tls = tls.then(|| settings.tls.client_config()).transpose()?;
        let endpoints = settings.endpoints.iter().map(|endpoint| Endpoint::new(endpoint, &settings));
        let endpoints = endpoints.collect::<Result<_, _>>()?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Cluster { id, settings, endpoints, tls, alive: watch::Sender::new(()) }))
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// How the endpoints stand, in the order of the settings.
    pub fn states(&self) -> Vec<EndpointState> {
        self.endpoints.iter().map(Endpoint::state).collect()
    }

    /// Ends when the cluster does.
    pub(super) fn alive(&self) -> watch::Receiver<()> {
        self.alive.subscribe()
    }
}

// === impl Clusters ===

impl Clusters {
    /// The cluster in use with these very settings, or a new one.
    pub fn obtain(&self, settings: ClusterSettings) -> Result<Arc<Cluster>, SettingsError> {
        let mut known = lock(&self.0);
        known.retain(|cluster| cluster.strong_count() > 0);
        let same = known.iter().filter_map(Weak::upgrade).find(|cluster| cluster.settings == settings);
        if let Some(same) = same {
            return Ok(same);
        }
        let cluster = Cluster::new(settings)?;
        known.push(Arc::downgrade(&cluster));
        Ok(cluster)
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn new(settings: &EndpointSettings, cluster: &ClusterSettings) -> Result<Endpoint, SettingsError> {
        let label = settings.label();
        let authority = cluster.authority.as_deref().unwrap_or(&label);
        let authority = Authority::try_from(authority)
            .map_err(|_| SettingsError(format!("\"{authority}\" can be no :authority")))?;
        let server_name = settings.tls.then(|| cluster.tls.name_for(&settings.host)).transpose()?;
        Ok(Endpoint {
            settings: settings.clone(),
            label: label.into(),
            scheme: if settings.tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority,
            server_name,
            failing: AtomicBool::new(false),
            health: Mutex::default(),
            calmer: AtomicU64::new(0),
        })
    }

    /// Whether a connect may be tried now. A call that began at `since` tries no endpoint that has failed since.
    pub(super) fn may_connect(&self, now: Instant, since: Instant) -> bool {
        if !self.failing.load(Ordering::Relaxed) {
            return true;
        }
        let health = lock(&self.health);
        health.until.is_none_or(|until| until <= now) && health.failed_at.is_none_or(|at| at < since)
    }

    /// When the last connect failed, and why.
    pub(super) fn last_failure(&self) -> Option<(Instant, Arc<str>)> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        let health = lock(&self.health);
        Some((health.failed_at?, health.reason.clone()?))
    }

    pub(super) fn connected(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            *lock(&self.health) = Health::default();
        }
    }

    /// Notes a failed connect that began at `began`. Workers that tried at the same time count as one.
    pub(super) fn failed(&self, began: Instant, reason: Arc<str>, backoff: Backoff) {
        let now = Instant::now();
        let mut health = lock(&self.health);
        if health.failed_at.is_none_or(|at| at < began) {
            health.failures = health.failures.saturating_add(1);
            health.until = now.checked_add(backoff.pause(health.failures, random()));
        }
        health.failed_at = Some(now);
        health.reason = Some(reason);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// The silence after which a connection is pinged; `None`: never.
    pub(super) fn keep_alive_interval(&self, settings: &ClusterSettings) -> Option<Duration> {
        let asked = Duration::from_millis(self.calmer.load(Ordering::Relaxed));
        (!settings.keep_alive_interval.is_zero()).then(|| settings.keep_alive_interval.max(asked))
    }

    /// The endpoint closed a connection because of our pings: twice the pause from now on (gRPC proposal A8), and no
    /// less than what servers take by default, so that a quiet stream is cut once and not thrice.
    pub(super) fn calm_down(&self, settings: &ClusterSettings) {
        let Some(interval) = self.keep_alive_interval(settings) else { return };
        let calmer = interval.saturating_mul(2).max(CALM_INTERVAL);
        self.calmer.store(u64::try_from(calmer.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn state(&self) -> EndpointState {
        let health = lock(&self.health);
        EndpointState { label: self.label.clone(), failures: health.failures, reason: health.reason.clone() }
    }
}

/// RFC 9113, 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, bool) {
        let endpoint = EndpointSettings::parse(url).unwrap();
        (endpoint.label(), endpoint.tls)
    }

    fn cluster(authority: Option<&str>) -> Arc<Cluster> {
        let endpoints = vec![EndpointSettings::parse("h2c://[::1]:50051").unwrap()];
        let mut settings = ClusterSettings::new("books", endpoints);
        settings.authority = authority.map(Into::into);
        Cluster::new(settings).unwrap()
    }

    #[test]
    fn six_schemes_and_every_form_of_address_are_read() {
        assert_eq!(parsed("h2c://127.0.0.1:50051"), ("127.0.0.1:50051".into(), false));
        assert_eq!(parsed("http://books"), ("books:80".into(), false));
        assert_eq!(parsed("grpc://books.example/"), ("books.example:80".into(), false));
        assert_eq!(parsed("H2S://books.example"), ("books.example:443".into(), true));
        assert_eq!(parsed("https://[::1]"), ("[::1]:443".into(), true));
        assert_eq!(parsed("grpcs://[fe80::1]:7"), ("[fe80::1]:7".into(), true));
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_is_wrong_about_it() {
        for (url, why) in [
            ("127.0.0.1:50051", "no scheme"),
            ("", "no scheme"),
            ("ftp://a", "the scheme must be"),
            ("unix:///run/a", "not supported"),
            ("h2c://", "host is missing"),
            ("h2c://:80", "host is missing"),
            ("h2c://a:0", "number from 1"),
            ("h2c://a:", "number from 1"),
            ("h2c://a:65536", "number from 1"),
            ("h2c://a/b", "only host and port"),
            ("h2c://a?b", "only host and port"),
            ("h2c://u@a", "user name"),
            ("h2c://::1", "in brackets"),
            ("h2c://[::1", "without"),
            ("h2c://[a]", "no IPv6"),
            ("h2c://[::1]x", "may follow"),
            ("h2c://a b", "letters, digits"),
            ("h2c://ä", "letters, digits"),
        ] {
            let error = EndpointSettings::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn the_authority_is_the_address_unless_another_is_set() {
        assert_eq!(cluster(None).endpoints[0].authority, "[::1]:50051");
        assert_eq!(cluster(Some("books.internal")).endpoints[0].authority, "books.internal");
    }

    #[test]
    fn back_off_doubles_up_to_its_cap_with_jitter() {
        let backoff = Backoff::default();
        for (failures, millis) in
            [(0, 100), (1, 100), (2, 200), (4, 800), (9, 10_000), (40, 10_000), (u32::MAX, 10_000)]
        {
            for random in [0, 511, 1023, u64::MAX] {
                let pause = backoff.pause(failures, random).as_secs_f64() * 1000.0 / f64::from(millis);
                assert!((0.799..=1.201).contains(&pause), "{failures}: {pause}");
            }
        }
    }

    #[test]
    fn workers_that_failed_at_the_same_time_count_as_one() {
        let cluster = cluster(None);
        let endpoint = &cluster.endpoints[0];
        let began = Instant::now();
        for _ in 0..4 {
            endpoint.failed(began, "down".into(), Backoff::default());
        }
        assert_eq!(endpoint.state().failures, 1);
        assert!(!endpoint.may_connect(Instant::now(), Instant::now()));
        let later = Instant::now() + Duration::from_secs(1);
        assert!(endpoint.may_connect(later, later) && !endpoint.may_connect(later, began));
        endpoint.connected();
        assert_eq!(endpoint.state(), EndpointState { label: "[::1]:50051".into(), failures: 0, reason: None });
        assert!(endpoint.may_connect(began, began));
    }

    #[test]
    fn a_reload_finds_the_cluster_that_did_not_change_and_only_that() {
        let clusters = Clusters::default();
        let endpoints = vec![EndpointSettings::parse("h2c://a").unwrap()];
        let settings = ClusterSettings::new("a", endpoints);
        let first = clusters.obtain(settings.clone()).unwrap();
        assert!(Arc::ptr_eq(&first, &clusters.obtain(settings.clone()).unwrap()));
        let other = ClusterSettings { max_connections: 1, ..settings.clone() };
        assert!(!Arc::ptr_eq(&first, &clusters.obtain(other).unwrap()));
        let id = first.id;
        drop(first);
        assert_ne!(clusters.obtain(settings).unwrap().id, id);
    }

    #[test]
    fn an_upstream_that_finds_the_pings_too_many_gets_fewer() {
        let cluster = cluster(None);
        let (endpoint, settings) = (&cluster.endpoints[0], cluster.settings());
        assert_eq!(endpoint.keep_alive_interval(settings), Some(Duration::from_secs(60)));
        endpoint.calm_down(settings);
        assert_eq!(endpoint.keep_alive_interval(settings), Some(Duration::from_secs(310)));
        endpoint.calm_down(settings);
        assert_eq!(endpoint.keep_alive_interval(settings), Some(Duration::from_secs(620)));
    }
}
