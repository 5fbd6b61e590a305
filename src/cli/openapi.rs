//! `transom openapi`: the REST side of the catalogs as OpenAPI 3.1.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::flags::CatalogFlags;
use super::{catalogs, report};
use crate::catalog::{Catalog, Notes, Source};
use crate::describe::{self, OpenapiOptions};

pub(super) const EXAMPLES: &str = "\
Examples:
  transom openapi --proto-path protos >openapi.json
  transom openapi transom.yaml --format yaml --server https://api.example

A variable of several segments is a path parameter for each of its wildcards: {name=shelves/*/books/*} becomes
shelves/{shelf}/books/{book}. What OpenAPI cannot say is listed under x-transom-omitted, with the reason.";

#[derive(Debug, Args)]
pub(super) struct OpenapiFlags {
    #[command(flatten)]
    catalog: CatalogFlags,

    /// How to write the document
    #[arg(long, value_enum, default_value = "json")]
    format: Format,

    /// URL under which callers reach the edge, repeatable [default: where the document comes from]
    #[arg(long, value_name = "URL")]
    server: Vec<String>,

    /// List method paths (POST /pkg.Service/Method) as well
    #[arg(long)]
    include_methods: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

pub(super) fn run(flags: OpenapiFlags) -> ExitCode {
    let (settled, complete) = match catalogs::load(&flags.catalog.origin()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return report::refused(&mistakes),
    };
    report::warn(&complete.warnings);
    let mut options = OpenapiOptions { methods: flags.include_methods, ..settled.openapi };
    if !flags.server.is_empty() {
        options.servers = flags.server;
    }
    let notes = notes(&settled.catalogs, &complete.catalogs);
    let document = describe::openapi(&complete.catalogs, &complete.table, &notes, &options);
    match flags.format {
        Format::Json => report::print(&format!("{document:#}\n")),
        Format::Yaml => report::print(&describe::to_yaml(&document)),
    }
}

/// What is written beside the parts of these catalogs, which were loaded from these sources.
pub(super) fn notes(sources: &[Source], catalogs: &[Arc<Catalog>]) -> Vec<Arc<Notes>> {
    let pairs = sources.iter().zip(catalogs);
    pairs.map(|(source, catalog)| Arc::new(Notes::read(source, catalog))).collect()
}
