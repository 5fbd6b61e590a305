//! Dialect by kind of call by encoding by outcome by transport: messages, status, details and metadata come through,
//! and nothing that was cut looks like success.

// each of the test programs uses its own part of these
#[allow(dead_code)]
#[path = "edge/dialects.rs"]
mod dialects;
#[allow(dead_code)]
#[path = "edge/support.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use prost::Message;
use serde_json::{Value, json};
use transom::demo::upstream::helloworld::{HelloReply, HelloRequest};
use transom::status::{Code, FieldViolation, bad_request, error_info};

use dialects::{ALL, BASE64, BIDI, CLIENT, Dialect, SERVER, Told, UNARY, decode_text};
use support::{Ask, Edge, Transport, shared, until};

const METHODS: [&str; 4] = [UNARY, SERVER, CLIENT, BIDI];
const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];
const ECHOES: [(&str, &str); 5] = [
    ("x-echo-a", "one"),
    ("x-echo-b-bin", "AAECAw"),
    ("x-echo-trailer-a", "two"),
    ("x-echo-trailer-a", "three"),
    ("x-echo-trailer-b-bin", "//8"),
];
const FAILURE: [(&str, &str); 3] = [
    ("x-demo-status", "FAILED_PRECONDITION"),
    ("x-demo-status-message", "caf%C3%A9 at 100%25"),
    ("x-demo-status-details", "1"),
];

/// The encodings of requests, and of the answers that the upstream is asked for. It reads gzip itself, the edge unpacks
/// the other.
const ENCODINGS: [Option<&str>; 3] = [None, Some("gzip"), Some("zstd")];

const FAST: (&str, &str) = ("x-demo-interval-ms", "0");

struct Case {
    dialect: Dialect,
    path: &'static str,
    transport: Transport,
    encoding: Option<&'static str>,
}

// === impl Case ===

impl Case {
    fn all(transports: &[Transport]) -> Vec<Case> {
        let mut cases = Vec::new();
        for dialect in ALL {
            for path in METHODS.into_iter().filter(|path| dialect.speaks(path)) {
                for transport in transports.iter().copied().filter(|transport| dialect.goes_over(*transport)) {
                    let of = |encoding| Case { dialect, path, transport, encoding };
                    cases.extend(ENCODINGS.into_iter().map(of));
                }
            }
        }
        assert!(cases.len() > 90);
        cases
    }

    fn streams_up(&self) -> bool {
        self.path == CLIENT || self.path == BIDI
    }

    fn streams_down(&self) -> bool {
        self.path == SERVER || self.path == BIDI
    }

    fn ask(&self, metadata: &[(&str, &str)]) -> Ask {
        let messages: &[&str] = if self.streams_up() { &["a", "b"] } else { &["hi"] };
        let ask = self.dialect.ask_in(self.path, messages, self.encoding).headers(metadata);
        match self.encoding {
            Some(encoding) => ask.header("x-demo-compress", encoding),
            None => ask,
        }
    }

    async fn call(&self, edge: &Edge, metadata: &[(&str, &str)]) -> Told {
        self.dialect.read(&edge.ask(self.transport, &self.ask(metadata)).await)
    }

    fn answers(&self, count: usize) -> Vec<&'static str> {
        match self.path {
            CLIENT => vec!["a, b"],
            BIDI => ["a", "b"].into_iter().take(count).collect(),
            _ => vec!["hi"; count],
        }
    }

    /// What the HTTP code must be for this status.
    fn http(&self, code: Code, after_messages: bool) -> u16 {
        let stream = matches!(self.dialect, Dialect::RestLines | Dialect::RestArray);
        if self.dialect.has_http_code() || (stream && !after_messages) { code.http() } else { 200 }
    }

    fn has_metadata(&self, told: &Told, after_messages: bool) {
        let all = |map: &http::HeaderMap, name: &str| {
            let values = map.get_all(name).iter().map(|value| value.to_str().expect("text"));
            values.collect::<Vec<_>>().join(",")
        };
        assert_eq!(all(&told.initial, "x-echo-a"), "one", "{self} {told:?}");
        assert_eq!(all(&told.initial, "x-echo-b-bin"), "AAECAw", "{self}");
        if matches!(self.dialect, Dialect::RestLines | Dialect::RestArray) {
            // HTTP/JSON streams have no place for them behind their head
            assert!(after_messages || all(&told.initial, "trailer-x-echo-trailer-a") == "two,three", "{self}");
            return;
        }
        assert_eq!(all(&told.trailing, "x-echo-trailer-a"), "two,three", "{self} {told:?}");
        assert_eq!(all(&told.trailing, "x-echo-trailer-b-bin"), "//8", "{self}");
    }

    fn has_failed(&self, told: &Told, messages: &[&str]) {
        assert_eq!(told.messages, messages, "{self}");
        assert_eq!(told.code, Some(Code::FailedPrecondition), "{self} {told:?}");
        assert_eq!(told.message, "caf\u{e9} at 100%", "{self}");
        assert_eq!(told.http, self.http(Code::FailedPrecondition, !messages.is_empty()), "{self}");
        assert_eq!(told.details, details(self.dialect), "{self}");
        let cut = self.dialect == Dialect::RestArray && !messages.is_empty();
        assert_eq!(told.cut, cut, "{self}");
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} over {:?} in {:?}", self.dialect, self.path, self.transport, self.encoding)
    }
}

/// The details of the demo's failure, in each dialect's form.
fn details(dialect: Dialect) -> Vec<(String, Value)> {
    let violation = FieldViolation { field: "message".into(), description: "asked for by metadata".into() };
    let info = error_info("DEMO_STATUS", "demo.transom.example", &[("code", "FAILED_PRECONDITION")]);
    let bad = bad_request(&[violation]);
    if dialect.is_rest() {
        let info = json!({
            "@type": info.type_url, "reason": "DEMO_STATUS", "domain": "demo.transom.example",
            "metadata": {"code": "FAILED_PRECONDITION"},
        });
        let bad = json!({
            "@type": bad.type_url,
            "fieldViolations": [{"field": "message", "description": "asked for by metadata"}],
        });
        return vec![("google.rpc.ErrorInfo".to_owned(), info), ("google.rpc.BadRequest".to_owned(), bad)];
    }
    let coded = |any: transom::status::Any| {
        let value = BASE64.encode(&any.value).trim_end_matches('=').to_owned();
        (any.type_name().to_owned(), Value::String(value))
    };
    vec![coded(info), coded(bad)]
}

#[tokio::test]
async fn good_calls_come_through_in_every_dialect() {
    let edge = shared();
    for case in Case::all(&[Transport::Http1, Transport::Http2, Transport::Http1Tls, Transport::Http2Tls]) {
        let metadata = [&ECHOES[..], &[("x-demo-stream-count", "3"), FAST]].concat();
        let told = case.call(edge, &metadata).await;
        assert_eq!(told.code, Some(Code::Ok), "{case} {told:?}");
        assert_eq!((told.http, told.cut), (200, false), "{case}");
        assert_eq!(told.messages, case.answers(if case.streams_down() { 3 } else { 1 }), "{case}");
        assert!(told.details.is_empty() && told.message.is_empty(), "{case}");
        case.has_metadata(&told, true);
    }
}

#[tokio::test]
async fn a_failed_call_keeps_its_status_details_and_metadata() {
    let edge = shared();
    for case in Case::all(&CLEAR) {
        let metadata = [&FAILURE[..], &ECHOES[..], &[("x-demo-stream-count", "0")]].concat();
        let told = case.call(edge, &metadata).await;
        case.has_failed(&told, &[]);
        case.has_metadata(&told, false);
    }
}

#[tokio::test]
async fn a_failed_call_without_a_head_of_its_own_is_told_in_one_block() {
    let edge = shared();
    for case in Case::all(&CLEAR).into_iter().filter(|case| !case.streams_down()) {
        let told = case.call(edge, &[&FAILURE[..], &[("x-echo-trailer-a", "two")]].concat()).await;
        case.has_failed(&told, &[]);
        if !matches!(case.dialect, Dialect::Grpc | Dialect::GrpcJson) {
            assert!(!told.initial.contains_key("x-echo-a"));
        }
        if case.dialect.is_web() || matches!(case.dialect, Dialect::Grpc | Dialect::GrpcJson) {
            assert_eq!(told.initial["grpc-status"], "9", "{case}: trailers-only");
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_later_keeps_its_messages_and_its_status() {
    let edge = shared();
    for case in Case::all(&CLEAR).into_iter().filter(Case::streams_down) {
        let metadata = [&FAILURE[..], &ECHOES[..], &[("x-demo-stream-count", "2"), FAST]].concat();
        let told = case.call(edge, &metadata).await;
        case.has_failed(&told, &case.answers(2));
        case.has_metadata(&told, true);
    }
}

#[tokio::test]
async fn what_the_upstream_cuts_never_looks_like_success() {
    // connections end here: not on the edge that others share
    let edge = Edge::start("workers: 1").await;
    for case in Case::all(&CLEAR) {
        for (how, code) in [("end", Code::Unknown), ("reset", Code::Internal), ("close", Code::Unavailable)] {
            for after in [0, 1] {
                if after == 1 && case.path != SERVER {
                    continue;
                }
                let lever = format!("{after} {how}");
                // a reset overtakes what its sender has not written yet: let the message go first
                let metadata = [("x-demo-cut", &*lever), ("x-demo-stream-count", "3"), ("x-demo-interval-ms", "15")];
                let told = case.call(&edge, &metadata).await;
                if how == "close" {
                    // the next call is not to begin on a connection that is on its way out
                    let gauge = "transom_upstream_connections_active";
                    until("it is gone", || async { edge.metric(gauge).await == 0 }).await;
                }
                // a connection that ends may still say of its streams that they are cancelled
                let seen = told.code.filter(|seen| *seen != Code::Cancelled || how != "close").unwrap_or(code);
                assert_eq!(seen, code, "{case} {lever} {told:?}");
                let code = told.code.expect("a code");
                assert_eq!(told.messages, vec!["hi"; after], "{case} {lever}");
                // REST has an HTTP code of its own for an answer without a status
                let bad_gateway = how == "end" && case.dialect.is_rest() && after == 0;
                let http = if bad_gateway { 502 } else { case.http(code, after > 0) };
                assert_eq!(told.http, http, "{case} {lever}");
                // a missing status is a fault of the protocol, told by the code alone where the protocol is gRPC's or Connect's
                let bare = how == "end" && !case.dialect.is_rest();
                let details: &[&str] = if bare { &[] } else { &["google.rpc.ErrorInfo"] };
                assert_eq!(told.detail_types(), details, "{case} {lever} {told:?}");
                assert_eq!(told.cut, case.dialect == Dialect::RestArray && after > 0, "{case} {lever}");
            }
        }
    }
}

#[tokio::test]
async fn a_deadline_ends_every_kind_of_call_as_a_deadline() {
    let edge = shared();
    for case in Case::all(&CLEAR) {
        let (name, value) = match case.dialect {
            dialect if dialect.is_rest() => ("x-server-timeout", "0.04"),
            dialect if dialect.encoding_fields().0 == "grpc-encoding" => ("grpc-timeout", "40m"),
            _ => ("connect-timeout-ms", "40"),
        };
        let told = case.call(edge, &[(name, value), ("x-demo-delay-ms", "10000")]).await;
        assert_eq!((told.code, told.messages.len()), (Some(Code::DeadlineExceeded), 0), "{case} {told:?}");
        assert_eq!(told.http, case.http(Code::DeadlineExceeded, false), "{case} {told:?}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_is_told_to_the_upstream() {
    let edge = Edge::start("workers: 1").await;
    let counts = edge.upstream.as_ref().expect("an upstream").counts();
    let (mut calls, mut gone) = (0, 0);
    for case in Case::all(&CLEAR) {
        let ask = case.ask(&[("x-demo-delay-ms", "60000")]);
        let mut asking = Box::pin(edge.ask(case.transport, &ask));
        calls += 1;
        let arrived = until("it arrived", || async { counts.calls.load(Ordering::Relaxed) == calls });
        tokio::select! {
            answer = &mut asking => panic!("{case} {answer:?}"),
            () = arrived => {}
        }
        // half of the calls have sent their request when they end, and half may not
        tokio::time::sleep(Duration::from_millis(calls % 2)).await;
        drop(asking);
        gone += 1;
        until("it is gone", || async { counts.cancelled.load(Ordering::Relaxed) == gone }).await;
    }
    for gauge in ["transom_calls_active", "transom_upstream_streams_active", "transom_pumps_active"] {
        until("nothing is left", || async { edge.metric(gauge).await == 0 }).await;
    }
}

#[tokio::test]
async fn a_connect_get_is_a_call_of_a_method_without_side_effects() {
    let edge = shared();
    let message = BASE64.encode(HelloRequest { name: "Ada".into() }.encode_to_vec());
    let message = message.replace('+', "-").replace('/', "_");
    for transport in CLEAR {
        let proto = format!("/helloworld.Greeter/SayHello?connect=v1&encoding=proto&base64=1&message={message}");
        let answer = edge.ask(transport, &Ask::get(proto)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/proto"));
        assert_eq!(HelloReply::decode(&answer.body[..]).expect("a message").message, "Hello Ada");

        let json = "/helloworld.Greeter/SayHello?encoding=json&message=%7B%22name%22%3A%22Ada%22%7D";
        let answer = edge.ask(transport, &Ask::get(json).headers(&ECHOES)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.json(), json!({"message": "Hello Ada"}));
        assert_eq!(answer.header("x-echo-a"), "one");
        assert_eq!(answer.header("trailer-x-echo-trailer-b-bin"), "//8");
    }
    let with_effects = edge.ask(Transport::Http2, &Ask::get(format!("{UNARY}?encoding=json&message=%7B%7D"))).await;
    assert_eq!((with_effects.status, with_effects.header("allow")), (405, "OPTIONS, POST"));
}

#[tokio::test]
async fn the_last_frame_of_grpc_web_is_exactly_this() {
    let edge = shared();
    let metadata = [("x-echo-trailer-a", "two"), ("x-echo-trailer-a", "three")];
    for transport in CLEAR {
        let answer = edge.ask(transport, &Dialect::Web.ask(UNARY, &["hi"]).headers(&metadata)).await;
        let plain = b"\x00\0\0\0\x04\x0a\x02hi\x80\0\0\0\x2bgrpc-status:0\r\nx-echo-trailer-a:two,three\r\n";
        let other = b"\x00\0\0\0\x04\x0a\x02hi\x80\0\0\0\x2bx-echo-trailer-a:two,three\r\ngrpc-status:0\r\n";
        assert!(answer.body == plain || answer.body == other, "{:?}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), "application/grpc-web+proto");

        let text = edge.ask(transport, &Dialect::WebText.ask(UNARY, &["hi"])).await;
        assert_eq!(decode_text(&text.body), b"\x00\0\0\0\x04\x0a\x02hi\x80\0\0\0\x0fgrpc-status:0\r\n");
        assert_eq!(text.header("content-type"), "application/grpc-web-text+proto");

        let failed = Dialect::Web.ask(SERVER, &["hi"]).headers(&[
            ("x-demo-stream-count", "0"),
            ("x-demo-status", "5"),
            ("x-demo-status-message", "caf%C3%A9 100%25"),
        ]);
        let answer = edge.ask(transport, &failed).await;
        let expected = b"\x80\0\0\0\x2egrpc-status:5\r\ngrpc-message:caf%C3%A9 100%25\r\n";
        assert_eq!(answer.body, expected, "{:?}", String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn the_form_of_a_grpc_web_answer_follows_accept() {
    let edge = shared();
    let ask = Dialect::Web.ask(UNARY, &["hi"]).header("accept", "application/grpc-web-text");
    let answer = edge.ask(Transport::Http1, &ask).await;
    assert_eq!(answer.header("content-type"), "application/grpc-web-text+proto");
    assert!(decode_text(&answer.body).ends_with(b"grpc-status:0\r\n"));
    let ask = Dialect::WebText.ask(UNARY, &["hi"]).header("accept", "application/grpc-web+proto");
    let answer = edge.ask(Transport::Http1, &ask).await;
    assert_eq!(answer.header("content-type"), "application/grpc-web+proto");
    assert!(answer.body.ends_with(b"grpc-status:0\r\n"));
}
