//! Pages behind a signature that holds.
#![no_main]

use swarmdex::domain::record::Page;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| swarmdex_fuzz::signed::<Page>(payload));
