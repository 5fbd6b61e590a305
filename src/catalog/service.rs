//! Services, methods and their HTTP bindings.

use std::time::Duration;

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
    pub place: Place,
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

/// What holds for calls of one method: merged default < catalog < service < method when the catalog is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodSettings {
    /// Bytes of one request message; 0: no limit. Default 4 MiB.
    pub max_request_message: usize,
    /// Bytes of one response message; 0: no limit. Default 4 MiB.
    pub max_response_message: usize,
    /// The deadline of a call whose caller gives none. Default: none.
    pub default_deadline: Option<Duration>,
    /// The longest deadline; a longer one, or none, is cut down to it. Default: none.
    pub max_deadline: Option<Duration>,
    /// Time without a message in either direction after which a stream ends. Default: none.
    pub idle_timeout: Option<Duration>,
    /// What to do with a JSON field that the message does not have.
    pub unknown_json_fields: UnknownFields,
    /// Query parameters that are not bound and not complained about, as an API key.
    pub ignored_query: Box<[Box<str>]>,
    /// Which messages of a client stream get what path and query bind. Default: the first.
    pub weave: Weave,
    /// Print fields that are not set (scalars, empty lists and maps).
    pub print_unset: bool,
    /// Print names as in the `.proto` file.
    pub proto_names: bool,
    /// How enum values are printed. Names without their prefix are then read as well.
    pub enums: EnumForm,
    /// Print 64-bit integers as JSON numbers where those are exact for every reader, up to 2^53-1 either way; others
    /// stay strings. Both forms are read in any case. Default: no.
    pub int64_numbers: bool,
    /// How bytes are printed, and read.
    pub bytes: BytesForm,
    /// Blanks per level of an answer's JSON; 0: all in one line, as streams always have it. At most 8.
    pub indent: u8,
    /// The encodings that the upstream reads: messages compressed with one of these pass as they are, messages in
    /// others that we know are unpacked on the way. Default: gzip, which every common server has.
    pub upstream_encodings: Box<[Box<str>]>,
    /// Messages and bodies that the edge makes are compressed for callers who accept that, from this many bytes on;
    /// 0: never. Default 1 KiB.
    pub compress_from: usize,
    /// Connect calls must say `connect-protocol-version: 1` (`connect=v1` by GET). Default: no.
    pub require_connect_version: bool,
    /// Whether request messages are checked against the schema, in every dialect. Default: no.
    pub guard_requests: GuardMode,
    /// The same for the messages of answers. Default: no.
    pub guard_responses: GuardMode,
    /// What the guard does with field numbers that a message does not have. Default: they pass.
    pub guard_unknown: UnknownNumbers,
    /// Elements of a repeated field and entries of a map that the guard lets pass; 0: any number. Default 0.
    pub guard_max_repeated: usize,
    /// Bytes of a string that the guard lets pass; 0: any number. Default 0.
    pub guard_max_string: usize,
    /// Bytes of a `bytes` field that the guard lets pass; 0: any number. Default 0.
    pub guard_max_bytes: usize,
    /// How deep messages may nest for the guard, the outermost not counted: 1 to 100. Default 100, protobuf's own limit.
    pub guard_max_depth: u32,
    /// Whether request messages are judged by the rules of `buf.validate` that their types carry, in every dialect.
    /// Default: no.
    pub validate_requests: GuardMode,
    /// The same for the messages of answers. Default: no.
    pub validate_responses: GuardMode,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    Refuse,
    Ignore,
}

/// How JSON shows the values of enums. All forms but short names are read in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnumForm {
    /// By their names, as protobuf's JSON mapping says.
    #[default]
    Name,
    /// By their names without the enum's own in front, where all values have it: `EUR` for `CURRENCY_EUR` of `Currency`.
    ShortName,
    Number,
}

/// How JSON and query strings show bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BytesForm {
    /// Standard base64 with padding, as protobuf's JSON mapping says. Read: either alphabet, padded or not.
    #[default]
    Base64,
    /// URL-safe base64 without padding (RFC 4648, section 5). Read like `Base64`.
    Base64Url,
    /// Two lower-case hexadecimal digits for each byte. Read in either case, and nothing else.
    Hex,
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

// === impl MethodSettings ===

impl Default for MethodSettings {
    fn default() -> MethodSettings {
        MethodSettings {
            max_request_message: 4 << 20,
            max_response_message: 4 << 20,
            default_deadline: None,
            max_deadline: None,
            idle_timeout: None,
            unknown_json_fields: UnknownFields::Refuse,
            ignored_query: Box::new([]),
            weave: Weave::First,
            print_unset: false,
            proto_names: false,
            enums: EnumForm::Name,
            int64_numbers: false,
            bytes: BytesForm::Base64,
            indent: 0,
            upstream_encodings: Box::new(["gzip".into()]),
            compress_from: 1 << 10,
            require_connect_version: false,
            guard_requests: GuardMode::Off,
            guard_responses: GuardMode::Off,
            guard_unknown: UnknownNumbers::Pass,
            guard_max_repeated: 0,
            guard_max_string: 0,
            guard_max_bytes: 0,
            guard_max_depth: 100,
            validate_requests: GuardMode::Off,
            validate_responses: GuardMode::Off,
        }
    }
}
