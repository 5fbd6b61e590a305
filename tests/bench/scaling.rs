//! What a call costs with one worker and with two, measured, and what the points that workers share would cost with up to
//! 64 cores, by a model.
//!
//!     cargo build --release --bin transom --example scaling
//!     target/release/examples/scaling                    # both; needs a quiet machine
//!     target/release/examples/scaling --model-only --call-us 12 --remote-ns 100
//!
//! Measured is processor time of the edge per call, not calls per second: on a machine whose cores the callers and the
//! upstream use as well, that is what shows whether workers are in each other's way. A core that waits for a cache line
//! of another core's is busy in the kernel's eyes, so contention is in it.
//!
//! # The model, and what it is not
//!
//! A call is T of work that is no other core's business, and then a visit to each cache line that all cores write (`LINES`
//! names them with their place). A line is a server with a queue: it serves one core at a time, in `LOCAL` if the
//! same core had it last, in `remote` if another did, which is so in (N - 1) of N visits when N cores take turns. N cores
//! that do nothing but calls are a closed queueing network, which mean value analysis solves (Reiser and Lavenberg, 1980).
//!
//! It leaves out: memory bandwidth, shared caches, hyper-threads, sockets (give `--remote-ns` that of the other socket to
//! be pessimistic), the kernel's own shared points (accept queues, the loopback, interrupts), and upstreams, of which each
//! worker has connections of its own: endpoints see workers times connections. It is a bound for what the edge's own
//! shared lines can cost, and says which of them would be first; it is no forecast of throughput.

mod load;
#[allow(dead_code)]
#[path = "../edge/support.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use clap::Parser;
use load::{Burden, median};
use support::{Process, configuration, protos};
use transom::demo::upstream::Upstream;

#[derive(Parser)]
struct Flags {
    #[arg(long)]
    model_only: bool,
    /// Processor time of a call on one core, microseconds; measured unless it is given.
    #[arg(long)]
    call_us: Option<f64>,
    /// What it takes to fetch a cache line that another core has written, nanoseconds; measured unless it is given.
    #[arg(long)]
    remote_ns: Option<f64>,
    /// Seconds of a round.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Rounds of each number of workers.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long)]
    program: Option<PathBuf>,
}

/// A cache line that all workers write.
struct Line {
    what: &'static str,
    /// Where it is written; of one call of gRPC that passes, with one message each way.
    place: &'static str,
    /// Visits per call that do not follow directly upon each other: each may find the line with another core.
    visits: f64,
    /// What would take the line away.
    remedy: Remedy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Counters per worker, added up when they are read.
    OwnCounters,
    /// A handle per worker and generation, of which calls take a part.
    OwnHandles,
}

/// All there are. Locks on a call's way (the pool's, a connection's, a stream's, h2's) are of one worker: no other thread
/// takes them. `ArcSwap::load` writes a slot of the thread's own.
const LINES: [Line; 6] = [
    Line {
        what: "owners of the tables",
        place: "proxy/handler.rs `tables.load_full()`, proxy/tables.rs `Called::new`; and both dropped",
        visits: 3.0,
        remedy: Remedy::OwnHandles,
    },
    Line {
        what: "owners of the meters, calls_active, upstream_streams_active (neighbours in memory)",
        place: "call/record.rs `start`, `drop`; upstream/connection.rs `claim`, `Slot::drop`",
        visits: 4.0,
        remedy: Remedy::OwnCounters,
    },
    Line {
        what: "calls by dialect and code",
        place: "observe/meters.rs `call_ended`, from call/record.rs `drop`",
        visits: 1.0,
        remedy: Remedy::OwnCounters,
    },
    Line {
        what: "calls by duration",
        place: "observe/meters.rs `call_ended`",
        visits: 1.0,
        remedy: Remedy::OwnCounters,
    },
    Line {
        what: "sum of durations",
        place: "observe/meters.rs `call_ended`",
        visits: 1.0,
        remedy: Remedy::OwnCounters,
    },
    Line {
        what: "owners of an endpoint's :authority (shared by as many as there are endpoints)",
        place: "upstream/pool.rs `send`: `endpoint.authority.clone()`; dropped by h2 once it is encoded",
        visits: 2.0,
        remedy: Remedy::OwnHandles,
    },
];

/// An atomic addition to a line that the core has.
const LOCAL_NS: f64 = 5.0;
const CORES: [usize; 8] = [1, 2, 4, 8, 16, 32, 48, 64];

fn main() {
    let flags = Flags::parse();
    let remote = flags.remote_ns.unwrap_or_else(remote_line);
    println!("a line of another core's takes {remote:.0} ns (a virtual machine's cores may be threads of one)");
    let measured = if flags.model_only { None } else { measure(&flags) };
    let call = flags.call_us.or(measured).unwrap_or(15.0);
    model(call * 1000.0, remote);
}

// === the measurement ===

/// Processor time per call with one worker, microseconds.
fn measure(flags: &Flags) -> Option<f64> {
    let program = flags.program.clone().or_else(Process::beside).filter(|path| path.exists())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rounds = [Vec::new(), Vec::new()];
    println!("\nworkers  calls/s  us of processor per call");
    for _ in 0..flags.rounds {
        for (workers, round) in [1, 2].into_iter().zip(&mut rounds) {
            let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
            let url = format!("h2c://{}", upstream.address());
            let edge = Process::of(&program, &configuration(&url, &protos(), &format!("workers: {workers}")));
            let burden = Burden { edge: edge.clear, process: edge.child.id(), bytes: 2, seconds: flags.seconds };
            let cost = runtime.block_on(burden.measure());
            println!("{workers:>7}  {:>7.0}  {:.2}", cost.calls as f64 / flags.seconds, cost.micros);
            round.push(cost.micros);
        }
    }
    let [one, two] = rounds.map(median);
    println!("median: {one:.2} us with one worker, {two:.2} with two; throughput per core {:.0} %", 100.0 * one / two);
    Some(one)
}

/// What a line costs that two threads write in turn, nanoseconds per write.
fn remote_line() -> f64 {
    let once = || {
        let turn = Arc::new(AtomicU64::new(0));
        const TURNS: u64 = 200_000;
        let begun = Instant::now();
        let threads: Vec<_> = (0..2)
            .map(|own| {
                let turn = Arc::clone(&turn);
                thread::spawn(move || {
                    let mut spins = 0_u32;
                    while turn.load(Relaxed) < TURNS {
                        if turn.load(Relaxed) % 2 == own {
                            turn.fetch_add(1, Relaxed);
                            spins = 0;
                        } else {
                            spins += 1;
                            if spins > 10_000 {
                                thread::yield_now();
                            }
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        begun.elapsed().as_nanos() as f64 / TURNS as f64
    };
    // a hand-over is a fetch for reading and one for writing; what disturbs it only makes it longer
    (0..5).map(|_| once()).fold(f64::INFINITY, f64::min) / 2.0
}

// === the model ===

fn model(call: f64, remote: f64) {
    println!("\nshared by all cores, per call:");
    for line in &LINES {
        println!("  {} visits: {}\n    {}", line.visits, line.what, line.place);
    }
    println!("\nthroughput per core, percent of one core's (a call takes {:.1} us there):", call / 1000.0);
    println!("cores  as it is  with counters per worker  and handles per worker");
    for cores in CORES {
        let of = |keeps: &dyn Fn(&Line) -> bool| {
            let lines: Vec<&Line> = LINES.iter().filter(|line| keeps(line)).collect();
            100.0 * per_core(call, remote, &lines, cores) / per_core(call, remote, &lines, 1)
        };
        let (all, handles) = (of(&|_| true), of(&|line| line.remedy == Remedy::OwnHandles));
        println!("{cores:>5}  {all:>8.1}  {handles:>24.1}  {:>22.1}", of(&|_| false));
    }
    let ceiling = LINES.iter().map(|line| 1e9 / (line.visits * (LOCAL_NS + remote))).fold(f64::INFINITY, f64::min);
    println!("the busiest line ends it at {:.1} million calls per second, whatever the number of cores", ceiling / 1e6);
}

/// Calls per nanosecond and core, by mean value analysis.
fn per_core(call: f64, remote: f64, lines: &[&Line], cores: usize) -> f64 {
    let foreign = (cores - 1) as f64 / cores as f64;
    let service = LOCAL_NS + foreign * remote;
    let mut queues = vec![0.0; lines.len()];
    let mut throughput = 0.0;
    for others in 0..cores {
        let waits: Vec<f64> = queues.iter().map(|queue| service * (1.0 + queue)).collect();
        let all: f64 = waits.iter().zip(lines).map(|(wait, line)| line.visits * wait).sum();
        throughput = (others + 1) as f64 / (call + all);
        for ((queue, wait), line) in queues.iter_mut().zip(&waits).zip(lines) {
            *queue = throughput * line.visits * wait;
        }
    }
    throughput / cores as f64
}
