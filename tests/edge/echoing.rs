//! An edge before an upstream that answers each call with the message that it was sent: what the edge made of a request is
//! seen in the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use serde_json::Value;
use tempfile::TempDir;

use super::support::{Answer, Ask, Edge, Transport};

/// Asks the upstream to keep the stream open behind its echo until it is cancelled.
pub const HOLD: &str = "x-hold";

/// The field of an answer that has the path by which the upstream was called.
pub const CALLED: &str = "x-called";

pub struct Echoing {
    pub edge: Edge,
    /// Streams that were cancelled while they were held open.
    pub cancelled: Arc<AtomicUsize>,
    /// Calls that the upstream has heard of.
    pub calls: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
    _protos: TempDir,
}

// === impl Echoing ===

impl Echoing {
    /// `proto` is the text of a file; `catalog` are more lines of its entry in the configuration, `more` is added to the
    /// whole of that.
    pub async fn start(proto: &str, catalog: &str, more: &str) -> Echoing {
        let (cancelled, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = listener.local_addr().expect("an address");
        let task = tokio::spawn(serve(listener, Arc::clone(&cancelled), Arc::clone(&calls)));
        let protos = TempDir::new().expect("a folder");
        std::fs::write(protos.path().join("echoed.proto"), proto).expect("a file");
        let catalog: String = catalog.lines().map(|line| format!("    {line}\n")).collect();
        let edge = Edge::by(&format!(
            "listeners: [{{address: \"127.0.0.1:0\"}}, {{address: \"127.0.0.1:0\"}}]
admin: {{address: \"127.0.0.1:0\"}}
catalogs:
  - name: echoed
    proto_paths: [{}]
    upstream: h2c://{upstream}
{catalog}{more}
",
            protos.path().display(),
        ))
        .await;
        Echoing { edge, cancelled, calls, task, _protos: protos }
    }

    pub async fn ask(&self, ask: &Ask) -> Answer {
        self.edge.ask(Transport::Http1, ask).await
    }

    /// What a request was made to, which must go well: the method's name and the message.
    #[track_caller]
    pub fn sent(&self, ask: Ask) -> impl Future<Output = (String, Value)> {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.ask(&ask).await;
            assert_eq!(answer.status, 200, "{place}: {ask:?}: {}", answer.text());
            let method = answer.header(CALLED).rsplit('/').next().unwrap_or_default().to_owned();
            (method, answer.json())
        }
    }

    /// The same of a GET, without the name.
    #[track_caller]
    pub fn got(&self, path: &str) -> impl Future<Output = Value> {
        let sent = self.sent(Ask::get(path));
        async move { sent.await.1 }
    }

    /// The field violations of a request that must be refused, as `field: description`.
    #[track_caller]
    pub fn refused(&self, ask: Ask) -> impl Future<Output = Vec<String>> {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.ask(&ask).await;
            assert_eq!(answer.status, 400, "{place}: {ask:?}: {}", answer.text());
            let error = answer.json();
            assert_eq!(error["code"], 3, "{place}: {error}");
            let detail = &error["details"][0];
            assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest", "{place}: {error}");
            let violations = detail["fieldViolations"].as_array().expect("violations").iter();
            let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
            violations.map(|one| format!("{}: {}", text(one, "field"), text(one, "description"))).collect()
        }
    }
}

impl Drop for Echoing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: tokio::net::TcpListener, cancelled: Arc<AtomicUsize>, calls: Arc<AtomicUsize>) {
    // in sets, so that connections and calls end with the task
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (cancelled, calls) = (Arc::clone(&cancelled), Arc::clone(&calls));
        connections.spawn(async move {
            let Ok(mut http2) = h2::server::handshake(socket).await else { return };
            let mut running = tokio::task::JoinSet::new();
            while let Some(Ok((request, respond))) = http2.accept().await {
                calls.fetch_add(1, Ordering::Relaxed);
                running.spawn(echo(request, respond, Arc::clone(&cancelled)));
            }
        });
    }
}

async fn echo(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, cancelled: Arc<AtomicUsize>) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let Ok(chunk) = chunk else { return };
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert(CALLED, HeaderValue::from_str(head.uri.path()).expect("a path"));
    for name in ["x-http-method-override", "x-seen"] {
        if let Some(value) = head.headers.get(name) {
            response.headers_mut().insert(HeaderName::from_static("x-seen"), value.clone());
        }
    }
    let Ok(mut answer) = respond.send_response(response, false) else { return };
    let _ = answer.send_data(body.into(), false);
    if head.headers.contains_key(HOLD) {
        let _ = std::future::poll_fn(|cx| answer.poll_reset(cx)).await;
        cancelled.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let _ = answer
        .send_trailers(HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]));
}
