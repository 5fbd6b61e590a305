//! The one call that reflection is: questions go up, answers come down, in order, until both sides know enough.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};

use super::message::{Answer, Question, shown};
use crate::status::Code;
use crate::upstream::{Choice, Cluster, Exchange, Fault, FaultKind, Pool};
use crate::wire::{COMPRESSED, FrameReader, decode_message, format_grpc_timeout};

/// The protocol's versions, in the order in which they are tried. Their messages are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1Alpha,
}

/// A call of `ServerReflectionInfo` under way.
pub(super) struct Talk {
    exchange: Exchange,
    frames: FrameReader,
    /// Whether the head of the answer has come.
    opened: bool,
    /// Bytes that may still come.
    left: usize,
    deadline: Instant,
    /// What the deadline was made of, to be told.
    timeout: Duration,
}

/// Why an endpoint did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection, or it was lost.
    Unreachable(String),
    /// The call ended with a status, or a question was answered by an error.
    Status { code: Code, message: String },
    /// The time is over.
    Late(Duration),
    /// What came is no answer, or more than is taken.
    Bad(String),
}

/// One answer, and all files that are kept, in bytes. All of googleapis are 25 MiB.
pub(super) const MAX_KEPT: usize = 64 << 20;
/// All answers of a call. Some servers send what a file imports with each answer anew.
const MAX_RECEIVED: usize = 1 << 30;

// === impl Version ===

impl Version {
    pub(super) const ALL: [Version; 2] = [Version::V1, Version::V1Alpha];

    /// The package's last name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V1Alpha => "v1alpha",
        }
    }

    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Version::V1 => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Version::V1Alpha => "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        })
    }
}

// === impl Talk ===

impl Talk {
    /// Begins a call; `deadline` is `timeout` from some moment on.
    pub(super) async fn begin(
        pool: &Pool,
        cluster: &Arc<Cluster>,
        version: Version,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Talk, Trouble> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if let Ok(value) = HeaderValue::try_from(format_grpc_timeout(left).to_string()) {
            headers.insert(HeaderName::from_static("grpc-timeout"), value);
        }
        let anybody = Choice::default();
        let opening = pool.open(cluster, &anybody, version.path(), headers, false);
        let exchange = timeout_at(deadline, opening).await.map_err(|_| Trouble::Late(timeout))??;
        let frames = FrameReader::new(MAX_KEPT);
        Ok(Talk { exchange, frames, opened: false, left: MAX_RECEIVED, deadline, timeout })
    }

    /// Sends a question. A stream that has ended is found out by who listens.
    pub(super) async fn say(&mut self, question: &Question) -> Result<(), Trouble> {
        let mut frame = question.frame();
        let request = &mut self.exchange.request;
        let saying = async {
            while !frame.is_empty() {
                let Ok(room) = poll_fn(|cx| request.poll_ready(cx, frame.len())).await else { return };
                if request.send(frame.split_to(room.min(frame.len())), false).is_err() {
                    return;
                }
            }
        };
        timeout_at(self.deadline, saying).await.map_err(|_| Trouble::Late(self.timeout))
    }

    /// The next answer.
    pub(super) async fn hear(&mut self) -> Result<Answer, Trouble> {
        let (deadline, timeout) = (self.deadline, self.timeout);
        timeout_at(deadline, self.next()).await.unwrap_or(Err(Trouble::Late(timeout)))
    }

    async fn next(&mut self) -> Result<Answer, Trouble> {
        if !self.opened {
            self.open().await?;
        }
        loop {
            if let Some(frame) = self.frames.next().map_err(|fault| Trouble::Bad(fault.to_string()))? {
                if frame.flags & COMPRESSED != 0 {
                    return Err(Trouble::Bad("the answer is compressed, though no encoding was accepted".into()));
                }
                return Answer::read(&frame.payload).map_err(|unreadable| Trouble::Bad(unreadable.to_string()));
            }
            match poll_fn(|cx| self.exchange.response.poll_chunk(cx)).await.transpose()? {
                Some(chunk) => {
                    self.exchange.response.release(chunk.len());
                    let left = self.left.checked_sub(chunk.len());
                    self.left =
                        left.ok_or_else(|| Trouble::Bad(format!("it answers more than {MAX_RECEIVED} bytes")))?;
                    self.frames.push(chunk);
                }
                None => return Err(self.end().await),
            }
        }
    }

    /// Waits for the head of the answer.
    async fn open(&mut self) -> Result<(), Trouble> {
        let head = poll_fn(|cx| self.exchange.response.poll_head(cx)).await?;
        self.opened = true;
        let headers = &head.parts.headers;
        if headers.contains_key("grpc-status") {
            return Err(status(headers));
        }
        let http = head.parts.status.as_u16();
        if http != 200 {
            return Err(Trouble::Status { code: Code::from_http(http), message: format!("HTTP {http}") });
        }
        let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            return Err(Trouble::Bad("its answer is not gRPC".into()));
        }
        Ok(())
    }

    /// What the end of the stream means, as there should be none.
    async fn end(&mut self) -> Trouble {
        match poll_fn(|cx| self.exchange.response.poll_trailers(cx)).await {
            Ok(Some(trailers)) => status(&trailers),
            Ok(None) => Trouble::Bad("its answer ends without a status".into()),
            Err(fault) => fault.into(),
        }
    }
}

/// What a block with `grpc-status` says.
fn status(fields: &HeaderMap) -> Trouble {
    let code = fields.get("grpc-status").and_then(|value| Code::from_header(value.as_bytes()));
    match code {
        None => Trouble::Bad("its answer ends without a status".into()),
        Some(Code::Ok) => Trouble::Bad("it ended the call before it had answered".into()),
        Some(code) => {
            let message = fields.get("grpc-message").map(|value| decode_message(value.as_bytes()));
            Trouble::Status { code, message: shown(&message.unwrap_or_default()) }
        }
    }
}

// === impl Trouble ===

impl Trouble {
    /// Whether it may be over soon: an upstream that is about to start is waited for, one that refuses is not.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Trouble::Unreachable(_) | Trouble::Late(_) => true,
            Trouble::Status { code, .. } => matches!(code, Code::Unavailable | Code::DeadlineExceeded),
            Trouble::Bad(_) => false,
        }
    }

    /// Whether the server does not have the service.
    pub(super) fn is_unimplemented(&self) -> bool {
        matches!(self, Trouble::Status { code: Code::Unimplemented, .. })
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        match fault.kind() {
            FaultKind::Connect | FaultKind::Overloaded | FaultKind::Refused | FaultKind::Broken => {
                Trouble::Unreachable(fault.to_string())
            }
            FaultKind::Reset(_) => Trouble::Status { code: fault.code(), message: fault.to_string() },
            FaultKind::Protocol => Trouble::Bad(fault.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable(why) => f.write_str(&shown(why)),
            Trouble::Status { code, message } if message.is_empty() => f.write_str(code.name()),
            Trouble::Status { code, message } => write!(f, "{}: {message}", code.name()),
            Trouble::Late(timeout) => write!(f, "no answer within {timeout:?}"),
            Trouble::Bad(why) => f.write_str(why),
        }
    }
}
