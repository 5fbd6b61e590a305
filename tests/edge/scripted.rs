//! An upstream that answers every call by one script and keeps what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::sync::mpsc;

use super::support::PATIENCE;

/// Name and value of a field, in the order in which it is sent.
pub type Field = (&'static str, &'static str);

/// What the upstream does with a call once it has the whole request.
#[derive(Clone, Debug)]
pub struct Script {
    pub http: u16,
    pub head: Vec<Field>,
    /// Each goes as DATA of its own.
    pub chunks: Vec<Bytes>,
    pub finish: Finish,
}

/// How an answer ends.
#[derive(Clone, Debug)]
pub enum Finish {
    /// With this header block behind the data.
    Trailers(Vec<Field>),
    /// END_STREAM on the head, if there are no chunks, or on the last one.
    EndStream,
    Reset(h2::Reason),
    /// No head, and this.
    ResetAtOnce(h2::Reason),
}

/// A request as the upstream got it.
#[derive(Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

pub struct Scripted {
    pub address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    task: tokio::task::JoinHandle<()>,
}

// === impl Script ===

impl Script {
    /// A head of gRPC with these fields, these bytes, and these trailers.
    pub fn new(head: &[Field], chunks: &[&[u8]], trailers: &[Field]) -> Script {
        let mut all = vec![("content-type", "application/grpc")];
        all.extend_from_slice(head);
        let chunks = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk)).collect();
        Script { http: 200, head: all, chunks, finish: Finish::Trailers(trailers.to_vec()) }
    }

    /// One header block, which is the end.
    pub fn only(fields: &[Field]) -> Script {
        Script { finish: Finish::EndStream, ..Script::new(fields, &[], &[]) }
    }

    pub fn finish(self, finish: Finish) -> Script {
        Script { finish, ..self }
    }

    /// Another HTTP code, and no content type.
    pub fn http(mut self, code: u16) -> Script {
        self.http = code;
        self.head.retain(|(name, _)| *name != "content-type");
        self
    }

    fn response(&self) -> Response<()> {
        let mut response = Response::builder().status(self.http).body(()).expect("a head");
        *response.headers_mut() = map(&self.head);
        response
    }
}

// === impl Scripted ===

impl Scripted {
    pub async fn start(script: Script) -> Scripted {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, asked) = mpsc::unbounded_channel();
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            // in a set, so that the connections end with the task
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (script, sender) = (Arc::clone(&script), sender.clone());
                connections.spawn(async move {
                    let Ok(mut http2) = h2::server::handshake(socket).await else { return };
                    let mut calls = tokio::task::JoinSet::new();
                    while let Some(Ok((request, respond))) = http2.accept().await {
                        calls.spawn(play(request, respond, Arc::clone(&script), sender.clone()));
                    }
                });
            }
        });
        Scripted { address, asked, task }
    }

    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// The next request.
    pub async fn asked(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await.expect("a request in time");
        asked.expect("a request")
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Fields as a map, those of one name in their order.
pub fn map(fields: &[Field]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    map
}

async fn play(
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
    script: Arc<Script>,
    sender: mpsc::UnboundedSender<Asked>,
) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        // a request that is broken off asks for nothing
        let Ok(chunk) = chunk else { return };
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let _ = sender.send(Asked { path: head.uri.path().to_owned(), headers: head.headers, body });
    perform(respond, &script).await;
}

/// Answers by a script.
pub async fn perform(mut respond: SendResponse<Bytes>, script: &Script) {
    if let Finish::ResetAtOnce(reason) = script.finish {
        return respond.send_reset(reason);
    }
    let bare = script.chunks.is_empty() && matches!(script.finish, Finish::EndStream);
    let Ok(mut answer) = respond.send_response(script.response(), bare) else { return };
    let last = script.chunks.len().saturating_sub(1);
    for (at, chunk) in script.chunks.iter().enumerate() {
        let end = at == last && matches!(script.finish, Finish::EndStream);
        let _ = answer.send_data(chunk.clone(), end);
    }
    match &script.finish {
        Finish::Trailers(trailers) => drop(answer.send_trailers(map(trailers))),
        Finish::Reset(reason) => {
            // a reset throws away what is not written
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            answer.send_reset(*reason);
        }
        Finish::EndStream | Finish::ResetAtOnce(_) => {}
    }
}
