//! Every way in which the edge itself ends a call. One closed type: dialects render it, nothing else invents answers.
//!
//! The table (refusal, REST's HTTP code, gRPC code, detail) is printed in `src/README.md`; a test drives every row
//! through every dialect.

use std::borrow::Cow;
use std::time::Duration;

use crate::status::{Any, Code, FieldViolation, Status, bad_request, error_info, retry_info};

/// The domain of our `google.rpc.ErrorInfo` details: tells a caller that the edge spoke, not the service.
pub const ERROR_DOMAIN: &str = "transom";

/// A refusal: what is wrong, in words for the caller's developer, and hints that some dialects turn into headers.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub kind: Kind,
    pub message: Cow<'static, str>,
    pub hint: Hint,
}

/// What kind of refusal it is: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No method and no template of that path.
    NoRoute,
    /// The path is there, for other HTTP methods.
    WrongVerb,
    /// A content type that the method cannot be called with.
    UnsupportedMediaType,
    /// The caller takes no form that the answer has.
    NotAcceptable,
    /// A message or body compressed in a way that we cannot read.
    UnknownEncoding,
    /// A request that is well framed but does not fit the schema or the rule: bad JSON, bad parameter.
    BadRequest,
    /// gRPC over HTTP/1.1.
    HttpVersion,
    /// Frames or messages that are not what the protocol says.
    Malformed,
    /// Not as many messages as the method takes.
    Cardinality,
    /// A message or body over its limit.
    TooLarge,
    /// Header fields over the limit or not understood, as a bad `grpc-timeout`.
    BadHeader,
    /// The caller does not say who it is, or not believably.
    Unauthenticated,
    /// The caller may not: its origin or its identity is not among those that may.
    Denied,
    /// More than the caller may ask for at this time.
    RateLimited,
    Deadline,
    /// Nothing moved for longer than the method allows.
    Idle,
    /// The caller went away; written nowhere but in the records.
    Cancelled,
    /// No connection to the upstream, or it ended before an answer.
    UpstreamDown,
    /// The upstream's cluster or its endpoints have as many calls as they may: refused here, and never sent.
    Overloaded,
    /// The edge is shutting down.
    Draining,
    /// The upstream's answer is no gRPC, or ended without a status.
    NoStatus,
    /// The upstream's message does not fit the schema, or is over its limit.
    BadAnswer,
    /// None or several messages where a method answers with one. A fault of the answer that gRPC's code table gives to
    /// UNIMPLEMENTED (`doc/statuscodes.md`, "cardinality violation").
    AnswerCardinality,
    /// The upstream answered with an HTTP code instead of gRPC; carries what the code means.
    UpstreamHttp(Code),
    /// A rule of `buf.validate` that cannot be applied to a message, as a division by zero in its expression: neither the
    /// caller's fault nor the upstream's, and never a reason to let the message pass.
    RuleFailed,
    /// Something that this version does not do.
    NotSupported,
    /// The upstream reset the stream; carries the code of the reset.
    UpstreamReset(Code),
    /// A fault that a route injects on purpose; carries its code, and the HTTP code of REST callers.
    Injected(Code, u16),
}

/// What a caller may need besides the text.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Hint {
    #[default]
    None,
    /// For `Allow`.
    Allow(String),
    /// For `Accept-Post`.
    AcceptPost(&'static str),
    /// For `grpc-accept-encoding` and its like.
    Encodings(&'static str),
    /// For `google.rpc.BadRequest`.
    Violations(Vec<FieldViolation>),
    /// Details that are made already and small enough for a header block.
    Details(Vec<Any>),
    /// For `google.rpc.RetryInfo` and `Retry-After`.
    RetryAfter(Duration),
}

/// One row of the table.
struct Row {
    /// HTTP code for REST callers.
    http: u16,
    code: Code,
    /// `google.rpc.ErrorInfo.reason`.
    reason: &'static str,
}

// === impl Kind ===

impl Kind {
    /// One of each, for tests and for the printed table.
    pub const ALL: [Kind; 28] = [
        Kind::NoRoute,
        Kind::WrongVerb,
        Kind::UnsupportedMediaType,
        Kind::NotAcceptable,
        Kind::UnknownEncoding,
        Kind::BadRequest,
        Kind::HttpVersion,
        Kind::Malformed,
        Kind::Cardinality,
        Kind::TooLarge,
        Kind::BadHeader,
        Kind::Unauthenticated,
        Kind::Denied,
        Kind::RateLimited,
        Kind::Deadline,
        Kind::Idle,
        Kind::Cancelled,
        Kind::UpstreamDown,
        Kind::Overloaded,
        Kind::Draining,
        Kind::NoStatus,
        Kind::BadAnswer,
        Kind::AnswerCardinality,
        Kind::UpstreamHttp(Code::Unavailable),
        Kind::RuleFailed,
        Kind::NotSupported,
        Kind::UpstreamReset(Code::Internal),
        Kind::Injected(Code::Unavailable, 503),
    ];

    fn row(self) -> Row {
        let (http, code, reason) = match self {
            Kind::NoRoute => (404, Code::Unimplemented, "NO_ROUTE"),
            Kind::WrongVerb => (405, Code::Unimplemented, "WRONG_VERB"),
            Kind::UnsupportedMediaType => (415, Code::Unimplemented, "UNSUPPORTED_MEDIA_TYPE"),
            Kind::NotAcceptable => (406, Code::Unimplemented, "NOT_ACCEPTABLE"),
            Kind::UnknownEncoding => (415, Code::Unimplemented, "UNKNOWN_ENCODING"),
            Kind::BadRequest => (400, Code::InvalidArgument, "BAD_REQUEST"),
            Kind::HttpVersion => (505, Code::Unimplemented, "HTTP_VERSION"),
            Kind::Malformed => (400, Code::Internal, "MALFORMED"),
            Kind::Cardinality => (400, Code::Unimplemented, "CARDINALITY"),
            Kind::TooLarge => (413, Code::ResourceExhausted, "TOO_LARGE"),
            Kind::BadHeader => (400, Code::InvalidArgument, "BAD_HEADER"),
            Kind::Unauthenticated => (401, Code::Unauthenticated, "UNAUTHENTICATED"),
            Kind::Denied => (403, Code::PermissionDenied, "DENIED"),
            Kind::RateLimited => (429, Code::ResourceExhausted, "RATE_LIMITED"),
            Kind::Deadline => (504, Code::DeadlineExceeded, "DEADLINE"),
            Kind::Idle => (504, Code::DeadlineExceeded, "IDLE"),
            Kind::Cancelled => (499, Code::Cancelled, "CANCELLED"),
            Kind::UpstreamDown => (503, Code::Unavailable, "UPSTREAM_DOWN"),
            Kind::Overloaded => (503, Code::Unavailable, "OVERLOADED"),
            Kind::Draining => (503, Code::Unavailable, "DRAINING"),
            Kind::NoStatus => (502, Code::Unknown, "NO_STATUS"),
            Kind::BadAnswer => (502, Code::Internal, "BAD_ANSWER"),
            Kind::AnswerCardinality => (502, Code::Unimplemented, "ANSWER_CARDINALITY"),
            Kind::UpstreamHttp(code) => (code.http(), code, "UPSTREAM_HTTP"),
            Kind::RuleFailed => (500, Code::Internal, "RULE_FAILED"),
            Kind::NotSupported => (501, Code::Unimplemented, "NOT_SUPPORTED"),
            Kind::UpstreamReset(code) => (code.http(), code, "UPSTREAM_RESET"),
            Kind::Injected(code, http) => (http, code, "FAULT_INJECTED"),
        };
        Row { http, code, reason }
    }

    /// The HTTP code that REST callers get.
    pub fn http(self) -> u16 {
        self.row().http
    }

    pub fn code(self) -> Code {
        self.row().code
    }

    /// Whether it is a fault in the protocol itself, which the protocols tell by code and message alone: callers of gRPC,
    /// gRPC-Web and Connect get no `google.rpc.ErrorInfo` with it (Connect's conformance suite asks for none). REST
    /// callers, whose errors are ours to shape, do.
    pub fn is_bare(self) -> bool {
        use Kind::{
            AnswerCardinality, BadAnswer, BadHeader, Cancelled, Cardinality, Deadline, HttpVersion, Malformed, NoRoute,
            NoStatus, NotAcceptable, TooLarge, UnknownEncoding, UnsupportedMediaType, UpstreamHttp, WrongVerb,
        };
        let plain = [NoRoute, WrongVerb, UnsupportedMediaType, UnknownEncoding, HttpVersion, Malformed, Cardinality];
        let answers = matches!(self, NoStatus | BadAnswer | AnswerCardinality | UpstreamHttp(_));
        plain.contains(&self) || answers || matches!(self, NotAcceptable | TooLarge | BadHeader | Deadline | Cancelled)
    }

    /// A stable word for programs: `google.rpc.ErrorInfo.reason`, and the label of the refusal counter.
    pub fn reason(self) -> &'static str {
        self.row().reason
    }
}

// === impl Refusal ===

impl Refusal {
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { kind, message: message.into(), hint: Hint::None }
    }

    pub fn hint(mut self, hint: Hint) -> Refusal {
        self.hint = hint;
        self
    }

    /// The status that every dialect renders in its own form.
    pub fn status(&self) -> Status {
        let status = Status::new(self.kind.code(), self.message.clone());
        match &self.hint {
            Hint::Violations(violations) if !violations.is_empty() => status.with(bad_request(violations)),
            Hint::Details(details) if !details.is_empty() => Status { details: details.clone(), ..status },
            Hint::RetryAfter(delay) => status.with(retry_info(*delay)),
            _ => status.with(error_info(self.kind.reason(), ERROR_DOMAIN, &[])),
        }
    }
}
