//! The well-known types that JSON shows apart, from JSON: text forms, wrappers, `Any`, and free-form values.

use super::MAX_DEPTH;
use super::fault::{Fault, Outcome};
use super::json_read::{JsonReader, Used};
use super::text;
use crate::catalog::{Known, Message, MessageId};
use crate::wire::{Tokens, close, open, put_bytes, put_varint};

// === impl JsonReader ===

impl<'a> JsonReader<'a> {
    /// Reads the JSON form of a known type and writes the message's content.
    pub(super) fn known(&mut self, message: &'a Message, known: Known, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        match known {
            Known::Timestamp | Known::Duration | Known::FieldMask => {
                self.tokens.peek()?;
                let offset = self.tokens.offset();
                let text = self.string()?;
                text::known_text(known, &text, false, out).map_err(|why| Fault::at(offset, why))
            }
            Known::Wrapper => match &*message.fields {
                [value] => self.field(value, out, depth),
                _ => Err(self.fault("the catalog's wrapper has not one field")),
            },
            Known::Any => self.any(out, depth),
            Known::Struct => self.structure(out, depth),
            Known::Value => self.value(out, depth),
            Known::ListValue => self.list_value(out, depth),
            Known::MessageSet => self.message_set(message, Used::default(), out, depth),
            Known::None | Known::Empty => self.object(message, Used::default(), out, depth, None),
        }
    }

    /// `{"@type": "host/pkg.Type", ...}`; the type may stand anywhere among the members. `{}` is an Any that holds
    /// nothing.
    fn any(&mut self, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        if self.tokens.peek()? != b'{' {
            return Err(self.wrong("an object"));
        }
        let Some((url, id)) = self.any_type()? else {
            self.tokens.expect(b'{')?;
            return Ok(self.tokens.expect(b'}')?);
        };
        put_bytes(out, 1, url.as_bytes());
        let start = out.len();
        put_varint(out, 0x12);
        let at = open(out);
        let message = self.schema.message(id);
        let used = Used { in_any: true, ..Used::default() };
        match message.known {
            Known::None => self.object(message, used, out, depth + 1, None)?,
            Known::MessageSet => self.message_set(message, used, out, depth + 1)?,
            _ => self.any_value(id, out, depth + 1)?,
        }
        if out.len() == at {
            out.truncate(start);
        } else {
            close(out, at);
        }
        Ok(())
    }

    /// Looks ahead for `@type`. `None` if the object is empty.
    fn any_type(&mut self) -> Outcome<Option<(String, MessageId)>> {
        let mut ahead: Tokens<'a> = self.tokens.clone();
        ahead.expect(b'{')?;
        if ahead.take(b'}')? {
            return Ok(None);
        }
        loop {
            let name = ahead.string()?;
            ahead.expect(b':')?;
            if name == "@type" {
                ahead.peek()?;
                let offset = ahead.offset();
                let url = ahead.string()?.into_owned();
                let id = url.split_once('/').and_then(|_| self.schema.find(url.rsplit('/').next()?));
                return match id {
                    Some(id) => Ok(Some((url, id))),
                    None => {
                        let shown: String = url.chars().take(200).collect();
                        Err(Fault::at(offset, format!("the catalog has no type {shown:?}")).within("@type"))
                    }
                };
            }
            ahead.skip_value(0)?;
            if !ahead.more(b'}')? {
                return Err(self.fault("the object needs an \"@type\""));
            }
        }
    }

    /// The object of an Any that holds a known type: `@type` and `value`. `Empty` may go without a value, as some of
    /// protobuf's own writers leave it out.
    fn any_value(&mut self, id: MessageId, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        let ignore_unknown = self.ignore_unknown;
        let (mut types, mut values) = (0, 0);
        self.tokens.expect(b'{')?;
        loop {
            self.tokens.peek()?;
            let offset = self.tokens.offset();
            let name = self.tokens.string()?;
            self.tokens.expect(b':')?;
            match &*name {
                "value" if values == 0 => {
                    values = 1;
                    self.message(id, out, depth).map_err(|fault| fault.within("value"))?;
                }
                "@type" if types == 0 => {
                    types = 1;
                    self.tokens.skip_value(0)?;
                }
                "value" | "@type" => return Err(Fault::at(offset, "is given twice").within(name)),
                _ if ignore_unknown => self.tokens.skip_value(0)?,
                _ => return Err(Fault::at(offset, "no such field (expected \"value\")").within(name)),
            }
            if !self.tokens.more(b'}')? {
                break;
            }
        }
        if values == 0 && self.schema.message(id).known != Known::Empty {
            return Err(self.fault("the object needs a \"value\""));
        }
        Ok(())
    }

    /// Any object, as a Struct's content: entries of field 1.
    fn structure(&mut self, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        self.pairs(|reader, key| {
            put_varint(out, 0x0a);
            let entry = open(out);
            put_bytes(out, 1, key.as_bytes());
            put_varint(out, 0x12);
            let value = open(out);
            // the entry and the value are one message each
            reader.value(out, depth + 2)?;
            close(out, value);
            close(out, entry);
            Ok(())
        })
    }

    /// Any array, as a ListValue's content: values of field 1.
    fn list_value(&mut self, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        if self.tokens.peek()? != b'[' {
            return Err(self.wrong("an array"));
        }
        self.tokens.expect(b'[')?;
        if self.tokens.take(b']')? {
            return Ok(());
        }
        for index in 0.. {
            put_varint(out, 0x0a);
            let at = open(out);
            self.value(out, depth + 1).map_err(|fault| fault.element(index))?;
            close(out, at);
            if !self.tokens.more(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// Any value, as a Value's content: one of its six members.
    fn value(&mut self, out: &mut Vec<u8>, depth: u32) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(self.fault("nested deeper than 100 levels"));
        }
        match self.tokens.peek()? {
            b'n' => {
                self.tokens.null()?;
                out.extend_from_slice(&[0x08, 0]);
            }
            b't' | b'f' => {
                let value = self.tokens.boolean()?;
                out.extend_from_slice(&[0x20, u8::from(value)]);
            }
            b'"' => put_bytes(out, 3, self.tokens.string()?.as_bytes()),
            b'{' => self.nested(0x2a, out, |reader, out| reader.structure(out, depth + 1))?,
            b'[' => self.nested(0x32, out, |reader, out| reader.list_value(out, depth + 1))?,
            b'-' | b'0'..=b'9' => {
                let number = self.tokens.plain_decimal();
                let value = match number {
                    Some(decimal) => decimal.as_double(),
                    None => {
                        let offset = self.tokens.offset();
                        let text = self.tokens.number()?;
                        let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
                        value.ok_or_else(|| Fault::at(offset, "out of range for double"))?
                    }
                };
                out.push(0x11);
                out.extend_from_slice(&value.to_le_bytes());
            }
            _ => return Err(self.wrong("a value")),
        }
        Ok(())
    }

    fn nested(
        &mut self,
        tag: u8,
        out: &mut Vec<u8>,
        content: impl FnOnce(&mut Self, &mut Vec<u8>) -> Outcome<()>,
    ) -> Outcome<()> {
        out.push(tag);
        let at = open(out);
        content(self, out)?;
        close(out, at);
        Ok(())
    }
}
