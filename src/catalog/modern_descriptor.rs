//! What `google/protobuf/descriptor.proto` says today beyond the copy that prost-reflect carries (of early 2023): options
//! that files of editions and the files of features bring along could not be read without.

use std::sync::LazyLock;

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

/// Our own wording of what is new; numbers and names are protobuf's (descriptor.proto of protobuf 36). `FeatureSet` has
/// the ranges that are given to languages, and options those that protobuf keeps for itself.
const ADDITIONS: &str = r#"
syntax = "proto2";
package google.protobuf;
message FileOptions { extensions 990 to 998; }
message MessageOptions { extensions 990 to 998; }
message OneofOptions { extensions 990 to 998; }
message EnumOptions { extensions 990 to 998; }
message ServiceOptions { extensions 990 to 998; }
message MethodOptions { extensions 990 to 998; }
message ExtensionRangeOptions { extensions 990 to 998; }
message FieldOptions {
  extensions 990 to 998;
  message FeatureSupport {
    optional Edition edition_introduced = 1;
    optional Edition edition_deprecated = 2;
    optional string deprecation_warning = 3;
    optional Edition edition_removed = 4;
    optional string removal_error = 5;
  }
  optional FeatureSupport feature_support = 22;
}
message EnumValueOptions {
  extensions 990 to 998;
  optional FieldOptions.FeatureSupport feature_support = 4;
}
message FeatureSet {
  enum EnforceNamingStyle {
    ENFORCE_NAMING_STYLE_UNKNOWN = 0;
    STYLE2024 = 1;
    STYLE_LEGACY = 2;
    STYLE2026 = 3;
  }
  optional EnforceNamingStyle enforce_naming_style = 7;
  message VisibilityFeature {
    enum DefaultSymbolVisibility {
      DEFAULT_SYMBOL_VISIBILITY_UNKNOWN = 0;
      EXPORT_ALL = 1;
      EXPORT_TOP_LEVEL = 2;
      LOCAL_ALL = 3;
      STRICT = 4;
    }
  }
  optional VisibilityFeature.DefaultSymbolVisibility default_symbol_visibility = 8;
  extensions 1002 to 9994;
  extensions 10000;
}
enum Edition {
  EDITION_LEGACY = 900;
  EDITION_2024 = 1001;
  EDITION_2026 = 1002;
  EDITION_UNSTABLE = 9999;
  EDITION_MAX = 0x7FFFFFFF;
}
"#;

/// The files of features of languages: who has none of them on disk does without, since features of languages change
/// nothing of what is read or written.
const FEATURE_FILES: &[&str] = &[
    "google/protobuf/cpp_features.proto",
    "google/protobuf/java_features.proto",
    "google/protobuf/go_features.proto",
    "google/protobuf/c_sharp_features.proto",
    "google/protobuf/python_features.proto",
];

/// Adds to `descriptor.proto` what its copy lacks; other files stay as they are.
pub(super) fn amend(file: &mut FileDescriptorProto) {
    static PARSED: LazyLock<FileDescriptorProto> = LazyLock::new(|| {
        // a test proves that it parses; without it new options are refused
        protox::file::File::from_source("additions.proto", ADDITIONS).map(FileDescriptorProto::from).unwrap_or_default()
    });
    if file.name() == "google/protobuf/descriptor.proto" {
        add_messages(&mut file.message_type, &PARSED.message_type);
        add_enums(&mut file.enum_type, &PARSED.enum_type);
    }
}

/// A text to import in place of a file of features that nobody has.
pub(super) fn stand_in(name: &str) -> Option<&'static str> {
    FEATURE_FILES.contains(&name).then_some("syntax = \"proto2\";\npackage pb;\n")
}

fn add_messages(messages: &mut Vec<DescriptorProto>, additions: &[DescriptorProto]) {
    for addition in additions {
        let Some(message) = messages.iter_mut().find(|message| message.name() == addition.name()) else {
            messages.push(addition.clone());
            continue;
        };
        for field in &addition.field {
            if !message.field.iter().any(|known| known.number() == field.number() || known.name() == field.name()) {
                message.field.push(field.clone());
            }
        }
        for range in &addition.extension_range {
            let is_free = |known: &prost_types::descriptor_proto::ExtensionRange| {
                known.end() <= range.start() || known.start() >= range.end()
            };
            if message.extension_range.iter().all(is_free) {
                message.extension_range.push(range.clone());
            }
        }
        add_messages(&mut message.nested_type, &addition.nested_type);
        add_enums(&mut message.enum_type, &addition.enum_type);
    }
}

fn add_enums(enums: &mut Vec<EnumDescriptorProto>, additions: &[EnumDescriptorProto]) {
    for addition in additions {
        let Some(declared) = enums.iter_mut().find(|declared| declared.name() == addition.name()) else {
            enums.push(addition.clone());
            continue;
        };
        for value in &addition.value {
            if !declared.value.iter().any(|known| known.number() == value.number() || known.name() == value.name()) {
                declared.value.push(value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::unit::Unit;
    use super::*;
    use prost::Message as _;
    use prost_reflect::DescriptorPool;

    #[test]
    fn the_amended_descriptor_links_and_has_the_new_options() {
        let unit = Unit::protobuf("google/protobuf/descriptor.proto").expect("built in");
        let file = FileDescriptorProto::decode(&unit.bytes[..]).expect("encoded");
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_proto(file).expect("links");
        let has = |message: &str, number: u32| {
            pool.get_message_by_name(&format!("google.protobuf.{message}"))
                .is_some_and(|m| m.get_field(number).is_some())
        };
        assert!(has("FieldOptions", 22) && has("EnumValueOptions", 4) && has("FeatureSet", 7));
        let features = pool.get_message_by_name("google.protobuf.FeatureSet").expect("there");
        assert!(features.extension_ranges().any(|range| range.contains(&1002)));
        let editions = pool.get_enum_by_name("google.protobuf.Edition").expect("there");
        assert!(editions.get_value(1001).is_some());
        let mut other = FileDescriptorProto { name: Some("a.proto".into()), ..Default::default() };
        amend(&mut other);
        assert!(other.message_type.is_empty());
    }
}
