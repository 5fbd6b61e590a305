//! Reading for HTTP/2: small DATA frames that stand one behind the other become one, before `h2` sees them.
//!
//! Servers send each message of a stream in a DATA frame of its own. `h2` spends a third of a microsecond on every frame: a
//! queue entry of the size of a whole header block, two locks, a look at each window. Most of what a proxy does with a
//! stream of small messages would be that. Frames of one stream that arrive together say the same as one frame with their
//! payloads (RFC 9113, 6.1: the frame boundary means nothing), take the same from both windows, and cost once.
//!
//! Servers that send on several streams at once take turns among them, frame by frame, so that no two of a stream stand
//! together: frames are first put in order of their streams, as far as nothing but DATA stands between. What a peer says on
//! one stream keeps its order, and nothing is said of the order between streams but for frames of other kinds.
//!
//! It also reads more at a time than `h2` does: 64 KiB, into a buffer that is the thread's and lent while there is
//! something in it, so that an idle connection owns none.
//!
//! Nothing is judged here. Frames that are padded, have flags that DATA does not have, or would grow beyond what we allow
//! peers to send pass as they are, and so does all that is no DATA; `h2` sees every fault as it came.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::batch::Lent;

/// A transport whose reads are frames of HTTP/2.
#[derive(Debug)]
pub struct Merged<S> {
    socket: S,
    frames: Frames,
    /// What was read and is still to be handed on; `None` when there is nothing.
    read: Option<Lent>,
}

/// Where the reader stands among the frames.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes that pass before the next head: of a payload, or of the preface.
    left: usize,
    /// Heads that follow and were told in an earlier one.
    swallow: usize,
    /// A head for which there was not room enough, and how many of its bytes are still to be told.
    head: [u8; HEAD],
    head_left: usize,
}

/// The head of a frame: length (3 bytes), type, flags, stream (4 bytes).
const HEAD: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
/// What we let peers send in one frame (SETTINGS_MAX_FRAME_SIZE, its default).
const LONGEST: usize = 16_384;
/// How many streams are put in order at a time: each is a look at all frames.
const STREAMS: usize = 16;

/// The head of a frame, read.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

// === impl Head ===

impl Head {
    fn read(bytes: &[u8]) -> Option<Head> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD>()?;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some(Head { length, kind, flags, stream: [s0, s1, s2, s3] })
    }

    fn written(self) -> [u8; HEAD] {
        let [_, a, b, c] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream;
        [a, b, c, self.kind, self.flags, s0, s1, s2, s3]
    }

    /// Whether it is DATA of which nothing but its payload and its end is to be known.
    fn is_plain(self) -> bool {
        self.kind == DATA && self.flags & !END_STREAM == 0
    }
}

// === impl Frames ===

impl Frames {
    /// `preface`: bytes that come before the first frame, 24 of a client.
    pub fn behind(preface: usize) -> Frames {
        Frames { left: preface, ..Frames::default() }
    }

    /// Hands on from `input` as much as `out` has room for; how many bytes of the input are done with. Stops before a head
    /// that is not there whole.
    pub fn hand_on(&mut self, input: &[u8], out: &mut ReadBuf<'_>) -> usize {
        let mut read = 0;
        loop {
            if self.head_left > 0 {
                let told = self.head.get(HEAD - self.head_left..).unwrap_or_default();
                let count = told.len().min(out.remaining());
                out.put_slice(told.get(..count).unwrap_or_default());
                self.head_left -= count;
                if self.head_left > 0 {
                    return read;
                }
            }
            let rest = input.get(read..).unwrap_or_default();
            if self.left > 0 {
                let count = self.left.min(rest.len()).min(out.remaining());
                if count == 0 {
                    return read;
                }
                out.put_slice(rest.get(..count).unwrap_or_default());
                self.left -= count;
                read += count;
                continue;
            }
            let Some(head) = Head::read(rest) else { return read };
            if self.swallow > 0 {
                self.swallow -= 1;
            } else {
                self.head = self.merged(head, rest).written();
                self.head_left = HEAD;
            }
            self.left = head.length;
            read += HEAD;
        }
    }

    /// Puts plain DATA frames that are here whole in order of their streams, beginning with the frame that comes next. The
    /// bytes are those that are still to be handed on.
    fn regroup(&self, bytes: &mut [u8]) {
        let Some(bytes) = bytes.get_mut(self.left..) else { return };
        // most reads begin with the head of a call
        if self.swallow > 0 || self.head_left > 0 || !Head::read(bytes).is_some_and(Head::is_plain) {
            return;
        }
        let (run, streams) = Run::of(bytes);
        let Some(bytes) = bytes.get_mut(..run.length).filter(|_| run.mixed) else { return };
        let mut sorted = Lent::borrow();
        for stream in streams.iter().take(run.streams) {
            for (_, frame) in frames(bytes).filter(|(head, _)| head.stream == *stream) {
                sorted.extend(frame);
            }
        }
        if sorted.left().len() == bytes.len() {
            bytes.copy_from_slice(sorted.left());
        }
    }

    /// A head that tells the frames behind it too, as far as they are here whole: what is here must not wait for what may
    /// never come.
    fn merged(&mut self, mut head: Head, rest: &[u8]) -> Head {
        if !head.is_plain() || head.flags != 0 {
            return head;
        }
        let behind = rest.get(HEAD + head.length..).unwrap_or_default();
        for (next, _) in frames(behind) {
            if !next.is_plain() || next.stream != head.stream || head.length + next.length > LONGEST {
                break;
            }
            head.length += next.length;
            head.flags = next.flags;
            self.swallow += 1;
            if head.flags != 0 {
                break;
            }
        }
        head
    }
}

/// Plain DATA frames that stand one behind the other.
#[derive(Default)]
struct Run {
    /// Bytes of all of them.
    length: usize,
    /// How many streams they are of.
    streams: usize,
    /// A stream comes again behind another.
    mixed: bool,
}

// === impl Run ===

impl Run {
    /// What the bytes begin with, and its streams as they come. Ends before what comes behind the end of a stream, so that
    /// the fault stays where it was.
    fn of(bytes: &[u8]) -> (Run, [[u8; 4]; STREAMS]) {
        let (mut run, mut streams, mut ended) = (Run::default(), [[0; 4]; STREAMS], [false; STREAMS]);
        let mut last = None;
        for (head, frame) in frames(bytes).take_while(|(head, _)| head.is_plain() && head.length <= LONGEST) {
            let known = streams.iter().take(run.streams).position(|stream| *stream == head.stream);
            let place = known.unwrap_or(run.streams);
            let (Some(stream), Some(ended)) = (streams.get_mut(place), ended.get_mut(place)) else { break };
            if std::mem::replace(ended, head.flags == END_STREAM) {
                break;
            }
            *stream = head.stream;
            run.streams = run.streams.max(place + 1);
            run.mixed |= known.is_some() && last != known;
            run.length += frame.len();
            last = Some(place);
        }
        (run, streams)
    }
}

/// The frames that are there whole, with their heads.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (Head, &[u8])> {
    std::iter::from_fn(move || {
        let head = Head::read(bytes)?;
        let (frame, rest) = bytes.split_at_checked(HEAD + head.length)?;
        bytes = rest;
        Some((head, frame))
    })
}

// === impl Merged ===

impl<S> Merged<S> {
    /// `preface`: see [`Frames::behind`].
    pub fn new(socket: S, preface: usize) -> Merged<S> {
        Merged { socket, frames: Frames::behind(preface), read: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Merged<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            // when nothing is left, there may still be a head that was told in part
            if this.read.is_some() || this.frames.head_left > 0 {
                let left = this.read.as_ref().map_or(&[][..], Lent::left);
                let before = out.filled().len();
                let taken = this.frames.hand_on(left, out);
                if this.read.as_mut().is_some_and(|read| read.take(taken)) {
                    this.read = None;
                }
                if out.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            }
            let read = this.read.get_or_insert_with(Lent::borrow);
            let before = read.left().len();
            match read.poll_fill(&mut this.socket, cx) {
                Poll::Pending => {
                    if before == 0 {
                        this.read = None;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    this.read = None;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(0)) => {
                    // the end; what is left of a head is told as it came
                    let rest = read.left();
                    let count = rest.len().min(out.remaining());
                    out.put_slice(rest.get(..count).unwrap_or_default());
                    if read.take(count) {
                        this.read = None;
                    }
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(_)) => this.frames.regroup(read.left_mut()),
            }
        }
    }
}

super::through::writes_through!(Merged, socket);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

    /// Type, flags, stream and payload of a frame.
    type Told = (u8, u8, [u8; 4], Vec<u8>);

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let head = Head { length: payload.len(), kind, flags, stream: [0, 0, 0, stream] };
        [&head.written()[..], payload].concat()
    }

    /// All that comes out of these bytes when they arrive in pieces of `step`, and there is room for `room` at a time.
    fn through(bytes: &[u8], preface: usize, step: usize, room: usize) -> Vec<u8> {
        let (mut frames, mut out, mut held) = (Frames::behind(preface), Vec::new(), Vec::new());
        for piece in bytes.chunks(step) {
            held.extend_from_slice(piece);
            loop {
                let mut space = vec![0; room];
                let mut space = ReadBuf::new(&mut space);
                let read = frames.hand_on(&held, &mut space);
                held.drain(..read);
                out.extend_from_slice(space.filled());
                if read == 0 && space.filled().is_empty() {
                    break;
                }
            }
        }
        out.extend_from_slice(&held);
        out
    }

    /// The frames of a stream of bytes: DATA of a stream joined as far as nothing stands between.
    fn meaning(bytes: &[u8], preface: usize) -> (Vec<u8>, Vec<Told>) {
        let (front, mut rest) = bytes.split_at(preface.min(bytes.len()));
        let mut found: Vec<Told> = Vec::new();
        while let Some(head) = Head::read(rest) {
            let end = (HEAD + head.length).min(rest.len());
            let payload = &rest[HEAD..end];
            rest = &rest[end..];
            match found.last_mut() {
                Some((DATA, flags, stream, data))
                    if *flags == 0
                        && head.is_plain()
                        && *stream == head.stream
                        && data.len() + head.length <= LONGEST =>
                {
                    data.extend_from_slice(payload);
                    *flags = head.flags;
                }
                _ => found.push((head.kind, head.flags, head.stream, payload.to_vec())),
            }
        }
        (front.to_vec(), found)
    }

    #[test]
    fn small_data_frames_of_one_stream_become_one() {
        let all = [frame(0, 0, 1, b"one"), frame(0, 0, 1, b""), frame(0, 1, 1, b"two")].concat();
        assert_eq!(through(&all, 0, 1000, 1000), frame(0, 1, 1, b"onetwo"));
    }

    #[test]
    fn what_is_not_plain_data_of_the_same_stream_stays_apart() {
        for next in [
            frame(0, 0, 3, b"two"),
            frame(1, 4, 1, b"head"),
            frame(0, 8, 1, b"\x01two\0"),
            frame(0, 2, 1, b"flag"),
            frame(0, 0, 1, &[7; LONGEST - 2]),
            frame(3, 0, 1, &[0; 4]),
        ] {
            let all = [frame(0, 0, 1, b"one"), next.clone()].concat();
            assert_eq!(through(&all, 0, 100_000, 100_000), all);
            let all = [next, frame(0, 0, 1, b"one")].concat();
            let merges = all[3] == DATA && all[4] == 0 && all[8] == 1 && all.len() < LONGEST;
            assert!(merges || through(&all, 0, 100_000, 100_000) == all);
        }
        let ended = [frame(0, 1, 1, b"one"), frame(0, 0, 1, b"late")].concat();
        assert_eq!(through(&ended, 0, 1000, 1000), ended, "a fault stays the peer's");
    }

    #[test]
    fn no_frame_grows_beyond_what_peers_may_send() {
        let all: Vec<u8> = (0..100).flat_map(|_| frame(0, 0, 1, &[1; 1000])).collect();
        let (_, merged) = meaning(&through(&all, 0, usize::MAX, 1 << 20), 0);
        assert!(merged.iter().all(|(.., data)| data.len() == 16_000 || data.len() == 4_000), "{}", merged.len());
        assert_eq!(merged.len(), 7);
    }

    fn regrouped(all: &[u8]) -> Vec<u8> {
        let mut bytes = all.to_vec();
        Frames::default().regroup(&mut bytes);
        bytes
    }

    #[test]
    fn frames_of_streams_that_take_turns_are_put_in_order() {
        let turns = [frame(0, 0, 1, b"a"), frame(0, 0, 3, b"A"), frame(0, 0, 1, b"b"), frame(0, 1, 3, b"B")];
        let all = [&turns.concat()[..], &frame(1, 4, 1, b"trailers"), &frame(0, 0, 5, b"x")].concat();
        let merged = [frame(0, 0, 1, b"ab"), frame(0, 1, 3, b"AB"), frame(1, 4, 1, b"trailers"), frame(0, 0, 5, b"x")];
        assert_eq!(through(&regrouped(&all), 0, 1000, 1000), merged.concat());
    }

    #[test]
    fn nothing_is_put_before_a_frame_of_another_kind_or_behind_the_end_of_its_stream() {
        let (a, b) = (frame(0, 0, 1, b"a"), frame(0, 0, 3, b"b"));
        for between in
            [frame(3, 0, 1, &[0; 4]), frame(1, 4, 5, b"head"), frame(0, 8, 1, b"\x01two\0"), frame(0, 1, 3, b"end")]
        {
            let all = [&a[..], &b, &between, &b, &a].concat();
            assert_eq!(regrouped(&all), all);
        }
        let cut = [&a[..], &b, &a[..HEAD]].concat();
        assert_eq!(regrouped(&cut), cut, "a frame that is not whole stays the last");
        let huge = [&a[..], &b, &frame(0, 0, 1, &[0; LONGEST + 1])].concat();
        assert_eq!(regrouped(&huge), huge);
    }

    #[test]
    fn what_is_under_way_is_left_alone() {
        let run = [frame(0, 0, 1, b"a"), frame(0, 0, 3, b"b"), frame(0, 0, 1, b"c")].concat();
        let mut bytes = [&b"rest"[..], &run].concat();
        Frames::behind(4).regroup(&mut bytes);
        assert_eq!(bytes, [&b"rest"[..], &regrouped(&run)].concat());
        let mut told = run.clone();
        Frames { head_left: 3, ..Frames::default() }.regroup(&mut told);
        Frames { swallow: 1, ..Frames::default() }.regroup(&mut told);
        assert_eq!(told, run);
    }

    #[test]
    fn the_preface_is_no_frame() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let all = [&preface[..], &frame(4, 0, 0, b""), &frame(0, 0, 1, b"a"), &frame(0, 0, 1, b"b")].concat();
        let out = through(&all, preface.len(), 7, 1000);
        assert_eq!(meaning(&out, 24), meaning(&all, 24));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_added_however_it_arrives(
            parts in proptest::collection::vec((0u8..3, 0u8..10, 1u8..3, 0usize..40), 0..40),
            junk in proptest::collection::vec(proptest::num::u8::ANY, 0..12),
            (step, room) in (1usize..200, 1usize..200),
        ) {
            let mut all: Vec<u8> =
                parts.iter().flat_map(|(kind, flags, stream, length)| frame(*kind, *flags, *stream, &vec![*flags; *length])).collect();
            all.extend_from_slice(&junk);
            let out = through(&all, 0, step, room);
            proptest::prop_assert!(out.len() <= all.len());
            proptest::prop_assert_eq!(meaning(&out, 0), meaning(&all, 0));
        }
    }

    #[test]
    fn what_is_here_whole_does_not_wait_for_a_frame_that_is_not() {
        let all = [frame(0, 0, 1, b"one"), frame(0, 0, 1, b"two"), frame(0, 0, 1, b"three")].concat();
        let (mut frames, mut space) = (Frames::default(), [0; 100]);
        let mut space = ReadBuf::new(&mut space);
        frames.hand_on(&all[..all.len() - 1], &mut space);
        assert!(space.filled().starts_with(&frame(0, 0, 1, b"onetwo")));
    }

    #[tokio::test]
    async fn a_head_is_told_whole_though_the_room_ended_within_it() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut peer, ours) = tokio::io::duplex(64);
        let end = frame(0, 1, 1, b"");
        peer.write_all(&end).await.unwrap();
        let (mut merged, mut out) = (Merged::new(ours, 0), vec![0; HEAD]);
        for room in out.chunks_mut(2) {
            // the peer says nothing more
            tokio::time::timeout(PATIENCE, merged.read_exact(room)).await.expect("all of the head").unwrap();
        }
        assert_eq!(out, end);
    }

    /// What a stream says, in its order.
    fn of_stream(all: &[Told], stream: u8) -> Vec<&Told> {
        all.iter().filter(|(_, _, told, _)| *told == [0, 0, 0, stream]).collect()
    }

    /// The frames, one by one.
    fn apart(bytes: &[u8]) -> Vec<Told> {
        frames(bytes).map(|(head, frame)| (head.kind, head.flags, head.stream, frame[HEAD..].to_vec())).collect()
    }

    proptest::proptest! {
        #[test]
        fn putting_in_order_keeps_the_order_of_every_stream_and_of_all_else(
            parts in proptest::collection::vec((0u8..12, 0u8..2, 0u8..20, 0usize..40), 0..60),
            junk in proptest::collection::vec(proptest::num::u8::ANY, 0..12),
        ) {
            // mostly DATA
            let all: Vec<Vec<u8>> = parts
                .iter()
                .enumerate()
                .map(|(n, (kind, flags, stream, length))| frame(kind.saturating_sub(8), *flags, *stream, &vec![n as u8; *length]))
                .collect();
            let all = [all.concat(), junk].concat();
            let (before, sorted) = (apart(&all), regrouped(&all));
            let after = apart(&sorted);
            proptest::prop_assert_eq!(sorted.len(), all.len());
            for stream in 0..20 {
                proptest::prop_assert_eq!(of_stream(&after, stream), of_stream(&before, stream));
            }
            let kinds = |told: &[Told]| told.iter().map(|(kind, ..)| *kind != DATA).collect::<Vec<_>>();
            proptest::prop_assert_eq!(kinds(&after), kinds(&before));
            let whole: usize = before.iter().map(|(.., payload)| HEAD + payload.len()).sum();
            proptest::prop_assert_eq!(&sorted[whole..], &all[whole..]);
        }
    }

    #[tokio::test]
    async fn a_reader_gets_all_of_it_and_then_the_end() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut peer, ours) = tokio::io::duplex(64);
        let all: Vec<u8> = (0..200u8).flat_map(|n| frame(0, 0, 1, &[n; 5])).collect();
        let sent = all.clone();
        let writer = tokio::spawn(async move {
            peer.write_all(&sent).await.unwrap();
            peer.write_all(&[1, 2, 3]).await.unwrap();
        });
        let (mut merged, mut out) = (Merged::new(ours, 0), Vec::new());
        merged.read_to_end(&mut out).await.unwrap();
        writer.await.unwrap();
        assert_eq!(out.split_off(out.len() - 3), [1, 2, 3]);
        assert_eq!(meaning(&out, 0), meaning(&all, 0));
        assert!(merged.read.is_none());
    }
}
