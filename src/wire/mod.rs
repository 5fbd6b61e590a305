//! Bytes on the wire: frames, varints, percent and base64 codings, deadlines, JSON tokens. No I/O, no schema.

mod json_scan;
mod json_token;
mod varint;
mod walk;

pub use json_scan::{JsonScanner, JsonStream, Scan};
pub use json_token::{BadJson, MAX_JSON_DEPTH, Tokens, line_column, number_len, plain_ascii, special};
pub use varint::{close, open, put_bytes, put_uint, put_varint, unzigzag, varint, varint_len, zigzag};
pub use walk::{Cursor, Malformed, Piece};
