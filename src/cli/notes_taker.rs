//! An upstream that answers nothing and notes what it got, for `transom explain`: one call over a socket of this machine.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use h2::RecvStream;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::explain::listed;
use crate::describe::Carried;
use crate::proxy::MIRRORED;
use crate::wire::{Frame, FrameReader};

/// The notes taker while it listens. Dropping it ends it.
pub(super) struct NotesTaker {
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Notes {
    carried: Option<Carried>,
    /// The request came to its end.
    is_whole: bool,
}

// === impl NotesTaker ===

impl NotesTaker {
    /// Listens on a free port of the loopback interface. Must be called within a runtime.
    pub async fn start() -> io::Result<NotesTaker> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let notes = Arc::<Mutex<Notes>>::default();
        let shared = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Ok(NotesTaker { address, notes, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was sent to it so far; `None`: nothing.
    pub fn notes(&self) -> Option<Carried> {
        lock(&self.notes).carried.clone()
    }

    /// Whether a whole request was.
    pub fn heard_all(&self) -> bool {
        lock(&self.notes).is_whole
    }
}

impl Drop for NotesTaker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream, notes: Arc<Mutex<Notes>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        if headers.contains_key(MIRRORED) {
            continue;
        }
        headers.remove(http::header::HOST);
        lock(&notes).carried =
            Some(Carried { path: parts.uri.path().to_owned(), metadata: listed(&headers), messages: Vec::new() });
        let notes = Arc::clone(&notes);
        // the connection is polled beside it
        tokio::spawn(async move {
            if !read(body, &notes).await {
                return;
            }
            lock(&notes).is_whole = true;
            let mut answer = Response::new(());
            let fields = [("content-type", "application/grpc"), ("grpc-status", "0")];
            let fields =
                fields.map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            *answer.headers_mut() = HeaderMap::from_iter(fields);
            // whoever is gone needs no answer
            let _ = respond.send_response(answer, true);
        });
    }
}

/// Reads the request's messages; whether it came to its end.
async fn read(mut body: RecvStream, notes: &Mutex<Notes>) -> bool {
    let mut frames = FrameReader::new(0);
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else { return false };
        let _ = body.flow_control().release_capacity(chunk.len());
        frames.push(chunk);
        while let Ok(Some(Frame { flags, payload })) = frames.next() {
            let message = (flags & 1 == 0).then(|| payload.to_vec());
            if let Some(carried) = &mut lock(notes).carried {
                carried.messages.push(message);
            }
        }
    }
    true
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
