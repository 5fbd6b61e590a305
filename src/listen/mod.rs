//! The door for HTTP: sockets, TLS, telling HTTP/1.1 from HTTP/2, limits, and an end without cut calls.
//!
//! A connection's life: [`accept`] takes it and asks where to put it; on its worker [`Ward::serve`] greets it (TLS,
//! first bytes, one deadline over both), then hands it to hyper (HTTP/1.1) or to `h2` (`http2`) with our limits. Each request becomes a `Head` and an
//! `Inbound` for `proxy::Handler::open`. The ward's sweep closes what is idle, old or slow; a drain asks all to end.
//! A request for a WebSocket becomes a task of its own (`websocket`), which the same drain knows of.

mod accept;
mod bind;
mod drain;
mod http2;
mod serve;
mod settings;
mod sniff;
mod websocket;

pub use accept::{Admission, accept};
pub use bind::{BindError, bind};
pub use drain::{Load, Seat, Ward};
pub use serve::{Arrival, Corridor, Door};
pub use settings::Settings;
