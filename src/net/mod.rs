//! Sockets: the write-batching transport of both sides, TLS material, whom certificates name, and the clock as HTTP writes it.

pub mod batch;
mod certificate;
pub mod date;
pub mod merge;
mod through;
pub mod tls;

pub use certificate::CertificateNames;
pub(crate) use through::writes_through;
