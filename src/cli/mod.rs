//! The command line: verbs, flags, exit codes. Each verb has a file; none of them does the work itself.
//!
//! Exit codes: 0 done; 1 a failure while running; 2 bad usage or configuration.

mod catalogs;
mod check;
mod demo;
mod explain;
mod flags;
mod notes_taker;
mod openapi;
mod operator;
mod reflect;
mod report;
mod routes;
mod serve;
mod transcode;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use flags::ServeFlags;

/// Something went wrong while running.
const FAILED: u8 = 1;
/// Bad usage or configuration; clap's own code for bad usage is the same.
const REFUSED: u8 = 2;

/// A gRPC edge: gRPC, gRPC-Web, Connect and REST/JSON on one port, from .proto catalogs loaded at run time.
#[derive(Debug, Parser)]
#[command(name = "transom", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the edge, by a configuration file, by flags, or by both
    #[command(after_help = serve::EXAMPLES)]
    Serve(ServeFlags),
    /// See it work: an upstream, the edge before it and a web page, all in one process
    Demo(demo::DemoFlags),
    /// Check a configuration and its catalogs: every mistake at once, with file:line:column and a hint
    #[command(after_help = check::EXAMPLES)]
    Check(check::CheckFlags),
    /// Print every route: who gets where by which path, and where that is written
    Routes(routes::RoutesFlags),
    /// Tell what becomes of a request: its rule, what each part fills, what goes upstream; or what the caller is told
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainFlags),
    /// Print the REST side of the catalogs as OpenAPI 3.1
    #[command(after_help = openapi::EXAMPLES)]
    Openapi(openapi::OpenapiFlags),
    /// Ask upstreams for their descriptors: what their instances have and how they differ, or a file of it
    #[command(after_help = reflect::EXAMPLES)]
    Reflect(reflect::ReflectFlags),
    /// Turn one message between JSON, protobuf's encoding and its text format
    #[command(after_help = transcode::EXAMPLES)]
    Transcode(transcode::TranscodeFlags),
}

/// Parses the arguments, does what they say, and tells how it went.
pub fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Serve(flags) => serve::run(flags),
        Verb::Demo(flags) => demo::run(&flags),
        Verb::Check(flags) => check::run(flags),
        Verb::Routes(flags) => routes::run(flags),
        Verb::Explain(flags) => explain::run(flags),
        Verb::Openapi(flags) => openapi::run(flags),
        Verb::Reflect(flags) => reflect::run(flags),
        Verb::Transcode(flags) => transcode::run(flags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_table_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
