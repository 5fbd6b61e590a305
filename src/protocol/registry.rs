//! Which dialect speaks: by the content type and the method for method paths, by the rule for templates.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::connect_stream::ConnectStream;
use super::connect_unary::ConnectUnary;
use super::family::{family, names_connect};
use super::grpc::Grpc;
use super::grpc_web::GrpcWeb;
use super::metadata::{CONNECT_ACCEPT_ENCODING, CONNECT_ENCODING, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, GRPC_TIMEOUT};
use super::plain::Plain;
use super::rest::{Rest, Shape, ShapedRest, wants_problems};
use super::rest_stream::{Layout, RestStream, layout};
use super::{Answer, Codec, Family};
use crate::call::{Head, Hint, Kind, Refusal};
use crate::catalog::{self, AnswerPlan, Idempotency, MethodSettings, StreamKind};
use crate::wire::{ENCODINGS, Encoding, encode_bin, parse_connect_timeout, parse_grpc_timeout, parse_server_timeout};

const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const SERVER_TIMEOUT: HeaderName = HeaderName::from_static("x-server-timeout");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// The content types that a unary method can be posted with.
const UNARY_TYPES: &str = "application/grpc, application/grpc+proto, application/grpc+json, application/grpc-web, \
    application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text, \
    application/grpc-web-text+proto, application/json, application/proto";

/// The content types that a streaming method can be posted with.
const STREAM_TYPES: &str = "application/grpc, application/grpc+proto, application/grpc+json, application/grpc-web, \
    application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text, \
    application/grpc-web-text+proto, application/connect+proto, application/connect+json, application/json";

/// The same of one that takes a stream.
const CLIENT_STREAM_TYPES: &str = "application/grpc, application/grpc+proto, application/grpc+json, \
    application/grpc-web, application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text, \
    application/grpc-web-text+proto, application/connect+proto, application/connect+json, application/json, \
    application/x-ndjson";

/// How the request body is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestForm {
    /// Five-byte envelopes.
    Frames,
    /// The same in base64.
    TextFrames,
    /// The whole body is one message.
    Message,
    /// JSON texts, one behind the other with or without white space between them, or as the elements of one array.
    Messages,
    /// The same but for the array, which is a text like any other: where a message itself may be an array, this is how to
    /// say so.
    Lines,
    /// JSON texts, each chunk of the body one of them.
    Texts,
    /// Content that is not looked into.
    Raw,
    /// A form, encoded as a query is; but JSON if it begins like that.
    Form,
    /// The parts of a form.
    Multipart,
}

/// How the messages of a request are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Not at all, or in a way that only the upstream knows.
    No,
    /// As the upstream reads it: they pass as they are.
    Passes(Encoding),
    /// They are to be unpacked here.
    Unpack(Encoding),
}

/// What is known of a call once its dialect is known.
pub struct Spoken {
    /// For metrics and records.
    pub dialect: &'static str,
    pub request: RequestForm,
    /// How the request's messages are encoded.
    pub codec: Codec,
    pub packed: Packed,
    /// What the caller would like the messages or the body of the answer to be compressed with.
    pub wanted: Option<Encoding>,
    pub answer: Box<dyn Answer>,
    /// What the caller asked for, counted from the head.
    pub deadline: Option<Duration>,
    /// The request message, when the dialect found it in the head instead of the body.
    pub message: Option<Bytes>,
    /// What REST calls of methods have whose settings say something of answers.
    pub rest: Option<Box<RestCall>>,
}

/// See [`Spoken::rest`].
#[derive(Debug)]
pub struct RestCall {
    pub plan: Arc<AnswerPlan>,
    /// The id of the last event that the caller has seen, if it asks for those that follow.
    pub last_event_id: Option<HeaderValue>,
}

// === impl Packed ===

impl Packed {
    /// What is to be unpacked here.
    pub fn here(self) -> Option<Encoding> {
        match self {
            Packed::Unpack(encoding) => Some(encoding),
            Packed::No | Packed::Passes(_) => None,
        }
    }
}

/// The dialect of a call whose path is a method's. Takes the fields that the dialect keeps in the head out of it.
pub fn by_method(
    family: Family,
    head: &mut Head,
    method: &catalog::Method,
    auto_mapping: bool,
) -> Result<Spoken, Refusal> {
    let (kind, settings) = (method.kind, &method.settings);
    if matches!(head.parts.method, Method::GET | Method::HEAD) && takes_get(method) {
        return connect_get(head, settings);
    }
    if head.parts.method != Method::POST {
        let text = format!("methods are called by POST, not {}", head.parts.method);
        return Err(Refusal::new(Kind::WrongVerb, text).hint(Hint::Allow("POST".into())));
    }
    match family {
        Family::Grpc(Some(codec)) => grpc(head, codec, settings),
        Family::GrpcWeb { text, codec: Some(codec) } => grpc_web(head, text, codec, settings),
        Family::ConnectStream(Some(codec)) if kind != StreamKind::Unary => connect_stream(head, codec, settings),
        Family::Json if kind == StreamKind::Unary => connect_unary(head, Codec::Json, settings),
        Family::Proto if kind == StreamKind::Unary => connect_unary(head, Codec::Proto, settings),
        Family::Json if auto_mapping => by_template(head, method),
        Family::JsonLines if auto_mapping && kind.client_streams() => by_template(head, method),
        _ => Err(unsupported(head, kind)),
    }
}

/// Whether Connect callers may call the method by GET at its own path (Connect protocol, "Unary-Get-Request"), and so ask
/// for the head of its answer by HEAD.
pub fn takes_get(method: &catalog::Method) -> bool {
    method.kind == StreamKind::Unary && method.idempotency == Idempotency::NoSideEffects
}

/// The dialect of a call that came by the template of a rule, or by auto-mapping.
pub fn by_template(head: &mut Head, method: &catalog::Method) -> Result<Spoken, Refusal> {
    rest_call(head, method, |headers, rest| json_answer(headers, method, rest))
}

/// The same with another answer than JSON.
pub(super) fn rest_call(
    head: &mut Head,
    method: &catalog::Method,
    answer: impl FnOnce(&mut HeaderMap, Option<&mut RestCall>) -> Result<(&'static str, Box<dyn Answer>), Refusal>,
) -> Result<Spoken, Refusal> {
    let headers = &mut head.parts.headers;
    let packed = body_encoding(headers)?;
    let in_seconds = deadline(headers, SERVER_TIMEOUT, parse_server_timeout)?;
    let deadline = deadline(headers, GRPC_TIMEOUT, parse_grpc_timeout)?.into_iter().chain(in_seconds).min();
    let wanted = accepted(headers, ACCEPT_ENCODING);
    let request = match method.kind.client_streams() {
        true if family(headers) == Family::JsonLines => RequestForm::Lines,
        true => RequestForm::Messages,
        false => RequestForm::Message,
    };
    let mut rest =
        method.answers.as_ref().map(|plan| Box::new(RestCall { plan: Arc::clone(plan), last_event_id: None }));
    let (dialect, answer) = answer(headers, rest.as_deref_mut())?;
    Ok(Spoken { dialect, request, codec: Codec::Json, packed, wanted, answer, deadline, message: None, rest })
}

fn json_answer(
    headers: &mut HeaderMap,
    method: &catalog::Method,
    rest: Option<&mut RestCall>,
) -> Result<(&'static str, Box<dyn Answer>), Refusal> {
    let problems = wants_problems(headers);
    Ok(if method.kind.server_streams() {
        let form = layout(headers)?;
        if form.1 == Layout::Events {
            resume(headers, rest)?;
        }
        ("rest-stream", Box::new(RestStream::new(form, Shape { plan: method.answers.clone(), problems })))
    } else if problems || method.answers.as_ref().is_some_and(|plan| plan.shapes_answers()) {
        ("rest", Box::new(ShapedRest(Shape { plan: method.answers.clone(), problems })))
    } else {
        ("rest", Box::new(Rest))
    })
}

/// Takes the id of the last event out of the head: it belongs to the stream, and goes where the settings say.
fn resume(headers: &mut HeaderMap, rest: Option<&mut RestCall>) -> Result<(), Refusal> {
    let Some(id) = headers.remove(LAST_EVENT_ID).filter(|id| !id.is_empty()) else { return Ok(()) };
    let Some(rest) = rest else { return Ok(()) };
    if let Some(name) = &rest.plan.sse.last_event_id_metadata {
        let value = if name.as_str().ends_with("-bin") {
            HeaderValue::try_from(encode_bin(id.as_bytes())).ok()
        } else {
            // what metadata may hold (gRPC over HTTP/2, "ASCII-Value")
            id.to_str().ok().map(|_| id.clone())
        };
        let value = value.ok_or_else(|| {
            Refusal::new(Kind::BadHeader, "last-event-id: only visible ASCII can be passed on as metadata")
        })?;
        headers.insert(name.clone(), value);
    }
    rest.last_event_id = Some(id);
    Ok(())
}

/// Who renders a refusal when no dialect is known yet: the family's own form, and JSON for all that is none. `kind`: of
/// the method that has the path.
pub fn refusal_answer(
    family: Family,
    head: &Head,
    kind: Option<StreamKind>,
    refusal: Kind,
) -> (&'static str, Box<dyn Answer>) {
    let codec = Codec::Json;
    let is_call = !matches!(refusal, Kind::WrongVerb | Kind::UnsupportedMediaType);
    match family {
        Family::Grpc(codec) => ("grpc", Box::new(Grpc { codec: codec.unwrap_or(Codec::Proto) })),
        Family::GrpcWeb { text, codec } => {
            let text = wants_text(&head.parts.headers, text);
            (web_name(text), Box::new(GrpcWeb { text, codec: codec.unwrap_or(Codec::Proto) }))
        }
        Family::ConnectStream(Some(codec)) if is_call => ("connect-stream", Box::new(ConnectStream { codec })),
        Family::Proto if is_call => ("connect-unary", Box::new(ConnectUnary { codec: Codec::Proto })),
        // no client of Connect's asks for these
        _ if !(is_call && kind == Some(StreamKind::Unary)) && wants_problems(&head.parts.headers) => {
            ("rest", Box::new(ShapedRest(Shape { plan: None, problems: true })))
        }
        _ if kind.is_some() && !is_call => ("unknown", Box::new(Plain)),
        Family::Json if kind == Some(StreamKind::Unary) => ("connect-unary", Box::new(ConnectUnary { codec })),
        Family::None if kind == Some(StreamKind::Unary) && is_connect_get(head) => {
            ("connect-get", Box::new(ConnectUnary { codec }))
        }
        // JSON on a path that is no method's is REST, unless it says that it is not
        Family::Json | Family::None if refusal == Kind::NoRoute && says_connect(head) => {
            let dialect = if head.parts.method == Method::GET { "connect-get" } else { "connect-unary" };
            (dialect, Box::new(ConnectUnary { codec }))
        }
        _ => ("rest", Box::new(Rest)),
    }
}

fn grpc(head: &mut Head, codec: Codec, settings: &MethodSettings) -> Result<Spoken, Refusal> {
    if head.parts.version != Version::HTTP_2 {
        return Err(Refusal::new(
            Kind::HttpVersion,
            "gRPC needs HTTP/2; gRPC-Web, Connect and JSON are there for HTTP/1.1",
        ));
    }
    let headers = &mut head.parts.headers;
    Ok(Spoken {
        dialect: "grpc",
        request: RequestForm::Frames,
        codec,
        packed: frames_encoding(headers, GRPC_ENCODING, codec, settings)?,
        wanted: wanted_in_frames(headers, codec),
        answer: Box::new(Grpc { codec }),
        deadline: deadline(headers, GRPC_TIMEOUT, parse_grpc_timeout)?,
        message: None,
        rest: None,
    })
}

/// Whether the frames of a native gRPC call pass unread, and then how long it may take; `None` if something of it has to
/// be read, measured or refused. Looks at the very fields that [`by_method`] takes.
pub fn passing_grpc(headers: &HeaderMap, settings: &MethodSettings) -> Option<Option<Duration>> {
    match frames_encoding(headers, GRPC_ENCODING, Codec::Proto, settings) {
        Ok(Packed::No) => {}
        // what a compressed message holds is measured before it passes, unless there is no limit
        Ok(Packed::Passes(_)) if settings.max_request_message == 0 => {}
        _ => return None,
    }
    let asked = match headers.get(GRPC_TIMEOUT) {
        None => None,
        Some(value) => Some(parse_grpc_timeout(value.as_bytes())?),
    };
    Some(settings.deadline(asked))
}

fn grpc_web(head: &mut Head, text: bool, codec: Codec, settings: &MethodSettings) -> Result<Spoken, Refusal> {
    let headers = &mut head.parts.headers;
    let request = if text { RequestForm::TextFrames } else { RequestForm::Frames };
    let text = wants_text(headers, text);
    Ok(Spoken {
        dialect: web_name(text),
        request,
        codec,
        packed: frames_encoding(headers, GRPC_ENCODING, codec, settings)?,
        wanted: wanted_in_frames(headers, codec),
        answer: Box::new(GrpcWeb { text, codec }),
        deadline: deadline(headers, GRPC_TIMEOUT, parse_grpc_timeout)?,
        message: None,
        rest: None,
    })
}

fn connect_unary(head: &mut Head, codec: Codec, settings: &MethodSettings) -> Result<Spoken, Refusal> {
    let headers = &mut head.parts.headers;
    connect_version(headers.get(CONNECT_VERSION).map(|value| value.as_bytes()), b"1", settings)?;
    Ok(Spoken {
        dialect: "connect-unary",
        request: RequestForm::Message,
        codec,
        packed: body_encoding(headers)?,
        wanted: accepted(headers, ACCEPT_ENCODING),
        answer: Box::new(ConnectUnary { codec }),
        deadline: deadline(headers, CONNECT_TIMEOUT, parse_connect_timeout)?,
        message: None,
        rest: None,
    })
}

/// A version that is told must be the one there is; one must be told only if the settings say so.
fn connect_version(told: Option<&[u8]>, known: &'static [u8], settings: &MethodSettings) -> Result<(), Refusal> {
    let field = if known == b"1" { "the header connect-protocol-version" } else { "the query parameter \"connect\"" };
    let known_text = String::from_utf8_lossy(known);
    match told {
        Some(version) if version == known => Ok(()),
        Some(version) => {
            let text = format!("{field} is {:?}: only {known_text:?} is known", String::from_utf8_lossy(version));
            Err(Refusal::new(Kind::BadHeader, text))
        }
        None if settings.require_connect_version => {
            Err(Refusal::new(Kind::BadHeader, format!("{field} is missing: it must be {known_text:?}")))
        }
        None => Ok(()),
    }
}

fn says_connect(head: &Head) -> bool {
    names_connect(&head.parts.method, &head.parts.headers, head.parts.uri.query())
}

/// Whether a GET says by its query that it is a call.
fn is_connect_get(head: &Head) -> bool {
    let query = head.parts.uri.query().unwrap_or("");
    let says = |name: &str| matches!(name, "connect" | "encoding");
    matches!(head.parts.method, Method::GET | Method::HEAD)
        && form_urlencoded::parse(query.as_bytes()).any(|(name, _)| says(&name))
}

/// The base64 of Connect GET: URL-safe, with or without padding.
const URL_BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Connect unary by GET (Connect protocol reference, "Unary-Get-Request"): the message stands in the query.
fn connect_get(head: &mut Head, settings: &MethodSettings) -> Result<Spoken, Refusal> {
    let (mut message, mut codec, mut base64, mut version) = (None, None, false, None);
    let mut packed = Packed::No;
    for (name, value) in form_urlencoded::parse(head.parts.uri.query().unwrap_or("").as_bytes()) {
        match &*name {
            "message" => message = Some(value),
            "encoding" => codec = Some(value),
            "base64" => base64 = value == "1",
            "compression" => packed = unpack(ours("compression", value.as_bytes())?),
            "connect" => version = Some(value),
            _ => {}
        }
    }
    connect_version(version.as_ref().map(|value| value.as_bytes()), b"v1", settings)?;
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
    let headers = &mut head.parts.headers;
    Ok(Spoken {
        dialect: "connect-get",
        request: RequestForm::Message,
        codec,
        packed,
        wanted: accepted(headers, ACCEPT_ENCODING),
        answer: Box::new(ConnectUnary { codec }),
        deadline: deadline(headers, CONNECT_TIMEOUT, parse_connect_timeout)?,
        message: Some(message.into()),
        rest: None,
    })
}

fn connect_stream(head: &mut Head, codec: Codec, settings: &MethodSettings) -> Result<Spoken, Refusal> {
    let headers = &mut head.parts.headers;
    connect_version(headers.get(CONNECT_VERSION).map(|value| value.as_bytes()), b"1", settings)?;
    let packed = frames_encoding(headers, CONNECT_ENCODING, codec, settings)?;
    // frames pass as gRPC's, and so do the fields that say how they are compressed
    for (theirs, grpc) in [(CONNECT_ENCODING, GRPC_ENCODING), (CONNECT_ACCEPT_ENCODING, GRPC_ACCEPT_ENCODING)] {
        match headers.remove(theirs) {
            Some(value) => headers.insert(grpc, value),
            None => headers.remove(grpc),
        };
    }
    Ok(Spoken {
        dialect: "connect-stream",
        request: RequestForm::Frames,
        codec,
        packed,
        wanted: wanted_in_frames(headers, codec),
        answer: Box::new(ConnectStream { codec }),
        deadline: deadline(headers, CONNECT_TIMEOUT, parse_connect_timeout)?,
        message: None,
        rest: None,
    })
}

/// How the frames of a request are compressed. Those of protobuf in an encoding that the upstream reads pass as they
/// are, whether we know it or not.
pub(super) fn frames_encoding(
    headers: &HeaderMap,
    name: HeaderName,
    codec: Codec,
    settings: &MethodSettings,
) -> Result<Packed, Refusal> {
    let Some(value) = headers.get(&name) else { return Ok(Packed::No) };
    let reads = |encoding: &str| encoding.as_bytes() == value.as_bytes();
    if codec == Codec::Proto && settings.upstream_encodings.iter().any(|encoding| reads(encoding)) {
        return Ok(Encoding::from_name(value.as_bytes()).map_or(Packed::No, Packed::Passes));
    }
    ours(name.as_str(), value.as_bytes()).map(unpack)
}

/// How a body is compressed as a whole.
fn body_encoding(headers: &HeaderMap) -> Result<Packed, Refusal> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Packed::No) };
    ours(CONTENT_ENCODING.as_str(), value.as_bytes()).map(unpack)
}

fn unpack(encoding: Option<Encoding>) -> Packed {
    encoding.map_or(Packed::No, Packed::Unpack)
}

/// The encoding of this name; `None` for `identity`. `place` is where it was told.
fn ours(place: &str, name: &[u8]) -> Result<Option<Encoding>, Refusal> {
    let name = name.trim_ascii();
    if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
        return Ok(None);
    }
    Encoding::from_name(name).map(Some).ok_or_else(|| {
        let text = format!("{place} {:?} is not known; known are: {ENCODINGS}", String::from_utf8_lossy(name));
        Refusal::new(Kind::UnknownEncoding, text).hint(Hint::Encodings(ENCODINGS))
    })
}

/// What messages that are made here are compressed with; those of protobuf come from the upstream as they are.
fn wanted_in_frames(headers: &HeaderMap, codec: Codec) -> Option<Encoding> {
    if codec == Codec::Proto { None } else { accepted(headers, GRPC_ACCEPT_ENCODING) }
}

fn accepted(headers: &HeaderMap, name: HeaderName) -> Option<Encoding> {
    Encoding::accepted(headers.get_all(name).iter().map(|value| value.as_bytes()))
}

pub(super) fn deadline(
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

fn unsupported(head: &Head, kind: StreamKind) -> Refusal {
    let text = match head.parts.headers.get(http::header::CONTENT_TYPE) {
        Some(value) => {
            format!("this method is not called with content type {:?}", String::from_utf8_lossy(value.as_bytes()))
        }
        None => "this method is not called without a content type".to_owned(),
    };
    let types = match kind {
        StreamKind::Unary => UNARY_TYPES,
        StreamKind::ServerStream => STREAM_TYPES,
        StreamKind::ClientStream | StreamKind::Bidi => CLIENT_STREAM_TYPES,
    };
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
    fn the_version_of_connect_may_be_asked_for_and_must_be_the_one_there_is() {
        let optional = MethodSettings::default();
        let required = MethodSettings { require_connect_version: true, ..MethodSettings::default() };
        assert_eq!(connect_version(None, b"1", &optional), Ok(()));
        for settings in [&optional, &required] {
            assert_eq!(connect_version(Some(b"1"), b"1", settings), Ok(()));
            let refusal = connect_version(Some(b"2"), b"1", settings).unwrap_err();
            assert!(refusal.kind == Kind::BadHeader && refusal.message.contains("connect-protocol-version"));
            assert!(connect_version(Some(b"1"), b"v1", settings).unwrap_err().message.contains("\"connect\""));
        }
        assert_eq!(connect_version(None, b"1", &required).unwrap_err().kind, Kind::BadHeader);
    }

    #[test]
    fn a_bad_timeout_is_refused_by_name() {
        let refusal = deadline(&mut headers("grpc-timeout", "soon"), GRPC_TIMEOUT, parse_grpc_timeout).unwrap_err();
        assert_eq!(refusal.kind, Kind::BadHeader);
        assert!(refusal.message.contains("grpc-timeout") && refusal.message.contains("soon"));
    }
}
