//! Lock files.
#![no_main]

use swarmdex::resolve::LockFile;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(lock) = LockFile::from_text(text) {
        let again =
            LockFile::from_text(&lock.to_text()).expect("what was read and written can be read");
        assert_eq!(again, lock);
    }
});
