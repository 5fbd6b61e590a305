//! Forms to leaves: `application/x-www-form-urlencoded` (WHATWG URL, 5.1) and the parts of `multipart/form-data`, by the
//! names that query parameters have.

use std::borrow::Cow;

use super::ReadOptions;
use super::binding::{Binder, Origin, decode, shown};
use super::fault::BadInput;
use super::http_body::{RawSlot, file_name, put_http_body};
use super::json_read::json_to_wire;
use super::leaf::Leaf;
use super::reach::Reached;
use super::weave::{Bound, path_and_query};
use crate::catalog::{Binding, Body, Kind, Label, MessageId, Schema};
use crate::status::FieldViolation;
use crate::wire::{close, open, put_varint};

/// What a form is read from.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// `name=value&name=value`, encoded.
    Encoded(&'a [u8]),
    Parts(&'a [FormPart<'a>]),
}

/// A part of a form.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormPart<'a> {
    pub name: &'a str,
    /// Set for a file.
    pub filename: Option<&'a str>,
    /// `None`: text.
    pub content_type: Option<&'a str>,
    pub content: &'a [u8],
}

/// The most fields of a form that is encoded as a query is: what is bound takes more room than what is written.
pub const MOST_FORM_FIELDS: usize = 10_000;

/// Binds path, query and a form, whose names are those of the fields of what the rule's body fills: as in a query, dotted,
/// in JSON or proto names, repeated for a repeated field.
///
/// Of a part, the field decides what is read: `bytes` has the content of a file as it is, and that of a text in the form
/// that texts of bytes have; an HttpBody has content and content type; another message is JSON, if the part says so, and
/// else has a text form or none; all other fields are text. The name of a file goes to a string field `filename` or
/// `file_name` beside its own, unless that is given too. `file` is one whose content is not among the parts: its slot and
/// its name.
///
/// Errors: all mistakes together, by the names in the form.
#[allow(clippy::too_many_arguments)]
pub fn bind_form<'a>(
    schema: &'a Schema,
    input: MessageId,
    binding: &'a Binding,
    variables: &[(usize, Cow<'_, str>)],
    query: Option<&'a str>,
    form: Form<'a>,
    file: Option<(&RawSlot, &'a str)>,
    options: &'a ReadOptions<'a>,
) -> Result<Bound<'a>, BadInput> {
    let mut binder = path_and_query(schema, input, binding, variables, query, options);
    binder.origin = Origin::Form(base(schema, input, binding.body)?);
    let mut reader = FormReader { binder, offers: Vec::new() };
    match form {
        Form::Encoded(text) => reader.encoded(text),
        Form::Parts(parts) => parts.iter().for_each(|part| reader.part(part)),
    }
    let FormReader { mut binder, mut offers } = reader;
    offers.extend(file.and_then(|(slot, name)| Some((slot.filename.as_deref()?.to_vec(), name))));
    for (path, name) in offers {
        binder.offer(path, name);
    }
    binder.settle();
    Bound::of(binder)
}

/// The top-level field that a form fills, if it is not the message itself.
fn base(schema: &Schema, input: MessageId, body: Body) -> Result<Option<u16>, BadInput> {
    let index = match body {
        Body::All => return Ok(None),
        Body::Field(index) => Some(index),
        Body::None => None,
    };
    let field = index.and_then(|index| schema.message(input).field(index));
    match field.filter(|field| field.label == Label::Singular).map(|field| field.kind) {
        Some(Kind::Message(_)) => Ok(index),
        _ => {
            let description = "this rule's body is no message that a form could fill".into();
            Err(BadInput::of(vec![FieldViolation { field: String::new(), description }]))
        }
    }
}

struct FormReader<'a> {
    binder: Binder<'a>,
    /// Names of files, and the fields that they may go to.
    offers: Vec<(Vec<u16>, &'a str)>,
}

// === impl FormPart ===

impl FormPart<'_> {
    fn is_json(&self) -> bool {
        let essence = self.content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
        essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
    }
}

// === impl FormReader ===

impl<'a> FormReader<'a> {
    fn encoded(&mut self, text: &'a [u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return self.binder.violation("", "the form is not UTF-8");
        };
        let fields = text.trim_ascii().split('&').filter(|field| !field.is_empty());
        for (at, field) in fields.enumerate() {
            if at == MOST_FORM_FIELDS {
                return self.binder.violation("", format!("a form may have {MOST_FORM_FIELDS} fields"));
            }
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            match (decode(name), decode(value)) {
                (None, _) => self.binder.violation(shown(name), "the field's name is not UTF-8"),
                (Some(name), None) => self.binder.violation(shown(&name), "the field's value is not UTF-8"),
                (Some(name), Some(value)) => self.binder.parameter(name, &value),
            }
        }
    }

    fn part(&mut self, part: &FormPart<'a>) {
        if let Ok((path, reached)) = self.binder.reach(part.name)
            && let Some(how) = self.how(reached, part)
        {
            self.name_of_file(&path, part);
            return self.content(path, how, part);
        }
        match std::str::from_utf8(part.content) {
            Ok(text) => self.binder.parameter(part.name.into(), text),
            // what is no field needs no text
            Err(_) if self.binder.reach(part.name).is_err() => self.binder.parameter(part.name.into(), ""),
            Err(_) => self.binder.violation(shown(part.name), "is not UTF-8, as the text of this field has to be"),
        }
    }

    /// How the content becomes the field's value, if not as text.
    fn how(&self, reached: Reached<'_>, part: &FormPart<'_>) -> Option<How> {
        match reached.field.kind {
            _ if reached.label() == Label::Map => None,
            Kind::Bytes if part.filename.is_some() => Some(How::Bytes),
            Kind::Message(id) if self.binder.schema.message(id).is_http_body() => Some(How::Body),
            Kind::Message(id) if part.is_json() => Some(How::Json(id)),
            _ => None,
        }
    }

    fn name_of_file(&mut self, path: &[u16], part: &FormPart<'a>) {
        let (Some(name), Some((_, before))) = (part.filename, path.split_last()) else { return };
        let binder = &self.binder;
        let holder = match before {
            [] => Some(binder.schema.message(binder.input)),
            _ => binder.reached(before).and_then(|reached| reached.message(binder.schema)),
        };
        if let Some(index) = holder.and_then(file_name) {
            self.offers.push(([before, &[index]].concat(), name));
        }
    }

    fn content(&mut self, path: Vec<u16>, how: How, part: &FormPart<'a>) {
        let out = &mut self.binder.payloads;
        let start = out.len();
        let read = match how {
            How::Bytes => {
                put_varint(out, part.content.len() as u64);
                out.extend_from_slice(part.content);
                Ok(())
            }
            How::Body => {
                let at = open(out);
                put_http_body(part.content_type.unwrap_or_default(), part.content, out);
                close(out, at);
                Ok(())
            }
            How::Json(id) => {
                let at = open(out);
                let read = json_to_wire(self.binder.schema, id, part.content, self.binder.options, out);
                close(out, at);
                read
            }
        };
        match read {
            Ok(()) => {
                let payload = start..self.binder.payloads.len();
                let name = Cow::Borrowed(part.name);
                self.binder.leaves.push(Leaf { path: path.into(), payload, name, from_path: false });
            }
            Err(bad) => {
                self.binder.payloads.truncate(start);
                self.bad_json(part.name, bad);
            }
        }
    }

    fn bad_json(&mut self, name: &str, bad: BadInput) {
        if bad.violations.is_empty() {
            return self.binder.violation(shown(name), bad.message);
        }
        for violation in bad.violations {
            let dot = if violation.field.is_empty() || violation.field.starts_with('[') { "" } else { "." };
            self.binder.violation(format!("{}{dot}{}", shown(name), violation.field), violation.description);
        }
    }
}

/// How the content of a part becomes a value.
#[derive(Clone, Copy)]
enum How {
    Bytes,
    /// An HttpBody.
    Body,
    /// The JSON of this message.
    Json(MessageId),
}

// === impl Binder ===

impl<'a> Binder<'a> {
    /// Binds a string to a field that nothing else sets.
    fn offer(&mut self, path: Vec<u16>, text: &'a str) {
        if self.leaves.iter().any(|leaf| *leaf.path == *path) {
            return;
        }
        let start = self.payloads.len();
        put_varint(&mut self.payloads, text.len() as u64);
        self.payloads.extend_from_slice(text.as_bytes());
        let payload = start..self.payloads.len();
        self.leaves.push(Leaf { path: path.into(), payload, name: Cow::Borrowed("filename"), from_path: false });
    }
}

#[cfg(test)]
mod tests;
