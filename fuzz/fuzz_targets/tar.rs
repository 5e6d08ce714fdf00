//! Archives that are unpacked, packed in each way: nothing is written outside of the place, nor
//! beyond the limits.
#![no_main]

use swarmdex::archive::{
    ArchiveKind,
    extract::{ExtractLimits, extract},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = ExtractLimits {
        bytes: 1 << 20,
        entries: 200,
        ratio: 200,
    };
    for (name, kind) in [
        ("tar", ArchiveKind::Tar),
        ("gzip", ArchiveKind::Gzip),
        ("zstd", ArchiveKind::Zstd),
    ] {
        let place = swarmdex_fuzz::dir().join("in").join(name);
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(place.parent().expect("it has one"))
            .expect("the directory is made");
        let _ = extract(bytes, kind, &place, limits);
        let beside = std::fs::read_dir(swarmdex_fuzz::dir())
            .expect("it is there")
            .count();
        assert_eq!(beside, 1, "something is beside the place");
    }
});
