//! `transom routes`: what the edge would answer to.

use std::process::ExitCode;

use clap::Args;

use super::flags::CatalogFlags;
use super::report;
use crate::{config, describe};

#[derive(Debug, Args)]
pub(super) struct RoutesFlags {
    #[command(flatten)]
    catalog: CatalogFlags,

    /// Print JSON, an array of routes, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: RoutesFlags) -> ExitCode {
    let complete = match flags.catalog.origin().load().and_then(|settled| config::complete(&settled.catalogs)) {
        Ok(complete) => complete,
        Err(mistakes) => return report::refused(&mistakes),
    };
    report::warn(&complete.warnings);
    let lines = describe::routes(&complete.catalogs, &complete.table);
    match flags.json {
        true => report::print(&describe::routes_json(&lines)),
        false => report::print(&describe::routes_text(&lines)),
    }
}
