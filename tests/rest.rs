//! Properties of REST calls: templates, requests made backwards of messages, and any bytes at all.

// the googleapis suite uses these as well, each its own part
#[path = "foreign/googleapis/socket.rs"]
mod socket;
#[path = "foreign/googleapis/synthesis.rs"]
mod synthesis;

use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body::Body as _;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use prost_reflect::{DescriptorPool, DynamicMessage};
use synthesis::{Dice, Request};
use transom::call::{Connection, Head, Inbound};
use transom::catalog::{
    Catalog, HttpRule, MAX_LITERAL, PartialRest, PartialSettings, RuleBinding, Segment, SettingRule, Source, Template,
    TemplateVariable, Verb, load,
};
use transom::observe::Meters;
use transom::proxy::{Handler, Tables};
use transom::route::{Match, MethodRef, Table};
use transom::transcode::{ReadOptions, weave};
use transom::upstream::{ClusterSettings, Clusters, EndpointSettings, Pool};

/// So few that all tests together take some seconds; `REST_CASES=100000` looks longer. A case that fails is kept in
/// `target/tmp/rest.txt`, and is tried first in the next run.
fn few(cases: u32) -> ProptestConfig {
    let cases = std::env::var("REST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    let kept = FileFailurePersistence::Direct(concat!(env!("CARGO_TARGET_TMPDIR"), "/rest.txt"));
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

// === templates ===

/// Segments, each with whether a variable begins there and how many segments it then spans.
fn parts() -> impl Strategy<Value = Template> {
    let literal = prop_oneof!["[a-z]{1,3}", "[^\u{0}]{1,8}"].prop_filter("a literal", |text| text.len() <= MAX_LITERAL);
    let segment = prop_oneof![
        3 => literal.clone().prop_map(|text| Segment::Literal(text.into())),
        2 => Just(Segment::Star),
        1 => Just(Segment::DoubleStar),
    ];
    let spans = prop::collection::vec((any::<bool>(), 1..4usize), 0..8);
    let segments = prop::collection::vec(segment, 0..8);
    (segments, spans, prop::option::of(literal)).prop_map(|(mut segments, spans, verb)| {
        let mut seen = false;
        for segment in &mut segments {
            if *segment == Segment::DoubleStar && std::mem::replace(&mut seen, true) {
                *segment = Segment::Star;
            }
        }
        let mut variables: Vec<TemplateVariable> = Vec::new();
        let mut at = 0;
        for (n, (is_variable, span)) in spans.into_iter().enumerate() {
            let end = (at + span).min(segments.len());
            if is_variable && at < end {
                let spanned = &segments[at..end];
                let multi = spanned.len() > 1 || spanned[0] == Segment::DoubleStar;
                let path = if n % 2 == 0 { format!("v{n}") } else { format!("a.v{n}") };
                variables.push(TemplateVariable { path: path.into(), start: at, end, multi });
            }
            at = end;
        }
        let verb = verb.filter(|_| !segments.is_empty()).map(Into::into);
        Template { text: "".into(), segments: segments.into(), verb, variables: variables.into() }
    })
}

proptest! {
    #![proptest_config(few(2000))]

    #[test]
    fn a_template_that_is_written_reads_back_as_the_same_parts(template in parts()) {
        let written = template.to_string();
        let read = Template::parse(&written);
        prop_assert!(read.is_ok(), "{written}: {read:?}");
        prop_assert_eq!(Template { text: "".into(), ..read.unwrap() }, template, "{}", written);
    }

    #[test]
    fn a_template_that_is_read_is_written_and_read_as_the_same(
        text in "/([a-z%:*]{0,3}|\\{[a-z.]{1,3}(=[a-z*/]{1,5})?\\}|\\*\\*)(/([a-zé:]{1,3}|\\{[a-z]{1,2}(=[a-z*/]{1,5})?\\})){0,4}(:[a-z:]{1,4})?"
    ) {
        if let Ok(template) = Template::parse(&text) {
            let again = Template::parse(&template.to_string());
            prop_assert!(again.is_ok(), "{text}: {again:?}");
            prop_assert_eq!(Template { text: text.into(), ..again.unwrap() }, template);
        }
    }
}

// === requests made backwards ===

const PROTO: &str = r#"
syntax = "proto3";
package r;
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Size { NONE = 0; SMALL = 1; LARGE = 2; }
message Part {
  string name = 1; int64 count = 2; Size size = 3; repeated Part parts = 4; map<string, Part> by_name = 5; string code = 6;
  oneof kind { string plain = 7; Part other = 8; }
}
message M {
  string a = 1; string b_b = 2; string c = 3; Part part = 4; repeated Part parts = 5; map<string, string> labels = 6;
  map<int32, Part> places = 7; repeated string tags = 8; repeated int32 marks = 9; Size size = 10; repeated Size sizes = 11;
  google.protobuf.Timestamp at = 12; google.protobuf.Duration within = 13; google.protobuf.FieldMask mask = 14;
  google.protobuf.StringValue note = 15; google.protobuf.Struct extra = 16; bytes key = 17; double weight = 18;
  bool flag = 19; optional uint64 maybe = 20; sint32 delta = 21; fixed64 big = 22; float ratio = 23;
  oneof pay { string card = 24; Part cash = 25; Size coin = 26; }
  repeated google.protobuf.Timestamp times = 27; map<bool, double> rates = 28; string odd = 29 [json_name = "@odd"];
}
service S { rpc Put(M) returns (M); rpc Get(M) returns (M); }
"#;

/// Variables of the rules that are made, of every form, with what they may span.
const VARIABLES: [(&str, bool); 12] = [
    ("a", true),
    ("b_b", true),
    ("part.name", true),
    ("part.other.code", true),
    ("card", true),
    ("odd", true),
    ("size", false),
    ("at", false),
    ("maybe", false),
    ("delta", false),
    ("flag", false),
    ("note", false),
];

/// A rule for the method, of dice.
fn rule(dice: &mut Dice) -> RuleBinding {
    let (mut template, mut free) = (String::new(), VARIABLES.to_vec());
    let mut double = false;
    for at in 0..1 + dice.roll(4) {
        template.push('/');
        if dice.roll(3) == 0 {
            template.push_str(["x", "v1", "caf%C3%A9", "*"][dice.roll(4)]);
            continue;
        }
        let (name, is_text) = free.swap_remove(dice.roll(free.len()));
        let span = match dice.roll(5) {
            0 if is_text => format!("=y{at}/*"),
            1 if is_text && !double => {
                double = true;
                ["=**", "=z/**", "=**/z/*"][dice.roll(3)].to_owned()
            }
            2 if is_text => "=w/*/w".to_owned(),
            _ => String::new(),
        };
        template.push_str(&format!("{{{name}{span}}}"));
    }
    template.push_str(["", "", ":go", ":a:b"][dice.roll(4)]);
    // a literal with a colon in it takes the first part of such a verb
    let verb = [http::Method::GET, http::Method::POST, http::Method::PATCH][dice.roll(3)].clone();
    let taken = |name: &str| template.contains(&format!("{{{name}"));
    let bodies: Vec<&str> = ["*", "part", "parts", "labels", "tags", "extra", "c"].into_iter().collect();
    let body = if dice.roll(2) == 0 { "" } else { bodies[dice.roll(bodies.len())] };
    // a field that the body fills wholly is none that the path sets
    let body = if body != "*" && body != "part" && taken(body) { "" } else { body };
    RuleBinding { body: body.into(), ..RuleBinding::new(Verb::Exact(verb), template) }
}

fn catalog_of(folder: &Path, rules: Vec<HttpRule>) -> Catalog {
    std::fs::write(folder.join("r.proto"), PROTO).expect("a file");
    let settings = PartialSettings {
        rest: PartialRest { query_brackets: Some(true), ..PartialRest::default() },
        ..PartialSettings::default()
    };
    let source = Source {
        proto_paths: vec![folder.to_path_buf()],
        rules,
        settings: vec![SettingRule { pattern: "*".into(), settings, place: None }],
        ..Source::new("r", "upstream")
    };
    load(&source).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).catalog
}

/// A catalog with these many rules that fit beside one another.
fn catalog(dice: &mut Dice, count: usize) -> (Arc<Catalog>, Table) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let rules = (0..count).map(|_| HttpRule {
        add: true,
        bindings: vec![rule(dice)],
        ..HttpRule::new("r.S.Put", Verb::Any, "/")
    });
    let mut rules: Vec<HttpRule> = rules.collect();
    loop {
        let catalog = [Arc::new(catalog_of(folder.path(), rules.clone()))];
        if let Ok((table, _)) = Table::build(&catalog) {
            let [catalog] = catalog;
            return (catalog, table);
        }
        // two of one shape
        rules.pop();
    }
}

#[test]
fn a_request_that_is_made_of_a_message_becomes_that_message() {
    let rounds = few(30).cases;
    let (mut same, mut elsewhere) = (0, 0);
    for round in 0..rounds {
        let mut dice = Dice::new(u64::from(round) + 1);
        let (catalog, table) = catalog(&mut dice, 8);
        let pool = DescriptorPool::decode(catalog.descriptor_set.clone()).expect("a set");
        let input = pool.get_message_by_name("r.M").expect("the type");
        let method = &catalog.methods[0];
        for turn in 0..20 * method.bindings.len() {
            let index = turn % method.bindings.len();
            let binding = &method.bindings[index];
            let brackets = dice.roll(2) == 0;
            let made = Request::made(&mut dice, (&catalog, method, binding), &input, brackets);
            let found = table.template(&made.verb, None, &made.path);
            let Match::Found { binding: found, variables, .. } = found else {
                panic!("{} of {}: {found:?}", made.path, binding.template.text)
            };
            if found != index {
                elsewhere += 1;
                continue;
            }
            let values: Vec<(usize, Cow<'_, str>)> = variables.iter().cloned().enumerate().collect();
            let options = ReadOptions { query_brackets: brackets, ..ReadOptions::default() };
            let (query, body) = (made.query.as_deref(), made.body.as_deref());
            let mut wire = Vec::new();
            let woven = weave(&catalog.schema, method.input, binding, &values, query, body, &options, &mut wire);
            let told = || format!("{} {}?{query:?} {body:?}", binding.template.text, made.path);
            assert_eq!(woven, Ok(()), "seed {round}: {}", told());
            let message = DynamicMessage::decode(input.clone(), &wire[..]).expect("a message");
            assert_eq!(message, made.message, "seed {round}: {}", told());
            same += 1;
        }
    }
    assert!(same > elsewhere * 2, "{same} {elsewhere}");
}

#[test]
fn the_same_over_sockets() {
    let mut dice = Dice::new(7);
    let (catalog, table) = catalog(&mut dice, 12);
    let pool = DescriptorPool::decode(catalog.descriptor_set.clone()).expect("a set");
    let input = pool.get_message_by_name("r.M").expect("the type");
    let method = &catalog.methods[0];
    let mut cases = Vec::new();
    for turn in 0..100 {
        let index = turn % method.bindings.len();
        let request = Request::made(&mut dice, (&catalog, method, &method.bindings[index]), &input, true);
        let found = table.template(&request.verb, None, &request.path);
        if matches!(found, Match::Found { method: MethodRef { method: 0, .. }, binding, .. } if binding == index) {
            let name = method.bindings[index].template.text.to_string();
            cases.push(socket::Case { name, host: None, request, called: method.path.to_string() });
        }
    }
    assert!(cases.len() > 30);
    assert_eq!(socket::ask_all(&[catalog], cases), Vec::<String>::new());
}

// === any bytes ===

/// What has a meaning somewhere in a URL.
const PIECES: [&str; 30] = [
    "/",
    "//",
    "v1",
    "x",
    "y0",
    "%2F",
    "%",
    "%zz",
    "%C3",
    "%ff",
    ":go",
    ":",
    ":a:b",
    "*",
    "**",
    "{a}",
    ".",
    "..",
    "=",
    "&",
    "?",
    "a=1",
    "part.name=n",
    "parts[0].name=n",
    "labels[k]=v",
    "[",
    "]",
    "tags[]=",
    "caf%C3%A9",
    "+",
];

fn url() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(0x21..=0xffu8, 1..4),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[\\[{][\"a-z:{}\\[\\],0-9 ]{0,30}".prop_map(String::into_bytes),
        Just(Vec::new()),
        Just(br#"{"a":"x","parts":[{"name":"n"}]}"#.to_vec()),
    ]
}

/// An edge whose upstream is not there: a call that is in order is refused behind the routes.
struct Hall {
    handler: Arc<Handler>,
    runtime: tokio::runtime::Runtime,
}

static HALL: LazyLock<Hall> = LazyLock::new(|| {
    let (catalog, table) = catalog(&mut Dice::new(3), 10);
    // the discard port: nobody listens there
    let endpoint = EndpointSettings::parse("h2c://127.0.0.1:9").expect("an endpoint");
    let clusters = [ClusterSettings::new("upstream", vec![endpoint])];
    let tables = Tables::new(vec![catalog], table, &clusters, &Clusters::default(), None, None).expect("tables");
    let meters = Meters::new(false);
    let pool = Pool::new(Arc::clone(&meters));
    let handler = Arc::new(Handler::new(Arc::new(ArcSwap::from_pointee(tables)), pool, meters));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    Hall { handler, runtime }
});

/// The HTTP code of an answer that is read to its end.
fn asked(request: http::Request<()>, body: Vec<u8>) -> u16 {
    let address = ([127, 0, 0, 1], 1).into();
    let connection = Arc::new(Connection { peer: address, local: address, tls: None });
    let (parts, ()) = request.into_parts();
    HALL.runtime.block_on(async {
        let call = Arc::clone(&HALL.handler).open(Head::new(parts, connection), Inbound::Whole(Bytes::from(body)));
        let answer = tokio::time::timeout(Duration::from_secs(10), call).await.expect("an answer in time");
        let (head, body) = answer.into_parts();
        let mut body = std::pin::pin!(body);
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            if frame.is_err() {
                break;
            }
        }
        head.status.as_u16()
    })
}

proptest! {
    #![proptest_config(few(1500))]

    #[test]
    fn any_url_and_body_get_an_answer(
        url in url(),
        body in body(),
        verb in prop::sample::select(&["GET", "POST", "PATCH", "HEAD", "OPTIONS", "DELETE", "QUERY"][..]),
        content in prop::sample::select(&["application/json", "", "application/x-ndjson", "text/plain", "application/grpc-web+proto"][..]),
        overriding in prop::sample::select(&["", "GET", "patch", "\u{e9}"][..]),
    ) {
        // what is no URL for the HTTP library never gets here
        if let Ok(uri) = http::Uri::try_from(&url[..]) {
            let mut request = http::Request::builder().method(verb).uri(uri);
            for (name, value) in [("content-type", content), ("x-http-method-override", overriding)] {
                if !value.is_empty() {
                    request = request.header(name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
                }
            }
            if let Ok(request) = request.body(()) {
                let code = asked(request, body);
                // 200 is what gRPC-Web tells its errors by
                prop_assert!([200, 204, 400, 404, 405, 413, 415, 503].contains(&code), "{}", code);
            }
        }
    }
}

#[test]
fn any_bytes_over_a_socket_get_an_answer_or_an_end() {
    let (catalog, _) = catalog(&mut Dice::new(3), 10);
    let mut runner = proptest::test_runner::TestRunner::new(few(200));
    socket::with_edge(&[catalog], |address| {
        // `whole`: nothing more comes; what is no request at all would be waited for
        let ask = |bytes: &[u8], whole: bool| {
            let mut socket = std::net::TcpStream::connect(address).expect("an edge");
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            let _ = socket.write_all(bytes);
            if whole {
                let _ = socket.shutdown(std::net::Shutdown::Write);
            }
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
            answer
        };
        runner
            .run(&(url(), body()), |(url, body)| {
                let head = format!("\r\nhost: edge\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let answer = ask(&[b"POST ", &url[..], b" HTTP/1.1", head.as_bytes(), &body[..]].concat(), false);
                prop_assert!(answer.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(&answer));
                ask(&[&url[..], &body[..]].concat(), true);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        let last = ask(b"GET /nowhere/at/all/x/y/z HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n", false);
        assert!(last.starts_with(b"HTTP/1.1 "), "it still stands");
    });
}
