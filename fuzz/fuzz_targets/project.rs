//! swarmdex.toml.
#![no_main]

use swarmdex::archive::project;
use swarmdex_fuzz::NOW;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    swarmdex_fuzz::file("swarmdex.toml", bytes);
    match project::read(swarmdex_fuzz::dir()) {
        // What is read becomes a manifest, or is told what is wrong with it.
        Ok(project) => drop(project.draft.check(NOW)),
        Err(error) => drop(error.to_string()),
    }
});
