//! Catalogs: named sets of protobuf descriptors, loaded at run time and turned into dense, immutable tables.

mod mistake;
mod name_index;
mod schema;
mod schema_build;
mod service;
mod template;

pub use mistake::{Mistake, Place};
pub use schema::{Enum, EnumId, EnumValue, Field, Kind, Known, Label, Message, MessageId, Presence, Schema};
pub use service::{
    Binding, Body, FieldPath, Idempotency, Method, MethodSettings, Service, StreamKind, UnknownFields, Verb,
};
pub use template::{Segment, Template, TemplateVariable};

/// A loaded catalog: the only form of it that later rooms see.
#[derive(Debug)]
pub struct Catalog {
    pub name: Box<str>,
    pub schema: Schema,
    pub services: Box<[Service]>,
    pub methods: Box<[Method]>,
    /// Name of the cluster that answers its calls.
    pub cluster: Box<str>,
    /// Whether unary and streaming methods are reachable by `POST /pkg.Service/Method` with JSON.
    pub auto_mapping: bool,
    /// Calls of methods that the catalog does not have: passed on as they are, or refused.
    pub pass_unknown_methods: bool,
    /// The descriptor set that it was made of, serialized: for the slow path and for reflection.
    pub descriptor_set: bytes::Bytes,
}
