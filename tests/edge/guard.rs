//! The schema guard: what breaks the schema is refused in each dialect's own form, or counted and let pass, both ways; what
//! is in order passes as if there were no guard.

use base64::Engine;
use transom::status::Code;

use super::dialects::{ALL, BASE64, BIDI, CLIENT, Dialect, SERVER, Told, UNARY, decode_text, frames, pack, prefix};
use super::scripted::{Script, Scripted};
use super::support::{Answer, Ask, Edge, Transport};

const FAST: (&str, &str) = ("x-demo-interval-ms", "0");
const GZIP: [(&str, &str); 1] = [("x-demo-compress", "gzip")];
const OK: (&str, &str) = ("grpc-status", "0");

/// The dialects of protobuf, each with a method that takes frames or a body of one message.
const PROTO: [(Dialect, &str); 5] = [
    (Dialect::Grpc, UNARY),
    (Dialect::Web, UNARY),
    (Dialect::WebText, UNARY),
    (Dialect::ConnectProto, UNARY),
    (Dialect::ConnectStreamProto, CLIENT),
];

/// `EchoRequest`s and `EchoResponse`s (`string message = 1`) that are none, and what is said of them.
const BROKEN: [(&[u8], &str); 4] = [
    (b"\x0a\x02\xff\xfe", "message: is not UTF-8"),
    (b"\x08\x01", "message: comes with wire type 0, and has 2"),
    (b"\x0a\x7fx", "message: the message is cut short"),
    (b"\x0a\x01x\x10\x01", "2 is not the number of a field of grpc.examples.echo.Echo"),
];

fn guarded(guard: &str) -> String {
    format!("settings: [{{match: \"*\", max_request_message: 64KiB, guard: {{{guard}}}}}]")
}

fn long() -> String {
    "the quick brown fox ".repeat(300)
}

/// A call with one message of these bytes, in an encoding or as it is.
fn ask(dialect: Dialect, path: &str, message: &[u8], encoding: Option<&str>) -> Ask {
    let whole = dialect == Dialect::ConnectProto;
    let packed = encoding.map_or_else(|| message.to_vec(), |encoding| pack(encoding, message));
    let mut body = if whole { Vec::new() } else { prefix(u8::from(encoding.is_some()), packed.len()).to_vec() };
    body.extend_from_slice(&packed);
    let ask = dialect.ask(path, &["x"]);
    let ask = match encoding {
        Some(encoding) => ask.header(dialect.encoding_fields().0, encoding),
        None => ask,
    };
    Ask { body: if dialect.is_text() { BASE64.encode(body).into_bytes() } else { body }, ..ask }
}

/// Whether the field is named in the only detail, a `google.rpc.BadRequest`.
fn names_field(told: &Told, field: &str) -> bool {
    let [(kind, value)] = &told.details[..] else { panic!("one detail: {told:?}") };
    assert_eq!(kind, "google.rpc.BadRequest");
    match value.as_str() {
        Some(text) => {
            let bytes = BASE64.decode(text).expect("base64");
            bytes.windows(field.len()).any(|window| window == field.as_bytes())
        }
        None => value["fieldViolations"][0]["field"] == field,
    }
}

async fn counted(edge: &Edge, direction: &str, mode: &str) -> i64 {
    edge.metric(&format!("transom_guard_violations_total{{direction=\"{direction}\",mode=\"{mode}\"}}")).await
}

fn bytes(dialect: Dialect, answer: &Answer) -> Vec<u8> {
    if dialect.is_text() { decode_text(&answer.body) } else { answer.body.clone() }
}

#[tokio::test]
async fn what_is_in_order_passes_in_every_dialect_packed_or_not() {
    let edge =
        Edge::start(&guarded("requests: enforce, responses: enforce, unknown_fields: refuse, max_string: 8KiB")).await;
    for dialect in ALL {
        for path in [UNARY, SERVER, CLIENT, BIDI].into_iter().filter(|path| dialect.speaks(path)) {
            for (encoding, lever) in [(None, &[][..]), (Some("gzip"), &GZIP[..]), (Some("zstd"), &GZIP[..])] {
                let ask = dialect.ask_in(path, &[&long()], encoding);
                let ask = ask.headers(&[("x-demo-stream-count", "1"), FAST]).headers(lever);
                let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                assert_eq!((told.code, told.messages == [long()]), (Some(Code::Ok), true), "{at}");
            }
        }
    }
    assert_eq!(counted(&edge, "request", "enforce").await + counted(&edge, "response", "enforce").await, 0);
}

#[tokio::test]
async fn a_string_over_its_limit_is_refused_in_every_dialect() {
    let edge = Edge::start(&guarded("requests: enforce, max_string: 16")).await;
    let mut refused = 0;
    for dialect in ALL {
        for path in [UNARY, CLIENT].into_iter().filter(|path| dialect.speaks(path)) {
            for encoding in [None, Some("gzip"), Some("br")] {
                let told = dialect.read(
                    &edge.ask(Transport::Http2, &dialect.ask_in(path, &["x".repeat(17).as_str()], encoding)).await,
                );
                assert_eq!(told.code, Some(Code::InvalidArgument), "{dialect:?} {path} {encoding:?}: {told:?}");
                // of the texts in a body it is told which
                let text = told.message.strip_prefix("message 1: ").filter(|_| dialect.is_rest() && path == CLIENT);
                let text = text.unwrap_or(&told.message);
                assert_eq!(text, "message: has 17 bytes, and 16 are allowed", "{dialect:?} {path}");
                assert!(names_field(&told, "message"), "{dialect:?} {path}: {told:?}");
                if dialect.is_rest() {
                    assert_eq!(told.http, 400);
                }
                refused += 1;
            }
        }
    }
    assert_eq!(counted(&edge, "request", "enforce").await, refused);
}

#[tokio::test]
async fn broken_requests_of_protobuf_are_refused_before_the_upstream_sees_them() {
    let edge = Edge::start(&guarded("requests: enforce, unknown_fields: refuse")).await;
    for (dialect, path) in PROTO {
        for (message, text) in BROKEN {
            for encoding in [None, Some("gzip"), Some("zstd")] {
                let told = dialect.read(&edge.ask(Transport::Http2, &ask(dialect, path, message, encoding)).await);
                let at = format!("{dialect:?} {text} {encoding:?}: {told:?}");
                assert_eq!(told.code, Some(Code::InvalidArgument), "{at}");
                assert!(told.message.starts_with(text), "{at}");
                assert!(told.trailing.get("x-demo-head-bin").is_none());
            }
        }
    }
}

#[tokio::test]
async fn in_shadow_broken_requests_pass_byte_for_byte_and_are_counted() {
    let hi: &[u8] = b"\0\0\0\0\x04\x0a\x02hi";
    let mut upstream = Scripted::start(Script::new(&[], &[hi], &[OK])).await;
    let edge = Edge::before(&upstream.url(), &guarded("requests: shadow, unknown_fields: report")).await;
    let mut sent = 0;
    for (dialect, path) in PROTO {
        for (message, _) in BROKEN {
            for encoding in [None, Some("gzip")] {
                let told = dialect.read(&edge.ask(Transport::Http2, &ask(dialect, path, message, encoding)).await);
                assert_eq!((told.code, &*told.messages), (Some(Code::Ok), &["hi".to_owned()][..]), "{dialect:?}");
                let asked = upstream.asked().await;
                // a body that is compressed as a whole is unpacked, as without a guard
                let packed = encoding.filter(|_| dialect != Dialect::ConnectProto);
                let expected = packed.map_or_else(|| message.to_vec(), |encoding| pack(encoding, message));
                assert_eq!(frames(&asked.body), [(u8::from(packed.is_some()), expected)], "{dialect:?} {encoding:?}");
                let told = asked.headers.get("grpc-encoding").map(|value| value.as_bytes());
                assert_eq!(told, packed.map(str::as_bytes), "{dialect:?}");
                sent += 1;
            }
        }
    }
    // of the four broken ones, one has nothing but a field that is unknown
    assert_eq!(counted(&edge, "request", "shadow").await, sent / 4 * 3);
    assert_eq!(counted(&edge, "request", "report").await, sent / 4);
    assert_eq!(counted(&edge, "response", "shadow").await, 0, "answers are not looked at");
}

#[tokio::test]
async fn an_upstream_that_breaks_its_contract_is_told_so_in_every_dialect() {
    for (message, text) in BROKEN {
        for encoding in [None, Some("gzip")] {
            let payload = encoding.map_or_else(|| message.to_vec(), |encoding| pack(encoding, message));
            let frame = [&prefix(u8::from(encoding.is_some()), payload.len())[..], &payload].concat();
            let head: &[(&str, &str)] = if encoding.is_some() { &[("grpc-encoding", "gzip")] } else { &[] };
            let upstream = Scripted::start(Script::new(head, &[&frame], &[OK])).await;
            let edge = Edge::before(&upstream.url(), &guarded("responses: enforce, unknown_fields: refuse")).await;
            let mut calls = 0;
            for dialect in ALL.into_iter().filter(|dialect| *dialect != Dialect::RestArray) {
                for path in [UNARY, SERVER].into_iter().filter(|path| dialect.speaks(path)) {
                    let ask = dialect.ask(path, &["x"]).header(dialect.encoding_fields().1, "gzip");
                    let told = dialect.read(&edge.ask(Transport::Http2, &ask).await);
                    let at = format!("{dialect:?} {path} {encoding:?}: {told:?}");
                    assert_eq!((told.code, told.messages.len()), (Some(Code::Internal), 0), "{at}");
                    assert!(
                        told.message.starts_with("the upstream's message is not a grpc.examples.echo.EchoResponse: "),
                        "{at}"
                    );
                    assert!(told.message.contains(text), "{at}");
                    calls += 1;
                }
            }
            assert_eq!(counted(&edge, "response", "enforce").await, calls);
        }
    }
}

#[tokio::test]
async fn in_shadow_broken_answers_pass_byte_for_byte_and_are_counted() {
    for encoding in [None, Some("gzip")] {
        let message = BROKEN[0].0;
        let payload = encoding.map_or_else(|| message.to_vec(), |encoding| pack(encoding, message));
        let frame = [&prefix(u8::from(encoding.is_some()), payload.len())[..], &payload].concat();
        let head: &[(&str, &str)] = if encoding.is_some() { &[("grpc-encoding", "gzip")] } else { &[] };
        let mut upstream = Scripted::start(Script::new(head, &[&frame, &frame], &[OK])).await;
        let edge = Edge::before(&upstream.url(), &guarded("responses: shadow")).await;
        for (calls, dialect) in (1..).zip([Dialect::Grpc, Dialect::Web, Dialect::WebText]) {
            let ask = dialect.ask(SERVER, &["x"]).header("grpc-accept-encoding", "lz4, gzip");
            let answer = edge.ask(Transport::Http2, &ask).await;
            assert!(bytes(dialect, &answer).starts_with(&[&*frame, &frame].concat()), "{dialect:?} {answer:?}");
            assert_eq!(answer.header("grpc-encoding"), encoding.unwrap_or_default(), "{dialect:?}");
            let asked = upstream.asked().await;
            assert_eq!(asked.headers["grpc-accept-encoding"], "gzip", "only what can be looked into");
            assert_eq!(counted(&edge, "response", "shadow").await, 2 * calls);
        }
    }
}

#[tokio::test]
async fn a_stream_ends_at_the_message_that_breaks_the_schema() {
    let hi: &[u8] = b"\0\0\0\0\x04\x0a\x02hi";
    let upstream = Scripted::start(Script::new(&[], &[hi, b"\0\0\0\0\x02\x08\x01", hi], &[OK])).await;
    let edge = Edge::before(&upstream.url(), &guarded("responses: enforce")).await;
    for dialect in [Dialect::Grpc, Dialect::Web, Dialect::WebText, Dialect::ConnectStreamProto, Dialect::RestLines] {
        let told = dialect.read(&edge.ask(Transport::Http2, &dialect.ask(SERVER, &["x"])).await);
        assert_eq!((told.code, &*told.messages), (Some(Code::Internal), &["hi".to_owned()][..]), "{dialect:?}");
        assert!(told.message.contains("message: comes with wire type 0, and has 2"), "{told:?}");
    }
}

#[tokio::test]
async fn what_the_edge_cannot_unpack_is_refused_by_enforce_and_passes_shadow() {
    for (mode, code) in [("enforce", Code::Unimplemented), ("shadow", Code::Ok)] {
        let hi: &[u8] = b"\0\0\0\0\x04\x0a\x02hi";
        let upstream = Scripted::start(Script::new(&[], &[hi], &[OK])).await;
        let settings = guarded(&format!("requests: {mode}"));
        let settings = settings.replace("guard:", "compression: {upstream: [gzip, lz4]}, guard:");
        let edge = Edge::before(&upstream.url(), &settings).await;
        let mut ask = ask(Dialect::Grpc, UNARY, b"whatever", None).header("grpc-encoding", "lz4");
        ask.body[0] = 1;
        let told = Dialect::Grpc.read(&edge.ask(Transport::Http2, &ask).await);
        assert_eq!(told.code, Some(code), "{told:?}");
        assert_eq!(counted(&edge, "request", mode).await, 1);
    }
}
