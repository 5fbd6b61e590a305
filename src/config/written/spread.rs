//! What a configuration says of how a cluster's calls are spread over its endpoints, and when not.

use super::super::node::{Node, Value};
use super::super::value;
use super::{At, Reader, Table};
use crate::status::Code;
use crate::upstream::{Backoff, Balance, ClusterSettings, CodeSet, Ejection, EndpointSettings, HashBy, Limits};

/// `clusters.<name>`: all of it that says how calls are spread. What depends on another key was checked.
#[derive(Debug, Default)]
pub(in super::super) struct Spread {
    pub balance: Option<Balance>,
    pub panic_threshold: Option<u8>,
    pub slow_start: Option<std::time::Duration>,
    pub subset_size: Option<usize>,
    /// `Some(None)`: never.
    pub ejection: Option<Option<Ejection>>,
    pub limits: Limits,
}

/// The policy without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    P2c,
    RoundRobin,
    LeastRequest,
    RingHash,
}

const POLICIES: &[(&str, Policy)] = &[
    ("p2c", Policy::P2c),
    ("round_robin", Policy::RoundRobin),
    ("least_request", Policy::LeastRequest),
    ("ring_hash", Policy::RingHash),
];

// === impl Spread ===

impl Spread {
    pub(super) fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Spread {
        let spread = Spread {
            balance: balance(r, t),
            panic_threshold: t.said(r, "panic_threshold", percent),
            slow_start: t.said(r, "slow_start", value::duration_or_zero),
            subset_size: t.said(r, "subset_size", value::count(1, 10_000)),
            ejection: t.table(r, "ejection", "clusters.<name>.ejection").map(|t| ejection(r, &t)),
            limits: t.table(r, "limits", "clusters.<name>.limits").map(|t| limits(r, &t)).unwrap_or_default(),
        };
        if let (Some(Balance::RingHash(_)), Some((_, spot))) = (&spread.balance, t.value(r, "subset_size")) {
            let mistake = spot.mistake("does not go with `balance: ring_hash`");
            r.mistakes.push(mistake.hint("each worker would send a key to an endpoint of its own subset"));
        }
        spread
    }

    /// Puts what was said in place of the defaults.
    pub(in super::super) fn settle(&self, settings: &mut ClusterSettings) {
        put(&mut settings.balance, self.balance.clone());
        put(&mut settings.panic_threshold, self.panic_threshold);
        put(&mut settings.slow_start, self.slow_start);
        put(&mut settings.subset_size, self.subset_size);
        put(&mut settings.ejection, self.ejection.clone());
        settings.limits = self.limits;
    }
}

/// The endpoints, one or a list of URLs and of tables.
pub(super) fn endpoints(r: &mut Reader<'_>, t: &Table<'_>) -> Vec<At<EndpointSettings>> {
    let Some((node, spot)) = t.value(r, "endpoints") else { return Vec::new() };
    let Value::List(items) = &node.value else { return endpoint(r, node, spot).into_iter().collect() };
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let spot = r.spot(item.at, format!("{}[{index}]", spot.key));
        found.extend(endpoint(r, item, spot));
    }
    found
}

fn endpoint(r: &mut Reader<'_>, node: &Node, spot: super::Spot) -> Option<At<EndpointSettings>> {
    if !matches!(node.value, Value::Table(_)) {
        return r.parse(node, spot, value::endpoint);
    }
    let t = Table::open(r, node, spot, "clusters.<name>.endpoints[]")?;
    let url = t.required(r, "url", value::endpoint);
    let weight = t.said(r, "weight", value::count(1, 1_000_000));
    let priority = t.said(r, "priority", value::count(0, 1_000));
    let zone = t.said(r, "zone", value::text).map(Into::into);
    let mut url = url?;
    let EndpointSettings { weight: w, priority: p, zone: z, .. } = &mut url.value;
    (*w, *p, *z) = (weight.unwrap_or(1), priority.unwrap_or(0), zone);
    Some(url)
}

fn balance(r: &mut Reader<'_>, t: &Table<'_>) -> Option<Balance> {
    let policy = t.one(r, "balance", value::choice(POLICIES));
    let hash_by = t.table(r, "hash_by", "clusters.<name>.hash_by");
    match (policy, hash_by) {
        (None, None) => None,
        (Some(At { value: Policy::RingHash, .. }), Some(t)) => hash_key(r, &t).map(Balance::RingHash),
        (Some(At { value: Policy::RingHash, spot }), None) => {
            if !t.has("hash_by") {
                let mistake = spot.mistake("`hash_by` is missing: calls need a key to be hashed by");
                r.mistakes.push(mistake.hint("hash_by: {header: x-user}, {cookie: NAME} or {field: order.id}"));
            }
            None
        }
        (policy, Some(by)) => {
            // a policy that could not be read has been complained about
            if policy.is_some() || !t.has("balance") {
                let mistake = by.spot.mistake("has no effect without `balance: ring_hash`");
                r.mistakes.push(mistake.hint("add it, or remove `hash_by`"));
            }
            None
        }
        (Some(At { value: Policy::P2c, .. }), None) => Some(Balance::P2c),
        (Some(At { value: Policy::RoundRobin, .. }), None) => Some(Balance::RoundRobin),
        (Some(At { value: Policy::LeastRequest, .. }), None) => Some(Balance::LeastRequest),
    }
}

fn hash_key(r: &mut Reader<'_>, t: &Table<'_>) -> Option<HashBy> {
    let given: Vec<&str> = ["header", "cookie", "field"].into_iter().filter(|key| t.has(key)).collect();
    if given.len() != 1 {
        let text = if given.is_empty() { "names nothing".into() } else { format!("names {}", given.join(" and ")) };
        r.mistakes.push(t.spot.mistake(text).hint("one of `header`, `cookie` and `field`"));
        return None;
    }
    let header = t.said(r, "header", |text| value::header_name(text).map(HashBy::Header));
    let cookie = t.said(r, "cookie", |text| value::text(text).map(|name| HashBy::Cookie(name.into())));
    let field = t.said(r, "field", |text| value::text(text).map(|path| HashBy::Field(path.into())));
    header.or(cookie).or(field)
}

fn ejection(r: &mut Reader<'_>, t: &Table<'_>) -> Option<Ejection> {
    let mut ejection = Ejection::default();
    let enabled = t.said(r, "enabled", value::boolean).unwrap_or(true);
    put(&mut ejection.consecutive, t.said(r, "consecutive", value::count(0, 1_000_000)));
    put(&mut ejection.success_rate, t.said(r, "success_rate", percent).map(|rate| f64::from(rate) / 100.0));
    put(&mut ejection.window, t.said(r, "window", value::duration));
    put(&mut ejection.min_calls, t.said(r, "min_calls", value::count(1, 1_000_000)));
    put(&mut ejection.max_ejected, t.said(r, "max_ejected", percent));
    ejection.time = times(r, t, ejection.time);
    let codes = t.many(r, "codes", value::error_code);
    if !codes.is_empty() {
        ejection.failures = codes.iter().map(|code| code.value).collect::<CodeSet>();
    }
    if let Some(cancelled) = codes.iter().find(|code| code.value == Code::Cancelled) {
        let mistake = cancelled.spot.mistake("CANCELLED says that the caller went away");
        r.mistakes.push(mistake.hint("remove it: callers would eject endpoints"));
    }
    enabled.then_some(ejection)
}

fn times(r: &mut Reader<'_>, t: &Table<'_>, default: Backoff) -> Backoff {
    let (first, cap) = (t.one(r, "time", value::duration), t.one(r, "max_time", value::duration));
    let time = Backoff {
        first: first.as_ref().map_or(default.first, |first| first.value),
        cap: cap.as_ref().map_or(default.cap, |cap| cap.value),
    };
    if let (Some(spot), true) = (cap.or(first).map(|at| at.spot), time.first > time.cap) {
        let mistake = spot.mistake(format!("`time`, {:?}, is longer than `max_time`, {:?}", time.first, time.cap));
        r.mistakes.push(mistake.hint("`time` is at most `max_time`"));
    }
    time
}

fn limits(r: &mut Reader<'_>, t: &Table<'_>) -> Limits {
    let mut limit = |key| t.said(r, key, value::count(0, 1_000_000_000));
    Limits { calls: limit("calls"), pending: limit("pending"), endpoint_calls: limit("calls_per_endpoint") }
}

/// A part of a hundred, with or without `%`.
fn percent(text: &str) -> value::Parsed<u8> {
    value::count(0, 100)(text.strip_suffix('%').unwrap_or(text).trim_end())
}

fn put<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}
