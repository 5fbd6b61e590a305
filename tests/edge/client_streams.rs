//! Streams of requests as JSON over plain HTTP, at the templates of rules and at methods' own paths: what becomes a message,
//! what is woven into it, and what is told when something is wrong on the way.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use transom::demo::upstream::Upstream;
use transom::status::Code;

use super::dialects::{BIDI, CLIENT, Dialect, frames, pack};
use super::scripted::{Script, Scripted};
use super::sockets::{Call, Speech};
use super::support::{
    Answer, Ask, Edge, PATIENCE, Process, Stub, Transport, configuration, h2_request, handshake, protos, read_h2,
    read_http1, send_all, shared, tcp, until,
};

const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];
const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// What `notes.Notes` takes.
#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(message, optional, tag = "2")]
    author: Option<Author>,
    #[prost(string, repeated, tag = "3")]
    tags: Vec<String>,
    #[prost(string, tag = "4")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Author {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    born: i32,
}

const NOTES: &str = r#"
syntax = "proto3";
package notes;
import "google/api/annotations.proto";
message Note { string room = 1; Author author = 2; repeated string tags = 3; string text = 4; }
message Author { string name = 1; int32 born = 2; }
message Done { string text = 1; int32 count = 2; }
service Notes {
  rpc Put(stream Note) returns (Done) {
    option (google.api.http) = {
      post: "/rooms/{room}/notes" body: "*" response_body: "text"
      additional_bindings { post: "/notes" body: "*" }
      additional_bindings { post: "/rooms/{room}/by/{author.name}" body: "*" }
      additional_bindings { post: "/rooms/{room}/author" body: "author" }
      additional_bindings { post: "/rooms/{room}/tags" body: "tags" }
      additional_bindings { post: "/author" body: "author" }
      additional_bindings { get: "/rooms/{room}/one" }
      additional_bindings { post: "/rooms/{room}/one" }
    };
  }
  rpc Get(Note) returns (Done) {
    option (google.api.http) = { get: "/rooms/{room}" additional_bindings { post: "/rooms/{room}/plain" } };
  }
}
"#;

/// An edge before an upstream that answers `Done{text: "ok", count: 2}` and tells what it heard.
struct Desk {
    edge: Edge,
    upstream: Scripted,
    _protos: TempDir,
}

// === impl Desk ===

impl Desk {
    async fn start(settings: &str) -> Desk {
        let done = b"\0\0\0\0\x06\x0a\x02ok\x10\x02";
        let upstream = Scripted::start(Script::new(&[], &[done], &[("grpc-status", "0")])).await;
        let protos = TempDir::new().expect("a folder");
        std::fs::write(protos.path().join("notes.proto"), NOTES).expect("a file");
        let edge = Edge::by(&format!(
            "listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
admin: {{address: \"127.0.0.1:0\"}}
catalogs:
  - {{name: notes, proto_paths: [{}], upstream: \"{}\"}}
settings: [{{match: \"*\", {settings}}}]
",
            protos.path().display(),
            upstream.url(),
        ))
        .await;
        Desk { edge, upstream, _protos: protos }
    }

    /// The messages that the upstream hears of a call.
    async fn heard(&mut self, transport: Transport, ask: &Ask) -> (Vec<Note>, Answer) {
        let answer = self.edge.ask(transport, ask).await;
        assert_eq!(answer.status, 200, "{ask:?}: {}", answer.text());
        let body = self.upstream.asked().await.body;
        let notes = frames(&body).into_iter().map(|(_, bytes)| Note::decode(&bytes[..]).expect("a note"));
        (notes.collect(), answer)
    }

    async fn refused(&self, ask: &Ask) -> Value {
        let answer = self.edge.ask(Transport::Http2, ask).await;
        assert_eq!(answer.status, 400, "{ask:?}: {}", answer.text());
        answer.json()
    }
}

fn note(room: &str, text: &str) -> Note {
    Note { room: room.into(), text: text.into(), ..Note::default() }
}

fn post(path: &str, body: &str) -> Ask {
    Ask::post(path, JSON, body)
}

/// An edge before the demo's upstream, with more rules for its chat.
async fn chatty() -> Edge {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let rules = "    rules:
      - selector: grpc.examples.echo.Echo.BidirectionalStreamingEcho
        post: \"/v1/echo/{message}:chat\"
        body: \"*\"
        add: true
        additional_bindings:
          - {post: \"/v1/echo:short\", body: \"*\", response_body: message}
          - {post: \"/v1/echo:field\", body: message}
";
    let text = configuration(&format!("h2c://{}", upstream.address()), &protos(), "");
    let mut edge = Edge::by(&text.replace("    rules:\n", rules)).await;
    edge.upstream = Some(upstream);
    edge
}

/// Sends a body in these pieces, each on its own way, over HTTP/1.1.
async fn in_pieces(edge: &Edge, ask: &Ask, pieces: &[&[u8]]) -> Answer {
    let mut socket = tcp(edge.clear).await;
    let head = format!("{}transfer-encoding: chunked\r\nconnection: close\r\n\r\n", ask.head());
    socket.write_all(head.as_bytes()).await.expect("a head");
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        socket.write_all(&chunk).await.expect("a chunk");
        tokio::task::yield_now().await;
    }
    socket.write_all(b"0\r\n\r\n").await.expect("an end");
    let mut raw = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut raw)).await.expect("in time").expect("an answer");
    read_http1(&raw)
}

// === what becomes a message ===

#[tokio::test]
async fn texts_become_messages_however_the_body_is_put_together_and_cut() {
    for (content_type, body, joined) in [
        (JSON, "{\"message\":\"a\"}{\"message\":\"}{\"}", "a, }{"),
        (LINES, "{\"message\":\"a\"}\r\n\r\n{\"message\":\"\\\"b\\\\\"}\n", "a, \"b\\"),
        (JSON, " [ {\"message\" : \"é\"} ,\n {\"message\":\"]\"} ] \n", "é, ]"),
        ("text/plain", "\n\n{\n  \"message\": \"a\"\n}\n\n{}", "a, "),
        ("application/jsonl; charset=utf-8", "{\"message\":\"a\"}", "a"),
        (LINES, "", ""),
        (JSON, "[]", ""),
    ] {
        let paths = if content_type == "text/plain" { &["/v1/echo:join"][..] } else { &["/v1/echo:join", CLIENT] };
        for path in paths {
            let ask = Ask::post(*path, content_type, body);
            for transport in CLEAR {
                let answer = shared().ask(transport, &Ask { body: body.into(), ..ask.clone() }).await;
                let expected = if joined.is_empty() { json!({}) } else { json!({ "message": joined }) };
                assert_eq!((answer.status, answer.json()), (200, expected), "{ask:?}");
            }
            let whole = in_pieces(shared(), &ask, &[body.as_bytes()]).await;
            let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
            assert_eq!(in_pieces(shared(), &ask, &bytes).await.body, whole.body, "{ask:?}");
            for at in 1..body.len() {
                let (front, back) = body.as_bytes().split_at(at);
                assert_eq!(in_pieces(shared(), &ask, &[front, back]).await.body, whole.body, "{ask:?} {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_message_that_is_an_array_stands_in_lines_or_in_an_array() {
    let mut desk = Desk::start("").await;
    let expected: Vec<Note> = [("r", ["a", "b"]), ("", ["c", "d"])]
        .map(|(room, tags)| Note { room: room.into(), tags: tags.map(String::from).into(), ..Note::default() })
        .into();
    for (content_type, body) in [(LINES, "[\"a\",\"b\"]\n[\"c\",\"d\"]\n"), (JSON, "[[\"a\",\"b\"],[\"c\",\"d\"]]")] {
        let (heard, _) = desk.heard(Transport::Http1, &Ask::post("/rooms/r/tags", content_type, body)).await;
        assert_eq!(heard, expected, "{content_type}");
    }
}

// === what is woven ===

#[tokio::test]
async fn what_path_and_query_bind_goes_into_the_first_message() {
    let mut desk = Desk::start("").await;
    let by = |name: &str, born| Some(Author { name: name.into(), born });
    for (ask, expected) in [
        (post("/notes", r#"{"text":"a"}{"room":"x","text":"b"}"#), vec![note("", "a"), note("x", "b")]),
        (post("/rooms/r/notes", r#"{"text":"a"}{"room":"x","text":"b"}"#), vec![note("r", "a"), note("x", "b")]),
        (
            post("/rooms/r/by/n", r#"[{"author":{"born":5}},{"author":{"name":"m"}},{}]"#),
            vec![
                Note { author: by("n", 5), ..note("r", "") },
                Note { author: by("m", 0), ..note("", "") },
                note("", ""),
            ],
        ),
        (
            post("/rooms/r/author?text=q&tags=a&tags=b", r#"{"name":"n"}{"born":2}"#),
            vec![
                Note { author: by("n", 0), tags: vec!["a".into(), "b".into()], ..note("r", "q") },
                Note { author: by("", 2), ..note("", "") },
            ],
        ),
    ] {
        for transport in CLEAR {
            let (heard, answer) = desk.heard(transport, &ask).await;
            assert_eq!(heard, expected, "{ask:?}");
            // only the first rule shows a part of the answer
            let shown = if ask.path == "/rooms/r/notes" { json!("ok") } else { json!({"text": "ok", "count": 2}) };
            assert_eq!((answer.header("content-type"), answer.json()), (JSON, shown));
        }
    }
}

#[tokio::test]
async fn by_setting_it_goes_into_every_message_and_none_may_say_otherwise() {
    let mut desk = Desk::start("weave: every").await;
    let (heard, _) = desk.heard(Transport::Http1, &post("/rooms/r/notes", r#"{"text":"a"} {"text":"b"} {}"#)).await;
    assert_eq!(heard, [note("r", "a"), note("r", "b"), note("r", "")]);
    let (heard, _) = desk.heard(Transport::Http2, &post("/rooms/r/author?text=q", "[{},{}]")).await;
    let both = Note { author: Some(Author::default()), ..note("r", "q") };
    assert_eq!(heard, [both.clone(), both]);
    let told = desk.refused(&post("/rooms/r/notes", "{\"text\":\"a\"}\n{\"room\":\"x\"}")).await;
    assert_eq!(told["message"], "message 2: line 2, column 9: room: is set by the path already");
    assert_eq!(told["details"][0]["fieldViolations"][0]["field"], "room");
    // an empty stream of a rule that binds something is one message, whatever the setting
    let (heard, _) = desk.heard(Transport::Http1, &post("/rooms/r/notes", "")).await;
    assert_eq!(heard, [note("r", "")]);
}

#[tokio::test]
async fn what_path_and_query_bind_is_a_message_even_if_the_body_has_none() {
    let mut desk = Desk::start("").await;
    for body in ["", " \r\n\t", "[]", "\n[ ]\n"] {
        for transport in CLEAR {
            let (heard, _) = desk.heard(transport, &post("/rooms/r/notes", body)).await;
            assert_eq!(heard, [note("r", "")], "{body:?}");
            let (heard, _) = desk.heard(transport, &post("/author?text=q", body)).await;
            assert_eq!(heard, [note("", "q")], "{body:?}");
            // nothing is bound: nothing is said
            for path in ["/notes", "/author", "/author?"] {
                assert_eq!(desk.heard(transport, &post(path, body)).await.0, [], "{path} {body:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_rule_without_a_body_is_one_message_and_takes_none() {
    let mut desk = Desk::start("").await;
    let expected = Note { author: Some(Author { name: "n".into(), born: 0 }), ..note("r", "q") };
    for path in ["/rooms/r/one?text=q&author.name=n", "/rooms/r?text=q&author.name=n"] {
        for transport in CLEAR {
            assert_eq!(desk.heard(transport, &Ask::get(path)).await.0, std::slice::from_ref(&expected));
        }
    }
    for path in ["/rooms/r/one", "/rooms/r/plain"] {
        for body in ["", "{}", " { }\n"] {
            assert_eq!(desk.heard(Transport::Http1, &post(path, body)).await.0, [note("r", "")], "{path} {body:?}");
        }
        for body in ["{\"text\":\"x\"}", "[]", "x", "{}{}"] {
            let told = desk.refused(&post(path, body)).await;
            assert_eq!(told["message"], "this method takes no request body", "{path} {body:?}");
        }
    }
}

#[tokio::test]
async fn sockets_are_woven_alike() {
    let mut every = Desk::start("weave: every").await;
    let mut first = Desk::start("").await;
    for (desk, rooms) in [(&mut first, ["r", ""]), (&mut every, ["r", "r"])] {
        let mut client = Call::new(Speech::Bare, "/rooms/r/notes").open(&desk.edge).await;
        for text in ["a", "b"] {
            client.send(tungstenite::Message::text(json!({ "text": text }).to_string())).await;
        }
        client.end().await;
        assert_eq!(client.rest().await.code, Some(Code::Ok));
        let body = desk.upstream.asked().await.body;
        let heard = frames(&body).into_iter().map(|(_, bytes)| Note::decode(&bytes[..]).expect("a note"));
        assert_eq!(heard.collect::<Vec<_>>(), [note(rooms[0], "a"), note(rooms[1], "b")]);
        // none is one as well
        let mut client = Call::new(Speech::Bare, "/rooms/r/notes").open(&desk.edge).await;
        client.end().await;
        assert_eq!(client.rest().await.code, Some(Code::Ok));
        assert_eq!(desk.upstream.asked().await.body, b"\0\0\0\0\x03\x0a\x01r");
    }
    let mut client = Call::new(Speech::Bare, "/rooms/r/notes").open(&every.edge).await;
    client.send(tungstenite::Message::text("{}")).await;
    client.send(tungstenite::Message::text("{\n\"room\":\"x\"}")).await;
    let heard = client.rest().await;
    assert_eq!(heard.message, "message 2: line 2, column 8: room: is set by the path already");
}

// === what is told ===

#[tokio::test]
async fn a_mistake_is_told_by_its_place_in_the_whole_body_and_its_message() {
    let desk = Desk::start("").await;
    for (path, content_type, body, told) in [
        (
            "/rooms/r/notes",
            JSON,
            "{}\n{}\n  {\"txet\":1}\n{}",
            "message 3: line 3, column 4: txet: no such field (did you mean \"text\"?)",
        ),
        (
            "/rooms/r/notes",
            JSON,
            "[{},\n {\"text\": \"é\"}, {\"text\": 1}]",
            "message 3: line 2, column 26: text: expected a string, found a number",
        ),
        (
            "/rooms/r/notes",
            LINES,
            "{\"text\":\n\"é\"} {\"text\":\"a\"} x",
            "message 3: line 2, column 19: expected an object",
        ),
        (
            "/rooms/r/notes",
            LINES,
            "{}\n\n{]",
            "message 2: line 3, column 2: a bracket is closed by one of another kind",
        ),
        ("/rooms/r/notes", LINES, "{},{}", "message 2: line 1, column 3: expected a value"),
        ("/rooms/r/notes", JSON, "[{} {}]", "message 2: line 1, column 5: expected ',' or ']'"),
        ("/rooms/r/notes", JSON, "[{}]\n{}", "message 2: line 2, column 1: more text behind the array"),
        (
            "/rooms/r/notes",
            JSON,
            "{}\n{\"text\":",
            "message 2: line 2, column 9: the text ends in the middle of a value",
        ),
        ("/rooms/r/notes", JSON, "[{}\n,{}", "message 3: line 2, column 4: the text ends before its array does"),
        ("/rooms/r/notes", JSON, "{\"room\":\"x\"}", "message 1: line 1, column 9: room: is set by the path already"),
        (
            "/rooms/r/author",
            JSON,
            "{}{\"nam\":1}",
            "message 2: line 1, column 4: author.nam: no such field (did you mean \"name\"?)",
        ),
        ("/rooms/r/author?txet=1", JSON, "{}", "txet: unknown query parameter (did you mean \"text\"?)"),
        (
            "/notes.Notes/Put",
            JSON,
            "{} {\"txet\":1}",
            "message 2: line 1, column 5: txet: no such field (did you mean \"text\"?)",
        ),
    ] {
        let ask = Ask::post(path, content_type, body);
        let error = desk.refused(&ask).await;
        assert_eq!((&error["code"], &error["message"]), (&json!(3), &json!(told)), "{ask:?}");
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(in_pieces(&desk.edge, &ask, &bytes).await.json()["message"], told, "{ask:?}");
    }
}

/// Bodies with a few bytes changed, left out or doubled: each is a stream of messages, or refused as such.
#[tokio::test]
async fn damaged_bodies_are_judged_and_nothing_else_happens() {
    let wholes = [
        &b"{\"text\":\"a\\n\"}\n{\"tags\":[\"x\",\"\xc3\xa9\"]}{\"author\":{\"born\":-1e2}}\r\n{}"[..],
        b" [ {\"text\":\"a\\n\"} ,\n{\"tags\":[\"x\",\"\xc3\xa9\"]},{\"author\":{\"born\":-1e2}}, {}]\r\n",
    ];
    let desk = Desk::start("").await;
    let mut dice = 88_172_645_463_325_252u64;
    let mut below = |most: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice as usize % most
    };
    let mut client = desk.edge.h2().await;
    let marks = b"{}[]\",:\\ \n\x00\xff1e-";
    let mut codes = [0; 2];
    for _ in 0..400 {
        let mut body = wholes[below(2)].to_vec();
        for _ in 0..below(4) {
            let (at, with) = (below(body.len()), marks[below(marks.len())]);
            match below(4) {
                0 => body[at] = with,
                1 => body.insert(at, with),
                2 if body.len() > 1 => drop(body.remove(at)),
                _ => body.truncate(at + 1),
            }
        }
        let ask = Ask::post("/rooms/r/notes", [JSON, LINES][below(2)], "");
        let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        let cut = below(body.len());
        let (front, back) = (body[..cut].to_vec(), body[cut..].to_vec());
        // what is refused early is told whether all was sent or not
        let _ = send_all(&mut up, front.into(), false).await && send_all(&mut up, back.into(), true).await;
        let answer = timeout(PATIENCE, read_h2(answer)).await.expect("in time");
        let at = format!("{answer:?} {}", String::from_utf8_lossy(&body));
        assert!(answer.status == 200 || answer.status == 400 && answer.json()["code"] == 3, "{at}");
        codes[usize::from(answer.status == 400)] += 1;
        client = client.ready().await.expect("the connection stays");
    }
    assert!(codes[0] > 20 && codes[1] > 100, "{codes:?}");
}

#[tokio::test]
async fn a_stream_that_fails_behind_its_first_answers_says_so() {
    let edge = chatty().await;
    for dialect in [Dialect::RestLines, Dialect::RestArray] {
        let mut client = edge.h2().await;
        let ask = dialect.ask(BIDI, &[]);
        let ask = Ask { path: "/v1/echo/x:chat".into(), ..ask };
        let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        assert!(send_all(&mut up, Bytes::from_static(b"{} {\"message\":\"b\"}\n"), false).await);
        let head = timeout(PATIENCE, answer).await.expect("in time").expect("a head");
        assert_eq!(head.status(), 200);
        assert!(send_all(&mut up, Bytes::from_static(b"{\"massage\":1}"), false).await);
        let (parts, mut body) = head.into_parts();
        let mut answer = Answer { status: 200, headers: parts.headers, ..Answer::default() };
        while let Some(chunk) = timeout(PATIENCE, body.data()).await.expect("in time") {
            let Ok(chunk) = chunk else {
                answer.cut = true;
                break;
            };
            answer.body.extend_from_slice(&chunk);
        }
        let told = dialect.read(&answer);
        assert_eq!(
            (&told.messages[..], told.code),
            (&["x".into(), "b".into()][..], Some(Code::InvalidArgument)),
            "{told:?}"
        );
        let text = "message 3: line 2, column 2: massage: no such field (did you mean \"message\"?)";
        assert_eq!(told.message, text);
        assert_eq!(told.cut, dialect == Dialect::RestArray);
    }
}

#[tokio::test]
async fn both_sides_speak_at_the_same_time() {
    let text = |at: usize| format!("{{\"message\":\"{at}\"}}\n");
    // over HTTP/2
    let mut client = shared().h2().await;
    let ask = Ask::post("/v1/echo:chat", LINES, "").header("accept", LINES);
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, text(0).into(), false).await);
    let mut body = timeout(PATIENCE, answer).await.expect("in time").expect("a head").into_body();
    for at in 0..5 {
        let mut said = BytesMut::new();
        while said.len() < text(at).len() {
            said.extend_from_slice(
                &timeout(PATIENCE, body.data()).await.expect("in time").expect("more").expect("data"),
            );
        }
        assert_eq!(said, text(at).as_bytes());
        // the next in two halves
        let next = text(at + 1);
        for half in [&next[..7], &next[7..]] {
            assert!(send_all(&mut up, half.to_owned().into(), false).await);
        }
    }
    up.send_data(Bytes::new(), true).expect("an end");
    let mut rest = BytesMut::new();
    while let Some(chunk) = timeout(PATIENCE, body.data()).await.expect("in time") {
        rest.extend_from_slice(&chunk.expect("data"));
    }
    assert_eq!(rest, text(5).as_bytes());
    // over HTTP/1.1, for callers who read while they write
    let mut socket = tcp(shared().clear).await;
    socket.write_all(format!("{}transfer-encoding: chunked\r\n\r\n", ask.head()).as_bytes()).await.expect("a head");
    let mut raw = Vec::new();
    for at in 0..5 {
        socket.write_all(format!("{:x}\r\n{}\r\n", text(at).len(), text(at)).as_bytes()).await.expect("a chunk");
        while !raw.ends_with(format!("{}\r\n", text(at)).as_bytes()) {
            timeout(PATIENCE, socket.read_buf(&mut raw)).await.expect("in time").expect("more");
        }
    }
}

#[tokio::test]
async fn a_stream_of_answers_has_the_forms_of_every_stream() {
    let edge = chatty().await;
    let body = "{\"message\":\"a\"}{\"message\":\"b\"}";
    for transport in CLEAR {
        let lines = shared().ask(transport, &post("/v1/echo:chat", body).header("accept", LINES)).await;
        assert_eq!(
            (lines.header("content-type"), &*lines.text()),
            (LINES, "{\"message\":\"a\"}\n{\"message\":\"b\"}\n")
        );
        let array = shared().ask(transport, &post("/v1/echo:chat", body)).await;
        assert_eq!((array.header("content-type"), array.json()), (JSON, json!([{"message": "a"}, {"message": "b"}])));
        let short = edge.ask(transport, &post("/v1/echo:short", body)).await;
        assert_eq!(short.json(), json!(["a", "b"]), "response_body");
        let field = edge.ask(transport, &post("/v1/echo:field", "\"a\" \"b\"").header("accept", LINES)).await;
        assert_eq!(field.text(), lines.text(), "a body bound to a field");
    }
}

// === what goes wrong on the way ===

#[tokio::test]
async fn a_caller_who_goes_away_cancels_the_call() {
    let edge = chatty().await;
    let upstream = edge.upstream.as_ref().expect("an upstream").counts();
    for (at, path) in [(1, "/v1/echo/x:join"), (3, "/v1/echo/x:chat")] {
        let ask = Ask::post(path, LINES, "").header("accept", LINES);
        let begun = "{}\n{\"message\":\"half";
        let mut client = edge.h2().await;
        let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        assert!(send_all(&mut up, begun.into(), false).await);
        until("the upstream hears", || async { upstream.active.load(Relaxed) == 1 }).await;
        up.send_reset(h2::Reason::CANCEL);
        drop(answer);
        until("the upstream sees it", || async { upstream.cancelled.load(Relaxed) == at }).await;
        // over HTTP/1.1 within a chunk, and within a length
        let mut socket = tcp(edge.clear).await;
        let length = format!("{}content-length: 1000\r\n\r\n{begun}", ask.head());
        socket.write_all(length.as_bytes()).await.expect("a part");
        until("the upstream hears", || async { upstream.active.load(Relaxed) == 1 }).await;
        drop(socket);
        until("the upstream sees it", || async { upstream.cancelled.load(Relaxed) == at + 1 }).await;
    }
    until("nothing is left", || async { edge.metric("transom_upstream_streams_active").await == 0 }).await;
    assert_eq!(edge.metric("transom_calls_active").await, 0);
}

#[tokio::test]
async fn an_upstream_that_answers_early_is_heard_while_the_caller_still_sends() {
    let stub = Stub::start().await;
    let edge = Edge::before(&format!("h2c://{}", stub.address), "").await;
    let ask = Ask::post("/v1/echo/x:join", LINES, "").header("x-stub", "http 503");
    let mut client = edge.h2().await;
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, "{}\n{\"message\":".into(), false).await);
    let answer = timeout(PATIENCE, read_h2(answer)).await.expect("in time");
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!(14)));
    let mut socket = tcp(edge.clear).await;
    let begun = format!("{}content-length: 1000\r\n\r\n{{}}\n{{\"message\":", ask.head());
    socket.write_all(begun.as_bytes()).await.expect("a part");
    let mut raw = vec![0; 12];
    timeout(PATIENCE, socket.read_exact(&mut raw)).await.expect("in time").expect("an answer");
    assert_eq!(raw, b"HTTP/1.1 503");
    // a stream that its upstream ends well is at its end
    let ask = Ask::post("/v1/echo:chat", LINES, "").headers(&[("accept", LINES), ("x-demo-stream-count", "1")]);
    let mut client = shared().h2().await;
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    assert!(send_all(&mut up, "{\"message\":\"a\"}\n{\"mes".into(), false).await);
    let answer = timeout(PATIENCE, read_h2(answer)).await.expect("in time");
    assert_eq!((answer.status, &*answer.text(), answer.cut), (200, "{\"message\":\"a\"}\n", false));
}

#[tokio::test]
async fn deadlines_hold_while_the_caller_sends() {
    for path in ["/v1/echo/x:join", "/v1/echo:chat"] {
        let ask = Ask::post(path, LINES, "").headers(&[("accept", LINES), ("x-server-timeout", "0.2")]);
        let mut client = shared().h2().await;
        let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
        assert!(send_all(&mut up, "{\"message\":".into(), false).await);
        let answer = timeout(PATIENCE, read_h2(answer)).await.expect("in time");
        assert_eq!((answer.status, &answer.json()["code"]), (504, &json!(4)));
    }
}

#[tokio::test]
async fn each_message_has_the_limit_and_the_guard() {
    let desk = Desk::start("max_request_message: 1KiB, guard: {requests: enforce, max_string: 100}").await;
    let long = |length: usize| json!({ "text": "x".repeat(length) }).to_string();
    let body = [long(100), long(100), long(2000)].join("\n");
    let answer = desk.edge.ask(Transport::Http2, &post("/rooms/r/notes", &body)).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    let told = "message 3: a request message of 2011 bytes is over the limit of 1024 bytes";
    assert_eq!(answer.json()["message"], told);
    let told = desk.refused(&post("/rooms/r/notes", &[long(1), long(101)].concat())).await;
    assert_eq!(told["message"], "message 2: text: has 101 bytes, and 100 are allowed");
    // what is woven is looked into as well
    let told = desk.refused(&post(&format!("/rooms/{}/notes", "r".repeat(101)), "{}")).await;
    assert_eq!(told["message"], "message 1: room: has 101 bytes, and 100 are allowed");
    // many small ones are no large one, and what stands between them is nothing
    let many = format!("{}{}", " \n".repeat(5000), "{\"text\":\"x\"}\n\n".repeat(1000));
    let answer = desk.edge.ask(Transport::Http1, &post("/rooms/r/notes", &many)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_body_may_be_compressed_as_a_whole_and_is_not_whole_when_it_is_cut() {
    let mut desk = Desk::start("max_request_message: 1KiB").await;
    let text = "{\"text\":\"abcdefghijklmnopqrstuvwxyz\"}\n".repeat(200);
    for encoding in ["gzip", "deflate", "zstd", "br", "snappy"] {
        let packed = pack(encoding, text.as_bytes());
        let ask = Ask::post("/rooms/r/notes", LINES, packed.clone()).header("content-encoding", encoding);
        for transport in CLEAR {
            let (heard, _) = desk.heard(transport, &ask).await;
            assert_eq!((heard.len(), &*heard[0].room, &*heard[199].room), (200, "r", ""), "{encoding}");
        }
        for cut in [packed.len() - 1, packed.len() / 2, 1] {
            let cut = Ask { body: packed[..cut].to_vec(), ..ask.clone() };
            let answer = desk.edge.ask(Transport::Http1, &cut).await;
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(13)), "{encoding}");
        }
    }
}

/// A path of 4 KiB in each of the thousands of messages that a packet holds.
#[tokio::test]
async fn what_is_woven_into_every_message_is_made_no_faster_than_it_is_taken() {
    const MIB: u64 = 1 << 20;
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let edge = Process::start(upstream.address(), "settings: [{match: \"*\", weave: every}]");
    let before = edge.memory();
    let path = format!("/v1/echo/{}:join", "x".repeat(4096));
    let ask = Ask::post(path, LINES, "").headers(&[("x-demo-read-delay-ms", "1000"), ("accept", LINES)]);
    let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
    let (_answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    let flood = async {
        // 512 KiB of texts are 1 GiB of messages
        while send_all(&mut up, "{}".repeat(8192).into(), false).await {}
    };
    assert!(timeout(Duration::from_secs(2), flood).await.is_err(), "it is held back");
    let grown = edge.memory().saturating_sub(before);
    assert!(grown < 32 * MIB, "grew by {grown} bytes");
}
