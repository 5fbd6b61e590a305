//! Describes what a table of routes does, before it does it.

mod routes;

pub use routes::{RouteLine, Via, routes, routes_json, routes_text};
