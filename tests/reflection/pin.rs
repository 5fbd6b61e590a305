//! Descriptors that are pinned to a file.

use super::port::Port;
use super::program::{Folder, stderr, stdout, until};
use super::server::Server;
use super::{newer, shop};

fn config(url: &str, more: &str) -> String {
    format!("catalogs: [{{name: shop, upstream: \"{url}\", reflect: {{refresh: 200ms, pin: pin.binpb, {more}}}}}]\n")
}

#[tokio::test]
async fn a_pin_is_written_served_without_the_upstream_and_compared_with_it() {
    let port = Port::take();
    let server = Server::on(port.listen(), shop());
    let (address, url) = (server.address, server.url());
    let folder = Folder::new();
    folder.write("t.yaml", &config(&url, ""));
    let told = folder.try_serve(&["t.yaml"]).await.err().expect("there is no pin");
    assert!(told.contains("pin.binpb: cannot read the pin") && told.contains("transom reflect"), "{told}");
    let output = folder.transom(&["reflect", "t.yaml", "--pin"]).await;
    assert!(output.status.success() && stderr(&output).contains("wrote "), "{}", stderr(&output));
    // whole: other tools read it as well, and so does a catalog
    let output = folder.transom(&["routes", "--descriptor-set", "pin.binpb"]).await;
    assert!(stdout(&output).contains("/v1/{name=orders/*}"), "{}", stderr(&output));

    drop(server);
    let serving = folder.serve(&["t.yaml"]).await;
    let is_known =
        async || serving.post("/v1/orders/1:cancel", "application/json", "{}").await.starts_with("HTTP/1.1 5");
    until("it is told", || async { serving.told().contains("its reflection cannot be asked") }).await;
    assert!(serving.get("/v1/orders/1").await.starts_with("HTTP/1.1 503"), "the route is there, the upstream is not");

    let server = Server::on(port.listen(), newer());
    let gauge = format!("transom_reflection_drift{{catalog=\"shop\",cluster=\"shop\",endpoint=\"{address}\"}}");
    until("it is compared", || async { serving.metric(&gauge).await == Some(3) }).await;
    assert!(!is_known().await, "the pin is the truth");
    assert!(serving.page("/drift").await.contains("catalog shop by the pin pin.binpb: 1 services, 1 methods"));
    assert_eq!(serving.told().matches("it says otherwise than the pin").count(), 1, "{}", serving.told());
    let output = folder.transom(&["reflect", "t.yaml", "--deny-drift"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("3 otherwise than the pin"), "{}", stdout(&output));

    // pinned anew: the file is watched
    assert!(folder.transom(&["reflect", "t.yaml", "--pin"]).await.status.success());
    until("the new pin is served", &is_known).await;
    until("they agree", || async { serving.metric(&gauge).await == Some(0) }).await;
    // a broken pin keeps the old one
    folder.write("pin.binpb", "no descriptor set");
    until("it is refused", || async { serving.metric("transom_reload_failures_total").await == Some(1) }).await;
    assert!(is_known().await);
    drop(server);
}

#[tokio::test]
async fn drift_from_the_pin_may_stop_a_start() {
    let server = Server::start(shop()).await;
    let folder = Folder::new();
    folder.write("t.yaml", &config(&server.url(), "drift: refuse"));
    assert!(folder.transom(&["reflect", "t.yaml", "--pin"]).await.status.success());
    server.say(newer());
    let told = folder.try_serve(&["t.yaml"]).await.err().expect("it does not start");
    assert!(told.contains("says otherwise than the pin: + field shop.v1.GetOrder.whole"), "{told}");
    let address = server.address;
    drop(server);
    let serving = folder.serve(&["t.yaml"]).await;
    assert!(serving.told().contains(&format!("reflection of {address}: connect to")), "warned: {}", serving.told());
}

#[tokio::test]
async fn a_set_is_written_where_it_is_wanted() {
    let server = Server::start(shop()).await;
    let folder = Folder::new();
    let url = server.url();
    let output = folder.transom(&["reflect", "--upstream", &url, "--out", "shop.binpb"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let first = std::fs::read(folder.path().join("shop.binpb")).expect("a file");
    assert!(folder.transom(&["reflect", "--upstream", &url, "--out", "again.binpb"]).await.status.success());
    assert_eq!(std::fs::read(folder.path().join("again.binpb")).expect("a file"), first, "the same bytes each time");
    for (arguments, told) in [
        (&["reflect"][..], "nothing to serve"),
        (&["reflect", "--upstream", &url, "--pin"], "has no `pin` to write"),
        (&["reflect", "--upstream", &url, "--name", "other"], "no catalog \"other\" comes from reflection"),
        (&["reflect", "--upstream", &url, "--out", "no/folder/x"], "No such file"),
    ] {
        let output = folder.transom(arguments).await;
        assert!(!output.status.success() && stderr(&output).contains(told), "{arguments:?}: {}", stderr(&output));
    }
}
