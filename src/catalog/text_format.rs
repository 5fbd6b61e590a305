//! Protobuf's text format, for the shell: by prost-reflect's messages, from the catalog's own descriptor set. Nothing on
//! a call's way does this.

use std::sync::Arc;

use prost::Message as _;
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};

use super::sound::nesting;
use super::{Catalog, Mistake, diagnose};

/// Text nested deeper than this is refused: the parser recurses. As deep as messages may nest on the wire.
const MAX_NESTING: usize = 100;

// === impl Catalog ===

impl Catalog {
    /// Reads a message of this type (full name, no leading dot) from its text form. `shown` stands for the text in the place
    /// of a mistake. Builds the whole descriptor pool anew: milliseconds to seconds.
    pub fn text_to_wire(&self, message: &str, text: &str, shown: &str) -> Result<Vec<u8>, Mistake> {
        let shown = Arc::from(shown);
        if nesting(text) > MAX_NESTING {
            return Err(Mistake::new(format!("nested deeper than {MAX_NESTING} levels")));
        }
        let read = DynamicMessage::parse_text_format(self.descriptor(message)?, text);
        let mistake = |error| diagnose::mistakes(&error, &shown, text).into_iter().next();
        let read = read.map_err(|error| mistake(error).unwrap_or_else(|| Mistake::new("not the text format")))?;
        check_groups(&read)?;
        Ok(read.encode_to_vec())
    }

    /// Prints an encoded message of this type in its text form, a field a line. See [`Catalog::text_to_wire`].
    pub fn wire_to_text(&self, message: &str, wire: &[u8]) -> Result<String, Mistake> {
        let read = DynamicMessage::decode(self.descriptor(message)?, wire);
        let read = read.map_err(|error| Mistake::new(format!("not an encoded {message}: {error}")))?;
        check_groups(&read)?;
        let mut text = read.to_text_format_with_options(&FormatOptions::new().pretty(true));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    fn descriptor(&self, message: &str) -> Result<MessageDescriptor, Mistake> {
        let pool = DescriptorPool::decode(&self.descriptor_set[..])
            .map_err(|error| Mistake::new(format!("the catalog's descriptors cannot be read again: {error}")))?;
        pool.get_message_by_name(message)
            .ok_or_else(|| Mistake::new(format!("catalog {:?} has no message {message:?}", self.name)))
    }
}

/// Refuses what would be shown as another field. Delimited fields of editions reach prost-reflect as groups, which the text
/// format calls by the name of their type; that names the field only if the two names are one, as in proto2.
fn check_groups(message: &DynamicMessage) -> Result<(), Mistake> {
    for (field, value) in message.fields() {
        if let Kind::Message(kind) = field.kind()
            && field.is_group()
            && kind.name().to_lowercase() != field.name()
        {
            let text = format!("the text format is not supported for {:?}, which is delimited", field.full_name());
            return Err(Mistake::new(text));
        }
        check_value(value)?;
    }
    message.extensions().try_for_each(|(_, value)| check_value(value))
}

fn check_value(value: &Value) -> Result<(), Mistake> {
    match value {
        Value::Message(message) => check_groups(message),
        Value::List(values) => values.iter().try_for_each(check_value),
        Value::Map(entries) => entries.values().try_for_each(check_value),
        _ => Ok(()),
    }
}
