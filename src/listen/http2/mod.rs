//! HTTP/2 towards callers, by the `h2` crate itself.
//!
//! hyper's server would do, but it costs a task and several moves of large futures per call, opens a caller's window before
//! anybody took the bytes, and takes a caller's CANCEL for the end of its request. Here a call that only passes is handed to
//! the corridor with its stream ([`Corridor::pass`]); all others are carried as a head, an `Inbound` and a `Body`.
//!
//! Silent callers are found by the ward's sweep, which orders the pings: a connection has no timer of its own.

mod carry;
mod tunnel;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::{self, Handshake, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::{Method, Request};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Settings;
use super::drain::{InFlight, Live, Ward};
use super::serve::{Corridor, Door, Ties};
use super::websocket::{self, Upgrade, Visit};
use crate::call::{Connection, Head, Http2Call, Inbound};
use crate::proxy::{Passage, Passed};
use carry::Carry;
pub(super) use tunnel::Tunnel;
use tunnel::offer;

/// What the calls of a connection are handed to, and what they hold on to.
pub(super) struct Host<H> {
    pub(super) ward: Arc<Ward<H>>,
    pub(super) door: Arc<Door>,
    pub(super) live: Arc<Live>,
    pub(super) connection: Arc<Connection>,
    pub(super) ties: Arc<Ties>,
}

/// One connection, from its SETTINGS to its end. To be polled within the worker's runtime.
pub(super) struct Http2<H, S> {
    stage: Stage<S>,
    finishing: bool,
    host: Host<H>,
}

enum Stage<S> {
    Greeting(Box<Handshake<S, Bytes>>),
    Serving(Box<Serving<S>>),
    Over,
}

struct Serving<S> {
    connection: server::Connection<S, Bytes>,
    pings: Option<PingPong>,
    /// A ping is out.
    pinged: bool,
}

pin_project! {
    /// A call that counts until it is over.
    struct Counted<F> {
        #[pin]
        call: F,
        in_flight: InFlight,
    }
}

/// What a listener's settings mean for `h2`.
pub(super) fn builder(settings: &Settings) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(settings.max_concurrent_streams)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_send_buffer_size(settings.max_send_buffer)
        .max_header_list_size(settings.max_header_bytes);
    if settings.websockets {
        builder.enable_connect_protocol();
    }
    builder
}

// === impl Http2 ===

impl<H, S> Http2<H, S>
where
    H: Corridor,
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(socket: S, builder: &server::Builder, host: Host<H>) -> Http2<H, S> {
        Http2 { stage: Stage::Greeting(Box::new(builder.handshake(socket))), finishing: false, host }
    }

    /// Takes no more calls, and ends with the last one.
    pub(super) fn finish(self: Pin<&mut Self>) {
        let this = self.get_mut();
        this.finishing = true;
        if let Stage::Serving(serving) = &mut this.stage {
            serving.connection.graceful_shutdown();
        }
    }
}

impl<H, S> Future for Http2<H, S>
where
    H: Corridor,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Greeting(handshake) => {
                    let greeted = ready!(Pin::new(handshake.as_mut()).poll(cx));
                    this.stage = match greeted {
                        Ok(connection) => Stage::Serving(Box::new(Serving::new(connection, this.finishing))),
                        Err(_) => Stage::Over,
                    };
                }
                Stage::Serving(serving) => {
                    serving.poll_ping(&this.host.live, cx);
                    match ready!(serving.connection.poll_accept(cx)) {
                        Some(Ok((request, respond))) => this.host.take(request, respond),
                        Some(Err(error)) => {
                            tracing::debug!(peer = %this.host.connection.peer, %error, "the connection broke");
                            this.stage = Stage::Over;
                        }
                        None => this.stage = Stage::Over,
                    }
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }
}

// === impl Serving ===

impl<S: AsyncRead + AsyncWrite + Unpin> Serving<S> {
    fn new(mut connection: server::Connection<S, Bytes>, finishing: bool) -> Serving<S> {
        let pings = connection.ping_pong();
        if finishing {
            connection.graceful_shutdown();
        }
        Serving { connection, pings, pinged: false }
    }

    /// Sends a ping if the sweep asks for one. Its answer counts as any bytes do, so that only `h2` waits for it.
    fn poll_ping(&mut self, live: &Live, cx: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        if self.pinged && pings.poll_pong(cx).is_ready() {
            self.pinged = false;
        }
        if live.takes_ping_order() && !self.pinged {
            self.pinged = pings.send_ping(Ping::opaque()).is_ok();
        }
    }
}

// === impl Host ===

impl<H: Corridor> Host<H> {
    fn take(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let in_flight = self.live.call();
        let (parts, body) = request.into_parts();
        if self.door.settings.websockets
            && parts.method == Method::CONNECT
            && parts.extensions.get::<Protocol>().is_some()
        {
            return self.tunnel(parts, body, respond, in_flight);
        }
        let call = Http2Call { head: Head::new(parts, Arc::clone(&self.connection)), body, respond };
        match self.ward.handler.pass(call) {
            Ok(passage) => {
                let handler = Arc::clone(&self.ward.handler);
                drop(tokio::spawn(Counted { call: pass(passage, handler), in_flight }));
            }
            Err(Http2Call { head, body, respond }) => {
                let opened = Arc::clone(&self.ward.handler).open(head, Inbound::http2(body));
                drop(tokio::spawn(Counted { call: Carry::new(opened, respond), in_flight }));
            }
        }
    }

    /// A WebSocket by extended CONNECT (RFC 8441).
    fn tunnel(&self, parts: http::request::Parts, body: RecvStream, respond: SendResponse<Bytes>, in_flight: InFlight) {
        let visit = Visit {
            handler: Arc::clone(&self.ward.handler),
            connection: Arc::clone(&self.connection),
            settings: &self.door.settings,
            meters: &self.door.meters,
            in_flight: self.live.call(),
            ties: Arc::clone(&self.ties),
            stage: self.ward.stage(),
        };
        let (offer, tunnel) = offer(body);
        let response = websocket::receive(visit, parts, false, Upgrade::Http2(tunnel));
        let carry = Carry::new(std::future::ready(response), respond).offering(offer);
        drop(tokio::spawn(Counted { call: carry, in_flight }));
    }
}

/// The fast lane, and the corridor if that is where it leads.
async fn pass<H: Corridor>(passage: Passage, handler: Arc<H>) {
    match passage.await {
        Passed::Done => {}
        // boxed: it is rare, and every call would have room for it
        Passed::Corridor(rest) => {
            let opened = handler.open(rest.head, rest.inbound);
            Box::pin(Carry::new(opened, rest.respond)).await;
        }
    }
}

// === impl Counted ===

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().call.poll(cx)
    }
}
