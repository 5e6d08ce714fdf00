//! The peers that may have a content, each once, in the order to ask them.

use std::collections::{HashMap, HashSet, VecDeque};

use libp2p::PeerId;
use tokio::sync::mpsc;

/// The peers that may have a content.
#[derive(Default)]
pub struct Crowd {
    pub waiting: VecDeque<PeerId>,
    pub met: HashSet<PeerId>,
    pub scores: HashMap<PeerId, f64>,
    /// The peers that gave another content of its publisher or are said to have this one (true), or
    /// lacked one (false).
    pub gave: HashMap<PeerId, bool>,
    pub dht: Option<mpsc::Receiver<PeerId>>,
    pub searched: bool,
}

/// Load in bytes that is assumed for an unknown peer, and for one that lacked the last content
/// requested from it.
const UNKNOWN: u64 = 64 << 10;
const LACKING: u64 = 256 << 10;

impl Crowd {
    pub fn add(&mut self, peer: PeerId) {
        if self.met.insert(peer) {
            self.waiting.push_back(peer);
        }
    }

    /// Returns the next provider that the DHT finds; `None` at the end of the lookup.
    pub async fn found(&mut self) -> Option<PeerId> {
        match &mut self.dht {
            Some(dht) => dht.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Adds a provider in front: it claims itself to have the content.
    pub fn add_found(&mut self, found: Option<PeerId>) {
        match found {
            Some(peer) => {
                self.gave.insert(peer, true);
                if self.met.insert(peer) {
                    self.waiting.push_front(peer);
                } else if let Some(at) = self.waiting.iter().position(|waiting| *waiting == peer) {
                    self.waiting.swap(0, at);
                }
            }
            None => self.dht = None,
        }
    }

    /// Returns the next peer to ask and its score: the one with the fewest requested bytes, and the
    /// first among equals.
    pub fn next(&mut self, load: impl Fn(&PeerId) -> u64) -> Option<(PeerId, f64)> {
        let rank = |peer: &PeerId| {
            let doubt = match self.gave.get(peer) {
                Some(true) => 0,
                None => UNKNOWN,
                Some(false) => LACKING,
            };
            load(peer).saturating_add(doubt)
        };
        let (at, _) = self
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, peer)| rank(peer))?;
        let peer = self.waiting.remove(at)?;
        Some((peer, self.scores.get(&peer).copied().unwrap_or(0.0)))
    }

    pub fn is_exhausted(&self) -> bool {
        self.waiting.is_empty() && self.dht.is_none() && self.searched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_go_first_and_everybody_is_asked_once() {
        let [a, b, c, d] = std::array::from_fn(|_| PeerId::random());
        let mut crowd = Crowd::default();
        [a, b, a, c].into_iter().for_each(|peer| crowd.add(peer));
        crowd.add_found(Some(d));
        assert_eq!(
            crowd.next(|_| 0).map(|(peer, _)| peer),
            Some(d),
            "the DHT names it"
        );
        crowd.add_found(Some(c));
        crowd.add_found(Some(d));
        let rest: Vec<PeerId> = std::iter::from_fn(|| crowd.next(|_| 0))
            .map(|(peer, _)| peer)
            .collect();
        assert_eq!(rest, [c, b, a], "one that waits already comes to the front");
    }

    #[test]
    fn who_has_the_least_to_do_is_asked_and_who_is_likely_to_have_it() {
        let [a, b, c] = std::array::from_fn(|_| PeerId::random());
        let next = |gave: &[(PeerId, bool)], load: [u64; 3]| {
            let mut crowd = Crowd {
                gave: gave.iter().copied().collect(),
                ..Crowd::default()
            };
            [a, b, c].into_iter().for_each(|peer| crowd.add(peer));
            let load = HashMap::from([(a, load[0]), (b, load[1]), (c, load[2])]);
            crowd.next(|peer| load[peer]).map(|(peer, _)| peer)
        };
        assert_eq!(next(&[], [0, 0, 0]), Some(a), "the first of equals");
        assert_eq!(next(&[], [2, 1, 1]), Some(b));
        assert_eq!(next(&[(c, true)], [0, 0, 1]), Some(c));
        assert_eq!(next(&[(c, true)], [0, 0, UNKNOWN + 1]), Some(a));
        assert_eq!(next(&[(a, false)], [0, 9, 8]), Some(c));
        assert_eq!(next(&[(a, false)], [0, LACKING, LACKING]), Some(a));
    }

    #[test]
    fn it_is_exhausted_when_the_dht_has_named_everybody() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_exhausted(), "the DHT was not asked");
        let (_sender, receiver) = mpsc::channel(1);
        (crowd.dht, crowd.searched) = (Some(receiver), true);
        assert!(!crowd.is_exhausted(), "it may name more");
        crowd.add_found(None);
        assert!(crowd.is_exhausted());
        crowd.add(PeerId::random());
        assert!(!crowd.is_exhausted());
    }

    #[test]
    fn a_peer_has_its_score() {
        let [known, unknown] = std::array::from_fn(|_| PeerId::random());
        let mut crowd = Crowd::default();
        crowd.scores.insert(known, 0.7);
        crowd.add(known);
        crowd.add(unknown);
        assert_eq!(crowd.next(|_| 0), Some((known, 0.7)));
        assert_eq!(crowd.next(|_| 0), Some((unknown, 0.0)));
    }
}
