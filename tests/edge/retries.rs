//! Requests that are sent again, and requests that must not be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use transom::status::{Code, Status, encode_status, retry_info};
use transom::wire::encode_bin;

use super::dialects::{CLIENT, Dialect, SERVER, Told, UNARY};
use super::raw_h2::{self, RawPeer};
use super::scripted::{Field, Finish, Script};
use super::staged::{Act, Seen, Staged, bad, bad_with, good, is_repeated};
use super::support::port::Port;
use super::support::{Edge, PATIENCE, Transport};

/// Settings with which all methods may be executed twice.
const IDEMPOTENT: &str = "settings: [{match: \"*\", idempotent: true}]\n";
const UNAVAILABLE: &str = "14";
/// One of each family.
const DIALECTS: [Dialect; 5] =
    [Dialect::Grpc, Dialect::WebText, Dialect::ConnectJson, Dialect::ConnectGetProto, Dialect::Rest];

async fn edge(upstream: &Staged, more: &str) -> Edge {
    Edge::before(&upstream.urls(), more).await
}

async fn call(edge: &Edge, dialect: Dialect, path: &str) -> Told {
    dialect.read(&edge.ask(Transport::Http2, &dialect.ask(path, &["hi"])).await)
}

async fn retries(edge: &Edge, reason: &str) -> i64 {
    edge.metric(&format!("transom_upstream_retries_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn a_method_that_may_be_executed_twice_is_tried_again_in_every_dialect() {
    for dialect in DIALECTS.into_iter().filter(|dialect| *dialect != Dialect::ConnectGetProto) {
        let upstream = Staged::acts(vec![bad(UNAVAILABLE), good("yes")]).await;
        let edge = edge(&upstream, IDEMPOTENT).await;
        let told = call(&edge, dialect, UNARY).await;
        assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["yes".to_owned()][..]), "{dialect:?} {told:?}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), 2, "{dialect:?}");
        assert_eq!(seen[0].body, seen[1].body, "{dialect:?}: the same request");
        assert_eq!(
            (seen[0].header("grpc-previous-rpc-attempts"), seen[1].header("grpc-previous-rpc-attempts")),
            ("", "1")
        );
        let (mut first, mut second) = (seen[0].headers.clone(), seen[1].headers.clone());
        for fields in [&mut first, &mut second] {
            fields.remove("grpc-previous-rpc-attempts");
            fields.remove("grpc-timeout");
        }
        assert_eq!(first, second, "{dialect:?}: the same fields");
        assert_eq!(retries(&edge, "status").await, 1);
    }
}

#[tokio::test]
async fn the_level_in_the_schema_is_enough_and_settings_overrule_it() {
    for (more, attempts) in [
        ("cors: {origins: [\"*\"]}\n", 2),
        ("settings: [{match: \"*\", idempotent: false}]\n", 1),
        ("settings: [{match: \"*\", retry: {attempts: 1}}]\n", 1),
        ("settings: [{match: \"*\", retry: {on: ABORTED}}]\n", 1),
    ] {
        let upstream = Staged::acts(vec![bad(UNAVAILABLE), good("yes")]).await;
        let edge = edge(&upstream, more).await;
        let ask = Dialect::Grpc.ask("/helloworld.Greeter/SayHello", &["you"]);
        edge.ask(Transport::Http2, &ask).await;
        assert_eq!(upstream.seen().len(), attempts, "{more}");
    }
}

#[tokio::test]
async fn a_method_that_says_nothing_is_executed_once_whatever_happens() {
    for act in [
        bad(UNAVAILABLE),
        Act::Reset(h2::Reason::INTERNAL_ERROR),
        Act::Lose,
        bad_with("14", &[("grpc-retry-pushback-ms", "0")]),
    ] {
        for dialect in [Dialect::Grpc, Dialect::Rest] {
            let upstream = Staged::acts(vec![act.clone(), good("yes")]).await;
            let edge = edge(&upstream, "").await;
            let told = call(&edge, dialect, UNARY).await;
            assert_ne!(told.code, Some(Code::Ok), "{act:?} {dialect:?}");
            assert_eq!(upstream.seen().len(), 1, "{act:?} {dialect:?}");
        }
    }
}

#[tokio::test]
async fn resets_and_lost_connections_are_tried_again_where_that_is_safe() {
    for (act, reason) in [
        (Act::Reset(h2::Reason::INTERNAL_ERROR), "reset"),
        (Act::Reset(h2::Reason::CANCEL), "reset"),
        (Act::Lose, "lost"),
        // a head, and then nothing but the end: nothing of it went on
        (Act::Answer(Script::new(&[], &[], &[("grpc-status", "14")])), "status"),
        (Act::Answer(Script::new(&[], &[], &[]).finish(Finish::Reset(h2::Reason::INTERNAL_ERROR))), "reset"),
        (Act::Answer(Script::new(&[], &[], &[]).http(503).finish(Finish::EndStream)), "status"),
    ] {
        for dialect in [Dialect::Grpc, Dialect::ConnectProto] {
            let upstream = Staged::acts(vec![act.clone(), good("yes")]).await;
            let edge = edge(&upstream, IDEMPOTENT).await;
            let told = call(&edge, dialect, UNARY).await;
            assert_eq!(told.code, Some(Code::Ok), "{act:?} {dialect:?}: {told:?}");
            assert_eq!((upstream.seen().len(), retries(&edge, reason).await), (2, 1), "{act:?} {dialect:?}");
        }
    }
}

#[tokio::test]
async fn attempts_have_an_end_and_the_caller_gets_the_last_failure_whole() {
    let fields: &[Field] = &[("grpc-message", "no more"), ("x-why", "tired")];
    for dialect in DIALECTS.into_iter().filter(|dialect| *dialect != Dialect::ConnectGetProto) {
        let upstream = Staged::acts(vec![bad(UNAVAILABLE), bad(UNAVAILABLE), bad_with(UNAVAILABLE, fields)]).await;
        let edge = edge(&upstream, IDEMPOTENT).await;
        let told = call(&edge, dialect, UNARY).await;
        assert_eq!((told.code, &*told.message), (Some(Code::Unavailable), "no more"), "{dialect:?} {told:?}");
        assert_eq!(upstream.seen().len(), 3, "{dialect:?}");
    }
    let more = "settings: [{match: \"*\", idempotent: true, retry: {attempts: 5, on: [ABORTED, reset]}}]\n";
    let upstream =
        Staged::acts(vec![bad("10"), Act::Reset(h2::Reason::INTERNAL_ERROR), bad("10"), bad("14"), good("x")]).await;
    let edge = edge(&upstream, more).await;
    let told = call(&edge, Dialect::Grpc, UNARY).await;
    assert_eq!((told.code, upstream.seen().len()), (Some(Code::Unavailable), 4), "UNAVAILABLE is not in the list");
}

#[tokio::test]
async fn nothing_is_sent_again_once_a_message_went_on() {
    let frame = Dialect::Grpc.framed(&["first"]);
    for finish in
        [Finish::Trailers(vec![("grpc-status", "14")]), Finish::Reset(h2::Reason::INTERNAL_ERROR), Finish::EndStream]
    {
        for dialect in [Dialect::Grpc, Dialect::Web, Dialect::ConnectStreamJson, Dialect::RestLines] {
            let act = Act::Answer(Script::new(&[], &[&frame], &[]).finish(finish.clone()));
            let upstream = Staged::acts(vec![act, good("again")]).await;
            let edge = edge(&upstream, IDEMPOTENT).await;
            let told = call(&edge, dialect, SERVER).await;
            assert_eq!(told.messages, ["first"], "{finish:?} {dialect:?}");
            assert_ne!(told.code, Some(Code::Ok), "{finish:?} {dialect:?}");
            assert_eq!(upstream.seen().len(), 1, "{finish:?} {dialect:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_whose_head_went_on_is_not_begun_again() {
    // the head is there long before the end
    let act = Act::Answer(Script::new(&[], &[], &[]).finish(Finish::Reset(h2::Reason::INTERNAL_ERROR)));
    let upstream = Staged::acts(vec![act, good("again")]).await;
    let edge = edge(&upstream, IDEMPOTENT).await;
    let told = call(&edge, Dialect::Grpc, SERVER).await;
    assert_eq!((told.code, upstream.seen().len()), (Some(Code::Internal), 1), "{told:?}");
    // whose head waits for the first message may begin again
    let act = Act::Answer(Script::new(&[], &[], &[]).finish(Finish::Reset(h2::Reason::INTERNAL_ERROR)));
    let upstream = Staged::acts(vec![act, good("again")]).await;
    let edge = self::edge(&upstream, IDEMPOTENT).await;
    let told = call(&edge, Dialect::RestLines, SERVER).await;
    assert_eq!((told.code, upstream.seen().len()), (Some(Code::Ok), 2), "{told:?}");
}

#[tokio::test]
async fn an_upstream_says_when_to_come_again_or_never() {
    for value in ["-1", "soon", "", "99999999999"] {
        let upstream =
            Staged::acts(vec![bad_with(UNAVAILABLE, &[("grpc-retry-pushback-ms", value)]), good("yes")]).await;
        let edge = edge(&upstream, IDEMPOTENT).await;
        assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.code, Some(Code::Unavailable), "{value:?}");
        assert_eq!(upstream.seen().len(), 1, "{value:?}");
        assert_eq!(edge.metric("transom_upstream_pushbacks_total").await, 1);
    }
    let upstream = Staged::acts(vec![bad_with(UNAVAILABLE, &[("grpc-retry-pushback-ms", "400")]), good("yes")]).await;
    let edge = edge(&upstream, IDEMPOTENT).await;
    assert_eq!(call(&edge, Dialect::Rest, UNARY).await.code, Some(Code::Ok));
    let seen = upstream.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(400), "{:?}", seen[1].at - seen[0].at);
}

#[tokio::test]
async fn retry_info_is_the_least_time_to_wait() {
    let status = Status::new(Code::Unavailable, "later").with(retry_info(Duration::from_millis(500)));
    let details: &'static str = Box::leak(encode_bin(&encode_status(&status)).into_boxed_str());
    let act = bad_with(UNAVAILABLE, &[("grpc-status-details-bin", details)]);
    let upstream = Staged::acts(vec![act, good("yes")]).await;
    let edge = edge(&upstream, IDEMPOTENT).await;
    assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.code, Some(Code::Ok));
    let seen = upstream.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(500), "{:?}", seen[1].at - seen[0].at);
}

#[tokio::test]
async fn a_body_that_is_not_kept_is_sent_once() {
    let large = "x".repeat(100 << 10);
    let (usual, wide) = (
        "settings: [{match: \"*\", idempotent: true}]\n",
        "settings: [{match: \"*\", idempotent: true, retry: {buffer: 1MiB}}]\n",
    );
    for (more, code, attempts) in [(usual, Code::Unavailable, 1), (wide, Code::Ok, 2)] {
        for dialect in [Dialect::Grpc, Dialect::Rest] {
            let upstream = Staged::acts(vec![bad(UNAVAILABLE), good("yes")]).await;
            let edge = edge(&upstream, more).await;
            let told = dialect.read(&edge.ask(Transport::Http2, &dialect.ask(UNARY, &[&large])).await);
            let seen = upstream.seen();
            assert_eq!((told.code, seen.len()), (Some(code), attempts), "{dialect:?} {more}");
            assert!(seen[0].body.len() > 100 << 10);
            assert_eq!(seen[0].body, seen[attempts - 1].body, "{dialect:?} {more}");
        }
    }
    // a stream of requests is sent again as long as all of it is kept
    let upstream = Staged::acts(vec![bad(UNAVAILABLE), good("yes")]).await;
    let edge = edge(&upstream, usual).await;
    let told = Dialect::Grpc.read(&edge.ask(Transport::Http2, &Dialect::Grpc.ask(CLIENT, &["a", "b", "c"])).await);
    let seen = upstream.seen();
    assert_eq!((told.code, seen.len(), &seen[0].body), (Some(Code::Ok), 2, &seen[1].body));
}

#[tokio::test]
async fn the_deadline_holds_over_all_attempts() {
    // the time that is left is told each time
    let upstream =
        Staged::acts(vec![Act::After(Duration::from_millis(300), Box::new(bad(UNAVAILABLE))), good("yes")]).await;
    let edge = edge(&upstream, IDEMPOTENT).await;
    let ask = Dialect::Grpc.ask(UNARY, &["hi"]).header("grpc-timeout", "10S");
    assert_eq!(Dialect::Grpc.read(&edge.ask(Transport::Http2, &ask).await).code, Some(Code::Ok));
    let left: Vec<Duration> = upstream.seen().iter().map(|seen| timeout(seen.header("grpc-timeout"))).collect();
    assert!(left[0] <= Duration::from_secs(10) && left[1] > Duration::ZERO, "{left:?}");
    assert!(left[1] <= left[0] - Duration::from_millis(300), "{left:?}");
    // who would come too late does not come at all, and the failure is the upstream's
    let upstream = Staged::acts(vec![bad_with(UNAVAILABLE, &[("grpc-retry-pushback-ms", "15000")]), good("yes")]).await;
    let edge = self::edge(&upstream, IDEMPOTENT).await;
    let begun = Instant::now();
    let told = Dialect::Grpc.read(&edge.ask(Transport::Http2, &ask).await);
    assert_eq!((told.code, upstream.seen().len()), (Some(Code::Unavailable), 1));
    assert!(begun.elapsed() < Duration::from_secs(10), "it did not wait for the deadline");
    // an attempt that is under way when it passes is reset
    let upstream = Staged::acts(vec![bad(UNAVAILABLE), Act::Hold]).await;
    let edge = self::edge(&upstream, IDEMPOTENT).await;
    let ask = Dialect::Grpc.ask(UNARY, &["hi"]).header("grpc-timeout", "2S");
    assert_eq!(Dialect::Grpc.read(&edge.ask(Transport::Http2, &ask).await).code, Some(Code::DeadlineExceeded));
    super::support::until("the attempt is reset", || async { upstream.seen().get(1).is_some_and(|seen| seen.reset) })
        .await;
}

fn timeout(value: &str) -> Duration {
    let (digits, unit) = value.split_at(value.len() - 1);
    let number: u64 = digits.parse().expect("digits");
    match unit {
        "n" => Duration::from_nanos(number),
        "u" => Duration::from_micros(number),
        "m" => Duration::from_millis(number),
        _ => Duration::from_secs(number),
    }
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_given_up_for_another() {
    let more = "settings: [{match: \"*\", idempotent: true, retry: {per_attempt_timeout: 1s, attempts: 2}}]\n";
    for dialect in [Dialect::Grpc, Dialect::Rest] {
        let upstream = Staged::start(2, |_, headers| if is_repeated(headers) { good("yes") } else { Act::Hold }).await;
        let edge = edge(&upstream, more).await;
        assert_eq!(call(&edge, dialect, UNARY).await.code, Some(Code::Ok), "{dialect:?}");
        let mut seen = upstream.seen();
        // of two connections either may be read first
        seen.sort_by_key(Seen::is_repeated);
        assert_ne!(seen[0].upstream, seen[1].upstream, "another endpoint");
        assert_eq!(retries(&edge, "slow").await, 1);
        super::support::until("the first is reset", || async { upstream.seen().iter().any(|seen| seen.reset) }).await;
    }
    // the last one has the time that the call has
    let slow = Act::After(Duration::from_millis(1500), Box::new(good("late")));
    let upstream = Staged::acts(vec![Act::Hold, slow]).await;
    let edge = edge(&upstream, more).await;
    assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.code, Some(Code::Ok));
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_budget_that_is_spent_leaves_callers_their_failures() {
    let upstream = Staged::acts(vec![bad(UNAVAILABLE)]).await;
    let text = super::support::configuration(&upstream.urls(), &super::support::protos(), IDEMPOTENT);
    let budget = "    retry_budget: {ratio: 0.5, min_per_second: 0, window: 60s}\ncatalogs:";
    let edge = Edge::by(&text.replacen("catalogs:", budget, 1)).await;
    for _ in 0..8 {
        assert_eq!(call(&edge, Dialect::Grpc, UNARY).await.code, Some(Code::Unavailable));
    }
    assert_eq!(upstream.seen().len(), 8 + 4, "one retry for two calls");
    assert_eq!(
        edge.metric("transom_upstream_retries_over_budget_total").await,
        8,
        "each call asked until it was refused"
    );
}

#[tokio::test]
async fn refused_streams_cost_no_call_and_no_call_is_executed_twice() {
    for every in [2, 3, 7] {
        // no call so often that its attempts come to an end
        let refusals = Mutex::new(HashMap::<HeaderValue, u32>::new());
        let plan = move |number: usize, headers: &HeaderMap| {
            let mut refusals = refusals.lock().expect("no panic");
            let times = refusals.entry(headers["x-call"].clone()).or_default();
            if number.is_multiple_of(every) && *times < 8 {
                *times += 1;
                return Act::Refuse;
            }
            Act::After(Duration::from_millis(5), Box::new(good("yes")))
        };
        let upstream = Staged::start(2, plan).await;
        let edge = edge(&upstream, "").await;
        let calls = (0..200).map(|number: usize| {
            let (edge, dialect) =
                (&edge, [Dialect::Grpc, Dialect::Web, Dialect::ConnectProto, Dialect::Rest][number % 4]);
            async move {
                tokio::time::sleep(Duration::from_millis(number as u64)).await;
                let ask = dialect.ask(UNARY, &["hi"]).header("x-call", &number.to_string());
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                assert_eq!(told.code, Some(Code::Ok), "call {number}, every {every}: {told:?}");
            }
        });
        futures_util::future::join_all(calls).await;
        let mut executed: HashMap<String, usize> = HashMap::new();
        for seen in upstream.seen().iter().filter(|seen| seen.executed) {
            *executed.entry(seen.header("x-call").to_owned()).or_default() += 1;
        }
        assert!(executed.len() == 200 && executed.values().all(|times| *times == 1), "every {every}: {executed:?}");
        assert!(retries(&edge, "refused").await > 20);
    }
}

#[tokio::test]
async fn a_goaway_in_mid_flight_sends_on_what_it_does_not_cover_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let edge = Edge::before(&format!("h2c://{address}"), "workers: 1\n").await;
    let script = tokio::spawn(async move {
        let mut peer = RawPeer::accept(&listener, &[]).await;
        let first = peer.expect(raw_h2::HEADERS).await.stream;
        let second = peer.expect(raw_h2::HEADERS).await.stream;
        assert_eq!((first, second), (1, 3));
        peer.go_away(1, h2::Reason::NO_ERROR, "").await;
        let mut next = RawPeer::accept(&listener, &[]).await;
        let again = next.expect(raw_h2::HEADERS).await.stream;
        grpc_answer(&mut next, again).await;
        grpc_answer(&mut peer, first).await;
        // both connections stay until the calls have ended
        (peer, next)
    });
    let calls = futures_util::future::join_all((0..2).map(|_| call(&edge, Dialect::Grpc, UNARY))).await;
    assert!(calls.iter().all(|told| told.code == Some(Code::Ok)), "{calls:?}");
    drop(script.await.expect("the script"));
    assert_eq!(retries(&edge, "refused").await, 1);
}

#[tokio::test]
async fn a_call_survives_as_many_closing_connections_as_a_restart_has() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let edge = Edge::before(&format!("h2c://{address}"), "").await;
    let script = tokio::spawn(async move {
        for _ in 0..8 {
            let mut peer = RawPeer::accept(&listener, &[]).await;
            peer.expect(raw_h2::HEADERS).await;
            peer.go_away(0, h2::Reason::NO_ERROR, "").await;
        }
        let mut peer = RawPeer::accept(&listener, &[]).await;
        let stream = peer.expect(raw_h2::HEADERS).await.stream;
        grpc_answer(&mut peer, stream).await;
        peer
    });
    assert_eq!(call(&edge, Dialect::ConnectProto, UNARY).await.code, Some(Code::Ok));
    drop(script.await.expect("the script"));
    assert_eq!(retries(&edge, "refused").await, 8);
}

/// An answer of gRPC with an empty message.
async fn grpc_answer(peer: &mut RawPeer, stream: u32) {
    // `:status: 200`, and `content-type` by its number in HPACK's static table
    let mut head = vec![0x88, 0x0f, 0x10, 16];
    head.extend_from_slice(b"application/grpc");
    peer.send(raw_h2::HEADERS, raw_h2::END_HEADERS, stream, &head).await;
    peer.data(stream, &[0; 5]).await;
    peer.trailers(stream).await;
}

#[tokio::test]
async fn endpoints_that_restart_one_by_one_cost_no_call() {
    let executed = Arc::new(AtomicUsize::new(0));
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Restarting::start(Port::take(), &executed));
    }
    let urls: Vec<String> = upstreams.iter().map(|one| format!("\"h2c://{}\"", one.port.address)).collect();
    let edge = Edge::before(&format!("[{}]", urls.join(", ")), "").await;
    let restarts = async {
        for one in &mut upstreams {
            // longer than an endpoint that is back is left alone
            tokio::time::sleep(Duration::from_millis(1200)).await;
            one.stop().await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            one.restart();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let calls = (0..600).map(|number: usize| {
        let (edge, dialect) = (&edge, [Dialect::Grpc, Dialect::Web, Dialect::ConnectProto, Dialect::Rest][number % 4]);
        async move {
            tokio::time::sleep(Duration::from_millis(number as u64 * 8)).await;
            let told = call(edge, dialect, UNARY).await;
            assert_eq!(told.code, Some(Code::Ok), "call {number}: {told:?}");
        }
    });
    tokio::time::timeout(PATIENCE * 5, futures_util::future::join(restarts, futures_util::future::join_all(calls)))
        .await
        .expect("all in time");
    assert_eq!(executed.load(Ordering::Relaxed), 600);
}

/// An upstream that goes as servers do: GOAWAY, calls end, the port is closed.
struct Restarting {
    port: Port,
    executed: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

// === impl Restarting ===

impl Restarting {
    fn start(port: Port, executed: &Arc<AtomicUsize>) -> Restarting {
        let stop = watch::Sender::new(false);
        let task = Restarting::serve(&port, stop.subscribe(), Arc::clone(executed));
        Restarting { port, executed: Arc::clone(executed), stop, task }
    }

    fn restart(&mut self) {
        self.stop.send_replace(false);
        self.task = Restarting::serve(&self.port, self.stop.subscribe(), Arc::clone(&self.executed));
    }

    fn serve(port: &Port, stopped: watch::Receiver<bool>, executed: Arc<AtomicUsize>) -> JoinHandle<()> {
        let listener = port.listen();
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            let mut told = stopped.clone();
            loop {
                tokio::select! {
                    Ok((socket, _)) = listener.accept() => {
                        connections.spawn(restarting(socket, stopped.clone(), Arc::clone(&executed)));
                    }
                    _ = told.wait_for(|stop| *stop) => break,
                }
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        })
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

async fn restarting(
    socket: tokio::net::TcpStream,
    mut stopped: tokio::sync::watch::Receiver<bool>,
    executed: Arc<AtomicUsize>,
) {
    let Ok(mut http2) = h2::server::handshake(socket).await else { return };
    let mut leaving = false;
    loop {
        tokio::select! {
            accepted = http2.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                executed.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    while let Some(Ok(chunk)) = body.data().await {
                        let _ = body.flow_control().release_capacity(chunk.len());
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    let script = Script::new(&[], &[&Dialect::Grpc.framed(&["yes"])], &[("grpc-status", "0")]);
                    super::scripted::perform(respond, &script).await;
                });
            }
            _ = stopped.wait_for(|stop| *stop), if !leaving => {
                leaving = true;
                http2.graceful_shutdown();
            }
        }
    }
}
