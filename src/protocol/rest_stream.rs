//! Plain HTTP/JSON with a stream of answers, in the form that `accept` asks for.
//!
//! A stream that fails says so: it ends with a record `{"error": <google.rpc.Status>}`, or an event `error`. A JSON array gets
//! the same as its last element and is then cut, never closed, so that no parser takes it for whole.

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Codec;
use super::accept::Accept;
use super::answer::{Answer, AnswerForm, DetailForm, Due, End, Ending, HeadOut, Pace, Packing, WholeOut};
use super::events;
use super::rest::{ACCEPT_FIELD, Shape, put_status_json};
use crate::call::{Kind, Refusal};
use crate::catalog::SseSettings;

/// How the messages of a stream stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The elements of one JSON array.
    Array,
    /// One JSON text a line.
    Lines,
    /// Server-sent events (HTML standard, 9.2).
    Events,
    /// JSON texts between a record separator and a line feed (RFC 7464).
    Sequence,
    /// In front of each JSON text a line with its length in bytes, in decimal digits; a line feed behind it.
    Lengths,
}

/// The media types of streams, and what they stand for; those that are liked the same are preferred in this order.
pub const STREAM_TYPES: [(&str, Layout); 8] = [
    ("application/json", Layout::Array),
    ("application/x-ndjson", Layout::Lines),
    ("application/ndjson", Layout::Lines),
    ("application/jsonl", Layout::Lines),
    ("application/x-jsonlines", Layout::Lines),
    ("text/event-stream", Layout::Events),
    ("application/json-seq", Layout::Sequence),
    ("application/vnd.transom.length-prefixed-json", Layout::Lengths),
];

/// How long a reader of events waits for the head of its answer. Until then an error has an HTTP code.
const HEAD_AFTER: Duration = Duration::from_millis(250);

const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const RECORD_SEPARATOR: u8 = 0x1e;

/// The answer to a REST call with a stream of answers.
#[derive(Debug)]
pub struct RestStream {
    layout: Layout,
    content_type: &'static str,
    shape: Shape,
    written: bool,
}

/// The form of a stream that the caller likes best, and its media type.
///
/// Errors: the caller takes none of ours.
pub(super) fn layout(headers: &HeaderMap) -> Result<(&'static str, Layout), Refusal> {
    let Some(accept) = Accept::of(headers) else { return Ok(("application/json", Layout::Array)) };
    let offers = STREAM_TYPES.iter().enumerate();
    let taken = offers.filter_map(|(at, offer)| Some((accept.liking(offer.0)?, Reverse(at), offer)));
    match taken.max_by_key(|(liking, at, _)| (*liking, *at)) {
        Some((_, _, offer)) => Ok(*offer),
        None => {
            let types = STREAM_TYPES.map(|(name, _)| name).join(", ");
            Err(Refusal::new(Kind::NotAcceptable, format!("`accept` takes none of what this stream comes as: {types}")))
        }
    }
}

// === impl RestStream ===

impl RestStream {
    pub fn new((content_type, layout): (&'static str, Layout), shape: Shape) -> RestStream {
        RestStream { layout, content_type, shape, written: false }
    }

    fn failure(&self, end: &End) -> Ending {
        let mut status = Vec::with_capacity(128);
        put_status_json(&mut status, end);
        let mut bytes = Vec::with_capacity(status.len() + 32);
        if self.layout == Layout::Events {
            events::put_failure(&status, &mut bytes);
        } else {
            let record = [b"{\"error\":", &status[..], b"}"].concat();
            put_record(self.layout, self.written, &record, &mut bytes);
        }
        Ending { bytes: bytes.into(), trailers: None, cut: self.layout == Layout::Array }
    }

    /// How long readers of events are to wait before they come again, if the settings say so.
    fn retry(&self) -> Option<Bytes> {
        self.sse()?.retry.map(|after| events::retry(after).into())
    }

    fn sse(&self) -> Option<&SseSettings> {
        self.shape.plan.as_ref().map(|plan| &plan.sse)
    }
}

fn put_record(layout: Layout, written: bool, text: &[u8], out: &mut Vec<u8>) {
    match layout {
        Layout::Array => out.push(if written { b',' } else { b'[' }),
        Layout::Sequence => out.push(RECORD_SEPARATOR),
        Layout::Lengths => {
            out.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
            out.push(b'\n');
        }
        Layout::Lines | Layout::Events => {}
    }
    out.extend_from_slice(text);
    match layout {
        Layout::Array => {}
        Layout::Lines | Layout::Sequence | Layout::Lengths => out.push(b'\n'),
        Layout::Events => out.extend_from_slice(events::END_OF_EVENT),
    }
}

impl Answer for RestStream {
    /// With the first message: a stream that fails at once has an HTTP code that says so.
    fn due(&self) -> Due {
        Due::FirstMessage
    }

    fn form(&self) -> AnswerForm {
        AnswerForm::Messages
    }

    fn codec(&self) -> Codec {
        Codec::Json
    }

    fn packing(&self) -> Packing {
        Packing::Body
    }

    fn details(&self) -> DetailForm {
        DetailForm::AnyJson
    }

    fn pace(&self) -> Option<Pace> {
        let every = self.sse().map_or_else(|| SseSettings::default().heartbeat, |sse| sse.heartbeat);
        let head_after = HEAD_AFTER.min(every);
        let opening = self.retry().unwrap_or(events::HEARTBEAT);
        (self.layout == Layout::Events).then_some(Pace { head_after, opening, every, heartbeat: events::HEARTBEAT })
    }

    fn is_labelled(&self) -> bool {
        self.layout == Layout::Events
    }

    fn opened(&mut self) {
        self.written = true;
    }

    fn head(&mut self, mut metadata: HeaderMap) -> HeadOut {
        self.shape.choose(&mut metadata);
        metadata.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        metadata.append(VARY, ACCEPT_FIELD);
        if self.layout == Layout::Events {
            metadata.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // what nginx and others in between go by
            metadata.insert(BUFFERING, HeaderValue::from_static("no"));
        }
        HeadOut { status: StatusCode::OK, headers: metadata }
    }

    fn message(&mut self, _flags: u8, message: &[u8], out: &mut Vec<u8>) {
        if self.layout == Layout::Events && !self.written {
            out.extend_from_slice(&self.retry().unwrap_or_default());
        }
        put_record(self.layout, self.written, message, out);
        self.written = true;
    }

    fn end(&mut self, end: End) -> Ending {
        if !end.status.is_ok() {
            return self.failure(&end);
        }
        let bytes = match (self.layout, self.written) {
            (Layout::Array, true) => Bytes::from_static(b"]"),
            (Layout::Array, false) => Bytes::from_static(b"[]"),
            (Layout::Events, _) => events::END_OF_STREAM,
            (Layout::Lines | Layout::Sequence | Layout::Lengths, _) => Bytes::new(),
        };
        Ending { bytes, trailers: None, cut: false }
    }

    fn whole(&mut self, metadata: HeaderMap, _message: Option<Bytes>, end: End) -> WholeOut {
        if !end.status.is_ok() {
            return self.shape.failure(metadata, end);
        }
        let head = self.head(metadata);
        let body = self.end(end).bytes;
        WholeOut { head, body, trailers: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::AnswerPlan;
    use crate::status::{Code, Status};

    fn stream(layout: Layout) -> RestStream {
        let offer = STREAM_TYPES.into_iter().find(|(_, other)| *other == layout).expect("an offer");
        RestStream::new(offer, Shape::default())
    }

    fn body(mut answer: RestStream, messages: &[&str], status: Status) -> (String, bool) {
        let mut out = Vec::new();
        for message in messages {
            answer.message(0, message.as_bytes(), &mut out);
        }
        let ending = answer.end(End::new(status));
        out.extend_from_slice(&ending.bytes);
        (String::from_utf8(out).unwrap(), ending.cut)
    }

    #[test]
    fn a_good_stream_is_whole_in_every_form() {
        for (layout, empty, two) in [
            (Layout::Array, "[]", "[1,22]"),
            (Layout::Lines, "", "1\n22\n"),
            (Layout::Sequence, "", "\x1e1\n\x1e22\n"),
            (Layout::Lengths, "", "1\n1\n2\n22\n"),
            (Layout::Events, "event: end\ndata: {}\n\n", "1\n\n22\n\nevent: end\ndata: {}\n\n"),
        ] {
            assert_eq!(body(stream(layout), &[], Status::OK), (empty.into(), false), "{layout:?}");
            assert_eq!(body(stream(layout), &["1", "22"], Status::OK), (two.into(), false), "{layout:?}");
        }
    }

    #[test]
    fn a_failed_stream_never_looks_whole() {
        let status = r#"{"code":15,"message":"gone","details":[]}"#;
        let error = format!("{{\"error\":{status}}}");
        for (layout, expected) in [
            (Layout::Array, format!("[1,{error}")),
            (Layout::Lines, format!("1\n{error}\n")),
            (Layout::Sequence, format!("\x1e1\n\x1e{error}\n")),
            (Layout::Lengths, format!("1\n1\n{}\n{error}\n", error.len())),
            (Layout::Events, format!("1\n\nevent: error\ndata: {status}\n\n")),
        ] {
            let failed = Status::new(Code::DataLoss, "gone");
            assert_eq!(body(stream(layout), &["1"], failed), (expected, layout == Layout::Array), "{layout:?}");
        }
    }

    #[test]
    fn events_begin_with_the_time_to_wait() {
        let mut plan = AnswerPlan::default();
        plan.sse.retry = Some(Duration::from_millis(1500));
        let shape = Shape { plan: Some(Arc::new(plan)), problems: false };
        let events = || RestStream::new(("text/event-stream", Layout::Events), shape.clone());
        assert!(body(events(), &["data: 1"], Status::OK).0.starts_with("retry: 1500\n\ndata: 1\n\nevent: end"));
        let mut early = events();
        assert_eq!(early.pace().expect("a pace").opening, "retry: 1500\n\n");
        early.opened();
        assert!(body(early, &["data: 1"], Status::OK).0.starts_with("data: 1\n\n"), "said already");
        assert_eq!(stream(Layout::Events).pace().expect("a pace").opening, ":\n\n");
        assert!(stream(Layout::Lines).pace().is_none());
    }

    #[test]
    fn a_caller_gets_the_form_that_it_likes_best() {
        let chosen = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static(accept))]);
            layout(&headers).map(|(_, layout)| layout).map_err(|refusal| refusal.kind)
        };
        for (accept, expected) in [
            ("*/*", Layout::Array),
            ("application/*", Layout::Array),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Layout::Array),
            ("application/x-ndjson, application/json;q=0.5", Layout::Lines),
            ("application/json, application/x-ndjson", Layout::Array),
            ("application/jsonl", Layout::Lines),
            ("text/event-stream", Layout::Events),
            ("text/*", Layout::Events),
            ("text/event-stream, */*", Layout::Events),
            ("application/json;q=0.2, application/json-seq;q=0.3", Layout::Sequence),
            ("application/vnd.transom.length-prefixed-json", Layout::Lengths),
            ("application/json;q=0, */*;q=0.1", Layout::Lines),
            ("nonsense", Layout::Array),
        ] {
            assert_eq!(chosen(accept), Ok(expected), "{accept}");
        }
        for accept in ["text/html", "image/*, application/xml", "*/*;q=0", "application/problem+json"] {
            assert_eq!(chosen(accept), Err(Kind::NotAcceptable), "{accept}");
        }
        assert_eq!(layout(&HeaderMap::new()), Ok(("application/json", Layout::Array)));
        let jsonl = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static("application/jsonl"))]);
        assert_eq!(layout(&jsonl).map(|(name, _)| name), Ok("application/jsonl"), "by the name that was asked for");
    }
}
