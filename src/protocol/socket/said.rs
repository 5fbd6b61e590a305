//! What a caller's frames mean. Parsers of a peer's bytes: whatever comes, they tell what is wrong with it.

use bytes::Bytes;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::call::{Kind, Refusal, Subprotocol};

/// What a frame says.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// Metadata of the call; nothing of it has been said before.
    Headers(HeaderMap),
    /// For [`Subprotocol::Grpc`] bytes of gRPC frames; else a JSON text.
    Message(Bytes),
    /// The caller's side is at its end.
    End,
    Nothing,
}

/// An envelope of `transom.json.v1`: exactly one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    /// Not read here, and `null` is a message as well.
    #[serde(default, borrow, deserialize_with = "present")]
    message: Option<&'a RawValue>,
    #[serde(default)]
    end: Option<bool>,
}

/// Fields in the metadata of one call; HTTP's own maps end at 32,768.
const MOST_FIELDS: usize = 1024;

/// Reads one frame. `first`: the caller has said nothing yet; `longest`: the bytes that metadata may have.
///
/// Errors: a refusal that ends the call.
pub fn said(
    subprotocol: Subprotocol,
    first: bool,
    binary: bool,
    payload: Bytes,
    longest: usize,
) -> Result<Said, Refusal> {
    match (subprotocol, binary) {
        (Subprotocol::Grpc, false) => Err(malformed("grpc-websockets has binary messages, not text")),
        (Subprotocol::Grpc, true) if first => header_block(&payload, longest).map(Said::Headers),
        (Subprotocol::Grpc, true) => prefixed(payload),
        (_, true) => Err(malformed("JSON comes in text frames, not binary")),
        (Subprotocol::Json, false) if payload.is_empty() => Ok(Said::End),
        (Subprotocol::Json, false) => Ok(Said::Message(payload)),
        (Subprotocol::Envelopes, false) => envelope(&payload, longest),
    }
}

/// Adds metadata that was said in a frame to that of the handshake; what is named in both, the frame says. The handshake's
/// host and origin are the caller's browser's to tell, and stay.
pub fn merge(fields: &mut HeaderMap, mut said: HeaderMap) {
    said.remove(HOST);
    said.remove(ORIGIN);
    fields.extend(said);
}

/// A byte of 0 and frames, or a byte of 1 alone.
fn prefixed(mut payload: Bytes) -> Result<Said, Refusal> {
    match &payload[..] {
        [] => Ok(Said::Nothing),
        [1] => Ok(Said::End),
        [1, ..] => Err(malformed("the byte 1, which ends the caller's side, has something behind it")),
        [0, ..] => Ok(Said::Message(payload.split_off(1))),
        [other, ..] => Err(malformed(format!("a message begins with byte {other}, not with 0 or 1"))),
    }
}

/// `name: value` lines as an HTTP/1.1 head has them.
fn header_block(block: &[u8], longest: usize) -> Result<HeaderMap, Refusal> {
    if block.len() > longest {
        return Err(too_long(block.len(), longest));
    }
    let mut fields = HeaderMap::new();
    for line in block.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(bad_field(line, "has no colon"));
        };
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        put(&mut fields, name, value)?;
    }
    Ok(fields)
}

fn envelope(payload: &Bytes, longest: usize) -> Result<Said, Refusal> {
    let envelope: Envelope<'_> = serde_json::from_slice(payload)
        .map_err(|error| Refusal::new(Kind::BadRequest, format!("not an envelope of transom.json.v1: {error}")))?;
    match (envelope.headers, envelope.message, envelope.end) {
        (Some(_), None, None) if payload.len() > longest => Err(too_long(payload.len(), longest)),
        (Some(object), None, None) => object_of_fields(object).map(Said::Headers),
        // serde_json borrows raw values from its input, so this is a slice of the payload
        (None, Some(message), None) => Ok(Said::Message(payload.slice_ref(message.get().as_bytes()))),
        (None, None, Some(true)) => Ok(Said::End),
        _ => {
            let text = "an envelope has one of \"headers\", \"message\" and \"end\": true";
            Err(Refusal::new(Kind::BadRequest, text))
        }
    }
}

/// Values are strings, or lists of strings for names that come more than once.
fn object_of_fields(object: Map<String, Value>) -> Result<HeaderMap, Refusal> {
    let mut fields = HeaderMap::new();
    for (name, value) in object {
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        for value in values {
            let Value::String(value) = value else {
                let text = format!("header {name:?} is neither a string nor a list of strings");
                return Err(Refusal::new(Kind::BadRequest, text));
            };
            put(&mut fields, name.as_bytes(), value.as_bytes())?;
        }
    }
    Ok(fields)
}

fn put(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if fields.len() >= MOST_FIELDS {
        let text = format!("more than {MOST_FIELDS} header fields");
        return Err(Refusal::new(Kind::BadHeader, text));
    }
    let Ok(known) = HeaderName::from_bytes(name) else { return Err(bad_field(name, "is no name")) };
    let Ok(value) = HeaderValue::from_bytes(value) else { return Err(bad_field(name, "has no value of HTTP's")) };
    match fields.try_append(known, value) {
        Ok(_) => Ok(()),
        Err(_) => Err(bad_field(name, "is one too many")),
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn malformed(text: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Kind::Malformed, text)
}

fn bad_field(name: &[u8], what: &str) -> Refusal {
    let name = String::from_utf8_lossy(name.get(..name.len().min(64)).unwrap_or_default());
    Refusal::new(Kind::BadHeader, format!("header field {name:?} {what}"))
}

fn too_long(length: usize, longest: usize) -> Refusal {
    Refusal::new(Kind::TooLarge, format!("metadata of {length} bytes is over the limit of {longest} bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Subprotocol::{Envelopes, Grpc, Json};

    fn read(subprotocol: Subprotocol, first: bool, binary: bool, payload: &[u8]) -> Result<Said, Kind> {
        said(subprotocol, first, binary, Bytes::copy_from_slice(payload), 4096).map_err(|refusal| refusal.kind)
    }

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }

    fn message(bytes: &'static [u8]) -> Result<Said, Kind> {
        Ok(Said::Message(Bytes::from_static(bytes)))
    }

    #[test]
    fn the_first_message_of_grpc_websockets_is_a_block_of_fields() {
        let block = b"content-type: application/grpc-web+proto\r\nX-Grpc-Web: 1\r\nx-a:1\nx-a:  2 \r\n\r\n";
        let expected =
            fields(&[("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1"), ("x-a", "1"), ("x-a", "2")]);
        assert_eq!(read(Grpc, true, true, block), Ok(Said::Headers(expected)));
        assert_eq!(read(Grpc, true, true, b""), Ok(Said::Headers(HeaderMap::new())));
    }

    #[test]
    fn the_further_messages_of_grpc_websockets_begin_with_0_or_are_the_byte_1() {
        assert_eq!(read(Grpc, false, true, b"\0\0\0\0\0\x02hi"), message(b"\0\0\0\0\x02hi"));
        assert_eq!(read(Grpc, false, true, b"\x01"), Ok(Said::End));
        assert_eq!(read(Grpc, false, true, b""), Ok(Said::Nothing));
        assert_eq!(read(Grpc, false, true, b"\0"), message(b""));
        for damaged in [&b"\x02\0\0\0\0\0"[..], b"\x01\0", b"\x80", b"content-type: a"] {
            assert_eq!(read(Grpc, false, true, damaged), Err(Kind::Malformed), "{damaged:?}");
        }
        assert_eq!(read(Grpc, true, false, b"a: b"), Err(Kind::Malformed));
        assert_eq!(read(Grpc, false, false, b""), Err(Kind::Malformed));
    }

    #[test]
    fn a_damaged_block_of_fields_is_refused() {
        for damaged in
            [&b"no colon\r\n"[..], b": no name", b"a b: c", b"a: \x01", b"a: b\rc", b" folded: x", b"\xff: a"]
        {
            assert_eq!(read(Grpc, true, true, damaged), Err(Kind::BadHeader), "{damaged:?}");
        }
        let many = "a:\n".repeat(MOST_FIELDS + 1);
        assert_eq!(read(Grpc, true, true, many.as_bytes()), Err(Kind::BadHeader));
        assert_eq!(read(Grpc, true, true, &[b'a'; 5000]), Err(Kind::TooLarge));
    }

    #[test]
    fn bare_json_is_a_message_a_frame_and_an_empty_frame_at_the_end() {
        assert_eq!(read(Json, true, false, b"{\"a\":1}"), message(b"{\"a\":1}"));
        assert_eq!(read(Json, false, false, b"not json"), message(b"not json"), "whoever reads it tells");
        assert_eq!(read(Json, false, false, b""), Ok(Said::End));
        assert_eq!(read(Json, true, true, b"{}"), Err(Kind::Malformed));
    }

    #[test]
    fn an_envelope_holds_one_thing() {
        let read = |text: &str| read(Envelopes, true, false, text.as_bytes());
        assert_eq!(read(r#" {"message": {"a": [1, "}"]} } "#), message(br#"{"a": [1, "}"]}"#));
        assert_eq!(read(r#"{"message":null}"#), message(b"null"));
        assert_eq!(read(r#"{"end":true}"#), Ok(Said::End));
        assert_eq!(read(r#"{"headers":{}}"#), Ok(Said::Headers(HeaderMap::new())));
        let expected = fields(&[("x-a", "1"), ("x-b", "2"), ("x-b", "3")]);
        assert_eq!(read(r#"{"headers":{"X-A":"1","x-b":["2","3"]}}"#), Ok(Said::Headers(expected)));
        for damaged in [
            "",
            "{",
            "{}",
            "[]",
            "1",
            r#"{"end":false}"#,
            r#"{"end":1}"#,
            r#"{"massage":{}}"#,
            r#"{"message":{},"end":true}"#,
            r#"{"message":{},"message":{}}"#,
            r#"{"message":}"#,
            r#"{"message":{}} x"#,
            r#"{"headers":[]}"#,
            r#"{"headers":{"a":1}}"#,
            r#"{"headers":{"a":[["b"]]}}"#,
        ] {
            assert_eq!(read(damaged), Err(Kind::BadRequest), "{damaged}");
        }
        for damaged in [r#"{"headers":{"a b":"c"}}"#, r#"{"headers":{"":"c"}}"#, r#"{"headers":{"a":"\n"}}"#] {
            assert_eq!(read(damaged), Err(Kind::BadHeader), "{damaged}");
        }
        let long = format!(r#"{{"headers":{{"a":"{}"}}}}"#, "x".repeat(5000));
        assert_eq!(read(&long), Err(Kind::TooLarge));
        let deep = format!(r#"{{"message":{}}}"#, "[".repeat(100_000));
        assert_eq!(read(&deep), Err(Kind::BadRequest));
    }

    #[test]
    fn what_a_frame_says_replaces_what_the_handshake_said_but_for_host_and_origin() {
        let mut have = fields(&[("x-a", "1"), ("x-a", "2"), ("host", "edge"), ("x-b", "3")]);
        merge(&mut have, fields(&[("x-a", "4"), ("x-a", "5"), ("host", "other"), ("origin", "http://x")]));
        assert_eq!(have, fields(&[("x-a", "4"), ("x-a", "5"), ("host", "edge"), ("x-b", "3")]));
    }

    proptest! {
        #[test]
        fn no_bytes_break_a_reader(payload: Vec<u8>, first: bool, binary: bool) {
            for subprotocol in [Grpc, Json, Envelopes] {
                let _ = read(subprotocol, first, binary, &payload);
            }
        }

        #[test]
        fn no_text_breaks_the_reader_of_envelopes(text in r#"[{}\[\]",:a-z0-9 \\]{0,64}"#) {
            let _ = read(Envelopes, false, false, text.as_bytes());
        }
    }
}
