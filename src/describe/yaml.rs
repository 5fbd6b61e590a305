//! JSON values as YAML 1.2, for people to read: block style, texts plain where that is safe.

use serde_json::Value;

/// The value as a YAML document.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        _ => {
            inline(value, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// A list or table that is not empty, from the start of a line on.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                pad(indent, out);
                text(key, out);
                out.push(':');
                member(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                pad(indent, out);
                out.push('-');
                if let Value::Object(members) = item
                    && !members.is_empty()
                {
                    // the first member stands behind the hyphen
                    let mut nested = String::new();
                    block(item, indent + 2, &mut nested);
                    out.push(' ');
                    out.push_str(nested.get(indent + 2..).unwrap_or_default());
                } else {
                    member(item, indent, out);
                }
            }
        }
        _ => {}
    }
}

/// What follows a key or a hyphen, with the line's end.
fn member(value: &Value, indent: usize, out: &mut String) {
    let is_block = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        return block(value, indent + 2, out);
    }
    out.push(' ');
    inline(value, indent + 2, out);
    out.push('\n');
}

fn inline(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(string) if is_paragraphs(string) => {
            out.push_str("|-");
            for line in string.split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    pad(indent, out);
                    out.push_str(line);
                }
            }
        }
        Value::String(string) => text(string, out),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a literal block shows the text as it is: lines of printable characters, of which neither the first begins
/// with a blank nor the last is empty.
fn is_paragraphs(string: &str) -> bool {
    let printable = |c: char| c == '\n' || (!c.is_control() && !is_odd(c));
    string.contains('\n')
        && !string.starts_with([' ', '\n', '\t'])
        && !string.ends_with([' ', '\n'])
        && string.chars().all(printable)
}

/// Plain if no reader takes it for anything but this text, else quoted as JSON has it, which YAML reads the same.
fn text(string: &str, out: &mut String) {
    let first = string.chars().next();
    let plain = first.is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '$' | '_'))
        && string.chars().all(|c| c.is_ascii_alphanumeric() || " /$_-.(){}+;=".contains(c))
        && !string.ends_with(' ')
        && !is_word(string);
    if plain {
        out.push_str(string);
    } else {
        // line breaks of Unicode and the like are escaped, since YAML 1.1 reads them as such
        for c in Value::from(string).to_string().chars() {
            if is_odd(c) || c == '\u{7f}' {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(c);
            }
        }
    }
}

fn is_odd(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// What YAML of some version reads as something else than text.
fn is_word(string: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    words.iter().any(|word| word.eq_ignore_ascii_case(string))
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_reads_back_as_the_same_value() {
        let value = json!({
            "openapi": "3.1.0",
            "empty": {"list": [], "table": {}, "text": ""},
            "paths": {"/v1/{name}:move": {"get": {"tags": ["a", "b: c", "- d"], "n": 1.5, "on": true, "no": null}}},
            "list": [{"a": 1, "b": [1, [2, 3], {"c": []}]}, "x", null, [[]]],
            "texts": ["true", "No", "1", "1e3", "a # b", "a: b", " a", "a ", "é\u{2028}\u{85}\u{7f}\t", "~", "'\"", "a\nb\n\n  c",
                "\n", "a\n", " a\nb", "a\u{0}b\nc", "0x1", "2020-01-01", "{", "*a", "&a", "!a", "%", "@", "`", "|", ">", "?", "-"],
        });
        let yaml = to_yaml(&value);
        let read: Value = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        assert_eq!(read, value, "{yaml}");
        assert!(yaml.starts_with("openapi: \"3.1.0\"\n"), "{yaml}");
    }
}
