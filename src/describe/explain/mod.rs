//! What becomes of one request, and why: for `transom explain`.
//!
//! Which rule has it and what each part fills is asked of the table that routes and of the functions that bind. What goes
//! upstream, or what the caller is told, is no guess either: it comes from the corridor itself ([`Outcome`]), which carried
//! the request to an upstream that only takes notes.

mod near;
mod text;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::near::{Near, near};
use super::routes::rules_of;
use crate::catalog::{Binding, Body, Catalog, Method, Schema, Verb};
use crate::route::{Candidate, Fate, Match, MethodRef, RouteTold, Table, Targets};
use crate::transcode::{PrintOptions, ReadOptions, UnknownAny, bind, wire_to_json};
use crate::wire::parse_grpc_timeout;

/// A request as it is asked about.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub verb: &'a http::Method,
    /// Without port.
    pub host: Option<&'a str>,
    /// As sent, without the query.
    pub path: &'a str,
    pub query: Option<&'a str>,
}

/// What the corridor made of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The caller's dialect.
    pub dialect: &'static str,
    /// What the upstream got.
    pub carried: Option<Carried>,
    /// What the caller is told, if the edge answers of its own.
    pub told: Option<Told>,
    /// The route that had it, and the cluster that it named, if it named one.
    pub route: Option<(String, Option<String>)>,
}

/// A request as the upstream gets it.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// `:path`.
    pub path: String,
    pub metadata: Vec<(String, String)>,
    /// Encoded messages; `None`: packed in a way that only the upstream knows.
    pub messages: Vec<Option<Vec<u8>>>,
}

/// An answer that the edge makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Upstream {
    pub cluster: String,
    /// URLs; empty: none is known, since the catalog is only described.
    pub endpoints: Vec<String>,
}

/// All that is known of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// HTTP method, and path with query.
    pub request: String,
    /// The rule that has it; `None`: it is called by its method path, or not at all.
    pub rule: Option<RuleLine>,
    pub method: Option<MethodLine>,
    pub variables: Vec<Fill>,
    pub query: Vec<Fill>,
    /// What the body fills: `*`, the path of a field, or nothing.
    pub body: Option<String>,
    pub dialect: &'static str,
    /// The name of the route that had it; `None`: the call goes to its catalog's cluster.
    pub route: Option<String>,
    /// The routes for its method, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteTold>,
    pub upstream: Option<UpstreamLine>,
    /// What the caller is told at once, without an upstream.
    pub told: Option<Told>,
    /// Settings of the method that differ from the default, by name.
    pub settings: Vec<(String, String)>,
    /// Other rules that the path could have meant, and why they have it not.
    pub others: Vec<Other>,
}

/// A rule, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleLine {
    pub verb: String,
    pub template: String,
    /// `file:line:column`.
    pub place: String,
}

/// A method, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MethodLine {
    /// `pkg.Service.Method`.
    pub name: String,
    pub kind: &'static str,
    pub request: String,
    pub response: String,
    pub catalog: String,
    /// `file:line:column`.
    pub place: String,
}

/// A value, and the field that it fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fill {
    pub name: String,
    pub value: String,
    /// A path of proto names; `None`: it fills nothing.
    pub field: Option<String>,
    /// Why it fills nothing.
    pub why: Option<String>,
}

/// What goes upstream, and where to.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamLine {
    #[serde(flatten)]
    pub to: Upstream,
    /// `:path`.
    pub path: String,
    /// How long the upstream has, from the metadata; `None`: as long as it likes.
    pub deadline: Option<String>,
    pub metadata: Vec<(String, String)>,
    /// The messages in protobuf's own JSON; a text tells why one cannot be shown.
    pub messages: Vec<Box<RawValue>>,
}

/// A rule that does not have the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    #[serde(flatten)]
    pub rule: RuleLine,
    /// `pkg.Service.Method`.
    pub method: String,
    /// Why not, for people.
    pub why: String,
}

/// Messages that are shown; a body may be millions.
const MOST_MESSAGES: usize = 20;

/// Rules that are shown beside the one that has it.
const MOST_OTHERS: usize = 12;

/// Explains what becomes of a request. `catalogs` are those that the table was built from, and `targets`, if there are
/// routes, was resolved for; `upstream` tells of a cluster who answers its calls.
pub fn explain(
    catalogs: &[Arc<Catalog>],
    table: &Table,
    asked: &Asked<'_>,
    outcome: &Outcome,
    targets: Option<&Targets>,
    upstream: impl Fn(&str) -> Upstream,
) -> Explanation {
    let found = found(catalogs, table, asked, outcome);
    let called = found.method.and_then(|at| at.of(catalogs));
    let mut explanation = Explanation {
        request: format!("{} {}", asked.verb, target(asked)),
        rule: None,
        method: called.map(|(catalog, method)| MethodLine::new(catalog, method)),
        variables: Vec::new(),
        query: Vec::new(),
        body: None,
        dialect: outcome.dialect,
        route: outcome.route.as_ref().map(|(name, _)| name.clone()),
        routes: Vec::new(),
        upstream: None,
        told: outcome.told.clone(),
        settings: called.map(|(_, method)| settings(method)).unwrap_or_default(),
        others: Vec::new(),
    };
    let taken = found.rule.and_then(|(at, index)| binding_of(catalogs, at, index));
    if let Some((catalog, method, rule)) = taken {
        explanation.rule = Some(RuleLine::new(rule));
        explanation.bound(catalog, method, rule, &found.values, asked.query);
    }
    explanation.others = others(catalogs, table, asked, taken.map(|(_, _, rule)| rule), called.is_some());
    if let (Some(carried), Some((catalog, method))) = (&outcome.carried, called) {
        let named = outcome.route.as_ref().and_then(|(_, cluster)| cluster.as_deref());
        let upstream = upstream(named.unwrap_or(&catalog.cluster));
        explanation.upstream = Some(UpstreamLine::new(&catalog.schema, method, carried, upstream));
    }
    if let (Some(targets), Some(method)) = (targets, &explanation.method) {
        explanation.routes = rules_of(&method.name, table, targets);
    }
    explanation
}

/// What the table says of a request.
#[derive(Default)]
struct Found {
    method: Option<MethodRef>,
    /// The rule, if it came by one: its method, and its index there.
    rule: Option<(MethodRef, usize)>,
    /// Of the rule's variables.
    values: Vec<String>,
}

/// A method path means its method where POST comes to it, or no rule has it. What was carried is the last word: a POST may
/// say that it stands for another verb.
fn found(catalogs: &[Arc<Catalog>], table: &Table, asked: &Asked<'_>, outcome: &Outcome) -> Found {
    let by_path = table.method(asked.path);
    let by_rule = |verb: &http::Method| match table.template(verb, asked.host, asked.path) {
        Match::Found { method, binding, variables } => {
            let values = variables.iter().map(|value| value.to_string()).collect();
            Some(Found { method: Some(method), rule: Some((method, binding)), values })
        }
        Match::Malformed { method, binding, .. } => {
            Some(Found { method: Some(method), rule: Some((method, binding)), values: Vec::new() })
        }
        Match::WrongVerb { .. } | Match::None => None,
    };
    let is_carried = |found: &Found| match (&outcome.carried, found.method.and_then(|at| at.of(catalogs))) {
        (Some(carried), Some((_, method))) => *method.path == *carried.path,
        _ => true,
    };
    let own = by_path.map(|method| Found { method: Some(method), ..Found::default() });
    let first = match (by_rule(asked.verb), own) {
        (rule, Some(own)) if *asked.verb == http::Method::POST || rule.is_none() => own,
        (rule, _) => rule.unwrap_or_default(),
    };
    if first.method.is_some() && is_carried(&first) || outcome.carried.is_none() {
        return first;
    }
    let candidates = table.candidates(asked.verb, asked.host, asked.path);
    let verbs = candidates.iter().filter_map(|one| match &binding_of(catalogs, one.method, one.binding)?.2.verb {
        Verb::Exact(verb) => Some(verb),
        Verb::Any => None,
    });
    verbs.filter_map(by_rule).find(is_carried).unwrap_or(first)
}

/// What differs from the default, without the form that only developers of the edge know.
fn settings(method: &Method) -> Vec<(String, String)> {
    let bare = |value: String| match value.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => inner.to_owned(),
        None => value,
    };
    method.settings.changes().into_iter().map(|(name, value)| (name, bare(value))).collect()
}

fn target(asked: &Asked<'_>) -> String {
    let query = asked.query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", asked.path)
}

fn binding_of(catalogs: &[Arc<Catalog>], at: MethodRef, index: usize) -> Option<(&Catalog, &Method, &Binding)> {
    let (catalog, method) = at.of(catalogs)?;
    Some((catalog, method, method.bindings.get(index)?))
}

fn dotted(method: &Method) -> String {
    method.path.trim_start_matches('/').replace('/', ".")
}

// === impl Explanation ===

impl Explanation {
    /// The explanation as JSON.
    pub fn to_json(&self) -> String {
        // there is nothing in it that JSON has not
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Asks the binder what each value fills, one by one, so that a mistake in one hides nothing of the others.
    fn bound(&mut self, catalog: &Catalog, method: &Method, rule: &Binding, values: &[String], query: Option<&str>) {
        let (schema, options) = (&catalog.schema, ReadOptions::from(&method.settings));
        let bound = |variables: &[(usize, Cow<'_, str>)], query: Option<&str>| match bind(
            schema,
            method.input,
            rule,
            variables,
            query,
            &options,
        ) {
            Ok(bound) => (bound.filled(schema, method.input).into_iter().next().map(|fill| fill.field), None),
            Err(bad) => (None, Some(bad.to_string())),
        };
        let named = rule.template.variables.iter().zip(values).enumerate();
        self.variables = named
            .map(|(at, (variable, value))| {
                let (field, why) = bound(&[(at, Cow::Borrowed(value))], None);
                Fill { name: variable.path.to_string(), value: value.clone(), field, why }
            })
            .collect();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        self.query = pairs
            .map(|pair| {
                let (field, why) = bound(&[], Some(pair));
                let decoded = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
                Fill { name: decoded.0.into_owned(), value: decoded.1.into_owned(), field, why }
            })
            .collect();
        self.body = match rule.body {
            Body::None => None,
            Body::All => Some("*".into()),
            Body::Field(index) => {
                catalog.schema.message(method.input).field(index).map(|field| field.name().to_owned())
            }
        };
    }
}

/// The rules that lost, and those that the path nearly is of.
fn others(
    catalogs: &[Arc<Catalog>],
    table: &Table,
    asked: &Asked<'_>,
    taken: Option<&Binding>,
    is_found: bool,
) -> Vec<Other> {
    let mut others = Vec::new();
    for Candidate { method, binding, fate } in table.candidates(asked.verb, asked.host, asked.path) {
        let Some((catalog, method, rule)) = binding_of(catalogs, method, binding) else { continue };
        if fate == Fate::Taken && taken.is_some() {
            continue;
        }
        others.push(Other {
            rule: RuleLine::new(rule),
            method: dotted(method),
            why: why(catalog, method, rule, fate, taken),
        });
    }
    // who found something wants to know its rivals alone
    let most = if is_found || !others.is_empty() { 0 } else { 5 };
    for Near { method, rule, why } in near(catalogs, asked, most) {
        if !others.iter().any(|other| other.rule == RuleLine::new(rule)) {
            others.push(Other { rule: RuleLine::new(rule), method: dotted(method), why });
        }
    }
    others.truncate(MOST_OTHERS);
    others
}

fn why(catalog: &Catalog, method: &Method, rule: &Binding, fate: Fate, taken: Option<&Binding>) -> String {
    match fate {
        Fate::Taken => "the path is a method's own, and POST to it means the method".into(),
        Fate::WrongVerb => format!("is for {}", rule.verb),
        Fate::WrongHost => {
            let hosts = catalog.services.get(method.service).map(|service| service.hosts.join(", "));
            format!("is for another host: {}", hosts.unwrap_or_default())
        }
        Fate::Disputed => "another rule claims the same, so that neither is reached".into(),
        Fate::LessExact => match taken.and_then(|taken| first_difference(taken, rule)) {
            Some(text) => text,
            None => "is less exact: the other is for this HTTP method or this host alone".into(),
        },
    }
}

/// Where the templates part.
fn first_difference(taken: &Binding, rule: &Binding) -> Option<String> {
    use crate::catalog::Segment;
    if let (Some(verb), None) = (&taken.template.verb, &rule.template.verb) {
        return Some(format!("is without the verb \":{verb}\""));
    }
    let shown = |segment: Option<&Segment>| match segment {
        None => "nothing".to_owned(),
        Some(Segment::Literal(text)) => format!("{text:?}"),
        Some(Segment::Star) => "*".to_owned(),
        Some(Segment::DoubleStar) => "**".to_owned(),
    };
    let longest = taken.template.segments.len().max(rule.template.segments.len());
    let at = (0..longest).find(|at| taken.template.segments.get(*at) != rule.template.segments.get(*at))?;
    let (better, worse) = (taken.template.segments.get(at), rule.template.segments.get(at));
    Some(format!("is less exact: has {} where the other has {} (segment {})", shown(worse), shown(better), at + 1))
}

// === impl RuleLine ===

impl RuleLine {
    fn new(binding: &Binding) -> RuleLine {
        RuleLine {
            verb: binding.verb.to_string(),
            template: binding.template.text.to_string(),
            place: binding.place.to_string(),
        }
    }
}

// === impl MethodLine ===

impl MethodLine {
    fn new(catalog: &Catalog, method: &Method) -> MethodLine {
        MethodLine {
            name: dotted(method),
            kind: method.kind.as_str(),
            request: catalog.schema.message(method.input).name.to_string(),
            response: catalog.schema.message(method.output).name.to_string(),
            catalog: catalog.name.to_string(),
            place: method.place.to_string(),
        }
    }
}

// === impl UpstreamLine ===

impl UpstreamLine {
    fn new(schema: &Schema, method: &Method, carried: &Carried, to: Upstream) -> UpstreamLine {
        let shown = carried.messages.iter().take(MOST_MESSAGES).map(|message| match message {
            Some(wire) => message_json(schema, method, wire),
            None => raw(&Value::from("packed in a way that only the upstream reads")),
        });
        let mut messages: Vec<Box<RawValue>> = shown.collect();
        let more = carried.messages.len().saturating_sub(MOST_MESSAGES);
        if more > 0 {
            messages.push(raw(&Value::from(format!("and {more} more"))));
        }
        let timeout = carried.metadata.iter().find(|(name, _)| name == "grpc-timeout");
        let timeout = timeout.and_then(|(_, value)| parse_grpc_timeout(value.as_bytes()));
        UpstreamLine {
            to,
            path: carried.path.clone(),
            deadline: timeout.map(rounded),
            metadata: carried.metadata.clone(),
            messages,
        }
    }
}

/// Some of it has passed when the request is sent.
fn rounded(left: Duration) -> String {
    let tenths = left.as_millis().div_ceil(100);
    if tenths.is_multiple_of(10) { format!("{}s", tenths / 10) } else { format!("{}.{}s", tenths / 10, tenths % 10) }
}

fn message_json(schema: &Schema, method: &Method, wire: &[u8]) -> Box<RawValue> {
    let mut out = Vec::new();
    let options = PrintOptions { unknown_any: UnknownAny::Raw, ..PrintOptions::default() };
    match wire_to_json(schema, method.input, wire, &options, &mut out) {
        Ok(()) => String::from_utf8(out).ok().and_then(|text| RawValue::from_string(text).ok()),
        Err(bad) => Some(raw(&Value::from(format!("cannot be shown: {bad}")))),
    }
    .unwrap_or_else(|| raw(&Value::Null))
}

fn raw(value: &Value) -> Box<RawValue> {
    // a value is JSON, and so is null
    RawValue::from_string(value.to_string()).unwrap_or_default()
}
