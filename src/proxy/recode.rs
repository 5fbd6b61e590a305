//! Messages between the caller's codec and protobuf, when they differ.

use bytes::Bytes;

use super::tables::Called;
use crate::call::{Hint, Kind, Refusal};
use crate::protocol::Codec;
use crate::transcode::{BadInput, PrintOptions, ReadOptions, json_to_wire, wire_to_json, wire_to_json_field};
use crate::wire::{PREFIX, prefix};

/// The caller's message as a gRPC frame for the upstream.
pub(super) fn request_frame(called: &Called, codec: Codec, message: &[u8]) -> Result<Bytes, Refusal> {
    let mut out = Vec::with_capacity(PREFIX + message.len());
    out.extend_from_slice(&[0; PREFIX]);
    match codec {
        Codec::Proto => out.extend_from_slice(message),
        Codec::Json => {
            let method = called.method();
            let options = ReadOptions::from(&method.settings);
            json_to_wire(&called.catalog().schema, method.input, message, &options, &mut out).map_err(bad_input)?;
        }
    }
    seal(called, out)
}

/// Fills in the prefix of a frame whose message begins behind it.
pub(super) fn seal(called: &Called, mut frame: Vec<u8>) -> Result<Bytes, Refusal> {
    let length = frame.len().saturating_sub(PREFIX);
    let limit = called.method().settings.max_request_message;
    if limit != 0 && length > limit {
        return Err(too_large("request", length, limit));
    }
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
    message: Bytes,
) -> Result<Bytes, Refusal> {
    if codec == Codec::Proto {
        return Ok(message);
    }
    let (method, schema) = (called.method(), &called.catalog().schema);
    let options = PrintOptions::from(&method.settings);
    let mut out = Vec::with_capacity(message.len() * 2 + 64);
    match only {
        None => wire_to_json(schema, method.output, &message, &options, &mut out),
        Some(field) => wire_to_json_field(schema, method.output, field, &message, &options, &mut out),
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
