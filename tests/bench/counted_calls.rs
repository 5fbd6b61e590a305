//! Instructions that the program takes for one of the canonical calls: it runs under callgrind, twice, with fewer calls
//! and with more, and what counts is the difference. Caller and upstream are of this process, which is not counted.
//!
//!     cargo run --example counted_calls -- target/release/transom grpc-unary [OUT]
//!
//! Prints the instructions of one call. OUT is where callgrind leaves what `callgrind_annotate` reads, of the longer run.

#[allow(dead_code)] // the program drives no test
#[path = "../edge/support.rs"]
mod support;

mod bare;
mod calls;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use calls::{Call, calls};
use support::{Process, configuration, protos};
use tempfile::TempDir;

/// Calls of the two runs. The first is enough for what happens once; the difference is enough for what differs from run
/// to run (the seeds of hash tables, the order of threads at the start) to vanish in it.
const FEW: u64 = 200;
const MANY: u64 = 1700;
/// The listener of the tests' configuration that no call goes to.
const TLS: &str = "  - address: 127.0.0.1:0\n    tls: {certificate: cert.pem, key: key.pem}\n";
/// For a run's end; a machine that takes longer has stopped.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, name, out @ ..] = &*arguments else {
        eprintln!("usage: counted_calls PROGRAM CALL [OUT]");
        return ExitCode::FAILURE;
    };
    let all = calls();
    let Some(call) = all.iter().find(|call| call.name == name) else {
        eprintln!("no such call: {name}; there are {}", all.map(|call| call.name).join(" "));
        return ExitCode::FAILURE;
    };
    let folder = TempDir::new().expect("a folder");
    let out = out.first().map_or_else(|| folder.path().join("out"), Into::into);
    let [few, many] = [FEW, MANY].map(|times| instructions(Path::new(program), call, times, folder.path(), &out));
    println!("{}", many.saturating_sub(few) / (MANY - FEW));
    ExitCode::SUCCESS
}

/// All that the program takes, from its start to its end, with so many calls.
fn instructions(program: &Path, call: &Call, times: u64, folder: &Path, out: &Path) -> u64 {
    let upstream = call.upstream().expect("an upstream");
    let log = folder.join("log");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind");
    for (flag, path) in [("callgrind-out-file", out), ("log-file", &log)] {
        valgrind.arg(format!("--{flag}={}", path.display()));
    }
    valgrind.arg(program).env_remove("TRANSOM_LOG");
    // TLS that nobody speaks would gather entropy at the start, for more instructions than all the calls
    let configuration = configuration(&format!("h2c://{upstream}"), &protos(), "workers: 1").replace(TLS, "");
    let mut edge = Process::run(valgrind, &configuration);
    let made = call.caller(edge.clear).and_then(|mut caller| call.make(&mut caller, times));
    made.unwrap_or_else(|error| panic!("{}: {error}", call.name));
    edge.signal("TERM");
    ended(&mut edge);
    let told = std::fs::read_to_string(&log).expect("valgrind's log");
    let count = told.lines().find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    count.unwrap_or_else(|| panic!("valgrind counted nothing: {told}"))
}

fn ended(edge: &mut Process) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        match edge.child.try_wait().expect("a child") {
            Some(status) if status.success() => return,
            Some(status) => panic!("the edge ended with {status}"),
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("the edge does not end");
}
