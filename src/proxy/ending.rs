//! How calls end: from the upstream's trailers, from its faults, from our own refusals, to what a dialect renders.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::call::{Hint, Kind, Refusal};
use crate::catalog::Catalog;
use crate::protocol::{Detail, DetailForm, End, forwardable_answer};
use crate::status::{Any, Code, Status};
use crate::transcode::{PrintOptions, UnknownAny, wire_to_json};
use crate::upstream::{Fault, FaultKind};
use crate::wire::{FrameFault, decode_bin, decode_message};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The end that the upstream's trailers (or its only header block) tell. Without a status it is an error, never OK.
pub(super) fn from_fields(mut fields: HeaderMap) -> Result<End, Refusal> {
    let mut end = End::new(Status::new(code(&fields)?, ""));
    fields.remove(STATUS);
    if let Some(message) = fields.remove(MESSAGE) {
        end.status.message = decode_message(message.as_bytes()).into();
    }
    end.raw_details = fields.remove(DETAILS);
    forwardable_answer(&mut fields);
    end.trailers = fields;
    Ok(end)
}

/// The code that the fields which end an answer tell.
pub(super) fn code(fields: &HeaderMap) -> Result<Code, Refusal> {
    match fields.get(STATUS) {
        Some(value) => Ok(Code::from_header(value.as_bytes()).unwrap_or(Code::Unknown)),
        None => Err(Refusal::new(Kind::NoStatus, "the upstream's answer ended without a grpc-status")),
    }
}

/// The fields that end an answer. `early`: what its head said of the end, which counts if nothing was answered since and the
/// trailers do not say it.
pub(super) fn with_early(trailers: Option<HeaderMap>, early: Option<Box<HeaderMap>>) -> HeaderMap {
    let mut fields = trailers.unwrap_or_default();
    if let Some(early) = early.filter(|_| !has_status(&fields)) {
        fields.extend(*early);
    }
    fields
}

/// Whether a header block says how the call ended.
pub(super) fn has_status(fields: &HeaderMap) -> bool {
    fields.contains_key(STATUS)
}

/// The fields of a header block that say how the call ended.
pub(super) fn status_of(fields: &HeaderMap) -> HeaderMap {
    let told = |name: HeaderName| Some((name.clone(), fields.get(&name)?.clone()));
    [STATUS, MESSAGE, DETAILS].into_iter().filter_map(told).collect()
}

/// The end that a refusal of ours tells, to a dialect that wants details in this form.
pub(super) fn from_refusal(refusal: &Refusal, form: DetailForm) -> End {
    let mut status = refusal.status();
    let mut details = std::mem::take(&mut status.details);
    if refusal.kind.is_bare() && form != DetailForm::AnyJson {
        details.clear();
    }
    let mut end = End::new(status);
    end.details = details.into_iter().map(|any| Detail { any, json: None }).collect();
    end.http = Some(refusal.kind.http());
    hints(&refusal.hint, &mut end.hints);
    end
}

fn hints(hint: &Hint, headers: &mut HeaderMap) {
    match hint {
        Hint::None | Hint::Violations(_) | Hint::Details(_) => {}
        Hint::Allow(verbs) => insert(headers, http::header::ALLOW, verbs),
        Hint::AcceptPost(types) => insert(headers, HeaderName::from_static("accept-post"), types),
        Hint::Encodings(names) => {
            insert(headers, HeaderName::from_static("grpc-accept-encoding"), names);
            insert(headers, http::header::ACCEPT_ENCODING, names);
        }
        Hint::RetryAfter(delay) => {
            // whole seconds are all that it can say, and who comes early comes in vain
            insert(headers, http::header::RETRY_AFTER, &delay.as_secs_f64().ceil().max(1.0).to_string());
        }
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A fault of the upstream as the refusal that the caller sees.
pub(super) fn from_fault(fault: &Fault) -> Refusal {
    let kind = match fault.kind() {
        FaultKind::Connect | FaultKind::Refused | FaultKind::Broken => Kind::UpstreamDown,
        FaultKind::Reset(reason) => Kind::UpstreamReset(Code::from_reset(reason)),
        FaultKind::Protocol => Kind::NoStatus,
        FaultKind::Overloaded => Kind::Overloaded,
    };
    Refusal::new(kind, fault.message().to_owned())
}

/// Whether a refusal of an answer speaks against the endpoint that gave it. Messages that do not fit the schema do not: all
/// endpoints send the same. Faults have spoken for themselves, and deadlines are told by the pool.
pub(super) fn speaks_against(kind: Kind) -> bool {
    matches!(kind, Kind::NoStatus | Kind::UpstreamHttp(_))
}

pub(super) fn deadline_passed() -> Refusal {
    Refusal::new(Kind::Deadline, "the deadline passed before the call ended")
}

/// An upstream that cancels at the deadline has seen it pass, and was only faster than our own timer: servers of Go reset
/// the stream then. C-core's clients read it the same way.
pub(super) fn late(refusal: Refusal, deadline: Option<Instant>) -> Refusal {
    const EARLY: Duration = Duration::from_millis(5);
    let cancelled = refusal.kind == Kind::UpstreamReset(Code::Cancelled);
    if cancelled && deadline.is_some_and(|at| Instant::now() + EARLY >= at) { deadline_passed() } else { refusal }
}

/// A fault in the caller's frames.
pub(super) fn from_request_frames(fault: FrameFault) -> Refusal {
    let kind = if matches!(fault, FrameFault::TooLarge { .. }) { Kind::TooLarge } else { Kind::Malformed };
    Refusal::new(kind, format!("request: {fault}"))
}

/// A fault in the upstream's frames.
pub(super) fn from_answer_frames(fault: FrameFault) -> Refusal {
    let kind = if matches!(fault, FrameFault::TooLarge { .. }) { Kind::TooLarge } else { Kind::BadAnswer };
    Refusal::new(kind, format!("answer: {fault}"))
}

/// Gives a dialect the details in the form it wants. A detail that cannot be shown as JSON stays as it came: an error's
/// details never break the answer.
pub(super) fn expand(end: &mut End, form: DetailForm, catalog: Option<&Catalog>) {
    if form == DetailForm::Encoded {
        return;
    }
    if let Some(raw) = end.raw_details.take()
        && let Some(status) = decode_bin(raw.as_bytes()).ok().and_then(|bytes| Status::decode(&bytes).ok())
    {
        end.details = status.details.into_iter().map(|any| Detail { any, json: None }).collect();
    }
    for detail in &mut end.details {
        detail.json = json(&detail.any, form, catalog);
    }
}

fn json(any: &Any, form: DetailForm, catalog: Option<&Catalog>) -> Option<String> {
    let schema = match catalog.map(|catalog| &catalog.schema) {
        Some(schema) if schema.find(any.type_name()).is_some() => schema,
        _ => crate::catalog::bundled_schema(),
    };
    let id = schema.find(any.type_name())?;
    let mut out = Vec::new();
    let options = PrintOptions { unknown_any: UnknownAny::Raw, ..PrintOptions::default() };
    wire_to_json(schema, id, &any.value, &options, &mut out).ok()?;
    let text = String::from_utf8(out).ok()?;
    match form {
        DetailForm::Encoded => None,
        DetailForm::Json => Some(text),
        DetailForm::AnyJson => {
            let kind = serde_json::to_string(&any.type_url).ok()?;
            Some(match text.strip_prefix('{') {
                Some("}") if schema.message(id).known.is_object() => format!("{{\"@type\":{kind}}}"),
                Some(rest) if schema.message(id).known.is_object() => format!("{{\"@type\":{kind},{rest}"),
                _ => format!("{{\"@type\":{kind},\"value\":{text}}}"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Connection, Head};
    use crate::catalog::StreamKind;
    use crate::protocol::{Codec, Family, WholeOut, refusal_answer};

    /// What a caller of this family gets who POSTs to a method of this kind.
    fn told(family: Family, kind: Option<StreamKind>, refusal: &Refusal) -> WholeOut {
        let (parts, ()) = http::Request::post("/p.S/M").body(()).expect("a request").into_parts();
        let address = ([127, 0, 0, 1], 1).into();
        let connection = std::sync::Arc::new(Connection { peer: address, local: address, tls: None });
        let (_, mut answer) = refusal_answer(family, &Head::new(parts, connection), kind, refusal.kind);
        let mut end = from_refusal(refusal, answer.details());
        expand(&mut end, answer.details(), None);
        answer.whole(HeaderMap::new(), None, end)
    }

    fn refusal(kind: Kind) -> Refusal {
        let refusal = Refusal::new(kind, "no");
        match kind {
            Kind::RateLimited => refusal.hint(Hint::RetryAfter(Duration::from_millis(2500))),
            _ => refusal,
        }
    }

    #[test]
    fn every_refusal_has_its_code_in_every_dialect() {
        let (unary, stream) = (Some(StreamKind::Unary), Some(StreamKind::Bidi));
        for kind in Kind::ALL {
            let refusal = refusal(kind);
            for family in [Family::Grpc(Some(Codec::Json)), Family::GrpcWeb { text: true, codec: Some(Codec::Proto) }] {
                let out = told(family, unary, &refusal);
                assert_eq!((out.head.status, out.body.len()), (http::StatusCode::OK, 0), "{kind:?}");
                assert_eq!(out.head.headers[STATUS], kind.code().digits(), "{kind:?}");
                assert_eq!(out.head.headers.contains_key(DETAILS), !kind.is_bare(), "{kind:?}");
            }
            let out = told(Family::None, None, &refusal);
            assert_eq!(out.head.status.as_u16(), kind.http(), "{kind:?}");
            let text = String::from_utf8_lossy(&out.body);
            assert!(text.starts_with(&format!("{{\"code\":{}", kind.code().digits())), "{kind:?} {text}");
            assert!(text.contains("type.googleapis.com/google.rpc."), "{kind:?} {text}");
            if matches!(kind, Kind::WrongVerb | Kind::UnsupportedMediaType) {
                continue;
            }
            let name = kind.code().connect_name();
            let out = told(Family::Proto, unary, &refusal);
            let http = if kind == Kind::NoRoute { 404 } else { kind.code().http() };
            assert_eq!(out.head.status.as_u16(), http, "{kind:?}");
            assert!(String::from_utf8_lossy(&out.body).starts_with(&format!("{{\"code\":\"{name}\"")), "{kind:?}");
            let out = told(Family::ConnectStream(Some(Codec::Json)), stream, &refusal);
            assert_eq!((out.head.status.as_u16(), out.body.first()), (200, Some(&2)), "{kind:?}");
            let text = String::from_utf8_lossy(out.body.get(5..).unwrap_or(&[]));
            assert!(text.starts_with(&format!("{{\"error\":{{\"code\":\"{name}\"")), "{kind:?} {text}");
        }
    }

    #[test]
    fn who_is_over_a_rate_is_told_when_to_come_back() {
        let out = told(Family::None, None, &refusal(Kind::RateLimited));
        assert_eq!(out.head.headers["retry-after"], "3");
        assert!(String::from_utf8_lossy(&out.body).contains(r#""retryDelay":"2.500s""#));
    }

    #[test]
    fn an_upstream_that_cancels_at_the_deadline_has_seen_it_pass() {
        let cancelled = || Refusal::new(Kind::UpstreamReset(Code::Cancelled), "reset");
        let now = Instant::now();
        assert_eq!(late(cancelled(), Some(now)).kind, Kind::Deadline);
        assert_eq!(late(cancelled(), Some(now + Duration::from_secs(5))).kind, cancelled().kind);
        assert_eq!(late(cancelled(), None).kind, cancelled().kind);
        assert_eq!(late(Refusal::new(Kind::NoStatus, ""), Some(now)).kind, Kind::NoStatus);
    }
}
