//! What is kept of a request for as long as it may have to be sent again, at the least price: every call pays it, and
//! few get anything for it.
//!
//! `h2` takes the header map of a request for good, so a copy must be made before it is known whether anybody needs it: an
//! upstream may refuse any call at any time. A clone of the map is two allocations and, for a call of gRPC without metadata,
//! some 270 ns; most of that are the counters of shared bytes, up and down again. Names and values copied one behind the
//! other into a buffer that the thread used before are 60 ns and no allocation (and no bytes of the connection's buffers
//! are held). The map is made of that anew for the few calls that are sent again.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};

use super::attempts::TIMEOUT;

/// A buffer of bytes that goes back to its thread, to be used again.
#[derive(Default)]
pub(super) struct Scratch(Vec<u8>);

/// The header fields of a request, without those that every attempt has its own of.
pub(super) struct KeptHead(Scratch);

/// Buffers that a thread keeps at most, and the largest of them: 1 MiB in all.
const MOST_SPARE: usize = 256;
const LARGEST_SPARE: usize = 4 << 10;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

// === impl Scratch ===

impl Scratch {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if self.0.capacity() == 0 {
            // a thread that ends has none to give
            let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
            self.0 = spare.ok().flatten().unwrap_or_else(|| Vec::with_capacity(512));
        }
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() == 0 || self.0.capacity() > LARGEST_SPARE {
            return;
        }
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST_SPARE {
                spare.push(buffer);
            }
        });
    }
}

// === impl KeptHead ===

/// In front of each field: the name's length and the value's, whose highest bit says that it is sensitive.
const LENGTHS: usize = 2 + 4;
const SENSITIVE: u32 = 1 << 31;

impl KeptHead {
    /// Of a head as it goes upstream. `timed`: every attempt tells the time that is left, so that of the first is not kept.
    pub(super) fn of(headers: &HeaderMap, timed: bool) -> KeptHead {
        let mut kept = Scratch::default();
        for (name, value) in headers {
            if *name == TE || *name == CONTENT_TYPE || timed && *name == TIMEOUT {
                continue;
            }
            let (name, bytes) = (name.as_str().as_bytes(), value.as_bytes());
            // longer ones than that are no fields of `http`, and of no peer
            let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(bytes.len())) else {
                continue;
            };
            let sensitive = if value.is_sensitive() { SENSITIVE } else { 0 };
            kept.extend(&name_len.to_ne_bytes());
            kept.extend(&(value_len & !SENSITIVE | sensitive).to_ne_bytes());
            kept.extend(name);
            kept.extend(bytes);
        }
        KeptHead(kept)
    }

    /// The head once more: fields in their order, those of one name too.
    pub(super) fn rebuild(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        // one copy, which all the values share
        let mut rest = Bytes::copy_from_slice(self.0.as_slice());
        while let Some((name, value)) = next(&mut rest) {
            headers.append(name, value);
        }
        headers
    }
}

fn next(rest: &mut Bytes) -> Option<(HeaderName, HeaderValue)> {
    let (name_len, value_len) = rest.get(..LENGTHS)?.split_first_chunk::<2>()?;
    let name_len = usize::from(u16::from_ne_bytes(*name_len));
    let told = u32::from_ne_bytes(value_len.try_into().ok()?);
    let value_len = usize::try_from(told & !SENSITIVE).ok()?;
    if rest.len() < LENGTHS + name_len + value_len {
        return None;
    }
    let mut field = rest.split_to(LENGTHS + name_len + value_len).split_off(LENGTHS);
    let name = HeaderName::from_bytes(&field.split_to(name_len)).ok()?;
    let mut value = HeaderValue::from_maybe_shared(field).ok()?;
    value.set_sensitive(told & SENSITIVE != 0);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("user-agent", HeaderValue::from_static("grpc-test/1"));
        headers.append("x-two", HeaderValue::from_static("1"));
        headers.append("x-two", HeaderValue::from_static("2"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        headers.insert("x-opaque", HeaderValue::from_bytes(b"\xff\x80").expect("a value"));
        headers
    }

    #[test]
    fn a_head_comes_back_as_it_was() {
        let mut headers = head();
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        headers.insert("authorization", secret);
        let rebuilt = KeptHead::of(&headers, true).rebuild();
        assert_eq!(rebuilt, headers);
        assert!(rebuilt["authorization"].is_sensitive() && !rebuilt["user-agent"].is_sensitive());
        let both: Vec<_> = rebuilt.get_all("x-two").iter().collect();
        assert_eq!(both, ["1", "2"]);
    }

    #[test]
    fn the_time_that_is_left_is_told_anew_and_a_timeout_without_a_deadline_stays() {
        let mut headers = head();
        headers.insert(TIMEOUT, HeaderValue::from_static("1S"));
        assert!(!KeptHead::of(&headers, true).rebuild().contains_key(TIMEOUT));
        assert_eq!(KeptHead::of(&headers, false).rebuild()[TIMEOUT], "1S");
    }

    #[test]
    fn a_large_head_is_kept_too_and_its_buffer_is_not() {
        let mut headers = head();
        let large = "x".repeat(100_000);
        headers.insert("x-large", HeaderValue::from_str(&large).expect("a value"));
        assert_eq!(KeptHead::of(&headers, true).rebuild(), headers);
        SPARE.with(|spare| assert!(spare.borrow().iter().all(|one| one.capacity() <= LARGEST_SPARE)));
    }

    #[test]
    fn a_buffer_serves_one_call_after_the_other() {
        let headers = head();
        drop(KeptHead::of(&headers, true));
        let before = SPARE.with(|spare| spare.borrow().len());
        for _ in 0..10 {
            drop(KeptHead::of(&headers, true));
        }
        assert_eq!(SPARE.with(|spare| spare.borrow().len()), before);
    }

    #[test]
    fn damaged_bytes_end_the_head_and_nothing_else() {
        let whole = KeptHead::of(&head(), true);
        for cut in 0..whole.0.as_slice().len() {
            let mut damaged = Scratch::default();
            damaged.extend(whole.0.as_slice().get(..cut).unwrap_or_default());
            assert!(KeptHead(damaged).rebuild().len() <= head().len());
        }
    }
}
