//! What the library says of a broken rule, in our terms.

use prost_protovalidate::Violation;
use prost_protovalidate::types::{FieldPathElement, field_path_element};

use super::rewrite::Rule;
use super::tag;
use crate::status::{PathElement, RuleViolation, Subscript};

/// `None` if it is of a standard rule: such a rule is there for others to look at, the tables judge it.
pub(super) fn of(violation: &Violation, rules: &[Rule]) -> Option<RuleViolation> {
    let rule = rules.get(tag::find(violation.rule_id())?.0)?;
    let told = violation.to_proto();
    let elements = |path: Option<prost_protovalidate::types::FieldPath>| {
        path.unwrap_or_default().elements.into_iter().map(element).collect()
    };
    Some(RuleViolation {
        field: elements(told.field),
        rule: elements(told.rule),
        rule_id: rule.id.to_string(),
        message: message(rule, told.message.as_deref().unwrap_or_default()),
        for_key: told.for_key.unwrap_or_default(),
    })
}

/// The message of the rule; else the string that its expression returned, which comes without a tag; else what is said
/// everywhere of an expression that is just false.
fn message(rule: &Rule, told: &str) -> String {
    match (&*rule.message, tag::find(told)) {
        ("", None) if !told.is_empty() => told.to_owned(),
        ("", _) => format!("\"{}\" returned false", rule.expression),
        (message, _) => message.to_owned(),
    }
}

fn element(element: FieldPathElement) -> PathElement {
    let kind = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok()).unwrap_or_default();
    let entry = match (kind(element.key_type), kind(element.value_type)) {
        (0, 0) => None,
        entry => Some(entry),
    };
    PathElement {
        number: element.field_number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
        kind: kind(element.field_type),
        name: element.field_name.unwrap_or_default(),
        entry,
        subscript: element.subscript.map(|subscript| match subscript {
            field_path_element::Subscript::Index(index) => Subscript::Index(index),
            field_path_element::Subscript::BoolKey(key) => Subscript::Bool(key),
            field_path_element::Subscript::IntKey(key) => Subscript::Int(key),
            field_path_element::Subscript::UintKey(key) => Subscript::Uint(key),
            field_path_element::Subscript::StringKey(key) => Subscript::String(key),
        }),
    }
}
