//! Single values that the path and the query bind, sorted so that they can be written message by message.

use std::borrow::Cow;
use std::ops::Range;

use super::fault::Outcome;
use super::json_read::complete;
use crate::catalog::{Field, Kind, Label, Message, Presence, Schema};
use crate::wire::{close, open, put_varint};

/// One bound value: the way to its field, and its encoding without a tag.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    /// Indices into the fields of each message on the way; never empty. What follows on the index of a repeated field is the
    /// place of an element, and what follows on that of a map is the place of its key in [`Woven::keys`].
    pub(super) path: Cow<'a, [u16]>,
    pub(super) payload: Range<usize>,
    /// As the caller wrote it: the variable's path, or the parameter's name.
    pub(super) name: Cow<'a, str>,
    pub(super) from_path: bool,
}

/// The leaves below one message: all share the path down to it. Sorted by path, values of one field in the order in
/// which they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Woven<'a> {
    pub(super) leaves: &'a [Leaf<'a>],
    /// How many steps lead down to the message.
    pub(super) level: usize,
    /// What the leaves' payload ranges count in.
    pub(super) payloads: &'a [u8],
    /// The keys of map entries, encoded with their tags: ranges of the payloads.
    pub(super) keys: &'a [Range<usize>],
}

// === impl Leaf ===

impl Leaf<'_> {
    /// The same, of its own.
    pub(super) fn into_owned(self) -> Leaf<'static> {
        let Leaf { path, payload, name, from_path } = self;
        Leaf { path: path.into_owned().into(), payload, name: name.into_owned().into(), from_path }
    }
}

// === impl Woven ===

impl<'a> Woven<'a> {
    fn index_of(&self, leaf: &Leaf<'_>) -> Option<u16> {
        leaf.path.get(self.level).copied()
    }

    /// The leaves at or below this field.
    pub(super) fn under(&self, index: u16) -> Option<Woven<'a>> {
        let start = self.leaves.iter().position(|leaf| self.index_of(leaf) == Some(index))?;
        let len = self.leaves.iter().skip(start).take_while(|leaf| self.index_of(leaf) == Some(index)).count();
        let leaves = self.leaves.get(start..start + len)?;
        Some(Woven { leaves, level: self.level + 1, ..*self })
    }

    /// Whether the field that [`Woven::under`] led to is itself set, rather than fields below it.
    pub(super) fn is_leaf(&self) -> bool {
        self.leaves.first().is_some_and(|leaf| leaf.path.len() == self.level)
    }

    /// The fields of the message that have a leaf at them or below them, each once, with what leads on from there. Of a
    /// repeated field or a map: its elements.
    pub(super) fn groups(&self) -> impl Iterator<Item = (u16, Woven<'a>)> {
        let woven = *self;
        let index_of = move |leaf: &Leaf<'_>| leaf.path.get(woven.level).copied();
        self.leaves.chunk_by(move |a, b| index_of(a) == index_of(b)).filter_map(move |leaves| {
            let index = leaves.first().and_then(index_of)?;
            Some((index, Woven { leaves, level: woven.level + 1, ..woven }))
        })
    }

    /// Writes the fields that the leaves set, except those for which `done` says yes. Fails if a message below lacks a
    /// field that it must have.
    pub(super) fn emit(
        &self,
        schema: &Schema,
        message: &Message,
        out: &mut Vec<u8>,
        done: impl Fn(u16) -> bool,
    ) -> Outcome<()> {
        for (index, under) in self.groups().filter(|(index, _)| !done(*index)) {
            if let Some(field) = message.field(index) {
                under.emit_field(schema, field, out).map_err(|fault| fault.within(field.name()))?;
            }
        }
        Ok(())
    }

    /// Writes the field that [`Woven::under`] led to.
    pub(super) fn emit_field(&self, schema: &Schema, field: &Field, out: &mut Vec<u8>) -> Outcome<()> {
        match field.label {
            // a list that is packed has nothing but values, in the order of their places
            _ if self.is_leaf() || field.packed => self.emit_values(field, out),
            Label::Singular => self.emit_message(schema, field, out)?,
            Label::Repeated => {
                for (at, element) in self.groups() {
                    let written = element.emit_one(schema, field, out);
                    written.map_err(|fault| fault.element(usize::from(at)))?;
                }
            }
            Label::Map => {
                for (at, entry) in self.groups() {
                    entry.emit_entry(schema, field, at, out)?;
                }
            }
        }
        Ok(())
    }

    fn emit_one(&self, schema: &Schema, field: &Field, out: &mut Vec<u8>) -> Outcome<()> {
        if self.is_leaf() {
            self.emit_values(field, out);
            return Ok(());
        }
        self.emit_message(schema, field, out)
    }

    /// Writes a message that is bound in part.
    fn emit_message(&self, schema: &Schema, field: &Field, out: &mut Vec<u8>) -> Outcome<()> {
        let Some(id) = field.kind.message() else { return Ok(()) };
        let message = schema.message(id);
        complete(message, |index| self.under(index).is_some())?;
        put_varint(out, field.tag.into());
        if let Kind::Group(_) = field.kind {
            self.emit(schema, message, out, |_| false)?;
            put_varint(out, u64::from(field.tag) + 1);
        } else {
            let at = open(out);
            self.emit(schema, message, out, |_| false)?;
            close(out, at);
        }
        Ok(())
    }

    /// Writes the entry of a map whose key is the one with this number.
    fn emit_entry(&self, schema: &Schema, field: &Field, key: u16, out: &mut Vec<u8>) -> Outcome<()> {
        let entry = field.kind.message().and_then(|id| schema.message(id).entry());
        let Some((_, value)) = entry else { return Ok(()) };
        put_varint(out, field.tag.into());
        let at = open(out);
        let key = self.keys.get(usize::from(key)).and_then(|key| self.payloads.get(key.clone()));
        out.extend_from_slice(key.unwrap_or_default());
        self.emit_one(schema, value, out)?;
        close(out, at);
        Ok(())
    }

    fn emit_values(&self, field: &Field, out: &mut Vec<u8>) {
        let payloads = self.leaves.iter().map(|leaf| self.payloads.get(leaf.payload.clone()).unwrap_or_default());
        if field.packed {
            put_varint(out, field.tag.into());
            let at = open(out);
            payloads.for_each(|payload| out.extend_from_slice(payload));
            close(out, at);
            return;
        }
        let elide = field.label == Label::Singular && field.presence == Presence::Implicit;
        // A zero scalar, an empty string: nothing but zero bytes, the length of a string included.
        for payload in payloads.filter(|payload| !(elide && payload.iter().all(|byte| *byte == 0))) {
            put_varint(out, field.tag.into());
            out.extend_from_slice(payload);
        }
    }
}
