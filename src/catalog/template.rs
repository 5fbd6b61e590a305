//! Path templates of `google.api.http`, parsed.
//!
//! Grammar (google/api/http.proto): `Template = "/" Segments [ Verb ]`; `Segment = "*" | "**" | LITERAL | Variable`;
//! `Variable = "{" FieldPath [ "=" Segments ] "}"`. Against the letter of that file, but with googleapis' own rules,
//! segments may follow `**` (once per template), and the template `/` alone is allowed.
//!
//! One `**` per template is what keeps matching cheap: how much it spans follows from the length of the path, so that
//! no path, however hostile, makes a matcher try combinations.

use std::borrow::Cow;
use std::fmt::{self, Write};

use percent_encoding::percent_decode_str;

/// Segments that one template may have; the longest known one has 16.
const MAX_SEGMENTS: usize = 128;

/// Bytes of one decoded literal or verb: lets a matcher decode into a buffer on its stack.
pub const MAX_LITERAL: usize = 255;

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

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the template.
    pub offset: usize,
    pub text: Cow<'static, str>,
}

struct Parser<'a> {
    text: &'a str,
    /// Where the segments end: before the verb.
    end: usize,
    at: usize,
    segments: Vec<Segment>,
    variables: Vec<TemplateVariable>,
}

// === impl Template ===

impl Template {
    /// Parses a template. The error tells the byte at which the text stops to be one.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let colon = verb_colon(text);
        let mut parser =
            Parser { text, end: colon.unwrap_or(text.len()), at: 0, segments: Vec::new(), variables: Vec::new() };
        parser.template()?;
        let verb = match colon {
            Some(colon) => Some(literal(text, colon + 1, text.len(), "a verb")?),
            None => None,
        };
        Ok(Template { text: text.into(), segments: parser.segments.into(), verb, variables: parser.variables.into() })
    }

    /// Index of its `**`, if it has one.
    pub fn double_star(&self) -> Option<usize> {
        self.segments.iter().position(|segment| *segment == Segment::DoubleStar)
    }
}

/// Written anew from its parts, in the one form that each template has: `{a=*}` is `{a}`, and only what must be is
/// percent-encoded. Reads back as the same parts.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            f.write_str("/")?;
        }
        let mut variables = self.variables.iter().peekable();
        for (at, segment) in self.segments.iter().enumerate() {
            f.write_str("/")?;
            let here = variables.peek().filter(|variable| variable.start == at);
            let bare = here.is_some_and(|variable| variable.end == at + 1 && *segment == Segment::Star);
            match here {
                Some(variable) if bare => write!(f, "{{{}", variable.path)?,
                Some(variable) => write!(f, "{{{}=", variable.path)?,
                None => {}
            }
            match segment {
                Segment::Literal(text) => write_literal(f, text)?,
                Segment::Star if bare => {}
                Segment::Star => f.write_str("*")?,
                Segment::DoubleStar => f.write_str("**")?,
            }
            if variables.next_if(|variable| variable.end == at + 1).is_some() {
                f.write_str("}")?;
            }
        }
        match &self.verb {
            None => Ok(()),
            Some(verb) => {
                f.write_str(":")?;
                write_literal(f, verb)
            }
        }
    }
}

/// Encodes what would mean something else, or could not stand there.
fn write_literal(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut bytes = [0; 4];
    for c in text.chars() {
        let special = matches!(c, '/' | ':' | '{' | '}' | '*' | '?' | '#' | '"' | '\\' | '%' | '=');
        if !special && !c.is_whitespace() && !c.is_control() {
            f.write_char(c)?;
            continue;
        }
        for byte in c.encode_utf8(&mut bytes).bytes() {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// The colon that a verb stands behind: in the last segment, behind the variable or wildcard that this is, else its last
/// one. So the verb of `/{name}:a:b` is `a:b`, as nothing else can stand there; that of `/a:b:c` is `c`.
fn verb_colon(text: &str) -> Option<usize> {
    let tail = text.rfind(['/', '}']).unwrap_or(0);
    let behind = text.get(tail..)?;
    let closed = behind.rfind(['}', '*']).filter(|at| behind.get(at + 1..).is_some_and(|rest| rest.starts_with(':')));
    let colon = closed.map(|at| at + 1).or_else(|| behind.rfind(':'))?;
    Some(tail + colon)
}

// === impl Parser ===

impl Parser<'_> {
    fn template(&mut self) -> Result<(), TemplateError> {
        if !self.text.starts_with('/') {
            return Err(TemplateError::new(0, "a template starts with \"/\""));
        }
        self.at = 1;
        if self.text.len() == 1 {
            return Ok(());
        }
        self.segments(false)?;
        match self.peek() {
            None => Ok(()),
            Some(found) => Err(self.unexpected(found, "expected \"/\", \":\" or the end")),
        }
    }

    /// `Segment { "/" Segment }`, up to what does not belong to it.
    fn segments(&mut self, inside: bool) -> Result<(), TemplateError> {
        loop {
            self.segment(inside)?;
            if self.peek() != Some('/') {
                return Ok(());
            }
            self.at += 1;
        }
    }

    fn segment(&mut self, inside: bool) -> Result<(), TemplateError> {
        if self.segments.len() == MAX_SEGMENTS {
            return Err(TemplateError::new(self.at, format!("more than {MAX_SEGMENTS} segments")));
        }
        match self.peek() {
            None | Some('/') => Err(TemplateError::new(self.at, "a segment is empty")),
            Some('{') if inside => Err(TemplateError::new(self.at, "variables do not nest")),
            Some('{') => self.variable(),
            Some('*') => self.star(),
            Some(_) => {
                let end = self.until(if inside { &['/', '}', '{', '*'] } else { &['/', '{', '}', '*'] });
                if let Some(found @ ('{' | '*')) = self.peek_at(end) {
                    self.at = end;
                    return Err(
                        self.unexpected(found, "a segment is a literal, or a wildcard, or a variable as a whole")
                    );
                }
                let text = literal(self.text, self.at, end, "a segment")?;
                self.segments.push(Segment::Literal(text));
                self.at = end;
                Ok(())
            }
        }
    }

    fn star(&mut self) -> Result<(), TemplateError> {
        let start = self.at;
        self.at += 1;
        if self.peek() != Some('*') {
            self.segments.push(Segment::Star);
            return Ok(());
        }
        self.at += 1;
        if self.segments.contains(&Segment::DoubleStar) {
            return Err(TemplateError::new(start, "only one \"**\" per template"));
        }
        self.segments.push(Segment::DoubleStar);
        Ok(())
    }

    fn variable(&mut self) -> Result<(), TemplateError> {
        let open = self.at;
        self.at += 1;
        let path_start = self.at;
        let path_end = self.until(&['=', '}', '/', '{']);
        let path = self.text.get(path_start..path_end).unwrap_or_default();
        check_field_path(path, path_start)?;
        if self.variables.iter().any(|variable| *variable.path == *path) {
            return Err(TemplateError::new(path_start, format!("variable {path:?} occurs twice")));
        }
        self.at = path_end;
        let start = self.segments.len();
        if self.peek() == Some('=') {
            self.at += 1;
            self.segments(true)?;
        } else {
            self.segments.push(Segment::Star);
        }
        match self.peek() {
            Some('}') => self.at += 1,
            Some(found) => return Err(self.unexpected(found, "expected \"/\" or \"}\"")),
            None => return Err(TemplateError::new(open, "the variable is not closed with \"}\"")),
        }
        let end = self.segments.len();
        let multi = end - start > 1 || self.segments[start..].contains(&Segment::DoubleStar);
        self.variables.push(TemplateVariable { path: path.into(), start, end, multi });
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.peek_at(self.at)
    }

    fn peek_at(&self, at: usize) -> Option<char> {
        self.text.get(at..self.end)?.chars().next()
    }

    /// Where the next of these characters stands, or the end of the segments.
    fn until(&self, stops: &[char]) -> usize {
        let rest = self.text.get(self.at..self.end).unwrap_or_default();
        rest.find(stops).map_or(self.end, |found| self.at + found)
    }

    fn unexpected(&self, found: char, text: &str) -> TemplateError {
        TemplateError::new(self.at, format!("{text}, found {found:?}"))
    }
}

/// Checks and decodes the literal at `start..end`; `what` names it in errors.
fn literal(text: &str, start: usize, end: usize, what: &str) -> Result<Box<str>, TemplateError> {
    let raw = text.get(start..end).unwrap_or_default();
    if raw.is_empty() {
        return Err(TemplateError::new(start, format!("{what} is empty")));
    }
    let foreign =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}' | '*' | '?' | '#' | '"' | '\\');
    if let Some((at, found)) = raw.char_indices().find(|&(_, c)| foreign(c)) {
        return Err(TemplateError::new(start + at, format!("{found:?} cannot stand in {what}")));
    }
    for (at, _) in raw.match_indices('%') {
        let digits = raw.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(TemplateError::new(start + at, "\"%\" without two hexadecimal digits"));
        }
    }
    match percent_decode_str(raw).decode_utf8() {
        Ok(decoded) if decoded.len() > MAX_LITERAL => {
            Err(TemplateError::new(start, format!("{what} is longer than {MAX_LITERAL} bytes")))
        }
        Ok(decoded) => Ok(decoded.into()),
        Err(_) => Err(TemplateError::new(start, format!("{what} does not decode to UTF-8"))),
    }
}

fn check_field_path(path: &str, offset: usize) -> Result<(), TemplateError> {
    if path.is_empty() {
        return Err(TemplateError::new(offset, "a variable needs the name of a field"));
    }
    let mut at = offset;
    for part in path.split('.') {
        let mut bytes = part.bytes();
        let sound = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !sound {
            return Err(TemplateError::new(at, format!("{part:?} is not the name of a field")));
        }
        at += part.len() + 1;
    }
    Ok(())
}

// === impl TemplateError ===

impl TemplateError {
    fn new(offset: usize, text: impl Into<Cow<'static, str>>) -> TemplateError {
        TemplateError { offset, text: text.into() }
    }
}

/// `at character 7: a segment is empty`.
impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.offset + 1, self.text)
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(text: &str) -> Segment {
        Segment::Literal(text.into())
    }

    #[track_caller]
    fn parse(text: &str) -> Template {
        Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[track_caller]
    fn refused(text: &str, offset: usize, needle: &str) {
        let error = Template::parse(text).expect_err(text);
        assert!(error.text.contains(needle), "{text}: {error}");
        assert_eq!(error.offset, offset, "{text}: {error}");
    }

    #[test]
    fn literals_wildcards_and_variables_are_read() {
        let template = parse("/v1/{name=shelves/*/books/*}/{page}");
        assert_eq!(
            *template.segments,
            [lit("v1"), lit("shelves"), Segment::Star, lit("books"), Segment::Star, Segment::Star]
        );
        let spans: Vec<_> = template.variables.iter().map(|v| (&*v.path, v.start, v.end, v.multi)).collect();
        assert_eq!(spans, [("name", 1, 5, true), ("page", 5, 6, false)]);
        assert_eq!(template.verb, None);
    }

    #[test]
    fn a_variable_over_one_segment_is_single_unless_it_is_a_double_star() {
        assert!(!parse("/{a=*}").variables[0].multi);
        assert!(!parse("/{a=x}").variables[0].multi);
        assert!(parse("/{a=**}").variables[0].multi);
        assert!(parse("/{a=x/*}").variables[0].multi);
    }

    #[test]
    fn the_verb_stands_behind_the_last_colon() {
        assert_eq!(parse("/v1/{name=**}:cancel").verb.as_deref(), Some("cancel"));
        assert_eq!(parse("/v1/{name}:custom:custom").verb.as_deref(), Some("custom:custom"));
        assert_eq!(parse("/v1/*:a:b").verb.as_deref(), Some("a:b"));
        assert_eq!(parse("/v1/{name=**}:a:b").verb.as_deref(), Some("a:b"));
        let template = parse("/v1/a:b:c");
        assert_eq!((&*template.segments, template.verb.as_deref()), (&[lit("v1"), lit("a:b")][..], Some("c")));
        let template = parse("/a:b/c");
        assert_eq!((&*template.segments, template.verb.as_deref()), (&[lit("a:b"), lit("c")][..], None));
        assert_eq!(*parse("/v1/a%3Ab").segments, [lit("v1"), lit("a:b")]);
    }

    #[test]
    fn segments_may_follow_a_double_star() {
        let template = parse("/v1/{parent=projects/*/databases/*/documents/*/**}/{collection_id}");
        assert_eq!(template.double_star(), Some(7));
        assert_eq!(template.segments.len(), 9);
        parse("/v2/{name=**/botSessions/*}");
    }

    #[test]
    fn a_template_is_written_anew_from_its_parts() {
        for (text, written) in [
            ("/", "/"),
            ("/v1/{name=shelves/*}/{page=*}:go", "/v1/{name=shelves/*}/{page}:go"),
            ("/a/*/**/{b=x}:c:d", "/a/*/**/{b=x}:c%3Ad"),
            ("/caf%C3%A9/a%2Fb%20c/x:y", "/café/a%2Fb%20c/x:y"),
            ("/{a=**}", "/{a=**}"),
        ] {
            let template = parse(text);
            assert_eq!(template.to_string(), written);
            let again = Template { text: text.into(), ..parse(written) };
            assert_eq!(again, template, "{text}");
        }
    }

    #[test]
    fn the_root_alone_is_a_template() {
        assert!(parse("/").segments.is_empty());
    }

    #[test]
    fn literals_are_percent_decoded() {
        assert_eq!(*parse("/caf%C3%A9/a%20b").segments, [lit("café"), lit("a b")]);
    }

    #[test]
    fn nested_fields_are_allowed_in_variables() {
        assert_eq!(&*parse("/v1/{book.name=shelves/*}").variables[0].path, "book.name");
    }

    #[test]
    fn errors_name_the_place() {
        refused("", 0, "starts with");
        refused("v1/x", 0, "starts with");
        refused("/v1//x", 4, "empty");
        refused("/v1/", 4, "empty");
        refused("/:verb", 1, "empty");
        refused("/v1/x:", 6, "a verb is empty");
        refused("/v1/{name", 4, "not closed");
        refused("/v1/{name=a", 4, "not closed");
        refused("/v1/{name=}", 10, "empty");
        refused("/v1/{}", 5, "needs the name");
        refused("/v1/{a..b}", 7, "not the name");
        refused("/v1/{1a}", 5, "not the name");
        refused("/v1/{a={b}}", 7, "nest");
        refused("/v1/{a}/{a}", 9, "occurs twice");
        refused("/v1/{a}b", 7, "expected");
        refused("/v1/b{a}", 5, "as a whole");
        refused("/v1/b*", 5, "as a whole");
        refused("/v1/***", 6, "expected");
        refused("/**/{x=**}", 7, "only one");
        refused("/a b", 2, "cannot stand");
        refused("/a?b", 2, "cannot stand");
        refused("/a%2", 2, "hexadecimal");
        refused("/%ff", 1, "UTF-8");
        refused("/a}", 2, "expected");
        refused(&format!("/{}", "a".repeat(256)), 1, "longer");
        refused(&"/a".repeat(129), 257, "more than 128");
    }

    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic() {
        let alphabet = ["/", "{", "}", "*", "**", "=", ":", ".", "a", "é", "%", "%2F", "%ff", "", " ", "_1"];
        let mut state = 0x2545_f491_4f6c_dd1du64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..state % 13 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text.push_str(alphabet[(state % 16) as usize]);
            }
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            match Template::parse(&text) {
                Ok(template) => {
                    assert!(template.segments.iter().filter(|s| **s == Segment::DoubleStar).count() <= 1, "{text}");
                    assert!(template.variables.iter().all(|v| v.start < v.end && v.end <= template.segments.len()));
                }
                Err(error) => assert!(error.offset <= text.len(), "{text}: {error}"),
            }
        }
    }
}
