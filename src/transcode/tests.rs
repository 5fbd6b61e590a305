//! A schema that has one of everything, for the tests of this room.

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::catalog::{MessageId, Schema};

pub(super) const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Color { NONE = 0; RED = 1; GREEN = 2; CRIMSON_LIKE = 5; }

message Author { string name = 1; int32 born = 2; Author teacher = 3; }

message Book {
  string title = 1;
  int64 page_count = 2;
  Color color = 3;
  repeated string tags = 4;
  repeated int32 marks = 5;
  map<string, Author> people = 6;
  map<int32, string> notes = 7;
  Author author = 8;
  repeated Author editors = 9;
  oneof source { string isbn = 10; Author donor = 11; }
  optional int32 copies = 12;
  bytes cover = 13;
  double price = 14;
  float weight = 15;
  bool sold = 16;
  uint64 serial = 17;
  sint32 shift = 18;
  fixed32 code = 19;
  google.protobuf.Timestamp made = 20;
  google.protobuf.Duration spent = 21;
  google.protobuf.FieldMask mask = 22;
  google.protobuf.Struct extra = 23;
  google.protobuf.Value any_value = 24;
  google.protobuf.ListValue list = 25;
  google.protobuf.Any detail = 26;
  google.protobuf.Int64Value count = 27;
  google.protobuf.StringValue label = 28;
  google.protobuf.Empty nothing = 29;
  google.protobuf.NullValue null_value = 30;
  repeated Color colors = 31;
  repeated google.protobuf.Value values = 32;
  map<string, Color> shades = 33;
  google.protobuf.BoolValue flag = 34;
}
"#;

pub(super) const PROTO2: &str = r#"
syntax = "proto2";
package u;
enum Closed { ONE = 1; TWO = 2; }
message Old {
  required string name = 1;
  optional Closed closed = 2;
  repeated Closed many = 3;
  repeated int32 loose = 4;
  optional group Part = 5 { optional int32 size = 1; optional Old inner = 2; }
  repeated group Piece = 6 { optional int32 size = 1; }
  map<string, Closed> by_name = 7;
  extensions 100 to 200;
}
extend Old { optional int32 extra = 100; repeated Old more = 101; }
"#;

struct InMemory;

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "t.proto" => File::from_source(name, PROTO),
            "u.proto" => File::from_source(name, PROTO2),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The tables of both files.
pub(super) fn schema() -> Schema {
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(["t.proto", "u.proto"]).expect("the files compile");
    let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).expect("a valid set");
    Schema::build(&pool).expect("builds")
}

pub(super) fn id(schema: &Schema, name: &str) -> MessageId {
    schema.find(name).expect(name)
}
