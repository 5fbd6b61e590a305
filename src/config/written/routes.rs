//! `routes`: to which clusters calls go.

use std::time::Duration;

use super::super::node::{Entry, Value};
use super::super::reference_table::keys_of;
use super::super::value::{self, Parsed, wrong};
use super::{At, Reader, Spot, Table};
use crate::route::{
    FaultRule, FieldRule, FieldWanted, Glob, HeaderTest, HostPattern, IdentityTest, Share, ValueTest, When,
};

/// One route; settling looks for the clusters that it names.
#[derive(Debug)]
pub(in super::super) struct Route {
    pub spot: Spot,
    pub name: Option<At<String>>,
    pub patterns: Vec<At<String>>,
    pub when: When,
    pub cluster: Option<At<String>>,
    pub clusters: Vec<(At<String>, u32)>,
    pub has_clusters: bool,
    pub rename: Option<At<String>>,
    pub mirror: Option<Mirror>,
    pub fault: Option<FaultRule>,
}

#[derive(Debug)]
pub(in super::super) struct Mirror {
    pub cluster: At<String>,
    pub share: Share,
    pub compare: bool,
    pub buffer: usize,
}

/// Of a request that waits for its mirror, unless something is said.
const MIRROR_BUFFER: usize = 1 << 20;
/// What the tables of headers may have, wherever they stand.
const HEADER: &str = "routes[].when.headers.<name>";

// === impl Route ===

impl Route {
    pub(super) fn read(r: &mut Reader<'_>, t: &Table<'_>) -> Route {
        if !t.has("match") {
            r.missing(t, "match", "match");
        }
        let splits = t.tables(r, "clusters", "routes[].clusters[]");
        Route {
            spot: t.spot.clone(),
            name: t.one(r, "name", value::name),
            patterns: t.many(r, "match", value::route_methods),
            when: t.table(r, "when", "routes[].when").map(|t| when(r, &t)).unwrap_or_default(),
            cluster: t.one(r, "cluster", value::name),
            clusters: splits.iter().filter_map(|t| split(r, t)).collect(),
            has_clusters: t.has("clusters"),
            rename: t.one(r, "rename", value::rename),
            mirror: t.table(r, "mirror", "routes[].mirror").and_then(|t| mirror(r, &t)),
            fault: t.table(r, "fault", "routes[].fault").map(|t| fault(r, &t)),
        }
    }
}

fn split(r: &mut Reader<'_>, t: &Table<'_>) -> Option<(At<String>, u32)> {
    let weight = t.said(r, "weight", value::count(0, 1_000_000)).unwrap_or(1);
    let cluster = t.required(r, "cluster", value::name)?;
    Some((cluster, weight))
}

fn share(r: &mut Reader<'_>, t: &Table<'_>) -> Share {
    t.said(r, "percent", value::percent).map(Share).unwrap_or_default()
}

fn mirror(r: &mut Reader<'_>, t: &Table<'_>) -> Option<Mirror> {
    // up to what the mirrors of a worker may hold together
    let buffer = t.said(r, "buffer", value::size_within(1 << 10, 16 << 20)).unwrap_or(MIRROR_BUFFER);
    let (share, compare) = (share(r, t), t.said(r, "compare", value::boolean).unwrap_or(false));
    Some(Mirror { cluster: t.required(r, "cluster", value::name)?, share, compare, buffer })
}

fn fault(r: &mut Reader<'_>, t: &Table<'_>) -> FaultRule {
    let when = t.table(r, "when", "routes[].fault.when");
    let fault = FaultRule {
        share: share(r, t),
        headers: when.map(|t| headers(r, &t)).unwrap_or_default(),
        delay: t.said(r, "delay", value::delay),
        status: t.said(r, "status", value::error_code),
        message: t.said(r, "message", value::line).map(Into::into),
        http: t.said(r, "http", value::http_code(400, 599)),
    };
    if !t.has("delay") && !t.has("status") {
        let mistake = t.spot.mistake("does nothing: neither `delay` nor `status` is there");
        r.mistakes.push(mistake.hint("as in status: UNAVAILABLE, or delay: 200ms"));
    }
    for key in ["message", "http"] {
        if t.has(key) && !t.has("status") {
            r.mistakes.push(t.spot.below(key).mistake("goes with a `status`, and there is none"));
        }
    }
    if fault.delay.is_some_and(|(_, most)| most > LONGEST_DELAY) {
        r.mistakes.push(t.spot.below("delay").mistake(format!("is longer than {LONGEST_DELAY:?}")));
    }
    fault
}

/// Calls that a fault holds up are kept in memory.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

fn when(r: &mut Reader<'_>, t: &Table<'_>) -> When {
    let globs = |r: &mut Reader<'_>, t: &Table<'_>, key: &str| -> Vec<Glob> {
        t.many(r, key, value::line).iter().map(|name| Glob::new(&name.value)).collect()
    };
    let identity = t.table(r, "identity", "routes[].when.identity").map(|t| {
        let names = ["subject", "dns", "uri"];
        if !names.iter().any(|key| t.has(key) || r.misspelt.contains(&t.spot.below(key).key)) {
            r.mistakes.push(t.spot.mistake("names nobody").hint("one of subject, dns, uri"));
        }
        let [subject, dns, uri] = names.map(|key| globs(r, &t, key));
        IdentityTest { subject, dns, uri }
    });
    When {
        headers: headers(r, t),
        hosts: t.many(r, "hosts", value::host_pattern).iter().map(|host| HostPattern::new(&host.value)).collect(),
        identity,
        field: t.table(r, "field", "routes[].when.field").and_then(|t| field(r, &t)),
        share: share(r, t),
    }
}

fn headers(r: &mut Reader<'_>, t: &Table<'_>) -> Vec<HeaderTest> {
    t.entries_of(r, "headers").into_iter().filter_map(|(entry, spot)| header(r, entry, spot)).collect()
}

fn header(r: &mut Reader<'_>, entry: &Entry, spot: Spot) -> Option<HeaderTest> {
    let name = match value::header_name(&entry.key) {
        Ok(name) => name,
        Err(wrong) => {
            r.mistakes.push(spot.wrong(wrong));
            return None;
        }
    };
    let binary = name.as_str().ends_with("-bin");
    let bytes = move |text: &str| -> Parsed<Box<[u8]>> {
        if binary { value::base64(text).map(Into::into) } else { Ok(text.as_bytes().into()) }
    };
    let values = |found: Vec<At<Box<[u8]>>>| ValueTest::OneOf(found.into_iter().map(|at| at.value).collect());
    if !matches!(entry.value.value, Value::Table(_)) {
        let test = values(r.parse_many(&entry.value, spot, bytes));
        return Some(HeaderTest { name, test });
    }
    let t = Table::open(r, &entry.value, spot, HEADER)?;
    let key = only(r, &t, &["equals", "hex", "prefix", "regex", "present"])?;
    let test = match key {
        "equals" => values(t.many(r, key, bytes)),
        "hex" if binary => values(t.many(r, key, |text| value::hex(text).map(Into::into))),
        "hex" => refused(r, &t, key, "is for names that end in -bin")?,
        "prefix" => ValueTest::Prefix(t.said(r, key, bytes)?),
        "regex" if binary => refused(r, &t, key, "is not for names that end in -bin, whose values are bytes")?,
        "regex" => ValueTest::Regex(t.said(r, key, value::regex)?),
        _ => ValueTest::Present(t.said(r, key, value::boolean)?),
    };
    Some(HeaderTest { name, test })
}

fn refused<T>(r: &mut Reader<'_>, t: &Table<'_>, key: &str, why: &str) -> Option<T> {
    r.mistakes.push(t.spot.below(key).wrong(wrong(why)));
    None
}

fn field(r: &mut Reader<'_>, t: &Table<'_>) -> Option<FieldRule> {
    let path = t.required(r, "path", value::line);
    let key = only(r, t, &["equals", "prefix", "regex", "present"])?;
    let wanted = match key {
        // not `line`: an empty text is a value, too
        "equals" => FieldWanted::OneOf(
            t.many(r, key, |text| Ok(text.to_owned())).into_iter().map(|at| (at.value, at.spot.place)).collect(),
        ),
        "prefix" => FieldWanted::Prefix(t.said(r, key, value::line)?.into()),
        "regex" => FieldWanted::Regex(t.said(r, key, value::regex)?),
        _ => FieldWanted::Present(t.said(r, key, value::boolean)?),
    };
    let path = path?;
    Some(FieldRule { path: path.value.into(), place: path.spot.place, wanted })
}

/// The one of these keys that is there.
fn only(r: &mut Reader<'_>, t: &Table<'_>, keys: &[&'static str]) -> Option<&'static str> {
    let mut there = keys.iter().copied().filter(|key| t.has(key));
    let first = there.next();
    let all = keys.join(", ");
    match (first, there.next()) {
        // an unknown key is probably what was to be one of them
        (None, _) if t.entries.iter().any(|entry| keys_of(t.known).all(|(name, _)| name != &*entry.key)) => {}
        (None, _) => r.mistakes.push(t.spot.mistake("asks for nothing").hint(format!("one of {all}"))),
        (Some(_), None) => {}
        (Some(first), Some(second)) => {
            let mistake = t.spot.mistake(format!("has both `{first}` and `{second}`"));
            r.mistakes.push(mistake.hint(format!("one of {all}; other conditions are routes of their own")));
            return None;
        }
    }
    first
}
