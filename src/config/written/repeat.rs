//! What a configuration says of requests that are sent more than once: `settings[].retry`, `settings[].hedge`, and
//! `clusters.<name>.retry_budget`.

use super::super::value::{self, Parsed, wrong};
use super::{At, Reader, Table};
use crate::catalog::{PartialHedge, PartialRetry, RetryOn};
use crate::status::Code;
use crate::upstream::RetryBudgetSettings;

/// Attempts of one call, the first one included: more would be a storm that no budget is meant for.
const MOST_ATTEMPTS: u64 = 10;
/// Bytes that are kept of one request at most: what calls of a worker may keep together is not much more.
const MOST_BUFFER: usize = 4 << 20;

/// One of the failures that are worth another attempt.
#[derive(Clone, Copy)]
enum Worth {
    Code(Code),
    Reset,
}

pub(super) fn retry(r: &mut Reader<'_>, t: &Table<'_>) -> PartialRetry {
    let backoff = t.table(r, "backoff", "settings[].retry.backoff");
    let first = backoff.as_ref().and_then(|t| t.one(r, "first", value::duration));
    let max = backoff.as_ref().and_then(|t| t.one(r, "max", value::duration));
    if let (Some(first), Some(max)) = (&first, &max)
        && first.value > max.value
    {
        let text = format!("{:?} is longer than the longest, {:?}", first.value, max.value);
        r.mistakes.push(first.spot.mistake(text).hint("`backoff.first` is at most `backoff.max`"));
    }
    PartialRetry {
        attempts: t.said(r, "attempts", value::count(1, MOST_ATTEMPTS)),
        on: on(r, t),
        per_attempt_timeout: t.said(r, "per_attempt_timeout", value::duration).map(Some),
        first_backoff: first.map(|at| at.value),
        max_backoff: max.map(|at| at.value),
        buffer: t.said(r, "buffer", value::size_within(0, MOST_BUFFER)),
    }
}

pub(super) fn hedge(r: &mut Reader<'_>, t: &Table<'_>) -> PartialHedge {
    PartialHedge {
        after: t.said(r, "after", value::duration).map(Some),
        attempts: t.said(r, "attempts", value::count(2, MOST_ATTEMPTS)),
        on: on(r, t),
    }
}

fn on(r: &mut Reader<'_>, t: &Table<'_>) -> Option<RetryOn> {
    let worth = |text: &str| match text {
        "reset" => Ok(Worth::Reset),
        name => value::error_code(name).map(Worth::Code),
    };
    t.has("on").then(|| {
        t.many(r, "on", worth).into_iter().fold(RetryOn::NONE, |on, At { value, .. }| match value {
            Worth::Code(code) => on.and(code),
            Worth::Reset => on.and_resets(),
        })
    })
}

/// The budget with what is said of it; no two of these keys depend on one another.
pub(super) fn budget(r: &mut Reader<'_>, t: &Table<'_>) -> RetryBudgetSettings {
    let usual = RetryBudgetSettings::default();
    let window = |text: &str| match value::duration(text)? {
        window if (1..=3600).contains(&window.as_secs()) => Ok(window),
        _ => Err(wrong(format!("{text} is not between 1s and 1h"))),
    };
    RetryBudgetSettings {
        ratio: t.said(r, "ratio", ratio).unwrap_or(usual.ratio),
        min_per_second: t.said(r, "min_per_second", value::count(0, 1_000_000)).unwrap_or(usual.min_per_second),
        window: t.said(r, "window", window).unwrap_or(usual.window),
    }
}

/// A share of calls; more than ten attempts per call are no budget.
fn ratio(text: &str) -> Parsed<f64> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=10.0).contains(&ratio) => Ok(ratio),
        Ok(_) => Err(wrong(format!("{text} is not between 0 and 10"))),
        Err(_) => Err(wrong(format!("{} is not a number", value::quoted(text))).hint("as in 0.2, for one in five")),
    }
}
