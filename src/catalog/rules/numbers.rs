//! Rules of numbers: what all kinds of them, enums, durations and timestamps have in common.

use super::compile::{Fields, Found};
use super::spoken::{Spoken, list};
use super::steps::Step;
use super::test::{Bound, Number, Range};

/// Which numbers the rules of a type have; 0: it has no such rule.
pub(super) struct Layout {
    pub constant: u32,
    /// `lt`, `lte`, `gt` and `gte` follow one another from here.
    pub lt: u32,
    pub among: u32,
    pub not_among: u32,
    /// The type of these fields.
    pub kind: u8,
}

// === impl Layout ===

impl Layout {
    /// As in `Int32Rules`.
    pub(super) const fn scalar(kind: u8) -> Layout {
        Layout { constant: 1, lt: 2, among: 6, not_among: 7, kind }
    }

    /// As in `DurationRules` and `TimestampRules`.
    pub(super) const fn time(among: u32, not_among: u32) -> Layout {
        Layout { constant: 2, lt: 3, among, not_among, kind: super::steps::MESSAGE }
    }

    pub(super) fn constants<T: Spoken, N: From<Number<T>>>(&self, found: &mut Found<N>, value: Option<T>) {
        if let Some(value) = value {
            let step = (self.constant, "const", self.kind);
            let text = format!("must equal {}", value.spoken());
            found.add(Number::Const(value).into(), "const", text, step);
        }
    }

    /// `read`: all values of a field of the rules.
    pub(super) fn lists<T: Spoken, N: From<Number<T>>>(&self, found: &mut Found<N>, read: impl Fn(u32) -> Vec<T>) {
        let spoken = |values: &[T]| list(values.iter().map(Spoken::spoken));
        let (among, not_among) = (read(self.among), read(self.not_among));
        if !among.is_empty() {
            let text = format!("must be in list {}", spoken(&among));
            found.add(Number::In(among.into()).into(), "in", text, (self.among, "in", self.kind));
        }
        if !not_among.is_empty() {
            let text = format!("must not be in list {}", spoken(&not_among));
            found.add(Number::NotIn(not_among.into()).into(), "not_in", text, (self.not_among, "not_in", self.kind));
        }
    }

    /// The bounds, of which each side has one at most, and which side the last of a field's values is on counts.
    pub(super) fn bounds<T: Spoken + PartialOrd + Copy, N: From<Number<T>>>(
        &self,
        found: &mut Found<N>,
        fields: &Fields<'_>,
        read: impl Fn(u32) -> Option<T>,
    ) {
        let (lt, lte, gt, gte) = (self.lt, self.lt + 1, self.lt + 2, self.lt + 3);
        let high = fields.member(&[lt, lte]).and_then(|number| bound(number == lte, read(number)));
        let low = fields.member(&[gt, gte]).and_then(|number| bound(number == gte, read(number)));
        let range = Range { low, high };
        let name = |bound: Bound<T>, names: [&'static str; 2]| names[usize::from(bound.or_equal)];
        let low_name = low.map(|low| name(low, ["gt", "gte"]));
        let high_name = high.map(|high| name(high, ["lt", "lte"]));
        let (id, step) = match (low_name, high_name) {
            (None, None) => return,
            (Some(low_name), None) => (low_name.to_owned(), self.step(low_name)),
            (None, Some(high_name)) => (high_name.to_owned(), self.step(high_name)),
            (Some(low_name), Some(high_name)) => {
                let exclusive = if range.is_outside() { "_exclusive" } else { "" };
                (format!("{low_name}_{high_name}{exclusive}"), self.step(low_name))
            }
        };
        found.add(Number::Range(range).into(), &id, said(range), step);
    }

    fn step(&self, name: &'static str) -> Step {
        let offset = ["lt", "lte", "gt", "gte"].iter().position(|other| *other == name).unwrap_or(0);
        (self.lt + offset as u32, name, self.kind)
    }
}

fn bound<T>(or_equal: bool, value: Option<T>) -> Option<Bound<T>> {
    value.map(|value| Bound { value, or_equal })
}

fn said<T: Spoken + PartialOrd + Copy>(range: Range<T>) -> String {
    let words = |bound: Bound<T>, direction: &str| {
        let or_equal = if bound.or_equal { " or equal to" } else { "" };
        format!("{direction} than{or_equal} {}", bound.value.spoken())
    };
    let sides = [range.low.map(|low| words(low, "greater")), range.high.map(|high| words(high, "less"))];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    format!("must be {}", sides.join(if range.is_outside() { " or " } else { " and " }))
}
