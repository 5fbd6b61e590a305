//! What must hold while things break: endpoints that die, freeze and misbehave, callers who read nothing, reloads and
//! shutdowns, all under load of mixed dialects, with every call counted.
//!
//! Scenarios are short here, and take turns. `TRANSOM_CHAOS_RATE` (calls per second) and `TRANSOM_CHAOS_STRETCH` (a
//! factor of time) make a long run of them:
//!
//!     TRANSOM_CHAOS_RATE=500 TRANSOM_CHAOS_STRETCH=10 cargo test --release --test chaos -- --nocapture

#[allow(dead_code)]
#[path = "../edge/dialects.rs"]
mod dialects;
#[allow(dead_code)]
#[path = "../edge/name_server.rs"]
mod name_server;
#[allow(dead_code)]
#[path = "../edge/sockets.rs"]
mod sockets;
#[allow(dead_code)]
#[path = "../edge/support.rs"]
mod support;

// `soak.rs` uses these as well, each its own part
#[allow(dead_code)]
mod endpoint;
#[allow(dead_code)]
mod ledger;
#[allow(dead_code)]
mod load;
mod partition;

mod after_head;
mod endpoints;
mod names;
mod neighbours;
mod recovery;
mod reload;
mod slow_readers;

use std::net::SocketAddr;

use support::{Process, configuration, protos};
use tokio::sync::{Mutex, MutexGuard};

/// One scenario at a time: what they measure is not each other.
pub async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The configuration of an edge before these endpoints; `cluster` is added to their cluster, `more` at the top.
pub fn before(endpoints: &[SocketAddr], cluster: &str, more: &str) -> String {
    let urls: Vec<String> = endpoints.iter().map(|address| format!("h2c://{address}")).collect();
    let lines: String = cluster.lines().map(|line| format!("\n    {line}")).collect();
    configuration(&format!("[{}]{lines}", urls.join(", ")), &protos(), &format!("workers: 2\n{more}"))
}

/// The edge itself, as a process.
pub fn edge(endpoints: &[SocketAddr], cluster: &str, more: &str) -> Process {
    Process::by(&before(endpoints, cluster, more))
}
