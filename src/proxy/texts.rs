//! A request of JSON texts that a door hands on one by one, each of them whole: a WebSocket's.

use bytes::Bytes;

use super::recode::{Rule, request_frame, too_large, woven_frame};
use super::tables::Called;
use crate::call::Refusal;
use crate::catalog::Body;
use crate::protocol::Codec;

/// Makes frames of texts. What the path and the query of a rule bind is woven into the first message.
pub(super) struct Texts {
    called: Called,
    rule: Option<Rule>,
    query: Option<String>,
}

// === impl Texts ===

impl Texts {
    pub(super) fn new(called: Called, rule: Option<Rule>, query: Option<&str>) -> Texts {
        let query = query.filter(|_| rule.is_some()).map(str::to_owned);
        Texts { called, rule, query }
    }

    /// The only message of a rule that takes no body: all of it is in the path and the query.
    pub(super) fn bodyless(&mut self) -> Option<Result<Bytes, Refusal>> {
        let (at, _) = self.rule.as_ref()?;
        let takes_none = matches!(self.called.method().bindings.get(*at)?.body, Body::None);
        takes_none.then(|| self.frame(None))
    }

    /// The frame of the next text.
    pub(super) fn next(&mut self, text: &[u8]) -> Result<Bytes, Refusal> {
        let limit = self.called.method().settings.max_request_message;
        if limit != 0 && text.len() > limit {
            return Err(too_large("request", text.len(), limit));
        }
        self.frame(Some(text))
    }

    fn frame(&mut self, text: Option<&[u8]>) -> Result<Bytes, Refusal> {
        let Some((_, variables)) = &mut self.rule else {
            return request_frame(&self.called, Codec::Json, text.unwrap_or_default());
        };
        // what is bound is bound once: the messages behind the first are what their texts say
        let bound = std::mem::take(variables);
        let query = self.query.take();
        let rule = self.rule.as_ref().map_or(0, |(at, _)| *at);
        woven_frame(&self.called, &(rule, bound), query.as_deref(), text)
    }
}
