//! Callers of all dialects at a steady rate, each call with a number of its own, and what came of every one of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, timeout};
use transom::status::Code;

use super::dialects::{BIDI, CLIENT, Dialect, SERVER, UNARY};
use super::ledger::{Ledger, name_of};
use super::support::{Answer, Ask, PATIENCE, h2_request, read_http1, rest_of_h2, send_all};

/// A call that was made, from its first byte (or connect) to its end.
#[derive(Clone, Debug)]
pub struct Done {
    pub number: u64,
    pub shape: Shape,
    pub begun: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
}

/// What the caller saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// A clean status.
    Failed(Code, String),
    /// Broken off without a status.
    Cut,
    /// Never taken, and the caller could tell: connection refused, GOAWAY that leaves the call out, closed without a
    /// byte.
    Turned,
    /// OK, but not with what belongs to this call.
    Wrong(String),
    /// Nothing, for longer than anyone waits.
    Late,
}

/// Dialect, method, and whether over HTTP/2.
pub type Shape = (Dialect, &'static str, bool);

/// What callers mix.
const SHAPES: [Shape; 14] = [
    (Dialect::Grpc, UNARY, true),
    (Dialect::Web, UNARY, false),
    (Dialect::ConnectJson, UNARY, false),
    (Dialect::Rest, UNARY, true),
    (Dialect::Grpc, SERVER, true),
    (Dialect::Rest, UNARY, false),
    (Dialect::Grpc, BIDI, true),
    (Dialect::WebText, UNARY, false),
    (Dialect::ConnectProto, UNARY, true),
    (Dialect::Web, SERVER, true),
    (Dialect::Grpc, CLIENT, true),
    (Dialect::ConnectStreamJson, SERVER, true),
    (Dialect::RestLines, SERVER, false),
    (Dialect::GrpcJson, UNARY, true),
];

/// Connections over HTTP/2 that the callers share.
const SHARED: usize = 6;
const TICK: Duration = Duration::from_millis(10);

/// A load under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
    task: JoinHandle<Vec<Done>>,
}

/// All calls of a load.
#[derive(Debug)]
pub struct Report(pub Vec<Done>);

/// The callers' connections.
struct Callers {
    address: SocketAddr,
    shared: [Mutex<Option<SendRequest<Bytes>>>; SHARED],
    /// Kept-alive HTTP/1.1 connections without a call.
    idle: std::sync::Mutex<Vec<TcpStream>>,
}

/// Calls per second: the scenario's, unless `TRANSOM_CHAOS_RATE` says otherwise.
pub fn rate(usual: u64) -> u64 {
    std::env::var("TRANSOM_CHAOS_RATE").ok().map_or(usual, |text| text.parse().expect("a rate"))
}

/// Waits for so many milliseconds, times `TRANSOM_CHAOS_STRETCH`.
pub async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis * stretch())).await;
}

/// How much longer than usual scenarios run.
pub fn stretch() -> u64 {
    std::env::var("TRANSOM_CHAOS_STRETCH").ok().map_or(1, |text| text.parse().expect("a factor"))
}

// === impl Load ===

impl Load {
    /// Calls the edge at this address so often per second.
    pub fn begin(address: SocketAddr, rate: u64) -> Load {
        Load::with(address, rate, |_| true)
    }

    /// The same; each call that has ended is shown to `keep`, which says whether it goes into the report.
    pub fn with(address: SocketAddr, rate: u64, keep: impl Fn(&Done) -> bool + Send + 'static) -> Load {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(drive(address, rate, Arc::clone(&stop), Arc::clone(&begun), keep));
        Load { stop, begun, task }
    }

    /// Calls begun so far.
    pub fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Begins no more, and waits for those under way.
    pub async fn end(self) -> Report {
        self.stop.store(true, Relaxed);
        let mut all = timeout(PATIENCE * 2, self.task).await.expect("the callers end").expect("no panic");
        all.sort_by_key(|done| done.number);
        Report(all)
    }
}

async fn drive(
    address: SocketAddr,
    rate: u64,
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
    keep: impl Fn(&Done) -> bool,
) -> Vec<Done> {
    let callers = Arc::new(Callers::new(address));
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let under_way = Arc::new(AtomicUsize::new(0));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut all = Vec::new();
    let mut due = 0;
    while !stop.load(Relaxed) {
        ticks.tick().await;
        due += rate * TICK.as_millis() as u64;
        // a machine that cannot keep up is not buried
        while due >= 1000 && under_way.load(Relaxed) < 4 * rate as usize {
            due -= 1000;
            let number = begun.fetch_add(1, Relaxed) + 1;
            let (callers, sender, counted) = (Arc::clone(&callers), sender.clone(), Arc::clone(&under_way));
            counted.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                let _ = sender.send(callers.call(number).await);
                counted.fetch_sub(1, Relaxed);
            });
        }
        due %= 1000;
        while let Ok(done) = inbox.try_recv() {
            all.extend(Some(done).filter(&keep));
        }
    }
    drop(sender);
    while let Some(done) = inbox.recv().await {
        all.extend(Some(done).filter(&keep));
    }
    all
}

// === impl Callers ===

impl Callers {
    fn new(address: SocketAddr) -> Callers {
        Callers { address, shared: Default::default(), idle: std::sync::Mutex::default() }
    }

    async fn call(&self, number: u64) -> Done {
        let shape = SHAPES[number as usize % SHAPES.len()];
        let (dialect, path, over_h2) = shape;
        let name = name_of(number);
        let both = [&*name, &*name];
        let messages = if path == BIDI || path == CLIENT { &both[..] } else { &both[..1] };
        let ask = dialect.ask(path, messages);
        let begun = Instant::now();
        let asked = async {
            match over_h2 {
                true => self.over_h2(&ask, number as usize % SHARED).await,
                false => self.over_http1(&ask).await,
            }
        };
        let outcome = match timeout(PATIENCE, asked).await {
            Err(_) => Outcome::Late,
            Ok(None) => Outcome::Turned,
            Ok(Some(answer)) => judge(shape, &name, &answer),
        };
        Done { number, shape, begun, ended: Instant::now(), outcome }
    }

    /// `None`: the call was surely not taken.
    async fn over_h2(&self, ask: &Ask, at: usize) -> Option<Answer> {
        let mut client = self.client(at).await?;
        let (response, mut up) = client.send_request(h2_request(ask), ask.body.is_empty()).ok()?;
        drop(client);
        if !ask.body.is_empty() {
            // refused before it was sent whole: the answer tells
            let _ = send_all(&mut up, ask.body.clone().into(), true).await;
        }
        match response.await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let answer = Answer { status: head.status.as_u16(), headers: head.headers, ..Answer::default() };
                Some(rest_of_h2(answer, body).await)
            }
            Err(error) if error.is_go_away() && error.is_remote() => None,
            Err(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => None,
            Err(_) => Some(Answer { cut: true, ..Answer::default() }),
        }
    }

    /// A client that is ready, on the connection of this place or a new one.
    async fn client(&self, at: usize) -> Option<SendRequest<Bytes>> {
        let mut place = self.shared[at].lock().await;
        if let Some(client) = place.clone()
            && let Ok(ready) = client.ready().await
        {
            return Some(ready);
        }
        *place = None;
        let socket = TcpStream::connect(self.address).await.ok()?;
        let _ = socket.set_nodelay(true);
        let (client, connection) = h2::client::handshake(socket).await.ok()?;
        tokio::spawn(connection);
        *place = Some(client.clone());
        client.ready().await.ok()
    }

    /// A connection that waits for another request. One that the edge has closed meanwhile, as it stood there for too long,
    /// is known as such before anything is sent on it (RFC 9112, 9.5).
    fn kept(&self) -> Option<TcpStream> {
        let mut idle = self.idle.lock().expect("no panic");
        loop {
            let socket = idle.pop()?;
            if socket.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
                return Some(socket);
            }
        }
    }

    async fn over_http1(&self, ask: &Ask) -> Option<Answer> {
        let mut socket = match self.kept() {
            Some(socket) => socket,
            None => TcpStream::connect(self.address).await.ok()?,
        };
        let _ = socket.set_nodelay(true);
        let mut out = ask.head().into_bytes();
        if ask.method == "POST" {
            out.extend_from_slice(format!("content-length: {}\r\n", ask.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&ask.body);
        let _ = socket.write_all(&out).await;
        let mut raw = Vec::new();
        loop {
            let read = socket.read_buf(&mut raw).await.unwrap_or(0);
            if read == 0 && raw.is_empty() {
                return None;
            }
            let answer = read_http1(&raw);
            if read == 0 {
                return Some(answer);
            }
            if !answer.cut {
                if answer.header("connection") != "close" {
                    self.idle.lock().expect("no panic").push(socket);
                }
                return Some(answer);
            }
        }
    }
}

fn judge((dialect, path, _): Shape, name: &str, answer: &Answer) -> Outcome {
    if answer.status == 0 {
        return Outcome::Cut;
    }
    let told = dialect.read(answer);
    match told.code {
        None => Outcome::Cut,
        Some(Code::Ok) => {
            let good = match path {
                SERVER => told.messages == [name; 3],
                BIDI => told.messages == [name; 2],
                CLIENT => told.messages == [format!("{name}, {name}")],
                _ => told.messages == [name],
            };
            if good && !told.cut { Outcome::Good } else { Outcome::Wrong(format!("{told:?}")) }
        }
        Some(code) => Outcome::Failed(code, told.message),
    }
}

// === impl Report ===

impl Report {
    /// Those that did not end well.
    pub fn bad(&self) -> impl Iterator<Item = &Done> {
        self.0.iter().filter(|done| done.outcome != Outcome::Good)
    }

    pub fn good(&self) -> usize {
        self.0.len() - self.bad().count()
    }

    /// What holds whatever happens: nobody gets another's answer or waits for ever, no call is executed twice, and a
    /// good one was executed.
    pub fn is_sound(&self, ledger: &Ledger) {
        for done in &self.0 {
            let fate = ledger.fate(done.number);
            assert!(!matches!(done.outcome, Outcome::Wrong(_) | Outcome::Late), "{done:?} {fate:?}");
            assert!(fate.executed.len() <= 1, "executed twice: {done:?} {fate:?}");
            assert!(done.outcome != Outcome::Good || fate.executed.len() == 1, "{done:?} {fate:?}");
        }
    }

    /// Everything ended well, and enough was asked to say so.
    pub fn is_perfect(&self, ledger: &Ledger) {
        self.is_sound(ledger);
        let bad: Vec<_> = self.bad().take(5).map(|done| (done, ledger.fate(done.number))).collect();
        assert!(bad.is_empty(), "{self}: {bad:#?}");
        assert!(self.0.len() > 50, "{self}");
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut kinds = BTreeMap::<String, usize>::new();
        for done in self.bad() {
            let kind = match &done.outcome {
                Outcome::Failed(code, text) => format!("{} ({})", code.name(), text),
                other => format!("{other:?}"),
            };
            *kinds.entry(kind).or_default() += 1;
        }
        write!(f, "{} calls, {} good", self.0.len(), self.good())?;
        kinds.iter().try_for_each(|(kind, count)| write!(f, ", {count} {kind}"))
    }
}
