//! How often each of the eight canonical transcodes, and the guard over the same messages, may allocate: counted, not
//! timed, against `bench/ceilings.txt`. Their instructions are counted by `bench/ceilings.sh`, since that needs an
//! optimised build and valgrind.

#[path = "bench/canonical.rs"]
mod canonical;
#[path = "bench/counting.rs"]
mod counting;
#[allow(dead_code)] // there are rows without a ceiling
#[path = "bench/rows.rs"]
mod rows;

use std::collections::BTreeMap;

use counting::{Counting, allocations};
use transom::catalog::{Schema, Source, load};

#[global_allocator]
static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);

/// What issues promise of every message.
const MAX_ALLOCATIONS: u64 = 2;

fn schema() -> Schema {
    let mut source = Source::new("bench", "");
    source.proto_paths = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench").into()];
    source.protos = vec!["order.proto".into(), "heavy.proto".into()];
    load(&source).expect("the benchmark's files load").catalog.schema
}

/// Name, and the third column.
fn ceilings() -> BTreeMap<String, u64> {
    let lines = include_str!("bench/ceilings.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let rows = lines.map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [name, _, allocations] = &*columns else { panic!("not three columns: {line}") };
        ((*name).to_owned(), allocations.parse().expect("a number of allocations"))
    });
    rows.collect()
}

#[test]
fn no_canonical_transcode_allocates_more_often_than_its_ceiling() {
    let (schema, mut ceilings) = (schema(), ceilings());
    let mut wrong = Vec::new();
    for transcode in canonical::canonical(&schema) {
        let name = &transcode.name;
        let counted = allocations(|| drop(transcode.run()));
        match ceilings.remove(name) {
            None => wrong.push(format!("{name} is not in tests/bench/ceilings.txt: it allocates {counted} times")),
            Some(ceiling) if counted > ceiling => wrong.push(format!(
                "{name} allocates {counted} times, its ceiling is {ceiling}: find out what allocates now; if it has to, \
                 raise the ceiling and say why in the commit"
            )),
            Some(ceiling) if counted < ceiling => wrong.push(format!(
                "{name} allocates {counted} times, its ceiling is {ceiling}: lower the ceiling to keep what was won"
            )),
            Some(ceiling) if ceiling > MAX_ALLOCATIONS => wrong.push(format!("{name}: a ceiling above {MAX_ALLOCATIONS}")),
            Some(_) => {}
        }
    }
    wrong.extend(ceilings.keys().map(|name| format!("there is no transcode {name}: take it out of ceilings.txt")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
