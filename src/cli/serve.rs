//! `transom serve`: settle the configuration, then run the edge by it.

use std::process::ExitCode;

use super::flags::ServeFlags;
use super::report;

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
    // ASSEMBLY: `crate::server` runs `settled`, and calls `origin.load()` again for a reload.
    drop(settled);
    report::failed("this build has no server yet")
}
