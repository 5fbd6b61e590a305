//! What the project has promised of the transcoder's speed, and whether it is so.

use std::process::ExitCode;

use crate::peers::{DYNAMIC, PBJSON, TRANSOM};
use crate::timing::Cost;

/// How many times as fast as DynamicMessage and as generated code: row, JSON -> wire, wire -> JSON.
const RATIOS: [(&str, [f64; 2], [f64; 2]); 2] = [("order", [10.0, 3.0], [7.0, 1.8]), ("list", [12.0, 3.0], [6.0, 1.5])];

const MAX_ALLOCATIONS: f64 = 2.0;

/// Of the guard on the order, in bytes per nanosecond.
const GUARD_GIGABYTES: f64 = 1.0;

/// Marks met and missed.
#[derive(Default)]
pub struct Marks {
    lines: Vec<String>,
    missed: usize,
}

// === impl Marks ===

impl Marks {
    /// Holds one row against all marks that are for it.
    pub fn judge(&mut self, row: &str, read: &[Cost], print: &[Cost], guard: &[Cost], wire_bytes: f64) {
        let asked = RATIOS.iter().find(|(name, ..)| *name == row);
        for (direction, costs, asked) in [
            ("JSON -> wire", read, asked.map(|ratios| ratios.1)),
            ("wire -> JSON", print, asked.map(|ratios| ratios.2)),
        ] {
            let [dynamic, generated] = asked.unwrap_or([1.0, 1.0]);
            let label = |peer| format!("{row}, {direction}: times as fast as {peer}");
            self.at_least(label(DYNAMIC), faster_than(costs, DYNAMIC), dynamic);
            self.at_least(label(PBJSON), faster_than(costs, PBJSON), generated);
            let allocations = of(costs, TRANSOM).map_or(f64::NAN, |cost| cost.allocations);
            self.note(
                allocations <= MAX_ALLOCATIONS,
                format!("{row}, {direction}: allocations a message: {allocations:.1}, at most {MAX_ALLOCATIONS}"),
            );
        }
        if row == "order" {
            let nanos = of(guard, TRANSOM).map_or(f64::NAN, |cost| cost.nanos);
            self.at_least("order, the guard: GB/s of wire".to_owned(), wire_bytes / nanos, GUARD_GIGABYTES);
        }
    }

    fn at_least(&mut self, what: String, measured: f64, asked: f64) {
        self.note(measured >= asked, format!("{what}: {measured:.2}, at least {asked}"));
    }

    fn note(&mut self, is_met: bool, line: String) {
        self.missed += usize::from(!is_met);
        self.lines.push(format!("{} {line}", if is_met { "met   " } else { "MISSED" }));
    }

    /// Prints all of them; fails if one is missed.
    pub fn report(&self) -> ExitCode {
        println!("\nmarks\n\n{}", self.lines.join("\n"));
        println!("\ntranscode: {} marks met, {} missed", self.lines.len() - self.missed, self.missed);
        if self.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn of<'c>(costs: &'c [Cost], name: &str) -> Option<&'c Cost> {
    costs.iter().find(|cost| cost.name == name)
}

fn faster_than(costs: &[Cost], peer: &str) -> f64 {
    match (of(costs, peer), of(costs, TRANSOM)) {
        (Some(peer), Some(ours)) => peer.nanos / ours.nanos,
        _ => f64::NAN,
    }
}
