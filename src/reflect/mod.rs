//! Catalogs from what upstreams tell of themselves by gRPC server reflection (`grpc.reflection.v1`, else `v1alpha`; gRPC's
//! `doc/server-reflection.md`): asked at start, asked again while the process runs, pinned to a file, and compared where the
//! instances of a cluster disagree.
//!
//! ```text
//! Settings -> instances (each endpoint: stream -> collect -> Set) -> Choice -> a catalog's source
//!                                                        Outline -> Differences -> /drift, counters, log
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `message`, `stream` | questions and answers, and the call that carries them |
//! | `collect` | which questions: services, then their files, then what those import |
//! | `descriptor` | files looked at and amended as bytes, so that no option is lost |
//! | `set` | all files of an instance, or of a pin, as one descriptor set |
//! | `outline` | what a set says, part by part, to be compared |
//! | `instances` | all endpoints of a cluster, at a time |
//! | `choice` | which of several answers is taken |
//! | `book` | what the process knows: sets in force, drift, what was refused |
//! | `follow` | the thread that asks again |
//! | `report` | the pages about drift |

mod book;
mod choice;
mod collect;
mod descriptor;
mod follow;
mod instances;
mod message;
mod outline;
mod report;
mod services;
mod set;
mod settings;
mod stream;

pub use book::{Book, Look};
pub use choice::choose;
pub use instances::{Told, ask, failures};
pub use outline::{Change, Differences, Outline};
pub use services::Services;
pub use set::Set;
pub use settings::{OnDrift, Settings};
