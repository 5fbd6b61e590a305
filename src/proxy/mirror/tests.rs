use futures_util::task::noop_waker_ref;

use super::*;

fn feed(limit: usize, shadows: &Arc<Shadows>) -> (Tap, Arc<Feed>) {
    let feed = Arc::new(Feed { state: Mutex::default(), limit, shadows: Arc::clone(shadows) });
    (Tap { feed: Arc::clone(&feed), copied: 0, sent: 0 }, feed)
}

fn next(feed: &Feed) -> Poll<Option<(Bytes, bool)>> {
    feed.poll_next(&mut Context::from_waker(noop_waker_ref()))
}

fn piece(text: &'static [u8], last: bool) -> Poll<Option<(Bytes, bool)>> {
    Poll::Ready(Some((Bytes::from_static(text), last)))
}

#[test]
fn what_is_sent_again_is_copied_once() {
    let shadows = Arc::<Shadows>::default();
    let (mut tap, feed) = feed(100, &shadows);
    tap.sent(b"abc", false);
    tap.again();
    tap.sent(b"ab", false);
    tap.sent(b"cdef", false);
    tap.again();
    tap.sent(b"abcdef", true);
    assert_eq!(next(&feed), piece(b"abc", false));
    assert_eq!(next(&feed), piece(b"def", true));
    assert_eq!(next(&feed), piece(b"", true), "an end that is asked for again stays one");
    drop(tap);
    assert_eq!(next(&feed), piece(b"", true), "the end of the call is no cut once all is sent");
}

#[test]
fn a_shadow_that_falls_behind_loses_the_call_and_frees_its_memory() {
    let shadows = Arc::<Shadows>::default();
    let (mut tap, slow) = feed(4, &shadows);
    tap.sent(b"abcd", false);
    assert_eq!(shadows.bytes.load(Ordering::Relaxed), 4);
    tap.sent(b"e", false);
    assert_eq!((next(&slow), shadows.bytes.load(Ordering::Relaxed)), (Poll::Ready(None), 0));
    tap.sent(b"f", true);
    assert_eq!(next(&slow), Poll::Ready(None));
}

#[test]
fn shadows_share_one_budget_and_give_it_back() {
    let shadows = Arc::<Shadows>::default();
    let (mut tap, first) = feed(MOST_BYTES, &shadows);
    tap.sent(&vec![0; MOST_BYTES], false);
    let (mut other, second) = feed(MOST_BYTES, &shadows);
    other.sent(b"x", true);
    assert_eq!(next(&second), Poll::Ready(None), "no room");
    drop((tap, first));
    assert_eq!(shadows.bytes.load(Ordering::Relaxed), 0);
    let seats: Vec<_> = (0..MOST_CALLS).map(|_| Seat::take(&shadows)).collect();
    assert!(seats.iter().all(Option::is_some) && Seat::take(&shadows).is_none());
    drop(seats);
    assert!(Seat::take(&shadows).is_some());
}

#[test]
fn a_call_that_breaks_off_cuts_its_shadow_off() {
    let shadows = Arc::<Shadows>::default();
    let (mut tap, feed) = feed(100, &shadows);
    tap.sent(b"abc", false);
    assert_eq!(next(&feed), piece(b"abc", false));
    assert_eq!(next(&feed), Poll::Pending);
    drop(tap);
    assert_eq!(next(&feed), Poll::Ready(None));
}
