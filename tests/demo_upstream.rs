//! The demo's upstream, driven by a bare HTTP/2 client: the four kinds of call, errors, metadata, deadlines, flow
//! control, cancellation.

use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;
use transom::demo::upstream::bookstore_v1::{
    Book, BookEvent, CreateBookRequest, DeleteShelfRequest, GetBookRequest, GetContentRequest, HttpBody,
    ListBooksRequest, ListBooksResponse, MoveBookRequest, SearchBooksRequest, SearchBooksResponse, UpdateBookRequest,
    WatchBooksRequest,
};
use transom::demo::upstream::echo_v1::{EchoRequest, EchoResponse};
use transom::demo::upstream::helloworld::{HelloReply, HelloRequest};
use transom::demo::upstream::routeguide::{Feature, Point, Rectangle, RouteNote, RouteSummary};
use transom::demo::upstream::{Running, Upstream};
use transom::status::{Code, Status};

const UNARY: &str = "/grpc.examples.echo.Echo/UnaryEcho";
const SERVER: &str = "/grpc.examples.echo.Echo/ServerStreamingEcho";
const CLIENT: &str = "/grpc.examples.echo.Echo/ClientStreamingEcho";
const BIDI: &str = "/grpc.examples.echo.Echo/BidirectionalStreamingEcho";

type Metadata<'a> = &'a [(&'a str, &'a str)];

/// A running upstream and one connection to it.
struct Bench {
    server: Running,
    client: SendRequest<Bytes>,
}

/// A call under way.
struct Exchange {
    send: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    head: HeaderMap,
    body: Option<RecvStream>,
    buffer: BytesMut,
}

/// A call that ended: what came, and how.
struct Ended<M> {
    head: HeaderMap,
    messages: Vec<M>,
    trailers: HeaderMap,
    status: Status,
}

// === impl Bench ===

impl Bench {
    async fn new() -> Bench {
        Bench::with(Upstream::default()).await
    }

    async fn with(upstream: Upstream) -> Bench {
        let server = upstream.start_with(([127, 0, 0, 1], 0).into()).expect("a server");
        let client = connect(&server).await;
        Bench { server, client }
    }

    fn start(&self, path: &str, metadata: Metadata<'_>) -> Exchange {
        let mut request = Request::post(format!("http://demo{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (answer, send) = self.client.clone().send_request(request, false).expect("a stream");
        Exchange { send, answer: Some(answer), head: HeaderMap::new(), body: None, buffer: BytesMut::new() }
    }

    async fn call<M: Message + Default>(
        &self,
        path: &str,
        metadata: Metadata<'_>,
        requests: &[impl Message],
    ) -> Ended<M> {
        let mut exchange = self.start(path, metadata);
        for request in requests {
            exchange.send(request).await;
        }
        exchange.close();
        exchange.rest().await.expect("an end")
    }

    async fn refused(&self, path: &str, request: impl Message) -> Status {
        self.call::<()>(path, &[], &[request]).await.status
    }

    async fn bookstore<M: Message + Default>(&self, method: &str, request: impl Message) -> M {
        let mut ended = self.call(&format!("/bookstore.v1.Bookstore/{method}"), &[], &[request]).await;
        assert!(ended.status.is_ok(), "{method}: {}", ended.status);
        ended.messages.remove(0)
    }

    async fn bookstore_refuses(&self, method: &str, request: impl Message) -> (Status, Vec<String>) {
        let status = self.refused(&format!("/bookstore.v1.Bookstore/{method}"), request).await;
        let details = status.details.iter().map(|detail| detail.type_name().to_owned()).collect();
        (status, details)
    }
}

async fn connect(server: &Running) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(server.address()).await.expect("a socket");
    let mut http2 = h2::client::Builder::new();
    // a connection window beyond all streams' together: a stream that is not read does not starve the others
    http2.initial_window_size(1 << 20).initial_connection_window_size(64 << 20);
    let (client, connection) = http2.handshake(socket).await.expect("a connection");
    tokio::spawn(connection);
    client.ready().await.expect("a client")
}

// === impl Exchange ===

impl Exchange {
    async fn send(&mut self, message: &impl Message) {
        self.send_raw(0, &message.encode_to_vec()).await;
    }

    async fn send_raw(&mut self, flag: u8, payload: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_u8(flag);
        frame.put_u32(payload.len() as u32);
        frame.put_slice(payload);
        let mut frame = frame.freeze();
        while !frame.is_empty() {
            self.send.reserve_capacity(frame.len());
            let granted = match self.send.capacity() {
                0 => poll_fn(|cx| self.send.poll_capacity(cx)).await,
                granted => Some(Ok(granted)),
            };
            // the server may have refused the call before it was sent in full
            let Some(Ok(granted)) = granted else { return };
            if self.send.send_data(frame.split_to(granted.min(frame.len())), false).is_err() {
                return;
            }
        }
    }

    fn close(&mut self) {
        let _ = self.send.send_data(Bytes::new(), true);
    }

    async fn head(&mut self) -> Result<&HeaderMap, h2::Error> {
        if let Some(answer) = self.answer.take() {
            let (head, body) = answer.await?.into_parts();
            assert_eq!(head.status, 200);
            self.head = head.headers;
            self.body = Some(body);
        }
        Ok(&self.head)
    }

    /// The next message; `None` at the end of the stream.
    async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, h2::Error> {
        self.head().await?;
        let body = self.body.as_mut().expect("a body");
        loop {
            if let Some((&[flag, ref length @ ..], rest)) = self.buffer.split_first_chunk::<5>() {
                assert_eq!(flag, 0);
                let length = u32::from_be_bytes(*length) as usize;
                if rest.len() >= length {
                    let message = self.buffer.split_to(5 + length);
                    return Ok(Some(M::decode(&message[5..]).expect("a message")));
                }
            }
            let Some(chunk) = body.data().await else { return Ok(None) };
            let chunk = chunk?;
            self.buffer.extend_from_slice(&chunk);
            body.flow_control().release_capacity(chunk.len())?;
        }
    }

    async fn rest<M: Message + Default>(mut self) -> Result<Ended<M>, h2::Error> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await? {
            messages.push(message);
        }
        let mut body = self.body.take().expect("a body");
        // a trailers-only answer has its status in the head
        let trailers = body.trailers().await?.unwrap_or_else(|| self.head.clone());
        let status = status(&trailers);
        Ok(Ended { head: self.head, messages, trailers, status })
    }
}

fn status(trailers: &HeaderMap) -> Status {
    let text = |name: &str| trailers.get(name).map(|value| value.to_str().expect("text"));
    let Some(code) = text("grpc-status") else { return Status::new(Code::Unknown, "no status") };
    let code = Code::from_header(code.as_bytes()).expect("a code");
    match text("grpc-status-details-bin") {
        Some(details) => {
            let status = Status::decode(&STANDARD_NO_PAD.decode(details).expect("base64")).expect("a status");
            assert_eq!(status.code, code);
            status
        }
        None => {
            let message = percent_encoding::percent_decode_str(text("grpc-message").unwrap_or_default());
            Status::new(code, message.decode_utf8().expect("UTF-8").into_owned())
        }
    }
}

fn said(message: &str) -> EchoRequest {
    EchoRequest { message: message.to_owned() }
}

fn texts(messages: &[EchoResponse]) -> Vec<&str> {
    messages.iter().map(|answer| answer.message.as_str()).collect()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn all_four_kinds_of_call_answer() {
    let bench = Bench::new().await;
    let hello: Ended<HelloReply> =
        bench.call("/helloworld.Greeter/SayHello", &[], &[HelloRequest { name: "joe".into() }]).await;
    assert_eq!(hello.messages[0].message, "Hello joe");
    assert!(hello.status.is_ok());

    let stream: Ended<EchoResponse> = bench.call(SERVER, &[("x-demo-interval-ms", "0")], &[said("hi")]).await;
    assert_eq!(texts(&stream.messages), ["hi"; 5]);

    let joined: Ended<EchoResponse> = bench.call(CLIENT, &[], &[said("a"), said("b"), said("")]).await;
    assert_eq!(texts(&joined.messages), ["a, b, "]);

    let both: Ended<EchoResponse> = bench.call(BIDI, &[], &[said("a"), said("b")]).await;
    assert_eq!(texts(&both.messages), ["a", "b"]);
    assert_eq!(bench.server.counts().calls.load(Relaxed), 4);
    until("no call is left", || bench.server.counts().active.load(Relaxed) == 0).await;
}

#[tokio::test]
async fn each_answer_of_a_bidirectional_call_comes_before_the_next_message_is_sent() {
    let bench = Bench::new().await;
    let mut chat = bench.start("/routeguide.RouteGuide/RouteChat", &[]);
    chat.head().await.expect("a head before any message");
    let place = Some(Point { latitude: 1, longitude: 2 });
    for round in 1..=3_usize {
        let note = RouteNote { location: place, message: format!("note {round}") };
        chat.send(&note).await;
        for _ in 1..round {
            chat.next::<RouteNote>().await.expect("an earlier note");
        }
        assert_eq!(chat.next::<RouteNote>().await.expect("a note"), Some(note));
    }
    chat.close();
    assert!(chat.rest::<RouteNote>().await.expect("an end").status.is_ok());
}

#[tokio::test]
async fn the_route_guide_knows_its_places() {
    let bench = Bench::new().await;
    let berkshire = Point { latitude: 409_146_138, longitude: -746_188_906 };
    let get = "/routeguide.RouteGuide/GetFeature";
    let found: Ended<Feature> = bench.call(get, &[], &[berkshire]).await;
    assert!(found.messages[0].name.starts_with("Berkshire Valley"));
    let nowhere: Ended<Feature> = bench.call(get, &[], &[Point { latitude: 0, longitude: 0 }]).await;
    assert_eq!((nowhere.messages[0].name.as_str(), nowhere.status.code), ("", Code::Ok));

    let corner = |latitude, longitude| Some(Point { latitude, longitude });
    let whole = Rectangle { lo: corner(400_000_000, -750_000_000), hi: corner(420_000_000, -730_000_000) };
    let listed: Ended<Feature> = bench.call("/routeguide.RouteGuide/ListFeatures", &[], &[whole]).await;
    assert!(listed.messages.len() >= 100);

    let there = Point { latitude: 409_146_138, longitude: -744_188_906 };
    let route: Ended<RouteSummary> =
        bench.call("/routeguide.RouteGuide/RecordRoute", &[], &[berkshire, there, berkshire]).await;
    let summary = route.messages[0];
    assert_eq!((summary.point_count, summary.feature_count), (3, 2));
    // 0.2 degrees of longitude there and back, at 41 degrees north
    assert!((33_400..33_900).contains(&summary.distance), "{}", summary.distance);
}

#[tokio::test]
async fn metadata_comes_back_on_both_sides_byte_for_byte() {
    let bench = Bench::new().await;
    let metadata: Metadata = &[
        ("x-echo-a", "1"),
        ("x-echo-a", "2"),
        ("x-echo-a-bin", "AAH+/w"),
        ("x-echo-trailer-b", "plain"),
        ("x-echo-trailer-b-bin", "/w"),
        ("x-demo-tell", "1"),
    ];
    let ended: Ended<EchoResponse> = bench.call(UNARY, metadata, &[said("hi")]).await;
    let values: Vec<_> = ended.head.get_all("x-echo-a").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(ended.head["x-echo-a-bin"], "AAH+/w");
    assert_eq!(ended.trailers["x-echo-trailer-b"], "plain");
    assert_eq!(ended.trailers["x-echo-trailer-b-bin"], "/w");
    assert_eq!(ended.trailers["x-demo-calls"], "1");
    let told = STANDARD_NO_PAD.decode(&ended.trailers["x-demo-head-bin"]).expect("base64");
    let told = String::from_utf8(told).expect("text");
    assert!(told.contains(":path: /grpc.examples.echo.Echo/UnaryEcho\r\n") && told.contains("te: trailers\r\n"));

    let metadata: Metadata = &[("x-echo-a", "1"), ("x-demo-status", "5")];
    let refused: Ended<EchoResponse> = bench.call(UNARY, metadata, &[said("hi")]).await;
    assert_eq!(refused.head["x-echo-a"], "1", "initial metadata is not lost to a trailers-only answer");
    assert!(!refused.head.contains_key("grpc-status"));
    assert_eq!(refused.status.code, Code::NotFound);
}

#[tokio::test]
async fn a_call_ends_as_its_metadata_asks() {
    let bench = Bench::new().await;
    let late: Metadata = &[
        ("x-demo-stream-count", "3"),
        ("x-demo-interval-ms", "0"),
        ("x-demo-status", "DATA_LOSS"),
        ("x-demo-status-message", "half%20%C3%BCber"),
        ("x-demo-status-details", "1"),
    ];
    let ended: Ended<EchoResponse> = bench.call(SERVER, late, &[said("hi")]).await;
    assert_eq!(ended.messages.len(), 3);
    assert_eq!((ended.status.code, ended.status.message.as_ref()), (Code::DataLoss, "half über"));
    let names: Vec<_> = ended.status.details.iter().map(|detail| detail.type_name()).collect();
    assert_eq!(names, ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]);

    let ended: Ended<EchoResponse> = bench.call(UNARY, &[("x-demo-status", "7")], &[said("hi")]).await;
    assert!(ended.head.contains_key("grpc-status") && ended.messages.is_empty(), "trailers-only");
    assert_eq!(ended.status.code, Code::PermissionDenied);

    let mut open = bench.start(BIDI, &[("x-demo-stream-count", "1"), ("x-demo-status", "9")]);
    open.send(&said("one")).await;
    let ended: Ended<EchoResponse> = open.rest().await.expect("an end before the caller's");
    assert_eq!((ended.messages.len(), ended.status.code), (1, Code::FailedPrecondition));

    let ended: Ended<EchoResponse> = bench.call(UNARY, &[("x-demo-delay-ms", "soon")], &[said("hi")]).await;
    assert_eq!(ended.status.code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_stream_breaks_off_in_three_ways() {
    let bench = Bench::new().await;
    let metadata = |how| [("x-demo-interval-ms", "0"), ("x-demo-cut", how)];

    let mut reset = bench.start(SERVER, &metadata("2"));
    reset.send(&said("hi")).await;
    reset.close();
    let mut came = 0;
    let error = loop {
        match reset.next::<EchoResponse>().await {
            Ok(Some(_)) => came += 1,
            Ok(None) => panic!("a cut stream looks whole"),
            Err(error) => break error,
        }
    };
    assert!(came <= 2);
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));

    let mut ended = bench.start(SERVER, &metadata("2 end"));
    ended.send(&said("hi")).await;
    ended.close();
    let ended: Ended<EchoResponse> = ended.rest().await.expect("an end");
    assert_eq!((ended.messages.len(), ended.status.message.as_ref()), (2, "no status"));

    let mut closed = bench.start(SERVER, &metadata("2 close"));
    closed.send(&said("hi")).await;
    closed.close();
    assert!(closed.rest::<EchoResponse>().await.is_err());
    assert!(bench.client.clone().ready().await.is_err(), "the connection is gone");
}

#[tokio::test]
async fn a_goaway_leaves_the_call_itself_alone() {
    let bench = Bench::new().await;
    let metadata: Metadata = &[("x-demo-goaway", "1"), ("x-demo-interval-ms", "20")];
    let ended: Ended<EchoResponse> = bench.call(SERVER, metadata, &[said("hi")]).await;
    assert_eq!((ended.messages.len(), ended.status.code), (5, Code::Ok));
    assert!(bench.client.clone().ready().await.is_err(), "no further call on this connection");
}

#[tokio::test]
async fn errors_of_the_bookstore_have_the_details_of_their_contract() {
    let bench = Bench::new().await;
    let request = GetBookRequest { name: "shelves/1/books/404".into(), read_mask: None };
    let (missing, details) = bench.bookstore_refuses("GetBook", request).await;
    assert_eq!(missing.code, Code::NotFound);
    assert_eq!(details, ["google.rpc.ErrorInfo", "google.rpc.ResourceInfo"]);
    let info = String::from_utf8_lossy(&missing.details[0].value).into_owned();
    assert!(info.contains("BOOK_NOT_FOUND") && info.contains("bookstore.transom.example"));

    let create = |title: &str, book_id: &str| CreateBookRequest {
        parent: "shelves/1".into(),
        book: Some(Book { title: title.into(), ..Book::default() }),
        book_id: book_id.into(),
    };
    let (untitled, details) = bench.bookstore_refuses("CreateBook", create("", "")).await;
    assert_eq!(untitled.code, Code::InvalidArgument);
    assert_eq!(details, ["google.rpc.BadRequest"]);
    assert!(String::from_utf8_lossy(&untitled.details[0].value).contains("book.title"));
    assert_eq!(bench.bookstore_refuses("CreateBook", create("T", "1")).await.0.code, Code::AlreadyExists);

    let request = DeleteShelfRequest { name: "shelves/1".into(), force: false };
    let (full, details) = bench.bookstore_refuses("DeleteShelf", request).await;
    assert_eq!(full.code, Code::FailedPrecondition);
    assert_eq!(details, ["google.rpc.PreconditionFailure"]);

    let stale = Book { name: "shelves/1/books/1".into(), etag: "old".into(), rating: 1.0, ..Book::default() };
    let request = UpdateBookRequest { book: Some(stale), update_mask: None };
    let (stale, details) = bench.bookstore_refuses("UpdateBook", request).await;
    assert_eq!(stale.code, Code::Aborted);
    assert_eq!(details, ["google.rpc.ErrorInfo"]);
}

#[tokio::test]
async fn the_bookstore_keeps_what_it_is_told() {
    let bench = Bench::new().await;
    let emma = Book { title: "Emma".into(), authors: vec!["Jane Austen".into()], ..Book::default() };
    let create = CreateBookRequest { parent: "shelves/1".into(), book: Some(emma), book_id: "emma".into() };
    let made: Book = bench.bookstore("CreateBook", create).await;
    assert_eq!(made.name, "shelves/1/books/emma");

    let change = Book { name: made.name, rating: 4.75, ..Book::default() };
    let mask = prost_types::FieldMask { paths: vec!["rating".into()] };
    let change = UpdateBookRequest { book: Some(change), update_mask: Some(mask) };
    let changed: Book = bench.bookstore("UpdateBook", change).await;
    assert_eq!((changed.title.as_str(), changed.rating), ("Emma", 4.75));

    let list = ListBooksRequest { parent: "shelves/1".into(), page_size: 3, ..ListBooksRequest::default() };
    let listed: ListBooksResponse = bench.bookstore("ListBooks", list).await;
    assert_eq!((listed.books.len(), listed.total_size), (3, 4));
    assert!(!listed.next_page_token.is_empty());

    let to = MoveBookRequest { name: "shelves/1/books/emma".into(), destination: "shelves/2".into() };
    let moved: Book = bench.bookstore("MoveBook", to).await;
    assert_eq!(moved.name, "shelves/2/books/emma");

    let query = SearchBooksRequest { query: "whale".into(), ..SearchBooksRequest::default() };
    let found: SearchBooksResponse = bench.bookstore("SearchBooks", query).await;
    let titles: Vec<_> = found.hits.iter().flat_map(|hit| &hit.book).map(|book| &book.title).collect();
    assert_eq!(titles, ["Moby-Dick"]);

    let watch = WatchBooksRequest { parent: "shelves/3".into(), count: 2, after: 0 };
    let events: Ended<BookEvent> = bench.call("/bookstore.v1.Bookstore/WatchBooks", &[], &[watch]).await;
    assert_eq!(events.messages.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);

    let content: HttpBody = bench.bookstore("GetContent", GetContentRequest { path: "files/a/b.txt".into() }).await;
    assert_eq!(&content.data[..], b"contents of files/a/b.txt\n");
}

#[tokio::test]
async fn what_is_not_served_or_not_grpc_is_refused() {
    let bench = Bench::with(Upstream { message_limit: 1000, ..Upstream::default() }).await;
    for path in ["/helloworld.Greeter/Nope", "/no.Service/Method", "/", "/x", "/bookstore.v1.Bookstore/"] {
        assert_eq!(bench.refused(path, said("hi")).await.code, Code::Unimplemented, "{path}");
    }
    assert_eq!(bench.refused(UNARY, said(&"x".repeat(1000))).await.code, Code::ResourceExhausted);
    assert_eq!(bench.refused(UNARY, said(&"x".repeat(990))).await.code, Code::Ok);
    assert_eq!(bench.call::<()>(UNARY, &[], &[] as &[EchoRequest]).await.status.code, Code::Unimplemented);
    assert_eq!(bench.call::<()>(UNARY, &[], &[said("a"), said("b")]).await.status.code, Code::Unimplemented);

    let get = Request::get("http://demo/helloworld.Greeter/SayHello").header("content-type", "application/grpc");
    let post = || Request::post("http://demo/helloworld.Greeter/SayHello");
    for (request, code) in [
        (get, 405),
        (post(), 415),
        (post().header("content-type", "application/json"), 415),
        (post().header("content-type", "application/grpc-web"), 415),
    ] {
        let request = request.body(()).expect("a request");
        let (answer, _) = bench.client.clone().send_request(request, true).expect("a stream");
        assert_eq!(answer.await.expect("an answer").status(), code);
    }
}

#[tokio::test]
async fn a_damaged_message_ends_its_call_with_a_status() {
    let bench = Bench::new().await;
    for (flag, payload, code) in
        [(1, &b"zz"[..], Code::Unimplemented), (7, b"zz", Code::Internal), (0, b"\xff\xff", Code::Internal)]
    {
        let mut exchange = bench.start(UNARY, &[]);
        exchange.send_raw(flag, payload).await;
        exchange.close();
        let ended: Ended<()> = exchange.rest().await.expect("an end");
        assert_eq!(ended.status.code, code, "flag {flag}");
        assert_eq!(ended.head["grpc-accept-encoding"], "gzip, deflate, snappy, zstd, br");
    }
    for cut in 1..7 {
        let mut exchange = bench.start(UNARY, &[]);
        let part = Bytes::from_static(&b"\0\0\0\0\x02\x0a\x00"[..cut]);
        exchange.send.send_data(part, true).expect("sent");
        assert_eq!(exchange.rest::<()>().await.expect("an end").status.code, Code::Internal, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_deadline_ends_a_call_whatever_it_waits_for() {
    let bench = Bench::new().await;
    let start = Instant::now();
    let waits: [(&str, Metadata); 2] = [
        (UNARY, &[("grpc-timeout", "100m"), ("x-demo-delay-ms", "60000")]),
        (SERVER, &[("grpc-timeout", "100m"), ("x-demo-interval-ms", "60000")]),
    ];
    for (path, metadata) in waits {
        let ended: Ended<EchoResponse> = bench.call(path, metadata, &[said("hi")]).await;
        assert_eq!(ended.status.code, Code::DeadlineExceeded, "{path}");
    }
    let silent = bench.start(CLIENT, &[("grpc-timeout", "100000u")]);
    let ended: Ended<EchoResponse> = silent.rest().await.expect("an end");
    assert_eq!(ended.status.code, Code::DeadlineExceeded);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.server.counts().expired.load(Relaxed), 3);
    let damaged: Ended<()> = bench.call(UNARY, &[("grpc-timeout", "soon")], &[said("hi")]).await;
    assert_eq!(damaged.status.code, Code::Internal);
}

#[tokio::test]
async fn a_caller_that_goes_away_is_seen_whatever_its_call_waits_for() {
    let bench = Bench::new().await;
    let mut sleeping = bench.start(UNARY, &[("x-demo-delay-ms", "60000")]);
    sleeping.send(&said("hi")).await;
    sleeping.close();
    let reading = bench.start(BIDI, &[]);
    let large: Metadata =
        &[("x-demo-stream-count", "1000"), ("x-demo-message-size", "1000000"), ("x-demo-interval-ms", "0")];
    let mut writing = bench.start(SERVER, large);
    let mut pausing = bench.start(SERVER, &[("x-demo-interval-ms", "60000")]);
    for stream in [&mut writing, &mut pausing] {
        stream.send(&said("hi")).await;
        stream.close();
        stream.next::<EchoResponse>().await.expect("a first answer");
    }
    until("four calls run", || bench.server.counts().active.load(Relaxed) == 4).await;
    for mut call in [sleeping, reading, writing, pausing] {
        call.send.send_reset(Reason::CANCEL);
    }
    until("all of them end", || bench.server.counts().active.load(Relaxed) == 0).await;
    assert_eq!(bench.server.counts().cancelled.load(Relaxed), 4);
}

#[tokio::test]
async fn a_slow_reader_holds_the_stream_back_and_loses_nothing() {
    let bench = Bench::new().await;
    let metadata: Metadata =
        &[("x-demo-stream-count", "400"), ("x-demo-message-size", "65536"), ("x-demo-interval-ms", "0")];
    let mut stream = bench.start(SERVER, metadata);
    stream.send(&said("hi")).await;
    stream.close();
    stream.next::<EchoResponse>().await.expect("a message");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = bench.server.counts().messages_out.load(Relaxed);
    // a window of 1 MiB, and what h2 buffers behind it
    assert!(sent < 40, "{sent} messages of 64 KiB went to a caller that does not read");
    let ended: Ended<EchoResponse> = stream.rest().await.expect("an end");
    assert_eq!(ended.messages.len(), 399);
    assert!(ended.messages.iter().all(|message| message.message.len() == 65_536));
}

#[tokio::test]
async fn a_server_that_does_not_read_holds_its_caller_back() {
    let bench = Bench::new().await;
    let mut upload = bench.start(CLIENT, &[("x-demo-read-delay-ms", "60000")]);
    let large = said(&"x".repeat(600_000));
    upload.send(&large).await;
    let more = tokio::time::timeout(Duration::from_millis(300), async {
        upload.send(&large).await;
        upload.send(&large).await;
    });
    assert!(more.await.is_err(), "more than the window of 1 MiB went out");
}

#[tokio::test]
async fn a_server_that_is_shut_down_is_gone_and_its_port_is_free() {
    let bench = Bench::new().await;
    let address = bench.server.address();
    let mut open = bench.start(BIDI, &[]);
    open.send(&said("hi")).await;
    open.next::<EchoResponse>().await.expect("an answer");
    let Bench { server, .. } = bench;
    server.shutdown();
    assert!(open.rest::<EchoResponse>().await.is_err());
    assert!(TcpStream::connect(address).await.is_err());
    let again = Upstream::start(address).expect("the same port");
    assert_eq!(again.address(), address);
}
