//! What is counted: plain atomics that rooms hold by `Arc`, and their Prometheus text. Knows none of the rooms.

mod exposition;
mod meters;

pub use exposition::{EXPOSITION_TYPE, exposition};
pub use meters::{Direction, Gauge, GaugeGuard, GuardWord, Meters, Tally, Verdict};
