//! Fuzz target: the bytes of a descriptor set load as a catalog, or are refused with mistakes.

use std::path::Path;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use transom::catalog::{Source, load};

/// Runs the target over one input; whether it loaded. `scratch` is a folder to write to.
pub fn run(data: &[u8], scratch: &Path) -> bool {
    let path = scratch.join("damaged.binpb");
    std::fs::write(&path, data).unwrap();
    let source = Source { descriptor_sets: vec![path], ..Source::new("fuzz", "none") };
    match load(&source) {
        Ok(_) => true,
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.len() <= 101);
            false
        }
    }
}

/// Damages a copy of some bytes; equal seeds damage equally.
pub fn damage(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    dice.roll(2);
    let mut damaged = bytes.to_vec();
    match dice.roll(6) {
        0 => damaged.truncate(dice.roll(bytes.len())),
        1 => {
            let from = dice.roll(bytes.len());
            damaged.drain(from..(from + 1 + dice.roll(9)).min(bytes.len()));
        }
        2 | 3 => {
            if let Ok(mut set) = FileDescriptorSet::decode(bytes)
                && !set.file.is_empty()
            {
                disarrange(&mut set, &mut dice);
                return set.encode_to_vec();
            }
            damaged.reverse();
        }
        _ => {
            for _ in 0..1 + dice.roll(4) {
                let at = dice.roll(bytes.len());
                if let Some(byte) = damaged.get_mut(at) {
                    *byte = if dice.roll(2) == 0 { *byte ^ 1 << dice.roll(8) } else { dice.roll(256) as u8 };
                }
            }
        }
    }
    damaged
}

/// What no compiler writes, yet is protobuf.
fn disarrange(set: &mut FileDescriptorSet, dice: &mut Dice) {
    let pick = dice.roll(set.file.len());
    let again = set.file[pick].clone();
    let file = &mut set.file[pick];
    match dice.roll(16) {
        0 => drop(set.file.remove(pick)),
        1 => set.file.push(again),
        2 => file.syntax = Some("editions".into()),
        3 => file.message_type.extend(again.message_type),
        4 => file.dependency.push(again.name().to_owned()),
        5 => file.public_dependency.push(dice.roll(9) as i32 - 3),
        6 => file.name = None,
        7 => file.package = Some("google.protobuf".into()),
        8 => file.dependency.clear(),
        9 => file.enum_type.iter_mut().for_each(|e| e.value.clear()),
        10 => file.extension.iter_mut().for_each(|e| e.extendee = Some(".no.Such".into())),
        kind => {
            let messages = &mut file.message_type;
            if let Some(at) = messages.len().checked_sub(1) {
                let at = dice.roll(at + 1);
                disarrange_message(&mut messages[at], kind, dice);
            }
        }
    }
}

fn disarrange_message(message: &mut DescriptorProto, kind: usize, dice: &mut Dice) {
    let odd = dice.roll(40) as i32 - 10;
    for field in &mut message.field {
        match kind {
            11 => field.oneof_index = Some(odd),
            12 => field.number = Some(odd),
            13 => field.r#type = Some(odd),
            14 => field.type_name = Some([".no.Such", "", ".google.protobuf.Any", "."][odd as usize % 4].into()),
            _ => field.label = Some(odd),
        }
    }
    for nested in &mut message.nested_type {
        match odd % 3 {
            0 => nested.field.clear(),
            1 => nested.name = None,
            _ => nested.field.reverse(),
        }
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }
}
