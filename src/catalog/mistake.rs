//! One mistake in what the user wrote: where it is, what is wrong, what would be right.

use std::fmt;
use std::sync::Arc;

/// A place in a source file. Lines and columns count from 1; 0 means "not known" (a descriptor set without source info).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

/// A mistake in a catalog or in the configuration. Loading collects all of them and fails once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Option<Place>,
    /// The configuration key that it is about, as in `listeners[0].tls.certificate`.
    pub key: Option<String>,
    pub text: String,
    /// What the user probably wants, as in `did you mean "listeners"?`.
    pub hint: Option<String>,
}

// === impl Place ===

impl Place {
    pub fn new(file: impl Into<Arc<str>>, line: u32, column: u32) -> Place {
        Place { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

// === impl Mistake ===

impl Mistake {
    pub fn new(text: impl Into<String>) -> Mistake {
        Mistake { place: None, key: None, text: text.into(), hint: None }
    }

    pub fn at(mut self, place: Place) -> Mistake {
        self.place = Some(place);
        self
    }

    pub fn key(mut self, key: impl Into<String>) -> Mistake {
        self.key = Some(key.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Mistake {
        self.hint = Some(hint.into());
        self
    }
}

/// `file:line:column: key: text (hint)`, the form that editors jump to.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
