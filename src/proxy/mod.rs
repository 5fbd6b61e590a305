//! The corridor: one call from head to end. Doors call [`Handler::open`] and nothing else.

mod body;

pub use body::{Body, BodyError};

use std::sync::Arc;

use crate::call::{Head, Inbound};
use crate::observe::Meters;

/// What a worker needs to carry calls. One per worker; doors hold it by `Arc`.
#[derive(Debug)]
pub struct Handler {
    pub meters: Arc<Meters>,
}

// === impl Handler ===

impl Handler {
    /// Carries one call: the answer's head when it is due, its body to be polled by the door. Dropping the future or
    /// the body cancels the call and resets its upstream stream.
    pub async fn open(self: Arc<Self>, head: Head, inbound: Inbound) -> http::Response<Body> {
        let _ = (head, inbound);
        let mut response = http::Response::new(Body::Empty);
        *response.status_mut() = http::StatusCode::NOT_IMPLEMENTED;
        response
    }
}
