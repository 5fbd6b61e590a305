//! The schema guard against prost-reflect's `DynamicMessage`: what that cannot decode must not pass, and what the guard
//! refuses beyond that is named here.

use proptest::prelude::*;
use prost::Message;
use prost_reflect::DynamicMessage;
use transom::catalog::{Kind, Label, MessageId, Schema, UnknownNumbers};
use transom::transcode::{GuardOptions, Rule, Violation, guard};
use transom::wire::Cursor;

use super::{case, few, tape};
use crate::dynamic::Both;
use crate::tape::Tape;

const STRICT: GuardOptions = GuardOptions {
    unknown: UnknownNumbers::Refuse,
    max_repeated: 0,
    max_string: 0,
    max_bytes: 0,
    max_depth: 100,
    rules: false,
};

fn judge(both: &Both, wire: &[u8], options: &GuardOptions) -> Result<u64, Violation> {
    guard(&both.schema, both.id, wire, options).map(|guarded| guarded.unknown_fields)
}

/// Whether the first field, in the order of the bytes, that comes with a wire type not its own is a map.
fn first_odd_is_a_map(both: &Both, wire: &[u8]) -> bool {
    let id = both.schema.find(both.descriptor.full_name()).expect("in the schema");
    first_odd(&both.schema, id, &mut Cursor::new(wire), None).is_err_and(|found| found == Odd::Map)
}

#[derive(PartialEq)]
enum Odd {
    Map,
    Else,
}

fn first_odd(schema: &Schema, id: MessageId, cursor: &mut Cursor<'_>, group: Option<u32>) -> Result<(), Odd> {
    let message = schema.message(id);
    while !cursor.is_empty() {
        let tag = cursor.tag().map_err(|_| Odd::Else)?;
        if tag & 7 == 4 && group == Some(tag >> 3) {
            return Ok(());
        }
        let Some((_, field)) = message.field_by_number(tag >> 3) else {
            cursor.piece(tag).map_err(|_| Odd::Else)?;
            continue;
        };
        let packed = field.label == Label::Repeated && field.kind.can_be_packed() && tag & 7 == 2;
        if tag & 7 != field.kind.wire_type() && !packed {
            return Err(if field.label == Label::Map { Odd::Map } else { Odd::Else });
        }
        match field.kind {
            Kind::Group(inner) => first_odd(schema, inner, cursor, Some(tag >> 3))?,
            kind => {
                let piece = cursor.piece(tag).map_err(|_| Odd::Else)?;
                if let Kind::Message(inner) = kind {
                    first_odd(schema, inner, &mut Cursor::new(piece.bytes), None)?;
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(few(150))]

    #[test]
    fn what_is_well_made_passes(bytes in tape()) {
        let (both, message) = case(&mut Tape::new(&bytes.0));
        let wire = message.encode_to_vec();
        prop_assert_eq!(judge(&both, &wire, &STRICT), Ok(0), "{:02x?}", wire);
    }

    #[test]
    fn what_dynamic_message_cannot_decode_does_not_pass(bytes in tape(), damage in prop::collection::vec(any::<(u16, u8)>(), 1..4)) {
        let (both, message) = case(&mut Tape::new(&bytes.0));
        let mut wire = message.encode_to_vec();
        if wire.is_empty() {
            return Ok(());
        }
        for (at, byte) in damage {
            let at = usize::from(at) % wire.len();
            match byte & 3 {
                0 => wire[at] = byte,
                1 => wire[at] ^= 1 << (byte >> 2 & 7),
                2 => wire.truncate(at.max(1)),
                _ => wire.insert(at, byte),
            }
        }
        let slow = DynamicMessage::decode(both.descriptor.clone(), &wire[..]);
        match (judge(&both, &wire, &GuardOptions::default()), slow) {
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            // prost-reflect holds strings of proto2 to UTF-8 as well
            (Ok(_), Err(error)) => {
                let proto2 = both.descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto2;
                prop_assert!(proto2 && error.to_string().contains("UTF-8"), "only we take it: {error}\n{wire:02x?}");
            }
            (Err(violation), Ok(_)) => {
                let known = match violation.rule {
                    Rule::EnumValue | Rule::Required => true,
                    // tags of more than five bytes, which prost takes
                    Rule::Malformed if violation.description == "a tag has no valid field number" => true,
                    // prost-reflect reads maps whatever their wire type says, even if it says that a group ends, or
                    // that there is none such
                    Rule::WireType | Rule::Malformed => first_odd_is_a_map(&both, &wire),
                    _ => false,
                };
                prop_assert!(known, "only we refuse it: {violation}\n{wire:02x?}");
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in tape(), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let (both, _) = case(&mut Tape::new(&bytes.0));
        let options = GuardOptions { max_repeated: 2, max_string: 9, max_bytes: 9, max_depth: 3, ..STRICT };
        let _ = (judge(&both, &noise, &options), judge(&both, &noise, &GuardOptions::default()));
    }
}
