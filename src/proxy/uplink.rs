//! The caller's body on its way up: cut into gRPC frames as its dialect says, sent as fast as the upstream's window
//! allows, kept for a second attempt while it is small.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::ending::from_request_frames;
use super::recode::{request_frame, too_large};
use super::tables::Called;
use crate::call::{Inbound, Kind, Refusal};
use crate::protocol::{Codec, RequestForm};
use crate::upstream::RequestStream;
use crate::wire::{BadJson, COMPRESSED, FrameReader, FrameScanner, JsonScanner, JsonStream, Scan, TextDecoder};

/// The most bytes that are kept to be sent again.
const REPLAY_LIMIT: usize = 64 << 10;

/// Carries the request body to the upstream. Dropping it before its end resets the stream.
pub(super) struct Uplink {
    inbound: Inbound,
    form: Form,
    request: Option<RequestStream>,
    /// What is to be sent before more is read.
    queue: VecDeque<Bytes>,
    /// Nothing more will be queued.
    read_all: bool,
    /// END_STREAM is sent.
    ended: bool,
    /// What was sent on this attempt; `None` when it grew too large, or the answer has begun.
    replay: Option<Vec<Bytes>>,
    replay_bytes: usize,
    /// Counts what goes up, for whoever watches for silence.
    moved: Arc<AtomicU64>,
}

/// What is done to the bytes.
enum Form {
    /// The frames are already queued.
    Queued,
    Frames(FrameScanner),
    Text(TextDecoder, FrameScanner),
    /// With a decoder if the frames are in base64.
    JsonFrames(Option<TextDecoder>, FrameReader, Called),
    Json(Box<JsonTexts>),
}

/// JSON texts, one behind the other or as an array.
struct JsonTexts {
    scanner: Option<JsonScanner>,
    buffer: BytesMut,
    called: Called,
}

// === impl Uplink ===

impl Uplink {
    /// For a request that is one frame, made already.
    pub(super) fn of_frame(frame: Bytes) -> Uplink {
        let mut uplink = Uplink::new(Inbound::Done, Form::Queued);
        uplink.queue.push_back(frame);
        uplink.read_all = true;
        uplink
    }

    /// For a request whose body is carried as it comes.
    pub(super) fn of_body(inbound: Inbound, form: RequestForm, codec: Codec, called: &Called) -> Uplink {
        let limit = called.method().settings.max_request_message;
        let form = match (form, codec) {
            (RequestForm::Frames, Codec::Proto) => Form::Frames(FrameScanner::new(limit)),
            (RequestForm::TextFrames, Codec::Proto) => Form::Text(TextDecoder::default(), FrameScanner::new(limit)),
            (RequestForm::Frames, Codec::Json) => Form::JsonFrames(None, FrameReader::new(limit), called.clone()),
            (RequestForm::TextFrames, Codec::Json) => {
                Form::JsonFrames(Some(TextDecoder::default()), FrameReader::new(limit), called.clone())
            }
            (RequestForm::Message | RequestForm::Messages, _) => {
                Form::Json(Box::new(JsonTexts { scanner: None, buffer: BytesMut::new(), called: called.clone() }))
            }
        };
        Uplink::new(inbound, form)
    }

    fn new(inbound: Inbound, form: Form) -> Uplink {
        Uplink {
            inbound,
            form,
            request: None,
            queue: VecDeque::new(),
            read_all: false,
            ended: false,
            replay: Some(Vec::new()),
            replay_bytes: 0,
            moved: Arc::default(),
        }
    }

    /// A number that changes whenever something goes up.
    pub(super) fn moved(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.moved)
    }

    /// Sends to this stream from now on; what an earlier attempt sent is sent again. `false` if it is no longer there.
    pub(super) fn attach(&mut self, request: RequestStream) -> bool {
        if self.request.is_some() {
            let Some(sent) = self.replay.take() else { return false };
            for bytes in sent.into_iter().rev() {
                self.queue.push_front(bytes);
            }
            self.replay = Some(Vec::new());
            self.replay_bytes = 0;
            self.ended = false;
        }
        self.request = Some(request);
        true
    }

    /// Whether everything was sent so far and could be sent again.
    pub(super) fn can_repeat(&self) -> bool {
        self.replay.is_some()
    }

    /// Whether all is sent, or nothing more can be.
    pub(super) fn is_sent(&self) -> bool {
        self.ended
    }

    /// See [`Inbound::hear_out`].
    pub(super) async fn hear_out(&mut self) {
        self.inbound.hear_out().await;
    }

    /// From now on the answer has begun, and nothing is sent again.
    pub(super) fn forget(&mut self) {
        self.replay = None;
    }

    /// Messages that went up, as far as they are counted.
    pub(super) fn messages(&self) -> u64 {
        match &self.form {
            Form::Queued => 1,
            Form::Frames(scanner) | Form::Text(_, scanner) => scanner.messages(),
            Form::JsonFrames(..) | Form::Json(_) => 0,
        }
    }

    /// Carries on until all is sent (`Ok`), or the request must be refused. A fault of the upstream ends it quietly: the
    /// answer's side knows more about it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        loop {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let Some(front) = self.queue.front_mut() else {
                if self.read_all {
                    self.finish();
                    return Poll::Ready(Ok(()));
                }
                ready!(self.poll_read(cx))?;
                continue;
            };
            let Some(request) = &mut self.request else { return Poll::Pending };
            let room = match ready!(request.poll_ready(cx, front.len())) {
                Ok(room) => room,
                Err(_) => {
                    self.ended = true;
                    return Poll::Ready(Ok(()));
                }
            };
            let piece = front.split_to(room.min(front.len()));
            if front.is_empty() {
                self.queue.pop_front();
            }
            self.send(piece);
        }
    }

    fn send(&mut self, piece: Bytes) {
        let last = self.queue.is_empty() && self.read_all;
        self.moved.fetch_add(1, Ordering::Relaxed);
        if let Some(sent) = &mut self.replay {
            self.replay_bytes += piece.len();
            if self.replay_bytes > REPLAY_LIMIT {
                self.replay = None;
            } else {
                sent.push(piece.clone());
            }
        }
        let failed = self.request.as_mut().is_none_or(|request| request.send(piece, last).is_err());
        self.ended = last || failed;
    }

    fn finish(&mut self) {
        self.ended = true;
        if let Some(request) = &mut self.request {
            // a stream that is gone already has nothing to be told
            let _ = request.send(Bytes::new(), true);
        }
    }

    /// Reads one chunk of the body and queues what it makes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        match ready!(self.inbound.poll_chunk(cx)) {
            Some(Ok(chunk)) => {
                self.take(chunk)?;
                if self.inbound.is_done() {
                    self.close()?;
                }
            }
            Some(Err(_)) => return Poll::Ready(Err(Refusal::new(Kind::Cancelled, "the caller went away"))),
            None => self.close()?,
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        match &mut self.form {
            Form::Queued => {}
            Form::Frames(scanner) => {
                scanner.scan(&chunk).map_err(from_request_frames)?;
                self.queue.push_back(chunk);
            }
            Form::Text(decoder, scanner) => {
                let bytes = decoder.decode(&chunk).map_err(|_| bad_text())?;
                scanner.scan(&bytes).map_err(from_request_frames)?;
                self.queue.push_back(bytes);
            }
            Form::JsonFrames(decoder, reader, called) => {
                reader.push(match decoder {
                    Some(decoder) => decoder.decode(&chunk).map_err(|_| bad_text())?,
                    None => chunk,
                });
                json_frames(reader, called, &mut self.queue)?;
            }
            Form::Json(texts) => texts.take(&chunk, &mut self.queue)?,
        }
        Ok(())
    }

    /// The body is at its end: nothing may be left half.
    fn close(&mut self) -> Result<(), Refusal> {
        self.read_all = true;
        match &mut self.form {
            Form::Queued => {}
            Form::Frames(scanner) => whole(scanner.at_boundary())?,
            Form::Text(decoder, scanner) => {
                let bytes = decoder.finish().map_err(|_| bad_text())?;
                scanner.scan(&bytes).map_err(from_request_frames)?;
                whole(scanner.at_boundary())?;
                if !bytes.is_empty() {
                    self.queue.push_back(bytes);
                }
            }
            Form::JsonFrames(decoder, reader, called) => {
                if let Some(decoder) = decoder {
                    reader.push(decoder.finish().map_err(|_| bad_text())?);
                    json_frames(reader, called, &mut self.queue)?;
                }
                reader.finish().map_err(from_request_frames)?;
            }
            Form::Json(texts) => texts.close(&mut self.queue)?,
        }
        Ok(())
    }
}

/// Queues the messages that are there whole.
fn json_frames(reader: &mut FrameReader, called: &Called, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
    while let Some(frame) = reader.next().map_err(from_request_frames)? {
        if frame.flags & COMPRESSED != 0 {
            return Err(Refusal::new(Kind::Malformed, "a message is compressed, but no encoding is named"));
        }
        queue.push_back(request_frame(called, Codec::Json, &frame.payload)?);
    }
    Ok(())
}

fn whole(at_boundary: bool) -> Result<(), Refusal> {
    if at_boundary { Ok(()) } else { Err(Refusal::new(Kind::Malformed, "the request ended within a message")) }
}

fn bad_json(bad: BadJson) -> Refusal {
    Refusal::new(Kind::BadRequest, format!("byte {} of the body: {}", bad.offset, bad.what))
}

fn bad_text() -> Refusal {
    Refusal::new(Kind::Malformed, "the body is not base64")
}

// === impl JsonTexts ===

impl JsonTexts {
    fn take(&mut self, chunk: &[u8], queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        self.buffer.extend_from_slice(chunk);
        if self.scanner.is_none() {
            let Some(first) = self.buffer.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(()) };
            let form = if *first == b'[' { JsonStream::Array } else { JsonStream::Concatenated };
            self.scanner = Some(JsonScanner::new(form));
        }
        let Some(scanner) = &mut self.scanner else { return Ok(()) };
        while let Scan::Value(value) = scanner.next(&self.buffer).map_err(bad_json)? {
            let end = value.end.min(self.buffer.len());
            let text = self.buffer.get(value).unwrap_or(&[]);
            queue.push_back(request_frame(&self.called, Codec::Json, text)?);
            let _ = self.buffer.split_to(end);
        }
        let limit = self.called.method().settings.max_request_message;
        if limit != 0 && self.buffer.len() > limit {
            return Err(too_large("request", self.buffer.len(), limit));
        }
        Ok(())
    }

    fn close(&mut self, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        let Some(scanner) = &mut self.scanner else { return Ok(()) };
        let last = scanner.finish(&self.buffer).map_err(bad_json)?;
        if let Some(value) = last {
            let text = self.buffer.get(value).unwrap_or(&[]);
            queue.push_back(request_frame(&self.called, Codec::Json, text)?);
        }
        Ok(())
    }
}
