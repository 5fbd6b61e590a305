//! The table of all routes of a generation: built once, then only read.

mod candidates;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::candidates::{Candidate, Fate};
use super::capture::{Captures, decode};
use super::quick::QuickMap;
use super::tree::{Entry, Hit, Query, Tree};
use crate::catalog::{
    Binding, Catalog, Conflicts, Method, Mistake, PathReading, Place, Service, Template, TemplateVariable,
};

/// After so many conflicts nobody reads on.
const MAX_MISTAKES: usize = 100;

/// All method paths and templates of all catalogs.
#[derive(Debug)]
pub struct Table {
    paths: QuickMap<Box<str>, MethodRef>,
    tree: Tree,
    rules: Box<[Rule]>,
    hosts: QuickMap<Box<str>, u32>,
    /// Whether some rule lets the path have a slash too many.
    lenient: bool,
    disputed: Box<[(MethodRef, usize)]>,
}

/// A method of one of the catalogs that the table was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodRef {
    /// Index into the catalogs.
    pub catalog: u32,
    /// Index into [`Catalog::methods`].
    pub method: u32,
}

/// What the templates say of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Match<'p> {
    Found {
        method: MethodRef,
        /// Index into [`Method::bindings`].
        binding: usize,
        /// One value per variable of the binding, in order.
        variables: Captures<'p>,
    },
    /// The path has rules, but none for this HTTP method; `allow` is the `Allow` field's value (RFC 9110, 10.2.1).
    WrongVerb {
        allow: String,
    },
    /// The path has a rule, but the value of a variable is not percent-encoded UTF-8: 400.
    Malformed {
        method: MethodRef,
        binding: usize,
        /// Index of the variable.
        variable: usize,
    },
    None,
}

/// What a walk needs to know of a rule to cut its variables out of a path.
#[derive(Debug)]
struct Rule {
    method: MethodRef,
    binding: u16,
    segments: u16,
    double: Option<u16>,
    variables: Box<[Span]>,
}

/// A variable's segments in the template.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u16,
    end: u16,
    /// `%2F` stays as it is.
    keep_slash: bool,
}

// === impl MethodRef ===

impl MethodRef {
    /// The method itself. `catalogs` are those that the table was built from; `None` if they are others.
    pub fn of(self, catalogs: &[Arc<Catalog>]) -> Option<(&Catalog, &Method)> {
        let catalog = catalogs.get(self.catalog as usize)?;
        Some((catalog, catalog.methods.get(self.method as usize)?))
    }
}

// === impl Table ===

impl Table {
    /// Builds the table; with it come warnings. Fails with all conflicts: two rules of one shape and HTTP method whose
    /// hosts overlap, or one method in two catalogs, unless the catalogs say that conflicts are only reported.
    pub fn build(catalogs: &[Arc<Catalog>]) -> Result<(Table, Vec<Mistake>), Vec<Mistake>> {
        let mut builder = Builder {
            catalogs,
            paths: QuickMap::default(),
            tree: Tree::new(),
            rules: Vec::new(),
            hosts: QuickMap::default(),
            lenient: false,
            disputed: Vec::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
        };
        for (c, catalog) in (0..).zip(catalogs) {
            for (m, method) in (0..).zip(&catalog.methods) {
                builder.add(MethodRef { catalog: c, method: m }, catalog, method);
            }
        }
        builder.finish()
    }

    /// The method with this path (`/pkg.Service/Method`), by one look-up.
    #[inline]
    pub fn method(&self, path: &str) -> Option<MethodRef> {
        self.paths.get(path).copied()
    }

    /// Matches a raw path, as sent but without the query, with the templates. A method path is for
    /// [`Table::method`], and comes first.
    ///
    /// `host`: the request's authority; port and case do not matter. A trailing slash counts, but for catalogs that are
    /// lenient there: it is an empty segment, which `**` takes and `*` does not. Where no rule is for HEAD, those for GET
    /// are (RFC 9110, 9.3.2). OPTIONS finds only rules of its own: what else the path takes is [`Match::WrongVerb`].
    pub fn template<'p>(&self, verb: &http::Method, host: Option<&str>, path: &'p str) -> Match<'p> {
        let query = Query { verb, exact: *verb == http::Method::HEAD, lenient: false, host: self.host(host) };
        let mut hit = self.find(query, path);
        if hit.is_none() && query.exact {
            hit = self.find(Query { verb: &http::Method::GET, exact: false, ..query }, path);
        }
        let Some(hit) = hit else {
            let allow = self.allow(host, path, &[]);
            return if allow.is_empty() { Match::None } else { Match::WrongVerb { allow } };
        };
        if hit.disputed {
            return Match::None;
        }
        match self.rules.get(hit.rule as usize) {
            Some(rule) => rule.capture(hit.rest),
            None => Match::None,
        }
    }

    /// The value of the `Allow` field for a path: the HTTP methods of its rules and of `others`, with those that the edge
    /// answers of its own where such there are, HEAD and OPTIONS. Empty: nothing is there.
    pub fn allow(&self, host: Option<&str>, path: &str, others: &[&str]) -> String {
        let query = Query { verb: &http::Method::OPTIONS, exact: false, lenient: false, host: self.host(host) };
        let mut verbs: BTreeSet<Box<str>> = others.iter().map(|verb| Box::from(*verb)).collect();
        self.tree.allowed(&query, path, &mut verbs);
        if let Some(shorter) = self.shorter(path) {
            self.tree.allowed(&Query { lenient: true, ..query }, shorter, &mut verbs);
        }
        if verbs.contains("GET") {
            verbs.insert("HEAD".into());
        }
        if !verbs.is_empty() {
            verbs.insert("OPTIONS".into());
        }
        verbs.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn find<'p>(&self, query: Query<'_>, path: &'p str) -> Option<Hit<'p>> {
        let hit = self.tree.find(&query, path);
        if hit.is_some() || !self.lenient {
            return hit;
        }
        self.tree.find(&Query { lenient: true, ..query }, self.shorter(path)?)
    }

    /// The path without its trailing slash, if it has one and some rule lets it.
    fn shorter<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_suffix('/').filter(|shorter| self.lenient && !shorter.is_empty())
    }

    /// Whether a template stays unrouted because another rule claims the same (`conflicts: report`).
    pub fn is_disputed(&self, method: MethodRef, binding: usize) -> bool {
        self.disputed.binary_search(&(method, binding)).is_ok()
    }

    fn host(&self, authority: Option<&str>) -> Option<u32> {
        if self.hosts.is_empty() {
            return None;
        }
        let authority = authority?;
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
            _ => authority,
        };
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.hosts.get(name.to_ascii_lowercase().as_str()).copied();
        }
        self.hosts.get(name).copied()
    }
}

// === impl Rule ===

impl Rule {
    /// `decode_slash`: see [`PathReading::decode_slash`].
    fn new(method: MethodRef, binding: usize, template: &Template, decode_slash: bool) -> Rule {
        // templates have at most 128 segments, rules few bindings
        let short = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let keep_slash = |v: &TemplateVariable| v.multi && !decode_slash;
        let span = |v: &TemplateVariable| Span { start: short(v.start), end: short(v.end), keep_slash: keep_slash(v) };
        Rule {
            method,
            binding: short(binding),
            segments: short(template.segments.len()),
            double: template.double_star().map(short),
            variables: template.variables.iter().map(span).collect(),
        }
    }

    fn capture<'p>(&self, rest: &'p str) -> Match<'p> {
        let method = self.method;
        let binding = usize::from(self.binding);
        let mut variables = Captures::new();
        if !self.variables.is_empty() {
            let count = if rest.is_empty() { 0 } else { memchr::memchr_iter(b'/', rest.as_bytes()).count() + 1 };
            for (i, span) in self.variables.iter().enumerate() {
                let raw = slice(rest, self.in_path(span.start, count), self.in_path(span.end, count));
                match decode(raw, span.keep_slash) {
                    Ok(value) => variables.push(value),
                    Err(_) => return Match::Malformed { method, binding, variable: i },
                }
            }
        }
        Match::Found { method, binding, variables }
    }

    /// From an index in the template to one in a path of `count` segments: what stands behind the `**` counts from
    /// the end.
    fn in_path(&self, index: u16, count: usize) -> usize {
        match self.double {
            Some(double) if index > double => count.saturating_sub(usize::from(self.segments - index)),
            _ => usize::from(index),
        }
    }
}

/// The segments `start..end` of a path.
fn slice(rest: &str, start: usize, end: usize) -> &str {
    if start >= end {
        return "";
    }
    let mut slashes = memchr::memchr_iter(b'/', rest.as_bytes());
    let from = match start.checked_sub(1) {
        None => Some(0),
        Some(skipped) => slashes.nth(skipped).map(|slash| slash + 1),
    };
    let to = slashes.nth(end - start - 1).unwrap_or(rest.len());
    from.and_then(|from| rest.get(from..to)).unwrap_or_default()
}

/// A table in the making.
struct Builder<'a> {
    catalogs: &'a [Arc<Catalog>],
    paths: QuickMap<Box<str>, MethodRef>,
    tree: Tree,
    rules: Vec<Rule>,
    hosts: QuickMap<Box<str>, u32>,
    lenient: bool,
    disputed: Vec<(MethodRef, usize)>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

// === impl Builder ===

impl Builder<'_> {
    fn add(&mut self, at: MethodRef, catalog: &Catalog, method: &Method) {
        if let Some(&other) = self.paths.get(&method.path) {
            let text = format!("method {} is in two catalogs: {}", method.path, self.both(at, other));
            let place = method.place.clone();
            let hint = "only the first catalog gets its calls";
            self.complain(at, other, Mistake::new(text).at(place), hint);
        } else {
            self.paths.insert(method.path.clone(), at);
        }
        let none: &[Box<str>] = &[];
        let hosts = catalog.services.get(method.service).map_or(none, |service: &Service| &service.hosts);
        for (i, binding) in method.bindings.iter().enumerate() {
            if hosts.is_empty() {
                self.add_rule(at, i, binding, None);
            }
            for host in hosts {
                let next = self.hosts.len() as u32;
                let host = *self.hosts.entry(host.clone()).or_insert(next);
                self.add_rule(at, i, binding, Some(host));
            }
        }
    }

    fn add_rule(&mut self, at: MethodRef, index: usize, binding: &Binding, host: Option<u32>) {
        // more than 2^32 rules fit no memory
        let rule = self.rules.len() as u32;
        let paths = self.catalogs.get(at.catalog as usize).map_or_else(PathReading::default, |catalog| catalog.paths);
        self.lenient |= paths.lenient_slash;
        let verb = binding.verb.clone();
        let entry = Entry { verb, host, rule, lenient: paths.lenient_slash, disputed: false };
        let leaf = self.tree.leaf(&binding.template);
        let Some(known) = leaf.iter_mut().find(|known| known.verb == entry.verb && known.host == host) else {
            leaf.push(entry);
            self.rules.push(Rule::new(at, index, &binding.template, paths.decode_slash));
            return;
        };
        let Some(other) = self.rules.get(known.rule as usize) else { return };
        let (other, other_index) = (other.method, usize::from(other.binding));
        if other == at && is_same_binding(self.catalogs, at, other_index, binding) {
            let text = format!("{} {:?} is listed twice", binding.verb, binding.template.text);
            return note(&mut self.warnings, Mistake::new(text).at(binding.place.clone()));
        }
        known.disputed = true;
        self.disputed.extend([(at, index), (other, other_index)]);
        self.complain_of_shape(at, binding, other, other_index);
    }

    fn complain_of_shape(&mut self, at: MethodRef, binding: &Binding, other: MethodRef, other_index: usize) {
        let Some((_, method)) = at.of(self.catalogs) else { return };
        let Some((_, other_method)) = other.of(self.catalogs) else { return };
        let Some(other_binding) = other_method.bindings.get(other_index) else { return };
        let text = format!(
            "{} {:?} of {} has the shape of {:?} of {} at {}",
            binding.verb,
            binding.template.text,
            method.path,
            other_binding.template.text,
            other_method.path,
            other_binding.place,
        );
        self.complain(at, other, Mistake::new(text).at(binding.place.clone()), "both stay unrouted");
    }

    /// A warning if both catalogs only report conflicts, otherwise a mistake.
    fn complain(&mut self, at: MethodRef, other: MethodRef, mistake: Mistake, reported: &str) {
        let reports = |at: MethodRef| {
            self.catalogs.get(at.catalog as usize).is_some_and(|catalog| catalog.conflicts == Conflicts::Report)
        };
        if reports(at) && reports(other) {
            note(&mut self.warnings, mistake.hint(reported));
        } else {
            let hint = "give their services different hosts, or say `conflicts: report`";
            note(&mut self.mistakes, mistake.hint(hint));
        }
    }

    fn both(&self, at: MethodRef, other: MethodRef) -> String {
        let name = |at: MethodRef| at.of(self.catalogs).map_or("?", |(catalog, _)| &catalog.name);
        let place = other.of(self.catalogs).map_or(Place::default(), |(_, method)| method.place.clone());
        format!("{} and {} ({place})", name(at), name(other))
    }

    fn finish(mut self) -> Result<(Table, Vec<Mistake>), Vec<Mistake>> {
        if !self.mistakes.is_empty() {
            let more = self.mistakes.len().saturating_sub(MAX_MISTAKES);
            self.mistakes.truncate(MAX_MISTAKES);
            if more > 0 {
                self.mistakes.push(Mistake::new(format!("and {more} more conflicts")));
            }
            return Err(self.mistakes);
        }
        self.disputed.sort_unstable();
        self.disputed.dedup();
        let table = Table {
            paths: self.paths,
            tree: self.tree,
            rules: self.rules.into(),
            hosts: self.hosts,
            lenient: self.lenient,
            disputed: self.disputed.into(),
        };
        Ok((table, self.warnings))
    }
}

fn is_same_binding(catalogs: &[Arc<Catalog>], at: MethodRef, index: usize, binding: &Binding) -> bool {
    let Some(other) = at.of(catalogs).and_then(|(_, method)| method.bindings.get(index)) else { return false };
    let shape = |b: &Binding| (b.template.clone(), b.variables.clone(), b.body, b.response_body);
    shape(other) == shape(binding)
}

/// A rule under several hosts collides several times; once is enough.
fn note(mistakes: &mut Vec<Mistake>, mistake: Mistake) {
    if mistakes.last() != Some(&mistake) {
        mistakes.push(mistake);
    }
}

#[cfg(test)]
mod tests;
