//! The caller's body on its way up: cut into gRPC frames as its dialect says, sent as fast as the upstream's window
//! allows, kept for a second attempt while it is small.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::ending::from_request_frames;
use super::json_body::{JsonBody, Pulled};
use super::mirror::Tap;
use super::multipart_body::MultipartBody;
use super::passing::{GATHER, LARGE};
use super::raw_upload::RawUpload;
use super::recode::{too_large, unpacked_request_frame};
use super::replay::{Replay, Resend};
use super::tables::Called;
use super::texts::Texts;
use crate::call::{Inbound, Kind, Refusal};
use crate::observe::Direction;
use crate::protocol::{Codec, Packed};
use crate::upstream::RequestStream;
use crate::wire::{FrameReader, FrameScanner, PREFIX, TextDecoder, TextPlace};

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
    /// What was sent of the body; `None` when it grew too large, or the answer has begun.
    replay: Option<Replay>,
    /// A stream was attached before.
    attempted: bool,
    /// Gets a copy of what is sent, for a mirror.
    tap: Option<Box<Tap>>,
    /// Counts what goes up, for whoever watches for silence.
    moved: Arc<AtomicU64>,
    /// One message is all that the method takes, and at least one.
    single: bool,
    /// Messages that were recoded; others are counted where they pass or are made.
    made: u64,
}

/// What is done to the bytes.
enum Form {
    /// The frames are already queued.
    Queued,
    Frames(FrameScanner),
    Text(TextDecoder, FrameScanner),
    /// Messages are made anew.
    Recoded(Box<Recoded>),
    Json(Box<JsonBody>),
    /// Each chunk is a JSON text.
    Texts(Box<Texts>),
    /// Content that is not looked into.
    Raw(Box<RawUpload>),
    Multipart(Box<MultipartBody>),
}

/// Frames whose messages are in another codec than the upstream's, or compressed as it may not read them, or looked into
/// before they pass.
struct Recoded {
    /// For frames in base64.
    text: Option<TextDecoder>,
    reader: FrameReader,
    called: Called,
    codec: Codec,
    packed: Packed,
}

// === impl Uplink ===

impl Uplink {
    /// For a request that is one frame, made already.
    pub(super) fn of_frame(frame: Bytes) -> Uplink {
        Uplink::of_pieces(VecDeque::from([frame]))
    }

    /// The same for one that is made in pieces.
    pub(super) fn of_pieces(pieces: VecDeque<Bytes>) -> Uplink {
        Uplink { queue: pieces, read_all: true, ..Uplink::new(Inbound::Done, Form::Queued) }
    }

    /// For a request of frames, which are carried as they come. `text`: they are in base64; `packed`: how messages are
    /// compressed.
    pub(super) fn of_frames(inbound: Inbound, text: bool, codec: Codec, packed: Packed, called: &Called) -> Uplink {
        let limit = called.method().settings.max_request_message;
        // what a compressed message holds is measured before it passes, unless there is no limit
        let measured = limit != 0 && matches!(packed, Packed::Passes(_));
        let read = measured || called.is_guarded(Direction::Request);
        let passes = codec == Codec::Proto && packed.here().is_none() && !read;
        let form = match (passes, text) {
            (true, false) => Form::Frames(FrameScanner::new(limit)),
            (true, true) => Form::Text(TextDecoder::default(), FrameScanner::new(limit)),
            (false, _) => Form::Recoded(Box::new(Recoded {
                text: text.then(TextDecoder::default),
                reader: FrameReader::new(limit),
                called: called.clone(),
                codec,
                packed,
            })),
        };
        let mut uplink = Uplink::new(inbound, form);
        uplink.single = !called.method().kind.client_streams();
        uplink
    }

    /// For a request of JSON texts that come one by one.
    pub(super) fn of_texts(inbound: Inbound, texts: Texts) -> Uplink {
        Uplink::new(inbound, Form::Texts(Box::new(texts)))
    }

    /// For a request of JSON texts that are found in its body.
    pub(super) fn of_json(inbound: Inbound, body: JsonBody) -> Uplink {
        Uplink::new(inbound, Form::Json(Box::new(body)))
    }

    /// For a stream of messages that are made of content as it arrives.
    pub(super) fn of_raw(inbound: Inbound, upload: RawUpload) -> Uplink {
        Uplink::new(inbound, Form::Raw(Box::new(upload)))
    }

    /// For a stream of messages that are made of the parts of a form.
    pub(super) fn of_multipart(inbound: Inbound, body: MultipartBody) -> Uplink {
        Uplink::new(inbound, Form::Multipart(Box::new(body)))
    }

    fn new(inbound: Inbound, form: Form) -> Uplink {
        Uplink {
            inbound,
            form,
            request: None,
            queue: VecDeque::new(),
            read_all: false,
            ended: false,
            replay: None,
            attempted: false,
            tap: None,
            moved: Arc::default(),
            single: false,
            made: 0,
        }
    }

    /// From now on all that is sent is copied.
    pub(super) fn tap(&mut self, tap: Tap) {
        self.tap = Some(Box::new(tap));
    }

    /// The first frame of the request, whole; `None`: it has none. It stays to be sent. What is held meanwhile is that frame
    /// and a chunk: the caller's window stays shut for the rest. `limit`: the most bytes of its message.
    ///
    /// Errors: as [`Uplink::poll`]; a message over the limit.
    pub(super) async fn first_frame(&mut self, limit: usize) -> Result<Option<Bytes>, Refusal> {
        let mut held = BytesMut::new();
        loop {
            // mostly it is there in one piece
            if let (true, Some(front)) = (held.is_empty(), self.queue.front())
                && let Some(length) = frame_length(front, limit)?
            {
                return Ok(Some(front.slice(..length)));
            }
            for piece in self.queue.drain(..) {
                held.extend_from_slice(&piece);
            }
            let length = frame_length(&held, limit)?;
            if length.is_some() || self.read_all {
                let held = held.freeze();
                let frame = length.map(|length| held.slice(..length));
                if !held.is_empty() {
                    self.queue.push_back(held);
                }
                return Ok(frame);
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }

    /// A number that changes whenever something goes up.
    pub(super) fn moved(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.moved)
    }

    /// Keeps up to so many bytes of the body, to be sent again. Before anything is sent.
    pub(super) fn keep_up_to(&mut self, limit: usize) {
        self.replay = Some(Replay::new(limit));
    }

    /// Sends to this stream from now on; what an earlier attempt sent is sent again. `false` if it is no longer there.
    pub(super) fn attach(&mut self, request: RequestStream) -> bool {
        if self.attempted {
            let Some(replay) = &mut self.replay else { return false };
            for bytes in replay.pieces().iter().rev() {
                self.queue.push_front(bytes.clone());
            }
            replay.clear();
            self.ended = false;
            if let Some(tap) = &mut self.tap {
                tap.again();
            }
        }
        self.attempted = true;
        self.request = Some(request);
        true
    }

    /// Lets go of the stream; the next one that is attached gets everything from the beginning.
    pub(super) fn detach(&mut self) {
        self.request = None;
    }

    /// Whether everything was sent so far and could be sent again.
    pub(super) fn can_repeat(&self) -> bool {
        self.replay.is_some()
    }

    /// Whether the whole body was sent and is there to be sent again.
    pub(super) fn is_kept_whole(&self) -> bool {
        self.replay.is_some() && self.attempted && self.read_all && self.queue.is_empty()
    }

    /// Sends the body to another stream, beside this. `None` unless it is kept whole.
    pub(super) fn resend(&mut self, request: RequestStream) -> Option<Resend> {
        let whole = self.is_kept_whole();
        self.replay.as_mut().filter(|_| whole).map(|replay| Resend::new(request, replay.pieces()))
    }

    /// Goes on where a body that was sent beside this one is; the own stream is let go.
    pub(super) fn adopt(&mut self, resend: Resend) {
        let (request, queue, ended) = resend.into_parts();
        (self.queue, self.ended, self.request) = (queue, ended, Some(request));
    }

    /// Whether all is sent, or nothing more can be.
    pub(super) fn is_sent(&self) -> bool {
        self.ended
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
            Form::Recoded(_) => self.made,
            Form::Json(body) => body.made(),
            Form::Texts(texts) => texts.made(),
            Form::Raw(upload) => upload.made(),
            Form::Multipart(body) => body.made(),
        }
    }

    /// Carries on until all is sent (`Ok`), or the request must be refused. A fault of the upstream ends it quietly: the
    /// answer's side knows more about it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        loop {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.request.is_none() {
                // between two attempts nothing is read: what is there goes first
                return Poll::Pending;
            }
            self.gather();
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

    /// Puts small frames together: each DATA frame costs as much as its bytes, and receivers take a flood of small ones for
    /// an attack.
    fn gather(&mut self) {
        let length = |at: usize| self.queue.get(at).map_or(GATHER, Bytes::len);
        if length(0) >= LARGE || length(0) + length(1) > GATHER {
            return;
        }
        let mut gathered = BytesMut::new();
        while let Some(next) = self.queue.front()
            && gathered.len() + next.len() <= GATHER
        {
            gathered.extend_from_slice(next);
            self.queue.pop_front();
        }
        self.queue.push_front(gathered.freeze());
    }

    fn send(&mut self, piece: Bytes) {
        let last = self.queue.is_empty() && self.read_all;
        self.moved.fetch_add(1, Ordering::Relaxed);
        if self.replay.as_mut().is_some_and(|replay| !replay.keep(&piece)) {
            self.replay = None;
        }
        if let Some(tap) = &mut self.tap {
            tap.sent(&piece, last);
        }
        let failed = self.request.as_mut().is_none_or(|request| request.send(piece, last).is_err());
        self.ended = last || failed;
    }

    fn finish(&mut self) {
        self.ended = true;
        if let Some(tap) = &mut self.tap {
            tap.sent(&[], true);
        }
        if let Some(request) = &mut self.request {
            // a stream that is gone already has nothing to be told
            let _ = request.send(Bytes::new(), true);
        }
    }

    /// Reads one chunk of the body and queues what it makes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let pulled = match &mut self.form {
            Form::Json(body) => body.pull(&mut self.queue)?,
            Form::Multipart(body) => body.pull(&mut self.queue)?,
            _ => Pulled::Dry,
        };
        match pulled {
            Pulled::Frames => return Poll::Ready(Ok(())),
            Pulled::End => return Poll::Ready(self.close()),
            Pulled::Dry => {}
        }
        let polled = self.inbound.poll_chunk(cx);
        if polled.is_pending() && self.pause()? {
            return Poll::Ready(Ok(()));
        }
        match ready!(polled) {
            Some(Ok(chunk)) => {
                self.take(chunk)?;
                if self.inbound.is_done() {
                    self.end()?;
                }
            }
            Some(Err(_)) => return Poll::Ready(Err(Refusal::new(Kind::Cancelled, "the caller went away"))),
            None => self.end()?,
        }
        Poll::Ready(Ok(()))
    }

    /// The caller pauses: what is there of a message that may have any length goes on. Says whether there was anything.
    fn pause(&mut self) -> Result<bool, Refusal> {
        match &mut self.form {
            Form::Raw(upload) => upload.pause(&mut self.queue),
            Form::Multipart(body) => body.pause(&mut self.queue),
            _ => Ok(false),
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        match &mut self.form {
            Form::Queued => {}
            Form::Frames(scanner) => {
                scanner.scan(&chunk).map_err(from_request_frames)?;
                only_one(self.single, scanner.messages())?;
                self.queue.push_back(chunk);
            }
            Form::Text(decoder, scanner) => {
                let bytes = decoder.decode(&chunk).map_err(|_| bad_text())?;
                scanner.scan(&bytes).map_err(from_request_frames)?;
                only_one(self.single, scanner.messages())?;
                self.queue.push_back(bytes);
            }
            Form::Recoded(frames) => {
                self.made += frames.take(chunk, &mut self.queue)?;
                only_one(self.single, self.made)?;
            }
            Form::Json(body) => body.push(chunk),
            Form::Texts(texts) => self.queue.push_back(texts.next(&chunk, TextPlace::START)?),
            Form::Raw(upload) => upload.push(chunk, &mut self.queue)?,
            Form::Multipart(body) => body.push(chunk),
        }
        Ok(())
    }

    /// The caller has sent all.
    fn end(&mut self) -> Result<(), Refusal> {
        match &mut self.form {
            // what is left in it is made messages of first
            Form::Json(body) => body.finish(),
            Form::Multipart(body) => body.finish(),
            _ => return self.close(),
        }
        Ok(())
    }

    /// The body is at its end: nothing may be left half.
    fn close(&mut self) -> Result<(), Refusal> {
        self.read_all = true;
        match &mut self.form {
            Form::Queued => {}
            Form::Texts(texts) => self.queue.extend(texts.last()?),
            Form::Frames(scanner) => whole(scanner.at_boundary())?,
            Form::Text(decoder, scanner) => {
                let bytes = decoder.finish().map_err(|_| bad_text())?;
                scanner.scan(&bytes).map_err(from_request_frames)?;
                whole(scanner.at_boundary())?;
                if !bytes.is_empty() {
                    self.queue.push_back(bytes);
                }
            }
            Form::Recoded(frames) => self.made += frames.close(&mut self.queue)?,
            Form::Json(body) => self.queue.extend(body.close()?),
            Form::Raw(upload) => upload.close(&mut self.queue)?,
            Form::Multipart(body) => body.close(&mut self.queue)?,
        }
        exactly_one(self.single, self.messages())
    }
}

/// How long the frame at the beginning is, if it is there whole.
fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, Refusal> {
    let Some([_, a, b, c, d]) = bytes.first_chunk::<PREFIX>() else { return Ok(None) };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if length > limit {
        return Err(too_large("request", length, limit));
    }
    let whole = PREFIX.saturating_add(length);
    Ok((bytes.len() >= whole).then_some(whole))
}

/// A method that takes one message gets no second one.
pub(super) fn only_one(single: bool, messages: u64) -> Result<(), Refusal> {
    if single && messages > 1 {
        let text = "the method takes one message, and the request has more";
        return Err(Refusal::new(Kind::Cardinality, text));
    }
    Ok(())
}

/// At its end, such a request has had one.
pub(super) fn exactly_one(single: bool, messages: u64) -> Result<(), Refusal> {
    if single && messages == 0 {
        let none = "the method takes one message, and the request has none";
        return Err(Refusal::new(Kind::Cardinality, none));
    }
    only_one(single, messages)
}

pub(super) fn whole(at_boundary: bool) -> Result<(), Refusal> {
    if at_boundary { Ok(()) } else { Err(Refusal::new(Kind::Malformed, "the request ended within a message")) }
}

fn bad_text() -> Refusal {
    Refusal::new(Kind::Malformed, "the body is not base64")
}

// === impl Recoded ===

impl Recoded {
    /// Queues the messages that are there whole, and says how many they were.
    fn take(&mut self, chunk: Bytes, queue: &mut VecDeque<Bytes>) -> Result<u64, Refusal> {
        self.reader.push(match &mut self.text {
            Some(decoder) => decoder.decode(&chunk).map_err(|_| bad_text())?,
            None => chunk,
        });
        self.frames(queue)
    }

    fn close(&mut self, queue: &mut VecDeque<Bytes>) -> Result<u64, Refusal> {
        let mut made = 0;
        if let Some(decoder) = &mut self.text {
            self.reader.push(decoder.finish().map_err(|_| bad_text())?);
            made = self.frames(queue)?;
        }
        self.reader.finish().map_err(from_request_frames)?;
        Ok(made)
    }

    fn frames(&mut self, queue: &mut VecDeque<Bytes>) -> Result<u64, Refusal> {
        let mut made = 0;
        while let Some((flags, frame)) = self.reader.next_framed().map_err(from_request_frames)? {
            queue.push_back(unpacked_request_frame(&self.called, self.codec, self.packed, flags, frame)?);
            made += 1;
        }
        Ok(made)
    }
}
