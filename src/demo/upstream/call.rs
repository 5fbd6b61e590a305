//! One call as a method sees it: messages in, messages out, and how it ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Response};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use prost::Message;

use super::levers::Levers;
use super::server::{Connection, Counts};
use crate::status::{Code, Status, encode_status};
use crate::wire::{BadPacked, ENCODINGS, Encoding, Packer};

/// Why a method stops before it is through.
#[derive(Debug)]
pub(super) enum Stop {
    /// The call ends with this status.
    Refused(Status),
    /// The caller went away: nobody is left to answer.
    Gone,
    /// The stream ends without a status, because the caller asked to see that.
    Cut,
}

/// What a method returns.
pub(super) type Outcome<T = ()> = Result<T, Stop>;

/// One call. Whatever waits in here also sees the caller go away, so a method needs no `select` of its own.
pub(super) struct Call {
    pub(super) head: http::request::Parts,
    pub(super) levers: Levers,
    pub(super) connection: Arc<Connection>,
    counts: Arc<Counts>,
    inbound: Inbound,
    respond: SendResponse<Bytes>,
    /// There once the answer's head is sent.
    outbound: Option<SendStream<Bytes>>,
}

/// The request's messages, cut out of DATA frames.
struct Inbound {
    stream: RecvStream,
    buffer: BytesMut,
    limit: usize,
    /// `grpc-encoding`; `None` if it says nothing that is known here.
    packed: Option<Encoding>,
}

// === impl Stop ===

impl From<Status> for Stop {
    fn from(status: Status) -> Stop {
        Stop::Refused(status)
    }
}

/// An error of h2 means that the stream or its connection is no more.
impl From<h2::Error> for Stop {
    fn from(_: h2::Error) -> Stop {
        Stop::Gone
    }
}

// === impl Call ===

impl Call {
    pub(super) fn new(
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        message_limit: usize,
        connection: Arc<Connection>,
        counts: Arc<Counts>,
    ) -> Call {
        let (head, stream) = request.into_parts();
        let packed = head.headers.get("grpc-encoding").and_then(|value| Encoding::from_name(value.as_bytes()));
        let inbound = Inbound { stream, buffer: BytesMut::new(), limit: message_limit, packed };
        Call { head, levers: Levers::default(), connection, counts, inbound, respond, outbound: None }
    }

    /// The request message of a method that takes exactly one.
    pub(super) async fn only<M: Message + Default>(&mut self) -> Outcome<M> {
        let message = self.receive().await?;
        let message = message.ok_or_else(|| Status::new(Code::Unimplemented, "a request message is missing"))?;
        match self.inbound.next().await? {
            None => Ok(message),
            Some(_) => Err(Status::new(Code::Unimplemented, "this method takes one request message").into()),
        }
    }

    /// The next request message; `None` once the caller has sent its last.
    pub(super) async fn receive<M: Message + Default>(&mut self) -> Outcome<Option<M>> {
        self.pause(self.levers.read_delay).await?;
        let Some(bytes) = self.inbound.next().await? else { return Ok(None) };
        self.counts.messages_in.fetch_add(1, Relaxed);
        match M::decode(bytes) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(Status::new(Code::Internal, format!("the request message is damaged: {error}")).into()),
        }
    }

    /// Sends the answer's head now, for callers that wait for it before they go on.
    pub(super) fn open(&mut self) -> Outcome {
        if self.outbound.is_none() {
            let mut answer = answer();
            answer.headers_mut().extend(self.levers.initial.clone());
            if let Some(encoding) = self.levers.compress {
                answer.headers_mut().insert("grpc-encoding", HeaderValue::from_static(encoding.name()));
            }
            self.outbound = Some(self.respond.send_response(answer, false)?);
        }
        Ok(())
    }

    /// Sends one message, at the pace of the caller's windows.
    pub(super) async fn send<M: Message>(&mut self, message: &M) -> Outcome {
        self.send_frame(frame(message)).await
    }

    /// Sends what `frame` made; a message that is sent many times is encoded once.
    pub(super) async fn send_frame(&mut self, mut frame: Bytes) -> Outcome {
        self.open()?;
        if let Some(encoding) = self.levers.compress {
            frame = packed(encoding, &frame).unwrap_or(frame);
        }
        let Some(stream) = &mut self.outbound else { return Err(Stop::Gone) };
        while !frame.is_empty() {
            stream.reserve_capacity(frame.len());
            let granted = match stream.capacity() {
                0 => poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or(Stop::Gone)??,
                granted => granted,
            };
            stream.send_data(frame.split_to(granted.min(frame.len())), false)?;
        }
        self.counts.messages_out.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Waits; ends early, as `Stop::Gone`, when the caller goes away.
    pub(super) async fn pause(&mut self, time: Duration) -> Outcome {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = poll_fn(|cx| self.poll_gone(cx)) => Err(Stop::Gone),
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.outbound {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        let _ = ready!(reset);
        Poll::Ready(())
    }

    /// Ends the call with a status. If nothing was sent yet and no initial metadata is due, head and trailers are one
    /// block ("trailers-only").
    pub(super) fn finish(&mut self, status: &Status) -> Outcome {
        let mut trailers = HeaderMap::new();
        put_status(&mut trailers, status);
        trailers.extend(self.levers.trailing.clone());
        if self.levers.tell {
            self.tell(&mut trailers);
        }
        if !self.levers.initial.is_empty() {
            self.open()?;
        }
        match &mut self.outbound {
            Some(stream) => stream.send_trailers(trailers)?,
            None => {
                let mut answer = answer();
                answer.headers_mut().extend(trailers);
                self.respond.send_response(answer, true)?;
            }
        }
        Ok(())
    }

    /// Breaks the stream off by RST_STREAM.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.outbound {
            Some(stream) => stream.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Ends the stream without trailers, as no gRPC server should.
    pub(super) fn end_without_status(&mut self) -> Outcome {
        self.open()?;
        if let Some(stream) = &mut self.outbound {
            stream.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    /// Refuses what is not gRPC at all, by an HTTP code alone.
    pub(super) fn refuse_http(&mut self, code: http::StatusCode) -> Outcome {
        let mut answer = Response::new(());
        *answer.status_mut() = code;
        self.respond.send_response(answer, true)?;
        Ok(())
    }

    fn tell(&self, trailers: &mut HeaderMap) {
        let mut head = format!(":method: {}\r\n:path: {}\r\n", self.head.method, self.head.uri.path());
        if let Some(authority) = self.head.uri.authority() {
            head.push_str(&format!(":authority: {authority}\r\n"));
        }
        for (name, value) in &self.head.headers {
            head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
        }
        put_text(trailers, "x-demo-head-bin", &STANDARD_NO_PAD.encode(head));
        for (name, counter) in [
            ("x-demo-calls", &self.counts.calls),
            ("x-demo-active", &self.counts.active),
            ("x-demo-cancelled", &self.counts.cancelled),
            ("x-demo-expired", &self.counts.expired),
        ] {
            trailers.insert(name, HeaderValue::from(counter.load(Relaxed)));
        }
    }
}

// === impl Inbound ===

impl Inbound {
    /// The next message's bytes. The window is given back only for what was asked for, so a method that does not
    /// read holds its caller back.
    async fn next(&mut self) -> Outcome<Option<Bytes>> {
        loop {
            if let Some(message) = self.cut()? {
                return Ok(Some(message));
            }
            match self.stream.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    self.buffer.extend_from_slice(&chunk);
                    self.stream.flow_control().release_capacity(chunk.len())?;
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::new(Code::Internal, "the request ends in the middle of a message").into()),
            }
        }
    }

    /// Takes one message off the buffer if it is there in full. The length is judged before the message is awaited.
    fn cut(&mut self) -> Outcome<Option<Bytes>> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<5>() else { return Ok(None) };
        let [flag, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        match flag {
            0 => {}
            1 if self.packed.is_some() => {}
            1 => return Err(Status::new(Code::Unimplemented, "the encoding of a message is not known").into()),
            _ => return Err(Status::new(Code::Internal, format!("frame flag {flag} is not known")).into()),
        }
        if length > self.limit {
            let text = format!("the request message has {length} bytes, the limit is {}", self.limit);
            return Err(Status::new(Code::ResourceExhausted, text).into());
        }
        if rest.len() < length {
            self.buffer.reserve(length.saturating_sub(rest.len()).min(64 * 1024));
            return Ok(None);
        }
        let mut whole = self.buffer.split_to(5 + length).freeze();
        let message = whole.split_off(5);
        match self.packed.filter(|_| flag == 1) {
            None => Ok(Some(message)),
            Some(encoding) => match encoding.unpack(&message, self.limit) {
                Ok(plain) => Ok(Some(plain.into())),
                Err(BadPacked::TooLarge { .. }) => {
                    Err(Status::new(Code::ResourceExhausted, "the request message unpacks to too much").into())
                }
                Err(BadPacked::Corrupt) => {
                    Err(Status::new(Code::Internal, format!("the request message is not {}", encoding.name())).into())
                }
            },
        }
    }
}

/// One message in its five-byte frame.
pub(super) fn frame<M: Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(5 + length);
    out.put_u8(0);
    // no message of this server comes near 4 GiB: requests and answers are limited to a few MiB
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_slice(&message.encode_to_vec());
    out.freeze()
}

/// The same frame with its message compressed, however little that helps.
fn packed(encoding: Encoding, frame: &[u8]) -> Option<Bytes> {
    let mut packer = Packer::new(encoding)?;
    let mut message = packer.push(frame.get(5..)?)?;
    message.extend(packer.finish()?);
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(1);
    out.put_u32(u32::try_from(message.len()).ok()?);
    out.put_slice(&message);
    Some(out.freeze())
}

fn answer() -> Response<()> {
    let mut answer = Response::new(());
    let headers = answer.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static(ENCODINGS));
    answer
}

fn put_status(trailers: &mut HeaderMap, status: &Status) {
    trailers.insert("grpc-status", HeaderValue::from_static(status.code.digits()));
    if !status.message.is_empty() {
        put_text(trailers, "grpc-message", &percent_encode(status.message.as_bytes(), MESSAGE).to_string());
    }
    if !status.details.is_empty() {
        put_text(trailers, "grpc-status-details-bin", &STANDARD_NO_PAD.encode(encode_status(status)));
    }
}

fn put_text(trailers: &mut HeaderMap, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        trailers.insert(name, value);
    }
}

/// What `grpc-message` may not carry as it is (gRPC `doc/PROTOCOL-HTTP2.md`): all but 0x20 to 0x7E, and `%`.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');
