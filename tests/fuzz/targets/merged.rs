#![no_main]

#[path = "../merged.rs"]
mod merged;

libfuzzer_sys::fuzz_target!(|data: &[u8]| merged::merged(data));
