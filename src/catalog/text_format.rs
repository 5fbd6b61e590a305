//! Protobuf's text format, for the shell: by prost-reflect's messages, from the catalog's own descriptor set. Nothing on
//! a call's way does this.

use std::sync::Arc;

use prost::Message as _;
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

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
        read.map(|message| message.encode_to_vec())
            .map_err(|error| mistake(error).unwrap_or_else(|| Mistake::new("not the text format")))
    }

    /// Prints an encoded message of this type in its text form, a field a line. See [`Catalog::text_to_wire`].
    pub fn wire_to_text(&self, message: &str, wire: &[u8]) -> Result<String, Mistake> {
        let read = DynamicMessage::decode(self.descriptor(message)?, wire);
        let read = read.map_err(|error| Mistake::new(format!("not an encoded {message}: {error}")))?;
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
