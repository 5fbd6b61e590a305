//! Rules of durations, timestamps and field masks.

use super::compile::{Fields, Found};
use super::numbers::Layout;
use super::spoken::{length, list};
use super::steps::{BOOL, MESSAGE, STRING};
use super::test::{Instant, Length, Mask, Moment, Number, nanoseconds};

/// `DurationRules`.
pub(super) fn durations(fields: &Fields<'_>, found: &mut Found<Number<Length>>) {
    let layout = Layout::time(7, 8);
    let read = |number| fields.merged(number).map(|message| Length(nanoseconds(&message)));
    layout.constants(found, read(2));
    layout.bounds(found, fields, read);
    layout.lists(found, |number| fields.all(number).map(|piece| Length(nanoseconds(piece.bytes))).collect());
}

/// `TimestampRules`: `lt_now` = 7 and `gt_now` = 8 take the place of a bound, `within` = 9.
pub(super) fn timestamps(fields: &Fields<'_>, found: &mut Found<Moment>) {
    let layout = Layout::time(0, 0);
    let read = |number| fields.merged(number).map(|message| Instant(nanoseconds(&message)));
    let is_now = |now: u32, bounds: [u32; 2]| fields.member(&[now, bounds[0], bounds[1]]) == Some(now);
    let (before, after) = (is_now(7, [3, 4]), is_now(8, [5, 6]));
    layout.constants(found, read(2));
    layout.bounds(found, fields, |number| match number {
        3 | 4 if before => None,
        5 | 6 if after => None,
        number => read(number),
    });
    if before && fields.bits(7) != Some(0) {
        found.add(Moment::BeforeNow, "lt_now", "must be less than now".into(), (7, "lt_now", BOOL));
    }
    if after && fields.bits(8) != Some(0) {
        found.add(Moment::AfterNow, "gt_now", "must be greater than now".into(), (8, "gt_now", BOOL));
    }
    if let Some(distance) = fields.merged(9) {
        let message = format!("must be within {} of now", length(&distance));
        found.add(Moment::Within(nanoseconds(&distance)), "within", message, (9, "within", MESSAGE));
    }
}

/// `FieldMaskRules`: `const` = 1, `in` = 2, `not_in` = 3.
pub(super) fn field_masks(fields: &Fields<'_>, found: &mut Found<Mask>) {
    type Paths = Box<[Box<str>]>;
    let texts = |fields: &Fields<'_>, number| -> Paths {
        fields.all(number).map(|piece| String::from_utf8_lossy(piece.bytes).into()).collect()
    };
    let shown = |paths: &Paths| list(paths.iter().map(|path| path.to_string()));
    if let Some(mask) = fields.merged(1) {
        // the guard knows damaged options no more than the rules do: what is left of one is empty
        let paths = Fields::read(&mask).map(|mask| texts(&mask, 1)).unwrap_or_default();
        let message = format!("must equal paths {}", shown(&paths));
        found.add(Mask::Const(paths), "const", message, (1, "const", MESSAGE));
    }
    let (among, not_among) = (texts(fields, 2), texts(fields, 3));
    if !among.is_empty() {
        let message = format!("must only contain paths in {}", shown(&among));
        found.add(Mask::In(among), "in", message, (2, "in", STRING));
    }
    if !not_among.is_empty() {
        let message = format!("must not contain any paths in {}", shown(&not_among));
        found.add(Mask::NotIn(not_among), "not_in", message, (3, "not_in", STRING));
    }
}
