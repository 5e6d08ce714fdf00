//! Totals over the connected peers: numbers, transports, and what they report.

use std::{collections::BTreeMap, time::Instant};

use libp2p::PeerId;

use super::{peer::Peer, table::PeerTable};
use crate::{bus::Direction, net::ClockOffset};

/// Totals over the connected peers of this network.
#[derive(Default)]
pub struct Here {
    /// Connections over TCP.
    pub tcp: usize,
    pub quic: usize,
    /// Peers with a gossip score below 0.
    pub negative: usize,
    /// The newest round trip of each measured peer, in milliseconds.
    pub rtts_ms: Vec<f64>,
    pub agents: BTreeMap<String, usize>,
}

impl PeerTable {
    /// Returns the connected peers of this network, with the number of packages that each reports.
    pub fn catalogues(&self, now: Instant) -> Vec<(PeerId, u64)> {
        let here = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty());
        here.filter_map(|(id, peer)| Some((*id, peer.said(now)?.packages)))
            .collect()
    }

    /// Returns the connected peers of this network, with the bytes that each reports it may keep
    /// for others.
    pub fn rooms(&self, now: Instant) -> Vec<(PeerId, u64)> {
        let here = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty());
        here.map(|(id, peer)| (*id, peer.said(now).map_or(0, |said| said.room)))
            .collect()
    }

    /// Returns the direction of the connection of each connected peer of this network.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        self.peers
            .values()
            .filter(|peer| peer.ours)
            .filter_map(|peer| peer.open.first())
            .map(|open| open.direction)
    }

    /// Returns the totals over the connected peers of this network.
    pub fn here(&self, now: Instant) -> Here {
        /// Most agent versions counted separately.
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

    /// Returns the number of connected peers that this node dialled.
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

    /// Returns the median offset of our clock from those of the peers. It takes at least two peers,
    /// since one may be the one that is wrong.
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
