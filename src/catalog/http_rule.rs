//! HTTP rules, from annotations and from the configuration, brought into one form.
//!
//! The annotation is read from the option's bytes by hand: that needs no descriptor of `google.api.HttpRule`, of which
//! people's trees hold many versions.

use super::mistake::{Mistake, Place};
use super::records::{Damaged, Records};
use super::service::Verb;

/// Rules for the methods that a selector names (`google.api.HttpRule`, or the configuration's form of it).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRule {
    /// `pkg.Service.Method`, or `pkg.Service.*`, `pkg.*`, `*`. Not looked at in annotations.
    pub selector: String,
    /// Whether it adds to what the method has. Otherwise it replaces that, as in a service configuration.
    pub add: bool,
    /// The rule itself and its `additional_bindings`.
    pub bindings: Vec<RuleBinding>,
    pub place: Option<Place>,
}

/// One way of a rule: a verb, a template, and where bodies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleBinding {
    pub verb: Verb,
    pub template: String,
    /// `*`, the name of a field, or empty.
    pub body: String,
    /// The name of a field, or empty.
    pub response_body: String,
}

/// Why the bytes of a `google.api.http` option are no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleError {
    Damaged,
    NoPath,
    BadVerb,
    Nested,
}

/// Field numbers of `google.api.HttpRule`.
mod tag {
    pub const GET: u32 = 2;
    pub const PUT: u32 = 3;
    pub const POST: u32 = 4;
    pub const DELETE: u32 = 5;
    pub const PATCH: u32 = 6;
    pub const BODY: u32 = 7;
    pub const CUSTOM: u32 = 8;
    pub const ADDITIONAL: u32 = 11;
    pub const RESPONSE_BODY: u32 = 12;
}

// === impl HttpRule ===

impl HttpRule {
    /// A rule with one binding, which replaces what the method has.
    pub fn new(selector: impl Into<String>, verb: Verb, template: impl Into<String>) -> HttpRule {
        HttpRule {
            selector: selector.into(),
            add: false,
            bindings: vec![RuleBinding::new(verb, template)],
            place: None,
        }
    }

    /// Whether the selector names this method (`pkg.Service.Method`).
    pub fn selects(&self, method: &str) -> bool {
        match self.selector.strip_suffix('*') {
            Some("") => true,
            Some(prefix) => prefix.ends_with('.') && method.starts_with(prefix),
            None => self.selector == method,
        }
    }

    /// Puts the rules of a configuration over the bindings of a method's annotation: of several that do not `add` the
    /// last wins (google/api/service.proto, "http.rules").
    pub(super) fn unite<'a>(
        annotation: Vec<RuleBinding>,
        place: &'a Place,
        rules: impl Iterator<Item = &'a HttpRule>,
    ) -> Vec<(RuleBinding, &'a Place)> {
        let mut united: Vec<_> = annotation.into_iter().map(|binding| (binding, place)).collect();
        for rule in rules {
            if !rule.add {
                united.clear();
            }
            let place = rule.place.as_ref().unwrap_or(place);
            united.extend(rule.bindings.iter().map(|binding| (binding.clone(), place)));
        }
        united
    }
}

// === impl RuleBinding ===

impl RuleBinding {
    pub fn new(verb: Verb, template: impl Into<String>) -> RuleBinding {
        RuleBinding { verb, template: template.into(), body: String::new(), response_body: String::new() }
    }

    /// Reads an encoded `google.api.HttpRule`: the rule and its `additional_bindings`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Vec<RuleBinding>, RuleError> {
        let mut bindings = vec![RuleBinding::new(Verb::Any, "")];
        let (mut found, mut additional) = (None, Vec::new());
        for record in Records::new(bytes) {
            let record = record?;
            let Some(first) = bindings.first_mut() else { break };
            match record.number {
                tag::GET => found = Some((http::Method::GET.into(), text(record.bytes(tag::GET))?)),
                tag::PUT => found = Some((http::Method::PUT.into(), text(record.bytes(tag::PUT))?)),
                tag::POST => found = Some((http::Method::POST.into(), text(record.bytes(tag::POST))?)),
                tag::DELETE => found = Some((http::Method::DELETE.into(), text(record.bytes(tag::DELETE))?)),
                tag::PATCH => found = Some((http::Method::PATCH.into(), text(record.bytes(tag::PATCH))?)),
                tag::CUSTOM => found = Some(custom(record.bytes(tag::CUSTOM).ok_or(RuleError::Damaged)?)?),
                tag::BODY => first.body = text(record.bytes(tag::BODY))?,
                tag::RESPONSE_BODY => first.response_body = text(record.bytes(tag::RESPONSE_BODY))?,
                tag::ADDITIONAL => additional.push(record.bytes(tag::ADDITIONAL).ok_or(RuleError::Damaged)?),
                _ => (),
            }
        }
        let (verb, template) = found.ok_or(RuleError::NoPath)?;
        if let Some(first) = bindings.first_mut() {
            first.verb = verb;
            first.template = template;
        }
        for bytes in additional {
            if has_additional(bytes)? {
                return Err(RuleError::Nested);
            }
            bindings.extend(RuleBinding::decode(bytes)?);
        }
        Ok(bindings)
    }
}

fn has_additional(bytes: &[u8]) -> Result<bool, RuleError> {
    for record in Records::new(bytes) {
        if record?.number == tag::ADDITIONAL {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `google.api.CustomHttpPattern`: kind = 1, path = 2.
fn custom(bytes: &[u8]) -> Result<(Verb, String), RuleError> {
    let (mut kind, mut path) = (String::new(), String::new());
    for record in Records::new(bytes) {
        let record = record?;
        match record.number {
            1 => kind = text(record.bytes(1))?,
            2 => path = text(record.bytes(2))?,
            _ => (),
        }
    }
    Ok((Verb::parse(&kind).ok_or(RuleError::BadVerb)?, path))
}

fn text(bytes: Option<&[u8]>) -> Result<String, RuleError> {
    bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).ok_or(RuleError::Damaged)
}

// === impl RuleError ===

impl RuleError {
    pub(super) fn mistake(self) -> Mistake {
        match self {
            RuleError::Damaged => Mistake::new("the google.api.http option is damaged"),
            RuleError::NoPath => Mistake::new("the google.api.http option has no path")
                .hint("set one of get, put, post, delete, patch or custom"),
            RuleError::BadVerb => Mistake::new("the kind of a custom google.api.http pattern is no HTTP method")
                .hint("use a method's name as in HEAD, or * for any"),
            RuleError::Nested => Mistake::new("additional_bindings must not have additional_bindings")
                .hint("list them all in the first rule"),
        }
    }
}

impl From<Damaged> for RuleError {
    fn from(_: Damaged) -> RuleError {
        RuleError::Damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    fn rule(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, value) in fields {
            put_bytes(&mut bytes, *number, value);
        }
        bytes
    }

    #[test]
    fn a_rule_and_its_additional_bindings_are_read() {
        let more = rule(&[(tag::CUSTOM, &rule(&[(1, b"*"), (2, b"/b")])), (tag::RESPONSE_BODY, b"out")]);
        let bytes = rule(&[(tag::ADDITIONAL, &more), (tag::POST, b"/a"), (tag::BODY, b"*")]);
        let bindings = RuleBinding::decode(&bytes).unwrap();
        let seen: Vec<_> = bindings.iter().map(|b| (&b.verb, &*b.template, &*b.body, &*b.response_body)).collect();
        assert_eq!(seen, [(&http::Method::POST.into(), "/a", "*", ""), (&Verb::Any, "/b", "", "out")]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let nested = rule(&[(tag::GET, b"/c"), (tag::ADDITIONAL, &rule(&[(tag::GET, b"/d")]))]);
        for (bytes, error) in [
            (rule(&[]), RuleError::NoPath),
            (rule(&[(tag::BODY, b"*")]), RuleError::NoPath),
            (rule(&[(tag::GET, b"/a"), (tag::ADDITIONAL, &nested)]), RuleError::Nested),
            (rule(&[(tag::GET, b"\xff")]), RuleError::Damaged),
            (rule(&[(tag::CUSTOM, &rule(&[(1, b"a b"), (2, b"/x")]))]), RuleError::BadVerb),
            (vec![0x12, 0x05, b'/'], RuleError::Damaged),
        ] {
            assert_eq!(RuleBinding::decode(&bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn selectors_are_exact_or_end_in_a_wildcard() {
        let selects = |selector: &str, method: &str| HttpRule::new(selector, Verb::Any, "/").selects(method);
        assert!(selects("a.S.M", "a.S.M"));
        assert!(selects("a.S.*", "a.S.M"));
        assert!(selects("a.*", "a.S.M"));
        assert!(selects("*", "a.S.M"));
        assert!(!selects("a.S", "a.S.M"));
        assert!(!selects("a.S*", "a.S.M"));
        assert!(!selects("a.S.N", "a.S.M"));
    }

    #[test]
    fn a_configured_rule_replaces_the_annotation_unless_it_adds() {
        let annotation = vec![RuleBinding::new(Verb::Any, "/annotation")];
        let place = Place::new("a.proto", 1, 1);
        let first = HttpRule::new("*", Verb::Any, "/first");
        let added = HttpRule { add: true, ..HttpRule::new("*", Verb::Any, "/added") };
        let unite = |rules: &[HttpRule]| {
            let united = HttpRule::unite(annotation.clone(), &place, rules.iter());
            united.into_iter().map(|(binding, _)| binding.template).collect::<Vec<_>>()
        };
        assert_eq!(unite(&[]), ["/annotation"]);
        assert_eq!(unite(std::slice::from_ref(&added)), ["/annotation", "/added"]);
        assert_eq!(unite(std::slice::from_ref(&first)), ["/first"]);
        assert_eq!(unite(&[added.clone(), first, added]), ["/first", "/added"]);
    }
}
