//! What is counted: plain atomics that rooms hold by `Arc`, and their Prometheus text. Knows none of the rooms.

mod exposition;
mod labelled;
mod meters;
mod reflection;
mod repeats;
mod upstream_exposition;
mod upstreams;

pub use exposition::{EXPOSITION_TYPE, exposition};
pub use labelled::Labelled;
pub use meters::{Direction, Gauge, GaugeGuard, GuardWord, Meters, Tally, Verdict};
pub use reflection::{DriftGauge, ReflectionMeters};
pub use repeats::{RepeatMeters, RepeatReason};
pub use upstream_exposition::upstreams_as_text;
pub use upstreams::{ClusterFigures, Count, DiscoveryFigures, EndpointFigures, Health, Upstreams};
