//! `transom check`: everything that can be known before running.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::flags::ServeFlags;
use super::{REFUSED, catalogs, report};
use crate::catalog::{Catalog, GuardMode, MessageId, Method, Mistake};
use crate::config::{self, Complete, Settled};
use crate::describe::{self, Finding, LINTS};
use crate::listen;
use crate::proxy::FieldKeys;
use crate::route::{RouteTold, Targets};
use crate::upstream::EndpointSettings;
use crate::wire::closest;

pub(super) const EXAMPLES: &str = "\
Examples:
  transom check transom.yaml
  transom check --proto-path protos --deny-warnings --allow field-out-of-reach
  transom check transom.yaml --format sarif >check.sarif
  transom check --keys                 every key, its default and what it is for
  transom check --lints                every lint and what it is about";

#[derive(Debug, Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    serve: ServeFlags,

    /// Print every key of the configuration, its default and what it is for
    #[arg(long)]
    keys: bool,

    /// Print the name of every lint and what it is about
    #[arg(long)]
    lints: bool,

    /// How to tell what was found
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// Warnings and lints fail the check as mistakes do
    #[arg(long)]
    deny_warnings: bool,

    /// Lint that is not told, by its name, repeatable
    #[arg(long, value_name = "LINT")]
    allow: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people: file:line:column, what, and a hint
    Text,
    /// {"findings": [...]}
    Json,
    /// SARIF 2.1.0, as code hosts read it
    Sarif,
}

pub(super) fn run(mut flags: CheckFlags) -> ExitCode {
    if flags.keys {
        return report::print(&config::reference());
    }
    if flags.lints {
        return report::print(&LINTS.map(|(id, about)| format!("{id:<24}{about}\n")).concat());
    }
    if let Some(unknown) = flags.allow.iter().find(|id| LINTS.iter().all(|(known, _)| known != id)) {
        let mut mistake = Mistake::new(format!("--allow: there is no lint {unknown:?}"));
        let meant = closest(unknown, LINTS.iter().map(|(id, _)| *id));
        mistake.hint =
            Some(meant.map_or("see `transom check --lints`".into(), |meant| format!("did you mean {meant:?}?")));
        return report::refused(&[mistake]);
    }
    let mut origin = std::mem::take(&mut flags.serve).origin();
    if origin.file.is_none() {
        // flags alone: a catalog may be checked before there is an upstream
        origin.purpose = config::Purpose::Describe;
    }
    let config::Checked { settled, mut mistakes } = origin.check();
    let Some(mut settled) = settled else { return flags.refused(mistakes) };
    match catalogs::complete(&mut settled) {
        Ok(complete) => {
            mistakes.extend(FieldKeys::resolve(&settled.clusters, &complete.catalogs).err().into_iter().flatten());
            match Targets::resolve(&settled.routes, &complete.catalogs) {
                Ok(targets) if mistakes.is_empty() => flags.passed(&settled, &complete, &targets),
                targets => {
                    mistakes.extend(targets.err().into_iter().flatten());
                    flags.refused(config::sorted(mistakes))
                }
            }
        }
        Err(more) => {
            mistakes.extend(more);
            flags.refused(config::sorted(mistakes))
        }
    }
}

// === impl CheckFlags ===

impl CheckFlags {
    fn refused(&self, mistakes: Vec<Mistake>) -> ExitCode {
        if self.format == Format::Text {
            return report::refused(&mistakes);
        }
        let findings: Vec<Finding> = mistakes.into_iter().map(Finding::mistake).collect();
        self.print(&findings);
        ExitCode::from(REFUSED)
    }

    /// Without mistakes; there may be warnings.
    fn passed(&self, settled: &Settled, complete: &Complete, targets: &Targets) -> ExitCode {
        let lints = describe::lints(&complete.catalogs, &complete.table);
        let told = lints.into_iter().filter(|lint| self.allow.iter().all(|id| id != lint.id));
        let findings: Vec<Finding> = complete.warnings.iter().cloned().map(Finding::warning).chain(told).collect();
        let denied = self.deny_warnings && !findings.is_empty();
        if self.format != Format::Text {
            self.print(&findings);
        } else {
            for finding in &findings {
                let id = if LINTS.iter().any(|(id, _)| *id == finding.id) {
                    format!(" [{}]", finding.id)
                } else {
                    String::new()
                };
                eprintln!("warning: {}{id}", finding.mistake);
            }
            if denied {
                match findings.len() {
                    1 => eprintln!("1 warning, and warnings are denied"),
                    count => eprintln!("{count} warnings, and warnings are denied"),
                }
            } else {
                report::print(&summary(settled, complete, targets));
            }
        }
        if denied { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS }
    }

    fn print(&self, findings: &[Finding]) {
        let document = match self.format {
            Format::Sarif => describe::findings_sarif(findings),
            Format::Json | Format::Text => describe::findings_json(findings),
        };
        report::print(&format!("{document:#}\n"));
    }
}

/// What would run, in a few lines.
fn summary(settled: &Settled, complete: &Complete, targets: &Targets) -> String {
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
    for route in targets.rules.iter().map(|resolved| RouteTold::new(resolved)) {
        let _ =
            writeln!(out, "  route {}: {}{} -> {}", route.name, route.matches.join(", "), route.asks(), route.target());
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

pub(super) fn url(endpoint: &EndpointSettings) -> String {
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
