//! `floor` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    holler_fuzz::fuzz::floor(data);
});
