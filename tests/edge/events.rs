//! Server-sent events as browsers read them: labels, silences, and coming again.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Ask, Edge, PATIENCE, Transport, h2_request};

const STREAM: &str = "/v1/echo:stream?message=hi";
const WATCH: &str = "/v1/shelves/1/books:watch?count=3";

const SETTINGS: &str = "settings:
  - match: bookstore.v1.Bookstore/WatchBooks
    sse: {event_field: kind, id_field: sequence, retry: 1500ms, last_event_id_field: after}
  - match: grpc.examples.echo.Echo/*
    sse: {event: echo, id_field: message, heartbeat: 100ms, last_event_id_metadata: x-echo-last}
";

/// One event as the HTML standard's parser hands it on.
#[derive(Clone, Debug, Default, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

/// Parses a stream (HTML standard, 9.2.6): the events, the last `retry`, and how many comments there were.
fn parse(text: &str) -> (Vec<Event>, Option<u64>, usize) {
    let (mut events, mut retry, mut comments) = (Vec::new(), None, 0);
    let (mut now, mut data) = (Event::default(), Vec::new());
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    for line in lines.split_terminator('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(Event { data: data.join("\n"), ..now.clone() });
            }
            (now.kind, data) = (String::new(), Vec::new());
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" => comments += 1,
            "event" => now.kind = value.to_owned(),
            "id" if !value.contains('\0') => now.id = value.to_owned(),
            "data" => data.push(value.to_owned()),
            "retry" => retry = value.parse().ok(),
            other => panic!("a field {other:?}"),
        }
    }
    (events, retry, comments)
}

fn events(path: &str) -> Ask {
    Ask::get(path).header("accept", "text/event-stream")
}

#[tokio::test]
async fn events_have_labels_and_go_on_where_the_reader_left() {
    let edge = Edge::start(SETTINGS).await;
    let sequence = |events: &[Event]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    for transport in [Transport::Http1, Transport::Http2] {
        let answer = edge.ask(transport, &events(WATCH)).await;
        let (read, retry, _) = parse(&answer.text());
        assert!(answer.text().starts_with("retry: 1500\n\n"), "{}", answer.text());
        assert_eq!((sequence(&read), retry), (["1", "2", "3", "3"].map(str::to_owned).into(), Some(1500)));
        let kinds: Vec<&str> = read.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["LENT", "RETURNED", "CHANGED", "end"]);
        let book: serde_json::Value = serde_json::from_str(&read[0].data).expect("JSON in one line");
        assert_eq!(book["book"]["name"], "shelves/1/books/1");

        // whatever the URL says, which stays the same when a reader comes again
        for path in [WATCH.to_owned(), format!("{WATCH}&after=1")] {
            let again = edge.ask(transport, &events(&path).header("last-event-id", "3")).await;
            assert_eq!(sequence(&parse(&again.text()).0), ["4", "5", "6", "6"], "{path}");
        }
        let posted =
            Ask::post("/bookstore.v1.Bookstore/WatchBooks", "application/json", r#"{"parent":"shelves/1","after":1}"#)
                .header("accept", "text/event-stream");
        let again = edge.ask(transport, &posted.header("last-event-id", "7")).await;
        assert_eq!(sequence(&parse(&again.text()).0)[0], "8", "by its own path, too");
    }
    let bad = edge.ask(Transport::Http1, &events(WATCH).header("last-event-id", "x")).await;
    assert_eq!(bad.status, 400);
    let violation = &bad.json()["details"][0]["fieldViolations"][0];
    assert_eq!(violation["field"], "Last-Event-ID", "{}", bad.text());
    // other forms know nothing of it
    let lines = Ask::get(WATCH).header("accept", "application/x-ndjson").header("last-event-id", "x");
    assert_eq!(edge.ask(Transport::Http1, &lines).await.status, 200);
}

#[tokio::test]
async fn the_id_of_the_last_event_goes_upstream_as_metadata() {
    let edge = Edge::start(SETTINGS).await;
    let fast = events(STREAM).header("x-demo-stream-count", "1");
    let answer = edge.ask(Transport::Http1, &fast.clone().header("last-event-id", "a/1 x")).await;
    assert_eq!((answer.status, answer.header("x-echo-last")), (200, "a/1 x"));
    assert_eq!(edge.ask(Transport::Http1, &fast.clone()).await.header("x-echo-last"), "");
    let refused = edge.ask(Transport::Http1, &fast.header("last-event-id", "ä")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("last-event-id"), "{}", refused.text());
}

#[tokio::test]
async fn nothing_in_a_message_breaks_the_lines() {
    let edge = Edge::start(SETTINGS).await;
    for (message, id) in [
        ("plain", Some("plain")),
        ("%20led", Some(" led")),
        ("a%0Adata:%20x%0A%0A", None),
        ("a%0Db", None),
        ("a%00b", None),
        ("%C3%A4%E2%80%A8", Some("ä\u{2028}")),
        (":", Some(":")),
    ] {
        let path = format!("/v1/echo:stream?message={message}");
        let ask = events(&path).header("x-demo-stream-count", "1");
        let (read, _, _) = parse(&edge.ask(Transport::Http1, &ask).await.text());
        assert_eq!(read.len(), 2, "the message and the end: {read:?}");
        assert_eq!((read[0].kind.as_str(), read[0].id.as_str()), ("echo", id.unwrap_or_default()), "{message}");
        let data: serde_json::Value = serde_json::from_str(&read[0].data).expect("JSON");
        let sent = percent_encoding::percent_decode_str(message).decode_utf8().expect("UTF-8").into_owned();
        assert_eq!(data, json!({ "message": sent }));
    }
}

#[tokio::test]
async fn silences_are_filled_before_the_first_message_and_between() {
    let edge = Edge::start(SETTINGS).await;
    for transport in [Transport::Http1, Transport::Http2] {
        for encoding in ["", "gzip"] {
            let slow = [("x-demo-delay-ms", "2000"), ("x-demo-stream-count", "2"), ("x-demo-interval-ms", "2000")];
            let answer = edge.ask(transport, &events(STREAM).headers(&slow).header("accept-encoding", encoding)).await;
            assert_eq!((answer.status, answer.header("content-encoding"), answer.cut), (200, encoding, false));
            assert_eq!(answer.header("content-type"), "text/event-stream");
            let mut text = String::new();
            match encoding {
                "gzip" => {
                    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
                }
                _ => text = answer.text(),
            }
            let (read, _, _) = parse(&text);
            assert_eq!(read.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["echo", "echo", "end"]);
            let (before, behind) = text.split_once("data:").expect("a message");
            assert!(before.matches(":\n\n").count() >= 4, "before: {before:?}");
            assert!(behind.split("data:").next().unwrap_or("").matches(":\n\n").count() >= 4, "between: {behind:?}");
        }
    }
}

#[tokio::test]
async fn the_head_does_not_wait_for_the_first_message() {
    let edge = Edge::start("").await;
    let ask = events(STREAM).header("x-demo-delay-ms", "60000");
    let mut client = edge.h2().await;
    let started = Instant::now();
    let (response, _) = client.send_request(h2_request(&ask), true).expect("a stream");
    let response = tokio::time::timeout(PATIENCE, response).await.expect("in time").expect("a head");
    assert_eq!(response.status(), 200);
    assert!(started.elapsed() < Duration::from_secs(10));
    let first = tokio::time::timeout(PATIENCE, response.into_body().data()).await.expect("in time");
    assert_eq!(first.expect("a chunk").expect("no reset"), ":\n\n");
}

#[tokio::test]
async fn an_error_behind_an_early_head_is_an_event() {
    let edge = Edge::start(SETTINGS).await;
    let late = [("x-demo-delay-ms", "2000"), ("x-demo-stream-count", "0"), ("x-demo-status", "ABORTED")];
    for encoding in ["", "zstd"] {
        let answer =
            edge.ask(Transport::Http2, &events(STREAM).headers(&late).header("accept-encoding", encoding)).await;
        assert_eq!((answer.status, answer.cut), (200, false));
        if encoding.is_empty() {
            let (read, _, comments) = parse(&answer.text());
            assert!(comments >= 3, "{}", answer.text());
            assert_eq!((read.len(), read[0].kind.as_str()), (1, "error"));
            assert!(read[0].data.starts_with(r#"{"code":10,"#), "{}", read[0].data);
        } else {
            assert_eq!(answer.header("content-encoding"), "zstd");
        }
    }
    let good = [("x-demo-delay-ms", "600"), ("x-demo-stream-count", "0")];
    let (read, _, _) = parse(&edge.ask(Transport::Http1, &events(STREAM).headers(&good)).await.text());
    assert_eq!(read.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["end"]);
    // nobody is there at all
    let alone = Edge::before("h2c://127.0.0.1:9", SETTINGS).await;
    assert_eq!(alone.ask(Transport::Http1, &events(STREAM)).await.status, 503);
}
