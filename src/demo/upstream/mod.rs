//! A gRPC server on the `h2` crate alone: what `transom demo` puts behind the edge, and what the tests drive.
//!
//! It serves `helloworld.Greeter`, `grpc.examples.echo.Echo`, `routeguide.RouteGuide`, `bookstore.v1.Bookstore` and `files.v1.Files`,
//! and reflection of them (`grpc.reflection.v1` and `v1alpha`), for grpcurl and for edges;
//! their contracts stand in the comments of `protos/*.proto`. It is also a small example of what a gRPC server has
//! to do: deadlines, flow control both ways, cancellation, compression, trailers-only answers, error details.
//!
//! ```
//! # use transom::demo::upstream::Upstream;
//! let running = Upstream::start(([127, 0, 0, 1], 0).into())?;
//! println!("h2c://{}", running.address());
//! running.shutdown();
//! # std::io::Result::Ok(())
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `server` | sockets, HTTP/2 connections, which method a path names, counters |
//! | `call` | one call: messages in, messages out, its end |
//! | `levers` | what a caller may ask of a call by metadata, see below |
//! | `greeter`, `echo`, `route_guide`, `bookstore`, `files` | the services |
//! | `shelves`, `features` | their data |
//! | `reflection` | what the server has |
//! | `messages` | the messages of `protos/*.proto` |
//!
//! # Metadata that tests can send
//!
//! For every method:
//!
//! | metadata of the request | does |
//! | --- | --- |
//! | `x-echo-trailer-*`, also `-bin` | comes back under the same name as trailing metadata |
//! | any other `x-echo-*`, also `-bin` | comes back under the same name as initial metadata |
//! | `x-demo-tell: 1` | trailer `x-demo-head-bin`: the request's pseudo-fields and fields, `name: value` lines; trailers `x-demo-calls`, `x-demo-active`, `x-demo-cancelled`, `x-demo-expired`: the server's counters |
//! | `x-demo-compress: NAME` | answers are compressed so, whether the caller accepts it or not |
//! | `x-demo-goaway: 1` | GOAWAY on this connection; the call itself goes on |
//!
//! For the methods of Echo:
//!
//! | metadata of the request | does |
//! | --- | --- |
//! | `x-demo-delay-ms: N` | waits before the first answer |
//! | `x-demo-read-delay-ms: N` | waits before each request message is read |
//! | `x-demo-interval-ms: N` | waits between answers (ServerStreamingEcho: 200 unless set; 0 is as fast as it can) |
//! | `x-demo-stream-count: N` | answers of ServerStreamingEcho (5 unless set); BidirectionalStreamingEcho ends after so many |
//! | `x-demo-message-size: BYTES` | answers have a text of so many bytes (16 MiB at most) in place of the echo |
//! | `x-demo-status: CODE` | ends with this status (number or name), after the answers |
//! | `x-demo-status-message: TEXT` | its message, percent-coded as `grpc-message` is |
//! | `x-demo-status-details: 1` | with ErrorInfo and BadRequest details |
//! | `x-demo-cut: N [reset, end or close]` | breaks off after N answers: RST_STREAM INTERNAL_ERROR (unless set), an end of stream without trailers, or the connection's TCP end |
//!
//! So `x-demo-stream-count: 16384`, `x-demo-message-size: 65536`, `x-demo-interval-ms: 0` is a stream of 1 GiB.
//! A lever that cannot be read is INVALID_ARGUMENT.

mod bookstore;
mod call;
mod echo;
mod features;
mod files;
mod greeter;
mod levers;
mod messages;
mod reflection;
mod route_guide;
mod server;
mod shelves;

pub use messages::{
    bookstore_v1, echo as echo_v1, files as files_v1, helloworld, reflection as reflection_v1, routeguide,
};
pub use server::{Counts, Running, Upstream};
