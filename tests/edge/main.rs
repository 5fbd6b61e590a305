//! The whole edge, driven from outside over real sockets: every dialect before the demo's upstream.

mod dialects;
mod support;

mod matrix;
mod refusals;
