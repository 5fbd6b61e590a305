//! `transom check`: everything that can be known before running.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;

use super::flags::ServeFlags;
use super::report;
use crate::catalog::{Catalog, GuardMode, MessageId, Method};
use crate::config::{self, Complete, Settled};
use crate::listen;
use crate::upstream::EndpointSettings;

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
        return report::print(&config::reference());
    }
    let mut origin = flags.serve.origin();
    if origin.file.is_none() {
        // flags alone: a catalog may be checked before there is an upstream
        origin.purpose = config::Purpose::Describe;
    }
    let config::Checked { settled, mut mistakes } = origin.check();
    let Some(settled) = settled else { return report::refused(&mistakes) };
    match config::complete(&settled.catalogs) {
        Ok(complete) if mistakes.is_empty() => {
            report::warn(&complete.warnings);
            report::print(&summary(&settled, &complete))
        }
        Ok(_) => report::refused(&mistakes),
        Err(more) => {
            mistakes.extend(more);
            report::refused(&config::sorted(mistakes))
        }
    }
}

/// What would run, in a few lines.
fn summary(settled: &Settled, complete: &Complete) -> String {
    let mut out = String::from("no mistakes\n");
    // writing to a String cannot fail
    for listener in &settled.listeners {
        let _ = writeln!(out, "  listener {}: {}", listener.address, security(listener));
    }
    if let Some(admin) = settled.admin {
        let _ = writeln!(out, "  admin {admin}");
    }
    for cluster in settled.clusters.iter().filter(|cluster| !cluster.endpoints.is_empty()) {
        let endpoints: Vec<String> = cluster.endpoints.iter().map(url).collect();
        let _ = writeln!(out, "  cluster {}: {}", cluster.name, endpoints.join(", "));
    }
    for catalog in &complete.catalogs {
        let _ = writeln!(out, "  catalog {}: {} -> cluster {}", catalog.name, contents(catalog), catalog.cluster);
        let requests = held_to_rules(catalog, "requests", |method| (method.input, method.settings.validate_requests));
        let answers = held_to_rules(catalog, "answers", |method| (method.output, method.settings.validate_responses));
        let held: Vec<String> = [requests, answers].into_iter().flatten().collect();
        if !held.is_empty() {
            let _ = writeln!(out, "    rules of buf.validate: {}", held.join("; "));
        }
    }
    out
}

/// The methods whose messages have rules, and what comes of breaking them: `requests of 3 methods (1 off, 2 enforce)`.
fn held_to_rules(catalog: &Catalog, what: &str, of: impl Fn(&Method) -> (MessageId, GuardMode)) -> Option<String> {
    let with_rules = catalog.methods.iter().map(of).filter(|(id, _)| catalog.schema.has_rules(*id));
    let modes: Vec<GuardMode> = with_rules.map(|(_, mode)| mode).collect();
    let count = |mode: GuardMode| modes.iter().filter(|one| **one == mode).count();
    let counts: Vec<_> = GuardMode::ALL.map(|mode| (count(mode), mode.as_str())).into_iter().collect();
    let told: Vec<String> = match counts.iter().find(|(count, _)| *count == modes.len()) {
        Some((_, mode)) => vec![(*mode).to_owned()],
        None => counts.iter().filter(|(count, _)| *count > 0).map(|(count, mode)| format!("{count} {mode}")).collect(),
    };
    let methods = if modes.len() == 1 { "method" } else { "methods" };
    (!modes.is_empty()).then(|| format!("{what} of {} {methods} ({})", modes.len(), told.join(", ")))
}

fn contents(catalog: &Catalog) -> String {
    let bindings = catalog.methods.iter().map(|method| method.bindings.len()).sum();
    let parts = [(catalog.services.len(), "service"), (catalog.methods.len(), "method"), (bindings, "binding")];
    parts.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" })).join(", ")
}

fn url(endpoint: &EndpointSettings) -> String {
    format!("{}://{}", if endpoint.tls { "h2s" } else { "h2c" }, endpoint.label())
}

fn security(listener: &listen::Settings) -> String {
    let Some(tls) = &listener.tls else { return "clear text".into() };
    let mut text = String::from("TLS");
    match tls.sni.len() {
        0 => {}
        1 => text.push_str(", one more certificate by name"),
        more => drop(write!(text, ", {more} more certificates by name")),
    }
    if tls.client_ca.is_some() {
        text.push_str(", callers must show a certificate");
    }
    if listener.plaintext_also {
        text.push_str(", and clear text");
    }
    text
}
