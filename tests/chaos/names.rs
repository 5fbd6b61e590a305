//! Endpoints that are found by DNS, whose name points elsewhere again and again while they are called, and whose name
//! server fails.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::ledger::Ledger;
use super::load::{Load, rate, stretch};
use super::name_server::{A, NameServer, Say};
use super::support::{Process, configuration, metric, protos, until};
use super::turn;

const RATE: u64 = 150;
const NAME: &str = "books.test";
/// Where the endpoints stand, all at one port.
const ADDRESSES: [IpAddr; 4] = [host(2), host(3), host(4), host(5)];
/// Changes of the name, each of which makes one endpoint come and one go.
const CHANGES: usize = 8;

const fn host(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// An edge whose cluster is at a name. It starts beside this thread, which has to answer what it asks the name server.
async fn edge(names: &NameServer, port: u16) -> Process {
    let at = names.address;
    let discovery =
        format!("{{dns: {NAME}, port: {port}, resolvers: \"{at}\", min_refresh: 100ms, max_refresh: 200ms}}");
    let text = configuration("MARK", &protos(), "workers: 2\n");
    let text = text.replace("endpoints: MARK", &format!("discovery: {discovery}"));
    tokio::task::spawn_blocking(move || Process::by(&text)).await.expect("no panic")
}

fn point(names: &NameServer, addresses: &[IpAddr]) {
    names.say(NAME, A, Say::Addresses(addresses.to_vec()));
}

/// Waits until each of these endpoints gets calls, from now on.
async fn are_called(endpoints: &[&Endpoint]) {
    let before: Vec<u64> = endpoints.iter().map(|endpoint| endpoint.executed()).collect();
    let grown = || async { endpoints.iter().zip(&before).all(|(endpoint, before)| endpoint.executed() > before + 5) };
    until("they are called", grown).await;
}

/// Lets the name server fail in these ways one after the other, each for as many questions as it takes to tell.
async fn fail(names: &NameServer, called: &[&Endpoint]) {
    for (say, questions) in [(Say::Failure, 4), (Say::Silence, 2), (Say::NoSuchName, 4)] {
        let asked = names.asked(NAME, A);
        names.say(NAME, A, say.clone());
        let enough = || async { names.asked(NAME, A) >= asked + questions };
        until(&format!("it was asked while it said {say:?}"), enough).await;
        are_called(called).await;
    }
}

#[tokio::test]
async fn a_name_that_points_elsewhere_again_and_again_fails_no_call() {
    let _turn = turn().await;
    let ledger = Arc::<Ledger>::default();
    let mut endpoints = Endpoint::at_each(&ADDRESSES, &ledger);
    let count = endpoints.len();
    let names = NameServer::start(0).await;
    point(&names, &ADDRESSES[..2]);
    let edge = edge(&names, endpoints[0].address.port()).await;
    let load = Load::begin(edge.clear, rate(RATE));
    for change in 0..CHANGES * stretch() as usize {
        // two of them, in a circle: one goes and the one behind the other comes
        let (goes, stays, comes) = (change % count, (change + 1) % count, (change + 2) % count);
        are_called(&[&endpoints[goes], &endpoints[stays]]).await;
        point(&names, &[ADDRESSES[stays], ADDRESSES[comes]]);
        are_called(&[&endpoints[stays], &endpoints[comes]]).await;
        if change % 4 == 1 {
            fail(&names, &[&endpoints[stays], &endpoints[comes]]).await;
            point(&names, &[ADDRESSES[stays], ADDRESSES[comes]]);
        }
        // the name has left it: it stops, and is started anew for its next turn
        endpoints[goes].leave().await;
        endpoints[goes].restart();
    }
    let report = load.end().await;
    println!("a name that moves: {report}");
    report.is_perfect(&ledger);
    // two workers, and the two endpoints of the name
    let connections = "transom_upstream_connections_active";
    until("old connections close", || async { metric(edge.admin, connections).await <= 4 }).await;
}
