#![no_main]

#[allow(dead_code)]
#[path = "../../support/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entries::extended_xyz(bytes);
});
