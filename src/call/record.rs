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
    /// Where it went last, if anywhere: cluster and endpoint.
    reached: Option<(Arc<str>, Arc<str>)>,
    /// Name of the caller's dialect; `unknown` until it is known.
    pub dialect: &'static str,
    pub request_messages: u64,
    pub response_messages: u64,
    /// The route that has the call, if one has.
    pub route: Option<Arc<str>>,
    /// Requests that were sent upstream for it; 0: none.
    pub attempts: u32,
    /// Why the last attempt that failed did: a gRPC code, or a word of the counter of retries.
    pub attempt_failure: Option<&'static str>,
    outcome: Option<Code>,
    abandoned: bool,
}

// === impl CallRecord ===

impl CallRecord {
    pub fn start(meters: Arc<Meters>, started: Instant) -> CallRecord {
        meters.calls_active.add(1);
        CallRecord {
            meters,
            started,
            method: Box::default(),
            reached: None,
            dialect: "unknown",
            request_messages: 0,
            response_messages: 0,
            route: None,
            attempts: 0,
            attempt_failure: None,
            outcome: None,
            abandoned: false,
        }
    }

    /// Where it is counted.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Notes the method's path, if anyone will read it.
    pub fn name(&mut self, path: &str) {
        if self.meters.access_log {
            self.method = path.into();
        }
    }

    /// The call is another's from now on, who has a record of its own: it is not counted here.
    pub fn abandon(mut self) {
        self.abandoned = true;
    }

    /// Notes where the call went, if anyone will read it.
    pub fn reached(&mut self, cluster: &Arc<str>, endpoint: &Arc<str>) {
        if self.meters.access_log {
            self.reached = Some((Arc::clone(cluster), Arc::clone(endpoint)));
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
        if self.abandoned {
            return;
        }
        self.meters.call_ended(self.dialect, code.number(), self.started.elapsed());
        if self.meters.access_log {
            let (cluster, endpoint) = self.reached.as_ref().map_or(("", ""), |(cluster, endpoint)| (cluster, endpoint));
            tracing::info!(
                target: "transom::access",
                method = %self.method,
                dialect = self.dialect,
                code = code.name(),
                cluster,
                endpoint,
                micros = self.started.elapsed().as_micros() as u64,
                requests = self.request_messages,
                responses = self.response_messages,
                route = self.route.as_deref(),
                attempts = self.attempts,
                attempt_failure = self.attempt_failure,
            );
        }
    }
}
