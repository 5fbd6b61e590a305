//! Instances that disagree.

use super::program::{Folder, stderr, stdout, until};
use super::server::Server;
use super::{newer, shop};

fn config(servers: &[&Server], more: &str) -> String {
    let urls: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.url())).collect();
    format!(
        "clusters: {{shop: {{endpoints: [{}]}}}}\ncatalogs: [{{name: shop, cluster: shop, reflect: {{refresh: 200ms, {more}}}}}]\n",
        urls.join(", ")
    )
}

#[tokio::test]
async fn what_most_say_counts_and_the_others_are_logged_once_counted_and_shown() {
    let (old, older, new) = (Server::start(shop()).await, Server::start(shop()).await, Server::start(newer()).await);
    let folder = Folder::new();
    folder.write("t.yaml", &config(&[&new, &old, &older], ""));
    let serving = folder.serve(&["t.yaml"]).await;
    assert!(serving.told().contains("says otherwise than the others"), "{}", serving.told());

    let gauge = |server: &Server| {
        format!("transom_reflection_drift{{catalog=\"shop\",cluster=\"shop\",endpoint=\"{}\"}}", server.address)
    };
    let (of_new, of_old) = (gauge(&new), gauge(&old));
    // a method, a field, and the type of a field
    assert_eq!((serving.metric(&of_new).await, serving.metric(&of_old).await), (Some(3), Some(0)));
    let page = serving.page("/drift").await;
    for line in [
        "catalog shop by reflection of cluster shop: 1 services, 1 methods".to_owned(),
        format!("  {} (v1): 3 differences", new.address),
        "    + field shop.v1.GetOrder.whole bool = 2".to_owned(),
        "    ~ field shop.v1.Order.name string = 1 -> bytes = 1".to_owned(),
        "    + method shop.v1.Shop/Cancel (shop.v1.GetOrder) returns (shop.v1.Order) with options".to_owned(),
        format!("  {} (v1): agrees", old.address),
    ] {
        let found =
            page.lines().any(|found| found == line || line.ends_with("with options") && line.starts_with(found));
        assert!(found, "{line:?} is not in\n{page}");
    }
    let json = serving.page("/drift.json").await;
    let json: serde_json::Value = serde_json::from_str(json.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let instances = &json["catalogs"][0]["instances"];
    assert_eq!(instances[0]["state"], "differs");
    assert_eq!(instances[0]["differences"]["count"], 3);
    assert_eq!(instances[1]["state"], "agrees");

    // many rounds later
    let asked = serving.metric("transom_reflection_asked_total").await.expect("a counter");
    until("it asks on", || async { serving.metric("transom_reflection_asked_total").await >= Some(asked + 9) }).await;
    assert_eq!(serving.told().matches("it says otherwise than the catalog in force").count(), 1, "{}", serving.told());
    assert_eq!(serving.metric("transom_generation").await, Some(1));

    // the rollout goes on: most have the new one
    old.say(newer());
    until("the new method is there", || async {
        serving.post("/v1/orders/1:cancel", "application/json", "{}").await.starts_with("HTTP/1.1 5")
    })
    .await;
    until("the last one is behind", || async { serving.metric(&gauge(&older)).await == Some(3) }).await;
    older.say(newer());
    until("all agree", || async { serving.metric(&gauge(&older)).await == Some(0) }).await;
    assert!(serving.told().contains("it says the same as the catalog in force again"), "{}", serving.told());
    assert_eq!(serving.metric("transom_generation").await, Some(2));
}

#[tokio::test]
async fn drift_that_is_refused_stops_a_start_and_keeps_what_is_in_force() {
    let (one, two) = (Server::start(shop()).await, Server::start(newer()).await);
    let folder = Folder::new();
    folder.write("t.yaml", &config(&[&one, &two], "drift: refuse"));
    let told = folder.try_serve(&["t.yaml"]).await.err().expect("it does not start");
    assert!(told.contains(&format!("{} says otherwise than the others: + field", two.address)), "{told}");
    assert!(told.contains("`drift: refuse` says so"), "{told}");

    two.say(shop());
    let serving = folder.serve(&["t.yaml"]).await;
    one.say(newer());
    until("it is refused", || async { serving.metric("transom_reflection_refused_total").await == Some(1) }).await;
    let asked = serving.metric("transom_reflection_asked_total").await;
    until("it asks on", || async { serving.metric("transom_reflection_asked_total").await > asked.map(|n| n + 6) })
        .await;
    assert_eq!(serving.metric("transom_reflection_refused_total").await, Some(1), "told once");
    assert!(serving.page("/drift").await.contains("  refused: "));
    assert!(serving.post("/v1/orders/1:cancel", "application/json", "{}").await.starts_with("HTTP/1.1 405"));
    // a reload for another reason goes on with what is in force
    serving.signal("HUP");
    until("it has reloaded", || async { serving.metric("transom_reloads_total").await == Some(1) }).await;
    assert!(serving.post("/v1/orders/1:cancel", "application/json", "{}").await.starts_with("HTTP/1.1 405"));

    two.say(newer());
    until("both have it", || async {
        serving.post("/v1/orders/1:cancel", "application/json", "{}").await.starts_with("HTTP/1.1 5")
    })
    .await;
    assert!(!serving.page("/drift").await.contains("  refused: "));
}

#[tokio::test]
async fn the_verb_tells_how_instances_differ_and_denies_it_if_asked() {
    let (one, two) = (Server::start(shop()).await, Server::start(newer()).await);
    let folder = Folder::new();
    let (first, second) = (one.url(), two.url());
    let arguments = ["reflect", "--upstream", &first, "--upstream", &second];
    let output = folder.transom(&arguments).await;
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in [
        format!("  {} (v1): 1 service, 1 method, 4 files\n", one.address),
        format!("  {} (v1): 1 service, 2 methods, 4 files; 3 otherwise than most\n", two.address),
        "    ~ field shop.v1.Order.name string = 1 -> bytes = 1\n".to_owned(),
        "  shop.v1.Shop\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part:?} is not in\n{text}");
    }
    let output = folder.transom(&[&arguments[..], &["--deny-drift"]].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    drop(two);
    let output = folder.transom(&[&arguments[..], &["--deny-drift"]].concat()).await;
    assert!(output.status.success() && stdout(&output).contains("connection refused"), "{}", stdout(&output));
    drop(one);
    let output = folder.transom(&arguments).await;
    assert_eq!(output.status.code(), Some(1), "nobody could be asked: {}", stderr(&output));
}
