//! Chooses among valid heads of a package: the same rule for storing, reading and reconciling.

use std::cmp::Ordering;

use super::super::{hash::Hash, time::Timestamp};
use super::{Authorised, Head};

/// The newest head seen of a package, as remembered across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMark {
    /// The number of the state.
    pub seq: u64,
    /// The payload hash.
    pub hash: Hash,
    /// The end of its freshness.
    pub expires: Timestamp,
}

impl HeadMark {
    /// Returns the mark of a head.
    pub fn of(head: &Authorised<Head>) -> Self {
        Self {
            seq: head.seq,
            hash: head.hash(),
            expires: head.expires,
        }
    }
}

/// Orders heads of one package by preference, the better one `Greater`: unexpired before expired,
/// then the highest
/// `seq`, then the lower payload hash.
pub fn prefer(a: &HeadMark, b: &HeadMark, now: Timestamp) -> Ordering {
    let unexpired = |mark: &HeadMark| mark.expires > now;
    unexpired(a)
        .cmp(&unexpired(b))
        .then(a.seq.cmp(&b.seq))
        .then(b.hash.cmp(&a.hash))
}

/// Returns the head to believe, never one below `floor`, the highest `seq` this node has seen.
pub fn select<'a>(
    heads: impl IntoIterator<Item = &'a Authorised<Head>>,
    floor: u64,
    now: Timestamp,
) -> Option<&'a Authorised<Head>> {
    heads
        .into_iter()
        .filter(|head| head.seq >= floor)
        .max_by(|a, b| prefer(&HeadMark::of(a), &HeadMark::of(b), now))
}

/// A head's relation to the one that a node remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The first head of the package, or a newer state: accept it.
    Newer,
    /// The very head that is held.
    Same,
    /// Another head with the same `seq`, and the preferred one: accept it and keep the other as the
    /// fork's loser.
    ForkWins,
    /// Another head with the same `seq`, not preferred: keep it for the publisher to join.
    ForkLoses,
    /// A lower `seq` than the highest one seen.
    Older,
}

/// Compares `offered` with the head remembered of the package.
pub fn admit(held: Option<&HeadMark>, offered: &HeadMark, now: Timestamp) -> Admission {
    let Some(held) = held else {
        return Admission::Newer;
    };
    match offered.seq.cmp(&held.seq) {
        Ordering::Greater => Admission::Newer,
        Ordering::Less => Admission::Older,
        Ordering::Equal if offered.hash == held.hash => Admission::Same,
        Ordering::Equal if prefer(offered, held, now) == Ordering::Greater => Admission::ForkWins,
        Ordering::Equal => Admission::ForkLoses,
    }
}
