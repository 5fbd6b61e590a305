//! Routes: which cluster a call goes to by its head, its caller, its first message and by chance, in every dialect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use bytes::Bytes;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use transom::status::Code;

use super::dialects::{ALL, BASE64, BIDI, CLIENT, Dialect, SERVER, Told, UNARY, prefix};
use super::scripted::{Script, Scripted};
use super::sockets::{Call, SPEECHES};
use super::support::{Ask, Edge, PATIENCE, Transport, configuration, h2_request, handshake, protos, read_h2, tcp};

/// An edge before three upstreams, each of which answers with its name: the catalog's own, and two that routes name.
struct Three {
    edge: Edge,
    own: Scripted,
    east: Scripted,
    _west: Scripted,
}

/// An answer of Echo, or of the greeter.
pub fn answer(name: &str) -> Script {
    let message = [&[0x0a, name.len() as u8], name.as_bytes()].concat();
    let frame = [&prefix(0, message.len())[..], &message].concat();
    Script::new(&[], &[&frame], &[("grpc-status", "0")])
}

/// The configuration of an edge with more clusters than its catalog's.
pub fn with_clusters(own: &str, clusters: &[(&str, String)], routes: &str) -> String {
    let more: String = clusters.iter().map(|(name, url)| format!("  {name}: {{endpoints: \"{url}\"}}\n")).collect();
    configuration(own, &protos(), routes).replacen("catalogs:\n", &format!("{more}catalogs:\n"), 1)
}

// === impl Three ===

impl Three {
    async fn start(routes: &str) -> Three {
        Three::by(routes, |text| text).await
    }

    async fn by(routes: &str, change: impl FnOnce(String) -> String) -> Three {
        let own = Scripted::start(answer("own")).await;
        let (east, west) = (Scripted::start(answer("east")).await, Scripted::start(answer("west")).await);
        let text = with_clusters(&own.url(), &[("east", east.url()), ("west", west.url())], routes);
        Three { edge: Edge::by(&change(text)).await, own, east, _west: west }
    }

    async fn told(&self, dialect: Dialect, ask: &Ask) -> Told {
        dialect.read(&self.edge.ask(Transport::Http2, ask).await)
    }

    /// Whose answer a call gets.
    async fn taker(&self, dialect: Dialect, ask: &Ask) -> String {
        let told = self.told(dialect, ask).await;
        assert_eq!(told.code, Some(Code::Ok), "{dialect:?} {ask:?}: {told:?}");
        told.messages.concat()
    }
}

/// All dialects with a method that each calls.
fn calls() -> impl Iterator<Item = (Dialect, &'static str)> {
    let all = ALL.into_iter().flat_map(|dialect| [UNARY, SERVER, CLIENT, BIDI].map(|path| (dialect, path)));
    all.filter(|(dialect, path)| dialect.speaks(path))
}

fn hello(query: &str) -> Ask {
    Ask::get(format!("/helloworld.Greeter/SayHello?connect=v1&{query}"))
}

#[tokio::test]
async fn a_header_chooses_the_cluster_in_every_dialect() {
    let three = Three::start(
        "routes:
  - match: \"*\"
    when: {headers: {x-canary: \"yes\", x-old: {present: false}}}
    cluster: west
  - match: \"*\"
    when: {headers: {trace-bin: {hex: 00ff10}}}
    cluster: east
  - {match: \"*\", when: {headers: {x-team: {regex: \"a[0-9]+\"}}}, cluster: east}
  - {match: \"*\", when: {headers: {x-team: {prefix: b}}}, cluster: west}",
    )
    .await;
    let bytes = BASE64.encode([0, 255, 16]);
    for (headers, taker) in [
        (&[][..], "own"),
        (&[("x-canary", "yes")], "west"),
        (&[("x-canary", "no")], "own"),
        (&[("x-canary", "yes"), ("x-old", "1")], "own"),
        (&[("trace-bin", bytes.as_str())], "east"),
        (&[("trace-bin", "AAAA")], "own"),
        (&[("x-team", "a12")], "east"),
        (&[("x-team", "a12x")], "own"),
        (&[("x-team", "beta")], "west"),
    ] {
        for (dialect, path) in calls() {
            let ask = dialect.ask(path, &["hi"]).headers(headers);
            assert_eq!(three.taker(dialect, &ask).await, taker, "{dialect:?} {path} {headers:?}");
        }
        let get = hello("encoding=json&message=%7B%7D").headers(headers);
        assert_eq!(three.taker(Dialect::ConnectGetJson, &get).await, taker);
        for speech in SPEECHES {
            let mut client = Call::new(speech, UNARY).with(headers).open(&three.edge).await;
            client.say("hi").await;
            client.end().await;
            let heard = client.rest().await;
            assert_eq!(
                (heard.messages, heard.code),
                (vec![taker.to_owned()], Some(Code::Ok)),
                "{speech:?} {headers:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_field_of_the_first_message_chooses_the_cluster_in_every_dialect_packed_or_not() {
    let three = Three::start(
        "routes:
  - name: eu
    match: grpc.examples.echo.Echo/*
    when: {field: {path: message, equals: [EU, UK]}}
    cluster: east
  - {match: helloworld.Greeter/SayHello, when: {field: {path: name, prefix: E}}, cluster: west}",
    )
    .await;
    let long = format!("EU{}", "x".repeat(3000));
    for (message, taker) in [("EU", "east"), ("UK", "east"), ("US", "own"), (long.as_str(), "own")] {
        for (dialect, path) in calls() {
            for encoding in [None, Some("gzip"), Some("zstd")] {
                let ask = dialect.ask_in(path, &[message], encoding);
                assert_eq!(three.taker(dialect, &ask).await, taker, "{dialect:?} {path} {encoding:?} {message}");
            }
        }
        for speech in SPEECHES {
            for path in [UNARY, BIDI] {
                let mut client = Call::new(speech, path).open(&three.edge).await;
                client.say(message).await;
                client.end().await;
                let heard = client.rest().await;
                assert_eq!((heard.messages, heard.code), (vec![taker.to_owned()], Some(Code::Ok)), "{speech:?} {path}");
            }
        }
    }
    let get = hello("encoding=json&message=%7B%22name%22%3A%22Eve%22%7D");
    assert_eq!(three.taker(Dialect::ConnectGetJson, &get).await, "west");
    let calls = "transom_route_calls_total{route=\"eu\",cluster=\"east\"}";
    assert!(three.edge.metric(calls).await > 20);
}

/// The first of several messages counts, and all of them arrive.
#[tokio::test]
async fn a_stream_goes_by_its_first_message_and_loses_none() {
    let mut three = Three::start(
        "routes: [{match: grpc.examples.echo.Echo/*, when: {field: {path: message, equals: EU}}, cluster: east}]",
    )
    .await;
    for dialect in [Dialect::Grpc, Dialect::WebText, Dialect::ConnectStreamProto, Dialect::ConnectStreamJson] {
        assert_eq!(three.taker(dialect, &dialect.ask(BIDI, &["EU", "US", "CN"])).await, "east", "{dialect:?}");
        assert_eq!(three.east.asked().await.body, Dialect::Grpc.framed(&["EU", "US", "CN"]), "{dialect:?}");
        assert_eq!(three.taker(dialect, &dialect.ask(BIDI, &["US", "EU"])).await, "own", "{dialect:?}");
        assert_eq!(three.own.asked().await.body, Dialect::Grpc.framed(&["US", "EU"]), "{dialect:?}");
        assert_eq!(three.taker(dialect, &dialect.ask(BIDI, &[])).await, "own", "{dialect:?}");
        assert_eq!(three.own.asked().await.body, b"");
    }
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_waited_for() {
    let mut three = Three::start(
        "routes: [{match: grpc.examples.echo.Echo/*, when: {field: {path: message, prefix: EU}}, cluster: east}]",
    )
    .await;
    let message = format!("EU{}", "y".repeat(400));
    let mut client = three.edge.h2().await;
    let ask = Dialect::Grpc.ask(BIDI, &[&message, "more"]);
    let (response, mut body) = client.send_request(h2_request(&ask), false).expect("a stream");
    let last = ask.body.len() - 1;
    for (at, byte) in ask.body.iter().enumerate() {
        body.send_data(Bytes::copy_from_slice(&[*byte]), at == last).expect("room");
        if at % 40 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let told = Dialect::Grpc.read(&read_h2(response).await);
    assert_eq!(told.messages, ["east"], "{told:?}");
    assert_eq!(three.east.asked().await.body, ask.body);
}

/// What is seen here is what the service sees: the last one of a field counts.
#[tokio::test]
async fn a_field_that_is_there_twice_cannot_hide() {
    let three = Three::start(
        "routes: [{match: grpc.examples.echo.Echo/*, when: {field: {path: message, equals: EU}}, cluster: east}]",
    )
    .await;
    let ask = |message: &[u8]| {
        let body = [&prefix(0, message.len())[..], message].concat();
        Ask { body, ..Dialect::Grpc.ask(UNARY, &["x"]) }
    };
    assert_eq!(three.taker(Dialect::Grpc, &ask(b"\x0a\x02EU\x0a\x02US")).await, "own");
    assert_eq!(three.taker(Dialect::Grpc, &ask(b"\x0a\x02US\x10\x01\x0a\x02EU")).await, "east");
    let told = three.told(Dialect::Grpc, &ask(b"\x0a\x02EU\x0a\x7fUS")).await;
    assert_eq!(told.code, Some(Code::InvalidArgument), "{told:?}");
    assert!(told.message.contains("its route depends on a field of it"), "{told:?}");
    // packed in a way that nobody here reads
    let told = three
        .told(Dialect::Grpc, &Ask { body: b"\x01\0\0\0\x02??".to_vec(), ..ask(b"") }.header("grpc-encoding", "lz4"))
        .await;
    assert_ne!(told.code, Some(Code::Ok), "{told:?}");
}

#[tokio::test]
async fn a_host_chooses_the_cluster() {
    let three = Three::start(
        "routes:
  - {match: \"*\", when: {hosts: [\"*.eu.example\", eu.example]}, cluster: east}
  - {match: \"*\", when: {hosts: edge}, cluster: west}",
    )
    .await;
    for (host, taker) in
        [("a.eu.example:443", "east"), ("EU.example", "east"), ("edge", "west"), ("eu.example.org", "own")]
    {
        let ask = Dialect::Grpc.ask(UNARY, &["hi"]);
        let mut request = Request::post(format!("http://{host}{}", ask.path));
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let mut client = three.edge.h2().await;
        let (response, mut body) = client.send_request(request.body(()).expect("a request"), false).expect("a stream");
        body.send_data(ask.body.into(), true).expect("room");
        assert_eq!(Dialect::Grpc.read(&read_h2(response).await).messages, [taker], "{host}");
    }
    // over HTTP/1.1 the host is `edge`
    let told = Dialect::Rest.read(&three.edge.ask(Transport::Http1, &Dialect::Rest.ask(UNARY, &["hi"])).await);
    assert_eq!(told.messages, ["west"]);
}

/// A certificate of the authority for this caller.
fn certificate(
    authority: &(rcgen::Certificate, KeyPair, CertificateParams),
    subject: &str,
    uri: &str,
) -> (rcgen::Certificate, KeyPair) {
    let mut wanted = CertificateParams::new(Vec::<String>::new()).expect("names");
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, subject);
    wanted.subject_alt_names.push(SanType::URI(uri.try_into().expect("a URI")));
    let key = KeyPair::generate().expect("a key");
    let issuer = rcgen::Issuer::from_params(&authority.2, &authority.1);
    (wanted.signed_by(&key, &issuer).expect("a certificate"), key)
}

#[tokio::test]
async fn the_callers_certificate_chooses_the_cluster() {
    let mut wanted = CertificateParams::new(Vec::<String>::new()).expect("names");
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = (wanted.self_signed(&key).expect("a certificate"), key, wanted);
    let folder = tempfile::TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.0.pem()).expect("a file");
    let routes = "routes:
  - {match: \"*\", when: {identity: {uri: \"spiffe://prod.example/ns/shop/*\"}}, cluster: east}
  - {match: \"*\", when: {identity: {subject: [backup, robot]}}, cluster: west}";
    let asking = |text: String| text.replace("key: key.pem}", &format!("key: key.pem, client_ca: {}}}", ca.display()));
    let three = Three::by(routes, asking).await;
    for (subject, uri, taker) in [
        ("web", "spiffe://prod.example/ns/shop/sa/web", "east"),
        ("web", "spiffe://test.example/ns/shop/sa/web", "own"),
        ("robot", "spiffe://prod.example/ns/shopping", "west"),
        ("robot2", "spiffe://prod.example/ns/shopping", "own"),
    ] {
        let (leaf, key) = certificate(&authority, subject, uri);
        let mut roots = RootCertStore::empty();
        roots.add(three.edge.certificate.clone()).expect("a root");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = config.with_client_auth_cert(vec![leaf.der().clone()], key).expect("an identity");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let socket = TlsConnector::from(Arc::new(config)).connect(name, tcp(three.edge.tls).await).await.expect("TLS");
        let mut client = handshake(Box::new(socket)).await;
        let ask = Dialect::Grpc.ask(UNARY, &["hi"]);
        let (response, mut body) = client.send_request(h2_request(&ask), false).expect("a stream");
        body.send_data(ask.body.into(), true).expect("room");
        assert_eq!(Dialect::Grpc.read(&read_h2(response).await).messages, [taker], "{subject} {uri}");
    }
    // in clear text there is no certificate
    assert_eq!(three.taker(Dialect::Grpc, &Dialect::Grpc.ask(UNARY, &["hi"])).await, "own");
}

#[tokio::test]
async fn two_thousand_calls_are_shared_out_by_weight() {
    let three = Three::start(
        "routes:
  - {name: half, match: \"*\", when: {percent: 50}, clusters: [{cluster: east, weight: 3}, {cluster: west}]}",
    )
    .await;
    let mut client = three.edge.h2().await;
    let ask = Dialect::Grpc.ask(UNARY, &["hi"]);
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..2_000 {
        client = client.ready().await.expect("a stream");
        let (response, mut body) = client.send_request(h2_request(&ask), false).expect("a stream");
        body.send_data(ask.body.clone().into(), true).expect("room");
        let taker = Dialect::Grpc.read(&read_h2(response).await).messages.concat();
        *counts.entry(taker).or_default() += 1;
    }
    // five standard deviations
    assert!((888..=1_112).contains(&counts["own"]), "{counts:?}");
    assert!((642..=858).contains(&counts["east"]), "{counts:?}");
    assert!((176..=324).contains(&counts["west"]), "{counts:?}");
    let counted = three.edge.metric("transom_route_calls_total{route=\"half\",cluster=\"east\"}").await;
    assert_eq!(counted, i64::from(counts["east"]));
}

#[tokio::test]
async fn a_renamed_method_is_called_by_its_new_name_in_every_dialect() {
    let mut three = Three::start(
        "routes:
  - {match: grpc.examples.echo.Echo/UnaryEcho, when: {headers: {x-one: \"1\"}}, cluster: east, rename: a.v3.Echo/Say}
  - {match: grpc.examples.*, cluster: east, rename: grpc.examples.echo.v2.Echo/*}",
    )
    .await;
    for (dialect, path) in calls() {
        assert_eq!(three.taker(dialect, &dialect.ask(path, &["hi"])).await, "east");
        let name = path.rsplit('/').next().expect("a name");
        assert_eq!(three.east.asked().await.path, format!("/grpc.examples.echo.v2.Echo/{name}"), "{dialect:?}");
    }
    three.taker(Dialect::Rest, &Dialect::Rest.ask(UNARY, &["hi"]).header("x-one", "1")).await;
    assert_eq!(three.east.asked().await.path, "/a.v3.Echo/Say");
    // methods beside them keep their names
    three.taker(Dialect::ConnectGetJson, &hello("encoding=json&message=%7B%7D")).await;
    assert_eq!(three.own.asked().await.path, "/helloworld.Greeter/SayHello");
}

#[tokio::test]
async fn a_fault_is_told_in_every_dialect_and_only_to_those_who_ask() {
    let three = Three::start(
        "routes:
  - name: broken
    match: \"*\"
    fault:
      status: RESOURCE_EXHAUSTED
      message: come back later
      http: 418
      when: {headers: {x-break: \"1\"}}",
    )
    .await;
    let mut refused = 0;
    for (dialect, path) in calls() {
        assert_eq!(three.taker(dialect, &dialect.ask(path, &["hi"])).await, "own");
        let told = three.told(dialect, &dialect.ask(path, &["hi"]).header("x-break", "1")).await;
        let at = format!("{dialect:?} {path}: {told:?}");
        assert_eq!((told.code, told.message.as_str()), (Some(Code::ResourceExhausted), "come back later"), "{at}");
        assert_eq!(told.reason(), "FAULT_INJECTED", "{at}");
        if dialect.is_rest() {
            assert_eq!(told.http, 418, "{at}");
        }
        refused += 1;
    }
    for speech in SPEECHES {
        let mut client = Call::new(speech, UNARY).with(&[("x-break", "1")]).open(&three.edge).await;
        client.say("hi").await;
        client.end().await;
        assert_eq!(client.rest().await.code, Some(Code::ResourceExhausted), "{speech:?}");
        refused += 1;
    }
    assert_eq!(three.edge.metric("transom_faults_total{route=\"broken\",kind=\"status\"}").await, refused);
}

#[tokio::test]
async fn a_delay_passes_within_the_deadline() {
    let three = Three::start(
        "routes:
  - {match: grpc.examples.echo.Echo/UnaryEcho, fault: {delay: 200ms..250ms}}
  - {match: grpc.examples.echo.Echo/*, fault: {delay: 60s}}",
    )
    .await;
    for dialect in [Dialect::Grpc, Dialect::ConnectJson, Dialect::Rest] {
        let begun = Instant::now();
        assert_eq!(three.taker(dialect, &dialect.ask(UNARY, &["hi"])).await, "own");
        assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
    for (dialect, timeout) in [
        (Dialect::Grpc, ("grpc-timeout", "80m")),
        (Dialect::ConnectStreamJson, ("connect-timeout-ms", "80")),
        (Dialect::Rest, ("grpc-timeout", "80m")),
    ] {
        // an answer after a minute is none to `told`
        let told = three.told(dialect, &dialect.ask(CLIENT, &["hi"]).header(timeout.0, timeout.1)).await;
        assert_eq!(told.code, Some(Code::DeadlineExceeded), "{dialect:?} {told:?}");
    }
}

/// A catalog that lets calls of unknown methods pass lets routes look at their heads.
#[tokio::test]
async fn methods_that_no_catalog_has_go_by_their_heads() {
    let pass = |text: String| text.replace("    cluster: demo\n", "    cluster: demo\n    unknown_methods: pass\n");
    let three = Three::by(
        "routes:
  - {match: no.such.Service/*, cluster: west}
  - {match: \"*\", when: {headers: {x-canary: \"yes\"}}, cluster: east}",
        pass,
    )
    .await;
    let ask = |path: &str| Ask { path: path.to_owned(), ..Dialect::Grpc.ask(UNARY, &["hi"]) };
    assert_eq!(three.taker(Dialect::Grpc, &ask("/no.such.Service/Do")).await, "west");
    assert_eq!(three.taker(Dialect::Grpc, &ask("/no.such.Other/Do")).await, "own");
    assert_eq!(three.taker(Dialect::Grpc, &ask("/no.such.Other/Do").header("x-canary", "yes")).await, "east");
}
