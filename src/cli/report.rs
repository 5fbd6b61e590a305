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

/// A text that may have words of a peer in it as one line that a terminal only shows: what would move its cursor, change
/// its colours or turn the direction of the text stands there as in `{:?}`, all else as it is.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // marks, separators and directions that are no control characters to Unicode, but to a reader
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                line.extend(char.escape_unicode());
            }
            _ if char.is_control() => line.extend(char.escape_debug()),
            _ => line.push(char),
        }
    }
    line
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_controls_a_terminal_or_hides() {
        assert_eq!(one_line("\x1b[2J\r\n\t\0\x7f\u{9b}31m"), "\\u{1b}[2J\\r\\n\\t\\0\\u{7f}\\u{9b}31m");
        assert_eq!(one_line("a\u{202e}b\u{2066}c\u{200b}d\u{feff}"), "a\\u{202e}b\\u{2066}c\\u{200b}d\\u{feff}");
        let plain = "must match `^\\d+$`: \"é\", 'e\u{301}', 日本 \u{1f600}";
        assert_eq!(one_line(plain), plain);
    }
}
