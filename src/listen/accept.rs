//! The accept loop of one listener.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Door;
use crate::observe::GaugeGuard;

/// A slot of a listener's `max_connections`, held for as long as the connection lives.
#[derive(Debug)]
pub struct Admission {
    open: Arc<AtomicUsize>,
    _active: GaugeGuard,
}

/// How long the loop rests after an accept that failed for want of descriptors or memory, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Takes callers until dropped, and hands each to `place`. Callers over `max_connections` are closed and counted as
/// refused.
pub async fn accept(
    listener: TcpListener,
    door: Arc<Door>,
    mut place: impl FnMut(TcpStream, SocketAddr, Admission),
) -> Infallible {
    let mut rest = REST.0;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                rest = REST.0;
                match Admission::new(&door) {
                    Some(admission) if no_delay(&socket).is_ok() => place(socket, peer, admission),
                    Some(_) => {}
                    None => door.meters.connections_refused.add(1),
                }
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                if rest == REST.0 {
                    tracing::warn!(%error, address = %door.settings.address, "cannot take connections");
                }
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(REST.1);
            }
        }
    }
}

/// Small messages must not wait for acknowledgements. On Linux the option comes with the listening socket.
fn no_delay(socket: &TcpStream) -> io::Result<()> {
    if cfg!(target_os = "linux") { Ok(()) } else { socket.set_nodelay(true) }
}

/// Whether the connection went away before we took it; the next one is not affected.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

// === impl Admission ===

impl Admission {
    fn new(door: &Door) -> Option<Admission> {
        let limit = door.settings.max_connections;
        let before = door.open.fetch_add(1, Ordering::Relaxed);
        if limit != 0 && before >= limit {
            door.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        door.meters.connections_total.add(1);
        let active = GaugeGuard::new(&door.meters, |meters| &meters.connections_active);
        Some(Admission { open: Arc::clone(&door.open), _active: active })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
