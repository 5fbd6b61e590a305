//! Bytes on the wire: frames, compression, varints, percent and base64 codings, deadlines, JSON tokens. No I/O, no
//! schema.

mod append;
mod base64_stream;
mod compression;
mod frame;
mod json_number;
mod json_scan;
mod json_token;
mod likeness;
mod multipart;
mod percent;
mod timeout;
mod varint;
mod walk;

pub use append::{append, append_start};
pub use base64_stream::{BadBase64, TextDecoder, decode_bin, encode_bin, encode_text};
pub use compression::{BadPacked, ENCODINGS, Encoding, Packer, Unpacked, Unpacker};
pub use frame::{COMPRESSED, Frame, FrameFault, FrameReader, FrameScanner, PREFIX, TRAILERS, prefix};
pub use json_number::{Decimal, number_len};
pub use json_scan::{JsonScanner, JsonStream, Scan};
pub use json_token::{BadJson, MAX_JSON_DEPTH, TextPlace, Tokens, is_plain_ascii, line_column, special};
pub use likeness::closest;
pub use multipart::{BadMultipart, MOST_HEAD, MOST_PARTS, MultipartEvent, MultipartReader, PartHead, boundary};
pub use percent::{decode_message, encode_message};
pub use timeout::{format_grpc_timeout, parse_connect_timeout, parse_grpc_timeout, parse_server_timeout};
pub use varint::{close, open, put_bytes, put_uint, put_varint, unzigzag, varint, varint_len, zigzag};
pub use walk::{Cursor, Malformed, Piece, Record, Records, records};
