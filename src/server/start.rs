//! The start of the house, and its handle while it runs.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::generation::{Generations, Load};
use super::glance::Glance;
use super::reload::{Reloader, Wish, attend, tls_files, tls_mistake};
use super::workers::{Over, Post, Spot, hire};
use crate::admin::{self, Readiness, Shelf, Stage};
use crate::catalog::Mistake;
use crate::listen::{self, BindError, Corridor, Door};
use crate::observe::Meters;

/// What to start.
#[derive(Clone, Debug)]
pub struct Start {
    pub listeners: Vec<listen::Settings>,
    /// The operator's door, if any.
    pub admin: Option<SocketAddr>,
    /// Threads that serve; 0: one per core.
    pub workers: usize,
    /// For calls in flight at a shutdown.
    pub drain_timeout: Duration,
    pub meters: Arc<Meters>,
}

/// Why it did not start.
#[derive(Debug)]
pub enum RunError {
    /// The configuration or a file that it names; for exit code 2.
    Mistakes(Vec<Mistake>),
    Bind(BindError),
    /// No thread, no runtime, no signal handler.
    System(io::Error),
}

/// The running house. Dropping it ends it at once; [`Running::shutdown`] drains.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    admin: Option<Desk>,
    posts: Arc<[Post]>,
    overs: Vec<Over>,
    wishes: mpsc::Sender<Wish>,
    readiness: Arc<Readiness>,
    drain_timeout: Duration,
}

/// Asks the running house to load anew. Nothing happens when that has ended.
#[derive(Clone, Debug)]
pub struct Reloading(mpsc::Sender<Wish>);

/// The operator's door while it is open.
#[derive(Debug)]
struct Desk {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What a worker that is past its deadline may take to let go.
const SLACK: Duration = Duration::from_secs(2);
/// What the operator's last requests may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Starts everything and returns once calls are taken. `build` makes each worker's handler. Must be called within a
/// tokio runtime, which then carries the operator's door only.
///
/// Errors: nothing is left running.
pub async fn start<T, H>(
    start: Start,
    load: Load<T>,
    build: impl Fn(Spot<T>) -> Arc<H> + Send + Sync + 'static,
) -> Result<Running, RunError>
where
    T: Send + Sync + 'static,
    H: Corridor,
{
    let Start { listeners, admin, workers, drain_timeout, meters } = start;
    let readiness = Arc::new(Readiness::default());
    let shelf = Arc::<Shelf>::default();
    let admin = admin.map(|address| Desk::open(address, &meters, &readiness, &shelf)).transpose()?;

    let files = listeners.iter().flat_map(tls_files).collect();
    let glance = tokio::task::spawn_blocking(move || Glance::of(files)).await.map_err(io::Error::from)?;
    let doors = doors(&listeners, &meters);
    let (load, loaded) = tokio::task::spawn_blocking(move || {
        let loaded = load();
        (load, loaded)
    })
    .await
    .map_err(io::Error::from)?;
    let (doors, loaded) = both(doors, loaded)?;
    let sockets = bind(&listeners)?;

    let generations = Generations::first(loaded.tables, loaded.about, Arc::clone(&meters), shelf);
    let workers = if workers > 0 { workers } else { thread::available_parallelism().map_or(1, usize::from) };
    let build: Arc<dyn Fn(Spot<T>) -> Arc<H> + Send + Sync> = Arc::new(build);
    let (posts, overs) = hire_all(workers, &generations, &build, &listeners, &meters)?;
    let mut addresses = Vec::with_capacity(sockets.len());
    for (((socket, address), door), post) in sockets.into_iter().zip(&doors).zip(posts.iter().cycle()) {
        addresses.push(address);
        post.listen(socket, Arc::clone(door), Arc::clone(&posts));
    }
    let (wishes, inbox) = mpsc::channel();
    let reloader = Reloader { load, generations, doors, meters };
    let (watch, asks) = (loaded.watch, wishes.clone());
    let running = Running { addresses, admin, posts, overs, wishes, readiness, drain_timeout };
    thread::Builder::new().name("reload".to_owned()).spawn(move || attend(reloader, watch, glance, asks, &inbox))?;
    running.readiness.set(Stage::Ready);
    Ok(running)
}

fn doors(listeners: &[listen::Settings], meters: &Arc<Meters>) -> Result<Vec<Arc<Door>>, Vec<Mistake>> {
    let (mut doors, mut mistakes) = (Vec::new(), Vec::new());
    for settings in listeners {
        match Door::new(settings.clone(), Arc::clone(meters)) {
            Ok(door) => doors.push(Arc::new(door)),
            Err(error) => mistakes.push(tls_mistake(error)),
        }
    }
    if mistakes.is_empty() { Ok(doors) } else { Err(mistakes) }
}

/// Both, or the mistakes of both.
fn both<A, B>(a: Result<A, Vec<Mistake>>, b: Result<B, Vec<Mistake>>) -> Result<(A, B), RunError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => {
            let mistakes = a.err().into_iter().chain(b.err()).flatten().collect();
            Err(RunError::Mistakes(mistakes))
        }
    }
}

fn bind(listeners: &[listen::Settings]) -> Result<Vec<(TcpListener, SocketAddr)>, RunError> {
    let mut sockets = Vec::with_capacity(listeners.len());
    for settings in listeners {
        let socket = listen::bind(settings.address)?;
        let address = socket.local_addr()?;
        sockets.push((socket, address));
    }
    Ok(sockets)
}

fn hire_all<T, H>(
    workers: usize,
    generations: &Generations<T>,
    build: &Arc<dyn Fn(Spot<T>) -> Arc<H> + Send + Sync>,
    listeners: &[listen::Settings],
    meters: &Arc<Meters>,
) -> io::Result<(Arc<[Post]>, Vec<Over>)>
where
    T: Send + Sync + 'static,
    H: Corridor,
{
    let settings: Arc<[listen::Settings]> = listeners.into();
    let mut posts = Vec::with_capacity(workers);
    let mut overs = Vec::with_capacity(workers);
    for worker in 0..workers {
        let spot = Spot { worker, workers, tables: generations.current(), meters: Arc::clone(meters) };
        let (post, over) = hire(spot, Arc::clone(build), Arc::clone(&settings))?;
        posts.push(post);
        overs.push(over);
    }
    Ok((posts.into(), overs))
}

// === impl Desk ===

impl Desk {
    fn open(
        address: SocketAddr,
        meters: &Arc<Meters>,
        readiness: &Arc<Readiness>,
        shelf: &Arc<Shelf>,
    ) -> Result<Desk, RunError> {
        let listener = listen::bind(address)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (meters, readiness, shelf) = (Arc::clone(meters), Arc::clone(readiness), Arc::clone(shelf));
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            if let Err(error) = admin::serve(listener, meters, readiness, shelf, stopped).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
        Ok(Desk { address, stop: Some(stop), task })
    }

    async fn close(mut self) {
        self.stop.take();
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.task).await;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Running ===

impl Running {
    /// Where callers are taken, in the order of `Start::listeners`, with the ports that were given for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|desk| desk.address)
    }

    /// Builds the next generation and swaps it in; its number.
    ///
    /// Errors: all mistakes that were found; the old generation stays.
    pub async fn reload(&self) -> Result<i64, Vec<Mistake>> {
        let (answer, outcome) = oneshot::channel();
        let _ = self.wishes.send(Wish::Reload(Some(answer)));
        outcome.await.unwrap_or_else(|_| Err(vec![Mistake::new("the reload thread has ended")]))
    }

    /// Asks for a reload and does not wait for it.
    pub fn reload_soon(&self) {
        self.reloading().soon();
    }

    /// A way to ask for reloads from elsewhere.
    pub fn reloading(&self) -> Reloading {
        Reloading(self.wishes.clone())
    }

    /// Takes no more callers, lets calls in flight finish until the drain timeout, then cuts them. Returns the number
    /// of connections cut.
    pub async fn shutdown(mut self) -> usize {
        self.readiness.set(Stage::Draining);
        let deadline = Instant::now() + self.drain_timeout;
        for post in self.posts.iter() {
            post.drain(deadline);
        }
        let mut cut: usize = 0;
        for over in std::mem::take(&mut self.overs) {
            if let Ok(Ok(count)) = timeout_at(deadline + SLACK, over).await {
                cut = cut.saturating_add(count);
            }
        }
        if cut > 0 {
            tracing::warn!(connections = cut, "cut at the drain timeout");
        }
        if let Some(desk) = self.admin.take() {
            desk.close().await;
        }
        cut
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.wishes.send(Wish::Stop);
        for post in self.posts.iter() {
            post.drain(Instant::now());
        }
    }
}

// === impl Reloading ===

impl Reloading {
    /// Asks, and does not wait.
    pub fn soon(&self) {
        let _ = self.0.send(Wish::Reload(None));
    }
}

// === impl RunError ===

impl From<BindError> for RunError {
    fn from(error: BindError) -> RunError {
        RunError::Bind(error)
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> RunError {
        RunError::System(error)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Mistakes(mistakes) => {
                for (number, mistake) in mistakes.iter().enumerate() {
                    let end = if number + 1 < mistakes.len() { "\n" } else { "" };
                    write!(f, "{mistake}{end}")?;
                }
                Ok(())
            }
            RunError::Bind(error) => write!(f, "{error}: {}", error.source),
            RunError::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}
