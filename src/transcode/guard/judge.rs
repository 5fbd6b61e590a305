//! The rules of `buf.validate` in the guard's own walk: whether a message keeps all of them for certain.
//!
//! Each value is judged as it passes, as if it were the only one of its field. Where that is not certain, as when a field
//! that is no list comes twice, or a value breaks a rule, the walk is in doubt, looks at no more rules, and the message is
//! looked at anew (`look.rs`): that finds what is broken, and where, by protobuf's rules of merging.

use super::{Outcome, Walk};
use crate::catalog::{Field, FieldRules, Kind, Label, Message, MessageRules, Presence, is_unset};
use crate::transcode::key_set::{KeySet, Seen};
use crate::wire::{Cursor, Piece};

/// Looks at the values of one message while the guard walks over them.
pub(super) trait Judge<'s, 'w> {
    /// `start`: where the message's fields begin.
    fn enter(table: &'s Message, start: Cursor<'w>) -> Self;

    /// Guards a value, and judges it. How many elements it is of a repeated field. `at`: its tag, and where that stands;
    /// `cursor`: behind the tag.
    fn value(
        &mut self,
        walk: &mut Walk<'s>,
        field: (u16, &'s Field),
        at: (u32, Cursor<'w>),
        cursor: &mut Cursor<'w>,
        depth: u32,
    ) -> Outcome<usize>;

    /// All values have passed; `end`: where they end.
    fn leave(&mut self, walk: &mut Walk<'s>, end: Cursor<'w>);
}

/// Judges nothing, and costs nothing.
pub(super) struct Blind;

/// Judges by the message's rules.
pub(super) struct Strict<'s, 'w> {
    rules: Option<&'s MessageRules>,
    seen: Seen,
    /// The oneofs of which a member has come.
    oneofs: Seen,
    run: Run<'s, 'w>,
}

/// Elements of one list, or entries of one map, that come one after another.
struct Run<'s, 'w> {
    field: Option<(u16, &'s Field)>,
    count: usize,
    start: Cursor<'w>,
}

/// A value by which it equals others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'w> {
    Bits(u64),
    Bytes(&'w [u8]),
}

// === impl Blind ===

impl<'s, 'w> Judge<'s, 'w> for Blind {
    #[inline]
    fn enter(_: &'s Message, _: Cursor<'w>) -> Blind {
        Blind
    }

    #[inline(always)]
    fn value(
        &mut self,
        walk: &mut Walk<'s>,
        (_, field): (u16, &'s Field),
        (tag, _): (u32, Cursor<'w>),
        cursor: &mut Cursor<'w>,
        depth: u32,
    ) -> Outcome<usize> {
        walk.value(field, tag, cursor, depth)
    }

    #[inline]
    fn leave(&mut self, _: &mut Walk<'s>, _: Cursor<'w>) {}
}

// === impl Strict ===

impl<'s, 'w> Judge<'s, 'w> for Strict<'s, 'w> {
    fn enter(table: &'s Message, start: Cursor<'w>) -> Self {
        let run = Run { field: None, count: 0, start };
        Strict { rules: table.rules.as_deref(), seen: Seen::default(), oneofs: Seen::default(), run }
    }

    fn value(
        &mut self,
        walk: &mut Walk<'s>,
        (index, field): (u16, &'s Field),
        (tag, before): (u32, Cursor<'w>),
        cursor: &mut Cursor<'w>,
        depth: u32,
    ) -> Outcome<usize> {
        let Some(rules) = self.rules.filter(|_| !walk.doubt) else {
            return walk.value(field, tag, cursor, depth);
        };
        let content = *cursor;
        let elements = match rules.field(index) {
            Some(rule) => ruled(walk, rule, field, tag, cursor, depth)?,
            None => walk.value(field, tag, cursor, depth)?,
        };
        if field.label != Label::Singular {
            self.count(walk, (index, field), before, elements);
        } else if !self.is_first(index, field) || (!rules.exclusive.is_empty() && sets_nothing(field, tag, content)) {
            walk.doubt = true;
        }
        Ok(elements)
    }

    fn leave(&mut self, walk: &mut Walk<'s>, end: Cursor<'w>) {
        let Some(rules) = self.rules.filter(|_| !walk.doubt) else { return };
        self.end_run(walk, end);
        let exclusive = |members: &[u16]| members.iter().filter(|index| self.seen.contains(**index)).count();
        let keeps = rules.complete(self.seen.first(), |index| self.seen.contains(index))
            && rules.oneofs.iter().all(|rule| self.oneofs.contains(rule.oneof))
            && rules.exclusive.iter().all(|rule| match exclusive(&rule.members) {
                0 => !rule.required,
                count => count == 1,
            });
        walk.doubt |= !keeps;
    }
}

impl<'s, 'w> Strict<'s, 'w> {
    /// Whether neither the field nor another member of its oneof has come before.
    #[inline]
    fn is_first(&mut self, index: u16, field: &Field) -> bool {
        self.seen.insert(index) && field.oneof.is_none_or(|oneof| self.oneofs.insert(oneof))
    }

    #[inline]
    fn count(&mut self, walk: &mut Walk<'s>, (index, field): (u16, &'s Field), before: Cursor<'w>, elements: usize) {
        if self.run.field.is_none_or(|(running, _)| running != index) {
            self.end_run(walk, before);
            self.run = Run { field: Some((index, field)), count: 0, start: before };
            // counted in one run, or not here
            walk.doubt |= !self.seen.insert(index);
        }
        self.run.count += elements;
    }

    fn end_run(&mut self, walk: &mut Walk<'s>, end: Cursor<'w>) {
        let Some((index, field)) = self.run.field.take() else { return };
        if self.run.count == 0 {
            // a packed run of no elements is the same as none
            walk.doubt = true;
            return;
        }
        let Some(size) = self.rules.and_then(|rules| rules.field(index)?.size.as_deref()) else { return };
        let count = self.run.count as u64;
        let min = size.min.as_ref().map_or(0, |(min, _)| *min);
        let fits = count >= min && size.max.as_ref().is_none_or(|(max, _)| count <= *max);
        // of a key that comes twice one entry counts
        let is_set = size.unique.is_some() || (field.label == Label::Map && min > 1);
        walk.doubt |= !fits || (is_set && !self.is_distinct(walk, field, end));
    }

    /// Whether the run has no element, or no key, twice.
    fn is_distinct(&self, walk: &Walk<'s>, field: &Field, end: Cursor<'w>) -> bool {
        let mut keys = KeySet::new();
        let mut cursor = self.run.start;
        let key_kind = field.kind.message().and_then(|id| walk.schema.message(id).entry()).map(|(key, _)| key.kind);
        while cursor.remaining() > end.remaining() {
            let Ok(tag) = cursor.tag() else { break };
            let Ok(piece) = cursor.piece(tag) else { break };
            let mut insert = |kind, piece: &Piece<'w>| Key::of(kind, piece).is_none_or(|key| keys.insert(key));
            let is_new = match key_kind {
                Some(kind) => insert(kind, &last(piece.bytes, 1)),
                None if tag & 7 == field.kind.wire_type() => insert(field.kind, &piece),
                None => each_packed(field.kind, piece.bytes, |piece| insert(field.kind, &piece)),
            };
            if !is_new {
                return false;
            }
        }
        true
    }
}

/// Guards and judges a value of a field that has rules, or something below it that has.
fn ruled<'s, 'w>(
    walk: &mut Walk<'s>,
    rule: &'s FieldRules,
    field: &'s Field,
    tag: u32,
    cursor: &mut Cursor<'w>,
    depth: u32,
) -> Outcome<usize> {
    let mut content = *cursor;
    let elements = match field.kind {
        Kind::Message(id) if rule.value.below && tag & 7 == 2 => {
            walk.message::<Strict<'s, 'w>>(id, &mut Cursor::new(cursor.bytes()?), None, depth + 1)?;
            1
        }
        Kind::Group(id) if rule.value.below && tag & 7 == 3 => {
            walk.message::<Strict<'s, 'w>>(id, cursor, Some(tag >> 3), depth + 1)?;
            1
        }
        _ => walk.value(field, tag, cursor, depth)?,
    };
    let may_be_unset = rule.required && field.label == Label::Singular && field.presence == Presence::Implicit;
    if rule.value.is_empty() && !may_be_unset {
        return Ok(elements);
    }
    let clock = walk.clock;
    let keeps = |piece: Piece<'_>| {
        if may_be_unset && is_unset(field.kind, &piece) {
            return false;
        }
        (rule.value.ignore_zero && field.kind.message().is_none() && rule.value.is_zero(&piece))
            || rule.value.hold(&piece, clock)
    };
    walk.doubt |= if tag & 7 == field.kind.wire_type() {
        !keeps(content.piece(tag)?)
    } else {
        !each_packed(field.kind, content.bytes()?, keeps)
    };
    Ok(elements)
}

/// Whether it is an implicit zero, which comes and is not there.
fn sets_nothing(field: &Field, tag: u32, mut content: Cursor<'_>) -> bool {
    field.presence == Presence::Implicit && content.piece(tag).is_ok_and(|piece| is_unset(field.kind, &piece))
}

/// Whether something is true of all elements of a packed run.
pub(super) fn each_packed<'w>(kind: Kind, run: &'w [u8], mut is_true: impl FnMut(Piece<'w>) -> bool) -> bool {
    let mut cursor = Cursor::new(run);
    while !cursor.is_empty() {
        let Ok(bits) = cursor.packed(kind.wire_type()) else { break };
        if !is_true(Piece { bits, bytes: &[] }) {
            return false;
        }
    }
    true
}

/// The last value of a field; zero or empty if there is none.
fn last(message: &[u8], number: u32) -> Piece<'_> {
    let (mut cursor, mut found) = (Cursor::new(message), Piece::default());
    while let Ok(tag) = cursor.tag() {
        let Ok(piece) = cursor.piece(tag) else { break };
        if tag >> 3 == number {
            found = piece;
        }
    }
    found
}

// === impl Key ===

impl<'w> Key<'w> {
    /// Of a scalar. `None`: it equals nothing, not even itself.
    pub(super) fn of(kind: Kind, piece: &Piece<'w>) -> Option<Key<'w>> {
        let real = |value: f64, bits: u64| match value {
            value if value.is_nan() => None,
            0.0 => Some(Key::Bits(0)),
            _ => Some(Key::Bits(bits)),
        };
        match kind {
            Kind::String | Kind::Bytes => Some(Key::Bytes(piece.bytes)),
            Kind::Double => real(f64::from_bits(piece.bits), piece.bits),
            Kind::Float => real(f32::from_bits(piece.bits as u32).into(), piece.bits),
            Kind::Bool => Some(Key::Bits((piece.bits != 0).into())),
            Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum(_) => Some(Key::Bits(piece.bits & 0xffff_ffff)),
            _ => Some(Key::Bits(piece.bits)),
        }
    }
}
