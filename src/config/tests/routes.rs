//! `routes`: every form is read, and every slip is told with its place.

use super::{mistakes, settle, with_catalog};
use crate::route::{RouteTold, Share, TargetRule, Targets};

const CLUSTERS: &str = "clusters: {east: {endpoints: \"h2c://a\"}, west: {endpoints: \"h2c://b\"}}";

fn with_routes(routes: &str) -> String {
    with_catalog(&format!("{CLUSTERS}\nroutes:\n{routes}"))
}

fn routes(text: &str) -> Vec<TargetRule> {
    settle(&with_routes(text)).expect("settles").routes
}

/// What a route asks for and what it does, as people read it.
fn told(text: &str) -> (Vec<String>, String) {
    let mut rules = routes(text);
    rules.truncate(1);
    // nothing is looked up
    rules[0].patterns = vec![("*".into(), None)];
    let targets = Targets::resolve(&rules, &[]).expect("resolves");
    let told = RouteTold::new(&targets.rules[0]);
    (told.when.clone(), told.target())
}

#[test]
fn every_form_of_a_condition_is_read() {
    let (when, target) = told(
        "  - match: [p.S/*, p.T/N]
    when:
      headers:
        x-a: \"yes\"
        x-b: [one, two]
        x-c: {prefix: te}
        x-d: {regex: \"v[0-9]+\"}
        x-e: {present: false}
        x-f-bin: AP8=
        x-g-bin: {hex: [00ff]}
      hosts: [\"*.EU.example\", shop.example]
      identity: {subject: shop, uri: \"spiffe://prod/*\"}
      percent: 2.5
    clusters: [{cluster: east, weight: 9}, {cluster: west}, {cluster: a, weight: 0}]
    rename: /p.v2.S/*
    mirror: {cluster: west, percent: 10, compare: true}
    fault: {percent: 1, delay: 10ms..1s, status: NOT_FOUND, when: {headers: {x-h: \"1\"}}}",
    );
    assert_eq!(
        when,
        [
            "x-a is \"yes\"",
            "x-b is \"one\" or \"two\"",
            "x-c begins with \"te\"",
            "x-d matches \\A(?:v[0-9]+)\\z",
            "x-e is not there",
            "x-f-bin is AP8",
            "x-g-bin is AP8",
            "host *.eu.example or shop.example",
            "caller's subject shop",
            "caller's uri spiffe://prod/*",
            "2.5% of calls",
        ]
    );
    assert_eq!(
        target,
        "east (9), west (1); as p.v2.S/*; mirrored to west 10% of calls, compared; \
         fault: 10ms to 1s late, NOT_FOUND 1% of calls, if x-h is \"1\""
    );
}

#[test]
fn what_is_not_said_has_its_default() {
    let rules = routes("  - {match: p.S/M, cluster: east}\n  - {name: b, match: p.*, mirror: {cluster: west}}");
    assert_eq!((&*rules[0].name, &*rules[1].name), ("routes[0]", "b"));
    assert_eq!(rules[0].when.share, Share::ALL);
    let mirror = rules[1].mirror.as_ref().expect("a mirror");
    assert_eq!((mirror.share, mirror.compare, mirror.buffer), (Share::ALL, false, 1 << 20));
    assert!(rules[1].clusters.is_empty(), "its own");
    assert_eq!(
        routes("  - {match: p.S/M, cluster: a}")[0].clusters[0].0,
        "a".into(),
        "a catalog's own cluster has its name"
    );
}

#[test]
fn every_slip_is_told_with_its_place_and_a_hint() {
    for (route, wanted) in [
        ("{cluster: east}", "t.yaml:3:5: routes[0]: `match` is missing"),
        ("{match: p.S, cluster: east}", "\"p.S\" is not a choice of methods"),
        ("{match: p.S/M, cluster: eats}", "there is no cluster \"eats\" (did you mean \"east\"?"),
        ("{match: p.S/M, clusters: [{cluster: wets}]}", "there is no cluster \"wets\" (did you mean \"west\"?"),
        ("{match: p.S/M, mirror: {cluster: nobody}}", "there is no cluster \"nobody\" (there are: east, west, a"),
        ("{match: p.S/M, mirror: {percent: 3}}", "`cluster` is missing"),
        ("{match: p.S/M, cluster: east, clusters: [{cluster: west}]}", "`cluster` and `clusters` exclude each other"),
        ("{match: p.S/M, clusters: [{cluster: west, weight: 0}]}", "has no weight above 0"),
        ("{match: p.S/M, rename: \"*\"}", "is not another name"),
        ("{match: p.S/M, when: {percent: 101}}", "\"101\" is not a part of a hundred"),
        ("{match: p.S/M, when: {hosts: \"a:80\"}}", "a:80 has a port"),
        ("{match: p.S/M, when: {identity: {}}}", "names nobody"),
        ("{match: p.S/M, when: {identity: {cn: x}}}", "did you mean \"subject\"?"),
        ("{match: p.S/M, when: {headers: {\"a b\": x}}}", "\"a b\" is not a header's name"),
        ("{match: p.S/M, when: {headers: {a-bin: \"%\"}}}", "\"%\" is not bytes in base64"),
        ("{match: p.S/M, when: {headers: {a-bin: {hex: 0}}}}", "\"0\" is not bytes in hexadecimal"),
        ("{match: p.S/M, when: {headers: {a: {hex: \"00\"}}}}", "is for names that end in -bin"),
        ("{match: p.S/M, when: {headers: {a-bin: {regex: x}}}}", "is not for names that end in -bin"),
        ("{match: p.S/M, when: {headers: {a: {regex: \"(\"}}}}", "is not a regular expression (unclosed group"),
        ("{match: p.S/M, when: {headers: {a: {}}}}", "asks for nothing (one of equals, hex, prefix, regex, present"),
        ("{match: p.S/M, when: {headers: {a: {prefix: x, regex: y}}}}", "has both `prefix` and `regex`"),
        ("{match: p.S/M, when: {headers: {a: {startswith: x}}}}", "unknown key"),
        ("{match: p.S/M, when: {field: {equals: x}}}", "`path` is missing"),
        ("{match: p.S/M, when: {field: {path: a}}}", "asks for nothing"),
        ("{match: p.S/M, fault: {}}", "does nothing: neither `delay` nor `status` is there"),
        ("{match: p.S/M, fault: {delay: 1s, http: 500}}", "goes with a `status`, and there is none"),
        ("{match: p.S/M, fault: {status: FINE}}", "\"FINE\" is not a gRPC code of an error"),
        ("{match: p.S/M, fault: {delay: 2h}}", "is longer than 3600s"),
        ("{match: p.S/M, mirror: {cluster: east, buffer: 1GiB}}", "1GiB is not between"),
        ("{match: p.S/M, wen: {}}", "did you mean \"when\"?"),
    ] {
        let told = mistakes(&with_routes(&format!("  - {route}")));
        assert!(told.len() == 1 && told[0].contains(wanted) && told[0].contains("t.yaml:3:"), "{route}: {told:?}");
    }
    let told = mistakes(&with_routes("  - {name: x, match: p.S/M}\n  - {name: x, match: p.S/M}"));
    assert!(told.len() == 1 && told[0].contains("a route x is there already"), "{told:?}");
}
