//! `transom routes`: what the edge would answer to.

use std::process::ExitCode;

use clap::Args;

use super::flags::CatalogFlags;
use super::{catalogs, report};
use crate::describe;
use crate::route::Targets;

#[derive(Debug, Args)]
pub(super) struct RoutesFlags {
    #[command(flatten)]
    catalog: CatalogFlags,

    /// Print JSON, an array of routes, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: RoutesFlags) -> ExitCode {
    let loaded = catalogs::load(&flags.catalog.origin()).and_then(|(settled, complete)| {
        let targets = Targets::resolve(&settled.routes, &complete.catalogs)?;
        Ok((complete, targets))
    });
    let (complete, targets) = match loaded {
        Ok(loaded) => loaded,
        Err(mistakes) => return report::refused(&mistakes),
    };
    report::warn(&complete.warnings);
    let lines = describe::routes(&complete.catalogs, &complete.table);
    let lines = describe::with_targets(lines, &complete.table, &targets);
    match flags.json {
        true => report::print(&describe::routes_json(&lines)),
        false => report::print(&(describe::routes_text(&lines) + &describe::targets_text(&targets))),
    }
}
