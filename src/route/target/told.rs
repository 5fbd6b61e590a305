//! Rules as people read them.

use serde::Serialize;

use super::condition::{FieldWanted, HeaderTest, ValueTest};
use super::{Resolved, Share};
use crate::wire::encode_bin;

/// A rule for lists and explanations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteTold {
    pub name: String,
    /// Patterns of methods.
    pub matches: Vec<String>,
    /// Conditions, each in words; empty: it has every call of its methods.
    pub when: Vec<String>,
    /// Clusters, with weights if there are several; empty: the catalog's own.
    pub clusters: Vec<String>,
    pub rename: Option<String>,
    pub mirror: Option<String>,
    pub fault: Option<String>,
    /// `file:line:column`.
    pub place: Option<String>,
}

// === impl RouteTold ===

impl RouteTold {
    pub fn new(resolved: &Resolved) -> RouteTold {
        let rule = &resolved.rule;
        let weighted = |(name, weight): &(Box<str>, u32)| match rule.clusters.len() {
            1 => name.to_string(),
            _ => format!("{name} ({weight})"),
        };
        RouteTold {
            name: rule.name.to_string(),
            matches: rule.patterns.iter().map(|(pattern, _)| pattern.clone()).collect(),
            when: conditions(resolved),
            clusters: rule.clusters.iter().map(weighted).collect(),
            rename: rule.rename.as_ref().map(|(rename, _)| rename.clone()),
            mirror: rule.mirror.as_ref().map(|mirror| {
                let compared = if mirror.compare { ", compared" } else { "" };
                format!("{}{}{compared}", mirror.cluster, of_calls(mirror.share))
            }),
            fault: rule.fault.as_ref().map(|fault| {
                let mut parts = Vec::new();
                match fault.delay {
                    Some((least, most)) if least == most => parts.push(format!("{least:?} late")),
                    Some((least, most)) => parts.push(format!("{least:?} to {most:?} late")),
                    None => {}
                }
                parts.extend(fault.status.map(|code| code.name().to_owned()));
                let when: Vec<String> = fault.headers.iter().map(header).collect();
                let when = if when.is_empty() { String::new() } else { format!(", if {}", when.join(", ")) };
                format!("{}{}{when}", parts.join(", "), of_calls(fault.share))
            }),
            place: rule.place.as_ref().map(ToString::to_string),
        }
    }

    /// What it asks of calls, in words, with a blank before; empty: nothing.
    pub fn asks(&self) -> String {
        if self.when.is_empty() { String::new() } else { format!(" if {}", self.when.join(" and ")) }
    }

    /// Where its calls go, in words.
    pub fn target(&self) -> String {
        let mut text =
            if self.clusters.is_empty() { "the catalog's cluster".to_owned() } else { self.clusters.join(", ") };
        for (what, told) in [("as", &self.rename), ("mirrored to", &self.mirror), ("fault:", &self.fault)] {
            if let Some(told) = told {
                text.push_str(&format!("; {what} {told}"));
            }
        }
        text
    }
}

fn conditions(resolved: &Resolved) -> Vec<String> {
    let when = &resolved.rule.when;
    let mut told: Vec<String> = when.headers.iter().map(header).collect();
    if !when.hosts.is_empty() {
        told.push(format!("host {}", listed(&when.hosts)));
    }
    if let Some(identity) = &when.identity {
        for (what, names) in [("subject", &identity.subject), ("dns", &identity.dns), ("uri", &identity.uri)] {
            if !names.is_empty() {
                told.push(format!("caller's {what} {}", listed(names)));
            }
        }
    }
    if let Some(field) = &when.field {
        let wanted = match &field.wanted {
            FieldWanted::OneOf(values) => {
                format!("is {}", listed(&values.iter().map(|(value, _)| value).collect::<Vec<_>>()))
            }
            FieldWanted::Prefix(prefix) => format!("begins with {prefix:?}"),
            FieldWanted::Regex(regex) => format!("matches {regex}"),
            FieldWanted::Present(wanted) => if *wanted { "is set" } else { "is not set" }.to_owned(),
        };
        told.push(format!("field {} {wanted}", field.path));
    }
    if when.share != Share::ALL {
        told.push(of_calls(when.share).trim_start().to_owned());
    }
    told
}

fn header(test: &HeaderTest) -> String {
    let shown = |bytes: &[u8]| match test.is_binary() {
        true => encode_bin(bytes),
        false => format!("{:?}", String::from_utf8_lossy(bytes)),
    };
    let wanted = match &test.test {
        ValueTest::OneOf(values) => {
            format!("is {}", listed(&values.iter().map(|value| shown(value)).collect::<Vec<_>>()))
        }
        ValueTest::Prefix(prefix) => format!("begins with {}", shown(prefix)),
        ValueTest::Regex(regex) => format!("matches {regex}"),
        ValueTest::Present(wanted) => if *wanted { "is there" } else { "is not there" }.to_owned(),
    };
    format!("{} {wanted}", test.name)
}

fn listed<T: std::fmt::Display>(names: &[T]) -> String {
    names.iter().map(T::to_string).collect::<Vec<_>>().join(" or ")
}

fn of_calls(share: Share) -> String {
    match share {
        Share::ALL => String::new(),
        Share(millionths) => format!(" {}% of calls", f64::from(millionths) / 10_000.0),
    }
}
