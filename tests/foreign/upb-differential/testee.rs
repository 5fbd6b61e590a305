//! The transcoder and the guard behind a pipe, for `compare.py`, which asks protobuf's own upb the same.
//!
//!     cargo build --example transcode_testee
//!     tests/foreign/upb-differential/run.sh
//!
//! Takes the folder of the `.proto` files and their names. A question on stdin: a byte for what to do ([`TO_WIRE`] ...),
//! a little-endian 32-bit length and the message type's name, another length and the input. An answer on stdout: 1 and
//! the result, or 0 and the reason, with its length before it.

use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use transom::catalog::{Schema, Source, UnknownFields, load};
use transom::transcode::{GuardOptions, PrintOptions, ReadOptions, guard, json_to_wire, wire_to_json};

const TO_WIRE: u8 = b'w';
const TO_WIRE_IGNORING: u8 = b'i';
const TO_JSON: u8 = b'j';
const TO_JSON_UNSET: u8 = b'u';
const GUARD: u8 = b'g';

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_default());
    let protos = arguments.map(|name| folder.join(name)).collect();
    let source = Source { protos, proto_paths: vec![folder], ..Source::new("upb", "none") };
    let schema = match load(&source) {
        Ok(loaded) => loaded.catalog.schema,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| eprintln!("transcode_testee: {mistake}"));
            return ExitCode::from(2);
        }
    };
    match run(&schema) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transcode_testee: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers questions until the pipe is closed.
fn run(schema: &Schema) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    let mut what = [0];
    while input.read(&mut what)? == 1 {
        let (name, payload) = (piece(&mut input)?, piece(&mut input)?);
        let (told, text) = match answer(schema, what[0], &name, &payload) {
            Ok(result) => (1, result),
            Err(reason) => (0, reason.into_bytes()),
        };
        output.write_all(&[told])?;
        output.write_all(&(text.len() as u32).to_le_bytes())?;
        output.write_all(&text)?;
        output.flush()?;
    }
    Ok(())
}

fn piece(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn answer(schema: &Schema, what: u8, name: &[u8], payload: &[u8]) -> Result<Vec<u8>, String> {
    let name = std::str::from_utf8(name).map_err(|error| error.to_string())?;
    let id = schema.find(name).ok_or("no such type")?;
    let mut out = Vec::new();
    match what {
        TO_WIRE | TO_WIRE_IGNORING => {
            let unknown = if what == TO_WIRE { UnknownFields::Refuse } else { UnknownFields::Ignore };
            let options = ReadOptions { unknown, ..ReadOptions::default() };
            json_to_wire(schema, id, payload, &options, &mut out).map_err(|error| error.message)?;
        }
        TO_JSON | TO_JSON_UNSET => {
            let options = PrintOptions { print_unset: what == TO_JSON_UNSET, ..PrintOptions::default() };
            wire_to_json(schema, id, payload, &options, &mut out).map_err(|error| error.to_string())?;
        }
        GUARD => {
            let judged = guard(schema, id, payload, &GuardOptions::default());
            judged.map_err(|violation| format!("{:?}: {violation}", violation.rule))?;
        }
        _ => return Err("no such question".into()),
    }
    Ok(out)
}
