//! The likely name: what the caller probably meant.

use crate::catalog::{Enum, Message};

/// Names longer than this are nobody's slip of the finger; it also bounds the work for a hostile name.
const LONGEST: usize = 64;

/// How many enum names an error lists at most.
const LISTED: usize = 20;

/// ` (did you mean "title"?)`, or nothing if no field is close.
pub(super) fn field(message: &Message, name: &str) -> String {
    let names = message.fields.iter().flat_map(|field| [field.json_name(), field.name()]);
    closest(name, names).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default()
}

/// ` (did you mean ...?)`, or the list of what is allowed.
pub(super) fn enum_value(enumeration: &Enum, name: &str) -> String {
    if let Some(near) = closest(name, enumeration.values.iter().map(|value| &*value.name)) {
        return format!(" (did you mean {near:?}?)");
    }
    let names: Vec<&str> = enumeration.values.iter().take(LISTED).map(|value| &*value.name).collect();
    let more = if enumeration.values.len() > LISTED { ", ..." } else { "" };
    format!(" (allowed: {}{more})", names.join(", "))
}

/// The nearest name, if it is near: one edit for short names, one in three letters for longer ones.
pub(super) fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    names
        .filter(|other| other.len() <= LONGEST && other.len().abs_diff(name.len()) <= allowed)
        .map(|other| (distance(name, other), other))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// Edits between two names, letter case not counted: letters changed, added, left out, or two neighbours swapped
/// (optimal string alignment, three rows at a time).
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<char>>();
    let (one, other) = (letters(one), letters(other));
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, against) in other.iter().enumerate() {
            let changed = at(&above, j) + usize::from(letter != against);
            let added = at(&row, j).min(at(&above, j + 1)) + 1;
            let swapped = i > 0 && j > 0 && one.get(i - 1) == Some(against) && other.get(j - 1) == Some(letter);
            let swapped = if swapped { at(&before, j - 1) + 1 } else { usize::MAX };
            row.push(changed.min(added).min(swapped));
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_edits() {
        for (a, b, edits) in
            [("", "", 0), ("abc", "abc", 0), ("titel", "title", 1), ("a", "", 1), ("Kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["title", "author", "displayName", "id"];
        assert_eq!(closest("tite", names.into_iter()), Some("title"));
        assert_eq!(closest("titel", names.into_iter()), Some("title"));
        assert_eq!(closest("display_name", names.into_iter()), Some("displayName"));
        assert_eq!(closest("Id", names.into_iter()), Some("id"));
        assert_eq!(closest("zzz", names.into_iter()), None);
        assert_eq!(closest(&"x".repeat(1 << 20), names.into_iter()), None);
    }
}
