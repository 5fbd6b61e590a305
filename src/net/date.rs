//! The field `date` (RFC 9110, 6.6.1), written once per second and thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

thread_local! {
    /// A second, and its text.
    static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
}

/// The time as HTTP writes it.
pub fn now() -> HeaderValue {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let known = LAST.try_with(|last| {
        let mut last = last.try_borrow_mut().ok()?;
        match &*last {
            Some((at, value)) if *at == second => Some(value.clone()),
            _ => {
                let value = written(second);
                *last = Some((second, value.clone()));
                Some(value)
            }
        }
    });
    known.ok().flatten().unwrap_or_else(|| written(second))
}

fn written(second: u64) -> HeaderValue {
    // far beyond any clock, the text would not fit its form
    let time = UNIX_EPOCH + Duration::from_secs(second.min(253_402_300_799));
    HeaderValue::try_from(httpdate::fmt_http_date(time)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_written_as_there() {
        assert_eq!(written(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(written(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_time_is_read_again_when_a_second_has_passed() {
        LAST.with(|last| *last.borrow_mut() = Some((1, HeaderValue::from_static("old"))));
        assert_ne!(now(), "old");
    }
}
