//! Endpoints that die, freeze, slow down, refuse, reset, say goodbye, and are restarted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use transom::status::Code;

use super::endpoint::Endpoint;
use super::ledger::Ledger;
use super::load::{Load, Outcome, Report, pause, rate};
use super::partition::Wire;
use super::support::{PATIENCE, Process, metric, page, until};
use super::{edge, turn};

const RATE: u64 = 150;
/// How soon a silent connection with calls on it is found out: ping after, and give up after.
const PINGS: &str = "balance: round_robin\nconnect_timeout: 1s\nkeep_alive: {interval: 1s, timeout: 2s}";
/// Where it is waited for that an endpoint is called again: by p2c one that was slow on a busy machine is passed over until
/// that is forgotten, which takes longer than it takes to be back.
const IN_TURN: &str = "balance: round_robin";
const MIB: u64 = 1 << 20;

/// Three endpoints, an edge before them, and what is asked of it.
pub struct Scene {
    pub ledger: Arc<Ledger>,
    pub endpoints: Vec<Endpoint>,
    pub load: Load,
    edge: Process,
    memory: u64,
}

// === impl Scene ===

impl Scene {
    pub async fn begin(cluster: &str) -> Scene {
        let ledger = Arc::<Ledger>::default();
        let endpoints = Endpoint::several(3, &ledger);
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        Scene::before(ledger, endpoints, &addresses, cluster).await
    }

    async fn before(ledger: Arc<Ledger>, endpoints: Vec<Endpoint>, at: &[SocketAddr], cluster: &str) -> Scene {
        let edge = edge(at, cluster, "");
        let load = Load::begin(edge.clear, rate(RATE));
        pause(1000).await;
        let have_shares = || async { endpoints.iter().all(|endpoint| endpoint.executed() > 0) };
        until("all have their share", have_shares).await;
        let memory = edge.memory();
        Scene { ledger, endpoints, load, edge, memory }
    }

    /// What the edge tells of the endpoint at this address.
    pub async fn figures(&self, at: SocketAddr) -> serde_json::Value {
        let page = page(self.edge.admin, "/clusters").await;
        let clusters: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        let all = clusters[0]["endpoints"].as_array().expect("endpoints");
        all.iter().find(|one| one["endpoint"] == at.to_string()).expect("the endpoint").clone()
    }

    /// Waits until the edge has given up a connection to the endpoint at this address.
    async fn is_found_out(&self, at: SocketAddr) {
        let lost = |figures: &serde_json::Value| {
            let failures = figures["failures"].as_array().expect("failures").clone();
            failures.into_iter().any(|failure| failure["name"] == "lost" && failure["count"] != 0)
        };
        until("it is found out", || async { lost(&self.figures(at).await) }).await;
    }

    /// Whether an endpoint is called again, and how soon.
    async fn is_called(&self, at: usize) -> Duration {
        let (began, before) = (Instant::now(), self.endpoints[at].executed());
        until("it is called", || async { self.endpoints[at].executed() > before + 5 }).await;
        began.elapsed()
    }

    /// Ends the load, and checks what always holds.
    pub async fn end(self, what: &str) -> (Report, Scene2) {
        let report = self.load.end().await;
        println!("{what}: {report}");
        report.is_sound(&self.ledger);
        for gauge in ["transom_calls_active", "transom_upstream_streams_active", "transom_pumps_active"] {
            until(gauge, || async { metric(self.edge.admin, gauge).await == 0 }).await;
        }
        let grown = self.edge.memory().saturating_sub(self.memory);
        assert!(grown < 32 * MIB, "{what}: grew by {grown} bytes");
        (report, Scene2 { ledger: self.ledger, endpoints: self.endpoints, edge: self.edge })
    }
}

/// What is left of a scene when its load has ended.
pub struct Scene2 {
    ledger: Arc<Ledger>,
    endpoints: Vec<Endpoint>,
    edge: Process,
}

/// Those that failed did so by UNAVAILABLE, with a status, on this endpoint, and while it was not yet found out.
fn only_unavailable(report: &Report, from: Instant, until: Instant) {
    for done in report.bad() {
        assert!(matches!(done.outcome, Outcome::Failed(Code::Unavailable, _)), "{done:?}");
        assert!(done.ended >= from && done.begun <= until, "{done:?}: not when the endpoint was gone");
    }
}

#[tokio::test]
async fn a_killed_endpoint_costs_the_calls_that_were_on_it_and_no_others() {
    let _turn = turn().await;
    let mut scene = Scene::begin(IN_TURN).await;
    let killed = Instant::now();
    scene.endpoints[0].kill().await;
    // from then on, no call goes there
    let has_none = || async { scene.figures(scene.endpoints[0].address).await["connections"] == 0 };
    until("its connections are lost", has_none).await;
    let found_out = Instant::now();
    pause(1500).await;
    scene.endpoints[0].restart();
    let back = scene.is_called(0).await;
    pause(500).await;
    let (report, left) = scene.end("killed").await;
    println!("called again after {back:?}");
    // what was on its way when it died; a call that begins later is never sent there
    only_unavailable(&report, killed, found_out);
    for done in report.bad() {
        let fate = left.ledger.fate(done.number);
        assert!(fate.executed.is_empty() || fate.executed == [0], "{done:?} {fate:?}");
    }
}

#[tokio::test]
async fn a_frozen_endpoint_is_found_out_by_pings_and_called_again_when_it_thaws() {
    let _turn = turn().await;
    let scene = Scene::begin(PINGS).await;
    let frozen = Instant::now();
    scene.endpoints[0].freeze(true);
    scene.is_found_out(scene.endpoints[0].address).await;
    pause(1500).await;
    let thawed = Instant::now();
    scene.endpoints[0].freeze(false);
    let back = scene.is_called(0).await;
    pause(300).await;
    let (report, _) = scene.end("frozen").await;
    println!("called again after {back:?}");
    only_unavailable(&report, frozen, thawed);
    assert!(report.bad().count() < report.0.len() / 4, "{report}");
}

#[tokio::test]
async fn a_half_open_connection_is_found_out_by_pings() {
    let _turn = turn().await;
    let ledger = Arc::<Ledger>::default();
    let endpoints = Endpoint::several(3, &ledger);
    let wire = Wire::to(endpoints[0].address).await;
    let at = [wire.address, endpoints[1].address, endpoints[2].address];
    let scene = Scene::before(ledger, endpoints, &at, PINGS).await;
    let parted = Instant::now();
    wire.part(true);
    scene.is_found_out(wire.address).await;
    pause(1500).await;
    let whole = Instant::now();
    wire.part(false);
    let back = scene.is_called(0).await;
    pause(300).await;
    let (report, _) = scene.end("half open").await;
    println!("called again after {back:?}");
    only_unavailable(&report, parted, whole);
    let bad = report.bad().count();
    assert!(bad > 0 && bad < report.0.len() / 4, "calls were on it: {report}");
}

#[tokio::test]
async fn a_slow_endpoint_delays_its_calls_and_fails_none() {
    let _turn = turn().await;
    let scene = Scene::begin("").await;
    scene.endpoints[0].levers.delay.store(400, Relaxed);
    pause(2500).await;
    scene.endpoints[0].levers.delay.store(0, Relaxed);
    pause(500).await;
    let (report, left) = scene.end("slowed").await;
    report.is_perfect(&left.ledger);
}

#[tokio::test]
async fn refused_streams_are_sent_again_and_no_caller_hears_of_them() {
    let _turn = turn().await;
    let scene = Scene::begin("").await;
    for endpoint in &scene.endpoints {
        endpoint.levers.refuse_every.store(5, Relaxed);
    }
    pause(3000).await;
    let (report, left) = scene.end("refusing every 5th").await;
    report.is_perfect(&left.ledger);
    let refused: u64 = report.0.iter().map(|done| u64::from(left.ledger.fate(done.number).refused)).sum();
    assert!(refused > 20, "{refused} refusals");
    assert_eq!(metric(left.edge.admin, "transom_upstream_retries_total{reason=\"refused\"}").await as u64, refused);
}

#[tokio::test]
async fn streams_that_are_reset_after_they_were_executed_end_by_that_code_and_are_not_sent_again() {
    let _turn = turn().await;
    for (reason, code) in [(h2::Reason::CANCEL, Code::Cancelled), (h2::Reason::INTERNAL_ERROR, Code::Internal)] {
        let scene = Scene::begin("").await;
        for endpoint in &scene.endpoints {
            endpoint.levers.reset_reason.store(reason.into(), Relaxed);
            endpoint.levers.reset_every.store(7, Relaxed);
        }
        pause(1500).await;
        let (report, left) = scene.end("resetting every 7th").await;
        for done in &report.0 {
            let reset = left.ledger.fate(done.number).reset;
            assert_eq!(reset, done.outcome != Outcome::Good, "{done:?}");
            assert!(!reset || matches!(done.outcome, Outcome::Failed(seen, _) if seen == code), "{done:?}");
        }
        assert!(report.bad().count() > 5, "{report}");
    }
}

#[tokio::test]
async fn goodbyes_in_peace_cost_no_call() {
    let _turn = turn().await;
    let scene = Scene::begin("").await;
    for _ in 0..8 {
        for endpoint in &scene.endpoints {
            endpoint.go_away(None);
        }
        pause(400).await;
    }
    let (report, left) = scene.end("GOAWAY in peace").await;
    report.is_perfect(&left.ledger);
    let connections: u64 = left.endpoints.iter().map(Endpoint::connections).sum();
    assert!(connections > 20, "{connections} connections");
}

#[tokio::test]
async fn a_goodbye_in_anger_costs_the_calls_that_it_covers_and_no_others() {
    let _turn = turn().await;
    let scene = Scene::begin("").await;
    let from = Instant::now();
    for turn in 0..6 {
        scene.endpoints[turn % 3].go_away(Some(h2::Reason::INTERNAL_ERROR));
        pause(500).await;
    }
    let (report, left) = scene.end("GOAWAY in anger").await;
    only_unavailable(&report, from, Instant::now());
    assert!(report.bad().count() < report.0.len() / 2, "{report}");
    for done in report.bad() {
        // what was not executed was either never sent, or covered by the GOAWAY and left lying
        assert!(left.ledger.fate(done.number).executed.len() <= 1, "{done:?}");
    }
}

#[tokio::test]
async fn a_rolling_restart_of_all_endpoints_fails_no_call() {
    let _turn = turn().await;
    let mut scene = Scene::begin(IN_TURN).await;
    for at in 0..3 {
        scene.endpoints[at].leave().await;
        pause(300).await;
        scene.endpoints[at].restart();
        scene.is_called(at).await;
    }
    let (report, left) = scene.end("rolling restart").await;
    report.is_perfect(&left.ledger);
}

#[tokio::test]
async fn a_rolling_restart_by_kill_loses_only_what_was_on_its_way() {
    let _turn = turn().await;
    let mut scene = Scene::begin(IN_TURN).await;
    let from = Instant::now();
    for at in 0..3 {
        scene.endpoints[at].kill().await;
        pause(300).await;
        scene.endpoints[at].restart();
        scene.is_called(at).await;
    }
    let (report, left) = scene.end("rolling kill").await;
    only_unavailable(&report, from, Instant::now());
    assert!(report.bad().count() < report.0.len() / 2, "{report}");
    for done in report.bad() {
        assert_eq!(left.ledger.fate(done.number).refused, 0, "it was safe to retry: {done:?}");
    }
}

#[tokio::test]
async fn all_endpoints_gone_is_told_at_once_and_over_when_one_is_back() {
    let _turn = turn().await;
    let mut scene = Scene::begin(IN_TURN).await;
    let gone = Instant::now();
    for endpoint in &mut scene.endpoints {
        endpoint.kill().await;
    }
    pause(700).await;
    scene.endpoints[1].restart();
    let back = scene.is_called(1).await;
    let is_back = Instant::now();
    pause(500).await;
    let (report, _) = scene.end("all gone").await;
    println!("called again after {back:?}");
    for done in report.bad() {
        assert!(matches!(done.outcome, Outcome::Failed(Code::Unavailable, _)), "{done:?}");
        assert!(done.ended > gone && done.begun < is_back, "{done:?}");
        assert!(done.ended - done.begun < PATIENCE / 2, "told at once: {done:?}");
    }
}
