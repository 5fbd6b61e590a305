//! Files of editions, from descriptor sets and from sources, against what protobuf itself makes of them.
//!
//! `editions/expected.txt` was printed by `editions/table.py`. `TRANSOM_EDITIONS=DIR` compares another folder as well: one
//! with `set.binpb`, `expected.txt`, the packages in `packages.txt`, and the sources under `protos`.

#[path = "fuzz/descriptor_target.rs"]
mod descriptor_target;

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tempfile::TempDir;
use transom::catalog::{Catalog, Field, Kind, Label, Message, Presence, Schema, Source, load};
use transom::wire::{put_bytes, put_uint};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/editions")
}

#[track_caller]
fn sound(source: &Source) -> Catalog {
    load(source).map(|loaded| loaded.catalog).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<String>())
    })
}

fn from_set(set: PathBuf) -> Source {
    Source { descriptor_sets: vec![set], ..Source::new("editions", "none") }
}

fn from_sources(root: PathBuf) -> Source {
    Source { proto_paths: vec![root], ..Source::new("editions", "none") }
}

/// All mistakes of a source text named `a.proto`.
fn mistakes(text: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.proto"), text).unwrap();
    let root = format!("{}/", folder.path().display());
    let mistakes = load(&from_sources(folder.path().to_owned())).err().unwrap_or_default();
    mistakes.iter().map(|mistake| mistake.to_string().replace(&root, "")).collect()
}

// === the table ===

/// The tables of a catalog as `table.py` prints them.
fn table(schema: &Schema, packages: &[String]) -> String {
    let ours = |name: &str| packages.iter().any(|package| name.starts_with(package.as_str()));
    let mut lines = Vec::new();
    for message in &schema.messages {
        if ours(&message.name) {
            lines.push(format!("message {}", message.name));
        }
        let fields = message.fields.iter().filter(|field| ours(&message.name) || ours(field.name().trim_matches('[')));
        lines.extend(fields.map(|field| field_line(message, field)));
    }
    for declared in schema.enums.iter().filter(|declared| ours(&declared.name)) {
        lines.push(format!("enum {} {}", declared.name, if declared.closed { "closed" } else { "open" }));
    }
    lines.sort();
    lines.join("\n") + "\n"
}

fn field_line(message: &Message, field: &Field) -> String {
    let kind = match field.kind {
        Kind::Enum(_) => "enum".to_owned(),
        Kind::Message(_) => "message".to_owned(),
        Kind::Group(_) => "group".to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let label = format!("{:?}", field.label).to_lowercase();
    let presence = match field.presence {
        _ if message.is_map_entry || field.label != Label::Singular => "-",
        Presence::Implicit => "implicit",
        Presence::Explicit => "explicit",
        Presence::Required => "required",
    };
    let check = match (field.kind, field.check_utf8) {
        (Kind::String, true) => "checked",
        (Kind::String, false) => "unchecked",
        _ => "-",
    };
    let packed = if field.packed { "packed" } else { "-" };
    let oneof = field.oneof.map_or("-".to_owned(), |oneof| oneof.to_string());
    let (owner, name, number) = (&message.name, field.name(), field.number);
    format!("field {owner} {name} {number} {label} {kind} {presence} {packed} {check} {oneof}")
}

#[track_caller]
fn assert_same(found: &str, expected: &str, what: &str) {
    let missing = expected.lines().filter(|line| !found.lines().any(|other| other == *line));
    let extra = found.lines().filter(|line| !expected.lines().any(|other| other == *line));
    let differing: Vec<String> = missing.map(|l| format!("- {l}")).chain(extra.map(|l| format!("+ {l}"))).collect();
    assert!(differing.is_empty() && found.lines().count() == expected.lines().count(), "{what}: {differing:#?}");
}

fn compare(folder: &Path, sources: PathBuf, packages: &[String]) -> usize {
    let expected = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
    let set = sound(&from_set(folder.join("set.binpb")));
    assert_same(&table(&set.schema, packages), &expected, "from the descriptor set");
    let source = sound(&from_sources(sources));
    assert_same(&table(&source.schema, packages), &expected, "from the sources");
    expected.lines().count()
}

#[test]
fn sets_and_sources_of_editions_mean_what_protobuf_says() {
    assert!(compare(&folder(), folder(), &["editions.".to_owned()]) > 100);
    if let Some(more) = std::env::var_os("TRANSOM_EDITIONS").map(PathBuf::from) {
        let packages = std::fs::read_to_string(more.join("packages.txt")).unwrap();
        let packages: Vec<String> = packages.split_whitespace().map(str::to_owned).collect();
        println!("{} lines of {}", compare(&more, more.join("protos"), &packages), more.display());
    }
}

// === what is kept for others ===

#[test]
fn the_descriptors_of_a_catalog_are_plain_ones_with_their_defaults_and_options() {
    for source in [from_set(folder().join("set.binpb")), from_sources(folder())] {
        let catalog = sound(&source);
        let pool = DescriptorPool::decode(&catalog.descriptor_set[..]).expect("of syntax proto2 and proto3");
        let default = |name: &str| {
            let message = pool.get_message_by_name("editions.mixed.Mixed").expect("there");
            let field = message.get_field_by_name(name).expect("there");
            let text = field.field_descriptor_proto().default_value().to_owned();
            (field.default_value().to_string(), text)
        };
        assert_eq!(default("small").1, "-9223372036854775808");
        assert_eq!(default("lowest").1, "-inf");
        assert_eq!(default("greeting").1, "he said \"hi\"");
        assert_eq!(default("preset").1, "LATE");
        assert_eq!(default("on").1, "true");
        assert_eq!(default("most").1, "18446744073709551615");
        assert_eq!(default("odd").1, "nan");
        let modern = pool.get_message_by_name("editions.modern.Modern").expect("there");
        let note = pool.get_extension_by_name("editions.options.note").expect("there");
        let note = modern.options().get_extension(&note).to_string();
        assert!(note.contains("export message { default }"), "{note}");
        let mixed = pool.get_message_by_name("editions.mixed.Mixed").expect("there");
        assert_eq!(mixed.reserved_names().collect::<Vec<_>>(), ["old_name", "older_name"]);
        let raw = mixed.get_field_by_name("raw").expect("there");
        assert!(raw.options().to_string().contains("deprecated"), "{}", raw.options());
        let set = FileDescriptorSet::decode(&catalog.descriptor_set[..]).unwrap();
        set.file.iter().flat_map(|file| &file.message_type).for_each(|message| no_group_of_an_enum(message, &pool));
    }
}

fn no_group_of_an_enum(message: &DescriptorProto, pool: &DescriptorPool) {
    for field in &message.field {
        let name = field.type_name().trim_start_matches('.');
        let is_enum = pool.get_enum_by_name(name).is_some();
        assert_eq!(field.r#type() == Type::Enum, is_enum, "{field:?}");
        let packed = field.options.as_ref().is_some_and(|options| options.packed.is_some());
        assert!(!packed || !matches!(field.r#type(), Type::Message | Type::Group), "{field:?}");
    }
    message.nested_type.iter().for_each(|nested| no_group_of_an_enum(nested, pool));
}

#[test]
fn a_lowered_message_has_the_wire_form_of_its_edition() {
    let catalog = sound(&from_set(folder().join("set.binpb")));
    let pool = DescriptorPool::decode(&catalog.descriptor_set[..]).unwrap();
    let written = |name: &str, json: &str| {
        let message = pool.get_message_by_name(name).unwrap();
        let message = DynamicMessage::deserialize(message, &mut serde_json::Deserializer::from_str(json)).unwrap();
        message.encode_to_vec()
    };
    // plain is written though zero; 16 is a group
    let json = r#"{"plain":0,"must":0,"packed":[1,2],"expanded":[1,2],"delimited":{"must":1}}"#;
    let expected = b"\x08\0\x18\0\x3a\x02\x01\x02\x40\x01\x40\x02\x83\x01\x18\x01\x84\x01";
    assert_eq!(written("editions.mixed.Mixed", json), expected);
    // number is not written, shown is
    let json = r#"{"number":0,"shown":0,"numbers":[1],"kind":"KIND_NONE"}"#;
    assert_eq!(written("editions.implicit.Plain", json), b"\x20\0\x32\x01\x02");
}

// === what is refused ===

#[test]
fn what_no_compiler_takes_is_refused_by_file_line_and_feature() {
    let text = r#"// of no edition that is known
edition = "2023";
package a;
option features.enum_type = SHUT;
message M {
  optional int32 a = 1;
  oneof o { int32 b = 2 [features.field_presence = EXPLICIT]; }
  message N { option features.utf8_validation = NONE; }
}
"#;
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("a.proto:6:3: label \"optional\" is not for editions (leave it out"), "{found:?}");
    let found = mistakes(&text.replace("optional ", ""));
    for (mistake, expected) in found.iter().zip([
        "a.proto:4:1: feature enum_type cannot be SHUT (it is one of OPEN, CLOSED)",
        "a.proto:7:25: field \"b\": members of oneofs have no field_presence",
        "a.proto:8:15: feature utf8_validation is not for messages (it is for fields and the file)",
    ]) {
        assert!(mistake.starts_with(expected), "{mistake}\n{expected}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    let found = mistakes(&text.replace("\"2023\"", "\"99997_TEST_ONLY\""));
    let expected = "a.proto:2:1: edition \"99997_TEST_ONLY\" is not known (known editions are \"2023\" and \"2024\")";
    assert_eq!(found, [expected]);
}

#[test]
fn what_the_linker_refuses_in_a_file_of_an_edition_has_its_place() {
    let text = "edition = \"2023\";\npackage a;\nmessage M {\n  Missing m = 1;\n  int32 n = 2 [default = -3000000000, deprecated = true];\n  \
                int32 o = 3 [features.field_presence = IMPLICIT, (no.such) = 1];\n}\n";
    let found = mistakes(text);
    assert!(found.iter().any(|mistake| mistake.starts_with("a.proto:4:3: ")), "{found:#?}");
    let found = mistakes(&text.replace("Missing", "M"));
    assert!(found.iter().any(|mistake| mistake.starts_with("a.proto:5:16: ")), "{found:#?}");
    let found = mistakes(&text.replace("Missing", "M").replace("-3000000000", "3"));
    assert!(found.len() == 1 && found[0].starts_with("a.proto:6:52: "), "{found:#?}");
}

/// As in tests/catalog.rs, of sets of editions alone. `TRANSOM_MUTATIONS` asks for more.
#[test]
fn no_damaged_set_of_editions_panics() {
    let set = std::fs::read(folder().join("set.binpb")).unwrap();
    let scratch = TempDir::new().unwrap();
    let rounds = std::env::var("TRANSOM_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let loaded =
        (0..rounds).filter(|round| descriptor_target::run(&descriptor_target::damage(&set, *round), scratch.path()));
    let loaded = loaded.count() as u64;
    assert!(loaded > 0 && loaded < rounds, "{loaded} of {rounds} loaded");
}

/// A file of edition 2023 with one field, whose options are these bytes, and with source info.
fn set_with_field_options(options: &[u8]) -> Vec<u8> {
    let text = "syntax = \"proto3\";\npackage a;\nmessage M {\n  int32 n = 1;\n}\n";
    let mut file: FileDescriptorProto = protox::file::File::from_source("a.proto", text).unwrap().into();
    file.syntax = Some("editions".into());
    let mut field = file.message_type[0].field[0].encode_to_vec();
    put_bytes(&mut field, 8, options);
    file.message_type[0].field.clear();
    let mut message = file.message_type[0].encode_to_vec();
    put_bytes(&mut message, 2, &field);
    file.message_type.clear();
    let mut bytes = file.encode_to_vec();
    put_bytes(&mut bytes, 4, &message);
    put_uint(&mut bytes, 14, 1000);
    let mut set = Vec::new();
    put_bytes(&mut set, 1, &bytes);
    set
}

#[test]
fn unknown_features_in_a_set_are_refused_by_place() {
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("a.binpb");
    for (number, value, expected) in [
        (1, 9, Some("feature field_presence has the unknown value 9")),
        (6, 1, Some("feature json_format is not for fields (it is for messages and enums and the file)")),
        (10, 1, Some("unknown feature number 10")),
        (4, 3, Some("field \"n\": only strings have a utf8_validation")),
        (1, 2, None),
        (1000, 5, None),
    ] {
        let (mut features, mut options) = (Vec::new(), Vec::new());
        put_uint(&mut features, number, value);
        put_bytes(&mut options, 21, &features);
        std::fs::write(&set, set_with_field_options(&options)).unwrap();
        let found = load(&from_set(set.clone())).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected: Vec<String> =
            expected.iter().map(|text| format!("{}(a.proto):4:3: {text}", set.display())).collect();
        assert_eq!(found, expected);
    }
}
