//! What changes while the process runs, and what is not there when it starts.

use std::time::{Duration, Instant};

use transom::demo::upstream::Upstream;

use super::port::Port;
use super::program::{Folder, PATIENCE, until};
use super::server::{Manner, Script, Server};
use super::{MONEY, newer, shop};

fn config(server: &Server, more: &str) -> String {
    format!("catalogs: [{{name: shop, upstream: \"{}\", reflect: {{refresh: 200ms, {more}}}}}]\n", server.url())
}

const CANCEL: &str = "/v1/orders/1:cancel";

#[tokio::test]
async fn a_new_method_is_served_and_a_broken_or_missing_answer_changes_nothing() {
    let server = Server::start(shop()).await;
    let folder = Folder::new();
    folder.write("t.yaml", &config(&server, ""));
    let serving = folder.serve(&["t.yaml"]).await;
    let is_known = async || serving.post(CANCEL, "application/json", "{}").await.starts_with("HTTP/1.1 5");
    assert!(!is_known().await);

    server.say(newer());
    until("the new method is there", &is_known).await;
    assert!(
        serving.told().contains("the upstream's services have changed: + field shop.v1.GetOrder.whole"),
        "{}",
        serving.told()
    );
    assert_eq!(serving.metric("transom_generation").await, Some(2));

    // two rules of one shape: a catalog that does not load
    let broken =
        super::NEWER.replace("post: \\\"", "get: \\\"").replace(":cancel\"", "\"").replace("post: ", "get: ").leak();
    server.say(Script::of(&[("shop/shop.proto", broken), ("shop/money.proto", MONEY)]));
    let refused = || async { serving.metric("transom_reflection_refused_total").await == Some(1) };
    let failed = || async { serving.metric("transom_reload_failures_total").await == Some(1) };
    until("it is refused", || async { refused().await || failed().await }).await;
    let asked = serving.metric("transom_reflection_asked_total").await;
    until("it asks on", || async { serving.metric("transom_reflection_asked_total").await > asked.map(|n| n + 3) })
        .await;
    assert!(is_known().await, "the old tables stay");
    assert_eq!(serving.metric("transom_generation").await, Some(2));
    let told = serving.metric("transom_reflection_refused_total").await.unwrap_or(0)
        + serving.metric("transom_reload_failures_total").await.unwrap_or(0);
    assert_eq!(told, 1, "the same is not refused twice: {}", serving.told());

    // gone, hanging, back with the first version
    server.say(shop().manner(Manner::Status(14)));
    let failures = serving.metric("transom_reflection_failures_total").await;
    until("it fails", || async { serving.metric("transom_reflection_failures_total").await > failures }).await;
    assert!(is_known().await, "what it said last stays");
    server.say(shop());
    until("the method is gone", || async { !is_known().await }).await;
}

#[tokio::test]
async fn calls_go_on_while_the_catalog_changes() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let server = Server::start(shop()).await;
    let folder = Folder::new();
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/protos");
    folder.write(
        "t.yaml",
        &format!(
            "catalogs:
  - {{name: all, proto_paths: [\"{protos}\"], protos: [helloworld.proto], upstream: \"h2c://{}\",
     reflect: {{upstream: \"{}\", refresh: 100ms}}}}
",
            upstream.address(),
            server.url()
        ),
    );
    let serving = folder.serve(&["t.yaml"]).await;
    let (mut calls, begun) = (0, Instant::now());
    // a busy machine gets around to it later
    let is_over =
        async || begun.elapsed() > Duration::from_secs(2) && serving.metric("transom_generation").await >= Some(3);
    while !is_over().await {
        assert!(begun.elapsed() < PATIENCE, "nothing is reloaded after {calls} calls: {}", serving.told());
        server.say(if calls % 20 < 10 { newer() } else { shop() });
        let answer = serving.get("/v1/greeter/joe").await;
        assert!(answer.contains("Hello joe"), "call {calls}: {answer}");
        calls += 1;
    }
    assert_eq!(serving.metric("transom_reload_failures_total").await, Some(0));
}

#[tokio::test]
async fn a_start_waits_for_its_upstream_for_a_while() {
    let port = Port::take();
    let address = port.address;
    let folder = Folder::new();
    let config = |wait| {
        format!("catalogs: [{{name: shop, upstream: \"h2c://{address}\", reflect: {{wait: {wait}, timeout: 2s}}}}]\n")
    };
    folder.write("t.yaml", &config("1s"));
    let begun = Instant::now();
    let told = folder.try_serve(&["t.yaml"]).await.err().expect("it does not start");
    assert!(told.contains(&format!("reflection of {address}: connect to {address}: connection refused")), "{told}");
    assert!(told.contains("waiting for it") && begun.elapsed() < Duration::from_secs(10), "{told}");
    folder.write("t.yaml", &config("20s"));
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Server::on(port.listen(), shop())
    };
    let (serving, server) = tokio::join!(folder.serve(&["t.yaml"]), late);
    assert!(serving.page("/drift").await.contains("agrees"), "{}", serving.told());
    drop(server);
    serving.signal("HUP");
    until("it has reloaded without", || async { serving.metric("transom_reloads_total").await == Some(1) }).await;
    assert!(serving.told().contains("what it said last stays"), "{}", serving.told());
}
