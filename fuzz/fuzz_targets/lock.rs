//! Lock files.
#![no_main]

use swarmdex::resolve::Lock;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(lock) = Lock::from_text(text) {
        let again =
            Lock::from_text(&lock.to_text()).expect("what was read and written can be read");
        assert_eq!(again, lock);
    }
});
