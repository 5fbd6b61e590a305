//! How mistakes and failures are told.

use std::process::ExitCode;

use super::{FAILED, REFUSED};
use crate::catalog::Mistake;

/// Tells every mistake and how many there are; for verbs that can't go on.
pub(super) fn refused(mistakes: &[Mistake]) -> ExitCode {
    for mistake in mistakes {
        eprintln!("{mistake}");
    }
    match mistakes.len() {
        1 => eprintln!("1 mistake"),
        count => eprintln!("{count} mistakes"),
    }
    ExitCode::from(REFUSED)
}

/// Tells why a run ended.
pub(super) fn failed(reason: impl std::fmt::Display) -> ExitCode {
    eprintln!("transom: {reason}");
    ExitCode::from(FAILED)
}

/// Tells what deserves a word but stops nothing.
pub(super) fn warn(warnings: &[Mistake]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// To standard output; a reader that has gone away is no failure.
pub(super) fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Starts the log on standard error. `TRANSOM_LOG` says what is in it; the line per call is off unless it is asked for.
pub(super) fn start_log() {
    use tracing_subscriber::filter::EnvFilter;
    let filter = EnvFilter::try_from_env("TRANSOM_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,transom=info,transom::access=off"));
    // a second start in one process keeps the first one's log
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Whether the log wants a line per call.
pub(super) fn logs_calls() -> bool {
    tracing::enabled!(target: "transom::access", tracing::Level::INFO)
}
