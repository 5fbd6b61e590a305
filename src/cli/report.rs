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
