//! Path templates of `google.api.http`, parsed.
//!
//! Grammar (google/api/http.proto): `Template = "/" Segments [ Verb ]`; `Segment = "*" | "**" | LITERAL | Variable`;
//! `Variable = "{" FieldPath [ "=" Segments ] "}"`. Against the letter of that file, but with googleapis' own rules,
//! segments may follow `**` (once per template), and the template `/` alone is allowed.

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The template as written.
    pub text: Box<str>,
    pub segments: Box<[Segment]>,
    /// What stands behind the last `:`, without it.
    pub verb: Option<Box<str>>,
    pub variables: Box<[TemplateVariable]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Percent-decoded text.
    Literal(Box<str>),
    /// `*`: exactly one segment.
    Star,
    /// `**`: zero or more segments.
    DoubleStar,
}

/// A variable of a template: which segments it spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVariable {
    /// Dotted field path as written.
    pub path: Box<str>,
    /// First segment that it spans.
    pub start: usize,
    /// One behind the last segment that it spans.
    pub end: usize,
    /// More than one segment, or `**`: `%2F` stays encoded (http.proto).
    pub multi: bool,
}
