//! Upstreams that do with each attempt what a test says, and count what they executed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::scripted::{Script, perform};

/// What an upstream does with an attempt.
#[derive(Clone, Debug)]
pub enum Act {
    Answer(Script),
    /// Refuses the stream: nothing is executed.
    Refuse,
    Reset(h2::Reason),
    /// Loses the connection.
    Lose,
    /// Says nothing until it is reset.
    Hold,
    /// Waits, and then does that.
    After(Duration, Box<Act>),
    /// Waits until the test says so, and then does that.
    When(Word, Box<Act>),
}

/// What lets an upstream go on.
#[derive(Clone, Debug, Default)]
pub struct Word(Arc<watch::Sender<bool>>);

/// An attempt as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of the upstream.
    pub upstream: usize,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub at: Instant,
    /// The edge has let go of it before it was answered.
    pub reset: bool,
    /// It was taken up.
    pub executed: bool,
}

/// Decides by the number of the attempt among all, from 0, and by its fields.
pub type Plan = Arc<dyn Fn(usize, &HeaderMap) -> Act + Send + Sync>;

/// Several upstreams by one plan.
pub struct Staged {
    pub addresses: Vec<SocketAddr>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

// === impl Word ===

impl Word {
    /// Lets all go on that wait for it, or will.
    pub fn give(&self) {
        self.0.send_replace(true);
    }

    async fn given(&self) {
        let _ = self.0.subscribe().wait_for(|given| *given).await;
    }
}

// === impl Staged ===

impl Staged {
    pub async fn start(count: usize, plan: impl Fn(usize, &HeaderMap) -> Act + Send + Sync + 'static) -> Staged {
        let (plan, seen): (Plan, Arc<Mutex<Vec<Seen>>>) = (Arc::new(plan), Arc::default());
        let (mut addresses, mut tasks) = (Vec::new(), JoinSet::new());
        for upstream in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            addresses.push(listener.local_addr().expect("an address"));
            tasks.spawn(serve(listener, upstream, Arc::clone(&plan), Arc::clone(&seen)));
        }
        Staged { addresses, seen, _tasks: tasks }
    }

    /// One upstream, whose attempts go by these in turn; the last one is for all that follow.
    pub async fn acts(acts: Vec<Act>) -> Staged {
        Staged::start(1, move |number, _| acts[number.min(acts.len() - 1)].clone()).await
    }

    /// For `endpoints`.
    pub fn urls(&self) -> String {
        let urls: Vec<String> = self.addresses.iter().map(|address| format!("\"h2c://{address}\"")).collect();
        format!("[{}]", urls.join(", "))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

// === impl Act ===

impl Act {
    /// What it waits for, and what it does then.
    fn waits(&self) -> Option<(BoxFuture<'static, ()>, Act)> {
        match self.clone() {
            Act::After(pause, then) => Some((tokio::time::sleep(pause).boxed(), *then)),
            Act::When(word, then) => Some((async move { word.given().await }.boxed(), *then)),
            _ => None,
        }
    }
}

// === impl Seen ===

impl Seen {
    /// It is no caller's first attempt.
    pub fn is_repeated(&self) -> bool {
        is_repeated(&self.headers)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// Whether these are the fields of an attempt that others went before.
pub fn is_repeated(headers: &HeaderMap) -> bool {
    headers.contains_key("grpc-previous-rpc-attempts")
}

async fn serve(listener: TcpListener, upstream: usize, plan: Plan, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (plan, seen) = (Arc::clone(&plan), Arc::clone(&seen));
        connections.spawn(async move {
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(1000).initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
            let Ok(mut http2) = builder.handshake(socket).await else { return };
            let mut calls = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = http2.accept() => {
                        let Some(Ok((request, respond))) = accepted else { return };
                        calls.spawn(take(request, respond, upstream, Arc::clone(&plan), Arc::clone(&seen)));
                    }
                    Some(Ok(lost)) = calls.join_next() => {
                        if lost.is_some() {
                            return;
                        }
                    }
                }
            }
        });
    }
}

/// `Some` if the connection is to be lost; what it holds would reset the stream before if it fell.
async fn take(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    upstream: usize,
    plan: Plan,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Option<SendResponse<Bytes>> {
    let (head, mut stream) = request.into_parts();
    let (number, mut act) = {
        let mut seen = seen.lock().expect("no panic");
        let act = plan(seen.len(), &head.headers);
        let (headers, at) = (head.headers, Instant::now());
        seen.push(Seen { upstream, headers, body: Vec::new(), at, reset: false, executed: false });
        (seen.len() - 1, act)
    };
    let note = |change: &dyn Fn(&mut Seen)| change(&mut seen.lock().expect("no panic")[number]);
    if matches!(act, Act::Refuse) {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        return None;
    }
    while let Some(chunk) = stream.data().await {
        let Ok(chunk) = chunk else { return None };
        let _ = stream.flow_control().release_capacity(chunk.len());
        note(&|seen| seen.body.extend_from_slice(&chunk));
    }
    note(&|seen| seen.executed = true);
    while let Some((wait, then)) = act.waits() {
        tokio::select! {
            () = wait => act = then,
            _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {
                note(&|seen| seen.reset = true);
                return None;
            }
        }
    }
    match act {
        Act::Answer(script) => perform(respond, &script).await,
        Act::Reset(reason) => respond.send_reset(reason),
        Act::Lose => return Some(respond),
        Act::Hold => {
            let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            note(&|seen| seen.reset = true);
        }
        Act::Refuse | Act::After(..) | Act::When(..) => {}
    }
    None
}

/// A good answer with this message of Echo.
pub fn good(message: &str) -> Act {
    Act::Answer(Script::new(&[], &[&super::dialects::Dialect::Grpc.framed(&[message])], &[("grpc-status", "0")]))
}

/// A failure by trailers alone.
pub fn bad(code: &'static str) -> Act {
    bad_with(code, &[])
}

/// The same with more fields.
pub fn bad_with(code: &'static str, more: &[super::scripted::Field]) -> Act {
    let fields: Vec<_> = [("grpc-status", code)].into_iter().chain(more.iter().copied()).collect();
    Act::Answer(Script::only(&fields))
}
