//! Single ranges of a file (RFC 9110, section 14).

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// The requested part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedRange {
    All,
    Part(Range<u64>),
    /// The range is outside the file.
    None,
}

/// Returns the part that a request wants of a file of `size` bytes with this entity tag. Several
/// ranges, an invalid range, and a range of another version of the file all mean the whole file.
pub fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> WantedRange {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|state| state != etag) {
        return WantedRange::All;
    }
    let Some(range) = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="))
    else {
        return WantedRange::All;
    };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
        return WantedRange::All;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let part = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(count) => size.saturating_sub(count)..size,
            None => return WantedRange::All,
        },
        (first, "") => match number(first) {
            Some(first) => first..size,
            None => return WantedRange::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return WantedRange::All,
        },
    };
    if part.start < part.end {
        WantedRange::Part(part)
    } else {
        WantedRange::None
    }
}

/// Returns true if the client has this version already: `If-None-Match` contains its tag, weak or
/// not, or is `*`.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let told = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    told.flat_map(|told| told.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(range: &str, state: Option<&str>) -> WantedRange {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        state.map(|state| headers.insert(header::IF_RANGE, state.parse().unwrap()));
        wanted(&headers, 100, "\"a\"")
    }

    #[test]
    fn one_range_is_served_and_everything_else_is_the_whole() {
        for (range, expected) in [
            ("bytes=0-9", WantedRange::Part(0..10)),
            ("bytes=90-", WantedRange::Part(90..100)),
            ("bytes=-10", WantedRange::Part(90..100)),
            ("bytes=-1000", WantedRange::Part(0..100)),
            ("bytes=50-1000", WantedRange::Part(50..100)),
            ("bytes=100-", WantedRange::None),
            ("bytes=-0", WantedRange::None),
            ("bytes=0-1,5-6", WantedRange::All),
            ("bytes=9-1", WantedRange::All),
            ("lines=1-2", WantedRange::All),
            ("bytes=x-", WantedRange::All),
        ] {
            assert_eq!(asked(range, None), expected, "{range}");
        }
        assert_eq!(asked("bytes=0-9", Some("\"a\"")), WantedRange::Part(0..10));
        assert_eq!(asked("bytes=0-9", Some("\"b\"")), WantedRange::All);
    }

    #[test]
    fn a_state_is_known_when_it_is_named() {
        let known = |told: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, told.parse().unwrap());
            is_known(&headers, "\"a\"")
        };
        assert!(known("\"a\"") && known("W/\"a\"") && known("\"b\", \"a\"") && known("*"));
        assert!(!known("\"b\"") && !known("a"));
        assert!(!is_known(&HeaderMap::new(), "\"a\""), "nobody asked");
    }

    proptest! {
        #[test]
        fn a_part_lies_within(range in "bytes=[0-9]{0,21}-[0-9]{0,21}|.{0,20}", size in 0u64..1_000) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = range.parse() {
                headers.insert(header::RANGE, value);
            }
            if let WantedRange::Part(part) = wanted(&headers, size, "") {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
