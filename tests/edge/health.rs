//! Endpoints that are asked for their health get calls when they say that they are well.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::discovery::{call, edge, edge_with, moved_to};
use super::peer::{NOT_SERVING, Peer, SERVING};
use super::support::{Edge, PATIENCE, page, until};

fn two(first: &Peer, second: &Peer, health: &str) -> String {
    format!(
        "endpoints: [\"h2c://{}\", \"h2c://{}\"]\nhealth: {{interval: 300ms, {health}}}",
        first.address, second.address
    )
}

/// Waits until calls reach this one again.
async fn seen_again(edge: &Edge, name: &str) {
    let begun = Instant::now();
    while call(edge).await.expect("an answer") != name {
        assert!(begun.elapsed() < PATIENCE, "{name} gets no calls");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn turned(mode: &str) {
    let (first, second) = (Peer::start("first").await, Peer::start("second").await);
    let health = format!("mode: {mode}, no_traffic_interval: 300ms, unhealthy_threshold: 1, jitter: 0");
    // in turn, and with one worker: by load, a healthy endpoint may get none of ten calls in a row
    let cluster = format!("{}\nbalance: round_robin", two(&first, &second, &health));
    let edge = edge_with(1, &cluster).await;
    seen_again(&edge, "first").await;
    first.turn(NOT_SERVING);
    moved_to(&edge, "second").await;
    let calls = first.calls();
    for _ in 0..50 {
        assert_eq!(call(&edge).await.as_deref(), Ok("second"));
    }
    assert_eq!(first.calls(), calls, "an unhealthy endpoint gets no calls");
    first.turn(SERVING);
    let asked = first.asked();
    seen_again(&edge, "first").await;
    // counted in questions, as the clock of a busy machine says nothing; one may have been under way
    let asked = first.asked() - asked;
    assert!(asked <= 2 + 1, "{asked} more questions until it got calls");
}

#[tokio::test]
async fn a_watched_endpoint_that_is_not_serving_gets_no_calls_until_it_is() {
    turned("auto").await;
}

#[tokio::test]
async fn a_checked_endpoint_that_is_not_serving_gets_no_calls_until_it_is() {
    turned("check").await;
}

#[tokio::test]
async fn an_endpoint_without_health_checks_gets_calls_while_it_takes_connections() {
    let (first, second) = (Peer::start("first").await, Peer::start("second").await);
    first.turn(0);
    second.turn(0);
    let edge = edge(&two(&first, &second, "no_traffic_interval: 300ms, unhealthy_threshold: 1, jitter: 0")).await;
    seen_again(&edge, "first").await;
    drop(first);
    let unhealthy = r#""health": "unhealthy""#;
    until("it is found out", || async { page(edge.admin, "/clusters").await.contains(unhealthy) }).await;
    for _ in 0..20 {
        assert_eq!(call(&edge).await.as_deref(), Ok("second"));
    }
}

#[tokio::test]
async fn checks_cost_one_connection_per_endpoint_however_many_workers_there_are() {
    let (first, second) = (Peer::start("first").await, Peer::start("second").await);
    let edge = edge(&two(&first, &second, "mode: check, no_traffic_interval: 300ms")).await;
    until("both were asked thrice", || async { first.asked() >= 3 && second.asked() >= 3 }).await;
    assert_eq!((first.connections(), second.connections()), (1, 1), "nobody calls");
    drop(edge);
}
