//! Upstreams that are not there, and upstreams that leave.

use std::time::{Duration, Instant};

use transom::status::Code;

use super::dialects::{ALL, CLIENT, Dialect, SERVER, UNARY};
use super::support::{Edge, Transport};

#[tokio::test]
async fn an_upstream_that_is_down_is_told_at_once_and_by_its_address() {
    let edge = Edge::before("h2c://127.0.0.1:1", "").await;
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT].into_iter().filter(|path| dialect.speaks(path)) {
            let begun = Instant::now();
            let told = dialect.read(&edge.ask(Transport::Http2, &dialect.ask(path, &["hi"])).await);
            assert!(begun.elapsed() < Duration::from_secs(2), "{dialect:?}");
            assert_eq!(told.code, Some(Code::Unavailable), "{dialect:?} {told:?}");
            assert_eq!(told.reason(), "UPSTREAM_DOWN");
            assert!(told.message.contains("127.0.0.1:1") && told.message.contains("refused"), "{}", told.message);
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closes_in_peace_loses_no_call() {
    let edge = Edge::start("").await;
    let dialects = [Dialect::Grpc, Dialect::Web, Dialect::ConnectProto, Dialect::Rest];
    let calls = (0..240).map(|number: usize| {
        let (edge, dialect) = (&edge, dialects[number % 4]);
        async move {
            tokio::time::sleep(Duration::from_millis(number as u64 * 2)).await;
            let mut ask = dialect.ask(UNARY, &["hi"]).header("x-demo-delay-ms", "20");
            if number.is_multiple_of(10) {
                ask = ask.header("x-demo-goaway", "1");
            }
            let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
            assert_eq!(told.code, Some(Code::Ok), "call {number}: {told:?}");
        }
    });
    futures_util::future::join_all(calls).await;
    let upstream = edge.upstream.as_ref().expect("an upstream");
    let connections = upstream.counts().connections.load(std::sync::atomic::Ordering::Relaxed);
    assert!(connections > 5, "{connections} connections: they were closed");
}
