//! The pages about drift: `/drift` for people, `/drift.json` for programs.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::book::{Book, Instance, Shown, State};
use super::outline::{Change, Differences};

// === impl Book: pages ===

impl Book {
    /// What each catalog is made of, and how each instance of its cluster differs from that, as text.
    pub fn drift_text(&self) -> String {
        let shown = self.shown();
        if shown.is_empty() {
            return "no catalog comes from reflection\n".to_owned();
        }
        shown.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// The same as JSON.
    pub fn drift_json(&self) -> Value {
        json!({ "catalogs": self.shown().iter().map(value).collect::<Vec<_>>() })
    }
}

fn text(shown: &Shown) -> String {
    let mut out = String::new();
    // writing to a String cannot fail
    let _ = writeln!(
        out,
        "catalog {} by {}: {} services, {} methods",
        shown.catalog,
        truth(shown),
        shown.services,
        shown.methods
    );
    if let Some(why) = &shown.drift.refused {
        let _ = writeln!(out, "  refused: {why}");
    }
    if shown.drift.asked.is_none() {
        let _ = writeln!(out, "  nobody was asked yet");
    }
    for instance in &shown.drift.instances {
        let _ = writeln!(out, "  {}{}: {}", instance.endpoint, version(instance), state(&instance.state));
        if let State::Differs(differences) = &instance.state {
            for change in &differences.first {
                let _ = writeln!(out, "    {change}");
            }
            let more = differences.count.saturating_sub(differences.first.len());
            if more > 0 {
                let _ = writeln!(out, "    and {more} more");
            }
        }
    }
    out
}

fn truth(shown: &Shown) -> String {
    match &shown.pin {
        Some(pin) => format!("the pin {pin}"),
        None => format!("reflection of cluster {}", shown.cluster),
    }
}

fn version(instance: &Instance) -> String {
    instance.version.map(|version| format!(" ({version})")).unwrap_or_default()
}

fn state(state: &State) -> String {
    match state {
        State::Agrees => "agrees".to_owned(),
        State::Differs(Differences { count: 1, .. }) => "1 difference".to_owned(),
        State::Differs(differences) => format!("{} differences", differences.count),
        State::Unknown(why) => format!("unknown: {why}"),
    }
}

fn value(shown: &Shown) -> Value {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "catalog": shown.catalog,
        "cluster": shown.cluster,
        "pin": shown.pin,
        "services": shown.services,
        "methods": shown.methods,
        "refused": shown.drift.refused,
        "asked_at_seconds": shown.drift.asked.map(seconds),
        "instances": shown.drift.instances.iter().map(instance).collect::<Vec<_>>(),
    })
}

fn instance(instance: &Instance) -> Value {
    let mut value = json!({ "endpoint": instance.endpoint, "version": instance.version });
    let (state, more) = match &instance.state {
        State::Agrees => ("agrees", None),
        State::Differs(differences) => ("differs", Some(("differences", differences_value(differences)))),
        State::Unknown(why) => ("unknown", Some(("reason", why.as_str().into()))),
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("state".into(), state.into());
        object.extend(more.map(|(key, value)| (key.to_owned(), value)));
    }
    value
}

/// `{"count": N, "first": [{"part": ..., "was": ..., "now": ...}]}`; `was` or `now` is null for a part that only one has.
pub(super) fn differences_value(differences: &Differences) -> Value {
    let change = |change: &Change| match change {
        Change::Added { part, now } => json!({ "part": part, "was": null, "now": now }),
        Change::Removed { part, was } => json!({ "part": part, "was": was, "now": null }),
        Change::Changed { part, was, now } => json!({ "part": part, "was": was, "now": now }),
    };
    json!({ "count": differences.count, "first": differences.first.iter().map(change).collect::<Vec<_>>() })
}
