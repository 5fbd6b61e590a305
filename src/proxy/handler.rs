//! One call from head to end.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Method as Verb, Response, StatusCode};

use super::affinity;
use super::attempts::{Trail, tell_time_left};
use super::body::{After, Body, Idle, Pump, Relay, Way};
use super::conditional::{Conditional, vary_by_encoding};
use super::downlink::{Content, Downlink, Made, Part};
use super::early::Heartbeat;
use super::ending::{deadline_passed, expand, from_fields, from_refusal, has_status, late, status_of};
use super::form_body::form_uplink;
use super::json_body::JsonBody;
use super::mirror::{self, Shadows, Witness};
use super::multipart_body::multipart_uplink;
use super::raw_upload::raw_uplink;
use super::recode::{Rule, packed_if_worth, request_frame, text_frame, too_large, unpacked_body, woven_frame};
use super::rest_call::{Extras, resumed, wanted_fields};
use super::socket::{self, Welcome, refuse_handshake};
use super::tables::{Called, Page, Tables};
use super::target::Target;
use super::texts::Texts;
use super::uplink::Uplink;
use super::verbs::{method_verbs, overriding, verbs_response, without_body};
use crate::call::{CallRecord, Head, Hint, Inbound, Kind, Refusal, Subprotocol};
use crate::catalog::{self, StreamKind};
use crate::observe::{Direction, GaugeGuard, Meters};
use crate::protocol::{
    Answer, AnswerForm, Codec, Due, End, Family, Packed, Packing, Passing, RequestForm, RestCall, Spoken, WholeOut,
    by_method, by_rule, family, forwardable_answer, forwardable_request, refusal_answer, socket_answer,
};
use crate::route::{Match, MethodRef};
use crate::status::{Code, FieldViolation};
use crate::upstream::{Choice, Endpoint, Pool, ResponseHead, ResponseStream, Verdict};
use crate::wire::{Encoding, Frame, Packer, TextPlace};

/// What a worker needs to carry calls. One per worker; doors hold it by `Arc`.
pub struct Handler {
    tables: Arc<ArcSwap<Tables>>,
    pub(super) pool: Arc<Pool>,
    shadows: Arc<Shadows>,
    pub(super) meters: Arc<Meters>,
}

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Where a call goes, and in which dialect.
pub(super) enum Routed {
    Call(Box<Call>),
    Page(Page),
    /// Nowhere: OPTIONS asks what else there is. For `Allow`.
    Verbs(String),
}

/// A call whose method and dialect are known.
pub(super) struct Call {
    pub(super) called: Called,
    /// The rule that matched, and what its template's variables hold.
    rule: Option<Rule>,
    request: RequestForm,
    codec: Codec,
    /// See [`Spoken::packed`].
    pub(super) packed: Packed,
    /// See [`Spoken::wanted`].
    wanted: Option<Encoding>,
    /// The encodings that the upstream was told to answer in.
    accepted: HeaderValue,
    pub(super) answer: Box<dyn Answer>,
    pub(super) deadline: Option<Instant>,
    /// The request message, if the head held it.
    message: Option<Bytes>,
    /// See [`Spoken::rest`].
    rest: Option<Box<RestCall>>,
    /// What else is made of the answer's messages than their JSON; handed on with the answer.
    extras: Option<Box<Extras>>,
    conditional: Option<Box<Conditional>>,
    /// What its endpoint is chosen by, if the cluster looks at that: see `affinity`.
    hash: Option<u64>,
    /// Where it went last, if anybody will read it.
    pub(super) reached: Option<Arc<Endpoint>>,
    /// What a route has decided; `None`: nothing, the catalog's cluster has the call.
    pub(super) target: Option<Target>,
    /// Watches the answer for a mirror's sake.
    pub(super) witness: Option<Box<Witness>>,
    /// What became of its attempts.
    pub(super) trail: Trail,
}

/// How far a call has come when its head is due.
pub(super) enum Outcome {
    /// It is told in one piece.
    Whole { metadata: HeaderMap, message: Option<Bytes>, end: End },
    /// Its body streams.
    Stream { metadata: HeaderMap, down: Downlink, first: Option<Frame>, uplink: Uplink },
}

// === impl Handler ===

impl Handler {
    /// `pool` belongs to the worker that the handler is for.
    pub fn new(tables: Arc<ArcSwap<Tables>>, pool: Pool, meters: Arc<Meters>) -> Handler {
        Handler { tables, pool: Arc::new(pool), shadows: Arc::default(), meters }
    }

    /// The tables in force. Not to be held for long: whoever keeps them clones them.
    pub(super) fn tables(&self) -> Guard<Arc<Tables>> {
        self.tables.load()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Carries one call: the answer's head when it is due, its body to be polled by the door. Dropping the future or
    /// the body cancels the call and resets its upstream stream.
    ///
    /// The future is boxed: it is some 3 KB, and a door moves what it is given several times.
    pub fn open(self: Arc<Self>, head: Head, inbound: Inbound) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(self.opened(head, inbound))
    }

    async fn opened(self: Arc<Self>, head: Head, inbound: Inbound) -> Response<Body> {
        let tables = self.tables.load_full();
        // no page reads the fields of a handshake, and its origin was looked at
        let cors = tables.cors.as_ref().filter(|_| head.socket.is_none());
        let Some(cors) = cors else { return self.answered(&tables, head, inbound).await };
        if let Some((status, headers)) = cors.preflight(&head.parts.method, &head.parts.headers) {
            return respond(status, headers, Body::Empty);
        }
        let origin = cors.origin(&head.parts.headers);
        let mut response = self.answered(&tables, head, inbound).await;
        cors.decorate(origin, response.headers_mut());
        response
    }

    async fn answered(self: &Arc<Self>, tables: &Arc<Tables>, head: Head, inbound: Inbound) -> Response<Body> {
        let head_only = head.parts.method == Verb::HEAD;
        let response = self.carry(tables, head, inbound).await;
        if head_only { without_body(response) } else { response }
    }

    /// Looks at a handshake for a WebSocket before it is answered; `head.socket` says what the caller speaks.
    ///
    /// Errors: the answer that refuses it.
    pub fn welcome(&self, head: &Head) -> Result<Welcome, Box<Response<Body>>> {
        let subprotocol = head.socket.unwrap_or(Subprotocol::Json);
        socket::welcome(&self.tables.load(), head, subprotocol).map_err(|refusal| {
            let mut record = CallRecord::start(Arc::clone(&self.meters), head.received);
            record.dialect = socket_answer(subprotocol).0;
            record.end(refusal.kind.code());
            Box::new(refuse_handshake(&refusal, head))
        })
    }

    async fn carry(self: &Arc<Self>, tables: &Arc<Tables>, mut head: Head, mut inbound: Inbound) -> Response<Body> {
        let mut record = CallRecord::start(Arc::clone(&self.meters), head.received);
        let family = family(&head.parts.headers);
        let routed = match head.socket {
            Some(subprotocol) => socket::routed(tables, subprotocol, &mut head, &mut record),
            None => routed(tables, family, &mut head, &mut record),
        };
        let mut call = match routed {
            Ok(Routed::Call(mut call)) => {
                call.called.count_in(&self.meters);
                call
            }
            Ok(Routed::Page(page)) => return page_response(page, record),
            Ok(Routed::Verbs(allow)) => return verbs_response(&allow, record),
            Err(refusal) => {
                let (dialect, mut answer) = match head.socket {
                    Some(subprotocol) => socket_answer(subprotocol),
                    None => refusal_answer(family, &head, kind(tables, &head), refusal.kind),
                };
                record.dialect = dialect;
                if !answer.hears_out() {
                    inbound.let_go();
                }
                record.end(refusal.kind.code());
                return refused(&refusal, answer.as_mut(), None);
            }
        };
        if let Some(pace) = call.answer.pace() {
            return self.paced(call, head, inbound, record, pace).await;
        }
        let outcome = self.in_time(&mut call, head, inbound).await;
        self.answer(*call, outcome, record)
    }

    /// The same as [`Handler::exchange`], before the deadline.
    pub(super) async fn in_time(&self, call: &mut Call, head: Head, inbound: Inbound) -> Result<Outcome, Refusal> {
        let deadline = call.deadline;
        let exchange = self.exchange(call, head, inbound);
        let outcome = match deadline {
            Some(at) => tokio::time::timeout_at(at.into(), exchange).await.unwrap_or_else(|_| Err(deadline_passed())),
            None => exchange.await,
        };
        outcome.map_err(|refusal| late(refusal, deadline))
    }

    /// Sends the request and reads the answer as far as the dialect needs it for its head.
    async fn exchange(&self, call: &mut Call, mut head: Head, mut inbound: Inbound) -> Result<Outcome, Refusal> {
        if !call.answer.hears_out() {
            inbound.let_go();
        }
        call.extras = call.extras(&head)?;
        let mut uplink = call.uplink(&head, inbound).await?;
        if call.called.plan().is_some() {
            // boxed: calls without routes need no room for it
            Box::pin(call.choose_target(&head, &mut uplink)).await?;
        }
        let path = call.path(&head);
        let mut headers = std::mem::take(&mut head.parts.headers);
        call.hash = match affinity::needs_message(call.cluster()) {
            // boxed: other calls need no room for it
            true => Box::pin(call.key_in_message(&mut uplink)).await?,
            false => affinity::key(call.cluster(), &headers),
        };
        call.accepted = forwardable_request(&mut headers, call.passing());
        if call.called.is_guarded(Direction::Response) {
            call.accepted = readable(&call.accepted);
            headers.insert(ACCEPT_ENCODING, call.accepted.clone());
        }
        tell_time_left(call.deadline, &mut headers)?;
        mirror::start(call, &self.shadows, &self.pool, &mut uplink, &path, &headers);
        uplink.keep_up_to(call.called.method().settings.retry.buffer);
        let (answer, response) = self.attempts(call, &mut uplink, &head, path, headers).await?;
        uplink.forget();
        call.outcome(answer, response, uplink).await
    }

    pub(super) fn answer(
        &self,
        mut call: Call,
        outcome: Result<Outcome, Refusal>,
        mut record: CallRecord,
    ) -> Response<Body> {
        call.note(&mut record);
        match outcome {
            Err(refusal) => {
                record.end(refusal.kind.code());
                refused(&refusal, call.answer.as_mut(), Some(&call.called))
            }
            Ok(Outcome::Whole { metadata, message, mut end }) => {
                record.end(end.status.code);
                expand(&mut end, call.answer.details(), Some(call.called.catalog()));
                let mut out = call.answer.whole(metadata, message, end);
                if let Some(conditional) = &call.conditional {
                    let packs = call.is_worth_packing(&out.body);
                    conditional.apply(&mut out, packs);
                }
                call.pack_body(&mut out);
                whole_response(out)
            }
            Ok(Outcome::Stream { metadata, down, first, uplink }) => {
                let mut out = call.answer.head(metadata);
                let packer = call.packs_stream().and_then(|encoding| told_packer(encoding, &mut out.headers));
                let relay = self.relay(call, down, first, uplink, record, packer);
                respond(out.status, out.headers, Body::Relay(Box::new(relay)))
            }
        }
    }

    /// The body of an answer that streams.
    pub(super) fn relay(
        &self,
        call: Call,
        down: Downlink,
        first: Option<Frame>,
        uplink: Uplink,
        mut record: CallRecord,
        packer: Option<Packer>,
    ) -> Relay {
        record.request_messages = uplink.messages();
        let idle = call.called.method().settings.idle_timeout.map(|after| Idle::new(after, &uplink));
        // a body is not polled while its caller does not read, so the deadline of a stream is watched beside it
        let down = Arc::new(Mutex::new(Way::Open(down)));
        let watched = call.deadline.filter(|_| call.called.method().kind.server_streams());
        let watched = watched.map(|at| (at, Arc::clone(&down)));
        let pump = (!uplink.is_sent() || watched.is_some())
            .then(|| Pump::spawn(uplink, watched, GaugeGuard::new(&self.meters, |meters| &meters.pumps_active)));
        Relay {
            down,
            heartbeat: call.answer.pace().map(|pace| Box::new(Heartbeat::new(&pace))),
            answer: call.answer,
            record,
            deadline: call.deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
            idle,
            pump,
            called: call.called,
            first,
            packer,
            after: After::More,
        }
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

// === impl Call ===

impl Call {
    fn new(called: Called, spoken: Spoken, head: &Head) -> Call {
        let deadline = called.method().settings.deadline(spoken.deadline);
        Call {
            called,
            rule: None,
            request: spoken.request,
            codec: spoken.codec,
            packed: spoken.packed,
            wanted: spoken.wanted,
            accepted: HeaderValue::from_static("identity"),
            answer: spoken.answer,
            message: spoken.message,
            rest: spoken.rest,
            extras: None,
            conditional: None,
            hash: None,
            reached: None,
            target: None,
            witness: None,
            trail: Trail::default(),
            deadline: deadline.and_then(|after| head.received.checked_add(after)),
        }
    }

    /// Tells the record where the call went, and what became of its attempts.
    pub(super) fn note(&self, record: &mut CallRecord) {
        if let Some(reached) = &self.reached {
            record.reached(reached.cluster(), reached.label());
        }
        record.route = self.route_name();
        self.trail.tell(record);
    }

    /// What it asks of the choice of its endpoint.
    pub(super) fn choice(&self) -> Choice<'static> {
        Choice { hash: self.hash, deadline: self.deadline, ..Choice::default() }
    }

    /// Which frames go through as they are.
    fn passing(&self) -> Passing {
        let framed = matches!(self.request, RequestForm::Frames | RequestForm::TextFrames);
        Passing {
            request: framed && self.codec == Codec::Proto && self.packed.here().is_none(),
            answer: self.answer.form() == AnswerForm::Frames,
        }
    }

    /// How messages for the caller are made; `None` if the upstream's frames pass. `told`: how those are compressed; the
    /// caller is told anew how they are then.
    fn made(&mut self, told: Option<HeaderValue>, metadata: &mut HeaderMap) -> Result<Option<Made>, Refusal> {
        let told = told.filter(|value| value.as_bytes() != b"identity");
        let passes = self.answer.form() == AnswerForm::Frames;
        let field = match self.answer.packing() {
            Packing::Messages(field) => Some(field),
            Packing::Body | Packing::Never => None,
        };
        match (&field, &told) {
            (_, None) if passes => return Ok(self.looked_into(None)),
            (Some(field), Some(told)) if passes && lists(&self.accepted, told.as_bytes()) => {
                metadata.insert(field, told.clone());
                return Ok(self.looked_into(Encoding::from_name(told.as_bytes())));
            }
            _ => {}
        }
        let packed = told.as_ref().map(answered_encoding).transpose()?;
        let raw = match self.answer.form() {
            AnswerForm::Contents => self.binding().and_then(|binding| binding.raw_answer),
            AnswerForm::Frames | AnswerForm::Messages => None,
        };
        let wanted = self.wanted.filter(|_| field.is_some());
        if let (Some(field), Some(encoding)) = (field, wanted) {
            metadata.insert(field, HeaderValue::from_static(encoding.name()));
        }
        Ok(Some(Made {
            codec: self.answer.codec(),
            only: self.only(),
            packed,
            wanted,
            passes: false,
            extras: self.extras.take(),
            raw,
        }))
    }

    /// How frames that pass are read all the same, if the schema guard wants that.
    fn looked_into(&self, packed: Option<Encoding>) -> Option<Made> {
        let made = Made {
            codec: self.answer.codec(),
            only: None,
            packed,
            wanted: None,
            passes: true,
            extras: None,
            raw: None,
        };
        self.called.is_guarded(Direction::Response).then_some(made)
    }

    /// The field of the answer that the rule shows alone.
    fn only(&self) -> Option<u16> {
        self.binding().and_then(|binding| binding.response_body)
    }

    /// What else is wanted of the answer's messages than their JSON; mostly nothing.
    fn extras(&self, head: &Head) -> Result<Option<Box<Extras>>, Refusal> {
        let (rest, labelled) = (self.rest.as_deref(), self.answer.is_labelled());
        if rest.is_none() && !labelled {
            return Ok(None);
        }
        let mask = wanted_fields(rest, &self.called, self.only(), head.parts.uri.query())?;
        let plan = rest.map(|rest| Arc::clone(&rest.plan));
        let needed = labelled || mask.is_some() || plan.as_ref().is_some_and(|plan| plan.location.is_some());
        Ok(needed.then(|| Box::new(Extras { plan, mask, labelled, location: None })))
    }

    /// Whether compressing this body for the caller is tried.
    fn is_worth_packing(&self, body: &[u8]) -> bool {
        let from = self.called.method().settings.compress_from;
        self.wanted.is_some() && self.answer.packing() == Packing::Body && from != 0 && body.len() >= from
    }

    /// Compresses a good answer that is told in one piece.
    fn pack_body(&self, out: &mut WholeOut) {
        if self.wanted.is_none() || self.answer.packing() != Packing::Body || !out.head.status.is_success() {
            return;
        }
        if let Some(packed) = packed_if_worth(&self.called, self.wanted, &out.body) {
            out.body = packed;
            tell_packed(self.wanted, &mut out.head.headers);
        }
    }

    /// How a body that streams is compressed, if it is.
    pub(super) fn packs_stream(&self) -> Option<Encoding> {
        let packs = self.answer.packing() == Packing::Body && self.called.method().settings.compress_from != 0;
        self.wanted.filter(|_| packs)
    }

    fn path(&self, head: &Head) -> PathAndQuery {
        self.renamed().unwrap_or_else(|| self.called.path(head))
    }

    /// The request's way up. A request of one message is read and checked whole before the upstream hears of it.
    async fn uplink(&self, head: &Head, mut inbound: Inbound) -> Result<Uplink, Refusal> {
        let limit = self.called.method().settings.max_request_message;
        if let Some(message) = &self.message {
            let message = unpacked_body(self.packed, message.clone(), limit)?;
            return request_frame(&self.called, self.codec, &message).map(Uplink::of_frame);
        }
        let (rule, query) = (self.rule.as_ref(), head.parts.uri.query());
        let takes_none = self.binding().is_some_and(|binding| binding.body == catalog::Body::None);
        match self.request {
            RequestForm::Frames | RequestForm::TextFrames => {
                let text = self.request == RequestForm::TextFrames;
                return Ok(Uplink::of_frames(inbound, text, self.codec, self.packed, &self.called));
            }
            // a door that hands on texts has looked at what the rule takes
            RequestForm::Texts if takes_none => inbound = Inbound::Done,
            RequestForm::Texts => return Ok(Uplink::of_texts(inbound, Texts::new(&self.called, rule, query)?)),
            RequestForm::Messages | RequestForm::Lines if !takes_none => {
                let texts = Texts::new(&self.called, rule, query)?;
                return Ok(Uplink::of_json(inbound, JsonBody::new(self.request, self.packed, texts)));
            }
            RequestForm::Raw | RequestForm::Form | RequestForm::Multipart => return self.no_json(head, inbound).await,
            RequestForm::Message | RequestForm::Messages | RequestForm::Lines => {}
        }
        let mut body = collect(&mut inbound, limit).await?;
        if !(takes_none && body.is_empty()) {
            body = unpacked_body(self.packed, body, limit)?;
        }
        let more = resumed(self.rest.as_deref(), &self.called)?;
        match rule {
            Some(rule) => woven_frame(&self.called, rule, query, Some(&body), &more),
            None if !more.is_empty() => text_frame(&self.called, None, Some(&body), TextPlace::START, &more),
            None => request_frame(&self.called, self.codec, &body),
        }
        .map(Uplink::of_frame)
    }

    /// The way up of a request whose body is no JSON; only a rule may take one.
    async fn no_json(&self, head: &Head, inbound: Inbound) -> Result<Uplink, Refusal> {
        let (called, query, headers) = (&self.called, head.parts.uri.query(), &head.parts.headers);
        let rule = self.rule.as_ref().ok_or_else(|| Refusal::new(Kind::NoRoute, "the rule is gone"))?;
        match self.request {
            RequestForm::Multipart => multipart_uplink(called, rule, query, self.packed, headers, inbound).await,
            RequestForm::Form => {
                let more = resumed(self.rest.as_deref(), called)?;
                form_uplink(called, rule, query, self.packed, &more, inbound).await
            }
            _ => raw_uplink(called, rule, query, headers, inbound).await,
        }
    }

    /// The binding of the rule that matched.
    fn binding(&self) -> Option<&catalog::Binding> {
        self.rule.as_ref().and_then(|(rule, _)| self.called.method().bindings.get(*rule))
    }

    /// Reads the answer as far as its head needs it.
    async fn outcome(
        &mut self,
        head: ResponseHead,
        response: ResponseStream,
        mut uplink: Uplink,
    ) -> Result<Outcome, Refusal> {
        let ResponseHead { parts, is_end: ended } = head;
        check_head(&parts, ended).inspect_err(|_| response.judge(Verdict::Failure))?;
        let mut metadata = parts.headers;
        // a status in a head that is not the end counts only if nothing follows (gRPC `doc/PROTOCOL-HTTP2.md`,
        // "Trailers-Only")
        let early = (!ended && has_status(&metadata)).then(|| status_of(&metadata));
        if ended {
            let end = from_fields(metadata).inspect_err(|_| response.judge(Verdict::Failure))?;
            response.judge_status(end.status.code);
            if let Some(witness) = self.witness.take() {
                witness.end(end.status.code);
            }
            return self.told(HeaderMap::new(), None, end);
        }
        let told = metadata.remove(ENCODING);
        let mut witness = self.witness.take();
        if let Some(witness) = &mut witness {
            witness.packed(told.as_ref().and_then(|name| Encoding::from_name(name.as_bytes())));
        }
        forwardable_answer(&mut metadata);
        let made = self.made(told, &mut metadata)?;
        let mut down = Downlink::new(response, made, &self.called);
        down.set_witness(witness);
        if let Some(early) = early {
            down.set_early_status(early);
        }
        let due = self.answer.due();
        if due == Due::AtOnce {
            return Ok(Outcome::Stream { metadata, down, first: None, uplink });
        }
        let mut message = None;
        loop {
            let part = poll_fn(|cx| {
                if let Poll::Ready(Err(refusal)) = uplink.poll(cx) {
                    return Poll::Ready(Err(refusal));
                }
                down.poll_part(cx)
            });
            match part.await? {
                Part::Chunk(_) => {}
                Part::Content(Content { content_type, data }) => {
                    if let Some(content_type) = content_type {
                        metadata.insert(CONTENT_TYPE, content_type);
                    }
                    if due == Due::FirstMessage {
                        let first = Some(Frame { flags: 0, payload: data });
                        return Ok(Outcome::Stream { metadata, down, first, uplink });
                    }
                    only_answer(message.replace(data))?;
                }
                Part::Message(first) if due == Due::FirstMessage => {
                    return Ok(Outcome::Stream { metadata, down, first: Some(first), uplink });
                }
                Part::Message(only) => only_answer(message.replace(only.payload))?,
                Part::End(mut end) => {
                    if let Some(location) = down.location().filter(|_| end.status.is_ok()) {
                        end.hints.insert(LOCATION, location);
                    }
                    return self.told(metadata, message, *end);
                }
            }
        }
    }

    /// An answer that is told in one piece. A unary method that ends well must have answered.
    fn told(&self, metadata: HeaderMap, message: Option<Bytes>, end: End) -> Result<Outcome, Refusal> {
        if end.status.is_ok() && message.is_none() && self.answer.due() == Due::End {
            return Err(Refusal::new(
                Kind::AnswerCardinality,
                "the upstream ended the call well, but without an answer",
            ));
        }
        Ok(Outcome::Whole { metadata, message, end })
    }
}

/// Nothing may have stood where the answer's only message does.
fn only_answer(before: Option<Bytes>) -> Result<(), Refusal> {
    match before {
        None => Ok(()),
        Some(_) => Err(Refusal::new(Kind::AnswerCardinality, "the upstream answered with more than one message")),
    }
}

fn routed(tables: &Arc<Tables>, family: Family, head: &mut Head, record: &mut CallRecord) -> Result<Routed, Refusal> {
    let method = tables.routes.method(head.parts.uri.path());
    if let Some(at) = method
        && (head.parts.method == Verb::POST || !rule_exists(tables, head))
    {
        let called = called(tables, at)?;
        if head.parts.method == Verb::OPTIONS {
            return Ok(Routed::Verbs(method_verbs(tables, head, called.method())));
        }
        let spoken = by_method(family, head, called.method(), called.catalog().auto_mapping);
        let spoken = spoken.map_err(|refusal| match refusal.hint {
            Hint::Allow(_) => Refusal { hint: Hint::Allow(method_verbs(tables, head, called.method())), ..refusal },
            _ => refusal,
        })?;
        return Ok(begin(called, spoken, None, head, record));
    }
    if matches!(family, Family::Grpc(Some(Codec::Proto)) | Family::GrpcWeb { codec: Some(Codec::Proto), .. })
        && let Some(called) = Called::unknown(tables)
    {
        let spoken = by_method(family, head, called.method(), false)?;
        return Ok(begin(called, spoken, None, head, record));
    }
    if matches!(family, Family::Grpc(_) | Family::GrpcWeb { .. } | Family::ConnectStream(_)) {
        return Err(Refusal::new(Kind::NoRoute, format!("no method {} is known here", head.parts.uri.path())));
    }
    if let Some(verb) = overriding(tables, head) {
        head.parts.method = verb;
    }
    let path = head.parts.uri.path();
    match tables.routes.template(&head.parts.method, head.host(), path) {
        Match::Found { method, binding, variables } => {
            let variables = variables.iter().map(|text| text.to_string()).enumerate().collect();
            let called = called(tables, method)?;
            let spoken = by_rule(family, head, called.method(), binding)?;
            Ok(begin(called, spoken, Some((binding, variables)), head, record))
        }
        Match::WrongVerb { allow } if head.parts.method == Verb::OPTIONS => Ok(Routed::Verbs(allow)),
        Match::WrongVerb { allow } => {
            let text = format!("{path} is not called by {}, but by {allow}", head.parts.method);
            Err(Refusal::new(Kind::WrongVerb, text).hint(Hint::Allow(allow)))
        }
        Match::Malformed { method, binding, variable } => {
            let called = called(tables, method)?;
            let template = called.method().bindings.get(binding).map(|binding| &binding.template);
            let name = template.and_then(|template| template.variables.get(variable)).map_or("", |one| &one.path);
            let violation =
                FieldViolation { field: name.to_owned(), description: "not percent-encoded UTF-8".to_owned() };
            let text = format!("the path's part for {name:?} is not percent-encoded UTF-8");
            Err(Refusal::new(Kind::BadRequest, text).hint(Hint::Violations(vec![violation])))
        }
        Match::None => page(tables, head),
    }
}

/// Of the method that has the path.
fn kind(tables: &Arc<Tables>, head: &Head) -> Option<StreamKind> {
    let at = tables.routes.method(head.parts.uri.path())?;
    Called::new(tables, at).map(|called| called.method().kind)
}

fn rule_exists(tables: &Tables, head: &Head) -> bool {
    let found = tables.routes.template(&head.parts.method, head.host(), head.parts.uri.path());
    matches!(found, Match::Found { .. })
}

pub(super) fn called(tables: &Arc<Tables>, at: MethodRef) -> Result<Called, Refusal> {
    Called::new(tables, at).ok_or_else(|| Refusal::new(Kind::NoRoute, "the route leads nowhere"))
}

pub(super) fn begin(
    called: Called,
    spoken: Spoken,
    rule: Option<Rule>,
    head: &Head,
    record: &mut CallRecord,
) -> Routed {
    record.dialect = spoken.dialect;
    record.name(&called.method().path);
    let conditional = Conditional::of(head, called.method());
    let mut call = Call::new(called, spoken, head);
    call.rule = rule;
    call.conditional = conditional;
    Routed::Call(Box::new(call))
}

fn page(tables: &Tables, head: &Head) -> Result<Routed, Refusal> {
    const VERBS: &str = "GET, HEAD, OPTIONS";
    let path = head.parts.uri.path();
    let none = || Refusal::new(Kind::NoRoute, format!("nothing is at {path}"));
    let page = tables.pages.and_then(|find| find(path)).ok_or_else(none)?;
    match head.parts.method {
        Verb::GET | Verb::HEAD => Ok(Routed::Page(page)),
        Verb::OPTIONS => Ok(Routed::Verbs(VERBS.into())),
        ref other => {
            let text = format!("{path} is a page, it is not called by {other}");
            Err(Refusal::new(Kind::WrongVerb, text).hint(Hint::Allow(VERBS.into())))
        }
    }
}

/// An answer that is no gRPC, or not of protobuf, is an error, whatever its HTTP code says. `ended`: the head is all.
pub(super) fn check_head(parts: &http::response::Parts, ended: bool) -> Result<(), Refusal> {
    if ended && has_status(&parts.headers) {
        return Ok(());
    }
    if parts.status != StatusCode::OK {
        let kind = Kind::UpstreamHttp(Code::from_http(parts.status.as_u16()));
        return Err(Refusal::new(kind, format!("the upstream answered with HTTP {}", parts.status.as_u16())));
    }
    if family(&parts.headers) == Family::Grpc(Some(Codec::Proto)) {
        return Ok(());
    }
    let text = match parts.headers.get(CONTENT_TYPE) {
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            format!("the upstream's answer is {text:?}, not gRPC with protobuf")
        }
        None => "the upstream's answer has no content type".to_owned(),
    };
    Err(Refusal::new(Kind::NoStatus, text))
}

/// The names of a list of encodings.
fn names(list: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    list.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether a list of encodings has this name.
pub(super) fn lists(list: &HeaderValue, name: &[u8]) -> bool {
    names(list).any(|one| one == name)
}

/// The encoding that the upstream says it used.
pub(super) fn answered_encoding(told: &HeaderValue) -> Result<Encoding, Refusal> {
    Encoding::from_name(told.as_bytes()).ok_or_else(|| {
        let text = format!("the upstream compressed its messages as {told:?}, which nobody asked for");
        Refusal::new(Kind::BadAnswer, text)
    })
}

/// Of a list of encodings those that the edge reads itself: no other answer can be checked.
fn readable(accepted: &HeaderValue) -> HeaderValue {
    let known: Vec<&[u8]> =
        names(accepted).filter(|name| *name == b"identity" || Encoding::from_name(name).is_some()).collect();
    let known = if known.is_empty() { b"identity".to_vec() } else { known.join(&b',') };
    HeaderValue::from_bytes(&known).unwrap_or(HeaderValue::from_static("identity"))
}

/// Reads a whole body, up to the limit.
pub(super) async fn collect(inbound: &mut Inbound, limit: usize) -> Result<Bytes, Refusal> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        match poll_fn(|cx| inbound.poll_chunk(cx)).await {
            None => break,
            Some(Err(_)) => return Err(Refusal::new(Kind::Cancelled, "the caller went away")),
            Some(Ok(chunk)) if first.is_empty() => first = chunk,
            Some(Ok(chunk)) => {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&chunk);
            }
        }
        let length = first.len().max(rest.len());
        if limit != 0 && length > limit {
            return Err(too_large("request", length, limit));
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Says how a body is compressed. Caches must not hand it to a caller who accepts something else.
fn tell_packed(encoding: Option<Encoding>, headers: &mut HeaderMap) {
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        vary_by_encoding(headers);
    }
}

/// What compresses a body that streams; its caller is told.
pub(super) fn told_packer(encoding: Encoding, headers: &mut HeaderMap) -> Option<Packer> {
    let packer = Packer::new(encoding)?;
    tell_packed(Some(encoding), headers);
    Some(packer)
}

/// The answer that a refusal is, whole. `called`: whose catalog shows the details.
pub(super) fn refused(refusal: &Refusal, answer: &mut dyn Answer, called: Option<&Called>) -> Response<Body> {
    let mut end = from_refusal(refusal, answer.details());
    expand(&mut end, answer.details(), called.map(Called::catalog));
    whole_response(answer.whole(HeaderMap::new(), None, end))
}

fn page_response(page: Page, mut record: CallRecord) -> Response<Body> {
    record.dialect = "local";
    record.end(Code::Ok);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static(page.cache));
    respond(StatusCode::OK, headers, Body::of(Bytes::from_static(page.bytes), None))
}

fn whole_response(out: WholeOut) -> Response<Body> {
    respond(out.head.status, out.head.headers, Body::of(out.body, out.trailers))
}

pub(super) fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what an async function makes, without making it.
    fn size_of_made<A, F>(_: impl FnOnce(A) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    #[test]
    fn the_future_of_a_call_is_a_few_kilobytes() {
        type Parts = (&'static Handler, &'static mut Call, Head, Inbound);
        let exchange = size_of_made(|(handler, call, head, inbound): Parts| handler.exchange(call, head, inbound));
        let opened =
            size_of_made(|(handler, head, inbound): (Arc<Handler>, Head, Inbound)| handler.opened(head, inbound));
        println!("exchange: {exchange} bytes, a whole call: {opened} bytes");
        assert!(exchange <= 4096 && opened <= 6144, "exchange: {exchange}, opened: {opened}");
    }
}
