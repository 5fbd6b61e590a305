//! What is counted: plain atomics that rooms hold by `Arc`, and their Prometheus text. Knows none of the rooms.

mod meters;

pub use meters::{Gauge, GaugeGuard, Meters, Tally};
