//! Why an attempt failed, and what the upstream says of trying again.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::Answered;
use crate::call::Refusal;
use crate::catalog::RetryOn;
use crate::observe::RepeatReason;
use crate::proxy::ending::{deadline_passed, from_fault};
use crate::status::{Code, retry_delay};
use crate::upstream::{Fault, FaultKind, Verdict};
use crate::wire::decode_bin;

/// An attempt that nothing went on from to the caller so far.
pub(super) struct Failed {
    pub why: Why,
    /// Kept, if there is an answer: if nothing better comes, it is the caller's.
    pub answered: Option<Box<Answered>>,
    /// The number of the endpoint, if it came to one.
    pub endpoint: Option<u64>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(in crate::proxy) enum Why {
    Fault(Fault),
    /// The upstream answered with a status, and nothing else.
    Told(Bad),
    /// It had no answer in its time.
    Slow,
}

/// A status that is all there is of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Bad {
    code: Code,
    pushback: Pushback,
    /// `google.rpc.RetryInfo`: the least time to wait.
    delay: Option<Duration>,
}

/// What `grpc-retry-pushback-ms` says (gRPC proposal A6, "Pushback").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Pushback {
    /// Nothing.
    None,
    /// Not again. Also what is negative, or no number.
    Never,
    /// After this time, neither earlier nor later.
    After(Duration),
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

// === impl Pushback ===

impl Pushback {
    fn of(fields: &HeaderMap) -> Pushback {
        let mut values = fields.get_all(PUSHBACK).iter();
        match (values.next(), values.next()) {
            (None, _) => Pushback::None,
            (Some(value), None) => Pushback::read(value.as_bytes()),
            (Some(_), Some(_)) => Pushback::Never,
        }
    }

    /// Digits of a number that a signed word of 32 bits holds.
    fn read(value: &[u8]) -> Pushback {
        let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse::<i32>().ok()).and_then(|number| u64::try_from(number).ok());
        number.map_or(Pushback::Never, |number| Pushback::After(Duration::from_millis(number)))
    }
}

// === impl Bad ===

impl Bad {
    /// Of the fields that tell how a call ended. `None` if it ended well, or they do not tell: whoever reads such an
    /// answer knows better what it is.
    pub(super) fn of(fields: &HeaderMap) -> Option<Bad> {
        let code = Code::from_header(fields.get(STATUS)?.as_bytes()).unwrap_or(Code::Unknown);
        (code != Code::Ok).then(|| Bad::with(code, fields))
    }

    /// Of an answer by this HTTP code, as of a proxy on the way that has no gRPC.
    pub(super) fn of_http(http: u16, fields: &HeaderMap) -> Option<Bad> {
        Bad::of(fields).or_else(|| Some(Bad::with(Code::from_http(http), fields)))
    }

    fn with(code: Code, fields: &HeaderMap) -> Bad {
        let details = fields.get(DETAILS).and_then(|value| decode_bin(value.as_bytes()).ok());
        Bad { code, pushback: Pushback::of(fields), delay: details.and_then(|bytes| retry_delay(&bytes)) }
    }
}

// === impl Why ===

impl Why {
    /// Whether the upstream was there, and surely never took the call up.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Why::Fault(fault) if fault.kind() == FaultKind::Refused)
    }

    /// Whether there was no connection.
    pub(super) fn is_connect(&self) -> bool {
        matches!(self, Why::Fault(fault) if fault.kind() == FaultKind::Connect)
    }

    /// Whether the failure is one of these.
    pub(super) fn is_among(&self, on: RetryOn) -> bool {
        match self {
            Why::Slow => true,
            Why::Told(bad) => on.covers(bad.code),
            // our own limit: another attempt would only add to it
            Why::Fault(fault) if fault.kind() == FaultKind::Overloaded => false,
            Why::Fault(fault) => {
                on.covers(fault.code()) || on.covers_resets() && matches!(fault.kind(), FaultKind::Reset(_))
            }
        }
    }

    /// What the upstream says of another attempt: when, and how long to wait at least.
    pub(super) fn asked(&self) -> (Pushback, Option<Duration>) {
        match self {
            Why::Told(bad) => (bad.pushback, bad.delay),
            Why::Fault(_) | Why::Slow => (Pushback::None, None),
        }
    }

    /// For the counters.
    pub(in crate::proxy) fn reason(&self) -> RepeatReason {
        match self {
            Why::Slow => RepeatReason::Slow,
            Why::Told(_) => RepeatReason::Status,
            Why::Fault(fault) => match fault.kind() {
                // an overload is never repeated
                FaultKind::Connect | FaultKind::Overloaded => RepeatReason::Connect,
                FaultKind::Refused => RepeatReason::Refused,
                FaultKind::Reset(_) => RepeatReason::Reset,
                FaultKind::Broken | FaultKind::Protocol => RepeatReason::Lost,
            },
        }
    }

    /// For the access log: the code, if it was told one.
    pub(in crate::proxy) fn word(&self) -> &'static str {
        match self {
            Why::Told(bad) => bad.code.name(),
            Why::Fault(_) | Why::Slow => self.reason().name(),
        }
    }

    /// What its endpoint hears of it; resets and lost connections speak for themselves.
    pub(in crate::proxy) fn verdict(&self) -> Verdict {
        match self {
            Why::Fault(_) => Verdict::Neutral,
            Why::Slow => Verdict::Failure,
            Why::Told(bad) => match bad.code {
                Code::Unavailable | Code::Internal | Code::Unknown | Code::DataLoss | Code::DeadlineExceeded => {
                    Verdict::Failure
                }
                _ => Verdict::Success,
            },
        }
    }
}

// === impl Failed ===

impl Failed {
    pub(super) fn of_fault(fault: Fault, endpoint: Option<u64>) -> Failed {
        Failed { why: Why::Fault(fault), answered: None, endpoint }
    }

    pub(super) fn of_answer(answered: Answered, bad: Bad) -> Failed {
        let endpoint = Some(answered.1.endpoint().id());
        Failed { why: Why::Told(bad), answered: Some(Box::new(answered)), endpoint }
    }

    /// Gives the attempt up for another; its endpoint hears what was thought of it.
    pub(super) fn give_up(self) {
        if let Some(answered) = &self.answered {
            answered.1.judge(self.why.verdict());
        }
    }

    /// What the caller gets, if this was the last attempt.
    pub(super) fn into_result(self) -> Result<Answered, Refusal> {
        match (self.answered, self.why) {
            (Some(answered), _) => Ok(*answered),
            (None, Why::Fault(fault)) => Err(from_fault(&fault)),
            (None, _) => Err(deadline_passed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::status::{Status, encode_status, retry_info};
    use crate::wire::encode_bin;

    fn fields(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).expect("a value");
        let mut map = HeaderMap::new();
        for (name, bytes) in pairs {
            map.append(*name, value(bytes));
        }
        map
    }

    #[test]
    fn a_pushback_is_a_number_of_milliseconds_and_anything_else_means_never() {
        assert_eq!(Pushback::of(&HeaderMap::new()), Pushback::None);
        let read = |value: &[u8]| Pushback::of(&fields(&[("grpc-retry-pushback-ms", value)]));
        assert_eq!(read(b"0"), Pushback::After(Duration::ZERO));
        assert_eq!(read(b"250"), Pushback::After(Duration::from_millis(250)));
        assert_eq!(read(b"2147483647"), Pushback::After(Duration::from_millis(2_147_483_647)));
        for damaged in
            [b"".as_slice(), b"-1", b"+1", b"1.5", b" 1", b"1s", b"2147483648", b"\xff", b"99999999999999999999"]
        {
            assert_eq!(read(damaged), Pushback::Never, "{damaged:?}");
        }
        let two = fields(&[("grpc-retry-pushback-ms", b"1"), ("grpc-retry-pushback-ms", b"2")]);
        assert_eq!(Pushback::of(&two), Pushback::Never);
    }

    #[test]
    fn a_status_tells_its_code_and_how_long_to_wait() {
        let status = Status::new(Code::Unavailable, "x").with(retry_info(Duration::from_millis(1500)));
        let details = encode_bin(&encode_status(&status));
        let bad = Bad::of(&fields(&[("grpc-status", b"14"), ("grpc-status-details-bin", details.as_bytes())]));
        let delay = Some(Duration::from_millis(1500));
        assert_eq!(bad, Some(Bad { code: Code::Unavailable, pushback: Pushback::None, delay }));
        assert_eq!(Bad::of(&fields(&[("grpc-status", b"0")])), None);
        assert_eq!(Bad::of(&HeaderMap::new()), None, "no status is for others to complain about");
        assert_eq!(Bad::of(&fields(&[("grpc-status", b"x")])).map(|bad| bad.code), Some(Code::Unknown));
        assert_eq!(Bad::of_http(503, &HeaderMap::new()).map(|bad| bad.code), Some(Code::Unavailable));
        assert_eq!(
            Bad::of_http(503, &fields(&[("grpc-status", b"8")])).map(|bad| bad.code),
            Some(Code::ResourceExhausted)
        );
    }

    #[test]
    fn damaged_details_ask_for_nothing() {
        let status = encode_status(&Status::new(Code::Aborted, "x").with(retry_info(Duration::from_secs(7))));
        for cut in 0..status.len() {
            let text = encode_bin(status.get(..cut).unwrap_or_default());
            let bad = Bad::of(&fields(&[("grpc-status", b"10"), ("grpc-status-details-bin", text.as_bytes())]));
            assert!(bad.is_some_and(|bad| bad.delay.is_none_or(|delay| delay <= Duration::from_secs(7))), "{cut}");
        }
        let bad = Bad::of(&fields(&[("grpc-status", b"10"), ("grpc-status-details-bin", b"!!")]));
        assert_eq!(bad.and_then(|bad| bad.delay), None);
    }

    #[test]
    fn resets_are_worth_it_by_their_word_or_by_their_code() {
        let reset = |reason| Why::Fault(Fault::new(FaultKind::Reset(reason), ""));
        let codes = RetryOn::NONE.and(Code::ResourceExhausted);
        assert!(reset(h2::Reason::ENHANCE_YOUR_CALM).is_among(codes));
        assert!(!reset(h2::Reason::INTERNAL_ERROR).is_among(codes));
        assert!(reset(h2::Reason::INTERNAL_ERROR).is_among(RetryOn::default()));
        assert!(Why::Fault(Fault::new(FaultKind::Broken, "")).is_among(RetryOn::default()), "UNAVAILABLE");
        assert!(!Why::Fault(Fault::new(FaultKind::Protocol, "")).is_among(RetryOn::default()));
        assert!(Why::Slow.is_among(RetryOn::NONE));
    }
}
