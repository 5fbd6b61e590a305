//! One worker's connections: which one a call takes, when another is made, and how calls wait.
//!
//! For a call, the endpoints stand in round-robin order and the first connection with a free slot is taken; of an
//! endpoint's connections the one with the fewest streams. An endpoint that is passed over because it has none gets a
//! connect in the background, so one that does not answer delays nobody while another does. Only if no endpoint has a
//! slot does the call wait, for whatever comes first: a connect, or a slot. It waits for no endpoint that has failed
//! since it came; when none is left it gets the last failure's reason.
//!
//! hyper's pool opens one HTTP/2 connection per host by design (RFC 9113, 9.1, says "SHOULD NOT" of a second), which
//! stops all calls once long streams have taken the peer's slots. We open another at three quarters of them.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use tokio::time::Instant;

use super::balance::RoundRobin;
use super::cluster::{Cluster, Endpoint};
use super::connect::connect;
use super::connection::{Claim, Connection, Hub};
use super::drive::Host;
use super::exchange::Exchange;
use super::fault::{Fault, FaultKind};
use crate::observe::Meters;

/// The upstream connections of one worker. To be used on one runtime only, whose tasks drive the connections.
#[derive(Debug)]
pub struct Pool {
    meters: Arc<Meters>,
    clusters: Mutex<BTreeMap<u64, Arc<Lanes>>>,
}

/// A cluster on this worker.
struct Lanes {
    cluster: Weak<Cluster>,
    turns: RoundRobin,
    /// One per endpoint, in their order.
    lanes: Box<[Arc<Lane>]>,
    hub: Arc<Hub>,
}

/// An endpoint on this worker.
#[derive(Debug, Default)]
pub(super) struct Lane(Mutex<LaneState>);

#[derive(Debug, Default)]
struct LaneState {
    /// Those that take calls.
    connections: Vec<Arc<Connection>>,
    /// A connect is under way. One at a time: calls that need it wait for the same.
    connecting: bool,
}

/// What a look over all endpoints came to.
enum Found {
    Slot(Claim, usize),
    /// A connect is under way, or slots may become free.
    Wait,
    Nothing,
}

/// A connect under way. However it ends, its lane and those that wait get to know.
struct Connecting {
    lane: Arc<Lane>,
    hub: Arc<Hub>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Pool ===

impl Pool {
    pub fn new(meters: Arc<Meters>) -> Pool {
        Pool { meters, clusters: Mutex::default() }
    }

    /// Sends the head of a call (`POST`) and gives its two halves. Waits for a connection or a free slot if there is
    /// none; the caller's deadline bounds that. With all endpoints in back-off it fails at once.
    ///
    /// The header fields go as they are: `te`, `content-type` and `grpc-timeout` are the caller's matter, fields of
    /// the connection (`connection`, `keep-alive`, ...) are refused (RFC 9113, 8.2.2).
    pub async fn open(
        &self,
        cluster: &Arc<Cluster>,
        path: PathAndQuery,
        headers: HeaderMap,
        end_of_stream: bool,
    ) -> Result<Exchange, Fault> {
        let lanes = self.lanes(cluster);
        let (claim, endpoint) = match lanes.look(cluster, None) {
            Found::Slot(claim, endpoint) => (claim, endpoint),
            Found::Nothing => return Err(no_connection(cluster)),
            Found::Wait => lanes.wait(cluster).await?,
        };
        let endpoint = cluster.endpoints.get(endpoint).ok_or_else(|| no_connection(cluster))?;
        send(claim, endpoint, path, headers, end_of_stream)
    }

    /// Connections to a cluster that take calls.
    pub fn connections(&self, cluster: &Cluster) -> usize {
        let lanes = lock(&self.clusters).get(&cluster.id).cloned();
        lanes.map_or(0, |lanes| lanes.lanes.iter().map(|lane| lock(&lane.0).connections.len()).sum())
    }

    /// Retires all connections: calls on them finish, then they close. A later call connects anew.
    pub fn retire(&self) {
        for lanes in std::mem::take(&mut *lock(&self.clusters)).into_values() {
            for lane in &lanes.lanes {
                let connections = std::mem::take(&mut lock(&lane.0).connections);
                connections.iter().for_each(|connection| connection.retire());
            }
        }
    }

    fn lanes(&self, cluster: &Arc<Cluster>) -> Arc<Lanes> {
        let mut clusters = lock(&self.clusters);
        if let Some(lanes) = clusters.get(&cluster.id) {
            return Arc::clone(lanes);
        }
        // a new cluster comes with a reload, and then others have gone; their connections retire by themselves
        clusters.retain(|_, lanes| lanes.cluster.strong_count() > 0);
        let lanes = Arc::new(Lanes {
            cluster: Arc::downgrade(cluster),
            turns: RoundRobin::new(),
            lanes: cluster.endpoints.iter().map(|_| Arc::default()).collect(),
            hub: Arc::new(Hub::new(Arc::clone(&self.meters))),
        });
        clusters.insert(cluster.id, Arc::clone(&lanes));
        lanes
    }
}

fn send(
    claim: Claim,
    endpoint: &Endpoint,
    path: PathAndQuery,
    headers: HeaderMap,
    end_of_stream: bool,
) -> Result<Exchange, Fault> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(endpoint.scheme.clone());
    uri.authority = Some(endpoint.authority.clone());
    uri.path_and_query = Some(path);
    let uri = Uri::from_parts(uri).map_err(|error| Fault::new(FaultKind::Protocol, error.to_string()))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let Claim { mut sender, lease, .. } = claim;
    match sender.send_request(request, end_of_stream) {
        Ok((response, stream)) => Ok(Exchange::new(response, stream, end_of_stream, lease)),
        // nothing was sent, so it may go again
        Err(error) if error.is_io() || error.is_go_away() => {
            Err(Fault::new(FaultKind::Refused, format!("the connection closed before the call was sent: {error}")))
        }
        Err(error) => Err(Fault::of_stream(&error, lease.connection.cause())),
    }
}

/// Why there is no connection: the endpoint that failed last speaks.
fn no_connection(cluster: &Cluster) -> Fault {
    let failures = cluster.endpoints.iter().filter_map(|endpoint| Some((endpoint, endpoint.last_failure()?)));
    match failures.max_by_key(|(_, (at, _))| *at) {
        Some((endpoint, (_, why))) => Fault::new(FaultKind::Connect, format!("connect to {}: {why}", endpoint.label)),
        None => Fault::new(FaultKind::Connect, format!("cluster {} has no endpoints", cluster.name())),
    }
}

// === impl Lanes ===

impl Lanes {
    async fn wait(&self, cluster: &Arc<Cluster>) -> Result<(Claim, usize), Fault> {
        let since = Instant::now();
        let _waiting = self.hub.wait();
        let mut changed = pin!(self.hub.changed.notified());
        loop {
            // before the look, so that nothing that changes after it is missed
            changed.as_mut().enable();
            match self.look(cluster, Some(since)) {
                Found::Slot(claim, endpoint) => return Ok((claim, endpoint)),
                Found::Nothing => return Err(no_connection(cluster)),
                Found::Wait => {}
            }
            changed.as_mut().await;
            changed.set(self.hub.changed.notified());
        }
    }

    /// Looks for a slot. `since`: when the call began to wait; endpoints that failed later are none for it.
    fn look(&self, cluster: &Arc<Cluster>, since: Option<Instant>) -> Found {
        let settings = cluster.settings();
        let mut wait = false;
        for index in self.turns.order(self.lanes.len()) {
            let (Some(lane), Some(endpoint)) = (self.lanes.get(index), cluster.endpoints.get(index)) else { continue };
            if let Some(claim) = lane.claim() {
                if claim.crowded && lane.has_room(settings.max_connections) {
                    self.connect_if_allowed(cluster, index, lane, None);
                }
                return Found::Slot(claim, index);
            }
            let full = !lock(&lane.0).connections.is_empty();
            let coming = lane.has_room(settings.max_connections)
                && self.connect_if_allowed(cluster, index, lane, since)
                || lock(&lane.0).connecting && !failed_since(endpoint, since);
            wait |= full || coming;
        }
        if wait { Found::Wait } else { Found::Nothing }
    }

    /// Starts a connect unless the endpoint is in back-off, or has failed since the call began to wait.
    fn connect_if_allowed(
        &self,
        cluster: &Arc<Cluster>,
        index: usize,
        lane: &Arc<Lane>,
        since: Option<Instant>,
    ) -> bool {
        let now = Instant::now();
        let allowed = cluster.endpoints.get(index).is_some_and(|at| at.may_connect(now, since.unwrap_or(now)));
        if allowed {
            lock(&lane.0).connecting = true;
            let connecting = Connecting { lane: Arc::clone(lane), hub: Arc::clone(&self.hub) };
            // a task of its own: a call that goes away does not take the connect of others with it
            tokio::spawn(connecting.run(Arc::clone(cluster), index));
        }
        allowed
    }
}

fn failed_since(endpoint: &Endpoint, since: Option<Instant>) -> bool {
    since.is_some_and(|since| endpoint.last_failure().is_some_and(|(at, _)| at >= since))
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lanes.iter()).finish()
    }
}

// === impl Lane ===

impl Lane {
    /// A slot of the connection with the fewest streams.
    fn claim(&self) -> Option<Claim> {
        let mut state = lock(&self.0);
        loop {
            let free = state.connections.iter().filter(|connection| connection.has_slot());
            let best = Arc::clone(free.min_by_key(|connection| connection.active())?);
            match best.claim() {
                Ok(claim) => return Some(claim),
                Err(_) => {
                    state.connections.retain(|connection| !Arc::ptr_eq(connection, &best));
                    best.retire();
                }
            }
        }
    }

    /// Whether another connection may be made now.
    fn has_room(&self, max: usize) -> bool {
        let state = lock(&self.0);
        !state.connecting && state.connections.len() < max.max(1)
    }

    /// Whether the endpoint has another connection than this one.
    pub(super) fn is_spare(&self, connection: &Arc<Connection>) -> bool {
        lock(&self.0).connections.iter().any(|other| !Arc::ptr_eq(other, connection))
    }

    pub(super) fn remove(&self, connection: &Arc<Connection>) {
        lock(&self.0).connections.retain(|other| !Arc::ptr_eq(other, connection));
    }
}

// === impl Connecting ===

impl Connecting {
    async fn run(self, cluster: Arc<Cluster>, index: usize) {
        let Some(endpoint) = cluster.endpoints.get(index) else { return };
        let began = Instant::now();
        let meters = Arc::clone(&self.hub.meters);
        let (weak, lane) = (Arc::downgrade(&cluster), Arc::clone(&self.lane));
        let host = Host { cluster: weak, endpoint: index, lane, meters };
        match connect(&cluster, endpoint, &self.hub, host).await {
            Ok(connected) => {
                endpoint.connected();
                lock(&self.lane.0).connections.push(connected.connection);
                tokio::spawn(connected.task);
            }
            Err(why) => {
                self.hub.meters.upstream_connect_failures.add(1);
                tracing::warn!(cluster = cluster.name(), endpoint = %endpoint.label, why, "connect failed");
                endpoint.failed(began, why.into(), cluster.settings().backoff);
            }
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        lock(&self.lane.0).connecting = false;
        self.hub.changed.notify_waiters();
    }
}
