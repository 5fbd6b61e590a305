//! What a call of native gRPC costs that only passes, by the size of its messages, beside HAProxy in the same run.
//!
//!     cargo build --release --bin transom --example passing
//!     target/release/examples/passing                    # needs a quiet machine, and haproxy for the second column
//!
//! Both stand before the same upstream with one worker each, and take turns. What counts is their processor time per
//! call, user's and kernel's; callers and upstream have their own.

mod load;
#[allow(dead_code)]
#[path = "../edge/support.rs"]
mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use load::{Burden, median};
use support::{Process, configuration, protos};
use transom::demo::upstream::Upstream;

#[derive(Parser)]
struct Flags {
    /// Bytes of the text in each message.
    #[arg(long, value_delimiter = ',', default_value = "16,300,1024,4096")]
    bytes: Vec<usize>,
    /// Seconds of a round.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Rounds of each row and proxy.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long)]
    program: Option<PathBuf>,
    #[arg(long, default_value = "haproxy")]
    haproxy: PathBuf,
}

/// HAProxy as it passes gRPC on, one thread.
struct Haproxy {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Haproxy {
    /// `None`: there is no such program.
    fn start(program: &Path, upstream: SocketAddr) -> Option<Haproxy> {
        let folder = tempfile::tempdir().expect("a folder");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port");
        let text = format!(
            "global\n nbthread 1\n maxconn 8000\n\
             defaults\n mode http\n timeout connect 1s\n timeout client 1h\n timeout server 1h\n http-reuse always\n\
             frontend ingress\n bind {address} proto h2 backlog 4096\n default_backend upstream\n\
             backend upstream\n server one {upstream} proto h2\n"
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).expect("a file");
        let child = Command::new(program).arg("-db").arg("-f").arg(file).stderr(Stdio::null()).spawn().ok()?;
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "haproxy does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Haproxy { child, address, _folder: folder })
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let flags = Flags::parse();
    let program = flags.program.clone().or_else(Process::beside).expect("the edge's program: --program");
    println!("bytes  transom us  haproxy us  ratio   (medians of {} rounds; each in brackets)", flags.rounds);
    for bytes in &flags.bytes {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..flags.rounds {
            ours.push(of_transom(&flags, &program, *bytes));
            theirs.extend(of_haproxy(&flags, *bytes));
        }
        let all = format!("[{}] [{}]", written(&ours), written(&theirs));
        let ours = median(ours);
        match theirs.is_empty() {
            true => println!("{bytes:>5}  {ours:>10.2}  {:>10}  {:>5}   {all}", "-", "-"),
            false => {
                let theirs = median(theirs);
                println!("{bytes:>5}  {ours:>10.2}  {theirs:>10.2}  {:>5.2}   {all}", ours / theirs);
            }
        }
    }
}

fn written(rounds: &[f64]) -> String {
    rounds.iter().map(|micros| format!("{micros:.1}")).collect::<Vec<_>>().join(" ")
}

fn of_transom(flags: &Flags, program: &Path, bytes: usize) -> f64 {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let url = format!("h2c://{}", upstream.address());
    let edge = Process::of(program, &configuration(&url, &protos(), "workers: 1"));
    measured(flags, edge.clear, edge.child.id(), bytes)
}

fn of_haproxy(flags: &Flags, bytes: usize) -> Option<f64> {
    let upstream = Upstream::start(([127, 0, 0, 1], 0).into()).expect("an upstream");
    let proxy = Haproxy::start(&flags.haproxy, upstream.address())?;
    Some(measured(flags, proxy.address, proxy.child.id(), bytes))
}

fn measured(flags: &Flags, edge: SocketAddr, process: u32, bytes: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cost = runtime.block_on(Burden { edge, process, bytes, seconds: flags.seconds }.measure());
    assert!(cost.calls > 1000, "only {} calls: the machine is not fit for this", cost.calls);
    cost.micros
}
