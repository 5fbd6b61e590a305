//! Reloads and shutdowns of the edge while it is called: no call may notice.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialects::{Dialect, UNARY};
use super::endpoint::Endpoint;
use super::ledger::{Ledger, name_of};
use super::load::{Load, Outcome, pause, rate, stretch};
use super::support::{Answer, Edge, PATIENCE, Process, metric, read_http1, until};
use super::{before, turn};

const RATE: u64 = 200;
const RELOADS: u64 = 12;
/// 200 in a minute, unless one takes longer.
const EVERY: Duration = Duration::from_millis(300);

/// What a reload may change, in turn: nothing, settings, the cluster (its connections retire), its endpoints.
fn versions(at: &[SocketAddr]) -> [String; 4] {
    [
        before(at, "", ""),
        before(at, "", "settings: [{match: \"*\", max_response_message: 1MiB}]"),
        before(at, "connect_timeout: 3s", ""),
        before(&at[..2], "", ""),
    ]
}

#[tokio::test]
async fn reloads_under_load_fail_no_call() {
    let _turn = turn().await;
    let ledger = Arc::<Ledger>::default();
    let endpoints = Endpoint::several(3, &ledger);
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let versions = versions(&addresses);
    let edge = Process::by(&versions[0]);
    let load = Load::begin(edge.clear, rate(RATE));
    pause(500).await;
    let memory = edge.memory();
    let mut next = tokio::time::interval(EVERY);
    let begun = Instant::now();
    for turn in 1..=RELOADS * stretch() {
        next.tick().await;
        edge.configure(&versions[turn as usize % versions.len()]);
        edge.signal("HUP");
        let wanted = turn as i64;
        until("it is reloaded", || async { metric(edge.admin, "transom_reloads_total").await >= wanted }).await;
    }
    let took = begun.elapsed();
    let report = load.end().await;
    println!("{} reloads in {took:?}: {report}", RELOADS * stretch());
    report.is_perfect(&ledger);
    assert_eq!(metric(edge.admin, "transom_reload_failures_total").await, 0);
    let connections = "transom_upstream_connections_active";
    // two workers, at most three endpoints; those of former clusters have gone
    until("old connections close", || async { metric(edge.admin, connections).await <= 6 }).await;
    let grown = edge.memory().saturating_sub(memory);
    assert!(grown < 48 << 20, "grew by {grown} bytes");
}

#[tokio::test]
async fn a_shutdown_under_load_fails_no_call_that_was_begun_and_refuses_the_others_cleanly() {
    let _turn = turn().await;
    for _ in 0..3 * stretch() {
        let ledger = Arc::<Ledger>::default();
        let endpoints = Endpoint::several(2, &ledger);
        for endpoint in &endpoints {
            endpoint.levers.delay.store(30, std::sync::atomic::Ordering::Relaxed);
        }
        let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
        let mut edge = Process::by(&before(&addresses, "", "drain_timeout: 10s"));
        let load = Load::begin(edge.clear, rate(2 * RATE));
        pause(700).await;
        let executed = || async { endpoints.iter().map(Endpoint::executed).sum::<u64>() > 60 };
        until("it is under load", executed).await;
        let told = Instant::now();
        edge.signal("TERM");
        pause(500).await;
        until("the process ends", || {
            let ended = edge.child.try_wait().expect("a child");
            async move { ended.is_some_and(|status| status.code() == Some(0)) }
        })
        .await;
        let report = load.end().await;
        println!("shutdown: {report}");
        report.is_sound(&ledger);
        for done in report.bad() {
            assert_eq!(done.outcome, Outcome::Turned, "{done:?} {:?}", ledger.fate(done.number));
            assert!(done.begun >= told, "it was begun before: {done:?}, told at {told:?}");
            assert!(ledger.fate(done.number).executed.is_empty(), "{done:?}");
        }
        assert!(report.bad().count() > 0 && report.good() > 50, "{report}");
    }
}

/// A request over HTTP/1.1 that was written before this returns.
fn asked(mut socket: std::net::TcpStream, number: u64) -> std::net::TcpStream {
    let ask = Dialect::Rest.ask(UNARY, &[&name_of(number)]);
    let request = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len());
    socket.write_all(&[request.as_bytes(), &ask.body].concat()).expect("a request");
    socket
}

fn answered(socket: &mut std::net::TcpStream) -> Answer {
    let mut raw = Vec::new();
    let mut some = [0; 4096];
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    while let Ok(count @ 1..) = socket.read(&mut some) {
        raw.extend_from_slice(&some[..count]);
        let answer = read_http1(&raw);
        if !answer.cut {
            return answer;
        }
    }
    Answer { cut: true, ..Answer::default() }
}

/// Reads the answers while the upstream, which is on this thread, makes them.
async fn all_answered(mut sockets: Vec<std::net::TcpStream>) -> (Vec<std::net::TcpStream>, Vec<u16>) {
    let read = move || {
        let codes = sockets.iter_mut().map(|socket| answered(socket).status).collect();
        (sockets, codes)
    };
    tokio::task::spawn_blocking(read).await.expect("no panic")
}

#[tokio::test]
async fn calls_that_come_together_with_the_order_to_stop_are_answered() {
    let _turn = turn().await;
    for round in 0..10 {
        let ledger = Arc::<Ledger>::default();
        let endpoint = Endpoint::start(0, &ledger);
        let edge = Edge::by(&before(&[endpoint.address], "", "")).await;
        let address = edge.clear;
        let connect = move || std::net::TcpStream::connect(address).expect("a connection");
        // some connections have had a call, some only stand there, some are new
        let (mut sockets, codes) = all_answered((0..20).map(|number| asked(connect(), number)).collect()).await;
        assert_eq!(codes, [200; 20]);
        sockets.extend((0..20).map(|_| connect()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut sockets: Vec<_> = sockets.into_iter().zip(100..).map(|(socket, at)| asked(socket, at)).collect();
        sockets.extend((0..20).map(|at| asked(connect(), 200 + at)));
        let stopped = tokio::spawn(edge.running.shutdown());
        let (_, codes) = all_answered(sockets).await;
        let lost: Vec<_> = codes.iter().enumerate().filter(|(_, code)| **code != 200).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} (0: kept, 20: standing, 40: new)");
        assert_eq!(stopped.await.expect("an end"), 0, "none was cut");
    }
}
