//! Every way to say a call of Echo, and to read how it ended.

use std::io::Read;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use prost::Message;
use serde_json::{Value, json};
use transom::demo::upstream::echo_v1::{EchoRequest, EchoResponse};
use transom::status::{Code, Status};

use super::support::{Answer, Ask, Transport};

pub const UNARY: &str = "/grpc.examples.echo.Echo/UnaryEcho";
pub const SERVER: &str = "/grpc.examples.echo.Echo/ServerStreamingEcho";
pub const CLIENT: &str = "/grpc.examples.echo.Echo/ClientStreamingEcho";
pub const BIDI: &str = "/grpc.examples.echo.Echo/BidirectionalStreamingEcho";

pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Grpc,
    GrpcJson,
    Web,
    WebJson,
    WebText,
    WebTextJson,
    ConnectProto,
    ConnectJson,
    ConnectGetProto,
    ConnectGetJson,
    ConnectStreamProto,
    ConnectStreamJson,
    Rest,
    RestLines,
    RestArray,
}

/// What came of a call, in words that all dialects share.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub http: u16,
    pub messages: Vec<String>,
    /// `None`: the answer does not say, as when it was cut.
    pub code: Option<Code>,
    pub message: String,
    /// Type and value of each detail.
    pub details: Vec<(String, Value)>,
    pub initial: HeaderMap,
    pub trailing: HeaderMap,
    pub cut: bool,
}

pub const ALL: [Dialect; 15] = [
    Dialect::Grpc,
    Dialect::GrpcJson,
    Dialect::Web,
    Dialect::WebJson,
    Dialect::WebText,
    Dialect::WebTextJson,
    Dialect::ConnectProto,
    Dialect::ConnectJson,
    Dialect::ConnectGetProto,
    Dialect::ConnectGetJson,
    Dialect::ConnectStreamProto,
    Dialect::ConnectStreamJson,
    Dialect::Rest,
    Dialect::RestLines,
    Dialect::RestArray,
];

// === impl Dialect ===

impl Dialect {
    pub fn is_json(self) -> bool {
        use Dialect::*;
        !matches!(self, Grpc | Web | WebText | ConnectProto | ConnectGetProto | ConnectStreamProto)
    }

    pub fn is_rest(self) -> bool {
        matches!(self, Dialect::Rest | Dialect::RestLines | Dialect::RestArray)
    }

    pub fn is_web(self) -> bool {
        matches!(self, Dialect::Web | Dialect::WebJson | Dialect::WebText | Dialect::WebTextJson)
    }

    pub fn is_text(self) -> bool {
        matches!(self, Dialect::WebText | Dialect::WebTextJson)
    }

    /// Whether the HTTP code tells the status.
    pub fn has_http_code(self) -> bool {
        use Dialect::*;
        matches!(self, ConnectProto | ConnectJson | ConnectGetProto | ConnectGetJson | Rest)
    }

    fn is_get(self) -> bool {
        matches!(self, Dialect::ConnectGetProto | Dialect::ConnectGetJson)
    }

    fn is_connect_unary(self) -> bool {
        matches!(self, Dialect::ConnectProto | Dialect::ConnectJson) || self.is_get()
    }

    /// Whether this method of Echo is called so. (Connect GET is for methods without side effects; Echo has none such.)
    pub fn speaks(self, path: &str) -> bool {
        let answers_once = path == UNARY || path == CLIENT;
        match self {
            Dialect::ConnectProto | Dialect::ConnectJson => path == UNARY,
            Dialect::ConnectGetProto | Dialect::ConnectGetJson => false,
            Dialect::ConnectStreamProto | Dialect::ConnectStreamJson => path != UNARY,
            Dialect::Rest => answers_once,
            Dialect::RestLines | Dialect::RestArray => !answers_once,
            _ => true,
        }
    }

    pub fn goes_over(self, transport: Transport) -> bool {
        transport.is_h2() || !matches!(self, Dialect::Grpc | Dialect::GrpcJson)
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Dialect::Grpc => "application/grpc",
            Dialect::GrpcJson => "application/grpc+json",
            Dialect::Web => "application/grpc-web+proto",
            Dialect::WebJson => "application/grpc-web+json",
            Dialect::WebText => "application/grpc-web-text+proto",
            Dialect::WebTextJson => "application/grpc-web-text+json",
            Dialect::ConnectProto | Dialect::ConnectGetProto => "application/proto",
            Dialect::ConnectStreamProto => "application/connect+proto",
            Dialect::ConnectStreamJson => "application/connect+json",
            Dialect::ConnectJson | Dialect::ConnectGetJson => "application/json",
            Dialect::Rest | Dialect::RestLines | Dialect::RestArray => "application/json",
        }
    }

    /// One message in the dialect's codec.
    pub fn coded(self, message: &str) -> Vec<u8> {
        if self.is_json() {
            json!({ "message": message }).to_string().into_bytes()
        } else {
            EchoRequest { message: message.to_owned() }.encode_to_vec()
        }
    }

    /// The same with what the dialect puts around it.
    pub fn framed(self, messages: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            let coded = self.coded(message);
            if !(self.is_rest() || self.is_connect_unary()) {
                out.extend_from_slice(&prefix(0, coded.len()));
            }
            out.extend_from_slice(&coded);
        }
        if self.is_text() { BASE64.encode(out).into_bytes() } else { out }
    }

    /// The same call in this encoding, which the caller says it accepts as well. `None`: as [`Dialect::ask`].
    pub fn ask_in(self, path: &str, messages: &[&str], encoding: Option<&str>) -> Ask {
        let Some(encoding) = encoding else { return self.ask(path, messages) };
        let ask = self.ask(path, messages);
        let (told, accepted) = self.encoding_fields();
        let ask = ask.header(accepted, encoding);
        if ask.body.is_empty() {
            return ask;
        }
        let body = if self.is_rest() || self.is_connect_unary() {
            pack(encoding, &ask.body)
        } else {
            let mut out = Vec::new();
            for message in messages {
                let packed = pack(encoding, &self.coded(message));
                out.extend_from_slice(&prefix(1, packed.len()));
                out.extend_from_slice(&packed);
            }
            if self.is_text() { BASE64.encode(out).into_bytes() } else { out }
        };
        Ask { body, ..ask.header(told, encoding) }
    }

    /// The fields that name an encoding, and the accepted ones.
    pub fn encoding_fields(self) -> (&'static str, &'static str) {
        match self {
            Dialect::ConnectStreamProto | Dialect::ConnectStreamJson => {
                ("connect-content-encoding", "connect-accept-encoding")
            }
            _ if self.is_rest() || self.is_connect_unary() => ("content-encoding", "accept-encoding"),
            _ => ("grpc-encoding", "grpc-accept-encoding"),
        }
    }

    /// The bytes of a frame of an answer.
    fn plain(self, answer: &Answer, flags: u8, payload: &[u8]) -> Vec<u8> {
        match flags {
            0 => payload.to_vec(),
            1 => unpack(answer.header(self.encoding_fields().0), payload),
            flags => panic!("flags {flags}: {answer:?}"),
        }
    }

    /// A call of a method of Echo with these messages.
    pub fn ask(self, path: &str, messages: &[&str]) -> Ask {
        if self.is_rest() && path == SERVER {
            let ask = Ask::get(format!("/v1/echo:stream?message={}", messages.concat().replace(' ', "+")));
            return self.accepting(ask);
        }
        // JSON goes to rules, and to the methods' own paths where there are more ways than one
        let path = match (self, path) {
            (_, UNARY) if self.is_rest() => "/v1/echo",
            (Dialect::RestLines, BIDI) => "/v1/echo:chat",
            _ => path,
        };
        let content_type = if path == "/v1/echo:chat" { "application/x-ndjson" } else { self.content_type() };
        self.accepting(Ask::post(path, content_type, self.framed(messages)))
    }

    fn accepting(self, ask: Ask) -> Ask {
        match self {
            Dialect::Grpc | Dialect::GrpcJson => ask.header("te", "trailers"),
            Dialect::RestLines => ask.header("accept", "application/x-ndjson"),
            _ => ask,
        }
    }

    /// Reads an answer with messages of Echo.
    pub fn read(self, answer: &Answer) -> Told {
        let encoding = answer.header("content-encoding");
        if !encoding.is_empty() {
            // of a body that was cut, what is there
            let body = if answer.cut { unpack_some(encoding, &answer.body) } else { unpack(encoding, &answer.body) };
            return self.read_plain(&Answer { body, ..answer.clone() });
        }
        self.read_plain(answer)
    }

    fn read_plain(self, answer: &Answer) -> Told {
        let told = Told { http: answer.status, cut: answer.cut, initial: answer.headers.clone(), ..Told::default() };
        match self {
            Dialect::Grpc | Dialect::GrpcJson => self.read_grpc(answer, told),
            _ if self.is_web() => self.read_web(answer, told),
            Dialect::ConnectStreamProto | Dialect::ConnectStreamJson => self.read_connect_stream(answer, told),
            Dialect::RestLines => read_lines(answer, told),
            Dialect::RestArray => read_array(answer, told),
            _ => self.read_whole(answer, told),
        }
    }

    fn read_message(self, bytes: &[u8]) -> String {
        if self.is_json() {
            text_of(&serde_json::from_slice(bytes).expect("JSON"))
        } else {
            EchoResponse::decode(bytes).expect("a message").message
        }
    }

    fn read_grpc(self, answer: &Answer, mut told: Told) -> Told {
        for (flags, payload) in frames(&answer.body) {
            told.messages.push(self.read_message(&self.plain(answer, flags, &payload)));
        }
        let in_head = answer.trailers.is_empty() && !answer.cut;
        let fields = if in_head { &answer.headers } else { &answer.trailers };
        told.trailing = fields.clone();
        told.status_fields(fields);
        told
    }

    fn read_web(self, answer: &Answer, mut told: Told) -> Told {
        assert!(answer.trailers.is_empty(), "gRPC-Web has no HTTP trailers");
        let body = if self.is_text() { decode_text(&answer.body) } else { answer.body.clone() };
        let mut ended = false;
        for (flags, payload) in frames(&body) {
            assert!(!ended, "nothing is behind the trailers: {answer:?}");
            if flags == 0x80 {
                ended = true;
                told.trailing = fields_of(&payload);
                let fields = told.trailing.clone();
                told.status_fields(&fields);
            } else {
                told.messages.push(self.read_message(&self.plain(answer, flags, &payload)));
            }
        }
        if !ended && answer.headers.contains_key("grpc-status") {
            assert!(body.is_empty());
            told.trailing = answer.headers.clone();
            told.status_fields(&answer.headers);
        }
        told
    }

    fn read_connect_stream(self, answer: &Answer, mut told: Told) -> Told {
        assert!(answer.trailers.is_empty());
        let mut ended = false;
        for (flags, payload) in frames(&answer.body) {
            assert!(!ended, "nothing is behind the end: {answer:?}");
            if flags != 2 {
                told.messages.push(self.read_message(&self.plain(answer, flags, &payload)));
                continue;
            }
            ended = true;
            let end: Value = serde_json::from_slice(&payload).expect("an end");
            told.code = Some(Code::Ok);
            if let Some(error) = end.get("error") {
                told.connect_error(error);
            }
            for (name, values) in end.get("metadata").and_then(Value::as_object).into_iter().flatten() {
                for value in values.as_array().expect("values") {
                    told.trailing.append(
                        name.parse::<HeaderName>().expect("a name"),
                        value.as_str().and_then(|text| HeaderValue::from_str(text).ok()).expect("a value"),
                    );
                }
            }
        }
        told
    }

    /// Connect unary and REST: one message or one error.
    fn read_whole(self, answer: &Answer, mut told: Told) -> Told {
        assert!(answer.trailers.is_empty());
        for (name, value) in &answer.headers {
            if let Some(name) = name.as_str().strip_prefix("trailer-") {
                told.trailing.append(name.parse::<HeaderName>().expect("a name"), value.clone());
            }
        }
        if answer.cut {
            return told;
        }
        if answer.status == 200 {
            assert_eq!(answer.header("content-type"), self.content_type());
            told.code = Some(Code::Ok);
            told.messages.push(self.read_message(&answer.body));
            return told;
        }
        assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
        let error = answer.json();
        if self.is_rest() {
            told.rest_error(&error)
        } else {
            told.connect_error(&error)
        }
        told
    }
}

// === impl Told ===

impl Told {
    fn status_fields(&mut self, fields: &HeaderMap) {
        let text = |name: &str| fields.get(name).map(|value| value.to_str().expect("text"));
        let Some(code) = text("grpc-status") else { return };
        self.code = Code::from_header(code.as_bytes());
        self.message = percent_decode_str(text("grpc-message").unwrap_or("")).decode_utf8().expect("UTF-8").into();
        let Some(details) = text("grpc-status-details-bin") else { return };
        let status = Status::decode(&BASE64.decode(details).expect("base64")).expect("a status");
        assert_eq!((Some(status.code), &*status.message), (self.code, &*self.message));
        for any in status.details {
            let value = Value::String(BASE64.encode(&any.value).trim_end_matches('=').to_owned());
            self.details.push((any.type_name().to_owned(), value));
        }
    }

    fn connect_error(&mut self, error: &Value) {
        let name = error["code"].as_str().expect("a code");
        self.code = Code::ALL.into_iter().find(|code| code.connect_name() == name);
        self.message = error["message"].as_str().unwrap_or("").to_owned();
        for detail in error["details"].as_array().into_iter().flatten() {
            let kind = detail["type"].as_str().expect("a type").to_owned();
            assert!(detail["debug"].is_object(), "{error}");
            self.details.push((kind, detail["value"].clone()));
        }
    }

    /// `google.rpc.Status` as JSON.
    fn rest_error(&mut self, error: &Value) {
        let number = error["code"].as_u64().and_then(|code| u32::try_from(code).ok()).expect("a code");
        self.code = Some(Code::from_number(number));
        self.message = error["message"].as_str().expect("a message").to_owned();
        for detail in error["details"].as_array().expect("details") {
            let url = detail["@type"].as_str().expect("a type");
            let kind = url.strip_prefix("type.googleapis.com/").expect("a type").to_owned();
            self.details.push((kind, detail.clone()));
        }
    }

    /// `reason` of the only detail, a `google.rpc.ErrorInfo` of the edge.
    pub fn reason(&self) -> String {
        let [(kind, value)] = &self.details[..] else { panic!("one detail: {self:?}") };
        assert_eq!(kind, "google.rpc.ErrorInfo", "{self:?}");
        let info = match value {
            Value::String(text) => ErrorInfo::decode(&BASE64.decode(text).expect("base64")[..]).expect("a detail"),
            json => ErrorInfo {
                reason: json["reason"].as_str().expect("a reason").to_owned(),
                domain: json["domain"].as_str().expect("a domain").to_owned(),
            },
        };
        assert_eq!(info.domain, "transom", "{self:?}");
        info.reason
    }

    /// Whether a fault of the protocol itself is told as it should be: REST callers get its reason, the others nothing
    /// but code and message.
    pub fn is_bare(&self, dialect: Dialect, reason: &str) -> bool {
        if dialect.is_rest() { self.reason() == reason } else { self.details.is_empty() }
    }

    pub fn detail_types(&self) -> Vec<&str> {
        self.details.iter().map(|(kind, _)| kind.as_str()).collect()
    }
}

/// These bytes in an encoding of this name.
pub fn pack(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    let mut packer: Box<dyn Read + '_> = match encoding {
        "gzip" => Box::new(flate2::read::GzEncoder::new(plain, level)),
        "deflate" => Box::new(flate2::read::ZlibEncoder::new(plain, level)),
        "zstd" => Box::new(zstd::stream::read::Encoder::new(plain, 0).expect("memory")),
        "br" => Box::new(brotli::CompressorReader::new(plain, 4096, 5, 20)),
        "snappy" => Box::new(snap::read::FrameEncoder::new(plain)),
        other => panic!("{other}"),
    };
    let mut packed = Vec::new();
    packer.read_to_end(&mut packed).expect("memory");
    packed
}

fn reader<'p>(encoding: &str, packed: &'p [u8]) -> Box<dyn Read + 'p> {
    match encoding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(packed)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(packed)),
        "zstd" => Box::new(zstd::Decoder::new(packed).expect("memory")),
        "br" => Box::new(brotli::Decompressor::new(packed, 4096)),
        "snappy" => Box::new(snap::read::FrameDecoder::new(packed)),
        other => panic!("{other:?}"),
    }
}

pub fn unpack(encoding: &str, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    reader(encoding, packed).read_to_end(&mut plain).expect("what was packed");
    plain
}

/// What comes out before the end is missed, which it must be.
fn unpack_some(encoding: &str, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    reader(encoding, packed).read_to_end(&mut plain).expect_err("a cut body has no end");
    plain
}

pub fn prefix(flags: u8, length: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(length).expect("a length").to_be_bytes();
    [flags, a, b, c, d]
}

/// The whole frames of a body; a piece at its end is left out.
pub fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((&[flags, a, b, c, d], rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        found.push((flags, payload.to_vec()));
        body = rest;
    }
    found
}

/// gRPC-Web text: pieces of base64, each with its padding.
pub fn decode_text(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(4) {
        if piece.len() == 4 {
            out.extend(BASE64.decode(piece).expect("base64"));
        }
    }
    out
}

/// The fields of gRPC-Web's last frame.
pub fn fields_of(payload: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in std::str::from_utf8(payload).expect("text").split_terminator("\r\n") {
        let (name, value) = line.split_once(':').expect("a field");
        assert_eq!(name, name.to_ascii_lowercase());
        let name: HeaderName = name.parse().expect("a name");
        fields.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    fields
}

fn text_of(message: &Value) -> String {
    message.get("message").map_or("", |text| text.as_str().expect("text")).to_owned()
}

fn read_lines(answer: &Answer, mut told: Told) -> Told {
    if answer.status != 200 {
        told.rest_error(&answer.json());
        return told;
    }
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    if !answer.cut {
        told.code = Some(Code::Ok);
    }
    for line in answer.text().lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        match line.get("error") {
            Some(error) => told.rest_error(error),
            None => told.messages.push(text_of(&line)),
        }
    }
    told
}

fn read_array(answer: &Answer, mut told: Told) -> Told {
    if answer.status != 200 {
        told.rest_error(&answer.json());
        return told;
    }
    assert_eq!(answer.header("content-type"), "application/json");
    let text = answer.text();
    let closed = serde_json::from_str::<Vec<Value>>(&text).ok();
    assert!(!(answer.cut && closed.is_some()), "a cut array is never closed");
    let whole = closed.unwrap_or_else(|| serde_json::from_str(&format!("{text}]")).unwrap_or_default());
    if !answer.cut {
        told.code = Some(Code::Ok);
    }
    for item in &whole {
        match item.get("error") {
            Some(error) => told.rest_error(error),
            None => told.messages.push(text_of(item)),
        }
    }
    told
}
