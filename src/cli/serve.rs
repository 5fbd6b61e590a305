//! `transom serve`: settle the configuration, then run the edge by it.

use std::process::ExitCode;
use std::sync::Arc;

use super::flags::ServeFlags;
use super::{operator, report};
use crate::catalog::Mistake;
use crate::config::{self, Origin, Settled};
use crate::observe::Meters;
use crate::policy::cors::Cors;
use crate::proxy::{Handler, Page, Tables};
use crate::reflect::{Book, Look};
use crate::server::{self, Load, Loaded, RunError, Running, Spot, Start};
use crate::upstream::{Clusters, Pool};

pub(super) const EXAMPLES: &str = "\
Examples:
  transom serve --upstream h2c://127.0.0.1:50051 --proto-path protos
  transom serve transom.yaml --listen [::]:8443 --tls-cert cert.pem --tls-key key.pem

Keys of the configuration: transom check --keys. SIGHUP reloads, SIGTERM drains.
TRANSOM_LOG sets what is logged, as in TRANSOM_LOG=info,transom::access=info for a line per call.";

pub(super) fn run(flags: ServeFlags) -> ExitCode {
    report::start_log();
    let origin = flags.origin();
    let settled = match origin.load() {
        Ok(settled) => settled,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let start = start(&settled);
    let book = Book::new(Arc::clone(&start.meters));
    let load = load(origin, &book, None, &start.meters);
    ended(server::run(start, load, handler, |running| follow(&book, running)))
}

/// What is fixed for the life of the process.
pub(super) fn start(settled: &Settled) -> Start {
    Start {
        listeners: settled.listeners.clone(),
        admin: settled.admin,
        workers: settled.workers.unwrap_or(0),
        drain_timeout: settled.drain_timeout,
        meters: Meters::new(report::logs_calls()),
    }
}

/// What every generation is made of, read anew by each reload. `meters` learn of the clusters.
pub(super) fn load(
    origin: Origin,
    book: &Arc<Book>,
    pages: Option<fn(&str) -> Option<Page>>,
    meters: &Arc<Meters>,
) -> Load<Tables> {
    let known = Arc::new(Clusters::default());
    meters.ask_of_upstreams(Arc::<Clusters>::clone(&known));
    let meters = Arc::clone(meters);
    let book = Arc::clone(book);
    Box::new(move || generation(&origin, &known, &book, pages, &meters))
}

/// Lets upstreams be asked again for what they are, and a change of that reload. Without a thread for it, what they said
/// at the start stays until somebody reloads.
pub(super) fn follow(book: &Arc<Book>, running: &Running) {
    let reloading = running.reloading();
    if let Err(error) = book.follow(move || reloading.soon()) {
        tracing::error!(%error, "upstreams are not asked again for their descriptors; SIGHUP still does");
    }
}

fn generation(
    origin: &Origin,
    known: &Clusters,
    book: &Arc<Book>,
    pages: Option<fn(&str) -> Option<Page>>,
    meters: &Meters,
) -> Result<Loaded<Tables>, Vec<Mistake>> {
    let mut settled = origin.load()?;
    report::warn(&book.fill(&settled.reflections, &mut settled.catalogs, Look::Serve)?);
    let complete = config::complete(&settled.catalogs)?;
    report::warn(&complete.warnings);
    let cors = settled.cors.as_ref().and_then(Cors::new);
    let tables = Tables::new(complete.catalogs, complete.table, &settled.clusters, known, cors, pages)?;
    let tables = tables.with_routes(&settled.routes, &settled.clusters, known, meters)?;
    let mut watch = settled.files;
    watch.extend(complete.watched);
    Ok(Loaded { tables, watch, about: Some(operator::about(settled.catalogs, settled.openapi, Arc::clone(book))) })
}

/// A worker's handler, with a pool of its own.
pub(super) fn handler(spot: Spot<Tables>) -> Arc<Handler> {
    let pool = Pool::of_worker(Arc::clone(&spot.meters), spot.worker, spot.workers);
    Arc::new(Handler::new(spot.tables, pool, spot.meters))
}

pub(super) fn ended(outcome: Result<(), RunError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(RunError::Mistakes(mistakes)) => report::refused(&mistakes),
        Err(error) => report::failed(error),
    }
}
