//! HEAD, OPTIONS, 405 and X-HTTP-Method-Override, by the routes.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::echoing::{CALLED, Echoing, HOLD};
use super::support::{Answer, Ask, Transport, read_http1, tcp, until};

const PROTO: &str = r#"
syntax = "proto3";
package v;
import "google/api/annotations.proto";
message M { string name = 1; int32 n = 2; string text = 3; }
service S {
  rpc Get(M) returns (M) {
    option (google.api.http) = { get: "/m/{name}" additional_bindings { put: "/m/{name}" body: "*" } };
  }
  rpc Delete(M) returns (M) { option (google.api.http) = { delete: "/m/{name}" additional_bindings { delete: "/d/{name}" } }; }
  rpc Post(M) returns (M) { option (google.api.http) = { post: "/m/{name}" body: "*" }; }
  rpc Only(M) returns (M) { option (google.api.http) = { post: "/p/{name}:go" body: "*" }; }
  rpc Exists(M) returns (M) { option (google.api.http) = { custom { kind: "HEAD" path: "/h/{name}" } additional_bindings { get: "/h/x/{text}" } }; }
  rpc All(M) returns (M) { option (google.api.http) = { custom { kind: "*" path: "/any/{name}" } }; }
  rpc Asked(M) returns (M) { option (google.api.http) = { custom { kind: "OPTIONS" path: "/o/{name}" } additional_bindings { get: "/o/{name}" } }; }
  rpc Watch(M) returns (stream M) { option (google.api.http) = { get: "/m/{name}:watch" }; }
  rpc Look(M) returns (M) { option idempotency_level = NO_SIDE_EFFECTS; }
}
"#;

const BOTH: [Transport; 2] = [Transport::Http1, Transport::Http2];

async fn echoing(more: &str) -> Echoing {
    Echoing::start(PROTO, "", more).await
}

fn ask(method: &'static str, path: &str) -> Ask {
    Ask::new(method, path)
}

async fn over(edge: &Echoing, transport: Transport, ask: Ask) -> Answer {
    edge.edge.ask(transport, &ask).await
}

#[tokio::test]
async fn options_tells_what_a_path_takes_and_calls_nobody() {
    let edge = echoing("").await;
    for transport in BOTH {
        for (path, allow) in [
            ("/m/x", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
            ("/m/x:watch", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
            ("/d/x", "DELETE, OPTIONS"),
            ("/p/x:go", "OPTIONS, POST"),
            ("/h/x", "HEAD, OPTIONS"),
            ("/v.S/Post", "OPTIONS, POST"),
            ("/v.S/Look", "GET, HEAD, OPTIONS, POST"),
            ("/v.S/Watch", "OPTIONS, POST"),
        ] {
            let answer = over(&edge, transport, ask("OPTIONS", path)).await;
            assert_eq!((answer.status, answer.header("allow"), answer.body.len()), (204, allow, 0), "{path}");
            assert!(!answer.headers.contains_key("content-length"), "RFC 9110, 8.6");
        }
        let wrong = over(&edge, transport, ask("PATCH", "/m/x")).await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, "DELETE, GET, HEAD, OPTIONS, POST, PUT"));
        let wrong = over(&edge, transport, ask("PUT", "/v.S/Look")).await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, HEAD, OPTIONS, POST"));
        assert_eq!(over(&edge, transport, ask("OPTIONS", "/m/x/y")).await.status, 404);
        assert_eq!(over(&edge, transport, ask("OPTIONS", "/v.S/None")).await.status, 404);
    }
    assert_eq!(edge.calls.load(Ordering::Relaxed), 0);
    // a rule of its own, or of any method, comes first
    assert_eq!(edge.sent(ask("OPTIONS", "/o/x")).await, ("Asked".into(), json!({"name": "x"})));
    assert_eq!(edge.sent(ask("OPTIONS", "/any/x")).await, ("All".into(), json!({"name": "x"})));
}

#[tokio::test]
async fn a_preflight_comes_before_the_routes() {
    let edge = echoing("cors: {origins: [\"https://app.example\"]}").await;
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    let answer = edge.ask(&ask("OPTIONS", "/m/x").headers(&preflight)).await;
    assert_eq!((answer.status, answer.header("allow")), (204, ""));
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    let plain = edge.ask(&ask("OPTIONS", "/m/x").header("origin", "https://app.example")).await;
    assert!(plain.header("allow").contains("PUT"), "{plain:?}");
    assert_eq!(plain.header("access-control-allow-origin"), "https://app.example");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let edge = echoing("").await;
    let long = format!("/m/x?text={}", "a".repeat(5000));
    for transport in BOTH {
        for (path, accept) in [("/m/x", "identity"), (long.as_str(), "identity"), (long.as_str(), "gzip")] {
            let with = |method| ask(method, path).header("accept-encoding", accept);
            let got = over(&edge, transport, with("GET")).await;
            let head = over(&edge, transport, with("HEAD")).await;
            assert_eq!((head.status, head.body.len(), head.cut), (200, 0, false), "{path}");
            assert_eq!(head.header("content-length"), got.body.len().to_string(), "{path} {accept}");
            for field in ["content-type", "content-encoding", "vary", CALLED] {
                assert_eq!(head.headers.get(field), got.headers.get(field), "{field}");
            }
        }
        // errors alike
        for path in ["/m/x?nope=1", "/nowhere", "/p/x:go"] {
            let (got, head) =
                (over(&edge, transport, ask("GET", path)).await, over(&edge, transport, ask("HEAD", path)).await);
            assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
        }
        // a rule of its own; its answer has no body either
        let own = over(&edge, transport, ask("HEAD", "/h/y")).await;
        assert_eq!((own.status, own.header(CALLED), own.body.len()), (200, "/v.S/Exists", 0));
        let any = over(&edge, transport, ask("HEAD", "/any/y")).await;
        assert_eq!((any.status, any.header(CALLED), any.body.len()), (200, "/v.S/All", 0));
        // Connect's GET
        let look = "/v.S/Look?connect=v1&encoding=json&message=%7B%22name%22%3A%22x%22%7D";
        let head = over(&edge, transport, ask("HEAD", look)).await;
        let got = over(&edge, transport, ask("GET", look)).await;
        assert_eq!((head.status, head.header("content-length")), (200, got.body.len().to_string().as_str()));
        assert_eq!(got.json(), json!({"name": "x"}));
    }
}

#[tokio::test]
async fn a_connection_goes_on_behind_the_answer_to_head() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let edge = echoing("").await;
    let mut socket = tcp(edge.edge.clear).await;
    let head = ask("HEAD", "/m/x").head() + "\r\n";
    let last = ask("GET", "/m/y").header("connection", "close").head() + "\r\n";
    socket.write_all(format!("{head}{head}{last}").as_bytes()).await.expect("written");
    let mut raw = Vec::new();
    socket.read_to_end(&mut raw).await.expect("answers");
    let text = String::from_utf8(raw).expect("text");
    let answers: Vec<&str> = text.split("HTTP/1.1 200 OK").skip(1).collect();
    assert_eq!(answers.len(), 3, "{text}");
    assert!(answers[..2].iter().all(|answer| answer.ends_with("\r\n\r\n")), "{text}");
    assert_eq!(read_http1(format!("HTTP/1.1 200 OK{}", answers[2]).as_bytes()).json(), json!({"name": "y"}));
}

#[tokio::test]
async fn of_a_stream_head_gets_the_head_and_the_upstream_is_let_go() {
    let edge = echoing("").await;
    for (at, transport) in BOTH.into_iter().enumerate() {
        let head = over(&edge, transport, ask("HEAD", "/m/x:watch").header(HOLD, "1")).await;
        assert_eq!((head.status, head.body.len(), head.cut), (200, 0, false));
        assert_eq!(head.header("content-type"), "application/json");
        let cancelled = &edge.cancelled;
        until("the stream is cancelled", || async { cancelled.load(Ordering::Relaxed) == at + 1 }).await;
    }
}

#[tokio::test]
async fn a_post_may_stand_for_another_verb_where_the_method_lets_it() {
    let settings =
        "settings: [{match: v.S/Get, rest: {method_override: true}}, {match: v.S/Only, rest: {method_override: true}}]";
    let edge = echoing(settings).await;
    let post = |path: &str, verb: &str| Ask::post(path, "application/json", "").header("x-http-method-override", verb);
    for transport in BOTH {
        let got = over(&edge, transport, post("/m/x?n=2", "GET")).await;
        assert_eq!((got.status, got.header(CALLED), got.header("x-seen")), (200, "/v.S/Get", ""));
        assert_eq!(got.json(), json!({"name": "x", "n": 2}));
    }
    let put = Ask { body: br#"{"n":3}"#.to_vec(), ..post("/m/x", "put") };
    assert_eq!(edge.sent(put).await, ("Get".into(), json!({"name": "x", "n": 3})));
    // Delete's settings do not let it, and there is a POST
    assert_eq!(edge.sent(Ask { body: b"{}".to_vec(), ..post("/m/x", "DELETE") }).await.0, "Post");
    // nor where there is none
    let wrong = edge.ask(&post("/d/x", "DELETE")).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "DELETE, OPTIONS"));
    // what is answered without a body is not stood for, and nonsense is not heard
    for verb in ["HEAD", "OPTIONS", "CONNECT", "GET\u{7f}", "", "NONE"] {
        let answer = edge.ask(&Ask { body: b"{}".to_vec(), ..post("/m/x", &verb.replace('\u{7f}', " X")) }).await;
        assert_eq!((answer.status, answer.header(CALLED)), (200, "/v.S/Post"), "{verb}");
    }
    // only a POST may
    let get = ask("GET", "/m/x").header("x-http-method-override", "DELETE");
    assert_eq!(edge.sent(get).await.0, "Get");
    // a method's own path is no rule's
    assert_eq!(edge.sent(Ask { body: b"{}".to_vec(), ..post("/v.S/Delete", "GET") }).await.0, "Delete");
    // by default nobody may
    let plain = echoing("").await;
    assert_eq!(plain.sent(Ask { body: b"{}".to_vec(), ..post("/m/x", "GET") }).await.0, "Post");
}
