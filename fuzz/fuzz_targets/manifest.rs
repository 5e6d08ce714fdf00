//! Manifests behind a signature that holds.
#![no_main]

use swarmdex::domain::manifest::Manifest;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| swarmdex_fuzz::signed::<Manifest>(payload));
