//! Templates as paths of OpenAPI, whose parameters are whole segments without a slash in them.
//!
//! - `{name}` and `{name=*}` are a parameter `name`.
//! - `{name=shelves/*/books/*}` is `shelves/{shelf}/books/{book}`: each `*` is a parameter called after the literal before
//!   it; together they are the variable.
//! - `**` is one parameter, which may hold slashes. OpenAPI has no word for that; the description says it.
//! - a wildcard outside of variables is a parameter that fills nothing.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::catalog::{Segment, Template, TemplateVariable};

/// What cannot stand in a segment as it is (RFC 3986, `pchar`), and what OpenAPI reads as a parameter.
pub(in crate::describe) const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A template as a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathForm {
    /// With `{}` for each parameter: two paths that differ in names alone are one to OpenAPI.
    pub shape: String,
    pub parameters: Vec<PathParameter>,
}

/// One parameter of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathParameter {
    pub name: String,
    /// The variable that it is, or is a part of.
    pub variable: Option<usize>,
    /// It is all of the variable.
    pub is_whole: bool,
    /// `**`: it may hold slashes, or nothing.
    pub is_rest: bool,
}

// === impl PathForm ===

impl PathForm {
    pub fn of(template: &Template) -> PathForm {
        let mut form = PathForm { shape: String::new(), parameters: Vec::new() };
        for (at, segment) in template.segments.iter().enumerate() {
            form.shape.push('/');
            let Segment::Literal(text) = segment else {
                form.shape.push_str("{}");
                let parameter = parameter(template, at, *segment == Segment::DoubleStar, &form.parameters);
                form.parameters.push(parameter);
                continue;
            };
            form.shape.extend(utf8_percent_encode(text, ENCODED));
        }
        if form.shape.is_empty() {
            form.shape.push('/');
        }
        if let Some(verb) = &template.verb {
            form.shape.push(':');
            form.shape.extend(utf8_percent_encode(verb, ENCODED));
        }
        form
    }

    /// The path with these names in it.
    pub fn named<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> String {
        let mut path = String::new();
        let mut names = names.into_iter();
        for (i, part) in self.shape.split("{}").enumerate() {
            if i > 0 {
                path.push('{');
                path.push_str(names.next().unwrap_or_default());
                path.push('}');
            }
            path.push_str(part);
        }
        path
    }
}

fn parameter(template: &Template, at: usize, is_rest: bool, known: &[PathParameter]) -> PathParameter {
    let covers = |variable: &TemplateVariable| (variable.start..variable.end).contains(&at);
    let variable = template.variables.iter().position(covers);
    let of = variable.and_then(|index| template.variables.get(index));
    let is_whole = of.is_some_and(|variable| variable.end - variable.start == 1);
    let before = at.checked_sub(1).and_then(|before| template.segments.get(before));
    let wanted = match (of, before) {
        (Some(variable), _) if is_whole => variable.path.to_string(),
        (Some(_), Some(Segment::Literal(text))) if names_a_collection(text) && !is_rest => singular(text),
        (Some(variable), _) if is_rest => format!("{}_rest", variable.path),
        (Some(variable), _) => format!("{}_part", variable.path),
        (None, _) => "wildcard".to_owned(),
    };
    let mut name = wanted.clone();
    for number in 2.. {
        if !known.iter().any(|other| other.name == name) {
            break;
        }
        name = format!("{wanted}_{number}");
    }
    PathParameter { name, variable, is_whole, is_rest }
}

/// An identifier, but for versions as `v1` and `v2beta1`.
fn names_a_collection(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_version = text.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_ascii_digit()) && !is_version
}

/// One of several, by the usual endings of English: `shelves`, `categories`, `addresses`, `books`.
fn singular(plural: &str) -> String {
    let cut = |count: usize| plural.get(..plural.len().saturating_sub(count)).unwrap_or(plural);
    if plural.ends_with("ies") && plural.len() > 4 {
        format!("{}y", cut(3))
    } else if plural.ends_with("lves") && !plural.ends_with("valves") {
        format!("{}f", cut(3))
    } else if ["sses", "shes", "ches", "xes"].iter().any(|ending| plural.ends_with(ending)) {
        cut(2).to_owned()
    } else if plural.ends_with('s') && !["ss", "us", "is"].iter().any(|ending| plural.ends_with(ending)) {
        cut(1).to_owned()
    } else {
        plural.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str) -> String {
        let form = PathForm::of(&Template::parse(template).unwrap());
        form.named(form.parameters.iter().map(|parameter| &*parameter.name))
    }

    #[test]
    fn variables_of_several_segments_become_a_parameter_for_each() {
        for (template, expected) in [
            ("/", "/"),
            ("/v1/shelves", "/v1/shelves"),
            ("/v1/shelves:all", "/v1/shelves:all"),
            ("/v1/{id}", "/v1/{id}"),
            ("/v1/{book.name=*}:move", "/v1/{book.name}:move"),
            ("/v1/{name=shelves/*}", "/v1/shelves/{shelf}"),
            ("/v1/{name=shelves/*/books/*}:move", "/v1/shelves/{shelf}/books/{book}:move"),
            ("/v1/{name=users/*/users/*}", "/v1/users/{user}/users/{user_2}"),
            ("/v1/{name=*/*}", "/v1/{name_part}/{name_part_2}"),
            ("/v1/{name=**}", "/v1/{name}"),
            ("/v1/{path=files/**}/content", "/v1/files/{path_rest}/content"),
            ("/v1/*/x", "/v1/{wildcard}/x"),
            ("/a%20b/{x}", "/a%20b/{x}"),
        ] {
            assert_eq!(path(template), expected, "{template}");
        }
    }

    #[test]
    fn endings_of_english_are_cut() {
        for (plural, expected) in [
            ("books", "book"),
            ("shelves", "shelf"),
            ("caves", "cave"),
            ("categories", "category"),
            ("addresses", "address"),
            ("status", "status"),
            ("analysis", "analysis"),
            ("boxes", "box"),
            ("series", "sery"),
            ("keyRings", "keyRing"),
            ("info", "info"),
        ] {
            assert_eq!(singular(plural), expected);
        }
    }
}
