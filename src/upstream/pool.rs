//! One worker's connections: which one a call takes, when another is made, and how calls wait.
//!
//! For a call, the policy chooses an endpoint (`balance.rs`, by the plan), and the connection there with the fewest streams
//! is taken. If none has a free slot, another choice is made, up to three; then whatever endpoint that may be called has
//! one. An endpoint that is passed over because it has no connection gets a connect in the background, so one that does not
//! answer delays nobody while another does. (A key of a ring hash waits for the connect of its endpoint, though.) Only if no
//! endpoint has a slot does the call wait, for whatever comes first: a connect, a slot, or another set of endpoints. It
//! waits for no endpoint that has failed since it came; when none is left it gets the last failure's reason.
//!
//! Endpoints that are not healthy may be due for a trial: one call at a time is risked on one that was ejected, and one that
//! could not be connected to gets another connect, in the background of some call.
//!
//! hyper's pool opens one HTTP/2 connection per host by design (RFC 9113, 9.1, says "SHOULD NOT" of a second), which
//! stops all calls once long streams have taken the peer's slots. We open another at three quarters of them.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use tokio::time::Instant;

use super::balance::{Turns, choose, on_ring};
use super::cluster::Cluster;
use super::connect::connect;
use super::connection::{Claim, Connection, Denied, Hub, Terms};
use super::drive::Host;
use super::endpoint::Endpoint;
use super::exchange::Exchange;
use super::fault::{Fault, FaultKind};
use super::lock;
use super::plan::Plan;
use super::policy::Balance;
use super::vitals::Bound;
use crate::observe::Meters;

/// The upstream connections of one worker. To be used on one runtime only, whose tasks drive the connections.
#[derive(Debug)]
pub struct Pool {
    meters: Arc<Meters>,
    worker: usize,
    workers: usize,
    clusters: Mutex<BTreeMap<u64, Arc<Lanes>>>,
}

/// What a call asks of the choice of its endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// Calls of an equal number go to the same endpoint, if the cluster's policy is to look at it.
    pub hash: Option<u64>,
    /// Endpoints (by their ids) to be taken only if there is no other: where earlier attempts went.
    pub avoid: &'a [u64],
    /// When the caller's patience ends. An endpoint that has not begun to answer by then has failed.
    pub deadline: Option<std::time::Instant>,
}

/// A cluster on this worker, by one plan. A new plan makes another, which takes over the lanes of endpoints that stayed.
struct Lanes {
    cluster: Weak<Cluster>,
    turns: Arc<Turns>,
    /// This worker's own if the cluster has subsets.
    plan: Arc<Plan>,
    /// One per member of the plan's set, in its order.
    lanes: Arc<[Arc<Lane>]>,
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

/// A slot that was claimed for a call. Dropping it frees the slot.
pub struct Place(Claim);

/// What a look over the endpoints came to.
enum Found {
    Slot(Claim),
    /// A connect is under way, or slots may become free.
    Wait,
    /// All that could take the call have as many as they may.
    Overloaded,
    Nothing,
}

/// A look over the endpoints, for one call.
struct Look<'a> {
    cluster: &'a Arc<Cluster>,
    choice: &'a Choice<'a>,
    terms: &'a mut Terms,
    /// When the call began to wait; endpoints that failed later are none for it.
    since: Option<Instant>,
    /// Something may come that is worth to wait for.
    wait: bool,
    /// Some endpoint has as many calls as it may.
    overloaded: bool,
}

/// A connect under way. However it ends, its lane and those that wait get to know.
struct Connecting {
    lane: Arc<Lane>,
    hub: Arc<Hub>,
}

/// Choices by the policy, before whatever has a slot is taken.
const CHOICES: usize = 3;
/// Endpoints that are tried for the sake of one call, at most.
const TRIALS: usize = 2;
/// Endpoints in back-off that are tried at once where nobody takes calls, at most.
const IN_NEED: usize = 8;

// === impl Pool ===

impl Pool {
    /// The pool of the only worker.
    pub fn new(meters: Arc<Meters>) -> Pool {
        Pool::of_worker(meters, 0, 1)
    }

    /// The pool of one of several workers, counted from 0; which of them decides what subset of the endpoints it uses.
    pub fn of_worker(meters: Arc<Meters>, worker: usize, workers: usize) -> Pool {
        Pool { meters, worker, workers, clusters: Mutex::default() }
    }

    /// Sends the head of a call (`POST`) and gives its two halves. Waits for a connection or a free slot if there is
    /// none; the caller's deadline bounds that. With all endpoints in back-off it fails at once, unless one of them
    /// refused a connect a while ago: that one is tried once more.
    ///
    /// The header fields go as they are: `te`, `content-type` and `grpc-timeout` are the caller's matter, fields of
    /// the connection (`connection`, `keep-alive`, ...) are refused (RFC 9113, 8.2.2).
    pub async fn open(
        &self,
        cluster: &Arc<Cluster>,
        choice: &Choice<'_>,
        path: PathAndQuery,
        headers: HeaderMap,
        end_of_stream: bool,
    ) -> Result<Exchange, Fault> {
        let mut terms = terms(cluster, choice).map_err(|bound| overloaded(cluster, bound))?;
        let claim = match self.look(cluster, choice, &mut terms, None) {
            Found::Slot(claim) => claim,
            Found::Wait => self.wait(cluster, choice, &mut terms).await?,
            other => return Err(other.fault(cluster)),
        };
        send(claim, path, headers, end_of_stream)
    }

    /// A slot for a call, if there is one at once. The same choice as [`Pool::open`] makes, for those who would rather do
    /// something else than wait.
    pub fn place(&self, cluster: &Arc<Cluster>, choice: &Choice<'_>) -> Option<Place> {
        match self.look(cluster, choice, &mut terms(cluster, choice).ok()?, None) {
            Found::Slot(claim) => Some(Place(claim)),
            Found::Wait | Found::Overloaded | Found::Nothing => None,
        }
    }

    async fn wait(&self, cluster: &Arc<Cluster>, choice: &Choice<'_>, terms: &mut Terms) -> Result<Claim, Fault> {
        let since = terms.now;
        let _pending = cluster.vitals().wait().map_err(|bound| overloaded(cluster, bound))?;
        let hub = Arc::clone(&self.lanes(cluster).hub);
        let _waiting = hub.wait();
        let mut changed = pin!(hub.changed.notified());
        let mut changes = cluster.changes();
        loop {
            // before the look, so that nothing that changes after it is missed
            changed.as_mut().enable();
            changes.mark_unchanged();
            terms.now = Instant::now();
            cluster.refresh(terms.now);
            match self.look(cluster, choice, terms, Some(since)) {
                Found::Slot(claim) => return Ok(claim),
                Found::Wait => {}
                other => return Err(other.fault(cluster)),
            }
            tokio::select! {
                () = changed.as_mut() => changed.set(hub.changed.notified()),
                // another set of endpoints; the sender lives as long as the cluster, which we hold
                _ = changes.changed() => {}
            }
        }
    }

    fn look(&self, cluster: &Arc<Cluster>, choice: &Choice<'_>, terms: &mut Terms, since: Option<Instant>) -> Found {
        let look = Look { cluster, choice, terms, since, wait: false, overloaded: false };
        self.lanes(cluster).look(look)
    }

    /// Connections to a cluster that take calls.
    pub fn connections(&self, cluster: &Cluster) -> usize {
        let lanes = lock(&self.clusters).get(&cluster.id).cloned();
        lanes.map_or(0, |lanes| lanes.lanes.iter().map(|lane| lock(&lane.0).connections.len()).sum())
    }

    /// Retires all connections: calls on them finish, then they close. A later call connects anew.
    pub fn retire(&self) {
        for lanes in std::mem::take(&mut *lock(&self.clusters)).into_values() {
            for lane in lanes.lanes.iter() {
                let connections = std::mem::take(&mut lock(&lane.0).connections);
                connections.iter().for_each(|connection| connection.retire());
            }
        }
    }

    fn lanes(&self, cluster: &Arc<Cluster>) -> Arc<Lanes> {
        let mut clusters = lock(&self.clusters);
        let known = clusters.get(&cluster.id);
        if let Some(lanes) = known.filter(|lanes| lanes.plan.version == cluster.plan_version()) {
            return Arc::clone(lanes);
        }
        let plan = cluster.plan_of(cluster.plan(), self.worker, self.workers);
        let lanes = Arc::new(match known {
            Some(known) => known.with(plan),
            None => {
                let hub = Arc::new(Hub::new(Arc::clone(&self.meters)));
                let lanes = plan.set.members.iter().map(|_| Arc::default()).collect();
                Lanes { cluster: Arc::downgrade(cluster), turns: Arc::new(Turns::new()), plan, lanes, hub }
            }
        });
        // a new cluster comes with a reload, and then others have gone; their connections retire by themselves
        clusters.retain(|_, lanes| lanes.cluster.strong_count() > 0);
        clusters.insert(cluster.id, Arc::clone(&lanes));
        lanes
    }
}

// === impl Place ===

impl Place {
    /// See [`Pool::open`].
    pub fn send(self, path: PathAndQuery, headers: HeaderMap, end_of_stream: bool) -> Result<Exchange, Fault> {
        send(self.0, path, headers, end_of_stream)
    }
}

/// What a call that begins now brings along, by the plan that holds now.
fn terms(cluster: &Cluster, choice: &Choice<'_>) -> Result<Terms, Bound> {
    let now = Instant::now();
    cluster.refresh(now);
    Ok(Terms { now, deadline: choice.deadline, permit: cluster.vitals().enter()?, trial: false })
}

fn send(claim: Claim, path: PathAndQuery, headers: HeaderMap, end_of_stream: bool) -> Result<Exchange, Fault> {
    let endpoint = &claim.lease.connection.endpoint;
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

/// Why there is no connection: the endpoint that failed last speaks, or the source of endpoints.
fn no_connection(cluster: &Cluster) -> Fault {
    cluster.nobody_answers();
    let endpoints = cluster.endpoints();
    let failures = endpoints.iter().filter_map(|endpoint| Some((endpoint, endpoint.last_failure()?)));
    let text = match failures.max_by_key(|(_, (at, _))| *at) {
        Some((endpoint, (_, why))) => format!("connect to {}: {why}", endpoint.label()),
        None if endpoints.is_empty() => cluster.why_without_endpoints(),
        None => format!("cluster {} has no healthy endpoint", cluster.name()),
    };
    Fault::new(FaultKind::Connect, text)
}

fn overloaded(cluster: &Cluster, bound: Bound) -> Fault {
    cluster.vitals().overloaded(bound);
    let text = match bound {
        Bound::Calls => "has as many calls as it may have at once",
        Bound::Pending => "has as many calls waiting for a connection as may wait",
        Bound::EndpointCalls => "has no endpoint left that may have another call",
    };
    Fault::new(FaultKind::Overloaded, format!("cluster {} {text}", cluster.name()))
}

// === impl Choice ===

impl Choice<'_> {
    fn avoids(&self, endpoint: &Endpoint) -> bool {
        !self.avoid.is_empty() && self.avoid.contains(&endpoint.id())
    }
}

// === impl Found ===

impl Found {
    /// Of a look that found nothing to wait for.
    fn fault(self, cluster: &Cluster) -> Fault {
        match self {
            Found::Overloaded => overloaded(cluster, Bound::EndpointCalls),
            _ => no_connection(cluster),
        }
    }
}

// === impl Lanes ===

impl Lanes {
    /// The same cluster by another plan. Connections to endpoints that went retire by themselves.
    fn with(&self, plan: Arc<Plan>) -> Lanes {
        let lanes = if Arc::ptr_eq(&self.plan.set, &plan.set) {
            Arc::clone(&self.lanes)
        } else {
            let ids = self.plan.set.members.iter().map(|member| member.endpoint.id());
            let old: HashMap<u64, &Arc<Lane>> = ids.zip(self.lanes.iter()).collect();
            let lanes = plan.set.members.iter().map(|member| old.get(&member.endpoint.id()).copied().cloned());
            lanes.map(Option::unwrap_or_default).collect()
        };
        Lanes {
            cluster: Weak::clone(&self.cluster),
            turns: Arc::clone(&self.turns),
            plan,
            lanes,
            hub: Arc::clone(&self.hub),
        }
    }

    fn look(&self, mut look: Look<'_>) -> Found {
        if !self.plan.trials.is_empty()
            && let Some(claim) = self.try_one(&mut look)
        {
            return Found::Slot(claim);
        }
        let balance = &look.cluster.settings().balance;
        if let (Balance::RingHash(_), Some(hash)) = (balance, look.choice.hash) {
            return self.look_on_ring(&mut look, hash);
        }
        let millis = look.cluster.vitals().millis(look.terms.now);
        for _ in 0..CHOICES {
            let Some(index) = choose(&self.plan, balance, &self.turns, millis) else { break };
            if let Some(claim) = self.take(index, &mut look) {
                return Found::Slot(claim);
            }
        }
        self.look_everywhere(&mut look)
    }

    /// The endpoint of the key, or the next on the ring if that one cannot take the call soon.
    fn look_on_ring(&self, look: &mut Look<'_>, hash: u64) -> Found {
        let mut passed = [u32::MAX; CHOICES];
        for turn in 0..CHOICES {
            let choice = look.choice;
            let may = |index| {
                let member = self.plan.set.member(index);
                !passed.contains(&index) && member.is_some_and(|member| !choice.avoids(&member.endpoint))
            };
            let Some(index) = on_ring(&self.plan, hash, may) else { break };
            if let Some(claim) = self.take(index, look) {
                return Found::Slot(claim);
            }
            if look.wait {
                return Found::Wait;
            }
            if let Some(passed) = passed.get_mut(turn) {
                *passed = index;
            }
        }
        self.look_everywhere(look)
    }

    fn look_everywhere(&self, look: &mut Look<'_>) -> Found {
        match self.look_at_all(look) {
            Found::Nothing => self.look_in_need(look),
            found => found,
        }
    }

    /// Risks the call on an endpoint that is not healthy but due for a trial; or at least starts a connect there.
    fn try_one(&self, look: &mut Look<'_>) -> Option<Claim> {
        let trials = &self.plan.trials;
        let first = self.turns.next().checked_rem(trials.len())?;
        for index in trials.iter().cycle().skip(first).take(trials.len().min(TRIALS)) {
            let endpoint = &self.plan.set.member(*index)?.endpoint;
            if look.choice.avoids(endpoint) || !endpoint.begin_trial() {
                continue;
            }
            look.terms.trial = true;
            let claim = self.take(*index, look);
            look.terms.trial = false;
            if claim.is_some() {
                return claim;
            }
            endpoint.end_trial();
        }
        // with somebody healthy this is nothing to wait for
        look.wait &= self.plan.shares.is_empty();
        look.overloaded = false;
        None
    }

    /// The rare case that the choices had no slot: whatever has one, and of those to be avoided at last.
    fn look_at_all(&self, look: &mut Look<'_>) -> Found {
        let (asked, none) = (*look.choice, Choice::default());
        for avoids in [true, false] {
            if !avoids && asked.avoid.is_empty() {
                break;
            }
            let choice = if avoids { &asked } else { &none };
            if let Some(claim) = self.take_any(choice, look) {
                return Found::Slot(claim);
            }
            if look.wait {
                return Found::Wait;
            }
        }
        if look.overloaded { Found::Overloaded } else { Found::Nothing }
    }

    /// Nobody takes calls: endpoints that refused a connect a while ago are tried again before their back-off is over. In a
    /// rolling restart one of them is back when the last one goes.
    fn look_in_need(&self, look: &Look<'_>) -> Found {
        let most = look.cluster.settings().max_connections;
        let members = &self.plan.set.members;
        let first = self.turns.next().checked_rem(members.len()).unwrap_or(0);
        let mut coming = false;
        for (member, lane) in members.iter().zip(self.lanes.iter()).cycle().skip(first).take(members.len().min(IN_NEED))
        {
            let endpoint = &member.endpoint;
            let now = Instant::now();
            if lane.has_room(most) && endpoint.may_connect_in_need(now, look.since.unwrap_or(now)) {
                self.connect(look.cluster, endpoint, lane);
                coming = true;
            } else {
                coming |= lock(&lane.0).connecting && !failed_since(endpoint, look.since);
            }
        }
        if coming { Found::Wait } else { Found::Nothing }
    }

    fn take_any(&self, choice: &Choice<'_>, look: &mut Look<'_>) -> Option<Claim> {
        for share in &self.plan.shares {
            // of a subset only those slots are its own
            let own = match self.plan.set.tiers.get(share.tier) {
                Some(tier) if look.cluster.settings().subset_size == 0 => &tier.members,
                _ => &share.slots,
            };
            let first = self.turns.next().checked_rem(own.len()).unwrap_or(0);
            for index in own.iter().cycle().skip(first).take(own.len()) {
                let avoided = self.plan.set.member(*index).is_none_or(|member| choice.avoids(&member.endpoint));
                if !avoided && self.plan.may(share, *index) {
                    let claim = self.take_it(*index, look);
                    if claim.is_some() {
                        return claim;
                    }
                }
            }
        }
        None
    }

    /// A slot of this member, if it has one and is not to be avoided; else a connect may be started.
    fn take(&self, index: u32, look: &mut Look<'_>) -> Option<Claim> {
        if look.choice.avoids(&self.plan.set.member(index)?.endpoint) {
            return None;
        }
        self.take_it(index, look)
    }

    fn take_it(&self, index: u32, look: &mut Look<'_>) -> Option<Claim> {
        let endpoint = &self.plan.set.member(index)?.endpoint;
        let lane = self.lanes.get(index as usize)?;
        let most = look.cluster.settings().max_connections;
        match lane.claim(look.terms) {
            Ok(claim) => {
                if claim.crowded && lane.has_room(most) {
                    self.connect_if_allowed(look.cluster, endpoint, lane, None);
                }
                return Some(claim);
            }
            Err(Denied::Overloaded) => look.overloaded = true,
            Err(Denied::Closing | Denied::NoSlot) => {
                let full = !lock(&lane.0).connections.is_empty();
                let coming = lane.has_room(most) && self.connect_if_allowed(look.cluster, endpoint, lane, look.since)
                    || lock(&lane.0).connecting && !failed_since(endpoint, look.since);
                look.wait |= full || coming;
            }
        }
        None
    }

    /// Starts a connect unless the endpoint is in back-off, or has failed since the call began to wait.
    fn connect_if_allowed(
        &self,
        cluster: &Arc<Cluster>,
        endpoint: &Arc<Endpoint>,
        lane: &Arc<Lane>,
        since: Option<Instant>,
    ) -> bool {
        let now = Instant::now();
        let allowed = endpoint.may_connect(now, since.unwrap_or(now));
        if allowed {
            self.connect(cluster, endpoint, lane);
        }
        allowed
    }

    fn connect(&self, cluster: &Arc<Cluster>, endpoint: &Arc<Endpoint>, lane: &Arc<Lane>) {
        lock(&lane.0).connecting = true;
        let connecting = Connecting { lane: Arc::clone(lane), hub: Arc::clone(&self.hub) };
        // a task of its own: a call that goes away does not take the connect of others with it
        tokio::spawn(connecting.run(Arc::clone(cluster), Arc::clone(endpoint)));
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
    fn claim(&self, terms: &mut Terms) -> Result<Claim, Denied> {
        let mut state = lock(&self.0);
        loop {
            let free = state.connections.iter().filter(|connection| connection.has_slot());
            let best = Arc::clone(free.min_by_key(|connection| connection.active()).ok_or(Denied::NoSlot)?);
            match best.claim(terms) {
                Err(Denied::Closing) => {
                    state.connections.retain(|connection| !Arc::ptr_eq(connection, &best));
                    best.retire();
                }
                claimed => return claimed,
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
    async fn run(self, cluster: Arc<Cluster>, endpoint: Arc<Endpoint>) {
        let began = Instant::now();
        let meters = Arc::clone(&self.hub.meters);
        let (weak, lane) = (Arc::downgrade(&cluster), Arc::clone(&self.lane));
        let host = Host { cluster: weak, endpoint: Arc::clone(&endpoint), lane, meters };
        match connect(&cluster, &self.hub, host).await {
            Ok(connected) => {
                endpoint.connected();
                lock(&self.lane.0).connections.push(connected.connection);
                tokio::spawn(connected.task);
            }
            Err(why) => {
                self.hub.meters.upstream_connect_failures.add(1);
                tracing::warn!(cluster = cluster.name(), endpoint = %endpoint.label(), why, "connect failed");
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
