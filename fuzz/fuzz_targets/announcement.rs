//! Announcements as gossip brings them.
#![no_main]

use swarmdex::domain::record::Announcement;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Announcement::claimed_publisher(bytes);
    let _ = Announcement::verify(bytes, swarmdex_fuzz::NOW);
});
