//! The number of a rule, written where the library repeats it: as the rule's id, or in a comment of its expression.

const START: &str = "transom-rule-";

/// What stands for the rule with this number.
pub(super) fn of(number: usize) -> String {
    format!("{START}{number};")
}

/// The first tag in a text: its number, and where it ends.
pub(super) fn find(text: &str) -> Option<(usize, usize)> {
    let start = text.find(START)? + START.len();
    let digits = text.get(start..)?.find(';')?;
    let number = text.get(start..start + digits)?.parse().ok()?;
    Some((number, start + digits + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_within_any_text() {
        assert_eq!(find(&of(17)), Some((17, 16)));
        let text = format!("failed: `this.é\n// {}`: no", of(3));
        let (number, end) = find(&text).unwrap();
        assert_eq!((number, text.get(end..)), (3, Some("`: no")));
        for none in ["", "transom-rule-", "transom-rule-x;", "transom-rule-1"] {
            assert_eq!(find(none), None);
        }
    }
}
