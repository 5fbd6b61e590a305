//! Where the endpoints of a cluster come from, when the configuration does not list them: DNS, a file, Kubernetes.
//!
//! Each source is a task of the process, not of a worker. It gives the whole set each time, and only when the set has
//! changed; a look that fails, or finds nobody, changes nothing: endpoints that answered a minute ago are better than
//! none. It ends with its cluster.

mod dns;
mod endpoints_file;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod standing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

pub(super) use self::standing::Standing;
use super::endpoint::EndpointSettings;

/// Where a cluster's endpoints come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// From the configuration.
    #[default]
    Fixed,
    /// The addresses of a name: A and AAAA.
    Dns(DnsSettings),
    /// The targets of a service: SRV (RFC 2782), then their addresses.
    Srv(DnsSettings),
    /// A file that lists them, read again whenever it changes.
    File(FileSettings),
    /// The EndpointSlices of a service.
    Kubernetes(KubernetesSettings),
}

/// A name, and how it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    pub name: Box<str>,
    /// Of each address; targets of SRV have their own.
    pub port: u16,
    pub tls: bool,
    pub families: Families,
    /// Whom to ask; empty: whom the system asks, by its hosts file and its search list.
    pub resolvers: Vec<SocketAddr>,
    /// Answers are kept no shorter than this, whatever their TTL. Default 5 s.
    pub min_refresh: Duration,
    /// And no longer. Default 5 min.
    pub max_refresh: Duration,
}

/// Which addresses of a name are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Families {
    #[default]
    Both,
    V4,
    V6,
}

/// A file of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    pub path: PathBuf,
    /// Between looks at the file. Default 1 s.
    pub interval: Duration,
    pub reader: EndpointsReader,
}

/// Who understands files of endpoints: the configuration's own reader, so that both are written alike. The error says
/// where in the file and why.
#[derive(Clone, Copy)]
pub struct EndpointsReader(pub fn(&Path) -> Result<Vec<EndpointSettings>, String>);

/// A service of a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    pub service: Box<str>,
    /// `None`: the namespace that the edge runs in.
    pub namespace: Option<Box<str>>,
    /// `None`: the only one that the service has.
    pub port: Option<ServicePort>,
    pub tls: bool,
    /// `https://host:port`; `None`: the API server of the cluster that the edge runs in.
    pub server: Option<Box<str>>,
    /// The bearer token, read anew for each request, since it is renewed on disk; `None`: the service account's.
    pub token: Option<PathBuf>,
    /// Authorities of the API server, PEM; `None`: the service account's.
    pub ca: Option<PathBuf>,
}

/// A port of a service's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    Named(Box<str>),
    Number(u16),
}

/// Where a source tells what it found, and learns when to look again.
pub(super) struct Outlet {
    /// The cluster, for logs.
    pub(super) cluster: Box<str>,
    /// Takes the whole set.
    pub(super) give: Box<dyn FnMut(Vec<EndpointSettings>) + Send>,
    pub(super) standing: Arc<Standing>,
    /// Someone found that no endpoint answers.
    pub(super) wake: Arc<Notify>,
    /// Closes with the cluster.
    pub(super) alive: watch::Receiver<u64>,
    /// What was given last, in order.
    last: Vec<EndpointSettings>,
}

/// Endpoints that are taken of one source. More is a mistake, or an attempt on our memory.
pub(super) const MOST: usize = 4096;

/// Starts the source of a cluster; nothing for one that is fixed.
pub(super) fn start(runtime: &Handle, discovery: &Discovery, outlet: Outlet) {
    let mut alive = outlet.alive.clone();
    let gone = async move { while alive.changed().await.is_ok() {} };
    let source: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = match discovery.clone() {
        Discovery::Fixed => return,
        Discovery::Dns(settings) => Box::pin(dns::run(settings, dns::Kind::Addresses, outlet)),
        Discovery::Srv(settings) => Box::pin(dns::run(settings, dns::Kind::Services, outlet)),
        Discovery::File(settings) => Box::pin(endpoints_file::run(settings, outlet)),
        #[cfg(feature = "kubernetes")]
        Discovery::Kubernetes(settings) => Box::pin(kubernetes::run(settings, outlet)),
        #[cfg(not(feature = "kubernetes"))]
        Discovery::Kubernetes(_) => {
            let mut outlet = outlet;
            outlet.failed("this build has no Kubernetes in it");
            return;
        }
    };
    runtime.spawn(async move {
        tokio::select! {
            biased;
            () = gone => {}
            () = source => {}
        }
    });
}

// === impl Discovery ===

impl Discovery {
    /// The name that stands for the cluster where endpoints are mere addresses: what their certificates are for, and
    /// what `:authority` says. Not a target of SRV: DNS vouches for nothing (RFC 6125, 6.2.1 and 1.8).
    pub fn own_name(&self) -> Option<String> {
        match self {
            Discovery::Dns(dns) => Some(dns.name.trim_end_matches('.').to_owned()),
            Discovery::Srv(dns) => Some(service_domain(&dns.name).to_owned()),
            Discovery::Kubernetes(settings) => Some(match &settings.namespace {
                Some(namespace) => format!("{}.{namespace}.svc", settings.service),
                None => settings.service.to_string(),
            }),
            Discovery::Fixed | Discovery::File(_) => None,
        }
    }

    /// What `:authority` says unless the settings do; `None`: the endpoint's own address.
    pub(super) fn authority(&self) -> Option<String> {
        let name = self.own_name()?;
        Some(match self {
            Discovery::Dns(dns) => format!("{name}:{}", dns.port),
            _ => name,
        })
    }

    /// Whether endpoints over TLS can come up.
    pub fn may_use_tls(&self) -> bool {
        match self {
            Discovery::Fixed => false,
            Discovery::Dns(dns) | Discovery::Srv(dns) => dns.tls,
            Discovery::File(_) => true,
            Discovery::Kubernetes(kubernetes) => kubernetes.tls,
        }
    }
}

/// `_grpc._tcp.books.example` is a service of `books.example`.
fn service_domain(name: &str) -> &str {
    let mut rest = name.trim_end_matches('.');
    while let Some((label, after)) = rest.split_once('.') {
        if !label.starts_with('_') {
            break;
        }
        rest = after;
    }
    rest
}

// === impl DnsSettings ===

impl DnsSettings {
    /// A name with our defaults.
    pub fn new(name: impl Into<Box<str>>, port: u16, tls: bool) -> DnsSettings {
        DnsSettings {
            name: name.into(),
            port,
            tls,
            families: Families::Both,
            resolvers: Vec::new(),
            min_refresh: Duration::from_secs(5),
            max_refresh: Duration::from_secs(300),
        }
    }
}

// === impl EndpointsReader ===

impl std::fmt::Debug for EndpointsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointsReader")
    }
}

impl PartialEq for EndpointsReader {
    /// There is one in a process, and functions cannot be compared.
    fn eq(&self, _: &EndpointsReader) -> bool {
        true
    }
}

impl Eq for EndpointsReader {}

// === impl Outlet ===

impl Outlet {
    pub(super) fn new(
        cluster: &str,
        give: Box<dyn FnMut(Vec<EndpointSettings>) + Send>,
        standing: Arc<Standing>,
        wake: Arc<Notify>,
        alive: watch::Receiver<u64>,
    ) -> Outlet {
        Outlet { cluster: cluster.into(), give, standing, wake, alive, last: Vec::new() }
    }

    /// A look that found these, or nobody, which counts as a failure: name servers and scripts that go wrong often say so.
    fn found(&mut self, endpoints: Vec<EndpointSettings>) {
        if endpoints.is_empty() {
            return self.failed("there are no endpoints");
        }
        self.exactly(endpoints);
    }

    /// As [`Outlet::found`], of a source whose word counts when it says that there is nobody. The order means nothing,
    /// as DNS turns it each time.
    fn exactly(&mut self, mut endpoints: Vec<EndpointSettings>) {
        endpoints.sort_by(|a, b| (&a.host, a.port, a.tls).cmp(&(&b.host, b.port, b.tls)));
        endpoints.dedup_by(|b, a| (&a.host, a.port, a.tls) == (&b.host, b.port, b.tls));
        if endpoints.len() > MOST {
            tracing::warn!(cluster = %self.cluster, found = endpoints.len(), taken = MOST, "too many endpoints");
            endpoints.truncate(MOST);
        }
        let changed = endpoints != self.last;
        if changed {
            tracing::info!(cluster = %self.cluster, endpoints = endpoints.len(), before = self.last.len(), "endpoints");
            self.last.clone_from(&endpoints);
            (self.give)(endpoints);
        }
        self.standing.found(changed);
    }

    /// A look that failed, or found nobody. What was known stays.
    pub(super) fn failed(&mut self, why: &str) {
        // once for as long as it stays the same
        if self.standing.failed(why) {
            tracing::warn!(cluster = %self.cluster, kept = self.last.len(), why, "no endpoints found, the last ones stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An outlet whose sets are kept, and what keeps its cluster alive.
    pub(super) struct Taken {
        pub sets: Arc<Mutex<Vec<Vec<EndpointSettings>>>>,
        pub standing: Arc<Standing>,
        pub alive: watch::Sender<u64>,
    }

    pub(super) fn outlet() -> (Outlet, Taken) {
        let sets = Arc::<Mutex<Vec<Vec<EndpointSettings>>>>::default();
        let (standing, alive) = (Arc::default(), watch::Sender::new(0));
        let own = Arc::clone(&sets);
        let give = Box::new(move |set| own.lock().unwrap().push(set));
        let outlet = Outlet::new("books", give, Arc::clone(&standing), Arc::default(), alive.subscribe());
        (outlet, Taken { sets, standing, alive })
    }

    impl Taken {
        /// The labels of the set that was given last, as soon as `count` were given.
        pub(super) async fn labels(&self, count: usize) -> Vec<String> {
            for _ in 0..1000 {
                let labels = self
                    .sets
                    .lock()
                    .unwrap()
                    .get(count - 1)
                    .map(|set| set.iter().map(EndpointSettings::label).collect::<Vec<_>>());
                if let Some(labels) = labels {
                    return labels;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("no set {count}: {:?} {:?}", self.sets, self.standing);
        }
    }

    fn endpoints(urls: &[&str]) -> Vec<EndpointSettings> {
        urls.iter().map(|url| EndpointSettings::parse(url).unwrap()).collect()
    }

    #[test]
    fn a_set_is_given_when_it_changed_and_never_when_it_is_empty() {
        let (mut outlet, taken) = outlet();
        outlet.found(endpoints(&["h2c://b:1", "h2c://a:1", "h2c://b:1"]));
        outlet.found(endpoints(&["h2c://a:1", "h2c://b:1"]));
        outlet.found(Vec::new());
        outlet.failed("it is down");
        assert_eq!(*taken.sets.lock().unwrap(), [endpoints(&["h2c://a:1", "h2c://b:1"])]);
        assert_eq!((taken.standing.updates(), taken.standing.failures()), (1, 2));
        assert_eq!(taken.standing.reason().as_deref(), Some("it is down"));
        outlet.found(endpoints(&["h2c://a:1"]));
        assert_eq!((taken.sets.lock().unwrap().len(), taken.standing.reason()), (2, None));
    }

    #[test]
    fn a_flood_of_endpoints_is_cut() {
        let (mut outlet, taken) = outlet();
        let many = (0..MOST + 10).map(|n| EndpointSettings::parse(&format!("h2c://h{n}:1")).unwrap());
        outlet.found(many.collect());
        assert_eq!(taken.sets.lock().unwrap()[0].len(), MOST);
    }

    #[tokio::test]
    async fn a_source_ends_with_its_cluster() {
        let (outlet, taken) = outlet();
        let reader = EndpointsReader(|_| Ok(vec![EndpointSettings::parse("h2c://a:1").unwrap()]));
        let file = FileSettings { path: "/nowhere".into(), interval: Duration::from_millis(5), reader };
        start(&Handle::current(), &Discovery::File(file), outlet);
        taken.labels(1).await;
        let Taken { sets, alive, .. } = taken;
        alive.send_replace(1);
        drop(alive);
        while Arc::strong_count(&sets) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn a_service_stands_for_its_domain() {
        let srv = |name: &str| Discovery::Srv(DnsSettings::new(name, 0, true)).own_name().unwrap();
        assert_eq!(srv("_grpc._tcp.books.example"), "books.example");
        assert_eq!(srv("books.example."), "books.example");
    }
}
