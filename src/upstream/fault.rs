//! Why an exchange with an upstream failed, and whether the call may be sent again.

use std::borrow::Cow;
use std::fmt;

use crate::status::Code;

/// A failed exchange: its kind decides code and retry, its message is for the caller's developer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    message: Cow<'static, str>,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No connection could be made, or the endpoints are in back-off after that.
    Connect,
    /// The upstream says that it did not process the call: REFUSED_STREAM, or a GOAWAY with a lower last stream
    /// (RFC 9113, 8.7). Also a connection that turned out to be closing before the head was sent.
    Refused,
    /// The upstream reset the stream, or we did.
    Reset(h2::Reason),
    /// The connection was lost while the call was on it; it may have been processed.
    Broken,
    /// What came is no HTTP/2, or what was to be sent is none.
    Protocol,
    /// The cluster or its endpoints have as many calls as they may. Nothing was sent, and to try again at once would only
    /// add to it.
    Overloaded,
}

// === impl Fault ===

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { kind, message: message.into() }
    }

    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Whether the upstream cannot have seen the call, so that even a call that is not idempotent may go again.
    pub fn safe_to_retry(&self) -> bool {
        matches!(self.kind, FaultKind::Connect | FaultKind::Refused)
    }

    /// The code for the caller (gRPC `doc/PROTOCOL-HTTP2.md`, "Errors"; a lost connection is UNAVAILABLE there).
    pub fn code(&self) -> Code {
        match self.kind {
            FaultKind::Connect | FaultKind::Refused | FaultKind::Broken | FaultKind::Overloaded => Code::Unavailable,
            FaultKind::Reset(reason) => Code::from_reset(reason),
            FaultKind::Protocol => Code::Internal,
        }
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn reset(reason: h2::Reason) -> Fault {
        match reason {
            h2::Reason::REFUSED_STREAM => Fault::new(FaultKind::Refused, "the upstream refused the stream"),
            h2::Reason::NO_ERROR => {
                Fault::new(FaultKind::Reset(reason), "the upstream wants no more of the request (RST_STREAM NO_ERROR)")
            }
            reason => Fault::new(FaultKind::Reset(reason), format!("the stream was reset: {reason:?}")),
        }
    }

    /// What an error of a stream means. `cause` is what is known of the connection's end.
    pub(super) fn of_stream(error: &h2::Error, cause: Option<&str>) -> Fault {
        let reason = error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR);
        if error.is_go_away() && error.is_remote() {
            // h2 gives it to those streams only whose number is above the GOAWAY's last one
            return Fault::new(
                FaultKind::Refused,
                "the upstream closed the connection before it took the call (GOAWAY)",
            );
        }
        if error.is_go_away() {
            return Fault::new(FaultKind::Broken, format!("the upstream's connection broke HTTP/2: {reason:?}"));
        }
        if error.is_reset() && error.is_library() {
            return Fault::new(FaultKind::Protocol, format!("the upstream's answer is no valid HTTP/2: {reason:?}"));
        }
        if error.is_reset() {
            return Fault::reset(reason);
        }
        match (error.get_io(), cause) {
            (Some(_), Some(cause)) => Fault::new(FaultKind::Broken, cause.to_owned()),
            (Some(io), None) => {
                Fault::new(FaultKind::Broken, format!("connection to the upstream lost: {}", io.kind()))
            }
            (None, _) => Fault::new(FaultKind::Protocol, error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_the_upstream_cannot_have_seen_are_safe_to_retry() {
        let safe = [FaultKind::Connect, FaultKind::Refused];
        let unsafe_ =
            [FaultKind::Reset(h2::Reason::CANCEL), FaultKind::Broken, FaultKind::Protocol, FaultKind::Overloaded];
        assert!(safe.into_iter().all(|kind| Fault::new(kind, "").safe_to_retry()));
        assert!(!unsafe_.into_iter().any(|kind| Fault::new(kind, "").safe_to_retry()));
    }

    #[test]
    fn resets_carry_the_codes_of_the_grpc_table_and_a_refusal_is_unavailable() {
        assert_eq!(Fault::reset(h2::Reason::REFUSED_STREAM).kind(), FaultKind::Refused);
        assert_eq!(Fault::reset(h2::Reason::REFUSED_STREAM).code(), Code::Unavailable);
        assert_eq!(Fault::reset(h2::Reason::CANCEL).code(), Code::Cancelled);
        assert_eq!(Fault::reset(h2::Reason::ENHANCE_YOUR_CALM).code(), Code::ResourceExhausted);
    }
}
