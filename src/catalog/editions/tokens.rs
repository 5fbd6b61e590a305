//! The words of a `.proto` text with their places: just enough to find what editions write differently.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or keyword.
    Word,
    /// The start of a number; signs and exponents with a sign are tokens of their own.
    Number,
    /// A string with its quotes.
    Text,
    /// One byte of punctuation.
    Mark(u8),
    /// The value of an option in braces, with all that is in it.
    Aggregate,
}

/// A token and where it stands: bytes from `start`, up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// All tokens of a text; comments and blanks are left out. A text that no parser takes gives tokens all the same: the
/// parser says later what is wrong with it.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    let mut found: Vec<Token> = Vec::new();
    while let Some(token) = scanner.next(false) {
        let in_braces =
            token.kind == Kind::Mark(b'{') && found.last().is_some_and(|before| before.kind == Kind::Mark(b'='));
        let token = if in_braces { scanner.aggregate(token) } else { token };
        found.push(token);
    }
    found
}

// === impl Token ===

impl Token {
    /// What it says.
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    pub fn is(&self, mark: u8) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

// === impl Scanner ===

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at.saturating_add(ahead)).copied()
    }

    /// Moves on while bytes are wanted.
    fn pass(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// The next token. In the text format `#` starts a comment.
    fn next(&mut self, text_format: bool) -> Option<Token> {
        loop {
            self.pass(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
            match (self.peek(0)?, self.peek(1)) {
                (b'/', Some(b'/')) => self.pass(|byte| byte != b'\n'),
                (b'#', _) if text_format => self.pass(|byte| byte != b'\n'),
                (b'/', Some(b'*')) => self.block_comment(),
                (byte, _) => return Some(self.token(byte)),
            }
        }
    }

    fn token(&mut self, first: u8) -> Token {
        let start = self.at;
        self.at += 1;
        let kind = match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                self.pass(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                Kind::Word
            }
            b'0'..=b'9' => {
                self.pass(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
                Kind::Number
            }
            b'"' | b'\'' => {
                self.string(first);
                Kind::Text
            }
            mark => Kind::Mark(mark),
        };
        Token { kind, start, end: self.at }
    }

    /// The rest of a string; one that is not closed ends with its line.
    fn string(&mut self, quote: u8) {
        while let Some(byte) = self.peek(0).filter(|&byte| byte != b'\n') {
            self.at += if byte == b'\\' && self.peek(1).is_some_and(|next| next != b'\n') { 2 } else { 1 };
            if byte == quote {
                return;
            }
        }
    }

    fn block_comment(&mut self) {
        self.at += 2;
        while let Some(byte) = self.peek(0) {
            if byte == b'*' && self.peek(1) == Some(b'/') {
                self.at += 2;
                return;
            }
            self.at += 1;
        }
    }

    /// From an opening brace to its own closing one.
    fn aggregate(&mut self, open: Token) -> Token {
        let mut depth = 1usize;
        while depth > 0 {
            match self.next(true).map(|token| token.kind) {
                Some(Kind::Mark(b'{')) => depth += 1,
                Some(Kind::Mark(b'}')) => depth -= 1,
                Some(_) => (),
                None => break,
            }
        }
        Token { kind: Kind::Aggregate, start: open.start, end: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.of(text)).collect()
    }

    #[test]
    fn comments_and_strings_hide_what_is_in_them() {
        let text = "a /* \" */ \"b // \\\" c\" // d\n'e' 1.5e3;é";
        assert_eq!(said(text), ["a", "\"b // \\\" c\"", "'e'", "1.5e3", ";", "", ""]);
        assert_eq!(said("\"open\nnext"), ["\"open", "next"]);
        assert_eq!(said("/* open"), [""; 0]);
        assert_eq!(said("\"a\\"), ["\"a\\"]);
    }

    #[test]
    fn the_value_of_an_option_is_one_token() {
        let text = "option (a) = { b: '}' # }\n { c: 1 } } ; message M { }";
        let found = said(text);
        assert_eq!(found[5], "{ b: '}' # }\n { c: 1 } }");
        assert_eq!(found[6..], [";", "message", "M", "{", "}"]);
        assert_eq!(said("a = { b {").len(), 3);
    }
}
