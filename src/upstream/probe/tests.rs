//! Checks of scripted servers over loopback: what they say, how they break, and how they try to keep us busy.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::rounds::{Patient, Rounds};
use super::session::{Io, Target};
use super::{ProbeMode, ProbeSettings};
use crate::upstream::Probed;

/// What a server does with a question.
#[derive(Clone)]
enum Reply {
    /// Statuses of `grpc.health.v1`, each after so many milliseconds; the stream stays open.
    Watch(Vec<(u64, u8)>),
    /// As `Watch`, and then the stream ends with OK.
    Ended(Vec<(u64, u8)>),
    /// One answer, and OK.
    Check(u8),
    /// A status, in a head without a body.
    Status(&'static str),
    Http(u16),
    /// These bytes in the place of frames; the stream stays open.
    Raw(Vec<u8>),
    /// So many empty DATA frames, and no more.
    Crumbs(usize),
    /// Statuses that change without pause.
    Flood,
    Silence,
    /// The connection is closed.
    Close,
}

/// A server that answers the n-th question of all as its script says; the last line of it stands for all further ones.
struct Server {
    address: SocketAddr,
    paths: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Seen(Arc<State>);

struct State {
    address: SocketAddr,
    found: Mutex<Vec<Probed>>,
    calls: AtomicU64,
}

fn frame(status: u8) -> Bytes {
    Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status])
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())])
}

impl Server {
    async fn start(script: Vec<Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Server::on(listener, script)
    }

    fn on(listener: TcpListener, script: Vec<Reply>) -> Server {
        let address = listener.local_addr().unwrap();
        let (paths, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (known, opened) = (Arc::clone(&paths), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(socket, script.clone(), Arc::clone(&known)));
            }
        });
        Server { address, paths, connections, task }
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream, script: Vec<Reply>, paths: Arc<Mutex<Vec<String>>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut replies = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let number = {
            let mut paths = paths.lock().unwrap();
            paths.push(request.uri().path().rsplit('/').next().unwrap().to_owned());
            paths.len() - 1
        };
        let reply = script.get(number).or(script.last()).unwrap().clone();
        if matches!(reply, Reply::Close) {
            return;
        }
        replies.spawn(answer(respond, reply));
    }
}

async fn answer(mut respond: SendResponse<Bytes>, reply: Reply) {
    let head = |status: u16| Response::builder().status(status).header("content-type", "application/grpc");
    match reply {
        Reply::Status(status) => {
            respond.send_response(head(200).header("grpc-status", status).body(()).unwrap(), true).unwrap();
        }
        Reply::Http(status) => {
            respond.send_response(head(status).body(()).unwrap(), true).unwrap();
        }
        Reply::Silence | Reply::Close => std::future::pending().await,
        Reply::Watch(steps) => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            for (millis, status) in steps {
                sleep(Duration::from_millis(millis)).await;
                let _ = stream.send_data(frame(status), false);
            }
            std::future::pending().await
        }
        Reply::Ended(steps) => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            for (millis, status) in steps {
                sleep(Duration::from_millis(millis)).await;
                let _ = stream.send_data(frame(status), false);
            }
            let _ = stream.send_trailers(trailers("0"));
        }
        Reply::Check(status) => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(frame(status), false).unwrap();
            stream.send_trailers(trailers("0")).unwrap();
        }
        Reply::Raw(bytes) => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            let _ = stream.send_data(bytes.into(), false);
            std::future::pending().await
        }
        Reply::Crumbs(count) => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            for _ in 0..count {
                let _ = stream.send_data(Bytes::new(), false);
                tokio::task::yield_now().await;
            }
            std::future::pending().await
        }
        Reply::Flood => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            for number in 0..100_000_u32 {
                let status = if number % 2 == 0 { 1 } else { 2 };
                if stream.send_data(frame(status), false).is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Seen {
    fn new(address: SocketAddr) -> Seen {
        Seen(Arc::new(State { address, found: Mutex::default(), calls: AtomicU64::new(1) }))
    }

    fn found(&self) -> Vec<Probed> {
        self.0.found.lock().unwrap().clone()
    }

    /// All that was told, as soon as it is so much.
    async fn told(&self, count: usize) -> Vec<Probed> {
        let waiting = async {
            while self.found().len() < count {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("only {:?}", self.found()));
        self.found()
    }

    /// The words of the first thing that was told, which is that all is not well.
    async fn complaint(&self) -> String {
        match self.told(1).await.swap_remove(0) {
            Probed::Unhealthy(why) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

impl Patient for Seen {
    async fn dial(&self, _: Duration) -> Result<Box<dyn Io>, String> {
        let socket = TcpStream::connect(self.0.address).await.map_err(|error| error.kind().to_string())?;
        Ok(Box::new(socket))
    }

    fn target(&self) -> Target {
        Target { scheme: http::uri::Scheme::HTTP, authority: "books".parse().unwrap() }
    }

    fn probed(&self, found: Probed) {
        self.0.found.lock().unwrap().push(found);
    }

    fn calls(&self) -> u64 {
        self.0.calls.fetch_add(1, Ordering::Relaxed)
    }
}

fn quick(mode: ProbeMode) -> ProbeSettings {
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_millis(400));
    ProbeSettings { interval, timeout, mode, jitter: 0, ..ProbeSettings::default() }
}

/// Checks a server until the task falls.
fn check(server: &Server, settings: ProbeSettings) -> (Seen, tokio::task::JoinHandle<()>) {
    let seen = Seen::new(server.address);
    (seen.clone(), tokio::spawn(Rounds::new(seen, settings).run()))
}

fn says(name: &str) -> Probed {
    Probed::Unhealthy(format!("it says {name}").into())
}

#[tokio::test]
async fn a_watched_server_is_believed_at_once() {
    let server = Server::start(vec![Reply::Watch(vec![(0, 1), (20, 2), (20, 2), (20, 1), (20, 3), (20, 0)])]).await;
    let slow = ProbeSettings {
        interval: Duration::from_secs(3600),
        unhealthy_threshold: 9,
        healthy_threshold: 9,
        ..quick(ProbeMode::Auto)
    };
    let (seen, _task) = check(&server, ProbeSettings { interval: Duration::from_millis(60_000), ..slow });
    let told = seen.told(5).await;
    assert_eq!(told, [Probed::Healthy, says("NOT_SERVING"), Probed::Healthy, says("SERVICE_UNKNOWN"), says("UNKNOWN")]);
    assert_eq!((server.paths(), server.connections.load(Ordering::Relaxed)), (vec!["Watch".to_owned()], 1));
}

#[tokio::test]
async fn what_is_not_implemented_is_replaced_by_the_next_best() {
    let server = Server::start(vec![Reply::Status("12"), Reply::Check(1), Reply::Check(1), Reply::Check(2)]).await;
    let (seen, _task) = check(&server, ProbeSettings { unhealthy_threshold: 3, ..quick(ProbeMode::Auto) });
    assert_eq!(seen.told(2).await[..2], [Probed::Healthy, says("NOT_SERVING")]);
    let paths = server.paths();
    assert_eq!(&paths[..5], ["Watch", "Check", "Check", "Check", "Watch"], "and a failure may mean another server");
}

#[tokio::test]
async fn a_server_without_health_checks_is_healthy_while_it_takes_connections() {
    for unknown in [Reply::Status("12"), Reply::Http(404)] {
        let server = Server::start(vec![unknown]).await;
        let (seen, _task) = check(&server, quick(ProbeMode::Auto));
        assert_eq!(seen.told(1).await, [Probed::Healthy]);
        sleep(Duration::from_millis(200)).await;
        assert_eq!((seen.found().len(), server.paths().len()), (1, 2), "Watch and Check were asked once");
        drop(server);
        assert_eq!(seen.told(2).await[1], Probed::Unhealthy("connection refused".into()));
    }
}

#[tokio::test]
async fn a_method_that_was_asked_for_by_name_has_to_be_there() {
    for mode in [ProbeMode::Watch, ProbeMode::Check] {
        let server = Server::start(vec![Reply::Status("12")]).await;
        let (seen, _task) = check(&server, quick(mode));
        assert!(seen.complaint().await.starts_with("UNIMPLEMENTED"));
    }
}

#[tokio::test]
async fn checks_share_a_connection_and_count_up_to_their_thresholds() {
    let (good, bad) = (Reply::Check(1), Reply::Check(2));
    let script = vec![good.clone(), bad.clone(), good.clone(), bad.clone(), bad.clone(), bad, good.clone(), good];
    let server = Server::start(script).await;
    let settings = ProbeSettings { healthy_threshold: 2, unhealthy_threshold: 2, ..quick(ProbeMode::Check) };
    let (seen, _task) = check(&server, settings);
    assert_eq!(seen.told(3).await, [Probed::Healthy, says("NOT_SERVING"), Probed::Healthy]);
    assert_eq!((server.paths().len(), server.connections.load(Ordering::Relaxed)), (8, 1));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_no_failure() {
    let server = Server::start(vec![Reply::Check(1), Reply::Close, Reply::Check(1)]).await;
    let (seen, _task) = check(&server, ProbeSettings { unhealthy_threshold: 1, ..quick(ProbeMode::Check) });
    while server.paths().len() < 5 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((seen.found(), server.connections.load(Ordering::Relaxed)), (vec![Probed::Healthy], 2));
}

#[tokio::test]
async fn an_unknown_service_is_unhealthy_and_other_statuses_are_told() {
    let server = Server::start(vec![Reply::Status("5")]).await;
    let (seen, _task) = check(&server, quick(ProbeMode::Check));
    assert_eq!(seen.told(1).await, [says("SERVICE_UNKNOWN")]);
    let server = Server::start(vec![Reply::Status("16")]).await;
    let (seen, _task) = check(&server, quick(ProbeMode::Auto));
    assert_eq!(seen.complaint().await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn hostile_answers_cost_a_finding_and_nothing_else() {
    let endless = [vec![0, 0, 0, 255, 255], vec![0; 4096]].concat();
    for (reply, why) in [
        (Reply::Raw(vec![0, 0, 0, 0, 2, 8]), "no answer within"),
        (Reply::Raw(vec![0, 0, 0, 0, 1, 8]), "garbled"),
        (Reply::Raw(vec![1, 0, 0, 0, 2, 8, 1]), "compressed"),
        (Reply::Raw(vec![7, 0, 0, 0, 2, 8, 1]), "no gRPC"),
        (Reply::Raw(endless), "too large"),
        (Reply::Crumbs(40), "no answer within"),
        (Reply::Crumbs(1_000_000), ""),
        (Reply::Silence, "no answer within"),
        (Reply::Close, ""),
        (Reply::Http(200), "ended without a status"),
        (Reply::Http(500), "UNKNOWN: HTTP 500"),
        (Reply::Status("0"), "OK"),
        (Reply::Status("abc"), "UNKNOWN"),
    ] {
        for mode in [ProbeMode::Watch, ProbeMode::Check] {
            let server = Server::start(vec![reply.clone()]).await;
            let (seen, task) = check(&server, quick(mode));
            let told = seen.complaint().await;
            assert!(told.contains(why), "{why}: {told}");
            task.abort();
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_http2_is_unhealthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seen = Seen::new(listener.local_addr().unwrap());
    let task = tokio::spawn(Rounds::new(seen.clone(), quick(ProbeMode::Auto)).run());
    let (mut socket, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    seen.complaint().await;
    task.abort();
}

#[tokio::test]
async fn a_server_whose_health_never_rests_is_not_listened_to_for_ever() {
    let server = Server::start(vec![Reply::Flood, Reply::Silence]).await;
    let settings =
        ProbeSettings { interval: Duration::from_secs(5), unhealthy_threshold: 1, ..quick(ProbeMode::Watch) };
    let (seen, _task) = check(&server, settings);
    let waiting = async {
        while !matches!(seen.found().last(), Some(Probed::Unhealthy(why)) if why.contains("without end")) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.unwrap();
    assert!(seen.found().len() < 200, "{}", seen.found().len());
}

#[tokio::test]
async fn a_watch_that_ends_is_begun_again_and_a_server_that_comes_back_is_seen_within_an_interval() {
    let server = Server::start(vec![Reply::Ended(vec![(0, 1), (120, 1)]), Reply::Watch(vec![(0, 1)])]).await;
    let address = server.address;
    let (seen, _task) = check(&server, ProbeSettings { unhealthy_threshold: 2, ..quick(ProbeMode::Auto) });
    while server.paths().len() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(seen.found(), [Probed::Healthy], "one broken stream does not count yet");
    drop(server);
    // a connection that was just made breaks, or none can be made
    assert!(matches!(seen.told(2).await[1], Probed::Unhealthy(_)));
    let again = Instant::now();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let _server = Server::on(socket.listen(16).unwrap(), vec![Reply::Watch(vec![(0, 1)])]);
    while seen.found().last() != Some(&Probed::Healthy) {
        sleep(Duration::from_millis(2)).await;
    }
    assert!(again.elapsed() < Duration::from_millis(500), "{:?}", again.elapsed());
}

#[tokio::test]
async fn a_frozen_server_is_found_by_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seen = Seen::new(listener.local_addr().unwrap());
    let settings =
        ProbeSettings { timeout: Duration::from_millis(100), unhealthy_threshold: 1, ..quick(ProbeMode::Auto) };
    let task = tokio::spawn(Rounds::new(seen.clone(), settings).run());
    let (socket, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let (_, respond) = connection.accept().await.unwrap().unwrap();
    let watch = tokio::spawn(answer(respond, Reply::Watch(vec![(0, 1)])));
    // alive for long enough to say that it is, frozen from then on
    let _ = timeout(Duration::from_millis(40), connection.accept()).await;
    let told = seen.told(2).await;
    assert_eq!(told[0], Probed::Healthy);
    assert!(matches!(&told[1], Probed::Unhealthy(why) if why.contains("ping")), "{told:?}");
    watch.abort();
    task.abort();
}

#[tokio::test]
async fn a_cluster_without_calls_is_checked_less_often() {
    let server = Server::start(vec![Reply::Check(1)]).await;
    let seen = Seen::new(server.address);
    struct Idle(Seen);
    impl Patient for Idle {
        async fn dial(&self, within: Duration) -> Result<Box<dyn Io>, String> {
            self.0.dial(within).await
        }
        fn target(&self) -> Target {
            self.0.target()
        }
        fn probed(&self, found: Probed) {
            self.0.probed(found);
        }
        fn calls(&self) -> u64 {
            0
        }
    }
    let _task = tokio::spawn(Rounds::new(Idle(seen.clone()), quick(ProbeMode::Check)).run());
    seen.told(1).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(server.paths().len(), 1);
}
