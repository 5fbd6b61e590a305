//! Mistakes, warnings and lints in the forms that programs read: JSON, and SARIF 2.1.0 (OASIS standard of 2020-03-27),
//! which code hosts show beside the lines.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::lints::LINTS;
use crate::catalog::Mistake;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable name: of a lint, `mistake`, or `warning`.
    pub id: &'static str,
    pub level: Level,
    pub mistake: Mistake,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing runs with it.
    Error,
    Warning,
}

/// The names of what is no lint, and what each is about.
const OTHERS: [(&str, &str); 2] = [
    (MISTAKE, "The configuration or a catalog is wrong: nothing runs with it."),
    (WARNING, "What loading a catalog warns of."),
];
const MISTAKE: &str = "mistake";
const WARNING: &str = "warning";

/// What stands in a relative URI as it is (RFC 3986, 3.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

// === impl Finding ===

impl Finding {
    pub fn mistake(mistake: Mistake) -> Finding {
        Finding { id: MISTAKE, level: Level::Error, mistake }
    }

    pub fn warning(mistake: Mistake) -> Finding {
        Finding { id: WARNING, level: Level::Warning, mistake }
    }
}

// === impl Level ===

impl Level {
    /// As SARIF has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

/// The findings as JSON: `{"findings": [{"id", "level", "file", "line", "column", "key", "text", "hint"}]}`, with what is not
/// known left out.
pub fn findings_json(findings: &[Finding]) -> Value {
    let listed = findings.iter().map(|finding| {
        let Mistake { place, key, text, hint } = &finding.mistake;
        let mut members = Map::new();
        members.insert("id".into(), json!(finding.id));
        members.insert("level".into(), json!(finding.level.as_str()));
        if let Some(place) = place {
            members.insert("file".into(), json!(&*place.file));
            for (name, value) in [("line", place.line), ("column", place.column)] {
                if value > 0 {
                    members.insert(name.into(), json!(value));
                }
            }
        }
        for (name, value) in [("key", key.as_ref()), ("text", Some(text)), ("hint", hint.as_ref())] {
            if let Some(value) = value {
                members.insert(name.into(), json!(value));
            }
        }
        Value::Object(members)
    });
    json!({ "findings": listed.collect::<Vec<_>>() })
}

/// The findings as a SARIF log of one run.
pub fn findings_sarif(findings: &[Finding]) -> Value {
    let rules: Vec<(&str, &str)> = OTHERS.iter().chain(&LINTS).copied().collect();
    let described = rules.iter().map(|(id, about)| {
        let level = if *id == MISTAKE { "error" } else { "warning" };
        json!({"id": id, "shortDescription": {"text": about}, "defaultConfiguration": {"level": level}})
    });
    let results = findings.iter().map(|finding| {
        let mut text = finding.mistake.text.clone();
        if let Some(key) = &finding.mistake.key {
            text = format!("{key}: {text}");
        }
        if let Some(hint) = &finding.mistake.hint {
            text = format!("{text} ({hint})");
        }
        let mut result = Map::new();
        result.insert("ruleId".into(), json!(finding.id));
        if let Some(index) = rules.iter().position(|(id, _)| *id == finding.id) {
            result.insert("ruleIndex".into(), json!(index));
        }
        result.insert("level".into(), json!(finding.level.as_str()));
        result.insert("message".into(), json!({ "text": text }));
        if let Some(location) = location(&finding.mistake) {
            result.insert("locations".into(), json!([location]));
        }
        Value::Object(result)
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "transom",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": described.collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn location(mistake: &Mistake) -> Option<Value> {
    let place = mistake.place.as_ref().filter(|place| !place.file.is_empty())?;
    let encoded = utf8_percent_encode(&place.file, ENCODED).to_string();
    let uri = if Path::new(&*place.file).is_absolute() { format!("file://{encoded}") } else { encoded };
    let mut physical = Map::new();
    physical.insert("artifactLocation".into(), json!({ "uri": uri }));
    if place.line > 0 {
        let mut region = object(&[("startLine", place.line)]);
        if place.column > 0 {
            region.insert("startColumn".into(), json!(place.column));
        }
        physical.insert("region".into(), Value::Object(region));
    }
    Some(json!({ "physicalLocation": physical }))
}

fn object(members: &[(&str, u32)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Place;

    fn findings() -> Vec<Finding> {
        let placed = Mistake::new("is wrong").at(Place::new("a b/c.proto", 3, 7)).key("k").hint("h");
        vec![
            Finding::mistake(placed),
            Finding::warning(Mistake::new("no place")),
            Finding {
                id: "shadowed-rule",
                level: Level::Warning,
                mistake: Mistake::new("x").at(Place::new("/abs/d.proto", 0, 0)),
            },
        ]
    }

    /// What section 3 of the standard asks for: the properties without which a log is none, and their forms.
    #[test]
    fn a_sarif_log_has_what_the_standard_requires() {
        let log = findings_sarif(&findings());
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "transom");
        let rules = driver["rules"].as_array().unwrap();
        let ids: std::collections::HashSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), rules.len());
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert!(matches!(result["level"].as_str(), Some("error" | "warning")));
        }
        let first = &run["results"][0];
        assert_eq!(first["message"]["text"], "k: is wrong (h)");
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/c.proto");
        assert_eq!(place["region"], json!({"startLine": 3, "startColumn": 7}));
        assert!(run["results"][1].get("locations").is_none());
        let third = &run["results"][2]["locations"][0]["physicalLocation"];
        assert_eq!(third, &json!({"artifactLocation": {"uri": "file:///abs/d.proto"}}));
    }

    #[test]
    fn json_leaves_out_what_is_not_known() {
        let json = findings_json(&findings());
        let first = json!({"id": "mistake", "level": "error", "file": "a b/c.proto", "line": 3, "column": 7, "key": "k",
            "text": "is wrong", "hint": "h"});
        assert_eq!(json["findings"][0], first);
        assert_eq!(json["findings"][1], json!({"id": "warning", "level": "warning", "text": "no place"}));
    }
}
