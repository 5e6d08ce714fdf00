//! Questions, heads of answers, and ranges of the content protocol.
#![no_main]

use swarmdex::net::content::wire::{HEAD, ContentHead, ContentRequest, ranges_from_bytes, ranges_to_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(question) = bytes.first_chunk().and_then(ContentRequest::from_bytes) {
        let _ = question.range();
        assert_eq!(bytes.first_chunk(), Some(&question.to_bytes()));
    }
    if let Some(head) = bytes.first_chunk::<HEAD>().and_then(ContentHead::from_bytes) {
        assert_eq!(bytes.first_chunk(), Some(&head.to_bytes()));
    }
    if let Some(ranges) = ranges_from_bytes(bytes) {
        assert_eq!(ranges_to_bytes(&ranges), bytes);
    }
});
