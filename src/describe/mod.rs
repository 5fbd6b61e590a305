//! Describes what a table of routes does, before it does it.

mod explain;
mod findings;
mod lints;
mod openapi;
mod routes;
mod yaml;

pub use explain::{Asked, Carried, Explanation, Outcome, Told, Upstream, explain};
pub use findings::{Finding, Level, findings_json, findings_sarif};
pub use lints::{LINTS, lints};
pub use openapi::{KeyPlace, OpenapiOptions, SecurityKind, SecurityScheme, openapi};
pub use routes::{RouteLine, Via, routes, routes_json, routes_text, rules_of, targets_text, with_targets};
pub use yaml::to_yaml;
