//! Back-pressure in both directions, and what is left behind by callers who go away.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use transom::demo::upstream::Upstream;
use transom::demo::upstream::routeguide::{Point, RouteNote};

use super::dialects::{BIDI, CLIENT, Dialect, SERVER, UNARY, prefix};
use super::support::{Ask, Edge, PATIENCE, Process, h2_request, handshake, send_all, tcp, until};

const MIB: usize = 1 << 20;
/// A stream of 1 GiB.
const FLOOD: [(&str, &str); 3] =
    [("x-demo-stream-count", "16384"), ("x-demo-message-size", "65536"), ("x-demo-interval-ms", "0")];
const NO_LIMITS: &str = "settings: [{match: \"*\", max_request_message: 0, max_response_message: 0}]";

/// Reads bytes of an answer's body until there are so many.
async fn read_h2(body: &mut h2::RecvStream, wanted: usize) -> BytesMut {
    let mut read = BytesMut::new();
    while read.len() < wanted {
        let chunk = timeout(PATIENCE, body.data()).await.expect("in time").expect("more").expect("a chunk");
        body.flow_control().release_capacity(chunk.len()).expect("a window");
        read.extend_from_slice(&chunk);
    }
    read
}

/// Checks whole frames of gRPC with a text of 64 KiB each.
fn check_frames(mut body: BytesMut) {
    // field 1, 65,536 bytes
    let front = [&prefix(0, 65_540)[..], &[0x0a, 0x80, 0x80, 0x04]].concat();
    let mut frames = 0;
    while body.len() >= front.len() + 65_536 {
        assert_eq!(body.split_to(front.len()), front);
        assert!(body.split_to(65_536).iter().all(|byte| *byte == b'x'));
        frames += 1;
    }
    assert!(frames >= 60);
}

#[tokio::test]
async fn a_caller_who_reads_nothing_costs_no_memory_and_gets_the_rest_later() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(upstream.address(), NO_LIMITS);
    let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
    // the first call opens what every call needs
    let (warm, _) = client.send_request(h2_request(&Dialect::Web.ask(UNARY, &["hi"])), true).expect("a stream");
    drop(warm);
    let before = edge.memory();

    let ask = Dialect::Grpc.ask(SERVER, &["hi"]).headers(&FLOOD);
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, ask.body.into(), true).await);
    let mut h2_body = timeout(PATIENCE, answer).await.expect("in time").expect("a head").into_body();
    let mut web = http1(&edge, &Dialect::Web.ask(SERVER, &["hi"]).headers(&FLOOD)).await;
    let mut lines = http1(&edge, &Dialect::RestLines.ask(SERVER, &["hi"]).headers(&FLOOD)).await;

    sleep(Duration::from_secs(1)).await;
    let sent = upstream.counts().messages_out.load(Relaxed);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(upstream.counts().messages_out.load(Relaxed), sent, "the upstream is held back");
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
    assert!(sent < 3 * 512, "{sent} messages of 64 KiB on the way");

    check_frames(read_h2(&mut h2_body, 8 * MIB).await);
    check_frames(dechunk(&mut web, 8 * MIB).await);
    let text = dechunk(&mut lines, 8 * MIB).await;
    let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(65_536));
    assert!(text.chunks_exact(line.len()).all(|one| one == line.as_bytes()));
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
}

/// Sends a request over HTTP/1.1 and reads the head of its answer.
async fn http1(edge: &Process, ask: &Ask) -> TcpStream {
    let mut socket = tcp(edge.clear).await;
    let mut out = ask.head();
    if ask.method == "POST" {
        out.push_str(&format!("content-length: {}\r\n", ask.body.len()));
    }
    out.push_str("\r\n");
    socket.write_all(out.as_bytes()).await.expect("a head");
    socket.write_all(&ask.body).await.expect("a body");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, socket.read_u8()).await.expect("in time").expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200"));
    socket
}

/// Reads chunks until there are so many bytes of them.
async fn dechunk(socket: &mut TcpStream, wanted: usize) -> BytesMut {
    let (mut raw, mut out) = (BytesMut::new(), BytesMut::new());
    while out.len() < wanted {
        while let Some(line) = raw.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&raw[..line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let size = size.expect("a size");
            if raw.len() < line + 2 + size + 2 {
                break;
            }
            raw.advance(line + 2);
            out.extend_from_slice(&raw.split_to(size));
            raw.advance(2);
        }
        timeout(PATIENCE, socket.read_buf(&mut raw)).await.expect("in time").expect("more");
    }
    out
}

#[tokio::test]
async fn an_upstream_that_reads_slowly_holds_its_caller_back() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(upstream.address(), NO_LIMITS);
    let before = edge.memory();
    let message = Dialect::Grpc.framed(&[&"x".repeat(65_536)]);
    let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
    let metadata = [("x-demo-read-delay-ms", "1000"), ("x-demo-message-size", "1")];
    let ask = Dialect::Grpc.ask(BIDI, &[]).headers(&metadata);
    let (_answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    let mut socket = tcp(edge.clear).await;
    let web = Dialect::Web.ask(BIDI, &[]).headers(&metadata);
    let head = format!("{}content-length: {}\r\n\r\n", web.head(), 1 << 30);
    socket.write_all(head.as_bytes()).await.expect("a head");

    let (mut by_h2, mut by_h1) = (0, 0);
    let flood_h2 = async {
        while by_h2 < 1 << 30 && send_all(&mut up, message.clone().into(), false).await {
            by_h2 += message.len();
        }
    };
    let flood_h1 = async {
        while by_h1 < 1 << 30 && socket.write_all(&message).await.is_ok() {
            by_h1 += message.len();
        }
    };
    let _ = timeout(Duration::from_secs(2), async { tokio::join!(flood_h2, flood_h1) }).await;
    assert!(by_h2 > 0 && by_h2 < 32 * MIB, "{by_h2} bytes were taken over HTTP/2");
    // the kernel's buffers are in it
    assert!(by_h1 > 0 && by_h1 < 48 * MIB, "{by_h1} bytes were taken over HTTP/1.1");
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
}

#[tokio::test]
async fn the_messages_of_a_chat_over_tls_arrive_before_the_next_is_sent() {
    let edge = Edge::start("").await;
    let mut client = handshake(edge.tls_socket(b"h2").await).await;
    let ask = Dialect::Grpc.ask("/routeguide.RouteGuide/RouteChat", &[]);
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    let mut body = timeout(PATIENCE, answer).await.expect("the head comes first").expect("a head").into_body();
    for at in 1..=5 {
        let note = RouteNote { location: Some(Point { latitude: at, longitude: at }), message: format!("note {at}") };
        let coded = note.encode_to_vec();
        let frame = [&prefix(0, coded.len())[..], &coded].concat();
        assert!(send_all(&mut up, frame.clone().into(), false).await);
        assert_eq!(read_h2(&mut body, frame.len()).await, frame);
    }
    up.send_data(Bytes::new(), true).expect("an end");
    assert!(timeout(PATIENCE, body.data()).await.expect("in time").is_none());
    let trailers = body.trailers().await.expect("trailers").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_caller_may_send_all_before_it_reads() {
    let edge = Edge::start(NO_LIMITS).await;
    // a window so small that no answer fits while the caller sends
    let mut builder = h2::client::Builder::new();
    let (client, connection) =
        builder.initial_window_size(4).handshake::<_, Bytes>(tcp(edge.clear).await).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("a client");
    let ask = Dialect::Grpc.ask(BIDI, &[]).header("x-demo-message-size", "1");
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    let mut body = timeout(PATIENCE, answer).await.expect("in time").expect("a head").into_body();
    let message: Bytes = Dialect::Grpc.framed(&[&"x".repeat(65_536)]).into();
    let all = async {
        for sent in 1..=320 {
            assert!(send_all(&mut up, message.clone(), sent == 320).await);
        }
    };
    timeout(PATIENCE, all).await.expect("20 MiB go up while nobody reads");
    let read = read_h2(&mut body, 320 * 8).await;
    assert!(read.chunks(8).all(|frame| frame == b"\0\0\0\0\x03\x0a\x01x"));
    assert!(timeout(PATIENCE, body.data()).await.expect("in time").is_none());
    assert_eq!(body.trailers().await.expect("trailers").expect("trailers")["grpc-status"], "0");
}

/// xorshift: the same calls in every run.
struct Dice(u64);

// === impl Dice ===

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A call that does not end by itself soon, and whether its request is left open.
fn long_call(dice: &mut Dice, h2: bool) -> (Ask, bool) {
    let slow = [("x-demo-delay-ms", "3000")];
    let stream = [("x-demo-stream-count", "100000"), ("x-demo-message-size", "3000"), ("x-demo-interval-ms", "0")];
    let ticks = [("x-demo-stream-count", "1000"), ("x-demo-interval-ms", "1")];
    let kinds = if h2 { 10 } else { 8 };
    match dice.below(kinds) {
        0 => (Dialect::ConnectJson.ask(UNARY, &["hi"]).headers(&slow), false),
        1 => (Dialect::Rest.ask(UNARY, &["hi"]).headers(&slow), false),
        2 => (Dialect::RestLines.ask(SERVER, &["hi"]).headers(&ticks), false),
        3 => (Dialect::Web.ask(SERVER, &["hi"]).headers(&stream), false),
        4 => (Dialect::WebText.ask(SERVER, &["hi"]).headers(&ticks), false),
        5 => (Dialect::ConnectStreamJson.ask(SERVER, &["hi"]).headers(&stream), false),
        6 => (Dialect::WebJson.ask(CLIENT, &["a", "b"]), true),
        7 => (Dialect::Web.ask(BIDI, &["a", "b"]), true),
        8 => (Dialect::Grpc.ask(BIDI, &["a", "b"]), true),
        _ => (Dialect::GrpcJson.ask(BIDI, &["a", "b"]), true),
    }
}

async fn cut_h2(edge: &Edge, calls: usize, seed: u64) {
    let mut dice = Dice(seed);
    let mut client: Option<SendRequest<Bytes>> = None;
    let mut done = 0;
    while done < calls {
        let ready = match client.take() {
            Some(client) => client.ready().await.ok(),
            None => None,
        };
        // a connection on which many streams are reset at once is told to calm down: take another
        let mut sender = match ready {
            Some(ready) => ready,
            None => handshake(Box::new(tcp(edge.clear).await)).await,
        };
        let mut under_way = Vec::new();
        for _ in 0..10 {
            let (ask, open) = long_call(&mut dice, true);
            let Ok((answer, mut up)) = sender.send_request(h2_request(&ask), ask.body.is_empty()) else { break };
            if !ask.body.is_empty() {
                let _ = up.send_data(ask.body.into(), !open);
            }
            under_way.push((answer, up));
            sender = match sender.clone().ready().await {
                Ok(sender) => sender,
                Err(_) => break,
            };
        }
        if under_way.is_empty() {
            continue;
        }
        for (answer, mut up) in under_way {
            sleep(Duration::from_micros(dice.below(2000))).await;
            if dice.below(2) == 0 {
                // read a little of some
                let _ = timeout(Duration::from_millis(1), answer).await;
            }
            up.send_reset(h2::Reason::CANCEL);
            done += 1;
        }
        client = sender.ready().await.ok();
    }
}

async fn cut_h1(edge: &Edge, calls: usize, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..calls {
        let (ask, open) = long_call(&mut dice, false);
        let mut socket = tcp(edge.clear).await;
        let mut out = ask.head().into_bytes();
        if ask.method == "POST" {
            let length = ask.body.len() + if open { 1000 } else { 0 };
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&ask.body);
        // some break off within their head
        let sent = if dice.below(10) == 0 { dice.below(out.len() as u64) as usize } else { out.len() };
        let _ = socket.write_all(&out[..sent]).await;
        sleep(Duration::from_micros(dice.below(4000))).await;
        if dice.below(2) == 0 {
            let mut some = [0; 512];
            let _ = timeout(Duration::from_millis(1), socket.read(&mut some)).await;
        }
    }
}

#[tokio::test]
async fn callers_who_go_away_leave_nothing_behind() {
    let edge = Edge::start("").await;
    let h2 = async {
        tokio::join!(cut_h2(&edge, 1500, 1), cut_h2(&edge, 1500, 2), cut_h2(&edge, 1500, 3), cut_h2(&edge, 1500, 4),)
    };
    let h1 = async {
        tokio::join!(cut_h1(&edge, 1000, 5), cut_h1(&edge, 1000, 6), cut_h1(&edge, 1000, 7), cut_h1(&edge, 1000, 8))
    };
    tokio::join!(h2, h1);
    for gauge in [
        "transom_calls_active",
        "transom_upstream_streams_active",
        "transom_pumps_active",
        "transom_connections_active",
    ] {
        until(gauge, || async { edge.metric(gauge).await == 0 }).await;
    }
    let upstream = edge.upstream.as_ref().expect("an upstream");
    until("the upstream's calls end", || async { upstream.counts().active.load(Relaxed) == 0 }).await;
    assert!(upstream.counts().calls.load(Relaxed) > 5000, "most calls got as far as the upstream");
    let answer = edge.ask(super::support::Transport::Http2, &Dialect::Grpc.ask(UNARY, &["hi"])).await;
    assert_eq!(Dialect::Grpc.read(&answer).messages, ["hi"]);
}
