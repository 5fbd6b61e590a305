//! Streams of answers to REST callers, in every form, over both versions of HTTP, however they end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Answer, Ask, Edge, PATIENCE, Transport, h2_request, shared, tcp, until};

const STREAM: &str = "/v1/echo:stream?message=hi";
const OVER: [Transport; 2] = [Transport::Http1, Transport::Http2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Array,
    Lines,
    Events,
    Sequence,
    Lengths,
}

const FORMS: [Form; 5] = [Form::Array, Form::Lines, Form::Events, Form::Sequence, Form::Lengths];

/// What a reader of the form makes of a body.
#[derive(Debug, Default, PartialEq)]
struct Read {
    messages: Vec<Value>,
    error: Option<Value>,
    /// The form itself says that this was all.
    closed: bool,
}

// === impl Form ===

impl Form {
    fn media_type(self) -> &'static str {
        match self {
            Form::Array => "application/json",
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
            Form::Sequence => "application/json-seq",
            Form::Lengths => "application/vnd.transom.length-prefixed-json",
        }
    }

    fn ask(self, count: &str) -> Ask {
        let ask = Ask::get(STREAM).header("accept", self.media_type());
        ask.headers(&[("x-demo-stream-count", count), ("x-demo-interval-ms", "0")])
    }

    /// Whether a good end can be told from a body that breaks off between two messages.
    fn closes(self) -> bool {
        matches!(self, Form::Array | Form::Events)
    }

    fn read(self, body: &[u8]) -> Read {
        let text = std::str::from_utf8(body).expect("UTF-8");
        let mut read = Read::default();
        match self {
            Form::Array => match serde_json::from_str(text) {
                Ok(Value::Array(all)) => read = Read { messages: all, error: None, closed: true },
                _ => {
                    // what was cut is whole with a bracket
                    let all: Vec<Value> = serde_json::from_str(&format!("{text}]")).unwrap_or_default();
                    all.into_iter().for_each(|value| read.record(value));
                }
            },
            Form::Lines => text.lines().for_each(|line| read.record(parse(line))),
            Form::Sequence => {
                for record in text.split_terminator('\n') {
                    read.record(parse(record.strip_prefix('\x1e').expect("a record separator")));
                }
            }
            Form::Lengths => {
                let mut rest = text;
                while let Some((length, behind)) = rest.split_once('\n') {
                    let (record, behind) = behind.split_at(length.parse().expect("a length"));
                    read.record(parse(record));
                    rest = behind.strip_prefix('\n').expect("a line feed");
                }
                assert_eq!(rest, "");
            }
            Form::Events => {
                for event in text.split_terminator("\n\n") {
                    match event.split_once('\n') {
                        None if event.starts_with(':') => {}
                        None => read.messages.push(parse(event.strip_prefix("data: ").expect("data"))),
                        Some(("event: error", data)) => {
                            read.error = Some(parse(data.strip_prefix("data: ").expect("data")));
                        }
                        Some(end) => {
                            assert_eq!(end, ("event: end", "data: {}"));
                            read.closed = true;
                        }
                    }
                }
            }
        }
        read
    }
}

// === impl Read ===

impl Read {
    fn record(&mut self, value: Value) {
        match value.get("error") {
            Some(error) => self.error = Some(error.clone()),
            None => self.messages.push(value),
        }
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

fn hi(count: usize) -> Vec<Value> {
    vec![json!({"message": "hi"}); count]
}

/// What every stream says of itself in its head.
fn check_head(form: Form, answer: &Answer) {
    assert_eq!((answer.status, answer.header("content-type")), (200, form.media_type()));
    assert_eq!(answer.header("vary"), "accept");
    let events = form == Form::Events;
    assert_eq!(answer.header("cache-control"), if events { "no-cache" } else { "" });
    assert_eq!(answer.header("x-accel-buffering"), if events { "no" } else { "" });
}

#[tokio::test]
async fn a_good_stream_is_whole() {
    for (form, transport) in FORMS.into_iter().flat_map(|form| OVER.map(|over| (form, over))) {
        for count in [0, 1, 3] {
            let answer = shared().ask(transport, &form.ask(&count.to_string())).await;
            check_head(form, &answer);
            assert!(!answer.cut, "{form:?} {transport:?}");
            let expected = Read { messages: hi(count), error: None, closed: form.closes() };
            assert_eq!(form.read(&answer.body), expected, "{form:?} {transport:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_at_once_has_an_http_code() {
    for (form, transport) in FORMS.into_iter().flat_map(|form| OVER.map(|over| (form, over))) {
        let ask = form.ask("0").header("x-demo-status", "NOT_FOUND").header("x-demo-status-details", "1");
        let answer = shared().ask(transport, &ask).await;
        assert_eq!((answer.status, answer.header("content-type"), answer.cut), (404, "application/json", false));
        assert_eq!(answer.header("vary"), "accept");
        assert_eq!(answer.json()["code"], 5, "{form:?}");
        let both = ask.header("accept", "application/problem+json");
        let problem = shared().ask(transport, &both).await;
        assert_eq!((problem.status, problem.header("content-type")), (404, "application/problem+json"));
        let told = problem.json();
        assert_eq!(
            (&told["title"], &told["status"], &told["code"]),
            (&json!("Not Found"), &json!(404), &json!("NOT_FOUND"))
        );
        assert_eq!(told["details"][0]["reason"], "DEMO_STATUS");
    }
}

#[tokio::test]
async fn a_stream_that_fails_later_says_so_in_the_stream() {
    for (form, transport) in FORMS.into_iter().flat_map(|form| OVER.map(|over| (form, over))) {
        let failing = form.ask("2").headers(&[
            ("x-demo-status", "DATA_LOSS"),
            ("x-demo-status-message", "gone%20%22away%22"),
            ("x-demo-status-details", "1"),
        ]);
        let answer = shared().ask(transport, &failing).await;
        check_head(form, &answer);
        // an array that is not closed is cut, so that no one takes it for whole
        assert_eq!(answer.cut, form == Form::Array, "{form:?} {transport:?}");
        let read = form.read(&answer.body);
        assert_eq!((&read.messages, read.closed), (&hi(2), false), "{form:?} {transport:?}");
        let error = read.error.expect("a status");
        assert_eq!((&error["code"], &error["message"]), (&json!(15), &json!("gone \"away\"")));
        let kinds: Vec<_> = error["details"].as_array().expect("details").iter().map(|one| &one["@type"]).collect();
        assert_eq!(kinds, ["type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.BadRequest"]);

        // slowly: a reset throws away what is not written
        let cut = Ask::get(STREAM).header("accept", form.media_type()).header("x-demo-cut", "2 reset");
        let answer = shared().ask(transport, &cut.header("x-demo-interval-ms", "100")).await;
        let read = form.read(&answer.body);
        assert_eq!((read.messages.len(), read.closed), (2, false), "{form:?}");
        assert_eq!(read.error.expect("a status")["code"], 13);
    }
}

#[tokio::test]
async fn a_deadline_ends_a_stream_in_the_stream_or_by_its_code() {
    for (form, transport) in FORMS.into_iter().flat_map(|form| OVER.map(|over| (form, over))) {
        let slow = Ask::get(STREAM).header("accept", form.media_type()).header("grpc-timeout", "300m");
        let answer = shared().ask(transport, &slow.clone().header("x-demo-interval-ms", "60000")).await;
        let read = form.read(&answer.body);
        assert_eq!((answer.status, read.messages.len(), read.closed), (200, 1, false), "{form:?} {transport:?}");
        assert_eq!(read.error.expect("a status")["code"], 4, "{form:?} {transport:?}");

        let at_once = slow.header("x-demo-delay-ms", "60000");
        let answer = shared().ask(transport, &at_once).await;
        if form == Form::Events {
            // readers of events do not wait so long for the head
            assert_eq!(answer.status, 200);
            assert_eq!(form.read(&answer.body).error.expect("a status")["code"], 4);
        } else {
            assert_eq!((answer.status, &answer.json()["code"]), (504, &json!(4)), "{form:?}");
        }
    }
}

#[tokio::test]
async fn callers_who_leave_end_the_call_upstream() {
    let edge = Edge::start("").await;
    let upstream = edge.upstream.as_ref().expect("an upstream");
    let mut left = 0;
    for form in FORMS {
        // with a first message, and (of events) without any
        for lever in [("x-demo-interval-ms", "60000"), ("x-demo-delay-ms", "60000")] {
            if lever.0 == "x-demo-delay-ms" && form != Form::Events {
                continue;
            }
            let ask = Ask::get(STREAM).header("accept", form.media_type()).headers(&[lever]);
            let mut socket = tcp(edge.clear).await;
            socket.write_all(format!("{}\r\n", ask.head()).as_bytes()).await.expect("a head");
            let mut some = [0; 32];
            let read = tokio::time::timeout(PATIENCE, socket.read(&mut some)).await.expect("in time").expect("a head");
            assert!(some[..read].starts_with(b"HTTP/1.1 200"), "{form:?}");
            drop(socket);
            left += 1;
            until("the call ends", || async { upstream.counts().cancelled.load(Relaxed) == left }).await;

            let mut client = edge.h2().await;
            let (response, _) = client.send_request(h2_request(&ask), true).expect("a stream");
            let response = tokio::time::timeout(PATIENCE, response).await.expect("in time").expect("a head");
            drop(response);
            left += 1;
            until("the call ends", || async { upstream.counts().cancelled.load(Relaxed) == left }).await;
        }
    }
    for gauge in ["transom_calls_active", "transom_upstream_streams_active", "transom_pumps_active"] {
        until(gauge, || async { edge.metric(gauge).await == 0 }).await;
    }
}

#[tokio::test]
async fn the_form_follows_from_what_the_caller_likes_best() {
    let chosen = |accept: &'static str| async move {
        let ask = Ask::get(STREAM).header("x-demo-stream-count", "0").header("accept", accept);
        shared().ask(Transport::Http1, &ask).await
    };
    for (accept, expected) in [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("application/json;q=0.5, application/jsonl", "application/jsonl"),
        ("text/event-stream;q=0.5, application/json-seq;q=0.6", "application/json-seq"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
        ("what is this", "application/json"),
    ] {
        let answer = chosen(accept).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, expected), "{accept}");
    }
    for accept in ["text/html", "*/*;q=0"] {
        let refused = chosen(accept).await;
        assert_eq!((refused.status, &refused.json()["details"][0]["reason"]), (406, &json!("NOT_ACCEPTABLE")));
        assert!(refused.text().contains("text/event-stream"), "the list of what there is: {}", refused.text());
    }
    let problem = chosen("application/problem+json, text/html").await;
    assert_eq!((problem.status, problem.header("content-type")), (406, "application/problem+json"));
    // one answer has one form
    let ask = Ask::get("/v1/greeter/joe").header("accept", "text/html");
    assert_eq!(shared().ask(Transport::Http1, &ask).await.status, 200);
}

#[tokio::test]
async fn each_message_goes_out_at_once_compressed_or_not() {
    for encoding in ["", "gzip", "br", "zstd", "deflate"] {
        for form in FORMS {
            let ask = Ask::get(STREAM).header("accept", form.media_type()).header("accept-encoding", encoding);
            let ask = ask.headers(&[("x-demo-stream-count", "2"), ("x-demo-interval-ms", "60000")]);
            let mut client = shared().h2().await;
            let (response, _) = client.send_request(h2_request(&ask), true).expect("a stream");
            let response = tokio::time::timeout(PATIENCE, response).await.expect("in time").expect("a head");
            assert_eq!(
                response.headers().get("content-encoding").map_or("", |name| name.to_str().expect("text")),
                encoding
            );
            let mut body = response.into_body();
            let first = tokio::time::timeout(Duration::from_secs(5), body.data()).await.expect("at once");
            assert!(!first.expect("a chunk").expect("no reset").is_empty(), "{form:?} {encoding}");
        }
    }
}
