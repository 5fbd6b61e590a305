#!/usr/bin/env python3
"""usage: table.py SET.binpb PACKAGE...
Prints what protobuf itself makes of the messages, fields, extensions and enums of a descriptor set whose names begin
with one of the packages: the table that tests/editions.rs compares Transom's catalog with.

How the files beside it were made (protoc of protobuf 36.2, protobuf 7.36.2 for Python):
    protoc -I. -o set.binpb options.proto mixed.proto implicit.proto legacy.proto modern.proto
    protoc -I. --include_imports -o all.binpb *.proto && ./table.py all.binpb editions. > expected.txt"""
import sys

from google.protobuf import descriptor_pb2, descriptor_pool

KINDS = {number: name[5:].lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()}
VERIFY = descriptor_pb2.FeatureSet.VERIFY


def field_line(field, name):
    entry = field.containing_type.GetOptions().map_entry
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry and field.is_repeated
    label = "map" if is_map else "repeated" if field.is_repeated else "singular"
    presence = "-" if entry or field.is_repeated else \
        "required" if field.is_required else "explicit" if field.has_presence else "implicit"
    kind = KINDS[field.type]
    check = "checked" if kind == "string" and field._GetFeatures().utf8_validation == VERIFY else \
        "unchecked" if kind == "string" else "-"
    return " ".join([
        "field", field.containing_type.full_name, name, str(field.number), label, kind, presence,
        "packed" if field.is_packed else "-", check, str(field.containing_oneof.index) if field.containing_oneof else "-"])


def main():
    files = descriptor_pb2.FileDescriptorSet.FromString(open(sys.argv[1], "rb").read()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    lines = []

    def enum(e):
        lines.append(f"enum {e.full_name} {'closed' if e.is_closed else 'open'}")

    def extension(x):
        lines.append(field_line(x, f"[{x.full_name}]"))

    def message(m):
        lines.append(f"message {m.full_name}")
        lines.extend(field_line(f, f.name) for f in m.fields)
        for x in m.extensions:
            extension(x)
        for e in m.enum_types:
            enum(e)
        for nested in m.nested_types:
            message(nested)

    for name in (file.name for file in files if any(f"{file.package}.".startswith(p) for p in sys.argv[2:])):
        file = pool.FindFileByName(name)
        for m in file.message_types_by_name.values():
            message(m)
        for e in file.enum_types_by_name.values():
            enum(e)
        for x in file.extensions_by_name.values():
            extension(x)
    print("\n".join(sorted(lines)))


main()
