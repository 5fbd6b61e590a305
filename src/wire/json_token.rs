//! JSON text (RFC 8259) as a sequence of pulls: the caller knows what it wants next and asks for it.
//!
//! The whole text is in memory and is checked to be UTF-8 once. Strings without escapes are borrowed; numbers are handed
//! out as written, so that no digit is lost; nothing is allocated but the text of a string with escapes. Places are byte
//! offsets; [`line_column`] turns one into what people count, when there is an error to show.

use std::borrow::Cow;

use super::append_start;
use super::json_number::{Decimal, integer, number_len};

/// JSON text that is being read, front to back. Cloning one is how to look ahead.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

/// Why a text is not JSON, or not the JSON that was asked for, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadJson {
    pub offset: usize,
    pub what: &'static str,
}

/// Objects and arrays nested deeper than this are refused where they are skipped.
pub const MAX_JSON_DEPTH: u32 = 100;

const CUT_SHORT: &str = "the text ends in the middle of a value";

// === impl Tokens ===

impl<'a> Tokens<'a> {
    /// Checks that the text is UTF-8; nothing else is read yet.
    pub fn new(text: &'a [u8]) -> Result<Tokens<'a>, BadJson> {
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Tokens { text, at: 0 }),
            Err(error) => Err(BadJson { offset: error.valid_up_to(), what: "the text is not UTF-8" }),
        }
    }

    /// Where the next pull starts, in bytes from the start of the text.
    #[inline]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are unread.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.text.len() - self.at
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    #[cold]
    fn bad<T>(&self, what: &'static str) -> Result<T, BadJson> {
        Err(BadJson { offset: self.at, what })
    }

    /// Skips white space; the first byte of the next token, which stays unread.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, BadJson> {
        match self.bytes().get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            _ => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Result<u8, BadJson> {
        while let Some(&byte) = self.bytes().get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                _ => return Ok(byte),
            }
        }
        self.bad(CUT_SHORT)
    }

    /// Reads this punctuation mark.
    #[inline]
    pub fn expect(&mut self, mark: u8) -> Result<(), BadJson> {
        if self.peek()? == mark {
            self.at += 1;
            return Ok(());
        }
        self.bad(match mark {
            b'{' => "expected an object",
            b'[' => "expected an array",
            b':' => "expected ':'",
            _ => "unexpected character",
        })
    }

    /// Reads this punctuation mark if it is next.
    #[inline]
    pub fn take(&mut self, mark: u8) -> Result<bool, BadJson> {
        let found = self.peek()? == mark;
        self.at += usize::from(found);
        Ok(found)
    }

    /// Behind a member or an element: true at a comma, false at the closing bracket `end`; either is read.
    #[inline]
    pub fn more(&mut self, end: u8) -> Result<bool, BadJson> {
        let next = self.peek()?;
        if next == b',' || next == end {
            self.at += 1;
            return Ok(next == b',');
        }
        self.bad(if end == b'}' { "expected ',' or '}'" } else { "expected ',' or ']'" })
    }

    /// Reads `"name":`, given exactly so, if it is next without white space before it; with a comma in front as well. True
    /// for most members of most texts, and much quicker than reading a name and looking it up.
    #[inline]
    pub fn take_key(&mut self, key: &[u8]) -> bool {
        let found = self.bytes().get(self.at..).is_some_and(|rest| starts_with(rest, key));
        if found {
            self.at += key.len();
        }
        found
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), BadJson> {
        match self.peek() {
            Ok(_) => self.bad("more text behind the value"),
            Err(_) => Ok(()),
        }
    }

    /// Reads a string: borrowed, unless it holds escapes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, BadJson> {
        if self.peek()? != b'"' {
            return self.bad("expected a string");
        }
        let from = self.at + 1;
        let end = special(self.bytes(), from);
        if self.bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(self.text.get(from..end).unwrap_or_default()));
        }
        self.at = from;
        self.escaped(end).map(Cow::Owned)
    }

    /// The string that starts at this offset: one that has been read before, or `None`.
    #[cold]
    pub fn string_at(&self, offset: usize) -> Option<Cow<'a, str>> {
        Tokens { text: self.text, at: offset }.string().ok()
    }

    /// The rest of a string whose first special byte is at `end`.
    #[cold]
    fn escaped(&mut self, end: usize) -> Result<String, BadJson> {
        let mut text = Vec::new();
        self.unescape(end, &mut text)?;
        // Pieces of a text, cut at ASCII characters, and whole characters: it cannot fail.
        String::from_utf8(text).or_else(|_| self.bad("the text is not UTF-8"))
    }

    /// Reads a string, decoded, to the end of `out`, after what `before` writes there given the length; only for a string without
    /// escapes is the length known beforehand.
    #[inline]
    pub fn string_to(
        &mut self,
        out: &mut Vec<u8>,
        before: impl FnOnce(&mut Vec<u8>, Option<usize>),
    ) -> Result<(), BadJson> {
        let from = self.at + 1;
        let end = special(self.bytes(), from);
        if self.bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            before(out, Some(end - from));
            append_start(out, self.bytes().get(from..).unwrap_or_default(), end - from);
            return Ok(());
        }
        self.at = from;
        before(out, None);
        self.unescape(end, out)
    }

    /// Decodes the rest of a string, up to and including its closing quote; its first special byte is at `end`.
    fn unescape(&mut self, mut end: usize, out: &mut Vec<u8>) -> Result<(), BadJson> {
        loop {
            out.extend_from_slice(self.bytes().get(self.at..end).unwrap_or_default());
            self.at = end;
            match self.bytes().get(end) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let letter = self.escape()?;
                    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return self.bad("a control character must be escaped in a string"),
                None => return self.bad("a string is not ended"),
            }
            end = special(self.bytes(), self.at);
        }
    }

    /// Reads one escape, from its backslash on.
    fn escape(&mut self) -> Result<char, BadJson> {
        let start = self.clone();
        let Some(&letter) = self.bytes().get(self.at + 1) else { return self.bad("a string is not ended") };
        self.at += 2;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first =
                    self.hex4().ok_or(BadJson { what: "\\u needs four hexadecimal digits", offset: start.at })?;
                return self.surrogate(first).map_or_else(|| start.bad("half of a surrogate pair"), Ok);
            }
            _ => return start.bad("there is no such escape"),
        })
    }

    /// The character of this UTF-16 unit, with the `\u` escape of the second one if it is the first of a pair.
    fn surrogate(&mut self, first: u32) -> Option<char> {
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.bytes().get(self.at..)?.strip_prefix(b"\\u")?;
        self.at += 2;
        let second = self.hex4().filter(|unit| (0xdc00..0xe000).contains(unit))?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    }

    /// Reads a number, as written.
    #[inline]
    pub fn number(&mut self) -> Result<&'a str, BadJson> {
        self.peek()?;
        let rest = self.text.get(self.at..).unwrap_or_default();
        match number_len(rest.as_bytes()) {
            Some(len) => {
                self.at += len;
                Ok(rest.get(..len).unwrap_or_default())
            }
            None => self.bad("expected a number"),
        }
    }

    /// Reads an integer that fits 64 bits without its sign, if exactly that is next: no fraction, no exponent. The quick way
    /// for what most numbers are; whatever it leaves unread is for [`Tokens::number`] to judge. Whether a minus stands in
    /// front, and the digits.
    #[inline]
    pub fn plain_integer(&mut self) -> Option<(bool, u64)> {
        let (negative, value, len) = integer(self.bytes().get(self.at..)?)?;
        self.at += len;
        Some((negative, value))
    }

    /// Reads a decimal of at most 19 digits, without an exponent, if exactly that is next.
    #[inline]
    pub fn plain_decimal(&mut self) -> Option<Decimal<'a>> {
        let decimal = Decimal::at_start(self.text.get(self.at..)?)?;
        self.at += decimal.len();
        Some(decimal)
    }

    /// Reads `"..."` around what `inner` reads, if exactly that is next; else reads nothing.
    #[inline]
    pub fn quoted<T>(&mut self, inner: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        self.at += 1;
        let value = inner(self);
        if value.is_some() && self.bytes().get(self.at) == Some(&b'"') {
            self.at += 1;
            return value;
        }
        self.at = start;
        None
    }

    /// Reads `true` or `false`.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, BadJson> {
        let value = self.peek()? == b't';
        match self.literal(if value { "true" } else { "false" }) {
            true => Ok(value),
            false => self.bad("expected true or false"),
        }
    }

    /// Reads `null`.
    #[inline]
    pub fn null(&mut self) -> Result<(), BadJson> {
        self.peek()?;
        if self.literal("null") { Ok(()) } else { self.bad("expected null") }
    }

    #[inline]
    fn literal(&mut self, word: &str) -> bool {
        let found = self.bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Reads any value and forgets it; `depth` is how deep it is nested already.
    pub fn skip_value(&mut self, depth: u32) -> Result<(), BadJson> {
        let end = match self.peek()? {
            b'"' => return self.string().map(drop),
            b't' | b'f' => return self.boolean().map(drop),
            b'n' => return self.null(),
            b'{' => b'}',
            b'[' => b']',
            _ => return self.number().map(drop),
        };
        if depth >= MAX_JSON_DEPTH {
            return self.bad("nested deeper than 100 levels");
        }
        self.at += 1;
        if self.take(end)? {
            return Ok(());
        }
        loop {
            if end == b'}' {
                self.string()?;
                self.expect(b':')?;
            }
            self.skip_value(depth + 1)?;
            if !self.more(end)? {
                return Ok(());
            }
        }
    }
}

/// `rest.starts_with(key)` in place: keys are too short to be worth a call of memcmp. Their ends tell most of them apart.
#[inline]
fn starts_with(rest: &[u8], key: &[u8]) -> bool {
    let Some(rest) = rest.get(..key.len()) else { return false };
    match key.len() {
        8..=16 => ends_are_equal::<8>(rest, key),
        17..=32 => ends_are_equal::<16>(rest, key),
        4..=7 => ends_are_equal::<4>(rest, key),
        _ => rest == key,
    }
}

/// Whether texts of one length, `N` to `2 * N`, are equal.
#[inline]
fn ends_are_equal<const N: usize>(one: &[u8], other: &[u8]) -> bool {
    one.last_chunk::<N>() == other.last_chunk::<N>() && one.first_chunk::<N>() == other.first_chunk::<N>()
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The index of the first byte at or after `at` that cannot stand in a JSON string as it is: `"`, `\`, below 0x20; the
/// length of the text if there is none. Eight bytes at a time.
#[inline]
pub fn special(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        match first_special(u64::from_le_bytes(*word)) {
            8 => at += 8,
            found => return at + found,
        }
    }
    special_at_end(text, at)
}

/// The same for the last few bytes.
fn special_at_end(text: &[u8], at: usize) -> usize {
    let left = text.len().saturating_sub(at);
    if let Some(last) = text.last_chunk::<8>()
        && left > 0
    {
        // the zeros that come in from above count as special: they stand where the text ends
        let word = u64::from_le_bytes(*last) >> (8 * (8 - left));
        return at + first_special(word);
    }
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    text.iter().skip(at).position(is_special).map_or(text.len(), |found| at + found)
}

/// Which of eight bytes is the first special one; 8 if none is.
#[inline]
fn first_special(word: u64) -> usize {
    // (x - 1) & !x has its high bit set in the lowest byte that is zero; higher bytes may follow it by a borrow, which does
    // no harm: only the lowest one is asked for.
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let hit = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    ((hit & HIGH).trailing_zeros() / 8) as usize
}

/// Whether all of a text is ASCII without a special byte (see [`special`]).
#[inline]
pub fn is_plain_ascii(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else { return is_plain_short(text) };
    // the last eight are looked at twice, or in part: cheaper than byte by byte
    let mut found = not_plain(u64::from_le_bytes(*last));
    for word in text.as_chunks::<8>().0 {
        found |= not_plain(u64::from_le_bytes(*word));
    }
    found & HIGH == 0
}

/// The same for fewer than eight bytes.
#[inline]
fn is_plain_short(text: &[u8]) -> bool {
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let both = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
            not_plain(both) & HIGH == 0
        }
        _ => text.iter().all(|byte| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\'),
    }
}

/// Whether one of eight bytes is special or not ASCII: then, and only then, one of the high bits is set.
#[inline]
fn not_plain(word: u64) -> u64 {
    // Where all are ASCII, what is subtracted sets a high bit only where it goes below zero: at a special byte, or behind it.
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let slash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    quote | slash | word.wrapping_sub(ONES * 0x20) | word
}

/// Line and column (in characters) of a byte offset, both counted from 1.
pub fn line_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let is_char_start = |byte: &&u8| **byte & 0xc0 != 0x80;
    (line, before.iter().skip(line_start).filter(is_char_start).count() + 1)
}

/// A place in a text that comes in pieces: the line, and the column in characters, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    pub line: usize,
    pub column: usize,
}

// === impl TextPlace ===

impl TextPlace {
    /// Where a text begins.
    pub const START: TextPlace = TextPlace { line: 1, column: 1 };

    /// The place behind these bytes, which stand at this one.
    pub fn after(self, bytes: &[u8]) -> TextPlace {
        let (line, column) = line_column(bytes, bytes.len());
        self.then((line, column))
    }

    /// The place in the whole text of a line and column of the part that begins here.
    pub fn then(self, (line, column): (usize, usize)) -> TextPlace {
        match line {
            0 | 1 => TextPlace { line: self.line, column: self.column + column.saturating_sub(1) },
            _ => TextPlace { line: self.line + line - 1, column },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_text_does_not_depend_on_how_it_is_cut() {
        let text = "{\"é\": 1}\n\n  [\"\u{1f600}\",\r\n2]x".as_bytes();
        for end in 0..=text.len() {
            let whole = TextPlace::START.then(line_column(text, end));
            for cut in 0..=end {
                assert_eq!(TextPlace::START.after(&text[..cut]).after(&text[cut..end]), whole, "{cut} {end}");
            }
        }
        assert_eq!(TextPlace::START.after(text), TextPlace { line: 4, column: 4 });
    }

    fn tokens(text: &str) -> Tokens<'_> {
        Tokens::new(text.as_bytes()).expect("UTF-8")
    }

    #[test]
    fn special_bytes_are_found_wherever_they_stand() {
        for len in 0..40 {
            let plain = vec![0x80u8 + (len as u8); len];
            assert_eq!(special(&plain, 0), len);
            for at in 0..len {
                for byte in [b'"', b'\\', 0, 0x1f] {
                    let mut text = plain.clone();
                    text[at] = byte;
                    assert_eq!(special(&text, 0), at, "{text:?}");
                    let mut ascii = vec![b'~'; len];
                    assert!(is_plain_ascii(&ascii));
                    ascii[at] = byte;
                    assert!(!is_plain_ascii(&ascii), "{ascii:?}");
                    ascii[at] = 0x80 + byte;
                    assert!(!is_plain_ascii(&ascii), "{ascii:?}");
                    assert_eq!(special(&text, at + 1), len, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn strings_without_escapes_are_borrowed_and_others_are_decoded() {
        assert!(matches!(tokens(" \"zwölf\"").string(), Ok(Cow::Borrowed("zwölf"))));
        assert_eq!(tokens(r#""a\n\"\\\/\u00e9\ud83d\ude00z""#).string().as_deref(), Ok("a\n\"\\/é😀z"));
        for bad in [
            r#""\ud83d""#,
            r#""\ud83dA""#,
            r#""\ude00""#,
            r#""\u12g4""#,
            r#""\u+123""#,
            r#""\x""#,
            "\"\n\"",
            "\"a",
            "\"\\",
        ] {
            assert!(tokens(bad).string().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_follow_the_grammar() {
        for good in ["0", "-0", "10", "1.5", "1e5", "1E+5", "-1.5e-10"] {
            assert_eq!(tokens(good).number(), Ok(good));
        }
        for bad in ["", "-", ".5", "01", "1.", "1e", "1e+", "+1", "NaN", "-Infinity"] {
            let read = tokens(bad).number();
            assert!(read.is_err(), "{bad}: {read:?}");
        }
    }

    #[test]
    fn any_value_is_skipped_and_deep_ones_are_refused() {
        let mut text = tokens(r#" {"a":[1,{"b":null},"x\n"],"c":true} , "#);
        assert_eq!(text.skip_value(0), Ok(()));
        assert_eq!(text.peek(), Ok(b','));
        assert!(tokens(&"[".repeat(100_000)).skip_value(0).is_err());
        assert!(tokens(&format!("{}{}", "[".repeat(100), "]".repeat(100))).skip_value(0).is_ok());
        for bad in ["{", "[1", "[1,]", "{\"a\"}", "{a:1}", "tru", "nul", "[1 2]", "{,}"] {
            assert!(tokens(bad).skip_value(0).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        assert_eq!(line_column("ab".as_bytes(), 0), (1, 1));
        assert_eq!(line_column("a\nöb".as_bytes(), 4), (2, 2));
        assert_eq!(line_column(b"", 9), (1, 1));
    }
}
