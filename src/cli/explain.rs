//! `transom explain METHOD URL`: what becomes of a request, without an upstream.
//!
//! The request goes through the corridor as if a caller had sent it, to an upstream of our own that only takes notes
//! (`notes_taker`): what is shown is what happens.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use clap::Args;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use http_body::Body as _;

use super::flags::CatalogFlags;
use super::notes_taker::NotesTaker;
use super::{FAILED, catalogs, report};
use crate::call::{Connection, Head, Inbound};
use crate::catalog::Mistake;
use crate::config::{self, Settled};
use crate::describe::{self, Asked, Outcome, Told, Upstream};
use crate::observe::Meters;
use crate::policy::cors::Cors;
use crate::proxy::{Body, Handler, Tables};
use crate::upstream::{ClusterSettings, Clusters, EndpointSettings, Pool};

pub(super) const EXAMPLES: &str = "\
Examples:
  transom explain GET '/v1/shelves/1/books?page_size=2' --proto-path protos
  transom explain POST https://books.example/v1/shelves transom.yaml --body '{\"theme\": \"Poetry\"}'
  transom explain PATCH /v1/shelves/1 transom.yaml --body @change.json --header 'authorization: Bearer x' --json";

#[derive(Debug, Args)]
pub(super) struct ExplainFlags {
    /// HTTP method, as in GET
    #[arg(value_name = "METHOD")]
    verb: String,

    /// URL, or its path with the query; the host of a whole URL counts
    #[arg(value_name = "URL")]
    url: String,

    #[command(flatten)]
    catalog: CatalogFlags,

    /// Body of the request, or @FILE, or @- for the standard input; JSON unless a header says otherwise
    #[arg(long, value_name = "JSON|@FILE")]
    body: Option<String>,

    /// Header field of the request, repeatable
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,

    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What is asked about, read and whole.
struct Request {
    verb: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// The longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(flags: ExplainFlags) -> ExitCode {
    let ExplainFlags { verb, url, catalog, body, header, json } = flags;
    let request = match Request::read(&verb, &url, body.as_deref(), &header) {
        Ok(request) => request,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let (settled, complete) = match catalogs::load(&catalog.origin()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return report::refused(&mistakes),
    };
    report::warn(&complete.warnings);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::failed(error),
    };
    let carried = runtime.block_on(carry(&settled, complete, &request));
    // connections of the pool end with the runtime
    runtime.shutdown_background();
    match carried {
        Ok((tables, outcome)) => report::print(&shown(&settled, &tables, &request, &outcome, json)),
        Err(Failure::Mistakes(mistakes)) => report::refused(&mistakes),
        Err(Failure::Other(text)) => {
            eprintln!("transom: {text}");
            ExitCode::from(FAILED)
        }
    }
}

enum Failure {
    Mistakes(Vec<Mistake>),
    Other(String),
}

/// Lets the corridor carry the request to the notes taker.
async fn carry(
    settled: &Settled,
    complete: config::Complete,
    request: &Request,
) -> Result<(Arc<Tables>, Outcome), Failure> {
    let other = |error: std::io::Error| Failure::Other(error.to_string());
    let taker = NotesTaker::start().await.map_err(other)?;
    let clusters: Vec<ClusterSettings> = settled.clusters.iter().map(|cluster| to_taker(cluster, &taker)).collect();
    let cors = settled.cors.as_ref().and_then(Cors::new);
    let known = Clusters::default();
    let tables =
        Tables::new(complete.catalogs, complete.table, &clusters, &known, cors, None).map_err(Failure::Mistakes)?;
    let meters = Meters::new(false);
    let tables = tables.with_routes(&settled.routes, &clusters, &known, &meters).map_err(Failure::Mistakes)?;
    let tables = Arc::new(tables);
    let shared = Arc::new(ArcSwap::new(Arc::clone(&tables)));
    let handler = Arc::new(Handler::new(shared, Pool::new(Arc::clone(&meters)), Arc::clone(&meters)));
    let told = async {
        let response = handler.open(request.head(), request.inbound()).await;
        told(response).await
    };
    let late = |_| Failure::Other("the request was not carried in time".into());
    let told = tokio::time::timeout(PATIENCE, told).await.map_err(late)?;
    let mut outcome = Outcome { carried: taker.notes(), ..Outcome::default() };
    // what the notes taker answers is nobody's business
    outcome.told = Some(told).filter(|_| !taker.heard_all());
    outcome.dialect = meters.dialects_heard().last().unwrap_or("unknown");
    outcome.route = taken(settled, &meters);
    Ok((tables, outcome))
}

/// The route that the only call so far has gone by, and the cluster, unless it is the catalog's own.
fn taken(settled: &Settled, meters: &Meters) -> Option<(String, Option<String>)> {
    let (labels, _) = meters.route_calls.read().into_iter().find(|(_, count)| *count > 0)?;
    let [route, cluster] = &*labels else { return None };
    Some((route.to_string(), settled.cluster(cluster).map(|known| known.name.to_string())))
}

fn to_taker(cluster: &ClusterSettings, taker: &NotesTaker) -> ClusterSettings {
    let address = taker.address();
    let endpoint = EndpointSettings::new(address.ip().to_string(), address.port(), false);
    ClusterSettings { endpoints: vec![endpoint], ..cluster.clone() }
}

async fn told(response: http::Response<Body>) -> Told {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    // an answer of the edge is whole; one that is cut has said what it can
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        match frame.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                for (name, value) in listed(&trailers) {
                    bytes.extend_from_slice(format!("{name}: {value}\n").as_bytes());
                }
            }
        }
    }
    Told {
        status: parts.status.as_u16(),
        headers: listed(&parts.headers),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Header fields as texts.
pub(super) fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn shown(settled: &Settled, tables: &Tables, request: &Request, outcome: &Outcome, json: bool) -> String {
    let asked = Asked {
        verb: &request.verb,
        host: request.uri.host().or_else(|| request.headers.get(HOST)?.to_str().ok()),
        path: request.uri.path(),
        query: request.uri.query(),
    };
    let upstream = |name: &str| {
        let cluster = settled.cluster(name);
        let endpoints = cluster.iter().flat_map(|cluster| &cluster.endpoints).map(super::check::url).collect();
        Upstream { cluster: name.to_owned(), endpoints }
    };
    let explanation = describe::explain(&tables.catalogs, &tables.routes, &asked, outcome, tables.targets(), upstream);
    match json {
        true => explanation.to_json() + "\n",
        false => explanation.to_text().lines().map(|line| report::one_line(line) + "\n").collect(),
    }
}

// === impl Request ===

impl Request {
    /// Errors: all that is wrong with it.
    fn read(verb: &str, url: &str, body: Option<&str>, headers: &[String]) -> Result<Request, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut note = |text: String, hint: &str| mistakes.push(Mistake::new(text).hint(hint));
        let method = Method::from_bytes(verb.as_bytes()).ok();
        if method.is_none() {
            note(format!("{verb:?} is no HTTP method"), "as in GET or POST");
        }
        let uri = Uri::try_from(url).ok().filter(|uri| uri.path().starts_with('/'));
        if uri.is_none() {
            note(format!("{url:?} is no URL"), "as in /v1/shelves or https://host/v1/shelves");
        }
        let mut map = HeaderMap::new();
        for header in headers {
            match parsed(header) {
                Some((name, value)) => drop(map.append(name, value)),
                None => note(format!("--header {header:?} is no header field"), "as in 'name: value'"),
            }
        }
        let bytes = match body.map(body_of) {
            None => Bytes::new(),
            Some(Ok(bytes)) => bytes,
            Some(Err(text)) => {
                note(text, "--body @FILE reads a file, --body @- the standard input");
                Bytes::new()
            }
        };
        if body.is_some() && !map.contains_key(CONTENT_TYPE) {
            map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        match (method, uri) {
            (Some(verb), Some(uri)) if mistakes.is_empty() => Ok(Request { verb, uri, headers: map, body: bytes }),
            _ => Err(mistakes),
        }
    }

    /// As a door would have read it, over HTTP/2.
    fn head(&self) -> Head {
        let mut request = http::Request::new(());
        *request.method_mut() = self.verb.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        let (parts, ()) = request.into_parts();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        Head::new(parts, Arc::new(Connection { peer: nobody, local: nobody, tls: None }))
    }

    fn inbound(&self) -> Inbound {
        if self.body.is_empty() { Inbound::Done } else { Inbound::Whole(self.body.clone()) }
    }
}

fn parsed(header: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = header.split_once(':')?;
    Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::from_str(value.trim()).ok()?))
}

fn body_of(written: &str) -> Result<Bytes, String> {
    let Some(file) = written.strip_prefix('@') else { return Ok(Bytes::copy_from_slice(written.as_bytes())) };
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        file => std::fs::read(PathBuf::from(file)),
    };
    read.map(Bytes::from).map_err(|error| format!("--body {written}: {error}"))
}
