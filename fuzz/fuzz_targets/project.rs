//! swarmdex.toml.
#![no_main]

use swarmdex::{
    archive::project,
    domain::{
        hash::ContentRoot,
        manifest::{Artifacts, Content},
        name::PublisherId,
    },
};
use swarmdex_fuzz::NOW;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    swarmdex_fuzz::file("swarmdex.toml", bytes);
    match project::read(swarmdex_fuzz::dir()) {
        // What is read becomes a manifest, or is told what is wrong with it.
        Ok(project) => {
            let nothing = Content { root: ContentRoot::of(b""), size: 0 };
            drop(project.draft.into_manifest(PublisherId::nobody(), Artifacts::from(nothing), NOW));
        }
        Err(error) => drop(error.to_string()),
    }
});
