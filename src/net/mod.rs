//! Sockets: the write-batching transport of both sides, and TLS material. Knows nothing of HTTP.

pub mod batch;
pub mod tls;
