//! Failures after the head and two messages have gone out: every dialect has a place for the status then, and what came
//! before is not lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use transom::status::Code;

use super::dialects::{ALL, Dialect, SERVER, Told};
use super::sockets::{Call, SPEECHES};
use super::support::{Answer, Ask, Edge, PATIENCE, Transport, h2_request, rest_of_h2, send_all, tcp, until};

/// A good frame, `hi`, and one that is larger than the edge of these tests lets through.
const HI: &[u8] = b"\0\0\0\0\x04\x0a\x02hi";
const LARGE: usize = 70_000;
const OVER: [Transport; 2] = [Transport::Http1, Transport::Http2];
const STREAM: &str = "/v1/echo:stream?message=hi";
const FORMS: [&str; 3] = ["text/event-stream", "application/json-seq", "application/vnd.transom.length-prefixed-json"];

/// An upstream that answers two messages, and then what `x-then` says.
struct Breaker {
    address: SocketAddr,
    /// Calls that have had their two messages and wait.
    waiting: Arc<AtomicUsize>,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Serve,
    /// GOAWAY that covers all calls, and the end.
    Leave,
    /// Nothing is read or written any more.
    Freeze,
    /// Every connection is closed.
    Close,
}

/// What the caller made of it.
#[derive(Debug)]
struct Seen {
    what: String,
    messages: usize,
    code: Option<Code>,
    cut: bool,
    /// The form cannot end well behind an error: it is cut on purpose.
    is_array: bool,
}

// === impl Breaker ===

impl Breaker {
    async fn start() -> Breaker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (waiting, order) = (Arc::<AtomicUsize>::default(), watch::Sender::new(Order::Serve));
        let (count, orders) = (Arc::clone(&waiting), order.subscribe());
        let task = tokio::spawn(async move {
            let mut taken = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                taken.spawn(serve(socket, Arc::clone(&count), orders.clone()));
            }
        });
        Breaker { address, waiting, order, task }
    }

    fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream, waiting: Arc<AtomicUsize>, mut orders: watch::Receiver<Order>) {
    let mut builder = h2::server::Builder::new();
    let Ok(mut http2) = builder.max_concurrent_streams(500).handshake(socket).await else { return };
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Ok(()) = orders.changed() => {
                let order = *orders.borrow_and_update();
                match order {
                    Order::Serve => {}
                    Order::Leave => http2.abrupt_shutdown(h2::Reason::INTERNAL_ERROR),
                    Order::Close => return,
                    Order::Freeze => std::future::pending().await,
                }
            }
            next = http2.accept() => match next {
                Some(Ok((request, respond))) => drop(calls.spawn(answer(request, respond, Arc::clone(&waiting)))),
                _ => return,
            },
        }
    }
}

async fn answer(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, waiting: Arc<AtomicUsize>) {
    let then = request.headers().get("x-then").map_or("", |value| value.to_str().expect("text")).to_owned();
    // the stream of the request stays open, lest it is reset
    let mut body = request.into_body();
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    let (how, glued) = then.split_once(' ').unwrap_or((&then, ""));
    let (early, mut bytes) = if glued == "at once" { (Vec::new(), HI.repeat(2)) } else { (HI.repeat(2), Vec::new()) };
    send_all(&mut stream, early.into(), false).await;
    if glued != "at once" {
        sleep(Duration::from_millis(60)).await;
    }
    match how {
        "large" => {
            bytes.extend([0, 0, 1, 0x11, 0x70]);
            bytes.extend(vec![b'x'; LARGE]);
        }
        "flags" => bytes.extend(b"\x40\0\0\0\x04\x0a\x02hi"),
        // its first half has gone out when what follows it turns out to be bad
        "split" => {
            bytes.extend(b"\0\0\0\0\x04\x0a");
            send_all(&mut stream, std::mem::take(&mut bytes).into(), false).await;
            sleep(Duration::from_millis(60)).await;
            bytes.extend(b"\x02hi\x40\0\0\0\x04\x0a\x02hi");
        }
        _ => {}
    }
    send_all(&mut stream, bytes.into(), false).await;
    match how {
        "reset" => {
            let reason: u32 = glued.parse().expect("a reason");
            sleep(Duration::from_millis(60)).await;
            stream.send_reset(reason.into());
        }
        // until the window or the caller has had enough
        "flood" => while send_all(&mut stream, Bytes::from_static(HI), false).await {},
        "end" => drop(stream.send_data(Bytes::new(), true)),
        "wait" => {
            waiting.fetch_add(1, Relaxed);
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        }
        _ => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let _ = stream.send_trailers(trailers);
        }
    }
}

/// The same call in every dialect and over both versions of HTTP. `timeout`: milliseconds.
fn calls<'e>(edge: &'e Edge, then: &'e str, timeout: Option<u64>) -> Vec<BoxFuture<'e, Seen>> {
    let mut calls = Vec::new();
    for dialect in ALL.into_iter().filter(|dialect| dialect.speaks(SERVER)) {
        for transport in OVER.into_iter().filter(|over| dialect.goes_over(*over)) {
            let ask = dialect.ask(SERVER, &["hi"]).header("x-then", then);
            let ask = match timeout {
                None => ask,
                Some(millis) => with_deadline(ask, dialect, millis),
            };
            calls.push(by_dialect(edge, dialect, transport, ask).boxed());
        }
    }
    for (accept, transport) in FORMS.into_iter().flat_map(|form| OVER.map(|over| (form, over))) {
        let ask = Ask::get(STREAM).header("accept", accept).header("x-then", then);
        let ask = timeout.map_or(ask.clone(), |millis| ask.header("grpc-timeout", &format!("{millis}m")));
        calls.push(by_form(edge, accept, transport, ask).boxed());
    }
    for (speech, transport) in SPEECHES.into_iter().flat_map(|speech| OVER.map(|over| (speech, over))) {
        let mut call = Call::new(speech, SERVER).over(transport).with(&[("x-then", then)]);
        if let Some(millis) = timeout {
            call = call.with(&[("grpc-timeout", &*format!("{millis}m"))]);
        }
        calls.push(by_socket(edge, call).boxed());
    }
    calls
}

fn with_deadline(ask: Ask, dialect: Dialect, millis: u64) -> Ask {
    match dialect {
        Dialect::ConnectStreamProto | Dialect::ConnectStreamJson => {
            ask.header("connect-timeout-ms", &millis.to_string())
        }
        _ => ask.header("grpc-timeout", &format!("{millis}m")),
    }
}

async fn by_dialect(edge: &Edge, dialect: Dialect, transport: Transport, ask: Ask) -> Seen {
    let told = dialect.read(&edge.ask(transport, &ask).await);
    let what = format!("{dialect:?} over {transport:?}: {told:?}");
    let is_array = dialect == Dialect::RestArray;
    Seen { what, messages: told.messages.len(), code: told.code, cut: told.cut, is_array }
}

async fn by_form(edge: &Edge, accept: &str, transport: Transport, ask: Ask) -> Seen {
    let answer = edge.ask(transport, &ask).await;
    let text = answer.text();
    let messages = text.matches(r#"{"message":"hi"}"#).count();
    let code = text.split_once(r#""code":"#).and_then(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).map(Code::from_number)
    });
    let what = format!("{accept} over {transport:?}: {text}");
    Seen { what, messages, code, cut: answer.cut, is_array: false }
}

async fn by_socket(edge: &Edge, call: Call) -> Seen {
    let mut client = call.open(edge).await;
    client.say("hi").await;
    client.end().await;
    let heard = client.rest().await;
    let what = format!("{:?} over {:?}: {heard:?}", call.speech, call.transport);
    Seen { what, messages: heard.messages.len(), code: heard.code, cut: heard.close.is_none(), is_array: false }
}

/// What is wrong with the answers to a failure that should come as this code behind so many messages.
fn wrong(all: Vec<Seen>, how: &str, messages: usize, code: Code) -> Vec<String> {
    assert!(all.len() > 25, "every dialect");
    let is_wrong = |seen: &Seen| seen.code != Some(code) || seen.messages != messages || seen.cut != seen.is_array;
    all.iter().filter(|seen| is_wrong(seen)).map(|seen| format!("{how}, {code:?}: {}", seen.what)).collect()
}

#[tokio::test]
async fn what_the_upstream_does_within_a_stream_is_told_behind_its_messages() {
    let _turn = super::turn().await;
    let breaker = Breaker::start().await;
    let edge = Edge::before(&breaker.url(), "").await;
    let mut failures = Vec::new();
    for (then, messages, code) in [
        ("reset 8", 2, Code::Cancelled),
        ("reset 2", 2, Code::Internal),
        ("reset 0", 2, Code::Internal),
        ("reset 7", 2, Code::Unavailable),
        ("reset 11", 2, Code::ResourceExhausted),
        ("reset 12", 2, Code::PermissionDenied),
        ("end", 2, Code::Unknown),
        ("end at once", 2, Code::Unknown),
        ("large", 2, Code::ResourceExhausted),
        ("large at once", 2, Code::ResourceExhausted),
        ("flags", 2, Code::Internal),
        ("flags at once", 2, Code::Internal),
        ("split", 3, Code::Internal),
    ] {
        let seen = join_all(calls(&edge, then, None)).await;
        failures.extend(wrong(seen, then, messages, code));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn what_becomes_of_the_connection_is_told_in_every_stream_on_it() {
    let _turn = super::turn().await;
    let mut failures = Vec::new();
    for order in [Order::Close, Order::Leave, Order::Freeze] {
        let breaker = Breaker::start().await;
        let upstream = format!("{}\n    keep_alive: {{interval: 1s, timeout: 5s}}", breaker.url());
        let edge = Edge::before(&upstream, "").await;
        let calls = calls(&edge, "wait", None);
        let count = calls.len();
        let act = async {
            until("all wait", || async { breaker.waiting.load(Relaxed) == count }).await;
            // what was written arrives
            sleep(Duration::from_millis(200)).await;
            breaker.order.send_replace(order);
        };
        let (seen, ()) = tokio::join!(join_all(calls), act);
        failures.extend(wrong(seen, &format!("{order:?}"), 2, Code::Unavailable));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn time_that_is_over_is_told_in_the_stream() {
    let _turn = super::turn().await;
    let breaker = Breaker::start().await;
    let edge = Edge::before(&breaker.url(), "").await;
    let seen = join_all(calls(&edge, "wait", Some(5000))).await;
    let mut failures = wrong(seen, "deadline", 2, Code::DeadlineExceeded);
    let idle = Edge::before(&breaker.url(), "settings: [{match: \"*\", idle_timeout: 4s}]").await;
    let seen = join_all(calls(&idle, "wait", None)).await;
    failures.extend(wrong(seen, "idle", 2, Code::DeadlineExceeded));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Reads nothing until the deadline is over, and then all.
async fn late_reader(edge: &Edge, dialect: Dialect) -> Told {
    let mut builder = h2::client::Builder::new();
    let socket = tcp(edge.clear).await;
    let (client, connection) = builder.initial_window_size(100).handshake::<_, Bytes>(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("a client");
    let ask = with_deadline(dialect.ask(SERVER, &["hi"]).header("x-then", "flood"), dialect, 4000);
    let (response, mut up) = client.send_request(h2_request(&ask), ask.body.is_empty()).expect("a stream");
    if !ask.body.is_empty() {
        assert!(send_all(&mut up, ask.body.into(), true).await);
    }
    let (head, body) = response.await.expect("a head").into_parts();
    sleep(Duration::from_millis(5000)).await;
    let answer = Answer { status: head.status.as_u16(), headers: head.headers, ..Answer::default() };
    dialect.read(&timeout(PATIENCE, rest_of_h2(answer, body)).await.expect("an end"))
}

#[tokio::test]
async fn a_deadline_that_passed_while_nothing_was_read_is_told_to_the_late_reader() {
    let _turn = super::turn().await;
    let breaker = Breaker::start().await;
    let edge = Edge::before(&breaker.url(), "").await;
    // an array ends cut behind an error, and a cut throws away what has not been read
    let dialects = ALL.into_iter().filter(|dialect| dialect.speaks(SERVER) && *dialect != Dialect::RestArray);
    let edge = &edge;
    let told = join_all(dialects.map(|dialect| async move { (dialect, late_reader(edge, dialect).await) })).await;
    for (dialect, told) in told {
        let at = format!("{dialect:?}: {:?}, cut: {}, {} messages", told.code, told.cut, told.messages.len());
        assert_eq!(told.code, Some(Code::DeadlineExceeded), "{at}");
        assert!(!told.cut, "{at}");
        assert!(told.messages.len() >= 2, "{at}");
    }
    until("the upstream is let go", || async { edge.metric("transom_upstream_streams_active").await == 0 }).await;
}
