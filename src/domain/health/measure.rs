//! The measures of health, with their names and explanations.

use serde::{Deserialize, Serialize};

/// A measure of health. The variants are in the order of the rows; among equally bad ones the first
/// is blamed.
// [`Measure::hint`] explains each variant.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Identity,
    Listening,
    Gateway,
    Peers,
    PeersIn,
    PeersOut,
    Transports,
    Reachability,
    Mesh,
    PresenceMesh,
    RoutingTable,
    Refresh,
    Lookups,
    LookupTime,
    RoundTrips,
    GossipRate,
    GossipDelay,
    Invalid,
    Refused,
    Duplicates,
    Negative,
    Banned,
    Churn,
    Agents,
    Dials,
    DialErrors,
    Endangered,
    Copies,
    Provenance,
    BytesIn,
    BytesOut,
    StoreTime,
    Disk,
    Memory,
    Descriptors,
    Dropped,
    Clock,
}

impl Measure {
    /// All measures, in the order of the rows.
    pub const ALL: [Self; 37] = [
        Self::Identity,
        Self::Listening,
        Self::Gateway,
        Self::Peers,
        Self::PeersIn,
        Self::PeersOut,
        Self::Transports,
        Self::Reachability,
        Self::Mesh,
        Self::PresenceMesh,
        Self::RoutingTable,
        Self::Refresh,
        Self::Lookups,
        Self::LookupTime,
        Self::RoundTrips,
        Self::GossipRate,
        Self::GossipDelay,
        Self::Invalid,
        Self::Refused,
        Self::Duplicates,
        Self::Negative,
        Self::Banned,
        Self::Churn,
        Self::Agents,
        Self::Dials,
        Self::DialErrors,
        Self::Endangered,
        Self::Copies,
        Self::Provenance,
        Self::BytesIn,
        Self::BytesOut,
        Self::StoreTime,
        Self::Disk,
        Self::Memory,
        Self::Descriptors,
        Self::Dropped,
        Self::Clock,
    ];

    /// Returns the name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Listening => "listening",
            Self::Gateway => "gateway",
            Self::Peers => "peers",
            Self::PeersIn => "peers in",
            Self::PeersOut => "peers out",
            Self::Mesh => "announce mesh",
            Self::PresenceMesh => "presence mesh",
            Self::RoutingTable => "routing table",
            Self::Lookups => "lookups answered",
            Self::LookupTime => "lookup time",
            Self::GossipRate => "gossip rate",
            Self::GossipDelay => "gossip delay",
            Self::Invalid => "invalid gossip",
            Self::Refused => "refused",
            Self::Dials => "dials answered",
            Self::BytesIn => "bandwidth in",
            Self::BytesOut => "bandwidth out",
            Self::StoreTime => "store latency",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Dropped => "dropped",
            Self::Transports => "transports",
            Self::Reachability => "reachability",
            Self::RoundTrips => "round trips",
            Self::Negative => "negative scores",
            Self::Banned => "banned peers",
            Self::Refresh => "table refreshed",
            Self::DialErrors => "dial errors",
            Self::Provenance => "gets from",
            Self::Duplicates => "duplicate gossip",
            Self::Churn => "churn",
            Self::Agents => "agents",
            Self::Endangered => "endangered",
            Self::Copies => "copies",
            Self::Disk => "disk",
            Self::Clock => "clock",
        }
    }

    /// Returns an explanation for a person who reads the name for the first time.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Identity => {
                "Checks that no other node uses this node's key, and that the \
                expected nodes answer at the bootstrap addresses."
            }
            Self::Listening => "The transports and ports on which this node accepts connections.",
            Self::Gateway => {
                "The address at which package managers use this node as a registry \
                on this machine."
            }
            Self::Peers => "Nodes of this network that this node is connected to.",
            Self::PeersIn => {
                "Connections that others opened. None at all can mean that nobody \
                can reach this node."
            }
            Self::PeersOut => "Connections that this node opened.",
            Self::Mesh => {
                "Peers with which announcements are exchanged at once (the gossip \
                mesh). Other peers only hear that there is one."
            }
            Self::PresenceMesh => "The same for the topic in which nodes declare their location.",
            Self::RoutingTable => "Peers with which DHT lookups can begin (Kademlia's buckets).",
            Self::Lookups => {
                "DHT lookups of the last 5 minutes that some peer answered, even if \
                only to say that there is nothing."
            }
            Self::LookupTime => {
                "Duration of lookups, of which half took less than p50 and 95 % less than p95."
            }
            Self::GossipRate => "Announcements that arrived in the last minute.",
            Self::GossipDelay => {
                "Time from a peer's sending of an announcement to its arrival \
                here, by both clocks."
            }
            Self::Invalid => {
                "Gossip messages in the last minute that are damaged, forged, or from a \
                wrong clock."
            }
            Self::Refused => {
                "Data from peers that failed a check since this node started, of all \
                protocols; the header and the log count the same."
            }
            Self::Dials => {
                "Peers that this node dialled in the last 5 minutes, and those that it \
                reached."
            }
            Self::BytesIn => "Bytes received a second, over all protocols.",
            Self::BytesOut => "Bytes sent a second, over all protocols.",
            Self::StoreTime => "Time until a write is safely on the disk; 95 % take less.",
            Self::Memory => "Memory used by the whole process.",
            Self::Descriptors => "Open sockets and files, and the limit of the system (ulimit -n).",
            Self::Dropped => "Messages dropped in the last minute for lack of room.",
            Self::Transports => {
                "Connections over TCP, and over QUIC (UDP). A firewall may let \
                only one of them through."
            }
            Self::Reachability => {
                "Others can or cannot open connections to this node, as \
                dialling back has shown (AutoNAT). Only reachable nodes serve the DHT."
            }
            Self::RoundTrips => {
                "Round trips to the peers, by pings, of which half are shorter than p50 and 95 % \
                 shorter than p95."
            }
            Self::Negative => {
                "Peers with a gossip score below 0: fewer and fewer peers forward \
                their messages (gossipsub v1.1)."
            }
            Self::Banned => {
                "Peers that this node refuses, for their faults or by a person's \
                decision."
            }
            Self::Refresh => {
                "Time since this node last refreshed the routing table by looking up \
                its own neighbourhood (Kademlia's bootstrap)."
            }
            Self::DialErrors => {
                "The reasons why peers dialled in the last 5 minutes were not \
                reached."
            }
            Self::Provenance => {
                "The origin of the packages requested since the start: this node \
                itself, the DHT, or peers."
            }
            Self::Duplicates => {
                "Gossip messages that had already arrived by another way: the \
                price of not missing any."
            }
            Self::Churn => {
                "Peers that came and went in the last 5 minutes; some fell silent and \
                sent nothing any more."
            }
            Self::Agents => "The programs of the connected peers, with their versions.",
            Self::Endangered => {
                "Own packages older than a day whose content fewer than two nodes \
                have, including this one, or whose head expires within 10 days."
            }
            Self::Copies => {
                "Own releases waiting for nodes with room for their bytes, and bytes \
                kept here for others (keep_for_others_mb)."
            }
            Self::Disk => "Free space on the disk that holds the data.",
            Self::Clock => "This machine's clock against the median of the peers'.",
        }
    }
}
