//! The doors over real sockets, with a stand-in for the corridor: what a caller of each kind sees, how connections
//! end, where they are placed, and that a reload swaps whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use transom::call::{Head, Inbound};
use transom::catalog::Mistake;
use transom::listen::{Corridor, Settings};
use transom::net::tls::{Identity, ServerSettings};
use transom::observe::Meters;
use transom::proxy::{Body, Welcome};
use transom::server::{Load, Loaded, Running, Start, start};

/// Answers by path: `/who` tells what it knows of the caller, `/slow` waits for the gate, `/echo` gives the body back.
struct Stand {
    tables: Arc<ArcSwap<String>>,
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Corridor for Stand {
    async fn open(self: Arc<Self>, head: Head, mut inbound: Inbound) -> Response<Body> {
        let answer = match head.parts.uri.path() {
            "/slow" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let _ = self.gate.acquire().await.map(|permit| permit.forget());
                Bytes::from_static(b"slow and done")
            }
            "/echo" => {
                let mut all = Vec::new();
                while let Some(Ok(chunk)) = std::future::poll_fn(|cx| inbound.poll_chunk(cx)).await {
                    all.extend_from_slice(&chunk);
                }
                all.into()
            }
            _ => {
                let tls = head.connection.tls.as_ref();
                format!(
                    "{:?} tables={} worker={} tls={} sni={} certificate={}",
                    head.parts.version,
                    self.tables.load(),
                    std::thread::current().name().unwrap_or("?"),
                    tls.is_some(),
                    tls.and_then(|tls| tls.server_name.as_deref()).unwrap_or("-"),
                    tls.is_some_and(|tls| tls.client_certificate.is_some()),
                )
                .into()
            }
        };
        Response::new(Body::Whole(answer))
    }

    fn welcome(&self, _: &Head) -> Result<Welcome, Box<Response<Body>>> {
        Err(Box::new(Response::new(Body::Empty)))
    }
}

struct House {
    running: Running,
    meters: Arc<Meters>,
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    load: Arc<Mutex<Result<String, String>>>,
}

fn settings() -> Settings {
    Settings::new("127.0.0.1:0".parse().unwrap())
}

async fn house(listeners: Vec<Settings>) -> House {
    build(listeners, 1, Vec::new()).await
}

async fn build(listeners: Vec<Settings>, workers: usize, watch: Vec<PathBuf>) -> House {
    let meters = Meters::new(false);
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let load = Arc::new(Mutex::new(Ok("one".to_owned())));
    let loads: Load<String> = Box::new({
        let load: Arc<Mutex<Result<String, String>>> = Arc::clone(&load);
        move || match &*load.lock().unwrap() {
            Ok(tables) => Ok(Loaded::new(tables.clone(), watch.clone())),
            Err(mistake) => Err(vec![Mistake::new(mistake.clone())]),
        }
    });
    let what = Start {
        listeners,
        admin: Some("127.0.0.1:0".parse().unwrap()),
        workers,
        drain_timeout: Duration::from_secs(2),
        meters: Arc::clone(&meters),
    };
    let hand = (Arc::clone(&gate), Arc::clone(&waiting));
    let running = start(what, loads, move |spot| {
        Arc::new(Stand { tables: spot.tables, gate: Arc::clone(&hand.0), waiting: Arc::clone(&hand.1) })
    });
    House { running: running.await.unwrap(), meters, gate, waiting, load }
}

impl House {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.running.addresses()[0]).await.unwrap()
    }

    async fn admin(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.running.admin_address().unwrap()).await.unwrap();
        get(&mut socket, path).await
    }

    /// Until this many calls have come to the gate.
    async fn until_waiting(&self, calls: usize) {
        until("calls wait", || self.waiting.load(Ordering::SeqCst) == calls).await;
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Reads one HTTP/1.1 response: its head, and as much of a body as its content-length says.
async fn response(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let count = timeout(Duration::from_secs(5), socket.read_buf(&mut bytes)).await.expect("an answer").unwrap();
        assert!(count > 0, "closed after {text:?}");
    }
}

async fn get(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n\r\n").as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    response(socket).await
}

/// What the other side sends until it closes; fails when it does not close.
async fn rest(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // a reset is a close as well
    let _ = timeout(Duration::from_secs(5), socket.read_to_end(&mut bytes)).await.expect("it is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

type Over = tokio::task::JoinHandle<Result<(), h2::Error>>;

async fn h2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(socket: S) -> (SendRequest<Bytes>, Over) {
    let (send, connection) = h2::client::handshake(socket).await.unwrap();
    let over = tokio::spawn(connection);
    (send.ready().await.unwrap(), over)
}

async fn call(send: &mut SendRequest<Bytes>, path: &str) -> Result<String, h2::Error> {
    let request = Request::get(format!("http://a.example{path}")).body(()).unwrap();
    let mut body = send.send_request(request, true)?.0.await?.into_body();
    let mut all = Vec::new();
    while let Some(chunk) = body.data().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(String::from_utf8(all).unwrap())
}

// === TLS material ===

struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { dir, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Files of this name with a certificate for these hosts.
    fn identity(&self, name: &str, hosts: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let certificate = CertificateParams::new(hosts).unwrap().signed_by(&key, &self.issuer).unwrap();
        let identity =
            Identity { certificate: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}.key")) };
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        fs::write(&identity.certificate, certificate.pem()).unwrap();
        identity
    }

    fn door(&self) -> Settings {
        let identity = self.identity("default", &["a.example"]);
        Settings { tls: Some(ServerSettings { identity, sni: Vec::new(), client_ca: None }), ..settings() }
    }

    fn connector(&self, alpn: &[&[u8]], identity: Option<Identity>) -> TlsConnector {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&identity.key).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn shake(&self, house: &House, name: &str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        self.connector(alpn, None).connect(name, house.connect().await).await
    }
}

// === what callers of each kind see ===

#[tokio::test]
async fn http1_and_http2_by_prior_knowledge_share_a_clear_text_port() {
    let house = house(vec![settings()]).await;
    let mut socket = house.connect().await;
    for _ in 0..2 {
        let answer = get(&mut socket, "/who").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("HTTP/1.1 tables=one worker=worker-0 tls=false sni=- certificate=false"), "{answer}");
    }
    let (mut send, _) = h2(house.connect().await).await;
    assert!(call(&mut send, "/who").await.unwrap().starts_with("HTTP/2.0 tables=one"));
    assert_eq!(house.meters.connections_active.get(), 2);
}

#[tokio::test]
async fn bodies_pass_whole_in_both_directions() {
    let house = house(vec![settings()]).await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut send, _) = h2(house.connect().await).await;
    let request = Request::post("http://a.example/echo").body(()).unwrap();
    let (answer, mut stream) = send.send_request(request, false).unwrap();
    stream.send_data(body.clone().into(), true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    let mut got = Vec::new();
    while let Some(chunk) = answer.data().await {
        let chunk = chunk.unwrap();
        answer.flow_control().release_capacity(chunk.len()).unwrap();
        got.extend_from_slice(&chunk);
    }
    assert!(got == body);

    let mut socket = house.connect().await;
    let length = body.len();
    let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(response(&mut socket).await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(&body).await.unwrap();
    let mut got = Vec::new();
    let head_length = loop {
        assert!(timeout(Duration::from_secs(5), socket.read_buf(&mut got)).await.unwrap().unwrap() > 0);
        if let Some(at) = got.windows(4).take(1000).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    while got.len() < head_length + length {
        assert!(timeout(Duration::from_secs(5), socket.read_buf(&mut got)).await.unwrap().unwrap() > 0);
    }
    assert!(got[head_length..] == body);
}

#[tokio::test]
async fn bad_requests_and_too_large_heads_are_told_so() {
    let house = house(vec![settings()]).await;
    for (request, code) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET /who HTTP/1.1 x\r\n\r\n".to_owned(), "400"),
        (format!("GET /who HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(40_000)), "431"),
    ] {
        let mut socket = house.connect().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{code}: {answer}");
    }
    let mut socket = house.connect().await;
    socket.write_all(b"HEAD /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");

    let (mut send, _) = h2(house.connect().await).await;
    let request = Request::get("http://a.example/who").header("x", "y".repeat(40_000)).body(()).unwrap();
    let answer = send.send_request(request, true).unwrap().0.await;
    assert!(answer.is_ok_and(|answer| answer.status() == 431));
}

#[tokio::test]
async fn tls_agrees_on_http2_and_http1_and_gives_both_to_those_that_ask_for_none() {
    let authority = Authority::new();
    let house = house(vec![authority.door()]).await;
    let socket = authority.shake(&house, "a.example", &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, _) = h2(socket).await;
    let answer = call(&mut send, "/who").await.unwrap();
    assert!(answer.starts_with("HTTP/2.0") && answer.ends_with("tls=true sni=a.example certificate=false"), "{answer}");

    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let mut socket = authority.shake(&house, "a.example", alpn).await.unwrap();
        assert!(get(&mut socket, "/who").await.contains("HTTP/1.1 tables"));
    }
    let (mut send, _) = h2(authority.shake(&house, "a.example", &[]).await.unwrap()).await;
    assert!(call(&mut send, "/who").await.unwrap().starts_with("HTTP/2.0"));

    let mut socket = authority.shake(&house, "a.example", &[b"h2"]).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut socket).await, "", "HTTP/1.1 after agreeing on h2 is closed");
}

#[tokio::test]
async fn a_certificate_is_chosen_by_name() {
    let authority = Authority::new();
    let mut door = authority.door();
    door.tls.as_mut().unwrap().sni = vec![
        (vec!["*.b.example".into()], authority.identity("wild", &["*.b.example"])),
        (vec!["x.b.example".into()], authority.identity("exact", &["x.b.example"])),
    ];
    let house = house(vec![door]).await;
    for (name, file) in [("a.example", "default.pem"), ("x.b.example", "exact.pem"), ("y.b.example", "wild.pem")] {
        let socket = authority.shake(&house, name, &[b"h2"]).await.unwrap();
        let shown = socket.get_ref().1.peer_certificates().unwrap()[0].clone();
        assert_eq!(shown, CertificateDer::from_pem_file(authority.file(file)).unwrap(), "{name}");
    }
    assert!(authority.shake(&house, "c.example", &[b"h2"]).await.is_err(), "the default is for another name");
}

#[tokio::test]
async fn a_client_certificate_is_required_when_an_authority_for_it_is_given() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut door = authority.door();
    door.tls.as_mut().unwrap().client_ca = Some(authority.file("ca.pem"));
    let house = house(vec![door]).await;
    let name = || ServerName::try_from("a.example").unwrap();

    let own = Some(authority.identity("client", &["client"]));
    let socket = authority.connector(&[b"http/1.1"], own).connect(name(), house.connect().await).await;
    assert!(get(&mut socket.unwrap(), "/who").await.ends_with("certificate=true"));
    for identity in [None, Some(stranger.identity("client", &["client"]))] {
        let socket = authority.connector(&[b"http/1.1"], identity).connect(name(), house.connect().await).await;
        // in TLS 1.3 the client learns of the refusal after its own part of the handshake
        if let Ok(mut socket) = socket {
            let _ = socket.write_all(b"GET /who HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(rest(&mut socket).await, "");
        }
    }
    until("both are counted", || house.meters.connections_refused.get() == 2).await;
}

#[tokio::test]
async fn clear_text_on_a_tls_port_is_told_so_and_tls_on_a_clear_text_port_is_closed() {
    let authority = Authority::new();
    let also = Settings { plaintext_also: true, ..authority.door() };
    let house = house(vec![authority.door(), settings(), also]).await;
    let addresses = house.running.addresses().to_vec();
    for request in ["GET /who HTTP/1.1\r\nhost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut socket = TcpStream::connect(addresses[0]).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = response(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("use https:// or h2s\n"), "{answer}");
    }
    let mut socket = TcpStream::connect(addresses[1]).await.unwrap();
    socket.write_all(&[0x16, 3, 1, 0, 5]).await.unwrap();
    assert_eq!(rest(&mut socket).await, "");
    let mut socket = TcpStream::connect(addresses[2]).await.unwrap();
    assert!(get(&mut socket, "/who").await.contains("tls=false"));
    let socket = TcpStream::connect(addresses[2]).await.unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let mut socket = authority.connector(&[b"http/1.1"], None).connect(name, socket).await.unwrap();
    assert!(get(&mut socket, "/who").await.contains("tls=true"));
}

// === time ===

#[tokio::test]
async fn one_deadline_covers_all_that_comes_before_the_first_request() {
    let authority = Authority::new();
    let soon = Duration::from_millis(300);
    let clear = Settings { greeting_timeout: soon, ..settings() };
    let secure = Settings { greeting_timeout: soon, ..authority.door() };
    let house = house(vec![clear, secure]).await;
    let addresses = house.running.addresses().to_vec();
    let started = Instant::now();
    for (at, said) in [(0, &b""[..]), (0, b"PRI * HTT"), (1, b""), (1, &[0x16, 3]), (1, &[0x16, 3, 1, 2, 0])] {
        let mut socket = TcpStream::connect(addresses[at]).await.unwrap();
        socket.write_all(said).await.unwrap();
        assert_eq!(rest(&mut socket).await, "", "{said:?}");
    }
    // shakes hands, and is silent then
    let socket = TcpStream::connect(addresses[1]).await.unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let mut socket = authority.connector(&[b"h2"], None).connect(name, socket).await.unwrap();
    assert_eq!(rest(&mut socket).await, "");
    assert!(started.elapsed() < soon * 12, "{:?}", started.elapsed());
    // the last is counted once its end is through, which its caller may see first
    until("all are counted", || house.meters.connections_refused.get() == 6).await;
}

#[tokio::test]
async fn a_slow_head_is_cut_and_a_slow_body_is_not() {
    let house = house(vec![Settings { header_timeout: Duration::from_millis(200), ..settings() }]).await;
    let mut socket = house.connect().await;
    assert!(get(&mut socket, "/who").await.contains("200 OK"));
    sleep(Duration::from_millis(600)).await;
    assert!(get(&mut socket, "/who").await.contains("200 OK"), "a kept connection may be silent for longer");
    let mut slow = house.connect().await;
    slow.write_all(b"GET /who HTTP/1.1\r\nx-slow").await.unwrap();
    socket.write_all(b"GET /who HTTP/1.1\r\nx-slow").await.unwrap();
    assert_eq!(rest(&mut slow).await, "");
    assert_eq!(rest(&mut socket).await, "");

    let mut socket = house.connect().await;
    socket.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
    sleep(Duration::from_millis(600)).await;
    socket.write_all(b"cd").await.unwrap();
    assert!(response(&mut socket).await.ends_with("abcd"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_call_is_not() {
    let house = house(vec![Settings { idle_timeout: Duration::from_millis(300), ..settings() }]).await;
    let mut idle = house.connect().await;
    assert!(get(&mut idle, "/who").await.contains("200 OK"));
    let (mut idle2, over) = h2(house.connect().await).await;
    assert!(call(&mut idle2, "/who").await.is_ok());
    let (mut busy2, over2) = h2(house.connect().await).await;
    let mut busy = house.connect().await;
    let (two, one, ()) = tokio::join!(call(&mut busy2, "/slow"), get(&mut busy, "/slow"), async {
        house.until_waiting(2).await;
        assert_eq!(rest(&mut idle).await, "");
        assert!(timeout(Duration::from_secs(5), over).await.unwrap().unwrap().is_ok(), "by GOAWAY");
        house.gate.add_permits(2);
    });
    assert!(two.unwrap() == "slow and done" && one.ends_with("slow and done"));
    assert_eq!(rest(&mut busy).await, "", "idle in its turn");
    assert!(timeout(Duration::from_secs(5), over2).await.unwrap().unwrap().is_ok());
    until("none is left", || house.meters.connections_active.get() == 0).await;
}

#[tokio::test]
async fn an_old_connection_takes_no_more_calls_and_finishes_those_it_has() {
    let house = house(vec![Settings { max_age: Duration::from_millis(300), ..settings() }]).await;
    let (mut send, over) = h2(house.connect().await).await;
    let mut late = send.clone();
    let (slow, ()) = tokio::join!(call(&mut send, "/slow"), async {
        house.until_waiting(1).await;
        sleep(Duration::from_millis(800)).await;
        assert!(!over.is_finished());
        assert!(call(&mut late, "/who").await.is_err(), "no new call after GOAWAY");
        house.gate.add_permits(1);
    });
    assert_eq!(slow.unwrap(), "slow and done");
    assert!(timeout(Duration::from_secs(5), over).await.unwrap().unwrap().is_ok());
}

// === ends ===

#[tokio::test]
async fn a_drain_closes_the_door_and_lets_calls_in_flight_finish() {
    let house = house(vec![settings()]).await;
    assert!(house.admin("/readyz").await.contains("200 OK"));
    let (mut idle, mut silent) = (house.connect().await, house.connect().await);
    assert!(get(&mut idle, "/who").await.contains("200 OK"));
    let (mut send, over) = h2(house.connect().await).await;
    let mut busy = house.connect().await;
    let calls = tokio::spawn(async move { tokio::join!(call(&mut send, "/slow"), get(&mut busy, "/slow")) });
    house.until_waiting(2).await;

    let (address, admin) = (house.running.addresses()[0], house.running.admin_address().unwrap());
    let down = tokio::spawn(house.running.shutdown());
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    assert!(TcpStream::connect(address).await.is_err(), "refused");
    let answer = get(&mut TcpStream::connect(admin).await.unwrap(), "/readyz").await;
    assert!(answer.contains("503") && answer.ends_with("draining\n"), "{answer}");
    assert!(!down.is_finished());
    house.gate.add_permits(2);
    let (two, one) = calls.await.unwrap();
    assert!(two.unwrap() == "slow and done" && one.ends_with("slow and done"));
    let cut = timeout(Duration::from_secs(1), down).await.expect("over at once when the last call ends");
    assert_eq!(cut.unwrap(), 0);
    assert!(over.await.unwrap().is_ok(), "by GOAWAY");
}

#[tokio::test]
async fn what_has_not_finished_at_the_drain_timeout_is_cut() {
    let house = house(vec![settings()]).await;
    let (mut send, _) = h2(house.connect().await).await;
    let call = tokio::spawn(async move { call(&mut send, "/slow").await });
    house.until_waiting(1).await;
    let started = Instant::now();
    assert_eq!(house.running.shutdown().await, 1);
    assert!(started.elapsed() >= Duration::from_secs(2) && started.elapsed() < Duration::from_secs(3));
    assert!(call.await.unwrap().is_err());
    assert_eq!(house.meters.connections_active.get(), 0);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_call_along() {
    let house = house(vec![settings()]).await;
    for _ in 0..20 {
        let mut socket = house.connect().await;
        socket.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let (mut send, over) = h2(house.connect().await).await;
        let request = Request::get("http://a.example/slow").body(()).unwrap();
        let answer = send.send_request(request, true).unwrap();
        sleep(Duration::from_millis(2)).await;
        drop(answer);
        over.abort();
    }
    assert!(house.waiting.load(Ordering::SeqCst) > 0);
    until("all are gone", || house.meters.connections_active.get() == 0).await;
}

// === limits, placement, reload, pages ===

#[tokio::test]
async fn a_caller_over_the_limit_is_closed_and_a_free_slot_is_used_again() {
    let house = house(vec![Settings { max_connections: 2, ..settings() }]).await;
    let (mut one, mut two) = (house.connect().await, house.connect().await);
    assert!(get(&mut one, "/who").await.contains("200") && get(&mut two, "/who").await.contains("200"));
    assert_eq!(rest(&mut house.connect().await).await, "");
    assert_eq!(house.meters.connections_refused.get(), 1);
    drop(one);
    until("a slot is free", || house.meters.connections_active.get() == 1).await;
    assert!(get(&mut house.connect().await, "/who").await.contains("200 OK"));
}

#[tokio::test]
async fn connections_go_to_the_worker_with_the_least_to_do() {
    let house = build(vec![settings(), settings()], 3, Vec::new()).await;
    let mut sockets = Vec::new();
    let mut placed = BTreeMap::<String, usize>::new();
    for n in 0..12 {
        let mut socket = TcpStream::connect(house.running.addresses()[n % 2]).await.unwrap();
        let answer = get(&mut socket, "/who").await;
        let worker = answer.split("worker=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        *placed.entry(worker).or_default() += 1;
        sockets.push(socket);
    }
    // a call that is just ending may tip one placement
    assert!(placed.len() == 3 && placed.values().all(|count| (3..=5).contains(count)), "{placed:?}");
}

#[tokio::test]
async fn a_reload_swaps_whole_and_a_broken_one_keeps_the_old() {
    let authority = Authority::new();
    let house = house(vec![authority.door()]).await;
    let who = || async {
        let mut socket = authority.shake(&house, "a.example", &[b"http/1.1"]).await.unwrap();
        get(&mut socket, "/who").await
    };
    assert!(who().await.contains("tables=one"));
    *house.load.lock().unwrap() = Ok("two".into());
    assert_eq!(house.running.reload().await.unwrap(), 2);
    assert!(who().await.contains("tables=two"));

    *house.load.lock().unwrap() = Err("a mistake".into());
    assert_eq!(house.running.reload().await.unwrap_err()[0].text, "a mistake");
    *house.load.lock().unwrap() = Ok("three".into());
    let certificate = authority.file("default.pem");
    let sound = fs::read(&certificate).unwrap();
    fs::write(&certificate, "no certificate").unwrap();
    let mistakes = house.running.reload().await.unwrap_err();
    assert!(mistakes[0].to_string().ends_with("default.pem: no PEM certificate in it"), "{}", mistakes[0]);
    assert!(who().await.contains("tables=two"), "neither the tables nor the certificate were taken");
    assert_eq!((house.meters.reloads.get(), house.meters.reload_failures.get()), (1, 2));

    fs::write(&certificate, sound).unwrap();
    until("the sound file is noticed", || house.meters.reloads.get() == 2).await;
    assert!(who().await.contains("tables=three"));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let authority = Authority::new();
    let house = house(vec![authority.door()]).await;
    let mut old = authority.shake(&house, "a.example", &[b"http/1.1"]).await.unwrap();
    let before = old.get_ref().1.peer_certificates().unwrap()[0].clone();
    authority.identity("default", &["a.example"]);
    until("it is noticed", || house.meters.reloads.get() > 0).await;
    let new = authority.shake(&house, "a.example", &[b"http/1.1"]).await.unwrap();
    assert_ne!(before, new.get_ref().1.peer_certificates().unwrap()[0]);
    assert!(get(&mut old, "/who").await.contains("200 OK"), "open connections stay");
}

#[tokio::test]
async fn a_burst_of_changes_to_a_watched_file_reloads_once() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("transom.yaml");
    fs::write(&file, "one").unwrap();
    let house = build(vec![settings()], 1, vec![file.clone()]).await;
    sleep(Duration::from_millis(100)).await;
    *house.load.lock().unwrap() = Ok("two".into());
    for n in 0..5 {
        fs::write(dir.path().join("new"), format!("two{n}")).unwrap();
        fs::rename(dir.path().join("new"), &file).unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    until("it is noticed", || house.meters.reloads.get() == 1).await;
    assert!(get(&mut house.connect().await, "/who").await.contains("tables=two"));
    fs::write(dir.path().join("neighbour"), "").unwrap();
    sleep(Duration::from_millis(600)).await;
    assert_eq!(house.meters.reloads.get(), 1, "a neighbour is none of ours");
}

#[tokio::test]
async fn the_operators_pages_answer() {
    let house = house(vec![settings()]).await;
    let (mut send, _) = h2(house.connect().await).await;
    call(&mut send, "/who").await.unwrap();
    assert!(house.admin("/healthz").await.ends_with("\r\n\r\nok\n"));
    let page = house.admin("/metrics").await;
    assert!(page.contains("content-type: application/openmetrics-text"), "{page}");
    assert!(page.contains("\ntransom_connections_active 1\n") && page.contains("\ntransom_generation 1\n"), "{page}");
    assert!(house.admin("/nothing").await.contains("404"));
}

#[tokio::test]
async fn a_start_with_mistakes_tells_all_of_them() {
    let authority = Authority::new();
    let door = authority.door();
    fs::remove_file(authority.file("default.key")).unwrap();
    let what = Start {
        listeners: vec![door],
        admin: None,
        workers: 1,
        drain_timeout: Duration::ZERO,
        meters: Meters::new(false),
    };
    let load: Load<String> = Box::new(|| Err(vec![Mistake::new("a mistake")]));
    let started = start(what, load, |spot| {
        Arc::new(Stand { tables: spot.tables, gate: Arc::new(Semaphore::new(0)), waiting: Arc::default() })
    });
    let text = started.await.err().unwrap().to_string();
    assert!(text.contains("default.key: cannot read it") && text.ends_with("\na mistake"), "{text}");
}
