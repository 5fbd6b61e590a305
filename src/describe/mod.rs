//! Describes what a table of routes does, before it does it.

mod openapi;
mod routes;
mod yaml;

pub use openapi::{OpenapiOptions, openapi};
pub use routes::{RouteLine, Via, routes, routes_json, routes_text};
pub use yaml::to_yaml;
