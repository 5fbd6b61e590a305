#![no_main]

#[path = "../transcode.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::guard(data));
