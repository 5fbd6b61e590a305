//! A request whose body is content that is not looked into (`google.api.HttpBody`): one message of it, or a stream of
//! messages as it arrives. Content is not copied, but for small pieces, and where a message has to be looked into.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::guarding;
use super::handler::collect;
use super::recode::{Rule, bad_input, bound, too_large};
use super::tables::Called;
use super::uplink::Uplink;
use crate::call::{Inbound, Kind, Refusal};
use crate::catalog::Weave;
use crate::observe::Direction;
use crate::transcode::{Bound, RawSlot, ReadOptions};
use crate::wire::{PREFIX, prefix};

/// The most content of one message of a stream, as Envoy cuts it too: servers that take 4 MiB by default take it.
const MOST_CONTENT: usize = 1 << 20;
/// Pieces of fewer bytes are put together: one may be a byte, and costs fifty.
const SMALL: usize = 4 << 10;

/// Makes messages of content as it arrives.
pub(super) struct RawUpload {
    called: Called,
    slot: RawSlot,
    /// What is woven into the next message.
    bound: Bound<'static>,
    /// For the first message.
    content_type: Option<String>,
    pieces: Pieces,
    made: u64,
}

/// Content that waits to become part of a message.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    /// The end of it, of small pieces.
    tail: BytesMut,
    length: usize,
}

/// The way up of a call by a rule whose body is an HttpBody.
pub(super) async fn raw_uplink(
    called: &Called,
    rule: &Rule,
    query: Option<&str>,
    headers: &HeaderMap,
    mut inbound: Inbound,
) -> Result<Uplink, Refusal> {
    let mut upload = RawUpload::new(called, rule, query, headers)?;
    if called.method().kind.client_streams() {
        return Ok(Uplink::of_raw(inbound, upload));
    }
    let body = collect(&mut inbound, called.method().settings.max_request_message).await?;
    let mut frames = VecDeque::new();
    upload.pieces.push(body);
    upload.close(&mut frames)?;
    Ok(Uplink::of_pieces(frames))
}

/// The most content of one message of a stream: so much that what else the first one has finds room within the limit.
pub(super) fn most_content(called: &Called) -> usize {
    match called.method().settings.max_request_message {
        0 => MOST_CONTENT,
        limit => MOST_CONTENT.min(limit / 2).max(1),
    }
}

/// Queues the frame of a message with this content.
pub(super) fn push_raw(
    called: &Called,
    bound: &Bound<'_>,
    slot: &RawSlot,
    content_type: Option<&str>,
    pieces: &mut Pieces,
    queue: &mut VecDeque<Bytes>,
) -> Result<(), Refusal> {
    let (content, length) = pieces.take();
    let (schema, method) = (&called.catalog().schema, called.method());
    let mut frame = vec![0; PREFIX];
    bound.weave_raw(schema, method.input, slot, content_type, length, &mut frame).map_err(bad_input)?;
    let (length, limit) = (frame.len() - PREFIX + length, method.settings.max_request_message);
    if limit != 0 && length > limit {
        return Err(too_large("request", length, limit));
    }
    if let Some(start) = frame.first_chunk_mut::<PREFIX>() {
        *start = prefix(0, length);
    }
    if called.is_guarded(Direction::Request) {
        content.iter().for_each(|piece| frame.extend_from_slice(piece));
        guarding::check(called, Direction::Request, frame.get(PREFIX..).unwrap_or_default())?;
        queue.push_back(frame.into());
    } else {
        queue.push_back(frame.into());
        queue.extend(content);
    }
    Ok(())
}

// === impl RawUpload ===

impl RawUpload {
    fn new(called: &Called, rule: &Rule, query: Option<&str>, headers: &HeaderMap) -> Result<RawUpload, Refusal> {
        let options = ReadOptions::from(&called.method().settings);
        let (binding, bound) = bound(called, rule, query, &options)?;
        let slot =
            binding.raw_request.and_then(|raw| RawSlot::of_rule(&called.catalog().schema, called.method().input, raw));
        Ok(RawUpload {
            called: called.clone(),
            slot: slot.ok_or_else(|| Refusal::new(Kind::NoRoute, "the rule is gone"))?,
            bound: bound.into_owned(),
            content_type: content_type(headers)?,
            pieces: Pieces::default(),
            made: 0,
        })
    }

    /// Messages so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Takes what has arrived, and queues the messages that are full.
    pub(super) fn push(&mut self, mut chunk: Bytes, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        let most = most_content(&self.called);
        while self.pieces.length + chunk.len() >= most {
            self.pieces.push(chunk.split_to(most.saturating_sub(self.pieces.length).min(chunk.len())));
            self.message(queue)?;
        }
        self.pieces.push(chunk);
        Ok(())
    }

    /// Nothing more is there at present: what is goes on. Says whether there was anything.
    pub(super) fn pause(&mut self, queue: &mut VecDeque<Bytes>) -> Result<bool, Refusal> {
        if self.pieces.is_empty() {
            return Ok(false);
        }
        self.message(queue).map(|()| true)
    }

    /// The caller has sent all. A body that is empty is one message.
    pub(super) fn close(&mut self, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        if self.made == 0 || !self.pieces.is_empty() { self.message(queue) } else { Ok(()) }
    }

    fn message(&mut self, queue: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        let content_type = self.content_type.take();
        push_raw(&self.called, &self.bound, &self.slot, content_type.as_deref(), &mut self.pieces, queue)?;
        self.made += 1;
        if self.called.method().settings.weave == Weave::First {
            self.bound = Bound::default();
        }
        Ok(())
    }
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Refusal::new(Kind::BadHeader, "content-type is not UTF-8")),
    }
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < SMALL {
            self.tail.extend_from_slice(&piece);
            return;
        }
        if !self.tail.is_empty() {
            self.whole.push(self.tail.split().freeze());
        }
        self.whole.push(piece);
    }

    /// All of it, and how many bytes it is.
    fn take(&mut self) -> (Vec<Bytes>, usize) {
        if !self.tail.is_empty() {
            self.whole.push(self.tail.split().freeze());
        }
        (std::mem::take(&mut self.whole), std::mem::take(&mut self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_put_together_and_large_ones_stay_as_they_are() {
        let mut pieces = Pieces::default();
        let large = Bytes::from(vec![7; SMALL]);
        for piece in [Bytes::from_static(b"a"), Bytes::from_static(b"b"), large.clone(), Bytes::from_static(b"c")] {
            pieces.push(piece);
        }
        assert_eq!(pieces.len(), SMALL + 3);
        let (all, length) = pieces.take();
        assert_eq!((length, all.len()), (SMALL + 3, 3));
        assert_eq!(all.concat(), [b"ab", &large[..], b"c"].concat());
        assert_eq!(all.get(1).map(|piece| piece.as_ptr()), Some(large.as_ptr()), "nothing is copied");
        assert!(pieces.is_empty());
    }
}
