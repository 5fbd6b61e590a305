//! What is written beside the parts of a catalog: comments, `deprecated`, `google.api.field_behavior`. Nothing that a
//! call needs, so none of it is kept by a loaded catalog: it is read anew for those who describe one.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use super::Catalog;
use super::gather::{gather, read_text};
use super::records::{Records, Value};
use super::source::Source;
use super::unit::{Origin, Unit, file_tag, parse_text};
use crate::wire::varint;

/// Messages within messages that are followed: as deep as descriptors may nest.
const MAX_DEPTH: u32 = 100;

/// Number of the extension `google.api.field_behavior` of `google.protobuf.FieldOptions`.
const FIELD_BEHAVIOR: u32 = 1052;

/// The notes of one catalog, by full names: of messages, fields (`pkg.Message.field`), enums, their values
/// (`pkg.Enum.VALUE`), services and methods (`pkg.Service.Method`).
#[derive(Debug, Default)]
pub struct Notes {
    by_name: HashMap<Box<str>, Note>,
    /// Of what nobody said anything.
    none: Note,
}

/// What is written beside one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The comment before it, else the one behind it, without comment marks; often Markdown. Empty: none.
    pub comment: Box<str>,
    pub deprecated: bool,
    pub behavior: Behavior,
}

/// `google.api.field_behavior`, as far as it says who may set a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behavior {
    pub required: bool,
    pub output_only: bool,
    pub input_only: bool,
}

// === impl Notes ===

impl Notes {
    /// Reads the files of a catalog once more for their comments; what has changed in them since the catalog was loaded
    /// is told as it is now. Files that are no longer there, and descriptor sets without source info, have no comments.
    /// Blocks on the disk.
    pub fn read(source: &Source, catalog: &Catalog) -> Notes {
        let mut notes = Notes::default();
        for file in Records::new(&catalog.descriptor_set).flatten().filter_map(|record| record.bytes(1)) {
            notes.options(file);
        }
        for unit in gather(source).units.values() {
            if let Some(file) = written(unit) {
                notes.comments(&file);
            }
        }
        notes
    }

    /// What is written beside the part of this name.
    pub fn of(&self, name: &str) -> &Note {
        self.by_name.get(name).unwrap_or(&self.none)
    }

    fn note(&mut self, name: &str) -> &mut Note {
        self.by_name.entry(name.into()).or_default()
    }

    fn comments(&mut self, file: &FileDescriptorProto) {
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            let comment = comment(location);
            if !comment.is_empty()
                && let Some(name) = name_at(file, &location.path)
            {
                self.note(&name).comment = comment.into();
            }
        }
    }

    /// The options of an encoded `FileDescriptorProto` with names resolved and extensions encoded.
    fn options(&mut self, file: &[u8]) {
        let package = String::from_utf8_lossy(part(file, 2).last().unwrap_or_default()).into_owned();
        for message in part(file, 4) {
            self.message(message, &package, 0);
        }
        for enumeration in part(file, 5) {
            self.enumeration(enumeration, &package);
        }
        for service in part(file, file_tag::SERVICE) {
            let name = below(&package, service);
            self.deprecate(&name, service, 3, 33);
            for method in part(service, 2) {
                self.deprecate(&below(&name, method), method, 4, 33);
            }
        }
    }

    /// A `DescriptorProto`: `name` = 1, `field` = 2, `nested_type` = 3, `enum_type` = 4, `options` = 7.
    fn message(&mut self, message: &[u8], scope: &str, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        let name = below(scope, message);
        self.deprecate(&name, message, 7, 3);
        for field in part(message, 2) {
            let name = below(&name, field);
            self.deprecate(&name, field, 8, 3);
            let behavior = behavior(field);
            if behavior != Behavior::default() {
                self.note(&name).behavior = behavior;
            }
        }
        for nested in part(message, 3) {
            self.message(nested, &name, depth + 1);
        }
        for enumeration in part(message, 4) {
            self.enumeration(enumeration, &name);
        }
    }

    /// An `EnumDescriptorProto`: `name` = 1, `value` = 2, `options` = 3; the options of a value are 3 as well.
    fn enumeration(&mut self, enumeration: &[u8], scope: &str) {
        let name = below(scope, enumeration);
        self.deprecate(&name, enumeration, 3, 3);
        for value in part(enumeration, 2) {
            self.deprecate(&below(&name, value), value, 3, 1);
        }
    }

    /// Notes `deprecated`, which has this number in these options.
    fn deprecate(&mut self, name: &str, descriptor: &[u8], options: u32, deprecated: u32) {
        let says = |record: &super::records::Record<'_>| record.number == deprecated;
        let mut said = part(descriptor, options).flat_map(|options| Records::new(options).flatten()).filter(says);
        if said.any(|record| record.value == Value::Varint(1)) {
            self.note(name).deprecated = true;
        }
    }
}

/// The file as its author wrote it, with all places.
fn written(unit: &Unit) -> Option<FileDescriptorProto> {
    let text = |text: &str| parse_text(&unit.name, &unit.shown, text).ok().map(|parsed| parsed.file);
    match &unit.origin {
        Origin::Disk(path) => text(&read_text(path, &unit.shown).ok()?),
        Origin::Bundled(bundled) => text(bundled),
        Origin::Set(bytes) => FileDescriptorProto::decode(&bytes[..]).ok(),
        Origin::Protobuf => None,
    }
}

fn part(bytes: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Records::new(bytes).flatten().filter_map(move |record| record.bytes(number))
}

/// The full name of what this descriptor describes (`name` = 1 in all of them).
fn below(scope: &str, descriptor: &[u8]) -> String {
    joined(scope, &String::from_utf8_lossy(part(descriptor, 1).last().unwrap_or_default()))
}

fn joined(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// Of a `FieldDescriptorProto`, whose options are 8. The extension is a repeated enum, packed or not.
fn behavior(field: &[u8]) -> Behavior {
    let mut behavior = Behavior::default();
    let mut take = |number: u64| match number {
        2 => behavior.required = true,
        3 => behavior.output_only = true,
        4 => behavior.input_only = true,
        _ => {}
    };
    for record in part(field, 8).flat_map(|options| Records::new(options).flatten()) {
        match record.value {
            Value::Varint(number) if record.number == FIELD_BEHAVIOR => take(number),
            Value::Bytes(mut packed) if record.number == FIELD_BEHAVIOR => {
                while let Some((number, length)) = varint(packed) {
                    take(number);
                    packed = packed.get(length..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    behavior
}

/// The full name of what stands at a path of source info, if it is something that notes are kept of.
fn name_at(file: &FileDescriptorProto, path: &[i32]) -> Option<String> {
    let scope = file.package();
    let at = |index: &i32| usize::try_from(*index).ok();
    match path {
        [4, i, rest @ ..] => message_at(file.message_type.get(at(i)?)?, scope, rest, 0),
        [5, i, rest @ ..] => enum_at(file.enum_type.get(at(i)?)?, scope, rest),
        [6, i, rest @ ..] => {
            let service = file.service.get(at(i)?)?;
            let name = joined(scope, service.name());
            match rest {
                [] => Some(name),
                [2, m] => Some(joined(&name, service.method.get(at(m)?)?.name())),
                _ => None,
            }
        }
        _ => None,
    }
}

fn message_at(message: &DescriptorProto, scope: &str, path: &[i32], depth: u32) -> Option<String> {
    let name = joined(scope, message.name());
    let at = |index: &i32| usize::try_from(*index).ok();
    match path {
        [] => Some(name),
        [2, i] => Some(joined(&name, message.field.get(at(i)?)?.name())),
        [3, i, rest @ ..] if depth < MAX_DEPTH => message_at(message.nested_type.get(at(i)?)?, &name, rest, depth + 1),
        [4, i, rest @ ..] => enum_at(message.enum_type.get(at(i)?)?, &name, rest),
        _ => None,
    }
}

fn enum_at(enumeration: &EnumDescriptorProto, scope: &str, path: &[i32]) -> Option<String> {
    let name = joined(scope, enumeration.name());
    match path {
        [] => Some(name),
        [2, i] => Some(joined(&name, enumeration.value.get(usize::try_from(*i).ok()?)?.name())),
        _ => None,
    }
}

/// The text of a comment: each line without the blank that follows the comment mark, nothing before and behind, and
/// without what reviewers say to one another (`(-- ... --)`, AIP-192).
fn comment(location: &Location) -> String {
    let written = match location.leading_comments() {
        "" => location.trailing_comments(),
        leading => leading,
    };
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(open) = rest.find("(--") {
        text.push_str(rest.get(..open).unwrap_or_default());
        rest = rest.get(open..).and_then(|tail| tail.split_once("--)")).map_or("", |(_, behind)| behind);
    }
    text.push_str(rest);
    let lines: Vec<&str> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load;

    const TEXT: &str = r#"syntax = "proto3";
package shop;
import "google/api/field_behavior.proto";

// Sells.
//
//   indented
service Shop {
  // Gets one. (-- api-linter: core::0131=disabled --)
  rpc Get(Item) returns (Item) { option deprecated = true; }
}
// A thing.
message Item {
  // Its name.
  string name = 1 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = INPUT_ONLY];
  string made = 2 [deprecated = true, (google.api.field_behavior) = OUTPUT_ONLY];  // When.
  // What it is made of.
  message Part {
    // How many.
    int32 count = 1;
  }
  // Colours.
  enum Colour {
    // None.
    NONE = 0;
    RED = 1 [deprecated = true];
  }
}
"#;

    fn notes() -> Notes {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shop.proto"), TEXT).unwrap();
        let mut source = Source::new("shop", "c");
        source.proto_paths = vec![folder.path().to_owned()];
        let catalog = load(&source).unwrap().catalog;
        Notes::read(&source, &catalog)
    }

    #[test]
    fn comments_are_found_by_full_names() {
        let notes = notes();
        for (name, comment) in [
            ("shop.Shop", "Sells.\n\n  indented"),
            ("shop.Shop.Get", "Gets one."),
            ("shop.Item", "A thing."),
            ("shop.Item.name", "Its name."),
            ("shop.Item.made", "When."),
            ("shop.Item.Part", "What it is made of."),
            ("shop.Item.Part.count", "How many."),
            ("shop.Item.Colour", "Colours."),
            ("shop.Item.Colour.NONE", "None."),
            ("shop.Item.Colour.RED", ""),
            ("shop.Nothing", ""),
        ] {
            assert_eq!(&*notes.of(name).comment, comment, "{name}");
        }
    }

    #[test]
    fn what_options_say_is_noted() {
        let notes = notes();
        assert!(notes.of("shop.Shop.Get").deprecated && !notes.of("shop.Shop").deprecated);
        assert!(notes.of("shop.Item.Colour.RED").deprecated && !notes.of("shop.Item.Colour.NONE").deprecated);
        let name = notes.of("shop.Item.name").behavior;
        assert!(name.required && name.input_only && !name.output_only);
        let made = notes.of("shop.Item.made");
        assert!(made.deprecated && made.behavior.output_only);
    }
}
