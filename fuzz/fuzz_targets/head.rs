//! Heads behind a signature that holds.
#![no_main]

use swarmdex::domain::record::Head;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| swarmdex_fuzz::signed::<Head>(payload));
