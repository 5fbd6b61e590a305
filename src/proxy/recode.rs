//! Messages between the caller's codec and protobuf, when they differ, and between encodings.

use std::borrow::Cow;

use bytes::Bytes;

use super::guarding;
use super::rest_call::Extras;
use super::tables::Called;
use crate::call::{Hint, Kind, Refusal};
use crate::catalog::Binding;
use crate::observe::Direction;
use crate::protocol::{Codec, Packed};
use crate::transcode::{
    BadInput, Bound, PrintOptions, ReadOptions, bind, json_to_wire, wire_to_json, wire_to_json_field,
    wire_to_json_field_masked, wire_to_json_masked,
};
use crate::wire::{BadPacked, COMPRESSED, Encoding, Frame, PREFIX, TextPlace, prefix};

/// The caller's message as a gRPC frame for the upstream.
pub(super) fn request_frame(called: &Called, codec: Codec, message: &[u8]) -> Result<Bytes, Refusal> {
    if codec == Codec::Json {
        return text_frame(called, None, Some(message), TextPlace::START, &[]);
    }
    let mut out = Vec::with_capacity(PREFIX + message.len());
    out.extend_from_slice(&[0; PREFIX]);
    out.extend_from_slice(message);
    seal(called, out)
}

/// A JSON text as a gRPC frame for the upstream; by a rule, woven with what that binds. `start`: where the text begins in
/// what the caller sent. `more`: what is appended to the message, and counts more than what is there.
pub(super) fn text_frame(
    called: &Called,
    rule: Option<(&Binding, &Bound<'_>)>,
    text: Option<&[u8]>,
    start: TextPlace,
    more: &[u8],
) -> Result<Bytes, Refusal> {
    let (schema, method) = (&called.catalog().schema, called.method());
    let options = ReadOptions::from(&method.settings);
    let mut frame = Vec::with_capacity(PREFIX + 64 + text.map_or(0, <[u8]>::len));
    frame.extend_from_slice(&[0; PREFIX]);
    match rule {
        Some((binding, bound)) => {
            let woven = bound.weave(schema, method.input, binding.body, text, &options, &mut frame);
            match binding.mask {
                Some(_) if method.settings.rest.fill_mask => {
                    woven.and_then(|()| bound.fill_mask(schema, method.input, binding, text, &mut frame))
                }
                _ => woven,
            }
        }
        None => json_to_wire(schema, method.input, text.unwrap_or_default(), &options, &mut frame),
    }
    .map_err(|bad| bad_input(bad.within(start)))?;
    frame.extend_from_slice(more);
    seal(called, frame)
}

/// The same for a whole frame, whose message may be compressed. `flags` are the frame's. What need not be changed is not
/// copied either.
pub(super) fn unpacked_request_frame(
    called: &Called,
    codec: Codec,
    packed: Packed,
    flags: u8,
    frame: Bytes,
) -> Result<Bytes, Refusal> {
    let limit = called.method().settings.max_request_message;
    let message = frame.get(PREFIX..).unwrap_or_default();
    let is_packed = flags & COMPRESSED != 0;
    match packed {
        _ if codec == Codec::Proto && !is_packed => guarding::check(called, Direction::Request, message)?,
        Packed::No | Packed::Passes(_) if codec == Codec::Proto && called.is_guarded(Direction::Request) => {
            check_packed(called, packed, message)?;
        }
        Packed::Passes(encoding) if is_packed => measure(encoding, message, limit)?,
        _ => {
            let message = unpacked(packed.here(), flags, message, "request", limit, Kind::Malformed)?;
            return request_frame(called, codec, &message);
        }
    }
    Ok(frame)
}

/// Checks what a compressed message holds that passes as it is.
fn check_packed(called: &Called, packed: Packed, message: &[u8]) -> Result<(), Refusal> {
    let limit = called.method().settings.max_request_message;
    match packed {
        Packed::Passes(encoding) => match encoding.unpack(message, limit) {
            Ok(plain) => guarding::check(called, Direction::Request, &plain),
            Err(fault) => {
                let refusal = from_packed(fault, encoding, "request", Kind::Malformed);
                // with a limit as without a guard
                if limit != 0 { Err(refusal) } else { guarding::unreadable(called, Direction::Request, refusal) }
            }
        },
        Packed::No | Packed::Unpack(_) => {
            let text = "a request message is compressed in a way that the edge does not read, and cannot be checked";
            guarding::unreadable(called, Direction::Request, Refusal::new(Kind::UnknownEncoding, text))
        }
    }
}

/// Checks an answer's frame that passes as it is.
pub(super) fn guarded_answer(called: &Called, packed: Option<Encoding>, frame: &Frame) -> Result<(), Refusal> {
    if frame.flags & COMPRESSED == 0 {
        return guarding::check(called, Direction::Response, &frame.payload);
    }
    let limit = called.method().settings.max_response_message;
    match unpacked(packed, frame.flags, &frame.payload, "response", limit, Kind::BadAnswer) {
        Ok(plain) => guarding::check(called, Direction::Response, &plain),
        Err(refusal) => guarding::unreadable(called, Direction::Response, refusal),
    }
}

/// Makes sure that a compressed message holds no more than the limit.
fn measure(encoding: Encoding, message: &[u8], limit: usize) -> Result<(), Refusal> {
    match encoding.holds_more(message, limit) {
        Ok(false) => Ok(()),
        Ok(true) => Err(from_packed(BadPacked::TooLarge { limit }, encoding, "request", Kind::Malformed)),
        Err(fault) => Err(from_packed(fault, encoding, "request", Kind::Malformed)),
    }
}

/// The upstream's message as it was before it was compressed.
pub(super) fn unpacked_answer(called: &Called, packed: Option<Encoding>, frame: Frame) -> Result<Bytes, Refusal> {
    if frame.flags & COMPRESSED == 0 {
        return Ok(frame.payload);
    }
    let limit = called.method().settings.max_response_message;
    let message = unpacked(packed, frame.flags, &frame.payload, "response", limit, Kind::BadAnswer)?;
    Ok(message.into_owned().into())
}

/// What a message is when nothing is compressed, at most `limit` bytes of it. `bad`: whose fault it is if it cannot be.
fn unpacked<'m>(
    packed: Option<Encoding>,
    flags: u8,
    message: &'m [u8],
    side: &str,
    limit: usize,
    bad: Kind,
) -> Result<Cow<'m, [u8]>, Refusal> {
    if flags & COMPRESSED == 0 {
        return Ok(Cow::Borrowed(message));
    }
    let Some(encoding) = packed else {
        return Err(Refusal::new(bad, format!("a {side} message is compressed, but no encoding is named")));
    };
    encoding.unpack(message, limit).map(Cow::Owned).map_err(|fault| from_packed(fault, encoding, side, bad))
}

/// A body that is compressed as a whole, unpacked; at most `limit` bytes of it.
pub(super) fn unpacked_body(packed: Packed, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let Some(encoding) = packed.here() else { return Ok(body) };
    let plain = encoding.unpack(&body, limit);
    plain.map(Bytes::from).map_err(|fault| from_packed(fault, encoding, "request", Kind::Malformed))
}

fn from_packed(fault: BadPacked, encoding: Encoding, side: &str, bad: Kind) -> Refusal {
    match fault {
        BadPacked::TooLarge { limit } => {
            Refusal::new(Kind::TooLarge, format!("a {side} message unpacks to more than the limit of {limit} bytes"))
        }
        BadPacked::Corrupt => Refusal::new(bad, format!("a {side} message is not {}", encoding.name())),
    }
}

/// A message for the caller's frame: compressed if the caller likes that, it is worth it, and it helps.
pub(super) fn packed_answer(called: &Called, wanted: Option<Encoding>, message: Bytes) -> Frame {
    match packed_if_worth(called, wanted, &message) {
        Some(packed) => Frame { flags: COMPRESSED, payload: packed },
        None => Frame { flags: 0, payload: message },
    }
}

/// These bytes compressed, if the caller likes that, they are enough to be worth it, and it makes them fewer.
pub(super) fn packed_if_worth(called: &Called, wanted: Option<Encoding>, bytes: &[u8]) -> Option<Bytes> {
    let from = called.method().settings.compress_from;
    if from == 0 || bytes.len() < from {
        return None;
    }
    wanted?.pack(bytes).map(Bytes::from)
}

/// The index of a method's binding, and what the variables of its template hold.
pub(super) type Rule = (usize, Vec<(usize, String)>);

/// The request message of a rule, woven of path, query and body, as a gRPC frame for the upstream. `more`: see
/// [`text_frame`].
pub(super) fn woven_frame(
    called: &Called,
    rule: &Rule,
    query: Option<&str>,
    body: Option<&[u8]>,
    more: &[u8],
) -> Result<Bytes, Refusal> {
    let options = ReadOptions::from(&called.method().settings);
    let (binding, bound) = bound(called, rule, query, &options)?;
    text_frame(called, Some((binding, &bound)), body, TextPlace::START, more)
}

/// The binding that matched.
pub(super) fn binding_of<'c>(called: &'c Called, rule: &Rule) -> Result<&'c Binding, Refusal> {
    called.method().bindings.get(rule.0).ok_or_else(|| Refusal::new(Kind::NoRoute, "the rule is gone"))
}

/// What the path and the query of a call by a rule bind.
pub(super) fn bound<'c>(
    called: &'c Called,
    rule: &Rule,
    query: Option<&'c str>,
    options: &'c ReadOptions<'c>,
) -> Result<(&'c Binding, Bound<'c>), Refusal> {
    let (method, binding) = (called.method(), binding_of(called, rule)?);
    let variables: Vec<_> = rule.1.iter().map(|(at, text)| (*at, text.as_str().into())).collect();
    let bound = bind(&called.catalog().schema, method.input, binding, &variables, query, options).map_err(bad_input)?;
    Ok((binding, bound))
}

/// Fills in the prefix of a frame whose message begins behind it.
pub(super) fn seal(called: &Called, mut frame: Vec<u8>) -> Result<Bytes, Refusal> {
    let length = frame.len().saturating_sub(PREFIX);
    let limit = called.method().settings.max_request_message;
    if limit != 0 && length > limit {
        return Err(too_large("request", length, limit));
    }
    guarding::check(called, Direction::Request, frame.get(PREFIX..).unwrap_or_default())?;
    if let Some(slot) = frame.first_chunk_mut::<PREFIX>() {
        *slot = prefix(0, length);
    }
    Ok(frame.into())
}

/// The upstream's message in the caller's codec. `only` is the field of the rule's `response_body`.
pub(super) fn answer_message(
    called: &Called,
    codec: Codec,
    only: Option<u16>,
    extras: Option<&mut Extras>,
    message: Bytes,
) -> Result<Bytes, Refusal> {
    if codec == Codec::Proto {
        return Ok(message);
    }
    let (method, schema) = (called.method(), &called.catalog().schema);
    let mut options = PrintOptions::from(&method.settings);
    if method.kind.server_streams() {
        // one text a line
        options.indent = 0;
    }
    let mut out = Vec::with_capacity(message.len() * 2 + 64);
    let mut mask = None;
    if let Some(extras) = extras {
        extras.read(called, &message, &options, &mut out);
        mask = extras.mask.as_ref();
    }
    match (only, mask) {
        (None, None) => wire_to_json(schema, method.output, &message, &options, &mut out),
        (Some(field), None) => wire_to_json_field(schema, method.output, field, &message, &options, &mut out),
        (None, Some(mask)) => wire_to_json_masked(schema, method.output, mask, &message, &options, &mut out),
        (Some(field), Some(mask)) => {
            wire_to_json_field_masked(schema, method.output, field, mask, &message, &options, &mut out)
        }
    }
    .map_err(|bad| {
        Refusal::new(Kind::BadAnswer, format!("the upstream's message is not a {}: {bad}", output(called)))
    })?;
    Ok(out.into())
}

fn output(called: &Called) -> &str {
    &called.catalog().schema.message(called.method().output).name
}

pub(super) fn bad_input(bad: BadInput) -> Refusal {
    Refusal::new(Kind::BadRequest, bad.message).hint(Hint::Violations(bad.violations))
}

pub(super) fn too_large(side: &str, length: usize, limit: usize) -> Refusal {
    Refusal::new(Kind::TooLarge, format!("a {side} message of {length} bytes is over the limit of {limit} bytes"))
}
