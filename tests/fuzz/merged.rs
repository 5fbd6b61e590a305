//! What the fuzz target of joined HTTP/2 frames does with its input; `tests/wire.rs` runs the committed corpus through the
//! same.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use transom::net::merge::Merged;

const HEAD: usize = 9;
const PLAIN_DATA: [u8; 2] = [0, 0];
const LAST_DATA: [u8; 2] = [0, 1];

/// Bytes that arrive in pieces of a size, with a pause before each.
struct Pieces<'a> {
    left: &'a [u8],
    size: usize,
    waits: bool,
}

/// Type and flags, stream, payload.
type Frame<'a> = ([u8; 2], &'a [u8], Vec<u8>);

/// However the bytes arrive and are taken, every stream says what it said, and so do the frames that are not plain DATA among
/// themselves. The first two bytes are the size of the pieces and the room of the reader.
pub fn merged(data: &[u8]) {
    let Some((&[size, room], data)) = data.split_first_chunk::<2>() else { return };
    let out = through(data, usize::from(size) + 1, usize::from(room) + 1);
    assert!(out.len() <= data.len());
    let (before, after) = (frames(data), frames(&out));
    assert_eq!(others(&after.0), others(&before.0));
    let mut streams: Vec<&[u8]> = before.0.iter().map(|frame| frame.1).collect();
    streams.dedup();
    for stream in streams {
        assert_eq!(said(&after.0, stream), said(&before.0, stream), "{stream:?}");
    }
    assert_eq!(after.1, before.1, "what is cut short at the end");
}

fn through(data: &[u8], size: usize, room: usize) -> Vec<u8> {
    let (mut merged, mut out) = (Merged::new(Pieces { left: data, size, waits: true }, 0), Vec::new());
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let mut space = vec![0; room];
        let mut space = ReadBuf::new(&mut space);
        match Pin::new(&mut merged).poll_read(&mut cx, &mut space) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if space.filled().is_empty() => return out,
            Poll::Ready(Ok(())) => out.extend_from_slice(space.filled()),
            Poll::Ready(Err(error)) => panic!("{error}"),
        }
    }
}

/// All frames that are there whole, and what is left.
fn frames(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut found = Vec::new();
    while let Some(&[a, b, c, kind, flags, ..]) = bytes.first_chunk::<HEAD>() {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let Some((frame, rest)) = bytes.split_at_checked(HEAD + length) else { break };
        found.push(([kind, flags], &frame[5..HEAD], frame[HEAD..].to_vec()));
        bytes = rest;
    }
    (found, bytes)
}

fn others<'a>(frames: &'a [Frame<'a>]) -> Vec<&'a Frame<'a>> {
    frames.iter().filter(|(kind, ..)| *kind != PLAIN_DATA && *kind != LAST_DATA).collect()
}

/// The frames of a stream, with plain DATA joined.
fn said(frames: &[Frame<'_>], stream: &[u8]) -> Vec<([u8; 2], Vec<u8>)> {
    let mut found: Vec<([u8; 2], Vec<u8>)> = Vec::new();
    for (kind, _, payload) in frames.iter().filter(|frame| frame.1 == stream) {
        match found.last_mut() {
            Some((before, data)) if *before == PLAIN_DATA && (*kind == PLAIN_DATA || *kind == LAST_DATA) => {
                *before = *kind;
                data.extend_from_slice(payload);
            }
            _ => found.push((*kind, payload.clone())),
        }
    }
    found
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.waits = !self.waits;
        if self.waits {
            return Poll::Pending;
        }
        let (piece, left) = self.left.split_at(self.size.min(self.left.len()).min(out.remaining()));
        out.put_slice(piece);
        self.left = left;
        Poll::Ready(Ok(()))
    }
}
