//! Single values that the path and the query bind, sorted so that they can be written message by message.

use std::borrow::Cow;
use std::ops::Range;

use crate::catalog::{Field, Kind, Label, Message, Presence, Schema};
use crate::wire::{close, open, put_varint};

/// One bound value: the way to its field, and its encoding without a tag.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    /// Indices into the fields of each message on the way; never empty.
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
}

// === impl Woven ===

impl<'a> Woven<'a> {
    fn index_of(&self, leaf: &Leaf<'_>) -> Option<u16> {
        leaf.path.get(self.level).copied()
    }

    /// Calls back once for each field of the message that has a leaf at it or below it.
    pub(super) fn indices(&self, mut each: impl FnMut(u16)) {
        self.groups(|index, _| each(index));
    }

    /// The leaves at or below this field.
    pub(super) fn under(&self, index: u16) -> Option<Woven<'a>> {
        let start = self.leaves.iter().position(|leaf| self.index_of(leaf) == Some(index))?;
        let len = self.leaves.iter().skip(start).take_while(|leaf| self.index_of(leaf) == Some(index)).count();
        let leaves = self.leaves.get(start..start + len)?;
        Some(Woven { leaves, level: self.level + 1, payloads: self.payloads })
    }

    /// Whether the field that [`Woven::under`] led to is itself set, rather than fields below it.
    pub(super) fn is_leaf(&self) -> bool {
        self.leaves.first().is_some_and(|leaf| leaf.path.len() == self.level)
    }

    fn groups(&self, mut each: impl FnMut(u16, Woven<'a>)) {
        let one_field = |a: &Leaf<'_>, b: &Leaf<'_>| self.index_of(a) == self.index_of(b);
        for leaves in self.leaves.chunk_by(one_field) {
            if let Some(index) = leaves.first().and_then(|leaf| self.index_of(leaf)) {
                each(index, Woven { leaves, level: self.level + 1, payloads: self.payloads });
            }
        }
    }

    /// Writes the fields that the leaves set, except those for which `done` says yes.
    pub(super) fn emit(&self, schema: &Schema, message: &Message, out: &mut Vec<u8>, done: impl Fn(u16) -> bool) {
        self.groups(|index, under| {
            if !done(index)
                && let Some(field) = message.field(index)
            {
                under.emit_field(schema, field, out);
            }
        });
    }

    /// Writes the field that [`Woven::under`] led to.
    pub(super) fn emit_field(&self, schema: &Schema, field: &Field, out: &mut Vec<u8>) {
        if self.is_leaf() {
            return self.emit_values(field, out);
        }
        let Some(id) = field.kind.message() else { return };
        put_varint(out, field.tag.into());
        if let Kind::Group(_) = field.kind {
            self.emit(schema, schema.message(id), out, |_| false);
            put_varint(out, u64::from(field.tag) + 1);
        } else {
            let at = open(out);
            self.emit(schema, schema.message(id), out, |_| false);
            close(out, at);
        }
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
