//! An upstream that echoes calls, says who it is, and has a health that tests turn; over TLS with certificates that they
//! turn, too.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::support::Wire;
use super::support::port::Port;

/// `grpc.health.v1`'s numbers.
pub const SERVING: u8 = 1;
pub const NOT_SERVING: u8 = 2;

pub struct Peer {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

pub struct Shared {
    name: String,
    /// 0: the server knows no health checks.
    pub health: watch::Sender<u8>,
    /// Echoed so far; health checks are none.
    pub calls: AtomicUsize,
    /// Health checks that were answered; a watch counts each of its answers.
    pub asked: AtomicUsize,
    pub connections: AtomicUsize,
    /// What the next connection is met with; `None`: clear text.
    pub tls: Mutex<Option<Arc<ServerConfig>>>,
    /// The certificate that each connection showed, in their order.
    pub shown: Mutex<Vec<Option<Vec<u8>>>>,
}

impl Peer {
    /// A healthy one in clear text.
    pub async fn start(name: &str) -> Peer {
        Peer::on(Port::take().listen(), name, None)
    }

    /// Takes the connections of this listener.
    pub fn on(listener: TcpListener, name: &str, tls: Option<Arc<ServerConfig>>) -> Peer {
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            health: watch::Sender::new(SERVING),
            calls: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            tls: Mutex::new(tls),
            shown: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&own);
                shared.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    let config = shared.tls.lock().expect("a lock").clone();
                    let Some(config) = config else { return serve(Box::new(socket), shared).await };
                    let Ok(stream) = TlsAcceptor::from(config).accept(socket).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    shared.shown.lock().expect("a lock").push(shown.map(|shown| shown.to_vec()));
                    serve(Box::new(stream), shared).await;
                });
            }
        });
        Peer { address, shared, task }
    }

    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::Relaxed)
    }

    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    pub fn turn(&self, health: u8) {
        self.shared.health.send_replace(health);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(wire: Box<dyn Wire>, shared: Arc<Shared>) {
    let Ok(mut http2) = h2::server::handshake(wire).await else { return };
    let mut calls = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = http2.accept().await {
        let shared = Arc::clone(&shared);
        match request.uri().path() {
            "/grpc.health.v1.Health/Watch" => calls.spawn(watched(respond, shared)),
            "/grpc.health.v1.Health/Check" => calls.spawn(checked(respond, shared)),
            _ => calls.spawn(echo(request, respond, shared)),
        };
    }
}

fn head(shared: &Shared) -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc").header("x-peer", &shared.name);
    head.body(()).expect("a head")
}

fn status(code: &'static str) -> HeaderMap {
    super::scripted::map(&[("grpc-status", code)])
}

fn said(health: u8) -> Bytes {
    Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, health])
}

fn unimplemented(mut respond: SendResponse<Bytes>, shared: &Shared) {
    let mut head = head(shared);
    head.headers_mut().extend(status("12"));
    let _ = respond.send_response(head, true);
}

async fn watched(mut respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    let mut health = shared.health.subscribe();
    if *health.borrow() == 0 {
        return unimplemented(respond, &shared);
    }
    let Ok(mut stream) = respond.send_response(head(&shared), false) else { return };
    loop {
        let now = *health.borrow_and_update();
        shared.asked.fetch_add(1, Ordering::Relaxed);
        if stream.send_data(said(now), false).is_err() || health.changed().await.is_err() {
            return;
        }
    }
}

async fn checked(mut respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let health = *shared.health.borrow();
    if health == 0 {
        return unimplemented(respond, &shared);
    }
    let Ok(mut stream) = respond.send_response(head(&shared), false) else { return };
    let _ = stream.send_data(said(health), false);
    let _ = stream.send_trailers(status("0"));
}

async fn echo(mut request: Request<RecvStream>, mut respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    shared.calls.fetch_add(1, Ordering::Relaxed);
    let Ok(mut stream) = respond.send_response(head(&shared), false) else { return };
    while let Some(Ok(bytes)) = request.body_mut().data().await {
        let _ = request.body_mut().flow_control().release_capacity(bytes.len());
        let _ = stream.send_data(bytes, false);
    }
    let _ = stream.send_trailers(status("0"));
}
