//! Limits the unknown publishers that each peer may introduce: a burst, then a few at a time.
//!
//! A key costs nothing. Without a limit, one peer could fill the catalogue with invented publishers
//! and push honest ones out.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use parking_lot::Mutex;

/// Unknown publishers that a peer may introduce at once: enough for a node that has just joined a
/// large network.
const AT_ONCE: f64 = 5_000.0;
/// Interval at which it may introduce one more.
const EVERY: Duration = Duration::from_secs(1);
/// Most peers remembered; those that introduced least are forgotten first.
const MOST: usize = 1_024;

#[derive(Default)]
pub struct Newcomers(Mutex<HashMap<PeerId, (f64, Instant)>>);

impl Newcomers {
    /// Returns true if `peer` may introduce one more unknown publisher.
    pub fn admit(&self, peer: PeerId, now: Instant) -> bool {
        let mut peers = self.0.lock();
        let left = |(left, at): &(f64, Instant)| {
            let since = now.saturating_duration_since(*at).as_secs_f64() / EVERY.as_secs_f64();
            (left + since).min(AT_ONCE)
        };
        if peers.len() >= MOST && !peers.contains_key(&peer) {
            let idle = peers
                .iter()
                .max_by(|(_, a), (_, b)| left(a).total_cmp(&left(b)))
                .map(|(peer, _)| *peer);
            idle.map(|idle| peers.remove(&idle));
        }
        let entry = peers.entry(peer).or_insert((AT_ONCE, now));
        *entry = (left(entry), now);
        let admitted = entry.0 >= 1.0;
        if admitted {
            entry.0 -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_bring_many_at_once_and_then_one_by_one() {
        let (newcomers, peer, now) = (Newcomers::default(), PeerId::random(), Instant::now());
        assert_eq!(
            (0..10_000).filter(|_| newcomers.admit(peer, now)).count(),
            AT_ONCE as usize
        );
        assert!(
            newcomers.admit(PeerId::random(), now),
            "another one may still"
        );
        let later = now + EVERY * 3;
        assert_eq!((0..10).filter(|_| newcomers.admit(peer, later)).count(), 3);
    }

    #[test]
    fn peers_are_bounded_and_whoever_brought_much_is_remembered() {
        let (newcomers, peer, now) = (Newcomers::default(), PeerId::random(), Instant::now());
        while newcomers.admit(peer, now) {}
        for _ in 0..MOST * 2 {
            newcomers.admit(PeerId::random(), now);
        }
        assert!(newcomers.0.lock().len() <= MOST);
        assert!(!newcomers.admit(peer, now));
    }
}
