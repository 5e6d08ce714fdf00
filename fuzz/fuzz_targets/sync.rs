//! Frames of the sync protocol.
#![no_main]

use std::time::Duration;

use futures::io::Cursor;
use swarmdex::net::sync::wire::{SyncAnswer, SyncRequest, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    const MOST: Duration = Duration::from_secs(60);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut stream = Cursor::new(bytes);
        while let Ok(Some(_)) = read::<SyncRequest>(&mut stream, MOST).await {}
        let mut stream = Cursor::new(bytes);
        while let Ok(Some(_)) = read::<SyncAnswer>(&mut stream, MOST).await {}
    });
});
