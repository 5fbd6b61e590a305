//! Bodies that are no JSON: uploads and downloads of `google.api.HttpBody`, whole, in ranges, cut, paused, guarded.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use transom::demo::upstream::files_v1::UploadRequest;

use super::dialects::frames;
use super::scripted::{Finish, Script, Scripted};
use super::support::{
    Answer, Ask, Edge, PATIENCE, Transport, h2_request, handshake, protos, read_http1, send_all, shared, tcp, until,
};

const CLEAR: [Transport; 2] = [Transport::Http1, Transport::Http2];
const PNG: &str = "image/png";

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn put(path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask { method: "PUT", ..Ask::post(path, content_type, body) }
}

fn ok(answer: Answer) -> Answer {
    assert!(answer.status == 200 && !answer.cut, "{} {}: {:?}", answer.status, answer.cut, answer.headers);
    answer
}

#[tokio::test]
async fn a_file_goes_up_in_messages_and_comes_down_as_it_was() {
    let edge = shared();
    let content = pattern(200_000);
    for transport in CLEAR {
        let path = format!("/files/up/{transport:?}.png");
        let stored = ok(edge.ask(transport, &put(&path, PNG, content.clone())).await).json();
        assert_eq!(stored["path"], path.trim_start_matches("/files/"));
        assert_eq!((&stored["size"], &stored["crc"]), (&json!("200000"), &json!(crc(&content))));
        assert_eq!(stored["contentType"], PNG);
        // the limit is 64 KiB, and half of that is left to other fields
        let messages: u32 = stored["messages"].as_str().and_then(|text| text.parse().ok()).expect("a number");
        assert!(messages >= 7, "{messages}");

        let answer = ok(edge.ask(transport, &Ask::get(&path)).await);
        assert!(answer.body == content, "{} bytes", answer.body.len());
        assert_eq!(answer.header("content-type"), PNG);
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert!(answer.header("etag").ends_with("-200000\""));
        assert!(answer.header("content-disposition").starts_with("inline; filename=\"Http"));
        assert!(answer.headers.get("content-range").is_none());
    }
}

#[tokio::test]
async fn a_range_is_asked_for_and_answered_by_metadata() {
    let edge = shared();
    for transport in CLEAR {
        let ask = Ask::get("/files/generated/1000000").header("range", "bytes=500000-699999");
        let answer = edge.ask(transport, &ask).await;
        assert_eq!((answer.status, answer.cut), (206, false));
        assert_eq!(answer.header("content-range"), "bytes 500000-699999/1000000");
        assert!(answer.body == pattern(1_000_000)[500_000..700_000]);
        // the file is another by now
        let stale = ok(edge.ask(transport, &ask.clone().header("if-range", "\"old\"")).await);
        assert_eq!((stale.body.len(), stale.headers.get("content-range")), (1_000_000, None));
        let beyond = Ask::get("/files/generated/10").header("range", "bytes=10-");
        let answer = edge.ask(transport, &beyond).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */10"));
        assert_eq!((&answer.json()["code"], answer.header("content-type")), (&json!(11), "application/json"));
        let head = ok(edge.ask(Transport::Http2, &Ask::new("HEAD", "/files/generated/1000000")).await);
        assert_eq!((head.body.len(), head.header("content-type")), (0, "application/octet-stream"));
    }
}

#[tokio::test]
async fn one_message_has_a_length_and_what_stands_deeper_is_json() {
    let edge = shared();
    for transport in CLEAR {
        let path = format!("/notes/one/{transport:?}");
        let stored = ok(edge.ask(transport, &Ask::post(&path, "text/x; charset=latin1", &b"\xe9\0"[..])).await).json();
        assert_eq!((&stored["size"], &stored["messages"]), (&json!("2"), &json!("1")));
        let answer = ok(edge.ask(transport, &Ask::get(&path)).await);
        assert_eq!((&answer.body[..], answer.header("content-length")), (&b"\xe9\0"[..], "2"));
        assert_eq!(answer.header("content-type"), "text/x; charset=latin1");
        let told = ok(edge.ask(transport, &Ask::get(format!("{path}:describe"))).await).json();
        assert_eq!(told["content"], json!({"contentType": "text/x; charset=latin1", "data": "6QA="}));
        // JSON is content as any other
        let stored = ok(edge.ask(transport, &Ask::post(&path, "application/json", "{\"a\": 1}")).await).json();
        assert_eq!((&stored["size"], &stored["contentType"]), (&json!("8"), &json!("application/json")));
        let bookstore = ok(edge.ask(transport, &Ask::get("/v1/files/a/b.txt/content")).await);
        assert_eq!(
            (bookstore.text().as_str(), bookstore.header("content-length")),
            ("contents of files/a/b.txt\n", "26")
        );
        let large = edge.ask(transport, &Ask::post(&path, PNG, vec![0; 65_536])).await;
        assert_eq!((large.status, &large.json()["code"]), (413, &json!(8)));
        let unknown = edge.ask(transport, &Ask::post(format!("{path}?notte=x"), PNG, "x")).await;
        assert_eq!(unknown.status, 400);
        assert!(unknown.text().contains("did you mean \\\"note\\\"?"), "{}", unknown.text());
    }
}

#[tokio::test]
async fn the_other_dialects_know_no_raw_bodies() {
    let edge = shared();
    let stored = ok(edge.ask(Transport::Http1, &Ask::post("/notes/plain?note=n", "text/x", "hi")).await);
    assert_eq!(stored.json()["note"], "n");
    for (path, expected) in [("/files.v1.Files/Get", "/content/data"), ("/files.v1.Files/Download", "/0/data")] {
        let answer = ok(edge.ask(Transport::Http2, &Ask::post(path, "application/json", "{\"path\":\"plain\"}")).await);
        assert_eq!(answer.json().pointer(expected), Some(&json!("aGk=")), "{path}");
    }
    let upload = json!({"path": "mapped", "content": {"contentType": "a/b", "data": "aGk="}}).to_string();
    let stored = ok(edge.ask(Transport::Http2, &Ask::post("/files.v1.Files/Upload", "application/json", upload)).await);
    assert_eq!((&stored.json()["size"], &stored.json()["contentType"]), (&json!("2"), &json!("a/b")));
}

#[tokio::test]
async fn content_that_is_compressed_stays_so() {
    let edge = shared();
    for (transport, encoding) in CLEAR.into_iter().zip(["gzip", "x-mine"]) {
        let path = format!("/notes/packed/{encoding}");
        let ask = Ask::post(&path, PNG, "not even gzip").headers(&[
            ("content-encoding", encoding),
            ("accept-encoding", "gzip"),
            ("x-demo-tell", "1"),
        ]);
        let answer = ok(edge.ask(transport, &ask).await);
        assert_eq!(answer.json()["size"], "13");
        let told = base64(answer.header("trailer-x-demo-head-bin"));
        assert!(told.contains(&format!("x-content-encoding: {encoding}\r\n")), "{told}");
        assert!(!told.contains("\ncontent-encoding"), "{told}");
        let ask = Ask::get(&path).header("x-echo-none", "").header("accept-encoding", "gzip, br");
        let answer = ok(edge.ask(transport, &ask).await);
        assert_eq!((answer.text().as_str(), answer.headers.get("content-encoding")), ("not even gzip", None));
    }
    // the metadata of the answer has it under the same name
    let content = b"\0\0\0\0\x05\x12\x03abc";
    let told = [
        ("x-content-encoding", "zstd"),
        ("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("cache-control", "no-store"),
    ];
    let upstream = Scripted::start(Script::new(&told, &[content], &[("grpc-status", "0")])).await;
    let edge = Edge::before(&upstream.url(), "").await;
    let answer = ok(edge.ask(Transport::Http2, &Ask::get("/files/x")).await);
    assert_eq!(
        (answer.header("content-encoding"), answer.header("content-type")),
        ("zstd", "application/octet-stream")
    );
    assert_eq!((answer.header("last-modified").len(), answer.header("cache-control")), (29, "no-store"));
}

fn base64(text: &str) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).expect("base64");
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn what_is_empty_is_one_message_up_and_no_body_down() {
    let edge = shared();
    for transport in CLEAR {
        let stored = ok(edge.ask(transport, &put("/files/nothing", PNG, "")).await).json();
        assert_eq!(
            (&stored["messages"], &stored["contentType"], &stored["path"]),
            (&json!("1"), &json!(PNG), &json!("nothing"))
        );
        let answer = ok(edge.ask(transport, &Ask::get("/files/nothing")).await);
        assert_eq!((answer.body.len(), answer.header("content-type")), (0, PNG));
    }
    let upstream = Scripted::start(Script::new(&[("x-a", "b")], &[], &[("grpc-status", "0")])).await;
    let edge = Edge::before(&upstream.url(), "").await;
    for transport in CLEAR {
        let answer = ok(edge.ask(transport, &Ask::get("/files/x")).await);
        assert_eq!((answer.body.len(), answer.header("x-a"), answer.headers.get("content-type")), (0, "b", None));
    }
}

#[tokio::test]
async fn a_download_that_fails_has_a_code_or_is_cut() {
    let edge = shared();
    for transport in CLEAR {
        let missing = edge.ask(transport, &Ask::get("/files/not/here")).await;
        assert_eq!((missing.status, &missing.json()["code"]), (404, &json!(5)));
        assert_eq!(missing.header("content-type"), "application/json");
        let large = Ask::get("/files/generated/1000000");
        for lever in [("x-demo-cut", "2 reset"), ("x-demo-cut", "2 end"), ("x-demo-status", "DATA_LOSS")] {
            let answer = edge
                .ask(
                    transport,
                    &large.clone().headers(&[lever, ("x-demo-stream-count", "3"), ("x-demo-interval-ms", "50")]),
                )
                .await;
            assert_eq!((answer.status, answer.cut), (200, true), "{lever:?} over {transport:?}");
            assert!(answer.body.len() <= 3 * 32_768 && pattern(3 * 32_768).starts_with(&answer.body));
        }
        let at_once = edge.ask(transport, &large.clone().header("x-demo-cut", "0 end")).await;
        assert_eq!((at_once.status, at_once.cut), (502, false));
    }
}

#[tokio::test]
async fn an_answer_that_holds_no_content_is_the_upstreams_fault() {
    for (message, told) in
        [(&b"\0\0\0\0\x03\x12\x7fx"[..], "is damaged"), (b"\0\0\0\0\x04\x0a\x02a\n", "has a content type that is none")]
    {
        let upstream = Scripted::start(Script::new(&[], &[message], &[("grpc-status", "0")])).await;
        let edge = Edge::before(&upstream.url(), "").await;
        let answer = edge.ask(Transport::Http1, &Ask::get("/files/x")).await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains(told), "{}", answer.text());
    }
}

/// The messages of an upload, by what the upstream was sent.
async fn uploaded(upstream: &mut Scripted, edge: &Edge, ask: &Ask) -> Vec<UploadRequest> {
    ok(edge.ask(Transport::Http2, ask).await);
    let body = upstream.asked().await.body;
    frames(&body).into_iter().map(|(_, bytes)| UploadRequest::decode(&bytes[..]).expect("a message")).collect()
}

#[tokio::test]
async fn path_query_and_content_type_are_in_the_first_message_or_the_first_two_in_all() {
    for (weave, everywhere) in [("first", false), ("every", true)] {
        let mut upstream = Scripted::start(Script::new(&[], &[b"\0\0\0\0\0"], &[("grpc-status", "0")])).await;
        let more = format!("settings: [{{match: \"*\", max_request_message: 2KiB, weave: {weave}}}]");
        let edge = Edge::before(&upstream.url(), &more).await;
        let messages = uploaded(&mut upstream, &edge, &put("/files/a/b?note=n", PNG, pattern(5000))).await;
        let content: Vec<u8> = messages.iter().flat_map(|one| one.content.clone().expect("content").data).collect();
        assert!(content == pattern(5000) && messages.len() >= 5);
        for (at, message) in messages.iter().enumerate() {
            let first = at == 0;
            let told = if first || everywhere { ("a/b", "n") } else { ("", "") };
            assert_eq!((message.path.as_str(), message.note.as_str()), told, "{weave}: message {at}");
            let body = message.content.as_ref().expect("content");
            assert_eq!(body.content_type, if first { PNG } else { "" });
            assert!(body.data.len() <= 1024);
        }
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_its_caller_pauses_and_fails_if_it_is_cut() {
    let edge = Edge::start("").await;
    let counts = || edge.upstream.as_ref().expect("an upstream").counts();
    let mut client = handshake(Box::new(tcp(edge.clear).await)).await;
    let ask = put("/files/paused", PNG, "");
    let (answer, mut up) = client.send_request(h2_request(&ask), false).expect("a stream");
    for sent in 1..=3 {
        assert!(send_all(&mut up, Bytes::from_static(b"ab"), false).await);
        until("a message for what is there", || async { counts().messages_in.load(Relaxed) >= sent }).await;
    }
    up.send_data(Bytes::new(), true).expect("an end");
    let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer.status(), 200);

    let before = counts().messages_in.load(Relaxed);
    let mut socket = tcp(edge.clear).await;
    let head = format!("{}content-length: 100\r\n\r\n0123456789", put("/files/cut", PNG, "").head());
    socket.write_all(head.as_bytes()).await.expect("a head");
    until("the beginning goes up", || async { counts().messages_in.load(Relaxed) > before }).await;
    drop(socket);
    until("the upstream is told", || async { counts().active.load(Relaxed) == 0 }).await;
    assert_eq!(edge.ask(Transport::Http1, &Ask::get("/files/cut")).await.status, 404);
    assert_eq!(edge.ask(Transport::Http1, &Ask::get("/files/paused")).await.body, b"ababab");
}

#[tokio::test]
async fn an_upload_may_be_refused_before_it_is_read_whole() {
    let edge = shared();
    let mut socket = tcp(edge.clear).await;
    let head = format!("{}content-length: 50000000\r\n\r\n", put("/files/too/large", PNG, "").head());
    socket.write_all(head.as_bytes()).await.expect("a head");
    let (mut read, mut write) = socket.split();
    let send = async {
        let piece = vec![0; 65_536];
        for _ in 0..700 {
            if write.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let mut raw = Vec::new();
    let receive = async {
        let mut some = [0; 4096];
        while let Ok(count) = read.read(&mut some).await {
            raw.extend_from_slice(some.get(..count).unwrap_or_default());
            if count == 0 || raw.ends_with(b"}") {
                break;
            }
        }
    };
    let _ = timeout(PATIENCE, async { tokio::join!(receive, timeout(Duration::from_secs(5), send)) }).await;
    let answer = read_http1(&raw);
    assert_eq!(answer.status, 429, "{}", String::from_utf8_lossy(&raw));
    assert!(answer.text().contains("16777216"), "{}", answer.text());
}

#[tokio::test]
async fn the_guard_looks_into_every_message_of_a_body() {
    let guarded = "settings: [{match: \"*\", guard: {requests: enforce, responses: enforce, max_bytes: 100}}]";
    let edge = Edge::start(guarded).await;
    for transport in CLEAR {
        let ask = put("/files/g", PNG, vec![0; 101]);
        let answer = edge.ask(transport, &ask).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(3)), "{}", answer.text());
        assert!(answer.text().contains("content.data"), "{}", answer.text());
        ok(edge.ask(transport, &put("/files/g", PNG, vec![0; 100])).await);
        assert_eq!(ok(edge.ask(transport, &Ask::get("/files/g")).await).body, [0; 100]);
        let large = edge.ask(transport, &Ask::get("/files/generated/101")).await;
        assert_eq!((large.status, &large.json()["code"]), (502, &json!(13)));
    }
}

#[tokio::test]
async fn rules_hold_for_every_message_of_a_body() {
    let folder = tempfile::tempdir().expect("a folder");
    let proto = r#"syntax = "proto3"; package held;
        import "google/api/annotations.proto"; import "google/api/httpbody.proto"; import "buf/validate/validate.proto";
        message Put { string path = 1 [(buf.validate.field).string.max_len = 3]; google.api.HttpBody body = 2; }
        message Done {}
        service Puts { rpc Put(stream held.Put) returns (Done) { option (google.api.http) = { put: "/put/{path}" body: "body" }; }
          rpc Raw(google.api.HttpBody) returns (google.api.HttpBody) { option (google.api.http) = { post: "/raw" body: "*" }; } }"#;
    std::fs::write(folder.path().join("held.proto"), proto).expect("a file");
    let script = Script::new(
        &[("content-disposition", "attachment")],
        &[b"\0\0\0\0\x08\x0a\x03a/b\x12\x01x"],
        &[("grpc-status", "0")],
    );
    let mut upstream = Scripted::start(script.finish(Finish::Trailers(vec![("grpc-status", "0"), ("x-t", "1")]))).await;
    let edge = Edge::by(&format!(
        "listeners: [{{address: \"127.0.0.1:0\"}}, {{address: \"127.0.0.1:0\"}}]
admin: {{address: \"127.0.0.1:0\"}}
catalogs: [{{name: held, proto_paths: [{}], upstream: \"{}\"}}]
settings: [{{match: \"*\", validate: {{requests: enforce}}}}]
",
        folder.path().display(),
        upstream.url()
    ))
    .await;
    let refused: Value = edge.ask(Transport::Http1, &put("/put/long", PNG, "x")).await.json();
    assert_eq!(refused["details"][0]["fieldViolations"][0]["field"], "path", "{refused}");
    // the whole message is the body, both ways
    let answer = ok(edge.ask(Transport::Http1, &Ask::post("/raw", PNG, "abc")).await);
    assert_eq!(
        (answer.text().as_str(), answer.header("content-type"), answer.header("content-length")),
        ("x", "a/b", "1")
    );
    assert_eq!((answer.header("content-disposition"), answer.header("trailer-x-t")), ("attachment", "1"));
    while let Ok(asked) = timeout(Duration::from_millis(200), upstream.asked()).await {
        if asked.path == "/held.Puts/Raw" {
            assert_eq!(frames(&asked.body)[0].1, b"\x0a\x09image/png\x12\x03abc");
            return;
        }
    }
    panic!("the call did not arrive; protos in {}", protos().display());
}
