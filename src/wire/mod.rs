//! Bytes on the wire: frames, varints, percent and base64 codings, deadlines, JSON tokens. No I/O, no schema.

mod base64_stream;
mod frame;
mod percent;
mod timeout;
mod varint;

pub use base64_stream::{BadBase64, TextDecoder, decode_bin, encode_bin, encode_text};
pub use frame::{COMPRESSED, Frame, FrameFault, FrameReader, FrameScanner, PREFIX, TRAILERS, prefix};
pub use percent::{decode_message, encode_message};
pub use timeout::{format_grpc_timeout, parse_connect_timeout, parse_grpc_timeout};
pub use varint::{put_bytes, put_uint, put_varint, varint, varint_len};
