//! SIGTERM on the real program: calls in flight finish, new callers are not taken, exit 0.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transom::demo::upstream::Upstream;

use super::dialects::{Dialect, SERVER, frames};
use super::support::{Ask, PATIENCE, Process, h2_request, handshake, read_http1, send_all, tcp, until};

const TICKS: [(&str, &str); 2] = [("x-demo-stream-count", "8"), ("x-demo-interval-ms", "100")];

#[tokio::test]
async fn a_shutdown_lets_calls_finish_and_takes_no_new_ones() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let mut edge = Process::start(upstream.address(), "");
    let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
    let ask = Dialect::Grpc.ask(SERVER, &["hi"]).headers(&TICKS);
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, ask.body.into(), true).await);
    let mut body = answer.await.expect("a head").into_body();

    let mut web = tcp(edge.clear).await;
    let ask = Dialect::Web.ask(SERVER, &["hi"]).headers(&TICKS);
    let mut out = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len()).into_bytes();
    out.extend_from_slice(&ask.body);
    web.write_all(&out).await.expect("a request");
    let mut raw = vec![web.read_u8().await.expect("a byte")];
    let mut idle = tcp(edge.clear).await;
    let first = body.data().await.expect("a message").expect("a message");
    let mut received = first.to_vec();

    assert_eq!(edge.page("/readyz").await.status, 200);
    edge.signal("TERM");
    until("new callers are refused", || async { TcpStream::connect(edge.clear).await.is_err() }).await;
    let ready = edge.page("/readyz").await;
    assert_eq!((ready.status, ready.text().as_str()), (503, "draining\n"));
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or(0), 0, "an idle connection is closed");
    let rest = async {
        while let Some(chunk) = body.data().await {
            received.extend_from_slice(&chunk.expect("a chunk"));
        }
        body.trailers().await.expect("trailers").expect("trailers")
    };
    let trailers = tokio::time::timeout(PATIENCE, rest).await.expect("in time");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(frames(&received).len(), 8);
    tokio::time::timeout(PATIENCE, web.read_to_end(&mut raw)).await.expect("in time").expect("an end");
    let told = Dialect::Web.read(&read_http1(&raw));
    assert_eq!((told.messages.len(), told.code), (8, Some(transom::status::Code::Ok)));
    until("the process ends", || {
        let ended = edge.child.try_wait().expect("a child");
        async move { ended.is_some_and(|status| status.code() == Some(0)) }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_cut() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let mut edge = Process::start(upstream.address(), "drain_timeout: 300ms");
    let mut socket = tcp(edge.clear).await;
    let ask: Ask = Dialect::RestLines.ask(SERVER, &["hi"]).header("x-demo-stream-count", "100000");
    socket.write_all(format!("{}\r\n", ask.head()).as_bytes()).await.expect("a request");
    let mut raw = vec![socket.read_u8().await.expect("a byte")];
    tokio::time::sleep(Duration::from_millis(50)).await;
    edge.signal("TERM");
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut raw)).await.expect("in time");
    assert!(read_http1(&raw).cut, "what is cut does not look whole");
    until("the process ends", || {
        let ended = edge.child.try_wait().expect("a child");
        async move { ended.is_some_and(|status| status.code() == Some(0)) }
    })
    .await;
}
