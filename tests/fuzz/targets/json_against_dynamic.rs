#![no_main]

#[path = "../dynamic.rs"]
mod dynamic;
#[path = "../field.rs"]
mod field;
#[path = "../transcode.rs"]
mod transcode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcode::json_against_dynamic(data));
