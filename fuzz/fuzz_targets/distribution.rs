//! Wheels and source distributions of PyPI: zip, or gzip around tar, around metadata.
#![no_main]

use swarmdex::archive::pypi;
use swarmdex_fuzz::{NOW, file};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["web-1.0.0-py3-none-any.whl", "web-1.0.0.tar.gz"] {
        if let Err(error) = pypi::read(&file(name, bytes), NOW) {
            let _ = error.to_string();
        }
    }
    let _ = pypi::CoreMetadata::parse(bytes);
});
