//! `transom serve`: settle the configuration, then run the edge by it.

use std::process::ExitCode;

use super::flags::ServeFlags;
use super::report;
use crate::config;

pub(super) const EXAMPLES: &str = "\
Examples:
  transom serve --upstream h2c://127.0.0.1:50051 --proto-path protos
  transom serve transom.yaml --listen [::]:8443 --tls-cert cert.pem --tls-key key.pem

Keys of the configuration: transom check --keys. SIGHUP reloads, SIGTERM drains.";

pub(super) fn run(flags: ServeFlags) -> ExitCode {
    let origin = flags.origin();
    let settled = match origin.load() {
        Ok(settled) => settled,
        Err(mistakes) => return report::refused(&mistakes),
    };
    let complete = match config::complete(&settled.catalogs) {
        Ok(complete) => complete,
        Err(mistakes) => return report::refused(&mistakes),
    };
    report::warn(&complete.warnings);
    // ASSEMBLY: `crate::server` runs `settled` and `complete` from here on. For a reload it is handed a closure that
    // does both again: `move || { let settled = origin.load()?; ... }`. Files to watch: `settled.files` and
    // `complete.watched`.
    drop((origin, settled, complete));
    report::failed("this build has no server yet")
}
