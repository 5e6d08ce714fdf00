//! The wire format of the content protocol. Numbers are big-endian.
//!
//! A request has 44 bytes: root (32), first group (8), number of groups (4). An answer begins with
//! 13 bytes: status (1), size of the content (8), number of bytes that follow (4). Answers come in
//! the order of the requests, several of which may be sent before the first is answered.

use std::ops::Range;

use crate::domain::{content::groups, hash::ContentRoot};

/// Most groups in one request: 1 MiB.
pub const MAX_GROUPS: u32 = 64;
/// Most ranges of groups in an answer to [`ContentRequest::held`].
pub const MAX_RANGES: usize = 512;
pub const QUESTION: usize = 44;
pub const HEAD: usize = 13;

/// A request for groups of a content, or, with no groups, for the list of groups that the peer
/// holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRequest {
    pub root: ContentRoot,
    pub start: u64,
    pub count: u32,
}

impl ContentRequest {
    pub fn of(root: ContentRoot, range: &Range<u64>) -> Self {
        let count = range.end.saturating_sub(range.start);
        Self {
            root,
            start: range.start,
            count: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// Asks which groups of a content the peer holds.
    pub fn held(root: ContentRoot) -> Self {
        Self {
            root,
            start: 0,
            count: 0,
        }
    }

    /// Returns the groups, or `None` if they are more than one request may name or beyond any
    /// content.
    pub fn range(&self) -> Option<Range<u64>> {
        let end = self.start.checked_add(u64::from(self.count))?;
        (self.count <= MAX_GROUPS && end <= groups(u64::MAX)).then_some(self.start..end)
    }

    pub fn to_bytes(self) -> [u8; QUESTION] {
        let mut bytes = [0; QUESTION];
        let (root, rest) = bytes.split_at_mut(32);
        let (start, count) = rest.split_at_mut(8);
        root.copy_from_slice(&self.root.0);
        start.copy_from_slice(&self.start.to_be_bytes());
        count.copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; QUESTION]) -> Option<Self> {
        let (root, rest) = bytes.split_first_chunk::<32>()?;
        let (start, rest) = rest.split_first_chunk::<8>()?;
        let (count, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            root: ContentRoot(*root),
            start: u64::from_be_bytes(*start),
            count: u32::from_be_bytes(*count),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentStatus {
    /// The groups follow, each after those parent hashes that this answer has not sent yet:
    /// BLAKE3's tree over groups of 16 KiB, in pre-order.
    Bytes = 0,
    /// The ranges of groups that are held follow: first (8) and one past the last (8) of each.
    Holds = 1,
    /// Some of the requested groups are not held.
    NotHeld = 2,
    /// The peer is busy.
    Busy = 3,
    /// The request breaks a limit.
    Refused = 4,
}

impl ContentStatus {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Bytes,
            Self::Holds,
            Self::NotHeld,
            Self::Busy,
            Self::Refused,
        ]
        .into_iter()
        .find(|one| *one as u8 == byte)
    }
}

/// The beginning of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHead {
    pub status: ContentStatus,
    /// Size in bytes of the whole content, or 0 if the answering peer does not know it.
    pub size: u64,
    /// Number of bytes that follow.
    pub length: u32,
}

impl ContentHead {
    pub fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [self.status as u8; HEAD];
        let (_, rest) = bytes.split_at_mut(1);
        let (size, length) = rest.split_at_mut(8);
        size.copy_from_slice(&self.size.to_be_bytes());
        length.copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; HEAD]) -> Option<Self> {
        let (status, rest) = bytes.split_first()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            status: ContentStatus::from_byte(*status)?,
            size: u64::from_be_bytes(*size),
            length: u32::from_be_bytes(*length),
        })
    }
}

pub fn ranges_to_bytes(ranges: &[Range<u64>]) -> Vec<u8> {
    ranges
        .iter()
        .take(MAX_RANGES)
        .flat_map(|range| [range.start.to_be_bytes(), range.end.to_be_bytes()])
        .flatten()
        .collect()
}

/// Decodes a list of ranges; `None` if it is malformed.
pub fn ranges_from_bytes(bytes: &[u8]) -> Option<Vec<Range<u64>>> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let range = |pair: &[u8; 16]| {
        let (start, end) = pair.split_first_chunk::<8>()?;
        let (end, _) = end.split_first_chunk::<8>()?;
        let range = u64::from_be_bytes(*start)..u64::from_be_bytes(*end);
        (range.start < range.end).then_some(range)
    };
    (rest.is_empty() && pairs.len() <= MAX_RANGES).then(|| pairs.iter().map(range).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_comes_back(root: [u8; 32], start: u64, count: u32, status in 0u8..5, size: u64, length: u32,
            ranges in proptest::collection::vec((0u64..1 << 40, 1u64..1 << 20), 0..20)) {
            let question = ContentRequest { root: ContentRoot(root), start, count };
            prop_assert_eq!(ContentRequest::from_bytes(&question.to_bytes()), Some(question));
            let head = ContentHead { status: ContentStatus::from_byte(status).unwrap(), size, length };
            prop_assert_eq!(ContentHead::from_bytes(&head.to_bytes()), Some(head));
            let ranges: Vec<_> = ranges.into_iter().map(|(start, count)| start..start + count).collect();
            prop_assert_eq!(ranges_from_bytes(&ranges_to_bytes(&ranges)), Some(ranges));
        }

        #[test]
        fn whatever_comes_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..100), question: [u8; 32]) {
            let _ = ranges_from_bytes(&bytes);
            let mut whole = [0xff; QUESTION];
            whole[..32].copy_from_slice(&question);
            let asked = ContentRequest::from_bytes(&whole).unwrap();
            prop_assert_eq!(asked.range(), None);
        }
    }
}
