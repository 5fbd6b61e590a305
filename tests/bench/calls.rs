//! The eight canonical calls through the whole edge, over real sockets. What the ceilings of calls are for.

use std::io;
use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prost::Message as _;
use transom::demo::upstream::bookstore_v1::{Book, Format, Print};
use transom::wire::{prefix, put_bytes};

use crate::bare::{Caller, Side, upstream};

/// A call, and what is said in it on either side of the edge.
pub struct Call {
    /// As `calls.txt` calls it.
    pub name: &'static str,
    request: Request,
    /// The upstream's.
    answer: Side,
    /// What the caller must find in the body of the answer, in this order: a call that fails is none to be counted.
    shows: Vec<Vec<u8>>,
}

enum Request {
    Http1(Vec<u8>),
    Http2(Side),
}

/// How many messages the stream has.
const MESSAGES: usize = 20;

const UNARY: &str = "/grpc.examples.echo.Echo/UnaryEcho";
const STREAM: &str = "/grpc.examples.echo.Echo/ServerStreamingEcho";

/// All of them.
pub fn calls() -> [Call; 8] {
    let (small, large) = (echo("hello, edge"), echo(&"four KiB ".repeat(456)));
    let book = frame(&book().encode_to_vec());
    let (trailers, shown) = (frame_of(0x80, b"grpc-status:0\r\n"), br#""title":"Emma""#.to_vec());
    let web = |suffix: &str, body: &[u8]| {
        let content_type = format!("content-type: application/grpc-web{suffix}+proto\r\nx-grpc-web: 1\r\n");
        Request::Http1(http1("POST", UNARY, &content_type, body))
    };
    let text = BASE64_STANDARD.encode(&small);
    let posted =
        http1("POST", "/v1/shelves/1/books?book_id=emma", "content-type: application/json\r\n", BOOK.as_bytes());
    let connect = [("content-type", "application/json"), ("connect-protocol-version", "1")];
    let hello = br#"{"message":"hello, edge"}"#.to_vec();
    let one = |name, request, message: &[u8], shows: &[&[u8]]| Call {
        name,
        request,
        answer: answer(vec![message.to_vec()]),
        shows: shows.iter().map(|piece| piece.to_vec()).collect(),
    };
    [
        one("grpc-unary", grpc(UNARY, &small), &small, &[&small]),
        one("grpc-unary-4k", grpc(UNARY, &large), &large, &[&large]),
        one("grpc-web", web("", &small), &small, &[&small, &trailers]),
        // without the last letters of the frame, which depend on what comes behind
        one("grpc-web-text", web("-text", text.as_bytes()), &small, &[&text.as_bytes()[..text.len() - 4]]),
        one("rest-get", Request::Http1(http1("GET", "/v1/shelves/1/books/emma", "", b"")), &book, &[&shown]),
        one("rest-post", Request::Http1(posted), &book, &[&shown]),
        one("connect-unary", Request::Http2(asked(UNARY, &connect, &hello)), &small, &[&hello]),
        Call {
            name: "grpc-stream",
            request: grpc(STREAM, &small),
            answer: answer(vec![small.clone(); MESSAGES]),
            shows: vec![small.clone(); MESSAGES],
        },
    ]
}

// === impl Call ===

impl Call {
    /// Starts the call's upstream, whose address is returned.
    pub fn upstream(&self) -> io::Result<SocketAddr> {
        upstream(self.answer.clone())
    }

    /// A caller with a connection of its own, that makes this call.
    pub fn caller(&self, edge: SocketAddr) -> io::Result<Caller<'_>> {
        match &self.request {
            Request::Http1(request) => Caller::http1(edge, request),
            Request::Http2(request) => Caller::http2(edge, request),
        }
    }

    /// Makes the call so many times.
    ///
    /// Errors: those of a call, and an answer that is not the upstream's.
    pub fn make(&self, caller: &mut Caller<'_>, times: u64) -> io::Result<()> {
        for _ in 0..times {
            let body = caller.call()?;
            let mut rest = &*body;
            for piece in &self.shows {
                let at = rest.windows(piece.len()).position(|window| window == piece);
                let at = at.ok_or_else(|| io::Error::other(format!("another answer: {}", body.escape_ascii())))?;
                rest = &rest[at + piece.len()..];
            }
        }
        Ok(())
    }
}

/// `EchoRequest`, and `EchoResponse` alike, in a frame.
fn echo(text: &str) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, text.as_bytes());
    frame(&message)
}

fn frame(message: &[u8]) -> Vec<u8> {
    frame_of(0, message)
}

fn frame_of(flags: u8, content: &[u8]) -> Vec<u8> {
    [&prefix(flags, content.len()), content].concat()
}

/// What an upstream of gRPC says.
fn answer(data: Vec<Vec<u8>>) -> Side {
    let trailers = vec![("grpc-status", "0"), ("grpc-message", "")];
    Side { fields: vec![(":status", "200"), ("content-type", "application/grpc")], data, trailers }
}

fn grpc(path: &'static str, message: &[u8]) -> Request {
    let fields = [("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "grpc-go/1.75.0")];
    Request::Http2(asked(path, &fields, message))
}

fn asked(path: &'static str, fields: &[(&'static str, &'static str)], body: &[u8]) -> Side {
    let mut all = vec![(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "edge")];
    all.extend(fields);
    Side { fields: all, data: vec![body.to_vec()], trailers: Vec::new() }
}

fn http1(method: &str, target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {target} HTTP/1.1\r\nhost: edge\r\naccept: */*\r\n{fields}{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// What the upstream answers to callers of REST.
fn book() -> Book {
    Book {
        name: "shelves/1/books/emma".into(),
        title: "Emma".into(),
        authors: vec!["Jane Austen".into()],
        genre: 1,
        publish_time: Some(prost_types::Timestamp { seconds: -4_858_704_000, nanos: 0 }),
        isbn: 9_780_141_439_587,
        rating: 4.25,
        labels: [("language".into(), "en".into()), ("period".into(), "regency".into())].into(),
        format: Some(Format::Print(Print { pages: 474, hardcover: true })),
        stock: Some(12),
        etag: "b7f3".into(),
        ..Book::default()
    }
}

/// Some 1 KiB of JSON.
const BOOK: &str = r#"{
  "title": "Emma",
  "subtitle": "A Novel in Three Volumes",
  "authors": ["Jane Austen", "Fiona Stafford (introduction)", "Tony Tanner (\"notes\")"],
  "genre": "NOVEL",
  "publishTime": "1815-12-23T00:00:00Z",
  "readingTime": "41400.5s",
  "isbn": "9780141439587",
  "rating": 4.25,
  "thumbnail": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABiVBORw0KGgoAAAANSUhEUgAAAAEAAAABiVBORw0KGgoAAAANSUhEUgAAAAEAAAAB",
  "labels": {"language": "en", "period": "regency", "place": "Highbury, Surrey", "shelfmark": "PR4034 .E5"},
  "print": {"pages": 474, "hardcover": true},
  "price": {"currencyCode": "EUR", "units": "24", "nanos": 950000000},
  "stock": 12,
  "edition": 3,
  "etag": "b7f3"
}"#;
