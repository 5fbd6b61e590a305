//! Bodies of any size in bounded memory: files up and down, and a stream of JSON lines. As they are here they are small
//! enough for every run; the ignored tests are the same with 5 GiB and a million messages, and print what it took:
//!
//! `cargo test --profile quick --test edge large -- --ignored --nocapture --test-threads 1`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use transom::demo::upstream::Upstream;

use super::support::{Ask, PATIENCE, Process, Transport, h2_request, handshake, read_http1, send_all, tcp};

const MIB: u64 = 1 << 20;
const SMALL: u64 = 64 * MIB;
const LARGE: u64 = 5 << 30;
const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];
/// What the edge may hold more than at rest: windows of both sides, and what the allocator keeps.
const MOST: u64 = 48 * MIB;
/// What the demo's generated files repeat.
const PERIOD: usize = 251;

/// An edge as a process of its own, and its largest resident memory.
struct Watched {
    edge: Process,
    _upstream: transom::demo::upstream::Running,
    before: u64,
    most: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

// === impl Watched ===

impl Watched {
    async fn start() -> Watched {
        let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
        let edge = Process::start(upstream.address(), "settings: [{match: \"*\", json: {unset_fields: print}}]");
        // the first call opens what every call needs
        assert_eq!(read_whole(&edge, "/files/generated/1000").await, 1000);
        let (before, most) = (edge.memory(), Arc::new(AtomicU64::new(0)));
        let (status, seen) = (format!("/proc/{}/status", edge.child.id()), Arc::clone(&most));
        let task = tokio::spawn(async move {
            while let Ok(text) = std::fs::read_to_string(&status) {
                let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
                seen.fetch_max(kib.unwrap_or_default() * 1024, Relaxed);
                sleep(Duration::from_millis(20)).await;
            }
        });
        Watched { edge, _upstream: upstream, before, most, task }
    }

    /// Tells what it took, and holds the memory to its bound.
    fn tell(&self, what: &str, amount: f64, unit: &str, began: Instant) {
        let (took, most) = (began.elapsed().as_secs_f64(), self.most.load(Relaxed).max(self.edge.memory()));
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        println!(
            "{what}: {amount:.0} {unit} in {took:.1} s, {:.0} {unit}/s, {:.1} MiB resident at most, {:.1} before",
            amount / took,
            mib(most),
            mib(self.before)
        );
        assert!(most < self.before + MOST, "{what}: grew to {most} bytes from {}", self.before);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Compares content with what the generated file has there.
struct Checked {
    pattern: Vec<u8>,
    at: u64,
}

// === impl Checked ===

impl Checked {
    fn new() -> Checked {
        Checked { pattern: (0..PERIOD + MIB as usize).map(|at| (at % PERIOD) as u8).collect(), at: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        let start = (self.at % PERIOD as u64) as usize;
        assert!(self.pattern[start..].starts_with(bytes), "wrong bytes behind {}", self.at);
        self.at += bytes.len() as u64;
    }
}

/// A download that is read piece by piece.
enum Download {
    Http1 { socket: TcpStream, raw: BytesMut, left: usize, ended: bool },
    Http2 { body: h2::RecvStream, _client: h2::client::SendRequest<Bytes> },
}

// === impl Download ===

impl Download {
    async fn start(edge: &Process, transport: Transport, path: &str) -> Download {
        if transport.is_h2() {
            let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
            let (answer, _) = client.send_request(h2_request(&Ask::get(path)), true).expect("a stream");
            let answer = timeout(PATIENCE, answer).await.expect("in time").expect("a head");
            assert_eq!(answer.status(), 200);
            return Download::Http2 { body: answer.into_body(), _client: client };
        }
        let mut socket = tcp(edge.clear).await;
        socket.write_all(format!("{}\r\n", Ask::get(path).head()).as_bytes()).await.expect("a head");
        let mut raw = BytesMut::with_capacity(1 << 18);
        let end = loop {
            timeout(PATIENCE, socket.read_buf(&mut raw)).await.expect("in time").expect("a head");
            if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        assert!(raw.starts_with(b"HTTP/1.1 200"));
        raw.advance(end + 4);
        Download::Http1 { socket, raw, left: 0, ended: false }
    }

    /// The next bytes; `None` at a good end.
    async fn next(&mut self) -> Option<Bytes> {
        match self {
            Download::Http2 { body, .. } => {
                let chunk = timeout(PATIENCE, body.data()).await.expect("in time")?.expect("no reset");
                body.flow_control().release_capacity(chunk.len()).expect("a window");
                Some(chunk)
            }
            Download::Http1 { socket, raw, left, ended } => loop {
                if *left > 0 && !raw.is_empty() {
                    let chunk = raw.split_to(raw.len().min(*left)).freeze();
                    *left -= chunk.len();
                    return Some(chunk);
                }
                if *ended {
                    return None;
                }
                if *left == 0
                    && let Some(size) = chunk_size(raw)
                {
                    (*left, *ended) = (size, size == 0);
                    continue;
                }
                raw.reserve(1 << 18);
                let read = timeout(PATIENCE, socket.read_buf(raw)).await.expect("in time").expect("more");
                assert!(read > 0, "the connection ended within the body");
            },
        }
    }
}

/// Takes the line with the size of the next chunk, if it is there.
fn chunk_size(raw: &mut BytesMut) -> Option<usize> {
    let start = if raw.starts_with(b"\r\n") { 2 } else { 0 };
    let end = start + raw.get(start..)?.windows(2).position(|two| two == b"\r\n")?;
    let size = std::str::from_utf8(&raw[start..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
    raw.advance(end + 2);
    Some(size.expect("a size"))
}

async fn read_whole(edge: &Process, path: &str) -> u64 {
    let (mut body, mut checked) = (Download::start(edge, Transport::Http1, path).await, Checked::new());
    while let Some(chunk) = body.next().await {
        checked.take(&chunk);
    }
    checked.at
}

async fn download(size: u64) {
    for transport in CLEAR {
        let watched = Watched::start().await;
        let began = Instant::now();
        let mut body = Download::start(&watched.edge, transport, &format!("/files/generated/{size}")).await;
        let mut checked = Checked::new();
        while let Some(chunk) = body.next().await {
            checked.take(&chunk);
        }
        assert_eq!(checked.at, size);
        watched.tell(&format!("download over {transport:?}"), size as f64 / 1e6, "MB", began);
    }
}

async fn reader_that_stops(size: u64, pause: Duration) {
    let watched = Watched::start().await;
    let path = format!("/files/generated/{size}");
    let mut stopped = Vec::new();
    for transport in CLEAR.into_iter().cycle().take(8) {
        let (mut body, mut checked) = (Download::start(&watched.edge, transport, &path).await, Checked::new());
        while checked.at < size / 4 {
            checked.take(&body.next().await.expect("more"));
        }
        stopped.push((body, checked));
    }
    let began = Instant::now();
    sleep(pause).await;
    watched.tell("8 readers that stopped", 0.0, "MB", began);
    for (mut body, mut checked) in stopped {
        while let Some(chunk) = body.next().await {
            checked.take(&chunk);
        }
        assert_eq!(checked.at, size);
    }
}

/// The answer to a request whose body is made piece by piece: so many times this one.
async fn upload(edge: &Process, transport: Transport, ask: &Ask, piece: Bytes, times: u64) -> Value {
    if transport.is_h2() {
        let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
        let (answer, mut up) = client.send_request(h2_request(ask), false).expect("a stream");
        for sent in 1..=times {
            assert!(send_all(&mut up, piece.clone(), sent == times).await);
        }
        let mut body = timeout(PATIENCE, answer).await.expect("in time").expect("a head").into_body();
        let bytes = body.data().await.expect("a body").expect("no reset");
        return serde_json::from_slice(&bytes).expect("JSON");
    }
    let mut socket = tcp(edge.clear).await;
    let head = format!("{}content-length: {}\r\nconnection: close\r\n\r\n", ask.head(), times * piece.len() as u64);
    socket.write_all(head.as_bytes()).await.expect("a head");
    for _ in 0..times {
        socket.write_all(&piece).await.expect("a piece");
    }
    let mut raw = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut raw)).await.expect("in time").expect("an answer");
    let answer = read_http1(&raw);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn upload_of(size: u64) {
    let piece: Bytes = vec![7; MIB as usize].into();
    for transport in CLEAR {
        let watched = Watched::start().await;
        let began = Instant::now();
        let ask = Ask { method: "PUT", ..Ask::post("/files/sink/large", "application/octet-stream", "") };
        let stored = upload(&watched.edge, transport, &ask, piece.clone(), size / MIB).await;
        assert_eq!(stored["size"], size.to_string());
        let what = format!("upload over {transport:?} in {} messages", stored["messages"]);
        watched.tell(&what, size as f64 / 1e6, "MB", began);
    }
}

/// A file in a form, as a stream.
async fn form_of(size: u64) {
    let watched = Watched::start().await;
    let began = Instant::now();
    let head = b"--b\r\nContent-Disposition: form-data; name=path\r\n\r\nsink/form\r\n\
        --b\r\nContent-Disposition: form-data; name=content; filename=f\r\n\r\n";
    let mut client = handshake(Box::new(tcp(watched.edge.clear).await)).await;
    let ask = Ask::post("/files", "multipart/form-data; boundary=b", "");
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, Bytes::from_static(head), false).await);
    let piece: Bytes = vec![b'\r'; MIB as usize].into();
    for _ in 0..size / MIB {
        assert!(send_all(&mut up, piece.clone(), false).await);
    }
    assert!(send_all(&mut up, Bytes::from_static(b"\r\n--b--\r\n"), true).await);
    let mut body = timeout(PATIENCE, answer).await.expect("in time").expect("a head").into_body();
    let stored: Value = serde_json::from_slice(&body.data().await.expect("a body").expect("no reset")).expect("JSON");
    assert_eq!(stored["size"], size.to_string());
    watched.tell("a file in a form over Http2", size as f64 / 1e6, "MB", began);
}

/// An upstream that does not read holds the caller back.
async fn upstream_that_stops(transport: Transport, pause: Duration) {
    let watched = Watched::start().await;
    let ask = Ask { method: "PUT", ..Ask::post("/files/sink/slow", "application/octet-stream", "") };
    let ask = ask.header("x-demo-read-delay-ms", "600000");
    let began = Instant::now();
    let sending = upload(&watched.edge, transport, &ask, vec![7; MIB as usize].into(), LARGE / MIB);
    assert!(timeout(pause, sending).await.is_err(), "nobody reads");
    watched.tell(&format!("an upstream that stopped, over {transport:?}"), 0.0, "MB", began);
}

async fn lines(count: u64) {
    for transport in CLEAR {
        let watched = Watched::start().await;
        let piece =
            (0..1000).map(|at| format!("{{\"path\": \"notes/{at}\", \"note\": \"line {at}\"}}\n")).collect::<String>();
        let began = Instant::now();
        let ask = Ask::post("/count", "application/x-ndjson", "");
        let counted = upload(&watched.edge, transport, &ask, piece.into(), count / 1000).await;
        assert_eq!(counted["messages"], count.to_string());
        watched.tell(&format!("NDJSON over {transport:?}"), count as f64, "messages", began);
    }
}

#[tokio::test]
async fn a_file_comes_down_in_bounded_memory() {
    download(SMALL).await;
}

#[tokio::test]
async fn readers_that_stop_cost_no_memory_and_get_the_rest_later() {
    reader_that_stops(SMALL, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_file_goes_up_in_bounded_memory() {
    upload_of(SMALL).await;
    form_of(SMALL).await;
}

#[tokio::test]
async fn an_upstream_that_stops_holds_an_upload_back() {
    for transport in CLEAR {
        upstream_that_stops(transport, Duration::from_secs(2)).await;
    }
}

#[tokio::test]
async fn lines_go_up_in_bounded_memory() {
    lines(20_000).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn large_download() {
    download(LARGE).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn large_readers_that_stop() {
    reader_that_stops(256 * MIB, Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn large_upload() {
    upload_of(LARGE).await;
    form_of(LARGE).await;
}

#[tokio::test]
#[ignore = "takes some seconds"]
async fn large_stream_of_lines() {
    lines(1_000_000).await;
}
