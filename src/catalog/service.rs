//! Services, methods and their HTTP bindings.

use std::sync::Arc;

use super::answer_plan::AnswerPlan;
use super::method_settings::MethodSettings;
use super::mistake::Place;
use super::schema::MessageId;
use super::template::Template;

/// A service of the catalog.
#[derive(Debug)]
pub struct Service {
    /// Full name, as in `bookstore.v1.Bookstore`.
    pub name: Box<str>,
    /// Indices into [`super::Catalog::methods`].
    pub methods: std::ops::Range<usize>,
    /// Host names under which its templates are reached, lower case, without port; empty: any.
    pub hosts: Box<[Box<str>]>,
    pub place: Place,
}

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// `/pkg.Service/Method`, as in `:path`.
    pub path: Box<str>,
    /// Index into [`super::Catalog::services`].
    pub service: usize,
    pub name: Box<str>,
    pub input: MessageId,
    pub output: MessageId,
    pub kind: StreamKind,
    pub idempotency: Idempotency,
    /// From annotations and from the configuration's rules, in order.
    pub bindings: Box<[Binding]>,
    pub settings: MethodSettings,
    /// What its settings say of answers to REST callers; `None` if they say nothing.
    pub answers: Option<Arc<AnswerPlan>>,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    Unary,
    ClientStream,
    ServerStream,
    Bidi,
}

/// `google.protobuf.MethodOptions.idempotency_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    Unknown,
    NoSideEffects,
    Idempotent,
}

/// One way to reach a method by HTTP: a rule, or one of its `additional_bindings`.
#[derive(Debug)]
pub struct Binding {
    pub verb: Verb,
    pub template: Template,
    /// The field that each variable of the template fills; in the order of `template.variables`.
    pub variables: Box<[FieldPath]>,
    pub body: Body,
    /// The only field to print, instead of the whole answer.
    pub response_body: Option<u16>,
    /// Set if the body is a `google.api.HttpBody`, which holds what callers send as it is.
    pub raw_request: Option<RawBody>,
    /// Set if what is shown of the answer is a `google.api.HttpBody`: callers get its content, not its JSON.
    pub raw_answer: Option<RawBody>,
    /// Whether the body may be a form: it fills a message whose fields have names in JSON too.
    pub takes_form: bool,
    /// Of a rule for PATCH, the request's field mask that may be filled from the body: the only one at the top level, or
    /// that of the name `update_mask`.
    pub mask: Option<u16>,
    pub place: Place,
}

/// Where the `google.api.HttpBody` of a rule stands in its message. Deeper ones are messages as any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawBody {
    /// It is the message.
    Whole,
    /// This top-level field (index into the message's fields) is one.
    Field(u16),
}

/// The HTTP method of a binding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Exact(http::Method),
    /// `custom { kind: "*" }`.
    Any,
}

/// What the request body fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body: what the path leaves over comes from the query.
    None,
    /// `*`: what the path leaves over comes from the body, and there is no query.
    All,
    /// This top-level field (index into the message's fields); the rest comes from the query.
    Field(u16),
}

/// A dotted path, resolved: indices into the fields of each message on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(pub Box<[u16]>);

/// What the schema guard does with messages that break the schema, and validation with those that break rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardMode {
    /// Nothing: it does not look.
    #[default]
    Off,
    /// It counts and logs them, and lets them pass.
    Shadow,
    /// It refuses them.
    Enforce,
}

/// What the schema guard does with field numbers that a message does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownNumbers {
    /// They are no violation: newer peers send them.
    #[default]
    Pass,
    /// Messages with such fields are counted and logged, and pass.
    Report,
    /// They are violations as any other.
    Refuse,
}

/// Which messages of a client stream that comes by a rule get what path and query bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weave {
    /// The first: the others are what their texts say.
    #[default]
    First,
    /// Every one, so that none can say otherwise.
    Every,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownFields {
    Refuse,
    Ignore,
}

/// How JSON shows the values of enums. All forms but short names are read in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EnumForm {
    /// By their names, as protobuf's JSON mapping says.
    #[default]
    Name,
    /// By their names without the enum's own in front, where all values have it: `EUR` for `CURRENCY_EUR` of `Currency`.
    ShortName,
    Number,
}

/// How JSON and query strings show bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BytesForm {
    /// Standard base64 with padding, as protobuf's JSON mapping says. Read: either alphabet, padded or not.
    #[default]
    Base64,
    /// URL-safe base64 without padding (RFC 4648, section 5). Read like `Base64`.
    Base64Url,
    /// Two lower-case hexadecimal digits for each byte. Read in either case, and nothing else.
    Hex,
}

// === impl Binding ===

impl Binding {
    /// Whether callers get the content of an HttpBody, not JSON.
    pub fn answers_raw(&self) -> bool {
        self.raw_answer.is_some()
    }
}

// === impl Verb ===

impl Verb {
    /// From the `kind` of a custom pattern: `*` or the name of a method. `None` if it is neither.
    pub fn parse(kind: &str) -> Option<Verb> {
        match kind {
            "*" => Some(Verb::Any),
            kind => http::Method::from_bytes(kind.as_bytes()).ok().map(Verb::Exact),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Verb::Exact(method) => method.as_str(),
            Verb::Any => "*",
        }
    }
}

impl From<http::Method> for Verb {
    fn from(method: http::Method) -> Verb {
        Verb::Exact(method)
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Method ===

impl Method {
    /// Whether a call of it may be executed twice: by its `idempotency_level`, or as the settings say instead.
    pub fn is_repeatable(&self) -> bool {
        self.settings.idempotent.unwrap_or(self.idempotency != Idempotency::Unknown)
    }
}

// === impl StreamKind ===

impl StreamKind {
    pub fn new(client_streaming: bool, server_streaming: bool) -> StreamKind {
        match (client_streaming, server_streaming) {
            (false, false) => StreamKind::Unary,
            (true, false) => StreamKind::ClientStream,
            (false, true) => StreamKind::ServerStream,
            (true, true) => StreamKind::Bidi,
        }
    }

    /// The kind as people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamKind::Unary => "unary",
            StreamKind::ClientStream => "client stream",
            StreamKind::ServerStream => "server stream",
            StreamKind::Bidi => "bidi stream",
        }
    }

    /// Whether the caller may send more or fewer than one message.
    pub fn client_streams(self) -> bool {
        matches!(self, StreamKind::ClientStream | StreamKind::Bidi)
    }

    /// Whether the upstream may answer more or fewer than one message.
    pub fn server_streams(self) -> bool {
        matches!(self, StreamKind::ServerStream | StreamKind::Bidi)
    }
}

// === impl GuardMode ===

impl GuardMode {
    /// All, from the least to the most.
    pub const ALL: [GuardMode; 3] = [GuardMode::Off, GuardMode::Shadow, GuardMode::Enforce];

    /// As configurations and logs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            GuardMode::Off => "off",
            GuardMode::Shadow => "shadow",
            GuardMode::Enforce => "enforce",
        }
    }
}
