//! From a request's head to a method: by its method path, or by the templates of HTTP rules.

mod capture;
mod quick;
mod table;
mod tree;

pub use capture::Captures;
pub use table::{Candidate, Fate, Match, MethodRef, Table};
