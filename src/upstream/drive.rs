//! The task of one connection: drives `h2`, pings when it has been silent, sweeps unread frames, notices its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep};

use super::cluster::Cluster;
use super::connect::{RATION, Rationed, Traffic};
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::pool::Lane;
use crate::net::batch::Batched;
use crate::net::merge::Merged;
use crate::observe::{GaugeGuard, Meters};

/// What a connection belongs to. The cluster by `Weak`: its connections do not keep it.
pub(super) struct Host {
    pub(super) cluster: Weak<Cluster>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) lane: Arc<Lane>,
    pub(super) meters: Arc<Meters>,
}

/// Drives one connection until it ends. Its end takes it out of its lane.
pub(super) struct Driver {
    h2: h2::client::Connection<Batched<Merged<Rationed>>, Bytes>,
    ping: Option<PingPong>,
    connection: Arc<Connection>,
    traffic: Arc<Traffic>,
    host: Host,
    /// Ends when the endpoint leaves the cluster, or with it.
    gone: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    care: Care,
    timer: Pin<Box<Sleep>>,
    /// When cancelled calls may be let out again.
    parting: Option<Pin<Box<Sleep>>>,
    pinged: Option<Pinged>,
    /// Pings ever sent.
    pings: u64,
    /// `traffic.read()` at the end of the last poll and at the last sweep.
    read: u64,
    swept: u64,
    /// Since when nothing was read, or nothing was to be expected.
    silent_since: Instant,
    /// Since when there was no call; and how many had been opened by then.
    idle_since: Instant,
    opened: u64,
    _gauge: GaugeGuard,
}

/// The settings of a cluster that a connection goes by, also when the cluster has gone and its last calls run.
#[derive(Default)]
struct Care {
    /// Silence before a ping; `None`: no pings.
    interval: Option<Duration>,
    timeout: Duration,
    idle: Duration,
}

/// A ping without an answer.
struct Pinged {
    /// Bytes read when the clock was last set; more since then is a sign of life as well.
    read: u64,
}

/// How often a connection looks whether it is idle, at most.
const LOOK: Duration = Duration::from_secs(30);
const UNANSWERED: &str = "keep-alive timed out: the upstream does not answer pings";

// === impl Care ===

impl Care {
    fn refresh(&mut self, host: &Host) {
        let Some(cluster) = host.cluster.upgrade() else { return };
        let settings = cluster.settings();
        self.interval = host.endpoint.keep_alive_interval(settings);
        self.timeout = settings.keep_alive_timeout;
        self.idle = settings.idle_timeout;
    }
}

// === impl Driver ===

impl Driver {
    pub(super) fn new(
        mut h2: h2::client::Connection<Batched<Merged<Rationed>>, Bytes>,
        connection: Arc<Connection>,
        traffic: Arc<Traffic>,
        host: Host,
    ) -> Driver {
        let now = Instant::now();
        host.endpoint.opened();
        let mut changes = host.cluster.upgrade().map(|cluster| cluster.changes());
        let endpoint = Arc::clone(&host.endpoint);
        let gone = async move {
            if let Some(changes) = &mut changes {
                while !endpoint.is_gone() && changes.changed().await.is_ok() {}
            }
        };
        Driver {
            ping: h2.ping_pong(),
            h2,
            connection,
            traffic,
            gone: Some(Box::pin(gone)),
            care: Care::default(),
            timer: Box::pin(tokio::time::sleep_until(now)),
            parting: None,
            pinged: None,
            pings: 0,
            read: 0,
            swept: 0,
            silent_since: now,
            idle_since: now,
            opened: 0,
            _gauge: GaugeGuard::new(&host.meters, |meters| &meters.upstream_connections_active),
            host,
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) {
        if let Some(gone) = &mut self.gone
            && gone.as_mut().poll(cx).is_ready()
        {
            self.gone = None;
            self.retire();
        }
    }

    fn retire(&self) {
        self.host.lane.remove(&self.connection);
        self.connection.retire();
    }

    /// Notes what the last poll read, and sweeps when it adds up.
    fn after_reading(&mut self) {
        let read = self.traffic.read();
        if read == self.read {
            return;
        }
        self.read = read;
        self.silent_since = Instant::now();
        if read - self.swept >= RATION as u64 {
            self.swept = read;
            self.connection.sweep();
        }
    }

    fn note_end(&self, result: Result<(), h2::Error>) {
        let Err(error) = result else {
            self.connection.ended("the upstream closed the connection");
            return;
        };
        if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) {
            self.calm_down();
        }
        let text = match error.get_io() {
            Some(io) => format!("connection to the upstream lost: {}", io.kind()),
            None => format!("the upstream's connection ended: {error}"),
        };
        self.connection.ended(text);
    }

    /// Go's and C's servers say "too_many_pings" so.
    fn calm_down(&self) {
        let Some(cluster) = self.host.cluster.upgrade().filter(|_| self.pings > 0) else { return };
        let endpoint = &self.host.endpoint;
        endpoint.calm_down(cluster.settings());
        tracing::warn!(cluster = cluster.name(), endpoint = %endpoint.label(), "the upstream finds our pings too many");
    }

    /// Resets the streams whose turn it is.
    fn poll_parting(&mut self, cx: &mut Context<'_>) {
        while let Some(next) = self.connection.parting.let_out(cx) {
            let timer = self.parting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            timer.as_mut().reset(next);
        }
        self.parting = None;
    }

    fn poll_pong(&mut self, cx: &mut Context<'_>) {
        if let (Some(_), Some(ping)) = (&self.pinged, &mut self.ping)
            && ping.poll_pong(cx).is_ready()
        {
            self.pinged = None;
        }
    }

    /// Whether the connection is given up.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let Some(next) = self.tick(now) else { return true };
            self.timer.as_mut().reset(next);
        }
        false
    }

    /// Looks after the connection; when to look again, `None` if it is given up.
    fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.care.refresh(&self.host);
        self.close_if_idle(now);
        if let Some(pinged) = &mut self.pinged {
            if pinged.read == self.read {
                return None;
            }
            pinged.read = self.read;
            return Some(now + self.care.timeout);
        }
        if self.connection.active() == 0 {
            self.silent_since = now;
        }
        let look = now + LOOK.min(self.care.idle.max(Duration::from_millis(10)));
        let Some(interval) = self.care.interval else { return Some(look) };
        let due = self.silent_since + interval;
        if due > now {
            return Some(due.min(look));
        }
        if self.ping.as_mut().is_some_and(|ping| ping.send_ping(Ping::opaque()).is_ok()) {
            self.pinged = Some(Pinged { read: self.read });
            self.pings += 1;
        }
        Some(now + self.care.timeout)
    }

    fn close_if_idle(&mut self, now: Instant) {
        let opened = self.connection.opened();
        if self.connection.active() > 0 || opened != self.opened {
            self.opened = opened;
            self.idle_since = now;
        } else if now.saturating_duration_since(self.idle_since) >= self.care.idle
            && self.host.lane.is_spare(&self.connection)
        {
            self.retire();
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.traffic.refill();
        this.poll_gone(cx);
        this.poll_parting(cx);
        let ended = Pin::new(&mut this.h2).poll(cx);
        this.connection.set_limit(this.h2.max_concurrent_send_streams());
        this.after_reading();
        if let Poll::Ready(result) = ended {
            this.note_end(result);
            return Poll::Ready(());
        }
        this.poll_pong(cx);
        if this.poll_timer(cx) {
            this.connection.ended(UNANSWERED);
            return Poll::Ready(());
        }
        this.poll_pong(cx);
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.connection.ended("the connection was closed");
        self.connection.parting.over();
        self.retire();
        self.host.endpoint.closed();
    }
}
