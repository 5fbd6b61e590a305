mod repeat;
mod routes;

use std::time::Duration;

use super::*;
use crate::catalog::{BytesForm, Conflicts, EnumForm, MethodSettings, UnknownFields, Verb, Weave};
use crate::describe::{KeyPlace, SecurityKind};

/// A folder with what a configuration may name.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("protos")).expect("a folder in it");
    std::fs::write(dir.path().join("protos/a.proto"), SERVICES).expect("a file");
    dir
}

const SERVICES: &str = r#"
syntax = "proto3";
package p;
message E {}
service S { rpc M(E) returns (E); rpc N(E) returns (E); }
service T { rpc N(E) returns (E); }
"#;

fn whole(checked: Checked) -> Result<Settled, Vec<Mistake>> {
    match checked.mistakes.is_empty() {
        true => Ok(checked.settled.expect("is whole")),
        false => Err(checked.mistakes),
    }
}

fn settle_with(text: &str, flags: Flags, purpose: Purpose) -> Result<Settled, Vec<String>> {
    let dir = folder();
    let origin = Origin { file: Some("t.yaml".into()), flags, purpose };
    let environment = |name: &str| (name == "PORT").then(|| "9000".to_owned());
    let settled = whole(origin.settle(text, "t.yaml", dir.path(), &environment));
    let plain = |mistake: &Mistake| mistake.to_string().replace(&dir.path().display().to_string(), ".");
    settled.map_err(|mistakes| mistakes.iter().map(plain).collect())
}

fn settle(text: &str) -> Result<Settled, Vec<String>> {
    settle_with(text, Flags::default(), Purpose::Serve)
}

fn mistakes(text: &str) -> Vec<String> {
    settle(text).expect_err("is refused")
}

/// A catalog that is right, below what a test is about.
fn with_catalog(text: &str) -> String {
    format!("{text}\ncatalogs: [{{name: a, proto_paths: protos, upstream: \"h2c://127.0.0.1:1\"}}]\n")
}

#[test]
fn a_short_configuration_gets_every_default() {
    let settled = settle(&with_catalog("")).expect("settles");
    assert_eq!(settled.listeners.len(), 1);
    let listener = &settled.listeners[0];
    assert_eq!(listener.address.to_string(), "127.0.0.1:8080");
    assert_eq!((listener.header_timeout, listener.idle_timeout), (Duration::from_secs(10), Duration::from_secs(600)));
    assert_eq!((listener.max_concurrent_streams, listener.max_header_bytes), (256, 32 << 10));
    assert_eq!((settled.admin, settled.workers, &settled.cors), (None, None, &None));
    assert_eq!(settled.drain_timeout, Duration::from_secs(10));
    assert_eq!(&*settled.clusters[0].name, "a");
    assert_eq!(settled.clusters[0].endpoints[0].label(), "127.0.0.1:1");
    assert_eq!(settled.catalogs[0].cluster, "a");
    assert!(settled.catalogs[0].auto_mapping && !settled.catalogs[0].pass_unknown_methods);
    assert_eq!((listener.max_connections, listener.max_age), (65_536, Duration::from_secs(3600)));
    assert!(settled.catalogs[0].settings.is_empty());
}

#[test]
fn the_reference_tells_the_defaults_that_hold() {
    let settled = settle(&with_catalog("")).expect("settles");
    let (listener, cluster) = (&settled.listeners[0], &settled.clusters[0]);
    let default = |path: &str| reference_table::KEYS.iter().find(|key| key.path == path).expect(path).default;
    for (path, holds) in [
        ("listeners[].header_timeout", listener.header_timeout),
        ("listeners[].idle_timeout", listener.idle_timeout),
        ("listeners[].max_age", listener.max_age),
        ("listeners[].websocket.ping_interval", listener.websocket_ping_interval),
        ("drain_timeout", settled.drain_timeout),
        ("clusters.<name>.connect_timeout", cluster.connect_timeout),
        ("clusters.<name>.keep_alive.interval", cluster.keep_alive_interval),
        ("clusters.<name>.keep_alive.timeout", cluster.keep_alive_timeout),
    ] {
        assert_eq!(value::duration(default(path)), Ok(holds), "{path}");
    }
    assert_eq!(value::size(default("listeners[].max_header_bytes")), Ok(listener.max_header_bytes as usize));
    assert_eq!(value::size(default("settings[].max_request_message")), Ok(4 << 20));
    assert_eq!(default("listeners[].max_concurrent_streams"), listener.max_concurrent_streams.to_string());
    assert_eq!(default("listeners[].max_connections"), listener.max_connections.to_string());
    assert_eq!(default("clusters.<name>.max_connections"), cluster.max_connections.to_string());
    assert_eq!(default("clusters.<name>.balance"), cluster.balance.name());
    assert_eq!(default("clusters.<name>.panic_threshold"), cluster.panic_threshold.to_string());
    let ejection = cluster.ejection.as_ref().expect("on by default");
    for (key, holds) in [
        ("consecutive", ejection.consecutive.to_string()),
        ("success_rate", (ejection.success_rate * 100.0).to_string()),
        ("min_calls", ejection.min_calls.to_string()),
        ("max_ejected", ejection.max_ejected.to_string()),
    ] {
        assert_eq!(default(&format!("clusters.<name>.ejection.{key}")), holds, "{key}");
    }
    for (key, holds) in [("window", ejection.window), ("time", ejection.time.first), ("max_time", ejection.time.cap)] {
        assert_eq!(value::duration(default(&format!("clusters.<name>.ejection.{key}"))), Ok(holds), "{key}");
    }
}

#[test]
fn every_kind_of_mistake_is_told_in_one_run_with_its_place() {
    let text = "\
listners: []
listeners:
  - address: 8080
    header_timeout: 10
  - tls: {certificate: nowhere.pem, plaintext: maybe}
workers: 0
workers: 2
clusters:
  books: {endpoints: [tcp://a]}
catalogs:
  - name: a
    proto_paths: [protos, missing]
    protos: b.proto
    cluster: boks
settings:
  - match: a.B.C
";
    assert_eq!(
        mistakes(text),
        [
            "t.yaml:1:1: listners: unknown key (did you mean \"listeners\"?)",
            "t.yaml:3:14: listeners[0].address: \"8080\" is not an address to listen on (write 127.0.0.1:8080 for this machine alone, [::]:8080 for every address)",
            "t.yaml:4:21: listeners[0].header_timeout: 10 has no unit (10s are seconds, 10ms milliseconds)",
            "t.yaml:5:5: listeners[1]: `address` is missing (address: IP:PORT)",
            "t.yaml:5:24: listeners[1].tls.certificate: needs a key (give `key` too)",
            "t.yaml:5:24: listeners[1].tls.certificate: there is no file ./nowhere.pem",
            "t.yaml:5:48: listeners[1].tls.plaintext: \"maybe\" is not also or refuse",
            "t.yaml:6:10: workers: 0 is not between 1 and 1024",
            "t.yaml:7:1: workers: is there twice (first in line 6)",
            "t.yaml:9:23: clusters.books.endpoints[0]: upstream \"tcp://a\": the scheme must be h2c, http or grpc (clear text), or h2s, https or grpcs (TLS)",
            "t.yaml:12:27: catalogs[0].proto_paths[1]: there is no file ./missing",
            "t.yaml:13:13: catalogs[0].protos: there is no file b.proto under ./protos, ./missing",
            "t.yaml:14:14: catalogs[0].cluster: there is no cluster \"boks\" (did you mean \"books\"?)",
            "t.yaml:16:12: settings[0].match: \"a.B.C\" is not a choice of methods (as in a.B.C/* or a.B/C)",
        ]
    );
}

#[test]
fn a_value_of_the_wrong_shape_is_told_as_such() {
    assert_eq!(
        mistakes(&with_catalog(
            "listeners: {address: 127.0.0.1:1}\nadmin: 127.0.0.1:1\nworkers: [1]\ndrain_timeout:\ncors: [x]\n"
        )),
        [
            "t.yaml:1:1: listeners: needs a list, and has a table (begin each item with `- `)",
            "t.yaml:2:8: admin: needs a table of keys, and has a single value",
            "t.yaml:3:1: workers: needs a single value, and has a list",
            "t.yaml:4:1: drain_timeout: needs a single value, and has nothing (give a value, or remove the key)",
            "t.yaml:5:1: cors: needs a table of keys, and has a list",
        ]
    );
    assert_eq!(mistakes("- a\n"), ["t.yaml:1:1: needs a table of keys, and has a list"]);
    assert_eq!(mistakes("a: [\n").len(), 1);
}

#[test]
fn a_configuration_without_catalogs_is_told_so() {
    for text in ["", "workers: 2\n", "catalogs: []\n"] {
        assert!(mistakes(text)[0].contains("nothing to serve"), "{text:?}: {:?}", mistakes(text));
    }
    let none = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve }.load().expect_err("refused");
    assert!(none[0].hint.as_deref().unwrap_or_default().contains("--proto-path"));
}

#[test]
fn environment_variables_are_put_in_and_missing_ones_are_told() {
    let settled = settle(&with_catalog("listeners: [{address: \"${HOST:-127.0.0.1}:${PORT}\"}]")).expect("settles");
    assert_eq!(settled.listeners[0].address.to_string(), "127.0.0.1:9000");
    assert_eq!(
        mistakes(&with_catalog("admin: {address: \"${ADMIN}\"}")),
        [
            "t.yaml:1:18: admin.address: the environment variable ADMIN is not set (set it, or give a default: ${ADMIN:-default})"
        ]
    );
}

#[test]
fn addresses_names_and_endpoints_are_unique() {
    let found = mistakes(
        "listeners: [{address: 127.0.0.1:1}, {address: 127.0.0.1:1}, {address: 127.0.0.1:0}, {address: 127.0.0.1:0}]
admin: {address: 127.0.0.1:1}
clusters: {c: {endpoints: [h2c://a:1, http://a:1]}, c: {endpoints: h2c://b}}
catalogs:
  - {name: a, proto_paths: protos, cluster: c}
  - {name: a, proto_paths: protos, cluster: c}
",
    );
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found[0].contains("is taken by `admin.address`, line 2"), "{}", found[0]);
    assert!(found[2].contains("a:1 is there twice"), "{}", found[2]);
    assert!(found[3].contains("clusters.c: is there twice"), "{}", found[3]);
    assert!(found[4].contains("a catalog a is there already"), "{}", found[4]);
}

#[test]
fn a_catalog_needs_services_and_somebody_who_answers() {
    assert!(mistakes("catalogs: [{name: a, upstream: h2c://a}]")[0].contains("has no services"));
    assert!(mistakes("catalogs: [{name: a, proto_paths: protos}]")[0].contains("`cluster` is missing"));
    let both = "clusters: {c: {endpoints: h2c://a}}\ncatalogs: [{name: a, proto_paths: protos, cluster: c, upstream: h2c://b}]";
    assert!(mistakes(both)[0].contains("exclude each other"));
    let taken = "clusters: {a: {endpoints: h2c://a}}\ncatalogs: [{name: a, proto_paths: protos, upstream: h2c://b}]";
    assert!(mistakes(taken)[0].contains("cluster: a"));
    let unseen = settle("catalogs: [{name: a, unknown_methods: pass, upstream: h2c://a}]").expect("settles");
    assert!(unseen.catalogs[0].pass_unknown_methods);
    let described = settle_with("catalogs: [{name: a, proto_paths: protos}]", Flags::default(), Purpose::Describe);
    assert!(described.expect("settles").clusters[0].endpoints.is_empty());
}

#[test]
fn rules_are_read_with_their_bindings() {
    let rules = "catalogs:
  - name: a
    proto_paths: protos
    upstream: h2c://a
    hosts: {\"library.v1.*\": [Library.example], p.S: b.example}
    rules:
      - {selector: p.S.M, get: /a, response_body: x, additional_bindings: [{custom: {kind: HEAD, path: /b}}, {post: /c, body: '*'}]}
      - {selector: p.S.N, custom: {kind: '*', path: /d}, add: true}
";
    let settled = settle(rules).expect("settles");
    let catalog = &settled.catalogs[0];
    assert_eq!(catalog.hosts[0].hosts, ["library.example"]);
    let verbs = |rule: usize| {
        catalog.rules[rule].bindings.iter().map(|b| (b.verb.clone(), b.template.as_str())).collect::<Vec<_>>()
    };
    let exact = |method| Verb::Exact(method);
    use http::Method;
    assert_eq!(verbs(0), [(exact(Method::GET), "/a"), (exact(Method::HEAD), "/b"), (exact(Method::POST), "/c")]);
    assert_eq!((verbs(1), catalog.rules[1].add), (vec![(Verb::Any, "/d")], true));
    let bindings = &catalog.rules[0].bindings;
    assert_eq!((bindings[2].body.as_str(), bindings[0].response_body.as_str()), ("*", "x"));

    let found = mistakes(
        &rules
            .replace("get: /a, ", "")
            .replace("/d}", "d}, get: /e")
            .replace("p.S.N", "p.S/N")
            .replace("p.S:", "p.S*:"),
    );
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found[0].contains("is not a name of services"), "{}", found[0]);
    assert!(found[1].contains("has no path"), "{}", found[1]);
    assert!(found[2].contains("has several paths"), "{}", found[2]);
    assert!(found[3].contains("as in p.S.N"), "{}", found[3]);
    assert!(found[4].contains("write /d"), "{}", found[4]);
}

#[test]
fn the_narrower_setting_wins_and_the_later_of_two() {
    let dir = folder();
    let text = "settings:
  - {match: p.S/M, deadline: {max: 1s}, weave: every, json: {names: proto, enums: short, int64: number, bytes: hex, indent: 2}}
  - {match: p.S/*, deadline: {max: 2s}, json: {unknown_fields: ignore}}
  - {match: '*', deadline: {max: 4s}, max_request_message: 1KiB, query: {ignored: [key]}}
  - {match: '*', max_request_message: 0}
catalogs:
  - {name: a, proto_paths: protos, upstream: h2c://a, settings: {deadline: {max: 3s}, idle_timeout: 9s}}
";
    let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
    let settled = whole(origin.settle(text, "t.yaml", dir.path(), &|_| None)).expect("settles");
    let complete = complete(&settled.catalogs).expect("loads");
    let of = |path: &str| {
        let method = complete.catalogs[0].methods.iter().find(|method| &*method.path == path);
        method.expect(path).settings.clone()
    };
    let max = |path| of(path).max_deadline.map(|max| max.as_secs());
    assert_eq!((max("/p.S/M"), max("/p.S/N"), max("/p.T/N")), (Some(1), Some(2), Some(3)));
    let narrow = of("/p.S/M");
    assert_eq!((narrow.max_request_message, narrow.max_response_message), (0, 4 << 20));
    assert_eq!(narrow.idle_timeout, Some(Duration::from_secs(9)));
    assert!(narrow.proto_names && narrow.unknown_json_fields == UnknownFields::Ignore);
    assert_eq!(*narrow.ignored_query, ["key".into()]);
    let json = |method: &MethodSettings| (method.enums, method.int64_numbers, method.bytes, method.indent);
    assert_eq!(json(&narrow), (EnumForm::ShortName, true, BytesForm::Hex, 2));
    assert_eq!(json(&of("/p.S/N")), (EnumForm::Name, false, BytesForm::Base64, 0));
    assert_eq!((narrow.weave, of("/p.S/N").weave), (Weave::Every, Weave::First));
}

#[test]
fn what_rest_callers_see_is_set_by_method_too() {
    let dir = folder();
    let text = "settings:
  - match: p.S/*
    rest: {success: 201, location: /v1/all, error_codes: {NOT_FOUND: 410}, response_headers: [x-a], etag: true,
      cache_control: max-age=60, method_override: true, update_mask: fill}
    query: {brackets: true, fields_parameter: fields}
    sse: {event: book, retry: 2s, heartbeat: 5s, last_event_id_metadata: x-last}
  - {match: p.S/M, rest: {success: 204, response_headers: '*'}}
catalogs: [{name: a, proto_paths: protos, upstream: h2c://a}]
";
    let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
    let settled = whole(origin.settle(text, "t.yaml", dir.path(), &|_| None)).expect("settles");
    let complete = complete(&settled.catalogs).expect("loads");
    let of = |path: &str| {
        let method = complete.catalogs[0].methods.iter().find(|method| &*method.path == path);
        method.expect(path).settings.clone()
    };
    let (narrow, wide) = (of("/p.S/M"), of("/p.S/N"));
    assert_eq!((narrow.rest.success, wide.rest.success, of("/p.T/N").rest.success), (204, 201, 200));
    assert_eq!(wide.rest.location.as_deref(), Some("/v1/all"));
    assert_eq!(*wide.rest.error_codes, [(crate::status::Code::NotFound, 410)]);
    let listed = |names: &Option<Box<[http::HeaderName]>>| names.as_ref().map(|names| names.len());
    assert_eq!((listed(&wide.rest.response_headers), listed(&narrow.rest.response_headers)), (Some(1), None));
    assert!(wide.rest.etag && wide.rest.method_override && wide.rest.fill_mask && wide.rest.query_brackets);
    assert!(wide.rest.cache_control.is_some() && wide.rest.fields_parameter.as_deref() == Some("fields"));
    let sse = &narrow.sse;
    assert_eq!(sse.event.as_deref(), Some("book"));
    assert_eq!((sse.retry, sse.heartbeat), (Some(Duration::from_secs(2)), Duration::from_secs(5)));
    assert_eq!(sse.last_event_id_metadata, Some(http::HeaderName::from_static("x-last")));

    let found = mistakes(&with_catalog(
        "settings: [{match: '*', rest: {success: 300, error_codes: {NOTFOUND: 410, OK: 400, ABORTED: 200}}, sse: {retry: x}}]",
    ));
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found.iter().any(|text| text.contains("did you mean NOT_FOUND?")), "{found:#?}");
}

#[test]
fn what_openapi_says_beside_the_catalogs_is_read_with_its_mistakes() {
    let dir = folder();
    let text = "openapi:
  title: Books
  servers: https://api.example
  security: {token: {type: bearer, format: JWT}, key: {type: api_key, in: query, name: key}}
catalogs: [{name: a, proto_paths: protos, upstream: h2c://a}]
";
    let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
    let openapi = whole(origin.settle(text, "t.yaml", dir.path(), &|_| None)).expect("settles").openapi;
    assert_eq!((openapi.title.as_deref(), openapi.version, openapi.servers.len()), (Some("Books"), None, 1));
    let bearer = SecurityKind::Bearer { format: Some("JWT".into()) };
    let key = SecurityKind::ApiKey { place: KeyPlace::Query, name: "key".into() };
    let kinds: Vec<_> = openapi.security.into_iter().map(|scheme| (scheme.name, scheme.kind)).collect();
    assert_eq!(kinds, [("token".into(), bearer), ("key".into(), key)]);

    let found = mistakes(&with_catalog(
        "openapi: {security: {a: {type: barer}, b: {type: basic, url: x}, c: {type: api_key}, d: {in: header}}}",
    ));
    assert_eq!(found.len(), 4, "{found:#?}");
    for (at, text) in ["bearer", "is not for this", "`name` is missing", "`type` is missing"].iter().enumerate() {
        assert!(found[at].contains(text), "{text}: {found:#?}");
    }
}

#[test]
fn forms_of_json_are_chosen_from_what_there_is() {
    let found = mistakes(&with_catalog(
        "settings: [{match: '*', weave: all, json: {enums: shrt, int64: yes, bytes: base46, indent: 9, longs: number}}]",
    ));
    assert_eq!(found.len(), 6, "{found:#?}");
    let told = found.join("\n");
    for text in ["first or every", "short", "string or number", "base64", "not between 0 and 8", "int64"] {
        assert!(told.contains(text), "{text}: {told}");
    }
}

#[test]
fn settings_need_a_match_and_deadlines_an_order() {
    let found = mistakes(&with_catalog("settings: [{deadline: {default: 2s, max: 1s}}]"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("`match` is missing"), "{found:?}");
    let found = mistakes(&with_catalog("settings: [{match: '*', deadline: {default: 2s, max: 1s}}]"));
    assert!(found[0].contains("longer than the longest"), "{found:?}");
}

#[test]
fn settings_may_be_for_any_catalog_but_not_for_none() {
    let dir = folder();
    std::fs::create_dir(dir.path().join("more")).expect("a folder");
    std::fs::write(dir.path().join("more/b.proto"), SERVICES.replace("package p", "package q")).expect("a file");
    let load = |pattern: &str| {
        let text = format!(
            "settings: [{{match: p.S/M, idle_timeout: 1s}}, {{match: {pattern}, idle_timeout: 1s}}]\ncatalogs:\n\
             - {{name: a, proto_paths: protos, upstream: h2c://a}}\n- {{name: b, proto_paths: more, upstream: h2c://b}}\n"
        );
        let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
        complete(&whole(origin.settle(&text, "t.yaml", dir.path(), &|_| None)).expect("settles").catalogs)
    };
    assert!(load("q.S/*").is_ok());
    let found: Vec<String> = load("q.S/Mm").expect_err("refused").iter().map(ToString::to_string).collect();
    assert_eq!(found, ["t.yaml:1:54: \"q.S/Mm\" matches no method (did you mean \"q.S/M\"?)"]);
}

#[test]
fn a_catalog_without_descriptions_passes_calls_on() {
    let settled = settle("catalogs: [{name: a, unknown_methods: pass, upstream: h2c://a}]").expect("settles");
    let complete = complete(&settled.catalogs).expect("loads");
    assert!(complete.catalogs[0].methods.is_empty() && complete.catalogs[0].pass_unknown_methods);
    assert!(complete.warnings.is_empty(), "{:?}", complete.warnings);
}

#[test]
fn what_would_open_a_door_is_refused() {
    let found = mistakes(&with_catalog("cors: {origins: '*', credentials: true}"));
    assert!(found[0].starts_with("t.yaml:1:35: cors.credentials: does not go with the origin"), "{found:?}");
    assert!(mistakes(&with_catalog("cors: {max_age: 1h}"))[0].contains("`origins` is missing"));
    let tls = "listeners: [{address: 127.0.0.1:1, tls: {certificate: c, key: k, client_ca: a, plaintext: also}}]";
    assert!(mistakes(&with_catalog(tls)).iter().any(|mistake| mistake.contains("would let callers in")));
    let clear = "clusters: {c: {endpoints: h2c://a, tls: {server_name: b}}}";
    assert!(mistakes(&with_catalog(clear))[0].contains("has no effect"));
}

#[test]
fn certificates_are_read_and_matched_with_their_keys() {
    let dir = folder();
    let one = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("a certificate");
    let two = rcgen::generate_simple_self_signed(vec!["b.example".to_owned()]).expect("a certificate");
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect(name);
    write("one.pem", one.cert.pem());
    write("one.key", one.signing_key.serialize_pem());
    write("two.key", two.signing_key.serialize_pem());
    write("odd.pem", "nothing of the kind".into());
    let settled = |certificate: &str, key: &str, ca: &str| {
        let text = with_catalog(&format!(
            "listeners: [{{address: 127.0.0.1:1, tls: {{certificate: {certificate}, key: {key}, client_ca: {ca}}}}}]"
        ));
        let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
        let settled = whole(origin.settle(&text, "t.yaml", dir.path(), &|_| None));
        settled.map_err(|mistakes| mistakes.iter().map(|m| m.text.clone()).collect::<Vec<_>>().join("; "))
    };
    let good = settled("one.pem", "one.key", "one.pem").expect("settles");
    assert_eq!(good.files.len(), 2, "both files are watched");
    let complaint = |certificate, key, ca| settled(certificate, key, ca).expect_err("is refused");
    assert!(complaint("one.pem", "two.key", "one.pem").contains("does not belong to the certificate"));
    assert!(complaint("odd.pem", "one.key", "one.pem").contains("holds no certificate"));
    assert!(complaint("one.pem", "one.pem", "one.pem").contains("holds no private key"));
    assert!(complaint("one.pem", "one.key", "no.pem").contains("there is no file"));
    assert_eq!(complaint("no.pem", "odd.pem", "two.key").split("; ").count(), 3, "all three files are told of");
}

#[test]
fn flags_override_the_same_keys_and_add_a_catalog() {
    let file = "listeners: [{address: 127.0.0.1:1, max_connections: 7}, {address: 127.0.0.1:2}]
admin: {address: 127.0.0.1:3}
workers: 3
settings: [{match: '*', max_request_message: 1KiB}]
cors: {origins: https://a.example, credentials: true}
catalogs: [{name: a, proto_paths: protos, upstream: h2c://a, conflicts: refuse}]
";
    let dir = folder();
    let flags = Flags {
        listen: vec!["127.0.0.1:4".into()],
        upstream: vec!["h2c://b:1".into(), "h2s://b:2".into()],
        proto_path: vec![dir.path().join("protos")],
        proto: vec!["a.proto".into()],
        cors_origin: vec!["https://b.example".into()],
        workers: Some("5".into()),
        max_message_size: Some("2MiB".into()),
        conflicts: Some("report".into()),
        no_auto_mapping: true,
        drain_timeout: Some("1.5".into()),
        admin: Some("127.0.0.1:5".into()),
        ..Flags::default()
    };
    let settled = settle_with(file, flags, Purpose::Serve).expect("settles");
    assert_eq!(settled.listeners.len(), 1);
    assert_eq!((settled.listeners[0].address.port(), settled.listeners[0].max_connections), (4, 7));
    assert_eq!((settled.admin.map(|a| a.port()), settled.workers), (Some(5), Some(5)));
    assert_eq!(settled.drain_timeout, Duration::from_millis(1500));
    let cors = settled.cors.as_ref().expect("cors");
    assert_eq!((cors.origins.as_slice(), cors.credentials), (["https://b.example".to_owned()].as_slice(), true));
    assert!(settled.catalogs.iter().all(|c| c.conflicts == Conflicts::Report && !c.auto_mapping));
    assert_eq!(settled.catalogs[1].name, COMMAND_LINE);
    assert_eq!(settled.cluster(COMMAND_LINE).map(|c| c.endpoints.len()), Some(2));
    let sizes = |rule: &crate::catalog::SettingRule| rule.settings.max_request_message;
    for catalog in &settled.catalogs {
        assert_eq!(catalog.settings.iter().map(sizes).collect::<Vec<_>>(), [Some(1 << 10), Some(2 << 20)]);
    }
}

#[test]
fn mistakes_of_flags_are_told_with_those_of_the_file() {
    let flags = Flags {
        listen: vec!["8080".into()],
        upstream: vec!["127.0.0.1:1".into()],
        reflect: true,
        tls_key: Some("k.pem".into()),
        workers: Some("many".into()),
        conflicts: Some("reprot".into()),
        ..Flags::default()
    };
    let found = settle_with("lsteners: []\n", flags, Purpose::Serve).expect_err("refused");
    let told = |start: &str| assert!(found.iter().any(|mistake| mistake.starts_with(start)), "{start}: {found:#?}");
    told("--listen: \"8080\" is not an address");
    told("--upstream: upstream \"127.0.0.1:1\": no scheme");
    told("--tls-key: needs a certificate (give --tls-cert FILE too)");
    told("--workers: \"many\" is not a whole number");
    told("--conflicts: \"reprot\" is not refuse or report (did you mean \"report\"?)");
    told("t.yaml:1:1: lsteners: unknown key");
    told("--tls-key: there is no file k.pem");
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn a_flag_for_a_listener_never_takes_its_tls_away() {
    let file = with_catalog("listeners: [{address: 127.0.0.1:1, tls: {certificate: no.pem, key: no.key}}]");
    let flags = Flags { listen: vec!["127.0.0.1:2".into(), "127.0.0.1:3".into()], ..Flags::default() };
    let found = settle_with(&file, flags, Purpose::Serve).expect_err("the files are not there");
    assert!(found.iter().all(|mistake| mistake.contains("listeners[0].tls")), "{found:#?}");
    assert_eq!(found.len(), 2, "a mistake of both listeners is told once: {found:#?}");
}

mod mutations {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLES: [&str; 5] = [
        include_str!("../../catalogs/minimal.yaml"),
        include_str!("../../catalogs/tls.yaml"),
        include_str!("../../catalogs/rest-rules.yaml"),
        include_str!("../../catalogs/production.yaml"),
        include_str!("../../catalogs/routes.yaml"),
    ];

    const INSERTS: [&str; 24] = [
        ":", "- ", "{", "}", "[", "]", "\n", "\t", "  ", "&a ", "*a", "<<: *a\n", "!x ", "\"", "'", "|\n", ">\n", "#",
        "?", "---\n", "${", "\u{0}", "é", "null",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_document_is_settled_or_refused_and_never_panics(
            example in 0..EXAMPLES.len(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..5usize, 0..INSERTS.len()), 1..8),
        ) {
            let mut text: Vec<char> = EXAMPLES[example].chars().collect();
            for (at, cut, insert) in edits {
                let at = at.index(text.len() + 1);
                let end = (at + cut).min(text.len());
                text.splice(at..end, INSERTS[insert].chars());
            }
            let text: String = text.into_iter().collect();
            let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
            let checked = origin.settle(&text, "t.yaml", Path::new("catalogs"), &|_| None);
            prop_assert!(checked.settled.is_some() || !checked.mistakes.is_empty());
            prop_assert!(checked.mistakes.iter().all(|mistake| mistake.place.is_some()), "{:?}", checked.mistakes);
        }
    }
}

#[test]
fn rules_are_enforced_by_two_lines_or_by_a_flag_and_what_is_more_exact_stays() {
    use crate::catalog::GuardMode;
    let file = "
catalogs: [{name: a, proto_paths: protos, upstream: h2c://a}]
settings: [{match: p.S/*, validate: {requests: shadow, responses: enforce}}]
";
    let of = |settled: &Settled, path: &str| {
        let complete = complete(&settled.catalogs).expect("loads");
        let method = complete.catalogs[0].methods.iter().find(|method| &*method.path == path).expect("is there");
        (method.settings.validate_requests, method.settings.validate_responses, method.settings.guard_requests)
    };
    let dir = folder();
    let settle = |flag: Option<&str>| {
        let flags = Flags { validate: flag.map(str::to_owned), ..Flags::default() };
        let origin = Origin { file: Some("t.yaml".into()), flags, purpose: Purpose::Serve };
        whole(origin.settle(file, "t.yaml", dir.path(), &|_| None))
    };
    let (off, shadow, enforce) = (GuardMode::Off, GuardMode::Shadow, GuardMode::Enforce);
    let settled = settle(None).expect("settles");
    assert_eq!(of(&settled, "/p.S/M"), (shadow, enforce, off));
    assert_eq!(of(&settled, "/p.T/N"), (off, off, off));
    let settled = settle(Some("enforce")).expect("settles");
    assert_eq!(of(&settled, "/p.S/M"), (shadow, enforce, off));
    assert_eq!(of(&settled, "/p.T/N"), (enforce, off, off));
    let mistakes = settle(Some("on")).expect_err("is no mode");
    assert!(mistakes[0].to_string().starts_with("--validate: "), "{mistakes:?}");
}

#[test]
fn endpoints_have_weights_and_clusters_say_how_calls_are_spread() {
    use crate::status::Code;
    use crate::upstream::{Balance, Ejection, HashBy, Limits};

    let text = with_catalog(
        "zone: a
clusters:
  books:
    endpoints:
      - h2c://one:1
      - {url: h2c://two:1, weight: 9, priority: 1, zone: b}
    balance: ring_hash
    hash_by: {header: X-User}
    panic_threshold: 30%
    slow_start: 30s
    ejection: {consecutive: 3, success_rate: 80, window: 5s, min_calls: 7, time: 1s, max_time: 9s, max_ejected: 10, codes: [ABORTED]}
    limits: {calls: 100, pending: 10, calls_per_endpoint: 5}
",
    );
    let settled = settle(&text).expect("settles");
    let cluster = settled.cluster("books").expect("a cluster");
    let spread: Vec<_> = cluster.endpoints.iter().map(|at| (at.weight, at.priority, at.zone.as_deref())).collect();
    assert_eq!(spread, [(1, 0, None), (9, 1, Some("b"))]);
    assert_eq!(cluster.balance, Balance::RingHash(HashBy::Header("x-user".parse().expect("a name"))));
    assert_eq!((cluster.panic_threshold, cluster.slow_start.as_secs(), cluster.zone.as_deref()), (30, 30, Some("a")));
    assert_eq!(cluster.limits, Limits { calls: Some(100), pending: Some(10), endpoint_calls: Some(5) });
    let Some(Ejection { consecutive: 3, min_calls: 7, max_ejected: 10, failures, time, .. }) = cluster.ejection else {
        panic!("{:?}", cluster.ejection)
    };
    assert!(failures.has(Code::Aborted) && !failures.has(Code::Unavailable));
    assert_eq!((time.first.as_secs(), time.cap.as_secs()), (1, 9));
}

#[test]
fn what_is_said_of_spreading_fits_together() {
    for (lines, why) in [
        ("balance: p3c", "p2c or round_robin"),
        ("balance: ring_hash", "`hash_by` is missing"),
        ("hash_by: {cookie: sid}", "without `balance: ring_hash`"),
        ("balance: ring_hash, hash_by: {}", "names nothing"),
        ("balance: ring_hash, hash_by: {cookie: a, header: b}", "names header and cookie"),
        ("balance: ring_hash, hash_by: {cookie: a}, subset_size: 3", "does not go with"),
        ("panic_threshold: 101", "between 0 and 100"),
        ("ejection: {time: 10s, max_time: 1s}", "is at most `max_time`"),
        ("ejection: {max_time: 1s}", "is longer than"),
        ("ejection: {codes: [CANCELLED]}", "the caller went away"),
        ("ejection: {codes: [OK]}", "a gRPC code of an error"),
        ("limits: {calls: -1}", "whole number"),
    ] {
        let found =
            mistakes(&with_catalog(&format!("clusters: {{books: {{endpoints: h2c://a, {lines}}}}}"))).join("\n");
        assert!(found.contains(why), "{lines}: {found}");
    }
    for (endpoint, why) in [
        ("{weight: 1}", "`url` is missing"),
        ("{url: h2c://a, weight: 0}", "between 1 and"),
        ("{url: h2c://a, weigth: 1}", "did you mean \"weight\"?"),
        ("[h2c://a, {url: http://a:80}]", "is there twice"),
    ] {
        let found = mistakes(&with_catalog(&format!("clusters: {{books: {{endpoints: {endpoint}}}}}"))).join("\n");
        assert!(found.contains(why), "{endpoint}: {found}");
    }
}

/// What a cluster with these lines is told.
fn cluster_mistakes(lines: &str) -> String {
    mistakes(&with_catalog(&format!("clusters: {{books: {{{lines}}}}}"))).join("\n")
}

#[test]
fn endpoints_are_found_as_the_configuration_says() {
    use crate::upstream::{Discovery, Families};

    let text = with_catalog(
        "clusters:
  e: {discovery: \"dns:///books.example:50051\"}
  b: {discovery: {srv: _grpc._tcp.books.example, tls: true, family: ipv4, resolvers: [10.0.0.53, \"[::1]:5353\"], min_refresh: 1s}}
  c: {discovery: {file: books.yaml}}
  d: {discovery: {dns: books.example, tls: true}, tls: {min_version: \"1.3\", verify: {san: [\"*.books.example\", \"spiffe://td/*\"]}}}",
    );
    let settled = settle(&text).expect("settles");
    let discovery = |name: &str| settled.cluster(name).expect("a cluster").discovery.clone();
    let Discovery::Dns(a) = discovery("e") else { panic!("{:?}", discovery("e")) };
    assert_eq!((&*a.name, a.port, a.tls, a.resolvers.len()), ("books.example", 50051, false, 0));
    let Discovery::Srv(b) = discovery("b") else { panic!("{:?}", discovery("b")) };
    assert_eq!((&*b.name, b.tls, b.families), ("_grpc._tcp.books.example", true, Families::V4));
    assert_eq!(b.resolvers, ["10.0.0.53:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
    assert_eq!((b.min_refresh, b.max_refresh), (Duration::from_secs(1), Duration::from_secs(300)));
    assert!(matches!(discovery("c"), Discovery::File(file) if file.path.ends_with("books.yaml")));
    let Discovery::Dns(d) = discovery("d") else { panic!("{:?}", discovery("d")) };
    let tls = &settled.cluster("d").expect("a cluster").tls;
    assert_eq!((d.port, tls.san.len(), tls.oldest), (443, 2, crate::upstream::TlsVersion::Tls13));
}

#[test]
fn what_cannot_be_meant_about_discovery_is_a_mistake() {
    for (lines, why) in [
        ("discovery: {}", "names no source"),
        ("discovery: {dns: a.example, srv: b.example}", "`dns` and `srv` exclude each other"),
        ("discovery: {dns: a.example}, endpoints: \"h2c://a:1\"", "exclude each other"),
        ("discovery: {file: a.yaml, tls: true}", "`tls` means nothing to endpoints by `file`"),
        ("discovery: {srv: a.example, port: 1}", "`port` means nothing to endpoints by `srv`"),
        ("discovery: {dns: a.example, port: grpc}", "is not a number"),
        ("discovery: {dns: \"a.example:1\"}", "the port goes to `port`"),
        ("discovery: {dns: 10.0.0.1}", "needs no look-up"),
        ("discovery: {dns: a.example, max_refresh: 1s}", "is less than `min_refresh`"),
        ("discovery: {dns: a.example, ttl: 1s}", "did you mean \"min_refresh\"?"),
        ("discovery: {dns: a.example, resolvers: [ns]}", "address of a name server"),
        ("discovery: books.example:1", "dns:///books.example:50051"),
        ("endpoints: \"dns:///a:1\"", "discovery: dns:///a:1"),
        ("discovery: {dns: a.example}, tls: {}", "what is discovered is clear text"),
    ] {
        let told = cluster_mistakes(lines);
        assert!(told.contains(why), "{lines}: {told}");
    }
    if !cfg!(feature = "kubernetes") {
        assert!(cluster_mistakes("discovery: {kubernetes: books}").contains("--features kubernetes"));
    }
}

#[test]
fn checks_of_health_have_defaults_and_bounds() {
    use crate::upstream::{ProbeMode, ProbeSettings};

    let settled = |lines: &str| {
        let text = with_catalog(&format!("clusters: {{books: {{endpoints: \"h2c://a:1\"{lines}}}}}"));
        settle(&text).expect("settles").cluster("books").expect("a cluster").probe.clone()
    };
    assert_eq!(settled(""), None);
    assert_eq!(settled(", health: {}"), Some(ProbeSettings::default()));
    let health = settled(", health: {mode: check, service: a.B, interval: 2s, healthy_threshold: 3}").expect("health");
    assert_eq!((health.mode, &*health.service, health.healthy_threshold), (ProbeMode::Check, "a.B", 3));
    for (health, why) in [
        ("{mode: http}", "http"),
        ("{interval: 0s}", "more than nothing"),
        ("{unhealthy_threshold: 0}", "between 1 and 100"),
        ("{jitter: 101}", "between 0 and 100"),
        ("{interval: 20s, no_traffic_interval: 10s}", "is less than `interval`"),
        ("{fall: 3}", "did you mean \"unhealthy_threshold\"?"),
    ] {
        let told = cluster_mistakes(&format!("endpoints: \"h2c://a:1\", health: {health}"));
        assert!(told.contains(why), "{health}: {told}");
    }
}

#[test]
fn names_and_versions_of_upstream_tls_are_checked_at_load() {
    for (tls, why) in [
        ("{verify: {san: \"*.com\"}}", "nobody's"),
        ("{verify: {sans: a.example}}", "did you mean \"san\"?"),
        ("{min_version: \"1.1\"}", "1.2"),
        ("{insecure_skip_verify: true, verify: {san: a.example}}", "would make `verify.san` mean nothing"),
    ] {
        let told = cluster_mistakes(&format!("endpoints: \"h2s://a:1\", tls: {tls}"));
        assert!(told.contains(why), "{tls}: {told}");
    }
}
