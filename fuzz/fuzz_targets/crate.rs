//! Crates: gzip around tar around Cargo.toml.
#![no_main]

use swarmdex::archive::crates;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = crates::read(&swarmdex_fuzz::file("web-1.0.0.crate", bytes)) {
        let _ = error.to_string();
    }
});
