//! Recordings of a session.
#![no_main]

use swarmdex::control::Replay;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(replay) = Replay::open(&swarmdex_fuzz::file("recording.jsonl", bytes), 1.0) {
        let _ = replay.batches();
    }
});
