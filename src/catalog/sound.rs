//! Checks of a descriptor before prost-reflect sees it: what protoc never writes, but a damaged or hand-made
//! descriptor set can hold, and what prost-reflect would misread or panic over instead of refusing.

use std::sync::Arc;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
    SourceCodeInfo, UninterpretedOption,
};

use super::mistake::{Mistake, Place};
use super::unit::spot_of;

/// Nesting that the value of one uninterpreted option may have: its parser recurses.
const MAX_OPTION_NESTING: usize = 64;

/// Faults that are reported of one file.
const MAX_FAULTS: usize = 10;

/// What is wrong, and the path of it in the file (as in `SourceCodeInfo.Location.path`).
#[derive(Debug)]
pub(super) struct Fault {
    pub path: Vec<i32>,
    pub text: String,
    pub hint: Option<String>,
}

struct Inspector {
    path: Vec<i32>,
    faults: Vec<Fault>,
}

/// All faults of a file; none if prost-reflect may have it.
pub(super) fn inspect(file: &FileDescriptorProto) -> Vec<Fault> {
    let mut inspector = Inspector { path: Vec::new(), faults: Vec::new() };
    inspector.file(file);
    inspector.faults
}

/// Faults as mistakes with their places: of the path itself, or of the nearest thing around it that has one.
pub(super) fn complaints(faults: Vec<Fault>, info: Option<&SourceCodeInfo>, shown: &Arc<str>) -> Vec<Mistake> {
    let told = faults.into_iter().take(MAX_FAULTS).map(|fault| {
        let steps = (0..=fault.path.len()).rev().filter_map(|length| fault.path.get(..length));
        let spots = steps.take_while(|path| !path.is_empty()).map(|path| spot_of(info, path));
        let (line, column) = spots.into_iter().find(|spot| *spot != (0, 0)).unwrap_or_default();
        let mistake = Mistake::new(fault.text).at(Place::new(Arc::clone(shown), line, column));
        Mistake { hint: fault.hint, ..mistake }
    });
    told.collect()
}

// === impl Inspector ===

impl Inspector {
    fn file(&mut self, file: &FileDescriptorProto) {
        if file.name().is_empty() {
            self.fault("the file has no name");
        }
        if !file.package().is_empty() && !file.package().split('.').all(is_identifier) {
            self.within(2, None, |this| this.fault(format!("{:?} is not the name of a package", file.package())));
        }
        if !matches!(file.syntax.as_deref(), None | Some("proto2" | "proto3")) {
            self.within(12, None, |this| this.fault(format!("unknown syntax {:?}", file.syntax())));
        }
        if let Some(options) = &file.options {
            self.options(&options.uninterpreted_option);
        }
        self.each(4, &file.message_type, Inspector::message);
        self.each(5, &file.enum_type, Inspector::enumeration);
        self.each(6, &file.service, Inspector::service);
        self.each(7, &file.extension, Inspector::field);
    }

    fn message(&mut self, message: &DescriptorProto) {
        self.name(message.name(), "message");
        if let Some(options) = &message.options {
            self.options(&options.uninterpreted_option);
            if options.map_entry() && !is_map_entry(message) {
                self.fault(format!(
                    "message {:?} says that it is a map's entry, but has not its two fields",
                    message.name()
                ));
            }
        }
        for range in &message.extension_range {
            if let Some(options) = &range.options {
                self.options(&options.uninterpreted_option);
            }
        }
        self.each(2, &message.field, Inspector::field);
        self.each(3, &message.nested_type, Inspector::message);
        self.each(4, &message.enum_type, Inspector::enumeration);
        self.each(6, &message.extension, Inspector::field);
        self.each(8, &message.oneof_decl, |this, oneof| {
            this.name(oneof.name(), "oneof");
            if let Some(options) = &oneof.options {
                this.options(&options.uninterpreted_option);
            }
        });
    }

    fn field(&mut self, field: &FieldDescriptorProto) {
        self.name(field.name(), "field");
        let kind = field.r#type.map(Type::try_from);
        match (kind, field.type_name.as_deref().unwrap_or_default()) {
            (Some(Err(_)), _) => self.fault(format!("field {:?} has an unknown type", field.name())),
            (None, "") => self.fault(format!("field {:?} has no type", field.name())),
            (Some(Ok(Type::Message | Type::Group | Type::Enum)) | None, _) | (Some(Ok(_)), "") => (),
            (Some(Ok(_)), name) => {
                self.fault(format!("field {:?} is a scalar, yet names the type {name:?}", field.name()));
            }
        }
        if field.label.is_some_and(|label| Label::try_from(label).is_err()) {
            self.fault(format!("field {:?} has an unknown label", field.name()));
        }
        if let Some(options) = &field.options {
            self.options(&options.uninterpreted_option);
        }
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptorProto) {
        self.name(enumeration.name(), "enum");
        if let Some(options) = &enumeration.options {
            self.options(&options.uninterpreted_option);
        }
        self.each(2, &enumeration.value, |this, value| {
            this.name(value.name(), "enum value");
            if let Some(options) = &value.options {
                this.options(&options.uninterpreted_option);
            }
        });
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        self.name(service.name(), "service");
        if let Some(options) = &service.options {
            self.options(&options.uninterpreted_option);
        }
        self.each(2, &service.method, |this, method| {
            this.name(method.name(), "method");
            if method.input_type().is_empty() || method.output_type().is_empty() {
                this.fault(format!("method {:?} lacks the type of its request or response", method.name()));
            }
            if let Some(options) = &method.options {
                this.options(&options.uninterpreted_option);
            }
        });
    }

    fn options(&mut self, options: &[UninterpretedOption]) {
        for option in options {
            let text = option.aggregate_value();
            let open = text.bytes().filter(|byte| matches!(byte, b'{' | b'<' | b'[')).count();
            if option.name.is_empty() {
                self.fault("an option has no name");
            } else if open > MAX_OPTION_NESTING && nesting(text) > MAX_OPTION_NESTING {
                self.fault(format!("the value of an option nests deeper than {MAX_OPTION_NESTING} levels"));
            }
        }
    }

    fn name(&mut self, name: &str, what: &str) {
        if !is_identifier(name) {
            self.fault(format!("{name:?} is not the name of a {what}"));
        }
    }

    fn each<T>(&mut self, number: i32, items: &[T], mut check: impl FnMut(&mut Inspector, &T)) {
        for (i, item) in items.iter().enumerate() {
            self.within(number, i32::try_from(i).ok(), |this| check(this, item));
        }
    }

    fn within(&mut self, number: i32, index: Option<i32>, check: impl FnOnce(&mut Inspector)) {
        let depth = self.path.len();
        self.path.push(number);
        self.path.extend(index);
        check(self);
        self.path.truncate(depth);
    }

    fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(Fault { path: self.path.clone(), text: text.into(), hint: None });
    }
}

/// The shape that protoc gives to the entry of a map (descriptor.proto, `MessageOptions.map_entry`).
fn is_map_entry(message: &DescriptorProto) -> bool {
    let [key, value] = &message.field[..] else { return false };
    let key_type = key.r#type.map(Type::try_from);
    let allowed = !matches!(
        key_type,
        Some(Ok(Type::Double | Type::Float | Type::Bytes | Type::Message | Type::Group | Type::Enum) | Err(_)) | None
    );
    let single = |field: &FieldDescriptorProto| field.label() == Label::Optional && field.oneof_index.is_none();
    let value_is_group = value.r#type == Some(Type::Group.into());
    allowed && (key.number(), value.number()) == (1, 2) && single(key) && single(value) && !value_is_group
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// How deep a text-format value nests; brackets in strings and comments do not count.
pub(super) fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'<' | b'[' => depth += 1,
            b'}' | b'>' | b']' => depth = depth.saturating_sub(1),
            b'#' => drop(bytes.find(|&byte| byte == b'\n')),
            b'"' | b'\'' => {
                while let Some(inner) = bytes.next().filter(|&inner| inner != byte) {
                    if inner == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => (),
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.into()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    fn file(message: DescriptorProto) -> FileDescriptorProto {
        FileDescriptorProto { name: Some("a.proto".into()), message_type: vec![message], ..Default::default() }
    }

    #[test]
    fn a_map_entry_must_have_the_fields_of_one() {
        let entry = |fields: Vec<FieldDescriptorProto>| DescriptorProto {
            name: Some("E".into()),
            field: fields,
            options: Some(prost_types::MessageOptions { map_entry: Some(true), ..Default::default() }),
            ..Default::default()
        };
        let good = vec![field("key", 1, Type::String), field("value", 2, Type::Bytes)];
        assert!(inspect(&file(entry(good))).is_empty());
        for bad in [
            vec![],
            vec![field("key", 1, Type::String)],
            vec![field("key", 1, Type::Double), field("value", 2, Type::Bytes)],
            vec![field("key", 2, Type::String), field("value", 1, Type::Bytes)],
        ] {
            let faults = inspect(&file(entry(bad)));
            assert_eq!(faults.iter().map(|f| &f.path[..]).collect::<Vec<_>>(), [[4, 0]]);
        }
    }

    #[test]
    fn names_types_and_labels_that_cannot_be_are_found() {
        let mut odd = field("a/b", 1, Type::String);
        odd.label = Some(9);
        odd.r#type = Some(77);
        let mut scalar = field("s", 2, Type::String);
        scalar.type_name = Some(".a.B".into());
        let mut untyped = field("u", 3, Type::String);
        untyped.r#type = None;
        let message =
            DescriptorProto { name: Some("M".into()), field: vec![odd, scalar, untyped], ..Default::default() };
        let mut file = file(message);
        file.package = Some("a..b".into());
        file.syntax = Some("editions".into());
        let texts: Vec<_> = inspect(&file).into_iter().map(|fault| fault.text).collect();
        assert_eq!(texts.len(), 7, "{texts:?}");
    }

    #[test]
    fn the_nesting_of_options_is_bounded() {
        let deep = "{a:".repeat(100);
        let name = prost_types::uninterpreted_option::NamePart { name_part: "x".into(), is_extension: true };
        let option = UninterpretedOption { name: vec![name], aggregate_value: Some(deep), ..Default::default() };
        let options = prost_types::FileOptions { uninterpreted_option: vec![option], ..Default::default() };
        let file = FileDescriptorProto { name: Some("a.proto".into()), options: Some(options), ..Default::default() };
        assert_eq!(inspect(&file).len(), 1);
        assert_eq!(nesting("a { b: '}}' # }}}\n c { } } d \"\\\"{{\" {}"), 2);
    }
}
