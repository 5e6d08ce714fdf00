//! Replicas of a release's bytes on other nodes: which peers keep one, who sees to it that there
//! are enough, and which ones are evicted.
//!
//! Replicas are placed by rendezvous hashing (Thaler and Ravishankar, "A Name-Based Mapping Scheme
//! for Rendezvous", 1996): each peer has a weight for each content, and the heaviest come first.
//! Nodes that know the same peers agree on the order without any message, and a peer that leaves
//! changes nothing about what others hold.

use std::collections::{BTreeMap, HashMap};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    hash::{ContentRoot, Hash},
    name::PublisherId,
    time::Timestamp,
};

/// Unknown publishers share one part in this many of the quota.
pub const OF_UNKNOWN: u64 = 4;
/// A single unknown publisher gets one part in this many.
pub const OF_ONE_UNKNOWN: u64 = 16;
/// A node keeps a replica only if it is among this many first peers in the order for a content, so
/// that nobody can spread a content over a whole network.
pub const AMONG: usize = 8;
/// The least number of bytes charged for a replica, which bounds their number.
pub const LEAST: u64 = 16 * 1_024;

/// A release whose bytes are kept for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The hash of its manifest.
    pub release: Hash,
    /// The publisher of the release.
    pub publisher: PublisherId,
    /// The bytes charged for it.
    pub bytes: u64,
    /// The number of other nodes seen to have it.
    pub elsewhere: u64,
    /// The time at which this node began to keep it.
    pub since: Timestamp,
}

/// Figures about replicas on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFigures {
    /// Own releases that have fewer replicas than they should although peers were asked.
    pub waiting: u64,
    /// Bytes kept for others, and the quota for them.
    pub kept: u64,
    /// The quota for others, in bytes.
    pub room: u64,
}

/// The answer to a peer that asks this node to keep a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaDecision {
    /// Take it.
    Take,
    /// Take it once this many bytes have been freed.
    MakeRoom(u64),
    /// Decline it.
    Decline,
}

/// Returns the peers in the order in which they should keep a content.
pub fn order(root: &ContentRoot, peers: impl IntoIterator<Item = PeerId>) -> Vec<PeerId> {
    let mut weighed: Vec<([u8; 32], PeerId)> = peers
        .into_iter()
        .map(|peer| (weight(root, &peer), peer))
        .collect();
    weighed.sort_unstable_by(|a, b| b.cmp(a));
    weighed.dedup();
    weighed.into_iter().map(|(_, peer)| peer).collect()
}

/// Returns true if a peer is among the first [`AMONG`] of its neighbours for a content. The node
/// that asks may have other neighbours, but weights are the same everywhere, so a peer that is
/// first for one is among the first for the other.
pub fn is_among(
    root: &ContentRoot,
    peer: &PeerId,
    neighbours: impl IntoIterator<Item = PeerId>,
) -> bool {
    let own = weight(root, peer);
    neighbours
        .into_iter()
        .filter(|other| other != peer && weight(root, other) > own)
        .take(AMONG)
        .count()
        < AMONG
}

fn weight(root: &ContentRoot, peer: &PeerId) -> [u8; 32] {
    *blake3::Hasher::new()
        .update(&root.0)
        .update(&peer.to_bytes())
        .finalize()
        .as_bytes()
}

/// Decides about a release of a given size from the bytes kept for each publisher. Known publishers
/// take precedence: all unknown ones together get a quarter of the quota, a single one a sixteenth,
/// and they evict nothing.
pub fn admit(
    kept: &BTreeMap<PublisherId, u64>,
    is_known: impl Fn(&PublisherId) -> bool,
    (publisher, bytes): (&PublisherId, u64),
    room: u64,
) -> ReplicaDecision {
    let all: u64 = kept.values().sum();
    let fits = |taken: u64, most: u64| taken.saturating_add(bytes) <= most;
    if is_known(publisher) {
        return match all.saturating_add(bytes).saturating_sub(room) {
            _ if bytes > room => ReplicaDecision::Decline,
            0 => ReplicaDecision::Take,
            excess => ReplicaDecision::MakeRoom(excess),
        };
    }
    let unknown: u64 = kept
        .iter()
        .filter(|(publisher, _)| !is_known(publisher))
        .map(|(_, bytes)| bytes)
        .sum();
    let own = kept.get(publisher).copied().unwrap_or(0);
    if fits(own, room / OF_ONE_UNKNOWN) && fits(unknown, room / OF_UNKNOWN) && fits(all, room) {
        ReplicaDecision::Take
    } else {
        ReplicaDecision::Decline
    }
}

/// Chooses replicas to evict until `excess` bytes are freed: those of unknown publishers first,
/// then those of the known publisher that has most, while that is more than `spared` bytes. Within
/// a publisher, those with most copies elsewhere go first, then the oldest. Returns `None` if that
/// does not free enough.
pub fn make_room(
    kept: &[Replica],
    is_known: impl Fn(&PublisherId) -> bool,
    spared: u64,
    excess: u64,
) -> Option<Vec<Hash>> {
    let mut copies: Vec<&Replica> = kept.iter().collect();
    // Candidates are popped from the end.
    copies.sort_by(|a, b| {
        a.elsewhere
            .cmp(&b.elsewhere)
            .then(b.since.cmp(&a.since))
            .then(a.release.0.cmp(&b.release.0))
    });
    let (known, mut unknown): (Vec<&Replica>, Vec<&Replica>) = copies
        .into_iter()
        .partition(|copy| is_known(&copy.publisher));
    let mut of: HashMap<PublisherId, (u64, Vec<&Replica>)> = HashMap::new();
    for copy in known {
        let (bytes, copies) = of.entry(copy.publisher).or_default();
        *bytes += copy.bytes;
        copies.push(copy);
    }
    let (mut freed, mut gone) = (0, Vec::new());
    while freed < excess {
        let next = unknown.pop().or_else(|| {
            let largest = of
                .iter_mut()
                .max_by_key(|(publisher, (bytes, _))| (*bytes, **publisher));
            let (_, (bytes, copies)) = largest.filter(|(_, (bytes, _))| *bytes > spared)?;
            let copy = copies.pop()?;
            *bytes -= copy.bytes;
            Some(copy)
        })?;
        freed += next.bytes;
        gone.push(next.release);
    }
    Some(gone)
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    use super::*;

    const ROOM: u64 = 1 << 30;

    fn publishers(count: usize) -> Vec<PublisherId> {
        (0..count)
            .map(|_| PublisherId::of(&Keypair::generate_ed25519().public()))
            .collect()
    }

    #[test]
    fn a_peer_that_leaves_changes_nothing_for_the_others() {
        let peers: Vec<PeerId> = (0..12).map(|_| PeerId::random()).collect();
        let mut first = HashMap::<PeerId, usize>::new();
        for n in 0..2_000_u32 {
            let root = ContentRoot::of(&n.to_be_bytes());
            let all = order(&root, peers.iter().copied());
            assert_eq!(
                all,
                order(&root, peers.iter().rev().copied()),
                "whoever knows the same peers agrees"
            );
            *first.entry(all[0]).or_default() += 1;
            let without = order(&root, all.iter().copied().filter(|peer| *peer != all[1]));
            assert_eq!(without[0], all[0]);
            assert_eq!(without[1..], all[2..]);
        }
        // 167 each, give or take five standard deviations.
        assert!(
            peers.iter().all(|peer| (105..235).contains(&first[peer])),
            "{first:?}"
        );
    }

    #[test]
    fn whoever_is_chosen_among_some_neighbours_takes_it_among_others() {
        let all: Vec<PeerId> = (0..1_000).map(|_| PeerId::random()).collect();
        // Fixed steps through random identities.
        let neighbours = |of: usize| (0..64).map(move |n| (of * 31 + n * 17 + 1) % 1_000);
        let (mut chosen, mut taken, mut forced) = (0, 0, 0);
        for n in 0..500_usize {
            let root = ContentRoot::of(&n.to_be_bytes());
            let near = |of: usize| neighbours(of).map(|at| all[at]).collect::<Vec<_>>();
            for peer in order(&root, near(n)).into_iter().take(2) {
                let at = all.iter().position(|one| *one == peer).unwrap();
                chosen += 1;
                taken += usize::from(is_among(&root, &peer, near(at)));
            }
            forced += (0..1_000)
                .filter(|at| is_among(&root, &all[*at], near(*at)))
                .count();
        }
        assert!(taken * 100 > chosen * 98, "{taken} of {chosen}");
        assert!(
            forced / 500 < 200,
            "an eighth of the network at most, and a little: {}",
            forced / 500
        );
    }

    /// A node's decisions about replicas, without its disk.
    #[derive(Default)]
    struct Shelf {
        copies: Vec<Replica>,
        next: u64,
    }

    impl Shelf {
        fn totals(&self) -> BTreeMap<PublisherId, u64> {
            let mut totals = BTreeMap::new();
            self.copies
                .iter()
                .for_each(|copy| *totals.entry(copy.publisher).or_default() += copy.bytes);
            totals
        }

        /// Returns the evicted releases if the offer was taken.
        fn offer(
            &mut self,
            publisher: PublisherId,
            bytes: u64,
            elsewhere: u64,
            is_known: impl Fn(&PublisherId) -> bool,
        ) -> Option<Vec<Replica>> {
            let totals = self.totals();
            let gone = match admit(&totals, &is_known, (&publisher, bytes), ROOM) {
                ReplicaDecision::Take => Vec::new(),
                ReplicaDecision::Decline => return None,
                ReplicaDecision::MakeRoom(excess) => {
                    let spared = totals.get(&publisher).copied().unwrap_or(0) + bytes;
                    make_room(&self.copies, &is_known, spared, excess)?
                }
            };
            let (went, stay): (Vec<Replica>, Vec<Replica>) = std::mem::take(&mut self.copies)
                .into_iter()
                .partition(|copy| gone.contains(&copy.release));
            self.copies = stay;
            self.next += 1;
            let release = Hash::of(&self.next.to_be_bytes());
            self.copies.push(Replica {
                release,
                publisher,
                bytes,
                elsewhere,
                since: Timestamp(self.next),
            });
            Some(went)
        }
    }

    proptest! {
        #[test]
        fn nobody_fills_the_room_of_others(
            offers in prop::collection::vec((0usize..12, 1u64..ROOM / 3, 0u64..4), 1..80),
        ) {
            let all = publishers(12);
            let is_known = |publisher: &PublisherId| all[..4].contains(publisher);
            let mut shelf = Shelf::default();
            for (who, bytes, elsewhere) in offers {
                let before = shelf.totals();
                let publisher = all[who];
                let went = shelf.offer(publisher, bytes, elsewhere, is_known);
                let totals = shelf.totals();
                let sum = |unknown: bool| {
                    totals.iter().filter(|(one, _)| !unknown || !is_known(one)).map(|(_, bytes)| bytes).sum::<u64>()
                };
                prop_assert!(sum(false) <= ROOM && sum(true) <= ROOM / OF_UNKNOWN);
                for (one, bytes) in totals.iter().filter(|(one, _)| !is_known(one)) {
                    prop_assert!(*bytes <= ROOM / OF_ONE_UNKNOWN, "{one} {bytes}");
                }
                for copy in went.into_iter().flatten() {
                    prop_assert!(is_known(&publisher), "who is not known displaces nobody");
                    let had = before[&copy.publisher];
                    let mine = before.get(&publisher).copied().unwrap_or(0) + bytes;
                    prop_assert!(!is_known(&copy.publisher) || had > mine, "who has less is left \
                        alone");
                }
            }
        }
    }

    #[test]
    fn what_has_most_copies_elsewhere_goes_first() {
        let [known, unknown] = publishers(2)[..] else {
            unreachable!()
        };
        let copy = |n: u64, publisher, elsewhere| Replica {
            release: Hash::of(&[n as u8]),
            publisher,
            bytes: 10,
            elsewhere,
            since: Timestamp(n),
        };
        let kept = [
            copy(1, known, 5),
            copy(2, unknown, 1),
            copy(3, unknown, 3),
            copy(4, unknown, 3),
            copy(5, known, 0),
        ];
        let gone = |excess| make_room(&kept, |publisher| *publisher == known, 0, excess);
        let first = |count: usize| {
            Some(
                [3, 4, 2, 1, 5][..count]
                    .iter()
                    .map(|n| Hash::of(&[*n]))
                    .collect(),
            )
        };
        assert_eq!(gone(10), first(1));
        assert_eq!(gone(35), first(4));
        assert_eq!(gone(50), first(5));
        assert_eq!(gone(51), None);
        assert_eq!(
            make_room(&kept, |publisher| *publisher == known, 20, 40),
            None,
            "who has no more is left alone"
        );
    }
}
