//! Which calls may be sent more than once, and after which failures.

use super::method_settings::PartialSettings;
use super::mistake::Mistake;
use super::service::Method;
use super::settings::{SettingRule, origin};
use crate::status::Code;

/// The failures after which a request is sent again: codes, and streams that were reset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RetryOn(u32);

/// The bit beyond those of the codes.
const RESET: u32 = 1 << 31;

// === impl RetryOn ===

impl RetryOn {
    /// None.
    pub const NONE: RetryOn = RetryOn(0);

    /// This code besides.
    pub const fn and(self, code: Code) -> RetryOn {
        RetryOn(self.0 | 1 << code.number())
    }

    /// Streams that the upstream reset besides, whatever the code of their reset.
    pub const fn and_resets(self) -> RetryOn {
        RetryOn(self.0 | RESET)
    }

    /// Whether this code is among them.
    pub const fn covers(self, code: Code) -> bool {
        self.0 & 1 << code.number() != 0
    }

    /// Whether streams that were reset are among them.
    pub const fn covers_resets(self) -> bool {
        self.0 & RESET != 0
    }
}

impl Default for RetryOn {
    fn default() -> RetryOn {
        RetryOn::NONE.and(Code::Unavailable).and_resets()
    }
}

impl std::fmt::Debug for RetryOn {
    /// As it is written in a configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codes = Code::ALL.into_iter().filter(|code| self.covers(*code)).map(Code::name);
        let words = codes.chain(self.covers_resets().then_some("reset"));
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

/// What a rule for this very method says of its calls that would never have an effect.
pub(super) fn check(method: &Method, rules: &[SettingRule]) -> Option<Mistake> {
    let path = method.path.trim_start_matches('/');
    let retried = |said: &PartialSettings| said.retry.attempts.filter(|most| *most > 1).map(|_| "retry");
    let hedged = |said: &PartialSettings| said.hedge.after.flatten().map(|_| "hedge");
    let exact = |said: fn(&PartialSettings) -> Option<&'static str>| {
        origin(rules, path, said).filter(|(rule, _)| rule.pattern.trim_start_matches('/') == path)
    };
    let mistake = |rule: &SettingRule, text: String| {
        let mut mistake = Mistake::new(text);
        mistake.place = rule.place.clone();
        mistake
    };
    let hedge = exact(hedged);
    if let Some((rule, _)) = &hedge
        && method.kind.client_streams()
    {
        let text = format!("`hedge` of {path}: a stream of requests is not sent twice at a time");
        return Some(mistake(rule, text).hint("remove it, or use `retry`"));
    }
    let (rule, word) = hedge.or_else(|| exact(retried)).filter(|_| !method.is_repeatable())?;
    let text =
        format!("`{word}` has no effect: {path} has no idempotency_level that says that it may be executed twice");
    Some(mistake(rule, text).hint("write `idempotent: true` beside it if that is so"))
}
