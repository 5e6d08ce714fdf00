//! Tarballs of npm: gzip around tar around package.json.
#![no_main]

use swarmdex::archive::npm;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = npm::read(&swarmdex_fuzz::file("web-1.0.0.tgz", bytes)) {
        let _ = error.to_string();
    }
});
