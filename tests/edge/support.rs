//! An edge with the demo's upstream behind it, and one bare client per transport. The clients share no code with the
//! edge: what they read is what goes over the wire.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use transom::config::{self, Flags, Origin, Purpose};
use transom::demo::upstream::Upstream;
use transom::observe::Meters;
use transom::policy::cors::Cors;
use transom::proxy::{Handler, Tables};
use transom::server::{self, Loaded, Spot, Start};
use transom::upstream::{Clusters, Pool};

#[path = "../support/port.rs"]
pub mod port;

use port::Port;

/// No step of a test takes longer; a test that waits for ever fails here.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running edge, and what is behind it.
pub struct Edge {
    pub clear: SocketAddr,
    pub tls: SocketAddr,
    pub admin: SocketAddr,
    pub running: server::Running,
    pub upstream: Option<transom::demo::upstream::Running>,
    pub certificate: CertificateDer<'static>,
    /// Holds the configuration; gone with the edge.
    pub folder: TempDir,
}

/// A request as a client sends it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
    /// The stream was reset, or the connection ended within the body.
    pub cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Http1,
    Http2,
    Http1Tls,
    Http2Tls,
}

/// Reads and writes, whatever is below.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// The folder of the demo's `.proto` files.
pub fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("protos")
}

/// The edge that most tests share, on a runtime of its own that outlives theirs. Its limits are small: 64 KiB a
/// message, each way.
pub fn shared() -> &'static Edge {
    static SHARED: OnceLock<Edge> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                sender.send(Edge::start("").await).expect("a test that waits");
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("an edge")
    })
}

// === impl Edge ===

impl Edge {
    /// An edge before a demo upstream of its own; `more` is added to its configuration.
    pub async fn start(more: &str) -> Edge {
        let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
        let mut edge = Edge::before(&format!("h2c://{}", upstream.address()), more).await;
        edge.upstream = Some(upstream);
        edge
    }

    /// An edge before this upstream.
    pub async fn before(upstream: &str, more: &str) -> Edge {
        Edge::with(upstream, &protos(), more).await
    }

    /// An edge before this upstream, with the `.proto` files of this folder.
    pub async fn with(upstream: &str, protos: &Path, more: &str) -> Edge {
        Edge::by(&configuration(upstream, protos, more)).await
    }

    /// An edge by this whole configuration.
    pub async fn by(configuration: &str) -> Edge {
        Edge::by_workers(configuration, || {}).await
    }

    /// An edge by this whole configuration, of which each worker first does this on its thread.
    pub async fn by_workers(configuration: &str, first: impl Fn() + Send + Sync + 'static) -> Edge {
        let folder = TempDir::new().expect("a folder");
        let certificate = write_files(folder.path(), configuration);
        let origin =
            Origin { file: Some(folder.path().join("edge.yaml")), flags: Flags::default(), purpose: Purpose::Serve };
        let running = start(origin, first).await;
        let (clear, tls) = (running.addresses()[0], running.addresses()[1]);
        let admin = running.admin_address().expect("an admin address");
        Edge { clear, tls, admin, running, upstream: None, certificate, folder }
    }

    /// One request, one answer, over a connection of its own.
    pub async fn ask(&self, transport: Transport, ask: &Ask) -> Answer {
        let whole = async {
            match transport {
                Transport::Http1 => http1(Box::new(tcp(self.clear).await), ask).await,
                Transport::Http2 => http2(Box::new(tcp(self.clear).await), ask).await,
                Transport::Http1Tls => http1(self.tls_socket(b"http/1.1").await, ask).await,
                Transport::Http2Tls => http2(self.tls_socket(b"h2").await, ask).await,
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.unwrap_or_else(|_| panic!("no answer in time to {ask:?}"))
    }

    pub async fn tls_socket(&self, protocol: &[u8]) -> Box<dyn Wire> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, tcp(self.tls).await).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        Box::new(stream)
    }

    /// An HTTP/2 client on a connection of its own.
    pub async fn h2(&self) -> SendRequest<Bytes> {
        handshake(Box::new(tcp(self.clear).await)).await
    }

    /// The sample of `/metrics` of this name.
    pub async fn metric(&self, name: &str) -> i64 {
        metric(self.admin, name).await
    }
}

/// Writes the configuration and a certificate for `localhost`.
fn write_files(folder: &Path, configuration: &str) -> CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("cert.pem", &pair.cert.pem());
    write("key.pem", &pair.signing_key.serialize_pem());
    write("edge.yaml", configuration);
    pair.cert.der().clone()
}

/// `transom serve` as a process of its own; killed when it falls.
pub struct Process {
    pub child: std::process::Child,
    pub clear: SocketAddr,
    pub admin: SocketAddr,
    folder: TempDir,
    /// The port of `admin`, which the process binds beside it.
    _port: Port,
}

// === impl Process ===

impl Process {
    /// Before this upstream; `more` is added to its configuration.
    pub fn start(upstream: SocketAddr, more: &str) -> Process {
        Process::by(&configuration(&format!("h2c://{upstream}"), &protos(), more))
    }

    /// By this whole configuration.
    pub fn by(text: &str) -> Process {
        // an example is built without it, and names its program
        let program: Option<&str> = option_env!("CARGO_BIN_EXE_transom");
        Process::of(Path::new(program.expect("a test of the package")), text)
    }

    /// For examples: the program that was built in the same profile, if it was.
    pub fn beside() -> Option<PathBuf> {
        let program = std::env::current_exe().ok()?.parent()?.parent()?.join("transom");
        program.exists().then_some(program)
    }

    /// Of this program.
    pub fn of(program: &Path, text: &str) -> Process {
        Process::run(std::process::Command::new(program), text)
    }

    /// Of a command that ends where the program's own arguments begin.
    pub fn run(mut command: std::process::Command, text: &str) -> Process {
        let folder = TempDir::new().expect("a folder");
        let port = Port::take();
        let admin = port.address;
        write_files(folder.path(), &at_admin(text, admin));
        let mut child = command
            .arg("serve")
            .arg(folder.path().join("edge.yaml"))
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the edge");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let listening = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("listening on ").nth(1)?.trim().parse().ok());
        // what it says later is read, so that it never waits for a reader
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Process { child, clear: listening.expect("an address"), admin, folder, _port: port }
    }

    /// Another configuration, for the next reload.
    pub fn configure(&self, text: &str) {
        let path = self.folder.path().join("edge.yaml");
        // a reload never sees half of it
        std::fs::write(path.with_extension("new"), at_admin(text, self.admin)).expect("a file");
        std::fs::rename(path.with_extension("new"), path).expect("a file");
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// A page of the operator's door.
    pub async fn page(&self, path: &str) -> Answer {
        http1(Box::new(tcp(self.admin).await), &Ask::get(path)).await
    }

    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration with this address for the operator's door.
fn at_admin(text: &str, admin: SocketAddr) -> String {
    text.replace("admin: {address: \"127.0.0.1:0\"}", &format!("admin: {{address: \"{admin}\"}}"))
}

async fn start(origin: Origin, first: impl Fn() + Send + Sync + 'static) -> server::Running {
    let settled = origin.load().unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let begin = Start {
        listeners: settled.listeners.clone(),
        admin: settled.admin,
        workers: settled.workers.unwrap_or(2),
        drain_timeout: Duration::from_secs(5),
        meters: Meters::new(false),
    };
    let known = Arc::new(Clusters::default());
    begin.meters.ask_of_upstreams(Arc::<Clusters>::clone(&known));
    let meters = Arc::clone(&begin.meters);
    let load = Box::new(move || {
        let settled = origin.load()?;
        let complete = config::complete(&settled.catalogs)?;
        let cors = settled.cors.as_ref().and_then(Cors::new);
        let tables = Tables::new(complete.catalogs, complete.table, &settled.clusters, &known, cors, None)?;
        let tables = tables.with_routes(&settled.routes, &settled.clusters, &known, &meters)?;
        let mut watch = settled.files;
        watch.extend(complete.watched);
        Ok(Loaded::new(tables, watch))
    });
    let build = move |spot: Spot<Tables>| {
        first();
        let pool = Pool::of_worker(Arc::clone(&spot.meters), spot.worker, spot.workers);
        Arc::new(Handler::new(spot.tables, pool, spot.meters))
    };
    server::start(begin, load, build).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What the edges of the tests run by.
pub fn configuration(upstream: &str, protos: &Path, more: &str) -> String {
    format!(
        "listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    tls: {{certificate: cert.pem, key: key.pem}}
admin: {{address: \"127.0.0.1:0\"}}
clusters:
  demo:
    endpoints: {upstream}
catalogs:
  - name: demo
    proto_paths: [{}]
    protos: [helloworld.proto, echo.proto, route_guide.proto, bookstore.proto, files.proto]
    cluster: demo
    rules:
      - selector: grpc.examples.echo.Echo.ClientStreamingEcho
        post: /v1/echo:join
        body: \"*\"
        additional_bindings:
          - {{post: \"/v1/echo/{{message}}:join\", body: \"*\"}}
          - {{get: \"/v1/echo/{{message}}:alone\"}}
{}
",
        protos.display(),
        if more.is_empty() { SMALL_LIMITS } else { more }
    )
}

const SMALL_LIMITS: &str = "settings:
  - match: \"*\"
    max_request_message: 64KiB
    max_response_message: 64KiB
cors:
  origins: [\"https://app.example\"]
";

// === impl Ask ===

impl Ask {
    pub fn new(method: &'static str, path: impl Into<String>) -> Ask {
        Ask { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(path: impl Into<String>) -> Ask {
        Ask::new("GET", path)
    }

    pub fn post(path: impl Into<String>, content_type: &str, body: impl Into<Vec<u8>>) -> Ask {
        Ask { body: body.into(), ..Ask::new("POST", path).header("content-type", content_type) }
    }

    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn headers(mut self, more: &[(&str, &str)]) -> Ask {
        for (name, value) in more {
            self = self.header(name, value);
        }
        self
    }

    /// The head of an HTTP/1.1 request.
    pub fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: edge\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }
}

// === impl Answer ===

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap_or_else(|_| panic!("not text: {:?}", self.body))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

// === impl Transport ===

impl Transport {
    pub fn is_h2(self) -> bool {
        matches!(self, Transport::Http2 | Transport::Http2Tls)
    }
}

pub async fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).await.expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    socket
}

pub async fn handshake(wire: Box<dyn Wire>) -> SendRequest<Bytes> {
    let mut http2 = h2::client::Builder::new();
    http2.initial_window_size(1 << 20).initial_connection_window_size(1 << 22);
    let (client, connection) = http2.handshake(wire).await.expect("HTTP/2");
    tokio::spawn(connection);
    client.ready().await.expect("a stream")
}

pub fn h2_request(ask: &Ask) -> Request<()> {
    let mut request = Request::builder().method(ask.method).uri(format!("http://edge{}", ask.path));
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    request.body(()).expect("a request")
}

async fn http2(wire: Box<dyn Wire>, ask: &Ask) -> Answer {
    let mut client = handshake(wire).await;
    let (response, mut body) = client.send_request(h2_request(ask), ask.body.is_empty()).expect("a stream");
    if !ask.body.is_empty() {
        // refused before it was sent whole: the answer tells
        let _ = send_all(&mut body, ask.body.clone().into(), true).await;
    }
    read_h2(response).await
}

/// Sends at the pace of the windows; `false` when the stream is gone.
pub async fn send_all(stream: &mut h2::SendStream<Bytes>, mut bytes: Bytes, last: bool) -> bool {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let granted = match stream.capacity() {
            0 => match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(granted)) => granted,
                _ => return false,
            },
            granted => granted,
        };
        let piece = bytes.split_to(granted.min(bytes.len()));
        let end = last && bytes.is_empty();
        if stream.send_data(piece, end).is_err() {
            return false;
        }
    }
    true
}

pub async fn read_h2(response: h2::client::ResponseFuture) -> Answer {
    let Ok(response) = response.await else { return Answer { cut: true, ..Answer::default() } };
    let (head, body) = response.into_parts();
    rest_of_h2(Answer { status: head.status.as_u16(), headers: head.headers, ..Answer::default() }, body).await
}

/// The head of an answer and the first bytes of its body, as soon as they are there; see [`rest_of_h2`].
pub async fn first_of_h2(response: h2::client::ResponseFuture) -> (Answer, h2::RecvStream) {
    let (head, mut body) = response.await.expect("an answer").into_parts();
    let chunk = body.data().await.expect("a body").expect("a chunk");
    let _ = body.flow_control().release_capacity(chunk.len());
    let first =
        Answer { status: head.status.as_u16(), headers: head.headers, body: chunk.to_vec(), ..Answer::default() };
    (first, body)
}

/// Reads on behind what is there of an answer.
pub async fn rest_of_h2(mut answer: Answer, mut body: h2::RecvStream) -> Answer {
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else {
            answer.cut = true;
            return answer;
        };
        let _ = body.flow_control().release_capacity(chunk.len());
        answer.body.extend_from_slice(&chunk);
    }
    match body.trailers().await {
        Ok(trailers) => answer.trailers = trailers.unwrap_or_default(),
        Err(_) => answer.cut = true,
    }
    answer
}

async fn http1(mut wire: Box<dyn Wire>, ask: &Ask) -> Answer {
    let mut out = ask.head().into_bytes();
    if !ask.body.is_empty() || ask.method != "GET" {
        write!(out, "content-length: {}\r\n", ask.body.len()).expect("memory");
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out.extend_from_slice(&ask.body);
    // refused before it was sent whole: the answer tells
    let _ = wire.write_all(&out).await;
    let _ = wire.flush().await;
    let mut raw = Vec::new();
    // a reset connection is one way to be cut
    let _ = wire.read_to_end(&mut raw).await;
    let mut answer = read_http1(&raw);
    if ask.method == "HEAD" {
        // it tells the length of what it does not have
        answer.cut = answer.status == 0 || !answer.body.is_empty();
    }
    answer
}

/// An answer from all bytes of a connection.
pub fn read_http1(raw: &[u8]) -> Answer {
    let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Answer { cut: true, ..Answer::default() };
    };
    let head = std::str::from_utf8(&raw[..end]).expect("a head of text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut answer = Answer { status: status.expect("a code"), ..Answer::default() };
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field");
        let name: HeaderName = name.parse().expect("a name");
        answer.headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let rest = &raw[end + 4..];
    if answer.status == 100 {
        return read_http1(rest);
    }
    if answer.header("transfer-encoding") == "chunked" {
        answer.cut = !dechunk(rest, &mut answer.body);
    } else {
        answer.body = rest.to_vec();
        let length = answer.header("content-length").parse().unwrap_or(0);
        answer.cut = rest.len() != length;
    }
    answer
}

/// Whether the last chunk is there.
fn dechunk(mut rest: &[u8], out: &mut Vec<u8>) -> bool {
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let text = std::str::from_utf8(&rest[..line]).expect("a size");
        let size = usize::from_str_radix(text, 16).expect("a size");
        rest = &rest[line + 2..];
        if size == 0 {
            return rest == b"\r\n";
        }
        if rest.len() < size + 2 {
            out.extend_from_slice(&rest[..size.min(rest.len())]);
            return false;
        }
        out.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
    false
}

/// A page of the operator's door.
pub async fn page(admin: SocketAddr, path: &str) -> String {
    http1(Box::new(tcp(admin).await), &Ask::get(path)).await.text()
}

/// The sample of `/metrics` of this name, without labels.
pub async fn metric(admin: SocketAddr, name: &str) -> i64 {
    let page = page(admin, "/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

/// Waits until it holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waited).await.is_ok(), "{what}");
}

/// An upstream without manners: `x-stub` of a request says how it misbehaves.
pub struct Stub {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

// === impl Stub ===

impl Stub {
    pub async fn start() -> Stub {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(async move {
                    let Ok(mut http2) = h2::server::handshake(socket).await else { return };
                    while let Some(Ok((request, respond))) = http2.accept().await {
                        tokio::spawn(misbehave(request, respond));
                    }
                });
            }
        });
        Stub { address, task }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn misbehave(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let how = request.headers().get("x-stub").map_or("", |value| value.to_str().expect("text")).to_owned();
    let head = |status: u16, content_type: &str| {
        http::Response::builder().status(status).header("content-type", content_type).body(()).expect("a head")
    };
    let grpc = "application/grpc";
    let bytes = Bytes::from_static;
    match how.as_str() {
        "http 503" => drop(respond.send_response(head(503, "text/plain"), true)),
        "html" => {
            let mut body = respond.send_response(head(200, "text/html"), false).expect("a body");
            let _ = body.send_data(bytes(b"<p>hello"), true);
        }
        "no status" => drop(respond.send_response(head(200, grpc), false).map(|mut body| {
            let _ = body.send_data(bytes(b""), true);
        })),
        "reset" => respond.send_reset(h2::Reason::INTERNAL_ERROR),
        // a frame whose length says more than there is
        "half" => {
            let mut body = respond.send_response(head(200, grpc), false).expect("a body");
            let _ = body.send_data(bytes(b"\0\0\0\0\x09\x0a\x02"), false);
            let _ = body.send_trailers(HeaderMap::from_iter([ok_status()]));
        }
        "two messages" => {
            let mut body = respond.send_response(head(200, grpc), false).expect("a body");
            let _ = body.send_data(bytes(b"\0\0\0\0\0\0\0\0\0\0"), false);
            let _ = body.send_trailers(HeaderMap::from_iter([ok_status()]));
        }
        "flags" => {
            let mut body = respond.send_response(head(200, grpc), false).expect("a body");
            let _ = body.send_data(bytes(b"\x40\0\0\0\0"), false);
            let _ = body.send_trailers(HeaderMap::from_iter([ok_status()]));
        }
        // field 1 as a string longer than the message
        "garbage" => {
            let mut body = respond.send_response(head(200, grpc), false).expect("a body");
            let _ = body.send_data(bytes(b"\0\0\0\0\x02\x0a\x7f"), false);
            let _ = body.send_trailers(HeaderMap::from_iter([ok_status()]));
        }
        "one, then silence" => {
            let mut body = respond.send_response(head(200, grpc), false).expect("a body");
            let _ = body.send_data(bytes(b"\0\0\0\0\x04\x0a\x02hi"), false);
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        }
        "open, then silence" => {
            let mut body = respond.send_response(head(200, grpc), false).expect("a body");
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        }
        _ => drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await),
    }
}

fn ok_status() -> (HeaderName, HeaderValue) {
    (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))
}
