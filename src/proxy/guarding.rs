//! The schema guard and the rules of `buf.validate` on a call's way: what a violation means by the method's modes, who is
//! told of it, and how often. One walk over a message looks for both.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::tables::Called;
use crate::call::{Hint, Kind, Refusal};
use crate::catalog::{GuardMode, MessageId, UnknownNumbers};
use crate::observe::{Direction, GuardWord, Verdict};
use crate::status::{FieldViolation, RuleDetails, RuleViolation};
use crate::transcode::{GuardOptions, Guarded, Violation, guard};

/// Checks a message, not compressed, if the method's guard or its rules look this way. In shadow all pass.
#[inline]
pub(super) fn check(called: &Called, direction: Direction, message: &[u8]) -> Result<(), Refusal> {
    if called.is_guarded(direction) { Look::new(called, direction).examine(message) } else { Ok(()) }
}

/// What becomes of a message that cannot be looked into, for this reason. In shadow it passes.
pub(super) fn unreadable(called: &Called, direction: Direction, refusal: Refusal) -> Result<(), Refusal> {
    let look = Look::new(called, direction);
    look.tell_guard(look.guard, || refusal.message.to_string());
    look.tell_rules(Verdict::Unjudged, || refusal.message.to_string());
    if look.guard == GuardMode::Enforce || look.rules == GuardMode::Enforce { Err(refusal) } else { Ok(()) }
}

/// A look at a message, or at several.
struct Look<'c> {
    called: &'c Called,
    direction: Direction,
    guard: GuardMode,
    rules: GuardMode,
    id: MessageId,
}

// === impl Look ===

impl<'c> Look<'c> {
    fn new(called: &'c Called, direction: Direction) -> Look<'c> {
        let (guard, rules) = (called.guard_mode(direction), called.rules_mode(direction));
        Look { called, direction, guard, rules, id: called.message_type(direction) }
    }

    fn examine(&self, message: &[u8]) -> Result<(), Refusal> {
        match self.walk(message, &self.options()) {
            Ok(guarded) => {
                self.report(message, &guarded);
                self.judge(&guarded.broken)
            }
            Err(violation) if violation.rule.is_about_rules() => {
                self.unjudged(violation)?;
                // it passes its rules in shadow: what the guard would say of it is not known yet
                Look { rules: GuardMode::Off, ..*self }.examine(message)
            }
            Err(violation) => self.breaks_schema(message, violation),
        }
    }

    fn walk(&self, message: &[u8], options: &GuardOptions) -> Result<Guarded, Violation> {
        guard(&self.called.catalog().schema, self.id, message, options)
    }

    /// What the walk looks for: the guard's limits are its own, and without it there are none but protobuf's.
    fn options(&self) -> GuardOptions {
        let limits = match self.guard {
            GuardMode::Off => GuardOptions::default(),
            GuardMode::Shadow | GuardMode::Enforce => GuardOptions::from(&self.called.method().settings),
        };
        GuardOptions { rules: self.rules != GuardMode::Off, ..limits }
    }

    /// Counts fields that the schema does not have, if the guard is asked to.
    fn report(&self, message: &[u8], guarded: &Guarded) {
        let asked = self.called.method().settings.guard_unknown == UnknownNumbers::Report;
        if !asked || self.guard == GuardMode::Off || guarded.unknown_fields == 0 {
            return;
        }
        self.tell_schema(GuardWord::Report, || {
            // looked for again only if somebody is told
            let strict = GuardOptions { unknown: UnknownNumbers::Refuse, rules: false, ..self.options() };
            let first = self.walk(message, &strict).err();
            first.map(|violation| violation.to_string()).unwrap_or_default()
        });
    }

    /// What the modes make of a message that breaks the schema. The walk ended there, so its rules are not known.
    fn breaks_schema(&self, message: &[u8], violation: Violation) -> Result<(), Refusal> {
        self.tell_guard(self.guard, || violation.to_string());
        if self.guard == GuardMode::Enforce {
            return Err(self.no_message(violation));
        }
        if self.rules == GuardMode::Off {
            return Ok(());
        }
        // a limit of a guard in shadow lets it pass: the rules look again, without limits
        let again = match self.guard {
            GuardMode::Off => Err(violation),
            _ => self.walk(message, &GuardOptions { rules: true, ..GuardOptions::default() }),
        };
        match again {
            Ok(guarded) => self.judge(&guarded.broken),
            Err(violation) => self.unjudged(violation),
        }
    }

    /// What the mode makes of a message whose rules cannot be judged, for this reason.
    fn unjudged(&self, violation: Violation) -> Result<(), Refusal> {
        self.tell_rules(Verdict::Unjudged, || violation.to_string());
        match (self.rules, violation.rule.is_about_rules()) {
            (GuardMode::Off | GuardMode::Shadow, _) => Ok(()),
            (GuardMode::Enforce, false) => Err(self.no_message(violation)),
            (GuardMode::Enforce, true) => Err(self.rule_failed(&violation)),
        }
    }

    /// What the mode makes of these broken rules.
    fn judge(&self, broken: &[RuleViolation]) -> Result<(), Refusal> {
        if broken.is_empty() {
            return Ok(());
        }
        self.tell_rules(Verdict::Broken, || places(broken));
        match self.rules {
            GuardMode::Enforce => Err(self.broken(broken)),
            GuardMode::Off | GuardMode::Shadow => Ok(()),
        }
    }

    fn no_message(&self, violation: Violation) -> Refusal {
        let text = violation.to_string();
        match self.direction {
            Direction::Request => {
                let violation = FieldViolation { field: violation.field, description: violation.description };
                Refusal::new(Kind::BadRequest, text).hint(Hint::Violations(vec![violation]))
            }
            Direction::Response => {
                Refusal::new(Kind::BadAnswer, format!("the upstream's message is not a {}: {text}", self.type_name()))
            }
        }
    }

    fn broken(&self, broken: &[RuleViolation]) -> Refusal {
        match self.direction {
            Direction::Request => {
                let told = RuleDetails::of(broken);
                Refusal::new(Kind::BadRequest, told.text).hint(Hint::Details(told.details.into()))
            }
            // the caller did not write it, and may not be meant to read it
            Direction::Response => {
                let text =
                    format!("the upstream's message breaks the rules of {}: {}", self.type_name(), places(broken));
                Refusal::new(Kind::BadAnswer, text)
            }
        }
    }

    fn rule_failed(&self, violation: &Violation) -> Refusal {
        let name = self.type_name();
        let text = match self.direction {
            Direction::Request => format!("a rule of {name} cannot be applied: {violation}"),
            // why may hold words of the message; the log has it
            Direction::Response => format!("a rule of {name} cannot be applied to the upstream's message"),
        };
        Refusal::new(Kind::RuleFailed, text)
    }

    fn type_name(&self) -> &str {
        &self.called.catalog().schema.message(self.id).name
    }

    fn tell_guard(&self, mode: GuardMode, what: impl FnOnce() -> String) {
        match mode {
            GuardMode::Off => {}
            GuardMode::Shadow => self.tell_schema(GuardWord::Shadow, what),
            GuardMode::Enforce => self.tell_schema(GuardWord::Enforce, what),
        }
    }

    fn tell_schema(&self, word: GuardWord, what: impl FnOnce() -> String) {
        static LOG: Once = Once::new();
        if let Some(meters) = self.called.meters() {
            meters.guard_violated(self.direction, word);
        }
        if let Some(untold) = LOG.due() {
            tracing::warn!(
                method = &*self.called.method().path,
                direction = self.direction.name(),
                mode = word.name(),
                untold,
                "a message breaks the schema: {}",
                what()
            );
        }
    }

    /// Nothing, if rules are off.
    fn tell_rules(&self, verdict: Verdict, what: impl FnOnce() -> String) {
        // callers' mistakes do not drown those of upstreams
        static LOGS: [Once; Direction::ALL.len()] = [const { Once::new() }; Direction::ALL.len()];
        if self.rules == GuardMode::Off {
            return;
        }
        let enforced = self.rules == GuardMode::Enforce;
        if let Some(meters) = self.called.meters() {
            meters.rules_violated(self.direction, enforced, verdict);
        }
        if let Some(untold) = LOGS.get(self.direction as usize).and_then(Once::due) {
            let what = match verdict {
                Verdict::Broken => format!("breaks rules of buf.validate: {}", what()),
                Verdict::Unjudged => format!("cannot be judged by the rules of buf.validate: {}", what()),
            };
            tracing::warn!(
                method = &*self.called.method().path,
                direction = self.direction.name(),
                mode = self.rules.as_str(),
                verdict = verdict.name(),
                untold,
                "a message {what}"
            );
        }
    }
}

/// The first of these by place and rule, and how many more there are: for those who did not write the message.
fn places(broken: &[RuleViolation]) -> String {
    const MOST: usize = 3;
    let mut text: Vec<String> = broken.iter().take(MOST).map(RuleViolation::place_and_rule).collect();
    if broken.len() > MOST {
        text.push(format!("and {} more", broken.len() - MOST));
    }
    text.join(", ")
}

/// Lets one line through per second of the clock, and counts what it holds back: peers decide how often there is something
/// to say.
struct Once {
    second: AtomicU64,
    untold: AtomicU64,
}

// === impl Once ===

impl Once {
    const fn new() -> Once {
        Once { second: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

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
        let log = Once::new();
        let start = SystemTime::now();
        let lines = (0..1000).filter(|_| log.due().is_some()).count();
        let seconds = start.elapsed().map_or(0, |took| took.as_secs()) as usize;
        assert!((1..=seconds + 2).contains(&lines), "{lines}");
        assert!(log.untold.load(Ordering::Relaxed) > 0);
    }
}
