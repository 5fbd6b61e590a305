//! The thread that asks upstreams again while the process runs.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use super::book::{Book, lock};

impl Book {
    /// Asks the upstreams again when they are due, on a thread of its own that ends with the book. `reload` is called when
    /// a set has changed and loads.
    ///
    /// Errors: there is no thread to be had.
    pub fn follow(self: &Arc<Self>, reload: impl Fn() + Send + 'static) -> io::Result<()> {
        let (wake, woken) = mpsc::channel();
        *lock(&self.wake) = Some(wake);
        let book = Arc::downgrade(self);
        thread::Builder::new().name("reflection".to_owned()).spawn(move || attend(&book, &woken, &reload))?;
        Ok(())
    }
}

fn attend(book: &Weak<Book>, woken: &Receiver<()>, reload: &dyn Fn()) {
    loop {
        let Some(held) = book.upgrade() else { return };
        let now = Instant::now();
        let due = held.due();
        if due.is_some_and(|due| due <= now) {
            if held.refresh(now) {
                reload();
            }
            continue;
        }
        drop(held);
        // woken by each new generation, which may have other settings
        let told = match due {
            Some(due) => woken.recv_timeout(due.saturating_duration_since(now)),
            None => woken.recv().map_err(RecvTimeoutError::from),
        };
        if told == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
