//! Editions: files that say `edition = "2023";` become files of syntax proto2 or proto3 that mean the same, since the
//! compiler crates know no editions (one of them panics over them).
//!
//! A `.proto` text is rewritten at equal places and parsed as proto3 ([`written`]); from there on it goes the way of a
//! descriptor set's file: each element's features are resolved, become label, type, `packed` and `proto3_optional`
//! ([`lower`]), and what no syntax can say is kept beside, by full name ([`Overrides`]), until the tables are built.

mod defaults;
mod features;
mod lower;
mod tokens;
mod written;

use std::collections::{HashMap, HashSet};

use prost_types::{FileDescriptorProto, SourceCodeInfo};

pub(super) use features::Edition;
pub(super) use lower::{Lowered, lower};
pub(super) use written::{parse, statement, unknown_edition};

use super::records::{Damaged, Records, Value};
use super::unit::without;
use crate::wire::{put_bytes, put_uint};

/// What a file means beyond what the syntax that it was lowered to says; by full names without a leading dot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    /// Enums that are closed in a file lowered to proto3, or open in one lowered to proto2.
    closed: HashMap<Box<str>, bool>,
    /// Strings that are checked in a file lowered to proto2, or not checked in one lowered to proto3.
    utf8: HashMap<Box<str>, bool>,
    /// Scalar fields of implicit presence in a file lowered to proto2.
    implicit: HashSet<Box<str>>,
}

/// A parsed and lowered `.proto` text.
pub(super) struct Parsed {
    /// With source info, whose places are those of the text as its author wrote it.
    pub file: FileDescriptorProto,
    pub overrides: Overrides,
    /// Whether [`settle`] has to see it once its types are known.
    pub unsettled: bool,
}

/// Indices of uninterpreted options that were taken out, by the path of the options that held them.
type Removed = HashMap<Vec<i32>, Vec<usize>>;

/// `UninterpretedOption`s have this number in every kind of options.
const UNINTERPRETED: i32 = 999;

// === impl Overrides ===

impl Overrides {
    /// Whether an enum is closed, if its file's syntax does not tell.
    pub fn closed(&self, name: &str) -> Option<bool> {
        self.closed.get(name).copied()
    }

    /// Whether a string field is checked to be UTF-8, if its file's syntax does not tell.
    pub fn check_utf8(&self, name: &str) -> Option<bool> {
        self.utf8.get(name).copied()
    }

    /// Whether a scalar field has no presence although its file's syntax says that it has.
    pub fn is_implicit(&self, name: &str) -> bool {
        self.implicit.contains(name)
    }

    /// Adds those of another file.
    pub fn absorb(&mut self, other: &Overrides) {
        self.closed.extend(other.closed.iter().map(|(name, closed)| (name.clone(), *closed)));
        self.utf8.extend(other.utf8.iter().map(|(name, check)| (name.clone(), *check)));
        self.implicit.extend(other.implicit.iter().cloned());
    }
}

/// Corrects the places of options after some of them were taken out.
fn renumber(info: &mut SourceCodeInfo, removed: &Removed) {
    if removed.is_empty() {
        return;
    }
    info.location.retain_mut(|location| {
        let spots = location.path.iter().enumerate().filter(|(_, step)| **step == UNINTERPRETED);
        let mut found = spots.filter_map(|(at, _)| Some((at + 1, removed.get(location.path.get(..at)?)?)));
        let Some((at, gone)) = found.next() else { return true };
        let Some(index) = location.path.get_mut(at) else { return true };
        let old = usize::try_from(*index).unwrap_or(usize::MAX);
        let before = gone.iter().filter(|gone| **gone < old).count();
        *index -= i32::try_from(before).unwrap_or(0);
        !gone.contains(&old)
    });
}

/// Puts right what could not be known before types were: which of the fields lowered without a type are enums (never
/// delimited) and which are messages (never packed). `file` is encoded, its type names are full.
pub(super) fn settle(file: &[u8], is_enum: &impl Fn(&str) -> bool) -> Vec<u8> {
    // FileDescriptorProto: message_type = 4, extension = 7
    settled(file, &[4], &[7], is_enum).unwrap_or_else(|_| file.to_vec())
}

fn settled(
    bytes: &[u8],
    messages: &[u32],
    fields: &[u32],
    is_enum: &impl Fn(&str) -> bool,
) -> Result<Vec<u8>, Damaged> {
    let mut out = Vec::with_capacity(bytes.len());
    for record in Records::new(bytes) {
        let record = record?;
        match record.value {
            // DescriptorProto: field = 2, nested_type = 3, extension = 6
            Value::Bytes(inner) if messages.contains(&record.number) => {
                put_bytes(&mut out, record.number, &settled(inner, &[3], &[2, 6], is_enum)?);
            }
            Value::Bytes(inner) if fields.contains(&record.number) => {
                put_bytes(&mut out, record.number, &settled_field(inner, is_enum)?);
            }
            _ => out.extend_from_slice(record.whole),
        }
    }
    Ok(out)
}

/// FieldDescriptorProto: type = 5 (10: group, 11: message, 14: enum), type_name = 6, options = 8; FieldOptions: packed = 2.
fn settled_field(field: &[u8], is_enum: &impl Fn(&str) -> bool) -> Result<Vec<u8>, Damaged> {
    let (mut kind, mut name, mut options) = (0, &b""[..], None);
    for record in Records::new(field) {
        let record = record?;
        match (record.number, record.value) {
            (5, Value::Varint(value)) => kind = value,
            (6, Value::Bytes(value)) => name = value,
            (8, Value::Bytes(value)) => options = Some(value),
            _ => (),
        }
    }
    let name = std::str::from_utf8(name).unwrap_or_default();
    if kind == 10 && is_enum(name.trim_start_matches('.')) {
        let mut out = without(field, &[5]);
        put_uint(&mut out, 5, 14);
        return Ok(out);
    }
    match options.filter(|_| matches!(kind, 10 | 11)) {
        Some(options) => {
            let mut out = without(field, &[8]);
            let options = without(options, &[2]);
            if !options.is_empty() {
                put_bytes(&mut out, 8, &options);
            }
            Ok(out)
        }
        None => Ok(field.to_vec()),
    }
}
