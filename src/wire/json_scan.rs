//! Where JSON values end in a text that arrives in pieces: NDJSON, concatenated values, or the elements of one array.
//!
//! The caller keeps a buffer and hands it over whenever it has grown; no byte is looked at twice. Only brackets, strings
//! and separators are judged here; whether a value is good JSON is for whoever reads it.

use std::ops::Range;

use super::json_token::{BadJson, special};

/// How the values of a stream are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonStream {
    /// One behind the other, with or without white space between them (NDJSON is such a text).
    Concatenated,
    /// The elements of one array.
    Array,
}

/// Finds the end of each value of a stream.
#[derive(Clone, Debug)]
pub struct JsonScanner {
    form: JsonStream,
    state: State,
    /// Where the next byte to look at stands in the caller's buffer.
    at: usize,
    /// Where the value that has begun starts in the caller's buffer.
    start: usize,
    /// Bytes that the caller has dropped from its buffer so far.
    dropped: usize,
    /// Open brackets of the value; bit 0 is the innermost, 1 for an object.
    brackets: u128,
    depth: u32,
    any_value: bool,
}

/// What the scanner has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A value, at these positions of the buffer. The caller now drops the buffer's first `end` bytes before it asks
    /// again.
    Value(Range<usize>),
    /// No value ends in this buffer: ask again when it has grown.
    More,
    /// The array is closed; white space at most may follow.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the array's opening bracket.
    Outside,
    /// Before a value.
    Before,
    /// Inside a value with open brackets.
    Brackets,
    /// Inside a string.
    String,
    /// Behind a backslash inside a string.
    Escape,
    /// Inside a number or a literal outside of all brackets.
    Bare,
    /// Behind an element of the array.
    Behind,
    /// Behind the array.
    Closed,
}

/// Deeper than any message may be; it bounds the scanner's memory to one number.
const MAX_BRACKETS: u32 = 128;

// === impl JsonScanner ===

impl JsonScanner {
    pub fn new(form: JsonStream) -> JsonScanner {
        let state = if form == JsonStream::Array { State::Outside } else { State::Before };
        JsonScanner { form, state, at: 0, start: 0, dropped: 0, brackets: 0, depth: 0, any_value: false }
    }

    /// How many bytes of the stream stand before the caller's buffer: what to add to an offset in it.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// How many bytes at the front of the buffer are behind the scanner and no part of a value: white space and
    /// separators, however many a peer sends. The caller drops them before it asks for anything else.
    pub fn skipped(&mut self) -> usize {
        let between = matches!(self.state, State::Outside | State::Before | State::Behind | State::Closed);
        let skipped = if between { std::mem::take(&mut self.at) } else { 0 };
        self.dropped += skipped;
        skipped
    }

    /// Looks at what is new in `buffer`: all that has arrived since the last value's end.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Scan, BadJson> {
        while let Some(&byte) = buffer.get(self.at) {
            let found = match self.state {
                State::String => {
                    self.at = special(buffer, self.at);
                    match buffer.get(self.at) {
                        Some(b'"') => self.string_ended(),
                        Some(b'\\') => self.go_on(State::Escape),
                        Some(_) => return self.bad("a control character must be escaped in a string"),
                        None => None,
                    }
                }
                State::Escape => self.go_on(State::String),
                State::Brackets => self.inside(byte)?,
                State::Bare if is_bare(byte) => self.go_on(State::Bare),
                State::Bare => Some(self.value_ended()),
                State::Outside | State::Before | State::Behind | State::Closed => {
                    if is_space(byte) {
                        self.at += 1;
                    } else if let Some(end) = self.between(byte)? {
                        return Ok(end);
                    }
                    None
                }
            };
            if let Some(value) = found {
                return Ok(Scan::Value(value));
            }
        }
        Ok(if self.state == State::Closed { Scan::End } else { Scan::More })
    }

    /// The stream has ended with `buffer` left over: the last value, if it is one that only the end of the text ends.
    pub fn finish(&mut self, buffer: &[u8]) -> Result<Option<Range<usize>>, BadJson> {
        match self.state {
            State::Bare if self.form == JsonStream::Concatenated && self.at == buffer.len() => {
                Ok(Some(self.value_ended()))
            }
            State::Before if self.form == JsonStream::Concatenated => Ok(None),
            State::Closed => Ok(None),
            State::Outside | State::Before | State::Behind => self.bad("the text ends before its array does"),
            _ => self.bad("the text ends in the middle of a value"),
        }
    }

    #[cold]
    fn bad<T>(&self, what: &'static str) -> Result<T, BadJson> {
        Err(BadJson { offset: self.dropped + self.at, what })
    }

    fn go_on(&mut self, state: State) -> Option<Range<usize>> {
        self.at += 1;
        self.state = state;
        None
    }

    /// One byte inside brackets and outside of strings.
    fn inside(&mut self, byte: u8) -> Result<Option<Range<usize>>, BadJson> {
        match byte {
            b'"' => return Ok(self.go_on(State::String)),
            b'{' | b'[' => {
                if self.depth == MAX_BRACKETS {
                    return self.bad("nested deeper than 128 levels");
                }
                self.depth += 1;
                self.brackets = self.brackets << 1 | u128::from(byte == b'{');
            }
            b'}' | b']' => {
                if (self.brackets & 1 == 1) != (byte == b'}') {
                    return self.bad("a bracket is closed by one of another kind");
                }
                self.depth -= 1;
                self.brackets >>= 1;
                if self.depth == 0 {
                    self.at += 1;
                    return Ok(Some(self.value_ended()));
                }
            }
            _ => {}
        }
        self.at += 1;
        Ok(None)
    }

    /// One byte between values, not white space: a separator, or the start of a value.
    fn between(&mut self, byte: u8) -> Result<Option<Scan>, BadJson> {
        match (self.state, byte) {
            (State::Closed, _) => return self.bad("more text behind the array"),
            (State::Outside, b'[') => self.state = State::Before,
            (State::Outside, _) => return self.bad("expected an array"),
            (State::Behind, b',') => self.state = State::Before,
            (State::Behind, b']') => self.state = State::Closed,
            (State::Behind, _) => return self.bad("expected ',' or ']'"),
            (State::Before, b']') if self.form == JsonStream::Array && !self.any_value => self.state = State::Closed,
            _ => {
                self.start = self.at;
                match byte {
                    b'{' | b'[' => {
                        self.state = State::Brackets;
                        self.inside(byte)?;
                        return Ok(None);
                    }
                    b'"' => self.state = State::String,
                    _ if is_bare(byte) => self.state = State::Bare,
                    _ => return self.bad("expected a value"),
                }
            }
        }
        self.at += 1;
        Ok(None)
    }

    fn string_ended(&mut self) -> Option<Range<usize>> {
        self.at += 1;
        self.state = State::Brackets;
        (self.depth == 0).then(|| self.value_ended())
    }

    /// The value ends before `self.at`; the caller will drop all up to there.
    fn value_ended(&mut self) -> Range<usize> {
        let value = self.start..self.at;
        self.dropped += self.at;
        self.at = 0;
        self.any_value = true;
        self.state = if self.form == JsonStream::Array { State::Behind } else { State::Before };
        value
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Bytes of numbers and of `true`, `false`, `null`.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values of a stream that arrives in pieces of this size.
    fn scan(form: JsonStream, text: &str, size: usize) -> Result<Vec<String>, BadJson> {
        let mut scanner = JsonScanner::new(form);
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            buffer.extend_from_slice(piece);
            while let Scan::Value(value) = scanner.next(&buffer)? {
                found.push(String::from_utf8_lossy(&buffer[value.clone()]).into_owned());
                buffer.drain(..value.end);
            }
            buffer.drain(..scanner.skipped());
        }
        if let Some(value) = scanner.finish(&buffer)? {
            found.push(String::from_utf8_lossy(&buffer[value]).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn values_are_found_however_the_text_is_cut() {
        let text = " {\"a\":\"}\\\"{\"}\n[1,[2]]{}\"x\\\\\" 12\ntrue {\"zwölf\":{}} 7";
        let values = ["{\"a\":\"}\\\"{\"}", "[1,[2]]", "{}", "\"x\\\\\"", "12", "true", "{\"zwölf\":{}}", "7"];
        for size in 1..=text.len() {
            assert_eq!(scan(JsonStream::Concatenated, text, size), Ok(values.map(String::from).to_vec()), "{size}");
        }
        let array = " [ {\"a\":[]} , 1,\"]\" ,[ ] ] \n";
        let values = ["{\"a\":[]}", "1", "\"]\"", "[ ]"];
        for size in 1..=array.len() {
            assert_eq!(scan(JsonStream::Array, array, size), Ok(values.map(String::from).to_vec()), "{size}");
        }
        assert_eq!(scan(JsonStream::Array, "[]", 1), Ok(vec![]));
        assert_eq!(scan(JsonStream::Concatenated, " \n", 1), Ok(vec![]));
    }

    #[test]
    fn a_stream_that_is_cut_off_or_badly_put_together_is_refused() {
        for text in ["", "[", "[1", "[1,", "{}", "[1 2]", "[1,]", "[]x", "[1]]", "[,1]", "[{]}"] {
            for size in [1, 100] {
                assert!(scan(JsonStream::Array, text, size).is_err(), "{text}");
            }
        }
        for text in ["{", "\"a", "{\"a", "]", ",", "{]", "{} ,{}", "\"\n\""] {
            assert!(scan(JsonStream::Concatenated, text, 1).is_err(), "{text}");
        }
        assert!(scan(JsonStream::Concatenated, &"[".repeat(1000), 7).is_err());
    }

    #[test]
    fn what_stands_between_values_need_not_be_kept() {
        let mut scanner = JsonScanner::new(JsonStream::Array);
        assert_eq!(scanner.next(b" [ "), Ok(Scan::More));
        assert_eq!(scanner.skipped(), 3);
        assert_eq!(scanner.next(b"\n{"), Ok(Scan::More));
        assert_eq!(scanner.skipped(), 0, "a value has begun");
        assert_eq!(scanner.next(b"\n{} , "), Ok(Scan::Value(1..3)));
        assert_eq!(scanner.next(b" , "), Ok(Scan::More));
        assert_eq!((scanner.skipped(), scanner.dropped()), (3, 9));
        assert!(scanner.clone().next(b"]").is_err(), "an element must follow");
        assert_eq!(scanner.next(b"1]"), Ok(Scan::Value(0..1)));
        assert_eq!(scanner.next(b"]"), Ok(Scan::End));
        assert_eq!((scanner.skipped(), scanner.finish(b"")), (1, Ok(None)));
    }

    #[test]
    fn places_of_errors_count_from_the_start_of_the_stream() {
        let mut scanner = JsonScanner::new(JsonStream::Concatenated);
        assert_eq!(scanner.next(b"{} }"), Ok(Scan::Value(0..2)));
        assert_eq!(scanner.dropped(), 2);
        assert_eq!(scanner.next(b" }"), Err(BadJson { offset: 3, what: "expected a value" }));
    }
}
