//! Where the steps of a parameter's name lead, and the same for paths of indices.

use super::MAX_DEPTH;
use super::binding::{Binder, Origin};
use super::parameter::{BadName, Step, Steps};
use crate::catalog::{Field, Known, Label, Message, Schema};
use crate::wire::closest;

/// Elements of one list, and keys of all maps of one query, that brackets may name: far more than a URL is made for.
pub(super) const MOST_ELEMENTS: u16 = 1000;

/// A field that some steps have led to.
#[derive(Clone, Copy)]
pub(super) struct Reached<'a> {
    /// Of an entry of a map: the field of its value.
    pub field: &'a Field,
    /// Not the list or the map itself, but one of what it holds.
    pub element: bool,
}

// === impl Reached ===

impl<'a> Reached<'a> {
    /// What the next step chooses among.
    pub(super) fn label(self) -> Label {
        if self.element { Label::Singular } else { self.field.label }
    }

    /// Whether a text can stand for what it is.
    fn takes_text(self, schema: &Schema) -> bool {
        value_takes_text(schema, self.field)
    }

    /// The message that its fields are of.
    pub(super) fn message(self, schema: &'a Schema) -> Option<&'a Message> {
        let id = self.field.kind.message().filter(|_| self.label() == Label::Singular)?;
        Some(schema.message(id))
    }
}

/// Whether a query parameter without brackets may name this field.
pub fn takes_text(schema: &Schema, field: &Field) -> bool {
    field.label != Label::Map && value_takes_text(schema, field)
}

fn value_takes_text(schema: &Schema, field: &Field) -> bool {
    let known = field.kind.message().map(|id| schema.message(id).known);
    known.is_none_or(|known| matches!(known, Known::Timestamp | Known::Duration | Known::FieldMask | Known::Wrapper))
}

// === impl Binder ===

impl<'a> Binder<'a> {
    /// The field that a parameter's name leads to, by either spelling of each step, and the path to it (see
    /// [`super::leaf::Leaf::path`]).
    pub(super) fn resolve(&mut self, name: &str) -> Result<(Vec<u16>, &'a Field), String> {
        let (path, reached) = self.reach(name)?;
        self.is_value(reached).map(|()| (path, reached.field))
    }

    /// The same, whatever it is.
    pub(super) fn reach(&mut self, name: &str) -> Result<(Vec<u16>, Reached<'a>), String> {
        let mut path = Vec::with_capacity(2);
        if let Origin::Form(base) = self.origin {
            path.extend(base);
        }
        let mut reached = None;
        let mut steps = Steps::new(name, self.options.query_brackets);
        while let Some(step) = steps.next() {
            let step = step.map_err(|BadName| match self.origin {
                Origin::Query => "a bracket in the parameter's name is not closed".to_owned(),
                Origin::Form(_) => "a bracket in the field's name is not closed".to_owned(),
            })?;
            if path.len() > MAX_DEPTH as usize {
                return Err(format!("nested deeper than {MAX_DEPTH} levels"));
            }
            if let (Some(Reached { field, element: false }), Step::Bracket("")) = (reached, step)
                && field.label == Label::Repeated
                && steps.is_done()
            {
                // appends, as the bare name does
                break;
            }
            reached = Some(self.follow(reached, step, &steps, &mut path)?);
        }
        match reached {
            Some(reached) => Ok((path, reached)),
            None => Err(format!("a {} needs a name", self.origin.noun())),
        }
    }

    /// The message that names begin in.
    fn root(&self) -> &'a Message {
        let input = self.schema.message(self.input);
        let Origin::Form(Some(base)) = self.origin else { return input };
        let filled = input.field(base).and_then(|field| field.kind.message());
        filled.map_or(input, |id| self.schema.message(id))
    }

    /// One step on.
    fn follow(
        &mut self,
        reached: Option<Reached<'a>>,
        step: Step<'_>,
        steps: &Steps<'_>,
        path: &mut Vec<u16>,
    ) -> Result<Reached<'a>, String> {
        let (Step::Name(text) | Step::Bracket(text)) = step;
        let message = match (reached, step) {
            (None, _) => self.root(),
            (Some(list), Step::Bracket(place)) if list.label() == Label::Repeated => {
                path.push(place_of(place, list.field, self.origin)?);
                return Ok(Reached { element: true, ..list });
            }
            (Some(map), Step::Bracket(key)) if map.label() == Label::Map => {
                let entry = map.field.kind.message().and_then(|id| self.schema.message(id).entry());
                let (key_field, value) = entry.ok_or("the catalog's map has no key and value")?;
                let key = self.key(path, key_field, key)?;
                path.push(key);
                return Ok(Reached { field: value, element: true });
            }
            (Some(reached), _) => reached.message(self.schema).ok_or_else(|| self.no_fields(reached))?,
        };
        let (index, field) = message.field_by_name(text).ok_or_else(|| self.unknown(message, steps, step))?;
        path.push(index);
        Ok(Reached { field, element: false })
    }

    /// What a path of indices leads to; see [`super::leaf::Leaf::path`].
    pub(super) fn reached(&self, path: &[u16]) -> Option<Reached<'a>> {
        let mut reached: Option<Reached<'a>> = None;
        for step in path {
            let message = match reached {
                None => self.schema.message(self.input),
                Some(list) if list.label() == Label::Repeated => {
                    reached = Some(Reached { element: true, ..list });
                    continue;
                }
                Some(map) if map.label() == Label::Map => {
                    let (_, value) = self.schema.message(map.field.kind.message()?).entry()?;
                    reached = Some(Reached { field: value, element: true });
                    continue;
                }
                Some(singular) => singular.message(self.schema)?,
            };
            reached = Some(Reached { field: message.field(*step)?, element: false });
        }
        reached
    }

    /// Whether the value of a parameter can be what its name leads to.
    fn is_value(&self, reached: Reached<'_>) -> Result<(), String> {
        let (name, place) = (reached.field.json_name(), self.origin.place());
        match (reached.label(), reached.takes_text(self.schema)) {
            (Label::Map, _) => {
                Err(self.in_brackets(&format!("a map cannot be given in {place}"), &format!("{name}[key]=1")))
            }
            (_, true) => Ok(()),
            (Label::Repeated, false) => {
                let example = format!("{name}[0].a=1");
                Err(self.in_brackets(&format!("a repeated message cannot be given in {place}"), &example))
            }
            (Label::Singular, false) => {
                Err(format!("a message cannot be given in {place}, only its fields (as in \"a.b=1\")"))
            }
        }
    }

    fn no_fields(&self, reached: Reached<'_>) -> String {
        let name = reached.field.json_name();
        let what = format!("{name:?} has no fields that a {} could set", self.origin.noun());
        match reached.label() {
            Label::Map => self.in_brackets(&what, &format!("{name}[key]=1")),
            Label::Repeated if !reached.takes_text(self.schema) => self.in_brackets(&what, &format!("{name}[0].a=1")),
            _ => what,
        }
    }

    /// What cannot be said without brackets.
    fn in_brackets(&self, what: &str, example: &str) -> String {
        match self.options.query_brackets {
            true => format!("{what}, only what is in it (as in {example:?})"),
            false => format!("{what} (only as in {example:?}, if `query.brackets` is switched on for the method)"),
        }
    }

    fn unknown(&self, message: &Message, steps: &Steps<'_>, step: Step<'_>) -> String {
        let (before, text) = (steps.before(step), step.text());
        if let Some((base, _)) = text.split_once('[').filter(|_| !self.options.query_brackets)
            && message.field_by_name(base).is_some()
        {
            return "brackets are read only if `query.brackets` is switched on for the method".into();
        }
        let names = message.fields.iter().flat_map(|field| [field.json_name(), field.name()]);
        let close = if matches!(step, Step::Bracket(_)) { "]" } else { "" };
        match closest(text, names) {
            Some(near) => format!("unknown {} (did you mean \"{before}{near}{close}\"?)", self.origin.noun()),
            None => format!("unknown {}", self.origin.noun()),
        }
    }
}

/// An element's place, counted from 0.
fn place_of(text: &str, list: &Field, origin: Origin) -> Result<u16, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(place) if is_number && place < MOST_ELEMENTS => Ok(place),
        _ if is_number => Err(format!("at most {MOST_ELEMENTS} elements can be given in {}", origin.place())),
        _ => Err(format!("an element needs its place, as in \"{}[0]\"", list.json_name())),
    }
}
