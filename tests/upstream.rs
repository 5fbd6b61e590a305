//! The upstream room over real sockets: well-behaved peers, and peers that do what peers should not.

#[path = "support/h2_peer.rs"]
mod h2_peer;
#[path = "support/port.rs"]
mod port;
#[path = "support/raw_h2.rs"]
mod raw_h2;
#[path = "upstream/spread.rs"]
mod spread;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2_peer::H2Peer;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use port::Port;
use raw_h2::RawPeer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use transom::observe::Meters;
use transom::status::Code;
use transom::upstream::{
    Backoff, Choice, Cluster, ClusterSettings, Clusters, EndpointSettings, Exchange, Fault, FaultKind, Pool,
    RequestStream, ResponseHead, ResponseStream, Roots, TlsSettings,
};

/// A pool, a cluster, and what is counted.
struct Bench {
    pool: Arc<Pool>,
    cluster: Arc<Cluster>,
    meters: Arc<Meters>,
}

impl Bench {
    fn of(settings: ClusterSettings) -> Bench {
        let meters = Meters::new(false);
        let pool = Arc::new(Pool::new(Arc::clone(&meters)));
        Bench { pool, cluster: Cluster::new(settings).unwrap(), meters }
    }

    fn to(urls: &[&str]) -> Bench {
        Bench::of(settings(urls))
    }

    async fn open(&self, path: &'static str) -> Result<Exchange, Fault> {
        self.open_with(path, false).await
    }

    async fn open_with(&self, path: &'static str, end: bool) -> Result<Exchange, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("te", HeaderValue::from_static("trailers"));
        self.pool.open(&self.cluster, &Choice::default(), PathAndQuery::from_static(path), headers, end).await
    }

    /// A unary call to `/echo`.
    async fn echo(&self, bytes: &'static [u8]) -> Result<Bytes, Fault> {
        let mut exchange = self.open("/echo").await?;
        send(&mut exchange.request, Bytes::from_static(bytes), true).await?;
        head(&mut exchange.response).await?;
        read_all(&mut exchange.response).await
    }

    fn connections(&self) -> usize {
        self.pool.connections(&self.cluster)
    }

    fn streams(&self) -> i64 {
        self.meters.upstream_streams_active.get()
    }
}

fn settings(urls: &[&str]) -> ClusterSettings {
    let endpoints = urls.iter().map(|url| EndpointSettings::parse(url).unwrap()).collect();
    let backoff = Backoff { first: Duration::from_millis(300), cap: Duration::from_secs(1) };
    ClusterSettings { backoff, connect_timeout: Duration::from_secs(2), ..ClusterSettings::new("test", endpoints) }
}

async fn head(response: &mut ResponseStream) -> Result<ResponseHead, Fault> {
    poll_fn(|cx| response.poll_head(cx)).await
}

async fn chunk(response: &mut ResponseStream) -> Option<Result<Bytes, Fault>> {
    let chunk = poll_fn(|cx| response.poll_chunk(cx)).await;
    if let Some(Ok(bytes)) = &chunk {
        response.release(bytes.len());
    }
    chunk
}

/// The body up to its end, which must have trailers with status 0.
async fn read_all(response: &mut ResponseStream) -> Result<Bytes, Fault> {
    let mut all = BytesMut::new();
    while let Some(bytes) = chunk(response).await {
        all.extend_from_slice(&bytes?);
    }
    let trailers = poll_fn(|cx| response.poll_trailers(cx)).await?.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(response.is_end_stream());
    Ok(all.freeze())
}

async fn send(request: &mut RequestStream, mut bytes: Bytes, end: bool) -> Result<(), Fault> {
    while !bytes.is_empty() {
        let allowed = poll_fn(|cx| request.poll_ready(cx, bytes.len())).await?;
        let piece = bytes.split_to(allowed.min(bytes.len()));
        request.send(piece, end && bytes.is_empty())?;
    }
    Ok(())
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// No test waits longer.
async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test takes too long")
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_mebibyte_comes_back_as_it_was_sent() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let bench = Bench::to(&[&peer.url()]);
        let bytes: Bytes = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
        let Exchange { mut request, mut response } = bench.open("/echo").await.unwrap();
        let sent = bytes.clone();
        let upload = tokio::spawn(async move { send(&mut request, sent, true).await });
        assert_eq!(head(&mut response).await.unwrap().parts.status, 200);
        assert_eq!(read_all(&mut response).await.unwrap(), bytes);
        upload.await.unwrap().unwrap();
        drop(response);
        assert_eq!((bench.streams(), bench.connections()), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn messages_of_both_sides_interleave() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let bench = Bench::to(&[&peer.url()]);
        let mut exchange = bench.open("/echo").await.unwrap();
        head(&mut exchange.response).await.unwrap();
        for round in 0..20u8 {
            send(&mut exchange.request, Bytes::from(vec![round; 9]), false).await.unwrap();
            assert_eq!(chunk(&mut exchange.response).await.unwrap().unwrap(), vec![round; 9]);
            assert!(!exchange.response.is_end_stream());
        }
        exchange.request.send(Bytes::new(), true).unwrap();
        assert_eq!(read_all(&mut exchange.response).await.unwrap(), "");
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_trailers_only_ends_with_its_head() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let bench = Bench::to(&[&peer.url()]);
        let mut exchange = bench.open_with("/status", true).await.unwrap();
        let head = head(&mut exchange.response).await.unwrap();
        assert!(head.is_end && exchange.response.is_end_stream());
        assert_eq!(head.parts.headers["grpc-status"], "5");
        assert!(chunk(&mut exchange.response).await.is_none());
        assert_eq!(poll_fn(|cx| exchange.response.poll_trailers(cx)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn calls_that_come_together_wait_for_one_connect_though_the_first_goes_away() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let bench = Arc::new(Bench::to(&[&peer.url()]));
        let first = Arc::clone(&bench);
        let first = tokio::spawn(async move { first.echo(b"first").await });
        tokio::task::yield_now().await;
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move { bench.echo(b"hello").await })
            })
            .collect();
        tokio::task::yield_now().await;
        first.abort();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), "hello");
        }
        assert_eq!((peer.accepted(), bench.streams()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn more_calls_than_slots_get_a_second_connection_and_then_wait_for_a_slot() {
    bounded(async {
        let mut peer = H2Peer::start(4).await;
        let bench = Bench::of(ClusterSettings { max_connections: 2, ..settings(&[&peer.url()]) });
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(bench.open("/hold").await.unwrap());
        }
        assert_eq!((peer.accepted(), bench.connections(), bench.streams()), (2, 2, 8));
        let (mut ninth, timeout) = (Box::pin(bench.echo(b"ninth")), Duration::from_millis(200));
        assert!(tokio::time::timeout(timeout, ninth.as_mut()).await.is_err(), "there is no slot");
        held.pop();
        assert_eq!(ninth.await.unwrap(), "ninth");
        assert_eq!(peer.resets.recv().await, Some(h2::Reason::CANCEL));
        assert_eq!(peer.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn another_connection_is_made_before_the_slots_are_used_up() {
    bounded(async {
        let peer = H2Peer::start(8).await;
        let bench = Bench::to(&[&peer.url()]);
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(bench.open("/hold").await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(bench.connections(), 1);
        held.push(bench.open("/hold").await.unwrap());
        until("a second connection at six of eight", || bench.connections() == 2).await;
    })
    .await;
}

#[tokio::test]
async fn after_a_goaway_old_calls_finish_untaken_ones_may_go_again_and_new_ones_connect_anew() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::to(&[&url]);
        let script = tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.acknowledge().await;
            assert_eq!(peer.expect(raw_h2::HEADERS).await.stream, 1);
            assert_eq!(peer.expect(raw_h2::HEADERS).await.stream, 3);
            peer.answer_head(1).await;
            peer.go_away(1, h2::Reason::NO_ERROR, "").await;
            let mut next = RawPeer::accept(&listener, &[]).await;
            next.acknowledge().await;
            let stream = next.expect(raw_h2::HEADERS).await.stream;
            next.answer(stream, b"new").await;
            peer.data(1, b"old").await;
            peer.trailers(1).await;
            while peer.read().await.is_some() {}
            next
        });
        let mut old = bench.open_with("/a", true).await.unwrap();
        let mut untaken = bench.open_with("/b", true).await.unwrap();
        head(&mut old.response).await.unwrap();
        let fault = head(&mut untaken.response).await.unwrap_err();
        assert_eq!((fault.kind(), fault.safe_to_retry()), (FaultKind::Refused, true), "{fault}");
        let mut new = bench.open_with("/c", true).await.unwrap();
        head(&mut new.response).await.unwrap();
        assert_eq!(read_all(&mut new.response).await.unwrap(), "new");
        assert_eq!(read_all(&mut old.response).await.unwrap(), "old");
        drop((old, untaken, new));
        let _next = script.await.unwrap();
        until("the old connection closes", || bench.meters.upstream_connections_active.get() == 1).await;
        assert_eq!(bench.streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn resets_say_whether_the_call_was_processed_and_no_error_after_the_end_is_none() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::to(&[&url]);
        let script = tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.acknowledge().await;
            for reason in [h2::Reason::REFUSED_STREAM, h2::Reason::INTERNAL_ERROR] {
                let stream = peer.expect(raw_h2::HEADERS).await.stream;
                peer.reset(stream, reason).await;
            }
            let stream = peer.expect(raw_h2::HEADERS).await.stream;
            peer.answer(stream, b"done").await;
            peer.reset(stream, h2::Reason::NO_ERROR).await;
            let stream = peer.expect(raw_h2::HEADERS).await.stream;
            peer.answer_head(stream).await;
            peer.data(stream, b"half").await;
            peer.reset(stream, h2::Reason::NO_ERROR).await;
            while peer.read().await.is_some() {}
        });
        let mut refused = bench.open("/a").await.unwrap();
        let fault = head(&mut refused.response).await.unwrap_err();
        assert_eq!((fault.kind(), fault.code()), (FaultKind::Refused, Code::Unavailable));
        assert!(fault.safe_to_retry());

        let mut broken = bench.open("/b").await.unwrap();
        let fault = head(&mut broken.response).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Reset(h2::Reason::INTERNAL_ERROR));
        assert_eq!((fault.code(), fault.safe_to_retry()), (Code::Internal, false));
        let gone = poll_fn(|cx| broken.request.poll_ready(cx, 5)).await.unwrap_err();
        assert_eq!(gone.kind(), FaultKind::Reset(h2::Reason::INTERNAL_ERROR));

        // the request is still open: the upstream answered early
        let mut early = bench.open("/c").await.unwrap();
        head(&mut early.response).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let closed = poll_fn(|cx| early.request.poll_closed(cx)).await;
        assert_eq!(closed.kind(), FaultKind::Reset(h2::Reason::NO_ERROR));
        assert_eq!(read_all(&mut early.response).await.unwrap(), "done");

        let mut cut = bench.open("/d").await.unwrap();
        head(&mut cut.response).await.unwrap();
        assert_eq!(chunk(&mut cut.response).await.unwrap().unwrap(), "half");
        let fault = chunk(&mut cut.response).await.expect("a cut answer is not complete").unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Reset(h2::Reason::NO_ERROR));
        drop((refused, broken, early, cut));
        assert_eq!(bench.streams(), 0);
        drop(bench);
        script.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_breaks_its_calls_and_they_are_not_safe_to_retry() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::to(&[&url]);
        let script = tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.acknowledge().await;
            let stream = peer.expect(raw_h2::HEADERS).await.stream;
            peer.answer_head(stream).await;
            peer.socket.shutdown().await.unwrap();
        });
        let mut exchange = bench.open("/a").await.unwrap();
        head(&mut exchange.response).await.unwrap();
        let fault = chunk(&mut exchange.response).await.unwrap().unwrap_err();
        assert_eq!((fault.kind(), fault.code(), fault.safe_to_retry()), (FaultKind::Broken, Code::Unavailable, false));
        assert!(fault.message().contains("connection"), "{fault}");
        script.await.unwrap();
        until("nothing is left", || bench.meters.upstream_connections_active.get() == 0).await;
        assert_eq!(bench.connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_down_is_answered_at_once_and_found_again_after_the_back_off() {
    bounded(async {
        let port = Port::take();
        let (address, url) = (port.address, format!("h2c://{}", port.address));
        let bench = Bench::to(&[&url]);
        let began = Instant::now();
        for _ in 0..20 {
            let fault = bench.echo(b"x").await.unwrap_err();
            assert_eq!((fault.kind(), fault.code()), (FaultKind::Connect, Code::Unavailable));
            assert_eq!(fault.message(), format!("connect to {address}: connection refused"));
        }
        let failures = bench.meters.upstream_connect_failures.get();
        let most = 1 + u64::try_from(began.elapsed().as_millis()).unwrap() / 100;
        assert!((1..=most).contains(&failures), "the back-off spares the upstream: {failures}");
        assert_eq!(u64::from(bench.cluster.figures().endpoints[0].connect_failures), failures);
        let _peer = H2Peer::on(port.listen(), 100, None);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(bench.echo(b"back").await.unwrap(), "back");
        assert_eq!(bench.cluster.figures().endpoints[0].reason, None);
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_in_back_off_is_tried_when_nobody_else_is_left() {
    bounded(async {
        let port = Port::take();
        let url = format!("h2c://{}", port.address);
        let long = Backoff { first: Duration::from_secs(600), cap: Duration::from_secs(600) };
        let other = H2Peer::start(100).await;
        let bench = Bench::of(ClusterSettings { backoff: long, ..settings(&[&url, &other.url()]) });
        while bench.meters.upstream_connect_failures.get() == 0 {
            assert_eq!(bench.echo(b"up").await.unwrap(), "up");
        }
        let _peer = H2Peer::on(port.listen(), 100, None);
        drop(other);
        until("the other is gone", || bench.connections() == 0).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(bench.echo(b"back").await.unwrap(), "back");
    })
    .await;
}

#[tokio::test]
async fn of_two_endpoints_the_one_that_is_down_delays_nobody() {
    bounded(async {
        let port = Port::take();
        let peer = H2Peer::start(100).await;
        let urls = [format!("h2c://{}", port.address), peer.url()];
        let backoff = Backoff { first: Duration::from_secs(30), cap: Duration::from_secs(30) };
        let bench = Bench::of(ClusterSettings { backoff, ..settings(&[&urls[0], &urls[1]]) });
        for _ in 0..50 {
            assert_eq!(bench.echo(b"up").await.unwrap(), "up");
        }
        assert!(bench.meters.upstream_connect_failures.get() <= 2);
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_delays_no_call_that_another_can_take() {
    bounded(async {
        // takes connections and never speaks: only the connect timeout ends the attempt
        let (_silent, url) = listener().await;
        let peer = H2Peer::start(100).await;
        let bench = Bench::to(&[&url, &peer.url()]);
        let began = Instant::now();
        for _ in 0..20 {
            // the first call may begin with either
            assert_eq!(bench.echo(b"up").await.unwrap(), "up");
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        // alone, it is a connect that timed out, for calls that came meanwhile too
        let alone = Bench::to(&[&url]);
        let (first, second) = tokio::join!(alone.echo(b"x"), alone.echo(b"y"));
        for fault in [first.unwrap_err(), second.unwrap_err()] {
            assert!(fault.message().ends_with("no HTTP/2 SETTINGS within 2s"), "{fault}");
        }
        assert_eq!(alone.meters.upstream_connect_failures.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn calls_go_round_all_endpoints() {
    bounded(async {
        let peers = [H2Peer::start(100).await, H2Peer::start(100).await, H2Peer::start(100).await];
        let urls: Vec<_> = peers.iter().map(H2Peer::url).collect();
        let bench = Bench::to(&urls.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..9 {
            bench.echo(b"x").await.unwrap();
        }
        until("a connection to each", || peers.iter().all(|peer| peer.accepted() == 1)).await;
        assert_eq!(bench.connections(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_http2_is_named_as_such() {
    bounded(async {
        let (listener, url) = listener().await;
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            }
        });
        let fault = Bench::to(&[&url]).echo(b"x").await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Connect);
        assert!(fault.message().contains("the server does not speak HTTP/2"), "{fault}");
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_acknowledges_settings_is_served_all_the_same() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::to(&[&url]);
        tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            while let Some(frame) = peer.read().await {
                if frame.kind == raw_h2::HEADERS {
                    peer.answer(frame.stream, b"fine").await;
                }
            }
        });
        for _ in 0..3 {
            let mut exchange = bench.open_with("/a", true).await.unwrap();
            head(&mut exchange.response).await.unwrap();
            assert_eq!(read_all(&mut exchange.response).await.unwrap(), "fine");
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_no_streams_makes_calls_wait_until_it_is_raised() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::of(ClusterSettings { max_connections: 1, ..settings(&[&url]) });
        tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[(raw_h2::MAX_CONCURRENT_STREAMS, 0)]).await;
            peer.acknowledge().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            peer.send(raw_h2::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).await;
            while let Some(frame) = peer.read().await {
                if frame.kind == raw_h2::HEADERS {
                    peer.answer(frame.stream, b"at last").await;
                }
            }
        });
        let began = Instant::now();
        let mut exchange = bench.open_with("/a", true).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(90));
        head(&mut exchange.response).await.unwrap();
        assert_eq!(read_all(&mut exchange.response).await.unwrap(), "at last");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_once_whether_it_had_its_head_or_not() {
    bounded(async {
        let mut peer = H2Peer::start(100).await;
        let bench = Bench::to(&[&peer.url()]);
        drop(bench.open("/hold").await.unwrap());
        assert_eq!(bench.streams(), 0);
        assert_eq!(peer.resets.recv().await, Some(h2::Reason::CANCEL));
        let mut exchange = bench.open("/open").await.unwrap();
        head(&mut exchange.response).await.unwrap();
        let Exchange { request, response } = exchange;
        drop(request);
        assert_eq!(bench.streams(), 1, "one half keeps the call");
        drop(response);
        assert_eq!(peer.resets.recv().await, Some(h2::Reason::CANCEL));
        let mut exchange = bench.open("/hold").await.unwrap();
        exchange.request.reset(h2::Reason::INTERNAL_ERROR);
        assert_eq!(peer.resets.recv().await, Some(h2::Reason::INTERNAL_ERROR));
    })
    .await;
}

#[tokio::test]
async fn a_thousand_dropped_calls_leave_nothing_behind_and_the_connection_whole() {
    bounded(async {
        let mut peer = H2Peer::start(100).await;
        let bench = Arc::new(Bench::of(ClusterSettings { max_connections: 1, ..settings(&[&peer.url()]) }));
        for round in 0..10 {
            let mut calls = Vec::new();
            for _ in 0..100 {
                calls.push(bench.open(if round % 2 == 0 { "/hold" } else { "/flood/1000" }).await.unwrap());
            }
            for call in calls.iter_mut().filter(|_| round % 2 == 1) {
                head(&mut call.response).await.unwrap();
            }
        }
        until("no stream is left", || bench.streams() == 0).await;
        assert_eq!(bench.echo(b"still here").await.unwrap(), "still here");
        assert_eq!((peer.accepted(), bench.meters.upstream_connections_active.get()), (1, 1));
        for _ in 0..500 {
            assert_eq!(peer.resets.recv().await, Some(h2::Reason::CANCEL));
        }
    })
    .await;
}

async fn neighbour_of_a_slow_reader(path: &'static str, windows: usize) {
    let peer = H2Peer::start(1000).await;
    let bench = Bench::to(&[&peer.url()]);
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut exchange = bench.open(path).await.unwrap();
        head(&mut exchange.response).await.unwrap();
        slow.push(exchange);
    }
    until("the windows are full", || peer.flooded.load(std::sync::atomic::Ordering::Relaxed) >= windows).await;
    for _ in 0..50 {
        assert_eq!(bench.echo(b"neighbour").await.unwrap(), "neighbour");
    }
    // and the slow ones go on where they were
    for exchange in &mut slow {
        for _ in 0..100 {
            let bytes = chunk(&mut exchange.response).await.unwrap().unwrap();
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_slow_reader_of_tiny_messages_does_not_stop_its_neighbours() {
    bounded(neighbour_of_a_slow_reader("/flood/5", 3 * 1_000_000)).await;
}

#[tokio::test]
async fn a_slow_reader_of_large_messages_does_not_stop_its_neighbours() {
    bounded(neighbour_of_a_slow_reader("/flood/4000000", 0)).await;
}

#[tokio::test]
async fn what_is_not_read_is_not_sent_beyond_the_window_and_what_was_swept_is_whole() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let window = 300_000;
        let bench = Bench::of(ClusterSettings { stream_window: window, ..settings(&[&peer.url()]) });
        let mut exchange = bench.open("/flood/1000").await.unwrap();
        head(&mut exchange.response).await.unwrap();
        let flooded = || peer.flooded.load(std::sync::atomic::Ordering::Relaxed);
        // the server's own buffers count as sent there
        until("the window is full", || flooded() + 1000 >= window as usize).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(flooded() <= window as usize + 500_000, "{}", flooded());
        // taken and not released: nothing more comes
        let mut taken = 0;
        while taken < window as usize {
            taken += poll_fn(|cx| exchange.response.poll_chunk(cx)).await.unwrap().unwrap().len();
        }
        assert_eq!(taken, window as usize);
        let more = tokio::time::timeout(Duration::from_millis(100), chunk(&mut exchange.response)).await;
        assert!(more.is_err(), "the window is used up");
        exchange.response.release(taken);
        assert!(chunk(&mut exchange.response).await.unwrap().is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_silent_peer_with_open_streams_is_pinged_and_given_up() {
    bounded(async {
        let (listener, url) = listener().await;
        let keep_alive = Duration::from_millis(500);
        let bench = Bench::of(ClusterSettings {
            keep_alive_interval: keep_alive,
            keep_alive_timeout: keep_alive,
            ..settings(&[&url])
        });
        let script = tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.acknowledge().await;
            let stream = peer.expect(raw_h2::HEADERS).await.stream;
            // answered pings keep the call
            for _ in 0..3 {
                let ping = peer.expect(raw_h2::PING).await;
                peer.send(raw_h2::PING, raw_h2::ACK, 0, &ping.payload).await;
            }
            peer.answer_head(stream).await;
            let mut pings = 0;
            while let Some(frame) = peer.read().await {
                pings += usize::from(frame.kind == raw_h2::PING);
            }
            pings
        });
        let mut exchange = bench.open("/a").await.unwrap();
        head(&mut exchange.response).await.unwrap();
        let fault = chunk(&mut exchange.response).await.unwrap().unwrap_err();
        assert_eq!((fault.kind(), fault.code()), (FaultKind::Broken, Code::Unavailable));
        assert!(fault.message().contains("keep-alive timed out"), "{fault}");
        assert_eq!(script.await.unwrap(), 1);
        assert_eq!(bench.connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_calls_is_not_pinged_and_one_that_finds_pings_too_many_gets_fewer() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::of(ClusterSettings { keep_alive_interval: Duration::from_millis(50), ..settings(&[&url]) });
        let script = tokio::spawn(async move {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.acknowledge().await;
            let stream = peer.expect(raw_h2::HEADERS).await.stream;
            peer.answer(stream, b"x").await;
            let quiet = tokio::time::timeout(Duration::from_millis(400), peer.expect(raw_h2::PING)).await;
            assert!(quiet.is_err(), "nothing is called");
            peer.expect(raw_h2::HEADERS).await;
            peer.expect(raw_h2::PING).await;
            peer.go_away(3, h2::Reason::ENHANCE_YOUR_CALM, "too_many_pings").await;
            drop(peer);
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.acknowledge().await;
            peer.expect(raw_h2::HEADERS).await;
            let quiet = tokio::time::timeout(Duration::from_millis(400), peer.expect(raw_h2::PING)).await;
            assert!(quiet.is_err(), "the upstream has asked for fewer pings");
        });
        let mut exchange = bench.open_with("/a", true).await.unwrap();
        head(&mut exchange.response).await.unwrap();
        read_all(&mut exchange.response).await.unwrap();
        drop(exchange);
        tokio::time::sleep(Duration::from_millis(450)).await;
        let mut exchange = bench.open_with("/b", true).await.unwrap();
        let fault = head(&mut exchange.response).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Broken, "{fault}");
        let _open = bench.open_with("/c", true).await.unwrap();
        script.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn connections_outlive_a_reload_that_leaves_the_cluster_as_it_was_and_no_other() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let (clusters, meters) = (Clusters::default(), Meters::new(false));
        let pool = Arc::new(Pool::new(Arc::clone(&meters)));
        let obtain = |max_connections| {
            let cluster = clusters.obtain(ClusterSettings { max_connections, ..settings(&[&peer.url()]) }).unwrap();
            Bench { pool: Arc::clone(&pool), cluster, meters: Arc::clone(&meters) }
        };
        let first = obtain(3);
        let mut running = first.open("/echo").await.unwrap();
        let second = obtain(3);
        drop(first);
        assert_eq!(second.echo(b"same").await.unwrap(), "same");
        assert_eq!(peer.accepted(), 1);
        let third = obtain(4);
        drop(second);
        assert_eq!(third.echo(b"other").await.unwrap(), "other");
        assert_eq!(peer.accepted(), 2);
        // the call on the retired connection finishes, and then it closes
        assert_eq!(meters.upstream_connections_active.get(), 2);
        send(&mut running.request, Bytes::from_static(b"late"), true).await.unwrap();
        head(&mut running.response).await.unwrap();
        assert_eq!(read_all(&mut running.response).await.unwrap(), "late");
        drop(running);
        until("the retired connection closes", || meters.upstream_connections_active.get() == 1).await;
        pool.retire();
        until("all have closed", || meters.upstream_connections_active.get() == 0).await;
        assert_eq!(third.echo(b"anew").await.unwrap(), "anew");
    })
    .await;
}

#[tokio::test]
async fn idle_connections_beyond_the_first_are_closed() {
    bounded(async {
        let peer = H2Peer::start(2).await;
        let bench = Bench::of(ClusterSettings { idle_timeout: Duration::from_millis(200), ..settings(&[&peer.url()]) });
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(bench.open("/hold").await.unwrap());
        }
        assert!(bench.connections() >= 3);
        drop(held);
        until("one is left", || bench.meters.upstream_connections_active.get() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!((bench.connections(), bench.echo(b"x").await.unwrap()), (1, Bytes::from_static(b"x")));
    })
    .await;
}

/// A server's certificate for `localhost`, and the authority to trust.
fn certificate(alpn: &[&[u8]]) -> (tokio_rustls::TlsAcceptor, Roots) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let roots = Roots::Pem(Arc::from(pair.cert.pem().into_bytes()));
    let key = rustls_pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), roots)
}

fn over_tls(peer: &H2Peer, tls: TlsSettings) -> Bench {
    let url = format!("h2s://127.0.0.1:{}", peer.address.port());
    Bench::of(ClusterSettings { tls, ..settings(&[&url]) })
}

#[tokio::test]
async fn tls_needs_a_trusted_certificate_of_the_right_name_and_http2_by_alpn() {
    bounded(async {
        let (acceptor, roots) = certificate(&[b"h2"]);
        let peer = H2Peer::start_tls(acceptor).await;
        let tls = TlsSettings { roots, server_name: Some("localhost".into()), ..TlsSettings::default() };
        assert_eq!(over_tls(&peer, tls.clone()).echo(b"secret").await.unwrap(), "secret");

        let unnamed = TlsSettings { server_name: None, ..tls.clone() };
        let fault = over_tls(&peer, unnamed).echo(b"x").await.unwrap_err();
        assert!(fault.message().contains("TLS handshake: invalid peer certificate"), "{fault}");
        let untrusted = TlsSettings { roots: Roots::Public, ..tls.clone() };
        let fault = over_tls(&peer, untrusted).echo(b"x").await.unwrap_err();
        assert!(fault.message().contains("UnknownIssuer"), "{fault}");

        for (alpn, why) in [(&[][..], "did not agree to HTTP/2"), (&[&b"http/1.1"[..]][..], "TLS handshake")] {
            let (acceptor, roots) = certificate(alpn);
            let peer = H2Peer::start_tls(acceptor).await;
            let fault = over_tls(&peer, TlsSettings { roots, ..tls.clone() }).echo(b"x").await.unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Connect);
            assert!(fault.message().contains(why), "{fault}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_tls_server_that_stalls_is_left_after_the_connect_timeout() {
    bounded(async {
        let (_silent, url) = listener().await;
        let url = url.replace("h2c", "h2s");
        let quick = ClusterSettings { connect_timeout: Duration::from_millis(200), ..settings(&[&url]) };
        let fault = Bench::of(quick).echo(b"x").await.unwrap_err();
        assert!(fault.message().ends_with("no TLS handshake within 200ms"), "{fault}");
    })
    .await;
}

#[tokio::test]
async fn fields_of_the_connection_are_refused_and_the_slot_is_free_again() {
    bounded(async {
        let peer = H2Peer::start(100).await;
        let bench = Bench::to(&[&peer.url()]);
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close"));
        let path = PathAndQuery::from_static("/echo");
        let fault = bench.pool.open(&bench.cluster, &Choice::default(), path, headers, true).await.unwrap_err();
        assert_eq!((fault.kind(), bench.streams()), (FaultKind::Protocol, 0), "{fault}");
        assert_eq!(bench.echo(b"on").await.unwrap(), "on");
    })
    .await;
}

#[tokio::test]
async fn damaged_frames_end_calls_with_a_fault_and_nothing_else() {
    bounded(async {
        let (listener, url) = listener().await;
        let bench = Bench::to(&[&url]);
        tokio::spawn(async move {
            let mut seed = 7u64;
            loop {
                let mut peer = RawPeer::accept(&listener, &[]).await;
                peer.acknowledge().await;
                let stream = peer.expect(raw_h2::HEADERS).await.stream;
                let mut random = || {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 33) as u8
                };
                let payload: Vec<u8> = (0..random() % 40).map(|_| random()).collect();
                let (kind, flags) = (random() % 11, random());
                peer.send(kind, flags, if random() % 3 == 0 { 0 } else { stream }, &payload).await;
                let _ = peer.socket.shutdown().await;
            }
        });
        for _ in 0..100 {
            let Ok(mut exchange) = bench.open_with("/a", true).await else { continue };
            if head(&mut exchange.response).await.is_ok() {
                while let Some(Ok(_)) = chunk(&mut exchange.response).await {}
            }
        }
        assert_eq!(bench.streams(), 0);
    })
    .await;
}
