//! Rules of `buf.validate` as keywords of JSON Schema. What no keyword says is told in the description.

use serde_json::{Map, Value, json};

use crate::catalog::{Constraint, Literal, SizeRules, ValueRules};

/// Characters with a meaning in patterns.
const SPECIAL: &str = r"\^$.|?*+()[]{}/-";

/// Adds the rules for a value to its schema; `is_number`: JSON shows it as a number. Returns what no keyword could say.
pub(super) fn add_value_rules(rules: &ValueRules, is_number: bool, schema: &mut Map<String, Value>) -> Vec<String> {
    let mut words = Vec::new();
    let mut patterns = Vec::new();
    for (constraint, said) in rules.constraints() {
        if !add(&constraint, is_number, schema, &mut patterns) {
            words.push(said.message.to_string());
        }
    }
    if let [only] = &patterns[..]
        && !schema.contains_key("pattern")
    {
        schema.insert("pattern".into(), json!(only));
    } else if !patterns.is_empty() {
        let all: Vec<Value> = patterns.iter().map(|pattern| json!({ "pattern": pattern })).collect();
        also(schema, all);
    }
    words
}

/// Adds how many elements there may be; `is_map`: they are properties. Returns what no keyword could say.
pub(super) fn add_size_rules(rules: &SizeRules, is_map: bool, schema: &mut Map<String, Value>) {
    let (min, max) = if is_map { ("minProperties", "maxProperties") } else { ("minItems", "maxItems") };
    if let Some((least, _)) = &rules.min {
        schema.insert(min.into(), json!(least));
    }
    if let Some((most, _)) = &rules.max {
        schema.insert(max.into(), json!(most));
    }
    if rules.unique.is_some() {
        schema.insert("uniqueItems".into(), json!(true));
    }
}

/// Adds schemas that must hold besides.
pub(super) fn also(schema: &mut Map<String, Value>, mut more: Vec<Value>) {
    if let Some(Value::Array(all)) = schema.get_mut("allOf") {
        all.append(&mut more);
    } else {
        schema.insert("allOf".into(), Value::Array(more));
    }
}

fn add(
    constraint: &Constraint<'_>,
    is_number: bool,
    schema: &mut Map<String, Value>,
    patterns: &mut Vec<String>,
) -> bool {
    match constraint {
        Constraint::Const(value) => match literal(value, is_number) {
            Some(value) => drop(schema.insert("const".into(), value)),
            None => return false,
        },
        Constraint::In(values) => match literals(values, is_number) {
            Some(values) => drop(schema.insert("enum".into(), values)),
            None => return false,
        },
        Constraint::NotIn(values) => match literals(values, is_number) {
            Some(values) => drop(schema.insert("not".into(), json!({ "enum": values }))),
            None => return false,
        },
        Constraint::Between { low, high } if is_number => {
            let mut put = |bound: &Option<(Literal<'_>, bool)>, or_equal: &str, beyond: &str| match bound {
                None => true,
                Some((value, inclusive)) => match literal(value, true) {
                    Some(value) => {
                        schema.remove(or_equal);
                        schema.insert(if *inclusive { or_equal } else { beyond }.into(), value);
                        true
                    }
                    None => false,
                },
            };
            let low = put(low, "minimum", "exclusiveMinimum");
            return put(high, "maximum", "exclusiveMaximum") && low;
        }
        Constraint::Chars(count) => {
            raise(schema, "minLength", *count);
            lower(schema, "maxLength", *count);
        }
        Constraint::MinChars(least) => raise(schema, "minLength", *least),
        Constraint::MaxChars(most) => lower(schema, "maxLength", *most),
        // a character takes one to four bytes
        Constraint::MinBytes(least) => {
            raise(schema, "minLength", least.div_ceil(4));
            return false;
        }
        Constraint::MaxBytes(most) => {
            lower(schema, "maxLength", *most);
            return false;
        }
        Constraint::Pattern(pattern) if is_common(pattern) => patterns.push((*pattern).to_owned()),
        Constraint::Prefix(prefix) => patterns.push(format!("^{}", escaped(prefix))),
        Constraint::Suffix(suffix) => patterns.push(format!("{}$", escaped(suffix))),
        Constraint::Contains(part) => patterns.push(escaped(part)),
        Constraint::NotContains(part) => also(schema, vec![json!({ "not": { "pattern": escaped(part) } })]),
        Constraint::Format(format) => drop(schema.insert("format".into(), json!(format))),
        Constraint::Between { .. } | Constraint::Pattern(_) | Constraint::Other => return false,
    }
    true
}

fn raise(schema: &mut Map<String, Value>, key: &str, least: u64) {
    let least = schema.get(key).and_then(Value::as_u64).map_or(least, |known| known.max(least));
    schema.insert(key.into(), json!(least));
}

fn lower(schema: &mut Map<String, Value>, key: &str, most: u64) {
    let most = schema.get(key).and_then(Value::as_u64).map_or(most, |known| known.min(most));
    schema.insert(key.into(), json!(most));
}

fn literals(values: &[Literal<'_>], is_number: bool) -> Option<Value> {
    values.iter().map(|value| literal(value, is_number)).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// A value as JSON shows it: 64-bit integers are texts unless `is_number`.
fn literal(value: &Literal<'_>, is_number: bool) -> Option<Value> {
    Some(match value {
        Literal::Bool(value) => json!(value),
        Literal::Text(value) => json!(value),
        Literal::Signed(value) if is_number => json!(value),
        Literal::Unsigned(value) if is_number => json!(value),
        Literal::Signed(value) => json!(value.to_string()),
        Literal::Unsigned(value) => json!(value.to_string()),
        Literal::Real(value) => Value::Number(serde_json::Number::from_f64(*value)?),
    })
}

fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for char in text.chars() {
        if SPECIAL.contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

/// Whether RE2 and ECMA-262, by which JSON Schema reads patterns, mean the same by a pattern. Doubt counts as no.
fn is_common(pattern: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    let mut previous = ' ';
    while let Some(char) = rest.next() {
        match char {
            '\\' => match rest.next() {
                Some('d' | 'w' | 's' | 'D' | 'W' | 'S' | 'b' | 'B' | 'n' | 'r' | 't' | 'f' | 'v') => {}
                Some(escape) if escape.is_ascii_punctuation() => {}
                _ => return false,
            },
            // (?: is the same in both; flags, names and the like are not
            '?' if previous == '(' && rest.peek() != Some(&':') => return false,
            ':' if previous == '[' => return false,
            _ => {}
        }
        previous = char;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_mean_something_else_to_ecma_script_are_not_taken_over() {
        for common in ["^[a-z]{2,4}$", r"\d+\.\w", "(?:a|b)", "a?", "[^/]+", r"\$"] {
            assert!(is_common(common), "{common}");
        }
        for other in ["(?i)abc", r"\Aabc\z", "[[:alpha:]]", r"\pN", "(?P<name>x)", r"\Qa.b\E", r"\x{10FFFF}"] {
            assert!(!is_common(other), "{other}");
        }
    }

    #[test]
    fn literal_parts_are_escaped() {
        assert_eq!(escaped("a.b/c"), r"a\.b\/c");
    }
}
