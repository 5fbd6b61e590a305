//! JSON text to protobuf wire bytes and back, by the tables of [`crate::catalog::Schema`]: no message object in between.
//!
//! - [`json_to_wire`] and [`wire_to_json`] turn one whole message.
//! - [`weave`] makes a request message of a REST call: path variables, query string and body together; [`bind`] and
//!   [`Bound::weave`] do it in two steps, for calls of more than one message.
//! - [`bind_form`] binds what a form holds beside path and query; [`RawSlot`] and [`raw_content`] are for bodies that are
//!   not looked into (`google.api.HttpBody`).
//! - [`wire_to_json_field`] prints one field of an answer (`response_body`).
//! - [`wire_to_json_masked`] prints what a [`Mask`] names, for partial responses.
//! - [`show_field`] shows one field as text, [`put_field`] fills one from text.
//! - [`guard()`] checks an encoded message against the tables and changes nothing.
//!
//! Both directions count nesting alike, as it is on the wire (a map entry is a message), and stop at
//! [`MAX_DEPTH`] levels. Nothing here declines an input that protobuf allows, so there is no slower second way at run
//! time; the tests compare against prost-reflect's `DynamicMessage`.
//!
//! # As a library
//!
//! Load a catalog once; all functions here take its schema and are pure: they block on nothing, keep nothing, and may be
//! called from any number of threads. What they return is appended to a buffer of the caller's, which may be used again.
//!
//! ```
//! use transom::catalog::{Source, load};
//! use transom::transcode::{GuardOptions, PrintOptions, ReadOptions, guard, json_to_wire, wire_to_json};
//!
//! let mut source = Source::new("status", "");
//! source.protos = vec!["google/rpc/status.proto".into()]; // or files below `source.proto_paths`
//! let schema = load(&source).expect("every mistake of every file, with its place").catalog.schema;
//! let status = schema.find("google.rpc.Status").expect("the name is in the catalog");
//!
//! let mut wire = Vec::new();
//! let json = br#"{"code": 5, "message": "no such shelf"}"#;
//! json_to_wire(&schema, status, json, &ReadOptions::default(), &mut wire)?;
//! assert_eq!(wire, b"\x08\x05\x12\x0dno such shelf");
//!
//! guard(&schema, status, &wire, &GuardOptions::default())?;
//!
//! let mut text = Vec::new();
//! wire_to_json(&schema, status, &wire, &PrintOptions::default(), &mut text)?;
//! assert_eq!(text, br#"{"code":5,"message":"no such shelf"}"#);
//!
//! let mistake = json_to_wire(&schema, status, br#"{"cod": 5}"#, &ReadOptions::default(), &mut wire).unwrap_err();
//! assert_eq!(mistake.place, Some((1, 2))); // line and column, from 1
//! assert_eq!(mistake.violations[0].field, "cod");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | function | refuses | limits |
//! | --- | --- | --- |
//! | [`json_to_wire`], [`weave`] | [`BadInput`]: place in bytes, and in lines and columns; field by field | depth [`MAX_DEPTH`]; length: the caller's matter |
//! | [`wire_to_json`] | [`BadWire`]: field and reason | depth [`MAX_DEPTH`] |
//! | [`guard()`] | [`Violation`]: [`Rule`], field, description | [`GuardOptions`]: depth, elements, bytes of strings and of `bytes` |
//!
//! Sources: the [ProtoJSON](https://protobuf.dev/programming-guides/json/) mapping, the
//! [encoding guide](https://protobuf.dev/programming-guides/encoding/), and where those are silent protobuf's own
//! conformance suite, which both directions pass.

mod binding;
mod careful_write;
mod fault;
mod field_text;
mod filled;
mod form;
mod guard;
mod http_body;
mod indent;
mod json_read;
mod json_write;
mod key_set;
mod known_read;
mod known_types;
mod known_write;
mod leaf;
mod map_keys;
mod mask;
mod mask_paths;
mod masked_write;
mod message_set;
mod number;
mod parameter;
mod quoted;
mod reach;
mod regroup;
mod suggest;
mod text;
mod weave;

pub use fault::{BadInput, BadWire};
pub use field_text::{put_field, show_field};
pub use filled::Filled;
pub use form::{Form, FormPart, MOST_FORM_FIELDS, bind_form};
pub use guard::{GuardOptions, Guarded, MAX_BROKEN, Rule, Violation, guard, guard_at};
pub use http_body::{RawContent, RawSlot, raw_content};
pub use json_read::json_to_wire;
pub use json_write::{wire_to_json, wire_to_json_field};
pub use mask::Mask;
pub use masked_write::{wire_to_json_field_masked, wire_to_json_masked};
pub use reach::takes_text;
pub use text::text_value;
pub use weave::{Bound, bind, weave};

use crate::catalog::{BytesForm, EnumForm, MethodSettings, UnknownFields};

/// How deep messages may nest, the outermost not counted: protobuf's own limit, so that what passes here is not refused
/// by the next reader.
pub const MAX_DEPTH: u32 = 100;

/// How JSON and query strings are read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions<'a> {
    /// What to do with JSON fields that the message does not have, and with enum names that the enum does not have.
    pub unknown: UnknownFields,
    /// Query parameters that bind nothing and are no mistake.
    pub ignored_query: &'a [Box<str>],
    /// A query parameter that binds nothing: the one that names the fields of the answer.
    pub fields_parameter: Option<&'a str>,
    /// Take names of enum values without the enum's own name in front as well ([`EnumForm::ShortName`]).
    pub short_enums: bool,
    /// How bytes are written.
    pub bytes: BytesForm,
    /// Whether brackets in names of query parameters reach into maps, lists and messages.
    pub query_brackets: bool,
}

/// How JSON is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrintOptions {
    /// Print fields without presence that are not set: zero scalars, empty lists and maps.
    pub print_unset: bool,
    /// Print names as in the `.proto` file.
    pub proto_names: bool,
    pub enums: EnumForm,
    /// Print 64-bit integers up to 2^53-1 either way (what is exact as a double for every reader) as numbers.
    pub int64_numbers: bool,
    pub bytes: BytesForm,
    /// Blanks per level, up to 40 in all; 0: no line breaks and no blanks at all.
    pub indent: u8,
    pub unknown_any: UnknownAny,
}

/// What to do with a `google.protobuf.Any` whose type the catalog does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownAny {
    /// The message is refused: half of its content cannot be shown.
    #[default]
    Refuse,
    /// Print `{"@type": "...", "value": "<base64>"}`: for the details of errors, which must not fail.
    Raw,
}

// === impl ReadOptions ===

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        ReadOptions {
            unknown: UnknownFields::Refuse,
            ignored_query: &[],
            fields_parameter: None,
            short_enums: false,
            bytes: BytesForm::Base64,
            query_brackets: false,
        }
    }
}

impl<'a> From<&'a MethodSettings> for ReadOptions<'a> {
    fn from(settings: &'a MethodSettings) -> Self {
        ReadOptions {
            unknown: settings.unknown_json_fields,
            ignored_query: &settings.ignored_query,
            fields_parameter: settings.rest.fields_parameter.as_deref(),
            short_enums: settings.enums == EnumForm::ShortName,
            bytes: settings.bytes,
            query_brackets: settings.rest.query_brackets,
        }
    }
}

// === impl PrintOptions ===

impl From<&MethodSettings> for PrintOptions {
    fn from(settings: &MethodSettings) -> Self {
        PrintOptions {
            print_unset: settings.print_unset,
            proto_names: settings.proto_names,
            enums: settings.enums,
            int64_numbers: settings.int64_numbers,
            bytes: settings.bytes,
            indent: settings.indent,
            unknown_any: UnknownAny::Refuse,
        }
    }
}

#[cfg(test)]
mod tests;
