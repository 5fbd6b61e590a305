//! A request of JSON texts, one message each, wherever they come from: a WebSocket hands them on one by one, `json_body`
//! finds them in a body.

use bytes::Bytes;

use super::recode::{Rule, bound, text_frame, too_large};
use super::tables::Called;
use crate::call::Refusal;
use crate::catalog::Weave;
use crate::transcode::{Bound, ReadOptions};
use crate::wire::TextPlace;

/// Makes frames of texts. What the path and the query of a rule bind is woven into the first message, or into every one.
pub(super) struct Texts {
    called: Called,
    /// Which of the method's rules it is, and what is to be woven into the next message.
    rule: Option<(usize, Bound<'static>)>,
    made: u64,
}

// === impl Texts ===

impl Texts {
    /// Errors: what is wrong with the path and the query, before any text is there.
    pub(super) fn new(called: &Called, rule: Option<&Rule>, query: Option<&str>) -> Result<Texts, Refusal> {
        let options = ReadOptions::from(&called.method().settings);
        let rule = match rule {
            Some(rule) => Some((rule.0, bound(called, rule, query, &options)?.1.into_owned())),
            None => None,
        };
        Ok(Texts { called: called.clone(), rule, made: 0 })
    }

    /// Messages so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// The frame of the next text, which begins at this place of what the caller sends.
    pub(super) fn next(&mut self, text: &[u8], start: TextPlace) -> Result<Bytes, Refusal> {
        self.check_length(text.len())?;
        self.frame(Some(text), start)
    }

    /// Refuses a text of so many bytes, or one that is not even at its end there, if that is over the limit.
    pub(super) fn check_length(&self, length: usize) -> Result<(), Refusal> {
        let limit = self.called.method().settings.max_request_message;
        if limit != 0 && length > limit { Err(self.numbered(too_large("request", length, limit))) } else { Ok(()) }
    }

    /// The caller has sent its last text. If there was none, what the path and the query bind is a message by itself: it
    /// must not get lost. Without that, a stream may be empty.
    pub(super) fn last(&mut self) -> Result<Option<Bytes>, Refusal> {
        let one = !self.called.method().kind.client_streams();
        let due = self.rule.as_ref().is_some_and(|(_, bound)| one || !bound.is_empty());
        if self.made > 0 || !due { Ok(None) } else { self.frame(None, TextPlace::START).map(Some) }
    }

    /// Says which message is meant, if there may be several.
    pub(super) fn numbered(&self, mut refusal: Refusal) -> Refusal {
        if self.called.method().kind.client_streams() {
            refusal.message = format!("message {}: {}", self.made + 1, refusal.message).into();
        }
        refusal
    }

    fn frame(&mut self, text: Option<&[u8]>, start: TextPlace) -> Result<Bytes, Refusal> {
        let method = self.called.method();
        let rule = self.rule.as_ref().and_then(|(at, bound)| Some((method.bindings.get(*at)?, bound)));
        let frame = text_frame(&self.called, rule, text, start, &[]).map_err(|refusal| self.numbered(refusal))?;
        self.made += 1;
        if let Some((_, bound)) = &mut self.rule
            && self.called.method().settings.weave == Weave::First
        {
            *bound = Bound::default();
        }
        Ok(frame)
    }
}
