//! What an attempt has sent of a request's body, kept to be sent once more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::kept::Scratch;
use crate::upstream::RequestStream;

/// The body so far. Small pieces are copied, so that none of them holds the buffer it arrived in; larger ones are shared.
pub(super) struct Replay {
    /// Boxed, for few bodies have any of it.
    large: Option<Box<Large>>,
    /// Small pieces behind those.
    tail: Scratch,
    bytes: u32,
    limit: u32,
}

/// What only bodies have that are no small message.
#[derive(Default)]
struct Large {
    pieces: Vec<Bytes>,
    /// Set once the body takes more than every call may have for nothing.
    room: Option<Room>,
}

/// A body that is sent beside the one that its caller's pieces go to.
pub(super) struct Resend {
    request: RequestStream,
    queue: VecDeque<Bytes>,
    ended: bool,
}

/// What a call has of the bytes that all calls of a worker may keep together.
struct Room {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

/// Pieces below this size are copied.
const SMALL: usize = 2 << 10;
/// Every call may keep that much: it is less than the call itself takes.
const FREE: usize = 4 << 10;
/// What the calls of a worker may keep together beyond that.
const WORKER_LIMIT: usize = 32 << 20;

thread_local! {
    /// What calls of this thread keep. Shared with them, for they may fall on another.
    static HELD: Arc<AtomicUsize> = Arc::default();
}

// === impl Room ===

impl Room {
    fn new() -> Option<Room> {
        // a thread that ends has none
        HELD.try_with(|held| Room { held: Arc::clone(held), bytes: 0 }).ok()
    }

    /// Whether there is room for so many more; then it is taken.
    fn take(&mut self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= WORKER_LIMIT
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

// === impl Replay ===

impl Replay {
    /// Nothing yet, and at most so many bytes.
    pub(super) fn new(limit: usize) -> Replay {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX - 1);
        Replay { large: None, tail: Scratch::default(), bytes: 0, limit }
    }

    /// Keeps a piece that is being sent. `false`: there is no room for it, and what was kept is of no more use.
    pub(super) fn keep(&mut self, piece: &Bytes) -> bool {
        self.bytes = u32::try_from(piece.len()).map_or(u32::MAX, |more| self.bytes.saturating_add(more));
        if self.bytes > self.limit || !self.has_room(piece.len()) {
            return false;
        }
        if piece.len() < SMALL {
            self.tail.extend(piece);
        } else {
            self.close_tail();
            self.large().pieces.push(piece.clone());
        }
        true
    }

    fn has_room(&mut self, more: usize) -> bool {
        let beyond = usize::try_from(self.bytes).unwrap_or(usize::MAX).saturating_sub(FREE);
        if beyond == 0 {
            return true;
        }
        match &mut self.large().room {
            Some(room) => room.take(more),
            empty => {
                let Some(mut room) = Room::new() else { return false };
                let has = room.take(beyond);
                *empty = Some(room);
                has
            }
        }
    }

    fn large(&mut self) -> &mut Large {
        self.large.get_or_insert_default()
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let joined = Bytes::copy_from_slice(self.tail.as_slice());
            self.large().pieces.push(joined);
            self.tail.clear();
        }
    }

    /// Forgets what is kept, for it is sent anew.
    pub(super) fn clear(&mut self) {
        *self = Replay { limit: self.limit, ..Replay::new(0) };
    }

    /// What is kept, in its order.
    pub(super) fn pieces(&mut self) -> &[Bytes] {
        self.close_tail();
        self.large.as_ref().map_or(&[], |large| &large.pieces)
    }
}

// === impl Resend ===

impl Resend {
    /// Sends a whole body to this stream.
    pub(super) fn new(request: RequestStream, pieces: &[Bytes]) -> Resend {
        Resend { request, queue: pieces.iter().cloned().collect(), ended: false }
    }

    /// Carries on until all is sent, or nothing more can be: the answer's side knows why.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended {
            let wanted = self.queue.front().map_or(0, Bytes::len);
            let Ok(room) = std::task::ready!(self.request.poll_ready(cx, wanted)) else {
                self.ended = true;
                break;
            };
            let piece = match self.queue.front_mut() {
                Some(front) if front.len() > room => front.split_to(room),
                _ => self.queue.pop_front().unwrap_or_default(),
            };
            let last = self.queue.is_empty();
            self.ended = self.request.send(piece, last).is_err() || last;
        }
        Poll::Ready(())
    }

    /// The stream, what is not sent yet, and whether that is all.
    pub(super) fn into_parts(self) -> (RequestStream, VecDeque<Bytes>, bool) {
        (self.request, self.queue, self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(replay: &mut Replay) -> Vec<u8> {
        replay.pieces().concat()
    }

    #[test]
    fn pieces_of_any_size_come_back_in_their_order() {
        let mut replay = Replay::new(1 << 20);
        let mut sent = Vec::new();
        for (number, size) in [10, 3000, 20, 30, 0, 2048, 5000, 1].into_iter().enumerate() {
            let piece = Bytes::from(vec![number as u8; size]);
            sent.extend_from_slice(&piece);
            assert!(replay.keep(&piece));
        }
        assert_eq!(whole(&mut replay), sent);
        assert_eq!(whole(&mut replay), sent, "it may be asked for again");
        assert!(replay.keep(&Bytes::from_static(b"more")));
        assert_eq!(whole(&mut replay).len(), sent.len() + 4);
    }

    #[test]
    fn a_body_over_its_limit_is_not_kept() {
        let mut replay = Replay::new(100);
        assert!(replay.keep(&Bytes::from(vec![0; 100])));
        assert!(!replay.keep(&Bytes::from(vec![0; 1])));
        assert!(!Replay::new(0).keep(&Bytes::from_static(b"x")));
    }

    #[test]
    fn all_calls_of_a_worker_share_what_is_beyond_the_first_bytes() {
        std::thread::spawn(|| {
            let large = Bytes::from(vec![0; 4 << 20]);
            let mut calls = Vec::new();
            for _ in 0..8 {
                let mut replay = Replay::new(8 << 20);
                assert!(replay.keep(&large));
                calls.push(replay);
            }
            let mut small = Replay::new(64 << 10);
            assert!(small.keep(&Bytes::from(vec![0; FREE])), "every call has that much");
            let mut one = Replay::new(8 << 20);
            assert!(!one.keep(&large), "there is no more");
            drop(one);
            calls.pop();
            assert!(Replay::new(8 << 20).keep(&large), "what a call has kept is free again");
            drop(calls);
            HELD.with(|held| assert_eq!(held.load(Ordering::Relaxed), 0));
        })
        .join()
        .expect("the thread");
    }
}
