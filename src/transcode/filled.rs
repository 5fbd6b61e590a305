//! What path and query have bound, by names: for those who ask before they run.

use super::Bound;
use crate::catalog::{Label, MessageId, Schema};

/// One value that the path or the query binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The variable's path, or the parameter's name as the caller wrote it.
    pub name: String,
    /// The field that it fills, as a path of proto names; elements of lists and maps are not told apart.
    pub field: String,
    /// It is a variable, not a parameter.
    pub from_path: bool,
}

// === impl Bound ===

impl Bound<'_> {
    /// All values that are bound, in the order of their fields. `schema` and `input` are those that they were bound by.
    pub fn filled(&self, schema: &Schema, input: MessageId) -> Vec<Filled> {
        let filled = self.leaves.iter().map(|leaf| Filled {
            name: leaf.name.to_string(),
            field: names(schema, input, &leaf.path),
            from_path: leaf.from_path,
        });
        filled.collect()
    }
}

/// A leaf's path in proto names, without what stands in it for elements and keys.
fn names(schema: &Schema, input: MessageId, path: &[u16]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut message = Some(schema.message(input));
    let mut steps = path.iter();
    while let Some(step) = steps.next() {
        let Some(field) = message.and_then(|message| message.field(*step)) else { break };
        names.push(field.name());
        message = field.kind.message().map(|id| schema.message(id));
        if field.label == Label::Map {
            // of an entry the value goes on
            message = message
                .and_then(|entry| entry.entry())
                .and_then(|(_, value)| value.kind.message())
                .map(|id| schema.message(id));
        }
        if field.label != Label::Singular {
            steps.next();
        }
    }
    names.join(".")
}
