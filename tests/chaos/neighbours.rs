//! An upstream that answers some calls with rubbish: those calls get a clean error, and the others on the very same
//! connection notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpListener;
use transom::status::Code;

use super::dialects::{ALL, Dialect, SERVER, Told, UNARY};
use super::support::{Edge, Transport, send_all};

/// Ways to answer badly that are no breach of HTTP/2, and what they must come to: the code, for callers in whose
/// dialect frames pass and for those whose messages are made anew.
const BAD: [(&str, Code, Code); 14] = [
    ("short frame", Code::Internal, Code::Internal),
    ("half a prefix", Code::Internal, Code::Internal),
    ("unknown flags", Code::Internal, Code::Internal),
    ("compressed, untold", Code::Internal, Code::Internal),
    ("larger than all", Code::ResourceExhausted, Code::ResourceExhausted),
    ("junk", Code::Internal, Code::Internal),
    ("no status", Code::Unknown, Code::Unknown),
    ("no status, no message", Code::Unknown, Code::Unknown),
    ("strange status", Code::Unknown, Code::Unknown),
    ("web page", Code::Unknown, Code::Unknown),
    ("http 503", Code::Unavailable, Code::Unavailable),
    ("reset", Code::Internal, Code::Internal),
    ("reset within a message", Code::Internal, Code::Internal),
    ("no message of the type", Code::Ok, Code::Internal),
];

struct Spoiler {
    address: std::net::SocketAddr,
    connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

// === impl Spoiler ===

impl Spoiler {
    async fn start() -> Spoiler {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut taken = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                taken.spawn(async move {
                    let Ok(mut http2) = h2::server::handshake(socket).await else { return };
                    while let Some(Ok((request, respond))) = http2.accept().await {
                        tokio::spawn(spoil(request, respond));
                    }
                });
            }
        });
        Spoiler { address, connections, task }
    }
}

impl Drop for Spoiler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A good frame, `hi`.
const HI: &[u8] = b"\0\0\0\0\x04\x0a\x02hi";

async fn spoil(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let how = request.headers().get("x-spoil").map_or("", |value| value.to_str().expect("text")).to_owned();
    // what comes before the rubbish
    let good: usize = request.headers().get("x-good").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let is_stream = request.uri().path() == SERVER;
    // the request is read, so that nothing of it is in the way
    let mut body = request.into_body();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    if how.is_empty() {
        return steady(respond, is_stream).await;
    }
    let head = |status: u16, content_type: &str| {
        Response::builder().status(status).header("content-type", content_type).body(()).expect("a head")
    };
    match &*how {
        "http 503" => return drop(respond.send_response(head(503, "text/plain"), true)),
        "web page" => {
            let Ok(mut body) = respond.send_response(head(200, "text/html"), false) else { return };
            return drop(body.send_data(Bytes::from_static(b"<p>hello"), true));
        }
        "reset" if good == 0 => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
        _ => {}
    }
    let Ok(mut answer) = respond.send_response(head(200, "application/grpc"), false) else { return };
    let before = HI.repeat(good);
    send_all(&mut answer, before.into(), false).await;
    // each message is its own event for the edge
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let bytes: &[u8] = match &*how {
        "short frame" => b"\0\0\0\0\x09\x0a\x02",
        "half a prefix" => b"\0\0",
        "unknown flags" => b"\x40\0\0\0\x04\x0a\x02hi",
        "compressed, untold" => b"\x01\0\0\0\x04\x0a\x02hi",
        "larger than all" => b"\0\xff\xff\xff\xff\x0a\x02hi",
        "junk" => b"\xde\xad\xbe\xef\xde\xad\xbe\xef\xde\xad\xbe\xef",
        "reset within a message" => b"\0\0\0\0\x09\x0a",
        "no message of the type" => b"\0\0\0\0\x02\x0a\x7f",
        "no status" | "strange status" if good == 0 => HI,
        _ => b"",
    };
    send_all(&mut answer, Bytes::copy_from_slice(bytes), false).await;
    match &*how {
        "no status" | "no status, no message" => drop(answer.send_data(Bytes::new(), true)),
        "reset" | "reset within a message" => {
            // a reset throws away what is not written
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            answer.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        "strange status" => drop(answer.send_trailers(status("fine"))),
        _ => drop(answer.send_trailers(status("0"))),
    }
}

/// A call that nothing is wrong with; a stream goes on while others are spoilt.
async fn steady(mut respond: SendResponse<Bytes>, is_stream: bool) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let Ok(mut answer) = respond.send_response(head, false) else { return };
    for _ in 0..if is_stream { 20 } else { 1 } {
        send_all(&mut answer, Bytes::from_static(HI), false).await;
        if is_stream {
            tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        }
    }
    let _ = answer.send_trailers(status("0"));
}

fn status(value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(value));
    trailers
}

/// Whether callers of this dialect get the upstream's frames as they are.
fn passes(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Grpc | Dialect::Web | Dialect::WebText | Dialect::ConnectStreamProto)
}

#[tokio::test]
async fn rubbish_costs_its_call_a_clean_error_and_its_neighbours_nothing() {
    let _turn = super::turn().await;
    let spoiler = Spoiler::start().await;
    let upstream = format!("h2c://{}\n    max_connections: 1", spoiler.address);
    let edge = Edge::before(&upstream, "workers: 1").await;
    let mut failures = Vec::new();
    let steady = Dialect::Grpc.ask(SERVER, &["hi"]);
    for (how, passing, made) in BAD {
        let neighbours = join_all((0..6).map(|_| edge.ask(Transport::Http2, &steady)));
        let (answers, spoilt) = tokio::join!(neighbours, spoilt_in_all_dialects(&edge, how, passing, made));
        failures.extend(spoilt);
        for answer in answers {
            let told = Dialect::Grpc.read(&answer);
            assert_eq!((told.code, told.messages.len()), (Some(Code::Ok), 20), "beside {how}: {told:?}");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(spoiler.connections.load(Relaxed), 1, "all on one connection, which outlived it");
}

/// What is wrong with the answers to calls that are spoilt so.
async fn spoilt_in_all_dialects(edge: &Edge, how: &str, passing: Code, made: Code) -> Vec<String> {
    let mut calls = Vec::new();
    for dialect in ALL {
        // what does not concern the edge is for the reader to judge
        let judged = match how {
            "compressed, untold" => !passes(dialect),
            "no message of the type" => dialect.is_json(),
            _ => true,
        };
        if !judged {
            continue;
        }
        let expected = if passes(dialect) { passing } else { made };
        for (path, good) in [(UNARY, 0), (SERVER, 0), (SERVER, 2)].into_iter().filter(|(path, _)| dialect.speaks(path))
        {
            for transport in [Transport::Http1, Transport::Http2].into_iter().filter(|over| dialect.goes_over(*over)) {
                calls.push(async move {
                    let ask = dialect.ask(path, &["hi"]).header("x-spoil", how).header("x-good", &good.to_string());
                    let told = dialect.read(&edge.ask(transport, &ask).await);
                    let wrong = wrong_with(dialect, &told, how, good, expected);
                    wrong
                        .map(|wrong| format!("{wrong}: {dialect:?} {path} {transport:?}, {good}, then {how}: {told:?}"))
                });
            }
        }
    }
    join_all(calls).await.into_iter().flatten().collect()
}

fn wrong_with(dialect: Dialect, told: &Told, how: &str, good: usize, expected: Code) -> Option<&'static str> {
    // a frame of which a part has gone out cannot be taken back: where the status follows in the body it has no place
    // then, and the answer is cut
    let half = matches!(how, "short frame" | "half a prefix" | "reset within a message");
    let in_body = passes(dialect) && dialect != Dialect::Grpc;
    if half && in_body && told.cut && told.code.is_none() {
        return None;
    }
    if told.code != Some(expected) {
        return Some("the code");
    }
    if told.messages.len() > good.max(1) || told.messages.iter().any(|text| text != "hi") {
        return Some("the messages");
    }
    // an array that is not closed is cut behind its status
    let array = dialect == Dialect::RestArray && !told.messages.is_empty();
    (told.cut && !array).then_some("the end")
}
