//! One connection: greeting (TLS, first bytes), then HTTP with our limits; each request goes to the corridor.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::Either;
use http::header::EXPECT;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Settings;
use super::accept::Admission;
use super::drain::{InFlight, Live, Seat, Tended, Ward};
use super::http2::{self, Host, Http2};
use super::sniff::{self, Peeked, Speech, sniff};
use super::websocket::{self, Upgrade, Visit};
use crate::call::{Connection, Head, Http2Call, Inbound, TlsFacts};
use crate::net::CertificateNames;
use crate::net::batch::{self, Driven};
use crate::net::merge::Merged;
use crate::net::tls::{self, ALPN_HTTP1, TlsError};
use crate::observe::Meters;
use crate::proxy::{Body, BodyError, Handler, Passage, Welcome};

/// Where a door takes its calls: the corridor, or a stand-in for it under test.
pub trait Corridor: Send + Sync + 'static {
    /// Carries one call. Dropping the future or the body cancels it.
    fn open(self: Arc<Self>, head: Head, inbound: Inbound) -> impl Future<Output = Response<Body>> + Send;

    /// Carries one call over HTTP/2 wholly by itself, if its bytes only pass.
    ///
    /// Errors: the call, if they do not.
    #[expect(clippy::result_large_err, reason = "a box would cost every call of the corridor an allocation")]
    fn pass(self: &Arc<Self>, call: Http2Call) -> Result<Passage, Http2Call> {
        Err(call)
    }

    /// Looks at a handshake for a WebSocket before it is answered.
    ///
    /// Errors: the answer that refuses it.
    fn welcome(&self, head: &Head) -> Result<Welcome, Box<Response<Body>>>;
}

/// One listener as its connections see it, shared by all workers.
#[derive(Debug)]
pub struct Door {
    pub settings: Settings,
    tls: Option<ArcSwap<ServerConfig>>,
    pub(super) meters: Arc<Meters>,
    pub(super) open: Arc<AtomicUsize>,
    http1: http1::Builder,
    http2: h2::server::Builder,
}

/// A connection that was accepted and placed on a worker.
#[derive(Debug)]
pub struct Arrival {
    pub socket: TcpStream,
    pub peer: SocketAddr,
    pub admission: Admission,
    pub seat: Seat,
}

/// How a greeting ends.
enum Greeted {
    Clear(Speech, Peeked<TcpStream>),
    Secure(Speech, Box<Peeked<Secure>>, TlsFacts),
    /// The caller closed.
    Over,
}

type Secure = TlsStream<Peeked<TcpStream>>;

/// What a connection holds on to until it ends.
pub(super) type Ties = (Admission, Seat);

/// All that serving a connection takes beside its socket.
struct Caller<H> {
    door: Arc<Door>,
    ward: Arc<Ward<H>>,
    live: Arc<Live>,
    connection: Arc<Connection>,
    ties: Arc<Ties>,
}

pin_project! {
    /// An answer's body that counts its call until it is dropped.
    struct Answer {
        #[pin]
        body: Body,
        in_flight: InFlight,
    }
}

/// Bytes that hyper may hold per HTTP/1.1 connection and direction, if a head needs no more.
const HTTP1_BUFFER: usize = 64 * 1024;
/// Answers clear text on a port that takes TLS only; for eyes, whatever the caller speaks.
const CLEAR_TEXT_REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 46\r\nconnection: close\r\n\r\nthis port takes TLS only: use https:// or h2s\n";
/// What is read at most of a caller that is told off, so that the answer is not lost in a reset.
const TOLD_OFF: u64 = 64 * 1024;

impl Corridor for Handler {
    fn open(self: Arc<Self>, head: Head, inbound: Inbound) -> impl Future<Output = Response<Body>> + Send {
        Handler::open(self, head, inbound)
    }

    fn pass(self: &Arc<Self>, call: Http2Call) -> Result<Passage, Http2Call> {
        Handler::pass(self, call)
    }

    fn welcome(&self, head: &Head) -> Result<Welcome, Box<Response<Body>>> {
        Handler::welcome(self, head)
    }
}

// === impl Door ===

impl Door {
    /// Errors: a certificate, key or authority that cannot be used.
    pub fn new(settings: Settings, meters: Arc<Meters>) -> Result<Door, TlsError> {
        let tls = settings.tls.as_ref().map(tls::server).transpose()?.map(ArcSwap::new);
        let header_bytes = usize::try_from(settings.max_header_bytes).unwrap_or(usize::MAX);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // hyper's also runs while a kept-alive connection is idle; the ward's sweep tells the two apart
            .header_read_timeout(None)
            .max_header_size(header_bytes)
            .max_buf_size(HTTP1_BUFFER.max(header_bytes.saturating_mul(2)));
        let http2 = http2::builder(&settings);
        Ok(Door { settings, tls, meters, open: Arc::default(), http1, http2 })
    }

    /// Reads the TLS files again, for [`Door::renew`]. `None` without TLS.
    ///
    /// Errors: as [`Door::new`].
    pub fn read_tls(&self) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        self.settings.tls.as_ref().map(tls::server).transpose()
    }

    /// Connections from now on use this.
    pub fn renew(&self, config: Arc<ServerConfig>) {
        if let Some(tls) = &self.tls {
            tls.store(config);
        }
    }

    async fn greet(&self, socket: TcpStream) -> io::Result<Greeted> {
        let Some((speech, socket)) = sniff(socket).await? else { return Ok(Greeted::Over) };
        match (speech, &self.tls) {
            (Speech::Tls, Some(tls)) => handshake(tls.load_full(), socket).await,
            (Speech::Tls, None) => Err(io::Error::new(io::ErrorKind::InvalidData, "TLS on a clear-text port")),
            (speech, None) => Ok(Greeted::Clear(speech, socket)),
            (speech, Some(_)) if self.settings.plaintext_also => Ok(Greeted::Clear(speech, socket)),
            (_, Some(_)) => {
                tell_off(socket).await?;
                Err(io::Error::new(io::ErrorKind::InvalidData, "clear text on a TLS port"))
            }
        }
    }
}

async fn handshake(config: Arc<ServerConfig>, socket: Peeked<TcpStream>) -> io::Result<Greeted> {
    let socket = TlsAcceptor::from(config).accept(socket).await?;
    let (_, session) = socket.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let facts = TlsFacts {
        server_name: session.server_name().map(Arc::from),
        client_certificate: leaf.map(|certificate| Bytes::copy_from_slice(certificate)),
        client_names: leaf.map(|certificate| CertificateNames::of(certificate)).unwrap_or_default(),
    };
    let agreed = session.alpn_protocol().map(<[u8]>::to_vec);
    if agreed.as_deref() == Some(ALPN_HTTP1) {
        return Ok(Greeted::Secure(Speech::Http1, Box::new(Peeked::unread(socket)), facts));
    }
    // the preface is part of the greeting, lest a caller that shakes hands and falls silent be held for long
    match sniff(socket).await? {
        None => Ok(Greeted::Over),
        Some((Speech::Http2, socket)) => Ok(Greeted::Secure(Speech::Http2, Box::new(socket), facts)),
        Some((_, socket)) if agreed.is_none() => Ok(Greeted::Secure(Speech::Http1, Box::new(socket), facts)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP/2 after ALPN h2")),
    }
}

/// Closing with bytes unread would reset the connection, and the answer with it.
async fn tell_off(mut socket: Peeked<TcpStream>) -> io::Result<()> {
    socket.write_all(CLEAR_TEXT_REFUSED).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(TOLD_OFF), &mut tokio::io::sink()).await.map(|_| ())
}

// === impl Ward ===

impl<H: Corridor> Ward<H> {
    /// Carries a connection from its first byte to its last, in a task of its own.
    pub fn serve(self: &Arc<Self>, arrival: Arrival, door: &Arc<Door>) {
        let live = self.enroll(&arrival.seat, &door.settings);
        tokio::spawn(receive(Arc::clone(self), Arc::clone(door), live, arrival));
    }
}

/// Greets, then leaves the connection to a task that is no larger than its protocol needs.
async fn receive<H: Corridor>(ward: Arc<Ward<H>>, door: Arc<Door>, live: Arc<Live>, arrival: Arrival) {
    let Arrival { socket, peer, admission, seat } = arrival;
    let Ok(local) = socket.local_addr() else { return };
    let greeting = tokio::time::timeout(door.settings.greeting_timeout, door.greet(socket));
    let greeted = tokio::select! {
        biased;
        greeted = greeting => greeted,
        () = live.ordered_to_leave() => return,
    };
    let caller = |tls, door| {
        let connection = Arc::new(Connection { peer, local, tls });
        Caller { door, ward, live, connection, ties: Arc::new((admission, seat)) }
    };
    match greeted {
        Ok(Ok(Greeted::Clear(speech, socket))) => caller(None, door).serve(speech, socket),
        Ok(Ok(Greeted::Secure(speech, socket, facts))) => caller(Some(facts), door).serve(speech, *socket),
        Ok(Ok(Greeted::Over)) => {}
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "greeting failed");
            door.meters.connections_refused.add(1);
        }
        Err(_) => door.meters.connections_refused.add(1),
    }
}

// === impl Caller ===

impl<H: Corridor> Caller<H> {
    fn serve<S>(self, speech: Speech, socket: Peeked<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Caller { door, ward, live, connection, ties } = self;
        if speech == Speech::Http2 {
            live.wants_pings();
            let socket = Merged::new(socket.watched_by(&live), sniff::PREFACE.len());
            let (io, drain) = batch::batched(socket);
            let host =
                Host { ward, door: Arc::clone(&door), live: Arc::clone(&live), connection, ties: Arc::clone(&ties) };
            let driven = Driven::new(Http2::new(io, &door.http2, host), drain);
            tokio::spawn(Tended::new(driven, live, Http2::finish, ties));
        } else {
            let service = service(ward, &door, &live, connection, &ties);
            let (io, drain) = batch::batched(socket.watched_by(&live));
            let http1 = door.http1.serve_connection(TokioIo::new(io), service).with_upgrades();
            let driven = Driven::new(http1, drain);
            tokio::spawn(Tended::new(driven, live, |connection| connection.graceful_shutdown(), ties));
        }
    }
}

/// What hyper calls for each request over HTTP/1.1.
fn service<H: Corridor>(
    ward: Arc<Ward<H>>,
    door: &Arc<Door>,
    live: &Arc<Live>,
    connection: Arc<Connection>,
    ties: &Arc<Ties>,
) -> impl HttpService<Incoming, ResBody = Answer, Error = Infallible, Future: Send + 'static> + Send + 'static {
    let (door, live, ties) = (Arc::clone(door), Arc::clone(live), Arc::clone(ties));
    service_fn(move |mut request: Request<Incoming>| {
        let in_flight = live.call();
        if door.settings.websockets && websocket::asks(&request) {
            let visit = Visit {
                handler: Arc::clone(&ward.handler),
                connection: Arc::clone(&connection),
                settings: &door.settings,
                meters: &door.meters,
                in_flight: live.call(),
                ties: Arc::clone(&ties),
                stage: ward.stage(),
            };
            let upgrade = Upgrade::Http1(hyper::upgrade::on(&mut request));
            let (parts, body) = request.into_parts();
            let response = websocket::receive(visit, parts, !body.is_end_stream(), upgrade);
            let response = response.map(|body| Answer { body, in_flight });
            return Either::Left(ready(Ok(response)));
        }
        let (parts, body) = request.into_parts();
        let inbound = Inbound::http1(body, parts.headers.contains_key(EXPECT));
        let opened = Arc::clone(&ward.handler).open(Head::new(parts, Arc::clone(&connection)), inbound);
        Either::Right(async move {
            let response: Response<Body> = opened.await;
            Ok::<_, Infallible>(response.map(|body| Answer { body, in_flight }))
        })
    })
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
