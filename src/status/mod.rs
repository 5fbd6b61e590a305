//! How a call ended: the code, its message and its details, and the table between codes.

mod code;
mod detail;
mod rule_details;
mod violation;

pub use code::Code;
pub use detail::{Any, DetailError, FieldViolation, bad_request, encode_status, error_info, retry_delay, retry_info};
pub use rule_details::{MOST_DETAILS, RuleDetails};
pub use violation::{PathElement, RuleViolation, Subscript, encode_violations, violations};

use std::borrow::Cow;

/// The end of a call, as gRPC says it: a code, a text for developers, and typed details.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: Code,
    /// Plain text (not percent-coded).
    pub message: Cow<'static, str>,
    /// `google.rpc.Status.details`, still encoded.
    pub details: Vec<Any>,
}

// === impl Status ===

impl Status {
    pub const OK: Status = Status { code: Code::Ok, message: Cow::Borrowed(""), details: Vec::new() };

    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Status {
        Status { code, message: message.into(), details: Vec::new() }
    }

    pub fn with(mut self, detail: Any) -> Status {
        self.details.push(detail);
        self
    }

    pub fn is_ok(&self) -> bool {
        self.code == Code::Ok
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.message.is_empty() { write!(f, "{}", self.code) } else { write!(f, "{}: {}", self.code, self.message) }
    }
}
