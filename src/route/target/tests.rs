use std::sync::Arc;

use http::Request;

use super::condition::FieldWanted;
use super::*;
use crate::call::{Connection, TlsFacts};
use crate::catalog::{Catalog, Mistake, Source, load};
use crate::net::CertificateNames;
use crate::route::MethodRef;

const PROTO: &str = r#"
syntax = "proto3";
package shop.v1;
enum Tier { TIER_NONE = 0; TIER_GOLD = 1; }
message Place { string region = 1; }
message Order { Place shipment = 1; Tier tier = 2; int32 count = 3; optional string note = 4; }
message Empty {}
service Shop { rpc Get(Order) returns (Order); rpc Put(Order) returns (Order); }
service Other { rpc Get(Empty) returns (Empty); }
"#;

fn catalogs() -> Vec<Arc<Catalog>> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shop.proto"), PROTO).expect("a file");
    let source = Source {
        proto_paths: vec![folder.path().into()],
        protos: vec!["shop.proto".into()],
        ..Source::new("shop", "own")
    };
    vec![Arc::new(load(&source).expect("loads").catalog)]
}

fn rule(number: usize, pattern: &str) -> TargetRule {
    TargetRule {
        name: format!("r{number}").into(),
        key: format!("routes[{number}]").into(),
        patterns: vec![(pattern.into(), Some(Place::new("c.yaml", number as u32 + 1, 3)))],
        when: When::default(),
        clusters: vec![("east".into(), 1)],
        rename: None,
        mirror: None,
        fault: None,
        place: None,
    }
}

fn field(path: &str, wanted: FieldWanted) -> Option<FieldRule> {
    Some(FieldRule { path: path.into(), place: Some(Place::new("c.yaml", 9, 9)), wanted })
}

fn equals(values: &[&str]) -> FieldWanted {
    FieldWanted::OneOf(values.iter().map(|value| ((*value).to_owned(), None)).collect())
}

fn head(uri: &str, headers: &[(&'static str, &str)], tls: Option<TlsFacts>) -> Head {
    let mut request = Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let address = ([127, 0, 0, 1], 1).into();
    Head::new(parts, Arc::new(Connection { peer: address, local: address, tls }))
}

/// The rule that has a call of `Shop/Get`, by name.
fn taken(targets: &Targets, head: &Head, message: &[u8]) -> Option<String> {
    let catalogs = catalogs();
    let at = catalogs[0].methods.iter().position(|method| &*method.path == "/shop.v1.Shop/Get").expect("there") as u32;
    let plan = targets.plan(MethodRef { catalog: 0, method: at })?;
    let mut step = plan.choose(0, head, First::NotYet, || 0).expect("reads");
    if let Step::Message(at) = step {
        step = plan.choose(at, head, First::Message(message), || 0).expect("reads");
    }
    match step {
        Step::Chosen(chosen) => Some(plan.rules()[chosen.at].resolved.rule.name.to_string()),
        _ => None,
    }
}

fn mistakes(rules: &[TargetRule]) -> Vec<String> {
    let told = |mistake: Mistake| mistake.to_string();
    Targets::resolve(rules, &catalogs()).expect_err("is refused").into_iter().map(told).collect()
}

#[test]
fn a_pattern_that_matches_no_method_is_refused_with_its_place_and_the_nearest_name() {
    for (pattern, near) in [
        ("shop.v1.Shop/Gte", "shop.v1.Shop/Get"),
        ("shop.v1.Shpo/*", "shop.v1.Shop/*"),
        ("shop.v2.*", "shop.v1.*"),
        ("shop.v1.Shop.*", "shop.v1.Shop/*"),
    ] {
        let told = mistakes(&[rule(0, "*"), rule(1, pattern)]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("c.yaml:2:3") && told[0].contains("matches no method of any catalog"), "{told:?}");
        assert!(
            told[0].contains(&format!("did you mean \"{near}\"?")) && told[0].contains("routes[1].match"),
            "{told:?}"
        );
    }
    assert!(Targets::resolve(&[rule(0, "*"), rule(1, "shop.*"), rule(2, "shop.v1.Shop/Get")], &catalogs()).is_ok());
}

#[test]
fn a_field_must_be_there_in_every_method_and_its_values_of_its_type() {
    let with = |pattern: &str, path: &str, wanted: FieldWanted| {
        let mut rule = rule(0, pattern);
        rule.when.field = field(path, wanted);
        Targets::resolve(&[rule], &catalogs()).map_err(|mistakes| mistakes[0].to_string())
    };
    assert!(with("shop.v1.Shop/*", "shipment.region", equals(&["EU"])).is_ok());
    let told = with("shop.*", "shipment.region", equals(&["EU"])).expect_err("Other/Get has none");
    assert!(told.contains("shop.v1.Other/Get: shop.v1.Empty has no field") && told.contains("c.yaml:9:9"), "{told}");
    let told = with("shop.v1.Shop/*", "shipment.regoin", equals(&["EU"])).expect_err("misspelt");
    assert!(told.contains("did you mean \"region\"?") && told.contains("routes[0].when.field"), "{told}");
    assert!(with("shop.v1.Shop/*", "tier", equals(&["PLATINUM"])).is_err());
    assert!(with("shop.v1.Shop/*", "tier", equals(&["GOLD", "TIER_NONE", "1"])).is_ok());
    assert!(with("shop.v1.Shop/*", "count", FieldWanted::Prefix("1".into())).is_err());
    assert!(with("shop.v1.Shop/*", "shipment", FieldWanted::Present(true)).is_err());
}

#[test]
fn the_first_rule_that_fits_has_the_call() {
    let mut rules = [rule(0, "shop.v1.Shop/*"), rule(1, "shop.v1.Shop/Get"), rule(2, "shop.v1.Shop/Put"), rule(3, "*")];
    rules[0].when.headers =
        vec![HeaderTest { name: "x-canary".parse().expect("a name"), test: ValueTest::OneOf(vec![(*b"yes").into()]) }];
    rules[1].when.field = field("shipment.region", equals(&["EU", "UK"]));
    let targets = Targets::resolve(&rules, &catalogs()).expect("resolves");
    assert_eq!(*targets.clusters, ["east".into()]);
    let eu = b"\x0a\x04\x0a\x02EU";
    let ask = |headers: &[(&'static str, &str)], message: &[u8]| taken(&targets, &head("/", headers, None), message);
    assert_eq!(ask(&[("x-canary", "yes")], eu).as_deref(), Some("r0"));
    assert_eq!(ask(&[("x-canary", "no"), ("x-canary", "yes")], b"").as_deref(), Some("r0"), "of several one must fit");
    assert_eq!(ask(&[("x-canary", "yes!")], eu).as_deref(), Some("r1"));
    assert_eq!(ask(&[], b"\x0a\x04\x0a\x02US").as_deref(), Some("r3"));
    // split so that a careless reader sees EU
    assert_eq!(ask(&[], b"\x0a\x04\x0a\x02EU\x0a\x04\x0a\x02US").as_deref(), Some("r3"));
    let nothing = Targets::resolve(&[], &catalogs()).expect("nothing");
    assert!(nothing.plan(MethodRef { catalog: 0, method: 0 }).is_none());
}

#[test]
fn headers_are_compared_whole_by_beginning_pattern_presence_and_bytes() {
    let holds = |name: &str, test: ValueTest, headers: &[(&'static str, &str)]| {
        HeaderTest { name: name.parse().expect("a name"), test }.holds(&head("/", headers, None).parts.headers)
    };
    let prefix = |text: &[u8]| ValueTest::Prefix(text.into());
    assert!(holds("a", prefix(b"te"), &[("a", "team")]) && !holds("a", prefix(b"te"), &[("a", "a te")]));
    let regex = ValueTest::Regex(regex::bytes::Regex::new(r"\A(?:v[0-9]+)\z").expect("a pattern"));
    assert!(holds("a", regex.clone(), &[("a", "v12")]) && !holds("a", regex, &[("a", "v12x")]));
    assert!(holds("a", ValueTest::Present(false), &[]) && !holds("a", ValueTest::Present(false), &[("a", "")]));
    assert!(holds("a", ValueTest::Present(true), &[("a", "")]));
    let bytes = ValueTest::OneOf(vec![[0, 255].into()]);
    for value in ["AP8=", "AP8", "eA, AP8="] {
        assert!(holds("k-bin", bytes.clone(), &[("k-bin", value)]), "{value}");
    }
    for value in ["", "AP8A", "%", "eA"] {
        assert!(!holds("k-bin", bytes.clone(), &[("k-bin", value)]), "{value}");
    }
    assert!(holds("k-bin", prefix(&[0]), &[("k-bin", "AP8=")]));
}

#[test]
fn hosts_are_names_or_all_below_one() {
    for (pattern, host, fits) in [
        ("shop.example", "shop.example", true),
        ("shop.example", "SHOP.example.", true),
        ("shop.example", "a.shop.example", false),
        ("*.shop.example", "a.shop.example", true),
        ("*.shop.example", "a.b.shop.example", true),
        ("*.shop.example", "shop.example", false),
        ("*.shop.example", "ashop.example", false),
        ("*.shop.example", "", false),
    ] {
        assert_eq!(HostPattern::new(pattern).is(host), fits, "{pattern} {host}");
    }
    let when = When { hosts: vec![HostPattern::new("a.example")], ..When::default() };
    assert!(when.fits(&head("http://A.example:80/", &[], None)));
    assert!(when.fits(&head("/", &[("host", "a.example:8080")], None)));
    assert!(!when.fits(&head("/", &[], None)));
}

#[test]
fn a_caller_is_who_its_certificate_names() {
    let names = CertificateNames {
        subject: ["shop".into()].into(),
        dns: ["a.example".into()].into(),
        uris: ["spiffe://prod/ns/shop/sa/web".into()].into(),
    };
    let tls = |certificate: bool| TlsFacts {
        server_name: None,
        client_certificate: certificate.then(|| bytes::Bytes::from_static(b"der")),
        client_names: names.clone(),
    };
    let globs = |names: &[&str]| names.iter().map(|name| Glob::new(name)).collect::<Vec<_>>();
    let test = |subject: &[&str], uri: &[&str]| IdentityTest { subject: globs(subject), dns: vec![], uri: globs(uri) };
    assert!(test(&["shop"], &["spiffe://prod/ns/shop/*"]).holds(Some(&tls(true))));
    assert!(test(&[], &["spiffe://test/*", "spiffe://prod/*"]).holds(Some(&tls(true))));
    assert!(
        !test(&["sho"], &[]).holds(Some(&tls(true))) && !test(&["shop"], &["spiffe://prod/"]).holds(Some(&tls(true)))
    );
    assert!(!test(&["shop"], &[]).holds(Some(&tls(false))) && !test(&["*"], &[]).holds(None));
}

#[test]
fn clusters_get_their_weights_of_two_thousand_picks() {
    let mut one = rule(0, "*");
    one.clusters = vec![("a".into(), 90), ("b".into(), 9), ("c".into(), 1)];
    let targets = Targets::resolve(&[one], &catalogs()).expect("resolves");
    let plan = targets.plan(MethodRef { catalog: 0, method: 0 }).expect("a plan");
    let (mut state, mut counts) = (1u64, [0u32; 3]);
    let head = head("/", &[], None);
    for _ in 0..2_000 {
        let draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let Ok(Step::Chosen(Chosen { cluster: Some((at, _)), .. })) = plan.choose(0, &head, First::None, draw) else {
            panic!("chosen")
        };
        counts[at] += 1;
    }
    // four standard deviations
    assert!((1_746..=1_854).contains(&counts[0]) && (128..=232).contains(&counts[1]) && (2..=38).contains(&counts[2]));
}

#[test]
fn shares_are_parts_of_a_million_and_certain_ones_draw_nothing() {
    let never = || -> u64 { panic!("drawn") };
    assert!(Share::ALL.holds(never) && !Share(0).holds(never));
    assert!(Share(10).holds(|| 9) && !Share(10).holds(|| 10) && Share(10).holds(|| 1_000_009));
}

#[test]
fn a_rename_keeps_the_methods_name_or_names_one_method() {
    let with = |pattern: &str, rename: &str| {
        let mut rule = rule(0, pattern);
        rule.rename = Some((rename.into(), Some(Place::new("c.yaml", 5, 5))));
        let targets = Targets::resolve(&[rule], &catalogs()).map_err(|mistakes| mistakes[0].to_string())?;
        let plans: Vec<_> = (0..3).filter_map(|method| targets.plan(MethodRef { catalog: 0, method })).collect();
        Ok::<_, String>(
            plans.iter().filter_map(|plan| plan.rules()[0].path.as_ref()).map(ToString::to_string).collect(),
        )
    };
    let all: Vec<String> = with("shop.v1.Shop/*", "shop.v2.Shop/*").expect("resolves");
    assert_eq!(all, ["/shop.v2.Shop/Get", "/shop.v2.Shop/Put"]);
    assert_eq!(with("shop.v1.Shop/Get", "shop.v2.Shop/Fetch").expect("resolves"), ["/shop.v2.Shop/Fetch"]);
    let told = with("shop.v1.Shop/*", "shop.v2.Shop/Fetch").expect_err("two methods");
    assert!(told.contains("2 methods would become the one") && told.contains("shop.v2.Shop/*"), "{told}");
}

#[test]
fn damage_is_told_and_not_taken_for_a_value() {
    let mut one = rule(0, "shop.v1.Shop/Get");
    one.when.field = field("shipment.region", FieldWanted::Present(false));
    let targets = Targets::resolve(&[one], &catalogs()).expect("resolves");
    let at = (0..3).find_map(|method| targets.plan(MethodRef { catalog: 0, method })).expect("a plan");
    let head = head("/", &[], None);
    assert!(at.choose(0, &head, First::Message(b"\x0a\x09"), || 0).is_err());
    assert!(matches!(at.choose(0, &head, First::Message(b""), || 0), Ok(Step::Chosen(_))), "zero is unset");
    assert_eq!(at.choose(0, &head, First::Message(b"\x0a\x03\x0a\x01x"), || 0), Ok(Step::Own));
    assert!(matches!(at.choose(0, &head, First::None, || 0), Ok(Step::Chosen(_))), "there is no message");
}
