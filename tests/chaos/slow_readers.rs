//! Eighty callers who read next to nothing, in every dialect, beside two hundred who only want their answers, all on one
//! connection to the upstream: nobody is disturbed, and memory is bounded by the windows of the streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::dialects::{Dialect, SERVER, UNARY};
use super::sockets::{Call, SPEECHES};
use super::support::{Ask, PATIENCE, Process, h2_request, handshake, metric, read_h2, send_all, tcp, until};

const MIB: u64 = 1 << 20;
const READERS: usize = 80;
const OTHERS: usize = 200;
/// What the upstream connection may have unread per stream, as the cluster's default is.
const WINDOW: u64 = MIB;
const TINY: &[u8] = b"\0\0\0\0\x05\x0a\x03abc";
/// Bytes of a chatty stream's message, its prefix included: a quarter of what a frame must have lest it spend `h2`'s
/// budget for small ones, and yet not so small that filling the windows is all that the test does.
const CHATTY: usize = 64;
const LARGE: usize = 256 << 10;

/// An upstream whose streams never end, and whose unary calls do at once.
struct Flood {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    streams: Arc<AtomicUsize>,
    /// Bytes that its streams have sent.
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

// === impl Flood ===

impl Flood {
    async fn start() -> Flood {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, streams, sent) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let counts = (Arc::clone(&connections), Arc::clone(&streams), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut taken = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                counts.0.fetch_add(1, Relaxed);
                let (streams, sent) = (Arc::clone(&counts.1), Arc::clone(&counts.2));
                taken.spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    builder.max_concurrent_streams(1000);
                    let Ok(mut http2) = builder.handshake(socket).await else { return };
                    let mut calls = JoinSet::new();
                    while let Some(Ok((request, respond))) = http2.accept().await {
                        calls.spawn(pour(request, respond, Arc::clone(&streams), Arc::clone(&sent)));
                    }
                });
            }
        });
        Flood { address, connections, streams, sent, task }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pour(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    streams: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
) {
    let is_stream = request.uri().path() == SERVER;
    let is_large = request.headers().contains_key("x-large");
    let mut body = request.into_body();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let Ok(mut answer) = respond.send_response(head, false) else { return };
    if !is_stream {
        send_all(&mut answer, Bytes::from_static(TINY), false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        return drop(answer.send_trailers(trailers));
    }
    streams.fetch_add(1, Relaxed);
    let message = if is_large {
        let length = (LARGE as u32 + 4).to_be_bytes();
        // field 1, a text of 256 KiB
        Bytes::from([&[0][..], &length, &[0x0a, 0x80, 0x80, 0x10], &vec![b'x'; LARGE]].concat())
    } else {
        let text = CHATTY as u8 - 7;
        Bytes::from([&[0, 0, 0, 0, text + 2, 0x0a, text][..], &[b'x'; CHATTY - 7]].concat())
    };
    while send_all(&mut answer, message.clone(), false).await {
        sent.fetch_add(message.len() as u64, Relaxed);
        tokio::task::consume_budget().await;
    }
}

/// A caller who has its head, and reads a few bytes now and then, or nothing; held open until it falls.
struct Reader {
    _task: JoinHandle<()>,
}

// === impl Reader ===

impl Reader {
    /// The n-th of many: all dialects that stream come in turn, every other one of large messages.
    async fn begin(at: usize, edge: SocketAddr) -> Reader {
        let large: &[(&str, &str)] = if at.is_multiple_of(2) { &[("x-large", "1")] } else { &[] };
        let by_h2 = [Dialect::Grpc, Dialect::GrpcJson, Dialect::Web, Dialect::ConnectStreamProto];
        let by_http1 = [Dialect::Web, Dialect::WebText, Dialect::ConnectStreamJson, Dialect::RestLines];
        let turn = at / 2 % 10;
        let task = match turn {
            0..4 => Reader::over_h2(edge, by_h2[turn].ask(SERVER, &["hi"]).headers(large)).await,
            4..8 => Reader::over_http1(edge, by_http1[turn - 4].ask(SERVER, &["hi"]).headers(large)).await,
            8 => {
                let events = Ask::get("/v1/echo:stream?message=hi").header("accept", "text/event-stream");
                Reader::over_http1(edge, events.headers(large)).await
            }
            _ => Reader::over_socket(edge, Call::new(SPEECHES[at % 3], SERVER).with(large)).await,
        };
        Reader { _task: task }
    }

    async fn over_h2(edge: SocketAddr, ask: Ask) -> JoinHandle<()> {
        let mut client = handshake(Box::new(tcp(edge).await)).await;
        let (response, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        assert!(send_all(&mut up, ask.body.into(), true).await);
        let mut body = timeout(PATIENCE, response).await.expect("in time").expect("a head").into_body();
        tokio::spawn(async move {
            let _open = (client, up);
            loop {
                // a chunk every second: less than the upstream would send in a millisecond
                if let Some(Ok(chunk)) = body.data().await {
                    let _ = body.flow_control().release_capacity(chunk.len());
                }
                sleep(Duration::from_secs(1)).await;
            }
        })
    }

    async fn over_http1(edge: SocketAddr, ask: Ask) -> JoinHandle<()> {
        let mut socket = tcp(edge).await;
        let mut out = ask.head().into_bytes();
        if ask.method == "POST" {
            out.extend_from_slice(format!("content-length: {}\r\n", ask.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&ask.body);
        socket.write_all(&out).await.expect("a request");
        let mut some = [0; 512];
        let count = timeout(PATIENCE, socket.read(&mut some)).await.expect("in time").expect("a head");
        assert!(some[..count].starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&some[..count]));
        tokio::spawn(async move {
            loop {
                let _ = socket.read(&mut some).await;
                sleep(Duration::from_secs(1)).await;
            }
        })
    }

    async fn over_socket(edge: SocketAddr, call: Call) -> JoinHandle<()> {
        let mut client = call.open_on(Box::new(tcp(edge).await)).await.expect("a socket");
        client.metadata(&call).await;
        client.say("hi").await;
        client.end().await;
        tokio::spawn(async move {
            loop {
                client.next().await;
                sleep(Duration::from_secs(1)).await;
            }
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self._task.abort();
    }
}

/// A call that wants its answer, and has it in time; how long it took.
async fn asked(edge: SocketAddr, at: usize, client: &h2::client::SendRequest<Bytes>) -> Duration {
    let dialects = [Dialect::Grpc, Dialect::Web, Dialect::ConnectJson, Dialect::Rest, Dialect::ConnectProto];
    let dialect = dialects[at % dialects.len()];
    let ask = dialect.ask(UNARY, &["hi"]);
    let begun = Instant::now();
    let answer = async {
        if at.is_multiple_of(10) {
            let mut own = handshake(Box::new(tcp(edge).await)).await;
            let (response, mut up) = own.send_request(h2_request(&ask), false).expect("a stream");
            send_all(&mut up, ask.body.clone().into(), true).await;
            return read_h2(response).await;
        }
        let mut client = client.clone().ready().await.expect("a client");
        let (response, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        send_all(&mut up, ask.body.clone().into(), true).await;
        read_h2(response).await
    };
    let answer = timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("call {at} is starved"));
    let told = dialect.read(&answer);
    assert_eq!((told.code, &told.messages[..]), (Some(transom::status::Code::Ok), &["abc".to_owned()][..]), "{told:?}");
    begun.elapsed()
}

#[tokio::test]
async fn eighty_slow_readers_disturb_none_of_two_hundred_others_on_their_connection() {
    let _turn = super::turn().await;
    let flood = Flood::start().await;
    let edge = Process::by(
        &super::before(&[flood.address], "max_connections: 1", "settings: [{match: \"*\", max_response_message: 0}]")
            .replace("workers: 2", "workers: 1"),
    );
    let client = handshake(Box::new(tcp(edge.clear).await)).await;
    asked(edge.clear, 0, &client).await;
    let before = edge.memory();

    let readers = join_all((0..READERS).map(|at| Reader::begin(at, edge.clear))).await;
    until("all streams run", || async { flood.streams.load(Relaxed) == READERS }).await;
    // the windows fill
    until("the upstream is held back", || async {
        let sent = flood.sent.load(Relaxed);
        sleep(Duration::from_millis(500)).await;
        flood.sent.load(Relaxed) - sent < 5 * MIB / 2
    })
    .await;

    // forty at a time, so that none waits for its own caller's connection
    let mut took = Vec::new();
    for batch in 0..OTHERS / 40 {
        took.extend(join_all((0..40).map(|at| asked(edge.clear, batch * 40 + at, &client))).await);
    }
    took.sort();
    let grown = edge.memory().saturating_sub(before);
    println!(
        "slow readers: {} calls, median {:?}, slowest {:?}; grew by {} MiB, the upstream has sent {} MiB",
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1],
        grown / MIB,
        flood.sent.load(Relaxed) / MIB
    );
    assert_eq!((took.len(), flood.connections.load(Relaxed)), (OTHERS, 1));
    // a window each, the same again for what is recoded or on its way out, and some for 80 connections
    let bound = READERS as u64 * (2 * WINDOW + MIB / 2);
    assert!(grown < bound, "grew by {grown} bytes, {bound} are the windows");
    assert_eq!(metric(edge.admin, "transom_upstream_streams_active").await, READERS as i64);

    drop(readers);
    until("the upstream is let go", || async { metric(edge.admin, "transom_upstream_streams_active").await == 0 })
        .await;
    asked(edge.clear, 1, &client).await;
    assert_eq!(flood.connections.load(Relaxed), 1, "the connection outlived them");
}

/// The other way round: a caller that floods a call with tiny messages which the upstream does not read, beside others on
/// the caller's own connection. What arrives together is read as one frame (`net/merge.rs`), and so spends next to nothing
/// of what `h2` allows in small frames that nobody reads.
#[tokio::test]
async fn a_caller_that_floods_one_call_with_tiny_frames_does_not_lose_its_others() {
    let _turn = super::turn().await;
    let upstream = transom::demo::upstream::Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(upstream.address(), "settings: [{match: \"*\", max_request_message: 0}]");
    let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
    let slow = Dialect::Grpc.ask(super::dialects::BIDI, &[]).headers(&[("x-demo-read-delay-ms", "60000")]);
    let (_answer, mut up) = client.send_request(h2_request(&slow), false).expect("a stream");
    let before = edge.memory();
    let frame = Dialect::Grpc.framed(&["x"]);
    let mut sent = 0;
    let flooded = async {
        while sent < 300_000 && send_all(&mut up, frame.clone().into(), false).await {
            sent += 1;
        }
    };
    let _ = timeout(Duration::from_secs(3), flooded).await;
    for at in 0..20 {
        let ask = Dialect::Grpc.ask(UNARY, &["hi"]);
        let mut ready = client.clone().ready().await.unwrap_or_else(|error| panic!("call {at}: {error}"));
        let (response, mut other) = ready.send_request(h2_request(&ask), false).expect("a stream");
        assert!(send_all(&mut other, ask.body.into(), true).await);
        let answer = timeout(PATIENCE, read_h2(response)).await.expect("in time");
        assert_eq!(Dialect::Grpc.read(&answer).messages, ["hi"], "call {at}: {answer:?}");
    }
    let grown = edge.memory().saturating_sub(before);
    println!("flood of tiny frames: {sent} of them, grew by {} MiB", grown / MIB);
    assert!(sent > 10_000, "{sent} frames are no flood");
    assert!(grown < 96 * MIB, "grew by {grown} bytes");
}
