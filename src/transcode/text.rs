//! Single values as plain text: of path variables, query parameters, and JSON strings that stand for messages.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json_read::put_scalar;
use super::known_types::{self, Seconds};
use super::{ReadOptions, number, suggest};
use crate::catalog::{BytesForm, Enum, Field, Kind, Known, Label, Schema};
use crate::wire::{close, open, put_varint};

/// Writes the value that a text stands for, as one value of this field without its tag (with its length, if it is a
/// string, bytes or a message). For path variables and query parameters.
///
/// Strings are taken as they are; enums by name or number; bytes in the form that the options name; Timestamp, Duration,
/// FieldMask and the wrappers in their JSON form without quotes. Other messages and maps have no text form. The error says why,
/// for people; `out` then holds whatever had been written so far.
pub fn text_value(
    schema: &Schema,
    field: &Field,
    text: &str,
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if field.label == Label::Map {
        return Err("a map cannot be given as text".into());
    }
    let bits = match field.kind {
        Kind::String => {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        Kind::Bytes => {
            let at = open(out);
            decode_bytes(options.bytes, text, out)?;
            close(out, at);
            return Ok(());
        }
        Kind::Message(id) => {
            let at = open(out);
            let message = schema.message(id);
            match (message.known, &*message.fields) {
                (Known::Wrapper, [value]) => wrapped(schema, value, text, options, out)?,
                (known, _) => known_text(known, text, true, out)?,
            }
            close(out, at);
            return Ok(());
        }
        Kind::Group(_) => return Err("a group cannot be given as text".into()),
        Kind::Bool => match text {
            "true" => 1,
            "false" => 0,
            _ => return Err("expected true or false".into()),
        },
        Kind::Enum(id) => enum_bits(schema.enumeration(id), field.kind, text, options.short_enums)?,
        Kind::Double | Kind::Float => {
            number::float_text_bits(field.kind, text).map_err(|why| of_kind(why, field.kind))?
        }
        kind => {
            number::whole(text).and_then(|value| number::integer_bits(kind, value)).map_err(|why| of_kind(why, kind))?
        }
    };
    put_scalar(field.kind, bits, out);
    Ok(())
}

/// A wrapper's content: its one field, left out if it is zero.
fn wrapped(
    schema: &Schema,
    value: &Field,
    text: &str,
    options: &ReadOptions<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let start = out.len();
    put_varint(out, value.tag.into());
    let before = out.len();
    text_value(schema, value, text, options, out)?;
    if out.iter().skip(before).all(|byte| *byte == 0) {
        out.truncate(start);
    }
    Ok(())
}

/// Writes the content of a message that JSON shows as a string. `snake_too`: see [`known_types::read_field_mask`].
pub(super) fn known_text(known: Known, text: &str, snake_too: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match known {
        Known::Timestamp => Seconds::read_timestamp(text)
            .ok_or("not a timestamp such as \"2024-01-31T13:00:00.5Z\" (RFC 3339, years 1 to 9999)")?
            .encode(out),
        Known::Duration => {
            Seconds::read_duration(text).ok_or("not a duration such as \"1.5s\" (at most 315576000000s)")?.encode(out)
        }
        Known::FieldMask => {
            known_types::read_field_mask(text, snake_too, out)
                .ok_or("not a field mask such as \"title,author.displayName\"")?;
        }
        _ => return Err("a message of this type cannot be given as text"),
    }
    Ok(())
}

fn enum_bits(enumeration: &Enum, kind: Kind, text: &str, short_too: bool) -> Result<u64, String> {
    if let Some(number) = enum_number(enumeration, text, short_too) {
        return Ok(i64::from(number) as u64);
    }
    if enumeration.is_null_value && text == "null" {
        return Ok(0);
    }
    let bits = number::whole(text).and_then(|value| number::integer_bits(kind, value));
    match bits {
        Ok(bits) if !enumeration.closed || enumeration.name_of(bits as i32).is_some() => Ok(bits),
        _ => Err(no_such_value(enumeration, text, short_too)),
    }
}

/// The number that a name stands for; with `short_too`, a name without the enum's own in front.
#[inline]
pub(super) fn enum_number(enumeration: &Enum, name: &str, short_too: bool) -> Option<i32> {
    let short = || enumeration.number_of_short(name).filter(|_| short_too);
    enumeration.number_of(name).or_else(short)
}

fn of_kind(why: number::NotThatNumber, kind: Kind) -> String {
    why.told(kind, kind_name(kind))
}

/// Why an enum does not take this name or number, with what it does take; `short`: by the short names.
pub(super) fn no_such_value(enumeration: &Enum, name: &str, short: bool) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("{shown:?} is no value of {}{}", enumeration.name, suggest::enum_value(enumeration, name, short))
}

/// The kind's name in `.proto` files.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "an enum",
        Kind::Message(_) => "a message",
        Kind::Group(_) => "a group",
    }
}

/// Appends the bytes that a text of this form stands for; the error is for people.
pub(super) fn decode_bytes(form: BytesForm, text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match form {
        BytesForm::Base64 | BytesForm::Base64Url => decode_base64(text, out).map_err(|()| "not base64"),
        BytesForm::Hex => decode_hex(text, out).ok_or("not hexadecimal digits, two for each byte"),
    }
}

fn decode_hex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    for [high, low] in pairs {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        out.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(())
}

/// Appends bytes as text of this form.
#[inline]
pub(super) fn encode_bytes(form: BytesForm, bytes: &[u8], out: &mut Vec<u8>) {
    match form {
        BytesForm::Base64 => encode_base64(bytes, out),
        BytesForm::Base64Url => {
            let start = out.len();
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            let slot = out.get_mut(start..);
            let written = slot.and_then(|slot| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode_slice(bytes, slot).ok());
            out.truncate(start + written.unwrap_or(0));
        }
        BytesForm::Hex => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
        }
    }
}

/// Appends what base64 stands for: standard or URL-safe, padded or not. Left-over bits are not looked at, as in
/// protobuf's own readers.
pub(super) fn decode_base64(text: &str, out: &mut Vec<u8>) -> Result<(), ()> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
    const SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
    let is_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_safe { &SAFE } else { &PLAIN };
    engine.decode_vec(text, out).map_err(drop)
}

/// Appends standard base64 with padding.
pub(super) fn encode_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = out.get_mut(start..).and_then(|slot| base64::prelude::BASE64_STANDARD.encode_slice(bytes, slot).ok());
    out.truncate(start + written.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_bytes_reads_what_it_writes() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (form, short) in [(BytesForm::Base64, "+/8="), (BytesForm::Base64Url, "-_8"), (BytesForm::Hex, "fbff")] {
            for len in [0, 1, 2, 3, 256] {
                let (mut text, mut back) = (Vec::new(), Vec::new());
                encode_bytes(form, &bytes[..len], &mut text);
                let text = String::from_utf8(text).expect("ASCII");
                assert_eq!(decode_bytes(form, &text, &mut back), Ok(()), "{text}");
                assert_eq!(back, bytes[..len]);
            }
            let mut text = Vec::new();
            encode_bytes(form, &[0xfb, 0xff], &mut text);
            assert_eq!(text, short.as_bytes());
        }
        assert_eq!(decode_bytes(BytesForm::Hex, "FbfF", &mut Vec::new()), Ok(()));
        for bad in ["f", "fg", "+f", "0x", "ff ", "\u{e9}"] {
            assert!(decode_bytes(BytesForm::Hex, bad, &mut Vec::new()).is_err(), "{bad}");
        }
    }

    #[test]
    fn base64_is_read_in_all_its_forms_and_written_in_one() {
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            let mut out = vec![1];
            assert_eq!(decode_base64(text, &mut out), Ok(()));
            assert_eq!(out, [1, 0xfb, 0xff], "{text}");
        }
        for bad in ["+_8=", "a", "=", "ab=c", "a b=", "äää="] {
            assert!(decode_base64(bad, &mut Vec::new()).is_err(), "{bad}");
        }
        for len in 0..50 {
            let bytes: Vec<u8> = (0..len).collect();
            let (mut text, mut back) = (Vec::new(), Vec::new());
            encode_base64(&bytes, &mut text);
            let text = String::from_utf8(text).expect("ASCII");
            assert_eq!(decode_base64(&text, &mut back), Ok(()));
            assert_eq!(back, bytes);
        }
    }
}
