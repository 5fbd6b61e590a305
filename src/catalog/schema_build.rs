//! Descriptors to dense tables, once per load. Nothing of prost-reflect is kept.

use std::collections::{HashMap, HashSet};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, FileDescriptor, Kind as PoolKind,
    MessageDescriptor, Syntax,
};
use prost_types::FieldDescriptorProto;

use super::editions::Overrides;
use super::mistake::{Mistake, Place};
use super::name_index::NameIndex;
use super::schema::{
    Enum, EnumId, EnumValue, FEW, Field, FieldNames, Kind, Known, Label, Message, MessageId, Presence, Schema,
};

/// What is numbered so far: every message and enum of the pool by its full name.
struct Numbers<'a> {
    messages: HashMap<String, MessageId>,
    enums: HashMap<String, EnumId>,
    /// What files of editions mean beyond what the pool says.
    overrides: &'a Overrides,
}

/// What fields and extensions have in common, so that one function turns either into a [`Field`].
struct Written<'a> {
    json_name: &'a str,
    name: &'a str,
    number: u32,
    kind: PoolKind,
    is_list: bool,
    is_map: bool,
    is_group: bool,
    is_required: bool,
    is_packed: bool,
    has_presence: bool,
    oneof: Option<u16>,
    check_utf8: bool,
}

// === impl Schema ===

impl Schema {
    /// Turns a descriptor pool into tables.
    ///
    /// Fails only on a message with more than 65,535 fields, which protobuf's own runtimes refuse as well: field indices
    /// have 16 bits here.
    pub fn build(pool: &DescriptorPool) -> Result<Schema, Mistake> {
        Schema::build_with(pool, &Overrides::default())
    }

    /// The same for a pool with files of editions, which hold more than descriptors of syntax proto2 and proto3 can say.
    pub(super) fn build_with(pool: &DescriptorPool, overrides: &Overrides) -> Result<Schema, Mistake> {
        let numbers = Numbers {
            messages: (0..).map(MessageId).zip(pool.all_messages()).map(|(id, m)| (m.full_name().into(), id)).collect(),
            overrides,
            enums: (0..).map(EnumId).zip(pool.all_enums()).map(|(id, e)| (e.full_name().into(), id)).collect(),
        };
        let messages = pool.all_messages().map(|m| numbers.message(&m)).collect::<Result<Box<[Message]>, Mistake>>()?;
        let enums: Box<[Enum]> = pool.all_enums().map(|e| enumeration(&e, overrides)).collect();
        Ok(Schema {
            message_names: NameIndex::new(messages.iter().enumerate().map(|(i, m)| (&*m.name, i))),
            enum_names: NameIndex::new(enums.iter().enumerate().map(|(i, e)| (&*e.name, i))),
            messages,
            enums,
            cel: None,
        })
    }
}

// === impl Numbers ===

impl Numbers<'_> {
    fn message(&self, message: &MessageDescriptor) -> Result<Message, Mistake> {
        let real: Vec<_> =
            message.oneofs().filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.path().to_vec()).collect();
        let plain = message.fields().map(|field| {
            let oneof = field.containing_oneof().and_then(|o| real.iter().position(|path| *path == o.path()));
            self.field(plain(&field, oneof.map(|at| at as u16), self.overrides))
        });
        let extensions = message.extensions().map(|extension| self.field(extended(&extension, self.overrides)));
        let mut fields: Vec<Field> = plain.chain(extensions).flatten().collect();
        fields.sort_by_key(|field| field.number);
        fields.dedup_by_key(|field| field.number);
        if fields.len() > usize::from(u16::MAX) || real.len() > usize::from(u16::MAX) {
            return Err(Mistake::new(format!("message {} has more than 65535 fields", message.full_name()))
                .at(Place::new(message.parent_file().name(), 0, 0)));
        }
        let required = (0u16..).zip(&fields).filter(|(_, field)| field.presence == Presence::Required);
        let field_names = if fields.len() <= FEW { NameIndex::default() } else { index_fields(&fields) };
        Ok(Message {
            name: message.full_name().into(),
            known: if is_message_set(message, &fields) {
                Known::MessageSet
            } else {
                known(message.full_name(), &fields)
            },
            required: required.map(|(index, _)| index).collect(),
            oneofs: real.len() as u16,
            is_map_entry: message.is_map_entry() && fields.len() == 2,
            rules: None,
            fields: fields.into(),
            field_names,
        })
    }

    /// `None` if its type is not in the pool, which a built pool rules out.
    fn field(&self, field: Written<'_>) -> Option<Field> {
        let kind = match &field.kind {
            PoolKind::Message(m) if field.is_group => Kind::Group(*self.messages.get(m.full_name())?),
            PoolKind::Message(m) => Kind::Message(*self.messages.get(m.full_name())?),
            PoolKind::Enum(e) => Kind::Enum(*self.enums.get(e.full_name())?),
            scalar => scalar_kind(scalar)?,
        };
        let label = match (field.is_map, field.is_list) {
            (true, _) => Label::Map,
            (false, true) => Label::Repeated,
            (false, false) => Label::Singular,
        };
        let presence = match (field.is_required, field.has_presence) {
            (true, _) => Presence::Required,
            (false, true) => Presence::Explicit,
            (false, false) => Presence::Implicit,
        };
        let packed = field.is_packed && label == Label::Repeated && kind.can_be_packed();
        Some(Field {
            names: FieldNames::new(field.json_name, field.name),
            number: field.number,
            tag: field.number << 3 | if packed { 2 } else { kind.wire_type() },
            kind,
            label,
            packed,
            presence,
            oneof: field.oneof,
            check_utf8: kind == Kind::String && field.check_utf8,
        })
    }
}

fn plain<'a>(field: &'a FieldDescriptor, oneof: Option<u16>, overrides: &Overrides) -> Written<'a> {
    let name = field.full_name();
    let is_message = matches!(field.kind(), PoolKind::Message(_));
    Written {
        json_name: field.json_name(),
        name: field.name(),
        number: field.number(),
        kind: field.kind(),
        is_list: field.is_list(),
        is_map: field.is_map(),
        is_group: field.is_group(),
        is_required: field.is_required(),
        is_packed: is_packed(field.field_descriptor_proto(), &field.parent_file()),
        has_presence: field.supports_presence() && (is_message || !overrides.is_implicit(name)),
        oneof,
        check_utf8: overrides.check_utf8(name).unwrap_or_else(|| field.parent_file().syntax() != Syntax::Proto2),
    }
}

fn extended<'a>(extension: &'a ExtensionDescriptor, overrides: &Overrides) -> Written<'a> {
    let by_syntax = || extension.parent_file().syntax() != Syntax::Proto2;
    Written {
        json_name: extension.json_name(),
        name: extension.json_name(),
        number: extension.number(),
        kind: extension.kind(),
        is_list: extension.is_list(),
        is_map: extension.is_map(),
        is_group: extension.is_group(),
        is_required: false,
        is_packed: is_packed(extension.field_descriptor_proto(), &extension.parent_file()),
        has_presence: extension.supports_presence(),
        oneof: None,
        check_utf8: overrides.check_utf8(extension.full_name()).unwrap_or_else(by_syntax),
    }
}

/// Whether a repeated field is packed. prost-reflect's own `is_packed` was settled before it read the options of a file
/// that comes from source text, and so knows the file's default alone.
fn is_packed(field: &FieldDescriptorProto, file: &FileDescriptor) -> bool {
    let option = field.options.as_ref().and_then(|options| options.packed);
    option.unwrap_or(file.syntax() == Syntax::Proto3)
}

/// Whether a message is a set of extensions, and has none that could not be in one.
fn is_message_set(message: &MessageDescriptor, fields: &[Field]) -> bool {
    let fits = |field: &Field| {
        field.is_extension() && field.label == Label::Singular && matches!(field.kind, Kind::Message(_))
    };
    let options = &message.descriptor_proto().options;
    options.as_ref().is_some_and(|options| options.message_set_wire_format()) && fields.iter().all(fits)
}

fn scalar_kind(kind: &PoolKind) -> Option<Kind> {
    Some(match kind {
        PoolKind::Double => Kind::Double,
        PoolKind::Float => Kind::Float,
        PoolKind::Int32 => Kind::Int32,
        PoolKind::Int64 => Kind::Int64,
        PoolKind::Uint32 => Kind::Uint32,
        PoolKind::Uint64 => Kind::Uint64,
        PoolKind::Sint32 => Kind::Sint32,
        PoolKind::Sint64 => Kind::Sint64,
        PoolKind::Fixed32 => Kind::Fixed32,
        PoolKind::Fixed64 => Kind::Fixed64,
        PoolKind::Sfixed32 => Kind::Sfixed32,
        PoolKind::Sfixed64 => Kind::Sfixed64,
        PoolKind::Bool => Kind::Bool,
        PoolKind::String => Kind::String,
        PoolKind::Bytes => Kind::Bytes,
        PoolKind::Message(_) | PoolKind::Enum(_) => return None,
    })
}

/// JSON names first, so that a JSON name wins over another field's proto name of the same spelling.
fn index_fields(fields: &[Field]) -> NameIndex {
    let mut entries: Vec<(&str, usize)> = fields.iter().enumerate().map(|(i, f)| (f.json_name(), i)).collect();
    let differing = fields.iter().enumerate().filter(|(_, f)| f.json_name() != f.name());
    entries.extend(differing.map(|(i, f)| (f.name(), i)));
    NameIndex::new(entries.into_iter())
}

fn enumeration(written: &EnumDescriptor, overrides: &Overrides) -> Enum {
    // `values()` comes in the order of the numbers; which alias is printed depends on the order of declaration.
    let declared = &written.enum_descriptor_proto().value;
    let values: Box<[EnumValue]> =
        declared.iter().map(|v| EnumValue { name: v.name().into(), number: v.number() }).collect();
    let mut by_number: Vec<u32> = (0..).zip(&values).map(|(at, _)| at).collect();
    by_number.sort_by_key(|at| values[*at as usize].number);
    by_number.dedup_by_key(|at| values[*at as usize].number);
    let in_order = by_number.len() == values.len() && by_number.is_sorted();
    let names = values.iter().enumerate().map(|(i, value)| (&*value.name, i));
    Enum {
        name: written.full_name().into(),
        prefix: prefix(written.name(), &values),
        closed: overrides
            .closed(written.full_name())
            .unwrap_or_else(|| written.parent_file().syntax() == Syntax::Proto2),
        is_null_value: written.full_name() == "google.protobuf.NullValue",
        value_names: if values.len() <= FEW { NameIndex::default() } else { NameIndex::new(names) },
        by_number: if in_order { Box::default() } else { by_number.into() },
        values,
    }
}

/// The length of what all values have of the enum's own name in front, underscores behind it included. Case and
/// underscores do not count in the comparison. 0 if some value has not exactly that, or if what is left of one would be
/// nothing, no name, or another value's name.
fn prefix(name: &str, values: &[EnumValue]) -> usize {
    let Some(len) = values.first().and_then(|value| prefix_of(name, &value.name)) else { return 0 };
    let prefix = values.first().and_then(|value| value.name.get(..len)).unwrap_or_default();
    let names: HashSet<&str> = values.iter().map(|value| &*value.name).collect();
    let is_name = |short: &str| !short.starts_with(|c: char| c.is_ascii_digit()) && !names.contains(short);
    let all = values
        .iter()
        .all(|value| prefix_of(name, &value.name) == Some(len) && value.name.strip_prefix(prefix).is_some_and(is_name));
    if all { len } else { 0 }
}

/// Where a value's name goes on behind the enum's name, if it begins with that and does go on.
fn prefix_of(name: &str, value: &str) -> Option<usize> {
    let mut rest = value.bytes().enumerate().filter(|(_, byte)| *byte != b'_');
    for letter in name.bytes().filter(|byte| *byte != b'_') {
        rest.next().filter(|(_, byte)| byte.eq_ignore_ascii_case(&letter))?;
    }
    let (end, _) = rest.next()?;
    // a name that goes on without an underscore is another word
    value.get(..end)?.ends_with('_').then_some(end)
}

/// Which known type a message is: by its name, and by having the fields that the transcoder will read and write.
fn known(name: &str, fields: &[Field]) -> Known {
    let Some(short) = name.strip_prefix("google.protobuf.") else { return Known::None };
    let shape: Vec<(u32, Option<Kind>, Label)> = fields
        .iter()
        .map(|f| {
            (f.number, Some(f.kind).filter(|kind| kind.message().is_none() && !matches!(kind, Kind::Enum(_))), f.label)
        })
        .collect();
    let one = |number, kind| (number, Some(kind), Label::Singular);
    let wrapper = |kind| (Known::Wrapper, vec![one(1, kind)]);
    let (known, expected) = match short {
        "Any" => (Known::Any, vec![one(1, Kind::String), one(2, Kind::Bytes)]),
        "Timestamp" => (Known::Timestamp, vec![one(1, Kind::Int64), one(2, Kind::Int32)]),
        "Duration" => (Known::Duration, vec![one(1, Kind::Int64), one(2, Kind::Int32)]),
        "FieldMask" => (Known::FieldMask, vec![(1, Some(Kind::String), Label::Repeated)]),
        "Struct" => (Known::Struct, vec![(1, None, Label::Map)]),
        "Value" => {
            let text = [
                (1, None),
                (2, Some(Kind::Double)),
                (3, Some(Kind::String)),
                (4, Some(Kind::Bool)),
                (5, None),
                (6, None),
            ];
            (Known::Value, text.into_iter().map(|(number, kind)| (number, kind, Label::Singular)).collect())
        }
        "ListValue" => (Known::ListValue, vec![(1, None, Label::Repeated)]),
        "Empty" => (Known::Empty, vec![]),
        "DoubleValue" => wrapper(Kind::Double),
        "FloatValue" => wrapper(Kind::Float),
        "Int64Value" => wrapper(Kind::Int64),
        "UInt64Value" => wrapper(Kind::Uint64),
        "Int32Value" => wrapper(Kind::Int32),
        "UInt32Value" => wrapper(Kind::Uint32),
        "BoolValue" => wrapper(Kind::Bool),
        "StringValue" => wrapper(Kind::String),
        "BytesValue" => wrapper(Kind::Bytes),
        _ => return Known::None,
    };
    if shape == expected { known } else { Known::None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::field_descriptor_proto::{Label as L, Type as T};
    use prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldOptions, FileDescriptorProto,
        OneofDescriptorProto, descriptor_proto::ExtensionRange,
    };

    fn field(name: &str, number: i32, kind: T, label: L) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.into()),
            number: Some(number),
            r#type: Some(kind.into()),
            label: Some(label.into()),
            ..Default::default()
        }
    }

    fn build(file: FileDescriptorProto) -> Schema {
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_proto(file).expect("a valid file");
        Schema::build(&pool).expect("builds")
    }

    fn file(syntax: &str, message: DescriptorProto) -> FileDescriptorProto {
        FileDescriptorProto {
            name: Some("t.proto".into()),
            package: Some("t".into()),
            syntax: Some(syntax.into()),
            message_type: vec![message],
            ..Default::default()
        }
    }

    #[test]
    fn a_field_is_found_by_number_and_by_either_name() {
        for count in [3, 40] {
            let fields = (1..=count).map(|i| field(&format!("some_name{i}"), i * 3, T::Int32, L::Optional)).collect();
            let schema =
                build(file("proto3", DescriptorProto { name: Some("M".into()), field: fields, ..Default::default() }));
            let message = schema.message(schema.find("t.M").expect("found"));
            for i in 1..=count {
                let (at, found) = message.field_by_number(i as u32 * 3).expect("by number");
                assert_eq!(found.json_key(), format!("\"someName{i}\":").as_bytes());
                assert_eq!(message.field_by_name(&format!("some_name{i}")).map(|f| f.0), Some(at));
                assert_eq!(message.field_by_name(&format!("someName{i}")).map(|f| f.0), Some(at));
                assert!(message.field_by_number(i as u32 * 3 + 1).is_none());
            }
            assert!(message.field_by_name("someName").is_none());
            assert!(message.field_by_number(0).is_none());
        }
    }

    #[test]
    fn synthetic_oneofs_do_not_count_and_presence_follows_the_syntax() {
        let mut optional = field("o", 2, T::String, L::Optional);
        (optional.proto3_optional, optional.oneof_index) = (Some(true), Some(1));
        let mut member = field("m", 3, T::String, L::Optional);
        member.oneof_index = Some(0);
        let message = DescriptorProto {
            name: Some("M".into()),
            field: vec![field("i", 1, T::String, L::Optional), optional, member, field("r", 4, T::Int32, L::Repeated)],
            oneof_decl: ["real", "_o"].map(|n| OneofDescriptorProto { name: Some(n.into()), options: None }).into(),
            ..Default::default()
        };
        let schema = build(file("proto3", message));
        let message = schema.message(MessageId(0));
        let found: Vec<_> = message.fields.iter().map(|f| (f.presence, f.oneof, f.packed, f.check_utf8)).collect();
        assert_eq!(
            found,
            [
                (Presence::Implicit, None, false, true),
                (Presence::Explicit, None, false, true),
                (Presence::Explicit, Some(0), false, true),
                (Presence::Implicit, None, true, false),
            ]
        );
        assert_eq!((message.oneofs, message.fields[3].tag), (1, 4 << 3 | 2));
    }

    #[test]
    fn extensions_are_fields_under_their_bracketed_name() {
        let mut extended = field("ext_name", 100, T::Int32, L::Optional);
        extended.extendee = Some(".t.M".into());
        let message = DescriptorProto {
            name: Some("M".into()),
            field: vec![field("req", 1, T::String, L::Required)],
            extension_range: vec![ExtensionRange { start: Some(100), end: Some(200), options: None }],
            ..Default::default()
        };
        let schema = build(FileDescriptorProto { extension: vec![extended], ..file("proto2", message) });
        let message = schema.message(MessageId(0));
        let (at, found) = message.field_by_name("[t.ext_name]").expect("found");
        assert_eq!((at, found.number, found.is_extension()), (1, 100, true));
        assert_eq!(message.fields[0].presence, Presence::Required);
        assert!(!message.fields[0].check_utf8);
    }

    #[test]
    fn of_enum_aliases_the_first_declared_is_printed() {
        let values = [("Z", 5), ("A", 5), ("B", -1), ("C", 0)];
        let value = values.map(|(name, number)| EnumValueDescriptorProto {
            name: Some(name.into()),
            number: Some(number),
            options: None,
        });
        let options = prost_types::EnumOptions { allow_alias: Some(true), ..Default::default() };
        let written = EnumDescriptorProto {
            name: Some("E".into()),
            value: value.into(),
            options: Some(options),
            ..Default::default()
        };
        let schema = build(FileDescriptorProto {
            enum_type: vec![written],
            ..file("proto2", DescriptorProto { name: Some("M".into()), ..Default::default() })
        });
        let found = schema.enumeration(schema.find_enum("t.E").expect("found"));
        assert_eq!([5, -1, 0, 1].map(|n| found.name_of(n)), [Some("Z"), Some("B"), Some("C"), None]);
        assert_eq!(["A", "Z", "B", "x"].map(|n| found.number_of(n)), [Some(5), Some(5), Some(-1), None]);
        assert!(found.closed);
    }

    #[test]
    fn the_name_of_an_enum_is_found_before_its_values_names() {
        for (name, values, prefix) in [
            ("Currency", &["CURRENCY_UNSPECIFIED", "CURRENCY_EUR"][..], 9),
            ("HTTPMethod", &["HTTP_METHOD_GET"], 12),
            ("Old_Kind", &["OldKind_A", "OldKind_B"], 8),
            ("Kind", &["KIND__A", "KIND__B"], 6),
            ("Kind", &["KIND_A", "OTHER"], 0),
            ("Kind", &["KIND_A", "KIND__B"], 0),
            ("Kind", &["KINDLY", "KIND_A"], 0),
            ("Kind", &["KIND_", "KIND_A"], 0),
            ("Kind", &["KIND_1"], 0),
            ("Kind", &["KIND_KIND_A", "KIND_A"], 0),
            ("Kind", &["KI", "KIND_A"], 0),
            ("Kind", &["ONE"], 0),
        ] {
            let values: Vec<EnumValue> =
                (0..).zip(values).map(|(number, name)| EnumValue { name: (*name).into(), number }).collect();
            assert_eq!(super::prefix(name, &values), prefix, "{name} {values:?}");
        }
    }

    #[test]
    fn a_set_of_extensions_is_one_only_if_all_of_them_are_messages() {
        let set = |kind: T| {
            let mut extended = field("ext", 100, kind, L::Optional);
            (extended.extendee, extended.type_name) =
                (Some(".t.M".into()), (kind == T::Message).then(|| ".t.M".into()));
            let options = prost_types::MessageOptions { message_set_wire_format: Some(true), ..Default::default() };
            let range = ExtensionRange { start: Some(4), end: Some(200), options: None };
            let message = DescriptorProto {
                name: Some("M".into()),
                options: Some(options),
                extension_range: vec![range],
                ..Default::default()
            };
            build(FileDescriptorProto { extension: vec![extended], ..file("proto2", message) })
                .message(MessageId(0))
                .known
        };
        assert_eq!((set(T::Message), set(T::Int32)), (Known::MessageSet, Known::None));
    }

    #[test]
    fn a_message_under_a_known_name_with_other_fields_is_an_ordinary_one() {
        let fields = vec![field("seconds", 1, T::String, L::Optional)];
        let message = DescriptorProto { name: Some("Timestamp".into()), field: fields, ..Default::default() };
        let schema = build(FileDescriptorProto { package: Some("google.protobuf".into()), ..file("proto3", message) });
        assert_eq!(schema.message(MessageId(0)).known, Known::None);
        let pool = DescriptorPool::global();
        let schema = Schema::build(&pool).expect("builds");
        for (name, known) in [("Timestamp", Known::Timestamp), ("Value", Known::Value), ("BytesValue", Known::Wrapper)]
        {
            let id = schema.find(&format!("google.protobuf.{name}")).expect("in the global pool");
            assert_eq!(schema.message(id).known, known, "{name}");
        }
    }

    #[test]
    fn a_json_name_that_needs_escapes_is_escaped_in_the_key_only() {
        let mut odd = field("plain", 1, T::Int32, L::Optional);
        (odd.json_name, odd.options) = (Some("a\"b".into()), Some(FieldOptions::default()));
        let schema =
            build(file("proto3", DescriptorProto { name: Some("M".into()), field: vec![odd], ..Default::default() }));
        let found = &schema.message(MessageId(0)).fields[0];
        assert_eq!((found.json_key(), found.json_name(), found.name()), (&b"\"a\\\"b\":"[..], "a\"b", "plain"));
        assert!(std::mem::size_of::<Field>() <= 72, "170,000 of them: {}", std::mem::size_of::<Field>());
    }
}
