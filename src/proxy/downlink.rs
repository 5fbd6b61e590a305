//! The upstream's answer on its way down: read as its window allows, checked, cut into what the dialect is fed with.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use super::ending::{from_answer_frames, from_fault, from_fields, speaks_against, with_early};
use super::guarding;
use super::mirror::Witness;
use super::passing::{GATHER, LARGE, PassingFrames};
use super::recode::{answer_message, guarded_answer, packed_answer, unpacked_answer};
use super::rest_call::Extras;
use super::tables::Called;
use crate::call::{Kind, Refusal};
use crate::catalog::RawBody;
use crate::observe::Direction;
use crate::protocol::{Codec, End};
use crate::transcode::raw_content;
use crate::upstream::{ResponseStream, Verdict};
use crate::wire::{Encoding, Frame, FrameReader};

/// Reads the answer of one call.
pub(super) struct Downlink {
    response: ResponseStream,
    form: Form,
    /// Bytes handed on, for which the upstream's window is to be opened again when the next are asked for.
    owed: usize,
    body_ended: bool,
    messages: u64,
    /// Content that was read behind what was gathered.
    held: Option<Bytes>,
    /// How the call ended as the head had it, though the head was not the end. It counts if nothing else follows:
    /// servers whose HTTP library ends every body by itself answer so for want of a better way.
    early_status: Option<Box<HeaderMap>>,
    /// Watches for a mirror's sake.
    witness: Option<Box<Witness>>,
}

enum Form {
    Frames(PassingFrames),
    Messages { reader: FrameReader, called: Called, made: Made },
}

/// How messages for the caller are made of the upstream's.
#[derive(Debug)]
pub(super) struct Made {
    pub codec: Codec,
    /// The only field to show.
    pub only: Option<u16>,
    /// How the upstream compressed them.
    pub packed: Option<Encoding>,
    /// How to compress them for the caller, one by one.
    pub wanted: Option<Encoding>,
    /// They are not changed at all, only looked into.
    pub passes: bool,
    /// What else REST callers want of them.
    pub extras: Option<Box<Extras>>,
    /// Only the content of this HttpBody in them is wanted.
    pub raw: Option<RawBody>,
}

/// What comes down.
pub(super) enum Part {
    /// Bytes of gRPC frames.
    Chunk(Bytes),
    /// A message in the caller's codec, and whether it is compressed.
    Message(Frame),
    /// The content of a message.
    Content(Content),
    End(Box<End>),
}

/// The content of an HttpBody.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Of the first message.
    pub content_type: Option<HeaderValue>,
    pub data: Bytes,
}

// === impl Made ===

impl Made {
    /// Messages of gRPC that are only unpacked.
    pub(super) fn unpacked(packed: Encoding) -> Made {
        let (codec, packed) = (Codec::Proto, Some(packed));
        Made { codec, only: None, packed, wanted: None, passes: false, extras: None, raw: None }
    }
}

// === impl Downlink ===

impl Downlink {
    /// `made`: unless frames pass as they are.
    pub(super) fn new(mut response: ResponseStream, made: Option<Made>, called: &Called) -> Downlink {
        // its caller may read nothing for long
        response.watch();
        let limit = called.method().settings.max_response_message;
        let form = match made {
            None => Form::Frames(PassingFrames::new(limit)),
            Some(made) => Form::Messages { reader: FrameReader::new(limit), called: called.clone(), made },
        };
        Downlink {
            response,
            form,
            owed: 0,
            body_ended: false,
            messages: 0,
            held: None,
            early_status: None,
            witness: None,
        }
    }

    /// The answer's head told this status.
    pub(super) fn set_early_status(&mut self, fields: HeaderMap) {
        self.early_status = Some(Box::new(fields));
    }

    /// Everything that comes is shown to it.
    pub(super) fn set_witness(&mut self, witness: Option<Box<Witness>>) {
        self.witness = witness;
    }

    /// What the message that came down tells as `Location`.
    pub(super) fn location(&mut self) -> Option<HeaderValue> {
        match &mut self.form {
            Form::Messages { made, .. } => made.extras.as_mut()?.location.take(),
            Form::Frames(_) => None,
        }
    }

    /// Messages that came down.
    pub(super) fn messages(&self) -> u64 {
        match &self.form {
            Form::Frames(frames) => frames.messages(),
            Form::Messages { .. } => self.messages,
        }
    }

    /// Whether what was handed on so far ends with a whole message.
    pub(super) fn at_boundary(&self) -> bool {
        match &self.form {
            Form::Frames(frames) => frames.at_boundary(),
            Form::Messages { .. } => true,
        }
    }

    /// The next part; behind [`Part::End`] there is none.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Refusal>> {
        let polled = self.poll_unjudged(cx);
        if let Poll::Ready(Err(refusal)) = &polled
            && speaks_against(refusal.kind)
        {
            self.response.judge(Verdict::Failure);
        }
        polled
    }

    fn poll_unjudged(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Refusal>> {
        if let Form::Frames(frames) = &mut self.form {
            let Some(chunk) = ready!(frames.poll(&mut self.response, cx))? else { return self.poll_end(cx) };
            self.witnessed(&chunk);
            return Poll::Ready(Ok(Part::Chunk(chunk)));
        }
        loop {
            if let Some(part) = self.next_part()? {
                return Poll::Ready(Ok(part));
            }
            if self.body_ended {
                return self.poll_end(cx);
            }
            self.response.release(std::mem::take(&mut self.owed));
            match ready!(self.response.poll_chunk(cx)) {
                Some(Ok(chunk)) => {
                    self.owed += chunk.len();
                    self.witnessed(&chunk);
                    if let Form::Messages { reader, .. } = &mut self.form {
                        reader.push(chunk);
                    }
                }
                Some(Err(fault)) => return Poll::Ready(Err(from_fault(&fault))),
                None => self.body_ended = true,
            }
        }
    }

    /// What is there already.
    fn next_part(&mut self) -> Result<Option<Part>, Refusal> {
        match self.form {
            Form::Messages { made: Made { raw: Some(raw), .. }, .. } => self.next_content(raw),
            _ => Ok(self.next_message()?.map(Part::Message)),
        }
    }

    /// The content of the next message; of those behind the first one small ones are put together.
    fn next_content(&mut self, raw: RawBody) -> Result<Option<Part>, Refusal> {
        if let Some(data) = self.held.take() {
            return Ok(Some(Part::Content(Content { content_type: None, data })));
        }
        let is_first = self.messages == 0;
        let Some(message) = self.next_message()? else { return Ok(None) };
        let mut content = self.content(raw, &message.payload, is_first)?;
        if is_first || content.data.len() >= LARGE {
            return Ok(Some(Part::Content(content)));
        }
        let mut gathered = BytesMut::new();
        while let Some(next) = self.next_message()? {
            let next = self.content(raw, &next.payload, false)?.data;
            if next.len() >= LARGE || gathered.len() >= GATHER {
                self.held = Some(next);
                break;
            }
            if gathered.is_empty() {
                gathered.extend_from_slice(&content.data);
            }
            gathered.extend_from_slice(&next);
        }
        if !gathered.is_empty() {
            content.data = gathered.freeze();
        }
        Ok(Some(Part::Content(content)))
    }

    /// What the HttpBody of a message holds, and as what a head tells it.
    fn content(&self, raw: RawBody, message: &Bytes, with_type: bool) -> Result<Content, Refusal> {
        let Form::Messages { called, .. } = &self.form else { return Ok(Content::default()) };
        let bad = |what: &str| Refusal::new(Kind::BadAnswer, format!("the upstream's google.api.HttpBody {what}"));
        let field = match raw {
            RawBody::Whole => None,
            RawBody::Field(index) => {
                let output = called.catalog().schema.message(called.method().output);
                output.field(index).map(|field| field.number)
            }
        };
        let found = raw_content(message, field).map_err(|damage| bad(&format!("is damaged: {}", damage.0)))?;
        let content_type = match found.content_type {
            _ if !with_type => None,
            // nothing better is known, and readers should not guess
            b"" => Some(HeaderValue::from_static("application/octet-stream")),
            text => Some(HeaderValue::from_bytes(text).map_err(|_| bad("has a content type that is none"))?),
        };
        Ok(Content { content_type, data: message.slice_ref(found.data) })
    }

    fn next_message(&mut self) -> Result<Option<Frame>, Refusal> {
        let Form::Messages { reader, called, made } = &mut self.form else { return Ok(None) };
        let Some(frame) = reader.next().map_err(from_answer_frames)? else { return Ok(None) };
        self.messages += 1;
        if made.passes {
            guarded_answer(called, made.packed, &frame)?;
            return Ok(Some(frame));
        }
        let message = unpacked_answer(called, made.packed, frame)?;
        guarding::check(called, Direction::Response, &message)?;
        let message = answer_message(called, made.codec, made.only, made.extras.as_deref_mut(), message)?;
        Ok(Some(packed_answer(called, made.wanted, message)))
    }

    fn witnessed(&mut self, chunk: &[u8]) {
        if let Some(witness) = &mut self.witness {
            witness.chunk(chunk);
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Refusal>> {
        match &self.form {
            Form::Frames(frames) => frames.check_end()?,
            Form::Messages { reader, .. } => reader.finish().map_err(from_answer_frames)?,
        }
        Poll::Ready(match ready!(self.response.poll_trailers(cx)) {
            Ok(trailers) => {
                let early = self.early_status.take().filter(|_| self.messages() == 0);
                let end = from_fields(with_early(trailers, early))?;
                self.response.judge_status(end.status.code);
                if let Some(witness) = self.witness.take() {
                    witness.end(end.status.code);
                }
                Ok(Part::End(Box::new(end)))
            }
            Err(fault) => Err(from_fault(&fault)),
        })
    }
}
