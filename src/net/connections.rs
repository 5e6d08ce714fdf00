//! Which connections to give up when there are too many. Gossipsub keeps every connection alive by itself, so without
//! this every node ends up connected to every other.

use std::time::Duration;

use libp2p::PeerId;

/// A connection gets this long to prove what it is good for.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// A connected peer, as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub peer: PeerId,
    /// Time since it connected.
    pub age: Duration,
    pub score: f64,
    /// In the gossip mesh, among the closest in the routing table, or with a request running.
    pub protected: bool,
}

/// The peers to disconnect: nobody up to `high` connections; beyond it the lowest scores, down to `low`, which leaves
/// room before the next round. Protected and young connections stay even if that leaves more.
pub(super) fn to_trim(held: &[Held], low: usize, high: usize) -> Vec<PeerId> {
    if held.len() <= high {
        return Vec::new();
    }
    let mut candidates: Vec<&Held> = held.iter().filter(|peer| !peer.protected && peer.age >= GRACE).collect();
    candidates.sort_by(|a, b| a.score.total_cmp(&b.score).then(a.age.cmp(&b.age)));
    candidates.into_iter().take(held.len() - low.min(held.len())).map(|peer| peer.peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trimming_keeps_what_it_must_and_stops_at_low(
            peers in proptest::collection::vec((0u64..90, 0.0..1.0f64, any::<bool>()), 0..80),
            low in 0usize..30, gap in 0usize..20,
        ) {
            let high = low + gap;
            let held: Vec<_> = peers.iter().map(|(age, score, protected)| Held {
                peer: PeerId::random(), age: Duration::from_secs(*age), score: *score, protected: *protected,
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
