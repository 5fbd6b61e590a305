//! The table of refusals in `src/README.md`, row by row, in every dialect that can meet the row.

use std::collections::HashMap;

use transom::call::Kind;
use transom::status::Code;

use super::dialects::{ALL, BIDI, CLIENT, Dialect, SERVER, Told, UNARY, prefix};
use super::support::{Answer, Ask, Edge, Stub, Transport, shared};

const README: &str = include_str!("../../src/README.md");

/// A row of the table.
struct Row {
    /// `None`: by the code.
    http: Option<u16>,
    code: Option<Code>,
    text: String,
}

/// The edges that the refusals come from.
struct Edges {
    /// Before the demo's upstream.
    good: &'static Edge,
    /// Before an upstream that misbehaves as it is told.
    stub: Edge,
    /// Before nothing.
    down: Edge,
    /// Before an upstream that may have no calls.
    full: Edge,
    _stub: Stub,
}

fn table() -> HashMap<String, Row> {
    let begin = README.find("## The refusal table").expect("the table");
    let mut rows = HashMap::new();
    for line in README[begin..].lines().skip(1).take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, http, code, text, _] = cells[..] else { continue };
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
        let code = code.parse().ok().map(Code::from_number);
        rows.insert(name.to_owned(), Row { http: http.parse().ok(), code, text: text.to_owned() });
    }
    rows
}

fn name(kind: Kind) -> String {
    format!("{kind:?}").split('(').next().expect("a name").to_owned()
}

#[test]
fn the_table_has_a_row_for_every_refusal_and_says_what_the_code_says() {
    let table = table();
    assert_eq!(table.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        let row = table.get(&name(kind)).unwrap_or_else(|| panic!("no row for {kind:?}"));
        assert_eq!(row.http.unwrap_or(kind.http()), kind.http(), "{kind:?}");
        assert_eq!(row.code.unwrap_or(kind.code()), kind.code(), "{kind:?}");
        if kind != Kind::BadRequest {
            assert!(row.text.contains(&format!("`{}`", kind.reason())), "{kind:?}");
        }
    }
}

/// How a caller of this dialect meets this refusal, and on which edge; `None` if it cannot.
fn provoked(kind: Kind, dialect: Dialect, edges: &Edges) -> Option<(&Edge, Ask)> {
    use Dialect::*;
    let path = match dialect {
        ConnectStreamProto | ConnectStreamJson | RestLines | RestArray => SERVER,
        _ => UNARY,
    };
    let get = matches!(dialect, ConnectGetProto | ConnectGetJson);
    let frames = matches!(dialect, Grpc | GrpcJson | ConnectStreamProto | ConnectStreamJson) || dialect.is_web();
    let connect = matches!(dialect, ConnectProto | ConnectJson | ConnectStreamProto | ConnectStreamJson) || get;
    let hello = |query: &str| Ask::get(format!("/helloworld.Greeter/SayHello?connect=v1&{query}"));
    let ask = || match dialect {
        ConnectGetProto => hello("encoding=proto&message="),
        ConnectGetJson => hello("encoding=json&message=%7B%7D"),
        _ => dialect.ask(path, &["hi"]),
    };
    let stubbed = |how: &str| Some((&edges.stub, ask().header("x-stub", how)));
    let good = |ask: Ask| Some((edges.good, ask));
    let timeout = if connect { ("connect-timeout-ms", "80") } else { ("grpc-timeout", "80m") };
    match kind {
        Kind::NoRoute if get => {
            let Ask { path, .. } = ask();
            good(Ask::get(path.replace("SayHello", "SayNothing")))
        }
        // JSON on a path that is no method's is REST, unless it says that it is Connect
        Kind::NoRoute if dialect == ConnectJson => {
            good(Ask { path: "/no.such/Method".to_owned(), ..ask() }.header("connect-protocol-version", "1"))
        }
        Kind::NoRoute => good(Ask { path: "/no.such/Method".to_owned(), method: "POST", ..ask() }),
        // at a method's path these are plain text for all but frames of gRPC: see below
        Kind::WrongVerb if dialect == Rest => good(Ask { method: "PUT", ..ask() }),
        Kind::WrongVerb if connect || dialect.is_rest() => None,
        Kind::WrongVerb => good(Ask { method: "PUT", ..ask() }),
        Kind::UnsupportedMediaType => match dialect {
            Grpc => good(Ask::post(path, "application/grpc+thrift", "x")),
            Web => good(Ask::post(path, "application/grpc-web+thrift", "x")),
            WebText => good(Ask::post(path, "application/grpc-web-text+thrift", "x")),
            _ => None,
        },
        // only streams have a choice of forms
        Kind::NotAcceptable => matches!(dialect, RestLines | RestArray).then(|| {
            let mut ask = ask();
            ask.headers.retain(|(name, _)| name != "accept");
            (edges.good, ask.header("accept", "text/html"))
        }),
        Kind::UnknownEncoding if get => good(hello("encoding=json&message=%7B%7D&compression=lz4")),
        Kind::UnknownEncoding => {
            let name = match dialect {
                ConnectStreamProto | ConnectStreamJson => "connect-content-encoding",
                _ if frames => "grpc-encoding",
                _ => "content-encoding",
            };
            good(ask().header(name, "lz4"))
        }
        Kind::BadRequest => match dialect {
            RestLines | RestArray => good(Ask { path: "/v1/echo:stream?massage=hi".to_owned(), ..ask() }),
            ConnectGetJson => good(hello("encoding=json&message=%7B%22nome%22%3A1%7D")),
            _ if dialect.is_json() => {
                let wrong = String::from_utf8(dialect.coded("hi")).expect("JSON").replace("message", "massage");
                let mut body = if frames { prefix(0, wrong.len()).to_vec() } else { Vec::new() };
                body.extend_from_slice(wrong.as_bytes());
                let body = if dialect.is_text() { text(&body) } else { body };
                good(Ask { body, ..ask() })
            }
            _ => None,
        },
        Kind::HttpVersion => matches!(dialect, Grpc | GrpcJson).then(|| (edges.good, ask())),
        Kind::Malformed if frames => {
            let body = prefix(0x40, 0).to_vec();
            good(Ask { body: if dialect.is_text() { text(&body) } else { body }, ..ask() })
        }
        Kind::Malformed => None,
        Kind::Cardinality if frames => good(Ask { body: Vec::new(), ..ask() }),
        Kind::Cardinality => None,
        // a URL of this size is refused by the door
        Kind::TooLarge if get || matches!(dialect, RestLines | RestArray) => None,
        Kind::TooLarge => good(dialect.ask(path, &[&"x".repeat(70_000)])),
        Kind::BadHeader => good(ask().header(timeout.0, "soon")),
        Kind::Deadline => Some((&edges.stub, ask().header(timeout.0, timeout.1))),
        Kind::Idle => {
            let streams = frames && path == SERVER || matches!(dialect, Grpc | GrpcJson) || dialect.is_web();
            streams.then(|| (&edges.stub, ask().header("x-stub", "open, then silence")))
        }
        Kind::UpstreamDown => Some((&edges.down, ask())),
        Kind::Overloaded => Some((&edges.full, ask())),
        Kind::NoStatus => stubbed("html"),
        Kind::BadAnswer => stubbed("flags"),
        // who gets frames counts the messages in them
        Kind::AnswerCardinality if frames || matches!(dialect, RestLines | RestArray) => None,
        Kind::AnswerCardinality => stubbed("two messages"),
        Kind::UpstreamHttp(_) => stubbed("http 503"),
        Kind::UpstreamReset(_) => stubbed("reset"),
        // what has no second way: an extended CONNECT for anything but WebSocket, see `websocket`
        Kind::NotSupported | Kind::Injected(..) => None,
        // nobody is left to read it
        Kind::Cancelled => None,
        // nothing asks who the caller is yet, nor counts what it asks for; pages of other origins are denied WebSockets,
        // see `websocket`
        Kind::Unauthenticated | Kind::Denied | Kind::RateLimited => None,
        // an expression that fails over a message: see `validate`
        Kind::RuleFailed => None,
        // new connections are not taken, and streams are refused by HTTP/2 itself
        Kind::Draining => None,
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine;
    super::dialects::BASE64.encode(bytes).into_bytes()
}

fn check(kind: Kind, dialect: Dialect, row: &Row, answer: &Answer, told: &Told) {
    let at = format!("{kind:?} in {dialect:?}: {told:?}");
    let code = row.code.unwrap_or(kind.code());
    assert_eq!(told.code, Some(code), "{at}");
    assert!(!told.message.is_empty() && told.messages.is_empty() && !told.cut, "{at}");
    let http = match dialect {
        _ if dialect.is_rest() => row.http.unwrap_or(kind.http()),
        _ if dialect.has_http_code() && kind == Kind::NoRoute => 404,
        _ if dialect.has_http_code() => code.http(),
        _ => 200,
    };
    assert_eq!(answer.status, http, "{at}");
    if kind == Kind::BadRequest {
        assert_eq!(told.detail_types(), ["google.rpc.BadRequest"], "{at}");
    } else if kind.is_bare() && !dialect.is_rest() {
        assert_eq!(told.detail_types(), [""; 0], "{at}");
    } else {
        assert_eq!(told.reason(), kind.reason(), "{at}");
    }
    let get = matches!(dialect, Dialect::ConnectGetProto | Dialect::ConnectGetJson);
    for (kinds, header) in [
        (Kind::WrongVerb, "allow"),
        (Kind::UnsupportedMediaType, "accept-post"),
        (Kind::UnknownEncoding, "grpc-accept-encoding"),
    ] {
        if kind == kinds {
            let promised = row.text.to_ascii_lowercase().contains(header);
            assert!(promised && (get || !answer.header(header).is_empty()), "{at}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_told_in_every_dialect() {
    let stub = Stub::start().await;
    let idle = "settings: [{match: \"*\", idle_timeout: 100ms}]";
    let edges = Edges {
        good: shared(),
        stub: Edge::before(&format!("h2c://{}", stub.address), idle).await,
        down: Edge::before("h2c://127.0.0.1:1", "").await,
        full: Edge::before("h2c://127.0.0.1:1\n    limits: {calls: 0}", "").await,
        _stub: stub,
    };
    let table = table();
    let mut met = HashMap::<String, usize>::new();
    for kind in Kind::ALL {
        for dialect in ALL {
            let Some((edge, ask)) = provoked(kind, dialect, &edges) else { continue };
            let over_h1 = kind == Kind::HttpVersion || !matches!(dialect, Dialect::Grpc | Dialect::GrpcJson);
            let over_h2 = kind != Kind::HttpVersion;
            for transport in [Transport::Http1, Transport::Http2] {
                if (transport == Transport::Http1 && !over_h1) || (transport == Transport::Http2 && !over_h2) {
                    continue;
                }
                let answer = edge.ask(transport, &ask).await;
                assert!(answer.status != 0, "{kind:?} in {dialect:?} over {transport:?}: {answer:?}");
                check(kind, dialect, &table[&name(kind)], &answer, &dialect.read(&answer));
                *met.entry(name(kind)).or_default() += 1;
            }
        }
    }
    let unmet: Vec<_> = Kind::ALL.into_iter().map(name).filter(|name| !met.contains_key(name)).collect();
    // how these look is shown beside `proxy::ending`
    assert_eq!(
        unmet,
        ["Unauthenticated", "Denied", "RateLimited", "Cancelled", "Draining", "RuleFailed", "NotSupported", "Injected"]
    );
}

/// Callers of a method who are known by nothing but what is wrong read the HTTP code; Connect's derive UNKNOWN from it.
#[tokio::test]
async fn a_wrong_verb_or_content_type_at_a_methods_path_is_told_in_plain_text() {
    let edge = shared();
    for transport in [Transport::Http1, Transport::Http2] {
        let post = |path: &str, content_type: &str| Ask::post(path, content_type, "x");
        let put = Dialect::ConnectProto.ask(UNARY, &["hi"]);
        for (ask, status, header) in [
            (Ask { method: "PUT", ..put.clone() }, 405, ("allow", "OPTIONS, POST")),
            (Ask { method: "GET", ..put }, 405, ("allow", "OPTIONS, POST")),
            (
                Ask { method: "DELETE", ..Dialect::ConnectStreamJson.ask(SERVER, &["hi"]) },
                405,
                ("allow", "OPTIONS, POST"),
            ),
            (post(UNARY, "image/jpeg"), 415, ("accept-post", "application/proto")),
            (post(SERVER, "application/proto"), 415, ("accept-post", "application/connect+proto")),
            (post(UNARY, "application/connect+json"), 415, ("accept-post", "application/json")),
            (post(BIDI, "application/connect+thrift"), 415, ("accept-post", "application/connect+json")),
        ] {
            let answer = edge.ask(transport, &ask).await;
            let at = format!("{ask:?} {answer:?}");
            assert_eq!((answer.status, answer.header("content-type")), (status, "text/plain; charset=utf-8"), "{at}");
            assert!(answer.header(header.0).contains(header.1) && !answer.body.is_empty(), "{at}");
        }
    }
}

#[tokio::test]
async fn a_refusal_names_what_the_caller_probably_meant() {
    let ask = Ask::get("/v1/echo:stream?massage=hi");
    let answer = shared().ask(Transport::Http1, &ask).await;
    assert!(answer.text().contains("message"), "{}", answer.text());
    let answer = shared().ask(Transport::Http1, &Dialect::Rest.ask(CLIENT, &["a"])).await;
    assert_eq!(answer.status, 200);
}
