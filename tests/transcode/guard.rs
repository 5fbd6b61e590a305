//! The schema guard against prost-reflect's `DynamicMessage`: what that cannot decode must not pass, and what the guard
//! refuses beyond that is named here.

use proptest::prelude::*;
use prost::Message;
use prost_reflect::DynamicMessage;
use transom::catalog::UnknownNumbers;
use transom::transcode::{GuardOptions, Rule, Violation, guard};

use super::{Both, case, few, tape};
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
    let id = both.schema.find(both.descriptor.full_name()).expect("in the schema");
    guard(&both.schema, id, wire, options).map(|guarded| guarded.unknown_fields)
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
                let meant = matches!(violation.rule, Rule::EnumValue | Rule::Required | Rule::WireType);
                // tags of more than five bytes, which prost takes
                let tag = violation.rule == Rule::Malformed && violation.description.contains("a tag has no valid");
                // prost-reflect reads maps whatever their wire type says, even if it says that a group ends
                let end = violation.rule == Rule::Malformed && violation.description.contains("a group ends");
                prop_assert!(meant || tag || end, "only we refuse it: {violation}\n{wire:02x?}");
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
