//! A WebSocket client for each transport and subprotocol: tokio-tungstenite for the wire, nothing of the edge's.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use transom::demo::upstream::echo_v1::{EchoRequest, EchoResponse};
use transom::status::Code;

use super::dialects::{fields_of, prefix};
use super::support::{Edge, PATIENCE, Transport, Wire, handshake, send_all, tcp};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Grpc,
    Bare,
    Envelopes,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Call {
    pub speech: Speech,
    pub transport: Transport,
    pub path: String,
    /// Of the handshake.
    pub headers: Vec<(String, String)>,
    /// Of the first frame.
    pub metadata: Vec<(String, String)>,
}

/// An open socket.
pub struct Client {
    pub socket: WebSocketStream<Box<dyn Wire>>,
    pub speech: Speech,
}

/// What a client was told, up to the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    pub messages: Vec<String>,
    pub initial: Option<HeaderMap>,
    pub trailing: HeaderMap,
    /// Of the envelope or the trailers; of a bare call, of the close code.
    pub code: Option<Code>,
    pub message: String,
    /// `google.rpc.Status` of an envelope.
    pub status: Value,
    /// `None`: the connection ended without a close frame.
    pub close: Option<(u16, String)>,
}

pub const SPEECHES: [Speech; 3] = [Speech::Grpc, Speech::Bare, Speech::Envelopes];
pub const TRANSPORTS: [Transport; 4] = [Transport::Http1, Transport::Http2, Transport::Http1Tls, Transport::Http2Tls];

// === impl Speech ===

impl Speech {
    pub fn name(self) -> Option<&'static str> {
        match self {
            Speech::Grpc => Some("grpc-websockets"),
            Speech::Bare => None,
            Speech::Envelopes => Some("transom.json.v1"),
        }
    }
}

// === impl Call ===

impl Call {
    pub fn new(speech: Speech, path: &str) -> Call {
        let metadata = match speech {
            Speech::Grpc => vec![("content-type".to_owned(), "application/grpc-web+proto".to_owned())],
            _ => Vec::new(),
        };
        Call { speech, transport: Transport::Http1, path: path.to_owned(), headers: Vec::new(), metadata }
    }

    pub fn over(self, transport: Transport) -> Call {
        Call { transport, ..self }
    }

    /// A field of the handshake.
    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Metadata, as this speech has it: bare calls have only their handshake for it.
    pub fn with(mut self, metadata: &[(&str, &str)]) -> Call {
        for (name, value) in metadata {
            let pair = ((*name).to_owned(), (*value).to_owned());
            if self.speech == Speech::Bare { self.headers.push(pair) } else { self.metadata.push(pair) }
        }
        self
    }

    /// Opens the socket and says the metadata.
    pub async fn open(&self, edge: &Edge) -> Client {
        let mut client = self.try_open(edge).await.unwrap_or_else(|refused| panic!("{self:?}: {refused:?}"));
        client.metadata(self).await;
        client
    }

    /// Opens the socket; what refuses it comes as status, head and body.
    pub async fn try_open(&self, edge: &Edge) -> Result<Client, (StatusCode, HeaderMap, Vec<u8>)> {
        let wire: Box<dyn Wire> = match self.transport {
            Transport::Http1 | Transport::Http2 => Box::new(tcp(edge.clear).await),
            Transport::Http1Tls => edge.tls_socket(b"http/1.1").await,
            Transport::Http2Tls => edge.tls_socket(b"h2").await,
        };
        self.open_on(wire).await
    }

    /// The same on a connection that is there.
    pub async fn open_on(&self, wire: Box<dyn Wire>) -> Result<Client, (StatusCode, HeaderMap, Vec<u8>)> {
        let opened = if self.transport.is_h2() { self.by_connect(wire).await } else { self.by_upgrade(wire).await };
        opened.map(|socket| Client { socket, speech: self.speech })
    }

    async fn by_upgrade(
        &self,
        wire: Box<dyn Wire>,
    ) -> Result<WebSocketStream<Box<dyn Wire>>, (StatusCode, HeaderMap, Vec<u8>)> {
        let mut request = format!("ws://edge{}", self.path).into_client_request().expect("a request");
        self.fill(request.headers_mut());
        match timeout(PATIENCE, tokio_tungstenite::client_async(request, wire)).await.expect("in time") {
            Ok((socket, response)) => {
                self.check(response.headers());
                Ok(socket)
            }
            Err(Error::Http(response)) => {
                let (head, body) = response.into_parts();
                Err((head.status, head.headers, body.unwrap_or_default()))
            }
            Err(error) => panic!("{self:?}: {error}"),
        }
    }

    async fn by_connect(
        &self,
        wire: Box<dyn Wire>,
    ) -> Result<WebSocketStream<Box<dyn Wire>>, (StatusCode, HeaderMap, Vec<u8>)> {
        let mut client = handshake(wire).await;
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut request = Request::builder().method("CONNECT").uri(format!("http://edge{}", self.path));
        request = request.header("sec-websocket-version", "13");
        let mut request = request.body(()).expect("a request");
        self.fill(request.headers_mut());
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (response, up) = client.send_request(request, false).expect("a stream");
        let response = timeout(PATIENCE, response).await.expect("in time").expect("a head");
        let (head, mut body) = response.into_parts();
        if head.status != 200 {
            let mut whole = Vec::new();
            while let Some(chunk) = body.data().await {
                whole.extend_from_slice(&chunk.expect("a chunk"));
            }
            return Err((head.status, head.headers, whole));
        }
        self.check(&head.headers);
        let (near, far) = tokio::io::duplex(1024);
        carry(far, up, body);
        let near: Box<dyn Wire> = Box::new(near);
        Ok(WebSocketStream::from_raw_socket(near, Role::Client, None).await)
    }

    fn fill(&self, headers: &mut HeaderMap) {
        if let Some(name) = self.speech.name() {
            headers.insert("sec-websocket-protocol", name.parse().expect("a value"));
        }
        for (name, value) in &self.headers {
            let name: http::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
    }

    fn check(&self, headers: &HeaderMap) {
        let chosen = headers.get("sec-websocket-protocol").map(|value| value.to_str().expect("text"));
        assert_eq!(chosen, self.speech.name());
        assert!(!headers.contains_key("sec-websocket-extensions"));
    }
}

/// Carries bytes between a stream of HTTP/2 and a pipe, at the pace of the slower.
fn carry(pipe: DuplexStream, mut up: h2::SendStream<Bytes>, mut down: h2::RecvStream) {
    let (mut from, mut to) = tokio::io::split(pipe);
    tokio::spawn(async move {
        while let Some(Ok(chunk)) = down.data().await {
            if to.write_all(&chunk).await.is_err() {
                return;
            }
            let _ = down.flow_control().release_capacity(chunk.len());
        }
        let _ = to.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 1024];
        loop {
            match from.read(&mut buffer).await {
                Ok(count @ 1..) => {
                    let piece = Bytes::copy_from_slice(&buffer[..count]);
                    if !send_all(&mut up, piece, false).await {
                        return;
                    }
                }
                _ => {
                    let _ = up.send_data(Bytes::new(), true);
                    return;
                }
            }
        }
    });
}

// === impl Client ===

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("speech", &self.speech).finish_non_exhaustive()
    }
}

impl Client {
    pub async fn send(&mut self, message: Message) {
        timeout(PATIENCE, self.socket.send(message)).await.expect("in time").expect("an open socket");
    }

    /// Says the metadata of a call.
    pub async fn metadata(&mut self, call: &Call) {
        match self.speech {
            Speech::Grpc => {
                let block: String = call.metadata.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                self.send(Message::binary(block.into_bytes())).await;
            }
            Speech::Envelopes if !call.metadata.is_empty() => {
                let mut fields = serde_json::Map::new();
                for (name, value) in &call.metadata {
                    let values = fields.entry(name.clone()).or_insert_with(|| json!([]));
                    values.as_array_mut().expect("a list").push(json!(value));
                }
                self.send(Message::text(json!({ "headers": fields }).to_string())).await;
            }
            _ => {}
        }
    }

    /// Says one message.
    pub async fn say(&mut self, text: &str) {
        let message = self.speech.message(text);
        self.send(message).await;
    }

    /// Ends the caller's side.
    pub async fn end(&mut self) {
        let end = self.speech.end();
        self.send(end).await;
    }

    /// The next frame that is no ping.
    pub async fn next(&mut self) -> Message {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("in time");
            match next.expect("a frame").expect("a frame") {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return other,
            }
        }
    }

    /// The next message of Echo.
    pub async fn next_text(&mut self) -> String {
        let mut heard = Heard::default();
        let mut bytes = Vec::new();
        while heard.messages.is_empty() {
            let next = self.next().await;
            self.speech.read(&mut heard, &mut bytes, next);
            assert_eq!(heard.close, None);
        }
        heard.messages.remove(0)
    }

    /// Reads to the end.
    pub async fn rest(&mut self) -> Heard {
        let mut heard = Heard::default();
        let mut bytes = Vec::new();
        let whole = async {
            while let Some(next) = self.socket.next().await {
                match next {
                    Ok(message) => self.speech.read(&mut heard, &mut bytes, message),
                    Err(Error::Protocol(_) | Error::Io(_)) if heard.close.is_none() => break,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        timeout(PATIENCE, whole).await.unwrap_or_else(|_| panic!("no end"));
        assert!(bytes.is_empty(), "a frame is half");
        if self.speech == Speech::Bare
            && let Some((close, reason)) = &heard.close
        {
            heard.message.clone_from(reason);
            heard.code = match close {
                1000 => Some(Code::Ok),
                4001..=4016 => Some(Code::from_number(u32::from(close - 4000))),
                _ => None,
            };
        }
        heard
    }
}

// === impl Speech, its frames ===

impl Speech {
    /// The frame of one message of Echo.
    pub fn message(self, text: &str) -> Message {
        match self {
            Speech::Grpc => {
                let coded = EchoRequest { message: text.to_owned() }.encode_to_vec();
                Message::binary([&[0][..], &prefix(0, coded.len()), &coded].concat())
            }
            Speech::Bare => Message::text(json!({ "message": text }).to_string()),
            Speech::Envelopes => Message::text(json!({ "message": { "message": text } }).to_string()),
        }
    }

    /// The frame that ends the caller's side.
    pub fn end(self) -> Message {
        match self {
            Speech::Grpc => Message::binary(vec![1]),
            Speech::Bare => Message::text(""),
            Speech::Envelopes => Message::text(r#"{"end":true}"#),
        }
    }

    fn read(self, heard: &mut Heard, bytes: &mut Vec<u8>, message: Message) {
        match message {
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(frame) => heard.close = frame.map(|frame| (frame.code.into(), frame.reason.to_string())),
            Message::Binary(payload) if self == Speech::Grpc => {
                bytes.extend_from_slice(&payload);
                heard.read_frames(bytes);
            }
            Message::Text(text) if self == Speech::Bare => {
                heard.messages.push(text_of(&serde_json::from_str(&text).expect("JSON")));
            }
            Message::Text(text) if self == Speech::Envelopes => heard.read_envelope(&text),
            other => panic!("{other:?}"),
        }
    }
}

// === impl Heard ===

impl Heard {
    fn read_frames(&mut self, bytes: &mut Vec<u8>) {
        while let Some((&[flags, a, b, c, d], rest)) = bytes.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { return };
            bytes.drain(..5 + length);
            assert!(self.code.is_none(), "nothing is behind the trailers");
            if flags != 0x80 {
                assert_eq!(flags, 0);
                assert!(self.initial.is_some(), "the head comes first");
                self.messages.push(EchoResponse::decode(&payload[..]).expect("a message").message);
                continue;
            }
            let fields = fields_of(&payload);
            if let Some(code) = fields.get("grpc-status") {
                self.code = Code::from_header(code.as_bytes());
                let message = fields.get("grpc-message").map_or("", |value| value.to_str().expect("text"));
                self.message = percent_encoding::percent_decode_str(message).decode_utf8().expect("UTF-8").into_owned();
                self.trailing = fields;
            } else {
                assert!(self.initial.replace(fields).is_none());
            }
        }
    }

    fn read_envelope(&mut self, text: &str) {
        let envelope: Value = serde_json::from_str(text).expect("JSON");
        assert!(self.code.is_none(), "nothing is behind the status: {text}");
        if let Some(fields) = envelope.get("headers") {
            assert!(self.initial.is_none() && self.messages.is_empty(), "{text}");
            self.initial = Some(fields_of_object(fields));
        } else if let Some(message) = envelope.get("message") {
            assert!(self.initial.is_some(), "the head comes first");
            self.messages.push(text_of(message));
        } else {
            self.status = envelope["status"].clone();
            let number = self.status["code"].as_u64().and_then(|code| u32::try_from(code).ok());
            self.code = Some(Code::from_number(number.expect("a code")));
            self.message = self.status["message"].as_str().expect("a message").to_owned();
            self.trailing = fields_of_object(&envelope["trailers"]);
        }
    }

    /// Types of the details, as this speech tells them.
    pub fn detail_types(&self) -> Vec<String> {
        let details = self.status["details"].as_array().into_iter().flatten();
        details.map(|detail| detail["@type"].as_str().expect("a type").to_owned()).collect()
    }
}

fn text_of(message: &Value) -> String {
    message.get("message").map_or("", |text| text.as_str().expect("text")).to_owned()
}

fn fields_of_object(object: &Value) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, values) in object.as_object().expect("fields") {
        for value in values.as_array().expect("a list of values") {
            let name: http::HeaderName = name.parse().expect("a name");
            fields.append(name, value.as_str().expect("text").parse().expect("a value"));
        }
    }
    fields
}
