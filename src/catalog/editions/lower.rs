//! Lowers the descriptor of a file of an edition to syntax proto2 or proto3, record by record: what is not touched
//! keeps its bytes, options that no crate knows included.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

use super::super::records::{Damaged, Records, Value};
use super::super::sound::Fault;
use super::super::unit::{file_tag, without};
use super::features::{Edition, Element, Features, Misuse, Reader, Said};
use super::{Overrides, Removed, UNINTERPRETED, renumber};
use crate::wire::{put_bytes, put_uint};

/// A lowered file.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Lowered {
    /// The encoded descriptor, of syntax proto2 or proto3; places stay those of the original.
    pub bytes: Vec<u8>,
    pub overrides: Overrides,
    /// Whether [`super::settle`] has to see it once its types are known.
    pub unsettled: bool,
}

/// Field numbers of `FieldDescriptorProto`.
mod field_tag {
    pub const LABEL: u32 = 4;
    pub const TYPE: u32 = 5;
    pub const OPTIONS: u32 = 8;
    pub const ONEOF_INDEX: u32 = 9;
    pub const JSON_NAME: u32 = 10;
    pub const PROTO3_OPTIONAL: u32 = 17;
}

/// `FileDescriptorProto.option_dependency`: imports for the sake of options, which are resolved in a descriptor set.
const OPTION_DEPENDENCY: u32 = 15;

/// `FieldOptions.packed`.
const PACKED: u32 = 2;

struct Lowering {
    edition: Edition,
    /// The syntax that is aimed at.
    proto3: bool,
    /// The package and the messages that are being walked.
    scope: Vec<String>,
    path: Vec<i32>,
    faults: Vec<Fault>,
    overrides: Overrides,
    removed: Removed,
    unsettled: bool,
    /// Whether it holds what proto3 forbids, or prost-reflect in proto3.
    beyond_proto3: bool,
    /// Whether the message that is being walked is the entry of a map.
    in_entry: bool,
}

/// What a field stands in.
struct Home<'a> {
    features: Features,
    extension: bool,
    /// The message, unless the field is an extension.
    message: Option<&'a DescriptorProto>,
}

/// The options of an element without its features, and what these say.
#[derive(Default)]
struct Options {
    kept: Option<Vec<u8>>,
    said: Said,
}

/// What a field will be.
struct Shape {
    repeated: bool,
    required: bool,
    implicit: bool,
    delimited: bool,
    /// Whether it is a message, or may turn out to be one.
    maybe_message: bool,
    untyped: bool,
    map: bool,
    entry: bool,
}

/// Lowers a file. `file` is what `bytes` hold, as far as prost-types knows it.
///
/// Fails with what protoc would not let pass either, by path.
pub(in crate::catalog) fn lower(
    edition: Edition,
    file: &FileDescriptorProto,
    bytes: &[u8],
) -> Result<Lowered, Vec<Fault>> {
    let (proto2, beyond_proto3) = Lowering::run(edition, false, file, bytes)?;
    // proto3 alone says which fields have no presence; but its descriptors must not hold what it forbids
    if proto2.overrides.implicit.is_empty() || beyond_proto3 {
        return Ok(proto2);
    }
    Lowering::run(edition, true, file, bytes).map(|(proto3, _)| proto3)
}

// === impl Lowering ===

impl Lowering {
    fn run(
        edition: Edition,
        proto3: bool,
        file: &FileDescriptorProto,
        bytes: &[u8],
    ) -> Result<(Lowered, bool), Vec<Fault>> {
        let mut lowering = Lowering {
            edition,
            proto3,
            scope: file.package.iter().filter(|package| !package.is_empty()).cloned().collect(),
            path: Vec::new(),
            faults: Vec::new(),
            overrides: Overrides::default(),
            removed: Removed::new(),
            unsettled: false,
            beyond_proto3: false,
            in_entry: false,
        };
        let lowered = lowering.file(file, bytes);
        match lowered {
            Ok(bytes) if lowering.faults.is_empty() => {
                let lowered = Lowered { bytes, overrides: lowering.overrides, unsettled: lowering.unsettled };
                Ok((lowered, lowering.beyond_proto3))
            }
            Ok(_) => Err(lowering.faults),
            Err(Damaged(at)) => {
                let text = format!("the descriptor is damaged: no protobuf at its byte {at}");
                Err(vec![Fault { path: lowering.path, text, hint: None }])
            }
        }
    }

    fn file(&mut self, file: &FileDescriptorProto, bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
        let options = self.options(Element::File, bytes)?;
        if options.said.required() {
            let text = "feature field_presence cannot be LEGACY_REQUIRED for a whole file";
            self.fault_at_option(Element::File, text, Some("say it of each field"));
        }
        let features = Features::of(self.edition).with(options.said);
        let home = Home { features, extension: true, message: None };
        let rewritten = [4, 5, 6, 7, 8, OPTION_DEPENDENCY, file_tag::SOURCE_INFO, file_tag::SYNTAX, file_tag::EDITION];
        let mut out = without(bytes, &rewritten);
        self.each(&mut out, bytes, 4, &file.message_type, |this, _, message, inner| {
            this.message(message, inner, features)
        })?;
        self.each(&mut out, bytes, 5, &file.enum_type, |this, _, declared, inner| {
            this.enumeration(declared, inner, features)
        })?;
        self.each(&mut out, bytes, 6, &file.service, |this, _, service, inner| this.service(service, inner))?;
        self.each(&mut out, bytes, 7, &file.extension, |this, _, field, inner| {
            this.field(field, inner, &home, None, None)
        })?;
        options.put(&mut out, Element::File);
        put_bytes(&mut out, file_tag::SYNTAX, if self.proto3 { b"proto3" } else { b"proto2" });
        if let Some(mut info) = file.source_code_info.clone() {
            renumber(&mut info, &self.removed);
            put_bytes(&mut out, file_tag::SOURCE_INFO, &info.encode_to_vec());
        }
        Ok(out)
    }

    fn message(&mut self, message: &DescriptorProto, bytes: &[u8], outer: Features) -> Result<Vec<u8>, Damaged> {
        let options = self.options(Element::Message, bytes)?;
        let features = outer.with(options.said);
        let mut names = HashSet::new();
        let folded = |name: &str| name.replace('_', "").to_lowercase();
        self.beyond_proto3 |= !message.extension_range.is_empty()
            || !message.field.iter().all(|field| names.insert(folded(field.name())));
        self.scope.push(message.name().to_owned());
        let outside = std::mem::replace(&mut self.in_entry, message.options.as_ref().is_some_and(|o| o.map_entry()));
        let mut out = without(bytes, &[2, 3, 4, 5, 6, 7, 8]);
        self.fields(&mut out, message, bytes, features)?;
        self.each(&mut out, bytes, 3, &message.nested_type, |this, _, nested, inner| {
            this.message(nested, inner, features)
        })?;
        self.each(&mut out, bytes, 4, &message.enum_type, |this, _, declared, inner| {
            this.enumeration(declared, inner, features)
        })?;
        self.each(&mut out, bytes, 5, &message.extension_range, |this, _, _, inner| {
            this.stripped(inner, Element::ExtensionRange)
        })?;
        let home = Home { features, extension: true, message: None };
        self.each(&mut out, bytes, 6, &message.extension, |this, _, field, inner| {
            this.field(field, inner, &home, None, None)
        })?;
        options.put(&mut out, Element::Message);
        self.in_entry = outside;
        self.scope.pop();
        Ok(out)
    }

    /// The fields of a message and its oneofs, to which fields may add some.
    fn fields(
        &mut self,
        out: &mut Vec<u8>,
        message: &DescriptorProto,
        bytes: &[u8],
        features: Features,
    ) -> Result<(), Damaged> {
        let home = Home { features, extension: false, message: Some(message) };
        let renamed = if features.lax_json() { told_apart(message) } else { HashMap::new() };
        let mut synthetic = Synthetic::new(message);
        self.each(out, bytes, 2, &message.field, |this, at, field, inner| {
            let json_name = renamed.get(&at).map(String::as_str);
            this.field(field, inner, &home, Some(&mut synthetic), json_name)
        })?;
        self.each(out, bytes, 8, &message.oneof_decl, |this, _, _, inner| this.stripped(inner, Element::Oneof))?;
        for name in &synthetic.made {
            let mut oneof = Vec::with_capacity(name.len() + 2);
            put_bytes(&mut oneof, 1, name.as_bytes());
            put_bytes(out, 8, &oneof);
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &FieldDescriptorProto,
        bytes: &[u8],
        home: &Home<'_>,
        synthetic: Option<&mut Synthetic>,
        json_name: Option<&str>,
    ) -> Result<Vec<u8>, Damaged> {
        let options = self.options(Element::Field, bytes)?;
        let features = home.features.with(options.said);
        let shape = Shape::of(field, home, features);
        self.check_field(field, home, &options, &shape);
        let full_name = self.full_name(field.name());
        let of_options = field.extendee().trim_start_matches('.').starts_with("google.protobuf.");
        self.beyond_proto3 |=
            shape.required || shape.delimited || field.default_value.is_some() || (home.extension && !of_options);
        let mut out = without(
            bytes,
            &[
                field_tag::LABEL,
                field_tag::TYPE,
                field_tag::OPTIONS,
                field_tag::ONEOF_INDEX,
                field_tag::PROTO3_OPTIONAL,
            ],
        );
        let label = match (shape.repeated, shape.required) {
            (true, _) => Label::Repeated,
            (false, true) => Label::Required,
            (false, false) => Label::Optional,
        };
        put_uint(&mut out, field_tag::LABEL, label as u64);
        self.unsettled |= shape.delimited && shape.untyped;
        match field.r#type.and_then(|kind| u64::try_from(kind).ok()) {
            _ if shape.delimited => put_uint(&mut out, field_tag::TYPE, Type::Group as u64),
            Some(kind) => put_uint(&mut out, field_tag::TYPE, kind),
            None => (),
        }
        let shows_presence = self.proto3 && shape.may_be_optional() && field.oneof_index.is_none();
        if shows_presence {
            put_uint(&mut out, field_tag::PROTO3_OPTIONAL, 1);
        }
        let made = synthetic.filter(|_| shows_presence).and_then(|synthetic| synthetic.make(field.name()));
        if let Some(index) = field.oneof_index.or(made) {
            // negative ones go on as they are, to be refused later
            put_uint(&mut out, field_tag::ONEOF_INDEX, i64::from(index) as u64);
        }
        if let Some(name) = json_name {
            out = without(&out, &[field_tag::JSON_NAME]);
            put_bytes(&mut out, field_tag::JSON_NAME, name.as_bytes());
        }
        if shape.implicit && !self.proto3 {
            self.overrides.implicit.insert(full_name.clone());
        }
        if field.r#type == Some(Type::String.into()) && features.check_utf8() != self.proto3 {
            self.overrides.utf8.insert(full_name, features.check_utf8());
        }
        let mut options = options;
        if shape.can_be_packed(field) && features.packed() != self.proto3 {
            put_uint(options.kept.get_or_insert_default(), PACKED, u64::from(features.packed()));
            self.unsettled |= shape.untyped;
        }
        options.put(&mut out, Element::Field);
        Ok(out)
    }

    /// What protoc refuses of a field's features.
    fn check_field(&mut self, field: &FieldDescriptorProto, home: &Home<'_>, options: &Options, shape: &Shape) {
        if field.proto3_optional() {
            self.fault(self.path.clone(), "label \"optional\" is not for editions".to_owned(), None);
        }
        let said = options.said;
        let kind = field.r#type.and_then(|kind| Type::try_from(kind).ok());
        let complaint = match kind {
            _ if shape.entry => None, // a copy of what is said of the map
            _ if said.presence() && shape.repeated => Some("repeated fields have no field_presence"),
            _ if said.presence() && home.extension => Some("extensions have no field_presence"),
            _ if said.presence() && field.oneof_index.is_some() => Some("members of oneofs have no field_presence"),
            Some(Type::Message | Type::Group) if said.implicit() => {
                Some("messages cannot have implicit field_presence")
            }
            _ if shape.implicit && field.default_value.is_some() => {
                Some("a field of implicit presence cannot have a default value")
            }
            _ if said.repeated_encoding() && !shape.repeated => {
                Some("only repeated fields have a repeated_field_encoding")
            }
            Some(Type::String | Type::Bytes | Type::Message | Type::Group)
                if said.repeated_encoding() && said.packed() =>
            {
                Some("only numbers, enums and booleans can be packed")
            }
            Some(kind) if said.utf8() && kind != Type::String && !shape.map => {
                Some("only strings have a utf8_validation")
            }
            Some(kind) if said.message_encoding() && !matches!(kind, Type::Message | Type::Group) => {
                Some("only messages have a message_encoding")
            }
            _ => None,
        };
        if let Some(text) = complaint {
            self.fault_at_option(Element::Field, &format!("field {:?}: {text}", field.name()), None);
        }
    }

    fn enumeration(
        &mut self,
        declared: &EnumDescriptorProto,
        bytes: &[u8],
        outer: Features,
    ) -> Result<Vec<u8>, Damaged> {
        let options = self.options(Element::Enum, bytes)?;
        let closed = outer.with(options.said).closed();
        if !closed && declared.value.first().is_some_and(|value| value.number() != 0) {
            let path = [&self.path[..], &[2, 0]].concat();
            let text = format!("the first value of enum {:?} must be zero, since it is open", declared.name());
            self.fault(path, text, Some("or set `option features.enum_type = CLOSED;`"));
        }
        self.beyond_proto3 |= declared.value.first().is_some_and(|value| value.number() != 0);
        if closed == self.proto3 {
            self.overrides.closed.insert(self.full_name(declared.name()), closed);
        }
        let mut out = without(bytes, &[2, 3]);
        self.each(&mut out, bytes, 2, &declared.value, |this, _, _, inner| this.stripped(inner, Element::EnumValue))?;
        options.put(&mut out, Element::Enum);
        Ok(out)
    }

    fn service(&mut self, service: &ServiceDescriptorProto, bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
        let options = self.options(Element::Service, bytes)?;
        let mut out = without(bytes, &[2, 3]);
        self.each(&mut out, bytes, 2, &service.method, |this, _, _, inner| this.stripped(inner, Element::Method))?;
        options.put(&mut out, Element::Service);
        Ok(out)
    }

    /// Lowers all parts of one number. Decoded and encoded ones come in the same order.
    fn each<T>(
        &mut self,
        out: &mut Vec<u8>,
        bytes: &[u8],
        number: u32,
        decoded: &[T],
        mut lower: impl FnMut(&mut Lowering, usize, &T, &[u8]) -> Result<Vec<u8>, Damaged>,
    ) -> Result<(), Damaged> {
        let mut parts = decoded.iter().enumerate();
        for record in Records::new(bytes) {
            let Some(inner) = record?.bytes(number) else { continue };
            let Some((at, part)) = parts.next() else { return Err(Damaged(0)) }; // cannot be: both are of these bytes
            let depth = self.path.len();
            self.path.extend([number as i32, i32::try_from(at).unwrap_or(i32::MAX)]);
            let lowered = lower(self, at, part, inner)?;
            self.path.truncate(depth);
            put_bytes(out, number, &lowered);
        }
        Ok(())
    }

    /// An element of which nothing but the options matters.
    fn stripped(&mut self, bytes: &[u8], element: Element) -> Result<Vec<u8>, Damaged> {
        let options = self.options(element, bytes)?;
        let mut out = without(bytes, &[element.options_tag()]);
        options.put(&mut out, element);
        Ok(out)
    }

    /// Takes the features out of the options of an element. Options that come in parts are one message.
    fn options(&mut self, element: Element, bytes: &[u8]) -> Result<Options, Damaged> {
        let tag = element.options_tag();
        let mut whole: Option<Vec<u8>> = None;
        for record in Records::new(bytes) {
            if let Some(part) = record?.bytes(tag) {
                whole.get_or_insert_default().extend_from_slice(part);
            }
        }
        let Some(whole) = whole else { return Ok(Options::default()) };
        let mut reader = Reader { edition: self.edition, element, said: Said::default() };
        let path = [&self.path[..], &[tag as i32]].concat();
        let mut kept = Vec::with_capacity(whole.len());
        let mut written = 0usize;
        for record in Records::new(&whole) {
            let record = record?;
            let (read, at) = match record.value {
                Value::Bytes(bytes) if record.number == element.features_tag() => {
                    (Some(reader.read_set(bytes)), vec![record.number as i32])
                }
                Value::Bytes(bytes) if record.number == UNINTERPRETED as u32 => {
                    let read = reader.read_written(bytes).or_else(|| refused_option(element, bytes));
                    let index = i32::try_from(written).unwrap_or(i32::MAX);
                    if read.is_some() {
                        self.removed.entry(path.clone()).or_default().push(written);
                    }
                    written += 1;
                    (read, vec![UNINTERPRETED, index])
                }
                Value::Varint(_) if element == Element::Field && record.number == PACKED => {
                    (Some(Err(Misuse::packed())), vec![PACKED as i32])
                }
                _ => (None, Vec::new()),
            };
            match read {
                None => kept.extend_from_slice(record.whole),
                Some(Ok(())) => (),
                Some(Err(Misuse { text, hint })) => self.fault([&path[..], &at].concat(), text, hint.as_deref()),
            }
        }
        Ok(Options { kept: Some(kept).filter(|kept| !kept.is_empty()), said: reader.said })
    }

    fn full_name(&self, name: &str) -> Box<str> {
        let mut full = self.scope.join(".");
        if !full.is_empty() {
            full.push('.');
        }
        full.push_str(name);
        full.into()
    }

    /// Notes a fault, but not of a map's entry what is said of the map already: it has a copy of the map's features.
    fn fault(&mut self, path: Vec<i32>, text: String, hint: Option<&str>) {
        if self.in_entry && self.faults.iter().any(|fault| fault.text == text) {
            return;
        }
        self.faults.push(Fault { path, text, hint: hint.map(str::to_owned) });
    }

    /// A fault in the options of the element that is being walked.
    fn fault_at_option(&mut self, element: Element, text: &str, hint: Option<&str>) {
        let path = [&self.path[..], &[element.options_tag() as i32]].concat();
        self.fault(path, text.to_owned(), hint);
    }
}

/// Options that editions have features for instead.
fn refused_option(element: Element, bytes: &[u8]) -> Option<Result<(), Misuse>> {
    let option = prost_types::UninterpretedOption::decode(bytes).ok()?;
    let [name] = &option.name[..] else { return None };
    let is_packed = element == Element::Field && !name.is_extension && name.name_part == "packed";
    is_packed.then(|| Err(Misuse::packed()))
}

/// New JSON names for fields whose JSON names are those of others: their own names, as far as these are free. Only where
/// `json_format` is LEGACY_BEST_EFFORT, which promises no more. By the index of the field.
fn told_apart(message: &DescriptorProto) -> HashMap<usize, String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut renamed = HashMap::new();
    for (at, field) in message.field.iter().enumerate() {
        let json = field.json_name.clone().unwrap_or_else(|| json_name(field.name()));
        if !taken.insert(json) && taken.insert(field.name().to_owned()) {
            renamed.insert(at, field.name().to_owned());
        }
    }
    renamed
}

/// What protoc makes of a name: underscores go, the letter after one is a capital.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut capital = false;
    for letter in name.chars() {
        match letter {
            '_' => capital = true,
            _ if capital => {
                json.push(letter.to_ascii_uppercase());
                capital = false;
            }
            _ => json.push(letter),
        }
    }
    json
}

// === impl Options ===

impl Options {
    fn put(self, out: &mut Vec<u8>, element: Element) {
        if let Some(kept) = self.kept {
            put_bytes(out, element.options_tag(), &kept);
        }
    }
}

// === impl Misuse ===

impl Misuse {
    fn packed() -> Misuse {
        Misuse {
            text: "option packed is not for editions".to_owned(),
            hint: Some("use features.repeated_field_encoding".to_owned()),
        }
    }
}

// === impl Shape ===

impl Shape {
    fn of(field: &FieldDescriptorProto, home: &Home<'_>, features: Features) -> Shape {
        let kind = field.r#type.and_then(|kind| Type::try_from(kind).ok());
        let repeated = field.label == Some(Label::Repeated.into());
        let untyped = field.r#type.is_none() && !field.type_name().is_empty();
        let is_message = matches!(kind, Some(Type::Message | Type::Group));
        let entry = home.message.is_some_and(|message| message.options.as_ref().is_some_and(|o| o.map_entry()));
        let map = repeated && home.message.is_some_and(|message| is_map(field, message));
        let plain = !repeated && !home.extension && field.oneof_index.is_none();
        let said_required = field.label == Some(Label::Required.into());
        Shape {
            repeated,
            required: !repeated && !entry && (said_required || (plain && features.required())),
            implicit: plain && !is_message && features.implicit(),
            delimited: kind == Some(Type::Group)
                || (features.delimited() && !map && !entry && (untyped || kind == Some(Type::Message))),
            maybe_message: is_message || untyped,
            untyped,
            map,
            entry,
        }
    }

    /// Whether a proto3 file has to say `optional` of it. Harmless for what turns out to be a message.
    fn may_be_optional(&self) -> bool {
        !self.repeated && !self.required && !self.implicit && !self.entry && (self.untyped || !self.maybe_message)
    }

    fn can_be_packed(&self, field: &FieldDescriptorProto) -> bool {
        let kind = field.r#type.and_then(|kind| Type::try_from(kind).ok());
        let never = matches!(kind, Some(Type::String | Type::Bytes | Type::Message | Type::Group));
        self.repeated && !self.map && !never && (kind.is_some() || self.untyped)
    }
}

/// Whether the type of a field is the entry that protoc makes for a map: a type within the same message.
fn is_map(field: &FieldDescriptorProto, message: &DescriptorProto) -> bool {
    let short = field.type_name().rsplit('.').next().unwrap_or_default();
    let entries = message.nested_type.iter().filter(|nested| nested.options.as_ref().is_some_and(|o| o.map_entry()));
    let within = field.type_name().strip_suffix(short).is_some_and(|outer| {
        outer.is_empty() || outer.trim_end_matches('.').rsplit('.').next() == Some(message.name())
    });
    within && entries.into_iter().any(|entry| entry.name() == short)
}

/// The oneofs that proto3 gives to fields with `optional`.
struct Synthetic {
    taken: HashSet<String>,
    declared: usize,
    made: Vec<String>,
}

// === impl Synthetic ===

impl Synthetic {
    fn new(message: &DescriptorProto) -> Synthetic {
        let fields = message.field.iter().map(|field| field.name());
        let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
        let nested = message.nested_type.iter().map(|nested| nested.name());
        let enums = message.enum_type.iter().map(|declared| declared.name());
        let values = message.enum_type.iter().flat_map(|declared| declared.value.iter().map(|value| value.name()));
        let extensions = message.extension.iter().map(|extension| extension.name());
        let all = fields.chain(oneofs).chain(nested).chain(enums).chain(values).chain(extensions);
        Synthetic { taken: all.map(str::to_owned).collect(), declared: message.oneof_decl.len(), made: Vec::new() }
    }

    /// Makes the oneof of a field; gives its index.
    fn make(&mut self, field: &str) -> Option<i32> {
        let mut name = format!("_{field}");
        while !self.taken.insert(name.clone()) {
            name.insert(0, 'X');
        }
        let index = i32::try_from(self.declared + self.made.len()).ok()?;
        self.made.push(name);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::{MessageOptions, OneofDescriptorProto};

    fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.into()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    fn file(fields: Vec<FieldDescriptorProto>) -> FileDescriptorProto {
        let message = DescriptorProto { name: Some("M".into()), field: fields, ..Default::default() };
        FileDescriptorProto {
            name: Some("a.proto".into()),
            package: Some("a".into()),
            message_type: vec![message],
            ..Default::default()
        }
    }

    /// Encoded, with these features of the file.
    fn encoded(file: &FileDescriptorProto, features: &[(u32, u64)]) -> Vec<u8> {
        let (mut said, mut options) = (Vec::new(), Vec::new());
        features.iter().for_each(|(number, value)| put_uint(&mut said, *number, *value));
        put_bytes(&mut options, 50, &said);
        let mut bytes = file.encode_to_vec();
        put_uint(&mut bytes, file_tag::EDITION, 1000);
        put_bytes(&mut bytes, 8, &options);
        bytes
    }

    fn lowered(file: &FileDescriptorProto, features: &[(u32, u64)]) -> (FileDescriptorProto, Lowered) {
        let lowered = lower(Edition::E2023, file, &encoded(file, features)).expect("lowers");
        (FileDescriptorProto::decode(&lowered.bytes[..]).expect("encoded"), lowered)
    }

    const IMPLICIT: (u32, u64) = (1, 2);

    #[test]
    fn implicit_presence_becomes_proto3_and_what_is_explicit_says_optional() {
        let mut of_oneof = field("of_oneof", 3, Type::Int32);
        of_oneof.oneof_index = Some(0);
        let mut file = file(vec![field("a", 1, Type::Int32), field("child", 2, Type::Message), of_oneof]);
        file.message_type[0].oneof_decl = vec![OneofDescriptorProto { name: Some("o".into()), options: None }];
        file.message_type[0].field[1].type_name = Some(".a.M".into());
        let (found, lowered) = lowered(&file, &[IMPLICIT]);
        assert_eq!(found.syntax(), "proto3");
        assert_eq!(lowered.overrides, Overrides::default());
        assert!(found.options.is_none() && found.message_type[0].field.iter().all(|field| !field.proto3_optional()));
        // the same field by field
        let mut bytes = field("_b", 4, Type::String).encode_to_vec();
        put_bytes(&mut bytes, 8, b"\x18\x01\xaa\x01\x02\x08\x01"); // deprecated, and explicit presence
        let message = &mut file.message_type[0];
        message.field.push(field("b", 5, Type::String));
        let mut message = message.encode_to_vec();
        put_bytes(&mut message, 2, &bytes);
        let mut whole = encoded(&FileDescriptorProto { message_type: vec![], ..file.clone() }, &[IMPLICIT]);
        put_bytes(&mut whole, 4, &message);
        let file = FileDescriptorProto::decode(&whole[..]).unwrap();
        let lowered = lower(Edition::E2023, &file, &whole).unwrap();
        let found = FileDescriptorProto::decode(&lowered.bytes[..]).unwrap();
        // `b` and `_b` are one to prost-reflect in proto3
        assert_eq!(found.syntax(), "proto2");
        assert!(lowered.overrides.is_implicit("a.M.a") && lowered.overrides.is_implicit("a.M.b"));
        assert!(!lowered.overrides.is_implicit("a.M._b") && !lowered.overrides.is_implicit("a.M.of_oneof"));
        assert_eq!(lowered.overrides.check_utf8("a.M._b"), Some(true));
        let options = found.message_type[0].field.iter().find_map(|field| field.options.as_ref());
        assert_eq!(options.and_then(|options| options.deprecated), Some(true));
    }

    #[test]
    fn oneofs_made_for_optional_fields_take_no_name_that_is_taken() {
        let fields = vec![field("a", 1, Type::Int32), field("_a", 2, Type::Int32), field("X_a", 3, Type::Int32)];
        let mut synthetic = Synthetic::new(&file(fields).message_type[0]);
        assert_eq!((synthetic.make("a"), synthetic.make("_a")), (Some(0), Some(1)));
        assert_eq!(synthetic.made, ["XX_a", "__a"]);
    }

    #[test]
    fn legacy_json_names_that_collide_are_told_apart() {
        let fields = vec![field("a_b", 1, Type::Int32), field("aB", 2, Type::Int32), field("a__b", 3, Type::Int32)];
        let (found, _) = lowered(&file(fields.clone()), &[(6, 2)]);
        let names: Vec<_> = found.message_type[0].field.iter().map(|field| field.json_name.as_deref()).collect();
        // the second has no other name
        assert_eq!(names, [None, None, Some("a__b")]);
        let (found, _) = lowered(&file(fields), &[]);
        assert!(found.message_type[0].field.iter().all(|field| field.json_name.is_none()));
        assert_eq!(["foo_bar", "_foo", "a1_2b", "fooBar_"].map(json_name), ["fooBar", "Foo", "a12b", "fooBar"]);
    }

    #[test]
    fn maps_stay_maps_where_messages_are_delimited() {
        let entry = DescriptorProto {
            name: Some("PartsEntry".into()),
            field: vec![field("key", 1, Type::Int32), field("value", 2, Type::Message)],
            options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
            ..Default::default()
        };
        let mut file = file(vec![field("parts", 1, Type::Message), field("part", 2, Type::Message)]);
        let message = &mut file.message_type[0];
        message.nested_type = vec![entry];
        message.field[0].label = Some(Label::Repeated.into());
        message.field[0].type_name = Some(".a.M.PartsEntry".into());
        message.field[1].type_name = Some(".a.M".into());
        message.nested_type[0].field[1].type_name = Some(".a.M".into());
        let (found, lowered) = lowered(&file, &[(5, 2)]);
        let kinds = |message: &DescriptorProto| message.field.iter().map(|field| field.r#type()).collect::<Vec<_>>();
        assert_eq!(kinds(&found.message_type[0]), [Type::Message, Type::Group]);
        assert_eq!(kinds(&found.message_type[0].nested_type[0]), [Type::Int32, Type::Message]);
        assert!(!lowered.unsettled);
    }

    #[test]
    fn damaged_options_are_faults_with_their_paths() {
        let file = file(vec![field("a", 1, Type::Int32)]);
        for (options, path) in [(&b"\x92\x03\x02\x08"[..], &[][..]), (b"\x92\x03\x01\x08", &[8, 50])] {
            let mut bytes = file.encode_to_vec();
            put_bytes(&mut bytes, 8, options);
            let faults = lower(Edition::E2024, &file, &bytes).unwrap_err();
            assert_eq!(faults.iter().map(|fault| &fault.path[..]).collect::<Vec<_>>(), [path]);
        }
    }
}
