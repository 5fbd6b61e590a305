//! The fast lane: a native gRPC call whose bytes pass both ways as they are.
//!
//! Most calls of services among themselves are so. They need no dialect's rendering, no body that a door polls and no task
//! for the other direction: one small future owns both streams, carries chunks from one to the other, follows the frames'
//! boundaries and ends the call's record. It says exactly what the corridor would say (`handler.rs`), and hands the call
//! over to the corridor whenever anything is out of the ordinary before the answer has begun: no free slot, a refused
//! stream that may go again. What is asked of a method in settings (guards, rules, an idle timeout) or by routes keeps its
//! calls in the corridor from the start.
//!
//! Back-pressure: a chunk is read when the last one has found its room on the other side. One is sent ahead of the window
//! in each direction, since nearly all calls are one small message each way, and asking for room costs more than they do.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method as Verb, Response};
use tokio::time::Sleep;

use super::affinity;
use super::attempts::{Facts, Look, Next, Tally, Tried, Why, tell_time_left};
use super::downlink::{Downlink, Made, Part};
use super::ending::{
    code, deadline_passed, from_fault, from_refusal, from_request_frames, has_status, late, speaks_against, status_of,
    with_early,
};
use super::handler::{Handler, answered_encoding, check_head, lists};
use super::kept::KeptHead;
use super::passing::{GATHER, LARGE, PassingFrames};
use super::replay::Replay;
use super::tables::Called;
use super::uplink::{exactly_one, only_one, whole};
use crate::call::{CallRecord, Head, Http2Call, Inbound, Kind, Refusal};
use crate::observe::Direction;
use crate::protocol::{
    Answer, Codec, Due, End, Family, Grpc, Passing, family, forwardable_head, forwardable_request,
    forwardable_trailers, passing_grpc,
};
use crate::status::Code;
use crate::upstream::{Choice, Exchange, RequestStream, ResponseHead, ResponseStream, Verdict};
use crate::wire::{FrameScanner, prefix};

/// A call in the fast lane. Dropping it cancels the call, both ways.
pub struct Passage {
    /// `None` once it is over.
    call: Option<Lane>,
}

/// What there is of it until it is over.
struct Lane {
    called: Called,
    record: CallRecord,
    head: Head,
    /// The head's fields as they went upstream, to send them again, until the answer has begun.
    kept: Option<KeptHead>,
    look: Look,
    /// The answer's head, while it is not known yet whether it goes on.
    waiting: Option<Box<ResponseHead>>,
    /// What the upstream may compress its messages with.
    accepted: HeaderValue,
    up: Up,
    respond: SendResponse<Bytes>,
    down: Down,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// How a passage ends.
pub enum Passed {
    /// The call is over, and its caller knows.
    Done,
    /// Nothing has been said to the caller yet, and the corridor is to carry the call from its beginning.
    Corridor(Box<Rest>),
}

/// What the corridor is to carry.
pub struct Rest {
    pub head: Head,
    pub inbound: Inbound,
    pub respond: SendResponse<Bytes>,
}

/// The caller's side.
struct Up {
    body: RecvStream,
    request: RequestStream,
    scanner: FrameScanner,
    /// Read, and to be sent before more is.
    held: Bytes,
    /// Bytes held or sent ahead, for which the caller's window is opened again when they have gone.
    owed: usize,
    /// What was sent, to be sent again if it has to be; `None` when it is too much, or the answer has begun.
    sent: Option<Replay>,
    /// Something was sent: from now on the window is asked.
    begun: bool,
    read_all: bool,
    /// END_STREAM is sent, or nothing more can be.
    ended: bool,
    /// One message is all that the method takes, and at least one.
    single: bool,
}

/// The upstream's side.
struct Down {
    response: ResponseStream,
    frames: PassingFrames,
    /// Reads the answer in place of those two, if its messages must be unpacked.
    unpacked: Option<Box<Downlink>>,
    /// `Some` once the answer's head is out.
    stream: Option<SendStream<Bytes>>,
    /// A chunk was sent; the next one waits until that has found its room.
    ahead: bool,
    /// A status in a head that was not the end; see `Downlink`.
    early: Option<Box<HeaderMap>>,
}

/// Why no more of the answer can go on.
enum Over {
    /// The caller went away.
    Gone,
    Refused(Refusal),
}

/// How an answer ended.
enum Last {
    Fields(Option<HeaderMap>),
    Told(Box<End>),
}

/// The head of an answer that may go on; else why the attempt failed, with the head if there is one.
type Awaited = Result<ResponseHead, (Why, Option<Box<ResponseHead>>)>;

/// What is to become of a call.
enum Turn {
    Ended,
    /// The attempt is given up, and another is granted.
    Again(Tried),
}

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

// === impl Handler ===

impl Handler {
    /// Takes a call into the fast lane.
    ///
    /// Errors: the call, if it is one for the corridor.
    #[expect(clippy::result_large_err, reason = "a box would cost every call of the corridor an allocation")]
    pub fn pass(self: &Arc<Self>, call: Http2Call) -> Result<Passage, Http2Call> {
        let Some((called, deadline)) = self.passing(&call.head) else { return Err(call) };
        let deadline = deadline.and_then(|after| call.head.received.checked_add(after));
        let hash = affinity::key(called.cluster(), &call.head.parts.headers);
        let choice = Choice { hash, deadline, ..Choice::default() };
        let Some(place) = self.pool().place(called.cluster(), &choice) else { return Err(call) };
        let Http2Call { mut head, body, respond } = call;
        let mut record = CallRecord::start(Arc::clone(self.meters()), head.received);
        record.dialect = "grpc";
        record.name(&called.method().path);
        let path = called.path(&head);
        let mut headers = std::mem::take(&mut head.parts.headers);
        let accepted = forwardable_request(&mut headers, Passing { request: true, answer: true });
        let kept = KeptHead::of(&headers, false);
        // it was looked at just now; one that has passed meanwhile ends the call when that is polled
        let _ = tell_time_left(deadline, &mut headers);
        match place.send(path, headers, false) {
            Ok(exchange) => {
                record.reached(exchange.endpoint().cluster(), exchange.endpoint().label());
                let look = Look::of(&called, Due::AtOnce);
                if look != Look::Never {
                    called.cluster().retry_budget().deposit(head.received);
                }
                record.attempts = 1;
                let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
                let told = (head, kept, look, accepted);
                Ok(Passage { call: Some(Lane::new(called, record, told, exchange, (body, respond), deadline)) })
            }
            Err(_) => {
                // the connection closed just now: the corridor finds another
                record.abandon();
                head.parts.headers = kept.rebuild();
                Err(Http2Call { head, body, respond })
            }
        }
    }

    /// Whether a call can take the fast lane, with its method and how long it may take.
    fn passing(&self, head: &Head) -> Option<(Called, Option<Duration>)> {
        let headers = &head.parts.headers;
        if head.parts.method != Verb::POST || family(headers) != Family::Grpc(Some(Codec::Proto)) {
            return None;
        }
        let tables = self.tables();
        if tables.cors.is_some() && headers.contains_key(ORIGIN) {
            return None;
        }
        let at = tables.routes.method(head.parts.uri.path())?;
        let called = Called::new(&tables, at)?;
        if called.is_guarded(Direction::Request) || called.is_guarded(Direction::Response) {
            return None;
        }
        if called.plan().is_some() {
            return None;
        }
        let settings = &called.method().settings;
        // a key that is a field of the message is not to be had from the head
        if settings.idle_timeout.is_some()
            || affinity::needs_message(called.cluster())
            || Look::of(&called, Due::AtOnce).is_timed(&called)
        {
            return None;
        }
        let deadline = passing_grpc(headers, settings)?;
        // a fast upstream could win against a deadline that has passed
        let left = deadline.is_none_or(|after| after > head.received.elapsed());
        left.then_some((called, deadline))
    }
}

// === impl Passage ===

impl Future for Passage {
    type Output = Passed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Passed> {
        let Some(call) = &mut self.call else { return Poll::Ready(Passed::Done) };
        match ready!(call.poll_turn(cx)) {
            Ok(Turn::Ended) => self.over(),
            Ok(Turn::Again(tried)) => {
                if let Some(call) = self.call.take() {
                    return Poll::Ready(call.hand_over(tried));
                }
            }
            Err(refusal) => {
                call.refuse(&refusal);
                self.over();
            }
        }
        Poll::Ready(Passed::Done)
    }
}

impl Passage {
    /// Ends the record with what has passed, and lets go of both streams.
    fn over(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.record.request_messages = call.up.scanner.messages();
            call.record.response_messages = call.down.messages();
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.over();
    }
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").field("record", &self.call.as_ref().map(|call| &call.record)).finish_non_exhaustive()
    }
}

// === impl Lane ===

impl Lane {
    fn new(
        called: Called,
        record: CallRecord,
        (head, kept, look, accepted): (Head, KeptHead, Look, HeaderValue),
        exchange: Exchange,
        (body, respond): (RecvStream, SendResponse<Bytes>),
        deadline: Option<Pin<Box<Sleep>>>,
    ) -> Lane {
        let (settings, kind) = (&called.method().settings, called.method().kind);
        let Exchange { request, response } = exchange;
        let up = Up {
            body,
            request,
            scanner: FrameScanner::new(settings.max_request_message),
            held: Bytes::new(),
            owed: 0,
            sent: Some(Replay::new(settings.retry.buffer)),
            begun: false,
            read_all: false,
            ended: false,
            single: !kind.client_streams(),
        };
        let down = Down {
            response,
            frames: PassingFrames::new(settings.max_response_message),
            unpacked: None,
            stream: None,
            ahead: false,
            early: None,
        };
        Lane { called, record, head, kept: Some(kept), look, waiting: None, accepted, up, respond, down, deadline }
    }

    /// Carries on until the call is over; an error is what its caller is to be told.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, Refusal>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(deadline_passed()));
        }
        if !self.up.ended
            && let Poll::Ready(Err(refusal)) = self.up.poll(cx)
        {
            return Poll::Ready(Err(refusal));
        }
        if self.down.stream.is_none() {
            let head = match self.poll_head(cx) {
                Poll::Pending => return self.poll_gone(cx),
                Poll::Ready(Ok(head)) => head,
                Poll::Ready(Err((why, head))) => match (self.again(&why), why, head) {
                    (Some(tried), ..) => return Poll::Ready(Ok(Turn::Again(tried))),
                    (None, Why::Fault(fault), _) => return Poll::Ready(Err(from_fault(&fault))),
                    (None, _, Some(head)) => *head,
                    (None, _, None) => return Poll::Ready(Err(deadline_passed())),
                },
            };
            if let Some(end) = self.begin(head)? {
                return Poll::Ready(self.end_at_once(end));
            }
        }
        match self.down.poll_body(cx) {
            Poll::Pending => self.poll_gone(cx),
            Poll::Ready(Ok(Last::Fields(trailers))) => Poll::Ready(self.end(trailers)),
            Poll::Ready(Ok(Last::Told(end))) => Poll::Ready(self.end_told(*end)),
            Poll::Ready(Err(Over::Gone)) => Poll::Ready(Ok(Turn::Ended)),
            Poll::Ready(Err(Over::Refused(refusal))) => Poll::Ready(Err(refusal)),
        }
    }

    /// The head of an answer that may go on; else why the attempt failed, with the head if there is one.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Awaited> {
        let head = match self.waiting.take() {
            Some(head) => *head,
            None => match ready!(self.down.response.poll_head(cx)) {
                Ok(head) => head,
                Err(fault) => return Poll::Ready(Err((Why::Fault(fault), None))),
            },
        };
        match self.look.poll_at(&mut self.down.response, &head, cx) {
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(head)),
            Poll::Ready(Ok(Some(bad))) => Poll::Ready(Err((Why::Told(bad), Some(Box::new(head))))),
            Poll::Ready(Err(fault)) => Poll::Ready(Err((Why::Fault(fault), None))),
            Poll::Pending => {
                self.waiting = Some(Box::new(head));
                Poll::Pending
            }
        }
    }

    /// Whether another attempt follows this one: the corridor makes it.
    fn again(&mut self, why: &Why) -> Option<Tried> {
        self.record.attempt_failure = Some(why.word());
        let meters = Arc::clone(self.record.meters());
        let facts = Facts {
            called: &self.called,
            cluster: self.called.cluster(),
            meters: &meters.repeats,
            look: self.look,
            deadline: self.deadline.as_ref().map(|sleep| sleep.deadline().into_std()),
            has_body: self.up.sent.is_some() && self.kept.is_some(),
            others: false,
        };
        let mut tally = Tally::FIRST;
        let Next::Start(pause) = tally.next(why, &facts) else { return None };
        meters.repeats.retried(why.reason());
        self.down.response.judge(why.verdict());
        Some(Tried { tally, pause, failed: why.word(), endpoint: Some(self.down.response.endpoint().id()) })
    }

    /// A caller that resets the stream, or whose connection is lost, wants no answer. The record says so when it falls.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, Refusal>> {
        let reset = match &mut self.down.stream {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        ready!(reset).ok();
        Poll::Ready(Ok(Turn::Ended))
    }

    /// Sends the answer's head. An answer that is a head only comes back as its fields.
    fn begin(&mut self, head: ResponseHead) -> Result<Option<HeaderMap>, Refusal> {
        let ResponseHead { parts, is_end } = head;
        check_head(&parts, is_end)?;
        self.up.sent = None;
        self.kept = None;
        let mut fields = parts.headers;
        if is_end {
            return Ok(Some(fields));
        }
        if has_status(&fields) {
            self.down.early = Some(Box::new(status_of(&fields)));
        }
        match forwardable_head(&mut fields) {
            Some(packed) if lists(&self.accepted, packed.as_bytes()) => drop(fields.insert(ENCODING, packed)),
            Some(packed) => self.unpack(&packed)?,
            None => {}
        }
        self.tell(fields, false);
        Ok(None)
    }

    /// The upstream compressed its messages though it was told that the caller does not read that: they are unpacked.
    fn unpack(&mut self, packed: &HeaderValue) -> Result<(), Refusal> {
        let encoding = answered_encoding(packed)?;
        let response = self.down.response.split_off();
        self.down.unpacked = Some(Box::new(Downlink::new(response, Some(Made::unpacked(encoding)), &self.called)));
        Ok(())
    }

    fn tell(&mut self, fields: HeaderMap, ends: bool) {
        let mut response = Response::new(());
        *response.headers_mut() = fields;
        // it fails if the caller has gone, and then the next poll ends the call
        self.down.stream = self.respond.send_response(response, ends).ok();
    }

    /// The answer is a head only: the status is in it.
    fn end_at_once(&mut self, mut fields: HeaderMap) -> Result<Turn, Refusal> {
        let code = self.code(&fields)?;
        forwardable_trailers(&mut fields);
        fields.insert(CONTENT_TYPE, GRPC);
        self.record.end(code);
        self.tell(fields, true);
        Ok(Turn::Ended)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<Turn, Refusal> {
        self.down.frames.check_end()?;
        let early = self.down.early.take().filter(|_| self.down.frames.messages() == 0);
        let mut fields = with_early(trailers, early);
        let code = self.code(&fields)?;
        forwardable_trailers(&mut fields);
        self.record.end(code);
        self.finish(fields);
        Ok(Turn::Ended)
    }

    fn end_told(&mut self, end: End) -> Result<Turn, Refusal> {
        self.record.end(end.status.code);
        self.finish(Grpc { codec: Codec::Proto }.end(end).trailers.unwrap_or_default());
        Ok(Turn::Ended)
    }
}

impl Lane {
    /// What the fields that end an answer tell; without a status they are an error, never OK.
    fn code(&self, fields: &HeaderMap) -> Result<Code, Refusal> {
        let code = code(fields)?;
        self.down.response.judge_status(code);
        Ok(code)
    }

    fn finish(&mut self, trailers: HeaderMap) {
        if let Some(stream) = &mut self.down.stream {
            // it fails if the caller has gone
            let _ = stream.send_trailers(trailers);
        }
    }

    /// Tells the caller what went wrong: in a head of its own, or in the trailers if the head is out.
    fn refuse(&mut self, refusal: &Refusal) {
        let deadline = self.deadline.as_ref().map(|sleep| sleep.deadline().into_std());
        let refusal = late(refusal.clone(), deadline);
        if speaks_against(refusal.kind) {
            self.down.response.judge(Verdict::Failure);
        }
        let mut answer = Grpc { codec: Codec::Proto };
        let end: End = from_refusal(&refusal, answer.details());
        self.record.end(end.status.code);
        if self.down.stream.is_some() {
            self.finish(answer.end(end).trailers.unwrap_or_default());
        } else {
            let out = answer.whole(HeaderMap::new(), None, end);
            self.tell(out.head.headers, true);
        }
    }

    /// Gives the call to the corridor as it came; what was read of it comes first.
    fn hand_over(self, tried: Tried) -> Passed {
        let Lane { record, mut head, kept, up, respond, .. } = self;
        record.abandon();
        head.parts.headers = kept.map(|kept| kept.rebuild()).unwrap_or_default();
        head.parts.extensions.insert(tried);
        Passed::Corridor(Box::new(Rest { head, inbound: up.again(), respond }))
    }
}

// === impl Up ===

impl Up {
    /// Carries on until all is sent, or the request must be refused. A fault of the upstream ends it quietly: the answer's
    /// side knows more about it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        while !self.ended {
            if self.held.is_empty() {
                if self.read_all {
                    self.send(Bytes::new());
                } else {
                    ready!(self.poll_read(cx))?;
                }
                continue;
            }
            let room = if !self.begun && self.held.len() <= GATHER {
                self.held.len()
            } else {
                match ready!(self.request.poll_ready(cx, self.held.len())) {
                    Ok(room) => room.min(self.held.len()),
                    Err(_) => {
                        self.ended = true;
                        break;
                    }
                }
            };
            let piece = self.held.split_to(room);
            self.send(piece);
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, piece: Bytes) {
        let last = self.held.is_empty() && self.read_all;
        self.begun |= !piece.is_empty();
        if self.sent.as_mut().is_some_and(|sent| !sent.keep(&piece)) {
            self.sent = None;
        }
        let failed = self.request.send(piece, last).is_err();
        self.ended = last || failed;
    }

    /// Reads what is there, up to [`GATHER`] bytes of small chunks.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        if self.owed > 0 {
            // fails only if the stream is over, which the next line tells
            let _ = self.body.flow_control().release_capacity(std::mem::take(&mut self.owed));
        }
        let Some(first) = ready!(self.poll_chunk(cx))? else { return Poll::Ready(self.close()) };
        self.held = first;
        if self.held.len() < LARGE && !self.body.is_end_stream() {
            self.gather(cx)?;
        }
        if self.body.is_end_stream() { Poll::Ready(self.close()) } else { Poll::Ready(Ok(())) }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        match ready!(self.body.poll_data(cx)) {
            None => Poll::Ready(Ok(None)),
            Some(Err(_)) => Poll::Ready(Err(Refusal::new(Kind::Cancelled, "the caller went away"))),
            Some(Ok(chunk)) => {
                self.owed += chunk.len();
                self.scanner.scan(&chunk).map_err(from_request_frames)?;
                only_one(self.single, self.scanner.messages())?;
                Poll::Ready(Ok(Some(chunk)))
            }
        }
    }

    /// Puts what is there already behind a small chunk. The end is met again on the next poll.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let mut gathered = BytesMut::new();
        while self.held.len().max(gathered.len()) < GATHER {
            let Poll::Ready(Some(next)) = self.poll_chunk(cx)? else { break };
            if gathered.is_empty() {
                gathered.reserve(GATHER);
                gathered.extend_from_slice(&self.held);
            }
            gathered.extend_from_slice(&next);
        }
        if !gathered.is_empty() {
            self.held = gathered.freeze();
        }
        Ok(())
    }

    /// The body is at its end: nothing may be left half.
    fn close(&mut self) -> Result<(), Refusal> {
        self.read_all = true;
        whole(self.scanner.at_boundary())?;
        exactly_one(self.single, self.scanner.messages())
    }

    /// The body as it came, from its beginning.
    fn again(mut self) -> Inbound {
        let _ = self.body.flow_control().release_capacity(self.owed);
        let mut all = self.sent.map(|mut sent| sent.pieces().to_vec()).unwrap_or_default();
        if !self.held.is_empty() {
            all.push(self.held);
        }
        let rest = if self.read_all { Inbound::Done } else { Inbound::http2(self.body) };
        all.into_iter().rev().fold(rest, |rest, chunk| Inbound::Peeked(chunk, Box::new(rest)))
    }
}

// === impl Down ===

impl Down {
    fn messages(&self) -> u64 {
        self.unpacked.as_ref().map_or(self.frames.messages(), |down| down.messages())
    }

    /// Carries the body on to its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Last, Over>> {
        if self.unpacked.is_some() {
            return self.poll_unpacked(cx);
        }
        loop {
            if !self.frames.is_over() {
                ready!(self.poll_room(cx))?;
            }
            match ready!(self.frames.poll(&mut self.response, cx)).map_err(Over::Refused)? {
                Some(chunk) => self.send(chunk)?,
                None => break,
            }
        }
        let trailers = ready!(self.response.poll_trailers(cx));
        Poll::Ready(trailers.map(Last::Fields).map_err(|fault| Over::Refused(from_fault(&fault))))
    }

    fn send(&mut self, chunk: Bytes) -> Result<(), Over> {
        let sent = self.stream.as_mut().map(|stream| stream.send_data(chunk, false));
        self.ahead = true;
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(Over::Gone) }
    }

    fn poll_unpacked(&mut self, cx: &mut Context<'_>) -> Poll<Result<Last, Over>> {
        loop {
            ready!(self.poll_room(cx))?;
            let Some(down) = &mut self.unpacked else { return Poll::Ready(Err(Over::Gone)) };
            match ready!(down.poll_part(cx)).map_err(Over::Refused)? {
                Part::Chunk(bytes) => self.send(bytes)?,
                Part::Content(content) => self.send(content.data)?,
                Part::Message(message) => {
                    let front = prefix(message.flags, message.payload.len());
                    self.send([&front[..], &message.payload].concat().into())?;
                }
                Part::End(end) => return Poll::Ready(Ok(Last::Told(end))),
            }
        }
    }

    /// Ready when what was sent has found its room.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.ahead) else { return Poll::Ready(Ok(())) };
        stream.reserve_capacity(1);
        while stream.capacity() == 0 {
            match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Over::Gone)),
                Poll::Pending => {
                    // a slow caller: what arrives meanwhile is to lie close together
                    self.response.watch();
                    return Poll::Pending;
                }
            }
        }
        self.ahead = false;
        Poll::Ready(Ok(()))
    }
}
