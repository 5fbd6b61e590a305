//! Bytes on the wire: frames, varints, percent and base64 codings, deadlines, JSON tokens. No I/O, no schema.

mod likeness;
mod varint;

pub use likeness::closest;
pub use varint::{put_bytes, put_uint, put_varint, varint, varint_len};
