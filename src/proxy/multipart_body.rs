//! A request whose body is `multipart/form-data`: one message of all its parts; or, of a method that takes a stream, the
//! content of its files in as many messages as it takes, while it arrives.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::json_body::{Pulled, bad_body};
use super::raw_upload::{Pieces, most_content, push_raw};
use super::recode::{Rule, bad_input, binding_of, bound, seal, too_large};
use super::tables::Called;
use super::uplink::Uplink;
use crate::call::{Hint, Inbound, Kind, Refusal};
use crate::catalog::Weave;
use crate::protocol::Packed;
use crate::status::FieldViolation;
use crate::transcode::{Bound, Form, FormPart, RawSlot, ReadOptions, bind_form};
use crate::wire::{BadMultipart, MultipartEvent, MultipartReader, PREFIX, PartHead, Unpacked, Unpacker, boundary};

/// Makes messages of a form's parts.
///
/// Of a stream, the first message of a file has what stands before it in the form, its content type, its name and the
/// first of its content; the others have content alone. What stands behind the last file is a message of its own. Parts
/// that are no files, and all parts of a method that takes one message, are held until then, within its limit.
pub(super) struct MultipartBody {
    called: Called,
    rule: Rule,
    query: Option<String>,
    reader: MultipartReader,
    /// For a body that is compressed as a whole.
    unpacker: Option<Unpacker>,
    /// The caller has sent all.
    ended: bool,
    /// Parts that wait for their message.
    parts: Vec<Part>,
    /// Their bytes, heads included.
    held: usize,
    file: Option<File>,
    /// Parts that have begun, and the name of the last one, as far as it is shown.
    begun: usize,
    name: String,
    made: u64,
}

struct Part {
    head: PartHead,
    content: Vec<u8>,
}

/// A file that is passed on while it arrives.
struct File {
    head: PartHead,
    slot: RawSlot,
    pieces: Pieces,
    /// Its first message is made.
    begun: bool,
}

/// The way up of a call with `multipart/form-data`.
pub(super) async fn multipart_uplink(
    called: &Called,
    rule: &Rule,
    query: Option<&str>,
    packed: Packed,
    headers: &HeaderMap,
    mut inbound: Inbound,
) -> Result<Uplink, Refusal> {
    let mut body = MultipartBody::new(called, rule, query, packed, headers)?;
    if called.method().kind.client_streams() {
        return Ok(Uplink::of_multipart(inbound, body));
    }
    let mut frames = VecDeque::new();
    loop {
        match body.pull(&mut frames)? {
            Pulled::Frames => {}
            Pulled::Dry => match poll_fn(|cx| inbound.poll_chunk(cx)).await {
                Some(Ok(chunk)) => body.push(chunk),
                Some(Err(_)) => return Err(Refusal::new(Kind::Cancelled, "the caller went away")),
                None => body.finish(),
            },
            Pulled::End => break,
        }
    }
    body.close(&mut frames)?;
    Ok(Uplink::of_pieces(frames))
}

// === impl MultipartBody ===

impl MultipartBody {
    /// Errors: what is wrong with path and query, before any part is there; and a content type that names no boundary.
    fn new(
        called: &Called,
        rule: &Rule,
        query: Option<&str>,
        packed: Packed,
        headers: &HeaderMap,
    ) -> Result<MultipartBody, Refusal> {
        let boundary = headers.get(CONTENT_TYPE).and_then(|value| boundary(value.as_bytes())).ok_or_else(|| {
            let text = "the content type multipart/form-data names no boundary, or one that cannot be";
            Refusal::new(Kind::BadRequest, text)
        })?;
        bound(called, rule, query, &ReadOptions::from(&called.method().settings))?;
        Ok(MultipartBody {
            called: called.clone(),
            rule: rule.clone(),
            query: query.map(str::to_owned),
            reader: MultipartReader::new(&boundary),
            unpacker: packed.here().map(Unpacker::new),
            ended: false,
            parts: Vec::new(),
            held: 0,
            file: None,
            begun: 0,
            name: String::new(),
            made: 0,
        })
    }

    /// Messages so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Takes the next bytes of the body; pull until it is dry before giving more.
    pub(super) fn push(&mut self, chunk: Bytes) {
        match &mut self.unpacker {
            Some(unpacker) => unpacker.push(chunk),
            None => self.reader.push(&chunk),
        }
    }

    /// The caller has sent all; what is there is still to be pulled.
    pub(super) fn finish(&mut self) {
        self.ended = true;
        if let Some(unpacker) = &mut self.unpacker {
            unpacker.finish();
        }
    }

    /// Queues the frames of messages that are full, some of them at least.
    pub(super) fn pull(&mut self, queue: &mut VecDeque<Bytes>) -> Result<Pulled, Refusal> {
        loop {
            match self.reader.next() {
                Ok(MultipartEvent::More | MultipartEvent::End) => {}
                Ok(event) => {
                    self.take(event, queue)?;
                    if !queue.is_empty() {
                        return Ok(Pulled::Frames);
                    }
                    continue;
                }
                Err(bad) => return Err(self.bad(&bad)),
            }
            match self.unpacker.as_mut().map(Unpacker::pull) {
                None => return Ok(if self.ended { Pulled::End } else { Pulled::Dry }),
                Some(Ok(Unpacked::Block(block))) => self.reader.push(&block),
                Some(Ok(Unpacked::Dry)) => return Ok(Pulled::Dry),
                Some(Ok(Unpacked::End)) => return Ok(Pulled::End),
                Some(Err(_)) => return Err(bad_body()),
            }
        }
    }

    /// Nothing more is there at present: what is of a file goes on. Says whether there was anything.
    pub(super) fn pause(&mut self, queue: &mut VecDeque<Bytes>) -> Result<bool, Refusal> {
        if self.file.as_ref().is_none_or(|file| file.pieces.is_empty()) {
            return Ok(false);
        }
        self.file_message(queue).map(|()| true)
    }

    /// The body is at its end. What waits for a message, and a form that says nothing, is one.
    pub(super) fn close(&mut self, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        self.reader.finish().map_err(|bad| self.bad(&bad))?;
        if self.made > 0 && self.parts.is_empty() {
            return Ok(());
        }
        let (schema, input) = (&self.called.catalog().schema, self.called.method().input);
        let mut frame = vec![0; PREFIX];
        let options = ReadOptions::from(&self.called.method().settings);
        let body = binding_of(&self.called, &self.rule)?.body;
        self.bound(None, |bound| bound.weave(schema, input, body, None, &options, &mut frame).map_err(bad_input))?;
        queue.push_back(seal(&self.called, frame)?);
        self.parts = Vec::new();
        self.made += 1;
        Ok(())
    }

    fn take(&mut self, event: MultipartEvent, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        match event {
            MultipartEvent::Part(head) => self.begin(head),
            MultipartEvent::Data(data) => self.data(data, queue),
            MultipartEvent::PartEnd => {
                if self.file.as_ref().is_some_and(|file| !file.begun || !file.pieces.is_empty()) {
                    self.file_message(queue)?;
                }
                self.file = None;
                Ok(())
            }
            MultipartEvent::More | MultipartEvent::End => Ok(()),
        }
    }

    fn begin(&mut self, head: PartHead) -> Result<(), Refusal> {
        self.begun += 1;
        self.name = head.name.chars().take(100).collect();
        if let Some(slot) = self.slot(&head)? {
            self.file = Some(File { head, slot, pieces: Pieces::default(), begun: false });
            return Ok(());
        }
        let texts = [&head.filename, &head.content_type].map(|text| text.as_ref().map_or(0, String::len));
        self.hold(head.name.len() + texts.iter().sum::<usize>())?;
        self.parts.push(Part { head, content: Vec::new() });
        Ok(())
    }

    /// Where the content of a part goes while it arrives; `None`: it is held.
    fn slot(&self, head: &PartHead) -> Result<Option<RawSlot>, Refusal> {
        let method = self.called.method();
        if !method.kind.client_streams() {
            return Ok(None);
        }
        let body = binding_of(&self.called, &self.rule)?.body;
        let slot = RawSlot::of_name(&self.called.catalog().schema, method.input, body, &head.name);
        Ok(slot.filter(|slot| head.filename.is_some() || slot.is_http_body()))
    }

    fn data(&mut self, mut data: Bytes, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        let Some(file) = &mut self.file else {
            self.hold(data.len())?;
            if let Some(part) = self.parts.last_mut() {
                part.content.extend_from_slice(&data);
            }
            return Ok(());
        };
        let most = most_content(&self.called);
        if file.pieces.len() + data.len() < most {
            file.pieces.push(data);
            return Ok(());
        }
        while !data.is_empty() {
            let Some(file) = &mut self.file else { return Ok(()) };
            file.pieces.push(data.split_to(most.saturating_sub(file.pieces.len()).min(data.len())));
            if file.pieces.len() >= most {
                self.file_message(queue)?;
            }
        }
        Ok(())
    }

    /// Counts what is held of parts against the limit on messages.
    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.held = self.held.saturating_add(bytes);
        let limit = self.called.method().settings.max_request_message;
        if limit == 0 || self.held <= limit {
            return Ok(());
        }
        let mut refusal = too_large("request", self.held, limit);
        refusal.message = format!("part {} of the form, {:?}: {}", self.begun, self.name, refusal.message).into();
        Err(refusal)
    }

    /// Queues a message with what is there of the file.
    fn file_message(&mut self, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        if file.begun {
            self.bound_again(|bound| push_raw(&self.called, bound, &file.slot, None, &mut file.pieces, queue))?;
        } else {
            let name = file.head.filename.as_deref().map(|name| (&file.slot, name));
            let kind = file.head.content_type.as_deref();
            self.bound(name, |bound| push_raw(&self.called, &bound, &file.slot, kind, &mut file.pieces, queue))?;
            self.parts = Vec::new();
            self.held = 0;
        }
        file.begun = true;
        self.file = Some(file);
        self.made += 1;
        Ok(())
    }

    /// What a message has of path and query, if any, and of the parts that wait.
    fn bound<T>(
        &self,
        file: Option<(&RawSlot, &str)>,
        then: impl FnOnce(Bound<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let method = self.called.method();
        let options = ReadOptions::from(&method.settings);
        let binding = binding_of(&self.called, &self.rule)?;
        let woven = self.made == 0 || method.settings.weave == Weave::Every;
        let variables = self.rule.1.iter().filter(|_| woven);
        let variables: Vec<(usize, Cow<'_, str>)> = variables.map(|(at, text)| (*at, text.as_str().into())).collect();
        let query = self.query.as_deref().filter(|_| woven);
        let parts: Vec<FormPart<'_>> = self.parts.iter().map(Part::shown).collect();
        let (schema, form) = (&self.called.catalog().schema, Form::Parts(&parts));
        let bound = bind_form(schema, method.input, binding, &variables, query, form, file, &options);
        bound.map_err(bad_input).and_then(then)
    }

    /// What a message in the midst of a file has besides content.
    fn bound_again<T>(&self, then: impl FnOnce(&Bound<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if self.called.method().settings.weave == Weave::First {
            return then(&Bound::default());
        }
        let options = ReadOptions::from(&self.called.method().settings);
        then(&bound(&self.called, &self.rule, self.query.as_deref(), &options)?.1)
    }

    /// A mistake in the form itself, with the name of the part if it is known.
    fn bad(&self, bad: &BadMultipart) -> Refusal {
        let field = if bad.part == self.begun { self.name.clone() } else { String::new() };
        let violation = FieldViolation { field, description: bad.what.clone() };
        Refusal::new(Kind::BadRequest, bad.to_string()).hint(Hint::Violations(vec![violation]))
    }
}

// === impl Part ===

impl Part {
    fn shown(&self) -> FormPart<'_> {
        FormPart {
            name: &self.head.name,
            filename: self.head.filename.as_deref(),
            content_type: self.head.content_type.as_deref(),
            content: &self.content,
        }
    }
}
