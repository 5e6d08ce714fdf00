//! Content is divided into groups of 16 KiB, each of which can be verified against the root by
//! itself.

use std::{ops::Range, time::Duration};

use range_collections::{RangeSet2, range_set::RangeSetRange};

/// Bytes in a group, the unit in which a peer's answer is verified: 16 BLAKE3 chunks of 1,024
/// bytes.
pub const GROUP: u64 = 16 * 1_024;

/// Default limit on the size of one content, in bytes.
pub const MAX_CONTENT: u64 = 4 << 30;

/// The rules of a node for the bytes that it keeps, fetches and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentOptions {
    /// Most bytes of content in all, beyond which what was used longest ago goes, unless it is own
    /// or pinned.
    pub quota: u64,
    /// Most bytes of one content.
    pub max: u64,
    /// Offer to others what was fetched, and not only what is own.
    pub provide: bool,
    /// Longest time in which a peer that content is asked of sends nothing. By default, a mobile
    /// link wakes up within it, and people give up after it.
    pub idle: Duration,
}

impl Default for ContentOptions {
    fn default() -> Self {
        Self {
            quota: 10 << 30,
            max: MAX_CONTENT,
            provide: true,
            idle: Duration::from_secs(10),
        }
    }
}

/// A set of group numbers.
pub type Groups = RangeSet2<u64>;

/// Returns the number of groups in a content of `size` bytes. Empty content has one group of no
/// bytes, so that there is something to verify.
pub fn groups(size: u64) -> u64 {
    size.div_ceil(GROUP).max(1)
}

/// Returns all groups of a content of `size` bytes.
pub fn all(size: u64) -> Groups {
    Groups::from(0..groups(size))
}

/// Returns the number of bytes in these groups of a content of `size` bytes.
pub fn bytes_in(range: &Range<u64>, size: u64) -> u64 {
    (range.end * GROUP)
        .min(size)
        .saturating_sub(range.start * GROUP)
}

/// Returns the ranges of a set, in order. An open range ends at `end`.
pub fn ranges(set: &Groups, end: u64) -> Vec<Range<u64>> {
    set.iter()
        .map(|range| match range {
            RangeSetRange::Range(range) => *range.start..(*range.end).min(end),
            RangeSetRange::RangeFrom(range) => *range.start..end,
        })
        .filter(|range| !range.is_empty())
        .collect()
}

/// Returns the number of bytes in a set of groups.
pub fn bytes_of(set: &Groups, size: u64) -> u64 {
    ranges(set, groups(size))
        .iter()
        .map(|range| bytes_in(range, size))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_one_group() {
        for (size, count) in [
            (0, 1),
            (1, 1),
            (GROUP - 1, 1),
            (GROUP, 1),
            (GROUP + 1, 2),
            (64 << 20, 4_096),
        ] {
            assert_eq!(groups(size), count, "{size}");
            assert_eq!(bytes_of(&all(size), size), size);
        }
        let some = Groups::from(0..1) | Groups::from(2..3);
        assert_eq!(ranges(&some, 3), [0..1, 2..3]);
        assert_eq!(bytes_of(&some, 2 * GROUP + 5), GROUP + 5);
    }
}
