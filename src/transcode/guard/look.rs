//! The exact way to judge a message by the rules of `buf.validate`: its values by field, after protobuf's rules of
//! merging, each with the path that leads to it. Taken when the walk is in doubt (`judge.rs`).
//!
//! Costs 32 bytes for each value of a message while that is looked at, and a copy of each message that comes in
//! parts, at each depth.

use std::borrow::Cow;
use std::collections::HashMap;

use super::judge::{Key, each_packed};
use super::{MAX_BROKEN, Outcome, Rule, Stop};
use crate::catalog::{
    Clock, Exclusive, Field, FieldRules, Kind, Label, Message, MessageId, MessageRules, Presence, Said, Schema,
    ValueRules, is_unset, type_number,
};
use crate::status::{PathElement, RuleViolation, Subscript};
use crate::transcode::regroup::{Group, Groups, Parts, Value};
use crate::wire::{Cursor, Piece, unzigzag};

/// Bytes of all paths together after which no more violations are looked for: keys of maps are the peer's own words.
const MAX_PATHS: usize = 64 << 10;

struct Look<'s> {
    schema: &'s Schema,
    clock: Clock,
    found: Vec<RuleViolation>,
    /// Bytes of the paths so far.
    spent: usize,
}

/// The way to a value, kept on the stack.
#[derive(Clone, Copy)]
struct Path<'p> {
    up: Option<&'p Path<'p>>,
    field: &'p Field,
    place: Place<'p>,
}

/// Which one of a field's values.
#[derive(Clone, Copy)]
enum Place<'p> {
    Whole,
    Index(u64),
    /// Of the entry with this key: the types of key and value.
    Key(&'p Piece<'p>, (Kind, Kind)),
}

/// What is said of broken rules that belong to no type.
const REQUIRED: (&str, &str) = ("required", "value is required");
const ONEOF: (&str, &str) = ("required", "exactly one field is required in oneof");

/// The rules that a message breaks. The bytes have been walked: they are well-formed, and nested no deeper than they may.
pub(super) fn broken(schema: &Schema, id: MessageId, wire: &[u8], clock: Clock) -> Outcome<Vec<RuleViolation>> {
    let mut look = Look { schema, clock, found: Vec::new(), spent: 0 };
    look.message(id, wire, None)?;
    Ok(look.found)
}

// === impl Look ===

impl<'s> Look<'s> {
    fn is_full(&self) -> bool {
        self.found.len() >= MAX_BROKEN || self.spent >= MAX_PATHS
    }

    fn message(&mut self, id: MessageId, wire: &[u8], up: Option<&Path<'_>>) -> Outcome<()> {
        let table = self.schema.message(id);
        let Some(rules) = table.rules.as_deref() else { return Ok(()) };
        let groups = Groups::of(self.schema, table, Parts::Whole(wire))?;
        self.oneofs(
            table,
            rules,
            &|index| table.field(index).is_some_and(|field| is_set(field, groups.find(index))),
            up,
        );
        for (index, rule) in rules.fields() {
            if self.is_full() {
                return Ok(());
            }
            let Some(field) = table.field(index) else { continue };
            let path = Path { up, field, place: Place::Whole };
            self.field(rule, groups.find(index), &path)?;
        }
        Ok(())
    }

    fn oneofs(&mut self, table: &Message, rules: &MessageRules, is_set: &dyn Fn(u16) -> bool, up: Option<&Path<'_>>) {
        for rule in &rules.exclusive {
            let count = rule.members.iter().filter(|index| is_set(**index)).count();
            if let Some(message) = too_many_or_few(rule, count) {
                self.say("message.oneof", &message, &[], None, up, false);
            }
        }
        for rule in &rules.oneofs {
            let mut members = (0..).zip(&table.fields).filter(|(_, field)| field.oneof == Some(rule.oneof));
            if !members.any(|(index, _)| is_set(index)) {
                self.say(ONEOF.0, ONEOF.1, &[], Some(&rule.name), up, false);
            }
        }
    }

    fn field(&mut self, rule: &FieldRules, group: Option<Group<'_, '_>>, path: &Path<'_>) -> Outcome<()> {
        let is_set = is_set(path.field, group);
        if rule.required && !is_set {
            let rule = [PathElement { number: 25, name: "required".into(), kind: 8, ..PathElement::default() }];
            self.say(REQUIRED.0, REQUIRED.1, &rule, None, Some(path), false);
            return Ok(());
        }
        if rule.ignore_unset && !is_set {
            return Ok(());
        }
        let values = group.map_or(&[][..], |group| group.values);
        match path.field.label {
            Label::Singular => self.value(&rule.value, path.field.kind, values, path, false),
            Label::Repeated => self.list(rule, values, path),
            Label::Map => self.map(rule, values, path),
        }
    }

    /// One value, which may have come several times: the last of a scalar counts, those of a message are one.
    fn value(
        &mut self,
        rules: &ValueRules,
        kind: Kind,
        values: &[Value<'_>],
        path: &Path<'_>,
        for_key: bool,
    ) -> Outcome<()> {
        let Some(id) = kind.message() else {
            let piece = values.last().map_or_else(|| rules.unset(), |value| value.piece);
            if rules.ignore_zero && rules.is_zero(&piece) {
                return Ok(());
            }
            return self.tests(rules, &piece, path, for_key);
        };
        let content = match values {
            [] => Cow::Borrowed(&[][..]),
            [only] => Cow::Borrowed(only.piece.bytes),
            parts => Cow::Owned(parts.iter().map(|part| part.piece.bytes).collect::<Vec<_>>().concat()),
        };
        if rules.ignore_zero && self.is_empty(id, &content) {
            return Ok(());
        }
        self.tests(rules, &Piece { bits: 0, bytes: &content }, path, for_key)?;
        if rules.below { self.message(id, &content, Some(path)) } else { Ok(()) }
    }

    fn tests(&mut self, rules: &ValueRules, piece: &Piece<'_>, path: &Path<'_>, for_key: bool) -> Outcome<()> {
        match rules.broken(piece, self.clock) {
            Ok(broken) => {
                broken.iter().for_each(|said| self.say_rule(said, path, for_key));
                Ok(())
            }
            Err(inapplicable) => {
                let at = RuleViolation { field: elements(Some(path)).0, ..RuleViolation::default() };
                let stop = Stop::new(Rule::RuleFailure, inapplicable.0);
                Err(stop.map(|fault| fault.within(at.field_path())))
            }
        }
    }

    fn list(&mut self, rule: &FieldRules, came: &[Value<'_>], path: &Path<'_>) -> Outcome<()> {
        let kind = path.field.kind;
        let mut values: Vec<Value<'_>> = Vec::with_capacity(came.len());
        for value in came {
            if u32::from(value.wire_type) == kind.wire_type() {
                values.push(*value);
            } else {
                each_packed(kind, value.piece.bytes, |piece| {
                    values.push(value.with(piece));
                    true
                });
            }
        }
        self.size(rule, values.len(), path);
        if let Some(said) = rule.size.as_ref().and_then(|size| size.unique.as_ref()) {
            let mut seen = std::collections::HashSet::with_capacity(values.len());
            let mut keys = values.iter().filter_map(|value| Key::of(kind, &value.piece));
            if !keys.all(|key| seen.insert(key)) {
                self.say_rule(said, path, false);
            }
        }
        if rule.value.is_empty() && !rule.value.below {
            return Ok(());
        }
        for (index, value) in (0..).zip(&values) {
            if self.is_full() {
                return Ok(());
            }
            let path = Path { place: Place::Index(index), ..*path };
            self.value(&rule.value, kind, std::slice::from_ref(value), &path, false)?;
        }
        Ok(())
    }

    fn map(&mut self, rule: &FieldRules, came: &[Value<'_>], path: &Path<'_>) -> Outcome<()> {
        let Some(entry) = path.field.kind.message().map(|id| self.schema.message(id)) else { return Ok(()) };
        let Some((key, value)) = entry.entry() else { return Ok(()) };
        // of a key that comes twice the last entry counts
        let mut entries: Vec<Groups<'_>> = Vec::with_capacity(came.len());
        let mut places: HashMap<Option<Key<'_>>, usize> = HashMap::with_capacity(came.len());
        for value in came {
            let groups = Groups::of(self.schema, entry, Parts::Whole(value.piece.bytes))?;
            let place = *places.entry(Key::of(key.kind, &last(&groups, 0))).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(earlier) => *earlier = groups,
                None => entries.push(groups),
            }
        }
        self.size(rule, entries.len(), path);
        let Some(rules) = entry.rules.as_deref() else { return Ok(()) };
        for groups in &entries {
            if self.is_full() {
                return Ok(());
            }
            let name = last(groups, 0);
            let path = Path { place: Place::Key(&name, (key.kind, value.kind)), ..*path };
            for (index, kind) in [(0, key.kind), (1, value.kind)] {
                let Some(rule) = rules.field(index) else { continue };
                let group = groups.find(index);
                let values = group.map_or(&[][..], |group| group.values);
                self.value(&rule.value, kind, values, &path, index == 0)?;
            }
        }
        Ok(())
    }

    fn size(&mut self, rule: &FieldRules, count: usize, path: &Path<'_>) {
        let Some(size) = &rule.size else { return };
        let count = count as u64;
        let too_few = size.min.as_ref().filter(|(min, _)| count < *min);
        let too_many = size.max.as_ref().filter(|(max, _)| count > *max);
        for (_, said) in too_few.into_iter().chain(too_many) {
            self.say_rule(said, path, false);
        }
    }

    /// Whether a message is as if nothing had been set in it.
    fn is_empty(&self, id: MessageId, wire: &[u8]) -> bool {
        let (table, mut cursor) = (self.schema.message(id), Cursor::new(wire));
        while let Ok(tag) = cursor.tag() {
            let Ok(piece) = cursor.piece(tag) else { return false };
            let is_nothing = table.field_by_number(tag >> 3).is_some_and(|(_, field)| match field.label {
                Label::Singular => field.presence == Presence::Implicit && is_unset(field.kind, &piece),
                _ => field.kind.can_be_packed() && tag & 7 == 2 && piece.bytes.is_empty(),
            });
            if !is_nothing {
                return false;
            }
        }
        true
    }

    fn say_rule(&mut self, said: &Said, path: &Path<'_>, for_key: bool) {
        self.say(&said.id, &said.message, &said.rule, None, Some(path), for_key);
    }

    /// `oneof`: the name of one, which is the path's last step.
    fn say(
        &mut self,
        id: &str,
        message: &str,
        rule: &[PathElement],
        oneof: Option<&str>,
        path: Option<&Path<'_>>,
        for_key: bool,
    ) {
        if self.is_full() {
            return;
        }
        let (mut field, bytes) = elements(path);
        field.extend(oneof.map(|name| PathElement { name: name.into(), ..PathElement::default() }));
        self.spent += bytes;
        let (rule_id, message) = (id.into(), message.into());
        self.found.push(RuleViolation { field, rule: rule.into(), rule_id, message, for_key });
    }
}

fn too_many_or_few(rule: &Exclusive, count: usize) -> Option<String> {
    match count {
        0 if rule.required => Some(format!("one of {} must be set", rule.names)),
        0 | 1 => None,
        _ => Some(format!("only one of {} can be set", rule.names)),
    }
}

/// Whether a field counts as set.
fn is_set(field: &Field, group: Option<Group<'_, '_>>) -> bool {
    let Some(last) = group.and_then(|group| group.values.last()) else { return false };
    field.label != Label::Singular || field.presence != Presence::Implicit || !is_unset(field.kind, &last.piece)
}

/// The last value of a field of an entry.
fn last<'w>(groups: &Groups<'w>, index: u16) -> Piece<'w> {
    groups.find(index).and_then(|group| group.values.last()).map(|value| value.piece).unwrap_or_default()
}

/// A path as violations have it, outermost step first, and how many bytes of names and keys that are.
fn elements(path: Option<&Path<'_>>) -> (Vec<PathElement>, usize) {
    let (mut found, mut bytes, mut at) = (Vec::new(), 0, path);
    while let Some(step) = at {
        let element = step.element();
        let key = match &element.subscript {
            Some(Subscript::String(key)) => key.len(),
            _ => 0,
        };
        bytes += element.name.len() + key;
        found.push(element);
        at = step.up;
    }
    found.reverse();
    (found, bytes)
}

// === impl Path ===

impl Path<'_> {
    fn element(&self) -> PathElement {
        let (entry, subscript) = match self.place {
            Place::Whole => (None, None),
            Place::Index(index) => (None, Some(Subscript::Index(index))),
            Place::Key(key, (kind, value)) => {
                (Some((type_number(kind), type_number(value))), Some(subscript(kind, key)))
            }
        };
        let (number, name) = (self.field.number, self.field.name().into());
        PathElement { number, name, kind: type_number(self.field.kind), entry, subscript }
    }
}

fn subscript(kind: Kind, key: &Piece<'_>) -> Subscript {
    match kind {
        Kind::String => Subscript::String(String::from_utf8_lossy(key.bytes).into_owned()),
        Kind::Bool => Subscript::Bool(key.bits != 0),
        Kind::Int32 | Kind::Sfixed32 => Subscript::Int((key.bits as i32).into()),
        Kind::Sint32 => Subscript::Int((unzigzag(key.bits & 0xffff_ffff) as i32).into()),
        Kind::Int64 | Kind::Sfixed64 => Subscript::Int(key.bits.cast_signed()),
        Kind::Sint64 => Subscript::Int(unzigzag(key.bits)),
        Kind::Uint32 | Kind::Fixed32 => Subscript::Uint(key.bits & 0xffff_ffff),
        _ => Subscript::Uint(key.bits),
    }
}
