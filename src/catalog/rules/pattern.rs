//! Patterns in RE2's syntax, which is what `buf.validate` has, as the `regex` crate reads them.
//!
//! Both are of one family and match in linear time. Where they differ: `\d`, `\s`, `\w` and `\b` are ASCII's in RE2; `\Q...\E`
//! quotes; octal escapes are numbers; `[` and `&&` in a class, `{` that counts nothing, `\<` and `\>` are themselves.

use regex::{Regex, RegexBuilder};

/// Compiles a pattern. Errors: what is wrong with it.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern);
    RegexBuilder::new(&translated).octal(true).build().map_err(|error| {
        let text = error.to_string();
        // the crate draws a picture over several lines, and ends with the reason
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("{pattern:?} is no regular expression: {reason}")
    })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        rest = match next {
            '\\' => escape(rest, false, &mut out),
            '[' => class(rest, &mut out),
            '{' if !counts(rest) => literal(rest, &mut out),
            _ => plain(rest, &mut out),
        };
    }
    out
}

/// One character as it is.
fn plain<'p>(rest: &'p str, out: &mut String) -> &'p str {
    let mut chars = rest.chars();
    out.extend(chars.next());
    chars.as_str()
}

/// One character that means itself.
fn literal<'p>(rest: &'p str, out: &mut String) -> &'p str {
    out.push('\\');
    plain(rest, out)
}

/// What begins with a backslash.
fn escape<'p>(rest: &'p str, in_class: bool, out: &mut String) -> &'p str {
    let after = rest.strip_prefix('\\').unwrap_or(rest);
    let mut chars = after.chars();
    let short = match chars.next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\x0c\r ]",
        Some('S') => r"[^\t\n\x0c\r ]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('b') if !in_class => r"(?-u:\b)",
        Some('B') if !in_class => r"(?-u:\B)",
        Some('<') => "<",
        Some('>') => ">",
        Some('Q') if !in_class => {
            let quoted = chars.as_str();
            let (quoted, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        Some(other) => {
            out.push('\\');
            out.push(other);
            ""
        }
        None => "\\",
    };
    out.push_str(short);
    chars.as_str()
}

/// A class in brackets.
fn class<'p>(rest: &'p str, out: &mut String) -> &'p str {
    let mut rest = plain(rest, out);
    if rest.starts_with('^') {
        rest = plain(rest, out);
    }
    if rest.starts_with(']') {
        rest = literal(rest, out);
    }
    // whether a range may begin here, and whether one has
    let (mut after_one, mut in_range) = (false, false);
    while let Some(next) = rest.chars().next() {
        if next == '-' && after_one && !rest.starts_with("-]") {
            rest = plain(rest, out);
            (after_one, in_range) = (false, true);
            continue;
        }
        (after_one, in_range) = (!in_range, false);
        rest = match next {
            ']' => return plain(rest, out),
            '\\' => escape(rest, true, out),
            '[' => match rest.split_once(":]").filter(|_| rest.starts_with("[:")) {
                Some((name, rest)) => {
                    out.push_str(name);
                    out.push_str(":]");
                    rest
                }
                None => literal(rest, out),
            },
            '&' | '~' | '-' => literal(rest, out),
            _ => plain(rest, out),
        };
    }
    rest
}

/// Whether a brace begins a repetition.
fn counts(rest: &str) -> bool {
    let Some((inner, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    is_number(least) && (most.is_empty() || is_number(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_re2_says() {
        for (pattern, good, bad) in [
            (r"^\d+$", "19", "\u{0661}"),
            (r"^\D$", "\u{0661}", "1"),
            (r"^[\w-]+$", "a_-9", "\u{e9}"),
            (r"^\s$", " ", "\u{a0}"),
            (r"^[^\s]$", "\u{a0}", "\t"),
            (r"\ba", "\u{e9}a", "ba"),
            (r"^\Qa.b[\E$", "a.b[", "axb["),
            (r"^\Qa", "a", "b"),
            (r"^[[]$", "[", "x"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[+--]$", ",", "."),
            (r"^[--0]$", ".", "+"),
            (r"^[a-cx-]+$", "b-x", "y"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]]$", "a", "]"),
            (r"^[[:alpha:]_]+$", "a_", "1"),
            (r"^\<a\>$", "<a>", "a"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^a{1,2}b{2}c{1,}$", "aabbcc", "abc"),
            (r"^{}$", "{}", ""),
            (r"^\101$", "A", "101"),
            (r"^.$", "\u{1d11e}", "\n"),
            (r"(?i)^ä$", "Ä", "a"),
            (r"^\pL+$", "aé", "1"),
            (r"a$", "a", "a\n"),
            (r"^(?P<x>a)$", "a", "b"),
        ] {
            let regex = compile(pattern).expect(pattern);
            assert!(regex.is_match(good), "{pattern} {good:?}");
            assert!(!regex.is_match(bad), "{pattern} {bad:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_with_its_reason() {
        for pattern in ["(", "[", r"\", "[a", "(?<n", r"\q", "a{9999999}"] {
            let error = compile(pattern).expect_err(pattern);
            assert!(error.contains("is no regular expression: ") && !error.contains('\n'), "{error}");
        }
    }
}
