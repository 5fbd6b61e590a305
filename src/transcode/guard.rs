//! The schema guard: whether bytes are a message of their type, by the tables, without making anything of them.
//!
//! One walk over the bytes. A message that is in order costs no allocation, but for counts of repeated fields that come
//! in turns while their number is limited; the path of what is wrong is found by looking once more.

mod counts;
mod judge;
mod look;
mod missing;
mod place;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;

use std::fmt;

use self::counts::Counts;
use self::judge::{Blind, Judge, Strict};
use super::MAX_DEPTH;
use super::fault::Fault;
use super::key_set::Seen;
use super::regroup::Parts;
use crate::catalog::{
    CelFailure, Clock, EnumId, Field, Kind, Known, Label, Message, MessageId, MethodSettings, Schema, UnknownNumbers,
};
use crate::status::RuleViolation;
use crate::wire::{Cursor, Malformed};

/// Checks an encoded message of a type of `schema` (protobuf encoding guide): wire form, wire types, UTF-8 of strings that
/// must be UTF-8, depth, closed enums, required fields, and the limits of `options`.
///
/// Legal and passed: repeated scalars packed or not, fields in any order, singular fields and members of a oneof more than
/// once (the last one counts, messages are merged). The content of a `google.protobuf.Any` is bytes here, as it is to
/// every reader that does not ask for it: its type may stand in another part of a message that comes in parts. `message` has
/// to be an id of this schema; one of another may panic.
///
/// A message in order costs no allocation, but for counts of repeated fields in turns while their number is limited; and
/// one of n bytes in which a part of a message lacks a required field at most 16 n bytes and 16 KiB (`tests/allocation.rs`).
///
/// Errors: the first thing that is wrong, and where.
pub fn guard(schema: &Schema, message: MessageId, wire: &[u8], options: &GuardOptions) -> Result<Guarded, Violation> {
    guard_at(schema, message, wire, options, Clock::System)
}

/// [`guard()`] with a clock of one's own for the rules that have to do with now.
pub fn guard_at(
    schema: &Schema,
    message: MessageId,
    wire: &[u8],
    options: &GuardOptions,
    clock: Clock,
) -> Result<Guarded, Violation> {
    let rules = schema.message(message).rules.as_deref().filter(|_| options.rules);
    if let Some(why) = rules.and_then(|rules| rules.broken.as_deref()) {
        return Err(Stop::new(Rule::BrokenRules, why).violation());
    }
    let judged = match rules {
        None => walk::<Blind>(schema, message, wire, options, clock)
            .map(|walk| Guarded { unknown_fields: walk.unknown_fields, broken: Vec::new() }),
        Some(_) => walk::<Strict<'_, '_>>(schema, message, wire, options, clock).and_then(|walk| {
            let broken = if walk.doubt { look::broken(schema, message, wire, clock)? } else { Vec::new() };
            Ok(Guarded { unknown_fields: walk.unknown_fields, broken })
        }),
    };
    let mut guarded = judged.map_err(|stop| stop.violation())?;
    if options.rules && guarded.broken.len() < MAX_BROKEN {
        guarded.broken.extend(expressions(schema, message, wire)?);
        guarded.broken.truncate(MAX_BROKEN);
    }
    Ok(guarded)
}

/// The rules that are CEL, and broken.
fn expressions(schema: &Schema, message: MessageId, wire: &[u8]) -> Result<Vec<RuleViolation>, Violation> {
    let Some(cel) = schema.cel.as_ref().filter(|cel| cel.covers(message)) else { return Ok(Vec::new()) };
    cel.evaluate(message, wire).map_err(|failure| {
        let rule = match failure {
            CelFailure::NotCompiled(_) => Rule::BrokenRules,
            CelFailure::RunTime(_) | CelFailure::TooLarge { .. } => Rule::RuleFailure,
        };
        Violation { rule, field: String::new(), description: failure.to_string() }
    })
}

fn walk<'s, 'w, J: Judge<'s, 'w>>(
    schema: &'s Schema,
    message: MessageId,
    wire: &'w [u8],
    options: &GuardOptions,
    clock: Clock,
) -> Outcome<Walk<'s>> {
    let mut walk = Walk::new(schema, options, true, clock);
    let mut walked = walk.message::<J>(message, &mut Cursor::new(wire), None, 0);
    if walked.as_ref().is_err_and(|stop| stop.rule == Rule::Required) {
        // it may stand in another part of a message that comes in parts
        walk = Walk::new(schema, options, false, clock);
        walked = walk.message::<J>(message, &mut Cursor::new(wire), None, 0);
        walked = walked.and_then(|()| missing::check(schema, message, Parts::Whole(wire)));
    }
    walked.map(|()| walk)
}

/// What the guard is asked to look for beside what is always wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardOptions {
    /// What to do with field numbers that the message does not have.
    pub unknown: UnknownNumbers,
    /// Elements of one repeated field, entries of one map; 0: no limit. Those of one message, not of the parts of it.
    pub max_repeated: usize,
    /// Bytes of one string, keys of maps included; 0: no limit.
    pub max_string: usize,
    /// Bytes of one `bytes` field; 0: no limit.
    pub max_bytes: usize,
    /// How deep messages may nest, the outermost not counted, entries of maps and unknown groups counted; at most
    /// [`MAX_DEPTH`], and larger numbers mean that.
    pub max_depth: u32,
    /// Whether the rules of `buf.validate` are checked as well ([`Guarded::broken`]): in the same walk, without allocating
    /// for a message that keeps them and has its fields in one piece each, but for a list that must not hold anything
    /// twice, and has more than eight elements. Any other message is taken apart to be judged by protobuf's rules of
    /// merging, some 40 bytes for each value.
    pub rules: bool,
}

/// What is to be told of a message that is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Fields (not: field numbers) that the schema does not have, at any depth; those in an unknown group are one.
    pub unknown_fields: u64,
    /// The rules of `buf.validate` that the message breaks, if they were asked for; empty: none. At most [`MAX_BROKEN`], and
    /// fewer if their paths are long: no more are looked for then.
    pub broken: Vec<RuleViolation>,
}

/// After so many broken rules nobody reads on.
pub const MAX_BROKEN: usize = 100;

/// The first thing that is wrong with a message. Its texts hold names and numbers, and of the peer's own words no more
/// than a map's key, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// Where, in proto names: `order.items[3].name`, `labels["x"]`; empty: the message itself. At most some 512 bytes.
    pub field: String,
    /// What is wrong there, for people.
    pub description: String,
}

/// Which check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Not protobuf's wire form: cut short, a varint or a tag that cannot be, groups that do not match.
    Malformed,
    /// A field that comes with another wire type than its own.
    WireType,
    Utf8,
    Depth,
    /// Too many elements or entries.
    Repeated,
    StringSize,
    BytesSize,
    /// A field number that the message does not have, where those are refused.
    UnknownField,
    /// A number that a closed enum does not have.
    EnumValue,
    /// A required field that is not there.
    Required,
    /// The type's rules of `buf.validate` do not fit it, and were kept all the same (`catalog::BrokenRules::Keep`): none of
    /// its messages can be judged.
    BrokenRules,
    /// A rule of `buf.validate` that cannot be applied to a value, as a text pattern cannot to bytes that are no text.
    RuleFailure,
}

/// One walk. Limits are in their effective form: what means "no limit" is the largest number.
struct Walk<'s> {
    schema: &'s Schema,
    max_repeated: usize,
    max_string: usize,
    max_bytes: usize,
    max_depth: u32,
    refuse_unknown: bool,
    check_required: bool,
    unknown_fields: u64,
    /// In a packed run, which of its elements is wrong.
    element: usize,
    clock: Clock,
    /// Whether a rule of `buf.validate` may be broken: from then on none is looked at in this walk.
    doubt: bool,
}

/// What has to be kept of the fields of one message.
#[derive(Clone, Copy)]
struct Tally {
    /// How many elements its repeated fields have.
    counted: bool,
    /// Which of them there are.
    needs: bool,
}

/// What is wrong, on its way outwards.
struct Stop {
    rule: Rule,
    fault: Box<Fault>,
}

/// Boxed so that the good path moves one word.
type Outcome<T> = Result<T, Box<Stop>>;

/// The tags of an item of a message set, and of what is in it (`transcode::message_set`).
const ITEM: u32 = 1 << 3 | 3;
const TYPE_ID: u32 = 2 << 3;
const CONTENT: u32 = 3 << 3 | 2;

const END_GROUP: u32 = 4;

// === impl Rule ===

impl Rule {
    /// Whether it says nothing of the message, only that rules of `buf.validate` cannot be judged for it.
    pub fn is_about_rules(self) -> bool {
        matches!(self, Rule::BrokenRules | Rule::RuleFailure)
    }
}

// === impl GuardOptions ===

impl Default for GuardOptions {
    /// No limits but the depth; unknown fields pass.
    fn default() -> GuardOptions {
        GuardOptions {
            unknown: UnknownNumbers::Pass,
            max_repeated: 0,
            max_string: 0,
            max_bytes: 0,
            max_depth: MAX_DEPTH,
            rules: false,
        }
    }
}

impl From<&MethodSettings> for GuardOptions {
    fn from(settings: &MethodSettings) -> GuardOptions {
        GuardOptions {
            unknown: settings.guard_unknown,
            max_repeated: settings.guard_max_repeated,
            max_string: settings.guard_max_string,
            max_bytes: settings.guard_max_bytes,
            max_depth: settings.guard_max_depth,
            rules: false,
        }
    }
}

// === impl Walk ===

impl<'s> Walk<'s> {
    fn new(schema: &'s Schema, options: &GuardOptions, check_required: bool, clock: Clock) -> Walk<'s> {
        let effective = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        Walk {
            schema,
            max_repeated: effective(options.max_repeated),
            max_string: effective(options.max_string),
            max_bytes: effective(options.max_bytes),
            max_depth: options.max_depth.min(MAX_DEPTH),
            refuse_unknown: options.unknown == UnknownNumbers::Refuse,
            check_required,
            unknown_fields: 0,
            element: 0,
            clock,
            doubt: false,
        }
    }

    /// One message: all that is left, or, of a group of this number, up to and including its end tag. Recursion ends at
    /// the depth's limit.
    fn message<'w, J: Judge<'s, 'w>>(
        &mut self,
        id: MessageId,
        cursor: &mut Cursor<'w>,
        group: Option<u32>,
        depth: u32,
    ) -> Outcome<()> {
        if depth > self.max_depth {
            return Err(self.too_deep());
        }
        let table = self.schema.message(id);
        // an element takes a byte at least: of most messages is known that they cannot have too many
        let tally = Tally {
            counted: cursor.remaining() > self.max_repeated,
            needs: self.check_required && !table.required.is_empty(),
        };
        if tally.counted || tally.needs {
            self.fields::<J, true>(table, cursor, group, depth, tally)
        } else {
            self.fields::<J, false>(table, cursor, group, depth, tally)
        }
    }

    /// The fields of a message. `TALLY`: whether anything of `tally` has to be kept; most messages do without.
    #[inline(always)]
    fn fields<'w, J: Judge<'s, 'w>, const TALLY: bool>(
        &mut self,
        table: &'s Message,
        outer: &mut Cursor<'w>,
        group: Option<u32>,
        depth: u32,
        tally: Tally,
    ) -> Outcome<()> {
        // its own, so that it stays in registers
        let start = *outer;
        let mut cursor = start;
        let (mut seen, mut counts, mut judge) = (Seen::default(), Counts::default(), J::enter(table, start));
        while !cursor.is_empty() {
            let before = cursor;
            let tag = cursor.tag()?;
            let (index, field) = match table.dense_field(tag) {
                Some(found) => found,
                None if tag & 7 == END_GROUP => {
                    judge.leave(self, before);
                    *outer = cursor;
                    return self.group_ends(table, group, tag, &seen);
                }
                None => match table.field_by_number(tag >> 3) {
                    Some(found) => found,
                    None => {
                        cursor = self.unknown(table, tag, cursor, depth)?;
                        continue;
                    }
                },
            };
            let elements = match judge.value(self, (index, field), (tag, before), &mut cursor, depth) {
                Ok(elements) => elements,
                Err(stop) => return Err(self.located(stop, table, (start, before), field)),
            };
            if TALLY
                && tally.counted
                && field.label != Label::Singular
                && counts.add(index, elements) > self.max_repeated
            {
                return Err(self.too_many(field));
            }
            if TALLY && tally.needs {
                seen.insert(index);
            }
        }
        if group.is_some() {
            return Err(Stop::malformed("a group does not end"));
        }
        judge.leave(self, cursor);
        if TALLY && tally.needs { complete(table, &seen) } else { Ok(()) }
    }

    #[inline]
    fn group_ends(&self, table: &Message, group: Option<u32>, tag: u32, seen: &Seen) -> Outcome<()> {
        match group {
            Some(number) if number == tag >> 3 && self.check_required => complete(table, seen),
            Some(number) if number == tag >> 3 => Ok(()),
            _ => Err(Stop::malformed("a group ends that did not begin")),
        }
    }

    /// The value behind a tag. How many elements it is of a repeated field.
    #[inline(always)]
    fn value(&mut self, field: &Field, tag: u32, cursor: &mut Cursor<'_>, depth: u32) -> Outcome<usize> {
        // the tag of a field that is no packed list says that the wire type is right
        if (tag != field.tag || field.packed) && tag & 7 != field.kind.wire_type() {
            if tag & 7 == 2 && field.label == Label::Repeated && field.kind.can_be_packed() {
                return self.packed(field.kind, cursor.bytes()?);
            }
            return Err(wrong_wire_type(field, tag & 7));
        }
        match field.kind {
            Kind::String => self.string(field.check_utf8, cursor.bytes()?)?,
            Kind::Bytes => {
                let bytes = cursor.bytes()?;
                if bytes.len() > self.max_bytes {
                    return Err(too_long(Rule::BytesSize, bytes.len(), self.max_bytes));
                }
            }
            Kind::Message(id) => self.message::<Blind>(id, &mut Cursor::new(cursor.bytes()?), None, depth + 1)?,
            Kind::Group(id) => {
                let mut group = *cursor;
                self.message::<Blind>(id, &mut group, Some(tag >> 3), depth + 1)?;
                *cursor = group;
            }
            Kind::Enum(id) => {
                let bits = cursor.varint()?;
                self.enumeration(id, bits)?;
            }
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
                cursor.fixed64()?;
            }
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
                cursor.fixed32()?;
            }
            _ => {
                cursor.varint()?;
            }
        }
        Ok(1)
    }

    #[inline]
    fn string(&self, check_utf8: bool, bytes: &[u8]) -> Outcome<()> {
        if bytes.len() > self.max_string {
            return Err(too_long(Rule::StringSize, bytes.len(), self.max_string));
        }
        if check_utf8 && !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
            return Err(Stop::new(Rule::Utf8, "is not UTF-8"));
        }
        Ok(())
    }

    #[inline]
    fn enumeration(&self, id: EnumId, bits: u64) -> Outcome<()> {
        let enumeration = self.schema.enumeration(id);
        // as protobuf's readers: the low 32 bits count
        if enumeration.closed && enumeration.name_of(bits as i32).is_none() {
            let text = format!("{} is no value of {}", bits as i32, enumeration.name);
            return Err(Stop::new(Rule::EnumValue, text));
        }
        Ok(())
    }

    /// Several values of a repeated scalar in one piece. How many they are.
    fn packed(&mut self, kind: Kind, bytes: &[u8]) -> Outcome<usize> {
        let size = match kind.wire_type() {
            1 => 8,
            5 => 4,
            _ => return self.packed_varints(kind, bytes),
        };
        if !bytes.len().is_multiple_of(size) {
            self.element = bytes.len() / size;
            return Err(Stop::malformed("a packed value is cut short"));
        }
        Ok(bytes.len() / size)
    }

    fn packed_varints(&mut self, kind: Kind, bytes: &[u8]) -> Outcome<usize> {
        let closed = match kind {
            Kind::Enum(id) => Some(id).filter(|id| self.schema.enumeration(*id).closed),
            _ => None,
        };
        if closed.is_none() && bytes.is_ascii() {
            return Ok(bytes.len());
        }
        let (mut cursor, mut count) = (Cursor::new(bytes), 0);
        while !cursor.is_empty() {
            let checked = match (cursor.varint(), closed) {
                (Ok(bits), Some(id)) => self.enumeration(id, bits),
                (Ok(_), None) => Ok(()),
                (Err(malformed), _) => Err(malformed.into()),
            };
            if let Err(stop) = checked {
                self.element = count;
                return Err(stop);
            }
            count += 1;
        }
        Ok(count)
    }

    /// A field that the message does not have. Where it ends.
    fn unknown<'w>(&mut self, table: &Message, tag: u32, mut cursor: Cursor<'w>, depth: u32) -> Outcome<Cursor<'w>> {
        if table.known == Known::MessageSet && tag == ITEM {
            self.item(table, &mut cursor, depth)?;
        } else {
            self.unknown_field(table, tag >> 3)?;
            self.skip(tag, &mut cursor, depth)?;
        }
        Ok(cursor)
    }

    fn unknown_field(&mut self, table: &Message, number: u32) -> Outcome<()> {
        self.unknown_fields += 1;
        if self.refuse_unknown {
            let text = format!("{number} is not the number of a field of {}", table.name);
            return Err(Stop::new(Rule::UnknownField, text));
        }
        Ok(())
    }

    fn skip(&self, tag: u32, cursor: &mut Cursor<'_>, depth: u32) -> Outcome<()> {
        if tag & 7 != 3 {
            cursor.piece(tag)?;
            return Ok(());
        }
        if depth >= self.max_depth {
            return Err(self.too_deep());
        }
        loop {
            let inner = cursor.tag()?;
            if inner & 7 != END_GROUP {
                self.skip(inner, cursor, depth + 1)?;
            } else if inner >> 3 == tag >> 3 {
                return Ok(());
            } else {
                return Err(Stop::malformed("a group ends that did not begin"));
            }
        }
    }

    /// An item of a message set: the number and the content of an extension, in either order.
    fn item(&mut self, set: &Message, cursor: &mut Cursor<'_>, depth: u32) -> Outcome<()> {
        let (mut number, start) = (0, *cursor);
        loop {
            let tag = cursor.tag()?;
            match tag {
                TYPE_ID => number = cursor.varint()?,
                CONTENT => drop(cursor.bytes()?),
                _ if tag == ITEM + 1 => break,
                _ if tag & 7 == END_GROUP => return Err(Stop::malformed("a group ends that did not begin")),
                _ => {
                    self.unknown_field(set, tag >> 3)?;
                    self.skip(tag, cursor, depth + 1)?;
                }
            }
        }
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let extension = set.field_by_number(number).and_then(|(_, field)| Some((field, field.kind.message()?)));
        let Some((field, id)) = extension else { return self.unknown_field(set, number) };
        // there may be several, which are parts of one message
        let mut again = start;
        loop {
            let tag = again.tag()?;
            if tag == ITEM + 1 {
                return Ok(());
            }
            let piece = again.piece(tag)?;
            if tag == CONTENT {
                let checked = self.message::<Blind>(id, &mut Cursor::new(piece.bytes), None, depth + 1);
                checked.map_err(|stop| stop.map(|fault| fault.within(field.name())))?;
            }
        }
    }

    #[cold]
    fn too_deep(&self) -> Box<Stop> {
        Stop::new(Rule::Depth, format!("messages are nested deeper than {} levels", self.max_depth))
    }

    #[cold]
    fn too_many(&self, field: &Field) -> Box<Stop> {
        let what = if field.label == Label::Map { "entries" } else { "elements" };
        let stop = Stop::new(Rule::Repeated, format!("has more than {} {what}", self.max_repeated));
        stop.map(|fault| fault.within(field.name()))
    }

    /// Says where in a message it went wrong: `span` is from the message's start to the field's tag.
    #[cold]
    fn located(
        &mut self,
        stop: Box<Stop>,
        table: &Message,
        span: (Cursor<'_>, Cursor<'_>),
        field: &Field,
    ) -> Box<Stop> {
        let element = std::mem::take(&mut self.element);
        // of an entry it is the key that says where, and the field of the map adds that
        if table.is_map_entry { stop } else { stop.map(|fault| place::add(fault, self.schema, span, field, element)) }
    }
}

/// Whether all required fields have been seen.
fn complete(table: &Message, seen: &Seen) -> Outcome<()> {
    match table.required.iter().find(|index| !seen.contains(**index)).and_then(|index| table.field(*index)) {
        None => Ok(()),
        Some(field) => Err(absent(field)),
    }
}

#[cold]
fn absent(field: &Field) -> Box<Stop> {
    Stop::new(Rule::Required, "is required").map(|fault| fault.within(field.name()))
}

#[cold]
fn wrong_wire_type(field: &Field, found: u32) -> Box<Stop> {
    let text = match found {
        6 | 7 => return Stop::malformed("a tag has a wire type that does not exist"),
        _ => format!("comes with wire type {found}, and has {}", field.kind.wire_type()),
    };
    Stop::new(Rule::WireType, text)
}

#[cold]
fn too_long(rule: Rule, length: usize, limit: usize) -> Box<Stop> {
    Stop::new(rule, format!("has {length} bytes, and {limit} are allowed"))
}

// === impl Stop ===

impl Stop {
    #[cold]
    fn new(rule: Rule, what: impl Into<String>) -> Box<Stop> {
        Box::new(Stop { rule, fault: Fault::new(what) })
    }

    #[cold]
    fn malformed(what: &'static str) -> Box<Stop> {
        Malformed(what).into()
    }

    fn map(mut self: Box<Self>, change: impl FnOnce(Box<Fault>) -> Box<Fault>) -> Box<Stop> {
        self.fault = change(self.fault);
        self
    }

    fn violation(self) -> Violation {
        /// Long enough for people, short enough for a header field.
        const LONGEST: usize = 512;
        let bad = self.fault.in_wire();
        let mut field = bad.field;
        if field.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| field.is_char_boundary(*at)).unwrap_or(0);
            field.truncate(end);
            field.push('…');
        }
        Violation { rule: self.rule, field, description: bad.reason }
    }
}

impl From<Malformed> for Box<Stop> {
    #[cold]
    fn from(malformed: Malformed) -> Self {
        Box::new(Stop { rule: Rule::Malformed, fault: malformed.into() })
    }
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.description)
        } else {
            write!(f, "{}: {}", self.field, self.description)
        }
    }
}

impl std::error::Error for Violation {}
