//! Clusters as callers and operators see them: an endpoint that fails is ejected, keys stay with their endpoints, and pages
//! tell of it.

use transom::demo::upstream::Upstream;

use transom::status::Code;
use transom::wire::{prefix, put_bytes};

use super::dialects::Dialect;
use super::support::{Ask, Edge, Stub, Transport, page};

/// An edge before a demo upstream and a stub; `more` belongs to their cluster.
async fn before_both(more: &str) -> (Edge, transom::demo::upstream::Running, Stub) {
    let good = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let stub = Stub::start().await;
    let cluster = format!("[\"h2c://{}\", {{url: \"h2c://{}\"}}]\n{more}", good.address(), stub.address);
    // what fails is to be seen, not repeated elsewhere
    (Edge::before(&cluster, "settings: [{match: \"*\", retry: {attempts: 1}}]").await, good, stub)
}

/// As [`before_both`], with calls spread by what this says, whatever becomes of them.
async fn hashed(by: &str) -> (Edge, transom::demo::upstream::Running, Stub) {
    before_both(&format!("    balance: ring_hash\n    hash_by: {by}\n    ejection: {{enabled: false}}")).await
}

fn hello(stub: &str) -> Ask {
    Ask::post("/helloworld.Greeter/SayHello", "application/json", "{\"name\": \"joe\"}").header("x-stub", stub)
}

#[tokio::test]
async fn an_endpoint_that_answers_every_call_wrongly_gets_no_more_of_them() {
    for (stub, kind) in [("http 503", "protocol"), ("reset", "reset"), ("no status", "protocol")] {
        let (edge, _good, _stub) = before_both("    ejection: {time: 60s}\n    balance: round_robin").await;
        let (mut failed, mut served) = (0, 0);
        while served < 60 {
            match edge.ask(Transport::Http1, &hello(stub)).await.status {
                200 => served += 1,
                _ => failed += 1,
            }
            assert!(failed <= 5, "{stub}");
        }
        assert_eq!(failed, 5, "{stub}");
        let clusters = page(edge.admin, "/clusters").await;
        let text = page(edge.admin, "/clusters.txt").await;
        assert!(clusters.contains("\"health\": \"ejected\"") && text.contains("ejected 1x"), "{clusters}\n{text}");
        let metrics = page(edge.admin, "/metrics").await;
        let count = metrics.lines().find(|line| line.starts_with("transom_endpoint_failures_total"));
        assert!(count.is_some_and(|line| line.contains(kind) && line.ends_with(" 5")), "{stub}: {count:?}");
        assert!(metrics.contains("transom_cluster_endpoints{cluster=\"demo\",health=\"ejected\"} 1"), "{metrics}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_silent_until_deadlines_pass_is_ejected_too() {
    let (edge, _good, stub) = before_both("    ejection: {time: 60s}\n    balance: round_robin").await;
    let ask = Ask::post("/helloworld.Greeter/SayHello", "application/json", "{\"name\": \"joe\"}")
        .header("x-stub", "silence")
        .header("connect-protocol-version", "1")
        .header("connect-timeout-ms", "300");
    let mut served = 0;
    while served < 30 {
        served += u32::from(edge.ask(Transport::Http1, &ask).await.status == 200);
    }
    // counted at the endpoint: where a machine is busy, the other may be late as well
    let label = format!("endpoint=\"{}\"", stub.address);
    let metrics = page(edge.admin, "/metrics").await;
    let is_own = |line: &&str| line.starts_with("transom_endpoint_failures_total") && line.contains(&label);
    let late: Vec<&str> = metrics.lines().filter(is_own).filter(|line| !line.ends_with(" 0")).collect();
    assert!(late.len() == 1 && late[0].contains("deadline") && late[0].ends_with(" 5"), "{late:?}");
}

#[tokio::test]
async fn a_caller_of_one_cookie_meets_one_endpoint() {
    let (edge, _good, _stub) = hashed("{cookie: sid}").await;
    let mut both = [false; 2];
    for sid in 0..24 {
        let ask = hello("http 503").header("cookie", &format!("a=b; sid={sid}"));
        let first = edge.ask(Transport::Http1, &ask).await.status;
        for transport in [Transport::Http1, Transport::Http2] {
            assert_eq!(edge.ask(transport, &ask).await.status, first, "sid {sid}");
        }
        both[usize::from(first == 200)] = true;
    }
    assert_eq!(both, [true; 2]);
}

#[tokio::test]
async fn calls_with_one_value_in_a_field_meet_one_endpoint_in_every_dialect() {
    let (edge, _good, _stub) = hashed("{field: name}").await;
    // the stub says nothing unless it is told what
    let grpc = |message: &[u8]| {
        let framed = [&prefix(0, message.len()), message].concat();
        let ask = Ask::post("/helloworld.Greeter/SayHello", "application/grpc", framed);
        ask.header("x-stub", "http 503").header("te", "trailers")
    };
    let mut both = [false; 2];
    for number in 0..24 {
        let name = format!("joe {number}");
        let json = format!("{{\"name\": \"{name}\"}}");
        let ask = Ask::post("/helloworld.Greeter/SayHello", "application/json", &*json).header("x-stub", "http 503");
        let first = edge.ask(Transport::Http1, &ask).await.status;
        assert_eq!(edge.ask(Transport::Http2, &ask).await.status, first, "{name}");
        let mut message = Vec::new();
        put_bytes(&mut message, 1, name.as_bytes());
        let answer = edge.ask(Transport::Http2, &grpc(&message)).await;
        assert_eq!(Dialect::Grpc.read(&answer).code == Some(Code::Ok), first == 200, "{name}");
        both[usize::from(first == 200)] = true;
    }
    assert_eq!(both, [true; 2]);
    // without a key any endpoint will do, and garbage is the upstream's to refuse
    for garbage in [&b""[..], b"\x0a\x7f"] {
        assert!(Dialect::Grpc.read(&edge.ask(Transport::Http2, &grpc(garbage)).await).code.is_some());
    }
}
