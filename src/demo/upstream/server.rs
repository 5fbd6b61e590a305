//! Sockets, HTTP/2 connections, and which method a path names.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, StatusCode, header};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::call::{Call, Outcome, Stop};
use super::files::Files;
use super::levers::{CutKind, Levers, timeout};
use super::shelves::Shelves;
use super::{bookstore, echo, files, greeter, reflection, route_guide};
use crate::status::{Code, Status};

/// The server before it runs; the fields are its limits.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The longest request message, in bytes; a longer one is RESOURCE_EXHAUSTED. 4 MiB by default, as in gRPC.
    pub message_limit: usize,
    /// Streams that one connection may have open at a time (HTTP/2 SETTINGS_MAX_CONCURRENT_STREAMS). 1,000 by default.
    pub max_streams: u32,
    /// Connections at a time; further ones wait in the listener's backlog. 1,024 by default.
    pub max_connections: usize,
}

/// A server that runs on a thread of its own until this falls.
pub struct Running {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the server has seen so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that finished their HTTP/2 handshake.
    pub connections: AtomicU64,
    /// Calls that began. (A call that its caller resets within the same packet never begins.)
    pub calls: AtomicU64,
    /// Calls under way.
    pub active: AtomicU64,
    /// Calls whose caller went away before they ended.
    pub cancelled: AtomicU64,
    /// Calls that ran into their deadline here.
    pub expired: AtomicU64,
    pub messages_in: AtomicU64,
    pub messages_out: AtomicU64,
}

/// What all connections share.
struct Shared {
    limits: Upstream,
    counts: Arc<Counts>,
    shelves: Arc<Shelves>,
    files: Arc<Files>,
}

/// How a call reaches the connection it came by.
#[derive(Default)]
pub(super) struct Connection {
    goaway: Notify,
    close: Notify,
}

/// Counts a call as under way for as long as it lives.
struct Active(Arc<Counts>);

// === impl Upstream ===

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream { message_limit: 4 << 20, max_streams: 1000, max_connections: 1024 }
    }
}

impl Upstream {
    /// Starts a server with the default limits. Port 0 takes a free one.
    pub fn start(address: SocketAddr) -> io::Result<Running> {
        Upstream::default().start_with(address)
    }

    /// Starts a server with these limits. It needs no runtime of the caller's: it has a thread and runtime of its own.
    pub fn start_with(self, address: SocketAddr) -> io::Result<Running> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let (shelves, files) = (Arc::new(Shelves::seeded()), Arc::new(Files::default()));
        let shared = Arc::new(Shared { limits: self, counts: counts.clone(), shelves, files });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("demo-upstream".into()).spawn(move || {
            // dropping the runtime closes the listener and every connection
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    result = accept(listener, shared) => if let Err(error) = result {
                        tracing::error!(%error, "the demo's upstream stopped");
                    }
                }
            });
        })?;
        Ok(Running { address, counts, stop: Some(stop), thread: Some(thread) })
    }
}

// === impl Running ===

impl Running {
    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's counters, live.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Closes the listener and every connection at once; returns when they are closed.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Ends the TCP connection without a word.
    pub(super) fn close(&self) {
        self.close.notify_one();
    }
}

// === impl Active ===

impl Active {
    fn new(counts: Arc<Counts>) -> Active {
        counts.calls.fetch_add(1, Relaxed);
        counts.active.fetch_add(1, Relaxed);
        Active(counts)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(shared.limits.max_connections));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // out of file descriptors, or a connection that was reset while it waited: neither lasts
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(socket, shared).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) -> Result<(), h2::Error> {
    // small answers should not wait for the acknowledgement of the one before
    let _ = socket.set_nodelay(true);
    let mut http2 = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(shared.limits.max_streams)
        .max_header_list_size(64 << 10)
        // a proxy's connection carries many callers, and each of them may cancel: the defaults take that for an attack
        .max_concurrent_reset_streams(4096)
        .max_pending_accept_reset_streams(4096)
        .data_frame_budget(64 << 20)
        .handshake(socket)
        .await?;
    shared.counts.connections.fetch_add(1, Relaxed);
    let connection = Arc::new(Connection::default());
    loop {
        let accepted = tokio::select! {
            accepted = http2.accept() => accepted,
            () = connection.goaway.notified() => {
                http2.graceful_shutdown();
                continue;
            }
            () = connection.close.notified() => return Ok(()),
        };
        let Some(accepted) = accepted else { return Ok(()) };
        let (request, respond) = accepted?;
        tokio::spawn(answer(request, respond, connection.clone(), shared.clone()));
    }
}

/// One call, from its head to its status.
async fn answer(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
) {
    let counts = shared.counts.clone();
    let _active = Active::new(counts.clone());
    let mut call = Call::new(request, respond, shared.limits.message_limit, connection, counts.clone());
    if let Some(code) = not_grpc(&call.head) {
        let _ = call.refuse_http(code);
        return;
    }
    let outcome = match deadline(&call.head.headers) {
        Ok(None) => dispatch(&mut call, &shared).await,
        Ok(Some(time)) => match tokio::time::timeout(time, dispatch(&mut call, &shared)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                counts.expired.fetch_add(1, Relaxed);
                Err(Status::new(Code::DeadlineExceeded, "the call's deadline has passed").into())
            }
        },
        Err(status) => Err(status.into()),
    };
    let ended = match outcome {
        Ok(()) => call.finish(&Status::OK),
        Err(Stop::Refused(status)) => call.finish(&status),
        Err(Stop::Cut) => cut(&mut call).await,
        Err(Stop::Gone) => Err(Stop::Gone),
    };
    if ended.is_err() {
        counts.cancelled.fetch_add(1, Relaxed);
    }
}

/// Which method a path names.
async fn dispatch(call: &mut Call, shared: &Shared) -> Outcome {
    call.levers = Levers::read(&call.head.headers)?;
    if call.levers.goaway {
        call.connection.goaway.notify_one();
    }
    let path = call.head.uri.path().to_owned();
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
        return Err(unknown(&path).into());
    };
    match (service, method) {
        ("helloworld.Greeter", "SayHello") => greeter::say_hello(call).await,
        ("grpc.examples.echo.Echo", "UnaryEcho") => echo::unary(call).await,
        ("grpc.examples.echo.Echo", "ServerStreamingEcho") => echo::server_streaming(call).await,
        ("grpc.examples.echo.Echo", "ClientStreamingEcho") => echo::client_streaming(call).await,
        ("grpc.examples.echo.Echo", "BidirectionalStreamingEcho") => echo::bidirectional(call).await,
        ("routeguide.RouteGuide", "GetFeature") => route_guide::get_feature(call).await,
        ("routeguide.RouteGuide", "ListFeatures") => route_guide::list_features(call).await,
        ("routeguide.RouteGuide", "RecordRoute") => route_guide::record_route(call).await,
        ("routeguide.RouteGuide", "RouteChat") => route_guide::route_chat(call).await,
        (
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection",
            "ServerReflectionInfo",
        ) => reflection::info(call).await,
        ("bookstore.v1.Bookstore", method) => match bookstore::dispatch(method, call, &shared.shelves).await {
            Some(outcome) => outcome,
            None => Err(unknown(&path).into()),
        },
        ("files.v1.Files", method) => match files::dispatch(method, call, &shared.files).await {
            Some(outcome) => outcome,
            None => Err(unknown(&path).into()),
        },
        _ => Err(unknown(&path).into()),
    }
}

fn unknown(path: &str) -> Status {
    Status::new(Code::Unimplemented, format!("there is no method {path}"))
}

/// The HTTP code for a request that is not gRPC with protobuf messages; `None` if it is.
fn not_grpc(head: &http::request::Parts) -> Option<StatusCode> {
    if head.method != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    match content_type.strip_prefix(b"application/grpc") {
        Some([] | [b';', ..] | b"+proto" | [b'+', b'p', b'r', b'o', b't', b'o', b';', ..]) => None,
        _ => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// How long the caller is going to wait.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    match value.to_str().ok().and_then(timeout) {
        Some(time) => Ok(Some(time)),
        None => Err(Status::new(Code::Internal, "grpc-timeout cannot be read")),
    }
}

/// Ends a call in the way that its `x-demo-cut` asks for.
async fn cut(call: &mut Call) -> Outcome {
    match call.levers.cut.map(|cut| cut.how) {
        Some(CutKind::End) => call.end_without_status()?,
        Some(CutKind::Close) => {
            call.connection.close();
            // a call that is dropped resets its stream, and that must not come before the connection's end
            let _ = call.pause(Duration::from_secs(1)).await;
        }
        Some(CutKind::Reset) | None => call.reset(Reason::INTERNAL_ERROR),
    }
    Ok(())
}
