//! How often each of the canonical transcodes, the guard over the same messages, and each canonical call through the
//! whole edge may allocate: counted, not timed, against `bench/ceilings.txt` and `bench/calls.txt`. Their instructions
//! are counted by `bench/ceilings.sh`, since that needs an optimised build and valgrind.

#[path = "bench/bare.rs"]
mod bare;
#[path = "bench/calls.rs"]
mod calls;
#[path = "bench/canonical.rs"]
mod canonical;
#[path = "bench/counting.rs"]
mod counting;
#[allow(dead_code)] // there are rows without a ceiling
#[path = "bench/rows.rs"]
mod rows;
#[allow(dead_code)] // calls have a caller and an upstream of their own
#[path = "edge/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use calls::{Call, calls};
use counting::{Counting, allocations};
use support::{Edge, configuration, protos};
use transom::catalog::{Schema, Source, load};

#[global_allocator]
static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);

/// What issues promise of every message.
const MAX_ALLOCATIONS: u64 = 2;
/// Calls before anything is counted: tables and buffers have their sizes then.
const WARM_UP: u64 = 300;
/// Calls that are counted at once, and how often that is done. What counts is the batch that was disturbed least.
const BATCH: u64 = 200;
const BATCHES: usize = 5;

/// The third column, by name.
struct Ceilings {
    file: &'static str,
    left: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

fn schema() -> Schema {
    let mut source = Source::new("bench", "");
    source.proto_paths = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench").into()];
    source.protos = vec!["order.proto".into(), "heavy.proto".into()];
    load(&source).expect("the benchmark's files load").catalog.schema
}

// === impl Ceilings ===

impl Ceilings {
    fn read(file: &'static str, text: &str) -> Ceilings {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let rows = lines.map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [name, _, allocations] = &*columns else { panic!("not three columns: {line}") };
            ((*name).to_owned(), allocations.parse().expect("a number of allocations"))
        });
        Ceilings { file, left: rows.collect(), wrong: Vec::new() }
    }

    /// Judges one of them; returns its ceiling.
    fn hold(&mut self, name: &str, counted: u64) -> Option<u64> {
        let ceiling = self.left.remove(name);
        let file = self.file;
        self.wrong.extend(match ceiling {
            None => Some(format!("{name} is not in tests/bench/{file}: it allocates {counted} times")),
            Some(ceiling) if counted > ceiling => Some(format!(
                "{name} allocates {counted} times, its ceiling is {ceiling}: find out what allocates now; if it has to, \
                 raise the ceiling and say why in the commit"
            )),
            Some(ceiling) if counted < ceiling => Some(format!(
                "{name} allocates {counted} times, its ceiling is {ceiling}: lower the ceiling to keep what was won"
            )),
            Some(_) => None,
        });
        ceiling
    }

    fn verdict(self) {
        let Ceilings { file, left, mut wrong } = self;
        wrong.extend(left.keys().map(|name| format!("there is no {name}: take it out of {file}")));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn no_canonical_transcode_allocates_more_often_than_its_ceiling() {
    let schema = schema();
    let mut ceilings = Ceilings::read("ceilings.txt", include_str!("bench/ceilings.txt"));
    for transcode in canonical::canonical(&schema) {
        let counted = allocations(|| drop(transcode.run()));
        let ceiling = ceilings.hold(&transcode.name, counted);
        assert!(
            ceiling.is_none_or(|ceiling| ceiling <= MAX_ALLOCATIONS),
            "{}: above {MAX_ALLOCATIONS}",
            transcode.name
        );
    }
    ceilings.verdict();
}

#[test]
fn no_canonical_call_allocates_more_often_than_its_ceiling() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut ceilings = Ceilings::read("calls.txt", include_str!("bench/calls.txt"));
    for call in calls() {
        let name = call.name;
        let counted = runtime.block_on(allocations_of_the_worker(call));
        ceilings.hold(name, counted);
    }
    ceilings.verdict();
}

/// How often an edge's worker allocates for such a call, whatever the other threads do.
async fn allocations_of_the_worker(call: Call) -> u64 {
    let upstream = call.upstream().expect("an upstream");
    let counter: &'static AtomicU64 = Box::leak(Box::default());
    let configuration = configuration(&format!("h2c://{upstream}"), &protos(), "workers: 1");
    let edge = Edge::by_workers(&configuration, move || counting::show(counter)).await;
    let address = edge.clear;
    let counted = tokio::task::spawn_blocking(move || {
        let mut caller = call.caller(address).expect("a connection");
        let mut make = |times| call.make(&mut caller, times).unwrap_or_else(|error| panic!("{}: {error}", call.name));
        make(WARM_UP);
        let batches = (0..BATCHES).map(|_| {
            let before = counter.load(Relaxed);
            make(BATCH);
            counter.load(Relaxed) - before
        });
        let batches: Vec<u64> = batches.collect();
        println!("{}: {batches:?} in {BATCH} calls each", call.name);
        batches.into_iter().min().expect("a batch")
    });
    // what happens once in many calls is no call's
    (counted.await.expect("no panic") + BATCH / 2) / BATCH
}
