//! Line breaks and blanks for people, put into JSON that has none.

use crate::wire::special;

/// No line begins with more blanks than this, so that deep nesting does not make a text many times as long.
const MOST_BLANKS: usize = 40;

/// Lays out the JSON text that begins at `start`, which is valid and has no blanks outside of its strings: each member
/// and element on a line of its own, `blanks` more for each level.
pub(super) fn indent(out: &mut Vec<u8>, start: usize, blanks: u8) {
    let text = out.split_off(start);
    out.reserve(text.len() * 2);
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = text.get(at) {
        let end = if byte == b'"' { string_end(&text, at) } else { at + 1 };
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                // `{}` and `[]` stay together
                if !matches!(text.get(end), Some(b'}' | b']')) {
                    depth += 1;
                    new_line(out, depth, blanks);
                }
            }
            b'}' | b']' => {
                if !matches!(text.get(at.wrapping_sub(1)), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    new_line(out, depth, blanks);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(out, depth, blanks);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.extend_from_slice(text.get(at..end).unwrap_or_default()),
        }
        at = end;
    }
}

fn new_line(out: &mut Vec<u8>, depth: usize, blanks: u8) {
    out.push(b'\n');
    out.resize(out.len() + (depth * usize::from(blanks)).min(MOST_BLANKS), b' ');
}

/// Where the text goes on behind the string that begins at `at`.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut end = special(text, at + 1);
    while text.get(end) == Some(&b'\\') {
        end = special(text, end + 2);
    }
    end + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indented(text: &str) -> String {
        let mut out = b"before".to_vec();
        out.extend_from_slice(text.as_bytes());
        indent(&mut out, 6, 2);
        assert!(out.starts_with(b"before"));
        String::from_utf8(out.split_off(6)).expect("UTF-8")
    }

    #[test]
    fn each_member_and_element_has_its_line() {
        let text = r#"{"a":[1,{"b":"x,\\\"{y"}],"c":{},"d":[],"e":null,"\":":"[]","f":[[]]}"#;
        let laid_out = indented(text);
        let same: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(laid_out, serde_json::to_string_pretty(&same).expect("JSON"));
        assert_eq!(["1", "\"\"", "{}", "[]"].map(indented), ["1", "\"\"", "{}", "[]"]);
    }

    #[test]
    fn deep_texts_do_not_grow_without_measure() {
        let text = ["[".repeat(100), "0,".repeat(1000), "0".into(), "]".repeat(100)].concat();
        assert!(indented(&text).len() < text.len() * (MOST_BLANKS + 2));
    }
}
