//! One HTTP/2 connection for asking after an endpoint's health, apart from those that calls use: small windows, small
//! heads, and nothing that a hostile answer could make us keep.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong, RecvStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::health_wire::{Health, LONGEST, request, response};
use crate::status::Code;
use crate::wire::{Frame, FrameReader, decode_message, format_grpc_timeout};

/// What an endpoint is reached by: TCP, with TLS or without.
pub(in crate::upstream) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, driven by a task that ends with it.
#[derive(Debug)]
pub(super) struct Session {
    sender: SendRequest<Bytes>,
    pings: Option<PingPong>,
    driver: JoinHandle<()>,
}

/// How requests to an endpoint begin.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server answered with a status; its message is left out where it could be anything.
    Status(Code, String),
    /// The connection or the stream broke, or what came is no gRPC.
    Broken(String),
}

/// The answers to one question, as they come.
#[derive(Debug)]
pub(super) struct Answers {
    body: RecvStream,
    frames: FrameReader,
    /// Chunks since an answer was asked for.
    chunks: u32,
}

/// What may be under way to us, bytes. One answer takes seven.
const WINDOW: u32 = 16 * 1024;
/// A head, all fields.
const HEADER_LIST: u32 = 16 * 1024;
/// Chunks that one answer may come in; a frame of nothing is one.
const MOST_CHUNKS: u32 = 64;
/// Of what a server says about a failure, for logs.
const TOLD: usize = 200;

// === impl Session ===

impl Session {
    /// Speaks the preface. What the peer says to that is seen with the first question.
    pub(super) async fn open(io: Box<dyn Io>) -> Result<Session, String> {
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADER_LIST)
            .max_send_buffer_size(4096)
            .handshake(io)
            .await;
        let (sender, mut connection) = handshake.map_err(|error| error.to_string())?;
        let pings = connection.ping_pong();
        let driver = tokio::spawn(async move {
            // how it ended is told by its streams
            let _ = connection.await;
        });
        Ok(Session { sender, pings, driver })
    }

    /// Asks a method of `grpc.health.v1.Health`, and waits for the head of the answer. `deadline`: what the server is
    /// told of our patience, which is the caller's matter otherwise.
    pub(super) async fn ask(
        &mut self,
        target: &Target,
        path: &'static str,
        service: &str,
        deadline: Option<Duration>,
    ) -> Result<Answers, Failure> {
        let mut sender = self.sender.clone().ready().await.map_err(|error| Failure::of(&error))?;
        let request_head = head(target, path, deadline)?;
        let (answer, mut stream) = sender.send_request(request_head, false).map_err(|error| Failure::of(&error))?;
        stream.send_data(request(service).into(), true).map_err(|error| Failure::of(&error))?;
        let answer = answer.await.map_err(|error| Failure::of(&error))?;
        let (head, body) = answer.into_parts();
        if head.status != http::StatusCode::OK {
            let code = Code::from_http(head.status.as_u16());
            return Err(Failure::Status(code, format!("HTTP {}", head.status.as_u16())));
        }
        if let Some(failure) = ending(&head.headers) {
            return Err(failure);
        }
        let is_grpc = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let rest = kind.as_bytes().strip_prefix(b"application/grpc");
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        });
        match is_grpc {
            true => Ok(Answers { body, frames: FrameReader::new(LONGEST), chunks: 0 }),
            false => Err(Failure::Broken("the answer is no gRPC".into())),
        }
    }

    /// Pings for as long as the peer answers within `timeout`; returns when it did not. Once per session.
    pub(super) fn take_pings(&mut self) -> Option<PingPong> {
        self.pings.take()
    }
}

/// Pings every `interval`, and returns why when one is not answered within `timeout`.
pub(in crate::upstream) async fn keep_asking(pings: Option<PingPong>, interval: Duration, timeout: Duration) -> String {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(interval).await;
        match tokio::time::timeout(timeout, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no answer to a ping within {timeout:?}"),
        }
    }
}

fn head(target: &Target, path: &'static str, deadline: Option<Duration>) -> Result<Request<()>, Failure> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(target.scheme.clone());
    uri.authority = Some(target.authority.clone());
    uri.path_and_query = Some(PathAndQuery::from_static(path));
    let uri = Uri::from_parts(uri).map_err(|error| Failure::Broken(error.to_string()))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("transom/", env!("CARGO_PKG_VERSION"), " (health check)")),
    );
    if let Some(deadline) = deadline {
        let timeout = HeaderValue::try_from(format_grpc_timeout(deadline));
        headers.extend(timeout.ok().map(|timeout| (HeaderName::from_static("grpc-timeout"), timeout)));
    }
    Ok(request)
}

/// What the fields of an end say: `None` if they say nothing, as those of a head that messages follow.
fn ending(fields: &HeaderMap) -> Option<Failure> {
    let code = Code::from_header(fields.get("grpc-status")?.as_bytes()).unwrap_or(Code::Unknown);
    let message = fields.get("grpc-message").map(|text| decode_message(text.as_bytes())).unwrap_or_default();
    let message = message.chars().filter(|c| !c.is_control()).take(TOLD).collect();
    Some(Failure::Status(code, message))
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Answers ===

impl Answers {
    /// The next answer. May be dropped and asked for again: nothing is lost. A stream that ends says so as a status,
    /// which is OK for one that ended in order.
    pub(super) async fn next(&mut self) -> Result<Health, Failure> {
        loop {
            match self.frames.next() {
                Ok(Some(Frame { flags: 0, payload })) => {
                    self.chunks = 0;
                    return response(&payload).ok_or_else(|| Failure::Broken("the answer is garbled".into()));
                }
                Ok(Some(_)) => return Err(Failure::Broken("the answer is compressed, unasked".into())),
                Ok(None) => {}
                Err(_) => return Err(Failure::Broken("the answer is too large, or no gRPC".into())),
            }
            let Some(chunk) = self.body.data().await else { return Err(self.end().await) };
            let chunk = chunk.map_err(|error| Failure::of(&error))?;
            let _ = self.body.flow_control().release_capacity(chunk.len());
            self.chunks = self.chunks.saturating_add(1);
            if self.chunks > MOST_CHUNKS {
                return Err(Failure::Broken("the answer comes in crumbs".into()));
            }
            self.frames.push(chunk);
        }
    }

    /// The status of a stream that has no more answers.
    pub(super) async fn end(&mut self) -> Failure {
        match self.body.trailers().await {
            Ok(fields) => fields
                .and_then(|fields| ending(&fields))
                .unwrap_or_else(|| Failure::Broken("the answer ended without a status".into())),
            Err(error) => Failure::of(&error),
        }
    }
}

// === impl Failure ===

impl Failure {
    fn of(error: &h2::Error) -> Failure {
        Failure::Broken(error.to_string())
    }

    /// Whether the server does not know the method.
    pub(super) fn is_unimplemented(&self) -> bool {
        matches!(self, Failure::Status(Code::Unimplemented, _))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Status(code, text) if text.is_empty() => f.write_str(code.name()),
            Failure::Status(code, text) => write!(f, "{}: {text}", code.name()),
            Failure::Broken(why) => f.write_str(why),
        }
    }
}
