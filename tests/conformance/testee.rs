//! The program that protobuf's `conformance_test_runner` examines: the transcoder, and nothing else.
//!
//!     cargo build --release --example conformance_testee
//!     tests/foreign/protobuf-conformance/run.sh
//!
//! Reads requests from stdin and writes answers to stdout, each a little-endian 32-bit length and a message
//! (`conformance.proto` of protobuf 36.2, read and written by hand here: the harness shall not lean on what it examines).
//! JSON goes through [`json_to_wire`] and [`wire_to_json`], the very functions of the edge; protobuf to protobuf goes
//! through `reencode.rs`, as nothing in the edge writes messages anew. Text format and JSPB are answered `skipped`.

mod reencode;

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use reencode::reencode;
use transom::catalog::{MessageId, Mistake, Schema, Source, UnknownFields, load};
use transom::transcode::{PrintOptions, ReadOptions, json_to_wire, wire_to_json};
use transom::wire::{Cursor, Malformed, put_bytes};

/// Where the copies of protobuf's test messages are, with the licences at their heads.
const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/protos");

const FILES: [&str; 5] = [
    "conformance/messages/test_messages_proto2.proto",
    "conformance/messages/test_messages_proto3.proto",
    "conformance/messages/test_messages_edition2023.proto",
    "conformance/messages/test_messages_proto2_editions.proto",
    "conformance/messages/test_messages_proto3_editions.proto",
];

/// `conformance.WireFormat`.
const PROTOBUF: u64 = 1;
const JSON: u64 = 2;

/// `conformance.TestCategory`: unknown fields in JSON are to be passed over.
const IGNORE_UNKNOWN: u64 = 3;

/// A `conformance.ConformanceRequest`.
#[derive(Default)]
struct Request<'a> {
    payload: Payload<'a>,
    output: u64,
    message: &'a [u8],
    category: u64,
}

#[derive(Clone, Copy, Default)]
enum Payload<'a> {
    Protobuf(&'a [u8]),
    Json(&'a [u8]),
    #[default]
    Other,
}

/// A `conformance.ConformanceResponse`.
enum Answer {
    ParseError(String),
    SerializeError(String),
    Protobuf(Vec<u8>),
    Json(Vec<u8>),
    Skipped(String),
}

/// What was examined, by the way that answered.
#[derive(Default)]
struct Counts {
    json: usize,
    protobuf: usize,
    skipped: usize,
}

fn main() -> ExitCode {
    // a descriptor set in place of the bundled files is for trying others
    let schema = match schema(std::env::args().nth(1).as_deref()) {
        Ok(schema) => schema,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| eprintln!("conformance_testee: {mistake}"));
            return ExitCode::from(2);
        }
    };
    match run(&schema) {
        Ok(Counts { json, protobuf, skipped }) => {
            eprintln!("conformance_testee: JSON {json}, protobuf alone {protobuf}, skipped {skipped}, slow path: 0");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("conformance_testee: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers requests until the runner closes the pipe.
fn run(schema: &Schema) -> io::Result<Counts> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut counts = Counts::default();
    while let Some(bytes) = next(&mut input)? {
        let answer = match Request::read(&bytes) {
            Ok(request) => request.answer(schema, &mut counts),
            Err(error) => Answer::ParseError(error.0.into()),
        };
        let bytes = answer.encode();
        output.write_all(&(bytes.len() as u32).to_le_bytes())?;
        output.write_all(&bytes)?;
        output.flush()?;
    }
    Ok(counts)
}

fn schema(descriptor_set: Option<&str>) -> Result<Schema, Vec<Mistake>> {
    let mut source = Source::new("conformance", "none");
    match descriptor_set {
        Some(path) => source.descriptor_sets = vec![path.into()],
        None => {
            source.proto_paths = vec![PROTOS.into()];
            source.protos = FILES.iter().map(|file| Path::new(PROTOS).join(file)).collect();
        }
    }
    load(&source).map(|loaded| loaded.catalog.schema)
}

/// The next request; `None` once the runner has closed the pipe.
fn next(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match input.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    input.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

// === impl Request ===

impl<'a> Request<'a> {
    fn read(bytes: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let mut request = Request::default();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let tag = cursor.tag()?;
            let piece = cursor.piece(tag)?;
            match tag >> 3 {
                1 => request.payload = Payload::Protobuf(piece.bytes),
                2 => request.payload = Payload::Json(piece.bytes),
                7 | 8 => request.payload = Payload::Other,
                3 => request.output = piece.bits,
                4 => request.message = piece.bytes,
                5 => request.category = piece.bits,
                _ => {}
            }
        }
        Ok(request)
    }

    fn answer(&self, schema: &Schema, counts: &mut Counts) -> Answer {
        // The first request asks for failures that are known: there are none.
        if self.message == b"conformance.FailureSet" {
            return Answer::Protobuf(Vec::new());
        }
        let skipped = |counts: &mut Counts, why: &str| {
            counts.skipped += 1;
            Answer::Skipped(why.into())
        };
        let Some(id) = std::str::from_utf8(self.message).ok().and_then(|name| schema.find(name)) else {
            return skipped(counts, "the message type is not loaded");
        };
        match (self.payload, self.output) {
            (Payload::Protobuf(_), PROTOBUF) => counts.protobuf += 1,
            (Payload::Protobuf(_) | Payload::Json(_), PROTOBUF | JSON) => counts.json += 1,
            _ => return skipped(counts, "neither protobuf nor JSON"),
        }
        match self.payload {
            Payload::Json(json) => self.read_json(schema, id, json),
            Payload::Protobuf(wire) => self.read_wire(schema, id, wire),
            Payload::Other => skipped(counts, "neither protobuf nor JSON"),
        }
    }

    fn read_json(&self, schema: &Schema, id: MessageId, json: &[u8]) -> Answer {
        let unknown = if self.category == IGNORE_UNKNOWN { UnknownFields::Ignore } else { UnknownFields::Refuse };
        let options = ReadOptions { unknown, ..ReadOptions::default() };
        let mut wire = Vec::new();
        match json_to_wire(schema, id, json, &options, &mut wire) {
            Err(error) => Answer::ParseError(error.message),
            Ok(()) if self.output == PROTOBUF => Answer::Protobuf(wire),
            Ok(()) => print(schema, id, &wire),
        }
    }

    fn read_wire(&self, schema: &Schema, id: MessageId, wire: &[u8]) -> Answer {
        match reencode(schema, id, wire) {
            Err(error) => Answer::ParseError(error.0.into()),
            Ok(wire) if self.output == PROTOBUF => Answer::Protobuf(wire),
            // as it came, not as it was brought into order
            Ok(_) => print(schema, id, wire),
        }
    }
}

fn print(schema: &Schema, id: MessageId, wire: &[u8]) -> Answer {
    let mut json = Vec::new();
    match wire_to_json(schema, id, wire, &PrintOptions::default(), &mut json) {
        Ok(()) => Answer::Json(json),
        Err(error) => Answer::SerializeError(error.to_string()),
    }
}

// === impl Answer ===

impl Answer {
    fn encode(&self) -> Vec<u8> {
        let (number, value) = match self {
            Answer::ParseError(text) => (1, text.as_bytes()),
            Answer::Protobuf(bytes) => (3, &bytes[..]),
            Answer::Json(bytes) => (4, &bytes[..]),
            Answer::Skipped(text) => (5, text.as_bytes()),
            Answer::SerializeError(text) => (6, text.as_bytes()),
        };
        let mut out = Vec::new();
        put_bytes(&mut out, number, value);
        out
    }
}
