//! Names, versions and requirements of every ecosystem, as they stand in records.
#![no_main]

use swarmdex::ecosystem::Ecosystem;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, second)) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.split_once('\n'))
    else {
        return;
    };
    for ecosystem in Ecosystem::KNOWN {
        if let Ok(normal) = ecosystem.normalise(first) {
            assert_eq!(ecosystem.normalise(&normal).as_ref(), Ok(&normal));
        }
        let (Ok(one), Ok(other)) = (ecosystem.version(first), ecosystem.version(second)) else {
            continue;
        };
        assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
        assert_eq!(one == other, one.cmp(&other).is_eq());
        if let Ok(requirement) = ecosystem.requirement(second) {
            let _ = requirement.matches(&one);
        }
    }
});
