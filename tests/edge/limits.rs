//! What is too large, and what is not framed as it should be: told to the caller, in both directions.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transom::status::Code;

use super::dialects::{ALL, BIDI, CLIENT, Dialect, SERVER, Told, UNARY, prefix};
use super::support::{Ask, Edge, PATIENCE, Stub, Transport, h2_request, read_h2, send_all, shared, tcp};

const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];

async fn told(edge: &Edge, dialect: Dialect, transport: Transport, ask: &Ask) -> Told {
    dialect.read(&edge.ask(transport, ask).await)
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    // field 1 and its length are 4 bytes
    let (most, more) = ("x".repeat(65_532), "x".repeat(65_533));
    for dialect in ALL.into_iter().filter(|dialect| !dialect.is_json()) {
        for path in [UNARY, CLIENT].into_iter().filter(|path| dialect.speaks(path)) {
            for transport in CLEAR.into_iter().filter(|transport| dialect.goes_over(*transport)) {
                let small = [("x-demo-message-size", "1")];
                let ask = dialect.ask(path, &[&most]).headers(&small);
                let good = told(shared(), dialect, transport, &ask).await;
                assert_eq!(good.code, Some(Code::Ok), "{dialect:?} {path} {transport:?}");
                let ask = dialect.ask(path, &[&more]).headers(&small);
                let bad = told(shared(), dialect, transport, &ask).await;
                assert_eq!(bad.code, Some(Code::ResourceExhausted), "{dialect:?} {path} {bad:?}");
                assert!(bad.is_bare(dialect, "TOO_LARGE"));
            }
        }
    }
}

#[tokio::test]
async fn json_over_the_limit_is_refused_before_it_is_there() {
    for (dialect, path) in [
        (Dialect::Rest, UNARY),
        (Dialect::ConnectJson, UNARY),
        (Dialect::Rest, CLIENT),
        (Dialect::RestLines, BIDI),
        (Dialect::GrpcJson, CLIENT),
    ] {
        let mut client = shared().h2().await;
        let ask = dialect.ask(path, &[]);
        let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        let start = if dialect == Dialect::GrpcJson { prefix(0, 10_000_000).to_vec() } else { Vec::new() };
        let begun = [&start[..], b"{\"message\":\""].concat();
        assert!(send_all(&mut up, begun.into(), false).await);
        // the body never ends
        let flood = async {
            while send_all(&mut up, Bytes::from_static(&[b'x'; 16_384]), false).await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(PATIENCE, read_h2(answer)) => answer.expect("in time"),
            () = flood => unreachable!(),
        };
        let told = dialect.read(&answer);
        assert_eq!(told.code, Some(Code::ResourceExhausted), "{dialect:?} {path} {told:?}");
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_handed_on() {
    for dialect in ALL {
        for path in [UNARY, SERVER].into_iter().filter(|path| dialect.speaks(path)) {
            for transport in CLEAR.into_iter().filter(|transport| dialect.goes_over(*transport)) {
                let ask = dialect.ask(path, &["hi"]).header("x-demo-message-size", "65533");
                let told = told(shared(), dialect, transport, &ask).await;
                assert!(told.messages.is_empty(), "{dialect:?} {path}");
                assert_eq!(told.code, Some(Code::ResourceExhausted), "{dialect:?} {path} {transport:?} {told:?}");
                assert!(told.is_bare(dialect, "TOO_LARGE"));
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_framed_as_it_should_be_is_refused() {
    use Dialect::{ConnectStreamJson, ConnectStreamProto, Grpc, GrpcJson, Web, WebJson, WebText, WebTextJson};
    for dialect in [Grpc, GrpcJson, Web, WebJson, ConnectStreamProto, ConnectStreamJson] {
        let whole = dialect.framed(&["hi"]);
        let cut = whole[..whole.len() - 1].to_vec();
        let reserved = [&[0x04][..], &whole[1..]].concat();
        // gRPC-Web's trailers and Connect's end are not for requests
        let trailers = [&whole[..], &[0x80, 0, 0, 0, 0]].concat();
        for (what, body) in [("cut", cut), ("within a prefix", vec![0, 0]), ("reserved", reserved), ("end", trailers)] {
            for transport in CLEAR.into_iter().filter(|transport| dialect.goes_over(*transport)) {
                let ask = Ask { body: body.clone(), ..dialect.ask(CLIENT, &[]) };
                let told = told(shared(), dialect, transport, &ask).await;
                assert_eq!(told.code, Some(Code::Internal), "{dialect:?} {what} {told:?}");
                assert!(told.is_bare(dialect, "MALFORMED"), "{dialect:?} {what}");
            }
        }
    }
    for dialect in [WebText, WebTextJson] {
        for body in ["!!!!", "AAAAAA=A", "AAAAA", "\u{fc}\u{fc}"] {
            let ask = Ask { body: body.into(), ..dialect.ask(UNARY, &[]) };
            let told = told(shared(), dialect, Transport::Http1, &ask).await;
            assert_eq!(told.code, Some(Code::Internal), "{dialect:?} {body} {told:?}");
            assert!(told.is_bare(dialect, "MALFORMED"), "{dialect:?} {body}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_damaged_never_looks_like_success() {
    let stub = Stub::start().await;
    let edge = Edge::before(&format!("h2c://{}", stub.address), "").await;
    for dialect in ALL {
        for path in [UNARY, SERVER].into_iter().filter(|path| dialect.speaks(path)) {
            for transport in CLEAR.into_iter().filter(|transport| dialect.goes_over(*transport)) {
                for how in ["half", "flags", "no status", "html", "garbage"] {
                    if how == "garbage" && !dialect.is_json() {
                        continue;
                    }
                    let ask = dialect.ask(path, &["hi"]).header("x-stub", how);
                    let told = told(&edge, dialect, transport, &ask).await;
                    let at = format!("{dialect:?} {path} {transport:?} {how} {told:?}");
                    assert!(told.messages.is_empty(), "{at}");
                    assert!(told.code != Some(Code::Ok), "{at}");
                    assert!(told.code.is_some() || told.cut, "{at}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_usable_or_closes_it_openly() {
    let mut socket = tcp(shared().clear).await;
    let bad = Dialect::Rest.ask(UNARY, &["hi"]).header("grpc-timeout", "soon");
    let good = Dialect::Rest.ask(UNARY, &["hi"]).header("connection", "close");
    let mut out = Vec::new();
    for ask in [&bad, &good] {
        out.extend_from_slice(format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len()).as_bytes());
        out.extend_from_slice(&ask.body);
    }
    socket.write_all(&out).await.expect("two requests");
    let mut raw = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut raw)).await;
    read.expect("in time").expect("an end, not a reset");
    let text = String::from_utf8(raw).expect("text");
    let codes: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert!(codes == ["400", "200"] || (codes == ["400"] && text.contains("connection: close")), "{text}");
}
