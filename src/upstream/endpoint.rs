//! One endpoint of an upstream: its address, what is sent to it, and what all workers know of it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use rustls_pki_types::ServerName;
use tokio::time::Instant;

use super::balance::random;
use super::breaker::{Breaker, State};
use super::cluster::{Backoff, ClusterSettings, SettingsError};
use super::load::Load;
use super::lock;
use super::plan::Standing;
use super::policy::Ejection;
use super::vitals::Vitals;
use crate::observe::{Count, EndpointFigures, Health};

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointSettings {
    /// A name, or an IP address without brackets.
    pub host: Box<str>,
    pub port: u16,
    pub tls: bool,
    /// Its share of the calls, against those of the others. Default 1; 0 counts as 1.
    pub weight: u32,
    /// Those of a lower number are called first; the next only take what the healthy ones before them cannot.
    /// Default 0.
    pub priority: u32,
    /// Where it stands; the edge prefers endpoints of its own zone.
    pub zone: Option<Box<str>>,
}

/// One endpoint as all workers know it: what is sent to it, made once, and its health.
#[derive(Debug)]
pub struct Endpoint {
    /// Told apart by number: an address that went and came again is another endpoint.
    id: u64,
    settings: EndpointSettings,
    label: Arc<str>,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// `Some` for an endpoint over TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    /// It is no endpoint of its cluster any more.
    gone: AtomicBool,
    vitals: Arc<Vitals>,
    load: Load,
    /// Failed calls in a row.
    consecutive: AtomicU32,
    failures: [AtomicU64; Failure::ALL.len()],
    ejections: AtomicU64,
    /// Connections open, of all workers.
    open: AtomicUsize,
    /// Milliseconds of the cluster's clock from which it warms up; 0: it need not.
    warm_from: AtomicU64,
    /// A trial is under way.
    trying: AtomicBool,
    /// Spares calls the lock while all is well.
    failing: AtomicBool,
    condition: Mutex<Condition>,
    /// Milliseconds between pings that the endpoint has asked for by GOAWAY "too_many_pings"; 0: it has not.
    calmer: AtomicU64,
}

/// What an active check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    Healthy,
    /// Why, in words for logs and pages.
    Unhealthy(Arc<str>),
    /// Nothing is known of it: it counts as healthy.
    Unknown,
}

/// How a call failed, or a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It ended with a status that speaks of the server.
    Status,
    /// Its deadline passed before the head of the answer.
    Deadline,
    Reset,
    /// The connection was lost.
    Lost,
    /// The upstream did not take it, which says nothing against the upstream.
    Refused,
    /// What came was no gRPC, or no HTTP/2.
    Protocol,
    /// No connection.
    Connect,
}

/// What changes seldom.
#[derive(Debug)]
struct Condition {
    failures: u32,
    failed_at: Option<Instant>,
    until: Option<Instant>,
    /// The last connect was refused, and not waited for.
    refused: bool,
    reason: Option<Arc<str>>,
    probed: Probed,
    breaker: Breaker,
}

/// What an upstream that finds our pings too many is given at least. Go's and C's servers by default tolerate one in
/// five minutes on a connection on which they send nothing, and close it at the fourth that comes too early.
const CALM_INTERVAL: Duration = Duration::from_secs(310);

/// Between two connects to an endpoint in back-off, where nobody else takes calls.
const REST_IN_NEED: Duration = Duration::from_millis(100);
/// A connect that fails sooner was refused: nobody had to be waited for.
const AT_ONCE: Duration = Duration::from_millis(100);

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

// === impl EndpointSettings ===

impl EndpointSettings {
    /// An endpoint with a weight of 1, of the first priority and of no zone.
    pub fn new(host: impl Into<Box<str>>, port: u16, tls: bool) -> EndpointSettings {
        EndpointSettings { host: host.into(), port, tls, weight: 1, priority: 0, zone: None }
    }

    /// Whether both are the same place, whatever their weights, priorities and zones.
    pub fn same_address(&self, other: &EndpointSettings) -> bool {
        self.address() == other.address()
    }

    /// Reads an upstream's URL: `h2c://`, `http://`, `grpc://` in clear text, `h2s://`, `https://`, `grpcs://` over
    /// TLS; then host and port (80 and 443 if none), IPv6 in brackets. Nothing may follow but a `/`.
    pub fn parse(url: &str) -> Result<EndpointSettings, SettingsError> {
        let wrong = |why: &str| SettingsError::new(format!("upstream \"{url}\": {why}"));
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
        Ok(EndpointSettings::new(host, port, tls))
    }

    /// What tells endpoints of a cluster apart: host, port, TLS.
    pub(super) fn address(&self) -> (&str, u16, bool) {
        (&self.host, self.port, self.tls)
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

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(
        settings: &EndpointSettings,
        cluster: &ClusterSettings,
        vitals: &Arc<Vitals>,
    ) -> Result<Endpoint, SettingsError> {
        let label = settings.label();
        let discovered = cluster.discovery.authority();
        let authority = cluster.authority.as_deref().or(discovered.as_deref()).unwrap_or(&label);
        let authority = Authority::try_from(authority)
            .map_err(|_| SettingsError::new(format!("\"{authority}\" can be no :authority")))?;
        let name = cluster.discovery.own_name();
        let name = name.as_deref().unwrap_or(&settings.host);
        let server_name = settings.tls.then(|| cluster.tls.name_for(name)).transpose()?;
        Ok(Endpoint {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            settings: settings.clone(),
            label: label.into(),
            scheme: if settings.tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority,
            server_name,
            gone: AtomicBool::new(false),
            vitals: Arc::clone(vitals),
            load: Load::default(),
            consecutive: AtomicU32::new(0),
            failures: Default::default(),
            ejections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            warm_from: AtomicU64::new(0),
            trying: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            condition: Mutex::default(),
            calmer: AtomicU64::new(0),
        })
    }

    /// Its number, which no other endpoint of this process has or had.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Host and port, for logs, metrics and pages.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The name of its cluster, likewise.
    pub fn cluster(&self) -> &Arc<str> {
        &self.vitals.cluster
    }

    /// Host, port and TLS. Weight, priority and zone are those that it came with; they may have changed since.
    pub fn settings(&self) -> &EndpointSettings {
        &self.settings
    }

    /// Notes what an active check found. Unhealthy endpoints get no calls unless too few others are left.
    pub fn probed(&self, found: Probed) {
        let mut condition = lock(&self.condition);
        let (was, is) = (condition.probed.is_bad(), found.is_bad());
        condition.probed = found;
        drop(condition);
        if was && !is {
            self.warm_up(Instant::now());
        }
        if was != is {
            self.vitals.changed();
        }
    }

    /// Whether it has left its cluster, so that checks of it may end.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn address(&self) -> (&str, u16, bool) {
        self.settings.address()
    }

    /// It has left its cluster: its connections retire.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether a connect may be tried now. A call that began at `since` tries no endpoint that has failed since.
    pub(super) fn may_connect(&self, now: Instant, since: Instant) -> bool {
        if !self.failing.load(Ordering::Relaxed) {
            return true;
        }
        let condition = lock(&self.condition);
        condition.until.is_none_or(|until| until <= now) && condition.failed_at.is_none_or(|at| at < since)
    }

    /// Whether a connect may be tried though the endpoint is in back-off, as nobody else takes calls: it was refused at
    /// once, so that trying costs little, and that was a while ago.
    pub(super) fn may_connect_in_need(&self, now: Instant, since: Instant) -> bool {
        let condition = lock(&self.condition);
        let rested = |at: Instant| at < since && now.saturating_duration_since(at) >= REST_IN_NEED;
        condition.refused && condition.failed_at.is_some_and(rested)
    }

    /// When the last connect failed, and why.
    pub(super) fn last_failure(&self) -> Option<(Instant, Arc<str>)> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        let condition = lock(&self.condition);
        Some((condition.failed_at?, condition.reason.clone()?))
    }

    /// A connection was made. To be called after [`Endpoint::opened`].
    pub(super) fn connected(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            lock(&self.condition).recover();
            self.warm_up(Instant::now());
            self.vitals.changed();
        }
    }

    /// Notes a failed connect that began at `began`. Workers that tried at the same time count as one.
    pub(super) fn failed(&self, began: Instant, reason: Arc<str>, backoff: Backoff) {
        let now = Instant::now();
        let mut condition = lock(&self.condition);
        if condition.failed_at.is_none_or(|at| at < began) {
            condition.failures = condition.failures.saturating_add(1);
            condition.until = now.checked_add(backoff.pause(condition.failures, random()));
        }
        condition.failed_at = Some(now);
        condition.refused = now.saturating_duration_since(began) < AT_ONCE;
        condition.reason = Some(reason);
        self.failing.store(true, Ordering::Relaxed);
        drop(condition);
        self.count(Failure::Connect);
        self.vitals.changed();
    }

    /// A connection is there; say [`Endpoint::closed`] at its end.
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    pub(super) fn closed(&self) {
        self.vitals.parts(Instant::now());
        if self.open.fetch_sub(1, Ordering::Relaxed) == 1 && self.failing.load(Ordering::Relaxed) {
            self.vitals.changed();
        }
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
}

// === impl Endpoint: its calls ===

impl Endpoint {
    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    pub(super) fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// A call ended well. `trial`: it was one.
    pub(super) fn call_succeeded(&self, trial: bool) {
        if self.consecutive.load(Ordering::Relaxed) != 0 {
            self.consecutive.store(0, Ordering::Relaxed);
        }
        if trial {
            self.passed(Instant::now());
        }
    }

    /// A call failed because of the endpoint.
    pub(super) fn call_failed(&self, failure: Failure, trial: bool) {
        self.call_failed_at(Instant::now(), failure, trial);
    }

    fn call_failed_at(&self, now: Instant, failure: Failure, trial: bool) {
        self.count(failure);
        if let Some(ejection) = &self.vitals.ejection {
            self.weigh_failure(now, trial, ejection);
        }
        if trial {
            self.end_trial();
        }
    }

    fn weigh_failure(&self, now: Instant, trial: bool, ejection: &Ejection) {
        let consecutive = self.consecutive.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut condition = lock(&self.condition);
        let trips = condition.breaker.trips(now, consecutive, self.load.ended(), ejection);
        let again = trial && condition.breaker.state() == State::HalfOpen;
        if again || trips && self.vitals.may_eject() {
            self.eject(&mut condition, now, ejection);
        }
    }

    /// Counts what does not speak against the endpoint, or is not of a call.
    pub(super) fn count(&self, failure: Failure) {
        if let Some(count) = self.failures.get(failure as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn eject(&self, condition: &mut Condition, now: Instant, ejection: &Ejection) {
        let lasts = condition.breaker.eject(now, ejection, random());
        self.consecutive.store(0, Ordering::Relaxed);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.vitals.changed();
        tracing::warn!(cluster = %self.vitals.cluster, endpoint = %self.label, ?lasts, "endpoint ejected: its calls fail");
    }

    fn passed(&self, now: Instant) {
        if lock(&self.condition).breaker.close(now) {
            self.warm_up(now);
            self.vitals.changed();
            tracing::info!(cluster = %self.vitals.cluster, endpoint = %self.label, "endpoint is back: a trial succeeded");
        }
        self.end_trial();
    }

    /// Takes the right to a trial, of which there is one at a time.
    pub(super) fn begin_trial(&self) -> bool {
        !self.trying.swap(true, Ordering::Relaxed)
    }

    pub(super) fn end_trial(&self) {
        self.trying.store(false, Ordering::Relaxed);
    }

    /// Of 65,535, how much of its weight it has; less while it warms up.
    pub(super) fn warmth(&self, millis: u64) -> u16 {
        let from = self.warm_from.load(Ordering::Relaxed);
        let window = self.warm_window();
        let age = millis.saturating_sub(from);
        if from == 0 || age >= window {
            return u16::MAX;
        }
        // a tenth at least: without any calls nothing gets warm
        let part = age.max(window / 10) * u64::from(u16::MAX) / window;
        u16::try_from(part).unwrap_or(u16::MAX)
    }

    /// When it will be warm, milliseconds of the cluster's clock; 0: it is.
    pub(super) fn warm_at(&self, millis: u64) -> u64 {
        let from = self.warm_from.load(Ordering::Relaxed);
        let at = from.saturating_add(self.warm_window());
        if from == 0 || at <= millis { 0 } else { at }
    }

    /// It has come, or come back.
    pub(super) fn warm_up(&self, now: Instant) {
        // how it answered when it was ill would keep calls away
        self.load.forget();
        if !self.vitals.slow_start.is_zero() {
            self.warm_from.store(self.vitals.millis(now).max(1), Ordering::Relaxed);
        }
    }

    fn warm_window(&self) -> u64 {
        u64::try_from(self.vitals.slow_start.as_millis()).unwrap_or(u64::MAX / u64::from(u16::MAX))
    }
}

// === impl Endpoint: its health ===

impl Endpoint {
    /// How it stands. `next`: when that will change by itself, if earlier than what is there.
    pub(super) fn standing(&self, now: Instant, next: &mut Option<Instant>) -> Standing {
        let mut condition = lock(&self.condition);
        let mut healthy = !condition.probed.is_bad();
        let mut trial = false;
        let mut later = |at: Instant| *next = Some(next.map_or(at, |next| next.min(at)));
        let ejected = condition.breaker.open_half(now);
        if ejected.is_some() || condition.breaker.state() == State::HalfOpen {
            trial = healthy && ejected.is_none();
            healthy = false;
            ejected.into_iter().for_each(&mut later);
        }
        if self.is_down() && !condition.probed.is_bad() {
            let waits = condition.until.filter(|until| *until > now);
            trial = (trial || healthy) && waits.is_none();
            healthy = false;
            waits.into_iter().for_each(&mut later);
        }
        Standing { healthy, trial }
    }

    /// Whether connects fail and none is open: an endpoint that takes no more connections may do well with those it has.
    fn is_down(&self) -> bool {
        self.failing.load(Ordering::Relaxed) && self.open.load(Ordering::Relaxed) == 0
    }

    /// Calls ever sent to it.
    pub(super) fn calls(&self) -> u64 {
        self.load.calls()
    }

    /// Whether calls have it out of the plan.
    pub(super) fn is_ejected(&self) -> bool {
        lock(&self.condition).breaker.state() != State::Closed
    }

    /// The figures that do not depend on the set.
    pub(super) fn figures(&self, now: Instant) -> EndpointFigures {
        let condition = lock(&self.condition);
        let millis = self.vitals.millis(now);
        let (health, reason) = match (&condition.probed, condition.breaker.state()) {
            (Probed::Unhealthy(why), _) => (Health::Unhealthy, Some(Arc::clone(why))),
            (_, State::Ejected { until }) => {
                let left = until.saturating_duration_since(now).as_secs_f64();
                (Health::Ejected, Some(format!("calls failed; {left:.1} s left").into()))
            }
            (_, State::HalfOpen) => (Health::Trial, None),
            _ if self.is_down() => (Health::Down, condition.reason.clone()),
            _ if self.warm_at(millis) > 0 => (Health::Warming, None),
            _ => (Health::Healthy, None),
        };
        let counts = Failure::ALL.into_iter().zip(&self.failures);
        EndpointFigures {
            endpoint: Arc::clone(&self.label),
            health,
            reason,
            active: self.load.active() as u64,
            calls: self.load.calls(),
            failures: counts
                .map(|(failure, count)| Count { name: failure.name(), count: count.load(Ordering::Relaxed) })
                .collect(),
            connections: self.open.load(Ordering::Relaxed) as u64,
            connect_failures: condition.failures,
            ejections: self.ejections.load(Ordering::Relaxed),
            latency_ms: self.load.latency(millis).map(f64::from),
            ..EndpointFigures::default()
        }
    }
}

// === impl Probed ===

impl Probed {
    fn is_bad(&self) -> bool {
        matches!(self, Probed::Unhealthy(_))
    }
}

// === impl Failure ===

impl Failure {
    /// All, in the order in which they are counted.
    pub(super) const ALL: [Failure; 7] = [
        Failure::Status,
        Failure::Deadline,
        Failure::Reset,
        Failure::Lost,
        Failure::Refused,
        Failure::Protocol,
        Failure::Connect,
    ];

    /// For labels and pages.
    const fn name(self) -> &'static str {
        match self {
            Failure::Status => "status",
            Failure::Deadline => "deadline",
            Failure::Reset => "reset",
            Failure::Lost => "lost",
            Failure::Refused => "refused",
            Failure::Protocol => "protocol",
            Failure::Connect => "connect",
        }
    }
}

// === impl Condition ===

impl Default for Condition {
    fn default() -> Condition {
        let (probed, breaker) = (Probed::Unknown, Breaker::default());
        Condition { failures: 0, failed_at: None, until: None, refused: false, reason: None, probed, breaker }
    }
}

impl Condition {
    /// A connect was made; what calls and checks say stays.
    fn recover(&mut self) {
        (self.failures, self.failed_at, self.until, self.refused, self.reason) = (0, None, None, false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Cluster, ClusterSettings};

    const DOWN: Standing = Standing { healthy: false, trial: false };
    const TRIAL: Standing = Standing { healthy: false, trial: true };
    const UP: Standing = Standing { healthy: true, trial: false };

    /// One of two.
    fn endpoint(change: impl FnOnce(&mut ClusterSettings)) -> Arc<Endpoint> {
        let endpoints = ["a", "b"].map(|host| EndpointSettings::new(host, 1, false));
        let mut settings = ClusterSettings::new("test", endpoints.into());
        change(&mut settings);
        Arc::clone(&Cluster::new(settings).unwrap().endpoints()[0])
    }

    fn stands(endpoint: &Endpoint, at: Instant) -> Standing {
        endpoint.standing(at, &mut None)
    }

    #[test]
    fn an_endpoint_that_fails_is_ejected_tried_by_one_call_and_back_when_that_succeeds() {
        let (endpoint, now) = (endpoint(|_| {}), Instant::now());
        for _ in 0..4 {
            endpoint.call_failed_at(now, Failure::Status, false);
        }
        endpoint.call_succeeded(false);
        for _ in 0..4 {
            endpoint.call_failed_at(now, Failure::Reset, false);
        }
        assert_eq!(stands(&endpoint, now), UP);
        endpoint.call_failed_at(now, Failure::Lost, false);
        let mut next = None;
        assert_eq!(endpoint.standing(now, &mut next), DOWN);
        let back = next.unwrap();
        assert!((4..=6).contains(&back.duration_since(now).as_secs()), "{:?}", back - now);
        assert_eq!((stands(&endpoint, back), endpoint.is_ejected()), (TRIAL, true));
        assert!(endpoint.begin_trial() && !endpoint.begin_trial());
        endpoint.call_failed_at(back, Failure::Status, true);
        let mut next = None;
        assert_eq!(endpoint.standing(back, &mut next), DOWN);
        let again = next.unwrap();
        assert!((8..=12).contains(&again.duration_since(back).as_secs()), "{:?}", again - back);
        assert_eq!(stands(&endpoint, again), TRIAL);
        assert!(endpoint.begin_trial());
        endpoint.call_succeeded(true);
        assert_eq!((stands(&endpoint, again), endpoint.is_ejected()), (UP, false));
        assert!(endpoint.begin_trial());
        let figures = endpoint.figures(again);
        assert_eq!((figures.ejections, figures.health), (2, Health::Healthy));
        let counts: Vec<u64> = figures.failures.iter().map(|failure| failure.count).collect();
        assert_eq!(counts, [5, 0, 4, 1, 0, 0, 0]);
    }

    #[test]
    fn without_a_breaker_failures_are_only_counted() {
        let (endpoint, now) = (endpoint(|settings| settings.ejection = None), Instant::now());
        (0..100).for_each(|_| endpoint.call_failed_at(now, Failure::Status, false));
        assert_eq!((stands(&endpoint, now), endpoint.figures(now).failures[0].count), (UP, 100));
    }

    #[test]
    fn failed_connects_count_only_while_no_connection_is_open() {
        let (endpoint, now) = (endpoint(|_| {}), Instant::now());
        endpoint.opened();
        endpoint.failed(now, "down".into(), Backoff::default());
        assert_eq!(stands(&endpoint, Instant::now()), UP);
        endpoint.closed();
        let mut next = None;
        assert_eq!(endpoint.standing(Instant::now(), &mut next), DOWN);
        assert_eq!(stands(&endpoint, next.unwrap()), TRIAL);
        endpoint.opened();
        endpoint.connected();
        assert_eq!(stands(&endpoint, Instant::now()), UP);
    }

    #[test]
    fn what_checks_find_counts_and_is_not_tried_by_calls() {
        let (endpoint, now) = (endpoint(|_| {}), Instant::now());
        endpoint.probed(Probed::Unhealthy("NOT_SERVING".into()));
        assert_eq!((stands(&endpoint, now), endpoint.figures(now).health), (DOWN, Health::Unhealthy));
        endpoint.failed(now, "down".into(), Backoff::default());
        let mut next = None;
        assert_eq!((endpoint.standing(now + Duration::from_secs(99), &mut next), next), (DOWN, None));
        endpoint.connected();
        endpoint.probed(Probed::Healthy);
        assert_eq!(stands(&endpoint, now), UP);
    }

    #[test]
    fn an_endpoint_that_is_back_warms_up() {
        let endpoint = endpoint(|settings| settings.slow_start = Duration::from_secs(10));
        let began = Instant::now() + Duration::from_secs(1);
        let from = endpoint.vitals.millis(began);
        assert_eq!((endpoint.warmth(from), endpoint.warm_at(from)), (u16::MAX, 0));
        endpoint.warm_up(began);
        let percent = |after| u32::from(endpoint.warmth(from + after)) * 100 / u32::from(u16::MAX);
        assert_eq!([0, 1_000, 5_000, 9_000, 10_000].map(percent), [9, 9, 49, 89, 100]);
        assert_eq!((endpoint.warm_at(from), endpoint.warm_at(from + 10_000)), (from + 10_000, 0));
        assert_eq!(endpoint.figures(began).health, Health::Warming);
    }

    fn parsed(url: &str) -> (String, bool) {
        let endpoint = EndpointSettings::parse(url).unwrap();
        (endpoint.label(), endpoint.tls)
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
}
