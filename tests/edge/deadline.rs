//! Deadlines: told to the upstream, kept when the upstream does not, and refused when they cannot be read.

use std::time::{Duration, Instant};

use base64::Engine;
use transom::status::Code;

use super::dialects::{ALL, BASE64, Dialect, SERVER, UNARY};
use super::support::{Ask, Edge, PATIENCE, Stub, Transport, h2_request, send_all, shared, until};

fn timeout(dialect: Dialect, millis: u64) -> (&'static str, String) {
    use Dialect::{ConnectJson, ConnectProto, ConnectStreamJson, ConnectStreamProto};
    match dialect {
        ConnectProto | ConnectJson | ConnectStreamProto | ConnectStreamJson => {
            ("connect-timeout-ms", millis.to_string())
        }
        _ => ("grpc-timeout", format!("{millis}m")),
    }
}

/// What the upstream saw of a call.
async fn seen(edge: &Edge, dialect: Dialect, ask: &Ask) -> String {
    let told = dialect.read(&edge.ask(Transport::Http2, &ask.clone().header("x-demo-tell", "1")).await);
    assert_eq!(told.code, Some(Code::Ok), "{told:?}");
    let head = told.trailing.get("x-demo-head-bin").expect("the upstream tells");
    String::from_utf8(BASE64.decode(head.as_bytes()).expect("base64")).expect("text")
}

/// The value of `grpc-timeout`, milliseconds.
fn told_millis(head: &str) -> Option<f64> {
    let value = head.lines().find_map(|line| line.strip_prefix("grpc-timeout: "))?;
    let (digits, unit) = value.split_at(value.len() - 1);
    assert!(digits.len() <= 8, "{value}");
    let amount: f64 = digits.parse().expect("a number");
    Some(match unit {
        "H" => amount * 3_600_000.0,
        "M" => amount * 60_000.0,
        "S" => amount * 1000.0,
        "m" => amount,
        "u" => amount / 1000.0,
        "n" => amount / 1_000_000.0,
        _ => panic!("{value}"),
    })
}

#[tokio::test]
async fn the_upstream_is_told_what_is_left() {
    for dialect in ALL.into_iter().filter(|dialect| dialect.speaks(UNARY)) {
        let (name, value) = timeout(dialect, 7000);
        let head = seen(shared(), dialect, &dialect.ask(UNARY, &["hi"]).header(name, &value)).await;
        let left = told_millis(&head).expect("a deadline");
        assert!(left <= 7000.0 && left > 4000.0, "{dialect:?}: {left}");
        let head = seen(shared(), dialect, &dialect.ask(UNARY, &["hi"])).await;
        assert_eq!(told_millis(&head), None, "{dialect:?}");
        assert!(!head.contains("connect-"), "{dialect:?}: {head}");
        assert!(head.contains("te: trailers") && head.contains("content-type: application/grpc"), "{head}");
    }
}

#[tokio::test]
async fn a_deadline_holds_within_a_stream_too() {
    let stub = Stub::start().await;
    let edge = Edge::before(&format!("h2c://{}", stub.address), "").await;
    for dialect in ALL.into_iter().filter(|dialect| dialect.speaks(SERVER)) {
        for transport in [Transport::Http1, Transport::Http2] {
            if !dialect.goes_over(transport) {
                continue;
            }
            let (name, value) = timeout(dialect, 150);
            let ask = dialect.ask(SERVER, &["hi"]).header(name, &value).header("x-stub", "one, then silence");
            let begun = Instant::now();
            let told = dialect.read(&edge.ask(transport, &ask).await);
            assert!(begun.elapsed() < Duration::from_secs(3), "{dialect:?}");
            assert_eq!(told.messages, ["hi"], "{dialect:?} {told:?}");
            assert_eq!(told.code, Some(Code::DeadlineExceeded), "{dialect:?} {told:?}");
            assert!(told.is_bare(dialect, "DEADLINE"), "{dialect:?}");
            assert_eq!(told.cut, dialect == Dialect::RestArray, "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn an_operators_default_and_longest_deadline_hold() {
    let stub = Stub::start().await;
    let url = format!("h2c://{}", stub.address);
    let default = Edge::before(&url, "settings: [{match: \"*\", deadline: {default: 150ms}}]").await;
    let longest = Edge::before(&url, "settings: [{match: \"*\", deadline: {max: 150ms}}]").await;
    for dialect in ALL.into_iter().filter(|dialect| dialect.speaks(UNARY)) {
        let (name, value) = timeout(dialect, 60_000);
        let ask = dialect.ask(UNARY, &["hi"]);
        for (edge, ask) in [(&default, ask.clone()), (&longest, ask.clone()), (&longest, ask.header(name, &value))] {
            let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
            assert_eq!(told.code, Some(Code::DeadlineExceeded), "{dialect:?} {told:?}");
        }
    }
    let told = Edge::start("settings: [{match: \"*\", deadline: {default: 3s, max: 5s}}]").await;
    let ask = Dialect::Grpc.ask(UNARY, &["hi"]);
    for (ask, most) in [(ask.clone(), 3000.0), (ask.header("grpc-timeout", "1H"), 5000.0)] {
        let left = told_millis(&seen(&told, Dialect::Grpc, &ask).await).expect("a deadline");
        assert!(left <= most && left > most - 2000.0, "{left}");
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused() {
    for value in ["", "S", "1", "123456789S", "1x", "-1S", "1.5S", "1 S"] {
        let ask = Dialect::Grpc.ask(UNARY, &["hi"]).header("grpc-timeout", value);
        let told = Dialect::Grpc.read(&shared().ask(Transport::Http2, &ask).await);
        assert_eq!(told.code, Some(Code::InvalidArgument), "{value:?} {told:?}");
        assert!(told.message.contains("grpc-timeout"), "{told:?}");
    }
    for value in ["", "12345678901", "1m", "-1"] {
        let ask = Dialect::ConnectJson.ask(UNARY, &["hi"]).header("connect-timeout-ms", value);
        let told = Dialect::ConnectJson.read(&shared().ask(Transport::Http1, &ask).await);
        assert_eq!(told.code, Some(Code::InvalidArgument), "{value:?} {told:?}");
    }
    let ask = Dialect::Grpc.ask(UNARY, &["hi"]).header("grpc-timeout", "0n");
    let told = Dialect::Grpc.read(&shared().ask(Transport::Http2, &ask).await);
    assert_eq!(told.code, Some(Code::DeadlineExceeded), "{told:?}");
}

#[tokio::test]
async fn a_caller_who_reads_nothing_does_not_hold_the_upstream_beyond_the_deadline() {
    let edge = Edge::start("").await;
    let mut client = edge.h2().await;
    let flood = [("x-demo-stream-count", "32768"), ("x-demo-message-size", "32768"), ("x-demo-interval-ms", "0")];
    let ask = Dialect::Grpc.ask(SERVER, &["hi"]).headers(&flood).headers(&[("grpc-timeout", "700m")]);
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, ask.body.into(), true).await);
    let body = tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("a head");
    let body = body.into_body();
    assert_eq!(edge.metric("transom_upstream_streams_active").await, 1);
    until("the upstream is let go", || async { edge.metric("transom_upstream_streams_active").await == 0 }).await;
    drop(body);
}
