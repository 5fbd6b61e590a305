//! A request whose body is a form: one message of it, whatever the method takes.

use std::borrow::Cow;

use bytes::Bytes;

use super::handler::collect;
use super::json_body::JsonBody;
use super::recode::{Rule, bad_input, binding_of, seal, unpacked_body, woven_frame};
use super::tables::Called;
use super::texts::Texts;
use super::uplink::Uplink;
use crate::call::{Inbound, Kind, Refusal};
use crate::protocol::{Packed, RequestForm};
use crate::transcode::{Form, ReadOptions, bind_form};
use crate::wire::PREFIX;

/// The way up of a call with `application/x-www-form-urlencoded`. `more`: see [`super::recode::text_frame`].
///
/// A body that begins as JSON objects, arrays and texts do is JSON: whoever encodes a form writes these marks as `%7B`,
/// `%5B` and `%22` (WHATWG URL, 5.2), while `curl -d '{...}'` says that it sends a form.
pub(super) async fn form_uplink(
    called: &Called,
    rule: &Rule,
    query: Option<&str>,
    packed: Packed,
    more: &[u8],
    mut inbound: Inbound,
) -> Result<Uplink, Refusal> {
    let limit = called.method().settings.max_request_message;
    let streams = called.method().kind.client_streams();
    if streams && packed.here().is_none() && begins_as_json(&peeked(&mut inbound).await?) {
        let texts = Texts::new(called, Some(rule), query)?;
        return Ok(Uplink::of_json(inbound, JsonBody::new(RequestForm::Messages, packed, texts)));
    }
    let body = unpacked_body(packed, collect(&mut inbound, limit).await?, limit)?;
    match (begins_as_json(&body), streams) {
        (false, _) => form_frame(called, rule, query, &body, more).map(Uplink::of_frame),
        (true, false) => woven_frame(called, rule, query, Some(&body), more).map(Uplink::of_frame),
        (true, true) => {
            let texts = Texts::new(called, Some(rule), query)?;
            Ok(Uplink::of_json(Inbound::Whole(body), JsonBody::new(RequestForm::Messages, Packed::No, texts)))
        }
    }
}

/// The first bytes of the body, which stay there.
async fn peeked(inbound: &mut Inbound) -> Result<Bytes, Refusal> {
    inbound.peek().await.map_err(|_| Refusal::new(Kind::Cancelled, "the caller went away"))
}

fn begins_as_json(body: &Bytes) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

/// The message of path, query and form.
fn form_frame(called: &Called, rule: &Rule, query: Option<&str>, form: &[u8], more: &[u8]) -> Result<Bytes, Refusal> {
    let (schema, input) = (&called.catalog().schema, called.method().input);
    let options = ReadOptions::from(&called.method().settings);
    let binding = binding_of(called, rule)?;
    let variables: Vec<(usize, Cow<'_, str>)> = rule.1.iter().map(|(at, text)| (*at, text.as_str().into())).collect();
    let bound = bind_form(schema, input, binding, &variables, query, Form::Encoded(form), None, &options);
    let mut frame = vec![0; PREFIX];
    bound.and_then(|bound| bound.weave(schema, input, binding.body, None, &options, &mut frame)).map_err(bad_input)?;
    frame.extend_from_slice(more);
    seal(called, frame)
}
