//! The connected peers, taken together: how many, over which transports, and what they say.

use std::{collections::BTreeMap, time::Instant};

use libp2p::PeerId;

use super::{peer::Peer, table::PeerTable};
use crate::{bus::Direction, net::ClockOffset};

/// The connected peers of this network, taken together.
#[derive(Default)]
pub struct Here {
    /// Connections by transport.
    pub tcp: usize,
    pub quic: usize,
    /// Those that gossip scores below 0.
    pub negative: usize,
    /// The newest round trip of each that was measured.
    pub rtts_ms: Vec<f64>,
    pub agents: BTreeMap<String, usize>,
}

impl PeerTable {
    /// Connected peers of this network, and how many packages each says it has.
    pub fn catalogues(&self, now: Instant) -> Vec<(PeerId, u64)> {
        let here = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty());
        here.filter_map(|(id, peer)| Some((*id, peer.said(now)?.packages)))
            .collect()
    }

    /// Connected peers of this network, and how many bytes each says it may keep for others.
    pub fn rooms(&self, now: Instant) -> Vec<(PeerId, u64)> {
        let here = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty());
        here.map(|(id, peer)| (*id, peer.said(now).map_or(0, |said| said.room)))
            .collect()
    }

    /// Who opened the connection, for each connected peer of this network.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        self.peers
            .values()
            .filter(|peer| peer.ours)
            .filter_map(|peer| peer.open.first())
            .map(|open| open.direction)
    }

    /// The connected peers of this network, taken together.
    pub fn here(&self, now: Instant) -> Here {
        /// Programs that are told apart.
        const AGENTS: usize = 6;
        let mut here = Here::default();
        for peer in self.peers.values().filter(|peer| peer.ours) {
            let Some(open) = peer.open.first() else {
                continue;
            };
            if open.address.contains("/quic") {
                here.quic += 1;
            } else {
                here.tcp += 1;
            }
            here.negative += usize::from(peer.gossip_score.is_some_and(|score| score < 0.0));
            here.rtts_ms
                .extend(peer.rtts_ms(now).next_back().map(f64::from));
            let agent = peer.agent.as_deref().unwrap_or_default();
            let known = here.agents.contains_key(agent) || here.agents.len() < AGENTS;
            *here
                .agents
                .entry(if known { agent } else { "others" }.to_owned())
                .or_default() += 1;
        }
        here
    }

    /// Connected peers that this node dialled.
    pub fn outbound_count(&self) -> usize {
        let is_outbound = |peer: &&Peer| {
            peer.open
                .first()
                .is_some_and(|open| open.direction == Direction::Outbound)
        };
        self.peers.values().filter(is_outbound).count()
    }

    pub fn connected_count(&self) -> usize {
        self.peers
            .values()
            .filter(|peer| !peer.open.is_empty())
            .count()
    }

    /// Median of our clock minus the peers', with two of them at least: one may be the one that is
    /// wrong.
    pub fn clock_offset(&self, now: Instant) -> Option<ClockOffset> {
        let said = self.peers.values().filter_map(|peer| peer.said(now));
        let mut offsets: Vec<i64> = said.map(|said| said.clock_offset_ms).collect();
        offsets.sort_unstable();
        let ms = *offsets
            .get(offsets.len() / 2)
            .filter(|_| offsets.len() >= 2)?;
        Some(ClockOffset {
            ms,
            peers: offsets.len(),
        })
    }
}
