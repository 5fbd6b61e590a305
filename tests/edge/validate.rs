//! Rules of `buf.validate`: what breaks them is refused in each dialect's own form, with every broken rule, or counted and
//! let pass, both ways; beside the schema guard and independent of it.

use base64::Engine;
use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use transom::demo::upstream::Upstream;
use transom::demo::upstream::echo_v1::EchoRequest;
use transom::status::Code;

use super::dialects::{ALL, BASE64, BIDI, CLIENT, Dialect, SERVER, Told, UNARY, frames, pack, prefix};
use super::scripted::{Script, Scripted};
use super::sockets::{Call, Heard, SPEECHES, Speech};
use super::support::{Ask, Edge, PATIENCE, Transport, first_of_h2, h2_request, protos, rest_of_h2, send_all};

/// What stands in `EchoRequest` in place of its only field.
const REQUEST: &str = r#"string message = 1 [(buf.validate.field).string = { min_len: 3, not_contains: "!" }, (buf.validate.field).cel = {
    id: "echo.polite"
    expression: "this.startsWith('HEY') ? 'must not begin with ' + this : ''"
  }];
  repeated string tags = 2 [(buf.validate.field).repeated.items.string.min_len = 3];
  // fails over what is no text
  bytes raw = 3 [(buf.validate.field).bytes = { pattern: "^a", min_len: 1 }, (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];"#;

/// The same for `EchoResponse`.
const RESPONSE: &str = r#"string message = 1 [(buf.validate.field).string.not_contains = "?"];
  bytes raw = 3 [(buf.validate.field).bytes.pattern = "^a", (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];"#;

const FAST: (&str, &str) = ("x-demo-interval-ms", "0");
const OK: (&str, &str) = ("grpc-status", "0");
const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];

/// Breaks two rules of `EchoRequest`.
const BAD: &str = "a!";
const BAD_TEXT: &str = "message: must be at least 3 characters (and 1 more rule is broken)";
/// `EchoResponse`s that break a rule and that break none.
const BAD_ANSWER: &[u8] = b"\0\0\0\0\x06\x0a\x04why?";
const GOOD_ANSWER: &[u8] = b"\0\0\0\0\x07\x0a\x05hello";
const BAD_ANSWER_TEXT: &str =
    "the upstream's message breaks the rules of grpc.examples.echo.EchoResponse: message (string.not_contains)";

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

#[derive(Clone, PartialEq, Message)]
struct Violations {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<Violation>,
}

#[derive(Clone, PartialEq, Message)]
struct Violation {
    #[prost(string, optional, tag = "2")]
    rule_id: Option<String>,
    #[prost(string, optional, tag = "3")]
    message: Option<String>,
    #[prost(bool, optional, tag = "4")]
    for_key: Option<bool>,
    #[prost(message, optional, tag = "5")]
    field: Option<FieldPath>,
    #[prost(message, optional, tag = "6")]
    rule: Option<FieldPath>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldPath {
    #[prost(message, repeated, tag = "1")]
    elements: Vec<PathElement>,
}

#[derive(Clone, PartialEq, Message)]
struct PathElement {
    #[prost(int32, optional, tag = "1")]
    number: Option<i32>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

/// An edge with these rules before this upstream, with these settings for all methods.
async fn before(upstream: &str, settings: &str) -> Edge {
    by(REQUEST, upstream, settings).await
}

/// The same with other rules for requests.
async fn by(request: &str, upstream: &str, settings: &str) -> Edge {
    let folder = TempDir::new().expect("a folder");
    for name in ["route_guide.proto", "bookstore.proto", "files.proto"] {
        std::fs::copy(protos().join(name), folder.path().join(name)).expect("a copy");
    }
    let greeter = std::fs::read_to_string(protos().join("helloworld.proto")).expect("a file");
    let greeter = greeter.replacen("import", "import \"buf/validate/validate.proto\";\nimport", 1);
    let greeter =
        greeter.replace("name = 1;", "name = 1 [(buf.validate.field).string = { min_len: 3, not_contains: \"!\" }];");
    std::fs::write(folder.path().join("helloworld.proto"), greeter).expect("a file");
    std::fs::write(folder.path().join("echo.proto"), echo_proto(request)).expect("a file");
    let more = format!("settings: [{{match: \"*\", max_request_message: 64KiB, {settings}}}]");
    Edge::with(upstream, folder.path(), &more).await
}

/// The demo's Echo with rules.
fn echo_proto(request: &str) -> String {
    const FIELD: &str = "string message = 1;";
    let text = std::fs::read_to_string(protos().join("echo.proto")).expect("a file");
    assert_eq!(text.matches(FIELD).count(), 2);
    let text = text.replacen(FIELD, request, 1).replacen(FIELD, RESPONSE, 1);
    text.replacen("import", "import \"buf/validate/validate.proto\";\nimport", 1)
}

/// The same before the demo's upstream.
async fn start(settings: &str) -> Edge {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let mut edge = before(&format!("h2c://{}", upstream.address()), settings).await;
    edge.upstream = Some(upstream);
    edge
}

async fn counted(edge: &Edge, direction: &str, mode: &str, verdict: &str) -> i64 {
    let labels = format!("direction=\"{direction}\",mode=\"{mode}\",verdict=\"{verdict}\"");
    edge.metric(&format!("transom_rule_violations_total{{{labels}}}")).await
}

async fn guarded(edge: &Edge, direction: &str, mode: &str) -> i64 {
    edge.metric(&format!("transom_guard_violations_total{{direction=\"{direction}\",mode=\"{mode}\"}}")).await
}

fn path(elements: &[(i32, &str, i32)]) -> Option<FieldPath> {
    let element = |(number, name, kind): &(i32, &str, i32)| PathElement {
        number: Some(*number),
        name: Some((*name).to_owned()),
        kind: Some(*kind),
    };
    Some(FieldPath { elements: elements.iter().map(element).collect() })
}

/// What [`BAD`] breaks, as the details tell it.
fn bad_details() -> (BadRequest, Violations) {
    let rules = [
        ("string.min_len", "must be at least 3 characters", (2, "min_len", 4)),
        ("string.not_contains", "contains substring `!`", (23, "not_contains", 9)),
    ];
    let fields = rules.map(|(_, text, _)| FieldViolation { field: "message".into(), description: text.into() });
    let violations = rules.map(|(id, text, rule)| Violation {
        rule_id: Some(id.into()),
        message: Some(text.into()),
        for_key: None,
        field: path(&[(1, "message", 9)]),
        rule: path(&[(14, "string", 11), rule]),
    });
    (BadRequest { violations: fields.into() }, Violations { violations: violations.into() })
}

/// The same as JSON shows it, in the order of the details.
fn bad_json() -> [Value; 2] {
    let field = json!({"elements": [{"fieldNumber": 1, "fieldName": "message", "fieldType": "TYPE_STRING"}]});
    let rule = |number: u32, name: &str, kind: &str| {
        let outer = json!({"fieldNumber": 14, "fieldName": "string", "fieldType": "TYPE_MESSAGE"});
        json!({"elements": [outer, {"fieldNumber": number, "fieldName": name, "fieldType": kind}]})
    };
    let fields = json!({"fieldViolations": [
        {"field": "message", "description": "must be at least 3 characters"},
        {"field": "message", "description": "contains substring `!`"},
    ]});
    let violations = json!({"violations": [
        {
            "field": field,
            "rule": rule(2, "min_len", "TYPE_UINT64"),
            "ruleId": "string.min_len",
            "message": "must be at least 3 characters",
        },
        {
            "field": field,
            "rule": rule(23, "not_contains", "TYPE_STRING"),
            "ruleId": "string.not_contains",
            "message": "contains substring `!`",
        },
    ]});
    [fields, violations]
}

/// With the type inside, as in `google.protobuf.Any`.
fn any(name: &str, mut json: Value) -> Value {
    json["@type"] = Value::String(format!("type.googleapis.com/{name}"));
    json
}

fn bad_anys() -> Value {
    let [fields, violations] = bad_json();
    json!([any("google.rpc.BadRequest", fields), any("buf.validate.Violations", violations)])
}

/// The text of a refusal of a caller's message. Of the JSON texts of a stream (`texts`) it is told which.
fn numbered(texts: bool, path: &str, number: usize, text: &str) -> String {
    let streams = path == CLIENT || path == BIDI;
    if texts && streams { format!("message {number}: {text}") } else { text.to_owned() }
}

/// Checks that the details are those of [`BAD`].
fn has_bad_details(told: &Told, at: &str) {
    assert_eq!(told.detail_types(), ["google.rpc.BadRequest", "buf.validate.Violations"], "{at}");
    let (fields, violations) = bad_details();
    match (&told.details[0].1, &told.details[1].1) {
        (Value::String(first), Value::String(second)) => {
            let bytes = |text: &str| BASE64.decode(text).expect("base64");
            assert_eq!(BadRequest::decode(&*bytes(first)).as_ref(), Ok(&fields), "{at}");
            assert_eq!(Violations::decode(&*bytes(second)).as_ref(), Ok(&violations), "{at}");
        }
        (first, second) => assert_eq!(json!([first, second]), bad_anys(), "{at}"),
    }
}

#[tokio::test]
async fn what_keeps_the_rules_passes_in_every_dialect_packed_or_not() {
    let edge = start("validate: {requests: enforce, responses: enforce}").await;
    let text = "the quick brown fox ".repeat(300);
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in [None, Some("gzip"), Some("zstd")] {
                let ask = dialect.ask_in(path, &[&text], encoding).headers(&[("x-demo-stream-count", "1"), FAST]);
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                assert_eq!((told.code, told.messages == [text.clone()]), (Some(Code::Ok), true), "{at}");
            }
        }
    }
    for direction in ["request", "response"] {
        for verdict in ["broken", "unjudged"] {
            assert_eq!(counted(&edge, direction, "enforce", verdict).await, 0);
        }
    }
}

#[tokio::test]
async fn a_request_that_breaks_rules_is_refused_with_all_of_them_in_every_dialect() {
    let edge = start("validate: {requests: enforce}").await;
    let mut refused = 0;
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in [None, Some("gzip"), Some("br")] {
                let ask = dialect.ask_in(path, &[BAD], encoding).header("x-demo-interval-ms", "0");
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                let text = numbered(dialect.is_rest(), path, 1, BAD_TEXT);
                assert_eq!((told.code, &*told.message), (Some(Code::InvalidArgument), &*text), "{at}");
                assert!(told.messages.is_empty(), "{at}");
                if dialect.has_http_code() || dialect.is_rest() {
                    assert_eq!(told.http, 400, "{at}");
                }
                has_bad_details(&told, &at);
                refused += 1;
            }
        }
    }
    assert_eq!(counted(&edge, "request", "enforce", "broken").await, refused);
}

#[tokio::test]
async fn a_refusal_is_the_protocols_own_json_to_the_letter() {
    let edge = start("validate: {requests: enforce}").await;
    for transport in [Transport::Http1, Transport::Http2] {
        let answer = edge.ask(transport, &Dialect::Rest.ask(UNARY, &[BAD])).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"));
        assert_eq!(answer.json(), json!({"code": 3, "message": BAD_TEXT, "details": bad_anys()}));

        let answer = edge.ask(transport, &Dialect::ConnectJson.ask(UNARY, &[BAD])).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"));
        let (fields, violations) = bad_details();
        let mut told = answer.json();
        let mut detail = |at: usize| -> Value {
            let value = told["details"][at]["value"].take();
            Value::String(BASE64.encode(BASE64.decode(value.as_str().expect("text")).expect("base64")))
        };
        let decoded = [detail(0), detail(1)].map(|value| BASE64.decode(value.as_str().expect("text")).expect("base64"));
        assert_eq!(BadRequest::decode(&*decoded[0]), Ok(fields));
        assert_eq!(Violations::decode(&*decoded[1]), Ok(violations));
        let [fields, violations] = bad_json();
        let details = json!([
            {"type": "google.rpc.BadRequest", "value": null, "debug": fields},
            {"type": "buf.validate.Violations", "value": null, "debug": violations},
        ]);
        assert_eq!(told, json!({"code": "invalid_argument", "message": BAD_TEXT, "details": details}));
    }
}

#[tokio::test]
async fn what_is_in_the_url_is_held_to_rules_too() {
    let edge = start("validate: {requests: enforce}").await;
    let method = "/helloworld.Greeter/SayHello?connect=v1&encoding";
    let text = BAD_TEXT.replace("message", "name");
    for (dialect, good, bad) in [
        (
            Dialect::ConnectGetJson,
            "json&message=%7B%22name%22%3A%22joe%22%7D",
            "json&message=%7B%22name%22%3A%22a!%22%7D",
        ),
        (Dialect::ConnectGetProto, "proto&base64=1&message=CgNqb2U", "proto&base64=1&message=CgJhIQ"),
    ] {
        let answer = edge.ask(Transport::Http1, &Ask::get(format!("{method}={good}"))).await;
        assert_eq!(answer.status, 200, "{dialect:?} {answer:?}");
        let told = dialect.read(&edge.ask(Transport::Http1, &Ask::get(format!("{method}={bad}"))).await);
        let at = format!("{dialect:?}: {told:?}");
        assert_eq!((told.http, told.code, &*told.message), (400, Some(Code::InvalidArgument), &*text), "{at}");
        assert_eq!(told.detail_types(), ["google.rpc.BadRequest", "buf.validate.Violations"], "{at}");
    }
    let told = Dialect::Rest.read(&edge.ask(Transport::Http1, &Ask::get("/v1/greeter/a!")).await);
    assert_eq!((told.http, &*told.message), (400, &*text));
}

#[tokio::test]
async fn a_message_that_breaks_very_many_rules_is_refused_in_a_header_block_that_peers_take() {
    let edge = start("validate: {requests: enforce}").await;
    let tags = vec!["x"; 5000];
    let body = json!({"message": "hello", "tags": tags}).to_string();
    let ask = Dialect::GrpcJson.ask(UNARY, &["x"]);
    let frame = [&prefix(0, body.len())[..], body.as_bytes()].concat();
    let answer = edge.ask(Transport::Http2, &Ask { body: frame, ..ask }).await;
    // as HTTP/2 counts a header list (RFC 9113, 6.5.2)
    let fields = answer.headers.iter().chain(&answer.trailers);
    let size: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(size < 8 << 10, "{size}");
    let told = Dialect::GrpcJson.read(&answer);
    assert_eq!(told.code, Some(Code::InvalidArgument));
    assert!(told.message.starts_with("tags[0]: must be at least 3 characters (and "), "{}", told.message);
    assert!(told.message.contains(" more rules are broken; the details hold "), "{}", told.message);
    assert_eq!(told.detail_types(), ["google.rpc.BadRequest", "buf.validate.Violations"]);

    let answer = edge.ask(Transport::Http1, &Ask::post("/v1/echo", "application/json", body)).await;
    let told = answer.json();
    let fields = told["details"][0]["fieldViolations"].as_array().expect("fields").len();
    let rules = told["details"][1]["violations"].as_array().expect("rules");
    assert!(fields >= 10 && fields == rules.len(), "{fields}");
    assert_eq!(rules[7]["field"]["elements"][0]["index"], "7");
}

#[tokio::test]
async fn in_shadow_requests_that_break_rules_pass_byte_for_byte_and_are_counted() {
    let mut upstream = Scripted::start(Script::new(&[], &[GOOD_ANSWER], &[OK])).await;
    let edge = before(&upstream.url(), "validate: {requests: shadow}").await;
    let off = before(&upstream.url(), "guard: {requests: shadow}").await;
    let mut sent = 0;
    for dialect in ALL.into_iter().filter(|dialect| *dialect != Dialect::RestArray) {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in [None, Some("gzip")] {
                for edge in [&edge, &off] {
                    let told = dialect.read(&edge.ask(Transport::Http2, &dialect.ask_in(path, &[BAD], encoding)).await);
                    let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                    assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["hello".to_owned()][..]), "{at}");
                    let asked = upstream.asked().await;
                    let frames = frames(&asked.body);
                    let message = EchoRequest { message: BAD.to_owned() }.encode_to_vec();
                    match &frames[..] {
                        [(0, plain)] => assert_eq!(*plain, message, "{at}"),
                        [(1, packed)] => assert_eq!(*packed, pack("gzip", &message), "{at}"),
                        other => panic!("{at} {other:?}"),
                    }
                }
                sent += 1;
            }
        }
    }
    assert_eq!(counted(&edge, "request", "shadow", "broken").await, sent);
    assert_eq!(counted(&edge, "response", "shadow", "broken").await, 0, "answers are not looked at");
    assert_eq!(guarded(&edge, "request", "shadow").await + guarded(&off, "request", "shadow").await, 0);
    assert_eq!(counted(&off, "request", "shadow", "broken").await, 0);
}

#[tokio::test]
async fn a_stream_of_requests_ends_at_the_message_that_breaks_rules_and_what_went_before_has_gone() {
    let upstream = Scripted::start(Script::new(&[], &[], &[OK])).await;
    let edge = before(&upstream.url(), "validate: {requests: enforce}").await;
    for dialect in ALL {
        for path in [CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in [None, Some("gzip")] {
                let ask = dialect.ask_in(path, &["hello", BAD, "hello"], encoding);
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                let text = numbered(dialect.is_rest(), path, 2, BAD_TEXT);
                assert_eq!((told.code, &*told.message), (Some(Code::InvalidArgument), &*text), "{at}");
                has_bad_details(&told, &at);
            }
        }
    }
    // one by one: the first is answered when the second is said
    for dialect in [Dialect::Grpc, Dialect::Web, Dialect::ConnectStreamProto, Dialect::ConnectStreamJson] {
        let edge = start("validate: {requests: enforce}").await;
        let mut client = edge.h2().await;
        let ask = dialect.ask(BIDI, &[]).header("x-demo-interval-ms", "0");
        let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        assert!(send_all(&mut up, Bytes::from(dialect.framed(&["hello"])), false).await);
        let (first, body) = timeout(PATIENCE, first_of_h2(answer)).await.expect("in time");
        let _ = send_all(&mut up, Bytes::from(dialect.framed(&[BAD])), true).await;
        let told = dialect.read(&timeout(PATIENCE, rest_of_h2(first, body)).await.expect("in time"));
        let at = format!("{dialect:?}: {told:?}");
        assert_eq!(told.messages, ["hello"], "{at}");
        assert_eq!((told.code, &*told.message), (Some(Code::InvalidArgument), BAD_TEXT), "{at}");
        has_bad_details(&told, &at);
        assert_eq!(edge.upstream.as_ref().map(messages_in), Some(1), "{at}");
    }
}

fn messages_in(upstream: &transom::demo::upstream::Running) -> u64 {
    upstream.counts().messages_in.load(std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test]
async fn an_upstream_that_breaks_rules_is_told_so_in_every_dialect_without_a_word_of_its_message() {
    for encoding in [None, Some("gzip")] {
        let payload = encoding.map_or_else(|| BAD_ANSWER[5..].to_vec(), |encoding| pack(encoding, &BAD_ANSWER[5..]));
        let frame = [&prefix(u8::from(encoding.is_some()), payload.len())[..], &payload].concat();
        let head: &[(&str, &str)] = if encoding.is_some() { &[("grpc-encoding", "gzip")] } else { &[] };
        let upstream = Scripted::start(Script::new(head, &[GOOD_ANSWER, &frame, GOOD_ANSWER], &[OK])).await;
        let alone = Scripted::start(Script::new(head, &[&frame], &[OK])).await;
        let edge = before(&upstream.url(), "validate: {responses: enforce}").await;
        let edge_alone = before(&alone.url(), "validate: {responses: enforce}").await;
        let (mut streamed, mut whole) = (0, 0);
        for dialect in ALL.into_iter().filter(|dialect| *dialect != Dialect::RestArray) {
            for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
                let ask = dialect.ask(path, &["hello"]).header(dialect.encoding_fields().1, "gzip");
                let streams = path == SERVER || path == BIDI;
                let told = dialect.read(&(if streams { &edge } else { &edge_alone }).ask(Transport::Http2, &ask).await);
                let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                assert_eq!((told.code, &*told.message), (Some(Code::Internal), BAD_ANSWER_TEXT), "{at}");
                assert_eq!(told.messages, vec!["hello"; usize::from(streams)], "{at}");
                if dialect == Dialect::Rest {
                    assert_eq!(told.http, 502, "{at}");
                }
                assert!(told.is_bare(dialect, "BAD_ANSWER"), "{at}");
                *(if streams { &mut streamed } else { &mut whole }) += 1;
            }
        }
        // an array is never closed
        let answer = edge.ask(Transport::Http2, &Dialect::RestArray.ask(SERVER, &["hello"])).await;
        assert!(answer.cut && !answer.text().contains("why"), "{answer:?}");
        assert_eq!(counted(&edge, "response", "enforce", "broken").await, streamed + 1);
        assert_eq!(counted(&edge_alone, "response", "enforce", "broken").await, whole);
    }
}

#[tokio::test]
async fn in_shadow_answers_that_break_rules_pass_and_are_counted() {
    let upstream = Scripted::start(Script::new(&[], &[BAD_ANSWER], &[OK])).await;
    let edge = before(&upstream.url(), "validate: {responses: shadow}").await;
    let off = before(&upstream.url(), "validate: {requests: enforce}").await;
    let mut calls = 0;
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for edge in [&edge, &off] {
                let told = dialect.read(&edge.ask(Transport::Http2, &dialect.ask(path, &["hello"])).await);
                let at = format!("{dialect:?} {path}: {told:?}");
                assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["why?".to_owned()][..]), "{at}");
            }
            calls += 1;
        }
    }
    assert_eq!(counted(&edge, "response", "shadow", "broken").await, calls);
    assert_eq!(counted(&off, "response", "enforce", "broken").await, 0);
}

/// A unary call of gRPC with these bytes as its message.
fn raw(message: &[u8]) -> Ask {
    let body = [&prefix(0, message.len())[..], message].concat();
    Ask { body, ..Dialect::Grpc.ask(UNARY, &["x"]) }
}

#[tokio::test]
async fn rules_and_the_guard_have_modes_of_their_own() {
    let upstream = Scripted::start(Script::new(&[], &[GOOD_ANSWER], &[OK])).await;
    let invalid = (Some(Code::InvalidArgument), true);
    let not_utf8: &[u8] = b"\x0a\x04ab\xff\xfe";
    let long: &[u8] = b"\x0a\x05hello";
    let long_bad: &[u8] = b"\x0a\x05hell!";
    let bad: &[u8] = b"\x0a\x04abc!";
    let two: [&[u8]; 2] = [b"x", b"y"];
    assert_ne!(two[0], two[1]);
    // modes of the guard and of the rules; for each message: what comes of it, and of whom it is told
    for (guard, rules, cases) in [
        (
            "off",
            "enforce",
            [(not_utf8, invalid, "UTF-8"), (long, OKAY, ""), (long_bad, invalid, "`!`"), (bad, invalid, "`!`")],
        ),
        ("off", "shadow", [(not_utf8, OKAY, ""), (long, OKAY, ""), (long_bad, OKAY, ""), (bad, OKAY, "")]),
        (
            "shadow",
            "enforce",
            [(not_utf8, invalid, "UTF-8"), (long, OKAY, ""), (long_bad, invalid, "`!`"), (bad, invalid, "`!`")],
        ),
        (
            "enforce",
            "shadow",
            [(not_utf8, invalid, "UTF-8"), (long, invalid, "4 are"), (long_bad, invalid, "4 are"), (bad, OKAY, "")],
        ),
        (
            "enforce",
            "off",
            [(not_utf8, invalid, "UTF-8"), (long, invalid, "4 are"), (long_bad, invalid, "4 are"), (bad, OKAY, "")],
        ),
        (
            "enforce",
            "enforce",
            [
                (not_utf8, invalid, "UTF-8"),
                (long, invalid, "4 are"),
                (long_bad, invalid, "4 are"),
                (bad, invalid, "`!`"),
            ],
        ),
        ("off", "off", [(not_utf8, OKAY, ""), (long, OKAY, ""), (long_bad, OKAY, ""), (bad, OKAY, "")]),
    ] {
        let settings = format!("guard: {{requests: {guard}, max_string: 4}}, validate: {{requests: {rules}}}");
        let edge = before(&upstream.url(), &settings).await;
        for (message, (code, refused), text) in cases {
            let told = Dialect::Grpc.read(&edge.ask(Transport::Http2, &raw(message)).await);
            let at = format!("guard {guard}, rules {rules}, {message:?}: {told:?}");
            assert_eq!((told.code, !told.details.is_empty()), (code, refused), "{at}");
            assert!(told.message.contains(text), "{at}");
        }
        // of the four messages three break the schema and its limit, two break a rule, and one cannot be judged
        let expected = if guard == "off" { 0 } else { 3 };
        let told = if guard == "off" { 0 } else { guarded(&edge, "request", guard).await };
        assert_eq!(told, expected, "guard {guard}, rules {rules}");
        if rules != "off" {
            let looked = if guard == "enforce" { (1, 0) } else { (2, 1) };
            let broken = counted(&edge, "request", rules, "broken").await;
            let unjudged = counted(&edge, "request", rules, "unjudged").await;
            assert_eq!((broken, unjudged), looked, "guard {guard}, rules {rules}");
        }
    }
}

const OKAY: (Option<Code>, bool) = (Some(Code::Ok), false);

#[tokio::test]
async fn what_the_edge_cannot_unpack_is_not_judged_and_never_passes_enforce() {
    for (mode, code) in [("enforce", Code::Unimplemented), ("shadow", Code::Ok)] {
        let upstream = Scripted::start(Script::new(&[], &[GOOD_ANSWER], &[OK])).await;
        let settings = format!("compression: {{upstream: [gzip, lz4]}}, validate: {{requests: {mode}}}");
        let edge = before(&upstream.url(), &settings).await;
        let mut ask = raw(b"whatever").header("grpc-encoding", "lz4");
        ask.body[0] = 1;
        let told = Dialect::Grpc.read(&edge.ask(Transport::Http2, &ask).await);
        assert_eq!(told.code, Some(code), "{told:?}");
        assert_eq!(counted(&edge, "request", mode, "unjudged").await, 1);
    }
}

#[tokio::test]
async fn expressions_are_rules_as_any_other() {
    let edge = start("validate: {requests: enforce, responses: enforce}").await;
    let edge = (edge, start("validate: {requests: shadow}").await);
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            let ask = dialect.ask(path, &["HEYHEY"]).headers(&[("x-demo-stream-count", "1"), FAST]);
            let told = dialect.read(&edge.0.ask(Transport::Http2, &ask).await);
            let at = format!("{dialect:?} {path}: {told:?}");
            assert_eq!(told.code, Some(Code::InvalidArgument), "{at}");
            let text = numbered(dialect.is_rest(), path, 1, "message: must not begin with HEYHEY");
            assert_eq!(told.message, text, "{at}");
            assert_eq!(told.detail_types(), ["google.rpc.BadRequest", "buf.validate.Violations"], "{at}");
            let told = dialect.read(&edge.1.ask(Transport::Http2, &ask).await);
            assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["HEYHEY".to_owned()][..]), "{at}");
        }
    }
    let told = Dialect::Rest.read(&edge.0.ask(Transport::Http1, &Dialect::Rest.ask(UNARY, &["HEY!"])).await);
    assert_eq!(told.message, "message: contains substring `!` (and 1 more rule is broken)");
    let rules = &told.details[1].1["violations"];
    assert_eq!((&rules[0]["ruleId"], &rules[1]["ruleId"]), (&json!("string.not_contains"), &json!("echo.polite")));

    // by zero is not divided
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let text = REQUEST.replace(
        "this.startsWith('HEY') ? 'must not begin with ' + this : ''",
        "10 / (this.size() - 7) > 100 ? 'no' : ''",
    );
    let edge = by(&text, &format!("h2c://{}", upstream.address()), "validate: {requests: enforce}").await;
    let ask = |text: &str| Dialect::Rest.ask(UNARY, &[text]);
    let told = Dialect::Rest.read(&edge.ask(Transport::Http1, &ask("seven 7")).await);
    assert_eq!(
        (told.http, told.code, told.reason()),
        (500, Some(Code::Internal), "RULE_FAILED".to_owned()),
        "{told:?}"
    );
    assert!(told.message.contains("echo.polite"), "{told:?}");
    assert_eq!(Dialect::Rest.read(&edge.ask(Transport::Http1, &ask("eight 88")).await).http, 200);
    assert_eq!(counted(&edge, "request", "enforce", "unjudged").await, 1);
    upstream.shutdown();
}

/// A call whose only message has a part over which a rule fails, in the dialects that say one message.
fn failing(dialect: Dialect) -> Option<Ask> {
    let message = if dialect.is_json() {
        br#"{"message":"hello","raw":"/w=="}"#.to_vec()
    } else {
        b"\x0a\x05hello\x1a\x01\xff".to_vec()
    };
    let body = match dialect {
        Dialect::Rest | Dialect::ConnectProto | Dialect::ConnectJson => message,
        Dialect::Grpc | Dialect::GrpcJson => [&prefix(0, message.len())[..], &message].concat(),
        _ if dialect.is_text() => BASE64.encode([&prefix(0, message.len())[..], &message].concat()).into_bytes(),
        _ if dialect.is_web() => [&prefix(0, message.len())[..], &message].concat(),
        _ => return None,
    };
    Some(Ask { body, ..dialect.ask(UNARY, &["x"]) })
}

#[tokio::test]
async fn a_rule_that_fails_over_a_message_never_lets_it_pass_enforce_and_is_counted_in_shadow() {
    let answer: &[u8] = b"\0\0\0\0\x0a\x0a\x05hello\x1a\x01\xff";
    let upstream = Scripted::start(Script::new(&[], &[answer], &[OK])).await;
    let enforced = before(&upstream.url(), "validate: {requests: enforce}").await;
    let answers = before(&upstream.url(), "validate: {responses: enforce}").await;
    let shadow = before(&upstream.url(), "validate: {requests: shadow, responses: shadow}").await;
    let limited = "guard: {requests: enforce, max_bytes: 1, max_string: 4}, validate: {requests: shadow}";
    let limited = before(&upstream.url(), limited).await;
    let mut calls = 0;
    for (dialect, ask) in ALL.into_iter().filter_map(|dialect| Some((dialect, failing(dialect)?))) {
        let told = dialect.read(&enforced.ask(Transport::Http2, &ask).await);
        let at = format!("{dialect:?}: {told:?}");
        assert_eq!((told.code, told.reason()), (Some(Code::Internal), "RULE_FAILED".to_owned()), "{at}");
        let begin = "a rule of grpc.examples.echo.EchoRequest cannot be applied: raw: ";
        assert!(told.message.starts_with(begin), "{at}");
        assert!(!dialect.has_http_code() || told.http == 500, "{at}");

        let told = dialect.read(&answers.ask(Transport::Http2, &ask).await);
        let at = format!("{dialect:?}: {told:?}");
        assert_eq!((told.code, told.reason()), (Some(Code::Internal), "RULE_FAILED".to_owned()), "{at}");
        let text = "a rule of grpc.examples.echo.EchoResponse cannot be applied to the upstream's message";
        assert_eq!(told.message, text, "{at}");

        let told = dialect.read(&shadow.ask(Transport::Http2, &ask).await);
        assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["hello".to_owned()][..]), "{dialect:?}: {told:?}");
        // the guard has its say though a rule failed before it came to an end
        let told = dialect.read(&limited.ask(Transport::Http2, &ask).await);
        assert_eq!(told.message, "message: has 5 bytes, and 4 are allowed", "{dialect:?}: {told:?}");
        calls += 1;
    }
    assert_eq!(counted(&enforced, "request", "enforce", "unjudged").await, calls);
    assert_eq!(counted(&answers, "response", "enforce", "unjudged").await, calls);
    assert_eq!(counted(&shadow, "request", "shadow", "unjudged").await, calls);
    assert_eq!(counted(&shadow, "response", "shadow", "unjudged").await, calls);
    assert_eq!(guarded(&limited, "request", "enforce").await, calls);
    assert_eq!(counted(&enforced, "request", "enforce", "broken").await, 0);
}

/// A call by WebSocket that says this message and leaves its own side open.
async fn said(edge: &Edge, speech: Speech, transport: Transport, path: &str, text: &str) -> Heard {
    let mut client = Call::new(speech, path).over(transport).with(&[FAST]).open(edge).await;
    client.say(text).await;
    client.rest().await
}

/// The same, and ends it.
async fn said_all(edge: &Edge, speech: Speech, transport: Transport, path: &str, text: &str) -> Heard {
    let mut client = Call::new(speech, path).over(transport).with(&[FAST]).open(edge).await;
    client.say(text).await;
    client.end().await;
    client.rest().await
}

/// Checks how a refusal is told by WebSocket.
fn is_refused(speech: Speech, heard: &Heard, code: Code, text: &str, details: &Value, at: &str) {
    assert_eq!((heard.code, &*heard.message), (Some(code), text), "{at}");
    let close = match speech {
        Speech::Grpc => (1000, String::new()),
        _ => (4000 + u16::from(code.number()), text.chars().take(123).collect()),
    };
    assert_eq!(heard.close, Some(close), "{at}");
    if speech == Speech::Envelopes {
        assert_eq!(heard.status, json!({"code": code.number(), "message": text, "details": details}), "{at}");
    }
}

#[tokio::test]
async fn by_websocket_rules_hold_for_every_message_in_every_speech() {
    let edge = start("validate: {requests: enforce}").await;
    let mut refused = 0;
    for speech in SPEECHES {
        for transport in CLEAR {
            for path in [UNARY, SERVER, CLIENT, BIDI] {
                let at = format!("{speech:?} {transport:?} {path}");
                let heard = said(&edge, speech, transport, path, BAD).await;
                let text = numbered(speech != Speech::Grpc, path, 1, BAD_TEXT);
                is_refused(speech, &heard, Code::InvalidArgument, &text, &bad_anys(), &format!("{at} {heard:?}"));
                assert!(heard.messages.is_empty(), "{at}");
                if speech == Speech::Grpc {
                    has_bad_details_in(&heard.trailing, &at);
                }
                refused += 1;
            }
            // the second of a stream
            let mut client = Call::new(speech, BIDI).over(transport).with(&[FAST]).open(&edge).await;
            client.say("hello").await;
            assert_eq!(client.next_text().await, "hello");
            client.say(BAD).await;
            let heard = client.rest().await;
            let at = format!("{speech:?} {transport:?}: {heard:?}");
            let text = numbered(speech != Speech::Grpc, BIDI, 2, BAD_TEXT);
            is_refused(speech, &heard, Code::InvalidArgument, &text, &bad_anys(), &at);
            refused += 1;
        }
    }
    assert_eq!(counted(&edge, "request", "enforce", "broken").await, refused);
}

fn has_bad_details_in(trailers: &HeaderMap, at: &str) {
    let value = trailers.get("grpc-status-details-bin").unwrap_or_else(|| panic!("details: {at}"));
    let status = transom::status::Status::decode(&BASE64.decode(value.as_bytes()).expect("base64")).expect("a status");
    let (fields, violations) = bad_details();
    assert_eq!(status.details.len(), 2, "{at}");
    assert_eq!(BadRequest::decode(&*status.details[0].value), Ok(fields), "{at}");
    assert_eq!(Violations::decode(&*status.details[1].value), Ok(violations), "{at}");
}

#[tokio::test]
async fn by_websocket_answers_are_judged_and_shadow_lets_pass() {
    let upstream = Scripted::start(Script::new(&[], &[GOOD_ANSWER, BAD_ANSWER], &[OK])).await;
    let enforced = before(&upstream.url(), "validate: {responses: enforce}").await;
    let shadow = before(&upstream.url(), "validate: {requests: shadow, responses: shadow}").await;
    let mut calls = 0;
    for speech in SPEECHES {
        for transport in CLEAR {
            let heard = said_all(&enforced, speech, transport, SERVER, "hello").await;
            let at = format!("{speech:?} {transport:?} {heard:?}");
            let info = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "BAD_ANSWER", "domain": "transom"}]);
            is_refused(speech, &heard, Code::Internal, BAD_ANSWER_TEXT, &info, &at);
            assert_eq!(heard.messages, ["hello"], "{at}");

            let heard = said_all(&shadow, speech, transport, SERVER, BAD).await;
            let at = format!("{speech:?} {transport:?} {heard:?}");
            assert_eq!(
                (heard.code, &*heard.messages),
                (Some(Code::Ok), &["hello".to_owned(), "why?".to_owned()][..]),
                "{at}"
            );
            calls += 1;
        }
    }
    assert_eq!(counted(&enforced, "response", "enforce", "broken").await, calls);
    assert_eq!(counted(&shadow, "response", "shadow", "broken").await, calls);
    assert_eq!(counted(&shadow, "request", "shadow", "broken").await, calls);
}

#[tokio::test]
async fn by_websocket_the_schema_guard_holds_too() {
    let upstream = Scripted::start(Script::new(&[], &[GOOD_ANSWER, b"\0\0\0\0\x02\x08\x01"], &[OK])).await;
    let edge = before(&upstream.url(), "guard: {requests: enforce, responses: enforce, max_string: 16}").await;
    let shadow = start("guard: {requests: shadow, max_string: 16}").await;
    let text = "message: has 17 bytes, and 16 are allowed";
    let field = json!({"field": "message", "description": "has 17 bytes, and 16 are allowed"});
    let details = json!([any("google.rpc.BadRequest", json!({"fieldViolations": [field]}))]);
    let long = "x".repeat(17);
    let mut calls = 0;
    for speech in SPEECHES {
        for transport in CLEAR {
            for path in [UNARY, CLIENT] {
                let heard = said(&edge, speech, transport, path, &long).await;
                let text = numbered(speech != Speech::Grpc, path, 1, text);
                is_refused(speech, &heard, Code::InvalidArgument, &text, &details, &format!("{speech:?} {heard:?}"));
                calls += 1;
            }
            let heard = said_all(&edge, speech, transport, SERVER, "hello").await;
            let at = format!("{speech:?} {transport:?} {heard:?}");
            assert_eq!((heard.code, &*heard.messages), (Some(Code::Internal), &["hello".to_owned()][..]), "{at}");
            assert!(heard.message.contains("comes with wire type 0"), "{at}");
            let heard = said_all(&shadow, speech, transport, UNARY, &long).await;
            assert_eq!((heard.code, &*heard.messages), (Some(Code::Ok), std::slice::from_ref(&long)), "{heard:?}");
        }
    }
    assert_eq!(guarded(&edge, "request", "enforce").await, calls);
    assert_eq!(guarded(&edge, "response", "enforce").await, calls / 2);
    assert_eq!(guarded(&shadow, "request", "shadow").await, calls / 2);
}
