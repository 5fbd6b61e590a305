//! The operator's door: `/healthz` (the process lives), `/readyz` (it takes calls), `/metrics`. Its own listener, to be
//! bound where callers do not reach it.

use std::future::{Future, IntoFuture};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
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

#[derive(Clone, Debug)]
struct Desk {
    meters: Arc<Meters>,
    readiness: Arc<Readiness>,
}

/// For one request; nothing here takes long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the operator's pages until `stop` resolves.
///
/// Errors: a socket that the runtime cannot use.
pub async fn serve(
    listener: TcpListener,
    meters: Arc<Meters>,
    readiness: Arc<Readiness>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router(meters, readiness)).with_graceful_shutdown(stop).into_future().await
}

/// The operator's pages.
pub fn router(meters: Arc<Meters>, readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .with_state(Desk { meters, readiness })
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
