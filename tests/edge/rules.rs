//! Rules by selector in the configuration, and how paths are matched with them.

use serde_json::{Value, json};

use super::echoing::Echoing;
use super::support::{Ask, Transport};

const PROTO: &str = r#"
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
message Item { string name = 1; int32 count = 2; repeated Item parts = 3; map<string, string> labels = 4; }
message Order { string id = 1; Item item = 2; repeated Item items = 3; repeated string tags = 4; map<string, Item> rack = 5; string note = 6; }
service Orders {
  rpc Get(Order) returns (Order) { option (google.api.http) = { get: "/v1/orders/{id}" }; }
  rpc Put(Order) returns (Order);
  rpc Watch(Order) returns (stream Order);
  rpc Move(Order) returns (Order) { option (google.api.http) = { post: "/v1/orders/{id}:move" body: "*" }; }
}
service Items {
  rpc Take(Order) returns (Order) { option (google.api.http) = { get: "/v1/items/{id=**}" }; }
}
"#;

fn send(method: &'static str, path: &str, body: Value) -> Ask {
    Ask { method, ..Ask::post(path, "application/json", body.to_string()) }
}

#[tokio::test]
async fn a_rule_takes_the_place_of_the_annotation_or_stands_beside_it() {
    let rules = r#"rules:
  - {selector: shop.v1.Orders.Get, get: "/other/{id}"}
  - {selector: shop.v1.Orders.Move, put: "/moved/{id}", body: "*", add: true}
  - {selector: shop.v1.Orders.Put, put: "/first/{id}", body: "*"}
  - {selector: shop.v1.Orders.Put, put: "/last/{id}", body: "*"}
"#;
    let edge = Echoing::start(PROTO, rules, "").await;
    let edge = &edge;
    let status = |ask: Ask| async move { edge.ask(&ask).await.status };
    assert_eq!(edge.got("/other/a").await, json!({"id": "a"}));
    assert_eq!(status(Ask::get("/v1/orders/a")).await, 404, "it was replaced");
    assert_eq!(edge.sent(send("PUT", "/moved/a", json!({"note": "x"}))).await.0, "Move");
    assert_eq!(edge.sent(send("POST", "/v1/orders/a:move", json!({}))).await.0, "Move", "it was added to");
    // of several that do not add the last wins (google/api/service.proto)
    assert_eq!(status(send("PUT", "/first/a", json!({}))).await, 404);
    assert_eq!(edge.sent(send("PUT", "/last/a", json!({}))).await.1, json!({"id": "a"}));
}

#[tokio::test]
async fn a_selector_may_name_all_methods_below_a_name() {
    // one path cannot be several methods', but hosts tell their services apart
    let catalog = r#"hosts: {shop.v1.Orders: [orders.example], shop.v1.Items: [items.example]}
conflicts: report
rules:
  - {selector: "shop.v1.Items.*", get: "/all/{id}", additional_bindings: [{custom: {kind: PURGE, path: "/all/{id}"}}]}
  - {selector: "shop.*", delete: "/below/{id}", add: true}
"#;
    let edge = Echoing::start(PROTO, catalog, "").await;
    for method in ["GET", "PURGE"] {
        let one = Ask::new(method, "http://items.example/all/a");
        assert_eq!(edge.sent(one).await, ("Take".into(), json!({"id": "a"})), "{method}");
    }
    let gone = edge.ask(&Ask::get("http://items.example/v1/items/a")).await;
    assert_eq!(gone.status, 404, "{}", gone.text());
    assert_eq!(edge.sent(Ask::new("DELETE", "http://items.example/below/a")).await.0, "Take");
    let disputed = edge.ask(&Ask::new("DELETE", "http://orders.example/below/a")).await;
    assert_eq!(disputed.status, 404, "four methods of one service claim it");
}

#[tokio::test]
async fn every_verb_and_every_body_can_be_written() {
    let rules = r#"rules:
  - selector: shop.v1.Orders.Put
    get: "/o/{id}"
    additional_bindings:
      - {put: "/o/{id}", body: "*"}
      - {post: "/o/{id}", body: item}
      - {patch: "/o/{id}", body: items}
      - {delete: "/o/{id}"}
      - {custom: {kind: REPORT, path: "/o/{id}"}, body: tags}
      - {custom: {kind: "*", path: "/o/{id}:rack"}, body: rack}
      - {post: "/o/{id}:items", body: items, response_body: items}
      - {post: "/o/{id}:tags", body: tags, response_body: tags}
      - {post: "/o/{id}:note", body: note, response_body: note}
      - {post: "/o/{id}:item", body: item, response_body: item}
      - {post: "/o/{item.name}/by/{id}", body: item}
  - {selector: shop.v1.Orders.Watch, post: "/o:watch", body: "*", response_body: items}
"#;
    let edge = Echoing::start(PROTO, rules, "").await;
    let item = json!({"name": "n", "count": 1});
    for (method, path, body, expected) in [
        ("PUT", "/o/a", json!({"note": "x"}), json!({"id": "a", "note": "x"})),
        ("POST", "/o/a?note=x", item.clone(), json!({"id": "a", "note": "x", "item": item})),
        ("PATCH", "/o/a?tags=t", json!([item, {}]), json!({"id": "a", "tags": ["t"], "items": [item, {}]})),
        ("REPORT", "/o/a", json!(["s", ""]), json!({"id": "a", "tags": ["s", ""]})),
        ("LINK", "/o/a:rack", json!({"k": item}), json!({"id": "a", "rack": {"k": item}})),
        ("POST", "/o/a:items", json!([item]), json!([item])),
        ("POST", "/o/a:tags", json!(["x"]), json!(["x"])),
        ("POST", "/o/a:tags", json!([]), json!([])),
        ("POST", "/o/a:note", json!("text"), json!("text")),
        ("POST", "/o/a:item", item.clone(), item.clone()),
        ("POST", "/o/n/by/a", json!({"count": 1}), json!({"id": "a", "item": item})),
    ] {
        for transport in [Transport::Http1, Transport::Http2] {
            let answer = edge.edge.ask(transport, &send(method, path, body.clone())).await;
            assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{method} {path}");
        }
    }
    for method in ["GET", "DELETE"] {
        assert_eq!(edge.sent(Ask::new(method, "/o/a?item.count=2")).await.1, json!({"id": "a", "item": {"count": 2}}));
    }
    // of a stream each message shows the field alone
    let stream = edge.ask(&send("POST", "/o:watch", json!({"items": [item]}))).await;
    assert_eq!(stream.json(), json!([[item]]));
    let told = edge.refused(send("PATCH", "/o/a", json!([{"nmae": 1}]))).await;
    assert_eq!(told, ["items[0].nmae: no such field (did you mean \"name\"?)"]);
    assert_eq!(edge.refused(send("PATCH", "/o/a?items=1", json!([]))).await.len(), 1);
    let told = edge.refused(send("POST", "/o/a?item.count=2", item.clone())).await;
    assert_eq!(told, ["item.count: is filled by the request's body, not by the query"]);
    let told = edge.refused(send("POST", "/o/n/by/a", item)).await;
    assert_eq!(told, ["item.name: is set by the path already"]);
}

#[tokio::test]
async fn paths_are_read_as_the_catalog_says() {
    let strict = Echoing::start(PROTO, "", "").await;
    assert_eq!(strict.ask(&Ask::get("/v1/orders/a/")).await.status, 404);
    assert_eq!(strict.got("/v1/orders/a%2Fb").await, json!({"id": "a/b"}), "one segment is decoded whole");
    assert_eq!(strict.got("/v1/items/a%2Fb/c%20d").await, json!({"id": "a%2Fb/c d"}), "of several the slash stays");
    assert_eq!(strict.got("/v1/items/a/").await, json!({"id": "a/"}));
    assert_eq!(strict.got("/%761/items/a").await, json!({"id": "a"}), "literals are compared decoded");
    assert_eq!(strict.refused(Ask::get("/v1/orders/%ff")).await, ["id: not percent-encoded UTF-8"]);
    let catalog = "paths: {trailing_slash: lenient, encoded_slash: decode}";
    let lenient = Echoing::start(PROTO, catalog, "").await;
    assert_eq!(lenient.got("/v1/orders/a/").await, json!({"id": "a"}));
    assert_eq!(lenient.sent(send("POST", "/v1/orders/a:move/", json!({}))).await.0, "Move");
    assert_eq!(lenient.got("/v1/items/a%2Fb/c").await, json!({"id": "a/b/c"}));
    assert_eq!(lenient.got("/v1/items/a/").await, json!({"id": "a/"}), "the path reaches something as it is");
    assert_eq!(lenient.ask(&Ask::get("/v1/orders/a//")).await.status, 404);
}

#[tokio::test]
async fn services_answer_under_their_default_hosts_where_that_is_said() {
    let proto = r#"
syntax = "proto3";
package two;
import "google/api/annotations.proto";
import "google/api/client.proto";
message M { string name = 1; }
service A { option (google.api.default_host) = "A.example:443"; rpc Get(M) returns (M) { option (google.api.http) = { get: "/m/{name}" }; } }
service B { option (google.api.default_host) = "b.example"; rpc Take(M) returns (M) { option (google.api.http) = { get: "/m/{name}" }; } }
"#;
    let edge = Echoing::start(proto, "default_hosts: true\nhosts: {two.B: [bee.example]}", "").await;
    assert_eq!(edge.sent(Ask::get("http://a.example/m/x")).await.0, "Get");
    assert_eq!(edge.sent(Ask::get("http://bee.example/m/x")).await.0, "Take");
    for path in ["http://b.example/m/x", "/m/x"] {
        assert_eq!(edge.ask(&Ask::get(path)).await.status, 404, "{path}");
    }
}
