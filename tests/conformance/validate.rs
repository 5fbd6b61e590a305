//! The program that protovalidate's `protovalidate-conformance` examines: the catalog's loader and the schema guard.
//!
//!     cargo build --release --example validate_testee
//!     tests/foreign/protovalidate-conformance/run.sh
//!
//! The runner starts it once for each suite. It reads one `TestConformanceRequest` from stdin and writes one
//! `TestConformanceResponse` to stdout (`buf/validate/conformance/harness/harness.proto` of protovalidate 1.2.2, read and
//! written by hand here: the harness shall not lean on what it examines). The suite's descriptor set goes through
//! [`load`], each message through [`guard`] with rules, the very functions of the edge.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use transom::catalog::{BrokenRules, Mistake, Schema, Source, load};
use transom::status::encode_violations;
use transom::transcode::{GuardOptions, Rule, guard};
use transom::wire::{Cursor, Malformed, put_bytes, put_uint};

/// A `TestConformanceRequest`.
#[derive(Default)]
struct Request<'a> {
    descriptor_set: &'a [u8],
    cases: Vec<Case<'a>>,
}

/// An entry of its map of cases: a name and a `google.protobuf.Any`.
#[derive(Default)]
struct Case<'a> {
    name: &'a [u8],
    type_url: &'a [u8],
    message: &'a [u8],
}

/// A `TestResult`.
enum Answer {
    Valid,
    /// `buf.validate.Violations`
    Broken(Vec<u8>),
    CompilationError(String),
    RuntimeError(String),
    UnexpectedError(String),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("validate_testee: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let request = Request::read(&bytes).map_err(|error| io::Error::other(error.0))?;
    let schema = schema(request.descriptor_set)?;
    let mut out = Vec::new();
    for case in &request.cases {
        let answer = match &schema {
            Ok(schema) => case.judge(schema),
            Err(mistakes) => Answer::UnexpectedError(format!("the set does not load: {}", mistakes[0])),
        };
        let mut result = Vec::new();
        put_bytes(&mut result, 1, case.name);
        put_bytes(&mut result, 2, &answer.encode());
        put_bytes(&mut out, 1, &result);
    }
    io::stdout().lock().write_all(&out)
}

/// Catalogs come from files.
fn schema(descriptor_set: &[u8]) -> io::Result<Result<Schema, Vec<Mistake>>> {
    let path = std::env::temp_dir().join(format!("validate_testee.{}.binpb", std::process::id()));
    std::fs::write(&path, descriptor_set)?;
    let mut source = Source::new("conformance", "none");
    source.descriptor_sets = vec![path.clone()];
    // the set holds good and bad rules side by side
    source.broken_rules = BrokenRules::Keep;
    let loaded = load(&source).map(|loaded| loaded.catalog.schema);
    std::fs::remove_file(&path)?;
    Ok(loaded)
}

// === impl Request ===

impl<'a> Request<'a> {
    fn read(bytes: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let mut request = Request::default();
        each_field(bytes, |number, value| {
            match number {
                2 => request.descriptor_set = value,
                3 => request.cases.push(Case::read(value)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(request)
    }
}

fn each_field<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(u32, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let tag = cursor.tag()?;
        each(tag >> 3, cursor.piece(tag)?.bytes)?;
    }
    Ok(())
}

// === impl Case ===

impl<'a> Case<'a> {
    fn read(entry: &'a [u8]) -> Result<Case<'a>, Malformed> {
        let (mut case, mut any) = (Case::default(), &[][..]);
        each_field(entry, |number, value| {
            match number {
                1 => case.name = value,
                _ => any = value,
            }
            Ok(())
        })?;
        each_field(any, |number, value| {
            match number {
                1 => case.type_url = value,
                _ => case.message = value,
            }
            Ok(())
        })?;
        Ok(case)
    }

    fn judge(&self, schema: &Schema) -> Answer {
        let name = String::from_utf8_lossy(self.type_url);
        let Some(id) = name.rsplit('/').next().and_then(|name| schema.find(name)) else {
            return Answer::UnexpectedError(format!("no such type: {name}"));
        };
        let options = GuardOptions { rules: true, ..GuardOptions::default() };
        match guard(schema, id, self.message, &options) {
            Ok(guarded) if guarded.broken.is_empty() => Answer::Valid,
            Ok(guarded) => Answer::Broken(encode_violations(&guarded.broken)),
            Err(violation) => match violation.rule {
                Rule::BrokenRules => Answer::CompilationError(violation.to_string()),
                Rule::RuleFailure => Answer::RuntimeError(violation.to_string()),
                _ => Answer::UnexpectedError(violation.to_string()),
            },
        }
    }
}

// === impl Answer ===

impl Answer {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Answer::Valid => put_uint(&mut out, 1, 1),
            Answer::Broken(violations) => put_bytes(&mut out, 2, violations),
            Answer::CompilationError(text) => put_bytes(&mut out, 3, text.as_bytes()),
            Answer::RuntimeError(text) => put_bytes(&mut out, 4, text.as_bytes()),
            Answer::UnexpectedError(text) => put_bytes(&mut out, 5, text.as_bytes()),
        }
        out
    }
}
