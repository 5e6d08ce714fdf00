//! Evidence of a conflict, as a file.
#![no_main]

use swarmdex::domain::conflict::Evidence;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(evidence) = Evidence::read(bytes) {
        let _ = evidence.verify();
    }
});
