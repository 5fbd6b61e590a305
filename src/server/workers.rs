//! Workers: an OS thread each, with a runtime of its own. A connection and its calls stay on one of them, so nothing on
//! a call's way is shared between cores.
//!
//! Connections are placed, not hashed: gRPC callers hold few, long, unequal connections. An accept loop lives on a
//! worker too and hands each connection to the worker with the least to do, which with one worker is itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::listen::{Admission, Arrival, Corridor, Door, Load, Seat, Settings, Ward, accept};
use crate::observe::Meters;

/// Where a handler is being built for: called on the worker's thread, within its runtime.
#[derive(Debug)]
pub struct Spot<T> {
    /// From 0.
    pub worker: usize,
    pub workers: usize,
    /// The tables in force; to be read once per call, so that a call lives in one generation.
    pub tables: Arc<ArcSwap<T>>,
    pub meters: Arc<Meters>,
}

/// A worker as others see it.
#[derive(Clone, Debug)]
pub(super) struct Post {
    load: Arc<Load>,
    orders: mpsc::UnboundedSender<Order>,
}

/// The end of a worker: resolves with the number of connections that were cut.
pub(super) type Over = oneshot::Receiver<usize>;

#[derive(Debug)]
enum Order {
    Listen(std::net::TcpListener, Arc<Door>, Arc<[Post]>),
    Serve(Handover),
    Drain(Instant),
}

/// A connection on its way to another worker.
#[derive(Debug)]
struct Handover {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    admission: Admission,
    seat: Seat,
    door: Arc<Door>,
}

/// Between the last accept and the order to finish: what callers have sent by then is read, and so begun, and all
/// workers have closed their listeners before the first GOAWAY, lest a caller who is told to go elsewhere comes back.
const SETTLE: Duration = Duration::from_millis(20);

/// Starts a worker. `build` makes its handler.
///
/// Errors: no thread or no runtime to be had.
pub(super) fn hire<T, H: Corridor>(
    spot: Spot<T>,
    build: Arc<dyn Fn(Spot<T>) -> Arc<H> + Send + Sync>,
    settings: Arc<[Settings]>,
) -> io::Result<(Post, Over)>
where
    T: Send + Sync + 'static,
{
    let (orders, inbox) = mpsc::unbounded_channel();
    let (tell, over) = oneshot::channel();
    let load = Arc::new(Load::default());
    let post = Post { load: Arc::clone(&load), orders };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(format!("worker-{}", spot.worker)).spawn(move || {
        let cut = runtime.block_on(async {
            let ward = Ward::new(build(spot), settings.iter());
            work(&ward, &load, inbox).await
        });
        // ends what is still running
        drop(runtime);
        let _ = tell.send(cut);
    })?;
    Ok((post, over))
}

/// A worker's life; returns how many connections its end cuts.
async fn work<H: Corridor>(ward: &Arc<Ward<H>>, load: &Arc<Load>, mut inbox: mpsc::UnboundedReceiver<Order>) -> usize {
    let mut chores = JoinSet::new();
    chores.spawn({
        let ward = Arc::clone(ward);
        async move { ward.sweep().await }
    });
    let (mut loops, open) = (JoinSet::new(), watch::Sender::new(()));
    let deadline = loop {
        match inbox.recv().await {
            Some(Order::Listen(listener, door, posts)) => match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let place = placement(Arc::clone(ward), Arc::clone(load), Arc::clone(&door), posts);
                    loops.spawn(accept(listener, door, open.subscribe(), place));
                }
                Err(error) => tracing::error!(%error, address = %door.settings.address, "cannot listen"),
            },
            Some(order @ Order::Serve(_)) => take_over(ward, order),
            Some(Order::Drain(deadline)) => break deadline,
            None => break Instant::now(),
        }
    };
    // closes the listening sockets: the kernel refuses from now on
    drop(open);
    while loops.join_next().await.is_some() {}
    let settled = Instant::now() + SETTLE;
    while let Ok(Some(order)) = timeout_at(settled.min(deadline), inbox.recv()).await {
        take_over(ward, order);
    }
    inbox.close();
    while let Some(order) = inbox.recv().await {
        take_over(ward, order);
    }
    ward.drain();
    tokio::select! {
        biased;
        () = load.emptied() => {}
        () = sleep_until(deadline) => {}
    }
    let cut = load.connections();
    ward.farewell().await;
    cut
}

/// Chooses a worker for each connection; the accepting worker itself when others have no less to do.
fn placement<H: Corridor>(
    ward: Arc<Ward<H>>,
    own: Arc<Load>,
    door: Arc<Door>,
    posts: Arc<[Post]>,
) -> impl FnMut(TcpStream, SocketAddr, Admission) {
    move |socket, peer, admission| {
        let lightest = posts.iter().min_by_key(|post| (post.load.weight(), !Arc::ptr_eq(&post.load, &own)));
        let Some(post) = lightest.filter(|post| !Arc::ptr_eq(&post.load, &own)) else {
            ward.serve(Arrival { socket, peer, admission, seat: own.seat() }, &door);
            return;
        };
        let Ok(socket) = socket.into_std() else { return };
        let handover = Handover { socket, peer, admission, seat: post.load.seat(), door: Arc::clone(&door) };
        if let Err(SendError(Order::Serve(handover))) = post.orders.send(Order::Serve(handover)) {
            // at a shutdown the other may have been told earlier, and have nothing left to do: it takes nobody any more
            let seat = own.seat();
            take_over(&ward, Order::Serve(Handover { seat, ..handover }));
        }
    }
}

fn take_over<H: Corridor>(ward: &Arc<Ward<H>>, order: Order) {
    let Order::Serve(handover) = order else { return };
    let Handover { socket, peer, admission, seat, door } = handover;
    if let Ok(socket) = TcpStream::from_std(socket) {
        ward.serve(Arrival { socket, peer, admission, seat }, &door);
    }
}

// === impl Post ===

impl Post {
    /// Has the worker run the accept loop of a listener, and place its connections among `posts`.
    pub(super) fn listen(&self, listener: std::net::TcpListener, door: Arc<Door>, posts: Arc<[Post]>) {
        let _ = self.orders.send(Order::Listen(listener, door, posts));
    }

    /// Has the worker close its listeners and end with its last call, at `deadline` at the latest.
    pub(super) fn drain(&self, deadline: Instant) {
        let _ = self.orders.send(Order::Drain(deadline));
    }
}
