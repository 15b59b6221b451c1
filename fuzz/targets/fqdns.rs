#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ciliumc_fuzz::fqdns(data));
