//! `dyn(x)`, which the library lacks: where nothing has a static type, it is `(x)`.

/// The expression without the name of the function `dyn`; strings and comments are left as they are.
pub(super) fn without_dyn(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let token = token(rest);
        let (text, after) = rest.split_at(token.min(rest.len()).max(first.len_utf8()));
        let called = text == "dyn" && after.trim_start().starts_with('(') && !out.trim_end().ends_with('.');
        if !called {
            out.push_str(text);
        }
        rest = after;
    }
    out
}

/// The length of the first token: a name or number, a string, a comment, or one character.
fn token(text: &str) -> usize {
    let name = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (prefix, rest) = text.split_at(name);
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
    let is_prefix =
        matches!(prefix, "" | "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB");
    match quote.filter(|_| is_prefix) {
        Some(quote) => name + string(rest, quote, prefix.contains(['r', 'R'])),
        None if rest.starts_with("//") && name == 0 => text.find('\n').unwrap_or(text.len()),
        None => name,
    }
}

/// The length of a string that begins with this quote; of one without an end, all.
fn string(text: &str, quote: &str, raw: bool) -> usize {
    let mut at = quote.len();
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(quote) {
            return at + quote.len();
        }
        let mut chars = rest.chars();
        at += chars.next().map_or(1, char::len_utf8);
        if rest.starts_with('\\') && !raw {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_the_function_go() {
        for (written, left) in [
            ("dyn(this).b == 'foo'", "(this).b == 'foo'"),
            ("1 == dyn (2) && dyn([dyn(1)]) != dyn", "1 ==  (2) && ([(1)]) != dyn"),
            ("this.dyn(1) + xdyn(2) + dyn2(3)", "this.dyn(1) + xdyn(2) + dyn2(3)"),
            ("'dyn(1)' + \"\\\"dyn(2)\" + r'\\' + dyn(x)", "'dyn(1)' + \"\\\"dyn(2)\" + r'\\' + (x)"),
            ("'''a'dyn(1)''' // dyn(2)\n+dyn(3)", "'''a'dyn(1)''' // dyn(2)\n+(3)"),
            ("'é' + dyn('é", "'é' + ('é"),
            ("", ""),
        ] {
            assert_eq!(without_dyn(written), left, "{written}");
        }
    }
}
