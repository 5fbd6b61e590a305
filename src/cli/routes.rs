//! `transom routes`: what the edge would answer to.

use std::process::ExitCode;

use super::flags::CatalogFlags;
use super::report;

pub(super) fn run(flags: CatalogFlags) -> ExitCode {
    let settled = match flags.origin().load() {
        Ok(settled) => settled,
        Err(mistakes) => return report::refused(&mistakes),
    };
    // ASSEMBLY: `catalog::load` and `describe::routes` print here.
    drop(settled);
    report::failed("this build has no routes yet")
}
