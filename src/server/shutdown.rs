//! The process from start to end: signals.
//!
//! SIGHUP reloads. SIGTERM or SIGINT drains; a second one ends at once.

use std::io;
use std::sync::Arc;

use tokio::runtime;

use super::generation::Load;
use super::start::{RunError, Running, Start, start};
use super::workers::Spot;
use crate::listen::Corridor;

/// Runs until a signal ends it; prints `listening on ADDR` per listener on stderr once calls are taken.
///
/// `ready` is then called. Errors: it did not start.
pub fn run<T, H>(
    what: Start,
    load: Load<T>,
    build: impl Fn(Spot<T>) -> Arc<H> + Send + Sync + 'static,
    ready: impl FnOnce(&Running),
) -> Result<(), RunError>
where
    T: Send + Sync + 'static,
    H: Corridor,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        // before the first line that a supervisor waits for
        let mut signals = Signals::new()?;
        let running = tokio::select! {
            biased;
            () = signals.end() => return Ok(()),
            running = start(what, load, build) => running?,
        };
        if let Some(address) = running.admin_address() {
            say(&format!("admin on {address}\n"));
        }
        for address in running.addresses() {
            say(&format!("listening on {address}\n"));
        }
        ready(&running);
        until_the_end(running, &mut signals).await;
        Ok(())
    });
    // a load that is still under way does not keep the process
    runtime.shutdown_background();
    outcome
}

/// In one write: whoever waits for the line never sees a part of it.
fn say(line: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(line.as_bytes());
}

async fn until_the_end(running: Running, signals: &mut Signals) {
    while signals.told().await == Told::Reload {
        running.reload_soon();
    }
    tracing::info!("draining");
    tokio::select! {
        _ = running.shutdown() => {}
        () = signals.end() => tracing::warn!("ended by a second signal"),
    }
}

/// What a signal asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Reload,
    End,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

/// Ctrl-C is all there is.
#[cfg(not(unix))]
struct Signals;

// === impl Signals ===

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn told(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn told(&mut self) -> Told {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Told::End
    }
}

impl Signals {
    /// Resolves at a signal to end; one to reload has no meaning meanwhile.
    async fn end(&mut self) {
        while self.told().await != Told::End {}
    }
}
