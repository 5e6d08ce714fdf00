//! Requests and responses of the query protocol, and searches as they are typed.
#![no_main]

use swarmdex::{
    domain::query::{Query, parse},
    net::protocol::{Request, Response},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Request::Search(query)) = cbor4ii::serde::from_slice::<Request>(bytes) {
        let _ = query.bounded().public().terms();
    }
    if let Ok(response) = cbor4ii::serde::from_slice::<Response>(bytes) {
        let _ = response.payload();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse(text);
        let _ = Query::text(text).bounded().terms();
    }
});
