//! The whole edge, driven from outside over real sockets: every dialect before the demo's upstream.

// `tests/matrix.rs` uses these as well, each its own part
#[allow(dead_code)]
mod dialects;
mod echoing;
mod name_server;
mod peer;
#[path = "../support/raw_h2.rs"]
mod raw_h2;
mod scripted;
mod staged;
#[allow(dead_code)]
mod support;

mod sockets;

mod answers;
mod certificates;
mod client_streams;
mod compression;
mod cors;
mod deadline;
mod discovery;
mod drain;
mod events;
mod exact_bytes;
mod files;
mod flow;
mod forms;
mod gateway;
mod guard;
mod health;
mod hedges;
mod large;
mod limits;
mod mirror;
mod query;
mod refusals;
mod reload;
mod retries;
mod routes;
mod rules;
mod spread;
mod streams;
mod targets;
mod upstream_down;
mod validate;
mod verbs;
mod websocket;
