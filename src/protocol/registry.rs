//! Which dialect speaks: by the content type and the method for method paths, by the rule for templates.

use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING};
use http::{HeaderMap, HeaderName, Method, Version};

use super::connect_stream::ConnectStream;
use super::connect_unary::ConnectUnary;
use super::grpc::Grpc;
use super::grpc_web::GrpcWeb;
use super::metadata::{GRPC_ENCODING, GRPC_TIMEOUT};
use super::rest::Rest;
use super::rest_stream::{Layout, RestStream};
use super::{Answer, Codec, Family};
use crate::call::{Head, Hint, Kind, Refusal};
use crate::catalog::{self, Idempotency, StreamKind};
use crate::wire::{parse_connect_timeout, parse_grpc_timeout};

const CONNECT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// The content types that a unary method can be posted with.
const UNARY_TYPES: &str = "application/grpc, application/grpc+proto, application/grpc+json, application/grpc-web, \
    application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text, \
    application/grpc-web-text+proto, application/json, application/proto";

/// The content types that a streaming method can be posted with.
const STREAM_TYPES: &str = "application/grpc, application/grpc+proto, application/grpc+json, application/grpc-web, \
    application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text, \
    application/grpc-web-text+proto, application/connect+proto, application/connect+json, application/json";

/// How the request body is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestForm {
    /// Five-byte envelopes.
    Frames,
    /// The same in base64.
    TextFrames,
    /// The whole body is one message.
    Message,
    /// JSON texts, one behind the other or as an array.
    Messages,
}

/// What is known of a call once its dialect is known.
pub struct Spoken {
    /// For metrics and records.
    pub dialect: &'static str,
    pub request: RequestForm,
    /// How the request's messages are encoded.
    pub codec: Codec,
    pub answer: Box<dyn Answer>,
    /// What the caller asked for, counted from the head.
    pub deadline: Option<Duration>,
    /// The request message, when the dialect found it in the head instead of the body.
    pub message: Option<Bytes>,
}

/// The dialect of a call whose path is a method's. Takes the fields that the dialect keeps in the head out of it.
pub fn by_method(
    family: Family,
    head: &mut Head,
    method: &catalog::Method,
    auto_mapping: bool,
) -> Result<Spoken, Refusal> {
    let kind = method.kind;
    if head.parts.method == Method::GET && kind == StreamKind::Unary && method.idempotency == Idempotency::NoSideEffects
    {
        return connect_get(head);
    }
    if head.parts.method != Method::POST {
        let text = format!("methods are called by POST, not {}", head.parts.method);
        return Err(Refusal::new(Kind::WrongVerb, text).hint(Hint::Allow("POST".into())));
    }
    match family {
        Family::Grpc(Some(codec)) => grpc(head, codec),
        Family::GrpcWeb { text, codec: Some(codec) } => grpc_web(head, text, codec),
        Family::ConnectStream(Some(codec)) if kind != StreamKind::Unary => connect_stream(head, codec),
        Family::Json if kind == StreamKind::Unary => connect_unary(head, Codec::Json),
        Family::Proto if kind == StreamKind::Unary => connect_unary(head, Codec::Proto),
        Family::Json if auto_mapping => by_template(head, kind),
        _ => Err(unsupported(head, kind)),
    }
}

/// The dialect of a call that came by the template of a rule, or by auto-mapping.
pub fn by_template(head: &mut Head, kind: StreamKind) -> Result<Spoken, Refusal> {
    plain_body(&head.parts.headers)?;
    let deadline = deadline(&mut head.parts.headers, GRPC_TIMEOUT, parse_grpc_timeout)?;
    let request = if kind.client_streams() { RequestForm::Messages } else { RequestForm::Message };
    let (dialect, answer): (_, Box<dyn Answer>) = if kind.server_streams() {
        ("rest-stream", Box::new(RestStream::new(layout(&head.parts.headers))))
    } else {
        ("rest", Box::new(Rest))
    };
    Ok(Spoken { dialect, request, codec: Codec::Json, answer, deadline, message: None })
}

/// Who renders a refusal when no dialect is known yet: the family's own form, and JSON for all that is none. `unary`:
/// the path is that of a unary method, where JSON is Connect's.
pub fn refusal_answer(family: Family, head: &Head, unary: bool) -> (&'static str, Box<dyn Answer>) {
    let codec = Codec::Json;
    match family {
        Family::Json if unary && head.parts.method == Method::POST => {
            ("connect-unary", Box::new(ConnectUnary { codec }))
        }
        Family::None if unary && is_connect_get(head) => ("connect-get", Box::new(ConnectUnary { codec })),
        Family::Grpc(codec) => ("grpc", Box::new(Grpc { codec: codec.unwrap_or(Codec::Proto) })),
        Family::GrpcWeb { text, codec } => {
            let text = wants_text(&head.parts.headers, text);
            (web_name(text), Box::new(GrpcWeb { text, codec: codec.unwrap_or(Codec::Proto) }))
        }
        Family::Proto => ("connect-unary", Box::new(ConnectUnary { codec: Codec::Proto })),
        Family::ConnectStream(Some(codec)) => ("connect-stream", Box::new(ConnectStream { codec })),
        Family::ConnectStream(None) | Family::Json | Family::None | Family::Other => ("rest", Box::new(Rest)),
    }
}

fn grpc(head: &mut Head, codec: Codec) -> Result<Spoken, Refusal> {
    if head.parts.version != Version::HTTP_2 {
        return Err(Refusal::new(
            Kind::HttpVersion,
            "gRPC needs HTTP/2; gRPC-Web, Connect and JSON are there for HTTP/1.1",
        ));
    }
    let deadline = frames_head(&mut head.parts.headers, codec)?;
    Ok(Spoken {
        dialect: "grpc",
        request: RequestForm::Frames,
        codec,
        answer: Box::new(Grpc { codec }),
        deadline,
        message: None,
    })
}

fn grpc_web(head: &mut Head, text: bool, codec: Codec) -> Result<Spoken, Refusal> {
    let deadline = frames_head(&mut head.parts.headers, codec)?;
    let request = if text { RequestForm::TextFrames } else { RequestForm::Frames };
    let text = wants_text(&head.parts.headers, text);
    Ok(Spoken {
        dialect: web_name(text),
        request,
        codec,
        answer: Box::new(GrpcWeb { text, codec }),
        deadline,
        message: None,
    })
}

fn connect_unary(head: &mut Head, codec: Codec) -> Result<Spoken, Refusal> {
    plain_body(&head.parts.headers)?;
    let deadline = deadline(&mut head.parts.headers, CONNECT_TIMEOUT, parse_connect_timeout)?;
    let answer = Box::new(ConnectUnary { codec });
    Ok(Spoken { dialect: "connect-unary", request: RequestForm::Message, codec, answer, deadline, message: None })
}

/// Whether a GET says by its query that it is a call.
fn is_connect_get(head: &Head) -> bool {
    let query = head.parts.uri.query().unwrap_or("");
    let says = |name: &str| matches!(name, "connect" | "encoding");
    head.parts.method == Method::GET && form_urlencoded::parse(query.as_bytes()).any(|(name, _)| says(&name))
}

/// The base64 of Connect GET: URL-safe, with or without padding.
const URL_BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Connect unary by GET (Connect protocol reference, "Unary-Get-Request"): the message stands in the query.
fn connect_get(head: &mut Head) -> Result<Spoken, Refusal> {
    let (mut message, mut codec, mut base64) = (None, None, false);
    for (name, value) in form_urlencoded::parse(head.parts.uri.query().unwrap_or("").as_bytes()) {
        match &*name {
            "message" => message = Some(value),
            "encoding" => codec = Some(value),
            "base64" => base64 = value == "1",
            "compression" if !value.is_empty() && value != "identity" => {
                let text = format!("compression {value:?} is not supported; send identity");
                return Err(Refusal::new(Kind::UnknownEncoding, text).hint(Hint::Encodings("identity")));
            }
            _ => {}
        }
    }
    let missing = |name: &str| Refusal::new(Kind::BadRequest, format!("the query parameter {name:?} is missing"));
    let codec = match codec.ok_or_else(|| missing("encoding"))?.as_ref() {
        "proto" => Codec::Proto,
        "json" => Codec::Json,
        other => {
            let text = format!("encoding {other:?} is not known: proto or json");
            return Err(Refusal::new(Kind::UnsupportedMediaType, text));
        }
    };
    let message = message.ok_or_else(|| missing("message"))?;
    let message = if base64 {
        let bytes = URL_BASE64.decode(message.as_bytes());
        bytes.map_err(|_| Refusal::new(Kind::BadRequest, "the query parameter \"message\" is not URL-safe base64"))?
    } else {
        message.into_owned().into_bytes()
    };
    let deadline = deadline(&mut head.parts.headers, CONNECT_TIMEOUT, parse_connect_timeout)?;
    let answer = Box::new(ConnectUnary { codec });
    let message = Some(message.into());
    Ok(Spoken { dialect: "connect-get", request: RequestForm::Message, codec, answer, deadline, message })
}

fn connect_stream(head: &mut Head, codec: Codec) -> Result<Spoken, Refusal> {
    uncompressed(&head.parts.headers, CONNECT_ENCODING)?;
    let deadline = deadline(&mut head.parts.headers, CONNECT_TIMEOUT, parse_connect_timeout)?;
    let answer = Box::new(ConnectStream { codec });
    Ok(Spoken { dialect: "connect-stream", request: RequestForm::Frames, codec, answer, deadline, message: None })
}

/// What gRPC and gRPC-Web keep in their head. Frames of protobuf may be compressed, for they pass as they are; JSON is
/// read here, and compressed messages are not read yet.
fn frames_head(headers: &mut HeaderMap, codec: Codec) -> Result<Option<Duration>, Refusal> {
    if codec == Codec::Json {
        uncompressed(headers, GRPC_ENCODING)?;
    }
    deadline(headers, GRPC_TIMEOUT, parse_grpc_timeout)
}

fn plain_body(headers: &HeaderMap) -> Result<(), Refusal> {
    uncompressed(headers, CONTENT_ENCODING)
}

fn uncompressed(headers: &HeaderMap, name: HeaderName) -> Result<(), Refusal> {
    match headers.get(&name) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let text =
                format!("{name} {:?} is not supported; send identity", String::from_utf8_lossy(value.as_bytes()));
            Err(Refusal::new(Kind::UnknownEncoding, text).hint(Hint::Encodings("identity")))
        }
        _ => Ok(()),
    }
}

fn deadline(
    headers: &mut HeaderMap,
    name: HeaderName,
    parse: fn(&[u8]) -> Option<Duration>,
) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.remove(&name) else { return Ok(None) };
    match parse(value.as_bytes()) {
        Some(deadline) => Ok(Some(deadline)),
        None => {
            let text = format!("{name}: {:?} is not a timeout", String::from_utf8_lossy(value.as_bytes()));
            Err(Refusal::new(Kind::BadHeader, text))
        }
    }
}

/// The answer is text if `accept` asks for it, binary if it asks for that, else in the form of the request.
fn wants_text(headers: &HeaderMap, request_is_text: bool) -> bool {
    let accept = headers.get(ACCEPT).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let names = |needle: &[u8]| memchr::memmem::find(&accept, needle).is_some();
    if names(b"application/grpc-web-text") { true } else { request_is_text && !names(b"application/grpc-web") }
}

fn web_name(text: bool) -> &'static str {
    if text { "grpc-web-text" } else { "grpc-web" }
}

/// Lines if `accept` names NDJSON before it names JSON.
fn layout(headers: &HeaderMap) -> Layout {
    for value in headers.get_all(ACCEPT) {
        for range in value.as_bytes().split(|byte| *byte == b',') {
            match range.split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii() {
                b"application/x-ndjson" | b"application/ndjson" | b"application/jsonl" => return Layout::Lines,
                b"application/json" => return Layout::Array,
                _ => {}
            }
        }
    }
    Layout::Array
}

fn unsupported(head: &Head, kind: StreamKind) -> Refusal {
    let text = match head.parts.headers.get(http::header::CONTENT_TYPE) {
        Some(value) => {
            format!("this method is not called with content type {:?}", String::from_utf8_lossy(value.as_bytes()))
        }
        None => "this method is not called without a content type".to_owned(),
    };
    let types = if kind == StreamKind::Unary { UNARY_TYPES } else { STREAM_TYPES };
    Refusal::new(Kind::UnsupportedMediaType, text).hint(Hint::AcceptPost(types))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), http::HeaderValue::from_static(value))])
    }

    #[test]
    fn the_answer_is_text_as_accept_asks_else_as_the_request_is() {
        assert!(wants_text(&headers("accept", "application/grpc-web-text"), false));
        assert!(!wants_text(&headers("accept", "application/grpc-web+proto"), true));
        assert!(wants_text(&headers("accept", "*/*"), true));
        assert!(!wants_text(&HeaderMap::new(), false));
    }

    #[test]
    fn a_stream_is_an_array_unless_lines_are_asked_for_first() {
        assert_eq!(layout(&headers("accept", "application/x-ndjson, application/json;q=0.5")), Layout::Lines);
        assert_eq!(layout(&headers("accept", "application/json, application/x-ndjson")), Layout::Array);
        assert_eq!(layout(&headers("accept", "*/*")), Layout::Array);
    }

    #[test]
    fn a_bad_timeout_is_refused_by_name() {
        let refusal = deadline(&mut headers("grpc-timeout", "soon"), GRPC_TIMEOUT, parse_grpc_timeout).unwrap_err();
        assert_eq!(refusal.kind, Kind::BadHeader);
        assert!(refusal.message.contains("grpc-timeout") && refusal.message.contains("soon"));
    }
}
