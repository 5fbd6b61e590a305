//! Makes one connection: name look-up, TCP, TLS, HTTP/2 up to the upstream's SETTINGS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cluster::{Cluster, ClusterSettings};
use super::connection::{Connection, Hub};
use super::drive::{Driver, Host};
use super::endpoint::Endpoint;
use super::probe::Io;
use super::tls::{self, ALPN};
use crate::net::batch::{Driven, batched};
use crate::net::merge::Merged;

/// A connection whose SETTINGS have come, and the task that is to be spawned for it.
pub(super) struct Connected {
    pub(super) connection: Arc<Connection>,
    pub(super) task: Pin<Box<Driven<Driver, Merged<Rationed>>>>,
}

/// TCP, with TLS or without.
#[derive(Debug)]
enum Transport {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A transport that gives at most [`RATION`] bytes per poll of the driver, and counts what it gave. So the streams'
/// readers, on the same thread, get their turn before more is read, and what piles up meanwhile is bounded.
#[derive(Debug)]
pub(super) struct Rationed {
    transport: Transport,
    traffic: Arc<Traffic>,
}

/// What the driver needs to know of its transport.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    read: AtomicU64,
    ration: AtomicUsize,
}

/// Bytes that are read in one poll of the driver, and between two sweeps.
pub(super) const RATION: usize = 256 * 1024;
/// Until the peer's SETTINGS come, `h2` reports this as the peer's stream limit: no peer can say so (it is above 32 bits).
const NO_SETTINGS_YET: usize = usize::MAX - 1;
/// Request bytes that one stream may have waiting in `h2`.
const SEND_BUFFER: usize = 128 * 1024;
/// The head of an answer, all fields: what we take at most.
const HEADER_LIST: u32 = 64 * 1024;
/// Streams that callers cut off stay known to `h2` for a second, so that what the upstream still sends on them is
/// dropped quietly. 10,000 cut off at once cost some 5 MB for that second.
const REMEMBERED_RESETS: usize = 10_000;
/// TCP's own probes, for connections that are silent because nothing is called.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(20);

/// Connects to the first of the endpoint's addresses that answers. The error says what failed, without the endpoint.
pub(super) async fn connect(cluster: &Arc<Cluster>, hub: &Arc<Hub>, host: Host) -> Result<Connected, String> {
    let endpoint = &Arc::clone(&host.endpoint);
    let settings = cluster.settings();
    let deadline = Instant::now() + settings.connect_timeout;
    let transport = transport(endpoint, cluster.tls(), deadline, settings.connect_timeout).await?;
    let http2 = http2(settings, transport, hub, host);
    let late = |_| format!("no HTTP/2 SETTINGS within {:?}", settings.connect_timeout);
    timeout_at(deadline, http2).await.map_err(late)?
}

/// A connection to an endpoint for other uses than calls, up to TLS.
pub(super) async fn dial(
    endpoint: &Endpoint,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
) -> Result<Box<dyn Io>, String> {
    Ok(match transport(endpoint, tls, Instant::now() + timeout, timeout).await? {
        Transport::Clear(socket) => Box::new(socket),
        Transport::Tls(stream) => stream,
    })
}

async fn transport(
    endpoint: &Endpoint,
    tls: Option<Arc<rustls::ClientConfig>>,
    deadline: Instant,
    timeout: Duration,
) -> Result<Transport, String> {
    let socket = tcp(endpoint, deadline, timeout).await?;
    let (Some(name), Some(config)) = (&endpoint.server_name, tls) else { return Ok(Transport::Clear(socket)) };
    let handshake = TlsConnector::from(config).connect(name.clone(), socket);
    let stream = timeout_at(deadline, handshake).await.map_err(|_| format!("no TLS handshake within {timeout:?}"))?;
    let stream = stream.map_err(|error| format!("TLS handshake: {}", tls::reason(&error)))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err("the server did not agree to HTTP/2 (TLS ALPN \"h2\")".into());
    }
    Ok(Transport::Tls(Box::new(stream)))
}

async fn tcp(endpoint: &Endpoint, deadline: Instant, timeout: Duration) -> Result<TcpStream, String> {
    let addresses = timeout_at(deadline, addresses(endpoint)).await;
    let addresses = addresses.map_err(|_| format!("no answer to the name look-up within {timeout:?}"))??;
    let mut failure = String::from("the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        // the time left is shared by the addresses left, so that a silent one does not use it up
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let until = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return tuned(socket).map_err(|error| error.to_string()),
            Ok(Err(error)) => failure = reason(&error),
            Err(_) => failure = format!("no answer within {timeout:?}"),
        }
    }
    Err(failure)
}

async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (&*endpoint.settings().host, endpoint.settings().port);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    Ok(found.map_err(|error| format!("name look-up: {error}"))?.collect())
}

/// Without Nagle's delay (40 ms stalls otherwise), and with the kernel's probes.
fn tuned(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    SockRef::from(&socket).set_tcp_keepalive(&probes)?;
    Ok(socket)
}

/// "connection refused" rather than "Connection refused (os error 111)", where the kind says all.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        kind => match kind.to_string() {
            text if text.contains("uncategorized") => error.to_string(),
            text => text,
        },
    }
}

/// The preface, and the wait for the peer's SETTINGS: before them its limits are unknown, and whether it speaks HTTP/2
/// at all.
async fn http2(
    settings: &ClusterSettings,
    transport: Transport,
    hub: &Arc<Hub>,
    host: Host,
) -> Result<Connected, String> {
    let traffic = Arc::new(Traffic::default());
    let (io, drain) = batched(Merged::new(Rationed { transport, traffic: Arc::clone(&traffic) }, 0));
    let (sender, h2) = builder(settings).handshake(io).await.map_err(|error| error.to_string())?;
    let connection = Arc::new(Connection::new(sender, Arc::clone(&host.endpoint), Arc::clone(hub)));
    let driver = Driver::new(h2, Arc::clone(&connection), traffic, host);
    let mut task = Box::pin(Driven::new(driver, drain));
    std::future::poll_fn(|cx| {
        if task.as_mut().poll(cx).is_ready() {
            let cause = connection.cause().unwrap_or("it closed the connection");
            return Poll::Ready(Err(format!("the server does not speak HTTP/2: {cause}")));
        }
        if connection.limit() == NO_SETTINGS_YET { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(Connected { connection, task })
}

fn builder(settings: &ClusterSettings) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .initial_max_send_streams(NO_SETTINGS_YET)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        // h2 counts the stream errors of a connection's whole life, late frames of forgotten streams among them, and
        // closes the connection at the 1,024th; a proxy whose callers hang up would reach that in a busy hour
        .max_local_error_reset_streams(None)
        // an unread DATA frame below 256 bytes spends what it lacks to 256, and an empty budget closes the connection:
        // one slow reader of small messages would end all calls beside it. `intake.rs` bounds that memory instead.
        .data_frame_budget(usize::MAX);
    builder
}

// === impl Traffic ===

impl Traffic {
    /// Bytes read so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A new poll begins.
    pub(super) fn refill(&self) {
        self.ration.store(RATION, Ordering::Relaxed);
    }

    fn took(&self, count: usize) {
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        let left = self.ration.load(Ordering::Relaxed);
        self.ration.store(left.saturating_sub(count), Ordering::Relaxed);
    }
}

// === impl Rationed ===

impl AsyncRead for Rationed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.traffic.ration.load(Ordering::Relaxed) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = match &mut self.transport {
            Transport::Clear(socket) => Pin::new(socket).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        };
        self.traffic.took(buffer.filled().len().saturating_sub(before));
        polled
    }
}

impl AsyncWrite for Rationed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Clear(socket) => Pin::new(socket).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Clear(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Clear(socket) => socket.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Clear(socket) => Pin::new(socket).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Clear(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_without_numbers_of_the_system() {
        assert_eq!(reason(&io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(reason(&io::Error::other("strange")), "strange");
    }
}
