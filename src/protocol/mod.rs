//! Dialects: the wire protocols that callers speak. Pure bytes and heads in and out, no I/O.
//!
//! n + m, never n x m: a dialect says how its request body is cut into messages ([`RequestForm`]) and renders an answer
//! ([`Answer`]); what stands between them is always plain gRPC. To add one: a file here with an [`Answer`], and a row in
//! `registry`. Unary and streaming forms of a protocol are separate dialects, for they share little but a name.

mod answer;
mod connect_stream;
mod connect_unary;
mod family;
mod grpc;
mod grpc_web;
mod json_text;
mod metadata;
mod plain;
mod registry;
mod rest;
mod rest_stream;
mod socket;

pub use answer::{Answer, AnswerForm, Detail, DetailForm, Due, End, Ending, HeadOut, Packing, WholeOut};
pub use family::{Codec, Family, family};
pub use metadata::{Passing, forwardable_answer, forwardable_request};
pub use registry::{Packed, RequestForm, Spoken, by_method, by_template, refusal_answer, takes_get};
pub use socket::{BadBody, Cutter, Said, SocketFrame, by_socket, cut_reason, merge, opening, said, socket_answer};
