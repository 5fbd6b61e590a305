//! Calls of native gRPC on and on, and the processor time that what stands between them and their upstream takes for each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use transom::wire::{prefix, put_bytes};

use super::support::{Ask, h2_request, handshake, read_h2, send_all, tcp};

/// What one process is given to carry.
#[derive(Clone, Copy)]
pub struct Burden {
    /// Where it listens, for HTTP/2 in clear text.
    pub edge: SocketAddr,
    pub process: u32,
    /// Of the text in each message, there and back.
    pub bytes: usize,
    pub seconds: f64,
}

/// What that cost.
pub struct Cost {
    pub calls: u64,
    /// Of processor time per call.
    pub micros: f64,
}

/// Connections of callers, and calls in flight on each.
const CALLERS: (usize, usize) = (8, 8);

impl Burden {
    pub async fn measure(self) -> Cost {
        let (calls, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let callers = {
            let (calls, stop) = (Arc::clone(&calls), Arc::clone(&stop));
            thread::spawn(move || self.call_on_and_on(&calls, &stop))
        };
        // connections are made, and the allocator has what it needs
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, begun) = (calls.load(Relaxed), nanos(self.process));
        tokio::time::sleep(Duration::from_secs_f64(self.seconds)).await;
        let (made, used) = (calls.load(Relaxed) - before, nanos(self.process) - begun);
        stop.store(true, Relaxed);
        callers.join().expect("no panic");
        Cost { calls: made, micros: used as f64 / 1000.0 / made.max(1) as f64 }
    }

    fn call_on_and_on(self, calls: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let body = Bytes::from(message(self.bytes));
        let local = async {
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..CALLERS.0 {
                let client = handshake(Box::new(tcp(self.edge).await)).await;
                for _ in 0..CALLERS.1 {
                    let (client, calls, stop) = (client.clone(), Arc::clone(calls), Arc::clone(stop));
                    let body = body.clone();
                    all.spawn(async move {
                        let ask = Ask::post("/grpc.examples.echo.Echo/UnaryEcho", "application/grpc", &b""[..]);
                        let ask = ask.header("te", "trailers");
                        while !stop.load(Relaxed) {
                            let mut ready = client.clone().ready().await.expect("a connection");
                            let (response, mut up) = ready.send_request(h2_request(&ask), false).expect("a stream");
                            assert!(send_all(&mut up, body.clone(), true).await);
                            let answer = read_h2(response).await;
                            assert!(answer.status == 200 && answer.body.len() >= self.bytes, "{answer:?}");
                            calls.fetch_add(1, Relaxed);
                        }
                    });
                }
            }
            while all.join_next().await.is_some() {}
        };
        runtime.block_on(local);
    }
}

/// `grpc.examples.echo.EchoRequest` with a text of so many bytes, framed.
fn message(bytes: usize) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &vec![b'x'; bytes]);
    [&prefix(0, message.len()), &*message].concat()
}

/// Processor time of a process so far, user's and kernel's, as the scheduler counts it (proc(5), `schedstat`).
fn nanos(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    let of_thread = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.filter_map(|thread| of_thread(thread.ok()?)).sum()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
