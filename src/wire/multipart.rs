//! `multipart/form-data` (RFC 7578, on RFC 2046 section 5.1): the parts of a form, cut out of a body as it arrives.
//!
//! The content of a part is handed out as it comes, so that no more is held than what came last, or a part's head. What
//! browsers write is read (WHATWG HTML, "Multipart form data": `%22`, `%0D` and `%0A` in names), and so is `\"`.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem};

/// Cuts a form into parts. Holds what was pushed last and, of what came before, no more than [`MOST_HEAD`] bytes.
#[derive(Debug)]
pub struct MultipartReader {
    /// The line end, two dashes and the boundary.
    delimiter: memmem::Finder<'static>,
    buffer: BytesMut,
    state: State,
    /// Parts that have begun.
    parts: usize,
}

/// What comes next in a form.
#[derive(Debug, PartialEq, Eq)]
pub enum MultipartEvent {
    /// A part begins.
    Part(PartHead),
    /// Some of its content, at least a byte.
    Data(Bytes),
    /// The part is at its end.
    PartEnd,
    /// The form is at its end. What follows is no part of it.
    End,
    /// Nothing before more is pushed.
    More,
}

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    pub name: String,
    /// As the caller wrote it: never a path on this side.
    pub filename: Option<String>,
    /// `None`: text (RFC 7578 section 4.4).
    pub content_type: Option<String>,
}

/// Why a body is no form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMultipart {
    /// The part, counted from 1; 0: none of them.
    pub part: usize,
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Behind a boundary, on its line.
    Line,
    Head,
    /// At the line end that closes the head, which may be the one that opens the next boundary.
    Begin,
    Body,
    Epilogue,
}

/// Where a boundary stands in what is there.
enum Found {
    At(usize),
    /// Not before this place; what is behind it may be the beginning of one.
    NotBefore(usize),
}

/// Bytes of a part's head. Browsers send some 200.
pub const MOST_HEAD: usize = 8 << 10;
/// Parts of a form.
pub const MOST_PARTS: usize = 1000;
/// Bytes before the first boundary, and blanks behind one. Nobody sends any.
const MOST_PADDING: usize = 1 << 10;
/// Bytes of a boundary (RFC 2046 section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The boundary that a content type names; `None` if it names none, or one that cannot be.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let (_, parameters) = content_type.split_at_checked(memchr(b';', content_type)?)?;
    let (_, value) = Parameters(parameters).find(|(name, _)| name.eq_ignore_ascii_case(b"boundary"))?;
    let fits = (1..=LONGEST_BOUNDARY).contains(&value.len()) && !value.ends_with(b" ");
    (fits && value.iter().all(|byte| matches!(byte, b' '..=b'~'))).then_some(value)
}

// === impl MultipartReader ===

impl MultipartReader {
    pub fn new(boundary: &[u8]) -> MultipartReader {
        let delimiter = [b"\r\n--", boundary].concat();
        // the first boundary needs no line before it
        let buffer = BytesMut::from(&b"\r\n"[..]);
        let delimiter = memmem::Finder::new(&delimiter).into_owned();
        MultipartReader { delimiter, buffer, state: State::Preamble, parts: 0 }
    }

    /// Parts that have begun.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Takes the next bytes of the body; ask for what is in them until there is no more before giving others.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.state != State::Epilogue {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// What comes next.
    #[allow(clippy::should_implement_trait)] // fallible, and not the end of anything when there is no more
    pub fn next(&mut self) -> Result<MultipartEvent, BadMultipart> {
        loop {
            match self.state {
                State::Preamble => match self.find() {
                    Found::At(at) => self.cross(at),
                    Found::NotBefore(_) if self.buffer.len() > MOST_PADDING => {
                        return Err(self.bad("the body does not begin with the boundary that its content type names"));
                    }
                    Found::NotBefore(_) => return Ok(MultipartEvent::More),
                },
                State::Line => match self.line()? {
                    Some(State::Epilogue) => self.buffer = BytesMut::new(),
                    Some(_) => {}
                    None => return Ok(MultipartEvent::More),
                },
                State::Head => {
                    let Some(head) = self.head()? else { return Ok(MultipartEvent::More) };
                    return Ok(MultipartEvent::Part(head));
                }
                State::Begin => match self.find() {
                    Found::At(0) => {
                        self.cross(0);
                        return Ok(MultipartEvent::PartEnd);
                    }
                    Found::NotBefore(0) => return Ok(MultipartEvent::More),
                    _ => {
                        self.skip(2);
                        self.state = State::Body;
                    }
                },
                State::Body => match self.find() {
                    Found::At(0) => {
                        self.cross(0);
                        return Ok(MultipartEvent::PartEnd);
                    }
                    Found::NotBefore(0) => return Ok(MultipartEvent::More),
                    Found::At(at) | Found::NotBefore(at) => {
                        return Ok(MultipartEvent::Data(self.buffer.split_to(at).freeze()));
                    }
                },
                State::Epilogue => return Ok(MultipartEvent::End),
            }
        }
    }

    /// The body is at its end.
    ///
    /// Errors: the form is not.
    pub fn finish(&self) -> Result<(), BadMultipart> {
        match self.state {
            State::Epilogue => Ok(()),
            State::Preamble => Err(self.bad("the body has no boundary as its content type names it")),
            State::Line | State::Head | State::Begin | State::Body => {
                Err(self.bad("the form ends before its last boundary"))
            }
        }
    }

    fn bad(&self, what: impl Into<String>) -> BadMultipart {
        BadMultipart { part: self.parts, what: what.into() }
    }

    fn skip(&mut self, count: usize) {
        let _ = self.buffer.split_to(count.min(self.buffer.len()));
    }

    /// Goes behind a boundary.
    fn cross(&mut self, at: usize) {
        self.skip(at + self.delimiter.needle().len());
        self.state = State::Line;
    }

    /// The first boundary of what is there. What only begins like one, and goes on as a boundary cannot, is content.
    fn find(&self) -> Found {
        let needle = self.delimiter.needle();
        let mut from = 0;
        while let Some(at) = self.buffer.get(from..).and_then(|rest| self.delimiter.find(rest)) {
            match self.buffer.get(from + at + needle.len()) {
                Some(b'\r' | b'-' | b' ' | b'\t') => return Found::At(from + at),
                Some(_) => from += at + 1,
                None => return Found::NotBefore(from + at),
            }
        }
        let tail = self.buffer.len().saturating_sub(needle.len() - 1).max(from);
        let begins = |at: &usize| self.buffer.get(*at..).is_some_and(|rest| needle.starts_with(rest));
        Found::NotBefore((tail..self.buffer.len()).find(begins).unwrap_or(self.buffer.len()))
    }

    /// Reads what stands behind a boundary on its line: dashes behind the last one, else blanks at most. `None`: it is not
    /// all there.
    fn line(&mut self) -> Result<Option<State>, BadMultipart> {
        let blank = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let next = match self.buffer.get(blank..).unwrap_or_default() {
            [b'-', b'-', ..] if blank == 0 => State::Epilogue,
            [b'\r', b'\n', ..] => {
                self.skip(blank + 2);
                State::Head
            }
            [] | [b'\r'] if blank < MOST_PADDING => return Ok(None),
            [b'-'] if blank == 0 => return Ok(None),
            _ => return Err(self.bad("a boundary is followed by something else on its line")),
        };
        self.state = next;
        Ok(Some(next))
    }

    /// Reads a part's head; leaves the line end behind it.
    fn head(&mut self) -> Result<Option<PartHead>, BadMultipart> {
        if !self.buffer.starts_with(b"\r") {
            let end = memmem::find(&self.buffer, b"\r\n\r\n");
            if end.unwrap_or(self.buffer.len()) > MOST_HEAD {
                self.parts += 1;
                return Err(self.bad(format!("its head is longer than {MOST_HEAD} bytes")));
            }
            let Some(end) = end else { return Ok(None) };
            self.parts += 1;
            if self.parts > MOST_PARTS {
                return Err(self.bad(format!("a form may have {MOST_PARTS} parts")));
            }
            let lines = self.buffer.split_to(end);
            self.skip(2);
            let head = read_head(&lines).map_err(|what| self.bad(what))?;
            self.state = State::Begin;
            return Ok(Some(head));
        }
        self.parts += 1;
        Err(self.bad(NO_NAME))
    }
}

const NO_NAME: &str = "it has no name: `Content-Disposition: form-data; name=\"...\"` is missing";

/// Reads the lines of a part's head.
fn read_head(lines: &[u8]) -> Result<PartHead, String> {
    let (mut head, mut named) = (PartHead::default(), false);
    let mut rest = lines;
    while !rest.is_empty() {
        let end = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        let Some(colon) = memchr(b':', line) else { return Err("a line of its head has no colon".into()) };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-disposition") {
            disposition(value, &mut head)?;
            named = true;
        } else if name.eq_ignore_ascii_case(b"content-type") {
            let text = std::str::from_utf8(value).ok().filter(|text| !text.contains(|c: char| c.is_control()));
            head.content_type = Some(text.ok_or("its content type is no text")?.to_owned());
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") && !is_plain(value) {
            // deprecated, and written by nobody who sends over HTTP (RFC 7578 section 4.7)
            return Err(format!("content-transfer-encoding {:?} is not read", String::from_utf8_lossy(value)));
        }
    }
    if named { Ok(head) } else { Err(NO_NAME.into()) }
}

fn is_plain(encoding: &[u8]) -> bool {
    [&b"7bit"[..], b"8bit", b"binary"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
}

/// Reads `form-data; name="..."; filename="..."`.
fn disposition(value: &[u8], head: &mut PartHead) -> Result<(), String> {
    let end = memchr(b';', value).unwrap_or(value.len());
    let (kind, parameters) = value.split_at(end);
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return Err("its content disposition is not form-data".into());
    }
    let mut name = None;
    for (key, value) in Parameters(parameters) {
        if key.eq_ignore_ascii_case(b"name") {
            name = Some(text(value).ok_or("its name is not UTF-8")?);
        } else if key.eq_ignore_ascii_case(b"filename") {
            head.filename = Some(text(value).ok_or("its file's name is not UTF-8")?);
        }
    }
    head.name = name.ok_or(NO_NAME)?;
    Ok(())
}

/// A name as browsers write it.
fn text(value: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(value).ok()?;
    if !text.contains('%') {
        return Some(text);
    }
    let mut plain = text;
    for (escape, meant) in [("%22", "\""), ("%0D", "\r"), ("%0A", "\n")] {
        plain = plain.replace(escape, meant);
    }
    Some(plain)
}

/// `; name=value; name="value"`: names and values, escapes taken out. Ends at what is no parameter.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<(&'a [u8], Vec<u8>)> {
        let rest = self.0.trim_ascii_start().strip_prefix(b";")?;
        let (name, rest) = rest.split_at_checked(memchr(b'=', rest)?)?;
        let rest = rest.get(1..)?.trim_ascii_start();
        let (value, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = memchr(b';', rest).unwrap_or(rest.len());
                let (value, rest) = rest.split_at_checked(end)?;
                (value.trim_ascii().to_vec(), rest)
            }
        };
        self.0 = rest;
        Some((name.trim_ascii(), value))
    }
}

/// A quoted text behind its first quote, and what is behind it. Backslashes quote quotes and themselves alone: some write
/// the paths of other systems.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut value, mut rest) = (Vec::new(), text);
    loop {
        match rest {
            [b'"', behind @ ..] => return Some((value, behind)),
            [b'\\', escaped @ (b'"' | b'\\'), behind @ ..] => {
                value.push(*escaped);
                rest = behind;
            }
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

// === impl BadMultipart ===

impl std::fmt::Display for BadMultipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.part {
            0 => f.write_str(&self.what),
            part => write!(f, "part {part} of the form: {}", self.what),
        }
    }
}

impl std::error::Error for BadMultipart {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, file name, content type, content.
    type Read = Vec<(String, Option<String>, Option<String>, Vec<u8>)>;

    fn read(body: &[u8], boundary: &[u8], size: usize) -> Result<Read, BadMultipart> {
        let mut reader = MultipartReader::new(boundary);
        let mut read = Read::new();
        for chunk in body.chunks(size) {
            reader.push(chunk);
            loop {
                match reader.next()? {
                    MultipartEvent::Part(head) => read.push((head.name, head.filename, head.content_type, Vec::new())),
                    MultipartEvent::Data(bytes) => read.last_mut().expect("a part").3.extend_from_slice(&bytes),
                    MultipartEvent::PartEnd => {}
                    MultipartEvent::End | MultipartEvent::More => break,
                }
            }
        }
        reader.finish().map(|()| read)
    }

    fn part(name: &str, filename: Option<&str>, kind: Option<&str>, content: &[u8]) -> <Read as IntoIterator>::Item {
        (name.into(), filename.map(str::to_owned), kind.map(str::to_owned), content.into())
    }

    fn bad(body: &[u8]) -> String {
        let all: Vec<_> = [1, 3, 1000].map(|size| read(body, b"b", size).unwrap_err().to_string()).into();
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        all[0].clone()
    }

    #[test]
    fn a_form_is_read_however_it_is_cut() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nEmma\r\n--b \r\n\
            content-type: image/png\r\ncontent-disposition: FORM-DATA; name=file; filename=\"a%22\\\"\\x.png\"\r\n\r\n\
            \r\n--bx\r\n--\r\r\n-\r\n--b\r\nContent-Disposition:form-data;name=\"\"\r\n\r\n\r\n--b--\r\nwhatever\r\n--b\r\n";
        let expected = [
            part("title", None, None, b"Emma"),
            part("file", Some("a\"\"\\x.png"), Some("image/png"), b"\r\n--bx\r\n--\r\r\n-"),
            part("", None, None, b""),
        ];
        for size in 1..body.len() {
            assert_eq!(read(body, b"b", size).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_part_without_content_may_do_without_its_line_end_too() {
        let body = b"preamble\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--";
        for size in 1..body.len() {
            assert_eq!(read(body, b"b", size).unwrap(), [part("a", None, None, b"")], "pieces of {size}");
        }
        assert_eq!(read(b"--b--", b"b", 1).unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_part_that_has_it() {
        let named = "Content-Disposition: form-data; name=a";
        for (body, told) in [
            (String::new(), "the body has no boundary"),
            ("--c\r\n".into(), "the body has no boundary"),
            ("x".repeat(2000), "the body does not begin with the boundary"),
            (format!("--b\r\n{named}\r\n\r\nx"), "part 1 of the form: the form ends before its last boundary"),
            (format!("--b\r\n{named}"), "the form ends before its last boundary"),
            (format!("--b\r\n{named}\r\n\r\nx\r\n--b"), "part 1 of the form: the form ends"),
            ("--b\r\n\r\nx\r\n--b--".into(), "part 1 of the form: it has no name"),
            ("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--".into(), "part 1 of the form: it has no name"),
            ("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--".into(), "it has no name"),
            ("--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--".into(), "not form-data"),
            ("--b\r\nnonsense\r\n\r\nx\r\n--b--".into(), "no colon"),
            (format!("--b\r\n{named}\r\nContent-Transfer-Encoding: base64\r\n\r\n"), "\"base64\" is not read"),
            (format!("--b\r\nX: {}\r\n{named}\r\n\r\n", "x".repeat(9000)), "its head is longer than 8192 bytes"),
            (format!("--b-x\r\n{named}\r\n\r\n"), "something else on its line"),
            (format!("--b{}x", " ".repeat(2000)), "something else on its line"),
            (format!("--b\r\n{named}\r\n\r\n\r\n").repeat(1001), "part 1001 of the form: a form may have 1000 parts"),
        ] {
            let text = bad(body.as_bytes());
            assert!(text.contains(told), "{text:?} of {body:.80?}");
        }
        let invalid = b"--b\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\n\r\n--b--";
        assert!(bad(invalid).contains("part 1 of the form: its name is not UTF-8"));
    }

    #[test]
    fn a_content_type_names_a_boundary_that_can_be_one() {
        for (text, expected) in [
            ("multipart/form-data; boundary=x1", Some("x1")),
            ("multipart/form-data; charset=utf-8 ; Boundary=\"a b:\\\"c\"; x=y", Some("a b:\"c")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"open", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=a\u{1}", None),
        ] {
            assert_eq!(boundary(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text:?}");
        }
        let longest = |count: usize| format!("multipart/form-data; boundary={}", "x".repeat(count));
        assert!(boundary(longest(70).as_bytes()).is_some() && boundary(longest(71).as_bytes()).is_none());
    }

    #[test]
    fn nothing_is_held_of_what_was_handed_out() {
        let mut reader = MultipartReader::new(b"b");
        reader.push(b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n");
        assert!(matches!(reader.next(), Ok(MultipartEvent::Part(_))));
        for _ in 0..100 {
            reader.push(&[b'\r'; 10_000]);
            while !matches!(reader.next(), Ok(MultipartEvent::More)) {}
            assert!(reader.buffer.len() < 2 * reader.delimiter.needle().len());
        }
    }
}
