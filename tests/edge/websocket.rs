//! Calls by WebSocket: every subprotocol, every kind of call, over both versions of HTTP.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use transom::demo::upstream::Upstream;
use transom::demo::upstream::echo_v1::EchoRequest;
use transom::demo::upstream::helloworld::{HelloReply, HelloRequest};
use transom::status::Code;

use super::dialects::{BASE64, BIDI, CLIENT, SERVER, UNARY, pack, prefix};
use super::sockets::{Call, Client, Heard, SPEECHES, Speech, TRANSPORTS};
use super::support::{Edge, PATIENCE, Process, Stub, Transport, handshake, protos, shared, tcp, until};

const KINDS: [&str; 4] = [UNARY, SERVER, CLIENT, BIDI];
const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];
const FAST: (&str, &str) = ("x-demo-interval-ms", "0");
const STREAMS: &str = "transom_upstream_streams_active";

/// Says what a call of this kind has to say, and hears it to its end.
async fn whole(call: &Call, edge: &Edge, path: &str) -> Heard {
    let mut client = call.open(edge).await;
    let several = path == CLIENT || path == BIDI;
    for text in if several { &["a", "b"][..] } else { &["hi"] } {
        client.say(text).await;
    }
    // one message is all that these have in JSON, and an end behind it is none too much
    client.end().await;
    client.rest().await
}

fn answers(path: &str, count: usize) -> Vec<&'static str> {
    match path {
        CLIENT => vec!["a, b"],
        BIDI => ["a", "b"].into_iter().take(count).collect(),
        _ => vec!["hi"; count],
    }
}

fn values(fields: &HeaderMap, name: &str) -> String {
    let values = fields.get_all(name).iter().map(|value| value.to_str().expect("text"));
    values.collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn every_kind_of_call_is_carried_in_every_speech_over_every_transport() {
    let echoes = [
        ("x-echo-a", "one"),
        ("x-echo-b-bin", "AAECAw"),
        ("x-echo-trailer-a", "two"),
        ("x-echo-trailer-a", "three"),
        FAST,
    ];
    for speech in SPEECHES {
        for transport in TRANSPORTS {
            for path in KINDS {
                let call = Call::new(speech, path).over(transport).with(&echoes);
                let heard = whole(&call, shared(), path).await;
                let at = format!("{call:?}: {heard:?}");
                assert_eq!(
                    heard.messages,
                    answers(path, if path == SERVER { 5 } else { usize::from(path == BIDI) + 1 }),
                    "{at}"
                );
                assert_eq!((heard.code, heard.message.as_str()), (Some(Code::Ok), ""), "{at}");
                assert_eq!(heard.close, Some((1000, String::new())), "{at}");
                if speech == Speech::Bare {
                    continue;
                }
                let initial = heard.initial.as_ref().expect("a head");
                assert_eq!(values(initial, "x-echo-a"), "one", "{at}");
                assert_eq!(values(initial, "x-echo-b-bin"), "AAECAw", "{at}");
                assert_eq!(values(&heard.trailing, "x-echo-trailer-a"), "two,three", "{at}");
            }
        }
    }
}

#[tokio::test]
async fn a_failure_is_told_whole_whether_messages_came_before_or_not() {
    let failure = [
        ("x-demo-status", "FAILED_PRECONDITION"),
        ("x-demo-status-message", "caf%C3%A9 at 100%25"),
        ("x-demo-status-details", "1"),
        ("x-echo-trailer-a", "two"),
        FAST,
    ];
    for speech in SPEECHES {
        for transport in CLEAR {
            for path in KINDS {
                for count in ["0", "2"] {
                    let call = Call::new(speech, path).over(transport).with(&failure);
                    let call = call.with(&[("x-demo-stream-count", count)]);
                    let heard = whole(&call, shared(), path).await;
                    let at = format!("{call:?}: {heard:?}");
                    assert_eq!(heard.code, Some(Code::FailedPrecondition), "{at}");
                    assert_eq!(heard.message, "caf\u{e9} at 100%", "{at}");
                    let close =
                        if speech == Speech::Grpc { (1000, String::new()) } else { (4009, heard.message.clone()) };
                    assert_eq!(heard.close, Some(close), "{at}");
                    let streams = path == SERVER || path == BIDI;
                    let before =
                        count.parse().ok().filter(|_| streams).map_or(Vec::new(), |count| answers(path, count));
                    assert_eq!(heard.messages, before, "{at}");
                    has_details(speech, &heard);
                }
            }
        }
    }
}

fn has_details(speech: Speech, heard: &Heard) {
    match speech {
        Speech::Bare => {}
        Speech::Grpc => {
            let details = heard.trailing.get("grpc-status-details-bin").expect("details");
            let bytes = BASE64.decode(details.as_bytes()).expect("base64");
            let status = transom::status::Status::decode(&bytes).expect("a status");
            let types: Vec<_> = status.details.iter().map(|any| any.type_name()).collect();
            assert_eq!(types, ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]);
        }
        Speech::Envelopes => {
            let types = ["type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.BadRequest"];
            assert_eq!(heard.detail_types(), types);
            assert_eq!(heard.status["details"][0]["reason"], "DEMO_STATUS");
            assert_eq!(values(&heard.trailing, "x-echo-trailer-a"), "two");
        }
    }
}

#[tokio::test]
async fn both_sides_speak_at_the_same_time() {
    for speech in SPEECHES {
        for transport in CLEAR {
            let mut client = Call::new(speech, BIDI).over(transport).open(shared()).await;
            for text in ["one", "two", "three"] {
                client.say(text).await;
                if speech == Speech::Grpc {
                    // the head comes with the first, in a frame of its own
                    while !matches!(client.next().await, Message::Binary(frame) if frame[0] == 0) {}
                } else {
                    assert_eq!(next_message(&mut client).await, text);
                }
            }
            client.end().await;
            let close = loop {
                if let Message::Close(close) = client.next().await {
                    break close.expect("a code");
                }
            };
            assert_eq!(u16::from(close.code), 1000);
        }
    }
}

async fn next_message(client: &mut Client) -> String {
    loop {
        let Message::Text(text) = client.next().await else { panic!("no text") };
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let message = if client.speech == Speech::Envelopes { value.get("message") } else { Some(&value) };
        if let Some(message) = message {
            return message["message"].as_str().expect("text").to_owned();
        }
    }
}

#[tokio::test]
async fn a_reason_longer_than_a_close_frame_is_cut_between_characters() {
    let long = "%C3%A9".repeat(100);
    let status = [("x-demo-status", "5"), ("x-demo-status-message", long.as_str())];
    for speech in [Speech::Bare, Speech::Envelopes] {
        let heard = whole(&Call::new(speech, UNARY).with(&status), shared(), UNARY).await;
        assert_eq!(heard.close, Some((4005, "\u{e9}".repeat(61))), "{speech:?}");
        if speech == Speech::Envelopes {
            assert_eq!(heard.message, "\u{e9}".repeat(100));
        }
    }
}

// === codecs and compression ===

#[tokio::test]
async fn nothing_that_goes_to_a_caller_is_compressed_whatever_he_offers() {
    let text = "the quick brown fox ".repeat(300);
    for speech in SPEECHES {
        for path in [UNARY, SERVER] {
            let metadata = [("grpc-accept-encoding", "gzip"), ("x-demo-compress", "zstd"), FAST];
            let mut client = Call::new(speech, path).with(&metadata).open(shared()).await;
            client.say(&text).await;
            client.end().await;
            let heard = client.rest().await;
            let count = if path == SERVER { 5 } else { 1 };
            assert_eq!((heard.messages, heard.code), (vec![text.clone(); count], Some(Code::Ok)), "{speech:?} {path}");
        }
    }
}

#[tokio::test]
async fn a_caller_of_grpc_may_compress_his_messages_and_may_speak_json() {
    let text = "the quick brown fox ".repeat(300);
    for encoding in ["gzip", "br"] {
        let mut client = Call::new(Speech::Grpc, UNARY).with(&[("grpc-encoding", encoding)]).open(shared()).await;
        let packed = pack(encoding, &EchoRequest { message: text.clone() }.encode_to_vec());
        client.send(Message::binary([&[0][..], &prefix(1, packed.len()), &packed].concat())).await;
        client.end().await;
        assert_eq!(client.rest().await.messages, [text.as_str()], "{encoding}");
    }
    let mut client = Call::new(Speech::Grpc, UNARY).try_open(shared()).await.expect("a socket");
    client.send(Message::binary(&b"content-type: application/grpc-web+json\r\n"[..])).await;
    let json = br#"{"message":"hi"}"#;
    client.send(Message::binary([&[0][..], &prefix(0, json.len()), json].concat())).await;
    client.end().await;
    let mut frames = Vec::new();
    while let Message::Binary(frame) = client.next().await {
        frames.push(frame.to_vec());
    }
    let whole = frames.concat();
    assert!(whole.windows(json.len()).any(|part| part == json), "{frames:?}");
}

// === rules ===

#[tokio::test]
async fn a_rule_that_takes_no_body_needs_no_message() {
    let edge = shared();
    for (speech, transport) in
        [(Speech::Bare, Transport::Http1), (Speech::Bare, Transport::Http2), (Speech::Envelopes, Transport::Http1)]
    {
        let call = Call::new(speech, "/v1/echo:stream?message=a%20b").over(transport);
        let mut client = call.clone().with(&[FAST]).open(edge).await;
        let heard = client.rest().await;
        assert_eq!((heard.messages, heard.code), (vec!["a b".to_owned(); 5], Some(Code::Ok)), "{call:?}");
    }
    // an end, or an empty object for a message, is none too much
    for frame in ["", "{}", " { } "] {
        let mut client = Call::new(Speech::Bare, "/v1/echo:stream?message=x").with(&[FAST]).open(edge).await;
        client.send(Message::text(frame)).await;
        assert_eq!(client.rest().await.messages.len(), 5, "{frame:?}");
    }
    let mut client = Call::new(Speech::Bare, "/v1/echo:stream?message=x").open(edge).await;
    client.send(Message::text(r#"{"message":"y"}"#)).await;
    assert_eq!(client.rest().await.code, Some(Code::InvalidArgument));
    // what is bound wrongly is told by the close code, for the method is known
    let mut client = Call::new(Speech::Envelopes, "/v1/echo:stream?massage=x").open(edge).await;
    client.end().await;
    let heard = client.rest().await;
    assert_eq!(heard.close.as_ref().map(|(code, _)| *code), Some(4003), "{heard:?}");
    assert_eq!(heard.detail_types(), ["type.googleapis.com/google.rpc.BadRequest"]);
}

#[tokio::test]
async fn path_query_and_message_are_woven_whatever_verb_the_rule_is_for() {
    let edge = shared();
    // a unary rule for GET
    let mut client = Call::new(Speech::Bare, "/v1/shelves/1").open(edge).await;
    let Message::Text(text) = client.next().await else { panic!("no text") };
    let shelf: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(shelf["name"], "shelves/1");
    assert_eq!(client.rest().await.code, Some(Code::Ok));
    // a unary rule for POST with a body of one field
    let mut client = Call::new(Speech::Bare, "/v1/echo").open(edge).await;
    client.say("posted").await;
    assert_eq!(client.rest().await.messages, ["posted"]);
    // streams of requests: the variable goes into the first message only
    for speech in [Speech::Bare, Speech::Envelopes] {
        let mut client = Call::new(speech, "/v1/echo/first:join").open(edge).await;
        client
            .send(if speech == Speech::Bare { Message::text("{}") } else { Message::text(r#"{"message":{}}"#) })
            .await;
        client.say("b").await;
        client.end().await;
        let heard = client.rest().await;
        assert_eq!((heard.messages, heard.code), (vec!["first, b".to_owned()], Some(Code::Ok)), "{speech:?}");
        let mut client = Call::new(speech, "/v1/echo/first:join").open(edge).await;
        client.say("twice").await;
        let heard = client.rest().await;
        assert_eq!(heard.code, Some(Code::InvalidArgument), "what the path binds cannot be said again: {heard:?}");
    }
    // and one whose only message is in the path
    let mut client = Call::new(Speech::Bare, "/v1/echo/only:alone").open(edge).await;
    let heard = client.rest().await;
    assert_eq!((heard.messages, heard.code), (vec!["only".to_owned()], Some(Code::Ok)));
}

// === handshakes ===

#[tokio::test]
async fn a_page_of_another_origin_may_not_open_a_socket_unless_cors_allows_it() {
    for speech in SPEECHES {
        for transport in TRANSPORTS {
            for (origin, allowed) in [
                ("https://app.example", true),
                ("http://edge", true),
                ("https://edge", true),
                ("https://evil.example", false),
                ("http://edge:8080", false),
                ("null", false),
            ] {
                let call = Call::new(speech, UNARY).over(transport).header("origin", origin);
                match call.try_open(shared()).await {
                    Ok(_) => assert!(allowed, "{call:?}"),
                    Err((status, _, body)) => {
                        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                        assert!(!allowed && status == 403, "{call:?} {status}");
                        // the client for HTTP/1.1 reads what came with the head
                        assert!(body["code"] == 7 || !transport.is_h2(), "{body}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_handshake_that_leads_nowhere_is_refused_by_http_and_in_trailers_to_grpc() {
    for transport in CLEAR {
        for speech in [Speech::Bare, Speech::Envelopes] {
            for path in ["/no.such/Method", "/v1/nothing"] {
                let refused = Call::new(speech, path).over(transport).try_open(shared()).await.err();
                assert_eq!(refused.map(|(status, ..)| status.as_u16()), Some(404), "{speech:?} {path}");
            }
        }
        let mut client = Call::new(Speech::Grpc, "/no.such/Method").over(transport).open(shared()).await;
        let heard = client.rest().await;
        assert_eq!((heard.code, heard.close), (Some(Code::Unimplemented), Some((1000, String::new()))));
    }
}

/// The answer to these bytes, up to its end or a silence.
async fn raw(edge: &Edge, request: &str) -> String {
    let mut wire = tcp(edge.clear).await;
    wire.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = vec![0; 4096];
    let count = timeout(PATIENCE, wire.read(&mut answer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test]
async fn a_damaged_handshake_is_refused_with_what_is_wrong() {
    const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head = |more: &str| {
        format!("GET {UNARY} HTTP/1.1\r\nhost: edge\r\nupgrade: websocket\r\nconnection: upgrade\r\n{more}\r\n")
    };
    let answer = raw(shared(), &head(&format!("{KEY}sec-websocket-version: 8\r\n"))).await;
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
    for more in [
        "sec-websocket-version: 13\r\n".to_owned(),
        "sec-websocket-version: 13\r\nsec-websocket-key: AAAA\r\n".to_owned(),
        format!("{KEY}sec-websocket-version: 13\r\nsec-websocket-protocol: chat, v2\r\n"),
        format!("{KEY}sec-websocket-version: 13\r\ncontent-length: 2\r\n"),
    ] {
        let answer = raw(shared(), &head(&more)).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":3"), "{more} {answer}");
    }
    let good = head(&format!("{KEY}sec-websocket-version: 13\r\n"));
    let answer = raw(shared(), &good).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    // by another verb it is no handshake, and so it is what it is without
    let answer = raw(shared(), &good.replacen("GET", "PUT", 1)).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn an_extended_connect_for_anything_else_is_refused() {
    let mut client = handshake(Box::new(tcp(shared().clear).await)).await;
    until("extended CONNECT is offered", || {
        let offered = client.is_extended_connect_protocol_enabled();
        async move { offered }
    })
    .await;
    let mut request =
        http::Request::builder().method("CONNECT").uri(format!("http://edge{UNARY}")).body(()).expect("one");
    request.extensions_mut().insert(h2::ext::Protocol::from_static("connect-udp"));
    let (response, _up) = client.send_request(request, false).expect("a stream");
    assert_eq!(response.await.expect("a head").status(), 501);
}

#[tokio::test]
async fn a_listener_can_be_without_websockets() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let text = super::support::configuration(&format!("h2c://{}", upstream.address()), &protos(), "");
    let without = text.replacen("127.0.0.1:0\n", "127.0.0.1:0\n    websocket: {enabled: false}\n", 1);
    let edge = Edge::by(&without).await;
    let refused = Call::new(Speech::Bare, UNARY).try_open(&edge).await.err();
    assert_eq!(refused.map(|(status, ..)| status.as_u16()), Some(405));
}

// === frames that are not what they should be ===

/// What a caller is told who sends these frames.
async fn told(call: Call, frames: Vec<Message>) -> Heard {
    let mut client = call.open(shared()).await;
    for frame in frames {
        // the socket may be closed before the last of them
        let _ = client.socket.send(frame).await;
    }
    client.rest().await
}

#[tokio::test]
async fn frames_of_the_wrong_kind_or_form_end_the_call_with_a_status() {
    use Speech::{Bare, Envelopes, Grpc};
    let text = |text: &str| Message::text(text.to_owned());
    let binary = |bytes: &[u8]| Message::binary(bytes.to_vec());
    for transport in CLEAR {
        for (speech, path, frames, code) in [
            (Bare, UNARY, vec![binary(b"{}")], Code::Internal),
            (Bare, BIDI, vec![binary(b"{}")], Code::Internal),
            (Bare, UNARY, vec![text("{")], Code::InvalidArgument),
            (Bare, UNARY, vec![text(r#"{"massage":"x"}"#)], Code::InvalidArgument),
            (Bare, BIDI, vec![text("{\"message\":\"x\"}"), text("no")], Code::InvalidArgument),
            (Bare, UNARY, vec![text("")], Code::InvalidArgument),
            (Bare, CLIENT, vec![text("{}"), text(""), text("{}")], Code::InvalidArgument),
            (Envelopes, UNARY, vec![binary(b"{\"message\":{}}")], Code::Internal),
            (Envelopes, UNARY, vec![text("{}")], Code::InvalidArgument),
            (Envelopes, UNARY, vec![text("not an envelope")], Code::InvalidArgument),
            (Envelopes, BIDI, vec![text(r#"{"message":{}}"#), text(r#"{"headers":{}}"#)], Code::InvalidArgument),
            (Envelopes, BIDI, vec![text(r#"{"headers":{}}"#), text(r#"{"headers":{}}"#)], Code::InvalidArgument),
            (Envelopes, BIDI, vec![text(r#"{"headers":{"grpc-timeout":"soon"}}"#)], Code::InvalidArgument),
            (Envelopes, BIDI, vec![text(r#"{"headers":{"a b":"c"}}"#)], Code::InvalidArgument),
            (Grpc, BIDI, vec![text("hi")], Code::Internal),
            (Grpc, BIDI, vec![binary(&[2, 0, 0, 0, 0, 0])], Code::Internal),
            (Grpc, BIDI, vec![binary(&[1, 1])], Code::Internal),
            (Grpc, BIDI, vec![binary(&[0, 0x40, 0, 0, 0, 0])], Code::Internal),
            (Grpc, BIDI, vec![binary(&[0, 0, 0, 0, 0, 9]), binary(&[1])], Code::Internal),
            (Grpc, BIDI, vec![binary(&[0]), binary(&[1]), binary(&[0, 0])], Code::InvalidArgument),
        ] {
            let at = format!("{speech:?} {path} {frames:?} over {transport:?}");
            // an upstream that is quick to answer must not be quicker than the fault
            let call = Call::new(speech, path).over(transport).with(&[("x-demo-delay-ms", "500")]);
            let heard = told(call, frames).await;
            assert_eq!(heard.code, Some(code), "{at}: {heard:?}");
            let close = if speech == Grpc { 1000 } else { 4000 + u16::from(code.number()) };
            assert_eq!(heard.close.as_ref().map(|(code, _)| *code), Some(close), "{at}: {heard:?}");
            assert!(!heard.message.is_empty(), "{at}");
        }
    }
}

#[tokio::test]
async fn the_head_of_grpc_websockets_must_be_one() {
    for (block, code) in [
        (&b"no colon"[..], Code::InvalidArgument),
        (b"content-type: application/grpc-web-text\r\n", Code::Unimplemented),
        (b"content-type: text/plain\r\n", Code::Unimplemented),
        (b"grpc-timeout: soon\r\n", Code::InvalidArgument),
    ] {
        let mut client = Call::new(Speech::Grpc, UNARY).try_open(shared()).await.expect("a socket");
        client.send(Message::binary(block.to_vec())).await;
        let heard = client.rest().await;
        assert_eq!(heard.code, Some(code), "{:?} {heard:?}", String::from_utf8_lossy(block));
    }
    // without a content type it is protobuf
    let mut client = Call::new(Speech::Grpc, UNARY).try_open(shared()).await.expect("a socket");
    client.send(Message::binary(Vec::new())).await;
    client.say("hi").await;
    client.end().await;
    assert_eq!(client.rest().await.messages, ["hi"]);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_as_such_each_way() {
    let long = "x".repeat(70_000);
    for speech in SPEECHES {
        for transport in CLEAR {
            for path in [UNARY, BIDI] {
                let heard = told(Call::new(speech, path).over(transport), vec![speech.message(&long)]).await;
                assert_eq!(heard.code, Some(Code::ResourceExhausted), "{speech:?} {path} {heard:?}");
                assert!(heard.close.is_some(), "{speech:?} {path} {heard:?}");
                let call = Call::new(speech, path).over(transport).with(&[("x-demo-message-size", "70000")]);
                let heard = told(call, vec![speech.message("x"), speech.end()]).await;
                assert_eq!(heard.code, Some(Code::ResourceExhausted), "{speech:?} {path} {heard:?}");
            }
        }
        let below = "x".repeat(60_000);
        let call = Call::new(speech, UNARY);
        let mut client = call.open(shared()).await;
        client.say(&below).await;
        client.end().await;
        assert_eq!(client.rest().await.messages, [below], "{speech:?}");
    }
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message() {
    for (speech, kind) in [(Speech::Bare, Data::Text), (Speech::Grpc, Data::Binary)] {
        let mut client = Call::new(speech, UNARY).open(shared()).await;
        let whole = speech.message("in pieces").into_data();
        for (i, piece) in whole.chunks(5).enumerate() {
            let opcode = if i == 0 { kind } else { Data::Continue };
            let last = (i + 1) * 5 >= whole.len();
            client.send(Message::Frame(Frame::message(piece.to_vec(), OpCode::Data(opcode), last))).await;
            client.send(Message::Ping(Default::default())).await;
        }
        client.end().await;
        let heard = client.rest().await;
        assert_eq!(heard.messages, ["in pieces"], "{heard:?}");
    }
}

#[tokio::test]
async fn what_is_no_websocket_closes_with_the_rfcs_codes() {
    for (bytes, code) in [
        // an unmasked frame
        (&[0x81, 2, b'{', b'}'][..], 1002),
        // reserved bits
        (&[0xf1, 0x80, 0, 0, 0, 0], 1002),
        // text that is no UTF-8, masked with zeros
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe], 1007),
        // a continuation of nothing
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
        // a ping that is too long
        (&[&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[b'x'; 126]].concat(), 1002),
        // a frame of 2^62 bytes
        (&[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4008),
    ] {
        for transport in CLEAR {
            let mut client = Call::new(Speech::Bare, BIDI).over(transport).open(shared()).await;
            let wire = client.socket.get_mut();
            wire.write_all(bytes).await.expect("a wire");
            wire.flush().await.expect("a wire");
            let heard = client.rest().await;
            let close = heard.close.as_ref().map(|(code, _)| *code);
            assert_eq!(close, Some(code), "{bytes:?} over {transport:?}: {heard:?}");
        }
    }
}

// === time ===

#[tokio::test]
async fn deadlines_hold() {
    let stub = Stub::start().await;
    let edge = Edge::before(&format!("h2c://{}", stub.address), "").await;
    for speech in SPEECHES {
        for transport in CLEAR {
            let call = Call::new(speech, SERVER).over(transport);
            let call = call.with(&[("grpc-timeout", "200m"), ("x-stub", "one, then silence")]);
            let begun = Instant::now();
            let heard = whole(&call, &edge, SERVER).await;
            assert!(begun.elapsed() < Duration::from_secs(3), "{call:?}");
            assert_eq!((heard.messages.len(), heard.code), (1, Some(Code::DeadlineExceeded)), "{call:?}");
        }
    }
    let longest =
        Edge::before(&format!("h2c://{}", stub.address), "settings: [{match: \"*\", deadline: {max: 150ms}}]").await;
    for speech in SPEECHES {
        let heard = whole(&Call::new(speech, UNARY), &longest, UNARY).await;
        assert_eq!(heard.code, Some(Code::DeadlineExceeded), "{speech:?}");
    }
    until("the upstream is let go", || async { edge.metric(STREAMS).await + longest.metric(STREAMS).await == 0 }).await;
}

/// An edge whose first listener has this said of it.
async fn with_listener(said: &str) -> Edge {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let text = super::support::configuration(&format!("h2c://{}", upstream.address()), &protos(), "");
    let mut edge = Edge::by(&text.replacen("127.0.0.1:0\n", &format!("127.0.0.1:0\n    {said}\n"), 1)).await;
    edge.upstream = Some(upstream);
    edge
}

/// Hears nothing but pings, which hearing answers, for as long as this takes; how many.
async fn pinged(client: &mut Client, meanwhile: impl Future<Output = ()>) -> usize {
    let (mut meanwhile, mut pings) = (std::pin::pin!(meanwhile), 0);
    loop {
        tokio::select! {
            () = &mut meanwhile => return pings,
            heard = client.socket.next() => assert!(matches!(heard, Some(Ok(Message::Ping(_)))), "{heard:?}"),
        }
        pings += 1;
    }
}

#[tokio::test]
async fn a_socket_that_answers_pings_lives_and_one_that_does_not_is_dropped() {
    // two of these without a sign of life are too many: long beside what a loaded machine makes any of us wait
    let edge = with_listener("websocket: {ping_interval: 1s}").await;
    let edge = &edge;
    let there =
        |sockets| async move { until("so many are there", || async { edge.metric(STREAMS).await == sockets }).await };
    let [one, two] = CLEAR.map(|transport| Call::new(Speech::Bare, BIDI).over(transport));
    let (mut alive, mut dead) =
        ([one.open(edge).await, two.open(edge).await], [one.open(edge).await, two.open(edge).await]);
    for dead in &mut dead {
        dead.say("hi").await;
        assert_eq!(dead.next_text().await, "hi");
    }
    there(4).await;
    let [one, two] = &mut alive;
    let pings = tokio::join!(pinged(one, there(2)), pinged(two, there(2)));
    assert!(pings.0 > 0 && pings.1 > 0, "{pings:?}");
    for alive in &mut alive {
        alive.send(Message::Ping(vec![1, 2, 3].into())).await;
        loop {
            match timeout(PATIENCE, alive.socket.next()).await.expect("in time").expect("more").expect("a frame") {
                Message::Pong(payload) => break assert_eq!(payload[..], [1, 2, 3]),
                other => assert!(matches!(other, Message::Ping(_)), "{other:?}"),
            }
        }
    }
    drop(alive);
    there(0).await;
    drop(dead);
    until("no socket is left", || async { edge.metric("transom_websockets_active").await == 0 }).await;
}

#[tokio::test]
async fn a_socket_without_a_call_is_closed_in_time() {
    let edge = with_listener("idle_timeout: 200ms").await;
    for speech in SPEECHES {
        let mut client = Call::new(speech, UNARY).try_open(&edge).await.expect("a socket");
        let heard = client.rest().await;
        assert_eq!(heard.close.map(|(code, _)| code), Some(1001), "{speech:?}");
    }
    // a call that waits is a call
    let mut client = Call::new(Speech::Bare, BIDI).open(&edge).await;
    sleep(Duration::from_millis(600)).await;
    client.say("hi").await;
    assert_eq!(client.next_text().await, "hi");
}

// === who goes away, and who reads slowly ===

#[tokio::test]
async fn a_caller_who_goes_away_cancels_the_call() {
    let edge = Edge::start("").await;
    let upstream = edge.upstream.as_ref().expect("an upstream").counts();
    let mut cancelled = 0;
    for speech in SPEECHES {
        for transport in CLEAR {
            for closes in [true, false] {
                let endless = [("x-demo-stream-count", "100000"), ("x-demo-interval-ms", "10")];
                let mut client = Call::new(speech, SERVER).over(transport).with(&endless).open(&edge).await;
                client.say("hi").await;
                client.end().await;
                client.next().await;
                if closes {
                    client.socket.close(None).await.expect("a close");
                    // the answer to it ends the socket
                    while let Some(Ok(_)) = client.socket.next().await {}
                }
                drop(client);
                cancelled += 1;
                until("the upstream sees it", || async { upstream.cancelled.load(Relaxed) == cancelled }).await;
            }
        }
    }
    until("nothing is left", || async { edge.metric(STREAMS).await == 0 }).await;
    assert_eq!(edge.metric("transom_calls_active").await, 0);
}

#[tokio::test]
async fn a_caller_who_reads_nothing_costs_no_memory_and_gets_the_rest_later() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(
        upstream.address(),
        "settings: [{match: \"*\", max_request_message: 0, max_response_message: 0}]",
    );
    let flood = [("x-demo-stream-count", "16384"), ("x-demo-message-size", "65536"), ("x-demo-interval-ms", "0")];
    let before = edge.memory();
    let mut clients = Vec::new();
    for speech in SPEECHES {
        for transport in CLEAR {
            let call = Call::new(speech, SERVER).over(transport).with(&flood);
            let mut client = call.open_on(Box::new(tcp(edge.clear).await)).await.expect("a socket");
            if speech == Speech::Grpc {
                let block = "x-demo-stream-count: 16384\r\nx-demo-message-size: 65536\r\nx-demo-interval-ms: 0\r\n";
                client.send(Message::binary(block.as_bytes().to_vec())).await;
            } else if speech == Speech::Envelopes {
                let fields = r#"{"headers":{"x-demo-stream-count":"16384","x-demo-message-size":"65536","x-demo-interval-ms":"0"}}"#;
                client.send(Message::text(fields)).await;
            }
            client.say("hi").await;
            client.end().await;
            clients.push(client);
        }
    }
    sleep(Duration::from_secs(1)).await;
    let sent = upstream.counts().messages_out.load(Relaxed);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(upstream.counts().messages_out.load(Relaxed), sent, "the upstream is held back");
    assert!(sent < 6 * 512, "{sent} messages of 64 KiB on the way");
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
    for client in &mut clients {
        for _ in 0..64 {
            client.next().await;
        }
    }
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
    drop(clients);
    until("the upstream is let go", || async { upstream.counts().active.load(Relaxed) == 0 }).await;
}

#[tokio::test]
async fn an_upstream_that_reads_slowly_holds_its_caller_back() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(
        upstream.address(),
        "settings: [{match: \"*\", max_request_message: 0, max_response_message: 0}]",
    );
    let before = edge.memory();
    for transport in CLEAR {
        let slow = [("x-demo-read-delay-ms", "1000"), ("x-demo-message-size", "1")];
        let call = Call::new(Speech::Bare, BIDI).over(transport).with(&slow);
        let mut client = call.open_on(Box::new(tcp(edge.clear).await)).await.expect("a socket");
        let message = Speech::Bare.message(&"x".repeat(65_536));
        let mut sent = 0;
        let flood = async {
            while sent < 1 << 30 {
                client.socket.send(message.clone()).await.expect("an open socket");
                sent += 65_536;
            }
        };
        let _ = timeout(Duration::from_secs(2), flood).await;
        assert!(sent < 32 << 20, "{sent} bytes were taken over {transport:?}");
    }
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}

// === the end of the edge ===

/// A socket before an edge that is a process.
async fn on(edge: &Process, call: &Call) -> Client {
    call.open_on(Box::new(tcp(edge.clear).await)).await.expect("a socket")
}

#[tokio::test]
async fn a_shutdown_lets_calls_finish_and_closes_what_waits() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let mut edge = Process::start(upstream.address(), "");
    let mut ticking = Vec::new();
    let mut waiting = Vec::new();
    for transport in CLEAR {
        let ticks = [("x-demo-stream-count", "8"), ("x-demo-interval-ms", "100")];
        let mut client = on(&edge, &Call::new(Speech::Bare, SERVER).over(transport).with(&ticks)).await;
        client.say("hi").await;
        client.next_text().await;
        ticking.push(client);
        waiting.push(on(&edge, &Call::new(Speech::Envelopes, UNARY).over(transport)).await);
    }
    edge.signal("TERM");
    for client in &mut waiting {
        let heard = client.rest().await;
        assert_eq!(heard.close.map(|(code, _)| code), Some(1001));
    }
    for client in &mut ticking {
        let heard = client.rest().await;
        assert_eq!((heard.messages.len(), heard.code), (7, Some(Code::Ok)));
    }
    until("the process ends", || {
        let ended = edge.child.try_wait().expect("a child");
        async move { ended.is_some_and(|status| status.code() == Some(0)) }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_closed_as_going_away() {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(upstream.address(), "drain_timeout: 300ms");
    let mut clients = Vec::new();
    for speech in SPEECHES {
        for transport in CLEAR {
            let mut client = on(&edge, &Call::new(speech, BIDI).over(transport)).await;
            if speech == Speech::Grpc {
                client.send(Message::binary(Vec::new())).await;
            }
            client.say("hi").await;
            client.next().await;
            clients.push(client);
        }
    }
    edge.signal("TERM");
    for client in &mut clients {
        loop {
            match timeout(PATIENCE, client.socket.next()).await.expect("in time") {
                Some(Ok(Message::Close(close))) => {
                    break assert_eq!(close.map(|close| u16::from(close.code)), Some(1001));
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

// === what is counted ===

#[tokio::test]
async fn calls_are_counted_by_dialect_and_code() {
    let edge = Edge::start("").await;
    for speech in SPEECHES {
        whole(&Call::new(speech, UNARY), &edge, UNARY).await;
    }
    let page = super::support::page(edge.admin, "/metrics").await;
    for dialect in ["grpc-websocket", "json-websocket", "json-websocket-v1"] {
        let sample = format!("transom_calls_total{{dialect=\"{dialect}\",code=\"OK\"}} 1\n");
        assert!(page.contains(&sample), "{sample} in {page}");
    }
}

/// A call as nice-grpc-web's `WebsocketTransport` makes it, frame by frame.
#[tokio::test]
async fn a_foreign_clients_frames_are_answered_as_it_reads_them() {
    let mut client = Call::new(Speech::Grpc, "/helloworld.Greeter/SayHello").try_open(shared()).await.expect("one");
    let block = "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n";
    client.send(Message::binary(block.as_bytes().to_vec())).await;
    let coded = HelloRequest { name: "joe".into() }.encode_to_vec();
    client.send(Message::binary([&[0][..], &prefix(0, coded.len()), &coded].concat())).await;
    client.send(Message::binary(vec![1])).await;
    let mut all = Vec::new();
    let close = loop {
        match client.next().await {
            Message::Binary(bytes) => all.extend_from_slice(&bytes),
            Message::Close(close) => break close.expect("a code"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1000, ""));
    let frames = super::dialects::frames(&all);
    let kinds: Vec<u8> = frames.iter().map(|(flags, _)| *flags).collect();
    assert_eq!(kinds, [0x80, 0, 0x80]);
    assert!(String::from_utf8_lossy(&frames[0].1).contains("content-type:application/grpc-web+proto\r\n"));
    assert_eq!(HelloReply::decode(&frames[1].1[..]).expect("a reply").message, "Hello joe");
    assert_eq!(frames[2].1, b"grpc-status:0\r\n");
}
