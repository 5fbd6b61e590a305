//! Default values of fields in `.proto` texts of editions. The parser reads these texts as proto3, which has none; so the
//! option goes by another name there, and is put in its place here.

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption};

use super::super::sound::Fault;
use super::{Removed, UNINTERPRETED, renumber};

/// What `default` is called while the parser sees it: of the same length, and no option of anybody's.
pub(super) const DEFAULT: &str = "defaulT";

/// The same for a name with a minus in front, as in `-inf`, which the parser takes for no option's value.
pub(super) const NEGATIVE_DEFAULT: &str = "defauLT";

#[derive(Default)]
struct Defaults {
    path: Vec<i32>,
    removed: Removed,
    faults: Vec<Fault>,
}

/// Gives the fields of a parsed file their default values. Fails with those that are none.
pub(super) fn put_back(file: &mut FileDescriptorProto) -> Vec<Fault> {
    let mut defaults = Defaults::default();
    defaults.fields(&mut file.extension, 7);
    defaults.messages(&mut file.message_type, 4);
    if let Some(info) = &mut file.source_code_info {
        for (options, indices) in &defaults.removed {
            // the place of the value: FieldDescriptorProto.default_value = 7 instead of options = 8
            let [field @ .., _] = &options[..] else { continue };
            for index in indices.iter().filter_map(|index| i32::try_from(*index).ok()) {
                let old = [&options[..], &[UNINTERPRETED, index]].concat();
                let spot = info.location.iter().find(|location| location.path == old).cloned();
                info.location.extend(
                    spot.map(|spot| prost_types::source_code_info::Location { path: [field, &[7]].concat(), ..spot }),
                );
            }
        }
        renumber(info, &defaults.removed);
    }
    defaults.faults
}

// === impl Defaults ===

impl Defaults {
    fn messages(&mut self, messages: &mut [DescriptorProto], number: i32) {
        for (index, message) in (0..).zip(messages) {
            self.path.extend([number, index]);
            self.fields(&mut message.field, 2);
            self.fields(&mut message.extension, 6);
            self.messages(&mut message.nested_type, 3);
            self.path.truncate(self.path.len().saturating_sub(2));
        }
    }

    fn fields(&mut self, fields: &mut [FieldDescriptorProto], number: i32) {
        for (index, field) in (0..).zip(fields) {
            let Some(options) = &mut field.options else { continue };
            let written = &mut options.uninterpreted_option;
            let Some(at) = written.iter().position(is_default) else { continue };
            let option = written.remove(at);
            if written.is_empty() {
                field.options = None;
            }
            let path = [&self.path[..], &[number, index, 8]].concat();
            match value(&option, field.r#type.and_then(|kind| Type::try_from(kind).ok())) {
                Ok(value) => field.default_value = Some(value),
                Err(text) => {
                    let index = i32::try_from(at).unwrap_or(i32::MAX);
                    let text = format!("field {:?}: {text}", field.name());
                    self.faults.push(Fault { path: [&path[..], &[UNINTERPRETED, index]].concat(), text, hint: None });
                    continue; // the places stay as they are
                }
            }
            self.removed.insert(path, vec![at]);
        }
    }
}

fn is_default(option: &UninterpretedOption) -> bool {
    matches!(&option.name[..], [name] if !name.is_extension && is_stand_in(&name.name_part))
}

fn is_stand_in(name: &str) -> bool {
    matches!(name, DEFAULT | NEGATIVE_DEFAULT)
}

/// The value as `FieldDescriptorProto.default_value` has it. Whether a number is in range, or an enum has the name, is
/// looked at when the file is linked.
fn value(option: &UninterpretedOption, kind: Option<Type>) -> Result<String, &'static str> {
    let negative = option.name.first().is_some_and(|name| name.name_part == NEGATIVE_DEFAULT);
    match (kind, &option.string_value) {
        (Some(Type::String), Some(text)) => {
            return String::from_utf8(text.clone()).map_err(|_| "the default value is not UTF-8");
        }
        (Some(Type::Bytes), Some(bytes)) => {
            return Ok(bytes.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect());
        }
        (Some(Type::String | Type::Bytes), None) => return Err("the default value is not a string"),
        (_, Some(_)) => return Err("the default value cannot be a string"),
        _ => (),
    }
    let is_float = matches!(kind, Some(Type::Float | Type::Double));
    if let Some(name) = &option.identifier_value {
        return Ok(format!("{}{name}", if negative { "-" } else { "" }));
    }
    if let Some(number) = option.positive_int_value {
        return Ok(number.to_string());
    }
    if let Some(number) = option.negative_int_value {
        return Ok(number.to_string());
    }
    match option.double_value {
        Some(number) if is_float => Ok(number.to_string().to_ascii_lowercase()),
        Some(_) => Err("the default value is not an integer"),
        None => Err("the default value is not one of its type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::uninterpreted_option::NamePart;

    fn option(name: &str) -> UninterpretedOption {
        let name = vec![NamePart { name_part: name.into(), is_extension: false }];
        UninterpretedOption { name, ..Default::default() }
    }

    #[test]
    fn a_default_value_is_written_as_descriptors_have_it() {
        let text = |bytes: &[u8]| UninterpretedOption { string_value: Some(bytes.to_vec()), ..option(DEFAULT) };
        let name =
            |name: &str, stand_in| UninterpretedOption { identifier_value: Some(name.into()), ..option(stand_in) };
        let integer = |number: i64| UninterpretedOption {
            positive_int_value: u64::try_from(number).ok(),
            negative_int_value: Some(number).filter(|number| *number < 0),
            ..option(DEFAULT)
        };
        let float = UninterpretedOption { double_value: Some(9e9), ..option(DEFAULT) };
        for (option, kind, expected) in [
            (text(b"a\"b"), Some(Type::String), Ok("a\"b")),
            (text(b"\0\"\xff"), Some(Type::Bytes), Ok("\\x00\\\"\\xff")),
            (text(b"\xff"), Some(Type::String), Err("the default value is not UTF-8")),
            (text(b"a"), Some(Type::Int32), Err("the default value cannot be a string")),
            (text(b"A"), None, Err("the default value cannot be a string")),
            (name("x", DEFAULT), Some(Type::String), Err("the default value is not a string")),
            (name("inf", NEGATIVE_DEFAULT), Some(Type::Double), Ok("-inf")),
            (name("nan", DEFAULT), Some(Type::Float), Ok("nan")),
            (name("VALUE", DEFAULT), None, Ok("VALUE")),
            (integer(i64::MIN), Some(Type::Int64), Ok("-9223372036854775808")),
            (integer(7), Some(Type::Double), Ok("7")),
            (float.clone(), Some(Type::Double), Ok("9000000000")),
            (float, Some(Type::Int32), Err("the default value is not an integer")),
            (option(DEFAULT), Some(Type::Int32), Err("the default value is not one of its type")),
        ] {
            assert_eq!(value(&option, kind).as_deref(), expected.as_ref().copied(), "{option:?}");
        }
    }
}
