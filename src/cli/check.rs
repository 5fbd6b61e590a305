//! `transom check`: everything that can be known before running.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;

use super::flags::ServeFlags;
use super::report;
use crate::config::{self, Listener, Settled};

pub(super) const EXAMPLES: &str = "\
Examples:
  transom check transom.yaml
  transom check --proto-path protos
  transom check --keys                 every key, its default and what it is for";

#[derive(Debug, Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    serve: ServeFlags,

    /// Print every key of the configuration, its default and what it is for
    #[arg(long)]
    keys: bool,
}

pub(super) fn run(flags: CheckFlags) -> ExitCode {
    if flags.keys {
        return print(&config::reference());
    }
    let mut origin = flags.serve.origin();
    if origin.file.is_none() {
        // flags alone: a catalog may be checked before there is an upstream
        origin.purpose = config::Purpose::Describe;
    }
    match origin.load() {
        Ok(settled) => print(&summary(&settled)),
        Err(mistakes) => report::refused(&mistakes),
    }
}

/// To standard output; a reader that has gone away is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// What would run, in a few lines.
fn summary(settled: &Settled) -> String {
    let mut out = String::from("no mistakes\n");
    // writing to a String cannot fail
    for listener in &settled.listeners {
        let _ = writeln!(out, "listener {} {}", listener.address, security(listener));
    }
    if let Some(admin) = settled.admin {
        let _ = writeln!(out, "admin {admin}");
    }
    for cluster in &settled.clusters {
        let endpoints: Vec<String> = cluster.endpoints.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "cluster {} {}", cluster.name, endpoints.join(" "));
    }
    for catalog in &settled.catalogs {
        let _ = writeln!(out, "catalog {} -> cluster {}", catalog.name, catalog.cluster);
    }
    out
}

fn security(listener: &Listener) -> String {
    let Some(tls) = &listener.tls else { return "clear text".into() };
    let mut text = String::from("TLS");
    if !tls.sni.is_empty() {
        let _ = write!(text, ", {} more certificates by name", tls.sni.len());
    }
    if tls.client_ca.is_some() {
        text.push_str(", callers must show a certificate");
    }
    if tls.plaintext_also {
        text.push_str(", and clear text");
    }
    text
}
