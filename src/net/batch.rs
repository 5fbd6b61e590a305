//! A transport that gathers a connection's writes and hands them to the socket once per poll.
//!
//! `h2` makes one write per DATA frame of 256 bytes or more, and `hyper` flushes after every response. Under load that
//! is a system call (or a TLS record) per call. Here `poll_write` copies into one buffer and `poll_flush` does nothing;
//! the future that drives the connection is wrapped in [`Driven`], which drains the buffer after each poll with one
//! write. Frames of all streams that were ready in that poll share it.
//!
//! The rules:
//! - slices under 32 KiB, and so all frames of usual size, are copied, since a system call costs more than that; a larger one goes out with what is held before it, in one vectored write, uncopied;
//! - at 64 KiB the buffer is drained before more is taken;
//! - while the socket takes nothing, `poll_write` is pending: a slow reader is felt by the writer (back-pressure);
//! - a shutdown drains first;
//! - with TLS this stands *above* rustls, so that records are full, and a drain flushes rustls too;
//! - the buffer is lent by a pool of the thread while it holds bytes; an idle connection owns none.
//!
//! A write error shows at the next write, or at the next read that would have to wait: what the peer sent before it
//! closed can still be read.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The half that the protocol library owns: reads go straight to the socket, writes are gathered.
#[derive(Debug)]
pub struct Batched<S>(Arc<Mutex<Shared<S>>>);

/// The half that [`Driven`] owns: empties what [`Batched`] gathered.
#[derive(Debug)]
pub struct Drain<S>(Arc<Mutex<Shared<S>>>);

pin_project! {
    /// Drives a connection's future and drains its transport after each poll. Its output is the connection's; what
    /// was written last is drained first, for at most [`LAST_DRAIN`].
    pub struct Driven<F: Future, S> {
        #[pin]
        connection: Option<F>,
        output: Option<F::Output>,
        drain: Drain<S>,
        last_drain: Duration,
        patience: Option<Pin<Box<Sleep>>>,
    }
}

#[derive(Debug)]
struct Shared<S> {
    socket: S,
    held: Option<Lent>,
    /// The socket took nothing at the last try.
    blocked: bool,
    /// rustls may still hold bytes of ours.
    unflushed: bool,
    /// Nobody drains after a poll any more (the connection was upgraded): a flush must do it.
    direct: bool,
    failed: Option<io::ErrorKind>,
}

/// A buffer of the thread's pool, given back on drop.
#[derive(Debug)]
pub(super) struct Lent {
    bytes: Vec<u8>,
    /// Bytes that were taken already.
    taken: usize,
}

/// Slices of this size or more are not worth copying.
const LARGE: usize = 32 * 1024;
/// What a connection holds at most before it must drain.
const CAPACITY: usize = 64 * 1024;
/// Buffers that a thread keeps for its connections: 1 MiB.
const POOLED: usize = 16;
/// Slices passed on in one vectored write.
const SLICES: usize = 16;
/// How long a connection that is over waits for its peer to take the last bytes.
pub const LAST_DRAIN: Duration = Duration::from_secs(10);

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Splits a socket into the half for the protocol library and the half for [`Driven`].
pub fn batched<S>(socket: S) -> (Batched<S>, Drain<S>) {
    let shared = Shared { socket, held: None, blocked: false, unflushed: false, direct: false, failed: None };
    let shared = Arc::new(Mutex::new(shared));
    (Batched(Arc::clone(&shared)), Drain(shared))
}

/// The lock is there to be `Send`: both halves live in one task, nobody ever waits for it.
fn lock<S>(shared: &Mutex<Shared<S>>) -> MutexGuard<'_, Shared<S>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Lent ===

impl Lent {
    pub(super) fn borrow() -> Lent {
        let pooled = POOL.try_with(|pool| pool.try_borrow_mut().ok().and_then(|mut pool| pool.pop()));
        let bytes = pooled.ok().flatten().unwrap_or_else(|| Vec::with_capacity(CAPACITY));
        Lent { bytes, taken: 0 }
    }

    pub(super) fn left(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub(super) fn left_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.taken..).unwrap_or_default()
    }

    pub(super) fn extend(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.bytes.len())
    }

    /// Notes that `count` bytes were taken; whether none is left.
    pub(super) fn take(&mut self, count: usize) -> bool {
        self.taken += count;
        self.taken >= self.bytes.len()
    }

    /// Reads once, behind what is left; the number of bytes that came, none at the end.
    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.bytes.drain(..self.taken.min(self.bytes.len()));
        self.taken = 0;
        std::pin::pin!(socket.read_buf(&mut self.bytes)).poll(cx)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut()
                && pool.len() < POOLED
            {
                pool.push(bytes);
            }
        });
    }
}

// === impl Shared ===

impl<S: AsyncWrite + Unpin> Shared<S> {
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn fail<T>(&mut self, error: io::Error) -> Poll<io::Result<T>> {
        self.failed = Some(error.kind());
        self.held = None;
        Poll::Ready(Err(error))
    }

    /// Writes out all that is held, and flushes the layer below.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        while let Some(held) = &self.held {
            match Pin::new(&mut self.socket).poll_write(cx, held.left()) {
                Poll::Ready(Ok(0)) => return self.fail(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.took(count),
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => return self.block(),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => return self.block(),
            }
        }
        self.blocked = false;
        Poll::Ready(Ok(()))
    }

    fn block<T>(&mut self) -> Poll<T> {
        self.blocked = true;
        Poll::Pending
    }

    /// Notes that the socket took `count` of the bytes held; the buffer goes back once it is empty.
    fn took(&mut self, count: usize) {
        self.unflushed = true;
        if let Some(held) = &mut self.held {
            held.taken += count;
            if held.taken >= held.bytes.len() {
                self.held = None;
            }
        }
    }

    fn held_len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.left().len())
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.blocked {
            ready!(self.poll_drain(cx))?;
        }
        let (copied, rest) = self.copy_small(slices);
        if copied > 0 && rest.is_empty() {
            return Poll::Ready(Ok(copied));
        }
        let Some(next) = rest.first() else { return Poll::Ready(Ok(0)) };
        if next.len() < LARGE {
            // the buffer is full
            return match self.poll_drain(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending if copied == 0 => Poll::Pending,
                _ if copied > 0 => Poll::Ready(Ok(copied)),
                _ => Poll::Ready(Ok(self.copy_small(rest).0)),
            };
        }
        self.poll_pass(cx, copied, rest)
    }

    /// Copies slices as long as they are small and fit; what is left, and how many bytes were taken.
    fn copy_small<'s, 'b>(&mut self, mut slices: &'s [IoSlice<'b>]) -> (usize, &'s [IoSlice<'b>]) {
        let mut copied = 0;
        while let Some((slice, rest)) = slices.split_first() {
            if !slice.is_empty() {
                let room = self.held.as_ref().map_or(CAPACITY, Lent::room);
                if slice.len() >= LARGE || slice.len() > room {
                    break;
                }
                self.held.get_or_insert_with(Lent::borrow).bytes.extend_from_slice(slice);
                copied += slice.len();
            }
            slices = rest;
        }
        (copied, slices)
    }

    /// Writes what is held and then the large slices in one go. `copied` bytes of the caller's are among the held.
    fn poll_pass(&mut self, cx: &mut Context<'_>, copied: usize, large: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let held = self.held_len();
            let before = self.held.as_ref().map_or(&[] as &[u8], Lent::left);
            let all = std::iter::once(before).chain(large.iter().map(|slice| &**slice));
            let mut count = 0;
            for (place, slice) in slices.iter_mut().zip(all.filter(|slice| !slice.is_empty())) {
                *place = IoSlice::new(slice);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            match Pin::new(&mut self.socket).poll_write_vectored(cx, slices) {
                Poll::Ready(Ok(0)) => return self.fail(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(wrote)) => {
                    self.took(wrote.min(held));
                    if wrote > held || copied > 0 {
                        return Poll::Ready(Ok(copied + wrote.saturating_sub(held)));
                    }
                }
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => {
                    self.blocked = true;
                    return if copied > 0 { Poll::Ready(Ok(copied)) } else { Poll::Pending };
                }
            }
        }
    }
}

// === impl Batched ===

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Batched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        match Pin::new(&mut shared.socket).poll_read(cx, buffer) {
            Poll::Pending => match shared.failed {
                Some(kind) => Poll::Ready(Err(kind.into())),
                None => Poll::Pending,
            },
            ready => ready,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Batched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_take(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if shared.direct {
            return shared.poll_drain(cx);
        }
        Poll::Ready(shared.check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        ready!(shared.poll_drain(cx))?;
        Pin::new(&mut shared.socket).poll_shutdown(cx)
    }
}

// === impl Drain ===

impl<S: AsyncWrite + Unpin> Drain<S> {
    fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        let sound = shared.failed.is_none();
        let drained = shared.poll_drain(cx);
        if sound && shared.failed.is_some() {
            // the connection waits for something to read, and is to learn of it
            cx.waker().wake_by_ref();
        }
        drained
    }
}

impl<S> Drop for Drain<S> {
    fn drop(&mut self) {
        lock(&self.0).direct = true;
    }
}

// === impl Driven ===

impl<F: Future, S> Driven<F, S> {
    /// Wraps the future that polls the connection over the other half of `drain`.
    pub fn new(connection: F, drain: Drain<S>) -> Driven<F, S> {
        Driven { connection: Some(connection), output: None, drain, last_drain: LAST_DRAIN, patience: None }
    }

    /// The connection's future, as for `graceful_shutdown`; `None` once it is over.
    pub fn connection(self: Pin<&mut Self>) -> Option<Pin<&mut F>> {
        self.project().connection.as_pin_mut()
    }
}

impl<F: Future, S: AsyncWrite + Unpin> Future for Driven<F, S> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(connection) = this.connection.as_mut().as_pin_mut()
            && let Poll::Ready(output) = connection.poll(cx)
        {
            *this.output = Some(output);
            this.connection.set(None);
        }
        let drained = this.drain.poll_drain(cx).is_ready();
        if this.output.is_none() {
            return Poll::Pending;
        }
        if !drained {
            let patience = this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(*this.last_drain)));
            ready!(patience.as_mut().poll(cx));
        }
        this.output.take().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use futures_util::task::noop_waker;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A socket that does as its script says: `Some(n)` takes up to `n` bytes, `None` takes nothing. After the script
    /// it takes all.
    #[derive(Debug, Default)]
    struct Scripted {
        script: VecDeque<Option<usize>>,
        wrote: Vec<u8>,
        writes: usize,
        flushes: usize,
        shut: bool,
        broken: bool,
    }

    impl AsyncRead for Scripted {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Scripted {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let Some(mut left) = self.script.pop_front().unwrap_or(Some(usize::MAX)) else { return Poll::Pending };
            let before = self.wrote.len();
            for slice in slices {
                let count = slice.len().min(left);
                self.wrote.extend_from_slice(&slice[..count]);
                left -= count;
            }
            self.writes += 1;
            Poll::Ready(Ok(self.wrote.len() - before))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn scripted(script: impl IntoIterator<Item = Option<usize>>) -> (Batched<Scripted>, Drain<Scripted>) {
        batched(Scripted { script: script.into_iter().collect(), ..Scripted::default() })
    }

    fn write(io: &mut Batched<Scripted>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write(&mut Context::from_waker(&noop_waker()), bytes)
    }

    fn drain(drain: &Drain<Scripted>) -> Poll<io::Result<()>> {
        drain.poll_drain(&mut Context::from_waker(&noop_waker()))
    }

    fn socket<R>(drain: &Drain<Scripted>, look: impl FnOnce(&mut Scripted) -> R) -> R {
        look(&mut lock(&drain.0).socket)
    }

    #[tokio::test]
    async fn many_small_writes_of_one_poll_are_one_write_of_the_socket() {
        let (mut io, drain) = scripted([]);
        let shared = Arc::clone(&drain.0);
        let mut polls = 0;
        let connection = poll_fn(|cx| {
            polls += 1;
            for _ in 0..100 {
                assert!(matches!(Pin::new(&mut io).poll_write(cx, &[7; 300]), Poll::Ready(Ok(300))));
                assert!(Pin::new(&mut io).poll_flush(cx).is_ready());
            }
            assert_eq!(lock(&shared).socket.writes, polls - 1);
            cx.waker().wake_by_ref();
            if polls == 2 { Poll::Ready("over") } else { Poll::Pending }
        });
        assert_eq!(Driven::new(connection, drain).await, "over");
        let shared = lock(&shared);
        assert_eq!((shared.socket.writes, shared.socket.wrote.len(), shared.socket.flushes), (2, 60_000, 2));
        assert!(shared.held.is_none(), "an idle connection owns no buffer");
    }

    #[test]
    fn a_large_slice_takes_what_is_held_along_in_one_vectored_write() {
        let (mut io, drain) = scripted([]);
        let large = vec![2; 40 * 1024];
        assert!(matches!(write(&mut io, &[1; 100]), Poll::Ready(Ok(100))));
        let slices = [IoSlice::new(&[3; 9]), IoSlice::new(&large)];
        let wrote = Pin::new(&mut io).poll_write_vectored(&mut Context::from_waker(&noop_waker()), &slices);
        assert!(matches!(wrote, Poll::Ready(Ok(n)) if n == large.len() + 9));
        let expected = [[1; 100].as_slice(), &[3; 9], &large].concat();
        socket(&drain, |socket| assert_eq!((&socket.wrote, socket.writes), (&expected, 1)));
    }

    #[test]
    fn a_slow_socket_leaves_the_writer_pending() {
        let (mut io, drain_half) = scripted([Some(10), None, None, None]);
        assert!(matches!(write(&mut io, &[1; 100]), Poll::Ready(Ok(100))));
        assert!(drain(&drain_half).is_pending());
        assert!(write(&mut io, &[2; 100]).is_pending());
        assert!(write(&mut io, &[2; 9000]).is_pending());
        assert!(matches!(write(&mut io, &[2; 100]), Poll::Ready(Ok(100))));
        assert!(drain(&drain_half).is_ready());
        socket(&drain_half, |socket| assert_eq!(socket.wrote, [vec![1; 100], vec![2; 100]].concat()));
    }

    #[test]
    fn no_more_than_the_buffer_is_held_back() {
        let (mut io, drain) = scripted(vec![None; 1000]);
        let mut held = 0;
        while let Poll::Ready(Ok(count)) = write(&mut io, &[1; 5000]) {
            held += count;
        }
        assert!(held <= CAPACITY && held + 5000 > CAPACITY, "{held}");
        assert_eq!(lock(&drain.0).held_len(), held);
    }

    #[tokio::test]
    async fn a_shutdown_drains_first() {
        let (mut io, drain) = scripted([Some(3)]);
        assert!(matches!(write(&mut io, b"last words"), Poll::Ready(Ok(10))));
        io.shutdown().await.unwrap();
        socket(&drain, |socket| assert!(socket.shut && socket.wrote == b"last words"));
    }

    #[tokio::test]
    async fn a_peer_that_never_takes_the_last_bytes_is_left_after_a_while() {
        let (mut io, drain) = scripted(vec![None; 1000]);
        assert!(matches!(write(&mut io, b"last words"), Poll::Ready(Ok(10))));
        let mut driven = Driven::new(std::future::ready("over"), drain);
        driven.last_drain = Duration::from_millis(50);
        assert_eq!(driven.await, "over");
    }

    #[test]
    fn a_broken_socket_shows_at_the_next_write_and_at_a_read_that_would_wait() {
        let (mut io, drain_half) = scripted([]);
        assert!(matches!(write(&mut io, b"x"), Poll::Ready(Ok(1))));
        socket(&drain_half, |socket| socket.broken = true);
        assert!(matches!(drain(&drain_half), Poll::Ready(Err(_))));
        assert!(matches!(write(&mut io, b"x"), Poll::Ready(Err(_))));
        let (mut bytes, waker) = ([0; 8], noop_waker());
        let read = Pin::new(&mut io).poll_read(&mut Context::from_waker(&waker), &mut ReadBuf::new(&mut bytes));
        assert!(matches!(read, Poll::Ready(Err(_))));
    }

    #[tokio::test]
    async fn once_nobody_drains_after_a_poll_a_flush_does() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut io, drain) = batched(near);
        Driven::new(std::future::ready(()), drain).await;
        io.write_all(b"upgraded").await.unwrap();
        io.flush().await.unwrap();
        let mut got = [0; 8];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"upgraded");
    }

    proptest! {
        #[test]
        fn bytes_come_out_in_order_whatever_the_sizes_and_however_the_socket_stutters(
            sizes in prop::collection::vec(prop_oneof![0..300usize, 7000..9000usize, 0..40_000usize], 1..40),
            shape in prop::collection::vec(0..4u8, 40),
            script in prop::collection::vec(prop::option::weighted(0.7, 1..30_000usize), 0..120),
        ) {
            let (mut io, drain_half) = scripted(script);
            let waker = noop_waker();
            let mut cx = Context::from_waker(&waker);
            let mut expected = Vec::new();
            for (number, (size, shape)) in sizes.iter().zip(&shape).enumerate() {
                let bytes: Vec<u8> = (0..*size).map(|at| (at * 31 + number) as u8).collect();
                let mut left = bytes.as_slice();
                let mut tries = 0;
                while !left.is_empty() {
                    let slices = match shape {
                        0 => vec![IoSlice::new(left)],
                        1 => vec![IoSlice::new(&left[..left.len() / 2]), IoSlice::new(&left[left.len() / 2..])],
                        _ => left.chunks(left.len() / 20 + 9).map(IoSlice::new).collect(),
                    };
                    match Pin::new(&mut io).poll_write_vectored(&mut cx, &slices) {
                        Poll::Ready(Ok(count)) => {
                            prop_assert!(count > 0 && count <= left.len());
                            left = &left[count..];
                        }
                        Poll::Ready(Err(error)) => return Err(TestCaseError::fail(error.to_string())),
                        Poll::Pending => tries += 1,
                    }
                    prop_assert!(tries < 200, "stuck");
                    prop_assert!(lock(&drain_half.0).held_len() <= CAPACITY);
                }
                expected.extend_from_slice(&bytes);
                if *shape == 3 {
                    let _ = drain(&drain_half);
                }
            }
            while drain(&drain_half).is_pending() {}
            socket(&drain_half, |socket| assert!(socket.wrote == expected));
            prop_assert!(lock(&drain_half.0).held.is_none());
        }
    }
}
