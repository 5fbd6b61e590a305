//! Endpoints that are asked for their health, and come back: how soon they have calls again, counted in questions, as the
//! clock of a busy machine says nothing.

use super::endpoint::Endpoint;
use super::endpoints::Scene;
use super::support::until;
use super::turn;

/// In turn: by load, one that is back may get few calls at first. Two questions in a row must have failed, lest a machine
/// that is busy is taken for an endpoint that is ill.
const ASKED: &str = "balance: round_robin
health: {mode: check, interval: 500ms, no_traffic_interval: 500ms, timeout: 1s, unhealthy_threshold: 2, jitter: 0}";
/// Intervals within which an endpoint that is well again has calls, and a question that was under way.
const MOST: u64 = 2 + 1;

/// Does that to the first endpoint, waits until it is found out, undoes it, and counts.
async fn comes_back(what: &str, harm: impl AsyncFnOnce(&mut Endpoint), mend: impl FnOnce(&mut Endpoint)) {
    let mut scene = Scene::begin(ASKED).await;
    harm(&mut scene.endpoints[0]).await;
    until("it is found out", || async { scene.figures(scene.endpoints[0].address).await["health"] == "unhealthy" })
        .await;
    let asked = scene.endpoints[0].asked();
    mend(&mut scene.endpoints[0]);
    // what lay there frozen is executed as well, and says nothing
    let begun = scene.load.begun();
    until("it is called", || async { scene.ledger.last_of(0) > begun }).await;
    let asked = scene.endpoints[0].asked() - asked;
    println!("{what}: called again after {asked} questions");
    assert!(asked <= MOST, "{what}: {asked} questions until it was called");
    scene.end(what).await;
}

#[tokio::test]
async fn a_killed_endpoint_is_called_again_within_two_questions() {
    let _turn = turn().await;
    comes_back("killed", async |endpoint| endpoint.kill().await, Endpoint::restart).await;
}

#[tokio::test]
async fn a_frozen_endpoint_is_called_again_within_two_questions() {
    let _turn = turn().await;
    comes_back("frozen", async |endpoint| endpoint.freeze(true), |endpoint| endpoint.freeze(false)).await;
}
