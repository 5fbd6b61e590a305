//! Half an hour of everything at once: all dialects, callers who go away, callers who read slowly, reloads, endpoints
//! that say goodbye and are restarted. At the end memory and descriptors must be where they were, and no call lost.
//!
//!     cargo build --release --bin transom --example soak
//!     target/release/examples/soak --minutes 30 --rate 300
//!
//! `--program` names another binary than the one beside. Samples go to stdout, the last line is the verdict; the exit code
//! is 0 if it holds.

#[allow(dead_code)]
#[path = "../edge/dialects.rs"]
mod dialects;
#[allow(dead_code)]
#[path = "endpoint.rs"]
mod endpoint;
#[allow(dead_code)]
#[path = "ledger.rs"]
mod ledger;
#[allow(dead_code)]
#[path = "load.rs"]
mod load;
#[allow(dead_code)]
#[path = "../edge/support.rs"]
mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use dialects::{BIDI, Dialect, SERVER};
use endpoint::Endpoint;
use ledger::{Ledger, name_of};
use load::{Load, Outcome};
use support::{Process, configuration, h2_request, handshake, page, protos, send_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

#[derive(Parser)]
struct Flags {
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Calls per second that must all end well; those that are cut off come on top.
    #[arg(long, default_value_t = 300)]
    rate: u64,
    /// Seconds between two samples.
    #[arg(long, default_value_t = 10.0)]
    every: f64,
    #[arg(long)]
    program: Option<PathBuf>,
}

/// What the edge held at a moment.
#[derive(Clone, Debug)]
struct Sample {
    at: Duration,
    memory: f64,
    descriptors: f64,
    /// The gauges of `/metrics`, as they stand there.
    gauges: String,
}

/// What is counted while it runs.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    bad: AtomicU64,
    twice: AtomicU64,
    cut_off: AtomicU64,
    slow: AtomicU64,
    reloads: AtomicU64,
}

/// Callers who read next to nothing, at any time.
const SLOW: usize = 12;
/// What may be gained over the last two thirds and still be noise: bytes, and as a part of the whole.
const NOISE: (f64, f64) = (4.0 * 1024.0 * 1024.0, 0.05);
const NOISE_DESCRIPTORS: f64 = 10.0;
const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let Some(program) = flags.program.clone().or_else(Process::beside).filter(|path| path.exists()) else {
        eprintln!("no such program: build it, or name it by --program");
        return ExitCode::from(2);
    };
    let ledger = Arc::<Ledger>::default();
    let endpoints = Endpoint::several(3, &ledger);
    let at: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let versions = versions(&at);
    let edge = Process::of(&program, &versions[0]);
    let counts = Arc::<Counts>::default();
    let load = Load::with(edge.clear, flags.rate, judge(&ledger, &counts));

    let mut others = JoinSet::new();
    others.spawn(cut_off(edge.clear, Arc::clone(&ledger), Arc::clone(&counts)));
    for at in 0..SLOW {
        others.spawn(read_slowly(edge.clear, at, Arc::clone(&counts)));
    }
    let whole = async {
        let samples = watch(&flags, &edge).await;
        // what is under way ends while all is as it was
        (samples, load.end().await)
    };
    let (samples, left) = tokio::select! {
        both = whole => both,
        never = reload(&edge, &versions, &counts) => match never {},
        never = trouble(endpoints) => match never {},
    };
    println!("not good: {left}");
    for done in left.0.iter().take(10) {
        println!("{done:?}");
    }
    verdict(&flags, &samples, &counts)
}

/// The configurations that are loaded in turn.
fn versions(at: &[SocketAddr]) -> [String; 3] {
    let urls: Vec<String> = at.iter().map(|address| format!("h2c://{address}")).collect();
    let all = format!("[{}]", urls.join(", "));
    let more = "workers: 2\nsettings: [{match: \"*\", max_response_message: 1MiB}]";
    [
        configuration(&all, &protos(), more),
        configuration(&all, &protos(), &more.replace("1MiB", "2MiB")),
        configuration(&format!("{all}\n    connect_timeout: 4s"), &protos(), more),
    ]
}

/// Counts the calls that ended; the bad ones are kept.
fn judge(ledger: &Arc<Ledger>, counts: &Arc<Counts>) -> impl Fn(&load::Done) -> bool + Send + use<> {
    let (ledger, counts) = (Arc::clone(ledger), Arc::clone(counts));
    move |done| {
        let fate = ledger.fate(done.number);
        ledger.forget(done.number);
        counts.calls.fetch_add(1, Relaxed);
        counts.twice.fetch_add(u64::from(fate.executed.len() > 1), Relaxed);
        let bad = done.outcome != Outcome::Good;
        counts.bad.fetch_add(u64::from(bad), Relaxed);
        bad || fate.executed.len() > 1
    }
}

async fn reload(edge: &Process, versions: &[String], counts: &Counts) -> Infallible {
    let mut ticks = interval(Duration::from_secs(3));
    for version in versions.iter().cycle() {
        ticks.tick().await;
        edge.configure(version);
        edge.signal("HUP");
        counts.reloads.fetch_add(1, Relaxed);
    }
    std::future::pending().await
}

/// Goodbyes every five seconds, and a restart in peace every half minute.
async fn trouble(mut endpoints: Vec<Endpoint>) -> Infallible {
    for turn in 0_usize.. {
        sleep(Duration::from_secs(5)).await;
        let at = turn % endpoints.len();
        if turn % 6 == 5 {
            endpoints[at].leave().await;
            sleep(Duration::from_secs(1)).await;
            endpoints[at].restart();
        } else {
            endpoints[at].go_away(None);
        }
    }
    std::future::pending().await
}

/// Twenty callers a second who leave in the middle, by a reset or with their whole connection.
async fn cut_off(edge: SocketAddr, ledger: Arc<Ledger>, counts: Arc<Counts>) {
    let mut ticks = interval(Duration::from_millis(50));
    for turn in 0_u64.. {
        ticks.tick().await;
        let number = (1 << 40) + turn;
        let (ledger, counts) = (Arc::clone(&ledger), Arc::clone(&counts));
        tokio::spawn(async move {
            let left = timeout(Duration::from_secs(10), leave(edge, number)).await;
            counts.cut_off.fetch_add(u64::from(left.is_ok()), Relaxed);
            // the upstream may come to it a little later
            sleep(Duration::from_secs(2)).await;
            ledger.forget(number);
        });
    }
}

async fn leave(edge: SocketAddr, number: u64) {
    let name = name_of(number);
    let dialect = [Dialect::Grpc, Dialect::Web, Dialect::ConnectStreamJson, Dialect::RestLines][number as usize % 4];
    let path = if dialect == Dialect::Grpc { BIDI } else { SERVER };
    let ask = dialect.ask(path, &[&name]);
    let Ok(mut socket) = TcpStream::connect(edge).await else { return };
    if number.is_multiple_of(2) {
        let mut client = handshake(Box::new(socket)).await;
        let Ok((response, mut up)) = client.send_request(h2_request(&ask), ask.body.is_empty()) else { return };
        let half = ask.body.len() / 2;
        if !ask.body.is_empty() {
            // some go within their request
            let some = if number.is_multiple_of(3) { ask.body[..half].to_vec() } else { ask.body };
            send_all(&mut up, some.into(), false).await;
        }
        let _ = timeout(Duration::from_millis(number % 17), response).await;
        up.send_reset(h2::Reason::CANCEL);
        return;
    }
    let request = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len());
    let _ = socket.write_all(&[request.as_bytes(), &ask.body].concat()).await;
    let mut some = [0; 64];
    let _ = timeout(Duration::from_millis(number % 17), socket.read(&mut some)).await;
}

/// Streams that never end, of tiny or of large messages, read a little for half a minute each.
async fn read_slowly(edge: SocketAddr, at: usize, counts: Arc<Counts>) {
    let dialects = [Dialect::Grpc, Dialect::Web, Dialect::ConnectStreamProto, Dialect::GrpcJson, Dialect::RestLines];
    let size = if at.is_multiple_of(2) { "3" } else { "65536" };
    for turn in at.. {
        let ask = dialects[turn % dialects.len()].ask(SERVER, &["slow"]).header("x-endless", size);
        let Ok(socket) = TcpStream::connect(edge).await else { return };
        let mut client = handshake(Box::new(socket)).await;
        let Ok((response, mut up)) = client.send_request(h2_request(&ask), ask.body.is_empty()) else { continue };
        if !ask.body.is_empty() {
            send_all(&mut up, ask.body.into(), true).await;
        }
        let Ok(Ok(response)) = timeout(Duration::from_secs(10), response).await else { continue };
        let mut body = response.into_body();
        let until = Instant::now() + Duration::from_secs(20 + at as u64);
        while Instant::now() < until {
            match timeout(Duration::from_secs(5), body.data()).await {
                Ok(Some(Ok(chunk))) => drop(body.flow_control().release_capacity(chunk.len())),
                _ => break,
            }
            sleep(Duration::from_millis(300)).await;
        }
        counts.slow.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(200)).await;
    }
}

async fn watch(flags: &Flags, edge: &Process) -> Vec<Sample> {
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_secs_f64(flags.every));
    let mut samples = Vec::new();
    while begun.elapsed().as_secs_f64() < flags.minutes * 60.0 {
        ticks.tick().await;
        let sample = Sample::take(edge, begun.elapsed()).await;
        println!("{sample}");
        samples.push(sample);
    }
    samples
}

fn verdict(flags: &Flags, samples: &[Sample], counts: &Counts) -> ExitCode {
    let last = &samples[samples.len() / 3..];
    let memory = gain(last, |sample| sample.memory);
    let descriptors = gain(last, |sample| sample.descriptors);
    let mean = last.iter().map(|sample| sample.memory).sum::<f64>() / last.len() as f64;
    let (bad, twice) = (counts.bad.load(Relaxed), counts.twice.load(Relaxed));
    let flat = memory <= NOISE.0.max(NOISE.1 * mean) && descriptors <= NOISE_DESCRIPTORS;
    let good = flat && bad == 0 && twice == 0 && last.len() > 3;
    println!(
        "soak {}: {} min, {} calls, {bad} failed, {twice} executed twice, {} cut off, {} slow readers, {} reloads; \
         memory {:.1} MiB, gained {:+.1} MiB, descriptors {:+.1} over the last two thirds",
        if good { "passed" } else { "FAILED" },
        flags.minutes,
        counts.calls.load(Relaxed),
        counts.cut_off.load(Relaxed),
        counts.slow.load(Relaxed),
        counts.reloads.load(Relaxed),
        mean / MIB,
        memory / MIB,
        descriptors,
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How much the line that fits best has gained from the first sample to the last.
fn gain(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let at = |sample: &Sample| sample.at.as_secs_f64();
    let (middle, level) = (mean(&at), mean(&|sample| of(sample)));
    let spread: f64 = samples.iter().map(|sample| (at(sample) - middle).powi(2)).sum();
    let slope: f64 = samples.iter().map(|sample| (at(sample) - middle) * (of(sample) - level)).sum();
    match (samples.first(), samples.last()) {
        (Some(first), Some(last)) if spread > 0.0 => slope / spread * (at(last) - at(first)),
        _ => 0.0,
    }
}

// === impl Sample ===

impl Sample {
    async fn take(edge: &Process, at: Duration) -> Sample {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", edge.child.id())).map_or(0, Iterator::count);
        let metrics = page(edge.admin, "/metrics").await;
        let gauges = metrics.lines().filter(|line| line.starts_with("transom_") && line.contains("_active "));
        let gauges: Vec<&str> = gauges.map(|line| line.trim_start_matches("transom_")).collect();
        Sample { at, memory: edge.memory() as f64, descriptors: descriptors as f64, gauges: gauges.join(", ") }
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.at.as_secs();
        write!(
            f,
            "{seconds:>5} s  {:>7.1} MiB  {:>4} descriptors  {}",
            self.memory / MIB,
            self.descriptors,
            self.gauges
        )
    }
}
