//! One socket from its handshake to its close: the caller's frames become a request, the body of the answer becomes
//! frames.
//!
//! A frame is read only when the call has taken the last, and a piece of the answer is asked for only when the caller has
//! taken the last: both sides feel the other's pace, and one message each way is held.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_channel::mpsc;
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use http_body::{Body as _, Frame};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::socket::{Heard, Socket, Upgrade};
use crate::call::{Connection, Head, Inbound, Kind, Refusal, Subprotocol};
use crate::listen::drain::Stage;
use crate::listen::serve::Corridor;
use crate::protocol::{Cutter, Said, SocketFrame, cut_reason, merge, opening, said};
use crate::proxy::{Body, BodyError, Takes, Welcome, end_socket};

/// What a listener allows a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of metadata.
    pub(super) metadata: usize,
    pub(super) ping_interval: Duration,
    /// For a call to begin.
    pub(super) idle_timeout: Duration,
}

/// The call of a socket.
pub(super) struct Session<H> {
    handler: Arc<H>,
    connection: Arc<Connection>,
    subprotocol: Subprotocol,
    welcome: Welcome,
    limits: Limits,
    /// The handshake's head, until the call begins.
    head: Option<Parts>,
    /// Where the caller's messages go, from the call's beginning to the end of its side.
    feed: Option<mpsc::Sender<Bytes>>,
    /// The call does not take what the caller has to say; nothing is read meanwhile.
    stalled: bool,
    /// The caller's side has ended, by its word or because its only message is there.
    ended: bool,
    /// Whatever the caller says, the call is over or does not want it.
    deaf: bool,
    answer: Answering,
    /// The head of an answer is out.
    opened: bool,
    /// What came of the answer was handed on last, so the caller is listened to first.
    told_last: bool,
    cutter: Cutter,
}

/// How far the answer is.
enum Answering {
    NotYet,
    Awaited(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    Body(Body),
}

/// What happens next.
enum Event {
    Heard(Heard),
    Opened(Response<Body>),
    Told(Option<Result<Frame<Bytes>, BodyError>>),
}

/// How a session ends.
#[derive(Debug, PartialEq)]
enum Parting {
    Close(u16, String),
    /// The caller closed first.
    Answer,
    /// There is no one left.
    Gone,
}

/// Whether the caller still lives.
struct Pulse {
    ticks: Interval,
    patience: Duration,
    /// When the first ping went out that no sign of life has followed.
    asked: Option<Instant>,
}

/// What the handshake's answer may take to get out.
const UPGRADING: Duration = Duration::from_secs(10);
/// `transom.json.v1` puts this much around a message, and blanks.
const ENVELOPE: usize = 1024;
/// What `grpc-websockets` puts before a message: its own byte, and gRPC's five.
const GRPC_FRONT: usize = 6;
const SHUTTING_DOWN: &str = "the edge is shutting down";

// === impl Session ===

impl<H: Corridor> Session<H> {
    pub(super) fn new(
        handler: Arc<H>,
        connection: Arc<Connection>,
        subprotocol: Subprotocol,
        welcome: Welcome,
        head: Parts,
        limits: Limits,
    ) -> Session<H> {
        Session {
            handler,
            connection,
            subprotocol,
            welcome,
            limits,
            head: Some(head),
            feed: None,
            stalled: false,
            ended: false,
            deaf: false,
            answer: Answering::NotYet,
            opened: false,
            told_last: false,
            cutter: Cutter::new(subprotocol),
        }
    }

    /// Carries the call. `ties` are what must not be given up before the socket.
    pub(super) async fn run<T>(mut self, upgrade: Upgrade, mut stage: watch::Receiver<Stage>, ties: T) {
        let Ok(Some(wire)) = timeout(UPGRADING, upgrade.done()).await else { return };
        let mut socket = Socket::new(wire, self.longest()).await;
        let parting = self.carry(&mut socket, &mut stage).await;
        // the call is let go of before the farewell, which may take a moment
        self.feed = None;
        self.answer = Answering::NotYet;
        match parting {
            Parting::Close(code, reason) => socket.close(Some((code, &reason))).await,
            Parting::Answer => socket.close(None).await,
            Parting::Gone => {}
        }
        drop(ties);
    }

    /// The most bytes of a frame, 0 for no limit.
    fn longest(&self) -> usize {
        let message = self.welcome.max_message;
        match self.subprotocol {
            _ if message == 0 => 0,
            Subprotocol::Json => message,
            Subprotocol::Envelopes => message.saturating_add(ENVELOPE).max(self.limits.metadata),
            Subprotocol::Grpc => message.saturating_add(GRPC_FRONT).max(self.limits.metadata),
        }
    }

    async fn carry(&mut self, socket: &mut Socket, stage: &mut watch::Receiver<Stage>) -> Parting {
        if self.begins_unasked() {
            self.begin();
        }
        let mut pulse = Pulse::new(self.limits.ping_interval);
        let mut patience = std::pin::pin!(sleep(self.limits.idle_timeout));
        loop {
            let waiting = self.head.is_some();
            let over = if waiting { Stage::Draining } else { Stage::Over };
            let parting = tokio::select! {
                biased;
                // an error means that the worker is gone
                _ = stage.wait_for(|stage| *stage >= over) => Some(closed(CloseCode::Away, SHUTTING_DOWN)),
                () = &mut patience, if waiting => Some(closed(CloseCode::Away, "no call began in time")),
                _ = pulse.ticks.tick() => self.beat(socket, &mut pulse),
                event = poll_fn(|cx| self.poll_event(socket, cx)) => match event {
                    Event::Heard(heard) => {
                        pulse.asked = None;
                        self.hear(socket, heard)
                    }
                    Event::Opened(response) => self.open(socket, response),
                    Event::Told(told) => self.tell(socket, told),
                },
            };
            if let Some(parting) = parting {
                return parting;
            }
        }
    }

    /// Whether the call begins before the caller has said anything: it needs no message, or its caller may want to listen
    /// first. Envelopes may begin with metadata, so that they are waited for.
    fn begins_unasked(&self) -> bool {
        self.subprotocol == Subprotocol::Json && self.welcome.takes != Takes::One
    }

    /// Hands the head to the corridor. Deadlines count from now.
    fn begin(&mut self) {
        let Some(mut parts) = self.head.take() else { return };
        parts.method = Method::POST;
        let mut head = Head::new(parts, Arc::clone(&self.connection));
        head.socket = Some(self.subprotocol);
        let inbound = if self.welcome.takes == Takes::Nothing {
            Inbound::Done
        } else {
            let (feed, chunks) = mpsc::channel(0);
            self.feed = Some(feed);
            Inbound::Fed(chunks)
        };
        self.answer = Answering::Awaited(Box::pin(Arc::clone(&self.handler).open(head, inbound)));
    }

    fn poll_event(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(Err(_)) = socket.poll_flush(cx) {
            return Poll::Ready(Event::Heard(Heard::Gone));
        }
        if std::mem::take(&mut self.told_last)
            && let Poll::Ready(event) = self.poll_hear(socket, cx)
        {
            return Poll::Ready(event);
        }
        match self.poll_answer(socket, cx) {
            Poll::Ready(event) => {
                self.told_last = true;
                Poll::Ready(event)
            }
            Poll::Pending => self.poll_hear(socket, cx),
        }
    }

    fn poll_answer(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<Event> {
        match &mut self.answer {
            _ if !socket.is_flushed() => Poll::Pending,
            Answering::NotYet => Poll::Pending,
            Answering::Awaited(response) => response.as_mut().poll(cx).map(Event::Opened),
            Answering::Body(body) => Pin::new(body).poll_frame(cx).map(Event::Told),
        }
    }

    fn poll_hear(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Event> {
        self.stalled = false;
        if let Some(feed) = &mut self.feed {
            match feed.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    // the upstream has all it wants
                    self.feed = None;
                    self.deaf = true;
                }
                Poll::Pending => {
                    self.stalled = true;
                    return Poll::Pending;
                }
            }
        }
        socket.poll_hear(cx).map(Event::Heard)
    }

    /// A moment to ask whether the caller lives.
    fn beat(&mut self, socket: &mut Socket, pulse: &mut Pulse) -> Option<Parting> {
        if self.stalled {
            // we would not hear an answer
            pulse.asked = None;
        } else if pulse.asked.is_some_and(|asked| asked.elapsed() >= pulse.patience) {
            return Some(Parting::Gone);
        }
        // what waits for a caller who reads slowly is sign enough, and a ping would wait behind it
        if !socket.is_flushed() {
            return None;
        }
        if socket.ping().is_err() {
            return Some(Parting::Gone);
        }
        pulse.asked.get_or_insert_with(Instant::now);
        None
    }

    fn hear(&mut self, socket: &mut Socket, heard: Heard) -> Option<Parting> {
        let (binary, payload) = match heard {
            Heard::Alive => return None,
            Heard::Close => return Some(Parting::Answer),
            Heard::Gone => return Some(Parting::Gone),
            Heard::Broken(code, reason) => return Some(closed(code, reason)),
            Heard::TooLarge(size) => {
                let text = format!("a request message of {size} bytes is over the limit");
                return self.refuse(socket, &Refusal::new(Kind::TooLarge, text));
            }
            Heard::Text(text) => (false, text),
            Heard::Binary(bytes) => (true, bytes),
        };
        if self.deaf {
            return None;
        }
        let meant = said(self.subprotocol, self.head.is_some(), binary, payload, self.limits.metadata);
        match meant.and_then(|said| self.take(said)) {
            Ok(()) => None,
            Err(refusal) => self.refuse(socket, &refusal),
        }
    }

    /// Does as the caller says.
    fn take(&mut self, said: Said) -> Result<(), Refusal> {
        match said {
            Said::Nothing => {}
            Said::Headers(headers) => {
                let Some(parts) = &mut self.head else {
                    return Err(bad("headers come first, and once"));
                };
                merge(&mut parts.headers, headers);
                self.begin();
            }
            Said::End => {
                self.begin();
                self.end();
            }
            Said::Message(message) => {
                self.begin();
                self.message(message)?;
            }
        }
        Ok(())
    }

    fn message(&mut self, message: Bytes) -> Result<(), Refusal> {
        let is_grpc = self.subprotocol == Subprotocol::Grpc;
        match self.welcome.takes {
            Takes::Nothing if !self.ended && is_empty_object(&message) => {
                self.end();
                return Ok(());
            }
            Takes::Nothing => return Err(bad("all of this request is in its path and query; it takes no message")),
            Takes::One if self.ended => {
                let text = "the method takes one message, and the request has more";
                return Err(Refusal::new(Kind::Cardinality, text));
            }
            Takes::Many if self.ended => return Err(bad("a message came behind the end")),
            Takes::One | Takes::Many => {}
        }
        if is_grpc && message.is_empty() {
            return Ok(());
        }
        let failed = self.feed.as_mut().is_none_or(|feed| feed.start_send(message).is_err());
        if failed {
            self.feed = None;
            self.deaf = true;
        }
        if self.welcome.takes == Takes::One {
            self.end();
        }
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        self.feed = None;
    }

    /// Ends the call by a word of our own. The upstream is let go of; it counts as cancelled. Where half a message is out,
    /// the close code alone can tell.
    fn refuse(&mut self, socket: &mut Socket, refusal: &Refusal) -> Option<Parting> {
        if !self.cutter.at_boundary() {
            return Some(closed(CloseCode::Policy, cut_reason(&refusal.message)));
        }
        self.end();
        self.deaf = true;
        self.head = None;
        let response = end_socket(self.subprotocol, refusal, self.opened);
        self.open(socket, response)
    }

    fn open(&mut self, socket: &mut Socket, response: Response<Body>) -> Option<Parting> {
        let (parts, body) = response.into_parts();
        self.answer = Answering::Body(body);
        if std::mem::replace(&mut self.opened, true) {
            return None;
        }
        self.write_opening(socket, &parts.headers)
    }

    fn write_opening(&self, socket: &mut Socket, headers: &HeaderMap) -> Option<Parting> {
        opening(self.subprotocol, headers).and_then(|frame| write(socket, frame))
    }

    fn tell(&mut self, socket: &mut Socket, told: Option<Result<Frame<Bytes>, BodyError>>) -> Option<Parting> {
        let chunk = match told {
            Some(Ok(frame)) => frame.into_data().ok()?,
            Some(Err(_)) => return Some(closed(CloseCode::Error, "the answer was cut")),
            None => {
                return Some(match self.cutter.end() {
                    Ok(SocketFrame::Close(code, reason)) => Parting::Close(code, reason),
                    _ => closed(CloseCode::Error, "the answer was cut"),
                });
            }
        };
        self.cutter.push(chunk);
        loop {
            match self.cutter.next() {
                Ok(None) => return None,
                Ok(Some(frame)) => {
                    if let Some(parting) = write(socket, frame) {
                        return Some(parting);
                    }
                }
                Err(_) => return Some(closed(CloseCode::Error, "the answer was cut")),
            }
        }
    }
}

fn write(socket: &mut Socket, frame: SocketFrame) -> Option<Parting> {
    let written = match frame {
        SocketFrame::Text(text) => socket.text(text),
        SocketFrame::Binary(bytes) => socket.binary(bytes),
        SocketFrame::Close(code, reason) => return Some(Parting::Close(code, reason)),
    };
    written.is_err().then_some(Parting::Gone)
}

fn closed(code: CloseCode, reason: &str) -> Parting {
    Parting::Close(code.into(), reason.to_owned())
}

fn bad(text: &'static str) -> Refusal {
    Refusal::new(Kind::BadRequest, text)
}

fn is_empty_object(text: &[u8]) -> bool {
    let inner = text.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

// === impl Pulse ===

impl Pulse {
    fn new(interval: Duration) -> Pulse {
        // tokio's intervals may not be nothing
        let interval = interval.max(Duration::from_millis(1));
        let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Pulse { ticks, patience: interval.saturating_mul(2), asked: None }
    }
}
