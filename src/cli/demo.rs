//! `transom demo`: everything in one process, to see it work.

use std::process::ExitCode;

use clap::Args;

use super::report;

#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    /// Address to serve [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

pub(super) fn run(_flags: &DemoFlags) -> ExitCode {
    // ASSEMBLY: `crate::demo` runs here.
    report::failed("this build has no demo yet")
}
