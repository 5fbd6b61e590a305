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
use crate::server::{self, Load, Loaded, RunError, Spot, Start};
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
    ended(server::run(start, load(origin, None), handler, |_| {}))
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

/// What every generation is made of, read anew by each reload.
pub(super) fn load(origin: Origin, pages: Option<fn(&str) -> Option<Page>>) -> Load<Tables> {
    let known = Clusters::default();
    Box::new(move || generation(&origin, &known, pages))
}

fn generation(
    origin: &Origin,
    known: &Clusters,
    pages: Option<fn(&str) -> Option<Page>>,
) -> Result<Loaded<Tables>, Vec<Mistake>> {
    let settled = origin.load()?;
    let complete = config::complete(&settled.catalogs)?;
    report::warn(&complete.warnings);
    let cors = settled.cors.as_ref().and_then(Cors::new);
    let tables = Tables::new(complete.catalogs, complete.table, &settled.clusters, known, cors, pages)?;
    let mut watch = settled.files;
    watch.extend(complete.watched);
    Ok(Loaded { tables, watch, about: Some(operator::about(settled.catalogs, settled.openapi)) })
}

/// A worker's handler, with a pool of its own.
pub(super) fn handler(spot: Spot<Tables>) -> Arc<Handler> {
    let pool = Pool::new(Arc::clone(&spot.meters));
    Arc::new(Handler::new(spot.tables, pool, spot.meters))
}

pub(super) fn ended(outcome: Result<(), RunError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(RunError::Mistakes(mistakes)) => report::refused(&mistakes),
        Err(error) => report::failed(error),
    }
}
