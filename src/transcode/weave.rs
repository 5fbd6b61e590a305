//! A REST request to one message: path variables, query parameters and body, straight into the encoding.
//!
//! What the path and the query bind is collected first, each value already encoded, and sorted by path (`binding.rs`);
//! then the body is read, and whenever it opens a message that path or query also reach into, their fields are written
//! into that same message (`Woven`). So each message comes out once, and nothing is held as an object.

use std::borrow::Cow;
use std::ops::Range;

use super::ReadOptions;
use super::binding::{Binder, shown};
use super::fault::{BadInput, Fault, Outcome};
use super::http_body::RawSlot;
use super::json_read::{JsonReader, Used, complete, read_whole};
use super::leaf::{Leaf, Woven};
use super::mask_paths::mask_paths;
use crate::catalog::{Binding, Body, Label, Message, MessageId, Schema};
use crate::status::FieldViolation;
use crate::wire::put_bytes;

/// What path and query of a REST call bind, each value encoded already: to be woven into its message, or into any number
/// of them.
#[derive(Debug, Default)]
pub struct Bound<'a> {
    /// Sorted as [`Woven`] wants them.
    pub(super) leaves: Vec<Leaf<'a>>,
    payloads: Vec<u8>,
    /// Of the maps that the query reaches into.
    keys: Vec<Range<usize>>,
}

/// Binds path and query of a REST call, without its body.
///
/// `variables` are pairs of an index into `binding.variables` and the percent-decoded value; `query` is the raw query
/// string without its `?`. With `body: "*"` there are no query parameters. Names with brackets reach into maps and lists
/// if the options say so.
///
/// Errors: all mistakes of path and query together.
pub fn bind<'a>(
    schema: &'a Schema,
    input: MessageId,
    binding: &'a Binding,
    variables: &[(usize, Cow<'_, str>)],
    query: Option<&'a str>,
    options: &'a ReadOptions<'a>,
) -> Result<Bound<'a>, BadInput> {
    let mut binder = path_and_query(schema, input, binding, variables, query, options);
    binder.settle();
    Bound::of(binder)
}

/// What path and query bind, as it stands.
pub(super) fn path_and_query<'a>(
    schema: &'a Schema,
    input: MessageId,
    binding: &'a Binding,
    variables: &[(usize, Cow<'_, str>)],
    query: Option<&'a str>,
    options: &'a ReadOptions<'a>,
) -> Binder<'a> {
    let body_field = if let Body::Field(index) = binding.body { Some(index) } else { None };
    let mut binder = Binder::new(schema, options, input, body_field);
    for (index, value) in variables {
        if let Some(path) = binding.variables.get(*index) {
            binder.variable(path, value);
        }
    }
    binder.query(query.unwrap_or_default(), binding.body != Body::All);
    binder
}

/// Makes the request message of a REST call, appended to `out`: [`bind`] and [`Bound::weave`] in one.
///
/// All mistakes of path and query are reported together; a mistake in the body only if they have none.
#[allow(clippy::too_many_arguments)]
pub fn weave(
    schema: &Schema,
    input: MessageId,
    binding: &Binding,
    variables: &[(usize, Cow<'_, str>)],
    query: Option<&str>,
    body: Option<&[u8]>,
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), BadInput> {
    let bound = bind(schema, input, binding, variables, query, options)?;
    bound.weave(schema, input, binding.body, body, options, out)
}

// === impl Bound ===

impl<'a> Bound<'a> {
    pub(super) fn of(binder: Binder<'a>) -> Result<Bound<'a>, BadInput> {
        let Binder { leaves, payloads, keys, violations, .. } = binder;
        if violations.is_empty() {
            Ok(Bound { leaves, payloads, keys: keys.ranges })
        } else {
            Err(BadInput::of(violations))
        }
    }
}

impl Bound<'_> {
    fn woven(&self) -> Woven<'_> {
        Woven { leaves: &self.leaves, level: 0, payloads: &self.payloads, keys: &self.keys }
    }

    /// Appends a message of what is bound and of `length` bytes of raw content, which are to follow: they are not copied.
    /// A content type that is bound already stays.
    ///
    /// Errors: what the content fills is bound already, or something is missing. `out` then holds whatever had been written
    /// so far.
    pub fn weave_raw(
        &self,
        schema: &Schema,
        input: MessageId,
        slot: &RawSlot,
        content_type: Option<&str>,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), BadInput> {
        let has = |path: &[u16]| self.leaves.iter().any(|leaf| *leaf.path == *path);
        if let Some(leaf) = self.leaves.iter().find(|leaf| slot.path.starts_with(&leaf.path)) {
            return Err(BadInput::of(vec![FieldViolation {
                field: shown(&leaf.name),
                description: "is what the body holds, and is given beside it as well".into(),
            }]));
        }
        let woven = self.woven();
        let message = schema.message(input);
        complete(message, |index| slot.path.first() == Some(&index) || woven.under(index).is_some())
            .and_then(|()| woven.emit(schema, message, out, |_| false))
            .map_err(|fault| fault.in_text(b""))?;
        let bound = slot.content_type.as_deref().is_some_and(has);
        slot.put_head(content_type.filter(|_| !bound), length, out);
        Ok(())
    }

    /// Appends the field mask of a PATCH with the paths of what its body has, unless path, query or body say themselves what
    /// is meant. The message of both is in `out` already.
    ///
    /// Errors: the body's paths are too long altogether.
    pub fn fill_mask(
        &self,
        schema: &Schema,
        input: MessageId,
        binding: &Binding,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), BadInput> {
        let message = schema.message(input);
        let Some((index, mask)) = binding.mask.and_then(|index| Some((index, message.field(index)?))) else {
            return Ok(());
        };
        let body = body.filter(|body| !body.trim_ascii().is_empty());
        let (Some(body), false) = (body, self.leaves.iter().any(|leaf| leaf.path.first() == Some(&index))) else {
            return Ok(());
        };
        let (object, unless) = match binding.body {
            Body::Field(at) => (message.field(at).filter(|field| field.label == Label::Singular), None),
            Body::All | Body::None => (None, Some(index)),
        };
        let object = match (object, unless) {
            (Some(field), _) => field.kind.message(),
            (None, Some(_)) => Some(input),
            (None, None) => None,
        };
        let Some(object) = object else { return Ok(()) };
        let paths = mask_paths(schema, object, body, unless).map_err(|bad| Box::<Fault>::from(bad).in_text(body))?;
        if let Some(paths) = paths.filter(|paths| !paths.is_empty()) {
            put_bytes(out, mask.number, &paths);
        }
        Ok(())
    }

    /// Whether path and query bind nothing at all.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The same without its ties to the rule and the query.
    pub fn into_owned(self) -> Bound<'static> {
        let Bound { leaves, payloads, keys } = self;
        Bound { leaves: leaves.into_iter().map(Leaf::into_owned).collect(), payloads, keys }
    }

    /// Makes a message of what is bound and of the body, which `rule` says the place of; appended to `out`. `schema` and
    /// `input` are those that it was bound by.
    ///
    /// The body may not set what the path sets. Without a body in the rule an empty one, or `{}`, is let through; an empty
    /// one where the rule has a body is a body that says nothing. On an error `out` holds whatever had been written so far.
    ///
    /// Errors: the first mistake in the body.
    pub fn weave(
        &self,
        schema: &Schema,
        input: MessageId,
        rule: Body,
        body: Option<&[u8]>,
        options: &ReadOptions<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), BadInput> {
        let woven = self.woven();
        let body = body.filter(|body| !body.trim_ascii().is_empty());
        out.reserve(body.map_or(0, <[u8]>::len) + self.payloads.len() + 16);
        with_body(schema, input, rule, &woven, body, options, out)
    }
}

fn with_body(
    schema: &Schema,
    input: MessageId,
    rule: Body,
    woven: &Woven<'_>,
    body: Option<&[u8]>,
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), BadInput> {
    let message = schema.message(input);
    match (rule, body) {
        (Body::None, Some(body)) if !is_empty_object(body) => Err(BadInput::of(vec![FieldViolation {
            field: String::new(),
            description: "this method takes no request body".into(),
        }])),
        (Body::None, _) | (_, None) => complete(message, |index| woven.under(index).is_some())
            .and_then(|()| woven.emit(schema, message, out, |_| false))
            .map_err(|fault| fault.in_text(b"")),
        (Body::All, Some(body)) if woven.leaves.is_empty() => super::json_to_wire(schema, input, body, options, out),
        (Body::All, Some(body)) => {
            read_whole(schema, body, options, |reader| reader.object(message, Used::default(), out, 0, Some(woven)))
        }
        (Body::Field(index), Some(body)) => {
            complete(message, |other| other == index || woven.under(other).is_some())
                .and_then(|()| woven.emit(schema, message, out, |other| other == index))
                .map_err(|fault| fault.in_text(b""))?;
            read_whole(schema, body, options, |reader| body_field(reader, message, index, woven, out))
        }
    }
}

/// Reads the body as this field's value, together with what is bound inside of it.
fn body_field<'a>(
    reader: &mut JsonReader<'a>,
    message: &'a Message,
    index: u16,
    woven: &Woven<'_>,
    out: &mut Vec<u8>,
) -> Outcome<()> {
    let Some(field) = message.field(index) else {
        return Err(reader.fault("the catalog's rule names a body field that there is not"));
    };
    let read = match woven.under(index) {
        Some(under) => reader.woven_field(field, index, &mut Used::default(), &under, out, 0),
        None if reader.tokens.peek()? == b'n' && !reader.takes_null(field) => reader.no_value(field),
        None => reader.field(field, out, 0),
    };
    read.map_err(|fault| fault.within(field.name()))
}

fn is_empty_object(body: &[u8]) -> bool {
    let inner = body.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests;
