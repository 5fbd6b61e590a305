//! What is wrong with a message, and where: built up while the error travels outwards, so that the good path pays nothing.

use std::fmt::{self, Write};

use crate::status::FieldViolation;
use crate::wire::{BadJson, Malformed, TextPlace, line_column};

/// Why a request (JSON, path, query) is not a message of its type. Answered INVALID_ARGUMENT with `BadRequest` details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadInput {
    /// For people: place, field path, reason.
    pub message: String,
    /// Field by field; empty if the text is not JSON at all.
    pub violations: Vec<FieldViolation>,
    /// Byte offset in the JSON text, if the mistake is in it.
    pub offset: Option<usize>,
    /// Line and column (in characters), counted from 1.
    pub place: Option<(usize, usize)>,
}

/// Why wire bytes cannot be printed as a message of their type: they are damaged, or hold what JSON cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadWire {
    /// Path of the field, in proto names; empty if the message itself is meant.
    pub field: String,
    pub reason: String,
}

/// A mistake on its way outwards; each level that it passes adds its step.
#[derive(Debug)]
pub(super) struct Fault {
    what: String,
    /// Innermost first.
    path: Vec<Step>,
    offset: Option<usize>,
    /// The text is not JSON, or the bytes not protobuf: no single field is to blame.
    is_syntax: bool,
}

#[derive(Debug)]
enum Step {
    Name(String),
    Index(usize),
    Key(String),
}

/// Boxed so that the good path moves one word.
pub(super) type Outcome<T> = Result<T, Box<Fault>>;

// === impl Fault ===

impl Fault {
    #[cold]
    pub(super) fn new(what: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { what: what.into(), path: Vec::new(), offset: None, is_syntax: false })
    }

    #[cold]
    pub(super) fn at(offset: usize, what: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { what: what.into(), path: Vec::new(), offset: Some(offset), is_syntax: false })
    }

    /// Says where, if it is not known yet.
    pub(super) fn place(mut self: Box<Self>, offset: usize) -> Box<Fault> {
        self.offset.get_or_insert(offset);
        self
    }

    pub(super) fn within(mut self: Box<Self>, name: impl AsRef<str>) -> Box<Fault> {
        self.path.push(Step::Name(shown(name.as_ref())));
        self
    }

    pub(super) fn element(mut self: Box<Self>, index: usize) -> Box<Fault> {
        self.path.push(Step::Index(index));
        self
    }

    pub(super) fn key(mut self: Box<Self>, key: impl AsRef<str>) -> Box<Fault> {
        self.path.push(Step::Key(shown(key.as_ref())));
        self
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Name(name) if path.is_empty() => write!(path, "{name}"),
                Step::Name(name) => write!(path, ".{name}"),
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, "[{key:?}]"),
            };
        }
        path
    }

    /// The mistake as the caller is told; `text` is the JSON text that offsets count in.
    pub(super) fn in_text(self, text: &[u8]) -> BadInput {
        let field = self.path();
        let place = self.offset.map(|offset| line_column(text, offset));
        let mut message = place.map(told).unwrap_or_default();
        if !field.is_empty() {
            let _ = write!(message, "{field}: ");
        }
        message.push_str(&self.what);
        let violations =
            if self.is_syntax { Vec::new() } else { vec![FieldViolation { field, description: self.what }] };
        BadInput { message, violations, offset: self.offset, place }
    }

    pub(super) fn in_wire(self) -> BadWire {
        BadWire { field: self.path(), reason: self.what }
    }
}

/// As much of a name or a key as is told: they may be the peer's, and of any length.
fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

impl From<BadJson> for Box<Fault> {
    #[cold]
    fn from(error: BadJson) -> Self {
        Box::new(Fault { what: error.what.into(), path: Vec::new(), offset: Some(error.offset), is_syntax: true })
    }
}

impl From<Malformed> for Box<Fault> {
    #[cold]
    fn from(error: Malformed) -> Self {
        Box::new(Fault { what: error.0.into(), path: Vec::new(), offset: None, is_syntax: true })
    }
}

/// A place as people are told it.
fn told((line, column): (usize, usize)) -> String {
    format!("line {line}, column {column}: ")
}

// === impl BadInput ===

impl BadInput {
    /// The same mistake of a text that is part of a longer one and begins there at `start`: line and column are those of
    /// the longer one. The offset stays that in the part.
    pub fn within(mut self, start: TextPlace) -> BadInput {
        if let Some(place) = self.place.filter(|_| start != TextPlace::START) {
            let TextPlace { line, column } = start.then(place);
            let reason = self.message.strip_prefix(&told(place)).unwrap_or(&self.message);
            self.message = told((line, column)) + reason;
            self.place = Some((line, column));
        }
        self
    }

    /// What is wrong with path and query: all of it at once.
    pub(super) fn of(violations: Vec<FieldViolation>) -> BadInput {
        let mut message = match violations.first() {
            Some(first) if first.field.is_empty() => first.description.clone(),
            Some(first) => format!("{}: {}", first.field, first.description),
            None => String::new(),
        };
        if violations.len() > 1 {
            let _ = write!(message, " (and {} more)", violations.len() - 1);
        }
        BadInput { message, violations, offset: None, place: None }
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadInput {}

// === impl BadWire ===

impl fmt::Display for BadWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.field, self.reason) }
    }
}

impl std::error::Error for BadWire {}
