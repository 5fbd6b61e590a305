//! Every example under `catalogs/` runs: the real program serves it before the demo's upstream, and answers a call.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use transom::demo::upstream::{Running, Upstream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running `transom serve`; killed when it is dropped.
struct Edge {
    process: Child,
    addresses: Vec<SocketAddr>,
}

impl Edge {
    /// Serves an example on free ports, one per listener of the file.
    fn serve(example: &str, listeners: usize, environment: &[(&str, String)]) -> Edge {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogs").join(example);
        Edge::start(&[file.to_str().unwrap()], listeners, environment)
    }

    fn start(arguments: &[&str], listeners: usize, environment: &[(&str, String)]) -> Edge {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transom"));
        command.arg("serve").args(arguments).args(["--admin", "127.0.0.1:0", "--workers", "1"]);
        for _ in 0..listeners {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let (mut addresses, mut told) = (Vec::new(), String::new());
        while addresses.len() < listeners {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it listened:\n{told}");
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                addresses.push(address.parse().unwrap());
            }
            told.push_str(&line);
        }
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));
        Edge { process, addresses }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn upstream() -> (Running, String) {
    let running = Upstream::start(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("h2c://{}", running.address());
    (running, url)
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// One request over HTTP/1.1; the whole answer as text.
fn exchange(mut socket: impl Read + Write, request: &str) -> String {
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // an abrupt end of TLS is the callers' business here
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
}

fn answers(answer: &str, code: u16, part: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(part), "{answer}");
}

#[test]
fn minimal() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("minimal.yaml", 1, &[("UPSTREAM", url)]);
    let answer = exchange(connect(edge.addresses[0]), &get("/v1/greeter/joe", "a"));
    answers(&answer, 200, r#"{"message":"Hello joe"}"#);
    upstream.shutdown();
}

#[test]
fn demo() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("demo.yaml", 1, &[("DEMO_UPSTREAM", url)]);
    let answer = exchange(connect(edge.addresses[0]), &get("/v1/shelves/1/books/404", "a"));
    answers(&answer, 404, "BOOK_NOT_FOUND");
    upstream.shutdown();
}

#[test]
fn discovery() {
    let (upstream, url) = upstream();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("endpoints.yaml");
    std::fs::write(&file, format!("endpoints: [{url}]\n")).unwrap();
    let edge = Edge::serve("discovery.yaml", 1, &[("ENDPOINTS", file.display().to_string())]);
    let answer = exchange(connect(edge.addresses[0]), &get("/v1/shelves/1/books/1", "a"));
    answers(&answer, 200, "Moby-Dick");
    upstream.shutdown();
}

#[test]
fn rest_rules() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("rest-rules.yaml", 1, &[("UPSTREAM", url)]);
    let ask = |request: &str| exchange(connect(edge.addresses[0]), request);
    answers(&ask(&get("/hello/joe", "a")), 200, "\"Hello joe\"");
    answers(&ask(&get("/v1/greeter/joe", "a")), 404, "NO_ROUTE");
    answers(&ask(&get("/v2/shelves/1/books/1", "books.example")), 200, "shelves/1/books/1");
    answers(&ask(&get("/v2/shelves/1/books/1", "other.example")), 404, "NO_ROUTE");
    upstream.shutdown();
}

#[test]
fn rest_answers() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("rest-answers.yaml", 1, &[("UPSTREAM", url)]);
    let ask = |request: &str| exchange(connect(edge.addresses[0]), request);
    let post =
        "POST /v1/shelves HTTP/1.1\r\nhost: a\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"theme\":\"Maps\"}";
    answers(&ask(post), 201, "location: /v1/shelves/");
    answers(&ask(&get("/v1/shelves/1/books/1?fields=title", "a")), 200, "\r\n\r\n{\"title\":\"Moby-Dick\"}");
    answers(&ask(&get("/v1/shelves/1/books/1", "a")), 200, "cache-control: private, max-age=10");
    let known = get("/v1/shelves/1/books/1", "a").replace("\r\n\r\n", "\r\nif-none-match: *\r\n\r\n");
    answers(&ask(&known), 304, "etag: ");
    answers(&ask(&get("/v1/shelves/1/books/404", "a")), 410, "BOOK_NOT_FOUND");
    let events =
        get("/v1/shelves/1/books:watch?count=1", "a").replace("\r\n\r\n", "\r\naccept: text/event-stream\r\n\r\n");
    let again = events.replace("\r\n\r\n", "\r\nlast-event-id: 4\r\n\r\n");
    answers(&ask(&events), 200, "event: LENT\nid: 1\ndata: {");
    answers(&ask(&again), 200, "event: RETURNED\nid: 5\ndata: {");
    upstream.shutdown();
}

#[test]
fn production() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("production.yaml", 1, &[("UPSTREAM", url)]);
    // the second endpoint of the example is down: calls go to the first one
    for _ in 0..4 {
        let request = "GET /v1/shelves/1/books/1?utm_source=x HTTP/1.1\r\nhost: a\r\norigin: https://app.example\r\n\
                       connection: close\r\n\r\n";
        let answer = exchange(connect(edge.addresses[0]), request);
        answers(&answer, 200, "access-control-allow-origin: https://app.example");
    }
    upstream.shutdown();
}

#[test]
fn clusters() {
    let ((upstream, url), (canary, other)) = (upstream(), upstream());
    let edge = Edge::serve("clusters.yaml", 1, &[("UPSTREAM", url), ("CANARY", other)]);
    // two of four endpoints of the example are down
    for _ in 0..20 {
        answers(&exchange(connect(edge.addresses[0]), &get("/v1/shelves/1/books/1", "a")), 200, "Moby-Dick");
    }
    let request = get("/v1/greeter/joe", "a").replace("\r\n\r\n", "\r\ncookie: sid=7\r\n\r\n");
    answers(&exchange(connect(edge.addresses[0]), &request), 200, "Hello joe");
    upstream.shutdown();
    canary.shutdown();
}

#[test]
fn retries() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("retries.yaml", 1, &[("UPSTREAM", url)]);
    let ask = |request: &str| exchange(connect(edge.addresses[0]), request);
    answers(&ask(&get("/v1/shelves/1/books/1", "a")), 200, "Moby-Dick");
    let post =
        "POST /v1/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"message\":\"hi\"}";
    answers(&ask(post), 200, "hi");
    upstream.shutdown();
}

#[test]
fn validate() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("validate.yaml", 1, &[("UPSTREAM", url)]);
    let ask = |request: &str| exchange(connect(edge.addresses[0]), request);
    answers(&ask(&get("/v1/greeter/joe", "a")), 200, r#"{"message":"Hello joe"}"#);
    let refused = ask(&get("/v1/greeter/%3C", "a"));
    answers(&refused, 400, r#""ruleId":"string.min_len""#);
    answers(&refused, 400, r#""ruleId":"string.not_contains""#);
    // its greeting breaks the upstream's rule, which is only told
    answers(&ask(&get("/v1/greeter/a-name-of-twenty-one", "a")), 200, "Hello a-name-of-twenty-one");
    upstream.shutdown();
}

#[test]
fn reflection() {
    let (upstream, url) = upstream();
    let edge = Edge::serve("reflection.yaml", 1, &[("UPSTREAM", url)]);
    let ask = |path: &str| exchange(connect(edge.addresses[0]), &get(path, "a"));
    answers(&ask("/v1/greeter/joe"), 200, r#"{"message":"Hello joe"}"#);
    answers(&ask("/v1/shelves/1"), 200, "shelves/1");
    answers(&ask("/shelves/shelves/1"), 200, "shelves/1");
    answers(&ask("/v1/echo?message=hi"), 404, "NO_ROUTE");
    upstream.shutdown();
}

#[test]
fn routes() {
    let (books, url) = upstream();
    let (europe, url_eu) = upstream();
    let (next, url_next) = upstream();
    let urls = [("UPSTREAM", url), ("UPSTREAM_EU", url_eu), ("UPSTREAM_NEXT", url_next)];
    let edge = Edge::serve("routes.yaml", 1, &urls);
    let ask = |request: &str| exchange(connect(edge.addresses[0]), request);
    let calls = |upstream: &Running| upstream.counts().calls.load(std::sync::atomic::Ordering::Relaxed);
    let create = |theme: &str| {
        let body = format!("{{\"theme\":\"{theme}\"}}");
        let head = "POST /v1/shelves HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    };
    answers(&ask(&create("Maps")), 200, "\"Maps\"");
    assert_eq!((calls(&books), calls(&europe), calls(&next)), (0, 1, 0));
    let with = |header: &str| get("/v1/shelves/1", "a").replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    answers(&ask(&with("x-canary: yes")), 200, "shelves/1");
    assert_eq!((calls(&books), calls(&europe), calls(&next)), (0, 1, 1));
    answers(&ask(&with("x-test-fault: 1")), 503, "this is a test");
    answers(&ask(&create("Poetry")), 200, "\"Poetry\"");
    assert_eq!(calls(&europe), 1);
    for upstream in [books, europe, next] {
        upstream.shutdown();
    }
}

#[test]
fn tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned(), "books.example".to_owned()]).unwrap();
    for name in ["server", "client"] {
        std::fs::write(dir.path().join(format!("{name}.pem")), certificate.cert.pem()).unwrap();
        std::fs::write(dir.path().join(format!("{name}.key")), certificate.signing_key.serialize_pem()).unwrap();
    }
    std::fs::write(dir.path().join("ca.pem"), certificate.cert.pem()).unwrap();
    let (upstream, url) = upstream();

    // an edge with a certificate stands for the upstream over TLS
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let (pem, key) = (dir.path().join("server.pem"), dir.path().join("server.key"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (protos, pem, key) = (path(&protos), path(&pem), path(&key));
    let behind = Edge::start(
        &[
            "--upstream",
            &url,
            "--proto-path",
            &protos,
            "--proto",
            "bookstore.proto",
            "--tls-cert",
            &pem,
            "--tls-key",
            &key,
        ],
        1,
        &[],
    );
    let url = format!("h2s://localhost:{}", behind.addresses[0].port());
    let edge = Edge::serve("tls.yaml", 3, &[("UPSTREAM", url), ("TLS_DIR", path(dir.path()))]);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let over_tls = |address| {
        let name = "localhost".try_into().unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        exchange(rustls::StreamOwned::new(session, connect(address)), &get("/v1/shelves/1", "localhost"))
    };
    answers(&over_tls(edge.addresses[0]), 200, "shelves/1");
    assert_eq!(over_tls(edge.addresses[1]), "", "a caller without a certificate gets nothing");
    answers(&over_tls(edge.addresses[2]), 200, "shelves/1");
    answers(&exchange(connect(edge.addresses[2]), &get("/v1/shelves/1", "localhost")), 200, "shelves/1");
    upstream.shutdown();
}
