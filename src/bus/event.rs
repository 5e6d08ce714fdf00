//! The vocabulary of the bus. All of it is serialisable.

use std::{collections::BTreeMap, time::Duration};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::domain::{
    announced::{Announced, NodeOwner},
    conflict::Case,
    faults::{Ban, Sheet},
    geo::{
        GeoLocation,
        provenance::{Provenance, Source},
    },
    health::Sample,
    lookup::Trace,
    record::Refusal,
    reputation::{Basis, Evidence, Score},
    request::ClientRequest,
    time::Timestamp,
    transfer::Transfer,
};

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// How this node is connected to a peer now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    pub address: String,
    pub direction: Direction,
    pub since: Timestamp,
}

/// Bytes that went between a peer and this node since that started, by what they were: what was in
/// the messages, without the protocols around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Announcements that it passed on.
    pub announcements_in: u64,
    /// Signed things it answered with, and was answered with.
    pub answers_in: u64,
    pub answers_out: u64,
    /// Content it gave that verified.
    pub content_in: u64,
}

/// Everything shown about a peer. A later snapshot replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerSnapshot {
    pub id: PeerId,
    /// Only where a publisher's signature says that this node is its own.
    pub owner: Option<NodeOwner>,
    pub agent: Option<String>,
    /// `None` for a peer that is known and not connected.
    pub connection: Option<Connection>,
    pub addresses: Vec<String>,
    pub protocols: Vec<String>,
    /// The last round trips, oldest first, in milliseconds; at most [`RTT_HISTORY`].
    pub rtts_ms: Vec<f32>,
    pub score: Score,
    /// The numbers behind the score.
    #[serde(default)]
    pub basis: Basis,
    /// Where it is: declared by the peer and still valid, else by its address, whose country it may
    /// be only.
    pub location: Option<GeoLocation>,
    /// From our declared location to the peer's.
    pub distance_km: Option<f64>,
    /// Who says where it is, and what speaks for it. `None` of nodes that tell declared places
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Packages in its catalogue, by its own word.
    pub packages: Option<u64>,
    /// Bytes that it may keep for others, by its own word.
    #[serde(default)]
    pub room: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// The newest evidence, newest last.
    pub evidence: Vec<Evidence>,
    /// In the gossip mesh for announcements.
    pub in_mesh: bool,
    /// Gossipsub's own score of it; below 0 for one that misbehaves there.
    #[serde(default)]
    pub gossip_score: Option<f64>,
    #[serde(default)]
    pub traffic: Traffic,
    /// What is held against it; `None` when nothing is.
    #[serde(default)]
    pub sheet: Option<Box<Sheet>>,
}

impl PeerSnapshot {
    /// The ban that holds for it.
    pub fn ban(&self, now: Timestamp) -> Option<Ban> {
        self.sheet.as_ref()?.ban(now)
    }

    /// Who says where it is.
    pub fn provenance(&self) -> Provenance {
        let told = match self.location {
            Some(_) => Source::Declared,
            None => Source::Unknown,
        };
        self.provenance.clone().unwrap_or(Provenance {
            source: told,
            ..Provenance::default()
        })
    }
}

/// Round trips kept per peer for the sparkline.
pub const RTT_HISTORY: usize = 24;

/// Who this node is and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSnapshot {
    pub peer_id: PeerId,
    pub network: String,
    /// Addresses others can dial, with `/p2p/`; those a LAN can reach come first.
    pub addresses: Vec<String>,
    pub handle: Option<String>,
    pub connected: usize,
    pub known_peers: usize,
    pub packages: u64,
    pub dht_records: usize,
    pub dht_server: bool,
    /// It looks for others on the local network by itself.
    pub mdns: bool,
    pub mesh: usize,
    /// Our clock minus the median of the peers' clocks, in milliseconds; `None` with fewer than two
    /// to compare with.
    pub clock_offset_ms: Option<i64>,
    /// Where it says that it is.
    #[serde(default)]
    pub location: Option<GeoLocation>,
    pub started_at: Timestamp,
}

/// Something a person should read.
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
    /// Bytes from peers that failed a check, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Messages the node itself had no room for.
    pub overloaded: u64,
    /// Lookups in the DHT, and how many ended without what they looked for.
    pub lookups: u64,
    pub lookups_failed: u64,
}

/// What a writer tells the bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "value")]
pub enum Event {
    Node(Box<NodeSnapshot>),
    Peer(Box<PeerSnapshot>),
    /// The peer was forgotten altogether.
    PeerGone(PeerId),
    Announced(Box<Announced>),
    Notice(Notice),
    Counters(Counters),
    Health(Box<Sample>),
    Transfer(Box<Transfer>),
    /// Something that does not go together was seen for the first time.
    Conflict(Box<Case>),
    Lookup(Box<Trace>),
    /// A package manager asked the gateway.
    Request(Box<ClientRequest>),
}

/// What happened since the batch before, merged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Latest state, if it changed.
    pub node: Option<NodeSnapshot>,
    /// Peers that changed: the latest value of each.
    pub peers: Vec<PeerSnapshot>,
    pub gone: Vec<PeerId>,
    /// Oldest first.
    pub announcements: Vec<Announced>,
    pub notices: Vec<Notice>,
    pub counters: Option<Counters>,
    /// The newest sample, if it differs from the one before.
    pub health: Option<Sample>,
    /// Transfers that changed: the latest value of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
    /// Conflicts that were seen for the first time, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Case>,
    /// Lookups in the DHT that changed: the latest value of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Trace>,
    /// Requests of package managers that changed: the latest value of each, by their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<ClientRequest>,
    /// Announcements, notices and conflicts this reader lost since it subscribed, because it was
    /// slower than they came.
    pub dropped: u64,
    /// Events merged into this batch.
    pub events: u64,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }
}

/// Time between an announcement's signature and now, for a table cell.
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
