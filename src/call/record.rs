//! The record of one call: filled while it runs, ended once, and then counted and logged.

use std::time::Instant;

use crate::observe::Meters;
use crate::status::Code;
use std::sync::Arc;

/// What is known of a call when it ends. Dropping it ends it: a call that no one ended was cut off by its caller.
#[derive(Debug)]
pub struct CallRecord {
    meters: Arc<Meters>,
    started: Instant,
    /// `/pkg.Service/Method` of the catalog; empty while no method is known. Never the caller's own text.
    method: Box<str>,
    /// Name of the caller's dialect; `unknown` until it is known.
    pub dialect: &'static str,
    pub request_messages: u64,
    pub response_messages: u64,
    outcome: Option<Code>,
}

// === impl CallRecord ===

impl CallRecord {
    pub fn start(meters: Arc<Meters>, started: Instant) -> CallRecord {
        meters.calls_active.add(1);
        CallRecord {
            meters,
            started,
            method: Box::default(),
            dialect: "unknown",
            request_messages: 0,
            response_messages: 0,
            outcome: None,
        }
    }

    /// Notes the method's path, if anyone will read it.
    pub fn name(&mut self, path: &str) {
        if self.meters.access_log {
            self.method = path.into();
        }
    }

    /// Notes how the call ended; the first word counts.
    pub fn end(&mut self, code: Code) {
        self.outcome.get_or_insert(code);
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        let code = self.outcome.unwrap_or(Code::Cancelled);
        self.meters.calls_active.sub(1);
        self.meters.call_ended(self.dialect, code.number(), self.started.elapsed());
        if self.meters.access_log {
            tracing::info!(
                target: "transom::access",
                method = %self.method,
                dialect = self.dialect,
                code = code.name(),
                micros = self.started.elapsed().as_micros() as u64,
                requests = self.request_messages,
                responses = self.response_messages,
            );
        }
    }
}
