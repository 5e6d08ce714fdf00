//! Debian's Packages, plain or packed.
#![no_main]

use swarmdex::archive::debian;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = debian::open(&swarmdex_fuzz::file("Packages", bytes)) else {
        return;
    };
    for stanza in index.take(1_000) {
        if stanza.is_err() {
            return;
        }
    }
});
