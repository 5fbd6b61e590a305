//! Which fields of an answer its caller wants: `name,author.id`, `books(name,price/units)`, looked up in the answer's type.

use super::MAX_DEPTH;
use crate::catalog::{Field, Label, Message, MessageId, Schema};
use crate::wire::closest;

/// More mistakes than this in one mask are not listed.
const MOST_MISTAKES: usize = 20;

/// The fields that are to be printed. Made for one type, and of use for its messages only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    pub(super) root: Level,
}

/// What is wanted of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// All of it, whatever else is named.
    pub(super) all: bool,
    /// Sorted by index.
    pub(super) fields: Vec<(u16, Level)>,
}

/// Reads one text. Names lead through messages, through the elements of lists, and through the values of maps.
struct Parser<'a> {
    schema: &'a Schema,
    text: &'a str,
    at: usize,
    mistakes: Vec<String>,
}

// === impl Mask ===

impl Mask {
    /// Reads masks, whose fields are wanted all together: paths divided by commas; steps by `.` or `/`; names as in JSON
    /// or in the `.proto` file; `a(b,c)` for `a.b,a.c`; `*` for all fields. Of an empty text all fields are wanted, too.
    ///
    /// `only`: the one field of the message that is printed alone (`response_body`); paths begin behind it then.
    ///
    /// Errors: what is wrong, as `author.nmae: ... has no field "nmae" (did you mean "author.name"?)`; at most twenty.
    pub fn parse<'t>(
        schema: &Schema,
        message: MessageId,
        only: Option<u16>,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<Mask, Vec<String>> {
        let printed = match only {
            None => Some(schema.message(message)),
            Some(index) => schema.message(message).field(index).and_then(|field| below(schema, field)),
        };
        let (mut root, mut mistakes) = (Level::default(), Vec::new());
        for text in texts {
            if text.trim().is_empty() {
                root.all = true;
                continue;
            }
            let Some(printed) = printed.filter(|message| message.known.is_object()) else {
                return Err(vec!["the answer has no fields to choose from".into()]);
            };
            let mut parser = Parser { schema, text, at: 0, mistakes: Vec::new() };
            parser.list(printed, "", &mut root, 0);
            mistakes.append(&mut parser.mistakes);
        }
        mistakes.truncate(MOST_MISTAKES);
        if mistakes.is_empty() { Ok(Mask { root }) } else { Err(mistakes) }
    }
}

// === impl Level ===

impl Level {
    fn entry(&mut self, index: u16) -> &mut Level {
        let found = self.fields.binary_search_by_key(&index, |(index, _)| *index);
        let at = found.unwrap_or_else(|at| {
            self.fields.insert(at, (index, Level::default()));
            at
        });
        // in bounds: it was found there, or put there
        &mut self.fields[at].1
    }
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn mistake(&mut self, text: String) {
        if self.mistakes.len() < MOST_MISTAKES {
            self.mistakes.push(text);
        }
    }

    /// Paths up to the end, or to the bracket that ends the group. Goes on behind mistakes in names; a mistake in the
    /// form ends it all (`None`).
    fn list(&mut self, message: &'a Message, before: &str, level: &mut Level, depth: u32) -> Option<()> {
        loop {
            self.path(message, before, level, depth)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b')') if depth > 0 => return Some(()),
                None if depth == 0 => return Some(()),
                None => return self.bad_form("a bracket is not closed"),
                Some(_) => return self.bad_form("a comma is missing"),
            }
        }
    }

    fn bad_form(&mut self, what: &str) -> Option<()> {
        let rest: String = self.text.get(self.at..).unwrap_or_default().chars().take(20).collect();
        let place = if rest.is_empty() { "at the end".to_owned() } else { format!("before {rest:?}") };
        self.mistake(format!("{what} {place}"));
        None
    }

    /// One path, with a group behind it if there is one.
    fn path(&mut self, message: &'a Message, before: &str, level: &mut Level, depth: u32) -> Option<()> {
        let (mut message, mut level) = (Some(message), level);
        let (mut before, mut steps) = (before.to_owned(), depth);
        // of a path that leads nowhere the form is still read
        let mut nowhere = Level::default();
        loop {
            let name = self.name();
            steps += 1;
            if name.is_empty() {
                return self.bad_form("a name is missing");
            }
            if steps > MAX_DEPTH {
                return self.bad_form("nested too deep");
            }
            if name == "*" {
                level.all |= message.is_some();
                return Some(());
            }
            let found = message.and_then(|message| self.step(message, &before, name));
            before.extend(name.chars().take(100));
            level = match found {
                Some((index, _)) => level.entry(index),
                None => &mut nowhere,
            };
            let group = self.peek() == Some(b'(');
            if !(group || matches!(self.peek(), Some(b'.' | b'/'))) {
                level.all = true;
                return Some(());
            }
            message = found.and_then(|(_, field)| self.inside(field, &before));
            before.push('.');
            self.at += 1;
            if group {
                let Some(message) = message else { return self.skip_group() };
                self.list(message, &before, level, steps)?;
                self.at += 1;
                return Some(());
            }
        }
    }

    /// Reads over the rest of a group whose fields nobody can look up.
    fn skip_group(&mut self) -> Option<()> {
        let mut open = 1;
        while open > 0 {
            match self.peek() {
                Some(b'(') => open += 1,
                Some(b')') => open -= 1,
                Some(_) => {}
                None => return self.bad_form("a bracket is not closed"),
            }
            self.at += 1;
        }
        Some(())
    }

    /// The next name. That of an extension stands in square brackets.
    fn name(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rest = rest.trim_start_matches(' ');
        self.at = self.text.len() - rest.len();
        let end = match rest.strip_prefix('[').and_then(|inner| inner.find(']')) {
            Some(end) => end + 2,
            None => rest.find([',', '.', '/', '(', ')']).unwrap_or(rest.len()),
        };
        self.at += end;
        rest.get(..end).unwrap_or_default().trim_end_matches(' ')
    }

    fn step(&mut self, message: &'a Message, before: &str, name: &str) -> Option<(u16, &'a Field)> {
        let found = message.field_by_name(name);
        if found.is_none() {
            let shown: String = name.chars().take(100).collect();
            let names = message.fields.iter().flat_map(|field| [field.json_name(), field.name()]);
            let meant = closest(name, names).map(|near| format!(" (did you mean \"{before}{near}\"?)"));
            let meant = meant.unwrap_or_default();
            self.mistake(format!("{before}{shown}: {} has no field {shown:?}{meant}", message.name));
        }
        found
    }

    /// The message whose fields stand behind this one.
    fn inside(&mut self, field: &Field, path: &str) -> Option<&'a Message> {
        let found = below(self.schema, field).filter(|message| message.known.is_object());
        if found.is_none() {
            self.mistake(format!("{path}: {:?} has no fields to choose from", field.name()));
        }
        found
    }
}

/// The message that a field holds; of a map, its values.
pub(super) fn below<'s>(schema: &'s Schema, field: &Field) -> Option<&'s Message> {
    let held = schema.message(field.kind.message()?);
    match field.label {
        Label::Map => held.entry().and_then(|(_, value)| value.kind.message()).map(|id| schema.message(id)),
        Label::Singular | Label::Repeated => Some(held),
    }
}

#[cfg(test)]
mod tests;
