//! The corridor: one call from head to end. Doors call [`Handler::open`] and nothing else.
//!
//! `handler` reads like a call's life; `uplink` carries the request, `downlink` the answer, `body` is what doors poll;
//! `recode` changes messages where codecs differ, `guarding` checks them against the schema where that is wanted, `texts`
//! makes messages of JSON texts, which `json_body` finds in a body; `form_body`, `multipart_body` and `raw_upload` make them of
//! forms and of files; `socket` is for calls by WebSocket, `rest_call` does what settings say of REST answers, `conditional`
//! lets answers be kept, `early` sends heads that cannot wait, `ending` makes an end of trailers, faults and refusals.

mod body;
mod conditional;
mod downlink;
mod early;
mod ending;
mod form_body;
mod guarding;
mod handler;
mod json_body;
mod multipart_body;
mod raw_upload;
mod recode;
mod rest_call;
mod socket;
mod tables;
mod texts;
mod uplink;
mod verbs;

pub use body::{Body, BodyError, Relay};
pub use early::Early;
pub use handler::Handler;
pub use socket::{Takes, Welcome, end_socket, refuse_handshake};
pub use tables::{Page, Tables};
