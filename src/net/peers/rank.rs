//! Scores of peers: choosing the peers to ask, the connections to keep, and the peers with a good
//! record.

use std::collections::HashMap;

use libp2p::PeerId;
use rand::Rng;

use super::{
    connections::ConnectedPeer,
    peer::{Peer, current},
    table::PeerTable,
};
use crate::{
    bus::Direction,
    domain::{
        name::PublisherId,
        places::Caller,
        reputation::{
            Basis, PeerCandidate, PeerStanding, Population, SelectionMethod, Weights, is_proven,
            score,
        },
        time::Timestamp,
    },
};

/// The inputs to the scores of all known peers. Scoring two thousand takes 3.5 ms, which no message
/// should wait for.
pub struct Standings {
    /// Each peer with the distance in km that may earn a bonus.
    peers: Vec<(PeerStanding, Option<f64>)>,
    population: Population,
    weights: Weights,
    at: Timestamp,
}

impl Standings {
    /// Returns the scores, 0 to 1.
    pub fn scores(&self) -> Vec<f64> {
        let one = |(standing, km): &(PeerStanding, Option<f64>)| {
            score(
                &Basis::of(standing, &self.population, *km, self.at),
                &self.weights,
            )
            .total
        };
        self.peers.iter().map(one).collect()
    }
}

impl PeerTable {
    /// Returns true if the peer has a good record, or if a person protects it.
    fn is_good(&self, peer: &Peer, now: Timestamp) -> bool {
        let protected = peer.sheet.as_ref().is_some_and(|sheet| sheet.protected);
        // Cheap test first: most peers have answered nothing yet, and the rest takes a while.
        protected || is_proven(peer.standing.served) && self.basis(peer, now).is_good()
    }

    /// Returns the peer as a caller that wants a slot.
    pub fn caller(&self, id: PeerId, now: Timestamp) -> Caller {
        let peer = self.peers.get(&id);
        Caller {
            peer: id,
            good: peer.is_some_and(|peer| self.is_good(peer, now)),
            prefix: peer.and_then(|peer| peer.group(self.classes)),
        }
    }

    /// Returns all connected peers as callers.
    pub fn callers(&self, now: Timestamp) -> HashMap<PeerId, Caller> {
        let here = self.peers.iter().filter(|(_, peer)| !peer.open.is_empty());
        here.map(|(id, _)| (*id, self.caller(*id, now))).collect()
    }

    /// Returns the peers with a good record, connected or not.
    pub fn good(&self, now: Timestamp) -> impl Iterator<Item = PeerId> {
        self.peers
            .iter()
            .filter(move |(_, peer)| self.is_good(peer, now))
            .map(|(id, _)| *id)
    }

    pub fn basis(&self, peer: &Peer, now: Timestamp) -> Basis {
        Basis::of(
            &current(peer, now),
            &self.population,
            self.bonus_km(peer, now),
            now,
        )
    }

    pub fn score(&self, peer: &Peer, now: Timestamp) -> f64 {
        score(&self.basis(peer, now), &self.weights).total
    }

    pub fn standings(&self, now: Timestamp) -> Standings {
        let peers = self
            .peers
            .values()
            .map(|peer| (current(peer, now), self.bonus_km(peer, now)))
            .collect();
        Standings {
            peers,
            population: self.population,
            weights: self.weights,
            at: now,
        }
    }

    fn bonus_km(&self, peer: &Peer, now: Timestamp) -> Option<f64> {
        peer.place.placed(&self.bearings, now).bonus_km()
    }

    /// Returns the connected peers of this network that may be asked, with their scores.
    pub fn candidates(&self, selection: SelectionMethod, now: Timestamp) -> Vec<PeerCandidate> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty())
            .map(|(id, peer)| {
                let basis = self.basis(peer, now);
                PeerCandidate {
                    peer: *id,
                    score: selection.score(&basis, &self.weights),
                    successes: basis.successes,
                    failures: basis.failures,
                    response: basis.response(),
                    share: self.choices.share(id),
                    group: peer.group(self.classes),
                }
            })
            .collect()
    }

    /// Notes that these peers were chosen to be asked.
    pub fn chosen(&mut self, peers: &[PeerId]) {
        self.choices.note(peers);
    }

    /// Returns the connected peers of this network with their scores, in the order to ask them;
    /// those of `publisher` come first.
    pub fn sources(
        &self,
        selection: SelectionMethod,
        publisher: Option<&PublisherId>,
        now: Timestamp,
        rng: &mut impl Rng,
    ) -> Vec<(PeerId, f64)> {
        let candidates = self.candidates(selection, now);
        let scores: HashMap<PeerId, f64> =
            candidates.iter().map(|one| (one.peer, one.score)).collect();
        let mut sources = selection.order(&candidates, rng);
        let owner = |id: &PeerId| Some(&self.peers.get(id)?.owner.as_ref()?.publisher);
        sources.sort_by_key(|id| publisher.is_none() || owner(id) != publisher);
        sources
            .into_iter()
            .filter_map(|id| Some((id, *scores.get(&id)?)))
            .collect()
    }

    /// Returns the connections, for the plan that trims them.
    pub fn held(
        &self,
        is_protected: impl Fn(&PeerId) -> bool,
        now: Timestamp,
    ) -> Vec<ConnectedPeer> {
        self.peers
            .iter()
            .filter_map(|(id, peer)| {
                let oldest = peer.open.first()?;
                Some(ConnectedPeer {
                    peer: *id,
                    age: now.since(oldest.since),
                    score: self.score(peer, now),
                    protected: is_protected(id),
                    outbound: oldest.direction == Direction::Outbound,
                    group: peer.group(self.classes),
                    host: peer.place.remote(),
                })
            })
            .collect()
    }
}
