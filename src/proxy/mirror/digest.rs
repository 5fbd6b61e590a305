//! What two answers are compared by: a hash over their messages, whatever the chunks they came in.

use aws_lc_rs::digest::{Context, SHA256};

use crate::wire::{COMPRESSED, Encoding, PREFIX};

/// The hash of all messages of an answer, in order, each with its length.
pub(super) type Digest = [u8; 32];

/// Hashes messages as their bytes pass. Compressed ones are put together and unpacked, so that encodings make no difference;
/// others are not kept.
pub(super) struct AnswerDigest {
    context: Context,
    prefix: [u8; PREFIX],
    have: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// A compressed message so far.
    packed: Option<Vec<u8>>,
    encoding: Option<Encoding>,
    /// Bytes of a message that is put together; longer ones are compared as they are.
    limit: usize,
}

/// Of a compressed message, where the method has no limit.
const DEFAULT_LIMIT: usize = 4 << 20;

// === impl AnswerDigest ===

impl AnswerDigest {
    /// `limit`: bytes of one message; 0: no limit.
    pub(super) fn new(limit: usize) -> AnswerDigest {
        let limit = if limit == 0 { DEFAULT_LIMIT } else { limit };
        let context = Context::new(&SHA256);
        AnswerDigest { context, prefix: [0; PREFIX], have: 0, left: 0, packed: None, encoding: None, limit }
    }

    /// How messages are compressed, as the answer's head tells it.
    pub(super) fn packed(&mut self, encoding: Option<Encoding>) {
        self.encoding = encoding;
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (front, rest) = bytes.split_at((PREFIX - self.have).min(bytes.len()));
                if let Some(slot) = self.prefix.get_mut(self.have..self.have + front.len()) {
                    slot.copy_from_slice(front);
                }
                self.have += front.len();
                bytes = rest;
                if self.have == PREFIX {
                    self.begin();
                }
                continue;
            }
            let (front, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= front.len();
            bytes = rest;
            match &mut self.packed {
                Some(packed) => packed.extend_from_slice(front),
                None => self.context.update(front),
            }
            self.end_if_whole();
        }
    }

    /// Whether the bytes so far end with a whole message.
    pub(super) fn at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    pub(super) fn finish(self) -> Digest {
        let mut digest = Digest::default();
        let found = self.context.finish();
        // both are 32 bytes
        for (to, from) in digest.iter_mut().zip(found.as_ref()) {
            *to = *from;
        }
        digest
    }

    /// The prefix of a message is there.
    fn begin(&mut self) {
        let [flags, a, b, c, d] = self.prefix;
        self.left = u32::from_be_bytes([a, b, c, d]) as usize;
        if flags & COMPRESSED != 0 && self.encoding.is_some() && self.left <= self.limit {
            self.packed = Some(Vec::new());
        } else {
            self.context.update(&[flags]);
            self.context.update(&(self.left as u64).to_be_bytes());
        }
        self.have = 0;
        self.end_if_whole();
    }

    fn end_if_whole(&mut self) {
        if self.left > 0 {
            return;
        }
        let (Some(packed), Some(encoding)) = (self.packed.take(), self.encoding) else { return };
        match encoding.unpack(&packed, self.limit) {
            Ok(plain) => {
                self.context.update(&[0]);
                self.context.update(&(plain.len() as u64).to_be_bytes());
                self.context.update(&plain);
            }
            Err(_) => {
                self.context.update(&[COMPRESSED]);
                self.context.update(&packed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::prefix;

    fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
        [&prefix(flags, message.len()), message].concat()
    }

    fn digest(bytes: &[u8], size: usize, encoding: Option<Encoding>) -> Digest {
        let mut digest = AnswerDigest::new(1 << 10);
        digest.packed(encoding);
        bytes.chunks(size).for_each(|chunk| digest.push(chunk));
        assert!(digest.at_boundary());
        digest.finish()
    }

    #[test]
    fn chunks_make_no_difference_and_boundaries_of_messages_do() {
        let two = [frame(0, b"ab"), frame(0, b""), frame(0, b"c")].concat();
        let whole = digest(&two, two.len(), None);
        for size in 1..7 {
            assert_eq!(digest(&two, size, None), whole);
        }
        let other = [frame(0, b"a"), frame(0, b""), frame(0, b"bc")].concat();
        assert_ne!(digest(&other, 3, None), whole);
        assert_ne!(digest(b"", 1, None), digest(&frame(0, b""), 1, None));
    }

    #[test]
    fn a_compressed_message_is_as_good_as_a_plain_one() {
        let gzip = Encoding::from_name(b"gzip").expect("known");
        let long = b"the quick brown fox ".repeat(40);
        let packed = gzip.pack(&long).expect("smaller");
        let plain = digest(&frame(0, &long), 7, None);
        assert_eq!(digest(&frame(COMPRESSED, &packed), 5, Some(gzip)), plain);
        assert_ne!(digest(&frame(COMPRESSED, b"junk"), 5, Some(gzip)), plain);
        // over the limit: as they are
        let huge = gzip.pack(&[0; 1 << 12]).expect("smaller");
        assert_eq!(digest(&frame(COMPRESSED, &huge), 5, Some(gzip)), digest(&frame(COMPRESSED, &huge), 9, Some(gzip)));
    }
}
