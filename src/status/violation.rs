//! Rules of `buf.validate` (protovalidate) that a message breaks, and `buf.validate.Violations`, the error detail that
//! says so to programs.

use std::fmt::Write as _;

use super::Any;
use crate::wire::{put_bytes, put_uint};

/// One rule that a message breaks (`buf.validate.Violation`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RuleViolation {
    /// Which value breaks it, from the outermost message inwards; empty: the message as a whole.
    pub field: Vec<PathElement>,
    /// Which rule, as a path into `buf.validate.FieldRules` (or `MessageRules`, `OneofRules`).
    pub rule: Vec<PathElement>,
    /// Stable, for programs: `string.min_len`, or the id that a CEL rule gives itself.
    pub rule_id: String,
    /// For people; may be empty.
    pub message: String,
    /// Whether it is the key of the map's entry that breaks it, not the value.
    pub for_key: bool,
}

/// One step of a path (`buf.validate.FieldPathElement`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PathElement {
    /// 0: a step that is no field (a oneof).
    pub number: u32,
    /// In proto spelling; of an extension its full name in brackets.
    pub name: String,
    /// A number of `google.protobuf.FieldDescriptorProto.Type`; 0: a step that is no field.
    pub kind: u8,
    /// For a map, the types of its keys and values.
    pub entry: Option<(u8, u8)>,
    pub subscript: Option<Subscript>,
}

/// Which element of a list, which entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscript {
    Index(u64),
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(String),
}

// === impl RuleViolation ===

impl RuleViolation {
    /// The value's path as people write it: `order.items[3].name`, `labels["x"]`.
    pub fn field_path(&self) -> String {
        let mut path = String::new();
        for element in &self.field {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&element.name);
            // writing to a String cannot fail
            let _ = match &element.subscript {
                None => Ok(()),
                Some(Subscript::Index(index)) => write!(path, "[{index}]"),
                Some(Subscript::Bool(key)) => write!(path, "[{key}]"),
                Some(Subscript::Int(key)) => write!(path, "[{key}]"),
                Some(Subscript::Uint(key)) => write!(path, "[{key}]"),
                Some(Subscript::String(key)) => write!(path, "[{key:?}]"),
            };
        }
        path
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 2, self.rule_id.as_bytes());
        if !self.message.is_empty() {
            put_bytes(&mut out, 3, self.message.as_bytes());
        }
        if self.for_key {
            put_uint(&mut out, 4, 1);
        }
        for (number, path) in [(5, &self.field), (6, &self.rule)] {
            if !path.is_empty() {
                put_bytes(&mut out, number, &encode_path(path));
            }
        }
        out
    }
}

/// `buf.validate.Violations` with these violations: what goes into an error's details.
pub fn violations(broken: &[RuleViolation]) -> Any {
    Any::of("buf.validate.Violations", encode_violations(broken))
}

/// `buf.validate.Violations`, encoded.
pub fn encode_violations(broken: &[RuleViolation]) -> Vec<u8> {
    let mut out = Vec::new();
    for violation in broken {
        put_bytes(&mut out, 1, &violation.encode());
    }
    out
}

fn encode_path(path: &[PathElement]) -> Vec<u8> {
    let mut out = Vec::new();
    for element in path {
        put_bytes(&mut out, 1, &element.encode());
    }
    out
}

// === impl PathElement ===

impl PathElement {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.number != 0 {
            put_uint(&mut out, 1, u64::from(self.number));
        }
        put_bytes(&mut out, 2, self.name.as_bytes());
        if self.kind != 0 {
            put_uint(&mut out, 3, u64::from(self.kind));
        }
        if let Some((key, value)) = self.entry {
            put_uint(&mut out, 4, u64::from(key));
            put_uint(&mut out, 5, u64::from(value));
        }
        match &self.subscript {
            None => {}
            Some(Subscript::Index(index)) => put_uint(&mut out, 6, *index),
            Some(Subscript::Bool(key)) => put_uint(&mut out, 7, u64::from(*key)),
            // two's complement, as int64 is encoded
            Some(Subscript::Int(key)) => put_uint(&mut out, 8, key.cast_unsigned()),
            Some(Subscript::Uint(key)) => put_uint(&mut out, 9, *key),
            Some(Subscript::String(key)) => put_bytes(&mut out, 10, key.as_bytes()),
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, number: u32, subscript: Option<Subscript>) -> PathElement {
        PathElement { number, name: name.into(), kind: 11, entry: None, subscript }
    }

    #[test]
    fn paths_read_as_people_write_them() {
        let mut violation = RuleViolation::default();
        assert_eq!(violation.field_path(), "");
        violation.field = vec![
            step("order", 1, None),
            step("items", 2, Some(Subscript::Index(3))),
            step("labels", 3, Some(Subscript::String("a\"b".into()))),
            step("by_id", 4, Some(Subscript::Int(-7))),
        ];
        assert_eq!(violation.field_path(), r#"order.items[3].labels["a\"b"].by_id[-7]"#);
    }

    #[test]
    fn the_detail_is_encoded_as_the_proto_file_says() {
        let violation = RuleViolation {
            field: vec![PathElement {
                number: 3,
                name: "m".into(),
                kind: 11,
                entry: Some((9, 5)),
                subscript: Some(Subscript::Int(-1)),
            }],
            rule: vec![step("r", 4, None)],
            rule_id: "id".into(),
            message: "no".into(),
            for_key: true,
        };
        let path = b"\x08\x03\x12\x01m\x18\x0b\x20\x09\x28\x05\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let mut expected = b"\x12\x02id\x1a\x02no\x20\x01".to_vec();
        expected.extend_from_slice(&[0x2a, path.len() as u8 + 2, 0x0a, path.len() as u8]);
        expected.extend_from_slice(path);
        expected.extend_from_slice(b"\x32\x09\x0a\x07\x08\x04\x12\x01r\x18\x0b");
        let any = violations(&[violation]);
        assert_eq!(any.type_name(), "buf.validate.Violations");
        assert_eq!(any.value[2..], expected);
    }
}
