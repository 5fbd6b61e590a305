//! Shadow traffic: a second cluster gets the same calls, and whatever it does, callers notice nothing.

use bytes::Bytes;
use transom::demo::upstream::Upstream;
use transom::status::Code;

use super::dialects::{ALL, BIDI, CLIENT, Dialect, SERVER, UNARY};
use super::scripted::{Finish, Script, Scripted};
use super::support::{Ask, Edge, PATIENCE, Stub, Transport, h2_request, read_h2, send_all, until};
use super::targets::{answer, with_clusters};

/// An edge before a scripted upstream that answers `own`, and its mirror before this URL.
async fn edge(shadow: &str, more: &str) -> (Edge, Scripted) {
    let own = Scripted::start(answer("own")).await;
    (before(&own.url(), shadow, more).await, own)
}

async fn before(own: &str, shadow: &str, more: &str) -> Edge {
    let routes = format!("routes: [{{name: all, match: \"*\", mirror: {{cluster: shadow, {more}}}}}]");
    Edge::by(&with_clusters(own, &[("shadow", shadow.to_owned())], &routes)).await
}

async fn count(edge: &Edge, outcome: &str) -> i64 {
    edge.metric(&format!("transom_mirror_total{{cluster=\"shadow\",outcome=\"{outcome}\"}}")).await
}

/// Waits until so many shadows have come to this end.
async fn counted(edge: &Edge, outcome: &str, wanted: i64) {
    until(&format!("{wanted} {outcome}"), || async { count(edge, outcome).await >= wanted }).await;
    assert_eq!(count(edge, outcome).await, wanted, "{outcome}");
}

async fn call(edge: &Edge, dialect: Dialect, ask: &Ask) -> Vec<String> {
    let told = dialect.read(&edge.ask(Transport::Http2, ask).await);
    assert_eq!(told.code, Some(Code::Ok), "{dialect:?} {told:?}");
    told.messages
}

#[tokio::test]
async fn the_mirror_gets_the_same_request_in_every_dialect_and_callers_their_own_answer() {
    let mut shadow = Scripted::start(answer("shadow")).await;
    let (edge, mut own) = edge(&shadow.url(), "compare: false").await;
    let mut calls = 0;
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            let messages = if path == CLIENT || path == BIDI { &["a", "b"][..] } else { &["hi"] };
            let ask = dialect.ask(path, messages).header("x-own", "1").header("k-bin", "AAEC");
            assert_eq!(call(&edge, dialect, &ask).await, ["own"], "{dialect:?} {path}");
            let (primary, mirrored) = (own.asked().await, shadow.asked().await);
            assert_eq!((&mirrored.path, &mirrored.body), (&primary.path, &primary.body), "{dialect:?} {path}");
            assert_eq!(mirrored.headers["x-transom-mirror"], "all");
            assert!(!primary.headers.contains_key("x-transom-mirror"));
            for name in ["x-own", "k-bin", "te", "content-type"] {
                assert_eq!(mirrored.headers.get(name), primary.headers.get(name), "{name}");
            }
            calls += 1;
        }
    }
    counted(&edge, "answered", calls).await;
    assert_eq!(count(&edge, "failed").await + count(&edge, "dropped").await, 0);
}

#[tokio::test]
async fn a_mirrored_call_is_mirrored_no_further() {
    let mut shadow = Scripted::start(answer("shadow")).await;
    let (edge, _own) = edge(&shadow.url(), "compare: false").await;
    let ask = Dialect::Grpc.ask(UNARY, &["first"]).header("x-transom-mirror", "another edge");
    assert_eq!(call(&edge, Dialect::Grpc, &ask).await, ["own"]);
    assert_eq!(call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["second"])).await, ["own"]);
    assert_eq!(shadow.asked().await.body, Dialect::Grpc.framed(&["second"]));
}

#[tokio::test]
async fn answers_are_compared_by_status_and_messages() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let url = format!("h2c://{}", upstream.address());
    let edge = before(&url, &url, "compare: true").await;
    for dialect in [Dialect::Grpc, Dialect::Web, Dialect::ConnectJson, Dialect::Rest] {
        call(&edge, dialect, &dialect.ask(UNARY, &["hi"])).await;
    }
    let several =
        Dialect::Grpc.ask(SERVER, &["hi"]).headers(&[("x-demo-interval-ms", "0"), ("x-demo-stream-count", "3")]);
    call(&edge, Dialect::Grpc, &several).await;
    let failing = Dialect::Grpc.ask(UNARY, &["hi"]).header("x-demo-status", "NOT_FOUND");
    assert_eq!(Dialect::Grpc.read(&edge.ask(Transport::Http2, &failing).await).code, Some(Code::NotFound));
    counted(&edge, "same", 6).await;

    let others = Scripted::start(answer("other")).await;
    let edge = before(&url, &others.url(), "compare: true").await;
    call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"])).await;
    counted(&edge, "different_message", 1).await;

    let failing = Scripted::start(Script::only(&[("grpc-status", "5")])).await;
    let edge = before(&url, &failing.url(), "compare: true").await;
    call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"])).await;
    counted(&edge, "different_status", 1).await;
}

/// Compressed by one and not by the other, the message is the same.
#[tokio::test]
async fn encodings_make_no_difference_to_the_comparison() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let long = "the quick brown fox ".repeat(50);
    let message = [&[0x0a, 0xe8, 0x07], long.as_bytes()].concat();
    let frame = [&super::dialects::prefix(0, message.len())[..], &message].concat();
    let plain = Scripted::start(Script::new(&[], &[&frame], &[("grpc-status", "0")])).await;
    let edge = before(&format!("h2c://{}", upstream.address()), &plain.url(), "compare: true").await;
    let ask = Dialect::Grpc.ask_in(UNARY, &[&long], Some("gzip")).header("x-demo-compress", "gzip");
    assert_eq!(call(&edge, Dialect::Grpc, &ask).await, [long]);
    counted(&edge, "same", 1).await;
}

#[tokio::test]
async fn a_mirror_that_is_down_or_garbled_fails_nothing() {
    let (edge, _own) = edge("h2c://127.0.0.1:1", "compare: true").await;
    for dialect in [Dialect::Grpc, Dialect::WebText, Dialect::ConnectProto, Dialect::RestLines] {
        let path = if dialect == Dialect::RestLines { SERVER } else { UNARY };
        assert_eq!(call(&edge, dialect, &dialect.ask(path, &["hi"])).await, ["own"]);
    }
    counted(&edge, "failed", 4).await;

    let stub = Stub::start().await;
    let (edge, _own) = self::edge(&format!("h2c://{}", stub.address), "compare: true").await;
    let garbled = ["http 503", "html", "no status", "reset", "half"];
    for how in garbled {
        assert_eq!(call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"]).header("x-stub", how)).await, ["own"]);
    }
    counted(&edge, "failed", garbled.len() as i64).await;
    for how in ["two messages", "flags", "garbage"] {
        assert_eq!(call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"]).header("x-stub", how)).await, ["own"]);
    }
    counted(&edge, "different_message", 3).await;
    let reset = Scripted::start(answer("x").finish(Finish::Reset(h2::Reason::INTERNAL_ERROR))).await;
    let (edge, _own) = self::edge(&reset.url(), "compare: true").await;
    assert_eq!(call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"])).await, ["own"]);
    counted(&edge, "failed", 1).await;
}

/// A peer that greets, and then reads nothing: its window is soon full.
async fn frozen() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            kept.push(tokio::spawn(async move {
                let Ok(mut http2) = h2::server::handshake(socket).await else { return };
                let mut calls = Vec::new();
                // the connection is driven, and nothing is read of its calls
                while let Some(Ok(call)) = http2.accept().await {
                    calls.push(call);
                }
            }));
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_slow_mirror_delays_nobody_and_loses_what_is_beyond_its_buffer() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let (address, task) = frozen().await;
    let own = format!("h2c://{}", upstream.address());
    let edge = before(&own, &format!("h2c://{address}"), "compare: true, buffer: 64KiB").await;
    call(&edge, Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"])).await;
    // a stream that goes on far beyond the buffer and the window of the mirror
    let mut client = edge.h2().await;
    let ask = Dialect::Grpc.ask(CLIENT, &[]).header("x-demo-interval-ms", "0");
    let (response, mut body) = client.send_request(h2_request(&ask), false).expect("a stream");
    let text = "x".repeat(8 << 10);
    let frame = Bytes::from(Dialect::Grpc.framed(&[&text]));
    let whole = async {
        for left in (0..60).rev() {
            assert!(send_all(&mut body, frame.clone(), left == 0).await);
        }
        Dialect::Grpc.read(&read_h2(response).await)
    };
    let told = tokio::time::timeout(PATIENCE, whole).await.expect("nobody waits for the mirror");
    assert_eq!(told.code, Some(Code::Ok), "{:?}", told.message);
    counted(&edge, "dropped", 1).await;
    task.abort();
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_the_shadow_along() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let shadow = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let url = |upstream: &transom::demo::upstream::Running| format!("h2c://{}", upstream.address());
    let edge = before(&url(&upstream), &url(&shadow), "compare: true").await;
    let mut client = edge.h2().await;
    let (response, mut body) = client.send_request(h2_request(&Dialect::Grpc.ask(BIDI, &[])), false).expect("a stream");
    assert!(send_all(&mut body, Dialect::Grpc.framed(&["hi"]).into(), false).await);
    let (_, answer) = super::support::first_of_h2(response).await;
    drop((answer, body, client));
    counted(&edge, "dropped", 1).await;
    until("no stream is left", || async { edge.metric("transom_upstream_streams_active").await == 0 }).await;
}
