//! A sample of the requests over real sockets: HTTP/2 to an edge, and gRPC from there to an upstream that keeps what it is
//! asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use prost_reflect::{DynamicMessage, ReflectMessage};
use tokio::net::{TcpListener, TcpStream};
use transom::catalog::Catalog;
use transom::listen;
use transom::observe::Meters;
use transom::proxy::{Handler, Tables};
use transom::route::Table;
use transom::server::{self, Loaded, Spot, Start};
use transom::upstream::{ClusterSettings, Clusters, EndpointSettings, Pool};

use crate::synthesis::Request;

/// No request takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Case {
    pub name: String,
    pub host: Option<String>,
    pub request: Request,
    /// The path that the upstream has to be called by.
    pub called: String,
}

/// The last call that the upstream heard: its path and its message.
type Heard = Arc<Mutex<Option<(String, Vec<u8>)>>>;

/// Asks all, one after the other. Returns what went wrong.
pub fn ask_all(catalogs: &[Arc<Catalog>], cases: Vec<Case>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let heard = Heard::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, Arc::clone(&heard)));
        let edge = edge(catalogs, &format!("h2c://{upstream}")).await;
        let socket = TcpStream::connect(edge.addresses()[0]).await.expect("an edge");
        let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut wrong = Vec::new();
        for case in cases {
            heard.lock().expect("no panic").take();
            let asked = tokio::time::timeout(PATIENCE, ask(client.clone(), &case)).await;
            let told = match asked.unwrap_or_else(|_| Err("no answer in time".into())) {
                Ok(()) => compare(&case, heard.lock().expect("no panic").take()),
                Err(text) => Err(text),
            };
            wrong.extend(told.err().map(|text| format!("{}: {text}", case.name)));
        }
        wrong
    })
}

/// Runs this beside an edge, whose address it is given, before an upstream that answers.
#[allow(dead_code)] // `tests/rest.rs` needs it
pub fn with_edge(catalogs: &[Arc<Catalog>], ask: impl FnOnce(std::net::SocketAddr) + Send) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (edge, upstream) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = listener.local_addr().expect("an address");
        let task = tokio::spawn(serve(listener, Heard::default()));
        (edge(catalogs, &format!("h2c://{upstream}")).await, task)
    });
    let address = edge.addresses()[0];
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(address));
        runtime.block_on(async {
            while !asking.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        upstream.abort();
        if let Err(panic) = asking.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

async fn edge(catalogs: &[Arc<Catalog>], upstream: &str) -> server::Running {
    let meters = Meters::new(false);
    let begin = Start {
        listeners: vec![listen::Settings::new(([127, 0, 0, 1], 0).into())],
        admin: None,
        workers: 1,
        drain_timeout: Duration::from_secs(1),
        meters,
    };
    let endpoint: EndpointSettings = EndpointSettings::parse(upstream).expect("an endpoint");
    let clusters = [ClusterSettings::new("upstream", vec![endpoint])];
    let (catalogs, known) = (catalogs.to_vec(), Clusters::default());
    let load = Box::new(move || {
        let (table, _) = Table::build(&catalogs)?;
        let tables = Tables::new(catalogs.clone(), table, &clusters, &known, None, None)?;
        Ok(Loaded::new(tables, Vec::new()))
    });
    let build = |spot: Spot<Tables>| {
        let pool = Pool::new(Arc::clone(&spot.meters));
        Arc::new(Handler::new(spot.tables, pool, spot.meters))
    };
    server::start(begin, load, build).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn ask(client: h2::client::SendRequest<Bytes>, case: &Case) -> Result<(), String> {
    let Request { verb, path, query, body, .. } = &case.request;
    let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let host = case.host.as_deref().unwrap_or("edge.example");
    let request = http::Request::builder()
        .method(verb)
        .uri(format!("http://{host}{path}{query}"))
        .header("content-type", "application/json")
        .body(())
        .map_err(|error| error.to_string())?;
    let mut client = client.ready().await.map_err(|error| error.to_string())?;
    let (response, mut stream) = client.send_request(request, body.is_none()).map_err(|error| error.to_string())?;
    if let Some(body) = body {
        stream.send_data(Bytes::copy_from_slice(body), true).map_err(|error| error.to_string())?;
    }
    let (head, mut body) = response.await.map_err(|error| error.to_string())?.into_parts();
    let mut text = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| error.to_string())?;
        let _ = body.flow_control().release_capacity(chunk.len());
        text.extend_from_slice(&chunk);
    }
    match head.status.as_u16() {
        200 => Ok(()),
        code => Err(format!("{verb} {path}{query}: HTTP {code}: {}", String::from_utf8_lossy(&text))),
    }
}

fn compare(case: &Case, heard: Option<(String, Vec<u8>)>) -> Result<(), String> {
    let Some((path, body)) = heard else { return Err("the upstream heard nothing".into()) };
    if path != case.called {
        return Err(format!("went to {path}"));
    }
    // a frame: five bytes in front
    let message = body.get(5..).and_then(|wire| {
        let decoded = DynamicMessage::decode(case.request.message.descriptor(), wire);
        decoded.ok()
    });
    match message {
        Some(message) if message == case.request.message => Ok(()),
        Some(message) => Err(format!("is {message}, not {}", case.request.message)),
        None => Err("is no message".into()),
    }
}

/// Answers every call with an empty message.
async fn serve(listener: TcpListener, heard: Heard) {
    while let Ok((socket, _)) = listener.accept().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let Ok(mut http2) = h2::server::handshake(socket).await else { return };
            while let Some(Ok((request, respond))) = http2.accept().await {
                tokio::spawn(answer(request, respond, Arc::clone(&heard)));
            }
        });
    }
}

async fn answer(request: http::Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>, heard: Heard) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    *heard.lock().expect("no panic") = Some((head.uri.path().to_owned(), body));
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let Ok(mut answer) = respond.send_response(response, false) else { return };
    let _ = answer.send_data(Bytes::from_static(&[0; 5]), false);
    let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let _ = answer.send_trailers(HeaderMap::from_iter([status]));
}
