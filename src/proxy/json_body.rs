//! A request body that is a stream of JSON texts, each of them a message: cut apart as it arrives, whatever pieces it
//! arrives in.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::texts::Texts;
use crate::call::{Kind, Refusal};
use crate::protocol::{Packed, RequestForm};
use crate::wire::{BadJson, JsonScanner, JsonStream, Scan, TextPlace, Unpacked, Unpacker};

/// So many bytes of frames are made before the first of them has to be sent: a few bytes of a body may be many messages,
/// and what is woven into each may be long.
const GATHER: usize = 16 << 10;

/// Cuts a body into texts. Holds one of them and one chunk of the body.
pub(super) struct JsonBody {
    /// Once the first byte that is no white space has said what the form is.
    scanner: Option<JsonScanner>,
    /// An array is a text like any other.
    lines: bool,
    /// What has arrived and is not made a message of yet.
    buffer: BytesMut,
    /// Where the buffer begins in the body.
    place: TextPlace,
    /// For a body that is compressed as a whole.
    unpacker: Option<Unpacker>,
    /// The caller has sent all.
    ended: bool,
    texts: Texts,
}

/// What has come of what is there of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// Some frames; ask again.
    Frames,
    /// Nothing before more is pushed.
    Dry,
    /// The body is at its end: [`JsonBody::close`] it.
    End,
}

// === impl JsonBody ===

impl JsonBody {
    pub(super) fn new(form: RequestForm, packed: Packed, texts: Texts) -> JsonBody {
        JsonBody {
            scanner: None,
            lines: form == RequestForm::Lines,
            buffer: BytesMut::new(),
            place: TextPlace::START,
            unpacker: packed.here().map(Unpacker::new),
            ended: false,
            texts,
        }
    }

    /// Messages so far.
    pub(super) fn made(&self) -> u64 {
        self.texts.made()
    }

    /// Takes the next bytes of the body; pull until it is dry before giving more.
    pub(super) fn push(&mut self, chunk: Bytes) {
        match &mut self.unpacker {
            Some(unpacker) => unpacker.push(chunk),
            None => self.buffer.extend_from_slice(&chunk),
        }
    }

    /// The caller has sent all; what is there is still to be pulled.
    pub(super) fn finish(&mut self) {
        self.ended = true;
        if let Some(unpacker) = &mut self.unpacker {
            unpacker.finish();
        }
    }

    /// Queues frames of the texts that are there whole, some of them at least.
    pub(super) fn pull(&mut self, queue: &mut VecDeque<Bytes>) -> Result<Pulled, Refusal> {
        loop {
            let mut gathered = 0;
            while gathered < GATHER
                && let Some(frame) = self.next()?
            {
                gathered += frame.len();
                queue.push_back(frame);
            }
            if gathered > 0 {
                return Ok(Pulled::Frames);
            }
            self.texts.check_length(self.buffer.len())?;
            // what one chunk unpacks to may be large: no more of it than one block is held at a time
            match self.unpacker.as_mut().map(Unpacker::pull) {
                None => return Ok(if self.ended { Pulled::End } else { Pulled::Dry }),
                Some(Ok(Unpacked::Block(block))) => self.buffer.extend_from_slice(&block),
                Some(Ok(Unpacked::Dry)) => return Ok(Pulled::Dry),
                Some(Ok(Unpacked::End)) => return Ok(Pulled::End),
                Some(Err(_)) => return Err(bad_body()),
            }
        }
    }

    /// The body is at its end, and nothing may be left half. The frame of what only the end has ended.
    pub(super) fn close(&mut self) -> Result<Option<Bytes>, Refusal> {
        if let Some(scanner) = &mut self.scanner {
            match scanner.finish(&self.buffer) {
                Ok(Some(value)) => return self.take(value).map(Some),
                Ok(None) => {}
                Err(bad) => return Err(self.bad_json(&bad)),
            }
        }
        self.texts.last()
    }

    /// The frame of the next text.
    fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.scanner.is_none() {
            let blank = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
            self.pass(blank);
            let Some(first) = self.buffer.first() else { return Ok(None) };
            let is_array = *first == b'[' && !self.lines;
            let form = if is_array { JsonStream::Array } else { JsonStream::Concatenated };
            self.scanner = Some(JsonScanner::new(form));
        }
        let Some(scanner) = &mut self.scanner else { return Ok(None) };
        match scanner.next(&self.buffer) {
            Ok(Scan::Value(value)) => self.take(value).map(Some),
            Ok(Scan::More | Scan::End) => {
                let skipped = scanner.skipped();
                self.pass(skipped);
                Ok(None)
            }
            Err(bad) => Err(self.bad_json(&bad)),
        }
    }

    /// Takes a text out of the buffer.
    fn take(&mut self, value: Range<usize>) -> Result<Bytes, Refusal> {
        self.pass(value.start);
        let text = self.buffer.split_to(value.len().min(self.buffer.len()));
        let frame = self.texts.next(&text, self.place)?;
        self.place = self.place.after(&text);
        Ok(frame)
    }

    /// Drops bytes at the front of the buffer.
    fn pass(&mut self, count: usize) {
        let passed = self.buffer.split_to(count.min(self.buffer.len()));
        self.place = self.place.after(&passed);
    }

    fn bad_json(&self, bad: &BadJson) -> Refusal {
        let dropped = self.scanner.as_ref().map_or(0, JsonScanner::dropped);
        let before = self.buffer.get(..bad.offset.saturating_sub(dropped)).unwrap_or(&self.buffer);
        let TextPlace { line, column } = self.place.after(before);
        let text = format!("line {line}, column {column}: {}", bad.what);
        self.texts.numbered(Refusal::new(Kind::BadRequest, text))
    }
}

pub(super) fn bad_body() -> Refusal {
    Refusal::new(Kind::Malformed, "the body is not compressed as content-encoding says, or it is cut")
}
