//! One canonical transcode, ten times over, for `ceilings.sh` to count what it takes:
//!
//!     cargo run --release --example counted_transcodes -- order-read

#[allow(dead_code)] // the benchmark's limits
mod canonical;
#[allow(dead_code)] // there are rows without a ceiling
mod rows;

use std::process::ExitCode;

use canonical::{Transcode, canonical};
use transom::catalog::{Source, load};

// as the server allocates
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Enough that what differs from run to run (the seeds of hash tables) evens out.
const TIMES: usize = 10;

fn main() -> ExitCode {
    let mut source = Source::new("bench", "");
    source.proto_paths = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench").into()];
    source.protos = vec!["order.proto".into(), "heavy.proto".into()];
    let schema = load(&source).expect("the benchmark's files load").catalog.schema;
    let name = std::env::args().nth(1).unwrap_or_default();
    let all = canonical(&schema);
    let Some(transcode) = all.iter().find(|transcode| transcode.name == name) else {
        let names: Vec<&str> = all.iter().map(|transcode| &*transcode.name).collect();
        eprintln!("no such transcode: {name}; there are {}", names.join(" "));
        return ExitCode::FAILURE;
    };
    // what happens only once is not counted
    drop(transcode.run());
    counted_transcodes(transcode);
    ExitCode::SUCCESS
}

/// The part that callgrind counts, found by its name.
#[inline(never)]
#[unsafe(no_mangle)]
fn counted_transcodes(transcode: &Transcode<'_>) {
    for _ in 0..TIMES {
        drop(std::hint::black_box(transcode.run()));
    }
}
