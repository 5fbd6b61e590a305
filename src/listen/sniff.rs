//! What a caller speaks, told from its first bytes. The deadline over it is the greeting's, see `serve`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::drain::Live;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Tls,
    Http2,
    /// Anything else: hyper answers 400 to what is no HTTP.
    Http1,
}

/// A socket whose first bytes were looked at: gives them again.
#[derive(Debug)]
pub(super) struct Peeked<S> {
    prefix: [u8; PREFACE.len()],
    from: u8,
    to: u8,
    /// Told of bytes that arrive while no call is in flight: the head of the next.
    live: Option<Arc<Live>>,
    socket: S,
}

/// RFC 9113 section 3.4.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// Reads until it is clear what the caller speaks; `None` if it closes before.
pub(super) async fn sniff<S: AsyncRead + Unpin>(mut socket: S) -> io::Result<Option<(Speech, Peeked<S>)>> {
    let mut prefix = [0; PREFACE.len()];
    let mut filled = 0_u8;
    loop {
        let room = prefix.get_mut(usize::from(filled)..).unwrap_or_default();
        let count = socket.read(room).await?;
        if count == 0 {
            return Ok(None);
        }
        filled = filled.saturating_add(u8::try_from(count).unwrap_or(u8::MAX));
        if let Some(speech) = judge(prefix.get(..usize::from(filled)).unwrap_or_default()) {
            return Ok(Some((speech, Peeked { prefix, from: 0, to: filled, live: None, socket })));
        }
    }
}

/// `None` while the bytes may still become the preface.
fn judge(bytes: &[u8]) -> Option<Speech> {
    if bytes.first() == Some(&HANDSHAKE_RECORD) {
        return Some(Speech::Tls);
    }
    if PREFACE == bytes {
        return Some(Speech::Http2);
    }
    (!PREFACE.starts_with(bytes)).then_some(Speech::Http1)
}

// === impl Peeked ===

impl<S> Peeked<S> {
    /// Nothing was looked at.
    pub(super) fn unread(socket: S) -> Peeked<S> {
        Peeked { prefix: [0; PREFACE.len()], from: 0, to: 0, live: None, socket }
    }

    /// Tells `live` when the head of a call begins to arrive.
    pub(super) fn watched_by(mut self, live: &Arc<Live>) -> Peeked<S> {
        self.live = Some(Arc::clone(live));
        self
    }

    fn note(&self) {
        if let Some(live) = &self.live {
            live.heard();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.from < self.to {
            let left = self.prefix.get(usize::from(self.from)..usize::from(self.to)).unwrap_or_default();
            let count = left.len().min(buffer.remaining());
            buffer.put_slice(left.get(..count).unwrap_or_default());
            self.from = self.from.saturating_add(u8::try_from(count).unwrap_or(u8::MAX));
            self.note();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.note();
        }
        read
    }
}

crate::net::writes_through!(Peeked, socket);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn every_part_of_the_preface_leaves_the_question_open() {
        for length in 0..PREFACE.len() {
            assert_eq!(judge(&PREFACE[..length]), None, "{length}");
        }
        assert_eq!(judge(PREFACE), Some(Speech::Http2));
    }

    #[test]
    fn the_first_byte_that_differs_settles_it() {
        assert_eq!(judge(b"G"), Some(Speech::Http1));
        assert_eq!(judge(b"PO"), Some(Speech::Http1));
        assert_eq!(judge(b"PRI * HTTP/1.1"), Some(Speech::Http1));
        assert_eq!(judge(&[0x16]), Some(Speech::Tls));
        assert_eq!(judge(&[0x16, 3, 1]), Some(Speech::Tls));
        assert_eq!(judge(&[0x80, 0x2e]), Some(Speech::Http1));
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_again_byte_by_byte_or_at_once() {
        let (mut far, near) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            for byte in PREFACE {
                far.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            far.write_all(b"after").await.unwrap();
        });
        let (speech, mut peeked) = sniff(near).await.unwrap().unwrap();
        assert_eq!(speech, Speech::Http2);
        assert_eq!(peeked.read_u8().await.unwrap(), b'P');
        let mut rest = Vec::new();
        peeked.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [&PREFACE[1..], b"after"].concat());
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_that_closes_in_the_middle_has_said_nothing() {
        for sent in [&b""[..], &PREFACE[..10]] {
            let (mut far, near) = tokio::io::duplex(64);
            far.write_all(sent).await.unwrap();
            drop(far);
            assert!(sniff(near).await.unwrap().is_none());
        }
    }
}
