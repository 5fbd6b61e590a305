//! Random schemas: files with messages of every kind of field, in proto2 and proto3.

use prost_reflect::DescriptorPool;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FieldOptions,
    FileDescriptorProto, MessageOptions, OneofDescriptorProto, descriptor_proto::ExtensionRange,
};

use crate::tape::Tape;

const SCALARS: [Type; 15] = [
    Type::String,
    Type::Int32,
    Type::Int64,
    Type::Double,
    Type::Float,
    Type::Bool,
    Type::Bytes,
    Type::Uint32,
    Type::Uint64,
    Type::Sint32,
    Type::Sint64,
    Type::Fixed32,
    Type::Fixed64,
    Type::Sfixed32,
    Type::Sfixed64,
];

const KEYS: [Type; 12] = [
    Type::String,
    Type::Int32,
    Type::Int64,
    Type::Bool,
    Type::Uint32,
    Type::Uint64,
    Type::Sint32,
    Type::Sint64,
    Type::Fixed32,
    Type::Fixed64,
    Type::Sfixed32,
    Type::Sfixed64,
];

pub const KNOWN: [&str; 16] = [
    "Timestamp",
    "Duration",
    "FieldMask",
    "Struct",
    "Value",
    "ListValue",
    "Any",
    "Empty",
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "BoolValue",
    "StringValue",
    "BytesValue",
];

const IMPORTS: [&str; 7] = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];

/// A pool with google.protobuf and one file `p.proto`, whose messages are `p.M0`, `p.M1` ...
pub fn pool(tape: &mut Tape<'_>) -> DescriptorPool {
    let proto2 = tape.chance(3);
    let count = 1 + tape.below(4);
    let mut file = FileDescriptorProto {
        name: Some("p.proto".into()),
        package: Some("p".into()),
        syntax: Some(if proto2 { "proto2" } else { "proto3" }.into()),
        dependency: IMPORTS.iter().map(|name| format!("google/protobuf/{name}.proto")).collect(),
        enum_type: vec![enumeration(tape)],
        ..Default::default()
    };
    for at in 0..count {
        let message = message(tape, at, count, proto2);
        file.message_type.push(message);
    }
    if proto2 {
        for number in 0..tape.below(3) as i32 {
            let (kind, name) = value_type(tape, count);
            let mut extension = field(&format!("ext_{number}"), 50_000 + number, kind, name, Label::Optional);
            if tape.chance(3) {
                extension.label = Some(Label::Repeated.into());
            }
            extension.extendee = Some(format!(".p.M{}", tape.below(count)));
            file.extension.push(extension);
        }
    }
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_proto(file).expect("the generated file is valid");
    pool
}

fn enumeration(tape: &mut Tape<'_>) -> EnumDescriptorProto {
    let choices: [&[i32]; 3] = [&[0, 1, 2], &[0, 5, -1], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, i32::MIN]];
    let numbers = *tape.pick(&choices);
    EnumDescriptorProto {
        name: Some("E".into()),
        value: numbers
            .iter()
            .map(|number| EnumValueDescriptorProto {
                name: Some(format!("V{}", number.to_string().replace('-', "N"))),
                number: Some(*number),
                options: None,
            })
            .collect(),
        ..Default::default()
    }
}

fn field(name: &str, number: i32, kind: Type, type_name: Option<String>, label: Label) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        r#type: Some(kind.into()),
        type_name,
        label: Some(label.into()),
        ..Default::default()
    }
}

fn value_type(tape: &mut Tape<'_>, messages: usize) -> (Type, Option<String>) {
    match tape.below(8) {
        0..=3 => (*tape.pick(&SCALARS), None),
        4 => (Type::Enum, Some(".p.E".into())),
        5 | 6 => (Type::Message, Some(format!(".p.M{}", tape.below(messages)))),
        _ => (Type::Message, Some(format!(".google.protobuf.{}", tape.pick(&KNOWN)))),
    }
}

fn message(tape: &mut Tape<'_>, at: usize, count: usize, proto2: bool) -> DescriptorProto {
    let mut message = DescriptorProto { name: Some(format!("M{at}")), ..Default::default() };
    let oneofs = tape.below(3);
    for oneof in 0..oneofs {
        message.oneof_decl.push(OneofDescriptorProto { name: Some(format!("one_{oneof}")), options: None });
    }
    let mut number = 0;
    let fields = if tape.chance(10) { 80 } else { tape.below(12) };
    let mut taken = vec![false; oneofs];
    let mut synthetic = Vec::new();
    for index in 0..fields {
        number += *tape.pick(&[1, 1, 1, 2, 15, 130]);
        let (kind, type_name) = value_type(tape, count);
        let name = format!("{}_{index}", tape.pick(&["f", "some_name", "Big", "x_1"]));
        let mut made = field(&name, number, kind, type_name, Label::Optional);
        match tape.below(8) {
            0 | 1 => made.label = Some(Label::Repeated.into()),
            2 => map(tape, &mut message, &mut made, index),
            3 if oneofs > 0 => {
                let oneof = tape.below(oneofs);
                taken[oneof] = true;
                made.oneof_index = Some(oneof as i32);
            }
            // not messages: they may hold themselves, and nothing could be given
            4 if proto2 && made.r#type() != Type::Message => made.label = Some(Label::Required.into()),
            4 if tape.chance(2) => {
                made.proto3_optional = Some(true);
                synthetic.push(message.field.len());
            }
            5 if proto2 => group(tape, &mut message, &mut made, at, index),
            _ => {}
        }
        if made.label == Some(Label::Repeated.into()) && tape.chance(3) && made.type_name.is_none() {
            let can_be_packed = !matches!(made.r#type(), Type::String | Type::Bytes);
            made.options = can_be_packed.then(|| FieldOptions { packed: Some(proto2), ..Default::default() });
        }
        if tape.chance(9) {
            made.json_name = Some(format!("json {index} é"));
        }
        message.field.push(made);
    }
    // A oneof must have a member, and synthetic ones come last.
    for (oneof, taken) in taken.into_iter().enumerate() {
        if !taken {
            number += 1;
            let mut made = field(&format!("only_{oneof}"), number, Type::Int32, None, Label::Optional);
            made.oneof_index = Some(oneof as i32);
            message.field.push(made);
        }
    }
    for position in synthetic {
        let name = message.field[position].name().to_owned();
        message.field[position].oneof_index = Some(message.oneof_decl.len() as i32);
        message.oneof_decl.push(OneofDescriptorProto { name: Some(format!("_{name}")), options: None });
    }
    if proto2 {
        message.extension_range.push(ExtensionRange { start: Some(50_000), end: Some(50_010), options: None });
    }
    message
}

fn map(tape: &mut Tape<'_>, message: &mut DescriptorProto, made: &mut FieldDescriptorProto, index: usize) {
    let camel: String = made
        .name()
        .split('_')
        .map(|part| {
            part.chars()
                .next()
                .map(|c| c.to_ascii_uppercase())
                .into_iter()
                .chain(part.chars().skip(1))
                .collect::<String>()
        })
        .collect();
    let entry = format!("{camel}Entry");
    let key = field("key", 1, *tape.pick(&KEYS), None, Label::Optional);
    let value = field("value", 2, made.r#type(), made.type_name.take(), Label::Optional);
    let _ = index;
    message.nested_type.push(DescriptorProto {
        name: Some(entry.clone()),
        field: vec![key, value],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    });
    made.r#type = Some(Type::Message.into());
    made.type_name = Some(format!(".p.{}.{entry}", message.name()));
    made.label = Some(Label::Repeated.into());
}

fn group(tape: &mut Tape<'_>, message: &mut DescriptorProto, made: &mut FieldDescriptorProto, at: usize, index: usize) {
    let name = format!("Group{index}");
    let inner = [
        field("size", 1, Type::Int32, None, Label::Optional),
        field("outer", 2, Type::Message, Some(format!(".p.M{at}")), Label::Optional),
    ];
    message.nested_type.push(DescriptorProto { name: Some(name.clone()), field: inner.into(), ..Default::default() });
    made.name = Some(name.to_lowercase());
    made.r#type = Some(Type::Group.into());
    made.type_name = Some(format!(".p.M{at}.{name}"));
    if tape.chance(2) {
        made.label = Some(Label::Repeated.into());
    }
}
