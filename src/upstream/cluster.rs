//! Clusters: what the operator says of an upstream, and what all workers know of its endpoints.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::attend::{Attendance, attend};
use super::balance::random;
use super::budget::{RetryBudget, RetryBudgetSettings};
use super::discovery::Discovery;
use super::endpoint::{Endpoint, EndpointSettings};
use super::lock;
use super::plan::{Plan, Rules, Standing, Subset};
use super::policy::{Balance, Ejection, Limits};
use super::probe::ProbeSettings;
use super::set::{EndpointSet, Member};
use super::tls::{TlsInUse, TlsSettings};
use super::vitals::Vitals;
use crate::observe::{ClusterFigures, Count, EndpointFigures, Upstreams};

/// What the operator says of an upstream. Two equal ones share their connections across reloads.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSettings {
    pub name: Box<str>,
    /// Those that it has from the start; all that it will have, unless they are discovered.
    pub endpoints: Vec<EndpointSettings>,
    /// Where further ones come from, in place of these.
    pub discovery: Discovery,
    /// How endpoints are checked; `None`: only by the calls that they get.
    pub probe: Option<ProbeSettings>,
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
    /// How calls are spread over the endpoints. Default p2c.
    pub balance: Balance,
    /// Where the edge stands: endpoints of the same zone are called first. Default nowhere.
    pub zone: Option<Box<str>>,
    /// Percent: with fewer healthy endpoints than that, all are called. 0: never. Default 50.
    pub panic_threshold: u8,
    /// When endpoints are ejected for how their calls end; `None`: never.
    pub ejection: Option<Ejection>,
    /// For how long an endpoint that is new, or back, gets fewer calls than its weight says. Default 0: not at all.
    pub slow_start: Duration,
    pub limits: Limits,
    /// How many endpoints of a tier each worker uses; 0, the default: all of them.
    pub subset_size: usize,
    /// How many requests may be sent more than once.
    pub retry_budget: RetryBudgetSettings,
}

/// How long an endpoint is left alone, as after failed connects: doubling from `first` to `cap`, each 20 % more or less.
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
    vitals: Arc<Vitals>,
    plan: ArcSwap<Plan>,
    /// Of the plan in force, to be compared by every call.
    plan_version: AtomicU64,
    /// Held while the set or the plan is replaced.
    replacing: Mutex<()>,
    /// Where the first worker stands on the circle of subsets.
    start: usize,
    tls: TlsInUse,
    pub(super) attendance: Attendance,
    /// The version of the set. Falls with the cluster, and so tells its connections.
    version: watch::Sender<u64>,
    budget: RetryBudget,
}

/// The clusters in use, by settings, so that a reload finds those that did not change.
#[derive(Debug, Default)]
pub struct Clusters {
    known: Mutex<Vec<Weak<Cluster>>>,
    /// Where tasks run that belong to a cluster and to no worker.
    runtime: OnceLock<Handle>,
}

/// Endpoints that a cluster has at most; what is discovered beyond is left out. Each costs every worker a connection.
const MAX_ENDPOINTS: usize = 10_000;

/// How long after its last connection a cluster is thought to come back.
const LATELY: Duration = Duration::from_secs(1);

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

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

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The pause after this many failures in a row, spread by a random number.
    pub(super) fn pause(self, failures: u32, random: u64) -> Duration {
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
            discovery: Discovery::Fixed,
            probe: None,
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
            balance: Balance::default(),
            zone: None,
            panic_threshold: 50,
            ejection: Some(Ejection::default()),
            slow_start: Duration::ZERO,
            limits: Limits::default(),
            subset_size: 0,
            retry_budget: RetryBudgetSettings::default(),
        }
    }
}

impl ClusterSettings {
    /// Whether a cluster with those settings can go on with these: nothing is different, or only what certificates and
    /// keys are.
    fn renews(&self, old: &ClusterSettings) -> bool {
        self.tls.is_renewal_of(&old.tls) && *self == ClusterSettings { tls: self.tls.clone(), ..old.clone() }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Checks the settings and makes what is sent to each endpoint. No connection is made yet.
    pub fn new(settings: ClusterSettings) -> Result<Arc<Cluster>, SettingsError> {
        if settings.stream_window > MAX_WINDOW || settings.connection_window > MAX_WINDOW {
            return Err(SettingsError(format!("windows can be {MAX_WINDOW} bytes at most (RFC 9113, 6.9.1)")));
        }
        let now = Instant::now();
        let (ejection, limits) = (settings.ejection.clone(), settings.limits);
        let vitals = Arc::new(Vitals::new(Arc::from(&*settings.name), ejection, limits, settings.slow_start, now));
        let nobody = Arc::new(EndpointSet::new(0, Box::default(), None));
        let rules = Rules { version: 0, panic_threshold: settings.panic_threshold, warm_at: 0 };
        let cluster = Cluster {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            vitals,
            plan: ArcSwap::from_pointee(Plan::new(nobody, Box::default(), rules)),
            plan_version: AtomicU64::new(0),
            replacing: Mutex::default(),
            start: (random() >> 33) as usize,
            tls: TlsInUse::new(settings.tls.clone()),
            attendance: Attendance::default(),
            version: watch::Sender::new(0),
            budget: RetryBudget::new(settings.retry_budget, std::time::Instant::now()),
            settings,
        };
        let mut seen = HashSet::new();
        let endpoints = cluster.settings.endpoints.iter().filter(|endpoint| seen.insert(endpoint.address()));
        let members = endpoints.map(|endpoint| cluster.member(endpoint, None));
        let members = members.collect::<Result<Box<[_]>, _>>()?;
        cluster.install(members, now);
        Ok(Arc::new(cluster))
    }

    /// Puts these endpoints in place of those that the cluster has. One that stays (the same host, port and TLS) keeps
    /// its health, connections and counters; one that goes is retired: calls on it finish. An endpoint that nothing can
    /// be sent to is left out and logged, and so are those beyond the ten-thousandth; of
    /// an address that stands twice the first counts.
    pub fn replace_endpoints(&self, endpoints: Vec<EndpointSettings>) {
        let _replacing = lock(&self.replacing);
        let now = Instant::now();
        if endpoints.len() > MAX_ENDPOINTS {
            tracing::warn!(cluster = self.name(), found = endpoints.len(), most = MAX_ENDPOINTS, "too many endpoints");
        }
        let old = Arc::clone(&self.plan().set);
        let known: HashMap<_, _> = old.members.iter().map(|member| (member.endpoint.address(), member)).collect();
        let mut members: Vec<Member> = Vec::with_capacity(endpoints.len().min(MAX_ENDPOINTS));
        let mut seen = HashSet::new();
        for settings in endpoints.iter().take(MAX_ENDPOINTS).filter(|settings| seen.insert(settings.address())) {
            match self.member(settings, known.get(&settings.address()).map(|member| &member.endpoint)) {
                Ok(member) => members.push(member),
                Err(error) => {
                    let endpoint = settings.label();
                    tracing::warn!(cluster = self.name(), endpoint, %error, "endpoint left out");
                }
            }
        }
        let came = members.iter().filter(|member| !known.contains_key(&member.endpoint.address()));
        if !old.members.is_empty() {
            came.for_each(|member| member.endpoint.warm_up(now));
        }
        self.install(members.into(), now);
    }

    /// The member that these settings make, of the endpoint that is there already or of a new one.
    fn member(&self, settings: &EndpointSettings, known: Option<&Arc<Endpoint>>) -> Result<Member, SettingsError> {
        let endpoint = match known {
            Some(known) => Arc::clone(known),
            None => {
                if settings.tls {
                    self.tls.make(self.name())?;
                }
                Arc::new(Endpoint::new(settings, &self.settings, &self.vitals)?)
            }
        };
        let (weight, priority, zone) = (settings.weight.max(1), settings.priority, settings.zone.clone());
        Ok(Member { endpoint, weight, priority, zone })
    }

    /// Puts a set in force, and tells those that are not in it.
    fn install(&self, members: Box<[Member]>, now: Instant) {
        let stays: HashSet<u64> = members.iter().map(|member| member.endpoint.id()).collect();
        let old = Arc::clone(&self.plan().set);
        let version = old.version.wrapping_add(1);
        self.vitals.members.store(members.len(), Ordering::Relaxed);
        self.replan(Arc::new(EndpointSet::new(version, members, self.settings.zone.as_deref())), now);
        for gone in old.members.iter().filter(|member| !stays.contains(&member.endpoint.id())) {
            gone.endpoint.leave();
        }
        self.version.send_replace(version);
    }

    /// Plans anew if something has changed or is due to: before each choice.
    pub(super) fn refresh(&self, now: Instant) {
        // whoever comes while another plans goes by the old plan
        if self.vitals.is_due(now)
            && let Ok(_replacing) = self.replacing.try_lock()
        {
            self.replan(Arc::clone(&self.plan().set), now);
        }
    }

    /// Makes the plan of the set and of everybody's health. To be called with `replacing` held.
    fn replan(&self, set: Arc<EndpointSet>, now: Instant) {
        let rest = Duration::from_micros(20).saturating_mul(u32::try_from(set.members.len()).unwrap_or(u32::MAX));
        self.vitals.begin_planning(now, rest);
        let (mut next, mut ejected, mut warm_at) = (None, 0, 0);
        let millis = self.vitals.millis(now);
        let mut stand = |member: &Member| {
            let standing = member.endpoint.standing(now, &mut next);
            ejected += usize::from(member.endpoint.is_ejected());
            warm_at = warm_at.max(member.endpoint.warm_at(millis));
            standing
        };
        let standings: Box<[Standing]> = set.members.iter().map(&mut stand).collect();
        self.vitals.ejected.store(ejected, Ordering::Relaxed);
        if let Some(next) = next {
            self.vitals.due_at(next);
        }
        let old = self.plan();
        if old.stands(&set, &standings, warm_at) {
            return;
        }
        let version = old.version.wrapping_add(1);
        let plan =
            Plan::new(set, standings, Rules { version, panic_threshold: self.settings.panic_threshold, warm_at });
        self.tell_panic(old.panic, &plan);
        self.plan.store(Arc::new(plan));
        self.plan_version.store(version, Ordering::Release);
    }

    fn tell_panic(&self, before: bool, plan: &Plan) {
        // a single endpoint is always called: nothing worth a word
        if plan.panic == before || plan.set.members.len() < 2 {
            return;
        }
        if plan.panic {
            tracing::warn!(cluster = self.name(), "so few endpoints are healthy that all are called");
        } else {
            tracing::info!(cluster = self.name(), "enough endpoints are healthy again");
        }
    }

    /// The plan in force.
    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Its version.
    pub(super) fn plan_version(&self) -> u64 {
        self.plan_version.load(Ordering::Acquire)
    }

    /// The plan of one worker, of a plan of the cluster's.
    pub(super) fn plan_of(&self, whole: Arc<Plan>, worker: usize, workers: usize) -> Arc<Plan> {
        let size = self.settings.subset_size;
        if size == 0 {
            return whole;
        }
        let subset = Subset { size, worker, workers, start: self.start };
        Arc::new(whole.subset(subset, self.settings.panic_threshold))
    }

    pub(super) fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// For connections to endpoints over TLS; there is one as soon as there is such an endpoint.
    pub(super) fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.tls.current()
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// What is left of its retries and hedges.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// Whether some endpoint has a connection, or had one a moment ago: what takes no calls now is probably being replaced.
    pub fn was_there_lately(&self) -> bool {
        let lately = self.vitals.parted_within(LATELY, Instant::now());
        lately || self.plan().set.members.iter().any(|member| member.endpoint.is_open())
    }

    /// The name, to be kept beyond the cluster's life.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.vitals.cluster
    }

    /// The endpoints that it has now.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.plan().set.members.iter().map(|member| Arc::clone(&member.endpoint)).collect()
    }

    /// How it and its endpoints stand, these in the order of the settings.
    pub fn figures(&self) -> ClusterFigures {
        let now = Instant::now();
        self.refresh(now);
        let plan = self.plan();
        let figures = plan.set.members.iter().map(|member| EndpointFigures {
            weight: member.weight,
            priority: member.priority,
            zone: member.zone.clone(),
            ..member.endpoint.figures(now)
        });
        let overloaded = self.vitals.refused().map(|(bound, count)| Count { name: bound.name(), count });
        ClusterFigures {
            name: Arc::clone(self.shared_name()),
            balance: self.settings.balance.name(),
            panic: plan.panic,
            pending: self.vitals.pending() as u64,
            overloaded: overloaded.collect(),
            discovery: self.discovery(),
            endpoints: figures.collect(),
        }
    }

    /// Tells each change of the endpoints, and ends with the cluster.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

// === impl Clusters ===

impl Clusters {
    /// `runtime`: for the tasks of clusters that belong to no worker. Without it (by `default`) they run on the runtime
    /// that the first cluster was made on.
    pub fn new(runtime: Handle) -> Clusters {
        Clusters { known: Mutex::default(), runtime: OnceLock::from(runtime) }
    }

    /// Where tasks run that belong to a cluster and to no worker; `None` if no cluster was made on a runtime yet.
    pub fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    /// The cluster in use with these very settings, or a new one. One of which only certificates and keys were renewed is
    /// kept, too; its next connections use the new ones.
    pub fn obtain(&self, settings: ClusterSettings) -> Result<Arc<Cluster>, SettingsError> {
        if let (None, Ok(handle)) = (self.runtime.get(), Handle::try_current()) {
            let _ = self.runtime.set(handle);
        }
        let mut known = lock(&self.known);
        known.retain(|cluster| cluster.strong_count() > 0);
        let same = known.iter().filter_map(Weak::upgrade).find(|cluster| settings.renews(&cluster.settings));
        if let Some(same) = same {
            same.tls.renew(&settings.tls, same.name())?;
            return Ok(same);
        }
        let cluster = Cluster::new(settings)?;
        attend(&cluster, self.runtime.get());
        known.push(Arc::downgrade(&cluster));
        Ok(cluster)
    }
}

impl Upstreams for Clusters {
    fn figures(&self) -> Vec<ClusterFigures> {
        let known: Vec<_> = lock(&self.known).iter().filter_map(Weak::upgrade).collect();
        let mut all: Vec<ClusterFigures> = Vec::new();
        // the latest of a name first: earlier ones only add what their last calls count
        for cluster in known.iter().rev() {
            let figures = cluster.figures();
            match all.iter_mut().find(|later| later.name == figures.name) {
                Some(later) => later.add(&figures),
                None => all.push(figures),
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// RFC 9113, 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(authority: Option<&str>) -> Arc<Cluster> {
        let endpoints = vec![EndpointSettings::parse("h2c://[::1]:50051").unwrap()];
        let mut settings = ClusterSettings::new("books", endpoints);
        settings.authority = authority.map(Into::into);
        Cluster::new(settings).unwrap()
    }

    #[test]
    fn the_authority_is_the_address_unless_another_is_set() {
        assert_eq!(cluster(None).endpoints()[0].authority, "[::1]:50051");
        assert_eq!(cluster(Some("books.internal")).endpoints()[0].authority, "books.internal");
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
        let endpoint = &cluster.endpoints()[0];
        let began = Instant::now();
        for _ in 0..4 {
            endpoint.failed(began, "down".into(), Backoff::default());
        }
        assert_eq!(cluster.figures().endpoints[0].connect_failures, 1);
        assert!(!endpoint.may_connect(Instant::now(), Instant::now()));
        let later = Instant::now() + Duration::from_secs(1);
        assert!(endpoint.may_connect(later, later) && !endpoint.may_connect(later, began));
        endpoint.connected();
        let figures = &cluster.figures().endpoints[0];
        assert_eq!((&*figures.endpoint, figures.connect_failures, &figures.reason), ("[::1]:50051", 0, &None));
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
    fn endpoints_that_stay_keep_what_is_known_of_them_and_those_that_go_are_told() {
        let cluster = cluster(None);
        let [stays, goes] = ["h2c://a:1", "h2c://b:1"].map(|url| EndpointSettings::parse(url).unwrap());
        cluster.replace_endpoints(vec![stays.clone(), goes]);
        let before = cluster.endpoints();
        before[0].failed(Instant::now(), "down".into(), Backoff::default());
        let heavier = EndpointSettings { weight: 7, ..stays.clone() };
        let bad = EndpointSettings::new("a b", 1, false);
        cluster.replace_endpoints(vec![heavier, stays, bad, EndpointSettings::parse("h2s://c:1").unwrap()]);
        let after = cluster.endpoints();
        assert_eq!(
            (after.len(), after[0].id(), cluster.figures().endpoints[0].connect_failures),
            (2, before[0].id(), 1)
        );
        assert_eq!(cluster.plan().set.members[0].weight, 7);
        assert!(before[1].is_gone() && !before[0].is_gone() && cluster.tls().is_some());
        assert_eq!(*cluster.changes().borrow(), 3);
    }

    #[test]
    fn an_upstream_that_finds_the_pings_too_many_gets_fewer() {
        let cluster = cluster(None);
        let (endpoint, settings) = (&cluster.endpoints()[0], cluster.settings());
        assert_eq!(endpoint.keep_alive_interval(settings), Some(Duration::from_secs(60)));
        endpoint.calm_down(settings);
        assert_eq!(endpoint.keep_alive_interval(settings), Some(Duration::from_secs(310)));
        endpoint.calm_down(settings);
        assert_eq!(endpoint.keep_alive_interval(settings), Some(Duration::from_secs(620)));
    }
}
