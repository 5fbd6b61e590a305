//! `google.rpc.Status` and the standard error details, encoded by hand: a handful of two-field messages, passed
//! through unread wherever no one needs to look inside.

use std::time::Duration;

use bytes::Bytes;

use super::{Code, Status};
use crate::wire::{put_bytes, put_uint, varint};

/// `google.protobuf.Any`: a type URL and the encoded message.
#[derive(Clone, Debug, PartialEq)]
pub struct Any {
    /// Usually `type.googleapis.com/pkg.Type`.
    pub type_url: String,
    pub value: Bytes,
}

/// One entry of `google.rpc.BadRequest.field_violations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, the parameter's name, or empty when the whole message is meant.
    pub field: String,
    pub description: String,
}

/// Why bytes are not a `google.rpc.Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetailError;

// === impl Any ===

impl Any {
    /// A detail of one of the `google.rpc` types, as in `google.rpc.BadRequest`.
    pub(super) fn of(name: &str, value: Vec<u8>) -> Any {
        Any { type_url: format!("type.googleapis.com/{name}"), value: value.into() }
    }

    /// The message's full name: what stands behind the last `/` of the type URL.
    pub fn type_name(&self) -> &str {
        self.type_url.rsplit('/').next().unwrap_or("")
    }

    fn decode(bytes: &[u8]) -> Result<Any, DetailError> {
        let mut any = Any { type_url: String::new(), value: Bytes::new() };
        for_each_field(bytes, |number, field| {
            match (number, field) {
                (1, Field::Bytes(text)) => {
                    any.type_url = String::from_utf8(text.to_vec()).map_err(|_| DetailError)?;
                }
                (2, Field::Bytes(value)) => any.value = Bytes::copy_from_slice(value),
                _ => {}
            }
            Ok(())
        })?;
        Ok(any)
    }
}

// === impl Status ===

impl Status {
    /// Decodes a serialized `google.rpc.Status`, the content of `grpc-status-details-bin`.
    pub fn decode(bytes: &[u8]) -> Result<Status, DetailError> {
        let mut status = Status::OK;
        for_each_field(bytes, |number, field| {
            match (number, field) {
                (1, Field::Varint(code)) => {
                    status.code = u32::try_from(code).map_or(Code::Unknown, Code::from_number);
                }
                (2, Field::Bytes(text)) => status.message = String::from_utf8_lossy(text).into_owned().into(),
                (3, Field::Bytes(any)) => status.details.push(Any::decode(any)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(status)
    }
}

/// Serializes a `google.rpc.Status`, for `grpc-status-details-bin`.
pub fn encode_status(status: &Status) -> Vec<u8> {
    let mut out = Vec::new();
    if status.code != Code::Ok {
        put_uint(&mut out, 1, u64::from(status.code.number()));
    }
    if !status.message.is_empty() {
        put_bytes(&mut out, 2, status.message.as_bytes());
    }
    for detail in &status.details {
        let mut any = Vec::with_capacity(detail.type_url.len() + detail.value.len() + 8);
        put_bytes(&mut any, 1, detail.type_url.as_bytes());
        put_bytes(&mut any, 2, &detail.value);
        put_bytes(&mut out, 3, &any);
    }
    out
}

/// `google.rpc.BadRequest` with these violations.
pub fn bad_request(violations: &[FieldViolation]) -> Any {
    let mut out = Vec::new();
    for violation in violations {
        let mut one = Vec::new();
        put_bytes(&mut one, 1, violation.field.as_bytes());
        put_bytes(&mut one, 2, violation.description.as_bytes());
        put_bytes(&mut out, 1, &one);
    }
    Any::of("google.rpc.BadRequest", out)
}

/// `google.rpc.ErrorInfo`: a stable reason for programs, the domain it belongs to, and facts about the case.
pub fn error_info(reason: &str, domain: &str, metadata: &[(&str, &str)]) -> Any {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, reason.as_bytes());
    put_bytes(&mut out, 2, domain.as_bytes());
    for (key, value) in metadata {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, value.as_bytes());
        put_bytes(&mut out, 3, &entry);
    }
    Any::of("google.rpc.ErrorInfo", out)
}

/// `google.rpc.RetryInfo`: how long to wait before another try.
pub fn retry_info(delay: Duration) -> Any {
    let mut duration = Vec::new();
    if delay.as_secs() > 0 {
        put_uint(&mut duration, 1, delay.as_secs());
    }
    if delay.subsec_nanos() > 0 {
        put_uint(&mut duration, 2, u64::from(delay.subsec_nanos()));
    }
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &duration);
    Any::of("google.rpc.RetryInfo", out)
}

/// How long a `google.rpc.RetryInfo` among the details of a serialized `google.rpc.Status` asks to wait. `None`: there is
/// none, it is negative, or the bytes are damaged; they are a peer's.
pub fn retry_delay(status: &[u8]) -> Option<Duration> {
    let status = Status::decode(status).ok()?;
    let info = status.details.iter().find(|any| any.type_name() == "google.rpc.RetryInfo")?;
    let mut delay = None;
    let read = for_each_field(&info.value, |number, field| {
        if let (1, Field::Bytes(bytes)) = (number, field) {
            delay = positive_duration(bytes)?;
        }
        Ok(())
    });
    read.ok().and(delay)
}

/// A `google.protobuf.Duration`; `None` if it is negative, or no duration by its own rules.
fn positive_duration(bytes: &[u8]) -> Result<Option<Duration>, DetailError> {
    let (mut seconds, mut nanos) = (Some(0), Some(0));
    for_each_field(bytes, |number, field| {
        match (number, field) {
            // negative numbers are the largest unsigned ones here
            (1, Field::Varint(value)) => seconds = Some(value).filter(|value| *value <= LONGEST_SECONDS),
            (2, Field::Varint(value)) => nanos = u32::try_from(value).ok().filter(|value| *value < 1_000_000_000),
            _ => {}
        }
        Ok(())
    })?;
    Ok(seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos)))
}

/// What `google.protobuf.Duration` allows.
const LONGEST_SECONDS: u64 = 315_576_000_000;

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Walks the fields of one message, in wire order; fields of unknown shape are skipped.
fn for_each_field<'a>(
    mut bytes: &'a [u8],
    mut each: impl FnMut(u64, Field<'a>) -> Result<(), DetailError>,
) -> Result<(), DetailError> {
    while !bytes.is_empty() {
        let (tag, used) = varint(bytes).ok_or(DetailError)?;
        bytes = bytes.get(used..).ok_or(DetailError)?;
        let (field, used) = match tag & 7 {
            0 => varint(bytes).map(|(value, used)| (Field::Varint(value), used)),
            1 => Some((Field::Other, 8)),
            2 => varint(bytes).and_then(|(len, used)| {
                let end = used.checked_add(usize::try_from(len).ok()?)?;
                bytes.get(used..end).map(|slice| (Field::Bytes(slice), end))
            }),
            5 => Some((Field::Other, 4)),
            _ => None,
        }
        .ok_or(DetailError)?;
        bytes = bytes.get(used..).ok_or(DetailError)?;
        each(tag >> 3, field)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_details_round_trips() {
        let status = Status::new(Code::InvalidArgument, "zwölf")
            .with(bad_request(&[FieldViolation { field: "a.b".into(), description: "no".into() }]))
            .with(error_info("R", "d", &[("k", "v")]))
            .with(retry_info(std::time::Duration::from_millis(1500)));
        assert_eq!(Status::decode(&encode_status(&status)), Ok(status));
    }

    #[test]
    fn a_delay_is_found_among_the_details_unless_it_is_negative_or_none() {
        let with = |value: &[u8]| {
            let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: value.to_vec().into() };
            retry_delay(&encode_status(&Status::new(Code::Unavailable, "x").with(error_info("R", "d", &[])).with(any)))
        };
        let info = |delay: &[u8]| with(&[&[0x0a, delay.len() as u8], delay].concat());
        assert_eq!(with(&retry_info(Duration::from_millis(1500)).value), Some(Duration::from_millis(1500)));
        assert_eq!(info(&[]), Some(Duration::ZERO));
        assert_eq!(with(&[]), None, "it does not say");
        assert_eq!(info(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), None, "-1 s");
        assert_eq!(info(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), None, "-1 ns");
        assert_eq!(info(&[0x10, 0x80, 0x94, 0xeb, 0xdc, 0x03]), None, "a second of nanoseconds");
        for damaged in [&[0x08][..], &[0x0b], &[0x0a, 0x05, 0x01], &[0xff; 11]] {
            assert_eq!(info(damaged), None, "{damaged:?}");
        }
        assert_eq!(retry_delay(&encode_status(&Status::new(Code::Ok, ""))), None);
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let whole = encode_status(&Status::new(Code::Aborted, "x").with(error_info("R", "d", &[])));
        for cut in 1..whole.len() {
            let _ = Status::decode(&whole[..cut]);
        }
        assert_eq!(
            Status::decode(&[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Err(DetailError)
        );
        assert_eq!(Status::decode(&[0x0b]), Err(DetailError));
    }
}
