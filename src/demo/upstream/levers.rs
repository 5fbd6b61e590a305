//! What a caller asks of a call by metadata: echoes, delays, sizes, ends. The module's page lists them.

use std::time::Duration;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::status::{Code, FieldViolation, Status, bad_request, error_info};
use crate::wire::Encoding;

/// The levers of one call, read from its metadata.
#[derive(Default)]
pub(super) struct Levers {
    /// Goes back as initial metadata.
    pub(super) initial: HeaderMap,
    /// Goes back as trailing metadata.
    pub(super) trailing: HeaderMap,
    pub(super) tell: bool,
    pub(super) goaway: bool,
    pub(super) delay: Duration,
    pub(super) read_delay: Duration,
    pub(super) interval: Option<Duration>,
    pub(super) count: Option<u64>,
    pub(super) size: Option<usize>,
    /// What the call ends with once its answers are sent, unless that is OK.
    pub(super) status: Option<Status>,
    pub(super) cut: Option<Cut>,
    pub(super) compress: Option<Encoding>,
}

/// A stream that breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// So many answers are sent before.
    pub(super) after: u64,
    pub(super) how: CutKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutKind {
    /// RST_STREAM with INTERNAL_ERROR.
    Reset,
    /// END_STREAM on an empty DATA frame.
    End,
    /// The TCP connection ends.
    Close,
}

/// No wait is longer: a demo should not hold a stream for ever because of a slip of the keyboard.
const LONGEST: u64 = 3_600_000;
/// No answer is larger.
const LARGEST: usize = 16 << 20;

// === impl Levers ===

impl Levers {
    /// Reads what the metadata asks for; INVALID_ARGUMENT, with the name of the first that cannot be read.
    pub(super) fn read(headers: &HeaderMap) -> Result<Levers, Status> {
        let read = Reader { headers };
        Ok(Levers {
            initial: read.echoes(false),
            trailing: read.echoes(true),
            tell: read.flag("x-demo-tell"),
            goaway: read.flag("x-demo-goaway"),
            delay: read.time("x-demo-delay-ms")?.unwrap_or_default(),
            read_delay: read.time("x-demo-read-delay-ms")?.unwrap_or_default(),
            interval: read.time("x-demo-interval-ms")?,
            count: read.value("x-demo-stream-count", |text| text.parse().ok())?,
            size: read.value("x-demo-message-size", |text| text.parse().ok().filter(|size| *size <= LARGEST))?,
            status: read.status()?,
            cut: read.value("x-demo-cut", Cut::parse)?,
            compress: read.value("x-demo-compress", |text| Encoding::from_name(text.as_bytes()))?,
        })
    }
}

// === impl Cut ===

impl Cut {
    fn parse(text: &str) -> Option<Cut> {
        let (after, how) = text.split_once(' ').unwrap_or((text, "reset"));
        let how = match how.trim() {
            "reset" => CutKind::Reset,
            "end" => CutKind::End,
            "close" => CutKind::Close,
            _ => return None,
        };
        Some(Cut { after: after.parse().ok()?, how })
    }
}

struct Reader<'a> {
    headers: &'a HeaderMap,
}

// === impl Reader ===

impl Reader<'_> {
    fn value<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Status> {
        let Some(value) = self.headers.get(name) else { return Ok(None) };
        match value.to_str().ok().and_then(|text| parse(text.trim())) {
            Some(value) => Ok(Some(value)),
            None => Err(Status::new(Code::InvalidArgument, format!("{name} cannot be read"))),
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.headers.get(name).is_some_and(|value| value == "1")
    }

    fn time(&self, name: &'static str) -> Result<Option<Duration>, Status> {
        self.value(name, |text| text.parse().ok().filter(|ms| *ms <= LONGEST).map(Duration::from_millis))
    }

    fn echoes(&self, trailing: bool) -> HeaderMap {
        let asked = |name: &str| name.starts_with("x-echo-") && name.starts_with("x-echo-trailer-") == trailing;
        let echoed = self.headers.iter().filter(|(name, _)| asked(name.as_str()));
        let mut out = HeaderMap::new();
        for (name, value) in echoed {
            out.append(name.clone(), value.clone());
        }
        out
    }

    fn status(&self) -> Result<Option<Status>, Status> {
        let Some(code) = self.value("x-demo-status", parse_code)? else { return Ok(None) };
        let text = self.value("x-demo-status-message", |text| {
            percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
        })?;
        let mut status = Status::new(code, text.unwrap_or_default());
        if self.flag("x-demo-status-details") {
            let violation = FieldViolation { field: "message".into(), description: "asked for by metadata".into() };
            status = status
                .with(error_info("DEMO_STATUS", "demo.transom.example", &[("code", code.name())]))
                .with(bad_request(&[violation]));
        }
        Ok(Some(status))
    }
}

fn parse_code(text: &str) -> Option<Code> {
    match text.parse::<u32>() {
        Ok(number) => Code::ALL.into_iter().find(|code| u32::from(code.number()) == number),
        Err(_) => Code::ALL.into_iter().find(|code| code.name().eq_ignore_ascii_case(text)),
    }
}

/// Reads `grpc-timeout`: 1 to 8 digits and a unit. `None` for what is not that.
pub(super) fn timeout(text: &str) -> Option<Duration> {
    let unit_at = text.len().checked_sub(1)?;
    let (digits, unit) = (text.get(..unit_at)?, text.get(unit_at..)?);
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn echoes_keep_every_value_and_go_to_their_side() {
        let levers = Levers::read(&headers(&[
            ("x-echo-a", "1"),
            ("x-echo-a", "2"),
            ("x-echo-trailer-b-bin", "AAE"),
            ("c", "3"),
        ]))
        .expect("levers");
        assert_eq!(levers.initial.get_all("x-echo-a").iter().count(), 2);
        assert_eq!(levers.initial.len(), 2);
        assert_eq!(levers.trailing.get("x-echo-trailer-b-bin").expect("a trailer"), "AAE");
        assert_eq!(levers.trailing.len(), 1);
    }

    #[test]
    fn a_status_is_named_or_numbered_and_its_message_is_percent_coded() {
        for code in ["5", "NOT_FOUND", "not_found"] {
            let levers = Levers::read(&headers(&[("x-demo-status", code), ("x-demo-status-message", "a%20%C3%BC")]));
            let status = levers.ok().and_then(|levers| levers.status).expect("a status");
            assert_eq!(status, Status::new(Code::NotFound, "a ü"));
        }
    }

    #[test]
    fn a_lever_that_cannot_be_read_is_refused_by_name() {
        for (name, value) in [
            ("x-demo-status", "17"),
            ("x-demo-status", "FINE"),
            ("x-demo-cut", "soon"),
            ("x-demo-cut", "1 gently"),
            ("x-demo-delay-ms", "-1"),
            ("x-demo-delay-ms", "99999999999"),
            ("x-demo-message-size", "16777217"),
            ("x-demo-stream-count", "many"),
            ("x-demo-compress", "lz4"),
        ] {
            let refused = Levers::read(&headers(&[(name, value)])).err().expect(name);
            assert_eq!(refused.code, Code::InvalidArgument);
            assert!(refused.message.contains(name));
        }
        assert_eq!(Cut::parse("3 end"), Some(Cut { after: 3, how: CutKind::End }));
        assert_eq!(Cut::parse("0"), Some(Cut { after: 0, how: CutKind::Reset }));
    }

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("1n"), Some(Duration::from_nanos(1)));
        for damaged in ["", "S", "1", "123456789S", "1x", "-1S", "1ü", "ü", "+1S", " 1S"] {
            assert_eq!(timeout(damaged), None, "{damaged:?}");
        }
    }
}
