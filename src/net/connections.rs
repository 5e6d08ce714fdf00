//! Which connections to give up when there are too many. Gossipsub keeps every connection alive by itself, so without
//! this every node ends up connected to every other.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;

use crate::domain::prefix::Prefix;

/// A connection gets this long to prove what it is good for.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// A connected peer, as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub peer: PeerId,
    /// Time since it connected.
    pub age: Duration,
    pub score: f64,
    /// In the gossip mesh, among the closest in the routing table, with a request running, or kept by a person.
    pub protected: bool,
    /// The public prefix it is connected from.
    pub group: Option<Prefix>,
}

/// Connections from one public prefix that are as good as any; those beyond are given up first.
pub(super) const OF_A_GROUP: usize = 3;

/// The peers to disconnect: nobody up to `high` connections; beyond it, down to `low`, which leaves room before the next
/// round, those of prefixes that have more than [`OF_A_GROUP`], and then the lowest scores. Protected and young connections
/// stay even if that leaves more.
pub(super) fn to_trim(held: &[Held], low: usize, high: usize) -> Vec<PeerId> {
    if held.len() <= high {
        return Vec::new();
    }
    let mut ranked: Vec<&Held> = held.iter().collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.age.cmp(&a.age)));
    let mut groups: HashMap<Prefix, usize> = HashMap::new();
    // Of a group, the best ones count as its own.
    let crowded = ranked.iter().map(|peer| {
        peer.group.is_some_and(|group| {
            let count = groups.entry(group).or_default();
            *count += 1;
            *count > OF_A_GROUP
        })
    });
    let mut candidates: Vec<(bool, &Held)> = crowded.collect::<Vec<_>>().into_iter().zip(ranked).collect();
    candidates.retain(|(_, peer)| !peer.protected && peer.age >= GRACE);
    candidates.reverse();
    candidates.sort_by_key(|(crowded, _)| !crowded);
    candidates.into_iter().take(held.len() - low.min(held.len())).map(|(_, peer)| peer.peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_a_crowded_prefix_the_best_stay_and_the_others_go_first() {
        let group = Prefix::of(std::net::Ipv4Addr::new(81, 2, 69, 1).into());
        let one = |score, group| Held {
            peer: PeerId::random(),
            age: Duration::from_secs(60),
            score,
            protected: false,
            group,
        };
        let crowd = (0..6).map(|n| one(0.5 + f64::from(n) / 20.0, group));
        let held: Vec<_> = crowd.chain((0..6).map(|n| one(f64::from(n) / 20.0, None))).collect();
        let trimmed = to_trim(&held, 7, 10);
        let at = |peer: &PeerId| held.iter().position(|one| one.peer == *peer).unwrap();
        assert_eq!(trimmed.iter().map(at).collect::<Vec<_>>(), [0, 1, 2, 6, 7]);
    }

    proptest! {
        #[test]
        fn trimming_keeps_what_it_must_and_stops_at_low(
            peers in proptest::collection::vec((0u64..90, 0.0..1.0f64, any::<bool>()), 0..80),
            low in 0usize..30, gap in 0usize..20,
        ) {
            let high = low + gap;
            let held: Vec<_> = peers.iter().map(|(age, score, protected)| Held {
                peer: PeerId::random(), age: Duration::from_secs(*age), score: *score, protected: *protected, group: None,
            }).collect();
            let trimmed = to_trim(&held, low, high);
            if held.len() <= high {
                prop_assert!(trimmed.is_empty(), "hysteresis");
            }
            prop_assert!(held.len() - trimmed.len() >= low.min(held.len()));
            let is_trimmed = |peer: &Held| trimmed.contains(&peer.peer);
            prop_assert!(held.iter().filter(|peer| is_trimmed(peer)).all(|peer| !peer.protected && peer.age >= GRACE));
            let free = |peer: &&Held| !peer.protected && peer.age >= GRACE;
            let worst_kept = held.iter().filter(free).filter(|peer| !is_trimmed(peer)).map(|peer| peer.score).fold(1.0, f64::min);
            prop_assert!(held.iter().filter(|peer| is_trimmed(peer)).all(|peer| peer.score <= worst_kept));
        }
    }
}
