//! swarmdex.toml.
#![no_main]

use swarmdex::archive::project;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    swarmdex_fuzz::file("swarmdex.toml", bytes);
    match project::read(swarmdex_fuzz::dir()) {
        Ok(project) => drop(project.draft.is_by_key()),
        // Every error can be told.
        Err(error) => drop(error.to_string()),
    }
});
