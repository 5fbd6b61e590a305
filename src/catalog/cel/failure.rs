//! Why a message could not be judged.

use std::fmt;

/// A message could not be judged. It breaks no rule by that: the rules, or the message's size, are in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CelFailure {
    /// A rule of the message, or of one that it may hold, did not compile. Only with
    /// [`BrokenRules::Keep`](super::super::BrokenRules); else the catalog would not have loaded.
    NotCompiled(String),
    /// A rule failed over this message: an index out of bounds, a division by zero, types that do not go together.
    RunTime(String),
    /// The message would become so many values, of which at most so many are allowed.
    TooLarge { values: usize, limit: usize },
}

/// Failures quote what the peer sent; no more than this of it, in bytes.
const MAX_TEXT: usize = 400;

// === impl CelFailure ===

impl CelFailure {
    pub(super) fn run_time(text: &str) -> CelFailure {
        let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        let dots = if end < text.len() { "..." } else { "" };
        CelFailure::RunTime(format!("{}{dots}", text.get(..end).unwrap_or_default()))
    }
}

impl fmt::Display for CelFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CelFailure::NotCompiled(text) => write!(f, "a CEL rule could not be compiled: {text}"),
            CelFailure::RunTime(text) => write!(f, "a CEL rule failed: {text}"),
            CelFailure::TooLarge { values, limit } => {
                write!(f, "the message is too large for CEL rules: {values} values, {limit} are allowed")
            }
        }
    }
}

impl std::error::Error for CelFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peer_sent_is_quoted_in_part() {
        let CelFailure::RunTime(text) = CelFailure::run_time(&"é".repeat(1000)) else { panic!() };
        assert_eq!(text, "é".repeat(200) + "...");
        assert_eq!(CelFailure::run_time("x"), CelFailure::RunTime("x".into()));
    }
}
