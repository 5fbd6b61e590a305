//! The standard rules of `buf.validate` (protovalidate v1.2.2, `buf/validate/validate.proto`) as tables that the schema
//! guard walks with.
//!
//! At load the options of fields, oneofs and messages are read from the encoded files ([`written`]), each rule becomes a
//! test with what is to be said when it does not hold ([`compile`]), and messages learn whether anything below them has
//! rules at all. Rules that are CEL, predefined ones included, are none of this room's business.
//!
//! Values come as the wire shows them ([`Piece`]): nothing is built of a message to judge it.

mod compile;
mod format;
mod hostname;
mod numbers;
mod pattern;
mod places;
mod spoken;
mod steps;
mod test;
mod texts;
mod times;
mod told;
mod uri;
mod written;

pub(super) use compile::compile;
pub(super) use places::mistake;
pub use steps::type_number;
pub use told::{Constraint, Literal};
pub(super) use written::Written;

use self::test::Tests;
use super::schema::Kind;
use crate::status::PathElement;
use crate::wire::Piece;

/// The rules of one message type, and the way to those below it. A message without either has no such table.
#[derive(Debug, Default)]
pub struct MessageRules {
    /// By index in `Message::fields`; `None`: any value will do, and nothing below it has rules.
    fields: Box<[Option<FieldRules>]>,
    /// Fields whose absence breaks a rule: the first 64 as bits by index.
    needed: u64,
    /// The others of them.
    needed_far: Box<[u16]>,
    /// Oneofs of which a member must be set.
    pub oneofs: Box<[OneofRule]>,
    /// Sets of fields of which at most one may be set.
    pub exclusive: Box<[Exclusive]>,
    /// Why no message of this type can be judged: it has rules, or a type below it has, that do not fit
    /// (`BrokenRules::Keep`).
    pub broken: Option<Box<str>>,
}

/// What holds for one field.
#[derive(Debug)]
pub struct FieldRules {
    /// It has to be set: without presence, to something else than zero.
    pub required: bool,
    /// Nothing is asked of it while it is not set.
    pub ignore_unset: bool,
    /// Of a singular field its value; of a list each element. Of a map nothing: look at the entry's table.
    pub value: ValueRules,
    /// Elements of a list, entries of a map.
    pub size: Option<Box<SizeRules>>,
}

/// What holds for a single value: of a field, of an element, of a map's key or value.
#[derive(Debug)]
pub struct ValueRules {
    kind: Kind,
    tests: Tests,
    /// What to say for each test, in the order of the tests.
    said: Box<[Said]>,
    /// The zero value is not judged.
    pub ignore_zero: bool,
    /// The number of an enum's zero value: of the first that is declared.
    zero: i32,
    /// It is a message whose type has a table.
    pub below: bool,
}

/// How many elements there may be.
#[derive(Debug, Default)]
pub struct SizeRules {
    pub min: Option<(u64, Said)>,
    pub max: Option<(u64, Said)>,
    /// No two elements may be equal.
    pub unique: Option<Said>,
}

/// `(buf.validate.oneof).required`.
#[derive(Debug)]
pub struct OneofRule {
    /// As in `Field::oneof`.
    pub oneof: u16,
    pub name: Box<str>,
}

/// `(buf.validate.message).oneof`.
#[derive(Debug)]
pub struct Exclusive {
    /// Indices of the fields.
    pub members: Box<[u16]>,
    pub required: bool,
    /// Their names, with commas.
    pub names: Box<str>,
}

/// What is told of a rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// As in `string.min_len`.
    pub id: Box<str>,
    /// For people, in protovalidate's words.
    pub message: Box<str>,
    /// The rule, as a path into `buf.validate.FieldRules`.
    pub rule: Box<[PathElement]>,
}

/// What `now` is to rules about timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock, asked when a rule needs it.
    #[default]
    System,
    /// Nanoseconds since 1970, for tests.
    Fixed(i128),
}

/// What to do with rules that do not fit what they stand at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokenRules {
    /// The catalog is refused, with all of them as mistakes.
    #[default]
    Refuse,
    /// Messages of such types are never judged, but refused when rules are asked for.
    Keep,
}

/// A rule that cannot be applied to a value, as text patterns cannot to bytes that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inapplicable(pub &'static str);

// === impl MessageRules ===

impl MessageRules {
    /// What holds for the field at this index of `Message::fields`.
    #[inline]
    pub fn field(&self, index: u16) -> Option<&FieldRules> {
        self.fields.get(usize::from(index))?.as_ref()
    }

    /// The fields with rules, in the order of their numbers, and their indices.
    pub fn fields(&self) -> impl Iterator<Item = (u16, &FieldRules)> {
        (0..).zip(&self.fields).filter_map(|(index, rules)| Some((index, rules.as_ref()?)))
    }

    /// Whether it breaks a rule that the field at this index is not there.
    pub fn is_needed(&self, index: u16) -> bool {
        match 1u64.checked_shl(index.into()) {
            Some(bit) => self.needed & bit != 0,
            None => self.needed_far.contains(&index),
        }
    }

    /// Whether every field is there whose absence would break a rule. `first`: the first 64 fields as bits; `seen`: whether
    /// one beyond them is there.
    #[inline]
    pub fn complete(&self, first: u64, seen: impl Fn(u16) -> bool) -> bool {
        self.needed & !first == 0 && self.needed_far.iter().all(|index| seen(*index))
    }
}

// === impl ValueRules ===

impl ValueRules {
    fn none(kind: Kind) -> ValueRules {
        ValueRules { kind, tests: Tests::None, said: Box::default(), ignore_zero: false, zero: 0, below: false }
    }

    /// Whether there is nothing to be tested about a value itself.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.tests, Tests::None)
    }

    /// Whether this value, which is not a message, is its type's zero value.
    #[inline]
    pub fn is_zero(&self, piece: &Piece<'_>) -> bool {
        match self.kind {
            Kind::String | Kind::Bytes => piece.bytes.is_empty(),
            Kind::Enum(_) => piece.bits as i32 == self.zero,
            kind => is_unset(kind, piece),
        }
    }

    /// What stands for a scalar that is not there.
    pub fn unset(&self) -> Piece<'static> {
        // the zero of an enum is the first value that is declared
        let bits = if matches!(self.kind, Kind::Enum(_)) { i64::from(self.zero).cast_unsigned() } else { 0 };
        Piece { bits, bytes: &[] }
    }

    /// Names the rules that a value does not keep. Of a message `piece` holds the content.
    ///
    /// Errors: a rule that cannot be applied.
    pub fn broken<'r>(&'r self, piece: &Piece<'_>, clock: Clock) -> Result<Vec<&'r Said>, Inapplicable> {
        let mut found = Vec::new();
        self.tests.run(self.kind, piece, clock, &mut |at| found.extend(self.said.get(at)))?;
        Ok(found)
    }

    /// Whether a value keeps all rules. Allocates nothing, but for text that is not UTF-8. False as well where a rule
    /// cannot be applied.
    #[inline]
    pub fn hold(&self, piece: &Piece<'_>, clock: Clock) -> bool {
        let mut all = true;
        self.tests.run(self.kind, piece, clock, &mut |_| all = false).is_ok() && all
    }
}

/// Whether a scalar of implicit presence counts as not set: protobuf's zero, which negative zero is not.
#[inline]
pub fn is_unset(kind: Kind, piece: &Piece<'_>) -> bool {
    match kind {
        Kind::String | Kind::Bytes => piece.bytes.is_empty(),
        // the low 32 bits count
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum(_) => piece.bits as u32 == 0,
        _ => piece.bits == 0,
    }
}

// === impl FieldRules ===

impl FieldRules {
    /// Whether it breaks a rule that the field is not there: of what has presence or elements, by being required or by a
    /// number of elements; of other scalars, as their zero value would. Messages in maps may, and are looked at.
    fn absence_breaks(&self, has_presence: bool, is_list: bool) -> bool {
        if self.required {
            return true;
        }
        if self.ignore_unset || has_presence {
            return false;
        }
        if is_list {
            let min = self.size.as_ref().and_then(|size| size.min.as_ref());
            return min.is_some_and(|(min, _)| *min > 0);
        }
        self.value.zero_breaks()
    }
}

impl ValueRules {
    fn zero_breaks(&self) -> bool {
        if self.ignore_zero {
            return false;
        }
        if self.kind.message().is_some() {
            return self.below || !self.is_empty();
        }
        !self.hold(&self.unset(), Clock::Fixed(0))
    }
}

// === impl Clock ===

impl Clock {
    /// Nanoseconds since 1970.
    pub fn now(self) -> i128 {
        match self {
            Clock::Fixed(nanos) => nanos,
            Clock::System => match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
                Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
                Err(before) => i128::try_from(before.duration().as_nanos()).map_or(i128::MIN, |nanos| -nanos),
            },
        }
    }
}

#[cfg(test)]
mod tests;
