//! A well-behaved upstream over `h2`, whose path says what a call does.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// An upstream on a free port. Paths: `/echo` sends back what comes; `/hold` answers nothing; `/open` answers a head
/// and nothing more; `/status` answers by trailers only; `/flood/SIZE` sends chunks of that size for ever.
pub struct H2Peer {
    pub address: SocketAddr,
    /// Connections taken.
    pub accepted: Arc<AtomicUsize>,
    /// Body bytes sent by `/flood`.
    pub flooded: Arc<AtomicUsize>,
    /// Why streams of `/hold` and `/open` were reset.
    pub resets: mpsc::UnboundedReceiver<h2::Reason>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    flooded: Arc<AtomicUsize>,
    resets: mpsc::UnboundedSender<h2::Reason>,
}

// === impl H2Peer ===

impl H2Peer {
    pub async fn start(max_streams: u32) -> H2Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        H2Peer::on(listener, max_streams, None)
    }

    pub async fn start_tls(acceptor: tokio_rustls::TlsAcceptor) -> H2Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        H2Peer::on(listener, 100, Some(acceptor))
    }

    pub fn on(listener: TcpListener, max_streams: u32, tls: Option<tokio_rustls::TlsAcceptor>) -> H2Peer {
        let address = listener.local_addr().expect("address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let flooded = Arc::new(AtomicUsize::new(0));
        let (sender, resets) = mpsc::unbounded_channel();
        let shared = Shared { flooded: Arc::clone(&flooded), resets: sender };
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            // in a set, so that the connections end with the task
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = socket.set_nodelay(true);
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(socket, max_streams, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                serve(stream, max_streams, shared).await;
                            }
                        }
                    }
                });
            }
        });
        H2Peer { address, accepted, flooded, resets, task }
    }

    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for H2Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(socket: S, max_streams: u32, shared: Shared) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(max_streams).initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else { return };
    let mut calls = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        calls.spawn(call(request, respond, shared.clone()));
    }
}

async fn call(request: Request<RecvStream>, respond: SendResponse<Bytes>, shared: Shared) {
    let path = request.uri().path().to_owned();
    let body = request.into_body();
    match path.as_str() {
        "/echo" => echo(body, respond).await,
        "/status" => status(respond),
        "/hold" => hold(respond, shared).await,
        "/open" => open(respond, shared).await,
        flood => {
            let size = flood.strip_prefix("/flood/").and_then(|size| size.parse().ok()).expect("a path we know");
            pour(respond, size, shared).await;
        }
    }
}

fn ok_status() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    trailers
}

async fn echo(mut body: RecvStream, mut respond: SendResponse<Bytes>) {
    let Ok(mut answer) = respond.send_response(Response::new(()), false) else { return };
    while let Some(Ok(bytes)) = body.data().await {
        let count = bytes.len();
        if push(&mut answer, bytes).await.is_none() {
            return;
        }
        let _ = body.flow_control().release_capacity(count);
    }
    let _ = answer.send_trailers(ok_status());
}

fn status(mut respond: SendResponse<Bytes>) {
    let mut answer = Response::new(());
    answer.headers_mut().insert("grpc-status", http::HeaderValue::from_static("5"));
    let _ = respond.send_response(answer, true);
}

async fn hold(mut respond: SendResponse<Bytes>, shared: Shared) {
    if let Ok(reason) = std::future::poll_fn(|cx| respond.poll_reset(cx)).await {
        let _ = shared.resets.send(reason);
    }
}

async fn open(mut respond: SendResponse<Bytes>, shared: Shared) {
    let Ok(mut answer) = respond.send_response(Response::new(()), false) else { return };
    if let Ok(reason) = std::future::poll_fn(|cx| answer.poll_reset(cx)).await {
        let _ = shared.resets.send(reason);
    }
}

async fn pour(mut respond: SendResponse<Bytes>, size: usize, shared: Shared) {
    let Ok(mut answer) = respond.send_response(Response::new(()), false) else { return };
    let chunk = Bytes::from(vec![7; size]);
    while push(&mut answer, chunk.clone()).await.is_some() {
        shared.flooded.fetch_add(size, Ordering::Relaxed);
    }
}

/// Sends bytes as the windows allow.
async fn push(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Option<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = match stream.capacity() {
            0 => std::future::poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?,
            capacity => capacity,
        };
        let piece = bytes.split_to(capacity.min(bytes.len()));
        stream.send_data(piece, false).ok()?;
    }
    Some(())
}
