//! JSON values as YAML, for people to read.

use serde_json::Value;

/// The value as a YAML document.
pub fn to_yaml(value: &Value) -> String {
    // a JSON value has nothing that YAML could not hold
    serde_saphyr::to_string(value).unwrap_or_default()
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
    }
}
