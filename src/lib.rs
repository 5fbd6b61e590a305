//! Transom: a gRPC edge. Every kind of caller (gRPC, gRPC-Web, Connect, plain HTTP/JSON) comes in through one
//! port; every call leaves as plain gRPC.
//!
//! The rooms below stand in floor order: a room uses only lower floors. `README.md` beside this file is the floor
//! plan, with the life of a call, of a reload and of a shutdown.
//!
//! Most use the program. What stands well alone as a library: [`catalog`] (loads `.proto` files and descriptor sets, and
//! names every mistake with its place) with [`transcode`] (JSON to protobuf and back, and the schema guard; an example is
//! there).
#![forbid(unsafe_code)]

// floor 0: bytes, codes, counters, sockets; know nothing of the house
pub mod net;
pub mod observe;
pub mod status;
pub mod wire;

// floor 1: what the services are
pub mod catalog;

// floor 2: the neutral model of a call
pub mod call;

// floor 3: five rooms that do not know one another
pub mod policy;
pub mod protocol;
pub mod route;
pub mod transcode;
pub mod upstream;

// floor 4: the corridor, what describes it, and what upstreams tell of themselves
pub mod describe;
pub mod proxy;
pub mod reflect;

// floor 5: doors
pub mod admin;
pub mod listen;

// floor 6: assembly
pub mod config;
pub mod server;

// floor 7: the command line, and the demo that it starts
pub mod cli;
pub mod demo;
