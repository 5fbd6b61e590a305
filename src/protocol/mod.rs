//! Dialects: the wire protocols that callers speak. Pure bytes and heads in and out, no I/O.
//!
//! n + m, never n x m: a dialect says how its request body is cut into messages ([`RequestForm`]) and renders an answer
//! ([`Answer`]); what stands between them is always plain gRPC. To add one: a file here with an [`Answer`], and a row in
//! `registry`. Unary and streaming forms of a protocol are separate dialects, for they share little but a name.

mod accept;
mod answer;
mod connect_stream;
mod connect_unary;
mod events;
mod family;
mod grpc;
mod grpc_web;
mod json_text;
mod metadata;
mod plain;
mod registry;
mod rest;
mod rest_raw;
mod rest_stream;
mod socket;

pub use answer::{Answer, AnswerForm, Detail, DetailForm, Due, End, Ending, HeadOut, Pace, Packing, WholeOut};
pub use events::{fits_a_line, put_labels};
pub use family::{Codec, Family, family};
pub use grpc::Grpc;
pub use metadata::{Passing, forwardable_answer, forwardable_head, forwardable_request, forwardable_trailers};
pub use registry::{Packed, RequestForm, RestCall, Spoken, by_method, passing_grpc, refusal_answer, takes_get};
pub use rest_raw::by_rule;
pub use rest_stream::{Layout, STREAM_TYPES};
pub use socket::{BadBody, Cutter, Said, SocketFrame, by_socket, cut_reason, merge, opening, said, socket_answer};
