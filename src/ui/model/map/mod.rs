//! The map: the part of the world in view, and the look of each peer. Peers, filter, order and
//! selection are those of the table of peers.

pub mod chart;
pub mod cluster;
pub mod toward;
pub mod traffic;
pub mod view;

use std::collections::BTreeMap;

use libp2p::PeerId;

use self::{
    traffic::{TrafficLevel, traffic},
    view::View,
};
use super::{
    Model,
    peers::{STATE, name_and_key},
};
use crate::{
    bus::{Batch, PeerSnapshot},
    domain::{name::short_id, time::Timestamp},
    ui::{action::Screen, table::column::Column},
};

/// Smallest terminal for a map, in columns and rows; smaller ones show a list.
const ROOM: (u16, u16) = (80, 18);

/// Sign of a peer whose claimed location is impossible.
pub const IMPLAUSIBLE: &str = "✗";

/// Columns of the list that replaces the map.
pub const LIST: [Column; 6] = [
    Column::new("state", "state", STATE, 0),
    Column::new("peer", "peer", 12, 0).up_to(24),
    Column::new("place", "place", 10, 0).up_to(30),
    Column::new("distance", "distance", 9, 2).right(),
    Column::new("rtt", "round trip", 10, 3).right(),
    Column::new("score", "score", 10, 1),
];

/// The state of the map's view.
#[derive(Clone, Debug)]
pub struct MapView {
    pub view: View,
    /// Cell where the mouse button is held down.
    pub held: Option<(u16, u16)>,
}

impl Default for MapView {
    fn default() -> Self {
        Self {
            view: View::WORLD,
            held: None,
        }
    }
}

/// Returns true if there is room for the map rather than a list.
pub fn is_drawn(model: &Model) -> bool {
    model.size.0 >= ROOM.0 && model.size.1 >= ROOM.1 && !model.ascii
}

/// Score of a peer in steps, each with its own sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Banned,
    Away,
    Poor,
    Fair,
    Good,
}

impl Tone {
    pub const ALL: [Self; 5] = [Self::Good, Self::Fair, Self::Poor, Self::Away, Self::Banned];

    /// Uses the same limits as the colours of scores.
    pub fn of(peer: &PeerSnapshot, now: Timestamp) -> Self {
        match peer.score.total {
            _ if peer.ban(now).is_some() => Self::Banned,
            _ if peer.connection.is_none() => Self::Away,
            score if score >= 0.5 => Self::Good,
            score if score >= 0.15 => Self::Fair,
            _ => Self::Poor,
        }
    }

    pub fn sign(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Fair => "◐",
            Self::Poor => "▼",
            Self::Away => "○",
            Self::Banned => "⊘",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Good => "reliable",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Away => "not connected",
            Self::Banned => "banned",
        }
    }
}

/// Returns a peer's handle with the fingerprint of its key, or else its shortened id.
pub fn name(peer: &PeerSnapshot) -> String {
    let name = name_and_key(peer);
    if name.is_empty() {
        short_id(&peer.id)
    } else {
        name
    }
}

/// Returns the sign of a single peer: its score, or that its location is impossible.
pub fn sign(peer: &PeerSnapshot, now: Timestamp) -> &'static str {
    if peer.provenance().is_implausible() {
        IMPLAUSIBLE
    } else {
        Tone::of(peer, now).sign()
    }
}

/// Returns a peer's location, marked if it is approximate or impossible.
pub fn place(peer: &PeerSnapshot) -> Option<String> {
    peer.location
        .as_ref()
        .map(|location| peer.provenance().mark(location))
}

/// Returns the last round trip of the connection.
pub fn round_trip(peer: &PeerSnapshot) -> Option<String> {
    let ms = peer.rtts_ms.last().filter(|_| peer.connection.is_some())?;
    Some(if *ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    })
}

pub fn distance(peer: &PeerSnapshot) -> Option<String> {
    let about = if peer.provenance().approximate {
        "~"
    } else {
        ""
    };
    peer.distance_km.map(|km| format!("{about}{km:.0} km"))
}

/// Returns the label beside a peer on the map.
pub fn label(peer: &PeerSnapshot) -> String {
    let score = Some(format!("score {:.2}", peer.score.total));
    let parts = [
        Some(name(peer)),
        place(peer),
        score,
        round_trip(peer),
        distance(peer),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

impl Model {
    /// Returns the traffic with each peer.
    pub fn traffic(&self) -> BTreeMap<PeerId, TrafficLevel> {
        traffic(self.transfers.table.all(), self.now)
    }

    /// Returns true if a batch has only peers and transfers and leaves the map unchanged.
    pub(super) fn map_stays(&self, batch: &Batch, now: Timestamp) -> bool {
        let plain = self.screen == Screen::Map
            && is_drawn(self)
            && self.popups.is_empty()
            && !self.peers.is_frozen()
            && !self.peers.filter.is_shown()
            && batch.gone.is_empty();
        plain
            && batch
                .peers
                .iter()
                .all(|peer| self.looks_as_before(peer, now))
            && {
                let mut before = self.traffic();
                let mut after = before.clone();
                let ids: Vec<_> = batch.transfers.iter().map(|transfer| transfer.id).collect();
                if !ids.is_empty() {
                    let kept = self
                        .transfers
                        .table
                        .all()
                        .filter(|transfer| !ids.contains(&transfer.id));
                    after = traffic(kept.chain(&batch.transfers), now);
                }
                before.retain(|peer, _| self.peers.get(peer).is_some());
                after.retain(|peer, _| self.peers.get(peer).is_some());
                before == after
            }
    }

    fn looks_as_before(&self, peer: &PeerSnapshot, now: Timestamp) -> bool {
        let Some(before) = self.peers.get(&peer.id) else {
            return false;
        };
        let face = |peer: &PeerSnapshot| {
            (
                sign(peer, now),
                Tone::of(peer, now),
                place(peer),
                name(peer),
            )
        };
        let point =
            |peer: &PeerSnapshot| peer.location.as_ref().map(|at| (at.latitude, at.longitude));
        let selected = self
            .peers
            .current()
            .is_some_and(|current| current.id == peer.id);
        let shown = |peer: &PeerSnapshot| (label(peer), peer.in_mesh, peer.packages);
        face(before) == face(peer)
            && point(before) == point(peer)
            && (!selected || shown(before) == shown(peer))
    }
}
