//! The schema guard on a call's way: what a violation means by the method's mode, who is told of it, and how often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::tables::Called;
use crate::call::{Hint, Kind, Refusal};
use crate::catalog::{GuardMode, UnknownNumbers};
use crate::observe::{Direction, GuardWord};
use crate::status::FieldViolation;
use crate::transcode::{GuardOptions, Violation, guard};

/// Checks a message, not compressed, if the method's guard looks this way. In shadow all pass.
#[inline]
pub(super) fn check(called: &Called, direction: Direction, message: &[u8]) -> Result<(), Refusal> {
    match called.guard_mode(direction) {
        GuardMode::Off => Ok(()),
        mode => examine(called, direction, mode, message),
    }
}

/// What becomes of a message that cannot be looked into, for this reason. In shadow it passes.
pub(super) fn unreadable(called: &Called, direction: Direction, refusal: Refusal) -> Result<(), Refusal> {
    let mode = called.guard_mode(direction);
    let Some(word) = word(mode) else { return Ok(()) };
    tell(called, direction, word, || refusal.message.to_string());
    if mode == GuardMode::Enforce { Err(refusal) } else { Ok(()) }
}

fn examine(called: &Called, direction: Direction, mode: GuardMode, message: &[u8]) -> Result<(), Refusal> {
    let (method, schema) = (called.method(), &called.catalog().schema);
    let id = match direction {
        Direction::Request => method.input,
        Direction::Response => method.output,
    };
    let options = GuardOptions::from(&method.settings);
    match guard(schema, id, message, &options) {
        Ok(guarded) if guarded.unknown_fields > 0 && options.unknown == UnknownNumbers::Report => {
            tell(called, direction, GuardWord::Report, || {
                // looked for again only if somebody is told
                let strict = GuardOptions { unknown: UnknownNumbers::Refuse, ..options };
                let first = guard(schema, id, message, &strict).err();
                first.map(|violation| violation.to_string()).unwrap_or_default()
            });
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(violation) => {
            if let Some(word) = word(mode) {
                tell(called, direction, word, || violation.to_string());
            }
            match mode {
                GuardMode::Enforce => Err(refusal(direction, &schema.message(id).name, violation)),
                GuardMode::Off | GuardMode::Shadow => Ok(()),
            }
        }
    }
}

fn refusal(direction: Direction, name: &str, violation: Violation) -> Refusal {
    let text = violation.to_string();
    match direction {
        Direction::Request => {
            let violation = FieldViolation { field: violation.field, description: violation.description };
            Refusal::new(Kind::BadRequest, text).hint(Hint::Violations(vec![violation]))
        }
        Direction::Response => Refusal::new(Kind::BadAnswer, format!("the upstream's message is not a {name}: {text}")),
    }
}

fn word(mode: GuardMode) -> Option<GuardWord> {
    match mode {
        GuardMode::Off => None,
        GuardMode::Shadow => Some(GuardWord::Shadow),
        GuardMode::Enforce => Some(GuardWord::Enforce),
    }
}

/// Counts, and logs at most once a second in the whole process: peers decide how often it happens.
fn tell(called: &Called, direction: Direction, word: GuardWord, what: impl FnOnce() -> String) {
    if let Some(meters) = called.meters() {
        meters.guard_violated(direction, word);
    }
    if let Some(untold) = LOG.due() {
        tracing::warn!(
            method = &*called.method().path,
            direction = direction.name(),
            mode = word.name(),
            untold,
            "a message breaks the schema: {}",
            what()
        );
    }
}

/// Lets one line through per second of the clock, and counts what it holds back.
struct Once {
    second: AtomicU64,
    untold: AtomicU64,
}

static LOG: Once = Once { second: AtomicU64::new(0), untold: AtomicU64::new(0) };

// === impl Once ===

impl Once {
    /// How many were held back since the last line, if one is due.
    fn due(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs());
        if self.second.swap(now, Ordering::Relaxed) == now {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_violations_is_a_line_a_second() {
        let log = Once { second: AtomicU64::new(0), untold: AtomicU64::new(0) };
        let start = SystemTime::now();
        let lines = (0..1000).filter(|_| log.due().is_some()).count();
        let seconds = start.elapsed().map_or(0, |took| took.as_secs()) as usize;
        assert!((1..=seconds + 2).contains(&lines), "{lines}");
        assert!(log.untold.load(Ordering::Relaxed) > 0);
    }
}
