//! What the upstreams did with each call, by the call's number: so that lost calls, and calls that were executed twice,
//! are counted and not guessed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What became of one call at the upstreams, all its attempts together.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// The endpoints that took it up, in order; more than one entry: it was executed more than once.
    pub executed: Vec<usize>,
    /// How often it was answered by REFUSED_STREAM, unexecuted.
    pub refused: u32,
    /// It was executed, and its stream then reset on purpose.
    pub reset: bool,
}

/// The fates of all calls of a scenario.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<u64, Fate>>);

// === impl Ledger ===

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Fate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fate(&self, call: u64) -> Fate {
        self.lock().get(&call).cloned().unwrap_or_default()
    }

    /// What is known of calls that have ended is of no more use; for runs of many minutes.
    pub fn forget(&self, call: u64) {
        self.lock().remove(&call);
    }

    pub fn executed(&self, call: u64, endpoint: usize) {
        self.lock().entry(call).or_default().executed.push(endpoint);
    }

    /// The latest of all calls that this endpoint took up, by number.
    pub fn last_of(&self, endpoint: usize) -> u64 {
        let calls = self.lock();
        calls.iter().filter(|(_, fate)| fate.executed.contains(&endpoint)).map(|(call, _)| *call).max().unwrap_or(0)
    }

    /// Notes a refusal, unless the call has had so many.
    pub fn refused(&self, call: u64, most: u32) -> bool {
        let mut fates = self.lock();
        let fate = fates.entry(call).or_default();
        let may = fate.refused < most;
        fate.refused += u32::from(may);
        may
    }

    pub fn reset(&self, call: u64) {
        self.lock().entry(call).or_default().reset = true;
    }
}

/// How a call's number is written into its message.
pub fn name_of(call: u64) -> String {
    format!("call-{call}")
}

/// The number in a message.
pub fn number_of(text: &str) -> Option<u64> {
    text.strip_prefix("call-")?.parse().ok()
}
