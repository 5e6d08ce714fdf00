//! Packages of Debian: ar around compressed tar around control.
#![no_main]

use swarmdex::archive::deb;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = deb::read(&swarmdex_fuzz::file("web_1.0.0_all.deb", bytes)) {
        let _ = error.to_string();
    }
});
