//! Broken rules as error details that fit into a header block: `google.rpc.BadRequest` for everyone's tools, and
//! `buf.validate.Violations` for those who know protovalidate.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::violation::{PathElement, RuleViolation, Subscript, violations};
use super::{Any, FieldViolation, bad_request};

/// What callers are told of the rules that their message breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDetails {
    /// For people: the first broken rule and how many more there are. At most some 700 bytes.
    pub text: String,
    /// `google.rpc.BadRequest` and `buf.validate.Violations`, both of the same rules.
    pub details: [Any; 2],
    /// How many of the broken rules the details name; the first ones.
    pub told: usize,
}

/// The most bytes that the two details have together. gRPC tells them in one field, in base64 and beside the text: with
/// all of it a header block stays below 8 KiB, the least that common peers take (grpc-java, C-core, nginx).
pub const MOST_DETAILS: usize = 3 << 10;

/// The longest text that is taken over from a rule or from a map's key, in bytes; peers may decide what is in both.
const LONGEST: usize = 256;

/// The longest path in a text, in bytes.
const LONGEST_PATH: usize = 384;

// === impl RuleDetails ===

impl RuleDetails {
    /// Tells as many of these as fit, the first ones, and at least the first.
    pub fn of(broken: &[RuleViolation]) -> RuleDetails {
        let (mut told, mut fields, mut size) = (Vec::new(), Vec::new(), 0);
        for violation in broken {
            let mut brief = violation.brief();
            let mut field = FieldViolation { field: brief.short_path(), description: brief.description().to_owned() };
            let mut needed = size_of(&brief, &field);
            if told.is_empty() && needed > MOST_DETAILS {
                // a place so deep that it alone is too much: the rule is told, and as much of the place as a text has
                (brief.field, brief.rule) = (Vec::new(), Vec::new());
                shorten(&mut field.field, LONGEST_PATH);
                needed = size_of(&brief, &field);
            }
            if !told.is_empty() && size + needed > MOST_DETAILS {
                break;
            }
            size += needed;
            told.push(brief);
            fields.push(field);
        }
        let text = fields.first().map(|first| text(first, broken.len(), told.len())).unwrap_or_default();
        RuleDetails { text, told: told.len(), details: [bad_request(&fields), violations(&told)] }
    }
}

fn text(first: &FieldViolation, all: usize, told: usize) -> String {
    let mut text = first.field.clone();
    shorten(&mut text, LONGEST_PATH);
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(&first.description);
    // writing to a String cannot fail
    let _ = match all {
        0 | 1 => Ok(()),
        2 => write!(text, " (and 1 more rule is broken"),
        _ => write!(text, " (and {} more rules are broken", all - 1),
    };
    if told < all {
        let _ = write!(text, "; the details hold {told} of {all} found");
    }
    if all > 1 {
        text.push(')');
    }
    text
}

/// Bytes in both details, with the tags and lengths around them.
fn size_of(violation: &RuleViolation, field: &FieldViolation) -> usize {
    /// A tag and a length of two bytes each are more than any part of this size has.
    const AROUND: usize = 4;
    field.field.len() + field.description.len() + 3 * AROUND + violation.encode().len() + AROUND
}

// === impl RuleViolation, told to people ===

impl RuleViolation {
    /// What is wrong, for people: the rule's own message, or which rule it is.
    pub fn description(&self) -> &str {
        if self.message.is_empty() { &self.rule_id } else { &self.message }
    }

    /// Where, and which rule, without a word of what the value is but for a map's key, shortened: for logs, and for those
    /// who did not write the message. At most some 700 bytes.
    pub fn place_and_rule(&self) -> String {
        let mut text = self.brief().short_path();
        shorten(&mut text, LONGEST_PATH);
        let mut rule = Cow::Borrowed(self.rule_id.as_str());
        if rule.len() > LONGEST {
            shorten(rule.to_mut(), LONGEST);
        }
        match text.is_empty() {
            true => rule.into_owned(),
            false => format!("{text} ({rule})"),
        }
    }

    /// The same with no text longer than [`LONGEST`].
    fn brief(&self) -> RuleViolation {
        let mut brief = RuleViolation {
            field: self.field.iter().map(PathElement::brief).collect(),
            rule: self.rule.iter().map(PathElement::brief).collect(),
            rule_id: shortened(&self.rule_id),
            message: shortened(&self.message),
            for_key: self.for_key,
        };
        if brief.rule_id.is_empty() && brief.message.is_empty() {
            // a rule that says nothing of itself still says where it stands
            brief.message = "breaks a rule".to_owned();
        }
        brief
    }

    /// [`RuleViolation::field_path`] of a brief one, at most [`MOST_DETAILS`] bytes of it.
    fn short_path(&self) -> String {
        let mut path = self.field_path();
        shorten(&mut path, MOST_DETAILS);
        path
    }
}

impl PathElement {
    fn brief(&self) -> PathElement {
        let subscript = match &self.subscript {
            Some(Subscript::String(key)) => Some(Subscript::String(shortened(key))),
            other => other.clone(),
        };
        PathElement { name: self.name.clone(), subscript, ..*self }
    }
}

/// The text, or its beginning and an ellipsis.
fn shortened(text: &str) -> String {
    match text.len() > LONGEST {
        true => format!("{}…", text.get(..boundary(text, LONGEST)).unwrap_or_default()),
        false => text.to_owned(),
    }
}

/// Cuts a text that is longer than this down to it and puts an ellipsis behind.
fn shorten(text: &mut String, longest: usize) {
    if text.len() > longest {
        text.truncate(boundary(text, longest));
        text.push('…');
    }
}

/// The end of the last character that ends within so many bytes.
fn boundary(text: &str, longest: usize) -> usize {
    (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Status, encode_status};
    use super::*;

    fn broken(path: &str, rule: &str, message: &str) -> RuleViolation {
        let step = |name: &str| PathElement { number: 1, name: name.into(), kind: 9, ..PathElement::default() };
        RuleViolation {
            field: path.split('.').filter(|name| !name.is_empty()).map(step).collect(),
            rule: rule.split('.').map(step).collect(),
            rule_id: rule.into(),
            message: message.into(),
            for_key: false,
        }
    }

    /// What gRPC's fields take of a header block.
    fn header_block(details: &RuleDetails) -> usize {
        let mut status = Status::new(Code::InvalidArgument, details.text.clone());
        status.details = details.details.to_vec();
        let bin = encode_status(&status).len().div_ceil(3) * 4;
        // each byte of a text that is not ASCII takes three
        bin + 3 * details.text.len() + 3 * (32 + "grpc-status-details-bin".len())
    }

    #[test]
    fn one_broken_rule_is_told_by_place_and_message() {
        let one = [broken("order.name", "string.min_len", "value length must be at least 3 characters")];
        let told = RuleDetails::of(&one);
        assert_eq!(told.text, "order.name: value length must be at least 3 characters");
        assert_eq!(told.told, 1);
        assert_eq!(told.details[1], violations(&one));
        let field = FieldViolation {
            field: "order.name".into(),
            description: "value length must be at least 3 characters".into(),
        };
        assert_eq!(told.details[0], bad_request(&[field]));
    }

    #[test]
    fn a_rule_without_a_message_is_told_by_its_id_and_a_message_as_a_whole_without_a_place() {
        assert_eq!(RuleDetails::of(&[broken("", "order.total", "")]).text, "order.total");
        let two = [broken("a", "string.email", ""), broken("b", "required", "")];
        assert_eq!(RuleDetails::of(&two).text, "a: string.email (and 1 more rule is broken)");
        assert_eq!(RuleDetails::of(&[RuleViolation::default()]).text, "breaks a rule");
        assert_eq!(RuleDetails::of(&[]).text, "");
    }

    #[test]
    fn however_many_and_however_long_they_are_a_header_block_holds_them() {
        let many: Vec<_> =
            (0..1000).map(|i| broken(&format!("items.f{i}"), "string.min_len", "value is too short")).collect();
        let told = RuleDetails::of(&many);
        assert!((10..100).contains(&told.told), "{}", told.told);
        let end = format!(" (and 999 more rules are broken; the details hold {} of 1000 found)", told.told);
        assert!(told.text.ends_with(&end), "{}", told.text);
        assert_eq!(told.details[1], violations(&many[..told.told]));
        assert!(header_block(&told) < 8 << 10, "{}", header_block(&told));

        let mut long = broken("a", "x", &"ä".repeat(1 << 20));
        long.field[0].subscript = Some(Subscript::String("ö\"".repeat(1 << 20)));
        let deep = broken(&["a_field_name_of_some_length"; 100].join("."), "string.min_len", &"é".repeat(3000));
        for one in [long, deep] {
            let told = RuleDetails::of(&vec![one.clone(); 3]);
            assert!(header_block(&told) < 8 << 10, "{}", header_block(&told));
            assert!(told.told > 0 && told.text.contains('…'), "{}", told.text);
            assert!(one.place_and_rule().len() < 800);
        }
    }

    #[test]
    fn what_is_for_logs_holds_no_message_of_a_rule() {
        let mut one = broken("labels", "string.email", "joe@ is no address");
        one.field[0].subscript = Some(Subscript::String("home".into()));
        assert_eq!(one.place_and_rule(), "labels[\"home\"] (string.email)");
        assert_eq!(broken("", "order.total", "").place_and_rule(), "order.total");
    }
}
