//! The table of all routes of a generation: built once, then only read.

use std::sync::Arc;

use super::capture::{Captures, decode};
use super::quick::QuickMap;
use super::tree::{Entry, Query, Tree};
use crate::catalog::{Binding, Catalog, Conflicts, Method, Mistake, Place, Service, Template, TemplateVariable};

/// After so many conflicts nobody reads on.
const MAX_MISTAKES: usize = 100;

/// All method paths and templates of all catalogs.
#[derive(Debug)]
pub struct Table {
    paths: QuickMap<Box<str>, MethodRef>,
    tree: Tree,
    rules: Box<[Rule]>,
    hosts: QuickMap<Box<str>, u32>,
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
    multi: bool,
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
    /// [`Table::method`], and comes first; HEAD and OPTIONS find only rules of their own.
    ///
    /// `host`: the request's authority; port and case do not matter. A trailing slash counts: it is an empty segment,
    /// which `**` takes and `*` does not.
    pub fn template<'p>(&self, verb: &http::Method, host: Option<&str>, path: &'p str) -> Match<'p> {
        let query = Query { verb, host: self.host(host) };
        let Some(hit) = self.tree.find(&query, path) else {
            let allowed = self.tree.allowed(&query, path);
            if allowed.is_empty() {
                return Match::None;
            }
            return Match::WrongVerb { allow: allowed.into_iter().collect::<Vec<_>>().join(", ") };
        };
        if hit.disputed {
            return Match::None;
        }
        match self.rules.get(hit.rule as usize) {
            Some(rule) => rule.capture(hit.rest),
            None => Match::None,
        }
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
    fn new(method: MethodRef, binding: usize, template: &Template) -> Rule {
        // templates have at most 128 segments, rules few bindings
        let short = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let span = |v: &TemplateVariable| Span { start: short(v.start), end: short(v.end), multi: v.multi };
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
                match decode(raw, span.multi) {
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
        let entry = Entry { verb: binding.verb.clone(), host, rule, disputed: false };
        let leaf = self.tree.leaf(&binding.template);
        let Some(known) = leaf.iter_mut().find(|known| known.verb == entry.verb && known.host == host) else {
            leaf.push(entry);
            self.rules.push(Rule::new(at, index, &binding.template));
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
mod tests {
    use super::*;
    use crate::catalog::{Body, FieldPath, Idempotency, MessageId, MethodSettings, Schema, Segment, StreamKind, Verb};

    /// Its hosts, and its rules: HTTP method and template.
    type Written<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

    /// A catalog of methods that have one rule each: HTTP method, template.
    fn catalog(conflicts: Conflicts, services: &[Written<'_>]) -> Arc<Catalog> {
        let mut methods = Vec::new();
        let mut listed = Vec::new();
        for (s, (hosts, rules)) in services.iter().enumerate() {
            let start = methods.len();
            for (verb, template) in *rules {
                let n = methods.len();
                methods.push(method(s, n, vec![binding(verb, template, n as u32)]));
            }
            listed.push(Service {
                name: format!("a.S{s}").into(),
                methods: start..methods.len(),
                hosts: hosts.iter().map(|host| Box::from(*host)).collect(),
                place: Place::default(),
            });
        }
        Arc::new(Catalog {
            name: "test".into(),
            schema: Schema::default(),
            services: listed.into(),
            methods: methods.into(),
            cluster: "c".into(),
            conflicts,
            auto_mapping: true,
            pass_unknown_methods: false,
            descriptor_set: bytes::Bytes::new(),
        })
    }

    fn method(service: usize, n: usize, bindings: Vec<Binding>) -> Method {
        Method {
            path: format!("/a.S{service}/M{n}").into(),
            service,
            name: format!("M{n}").into(),
            input: MessageId(0),
            output: MessageId(0),
            kind: StreamKind::Unary,
            idempotency: Idempotency::Unknown,
            bindings: bindings.into(),
            settings: MethodSettings::default(),
            place: Place::new("a.proto", n as u32 + 1, 1),
        }
    }

    fn binding(verb: &str, template: &str, line: u32) -> Binding {
        let template = Template::parse(template).unwrap();
        Binding {
            verb: Verb::parse(verb).unwrap(),
            variables: template.variables.iter().map(|_| FieldPath(Box::new([0]))).collect(),
            template,
            body: Body::None,
            response_body: None,
            place: Place::new("a.proto", line + 1, 3),
        }
    }

    fn table(rules: &[(&str, &str)]) -> Table {
        Table::build(&[catalog(Conflicts::Refuse, &[(&[], rules)])]).unwrap().0
    }

    /// The number of the method and its values, or what else came.
    fn look(table: &Table, verb: &str, path: &str) -> Result<(u32, Vec<String>), String> {
        look_at(table, verb, None, path)
    }

    fn look_at(table: &Table, verb: &str, host: Option<&str>, path: &str) -> Result<(u32, Vec<String>), String> {
        match table.template(&verb.parse().unwrap(), host, path) {
            Match::Found { method, variables, .. } => {
                Ok((method.method, variables.iter().map(|value| value.to_string()).collect()))
            }
            Match::WrongVerb { allow } => Err(allow),
            Match::Malformed { .. } => Err("malformed".into()),
            Match::None => Err("none".into()),
        }
    }

    fn found(n: u32, values: &[&str]) -> Result<(u32, Vec<String>), String> {
        Ok((n, values.iter().map(|value| value.to_string()).collect()))
    }

    fn none<T>(what: &str) -> Result<T, String> {
        Err(what.into())
    }

    #[test]
    fn literals_come_before_stars_and_stars_before_double_stars_in_any_order() {
        let rules = [("GET", "/v1/{a=**}"), ("GET", "/v1/{a}"), ("GET", "/v1/x"), ("GET", "/v1/x/{b}")];
        for rotated in 0..rules.len() {
            let mut rules = rules;
            rules.rotate_left(rotated);
            let table = table(&rules);
            let n = |text: &str| rules.iter().position(|(_, rule)| *rule == text).unwrap() as u32;
            assert_eq!(look(&table, "GET", "/v1/x"), found(n("/v1/x"), &[]));
            assert_eq!(look(&table, "GET", "/v1/y"), found(n("/v1/{a}"), &["y"]));
            assert_eq!(look(&table, "GET", "/v1/x/y"), found(n("/v1/x/{b}"), &["y"]));
            assert_eq!(look(&table, "GET", "/v1/y/x"), found(n("/v1/{a=**}"), &["y/x"]));
            assert_eq!(look(&table, "GET", "/v1"), found(n("/v1/{a=**}"), &[""]));
        }
    }

    #[test]
    fn a_more_specific_way_that_fails_is_taken_back() {
        let table = table(&[("GET", "/a/b/c"), ("GET", "/a/{x}/d"), ("GET", "/{y=**}"), ("POST", "/a/b/d")]);
        assert_eq!(look(&table, "GET", "/a/b/d"), found(1, &["b"]));
        assert_eq!(look(&table, "GET", "/a/b/e"), found(2, &["a/b/e"]));
        assert_eq!(look(&table, "POST", "/a/b/d"), found(3, &[]));
        assert_eq!(look(&table, "PUT", "/a/b/d"), none("GET, POST"));
    }

    #[test]
    fn segments_may_follow_a_double_star() {
        let table = table(&[
            ("GET", "/v1/{parent=projects/*/databases/*/documents/*/**}/{collection}"),
            ("GET", "/v2/{name=**/sessions/*}/end"),
            ("GET", "/v2/{name=**}/{last}"),
        ]);
        assert_eq!(
            look(&table, "GET", "/v1/projects/p/databases/d/documents/x/y/z/c"),
            found(0, &["projects/p/databases/d/documents/x/y/z", "c"])
        );
        assert_eq!(
            look(&table, "GET", "/v1/projects/p/databases/d/documents/x/c"),
            found(0, &["projects/p/databases/d/documents/x", "c"])
        );
        assert_eq!(look(&table, "GET", "/v1/projects/p/databases/d/documents/x"), none("none"));
        assert_eq!(look(&table, "GET", "/v2/a/b/sessions/s/end"), found(1, &["a/b/sessions/s"]));
        assert_eq!(look(&table, "GET", "/v2/sessions/s/end"), found(1, &["sessions/s"]));
        assert_eq!(look(&table, "GET", "/v2/a/b"), found(2, &["a", "b"]));
        assert_eq!(look(&table, "GET", "/v2/b"), found(2, &["", "b"]));
    }

    #[test]
    fn a_verb_counts_only_where_a_rule_of_that_shape_has_it() {
        let table = table(&[
            ("POST", "/v1/{name=jobs/*}:cancel"),
            ("GET", "/v1/{name=jobs/*}"),
            ("GET", "/v1/{name=files/**}"),
            ("POST", "/v1/{name=files/**}:undelete"),
        ]);
        assert_eq!(look(&table, "POST", "/v1/jobs/1:cancel"), found(0, &["jobs/1"]));
        assert_eq!(look(&table, "POST", "/v1/jobs/a:b:cancel"), found(0, &["jobs/a:b"]));
        assert_eq!(look(&table, "GET", "/v1/jobs/1:other"), found(1, &["jobs/1:other"]));
        assert_eq!(look(&table, "GET", "/v1/jobs/1:undelete"), found(1, &["jobs/1:undelete"]));
        assert_eq!(look(&table, "GET", "/v1/jobs/1:cancel"), found(1, &["jobs/1:cancel"]));
        assert_eq!(look(&table, "POST", "/v1/files/a/b:undelete"), found(3, &["files/a/b"]));
        assert_eq!(look(&table, "POST", "/v1/files/a:undelete/b"), none("GET"));
        assert_eq!(look(&table, "DELETE", "/v1/jobs/1:cancel"), none("GET, POST"));
        assert_eq!(look(&table, "POST", "/v1/jobs/1%3Acancel"), none("GET"));
        assert_eq!(look(&table, "POST", "/v1/jobs/1:c%61ncel"), found(0, &["jobs/1"]));
    }

    #[test]
    fn values_are_decoded_and_a_multi_segment_one_keeps_its_encoded_slashes() {
        let table = table(&[("GET", "/s/{a}"), ("GET", "/m/{a=**}"), ("GET", "/caf%C3%A9/x")]);
        assert_eq!(look(&table, "GET", "/s/a%2Fb%20c"), found(0, &["a/b c"]));
        assert_eq!(look(&table, "GET", "/m/a%2fb/c%20d%2F"), found(1, &["a%2fb/c d%2F"]));
        assert_eq!(look(&table, "GET", "/%6d/x"), found(1, &["x"]));
        assert_eq!(look(&table, "GET", "/caf%c3%a9/x"), found(2, &[]));
        assert_eq!(look(&table, "GET", "/s/%zz"), none("malformed"));
        assert_eq!(look(&table, "GET", "/s/%ff"), none("malformed"));
        assert_eq!(look(&table, "GET", "/%zz/x"), none("none"));
        assert_eq!(look(&table, "GET", "/s/a+b"), found(0, &["a+b"]));
    }

    #[test]
    fn empty_segments_are_no_values() {
        let table = table(&[("GET", "/"), ("GET", "/s"), ("GET", "/s/{a}"), ("GET", "/m/{a=**}")]);
        assert_eq!(look(&table, "GET", "/"), found(0, &[]));
        assert_eq!(look(&table, "GET", "/s/"), none("none"));
        assert_eq!(look(&table, "GET", "/s//"), none("none"));
        assert_eq!(look(&table, "GET", "/m/"), found(3, &[""]));
        assert_eq!(look(&table, "GET", "/m//x/"), found(3, &["/x/"]));
        for odd in ["", "*", "s", "//s"] {
            assert_eq!(look(&table, "GET", odd), none("none"), "{odd}");
        }
    }

    #[test]
    fn any_verb_comes_after_the_exact_one_and_head_and_options_find_only_their_own() {
        let table = table(&[("*", "/a"), ("GET", "/a"), ("GET", "/b"), ("OPTIONS", "/c")]);
        assert_eq!(look(&table, "GET", "/a"), found(1, &[]));
        assert_eq!(look(&table, "OPTIONS", "/a"), found(0, &[]));
        assert_eq!(look(&table, "HEAD", "/b"), none("GET"));
        assert_eq!(look(&table, "OPTIONS", "/b"), none("GET"));
        assert_eq!(look(&table, "OPTIONS", "/c"), found(3, &[]));
    }

    #[test]
    fn two_rules_of_one_shape_are_refused_with_both_places() {
        let rules: &[(&str, &str)] = &[("GET", "/v1/{a}/x"), ("GET", "/v1/{b=*}/x"), ("POST", "/v1/{a}/x")];
        let mistakes = Table::build(&[catalog(Conflicts::Refuse, &[(&[], rules)])]).unwrap_err();
        let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].starts_with("a.proto:2:3: ") && texts[0].contains("at a.proto:1:3"), "{texts:?}");
    }

    #[test]
    fn reported_conflicts_leave_only_these_templates_unrouted() {
        let rules: &[(&str, &str)] =
            &[("GET", "/v1/{a}"), ("GET", "/v1/{b}"), ("GET", "/v1/{c=**}"), ("GET", "/v2"), ("GET", "/v1/{d}")];
        let catalogs = [catalog(Conflicts::Report, &[(&[], rules)])];
        let (table, warnings) = Table::build(&catalogs).unwrap();
        assert_eq!(warnings.len(), 2);
        assert_eq!(look(&table, "GET", "/v1/x"), none("none"), "must not fall to a rule that means something else");
        assert_eq!(look(&table, "GET", "/v1/x/y"), found(2, &["x/y"]));
        assert_eq!(look(&table, "GET", "/v2"), found(3, &[]));
        let disputed: Vec<_> =
            (0..5).filter(|&method| table.is_disputed(MethodRef { catalog: 0, method }, 0)).collect();
        assert_eq!(disputed, [0, 1, 4]);
    }

    #[test]
    fn services_of_different_hosts_may_share_a_shape() {
        let rule: &[(&str, &str)] = &[("GET", "/v1/{a}")];
        let services: &[Written<'_>] = &[(&["one.example"], rule), (&["two.example", "[::1]"], rule), (&[], rule)];
        let (table, _) = Table::build(&[catalog(Conflicts::Refuse, services)]).unwrap();
        assert_eq!(look_at(&table, "GET", Some("One.Example:443"), "/v1/x"), found(0, &["x"]));
        assert_eq!(look_at(&table, "GET", Some("two.example"), "/v1/x"), found(1, &["x"]));
        assert_eq!(look_at(&table, "GET", Some("[::1]:80"), "/v1/x"), found(1, &["x"]));
        assert_eq!(look_at(&table, "GET", Some("[::1]"), "/v1/x"), found(1, &["x"]));
        assert_eq!(look_at(&table, "GET", Some("three.example"), "/v1/x"), found(2, &["x"]));
        assert_eq!(look_at(&table, "GET", None, "/v1/x"), found(2, &["x"]));
        let overlapping: &[Written<'_>] = &[(&["a", "b"], rule), (&["b", "c"], rule)];
        assert_eq!(Table::build(&[catalog(Conflicts::Refuse, overlapping)]).unwrap_err().len(), 1);
    }

    #[test]
    fn a_method_in_two_catalogs_is_a_mistake_or_goes_to_the_first() {
        let one = |conflicts| catalog(conflicts, &[(&[], &[("GET", "/x")])]);
        assert_eq!(Table::build(&[one(Conflicts::Refuse), one(Conflicts::Report)]).unwrap_err().len(), 2);
        let (table, warnings) = Table::build(&[one(Conflicts::Report), one(Conflicts::Report)]).unwrap();
        assert_eq!(warnings.len(), 2);
        assert_eq!(table.method("/a.S0/M0"), Some(MethodRef { catalog: 0, method: 0 }));
        assert_eq!(table.method("/a.S0/M1"), None);
    }

    /// All ways in which a template fits a path: for each its choices (literal 0, `*` 1, `**` entered 2, a segment
    /// taken by it 3) and which path segment each template segment starts at.
    fn ways(template: &[Segment], path: &[&str]) -> Vec<(Vec<u8>, Vec<usize>)> {
        let Some((first, later)) = template.split_first() else {
            return if path.is_empty() { vec![(vec![], vec![])] } else { vec![] };
        };
        let taken = |count: usize, choices: Vec<u8>| {
            ways(later, &path[count..]).into_iter().map(move |(more, widths)| {
                let all: Vec<u8> = choices.iter().copied().chain(more).collect();
                (all, std::iter::once(count).chain(widths).collect::<Vec<usize>>())
            })
        };
        match first {
            Segment::Literal(text) => match path.first() {
                Some(segment) if decode(segment, false).is_ok_and(|s| s == **text) => taken(1, vec![0]).collect(),
                _ => vec![],
            },
            Segment::Star => match path.first() {
                Some(segment) if !segment.is_empty() => taken(1, vec![1]).collect(),
                _ => vec![],
            },
            Segment::DoubleStar => (0..=path.len())
                .flat_map(|count| taken(count, std::iter::once(2).chain(std::iter::repeat_n(3, count)).collect()))
                .collect(),
        }
    }

    /// What the matcher must find, by trying everything.
    fn naive(rules: &[(&str, String)], verb: &str, path: &str) -> Result<(u32, Vec<String>), String> {
        let mut allow = std::collections::BTreeSet::new();
        let rest = &path[1..];
        let mut passes = vec![(None, rest)];
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        if let Some(colon) = rest[last..].rfind(':') {
            passes.insert(0, (Some(&rest[last + colon + 1..]), &rest[..last + colon]));
        }
        for (wanted, rest) in passes {
            let segments: Vec<&str> = if rest.is_empty() { vec![] } else { rest.split('/').collect() };
            let mut best: Option<(Vec<u8>, u8, u32, Vec<String>)> = None;
            for (n, (rule_verb, template)) in rules.iter().enumerate() {
                let template = Template::parse(template).unwrap();
                if template.verb.as_deref() != wanted {
                    continue;
                }
                for (choices, widths) in ways(&template.segments, &segments) {
                    allow.insert(*rule_verb);
                    if *rule_verb != verb && *rule_verb != "*" {
                        continue;
                    }
                    let start = |index: usize| widths[..index].iter().sum::<usize>();
                    let values = template.variables.iter().map(|v| {
                        decode(&segments[start(v.start)..start(v.end)].join("/"), v.multi).unwrap().into_owned()
                    });
                    let candidate = (choices, u8::from(*rule_verb == "*"), n as u32, values.collect());
                    if best.as_ref().is_none_or(|best| (&candidate.0, candidate.1) < (&best.0, best.1)) {
                        best = Some(candidate);
                    }
                }
            }
            if let Some((_, _, n, values)) = best {
                return Ok((n, values));
            }
        }
        if allow.is_empty() { Err("none".into()) } else { Err(allow.into_iter().collect::<Vec<_>>().join(", ")) }
    }

    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % sides
        }

        fn template(&mut self) -> String {
            let mut text = String::new();
            let mut double = false;
            for i in 0..1 + self.roll(5) {
                let segment = match self.roll(9) {
                    0..4 => ["a", "b", "c", "a:b"][self.roll(4)].to_owned(),
                    4 => "*".to_owned(),
                    5 if !double => {
                        double = true;
                        ["**".to_owned(), format!("{{v{i}=**}}"), format!("{{v{i}=b/**/a}}")][self.roll(3)].clone()
                    }
                    6 => format!("{{v{i}=a/*}}"),
                    _ => format!("{{v{i}}}"),
                };
                text = format!("{text}/{segment}");
            }
            if text.ends_with("a:b") {
                text.push_str("/x");
            }
            text + ["", "", ":go", ":a"][self.roll(4)]
        }
    }

    #[test]
    fn the_tree_finds_what_trying_everything_finds() {
        let mut dice = Dice(0x1234_5678_9abc_def1);
        let mut hits = 0;
        for _ in 0..400 {
            let mut rules: Vec<(&str, String)> = Vec::new();
            for _ in 0..1 + dice.roll(12) {
                let rule = (["GET", "POST", "*"][dice.roll(3)], dice.template());
                let borrowed = |rules: &[(&'static str, String)]| {
                    let rules: Vec<(&str, &str)> = rules.iter().map(|(v, t)| (*v, t.as_str())).collect();
                    Table::build(&[catalog(Conflicts::Refuse, &[(&[], &rules)])]).is_ok()
                };
                rules.push(rule);
                if !borrowed(&rules) {
                    rules.pop();
                }
            }
            let plain: Vec<(&str, &str)> = rules.iter().map(|(v, t)| (*v, t.as_str())).collect();
            let table = table(&plain);
            for _ in 0..60 {
                let mut path = String::new();
                for _ in 0..1 + dice.roll(7) {
                    path.push('/');
                    path.push_str(["a", "b", "c", "a:b", "%61", "x", "", "a:go", "%2F"][dice.roll(9)]);
                }
                let verb = ["GET", "POST", "PUT"][dice.roll(3)];
                let expected = naive(&rules, verb, &path);
                hits += usize::from(expected.is_ok());
                assert_eq!(look(&table, verb, &path), expected, "{verb} {path} in {rules:#?}");
            }
        }
        assert!(hits > 2_000, "the dice found too little: {hits}");
    }

    #[test]
    fn a_hostile_path_costs_no_more_than_its_length() {
        let mut rules: Vec<(&str, String)> = Vec::new();
        for n in 0..64 {
            let bits: Vec<&str> = (0..6).map(|bit| if n >> bit & 1 == 0 { "*" } else { "a" }).collect();
            rules.push(("GET", format!("/{}/**/{}/z{n}", bits.join("/"), bits.join("/"))));
        }
        let plain: Vec<(&str, &str)> = rules.iter().map(|(v, t)| (*v, t.as_str())).collect();
        let table = table(&plain);
        let path = "/a".repeat(8_000);
        let start = std::time::Instant::now();
        assert_eq!(look(&table, "GET", &path), none("none"));
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
        for path in
            ["/".repeat(60_000), "/a:".repeat(20_000), "/%61".repeat(15_000), format!("/{}", ":".repeat(60_000))]
        {
            assert!(look(&table, "GET", &path).is_err());
        }
    }
}
