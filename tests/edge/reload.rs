//! Catalogs that change while calls run.

use std::path::Path;

use tempfile::TempDir;
use transom::demo::upstream::Upstream;
use transom::status::Code;

use super::dialects::{BIDI, Dialect, SERVER, UNARY, frames};
use super::support::{Edge, PATIENCE, Transport, h2_request, protos, send_all, until};

fn copy_protos(to: &Path) {
    for name in ["helloworld.proto", "echo.proto", "route_guide.proto", "bookstore.proto", "files.proto"] {
        std::fs::copy(protos().join(name), to.join(name)).expect("a copy");
    }
}

async fn code(edge: &Edge, path: &str) -> Option<Code> {
    Dialect::Grpc.read(&edge.ask(Transport::Http2, &Dialect::Grpc.ask(path, &["hi"])).await).code
}

#[tokio::test]
async fn a_changed_catalog_takes_effect_and_a_broken_one_does_not() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let folder = TempDir::new().expect("a folder");
    copy_protos(folder.path());
    let file = folder.path().join("echo.proto");
    let full = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, full.replace("BidirectionalStreamingEcho", "Unheard")).expect("a file");
    let edge = Edge::with(&format!("h2c://{}", upstream.address()), folder.path(), "").await;
    assert_eq!(code(&edge, BIDI).await, Some(Code::Unimplemented));

    // begins on the first generation
    let mut client = edge.h2().await;
    let ask =
        Dialect::Grpc.ask(SERVER, &["hi"]).headers(&[("x-demo-stream-count", "12"), ("x-demo-interval-ms", "100")]);
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, ask.body.into(), true).await);

    std::fs::write(&file, &full).expect("a file");
    until("the new method is reached", || async { code(&edge, BIDI).await == Some(Code::Ok) }).await;
    assert_eq!(edge.metric("transom_generation").await, 2);
    let reloads = edge.metric("transom_reloads_total").await;

    std::fs::write(&file, "syntax = \"proto3\"; service {").expect("a file");
    until("the failure is counted", || async { edge.metric("transom_reload_failures_total").await >= 1 }).await;
    assert_eq!(code(&edge, UNARY).await, Some(Code::Ok), "the old tables stay");
    assert_eq!(code(&edge, BIDI).await, Some(Code::Ok), "the old tables stay");
    assert_eq!(edge.metric("transom_reloads_total").await, reloads);

    let without = full.replace("ServerStreamingEcho", "Renamed");
    std::fs::write(&file, without).expect("a file");
    until("the method is gone", || async { code(&edge, SERVER).await == Some(Code::Unimplemented) }).await;

    let rest = async {
        let mut body = answer.await.expect("a head").into_body();
        let mut received = Vec::new();
        while let Some(chunk) = body.data().await {
            received.extend_from_slice(&chunk.expect("a chunk"));
        }
        (frames(&received).len(), body.trailers().await.expect("trailers").expect("trailers"))
    };
    let (messages, trailers) = tokio::time::timeout(PATIENCE, rest).await.expect("in time");
    assert_eq!((messages, trailers["grpc-status"].as_bytes()), (12, &b"0"[..]));
}

#[tokio::test]
async fn a_reload_that_is_asked_for_tells_its_mistakes() {
    let edge = Edge::start("").await;
    assert_eq!(edge.running.reload().await.expect("a generation"), 2);
    std::fs::write(edge.folder.path().join("edge.yaml"), "listners: []").expect("a file");
    let mistakes = edge.running.reload().await.expect_err("mistakes");
    assert!(mistakes.iter().any(|mistake| mistake.to_string().contains("listeners")), "{mistakes:?}");
    assert_eq!(code(&edge, UNARY).await, Some(Code::Ok));
}
