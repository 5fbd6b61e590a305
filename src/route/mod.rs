//! From a request's head to a method: by its method path, or by the templates of HTTP rules; and from a call of a method to
//! the cluster that answers it.

mod capture;
mod quick;
mod table;
mod target;
mod tree;

pub use capture::Captures;
pub use table::{Candidate, Fate, Match, MethodRef, Table};
pub use target::{
    Chosen, FaultRule, FieldRule, FieldWanted, First, Glob, HeaderTest, HostPattern, IdentityTest, MirrorRule, Plan,
    Planned, Resolved, RouteTold, Share, Step, TargetRule, Targets, ValueTest, When,
};
