//! Text to tree: the only file that names the YAML crate.
//!
//! It reads the parser's events rather than deserializing, for three things that serde's model loses: every key of a
//! table that has it twice, text as it was written (`1.10` is not 1.1), and going on after a value of the wrong type.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::node::{Entry, NODE_BYTES, Node, Position, Value};
use crate::catalog::{Mistake, Place};

/// Largest file that is read, in bytes. A configuration of a thousand catalogs stays below 1 MiB.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Largest tree, in bytes, aliases expanded: what stops an alias bomb.
const MAX_TREE_BYTES: usize = 64 << 20;
/// Deepest nesting. Our own keys need eight levels.
const MAX_DEPTH: usize = 64;

/// Reads a file as text. The name in mistakes is the path as the user gave it.
pub(super) fn text_of(path: &Path) -> Result<String, Mistake> {
    let place = || Place::new(path.display().to_string(), 0, 0);
    let unreadable = |error: std::io::Error| Mistake::new(format!("cannot be read: {error}")).at(place());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE_BYTES + 1), &mut bytes);
    if read.map_err(unreadable)? as u64 > MAX_FILE_BYTES {
        return Err(Mistake::new(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)).at(place()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Mistake::new("is not UTF-8 text from here on").at(Place::new(
            path.display().to_string(),
            narrow(line),
            narrow(column),
        ))
    })
}

/// Parses one YAML document. An empty one is an empty table. Stops at the first mistake of syntax: what follows it
/// cannot be trusted.
pub(super) fn tree_of(text: &str, file: &Arc<str>) -> Result<Node, Mistake> {
    let mut builder = Builder { file, stack: Vec::new(), anchors: HashMap::new(), weight: 0, root: None };
    for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let (event, span) = event.map_err(|error| builder.syntax(&error))?;
        builder.event(event, position(&span))?;
    }
    Ok(match builder.root {
        Some(Node { value: Value::Empty, at }) => Node { at, value: Value::Table(Vec::new()) },
        Some(root) => root,
        None => Node { at: Position { line: 1, column: 1 }, value: Value::Table(Vec::new()) },
    })
}

struct Builder<'f> {
    file: &'f Arc<str>,
    stack: Vec<Frame>,
    /// Finished parts that an alias may name.
    anchors: HashMap<usize, Node>,
    /// Bytes of all nodes so far, copies included.
    weight: usize,
    root: Option<Node>,
}

/// A list or table that is still open.
struct Frame {
    at: Position,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Table { entries: Vec<Entry>, key: Option<(Box<str>, Position)> },
}

// === impl Builder ===

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Mistake> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.mistake(at, "a second document starts here").hint("one file holds one document"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.known_tag(tag.as_deref(), at)?;
                self.node(Node { at, value: scalar(&text, style) }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(Open::List(Vec::new()), anchor, tag.as_deref(), at),
            Event::MappingStart(_, anchor, tag) => {
                self.open(Open::Table { entries: Vec::new(), key: None }, anchor, tag.as_deref(), at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    /// Tags of YAML's own types say nothing that the keys do not know better; others mean something that we don't do.
    fn known_tag(&self, tag: Option<&Tag>, at: Position) -> Result<(), Mistake> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() && tag.suffix() != "" => {
                Err(self.mistake(at, format!("the tag `{}` means nothing here", tag.original())).hint("remove it"))
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, anchor: usize, tag: Option<&Tag>, at: Position) -> Result<(), Mistake> {
        self.known_tag(tag, at)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.mistake(at, format!("is nested more than {MAX_DEPTH} levels deep")));
        }
        self.stack.push(Frame { at, anchor, open });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Mistake> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.open {
            Open::List(items) => Value::List(items),
            Open::Table { entries, .. } => Value::Table(self.merged(entries)?),
        };
        self.node(Node { at: frame.at, value }, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Mistake> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.mistake(at, "an alias stands within what it names"));
        };
        if self.stack.len() + node.height() > MAX_DEPTH {
            return Err(self.mistake(at, format!("the alias nests more than {MAX_DEPTH} levels deep")));
        }
        self.weight = self.weight.saturating_add(node.weight());
        self.within_budget(at)?;
        let node = node.clone();
        self.place(node, at)
    }

    /// A finished part: kept if it has an anchor, then put where it belongs.
    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        self.weight = self.weight.saturating_add(match &node.value {
            Value::Text(text) => NODE_BYTES + text.len(),
            _ => NODE_BYTES,
        });
        if anchor != 0 {
            self.weight = self.weight.saturating_add(node.weight());
        }
        self.within_budget(node.at)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let at = node.at;
        self.place(node, at)
    }

    fn place(&mut self, node: Node, at: Position) -> Result<(), Mistake> {
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Table { entries, key }) => match (key.take(), node.value) {
                (Some((key, key_at)), value) => {
                    entries.push(Entry { key, at: key_at, value: Node { at: node.at, value } });
                }
                (None, Value::Text(text)) => *key = Some((text, at)),
                (None, Value::Empty) => *key = Some(("".into(), at)),
                (None, _) => return Err(self.mistake(at, "a list or table cannot be a key")),
            },
        }
        Ok(())
    }

    /// Resolves merge keys (`<<: *defaults`): their keys hold where the table does not say otherwise.
    fn merged(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, Mistake> {
        let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| &*entry.key == "<<");
        for merge in merges {
            let sources = match merge.value.value {
                Value::List(items) => items,
                value => vec![Node { at: merge.value.at, value }],
            };
            for source in sources {
                let Value::Table(entries) = source.value else {
                    return Err(self
                        .mistake(merge.at, "`<<` merges tables, and this is none")
                        .hint("as in `<<: *name`"));
                };
                let known: std::collections::HashSet<Box<str>> = own.iter().map(|entry| entry.key.clone()).collect();
                own.extend(entries.into_iter().filter(|entry| !known.contains(&entry.key)));
            }
        }
        Ok(own)
    }

    fn within_budget(&self, at: Position) -> Result<(), Mistake> {
        if self.weight <= MAX_TREE_BYTES {
            return Ok(());
        }
        Err(self.mistake(at, "the document grows too large here, with its aliases expanded"))
    }

    fn syntax(&self, error: &ScanError) -> Mistake {
        let at = Position { line: narrow(error.marker().line()), column: narrow(error.marker().col() + 1) };
        let mistake = self.mistake(at, format!("YAML: {}", error.info()));
        match error.info().contains("tab") {
            true => mistake.hint("indent with spaces"),
            false => mistake,
        }
    }

    fn mistake(&self, at: Position, text: impl Into<String>) -> Mistake {
        Mistake::new(text).at(Place::new(Arc::clone(self.file), at.line, at.column))
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Empty,
        _ => Value::Text(text.into()),
    }
}

fn position(span: &Span) -> Position {
    Position { line: narrow(span.start.line()), column: narrow(span.start.col() + 1) }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Node, Mistake> {
        tree_of(text, &"t.yaml".into())
    }

    fn complaint(text: &str) -> String {
        tree(text).expect_err("is refused").to_string()
    }

    fn entries(node: &Node) -> Vec<(&str, u32, u32)> {
        match &node.value {
            Value::Table(entries) => entries.iter().map(|e| (&*e.key, e.value.at.line, e.value.at.column)).collect(),
            other => panic!("not a table: {other:?}"),
        }
    }

    #[test]
    fn keys_values_and_places_are_kept_as_written() {
        let root = tree("a: 1.10\nb: 'no'\na: [x]\n").expect("parses");
        assert_eq!(entries(&root), [("a", 1, 4), ("b", 2, 4), ("a", 3, 4)], "a key that stands twice is kept twice");
        let Value::Table(entries) = &root.value else { panic!() };
        assert_eq!(entries[0].value.value, Value::Text("1.10".into()));
    }

    #[test]
    fn an_empty_document_is_an_empty_table() {
        for text in ["", "# only a comment\n", "---\n", "~"] {
            assert_eq!(tree(text).expect(text).value, Value::Table(vec![]), "{text:?}");
        }
    }

    #[test]
    fn a_mistake_of_syntax_has_its_place() {
        assert!(complaint("a: [1, 2\nb: 3\n").starts_with("t.yaml:2:"), "{}", complaint("a: [1, 2\nb: 3\n"));
        assert!(complaint("a:\n\t- b\n").starts_with("t.yaml:2:"), "{}", complaint("a:\n\t- b\n"));
        assert!(complaint("a: 1\n--- \nb: 2\n").contains("second document"));
        assert!(complaint("a: *nobody\n").starts_with("t.yaml:1:4"), "{}", complaint("a: *nobody\n"));
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        let root = tree("base: &b {x: 1, y: 2}\ncopy: *b\nmore:\n  <<: *b\n  y: 3\n").expect("parses");
        let Value::Table(top) = &root.value else { panic!() };
        assert_eq!(top[0].value, top[1].value);
        assert_eq!(entries(&top[2].value), [("y", 5, 6), ("x", 1, 14)]);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", ")));
        }
        assert!(complaint(&text).contains("too large"), "{}", complaint(&text));
        let deep: String = (1..200).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
        assert!(complaint(&format!("a0: &a0 [x]\n{deep}")).contains("levels deep"));
        assert!(complaint("a: &a [*a]\n").contains("alias"), "{}", complaint("a: &a [*a]\n"));
    }

    #[test]
    fn huge_nesting_is_refused() {
        assert!(!complaint(&"[".repeat(100_000)).is_empty());
        assert!(!complaint(&"{a: ".repeat(100_000)).is_empty());
        assert!(!complaint(&"- ".repeat(100_000)).is_empty());
        assert!(complaint(&format!("{}{}", "[".repeat(70), "]".repeat(70))).contains("levels deep"));
    }

    #[test]
    fn tags_and_odd_keys_are_refused() {
        assert!(complaint("a: !secret x\n").contains("!secret"), "{}", complaint("a: !secret x\n"));
        assert!(complaint("? [a]\n: b\n").contains("cannot be a key"));
        assert!(tree("a: !!str 5\n").is_ok());
    }
}
