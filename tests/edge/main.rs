//! The whole edge, driven from outside over real sockets: every dialect before the demo's upstream.

// `tests/matrix.rs` uses these as well, each its own part
#[allow(dead_code)]
mod dialects;
mod echoing;
mod scripted;
#[allow(dead_code)]
mod support;

mod sockets;

mod answers;
mod client_streams;
mod compression;
mod cors;
mod deadline;
mod drain;
mod events;
mod exact_bytes;
mod files;
mod flow;
mod forms;
mod gateway;
mod guard;
mod large;
mod limits;
mod query;
mod refusals;
mod reload;
mod routes;
mod rules;
mod streams;
mod upstream_down;
mod validate;
mod verbs;
mod websocket;
