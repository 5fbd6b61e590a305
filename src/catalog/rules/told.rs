//! Standard rules as schema languages could say them: for those who describe a catalog.

use super::format::Format;
use super::hostname::Version;
use super::test::{Bound, Bytes, Number, Range, Tests, Text};
use super::{Said, ValueRules};

/// One rule about a single value.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint<'r> {
    Const(Literal<'r>),
    In(Vec<Literal<'r>>),
    NotIn(Vec<Literal<'r>>),
    /// Between two bounds, with whether the bound itself is allowed.
    Between {
        low: Option<(Literal<'r>, bool)>,
        high: Option<(Literal<'r>, bool)>,
    },
    /// Length in characters (Unicode scalar values).
    Chars(u64),
    MinChars(u64),
    MaxChars(u64),
    /// Length in bytes of UTF-8.
    MinBytes(u64),
    MaxBytes(u64),
    /// RE2's syntax, not anchored.
    Pattern(&'r str),
    Prefix(&'r str),
    Suffix(&'r str),
    Contains(&'r str),
    NotContains(&'r str),
    /// A format that JSON Schema has under the same name.
    Format(&'static str),
    /// Only words say it.
    Other,
}

/// A value in a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal<'r> {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Real(f64),
    Text(&'r str),
}

/// A value that rules hold, as a [`Literal`].
trait Shown {
    fn shown(&self) -> Literal<'static>;
}

// === impls of Shown ===

impl Shown for i64 {
    fn shown(&self) -> Literal<'static> {
        Literal::Signed(*self)
    }
}

impl Shown for u64 {
    fn shown(&self) -> Literal<'static> {
        Literal::Unsigned(*self)
    }
}

impl Shown for f64 {
    fn shown(&self) -> Literal<'static> {
        Literal::Real(*self)
    }
}

// === impl ValueRules ===

impl ValueRules {
    /// The rules for a value, each with what is told of it when it is broken.
    pub fn constraints(&self) -> Vec<(Constraint<'_>, &Said)> {
        constraints(&self.tests).into_iter().zip(&self.said).collect()
    }
}

/// One for each test, in their order.
fn constraints(tests: &Tests) -> Vec<Constraint<'_>> {
    match tests {
        Tests::None => Vec::new(),
        Tests::Signed(tests) => tests.iter().map(number).collect(),
        Tests::Unsigned(tests) => tests.iter().map(number).collect(),
        Tests::Real(tests) => tests.iter().map(number).collect(),
        Tests::Bool(value) => vec![Constraint::Const(Literal::Bool(*value))],
        Tests::Text(tests) => tests.iter().map(text).collect(),
        Tests::Bytes(tests) => tests.iter().map(bytes).collect(),
        Tests::Duration(tests) => tests.iter().map(|_| Constraint::Other).collect(),
        Tests::Timestamp(tests) => tests.iter().map(|_| Constraint::Other).collect(),
        Tests::FieldMask(tests) => tests.iter().map(|_| Constraint::Other).collect(),
        Tests::Any(tests) => tests.iter().map(|_| Constraint::Other).collect(),
        Tests::Wrapped(_, tests) => constraints(tests),
    }
}

fn number<T: Shown + PartialOrd + Copy>(test: &Number<T>) -> Constraint<'static> {
    let all = |values: &[T]| values.iter().map(|value| value.shown()).collect();
    let bound = |bound: &Option<Bound<T>>| bound.map(|bound| (bound.value.shown(), bound.or_equal));
    match test {
        Number::Const(value) => Constraint::Const(value.shown()),
        Number::In(values) => Constraint::In(all(values)),
        Number::NotIn(values) => Constraint::NotIn(all(values)),
        Number::Range(range) if is_inside(range) => {
            Constraint::Between { low: bound(&range.low), high: bound(&range.high) }
        }
        // values of an enum are listed in any case
        Number::Range(_) | Number::Finite | Number::Defined(_) => Constraint::Other,
    }
}

/// Whether it is what lies between the bounds that is allowed, and not what lies outside of them.
fn is_inside<T: PartialOrd>(range: &Range<T>) -> bool {
    match (&range.low, &range.high) {
        (Some(low), Some(high)) => low.value <= high.value,
        _ => true,
    }
}

fn text(test: &Text) -> Constraint<'_> {
    match test {
        Text::Const(value) => Constraint::Const(Literal::Text(value)),
        Text::Len(count) => Constraint::Chars(*count),
        Text::LenBytes(_) => Constraint::Other,
        Text::MinLen(min) => Constraint::MinChars(*min),
        Text::MaxLen(max) => Constraint::MaxChars(*max),
        Text::MinBytes(min) => Constraint::MinBytes(*min),
        Text::MaxBytes(max) => Constraint::MaxBytes(*max),
        Text::Pattern(regex) => Constraint::Pattern(regex.as_str()),
        Text::Prefix(prefix) => Constraint::Prefix(prefix),
        Text::Suffix(suffix) => Constraint::Suffix(suffix),
        Text::Contains(part) => Constraint::Contains(part),
        Text::NotContains(part) => Constraint::NotContains(part),
        Text::In(values) => Constraint::In(values.iter().map(|one| Literal::Text(one)).collect()),
        Text::NotIn(values) => Constraint::NotIn(values.iter().map(|one| Literal::Text(one)).collect()),
        Text::Format(format) => schema_format(*format).map_or(Constraint::Other, Constraint::Format),
        Text::NotEmpty => Constraint::MinChars(1),
    }
}

/// JSON shows bytes in a coding, whose length is another one.
fn bytes(test: &Bytes) -> Constraint<'_> {
    match test {
        Bytes::NotEmpty => Constraint::MinChars(1),
        _ => Constraint::Other,
    }
}

/// JSON Schema's name for a format that it has.
fn schema_format(format: Format) -> Option<&'static str> {
    Some(match format {
        Format::Email => "email",
        Format::Hostname => "hostname",
        Format::Ip(Version::V4) => "ipv4",
        Format::Ip(Version::V6) => "ipv6",
        Format::Uri => "uri",
        Format::UriReference => "uri-reference",
        Format::Uuid => "uuid",
        _ => return None,
    })
}
