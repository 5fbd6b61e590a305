//! The whole edge, driven from outside over real sockets: every dialect before the demo's upstream.

mod dialects;
mod support;

mod cors;
mod deadline;
mod drain;
mod flow;
mod limits;
mod matrix;
mod refusals;
mod reload;
mod routes;
mod upstream_down;
