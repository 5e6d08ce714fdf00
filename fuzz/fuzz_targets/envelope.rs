//! Signed envelopes of every kind, and what the DHT has under a key.
#![no_main]

use swarmdex::domain::{
    manifest::Manifest,
    record::{Authorised, DhtKey, Head, NodeClaim, Notice, Page, Record, Signed},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Authorised::<Head>::verify(bytes);
    let _ = Authorised::<Page>::verify(bytes);
    let _ = Authorised::<Manifest>::verify(bytes);
    let _ = Signed::<NodeClaim>::verify(bytes);
    let _ = Signed::<Notice>::verify(bytes);
    if let Some((key, value)) = bytes.split_at_checked(32)
        && let Some(key) = DhtKey::from_bytes(key)
    {
        let _ = Record::verify(&key, value);
    }
});
