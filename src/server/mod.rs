//! The assembly: workers with their listeners, the generation in force, reload and shutdown.
//!
//! A start: operator's door, first generation, certificates, sockets, workers, ready. A reload builds the next
//! generation on its own thread and swaps it whole, or keeps the old one. A shutdown closes the listeners, lets calls
//! in flight finish until the drain timeout, and closes the operator's door last.

mod generation;
mod glance;
mod reload;
mod shutdown;
mod start;
mod workers;

pub use generation::{About, Load, Loaded};
pub use shutdown::run;
pub use start::{Reloading, RunError, Running, Start, start};
pub use workers::Spot;
