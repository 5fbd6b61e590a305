//! Path variables and query parameters to leaves, all mistakes collected.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::leaf::Leaf;
use super::{MAX_DEPTH, ReadOptions, text};
use crate::catalog::{Field, FieldPath, Known, Label, Message, MessageId, Schema};
use crate::status::FieldViolation;
use crate::wire::closest;

/// More mistakes than this in one request are not listed: the answer stays readable, and small.
const MOST_VIOLATIONS: usize = 50;

/// Collects what path and query bind below one message.
pub(super) struct Binder<'a> {
    schema: &'a Schema,
    options: &'a ReadOptions<'a>,
    input: MessageId,
    /// The top-level field that the body fills; not for the query.
    body: Option<u16>,
    pub(super) leaves: Vec<Leaf<'a>>,
    pub(super) payloads: Vec<u8>,
    pub(super) violations: Vec<FieldViolation>,
}

// === impl Binder ===

impl<'a> Binder<'a> {
    pub(super) fn new(
        schema: &'a Schema,
        options: &'a ReadOptions<'a>,
        input: MessageId,
        body: Option<u16>,
    ) -> Binder<'a> {
        Binder { schema, options, input, body, leaves: Vec::new(), payloads: Vec::new(), violations: Vec::new() }
    }

    pub(super) fn violation(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(FieldViolation { field: field.into(), description: description.into() });
        }
    }

    /// Binds a path variable; `path` comes from the catalog.
    pub(super) fn variable(&mut self, path: &'a FieldPath, value: &str) {
        let names = self.names_of(&path.0);
        let Some(field) = self.field_at(&path.0) else {
            // The catalog resolved the path against this very message.
            return self.violation(names, "is no field of the method's request message");
        };
        self.leaf(Cow::Borrowed(&path.0), field, Cow::Owned(names), value, true);
    }

    /// Binds a raw query string: `a.b=1&c=x%20y`, `+` for a blank (application/x-www-form-urlencoded).
    pub(super) fn query(&mut self, query: &'a str, takes_query: bool) {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if self.violations.len() == MOST_VIOLATIONS {
                return;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decode(name) else {
                self.violation(name, "the parameter's name is not UTF-8");
                continue;
            };
            if self.options.ignored_query.iter().any(|other| **other == *name) {
                continue;
            }
            if !takes_query {
                self.violation(shown(&name), "unknown query parameter: all fields come from the path and the body");
                continue;
            }
            match decode(value) {
                Some(value) => self.parameter(name, &value),
                None => self.violation(shown(&name), "the parameter's value is not UTF-8"),
            }
        }
    }

    fn parameter(&mut self, name: Cow<'a, str>, value: &str) {
        match self.resolve(&name) {
            Ok((path, field)) => {
                if path.first().copied() == self.body && self.body.is_some() {
                    return self.violation(shown(&name), "is filled by the request's body, not by the query");
                }
                self.leaf(Cow::Owned(path), field, name, value, false);
            }
            Err(why) => self.violation(shown(&name), why),
        }
    }

    /// Writes the value's payload and notes the leaf, or the violation.
    fn leaf(&mut self, path: Cow<'a, [u16]>, field: &Field, name: Cow<'a, str>, value: &str, from_path: bool) {
        let start = self.payloads.len();
        match text::text_value(self.schema, field, value, self.options, &mut self.payloads) {
            Ok(()) => self.leaves.push(Leaf { path, payload: start..self.payloads.len(), name, from_path }),
            Err(why) => {
                self.payloads.truncate(start);
                self.violation(shown(&name), why);
            }
        }
    }

    /// The field that a dotted name leads to, by either spelling of each step.
    fn resolve(&self, name: &str) -> Result<(Vec<u16>, &'a Field), String> {
        let mut message = self.schema.message(self.input);
        let mut path = Vec::with_capacity(2);
        let mut steps = name.split('.').peekable();
        let mut before = String::new();
        while let Some(step) = steps.next() {
            let Some((index, field)) = message.field_by_name(step) else {
                return Err(unknown(message, &before, step));
            };
            path.push(index);
            if steps.peek().is_none() {
                return takes_text(self.schema, field).map(|()| (path, field));
            }
            let nested = field.kind.message().filter(|_| field.label == Label::Singular);
            let Some(nested) = nested.filter(|_| path.len() <= MAX_DEPTH as usize) else {
                return Err(format!("{:?} has no fields that a query parameter could set", field.json_name()));
            };
            before.push_str(step);
            before.push('.');
            message = self.schema.message(nested);
        }
        Err("a parameter needs a name".into())
    }

    fn field_at(&self, path: &[u16]) -> Option<&'a Field> {
        let (last, before) = path.split_last()?;
        let mut message = self.schema.message(self.input);
        for index in before {
            message = self.schema.message(message.field(*index)?.kind.message()?);
        }
        message.field(*last)
    }

    /// A path in proto names.
    fn names_of(&self, path: &[u16]) -> String {
        let mut names = String::new();
        let mut message = Some(self.schema.message(self.input));
        for index in path {
            let Some(field) = message.and_then(|message| message.field(*index)) else { break };
            if !names.is_empty() {
                names.push('.');
            }
            names.push_str(field.name());
            message = field.kind.message().map(|id| self.schema.message(id));
        }
        names
    }

    /// Sorts the leaves and finds those that contradict one another.
    pub(super) fn settle(&mut self) {
        self.leaves.sort_by(|a, b| a.path.cmp(&b.path));
        let leaves = std::mem::take(&mut self.leaves);
        for pair in leaves.windows(2) {
            if let [one, other] = pair {
                self.twice(one, other);
            }
        }
        self.oneofs(self.schema.message(self.input), &leaves, 0, self.body);
        self.leaves = leaves;
    }

    /// Two leaves next to each other: at the same field, or one at a field inside the other's.
    fn twice(&mut self, one: &Leaf<'a>, other: &Leaf<'a>) {
        if !other.path.starts_with(&one.path) {
            return;
        }
        let is_same = one.path.len() == other.path.len();
        let repeated = self.field_at(&one.path).is_some_and(|field| field.label == Label::Repeated);
        if is_same && repeated && one.from_path == other.from_path {
            return;
        }
        let newer = if other.from_path { one } else { other };
        let why = match (one.from_path || other.from_path, is_same) {
            (true, _) => "is set by the path already",
            (false, true) => "is given more than once, and is not a repeated field",
            (false, false) => "is given both as a whole and in part",
        };
        self.violation(shown(&newer.name), why);
    }

    /// Finds leaves that set two members of one oneof, in this message and below.
    fn oneofs(&mut self, message: &Message, leaves: &[Leaf<'a>], level: usize, body: Option<u16>) {
        let index_of = |leaf: &Leaf<'_>| leaf.path.get(level).copied();
        let oneof_of = |index: u16| message.field(index).and_then(|field| field.oneof);
        let mut taken: Vec<(u16, u16)> = body.and_then(|body| Some((oneof_of(body)?, body))).into_iter().collect();
        for group in leaves.chunk_by(|a, b| index_of(a) == index_of(b)) {
            let Some((first, index)) = group.first().and_then(|leaf| Some((leaf, index_of(leaf)?))) else { continue };
            if let Some(oneof) = oneof_of(index) {
                if taken.iter().any(|(other, member)| *other == oneof && *member != index) {
                    self.violation(shown(&first.name), "another member of the same oneof is given as well");
                }
                taken.push((oneof, index));
            }
            let nested = message.field(index).and_then(|field| field.kind.message());
            if let Some(nested) = nested
                && first.path.len() > level + 1
            {
                self.oneofs(self.schema.message(nested), group, level + 1, None);
            }
        }
    }
}

/// Whether a query parameter may name this field.
fn takes_text(schema: &Schema, field: &Field) -> Result<(), String> {
    let is_text = match field.kind.message().map(|id| schema.message(id).known) {
        None => true,
        Some(known) => matches!(known, Known::Timestamp | Known::Duration | Known::FieldMask | Known::Wrapper),
    };
    match (field.label, is_text) {
        (Label::Map, _) => Err("a map cannot be given in the query".into()),
        (_, true) => Ok(()),
        (Label::Repeated, false) => Err("a repeated message cannot be given in the query".into()),
        (_, false) => Err("a message cannot be given in the query, only its fields (as in \"a.b=1\")".into()),
    }
}

fn unknown(message: &Message, before: &str, step: &str) -> String {
    let names = message.fields.iter().flat_map(|field| [field.json_name(), field.name()]);
    match closest(step, names) {
        Some(near) => format!("unknown query parameter (did you mean \"{before}{near}\"?)"),
        None => "unknown query parameter".into(),
    }
}

/// A name as far as it is shown: it is the caller's, and may be of any length.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Percent-decodes after the rules of forms; `None` if that is not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let blanks = text.replace('+', " ");
        return Some(Cow::Owned(percent_decode(blanks.as_bytes()).decode_utf8().ok()?.into_owned()));
    }
    percent_decode(text.as_bytes()).decode_utf8().ok()
}
