//! Catalogs: named sets of protobuf descriptors, loaded at run time and turned into dense, immutable tables.

mod answer_plan;
mod at_hand;
mod binding;
mod bundled;
mod cel;
mod compile;
mod descriptor_set;
mod diagnose;
mod editions;
mod field_reader;
mod gather;
mod http_rule;
mod method_settings;
mod mistake;
mod modern_descriptor;
mod name_index;
mod notes;
mod records;
mod repeat;
mod rules;
mod schema;
mod schema_build;
mod service;
mod settings;
mod sound;
mod source;
mod template;
mod text_format;
mod unit;

pub use answer_plan::{AnswerPlan, Location, LocationPart, check_fields};
pub use at_hand::{descriptors_at_hand, is_at_hand, is_protobufs_own};
pub use bundled::schema as bundled_schema;
pub use cel::{CelFailure, CelRules};
pub use field_reader::{FieldReader, FieldValue, LeafKind, MAX_FIELD_PATH, OwnedFieldValue};
pub use http_rule::{HttpRule, RuleBinding};
pub use method_settings::{
    HedgeSettings, MethodSettings, PartialHedge, PartialRest, PartialRetry, PartialSettings, PartialSse, RestSettings,
    RetrySettings, SseSettings,
};
pub use mistake::{Mistake, Place};
pub use notes::{Behavior, Note, Notes};
pub use repeat::RetryOn;
pub use rules::{
    BrokenRules, Clock, Constraint, Exclusive, FieldRules, Inapplicable, Literal, MessageRules, OneofRule, Said,
    SizeRules, ValueRules, is_unset, type_number,
};
pub use schema::{Enum, EnumId, EnumValue, Field, Kind, Known, Label, Message, MessageId, Presence, Schema};
pub use service::{
    Binding, Body, BytesForm, EnumForm, FieldPath, GuardMode, Idempotency, Method, RawBody, Service, StreamKind,
    UnknownFields, UnknownNumbers, Verb, Weave,
};
pub use settings::{HostRule, SettingRule, check_settings};
pub use source::{HeldSet, Loaded, Source, load};
pub use template::{MAX_LITERAL, Segment, Template, TemplateError, TemplateVariable};

/// What to do when two rules of one shape and verb are in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflicts {
    /// Loading fails.
    #[default]
    Refuse,
    /// Loading warns, and these templates stay unrouted.
    Report,
}

/// How the paths of requests are read that may reach a catalog's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathReading {
    /// A path that reaches nothing is tried once more without its trailing slash. Default: no, a slash is a segment more.
    pub lenient_slash: bool,
    /// `%2F` becomes a slash in variables of several segments too (`google.api.Http.fully_decode_reserved_expansion`).
    /// Default: no, there it stays as it is (google/api/http.proto, "Path template syntax"). In variables of one segment
    /// it always becomes a slash.
    pub decode_slash: bool,
}

/// A loaded catalog: the only form of it that later rooms see.
#[derive(Debug)]
pub struct Catalog {
    pub name: Box<str>,
    pub schema: Schema,
    pub services: Box<[Service]>,
    pub methods: Box<[Method]>,
    /// Name of the cluster that answers its calls.
    pub cluster: Box<str>,
    /// What to do when its rules collide with one another or with another catalog's.
    pub conflicts: Conflicts,
    /// How paths are read that may reach its rules.
    pub paths: PathReading,
    /// Whether unary and streaming methods are reachable by `POST /pkg.Service/Method` with JSON.
    pub auto_mapping: bool,
    /// Calls of methods that the catalog does not have: passed on as they are, or refused.
    pub pass_unknown_methods: bool,
    /// The descriptor set that it was made of, serialized: for the slow path and for reflection. Files of editions are in
    /// it as the files of syntax proto2 or proto3 that they were lowered to.
    pub descriptor_set: bytes::Bytes,
}
