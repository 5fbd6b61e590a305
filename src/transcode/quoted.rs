//! Strings and numbers as JSON writes them.

use super::json_write::{Stop, utf8};
use crate::wire::{append, is_plain_ascii, special};

#[inline]
pub(super) fn put_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    append(out, itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
pub(super) fn put_quoted(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(b'"');
    put_integer(value, out);
    out.push(b'"');
}

/// Prints the bytes of a string, which must be UTF-8, with its quotes.
#[inline]
pub(super) fn print_utf8(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
    out.push(b'"');
    print_content(bytes, out)?;
    out.push(b'"');
    Ok(())
}

/// The same without quotes. Most strings are ASCII without anything to escape, which one look tells.
#[inline]
pub(super) fn print_content(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
    if is_plain_ascii(bytes) {
        append(out, bytes);
        return Ok(());
    }
    if !bytes.is_ascii() {
        utf8(bytes)?;
    }
    print_escaped(bytes, out);
    Ok(())
}

/// Prints a string with its quotes; only what JSON demands is escaped.
#[inline]
pub(super) fn print_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain_ascii(text.as_bytes()) {
        append(out, text.as_bytes());
    } else {
        print_escaped(text.as_bytes(), out);
    }
    out.push(b'"');
}

fn print_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let (mut from, mut at) = (0, special(bytes, 0));
    while let Some(&byte) = bytes.get(at) {
        append(out, bytes.get(from..at).unwrap_or_default());
        print_escape(byte, out);
        from = at + 1;
        at = special(bytes, from);
    }
    append(out, bytes.get(from..).unwrap_or_default());
}

/// The string that has been printed at this place, as it was printed.
#[cold]
pub(super) fn printed_string(out: &[u8], at: usize) -> &[u8] {
    let mut end = special(out, at + 1);
    while out.get(end) == Some(&b'\\') {
        end = special(out, end + 2);
    }
    out.get(at..end).unwrap_or_default()
}

fn print_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
