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
        paths: PathReading::default(),
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
        answers: None,
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
        raw_request: None,
        raw_answer: None,
        takes_form: false,
        mask: None,
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
    assert_eq!(look(&table, "PUT", "/a/b/d"), none("GET, HEAD, OPTIONS, POST"));
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
    assert_eq!(look(&table, "POST", "/v1/files/a:undelete/b"), none("GET, HEAD, OPTIONS"));
    assert_eq!(look(&table, "DELETE", "/v1/jobs/1:cancel"), none("GET, HEAD, OPTIONS, POST"));
    assert_eq!(look(&table, "POST", "/v1/jobs/1%3Acancel"), none("GET, HEAD, OPTIONS"));
    assert_eq!(look(&table, "POST", "/v1/jobs/1:c%61ncel"), found(0, &["jobs/1"]));
}

#[test]
fn a_verb_may_have_colons_and_the_longest_comes_first() {
    let table = table(&[
        ("POST", "/v1/{x}:go"),
        ("POST", "/v1/{x}:go:go"),
        ("POST", "/v1/{x}:a:b:go"),
        ("GET", "/v1/{x}"),
        ("PUT", "/v1/a:b:c"),
    ]);
    assert_eq!(look(&table, "POST", "/v1/i:go"), found(0, &["i"]));
    assert_eq!(look(&table, "POST", "/v1/i:go:go"), found(1, &["i"]));
    assert_eq!(look(&table, "POST", "/v1/i:a:b:go"), found(2, &["i"]));
    assert_eq!(look(&table, "POST", "/v1/i:b:go"), found(0, &["i:b"]));
    assert_eq!(look(&table, "GET", "/v1/i:go:go"), found(3, &["i:go:go"]));
    assert_eq!(look(&table, "PUT", "/v1/a:b:c"), found(4, &[]));
    assert_eq!(look(&table, "PATCH", "/v1/i:go:go"), none("GET, HEAD, OPTIONS, POST"));
    assert_eq!(look(&table, "POST", "/v1/:a:b:go:/x"), none("none"));
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
fn any_verb_comes_after_the_exact_one() {
    let table = table(&[("*", "/a"), ("GET", "/a"), ("OPTIONS", "/c")]);
    assert_eq!(look(&table, "GET", "/a"), found(1, &[]));
    assert_eq!(look(&table, "PUT", "/a"), found(0, &[]));
    assert_eq!(look(&table, "OPTIONS", "/a"), found(0, &[]));
    assert_eq!(look(&table, "OPTIONS", "/c"), found(2, &[]));
}

#[test]
fn head_goes_where_get_goes_unless_it_has_a_rule_of_its_own() {
    let table = table(&[("GET", "/a"), ("*", "/{x=**}"), ("HEAD", "/{y}/b"), ("GET", "/a/b"), ("POST", "/p")]);
    assert_eq!(look(&table, "HEAD", "/a"), found(0, &[]), "rather than by any method");
    assert_eq!(look(&table, "HEAD", "/x/y"), found(1, &["x/y"]));
    assert_eq!(look(&table, "HEAD", "/a/b"), found(2, &["a"]), "rather than by GET, however exact that is");
    assert_eq!(look(&self::table(&[("POST", "/p")]), "HEAD", "/p"), none("OPTIONS, POST"));
}

#[test]
fn what_a_path_allows_is_told_with_what_the_edge_answers_of_its_own() {
    let table = table(&[("GET", "/a"), ("PATCH", "/a"), ("POST", "/{x}"), ("POST", "/{x}:go"), ("OPTIONS", "/o")]);
    assert_eq!(look(&table, "OPTIONS", "/a"), none("GET, HEAD, OPTIONS, PATCH, POST"));
    assert_eq!(look(&table, "PUT", "/x:go"), none("OPTIONS, POST"));
    assert_eq!(look(&table, "OPTIONS", "/a/b"), none("none"));
    assert_eq!(look(&table, "GET", "/o"), none("OPTIONS, POST"));
    assert_eq!(table.allow(None, "/pkg.S/M", &["POST"]), "OPTIONS, POST");
    assert_eq!(table.allow(None, "/a", &["PUT"]), "GET, HEAD, OPTIONS, PATCH, POST, PUT");
    assert_eq!(table.allow(None, "/a/b", &[]), "");
}

/// Rules of a catalog that reads its paths like this.
fn reading(paths: PathReading, rules: &[(&str, &str)]) -> Arc<Catalog> {
    let mut catalog = Arc::into_inner(catalog(Conflicts::Refuse, &[(&[], rules)])).unwrap();
    catalog.paths = paths;
    // methods of two catalogs must not share their paths
    for method in catalog.methods.iter_mut().filter(|_| paths != PathReading::default()) {
        method.path = format!("/odd{}", method.path).into();
    }
    Arc::new(catalog)
}

#[test]
fn a_slash_too_many_is_overlooked_only_by_lenient_catalogs_and_last() {
    let lenient = PathReading { lenient_slash: true, ..PathReading::default() };
    let rules = [("GET", "/a"), ("GET", "/b/{x}"), ("POST", "/b/{x}:go"), ("GET", "/c/{x=**}"), ("GET", "/")];
    let catalogs = [reading(lenient, &rules), reading(PathReading::default(), &[("PUT", "/a"), ("GET", "/z")])];
    let (table, _) = Table::build(&catalogs).unwrap();
    assert_eq!(look(&table, "GET", "/a/"), found(0, &[]));
    assert_eq!(look(&table, "GET", "/b/x/"), found(1, &["x"]));
    assert_eq!(look(&table, "POST", "/b/x:go/"), found(2, &["x"]));
    assert_eq!(look(&table, "GET", "/c/x/"), found(3, &["x/"]), "it reaches something as it is");
    assert_eq!(look(&table, "GET", "/"), found(4, &[]));
    assert_eq!(look(&table, "GET", "//"), found(4, &[]));
    for (verb, path) in [("GET", "/a//"), ("GET", "/b/"), ("GET", "/z/")] {
        assert_eq!(look(&table, verb, path), none("none"), "{path}");
    }
    assert_eq!(look(&table, "PUT", "/a/"), none("GET, HEAD, OPTIONS"), "the rule for PUT is strict");
    assert_eq!(look(&table, "HEAD", "/a/"), found(0, &[]));
}

#[test]
fn encoded_slashes_are_decoded_where_the_catalog_says_so() {
    let decode = PathReading { decode_slash: true, ..PathReading::default() };
    let catalogs = [reading(decode, &[("GET", "/a/{x=**}")]), reading(PathReading::default(), &[("GET", "/b/{x=**}")])];
    let (table, _) = Table::build(&catalogs).unwrap();
    assert_eq!(look(&table, "GET", "/a/x%2Fy/z%25"), found(0, &["x/y/z%"]));
    assert_eq!(look(&table, "GET", "/b/x%2Fy/z%25"), found(0, &["x%2Fy/z%"]));
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
    let disputed: Vec<_> = (0..5).filter(|&method| table.is_disputed(MethodRef { catalog: 0, method }, 0)).collect();
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
fn every_rule_of_a_shape_is_a_candidate_and_has_its_fate() {
    let rules =
        [("GET", "/a/b"), ("GET", "/a/{x}"), ("POST", "/a/{x}"), ("*", "/a/{x}"), ("GET", "/a/{x=**}"), ("GET", "/c")];
    let hosted: Written<'_> = (&["h.example"], &[("GET", "/a/{x}")]);
    let twice: Written<'_> = (&[], &[("PUT", "/d/{x}"), ("PUT", "/d/{y}")]);
    let catalogs = [catalog(Conflicts::Report, &[(&[], &rules), hosted, twice])];
    let (table, _) = Table::build(&catalogs).unwrap();
    let fates = |verb: &str, host: Option<&str>, path: &str| -> Vec<(u32, Fate)> {
        let candidates = table.candidates(&verb.parse().unwrap(), host, path);
        candidates.into_iter().map(|one| (one.method.method, one.fate)).collect()
    };
    use Fate::{Disputed, LessExact, Taken, WrongHost, WrongVerb};
    let behind = [(1, LessExact), (2, WrongVerb), (3, LessExact), (6, WrongHost), (4, LessExact)];
    assert_eq!(fates("GET", None, "/a/b"), [&[(0, Taken)][..], &behind].concat());
    let others = [(1, LessExact), (2, WrongVerb), (3, LessExact), (6, Taken), (4, LessExact)];
    assert_eq!(fates("GET", Some("h.example"), "/a/z"), others);
    assert_eq!(fates("HEAD", None, "/c"), [(5, Taken)]);
    assert_eq!(
        fates("DELETE", None, "/a/z"),
        [(1, WrongVerb), (2, WrongVerb), (3, Taken), (6, WrongHost), (4, WrongVerb)]
    );
    // of two that claim the same the first stands for both in the tree
    assert_eq!(fates("PUT", None, "/d/1"), [(7, Disputed)]);
    assert_eq!(fates("GET", None, "/nothing"), []);
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
                let values = template
                    .variables
                    .iter()
                    .map(|v| decode(&segments[start(v.start)..start(v.end)].join("/"), v.multi).unwrap().into_owned());
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
    if allow.is_empty() {
        return Err("none".into());
    }
    allow.extend(allow.contains("GET").then_some("HEAD"));
    allow.insert("OPTIONS");
    allow.remove("*");
    Err(allow.into_iter().collect::<Vec<_>>().join(", "))
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
    for path in ["/".repeat(60_000), "/a:".repeat(20_000), "/%61".repeat(15_000), format!("/{}", ":".repeat(60_000))] {
        assert!(look(&table, "GET", &path).is_err());
    }
}
