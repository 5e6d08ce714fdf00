//! Snapshots of the peer table for readers, and the part of it that is stored.

use std::time::Instant;

use libp2p::PeerId;

use super::{peer::Peer, table::PeerTable};
use crate::{
    bus::{Connection, PeerSnapshot},
    domain::{reputation::score, time::Timestamp},
    store::StoredPeer,
};

impl PeerTable {
    /// Returns snapshots of the peers that changed since the last call, and the ids of the peers
    /// removed.
    pub fn take_changes(
        &mut self,
        (now, at): (Timestamp, Instant),
    ) -> (Vec<PeerSnapshot>, Vec<PeerId>) {
        let dirty = std::mem::take(&mut self.dirty);
        let changed = dirty
            .iter()
            .filter_map(|id| Some(self.snapshot(*id, self.peers.get(id)?, (now, at))))
            .collect();
        (changed, std::mem::take(&mut self.gone))
    }

    /// Returns snapshots of all known peers.
    pub fn snapshots(&self, (now, at): (Timestamp, Instant)) -> Vec<PeerSnapshot> {
        self.peers
            .iter()
            .map(|(id, peer)| self.snapshot(*id, peer, (now, at)))
            .collect()
    }

    /// Makes the next changes include all peers, for a new reader.
    pub fn touch_all(&mut self) {
        self.dirty.extend(self.peers.keys().copied());
    }

    fn snapshot(&self, id: PeerId, peer: &Peer, (now, at): (Timestamp, Instant)) -> PeerSnapshot {
        let connection = peer.open.first().map(|open| Connection {
            address: open.address.clone(),
            direction: open.direction,
            since: open.since,
        });
        let basis = self.basis(peer, now);
        let placed = peer.place.placed(&self.bearings, now);
        PeerSnapshot {
            id,
            owner: peer.owner.clone(),
            agent: peer.agent.clone(),
            connection,
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            protocols: peer.protocols.clone(),
            rtts_ms: peer.rtts_ms(at).collect(),
            score: score(&basis, &self.weights),
            basis,
            location: placed.location.cloned(),
            distance_km: placed.distance_km,
            provenance: Some(placed.provenance),
            packages: peer.said(at).map(|said| said.packages),
            room: peer.said(at).map_or(0, |said| said.room),
            first_seen: peer.standing.first_seen,
            last_seen: peer.standing.last_seen,
            evidence: peer.standing.recent.iter().copied().collect(),
            in_mesh: peer.in_mesh,
            gossip_score: peer.gossip_score,
            traffic: peer.traffic,
            sheet: peer.sheet.clone().map(Box::new),
        }
    }

    /// Returns the peers to store: those of this network that can be dialled.
    pub fn to_store(&self) -> Vec<StoredPeer> {
        self.peers
            .iter()
            .filter(|(_, peer)| !peer.addresses.is_empty())
            .map(|(id, peer)| StoredPeer {
                id: *id,
                addresses: peer.addresses.clone(),
                standing: peer.standing.clone(),
            })
            .collect()
    }
}
