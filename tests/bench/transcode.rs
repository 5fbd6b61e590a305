//! How fast the transcoder is, beside what else one could use: `cargo bench`, or `cargo bench -- order maps` for some rows.
//!
//! All ways of a table are checked against each other first, then timed in turn; the figures are processor time.
//! MB/s (10^6 bytes) count JSON bytes in both directions, so that they compare, and wire bytes of the guard. The marks at
//! the end are what the project has promised; the exit code is 1 if one is missed.

#[allow(dead_code)] // the limits are what is needed here
mod canonical;
mod counting;
mod marks;
mod peers;
mod rows;
mod timing;

use std::process::ExitCode;

use prost_reflect::DescriptorPool;
use transom::catalog::Schema;

use counting::Counting;
use marks::Marks;
use peers::{Generated, Messages};
use rows::{Row, list_row, maps_row, numbers_row, order_row, small_row, strings_row};
use timing::Cost;

/// What prost-build and pbjson-build made of the same files that the tables are made of.
#[allow(clippy::all, dead_code, missing_docs)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/bench.v1.serde.rs"));
}

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bench.binpb"));

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("a descriptor set");
    let schema = Schema::build(&pool).expect("builds");
    let bench = Bench { schema, pool, only: arguments };
    let mut marks = Marks::default();
    bench.row::<generated::Order>(&order_row(), &mut marks);
    bench.row::<generated::OrderBatch>(&list_row(), &mut marks);
    bench.row::<generated::Reading>(&small_row(), &mut marks);
    bench.row::<generated::Article>(&strings_row(), &mut marks);
    bench.row::<generated::Samples>(&numbers_row(), &mut marks);
    bench.row::<generated::Inventory>(&maps_row(), &mut marks);
    marks.report()
}

struct Bench {
    schema: Schema,
    pool: DescriptorPool,
    /// Names of rows; empty: all.
    only: Vec<String>,
}

// === impl Bench ===

impl Bench {
    fn row<T: Generated>(&self, row: &Row, marks: &mut Marks) {
        if !self.only.is_empty() && self.only.iter().all(|name| name != row.name) {
            return;
        }
        let messages = Messages::checked::<T>(&self.schema, &self.pool, row);
        let mean = |all: &[Vec<u8>]| all.iter().map(Vec::len).sum::<usize>() as f64 / all.len() as f64;
        let (json, wire) = (mean(&messages.texts), mean(&messages.wires));
        let size = format!("{} x {json:.0} B of JSON, {wire:.0} B of wire", messages.texts.len());
        let read = messages.time_read::<T>();
        table(&format!("{}, JSON -> wire: {size}", row.name), json, &read);
        let print = messages.time_print::<T>();
        table(&format!("{}, wire -> JSON: {size}", row.name), json, &print);
        let guard = messages.time_guard::<T>();
        table(&format!("{}, the guard alone: {size}", row.name), wire, &guard);
        marks.judge(row.name, &read, &print, &guard, wire);
    }
}

fn table(title: &str, bytes: f64, costs: &[Cost]) {
    println!("\n{title}\n");
    println!("| way | MB/s | ns per message | allocations per message | transom is faster by |");
    println!("| --- | --: | --: | --: | --: |");
    let ours = costs.first().map_or(f64::NAN, |cost| cost.nanos);
    for Cost { name, nanos, allocations } in costs {
        println!("| {name} | {:.0} | {nanos:.0} | {allocations:.1} | {:.2} |", bytes * 1000.0 / nanos, nanos / ours);
    }
}
