//! The events of the bus, all serialisable.

use std::{collections::BTreeMap, time::Duration};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::domain::{
    announced::{NodeOwner, ReceivedAnnouncement},
    conflict::Case,
    faults::{PeerBan, PenaltyRecord},
    geo::{
        GeoLocation,
        provenance::{LocationProvenance, LocationSource},
    },
    health::Sample,
    lookup::Trace,
    record::Refusal,
    reputation::{Basis, PeerEvidence, Score},
    request::ClientRequest,
    time::Timestamp,
    transfer::Transfer,
    trust::SeenClaims,
};

/// The side that opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// A connection to a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    pub address: String,
    pub direction: Direction,
    pub since: Timestamp,
}

/// Bytes exchanged with a peer since the node started, by kind, without protocol overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTraffic {
    /// Announcements that it forwarded.
    pub announcements_in: u64,
    /// Signed records in its answers, and in answers to it.
    pub answers_in: u64,
    pub answers_out: u64,
    /// Verified content that it sent.
    pub content_in: u64,
}

/// Everything shown about a peer. A later snapshot replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerSnapshot {
    pub id: PeerId,
    /// Set only if a publisher's signature claims the node.
    pub owner: Option<NodeOwner>,
    pub agent: Option<String>,
    /// `None` for a known peer that is not connected.
    pub connection: Option<Connection>,
    pub addresses: Vec<String>,
    pub protocols: Vec<String>,
    /// The latest round trips in milliseconds, oldest first; at most [`RTT_HISTORY`].
    pub rtts_ms: Vec<f32>,
    pub score: Score,
    /// The numbers behind the score.
    #[serde(default)]
    pub basis: Basis,
    /// Its location: declared by the peer and still valid, otherwise derived from its address,
    /// possibly only the country.
    pub location: Option<GeoLocation>,
    /// Distance in km between our declared location and the peer's.
    pub distance_km: Option<f64>,
    /// The provenance of the location. `None` from nodes that only report declared ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<LocationProvenance>,
    /// Packages in its catalogue, as it reports.
    pub packages: Option<u64>,
    /// Bytes that it offers to keep for others, as it reports.
    #[serde(default)]
    pub room: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Recent evidence, newest last.
    pub evidence: Vec<PeerEvidence>,
    /// It is in the gossip mesh for announcements.
    pub in_mesh: bool,
    /// Gossipsub's own score; below 0 for misbehaviour there.
    #[serde(default)]
    pub gossip_score: Option<f64>,
    #[serde(default)]
    pub traffic: PeerTraffic,
    /// Its penalties; `None` if it has none.
    #[serde(default)]
    pub sheet: Option<Box<PenaltyRecord>>,
}

impl PeerSnapshot {
    /// Returns the ban in force.
    pub fn ban(&self, now: Timestamp) -> Option<PeerBan> {
        self.sheet.as_ref()?.ban(now)
    }

    /// Returns the provenance of its location.
    pub fn provenance(&self) -> LocationProvenance {
        let told = match self.location {
            Some(_) => LocationSource::Declared,
            None => LocationSource::Unknown,
        };
        self.provenance.clone().unwrap_or(LocationProvenance {
            source: told,
            ..LocationProvenance::default()
        })
    }
}

/// Round trips kept for each peer, for the sparkline.
pub const RTT_HISTORY: usize = 24;

/// The state of this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSnapshot {
    pub peer_id: PeerId,
    pub network: String,
    /// Addresses that others can dial, with `/p2p/`, LAN addresses first.
    pub addresses: Vec<String>,
    pub handle: Option<String>,
    pub connected: usize,
    pub known_peers: usize,
    pub packages: u64,
    pub dht_records: usize,
    pub dht_server: bool,
    /// It discovers peers on the local network.
    pub mdns: bool,
    pub mesh: usize,
    /// Our clock minus the median of the peers' clocks, in milliseconds; `None` with fewer than two
    /// peers to compare with.
    pub clock_offset_ms: Option<i64>,
    /// Its declared location.
    #[serde(default)]
    pub location: Option<GeoLocation>,
    pub started_at: Timestamp,
}

/// A message for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub at: Timestamp,
    pub level: Level,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// Counters since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Announcements accepted from gossip, and our own.
    pub announcements: u64,
    /// Data from peers that failed a check, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Messages dropped by the node itself for lack of room.
    pub overloaded: u64,
    /// DHT lookups, and those without a result.
    pub lookups: u64,
    pub lookups_failed: u64,
}

/// An event on the bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "value")]
pub enum BusEvent {
    Node(Box<NodeSnapshot>),
    Peer(Box<PeerSnapshot>),
    /// The peer was forgotten altogether.
    PeerGone(PeerId),
    Announced(Box<ReceivedAnnouncement>),
    Notice(Notice),
    Counters(Counters),
    Health(Box<Sample>),
    Transfer(Box<Transfer>),
    /// A conflict was seen for the first time.
    Conflict(Box<Case>),
    Lookup(Box<Trace>),
    /// A package manager sent a request to the gateway.
    Request(Box<ClientRequest>),
}

/// The merged events since the previous batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The latest state, if it changed.
    pub node: Option<NodeSnapshot>,
    /// The latest value of each peer that changed.
    pub peers: Vec<PeerSnapshot>,
    pub gone: Vec<PeerId>,
    /// Announcements, oldest first.
    pub announcements: Vec<ReceivedAnnouncement>,
    pub notices: Vec<Notice>,
    pub counters: Option<Counters>,
    /// The latest sample, if it differs from the one before.
    pub health: Option<Sample>,
    /// The latest value of each transfer that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
    /// Conflicts seen for the first time, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Case>,
    /// The latest value of each DHT lookup that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Trace>,
    /// The latest value of each request of a package manager that changed, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<ClientRequest>,
    /// Announcements, notices and conflicts that this reader lost since it subscribed, because it
    /// was too slow.
    pub dropped: u64,
    /// The number of events merged into this batch.
    pub events: u64,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Adds who claims which handle to the claims that a reader has seen.
    pub fn note_claims(&self, seen: &mut SeenClaims) {
        for owner in self.peers.iter().filter_map(|peer| peer.owner.as_ref()) {
            seen.saw(&owner.handle, owner.publisher, None);
        }
        for one in &self.announcements {
            if let Some(handle) = &one.handle {
                seen.saw(handle, one.package.owner, Some(one.trust));
            }
        }
        self.conflicts
            .iter()
            .for_each(|case| case.note_claims(seen));
    }
}

/// Converts the time between an announcement's signature and its arrival to milliseconds, for a
/// table cell.
pub fn delay_ms(delay: Duration) -> f64 {
    delay.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_survive_json() {
        let batch = Batch {
            gone: vec![PeerId::random()],
            notices: vec![Notice {
                at: Timestamp(1),
                level: Level::Warning,
                text: "a".to_owned(),
            }],
            counters: Some(Counters {
                refused: [(Refusal::BadSignature, 2)].into(),
                ..Counters::default()
            }),
            dropped: 3,
            events: 4,
            ..Batch::default()
        };
        let json = serde_json::to_string(&batch).unwrap();
        assert_eq!(serde_json::from_str::<Batch>(&json).unwrap(), batch);
    }
}
