//! Presence messages as gossip brings them.
#![no_main]

use swarmdex::domain::record::Presence;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(presence) = Presence::verify(bytes, swarmdex_fuzz::NOW) {
        let again = presence.encode().expect("what was taken can be told");
        assert_eq!(Presence::verify(&again, swarmdex_fuzz::NOW), Ok(presence));
    }
});
