#![no_main]

#[path = "../socket.rs"]
mod socket;

libfuzzer_sys::fuzz_target!(|data: &[u8]| socket::socket(data));
