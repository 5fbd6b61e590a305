//! The paths of what a JSON body has, for the field mask of a PATCH that names none.

use super::MAX_DEPTH;
use crate::catalog::{Field, Kind, Known, Label, Message, MessageId, Schema};
use crate::wire::{BadJson, Tokens, close, open, put_varint};

/// The content of a `google.protobuf.FieldMask` with the paths of all that `json`, an object of type `message`, says
/// something about: proto names, dotted, in the order of the text. What has no members of its own is a leaf: scalars, lists,
/// maps, well-known types, `null`, and an object that is empty. `None` if the object has the member `unless`.
///
/// The text is one that was read already; what does not fit the schema is passed over. At most so many bytes as ten times
/// the text's, and 64 KiB: a deep object with many members repeats the way to them.
///
/// Errors: the text is not JSON, or its paths are too long altogether.
pub(super) fn mask_paths(
    schema: &Schema,
    message: MessageId,
    json: &[u8],
    unless: Option<u16>,
) -> Result<Option<Vec<u8>>, BadJson> {
    let mut paths = Paths {
        schema,
        tokens: Tokens::new(json)?,
        path: String::new(),
        out: Vec::new(),
        most: json.len().saturating_mul(10).saturating_add(64 << 10),
        unless: unless.and_then(|index| schema.message(message).field(index)),
        met: false,
    };
    if paths.tokens.peek()? == b'{' {
        paths.members(schema.message(message), 0)?;
    }
    Ok((!paths.met).then_some(paths.out))
}

struct Paths<'a> {
    schema: &'a Schema,
    tokens: Tokens<'a>,
    /// The way to the object that is being read, with a dot behind it.
    path: String,
    out: Vec<u8>,
    most: usize,
    unless: Option<&'a Field>,
    met: bool,
}

// === impl Paths ===

impl<'a> Paths<'a> {
    /// Reads an object; says whether it had members.
    fn members(&mut self, message: &'a Message, depth: u32) -> Result<bool, BadJson> {
        self.tokens.expect(b'{')?;
        if self.tokens.take(b'}')? {
            return Ok(false);
        }
        loop {
            let name = self.tokens.string()?;
            self.tokens.expect(b':')?;
            match message.field_by_name(&name) {
                Some((_, field)) => self.member(field, depth)?,
                None => self.tokens.skip_value(0)?,
            }
            if !self.tokens.more(b'}')? {
                return Ok(true);
            }
        }
    }

    fn member(&mut self, field: &'a Field, depth: u32) -> Result<(), BadJson> {
        self.met |= depth == 0 && self.unless.is_some_and(|unless| std::ptr::eq(unless, field));
        let nested = match field.kind {
            Kind::Message(id) | Kind::Group(id) if field.label == Label::Singular => Some(self.schema.message(id)),
            _ => None,
        };
        let nested = nested.filter(|nested| nested.known == Known::None && depth < MAX_DEPTH);
        if let Some(nested) = nested
            && self.tokens.peek()? == b'{'
        {
            let before = self.path.len();
            self.path.push_str(field.name());
            self.path.push('.');
            let had = self.members(nested, depth + 1)?;
            self.path.truncate(before);
            if had {
                return Ok(());
            }
        } else {
            self.tokens.skip_value(0)?;
        }
        self.leaf(field.name())
    }

    fn leaf(&mut self, name: &str) -> Result<(), BadJson> {
        if self.out.len() + self.path.len() + name.len() > self.most {
            let what = "the paths of the body are too long for a field mask";
            return Err(BadJson { offset: self.tokens.offset(), what });
        }
        put_varint(&mut self.out, 0x0a);
        let at = open(&mut self.out);
        self.out.extend_from_slice(self.path.as_bytes());
        self.out.extend_from_slice(name.as_bytes());
        close(&mut self.out, at);
        Ok(())
    }
}
