//! What the compiler crates complain of, as mistakes with file, line and column.

use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan};

use super::mistake::{Mistake, Place};

/// All errors that a diagnostic holds. `text` is the source that its spans point into; empty if there is none.
pub(super) fn mistakes(diagnostic: &dyn Diagnostic, shown: &Arc<str>, text: &str) -> Vec<Mistake> {
    let mut found = vec![mistake(diagnostic, shown, text)];
    for related in diagnostic.related().into_iter().flatten() {
        found.push(mistake(related, shown, text));
    }
    found
}

/// The place of a byte offset: lines and columns from 1, columns in characters.
pub(super) fn place(shown: &Arc<str>, text: &str, offset: usize) -> Place {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Place::new(Arc::clone(shown), short(line), short(column))
}

fn mistake(diagnostic: &dyn Diagnostic, shown: &Arc<str>, text: &str) -> Mistake {
    let mut what = diagnostic.to_string();
    let mut cause = std::error::Error::source(diagnostic);
    while let Some(error) = cause {
        let more = error.to_string();
        if !what.contains(&more) {
            what = format!("{what}: {more}");
        }
        cause = error.source();
    }
    let labels: Vec<LabeledSpan> = diagnostic.labels().into_iter().flatten().collect();
    let place = match labels.iter().max_by_key(|label| weight(label)) {
        Some(label) => place(shown, text, label.offset()),
        None if what.contains("end of file") => place(shown, text, text.trim_end().len()),
        None => Place::new(Arc::clone(shown), 0, 0),
    };
    let mut mistake = Mistake::new(what).at(place);
    if let Some(help) = diagnostic.help() {
        mistake = mistake.hint(help.to_string());
    }
    mistake
}

/// Which of several labels is the culprit, not what it collides with.
fn weight(label: &LabeledSpan) -> u8 {
    match label.label().unwrap_or_default() {
        text if text.contains("again") => 3,
        text if text.contains("found here") || text.contains("imported here") => 2,
        text if text.contains("first") || text.contains("range") => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let shown: Arc<str> = "a.proto".into();
        let at = |text: &str, offset| {
            let place = place(&shown, text, offset);
            (place.line, place.column)
        };
        assert_eq!(at("abc", 0), (1, 1));
        assert_eq!(at("é\nxy", 1), (1, 1));
        assert_eq!(at("é\nxéz", 6), (2, 3));
        assert_eq!(at("a\n", 2), (2, 1));
        assert_eq!(at("a", 99), (1, 2));
    }
}
