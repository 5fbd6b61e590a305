//! What goes over the wire, byte for byte: heads and bodies as raw sockets read them, fields in their order.
//!
//! HTTP/1.1 answers are compared whole but for the date; HTTP/2 answers as field lists, since HPACK leaves the bytes to
//! the sender.

use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dialects::{BIDI, CLIENT, SERVER, UNARY};
use super::scripted::{Field, Finish, Script, Scripted, map};
use super::support::{Answer, Ask, Edge, PATIENCE, Transport, read_http1, tcp};

/// `EchoRequest {message: "hi"}`, and `EchoResponse` alike, in a frame.
const HI: &[u8] = b"\0\0\0\0\x04\x0a\x02hi";
/// Last in the scripts: to take a field out of a header map puts the last one in its place, and the order of fields of
/// different names, which means nothing (RFC 9110 section 5.3), would not be what one reads here.
const OK: Field = ("grpc-status", "0");

/// `google.rpc.Status {code: 5, message: "no such book!", details: [ErrorInfo {reason: "GONE", domain: "books"},
/// acme.Secret]}`; no catalog knows the last one.
const DETAILS: &str = "CAUSDW5vIHN1Y2ggYm9vayEaOQoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxINCgRHT05FEgVi\
    b29rcxolCh90eXBlLmdvb2dsZWFwaXMuY29tL2FjbWUuU2VjcmV0EgIIAQ";
const DETAILS_PADDED: &str = "CAUSDW5vIHN1Y2ggYm9vayEaOQoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxINCgRHT05F\
    EgVib29rcxolCh90eXBlLmdvb2dsZWFwaXMuY29tL2FjbWUuU2VjcmV0EgIIAQ==";
/// The same as Connect tells it.
const CONNECT_ERROR: &str = concat!(
    r#"{"code":"not_found","message":"no such book!","details":["#,
    r#"{"type":"google.rpc.ErrorInfo","value":"CgRHT05FEgVib29rcw","debug":{"reason":"GONE","domain":"books"}},"#,
    r#"{"type":"acme.Secret","value":"CAE"}]}"#
);
const NOT_FOUND: [Field; 3] =
    [("grpc-status", "5"), ("grpc-message", "no such book!"), ("grpc-status-details-bin", DETAILS)];

/// A running edge before an upstream with a script.
struct Stage {
    upstream: Scripted,
    edge: Edge,
}

// === impl Stage ===

impl Stage {
    async fn set(script: Script) -> Stage {
        let upstream = Scripted::start(script).await;
        // without CORS, whose `vary` is no part of what is looked at here
        let settings = "settings: [{match: \"*\", max_request_message: 64KiB}]\n";
        let edge = Edge::before(&upstream.url(), settings).await;
        Stage { upstream, edge }
    }

    /// All bytes of the answer to an HTTP/1.1 request, the date put out.
    async fn raw(&self, path: &str, fields: &[Field], body: &[u8]) -> Vec<u8> {
        let mut socket = tcp(self.edge.clear).await;
        let mut ask = Ask::new("POST", path).headers(fields).head().into_bytes();
        ask.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
        ask.extend_from_slice(body);
        socket.write_all(&ask).await.expect("a request");
        let mut raw = Vec::new();
        let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut raw)).await;
        read.expect("an answer in time").expect("an answer");
        undated(raw)
    }

    /// The body of an answer over HTTP/1.1, its chunks joined.
    async fn body(&self, path: &str, content_type: &'static str, body: &[u8]) -> Vec<u8> {
        let answer = read_http1(&self.raw(path, &[("content-type", content_type)], body).await);
        assert!(!answer.cut && answer.status == 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), content_type);
        answer.body
    }

    /// A call over HTTP/2.
    async fn call(&self, path: &str, fields: &[Field], body: &[u8]) -> Answer {
        let ask = Ask { body: body.to_vec(), ..Ask::new("POST", path).headers(fields) };
        self.edge.ask(Transport::Http2, &ask).await
    }

    async fn grpc(&self, path: &str) -> Answer {
        self.call(path, &[("content-type", "application/grpc"), ("te", "trailers")], HI).await
    }

    async fn connect(&self) -> Answer {
        self.call(UNARY, &[("content-type", "application/json")], br#"{"message":"hi"}"#).await
    }
}

fn undated(raw: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&raw).into_owned();
    let Some(start) = text.find("\r\ndate: ") else { return raw };
    let end = start + 2 + text[start + 2..].find("\r\n").expect("a line");
    [&raw[..start], b"\r\ndate: -", &raw[end..]].concat()
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// `head` has its lines apart; the blank line follows.
fn http1(head: &[&str], body: &[u8]) -> String {
    shown(&[head.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat())
}

fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend_from_slice(&u32::try_from(payload.len()).expect("a short one").to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn values<'a>(fields: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    fields.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
}

// === gRPC-Web ===

#[tokio::test]
async fn the_last_frame_of_grpc_web_has_all_trailers_and_the_status_in_lower_case_lines() {
    let trailers = [("x-b", "1"), ("x-b", "2"), ("x-c-bin", "AQI"), ("x-d", "a: b, c"), OK];
    let stage = Stage::set(Script::new(&[("x-a", "1")], &[HI], &trailers)).await;
    let told = b"x-b:1,2\r\nx-c-bin:AQI\r\nx-d:a: b, c\r\ngrpc-status:0\r\n";
    for path in [UNARY, SERVER] {
        let body = stage.body(path, "application/grpc-web+proto", HI).await;
        assert_eq!(shown(&body), shown(&[HI, &frame(0x80, told)].concat()), "{path}");
    }
}

#[tokio::test]
async fn the_last_frame_of_grpc_web_tells_an_error_with_its_details_as_they_came() {
    let stage = Stage::set(Script::new(&[], &[HI], &NOT_FOUND)).await;
    let told = format!("grpc-status:5\r\ngrpc-message:no such book!\r\ngrpc-status-details-bin:{DETAILS}\r\n");
    let body = stage.body(SERVER, "application/grpc-web+proto", HI).await;
    assert_eq!(shown(&body), shown(&[HI, &frame(0x80, told.as_bytes())].concat()));
}

#[tokio::test]
async fn grpc_web_text_is_the_same_frames_in_base64_each_piece_padded() {
    let hey = b"\0\0\0\0\x05\x0a\x03hey";
    let stage = Stage::set(Script::new(&[], &[hey], &[("x-b-bin", "AQI"), OK])).await;
    let body = stage.body(SERVER, "application/grpc-web-text+proto", b"AAAAAAQKAmhp").await;
    // the message; then 0x80, 28, "x-b-bin:AQI\r\ngrpc-status:0\r\n": a `-bin` value is not decoded for the frame
    assert_eq!(shown(&body), "AAAAAAUKA2hleQ==gAAAABx4LWItYmluOkFRSQ0KZ3JwYy1zdGF0dXM6MA0K");
}

#[tokio::test]
async fn a_trailers_only_answer_stays_one_for_grpc_web() {
    let stage = Stage::set(Script::only(&[NOT_FOUND[0], NOT_FOUND[1], NOT_FOUND[2], ("x-b", "1")])).await;
    for content_type in ["application/grpc-web+proto", "application/grpc-web-text+proto", "application/grpc-web+json"] {
        let hi: &[u8] = match content_type {
            "application/grpc-web+json" => b"\0\0\0\0\x10{\"message\":\"hi\"}",
            "application/grpc-web-text+proto" => b"AAAAAAQKAmhp",
            _ => HI,
        };
        let raw = stage.raw(SERVER, &[("content-type", content_type)], hi).await;
        let head = [
            "HTTP/1.1 200 OK",
            &format!("content-type: {content_type}"),
            "x-b: 1",
            "grpc-status: 5",
            "grpc-message: no such book!",
            &format!("grpc-status-details-bin: {DETAILS}"),
            "connection: close",
            "content-length: 0",
            "date: -",
        ];
        assert_eq!(shown(&raw), http1(&head, b""));
    }
}

/// Two messages to a unary method, or one over the limit, are answered before the last chunk: a client that reads the
/// answer and then ends its request goes on with the connection, and would find it closed on the next call.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_leaves_the_connection_to_the_next_call() {
    let stage = Stage::set(Script::new(&[], &[HI], &[OK])).await;
    let large = frame(0, &vec![0; 80_000]);
    for (content_type, body) in [
        ("application/grpc-web+proto", [HI, HI].concat()),
        ("application/grpc-web+proto", large.clone()),
        ("application/connect+proto", large),
    ] {
        let path = if content_type.contains("connect") { CLIENT } else { UNARY };
        let head = Ask::post(path, content_type, "").head() + "transfer-encoding: chunked\r\n\r\n";
        let mut socket = tcp(stage.edge.clear).await;
        for call in 0..2 {
            let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat();
            socket.write_all(&[head.as_bytes(), &chunk].concat()).await.expect("a request");
            let mut raw = Vec::new();
            while read_http1(&raw).cut {
                let read = tokio::time::timeout(PATIENCE, socket.read_buf(&mut raw)).await.expect("an answer in time");
                assert_ne!(read.expect("an answer"), 0, "closed on call {call} of {content_type}: {}", shown(&raw));
            }
            assert!(!shown(&raw).contains("connection: close"), "{}", shown(&raw));
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.write_all(b"0\r\n\r\n").await.expect("the last chunk");
        }
    }
}

// === Connect ===

#[tokio::test]
async fn the_last_envelope_of_a_connect_stream_has_flag_two_and_the_trailers_as_json() {
    let trailers = [("x-b", "1"), ("x-b", "a \"b\""), ("x-c-bin", "AQI"), OK];
    let stage = Stage::set(Script::new(&[("x-a", "1")], &[HI, HI], &trailers)).await;
    let end = frame(2, br#"{"metadata":{"x-b":["1","a \"b\""],"x-c-bin":["AQI"]}}"#);
    let body = stage.body(SERVER, "application/connect+proto", HI).await;
    assert_eq!(shown(&body), shown(&[HI, HI, &end].concat()));
    let json = frame(0, br#"{"message":"hi"}"#);
    let body = stage.body(SERVER, "application/connect+json", &json).await;
    assert_eq!(shown(&body), shown(&[&json[..], &json, &end].concat()));
}

#[tokio::test]
async fn the_last_envelope_of_a_connect_stream_tells_an_error_with_details_and_debug() {
    let mut trailers = NOT_FOUND.to_vec();
    trailers.push(("x-b", "1"));
    let end = format!("{{\"error\":{CONNECT_ERROR},\"metadata\":{{\"x-b\":[\"1\"]}}}}");
    let stage = Stage::set(Script::new(&[], &[HI], &trailers)).await;
    let body = stage.body(SERVER, "application/connect+proto", HI).await;
    assert_eq!(shown(&body), shown(&[HI, &frame(2, end.as_bytes())].concat()));
    // and so does an answer that is nothing but its end
    let stage = Stage::set(Script::only(&trailers)).await;
    let body = stage.body(SERVER, "application/connect+proto", HI).await;
    assert_eq!(shown(&body), shown(&frame(2, end.as_bytes())));
}

#[tokio::test]
async fn a_connect_error_is_json_with_the_http_code_of_its_status() {
    for details in [DETAILS, DETAILS_PADDED] {
        let fields = [NOT_FOUND[0], NOT_FOUND[1], ("grpc-status-details-bin", details), ("x-b", "1"), ("x-b", "2")];
        let stage = Stage::set(Script::new(&[("x-a", "1")], &[], &fields)).await;
        let raw = stage.raw(UNARY, &[("content-type", "application/json")], b"{}").await;
        let head = [
            "HTTP/1.1 404 Not Found",
            "x-a: 1",
            "trailer-x-b: 1",
            "trailer-x-b: 2",
            "content-type: application/json",
            "connection: close",
            &format!("content-length: {}", CONNECT_ERROR.len()),
            "date: -",
        ];
        assert_eq!(shown(&raw), http1(&head, CONNECT_ERROR.as_bytes()));
    }
}

#[tokio::test]
async fn a_connect_answer_has_its_trailers_as_fields_with_a_prefix() {
    let trailers = [("x-b", "1"), ("x-b", "2"), ("x-c-bin", "AQI"), OK];
    let stage = Stage::set(Script::new(&[("x-a", "1"), ("x-a", "2")], &[HI], &trailers)).await;
    let raw = stage.raw(UNARY, &[("content-type", "application/proto")], b"\x0a\x02hi").await;
    let head = [
        "HTTP/1.1 200 OK",
        "x-a: 1",
        "x-a: 2",
        "trailer-x-b: 1",
        "trailer-x-b: 2",
        "trailer-x-c-bin: AQI",
        "content-type: application/proto",
        "connection: close",
        "content-length: 4",
        "date: -",
    ];
    assert_eq!(shown(&raw), http1(&head, b"\x0a\x02hi"));
}

// === gRPC ===

#[tokio::test]
async fn a_trailers_only_answer_stays_one_for_grpc() {
    let stage = Stage::set(Script::only(&[NOT_FOUND[0], NOT_FOUND[1], NOT_FOUND[2], ("x-b", "1")])).await;
    for path in [UNARY, SERVER, CLIENT, BIDI] {
        let answer = stage.grpc(path).await;
        let expected =
            map(&[("content-type", "application/grpc"), ("x-b", "1"), NOT_FOUND[0], NOT_FOUND[1], NOT_FOUND[2]]);
        assert_eq!(undated_fields(answer.headers), expected, "{path}");
        assert!(answer.body.is_empty() && answer.trailers.is_empty() && !answer.cut, "{path}");
    }
}

#[tokio::test]
async fn head_messages_and_trailers_of_grpc_come_apart_and_in_order() {
    let trailers = [OK, ("x-b", "1"), ("x-b", "2")];
    let stage = Stage::set(Script::new(&[("x-a", "1"), ("x-a", "2")], &[HI, HI], &trailers)).await;
    let answer = stage.grpc(SERVER).await;
    assert_eq!(answer.status, 200);
    let expected = map(&[("content-type", "application/grpc"), ("x-a", "1"), ("x-a", "2")]);
    assert_eq!(undated_fields(answer.headers), expected);
    assert_eq!(shown(&answer.body), shown(&[HI, HI].concat()));
    assert_eq!(answer.trailers, map(&trailers));
}

fn undated_fields(mut fields: HeaderMap) -> HeaderMap {
    fields.remove("date");
    fields
}

#[tokio::test]
async fn a_status_in_a_head_counts_only_if_nothing_follows() {
    let head = [("grpc-status", "8"), ("grpc-message", "early"), ("grpc-status-details-bin", DETAILS)];
    let stage = Stage::set(Script::new(&head, &[HI], &[("grpc-status", "9"), ("grpc-message", "late")])).await;
    for path in [UNARY, SERVER] {
        let answer = stage.grpc(path).await;
        assert_eq!(answer.headers.get("grpc-status"), None, "{path}");
        assert_eq!(answer.headers.get("grpc-status-details-bin"), None, "{path}");
        assert_eq!(answer.trailers, map(&[("grpc-status", "9"), ("grpc-message", "late")]), "{path}");
    }
    let answer = stage.connect().await;
    assert_eq!((answer.status, answer.text()), (400, r#"{"code":"failed_precondition","message":"late"}"#.to_owned()));
    let stage = Stage::set(Script::new(&head, &[HI], &[]).finish(Finish::EndStream)).await;
    let answer = stage.grpc(SERVER).await;
    assert_eq!(answer.trailers["grpc-status"], "2", "the answer ended without a status");
    // servers whose HTTP library ends each body by an empty frame tell a refusal so
    let stage = Stage::set(Script::new(&head, &[b""], &[]).finish(Finish::EndStream)).await;
    let answer = stage.grpc(SERVER).await;
    assert_eq!(
        (&answer.trailers["grpc-status"], &answer.trailers["grpc-message"]),
        (&"8".parse().unwrap(), &"early".parse().unwrap())
    );
    let answer = stage.connect().await;
    assert_eq!((answer.status, answer.json()["message"].as_str()), (429, Some("early")));
}

#[tokio::test]
async fn an_answer_that_is_not_grpc_with_protobuf_is_not_passed_on() {
    let types = [
        "application/grpc+json",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpcx",
        "text/html",
    ];
    for content_type in types {
        let mut script = Script::new(&[("x-a", "1")], &[HI], &[OK]);
        script.head[0] = ("content-type", content_type);
        let stage = Stage::set(script).await;
        let answer = stage.grpc(SERVER).await;
        assert_eq!(values(&answer.headers, "grpc-status"), ["2"], "{content_type}");
        assert!(answer.body.is_empty() && answer.header("grpc-message").contains(content_type), "{answer:?}");
    }
    for content_type in ["application/grpc+proto", "application/grpc; charset=utf-8", "Application/gRPC"] {
        let mut script = Script::new(&[], &[HI], &[OK]);
        script.head[0] = ("content-type", content_type);
        let answer = Stage::set(script).await.grpc(SERVER).await;
        assert_eq!((shown(&answer.body), answer.trailers), (shown(HI), map(&[OK])), "{content_type}");
    }
}

// === status ===

#[tokio::test]
async fn a_message_with_bad_escapes_is_read_as_far_as_it_can_be_and_written_well() {
    let coded = "100% %zz %41 caf%C3%A9 %ff %4";
    let stage = Stage::set(Script::only(&[("grpc-status", "3"), ("grpc-message", coded)])).await;
    let rewritten = "100%25 %25zz A caf%C3%A9 %EF%BF%BD %254";
    assert_eq!(stage.grpc(UNARY).await.headers["grpc-message"], rewritten);
    let web = stage.raw(UNARY, &[("content-type", "application/grpc-web+proto")], HI).await;
    assert!(shown(&web).contains(&format!("grpc-message: {rewritten}\\r\\n")), "{}", shown(&web));
    let json: serde_json::Value = stage.connect().await.json();
    assert_eq!(json["message"], "100% %zz A caf\u{e9} \u{fffd} %4");
}

#[tokio::test]
async fn a_status_that_is_no_number_or_none_of_grpcs_is_unknown() {
    for status in ["17", "-1", "ok", "", "4294967296", "5 5"] {
        let stage = Stage::set(Script::only(&[("grpc-status", status), ("x-b", "1")])).await;
        let answer = stage.grpc(UNARY).await;
        assert_eq!(values(&answer.headers, "grpc-status"), ["2"], "{status:?}");
        assert_eq!(values(&answer.headers, "x-b"), ["1"], "{status:?}");
    }
}

#[tokio::test]
async fn the_http_code_counts_only_without_a_grpc_status() {
    let codes = [
        (400, "13"),
        (401, "16"),
        (403, "7"),
        (404, "12"),
        (429, "14"),
        (431, "2"),
        (500, "2"),
        (502, "14"),
        (503, "14"),
        (504, "14"),
        (204, "2"),
        (302, "2"),
        (599, "2"),
    ];
    for (http, code) in codes {
        let silent = Stage::set(Script::only(&[]).http(http)).await;
        assert_eq!(values(&silent.grpc(UNARY).await.headers, "grpc-status"), [code], "HTTP {http}");
        let says = Stage::set(Script::only(&[("grpc-status", "6")]).http(http)).await;
        assert_eq!(values(&says.grpc(UNARY).await.headers, "grpc-status"), ["6"], "HTTP {http}");
    }
}

#[tokio::test]
async fn a_reset_stream_ends_by_the_code_of_the_reset() {
    let codes = [
        (h2::Reason::NO_ERROR, "13"),
        (h2::Reason::PROTOCOL_ERROR, "13"),
        (h2::Reason::INTERNAL_ERROR, "13"),
        (h2::Reason::FLOW_CONTROL_ERROR, "13"),
        (h2::Reason::SETTINGS_TIMEOUT, "13"),
        (h2::Reason::FRAME_SIZE_ERROR, "13"),
        (h2::Reason::REFUSED_STREAM, "14"),
        (h2::Reason::CANCEL, "1"),
        (h2::Reason::COMPRESSION_ERROR, "13"),
        (h2::Reason::CONNECT_ERROR, "13"),
        (h2::Reason::ENHANCE_YOUR_CALM, "8"),
        (h2::Reason::INADEQUATE_SECURITY, "7"),
        (h2::Reason::from(4711), "13"),
    ];
    for (reason, code) in codes {
        let stage = Stage::set(Script::only(&[]).finish(Finish::ResetAtOnce(reason))).await;
        let answer = stage.grpc(UNARY).await;
        assert_eq!(values(&answer.headers, "grpc-status"), [code], "{reason:?} at once");
        assert!(!answer.cut, "{reason:?}");
        let stage = Stage::set(Script::new(&[], &[HI], &[]).finish(Finish::Reset(reason))).await;
        let answer = stage.grpc(SERVER).await;
        assert_eq!(shown(&answer.body), shown(HI), "{reason:?}: what came before is kept");
        assert_eq!(values(&answer.trailers, "grpc-status"), [code], "{reason:?} later");
    }
}

// === metadata ===

/// What the upstream gets of a gRPC call besides the caller's metadata.
const GRPC_FIELDS: [Field; 3] =
    [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-accept-encoding", "identity")];

#[tokio::test]
async fn metadata_goes_up_with_duplicates_in_order_and_binary_values_as_they_came() {
    let mine: [Field; 8] = [
        ("x-a", "1"),
        ("x-b-bin", "AQI"),
        ("x-a", "2, 3"),
        ("x-b-bin", "AQI="),
        ("x-c-bin", "AQI,Aw=="),
        ("x-a", ""),
        ("user-agent", "me/1"),
        ("authorization", "Bearer t"),
    ];
    let mut stage = Stage::set(Script::new(&[], &[HI], &[OK])).await;
    let calls: [(&str, Field, &[u8]); 4] = [
        (UNARY, ("content-type", "application/grpc-web+proto"), HI),
        (UNARY, ("content-type", "application/proto"), &HI[5..]),
        (SERVER, ("content-type", "application/connect+proto"), HI),
        ("/v1/echo", ("content-type", "application/json"), br#"{"message":"hi"}"#),
    ];
    for (path, content_type, body) in calls {
        let fields: Vec<Field> = [&[content_type][..], &mine].concat();
        for over_http2 in [false, true] {
            if over_http2 {
                stage.call(path, &fields, body).await;
            } else {
                stage.raw(path, &fields, body).await;
            }
            let asked = stage.upstream.asked().await;
            for name in ["x-a", "x-b-bin", "x-c-bin", "user-agent", "authorization"] {
                let sent: Vec<&str> = mine.iter().filter(|(one, _)| *one == name).map(|(_, value)| *value).collect();
                assert_eq!(values(&asked.headers, name), sent, "{content_type:?} {name}");
            }
            assert_eq!(shown(&asked.body), shown(HI), "{content_type:?}");
        }
    }
}

#[tokio::test]
async fn metadata_comes_down_with_duplicates_in_order_and_binary_values_as_they_came() {
    let fields = [("x-a", "1"), ("x-b-bin", "AQI"), ("x-a", "2, 3"), ("x-b-bin", "AQI="), ("x-a", "")];
    let trailers: Vec<Field> = [&fields[..], &[OK]].concat();
    let stage = Stage::set(Script::new(&fields, &[HI], &trailers)).await;
    let connect = stage.connect().await;
    let grpc = stage.grpc(UNARY).await;
    let rest = stage.call("/v1/echo", &[("content-type", "application/json")], b"{}").await;
    for (headers, prefix) in [
        (&connect.headers, ""),
        (&connect.headers, "trailer-"),
        (&grpc.headers, ""),
        (&grpc.trailers, ""),
        (&rest.headers, ""),
    ] {
        assert_eq!(values(headers, &format!("{prefix}x-a")), ["1", "2, 3", ""], "{headers:?}");
        assert_eq!(values(headers, &format!("{prefix}x-b-bin")), ["AQI", "AQI="], "{headers:?}");
    }
    let body = stage.body(UNARY, "application/grpc-web+proto", HI).await;
    let told = b"x-a:1,2, 3,\r\nx-b-bin:AQI,AQI=\r\ngrpc-status:0\r\n";
    assert_eq!(shown(&body), shown(&[HI, &frame(0x80, told)].concat()));
}

#[tokio::test]
async fn fields_of_the_hop_and_reserved_ones_do_not_go_up() {
    let hop: [Field; 13] = [
        ("connection", "x-named, keep-alive"),
        ("x-named", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("trailer", "x-t"),
        ("http2-settings", "AAMAAABk"),
        ("accept", "application/grpc-web"),
        ("accept-encoding", "gzip"),
        ("x-grpc-web", "1"),
        ("grpc-status", "0"),
        ("grpc-internal", "1"),
        ("connect-protocol-version", "1"),
    ];
    let mut stage = Stage::set(Script::new(&[], &[HI], &[OK])).await;
    let calls: [(&str, Field, &[u8]); 3] = [
        (UNARY, ("content-type", "application/proto"), &HI[5..]),
        (SERVER, ("content-type", "application/connect+json"), b"\0\0\0\0\x10{\"message\":\"hi\"}"),
        ("/v1/echo", ("content-type", "application/json"), br#"{"message":"hi"}"#),
    ];
    for (path, content_type, body) in calls {
        let fields: Vec<Field> = [&[content_type, ("x-a", "1")][..], &hop].concat();
        stage.raw(path, &fields, body).await;
        let asked = stage.upstream.asked().await;
        let mut expected = map(&GRPC_FIELDS);
        expected.append("x-a", http::HeaderValue::from_static("1"));
        assert_eq!(asked.headers, expected, "{content_type:?}");
    }
}

#[tokio::test]
async fn a_caller_in_frames_sets_no_status_and_no_connect_fields_either() {
    let mut stage = Stage::set(Script::new(&[], &[HI], &[OK])).await;
    let fields = [
        ("content-type", "application/grpc-web+proto"),
        ("x-a", "1"),
        ("x-grpc-web", "1"),
        ("x-user-agent", "grpc-web-javascript/0.1"),
        ("grpc-timeout", "10S"),
        ("connection", "x-named"),
        ("x-named", "1"),
    ];
    stage.raw(UNARY, &fields, HI).await;
    let asked = stage.upstream.asked().await;
    let mut headers = asked.headers;
    let timeout = headers.remove("grpc-timeout").expect("a deadline");
    let micros: u64 = timeout.to_str().expect("text").strip_suffix('u').expect("microseconds").parse().expect("digits");
    assert!((8_000_000..10_000_000).contains(&micros), "what is left of ten seconds: {micros}");
    let mut expected = map(&GRPC_FIELDS);
    expected.append("x-a", http::HeaderValue::from_static("1"));
    expected.append("x-user-agent", http::HeaderValue::from_static("grpc-web-javascript/0.1"));
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn what_the_upstream_says_of_its_hop_does_not_come_down() {
    let hop = [
        ("grpc-encoding", "identity"),
        ("grpc-accept-encoding", "gzip"),
        ("accept", "application/grpc"),
        ("accept-encoding", "gzip"),
        ("x-a", "1"),
    ];
    let stage = Stage::set(Script::new(&hop, &[HI], &[OK, ("x-b", "1")])).await;
    let answer = stage.connect().await;
    let mut headers = undated_fields(answer.headers);
    headers.remove("content-length");
    let expected = map(&[("x-a", "1"), ("trailer-x-b", "1"), ("content-type", "application/json")]);
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn a_method_of_another_path_is_not_what_the_upstream_hears() {
    let mut stage = Stage::set(Script::new(&[], &[HI], &[OK])).await;
    stage.call("/v1/echo", &[("content-type", "application/json")], br#"{"message":"hi"}"#).await;
    assert_eq!(stage.upstream.asked().await.path, UNARY);
}
