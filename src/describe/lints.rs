//! What in a catalog is allowed and yet hardly meant: for `transom check`.
//!
//! A lint is worth nothing if it cries over every catalog: each of these is silent on nearly all of googleapis.

use std::sync::Arc;

use percent_encoding::utf8_percent_encode;

use super::findings::{Finding, Level};
use super::openapi::ENCODED;
use crate::catalog::{
    Binding, Body, Catalog, Field, Idempotency, Known, Label, Method, Mistake, Segment, StreamKind, Verb,
};
use crate::route::{Match, MethodRef, Table};
use crate::transcode::takes_text;

/// The lints: names, which are stable, and what each is about.
pub const LINTS: [(&str, &str); 9] = [
    ("shadowed-rule", "Every request that fits the rule is for another one."),
    ("rule-of-method-path", "The template is the path of a method, where POST means that method."),
    ("body-on-bodiless-verb", "The rule has a body for GET, HEAD or DELETE, whose bodies mean nothing to HTTP."),
    ("stream-without-body", "The method takes a stream, but the rule takes no body: it is one message."),
    (
        "side-effects-unsaid",
        "The method is called by GET, but does not say NO_SIDE_EFFECTS as others of its service do.",
    ),
    ("http-body-misplaced", "A google.api.HttpBody stands where it is JSON and not the body itself."),
    ("field-out-of-reach", "No rule of the method can set the field."),
    ("body-bound-by-path", "The rule's body and its path fill the same field."),
    ("odd-verb", "The HTTP method of the rule is none that is registered."),
];

/// The message that is a body as it is.
const HTTP_BODY: &str = "google.api.HttpBody";

/// A segment that no template has as a literal, as far as can be foreseen.
const ANYTHING: &str = "transom-lint-any-1f0e";

/// The methods of HTTP that are registered (RFC 9110 and the registry behind it, 2024).
const REGISTERED: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

struct Linter<'a> {
    catalogs: &'a [Arc<Catalog>],
    table: &'a Table,
    found: Vec<Finding>,
}

/// A rule under the lens.
#[derive(Clone, Copy)]
struct Rule<'a> {
    at: MethodRef,
    index: usize,
    catalog: &'a Catalog,
    method: &'a Method,
    binding: &'a Binding,
}

/// All that is odd about these catalogs, of which the table was built; in the order of the catalogs.
pub fn lints(catalogs: &[Arc<Catalog>], table: &Table) -> Vec<Finding> {
    let mut linter = Linter { catalogs, table, found: Vec::new() };
    for (c, catalog) in (0..).zip(catalogs) {
        for (m, method) in (0..).zip(&catalog.methods) {
            let at = MethodRef { catalog: c, method: m };
            for (index, binding) in method.bindings.iter().enumerate() {
                linter.rule(Rule { at, index, catalog, method, binding });
            }
            linter.method(catalog, method);
        }
    }
    linter.found
}

// === impl Linter ===

impl<'a> Linter<'a> {
    fn note(&mut self, id: &'static str, rule: Rule<'_>, text: &str, hint: &str) {
        let Rule { method, binding, .. } = rule;
        let text = format!("rpc {}: {} {:?}: {text}", dotted(method), binding.verb, binding.template.text);
        let mistake = Mistake::new(text).at(binding.place.clone()).hint(hint);
        self.found.push(Finding { id, level: Level::Warning, mistake });
    }

    fn rule(&mut self, rule: Rule<'a>) {
        self.reachability(rule);
        let Rule { method, binding, .. } = rule;
        let verb = binding.verb.as_str();
        if binding.body != Body::None && matches!(verb, "GET" | "HEAD" | "DELETE") {
            let text = format!("has a body, which {verb} gives no meaning to, and proxies on the way may drop");
            self.note("body-on-bodiless-verb", rule, &text, "leave `body` out, or use POST");
        }
        if binding.body == Body::None && method.kind.client_streams() {
            let text = "takes one message, from path and query, of a method that takes a stream";
            self.note("stream-without-body", rule, text, "say `body: \"*\"` with POST");
        }
        if let Verb::Exact(verb) = &binding.verb
            && !REGISTERED.contains(&verb.as_str())
        {
            let text = format!("{verb} is no registered method of HTTP: most clients and proxies refuse it");
            self.note("odd-verb", rule, &text, "methods are in capitals, as GET");
        }
        if let Body::Field(index) = binding.body
            && binding.variables.iter().any(|variable| *variable.0 == [index])
        {
            let text = "the body fills a field that the path fills already, so that every body is refused";
            self.note("body-bound-by-path", rule, text, "name another field as `body`");
        }
        self.http_body(rule);
    }

    /// Asks the table for requests that were made of the rule itself.
    fn reachability(&mut self, rule: Rule<'a>) {
        let Rule { at, index, catalog, method, binding } = rule;
        if self.table.is_disputed(at, index) {
            return; // said when the table was built
        }
        let verbs = match &binding.verb {
            Verb::Exact(verb) => vec![verb.clone()],
            Verb::Any => vec![
                http::Method::GET,
                http::Method::POST,
                http::Method::PUT,
                http::Method::DELETE,
                http::Method::PATCH,
            ],
        };
        let service = catalog.services.get(method.service);
        let mut hosts: Vec<Option<&str>> =
            service.into_iter().flat_map(|service| &service.hosts).map(|host| Some(&**host)).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        let mut winner = None;
        for path in paths(binding) {
            for verb in &verbs {
                if *verb == http::Method::POST
                    && let Some(other) = self.table.method(&path)
                {
                    winner.get_or_insert((other, None));
                    continue;
                }
                for host in &hosts {
                    match self.table.template(verb, *host, &path) {
                        Match::Found { method, binding, .. } if (method, binding) == (at, index) => return,
                        Match::Found { method, binding, .. } => drop(winner.get_or_insert((method, Some(binding)))),
                        _ => {}
                    }
                }
            }
        }
        let Some((other, other_rule)) = winner else { return };
        let Some((_, other_method)) = other.of(self.catalogs) else { return };
        match other_rule.and_then(|index| other_method.bindings.get(index)) {
            Some(by) => {
                let text = format!(
                    "is never reached: {} {:?} of {} is for the same paths",
                    by.verb,
                    by.template.text,
                    dotted(other_method)
                );
                self.note("shadowed-rule", rule, &text, &format!("that rule is at {}", by.place));
            }
            None => {
                let text = format!("is the path of {}, where POST means that method", dotted(other_method));
                self.note("rule-of-method-path", rule, &text, "choose another path; the method has its own already");
            }
        }
    }

    fn http_body(&mut self, rule: Rule<'a>) {
        let Rule { catalog, method, binding, .. } = rule;
        let schema = &catalog.schema;
        let is_raw = |field: &Field| {
            field.label == Label::Singular
                && field.kind.message().is_some_and(|id| *schema.message(id).name == *HTTP_BODY)
        };
        let input = schema.message(method.input);
        let takes_content = !matches!(binding.verb.as_str(), "GET" | "HEAD" | "DELETE");
        if *input.name == *HTTP_BODY && binding.body == Body::None && takes_content {
            let text = "takes a google.api.HttpBody and no body: nothing can be sent";
            self.note("http-body-misplaced", rule, text, "say `body: \"*\"`");
        }
        let held = (0u16..).zip(&input.fields).find(|(_, field)| is_raw(field));
        // a form fills it, if all comes from the body
        if let Some((index, field)) = held
            && !matches!(binding.body, Body::All)
            && binding.body != Body::Field(index)
            && takes_content
        {
            let text =
                format!("{:?} is a google.api.HttpBody, but not the body: its content is base64 in JSON", field.name());
            self.note("http-body-misplaced", rule, &text, &format!("say `body: {:?}`", field.name()));
        }
        let output = schema.message(method.output);
        let shown = (0u16..).zip(&output.fields).find(|(_, field)| is_raw(field));
        // beside a rule that shows it, one that does not is meant so
        if let Some((index, field)) = shown
            && method.bindings.iter().all(|binding| binding.response_body != Some(index))
        {
            let text =
                format!("{:?} of the answer is a google.api.HttpBody: its content is base64 in JSON", field.name());
            self.note("http-body-misplaced", rule, &text, &format!("say `response_body: {:?}`", field.name()));
        }
    }

    /// What no rule of the method is right about.
    fn method(&mut self, catalog: &'a Catalog, method: &'a Method) {
        let Some(first) = method.bindings.first() else { return };
        let found = Rule { at: MethodRef { catalog: 0, method: 0 }, index: 0, catalog, method, binding: first };
        let is_got = method.bindings.iter().find(|binding| binding.verb.as_str() == "GET");
        if let Some(binding) = is_got
            && method.kind == StreamKind::Unary
            && method.idempotency == Idempotency::Unknown
            && others_say(catalog, method)
        {
            let text = "is called by GET, but the method does not say that it has no side effects";
            let hint = "say `option idempotency_level = NO_SIDE_EFFECTS;`, as other methods of the service do";
            self.note("side-effects-unsaid", Rule { binding, ..found }, text, hint);
        }
        for name in out_of_reach(catalog, method) {
            let text = format!(
                "{name:?} cannot be set: it is neither in the path nor the body, and no query parameter can hold it"
            );
            self.note(
                "field-out-of-reach",
                found,
                &text,
                "add a rule with a body, or leave the field to gRPC callers on purpose",
            );
        }
    }
}

fn dotted(method: &Method) -> String {
    method.path.trim_start_matches('/').replace('/', ".")
}

/// Paths that fit the rule's template: with no, one and two segments for a `**`.
fn paths(binding: &Binding) -> Vec<String> {
    let spans = if binding.template.double_star().is_some() { 0..=2 } else { 0..=0 };
    let path = |span: usize| {
        let mut path = String::new();
        for segment in &binding.template.segments {
            let (part, times) = match segment {
                Segment::Literal(text) => (utf8_percent_encode(text, ENCODED).to_string(), 1),
                Segment::Star => (ANYTHING.to_owned(), 1),
                Segment::DoubleStar => (ANYTHING.to_owned(), span),
            };
            for _ in 0..times {
                path.push('/');
                path.push_str(&part);
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        if let Some(verb) = &binding.template.verb {
            path.push(':');
            path.push_str(verb);
        }
        path
    };
    spans.map(path).collect()
}

/// Whether other methods of the service say what they do.
fn others_say(catalog: &Catalog, method: &Method) -> bool {
    let service = catalog.services.get(method.service);
    let methods = service.and_then(|service| catalog.methods.get(service.methods.clone())).unwrap_or_default();
    methods.iter().any(|other| other.idempotency == Idempotency::NoSideEffects)
}

/// Fields at the top of the request that text cannot fill, and no rule's body does.
fn out_of_reach<'a>(catalog: &'a Catalog, method: &Method) -> Vec<&'a str> {
    if method.settings.rest.query_brackets {
        return Vec::new();
    }
    let schema = &catalog.schema;
    let input = schema.message(method.input);
    let is_part = |field: &Field| {
        let nested = field.kind.message().filter(|_| field.label == Label::Singular);
        nested.is_some_and(|id| schema.message(id).known == Known::None)
    };
    let fields = (0u16..).zip(&input.fields).filter(|(_, field)| !field.is_extension());
    let reached = |index: u16, field: &Field| {
        method.bindings.iter().any(|binding| {
            let by_body = binding.body == Body::All || binding.body == Body::Field(index);
            by_body || takes_text(schema, field) || is_part(field)
        })
    };
    // what nothing can be in needs no way to be set
    let says_something = |field: &Field| field.kind.message().is_none_or(|id| schema.message(id).known != Known::Empty);
    fields
        .filter(|(index, field)| says_something(field) && !reached(*index, field))
        .map(|(_, field)| field.name())
        .collect()
}
