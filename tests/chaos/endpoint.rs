//! An upstream that answers Echo, keeps a ledger of it, and can be killed, frozen, slowed and made to misbehave while
//! it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use transom::demo::upstream::echo_v1::{EchoRequest, EchoResponse};

use super::dialects::{BIDI, CLIENT, SERVER, frames, prefix};
use super::ledger::{Ledger, number_of};
use super::support::port::Port;
use super::support::{PATIENCE, send_all};

/// One upstream process, as the edge sees it. Its port stays its own while it is down.
pub struct Endpoint {
    pub number: usize,
    pub address: SocketAddr,
    pub levers: Arc<Levers>,
    port: Port,
    server: Option<Server>,
}

/// How an endpoint behaves; zero is well.
pub struct Levers {
    number: usize,
    ledger: Arc<Ledger>,
    /// Nothing is accepted, read or written, as by SIGSTOP.
    frozen: watch::Sender<bool>,
    /// Streams that never end are reset, lest they keep it.
    leaving: watch::Sender<bool>,
    /// Every so manieth stream is answered by REFUSED_STREAM, a call twice at most.
    pub refuse_every: AtomicU64,
    /// Every so manieth stream is reset after it was executed.
    pub reset_every: AtomicU64,
    /// By this code.
    pub reset_reason: AtomicU32,
    /// Before an answer, milliseconds.
    pub delay: AtomicU64,
    /// Connections taken, streams taken, calls executed.
    pub connections: AtomicU64,
    streams: AtomicU64,
    pub executed: AtomicU64,
    /// Questions for its health that were answered.
    asked: AtomicU64,
}

struct Server {
    task: JoinHandle<()>,
    orders: watch::Sender<Order>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Serve,
    /// GOAWAY on all connections there are: of grace, or with this reason, and at once.
    GoAway(u64, Option<h2::Reason>),
    /// No more connections, GOAWAY, and the end when the last call is done.
    Leave,
}

/// Between the messages of a stream, so that there is a middle to be hit.
const PACE: Duration = Duration::from_millis(5);

// === impl Endpoint ===

impl Endpoint {
    pub fn start(number: usize, ledger: &Arc<Ledger>) -> Endpoint {
        Endpoint::at(Port::take(), number, ledger)
    }

    fn at(port: Port, number: usize, ledger: &Arc<Ledger>) -> Endpoint {
        let levers = Arc::new(Levers {
            number,
            ledger: Arc::clone(ledger),
            frozen: watch::Sender::new(false),
            leaving: watch::Sender::new(false),
            refuse_every: AtomicU64::new(0),
            reset_every: AtomicU64::new(0),
            reset_reason: AtomicU32::new(0),
            delay: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            executed: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        });
        let server = Some(Server::start(port.listen(), Arc::clone(&levers)));
        Endpoint { number, address: port.address, levers, port, server }
    }

    /// So many.
    pub fn several(count: usize, ledger: &Arc<Ledger>) -> Vec<Endpoint> {
        (0..count).map(|number| Endpoint::start(number, ledger)).collect()
    }

    /// One at each of these addresses, all at the same port.
    pub fn at_each(addresses: &[IpAddr], ledger: &Arc<Ledger>) -> Vec<Endpoint> {
        let ports = Port::at_each(addresses).into_iter().enumerate();
        ports.map(|(number, port)| Endpoint::at(port, number, ledger)).collect()
    }

    /// All connections break off, and new ones are refused.
    pub async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.task.abort();
            let _ = (&mut server.task).await;
        }
    }

    /// Calls under way finish, new ones go elsewhere; then it is gone.
    pub async fn leave(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        server.orders.send_replace(Order::Leave);
        self.levers.leaving.send_replace(true);
        tokio::time::timeout(PATIENCE, &mut server.task).await.expect("it leaves in time").expect("no panic");
    }

    /// Takes connections again, at its port.
    pub fn restart(&mut self) {
        self.levers.leaving.send_replace(false);
        self.server = Some(Server::start(self.port.listen(), Arc::clone(&self.levers)));
    }

    pub fn freeze(&self, frozen: bool) {
        self.levers.frozen.send_replace(frozen);
    }

    /// GOAWAY on its connections; `None`: in peace.
    pub fn go_away(&self, reason: Option<h2::Reason>) {
        let Some(server) = &self.server else { return };
        server.orders.send_modify(|order| {
            let turn = if let Order::GoAway(turn, _) = order { *turn + 1 } else { 0 };
            *order = Order::GoAway(turn, reason);
        });
    }

    pub fn executed(&self) -> u64 {
        self.levers.executed.load(Relaxed)
    }

    pub fn asked(&self) -> u64 {
        self.levers.asked.load(Relaxed)
    }

    pub fn connections(&self) -> u64 {
        self.levers.connections.load(Relaxed)
    }
}

// === impl Server ===

impl Server {
    fn start(listener: TcpListener, levers: Arc<Levers>) -> Server {
        let (orders, inbox) = watch::channel(Order::Serve);
        Server { task: tokio::spawn(run(listener, levers, inbox)), orders }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(listener: TcpListener, levers: Arc<Levers>, mut orders: watch::Receiver<Order>) {
    // in a set, so that the connections end with the task
    let mut connections = JoinSet::new();
    let mut frozen = levers.frozen.subscribe();
    loop {
        let is_frozen = *frozen.borrow_and_update();
        tokio::select! {
            biased;
            _ = frozen.changed() => {}
            _ = orders.changed() => {
                if *orders.borrow_and_update() == Order::Leave {
                    break;
                }
            }
            taken = listener.accept(), if !is_frozen => {
                let Ok((socket, _)) = taken else { continue };
                levers.connections.fetch_add(1, Relaxed);
                connections.spawn(serve(socket, Arc::clone(&levers), orders.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(socket: TcpStream, levers: Arc<Levers>, mut orders: watch::Receiver<Order>) {
    let _ = socket.set_nodelay(true);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1000).initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let Ok(mut http2) = builder.handshake::<_, Bytes>(socket).await else { return };
    let mut calls = JoinSet::new();
    let mut frozen = levers.frozen.subscribe();
    loop {
        let is_frozen = *frozen.borrow_and_update();
        tokio::select! {
            biased;
            _ = frozen.changed() => {}
            Ok(()) = orders.changed() => match *orders.borrow_and_update() {
                Order::Serve => {}
                Order::GoAway(_, Some(reason)) => http2.abrupt_shutdown(reason),
                Order::GoAway(_, None) | Order::Leave => http2.graceful_shutdown(),
            },
            // what is not polled neither reads nor writes
            next = http2.accept(), if !is_frozen => match next {
                Some(Ok((request, respond))) => drop(calls.spawn(call(request, respond, Arc::clone(&levers)))),
                _ => break,
            },
            Some(_) = calls.join_next() => {}
        }
    }
}

async fn call(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, levers: Arc<Levers>) {
    let path = request.uri().path().to_owned();
    let endless = request.headers().get("x-endless").and_then(|size| size.to_str().ok()?.parse().ok());
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        // a request that is broken off asks for nothing
        let Ok(chunk) = chunk else { return };
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    if let Some(probe) = path.strip_prefix("/grpc.health.v1.Health/") {
        levers.asked.fetch_add(1, Relaxed);
        return health(probe, respond).await;
    }
    if let Some(size) = endless {
        return pour(respond, size, levers.leaving.subscribe()).await;
    }
    let texts: Vec<String> = frames(&bytes)
        .iter()
        .map(|(_, payload)| EchoRequest::decode(&payload[..]).expect("a message of Echo").message)
        .collect();
    let number = texts.first().and_then(|text| number_of(text)).expect("a call with a number");
    let turn = levers.streams.fetch_add(1, Relaxed) + 1;
    let falls = |every: u64| every != 0 && turn.is_multiple_of(every);
    if falls(levers.refuse_every.load(Relaxed)) && levers.ledger.refused(number, 2) {
        return respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    levers.ledger.executed(number, levers.number);
    levers.executed.fetch_add(1, Relaxed);
    sleep(Duration::from_millis(levers.delay.load(Relaxed))).await;
    if falls(levers.reset_every.load(Relaxed)) {
        levers.ledger.reset(number);
        return respond.send_reset(levers.reset_reason.load(Relaxed).into());
    }
    let answers = match path.as_str() {
        SERVER => vec![texts[0].clone(); 3],
        CLIENT => vec![texts.join(", ")],
        BIDI => texts,
        _ => vec![texts[0].clone()],
    };
    let paced = path == SERVER || path == BIDI;
    let _ = answer(respond, &answers, if paced { PACE } else { Duration::ZERO }).await;
}

async fn answer(mut respond: SendResponse<Bytes>, texts: &[String], pace: Duration) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(head(), false)?;
    for text in texts {
        let coded = EchoResponse { message: text.clone() }.encode_to_vec();
        let frame = [&prefix(0, coded.len())[..], &coded].concat();
        if !send_all(&mut stream, frame.into(), false).await {
            return Ok(());
        }
        if !pace.is_zero() {
            sleep(pace).await;
        }
    }
    stream.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]))
}

/// Messages of this size until nobody takes them; not in the ledger.
async fn pour(mut respond: SendResponse<Bytes>, size: usize, mut leaving: watch::Receiver<bool>) {
    let Ok(mut stream) = respond.send_response(head(), false) else { return };
    let coded = EchoResponse { message: "x".repeat(size) }.encode_to_vec();
    let frame = Bytes::from([&prefix(0, coded.len())[..], &coded].concat());
    let poured = async {
        while send_all(&mut stream, frame.clone(), false).await {
            tokio::task::consume_budget().await;
        }
    };
    tokio::select! {
        () = poured => return,
        _ = async { leaving.wait_for(|leaving| *leaving).await.map(drop) } => {}
    }
    stream.send_reset(h2::Reason::CANCEL);
}

/// `Check` says SERVING, and so does `Watch`, which then stays open.
async fn health(probe: &str, mut respond: SendResponse<Bytes>) {
    let serving = Bytes::from_static(b"\0\0\0\0\x02\x08\x01");
    let Ok(mut stream) = respond.send_response(head(), false) else { return };
    let _ = stream.send_data(serving, false);
    if probe == "Watch" {
        let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        return;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let _ = stream.send_trailers(trailers);
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("a head")
}
