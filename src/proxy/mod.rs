//! The corridor: one call from head to end. Doors call [`Handler::open`] and nothing else.
//!
//! `handler` reads like a call's life, `passage` is the fast lane beside it, for native gRPC whose bytes only pass;
//! `attempts` sends a request, as often as it may be, of which `kept` and `replay` keep what is needed for that; `uplink`
//! carries the request, `downlink` the answer, `body` is what doors poll; `recode` changes messages where codecs differ,
//! `guarding` checks them against the schema where that is wanted, `texts` makes messages of JSON texts, which `json_body`
//! finds in a body; `form_body`, `multipart_body` and `raw_upload` make them of forms and of files; `socket` is for calls by
//! WebSocket, `rest_call` does what settings say of REST answers, `conditional` lets answers be kept, `early` sends heads that
//! cannot wait, `ending` makes an end of trailers, faults and refusals; `target` chooses the
//! cluster where there are routes, `mirror` sends calls to a second one, `fault_injection` lets them go wrong.

mod affinity;
mod attempts;
mod body;
mod conditional;
mod downlink;
mod early;
mod ending;
mod fault_injection;
mod form_body;
mod guarding;
mod handler;
mod json_body;
mod kept;
mod mirror;
mod multipart_body;
mod passage;
mod passing;
mod raw_upload;
mod recode;
mod replay;
mod rest_call;
mod socket;
mod tables;
mod target;
mod texts;
mod uplink;
mod verbs;

pub use affinity::FieldKeys;
pub use body::{Body, BodyError, Relay};
pub use early::Early;
pub use handler::Handler;
pub use passage::{Passage, Passed, Rest};
pub use socket::{Takes, Welcome, end_socket, refuse_handshake};
pub use tables::{Page, Tables};
pub use target::{MIRRORED, Routing};
