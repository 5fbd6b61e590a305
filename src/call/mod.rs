//! The neutral model of a call: what doors, dialects and the upstream exchange, and nothing that only one of them needs.

mod head;
mod inbound;
mod record;
mod refusal;
mod socket;

pub use head::{Connection, Head, TlsFacts};
pub use inbound::{CallerGone, Http2Call, Inbound};
pub use record::CallRecord;
pub use refusal::{ERROR_DOMAIN, Hint, Kind, Refusal};
pub use socket::Subprotocol;
