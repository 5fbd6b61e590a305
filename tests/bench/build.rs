//! Generates what the peers need: types of prost with the JSON of pbjson, and the descriptor set for prost-reflect.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 2] = ["order.proto", "heavy.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let set = protox::compile(FILES, ["."])?;
    let bytes = set.encode_to_vec();
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("bench.binpb"), &bytes)?;
    prost_build::Config::new()
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(set)?;
    pbjson_build::Builder::new().register_descriptors(&bytes)?.build(&[".bench.v1"])?;
    Ok(())
}
