//! The operator's door: `/healthz` (the process lives), `/readyz` (it takes calls), `/metrics`, `/clusters` (how upstreams
//! stand; `/clusters.txt` for eyes), and pages about the
//! generation in force, as whoever assembles the process lays them on a [`Shelf`]. Its own listener, to be bound where
//! callers do not reach it.

use std::future::{Future, IntoFuture};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tower_http::timeout::TimeoutLayer;

use crate::observe::{self, Meters};

/// Whether callers should be sent here; what `/readyz` tells load balancers.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

/// The three words of [`Readiness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the first generation and the listeners.
    Starting,
    Ready,
    /// Calls in flight finish, new ones are not taken.
    Draining,
}

/// A page about a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub bytes: Bytes,
}

/// The pages about a generation, by their paths. They are made when somebody asks for them, which may take seconds: to be
/// called on a thread that may block.
pub type Pages = Box<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// Where the pages about the generation in force lie; empty until there is one.
#[derive(Default)]
pub struct Shelf(ArcSwapOption<Pages>);

#[derive(Clone, Debug)]
struct Desk {
    meters: Arc<Meters>,
    readiness: Arc<Readiness>,
    shelf: Arc<Shelf>,
}

/// For one request. What is still being made then is there for the next one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the operator's pages until `stop` resolves.
///
/// Errors: a socket that the runtime cannot use.
pub async fn serve(
    listener: TcpListener,
    meters: Arc<Meters>,
    readiness: Arc<Readiness>,
    shelf: Arc<Shelf>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router(meters, readiness, shelf)).with_graceful_shutdown(stop).into_future().await
}

/// The operator's pages.
pub fn router(meters: Arc<Meters>, readiness: Arc<Readiness>, shelf: Arc<Shelf>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/clusters", get(clusters))
        .route("/clusters.txt", get(clusters_as_text))
        .fallback(get(page))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .with_state(Desk { meters, readiness, shelf })
}

async fn ready(State(desk): State<Desk>) -> (StatusCode, &'static str) {
    match desk.readiness.stage() {
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Stage::Ready => (StatusCode::OK, "ready\n"),
        Stage::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(desk): State<Desk>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, observe::EXPOSITION_TYPE)], observe::exposition(&desk.meters))
}

async fn clusters(State(desk): State<Desk>) -> impl IntoResponse {
    let text = serde_json::to_string_pretty(&desk.meters.upstreams()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text)
}

async fn clusters_as_text(State(desk): State<Desk>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], observe::upstreams_as_text(&desk.meters.upstreams()))
}

/// A page about the generation, from the shelf.
async fn page(State(desk): State<Desk>, uri: Uri) -> Response {
    let found = tokio::task::spawn_blocking(move || desk.shelf.find(uri.path())).await;
    match found {
        Ok(Some(page)) => ([(header::CONTENT_TYPE, page.content_type)], page.bytes).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "nothing is here\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

// === impl Shelf ===

impl Shelf {
    /// Lays out the pages of a new generation in place of the old one's.
    pub fn lay(&self, pages: Option<Pages>) {
        self.0.store(pages.map(Arc::new));
    }

    /// The page at this path. May block for as long as it takes to make it.
    pub fn find(&self, path: &str) -> Option<Page> {
        let pages = self.0.load_full()?;
        pages(path)
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

// === impl Readiness ===

impl Readiness {
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Draining,
        }
    }
}
