//! What the variables of a template hold, cut out of a path and percent-decoded.

use std::borrow::Cow;
use std::ops::Deref;

/// Values that fit without an allocation; 99 of 100 rules have no more variables.
const INLINE: usize = 4;

/// The values of a template's variables, in their order. Borrowed from the path where nothing was encoded.
#[derive(Clone, Debug)]
pub struct Captures<'p> {
    inline: [Cow<'p, str>; INLINE],
    more: Vec<Cow<'p, str>>,
    len: usize,
}

/// A value is not percent-encoded UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

// === impl Captures ===

impl<'p> Captures<'p> {
    pub(super) fn new() -> Captures<'p> {
        Captures { inline: [const { Cow::Borrowed("") }; INLINE], more: Vec::new(), len: 0 }
    }

    pub(super) fn push(&mut self, value: Cow<'p, str>) {
        match self.inline.get_mut(self.len) {
            Some(slot) if self.more.is_empty() => *slot = value,
            _ => {
                if self.more.is_empty() {
                    self.more.extend(self.inline.iter_mut().map(std::mem::take));
                }
                self.more.push(value);
            }
        }
        self.len += 1;
    }
}

impl<'p> Deref for Captures<'p> {
    type Target = [Cow<'p, str>];

    fn deref(&self) -> &[Cow<'p, str>] {
        if self.more.is_empty() { self.inline.get(..self.len).unwrap_or_default() } else { &self.more }
    }
}

/// Two lists of values are equal wherever they are kept.
impl PartialEq for Captures<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// Decodes a value. Of several segments (`keep_slash`) `%2F` stays as it is: decoded it could not be told from a
/// slash that parts segments (google/api/http.proto).
pub(super) fn decode(raw: &str, keep_slash: bool) -> Result<Cow<'_, str>, Malformed> {
    if memchr::memchr(b'%', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (value, tail) = escape(tail).ok_or(Malformed)?;
        if keep_slash && value == b'/' {
            decoded.push(b'%');
            decoded.extend(rest.iter().take(2));
        } else {
            decoded.push(value);
        }
        rest = tail;
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Malformed)
}

/// Decodes a segment into `buffer`, to be compared with a literal. `None` if it is malformed or does not fit, and so
/// equals no literal.
pub(super) fn decode_into<'b>(raw: &[u8], buffer: &'b mut [u8]) -> Option<&'b str> {
    let mut rest = raw;
    let mut length = 0;
    while let Some((&byte, tail)) = rest.split_first() {
        let (value, tail) = if byte == b'%' { escape(tail)? } else { (byte, tail) };
        *buffer.get_mut(length)? = value;
        length += 1;
        rest = tail;
    }
    std::str::from_utf8(buffer.get(..length)?).ok()
}

/// The byte behind a percent sign, and what follows it.
fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], tail) = rest.split_first_chunk::<2>()?;
    Some((hexadecimal(*high)? << 4 | hexadecimal(*low)?, tail))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_borrowed_and_encoded_ones_decoded() {
        assert!(matches!(decode("abc", false), Ok(Cow::Borrowed("abc"))));
        assert_eq!(decode("caf%C3%A9%20%2f", false).unwrap(), "café /");
        assert_eq!(decode("a%2Fb%2fc%2e/d", true).unwrap(), "a%2Fb%2fc./d");
    }

    #[test]
    fn malformed_escapes_and_foreign_bytes_are_refused() {
        for bad in ["%", "%2", "%zz", "a%+1", "%ff", "%C3"] {
            assert_eq!(decode(bad, false), Err(Malformed), "{bad}");
            assert_eq!(decode_into(bad.as_bytes(), &mut [0; 8]), None, "{bad}");
        }
        assert_eq!(decode_into(b"%61bc", &mut [0; 3]), Some("abc"));
        assert_eq!(decode_into(b"abcd", &mut [0; 3]), None);
    }

    #[test]
    fn any_number_of_values_is_kept_in_order() {
        for count in 0..10 {
            let mut captures = Captures::new();
            for i in 0..count {
                captures.push(Cow::Owned(i.to_string()));
            }
            let expected: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            assert_eq!(captures.iter().map(|value| &**value).collect::<Vec<_>>(), expected);
        }
    }
}
