//! The accept loop of one listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Door;
use super::bind::BACKLOG;
use crate::observe::GaugeGuard;

/// A slot of a listener's `max_connections`, held for as long as the connection lives.
#[derive(Debug)]
pub struct Admission {
    open: Arc<AtomicUsize>,
    _active: GaugeGuard,
}

/// How long the loop rests after an accept that failed for want of descriptors or memory, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Takes callers until the sender of `open` falls, and hands each to `place`. Callers over `max_connections` are closed
/// and counted as refused.
///
/// Those whose connections the kernel has made by then are taken still: closing the listening socket would reset them,
/// with the calls that they have sent already.
pub async fn accept(
    listener: TcpListener,
    door: Arc<Door>,
    mut open: watch::Receiver<()>,
    mut place: impl FnMut(TcpStream, SocketAddr, Admission),
) {
    let mut rest = REST.0;
    loop {
        let taken = tokio::select! {
            biased;
            _ = open.changed() => break,
            taken = listener.accept() => taken,
        };
        match taken {
            Ok((socket, peer)) => {
                rest = REST.0;
                admit(socket, peer, &door, &mut place);
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                if rest == REST.0 {
                    tracing::warn!(%error, address = %door.settings.address, "cannot take connections");
                }
                tokio::select! {
                    _ = open.changed() => break,
                    () = tokio::time::sleep(rest) => {}
                }
                rest = (rest * 2).min(REST.1);
            }
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    // bounded, since others may go on to come
    for _ in 0..BACKLOG {
        match listener.accept() {
            Ok((socket, peer)) if socket.set_nonblocking(true).is_ok() => {
                if let Ok(socket) = TcpStream::from_std(socket) {
                    admit(socket, peer, &door, &mut place);
                }
            }
            Ok(_) => {}
            Err(error) if is_the_peers(&error) => {}
            Err(_) => return,
        }
    }
}

fn admit(
    socket: TcpStream,
    peer: SocketAddr,
    door: &Arc<Door>,
    place: &mut impl FnMut(TcpStream, SocketAddr, Admission),
) {
    match Admission::new(door) {
        Some(admission) if no_delay(&socket).is_ok() => place(socket, peer, admission),
        Some(_) => {}
        None => door.meters.connections_refused.add(1),
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
