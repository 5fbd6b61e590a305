//! A schema that has one of everything, for the tests of this room; the fuzz targets use it as well.

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

use crate::catalog::{MessageId, Schema};

const PROTO: &str = include_str!("../../tests/fuzz/everything.proto");

const PROTO2: &str = include_str!("../../tests/fuzz/old.proto");

struct InMemory;

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "everything.proto" => File::from_source(name, PROTO),
            "old.proto" => File::from_source(name, PROTO2),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

struct Given<'a>(&'a str);

impl FileResolver for Given<'_> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "given.proto" => File::from_source(name, self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The tables of a file with this text; what it imports is in the folder of the project's files.
pub(super) fn schema_of(text: &'static str) -> Schema {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Given(text));
    resolver.add(IncludeFileResolver::new(concat!(env!("CARGO_MANIFEST_DIR"), "/protos").into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("given.proto").expect("the file compiles");
    let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).expect("a valid set");
    Schema::build(&pool).expect("builds")
}

/// The tables of both files.
pub(super) fn schema() -> Schema {
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(["everything.proto", "old.proto"]).expect("the files compile");
    let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).expect("a valid set");
    Schema::build(&pool).expect("builds")
}

pub(super) fn id(schema: &Schema, name: &str) -> MessageId {
    schema.find(name).expect(name)
}
