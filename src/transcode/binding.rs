//! Path variables and query parameters to leaves, all mistakes collected.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use percent_encoding::percent_decode;

use super::json_read::write_key;
use super::leaf::Leaf;
use super::reach::{MOST_ELEMENTS, Reached};
use super::{ReadOptions, text};
use crate::catalog::{Field, FieldPath, Label, Message, MessageId, Schema};
use crate::status::FieldViolation;

/// More mistakes than this in one request are not listed: the answer stays readable, and small.
const MOST_VIOLATIONS: usize = 50;

/// Where names and values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Query,
    /// A form in the body; names are those of fields of this top-level field, if it is one.
    Form(Option<u16>),
}

/// Collects what path, query and form bind below one message.
pub(super) struct Binder<'a> {
    pub(super) schema: &'a Schema,
    pub(super) options: &'a ReadOptions<'a>,
    pub(super) input: MessageId,
    /// Of what is being bound now.
    pub(super) origin: Origin,
    /// The top-level field that the body fills; not for the query.
    body: Option<u16>,
    pub(super) leaves: Vec<Leaf<'a>>,
    pub(super) payloads: Vec<u8>,
    pub(super) keys: Keys,
    pub(super) violations: Vec<FieldViolation>,
}

/// The keys of the map entries that the query names.
#[derive(Default)]
pub(super) struct Keys {
    /// Encoded with their tags: where in the payloads.
    pub(super) ranges: Vec<Range<usize>>,
    /// By the path of the map and the encoded key: places in `ranges`.
    numbers: BTreeMap<(Vec<u16>, Vec<u8>), u16>,
}

// === impl Origin ===

impl Origin {
    /// What a name names.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Origin::Query => "query parameter",
            Origin::Form(_) => "form field",
        }
    }

    pub(super) fn place(self) -> &'static str {
        match self {
            Origin::Query => "the query",
            Origin::Form(_) => "a form",
        }
    }
}

// === impl Binder ===

impl<'a> Binder<'a> {
    pub(super) fn new(
        schema: &'a Schema,
        options: &'a ReadOptions<'a>,
        input: MessageId,
        body: Option<u16>,
    ) -> Binder<'a> {
        Binder {
            schema,
            options,
            input,
            origin: Origin::Query,
            body,
            leaves: Vec::new(),
            payloads: Vec::new(),
            keys: Keys::default(),
            violations: Vec::new(),
        }
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
                self.violation(shown(name), "the parameter's name is not UTF-8");
                continue;
            };
            let other_use = self.options.fields_parameter == Some(&*name);
            if other_use || self.options.ignored_query.iter().any(|other| **other == *name) {
                continue;
            }
            if !takes_query {
                self.unwanted(&name);
                continue;
            }
            match decode(value) {
                Some(value) => self.parameter(name, &value),
                None => self.violation(shown(&name), "the parameter's value is not UTF-8"),
            }
        }
    }

    /// Binds a query parameter, or a field of a form.
    pub(super) fn parameter(&mut self, name: Cow<'a, str>, value: &str) {
        match self.resolve(&name) {
            Ok((path, field)) => {
                if self.origin == Origin::Query && path.first().copied() == self.body && self.body.is_some() {
                    return self.violation(shown(&name), "is filled by the request's body, not by the query");
                }
                self.leaf(Cow::Owned(path), field, name, value, false);
            }
            Err(why) => self.violation(shown(&name), why),
        }
    }

    /// A parameter of a rule that takes none.
    fn unwanted(&mut self, name: &str) {
        let why = match self.resolve(name) {
            Ok((path, _)) if self.leaves.iter().any(|leaf| leaf.path == path) => "is set by the path already",
            Ok(_) => "is not read from the query: what the path leaves over comes from the body",
            Err(_) => "unknown query parameter: all fields come from the path and the body",
        };
        self.violation(shown(name), why);
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

    /// The number of a map's key; see [`super::leaf::Woven::keys`].
    pub(super) fn key(&mut self, map: &[u16], key_field: &Field, key: &str) -> Result<u16, String> {
        let mut encoded = Vec::with_capacity(key.len() + 4);
        write_key(key_field, key, &mut encoded)?;
        let number = self.keys.number(map, encoded, &mut self.payloads);
        number.ok_or_else(|| format!("at most {MOST_ELEMENTS} entries of maps can be given in {}", self.origin.place()))
    }

    fn field_at(&self, path: &[u16]) -> Option<&'a Field> {
        self.reached(path).map(|reached| reached.field)
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
        self.fields(self.schema.message(self.input), &leaves, 0, self.body);
        self.leaves = leaves;
    }

    /// Two leaves next to each other: at the same field, or one at a field inside the other's.
    fn twice(&mut self, one: &Leaf<'a>, other: &Leaf<'a>) {
        if !other.path.starts_with(&one.path) {
            return;
        }
        let is_same = one.path.len() == other.path.len();
        let is_list = |at: Reached<'_>| at.field.label == Label::Repeated && !at.element;
        if is_same && one.from_path == other.from_path && self.reached(&one.path).is_some_and(is_list) {
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

    /// Finds leaves that set two members of one oneof, in this message and below, and lists with gaps.
    fn fields(&mut self, message: &Message, leaves: &[Leaf<'a>], level: usize, body: Option<u16>) {
        let oneof_of = |index: u16| message.field(index).and_then(|field| field.oneof);
        let mut taken: Vec<(u16, u16)> = body.and_then(|body| Some((oneof_of(body)?, body))).into_iter().collect();
        for (index, first, group) in groups(leaves, level) {
            if let Some(oneof) = oneof_of(index) {
                if taken.iter().any(|(other, member)| *other == oneof && *member != index) {
                    self.violation(shown(&first.name), "another member of the same oneof is given as well");
                }
                taken.push((oneof, index));
            }
            let Some(field) = message.field(index).filter(|_| first.path.len() > level + 1) else { continue };
            match (field.label, field.kind.message()) {
                (Label::Singular, Some(id)) => self.fields(self.schema.message(id), group, level + 1, None),
                (Label::Singular, None) => {}
                (Label::Repeated | Label::Map, _) => self.elements(field, group, level + 1),
            }
        }
    }

    /// The same for the elements of a list or a map.
    fn elements(&mut self, field: &Field, leaves: &[Leaf<'a>], level: usize) {
        for (expected, (place, first, group)) in (0u16..).zip(groups(leaves, level)) {
            if field.label == Label::Repeated && place != expected {
                let why = format!("places count from 0 without a gap: there is no {}[{expected}]", field.json_name());
                return self.violation(shown(&first.name), why);
            }
            let element = first.path.get(..=level).and_then(|path| self.reached(path));
            let message = element.and_then(|element| element.field.kind.message());
            if let Some(id) = message.filter(|_| first.path.len() > level + 1) {
                self.fields(self.schema.message(id), group, level + 1, None);
            }
        }
    }
}

/// The leaves with the same step at this level of their paths: the step, the first of them, all of them.
fn groups<'l, 'a>(leaves: &'l [Leaf<'a>], level: usize) -> impl Iterator<Item = (u16, &'l Leaf<'a>, &'l [Leaf<'a>])> {
    let step = move |leaf: &Leaf<'_>| leaf.path.get(level).copied();
    leaves.chunk_by(move |a, b| step(a) == step(b)).filter_map(move |group| {
        let first = group.first()?;
        Some((step(first)?, first, group))
    })
}

// === impl Keys ===

impl Keys {
    /// The number of a key of the map at this path. Appends what is not known to `payloads`.
    fn number(&mut self, map: &[u16], encoded: Vec<u8>, payloads: &mut Vec<u8>) -> Option<u16> {
        let next = u16::try_from(self.ranges.len()).ok().filter(|next| *next < MOST_ELEMENTS);
        match self.numbers.entry((map.to_vec(), encoded)) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(new) => {
                let number = next?;
                let start = payloads.len();
                payloads.extend_from_slice(&new.key().1);
                self.ranges.push(start..payloads.len());
                Some(*new.insert(number))
            }
        }
    }
}

/// A name as far as it is shown: it is the caller's, and may be of any length.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Percent-decodes after the rules of forms; `None` if that is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let blanks = text.replace('+', " ");
        return Some(Cow::Owned(percent_decode(blanks.as_bytes()).decode_utf8().ok()?.into_owned()));
    }
    percent_decode(text.as_bytes()).decode_utf8().ok()
}
