//! `google.api.HttpBody` on the wire, and bytes fields like its `data`: what is in one, and what stands before its bytes,
//! so that neither has to be copied.

use super::MAX_DEPTH;
use crate::catalog::{Body, Field, Kind, Label, Message, MessageId, RawBody, Schema};
use crate::wire::{Cursor, Malformed, put_bytes, put_varint, varint_len};

/// What a raw body holds; slices of its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawContent<'a> {
    /// May be empty.
    pub content_type: &'a [u8],
    pub data: &'a [u8],
}

/// A field of type `bytes` of a request message, which raw content goes into: the `data` of an HttpBody, or one that
/// stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSlot {
    /// Indices into the fields of each message on the way; the last is the field itself.
    pub(super) path: Box<[u16]>,
    /// The tags of those fields.
    tags: Box<[u32]>,
    /// For a slot in an HttpBody, the way to its content type.
    pub(super) content_type: Option<Box<[u16]>>,
    /// The way to the field beside it that takes the name of a file in a form.
    pub(super) filename: Option<Box<[u16]>>,
}

/// Field numbers of `google.api.HttpBody`.
const CONTENT_TYPE: u32 = 1;
const DATA: u32 = 2;

/// What the HttpBody holds that a message is, or has in its field of this number. Of several the last one counts.
///
/// Errors: the message is damaged.
pub fn raw_content(wire: &[u8], field: Option<u32>) -> Result<RawContent<'_>, Malformed> {
    let mut content = RawContent::default();
    let Some(number) = field else {
        read_body(wire, &mut content)?;
        return Ok(content);
    };
    let mut cursor = Cursor::new(wire);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        if tag == number << 3 | 2 {
            read_body(piece.bytes, &mut content)?;
        }
    }
    Ok(content)
}

fn read_body<'a>(wire: &'a [u8], content: &mut RawContent<'a>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(wire);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        let piece = cursor.piece(tag)?;
        match (tag >> 3, tag & 7) {
            (CONTENT_TYPE, 2) => content.content_type = piece.bytes,
            (DATA, 2) => content.data = piece.bytes,
            _ => {}
        }
    }
    Ok(())
}

/// Appends the fields of an HttpBody.
pub(super) fn put_http_body(content_type: &str, data: &[u8], out: &mut Vec<u8>) {
    for (number, bytes) in [(CONTENT_TYPE, content_type.as_bytes()), (DATA, data)] {
        if !bytes.is_empty() {
            put_bytes(out, number, bytes);
        }
    }
}

// === impl RawSlot ===

impl RawSlot {
    /// The slot of a rule whose body is an HttpBody; `None` if the schema has none there.
    pub fn of_rule(schema: &Schema, input: MessageId, raw: RawBody) -> Option<RawSlot> {
        let message = schema.message(input);
        match raw {
            RawBody::Whole => RawSlot::within(message, &[], &[]),
            RawBody::Field(index) => {
                let field = message.field(index)?;
                let body = schema.message(field.kind.message()?);
                RawSlot::within(body, &[index], &[field.tag])
            }
        }
    }

    /// The slot that a file in a form fills by its name, a dotted path as in a query; `None` if what it names is no such
    /// field. `body`: that of the rule, which the name is relative to.
    pub fn of_name(schema: &Schema, input: MessageId, body: Body, name: &str) -> Option<RawSlot> {
        let (mut message, mut path, mut tags) = (schema.message(input), Vec::new(), Vec::new());
        if let Body::Field(index) = body {
            let field = message.field(index)?;
            (path, tags) = (vec![index], vec![field.tag]);
            message = schema.message(field.kind.message()?);
        }
        let (holder, field) = walk(schema, message, name, |index, field| {
            path.push(index);
            tags.push(field.tag);
        })?;
        let filename = file_name(holder).map(|index| {
            let (_, before) = path.split_last().unwrap_or((&0, &[]));
            [before, &[index]].concat().into()
        });
        let slot = match field.kind {
            Kind::Bytes if field.label == Label::Singular => {
                RawSlot { path: path.into(), tags: tags.into(), content_type: None, filename: None }
            }
            Kind::Message(id) if field.label == Label::Singular && schema.message(id).is_http_body() => {
                RawSlot::within(schema.message(id), &path, &tags)?
            }
            _ => return None,
        };
        Some(RawSlot { filename, ..slot })
    }

    /// Whether it is in an HttpBody, which has a content type as well.
    pub fn is_http_body(&self) -> bool {
        self.content_type.is_some()
    }

    fn within(body: &Message, path: &[u16], tags: &[u32]) -> Option<RawSlot> {
        let (data, field) = body.field_by_number(DATA)?;
        let (content_type, _) = body.field_by_number(CONTENT_TYPE)?;
        Some(RawSlot {
            path: [path, &[data]].concat().into(),
            tags: [tags, &[field.tag]].concat().into(),
            content_type: Some([path, &[content_type]].concat().into()),
            filename: None,
        })
    }

    /// Appends all that stands before `length` bytes of content, which are to follow at the end of the message: the tags
    /// and lengths on the way, and the content type.
    pub(super) fn put_head(&self, content_type: Option<&str>, length: usize, out: &mut Vec<u8>) {
        let mut beside = Vec::new();
        if let Some(content_type) = content_type.filter(|text| !text.is_empty() && self.content_type.is_some()) {
            put_bytes(&mut beside, CONTENT_TYPE, content_type.as_bytes());
        }
        if length == 0 && beside.is_empty() {
            return;
        }
        // lengths from the inside out
        let mut lengths = Vec::with_capacity(self.tags.len());
        let mut size = length as u64;
        for (at, tag) in self.tags.iter().enumerate().rev() {
            lengths.push(size);
            let head = varint_len(u64::from(*tag)) + varint_len(size);
            size += head as u64 + if at + 1 == self.tags.len() { beside.len() as u64 } else { 0 };
        }
        for (at, (tag, size)) in self.tags.iter().zip(lengths.iter().rev()).enumerate() {
            if at + 1 == self.tags.len() {
                out.extend_from_slice(&beside);
            }
            put_varint(out, u64::from(*tag));
            put_varint(out, *size);
        }
    }
}

/// The field of a message that takes the name of the file beside it: a string that is called so.
pub(super) fn file_name(message: &Message) -> Option<u16> {
    let mut named = ["filename", "file_name"].into_iter().filter_map(|name| message.field_by_name(name));
    named.find(|(_, field)| field.kind == Kind::String && field.label == Label::Singular).map(|(index, _)| index)
}

/// The field that a dotted name leads to, through messages that are there once, and the message that has it.
fn walk<'s>(
    schema: &'s Schema,
    mut message: &'s Message,
    name: &str,
    mut step: impl FnMut(u16, &'s Field),
) -> Option<(&'s Message, &'s Field)> {
    let mut names = name.split('.').peekable();
    for _ in 0..MAX_DEPTH {
        let (index, field) = message.field_by_name(names.next()?)?;
        step(index, field);
        if names.peek().is_none() {
            return Some((message, field));
        }
        match field.kind {
            Kind::Message(id) if field.label == Label::Singular && schema.message(id).known.is_object() => {
                message = schema.message(id);
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::schema_of;
    use super::*;

    const FILES: &str = r#"syntax = "proto3"; package t; import "google/api/httpbody.proto";
        message File { string file_name = 1; google.api.HttpBody body = 2; bytes raw = 3; Box box = 20; repeated bytes many = 4; }
        message Box { google.api.HttpBody body = 400; bytes raw = 2; string filename = 3; }"#;

    #[test]
    fn the_last_content_counts_and_other_fields_are_passed_over() {
        let body = b"\x0a\x01a\x12\x02xy\x1a\x00\x20\x05\x12\x01z";
        let content = raw_content(body, None).unwrap();
        assert_eq!(content, RawContent { content_type: b"a", data: b"z" });
        let mut within = vec![0x12, body.len() as u8];
        within.extend_from_slice(body);
        within.extend_from_slice(b"\x08\x01\x12\x03\x0a\x01b");
        assert_eq!(raw_content(&within, Some(2)).unwrap(), RawContent { content_type: b"b", data: b"z" });
        assert_eq!(raw_content(&within, Some(9)).unwrap(), RawContent::default());
        for cut in 1..within.len() {
            let _ = raw_content(&within[..cut], Some(2));
        }
        assert!(raw_content(b"\x12\x05x", None).is_err());
    }

    #[test]
    fn what_stands_before_content_makes_it_a_field_of_its_message() {
        let schema = schema_of(FILES);
        let file = schema.find("t.File").unwrap();
        let slot = |name: &str| RawSlot::of_name(&schema, file, Body::All, name);
        for (name, expected) in [
            ("raw", &b"\x1a\x03"[..]),
            ("body", b"\x12\x08\x0a\x01t\x12\x03"),
            ("box.raw", b"\xa2\x01\x05\x12\x03"),
            ("box.body", b"\xa2\x01\x0b\x82\x19\x08\x0a\x01t\x12\x03"),
        ] {
            let mut out = Vec::new();
            slot(name).unwrap().put_head(Some("t"), 3, &mut out);
            assert_eq!(out, expected, "{name}");
        }
        for name in ["many", "box", "file_name", "box.none", "raw.x", "body.data.x", ""] {
            assert_eq!(slot(name), None, "{name}");
        }
        assert!(slot("body.data").is_some_and(|slot| slot.content_type.is_none()));
        assert_eq!(slot("box.raw").unwrap().filename.as_deref(), Some(&[4u16, 1][..]));
        let mut out = Vec::new();
        slot("raw").unwrap().put_head(None, 0, &mut out);
        assert_eq!(out, b"", "nothing to say");
    }
}
