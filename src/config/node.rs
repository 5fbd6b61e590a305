//! A document as a tree that remembers where each part stands.
//!
//! Why a tree of our own and no `#[derive(Deserialize)]`: serde stops at the first wrong type, while a person who
//! mends a configuration wants all mistakes at once.

/// Where a part of the document starts. Both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub line: u32,
    pub column: u32,
}

/// A part of the document, aliases and merge keys already resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`, without quotes.
    Empty,
    /// Text as written, quotes and escapes undone; numbers and booleans are text too until a key says what it wants.
    Text(Box<str>),
    List(Vec<Node>),
    /// In the order of the document; a key that stands twice is kept twice, to be complained about.
    Table(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub key: Box<str>,
    pub at: Position,
    pub value: Node,
}

// === impl Node ===

impl Node {
    /// Levels of nesting below this part. Recursion is bounded: the reader refuses documents deeper than its limit.
    pub fn height(&self) -> usize {
        match &self.value {
            Value::Empty | Value::Text(_) => 0,
            Value::List(items) => 1 + items.iter().map(Node::height).max().unwrap_or(0),
            Value::Table(entries) => 1 + entries.iter().map(|entry| entry.value.height()).max().unwrap_or(0),
        }
    }

    /// What a copy of this part costs, in bytes, about.
    pub fn weight(&self) -> usize {
        NODE_BYTES
            + match &self.value {
                Value::Empty => 0,
                Value::Text(text) => text.len(),
                Value::List(items) => items.iter().map(Node::weight).sum(),
                Value::Table(entries) => {
                    entries.iter().map(|entry| NODE_BYTES + entry.key.len() + entry.value.weight()).sum()
                }
            }
    }
}

/// What a node costs beside its text.
pub(super) const NODE_BYTES: usize = 64;
