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
    pub const ALL: [Self; 36] = [
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
            Self::Invalid => "gossip refused",
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
                "Whether no other node runs with this node's key, and those answer at the \
                bootstrap addresses that were named."
            }
            Self::Listening => "The transports and ports on which this node accepts connections.",
            Self::Gateway => {
                "The address at which package managers use this node as a registry on this machine."
            }
            Self::Peers => "Nodes of this network that this node is connected to.",
            Self::PeersIn => {
                "Connections that others opened. None at all can mean that nobody can reach this \
                node."
            }
            Self::PeersOut => "Connections that this node opened.",
            Self::Mesh => {
                "Peers that announcements are passed to and from at once (the gossip mesh). The \
                others only hear that there is something."
            }
            Self::PresenceMesh => {
                "The same for the topic in which nodes say where they are, if they do."
            }
            Self::RoutingTable => {
                "Peers that lookups in the DHT can begin with (Kademlia's buckets)."
            }
            Self::Lookups => {
                "Lookups in the DHT of the last 5 minutes that somebody answered. That nothing \
                was there is an answer too."
            }
            Self::LookupTime => {
                "How long lookups took: half of them were faster than p50, all but a twentieth \
                than p95."
            }
            Self::GossipRate => "Announcements that arrived in the last minute.",
            Self::GossipDelay => {
                "From a peer's sending of an announcement to its arrival here, by the two clocks."
            }
            Self::Invalid => {
                "Messages of the last minute that were refused: damaged, forged, or by a bad clock."
            }
            Self::Dials => {
                "Peers that this node tried to connect to in the last 5 minutes, and those of \
                them that it reached."
            }
            Self::BytesIn => "Received a second, over all protocols.",
            Self::BytesOut => "Sent a second, over all protocols.",
            Self::StoreTime => {
                "From asking for a write to having it safe on the disk, for all but a twentieth \
                of them."
            }
            Self::Memory => "What the whole process has in memory.",
            Self::Descriptors => {
                "Open sockets and files, and how many the system allows (ulimit -n)."
            }
            Self::Dropped => "Messages of the last minute that this node had no room for.",
            Self::Transports => {
                "By what connections go: TCP, or QUIC over UDP. A firewall may let through only \
                one of them."
            }
            Self::Reachability => {
                "Whether others can open connections to this node, as far as their dialling back \
                has shown (AutoNAT); only who can be reached serves the DHT."
            }
            Self::RoundTrips => {
                "From this node to its peers and back, by pings: half of them are nearer than \
                p50, all but a twentieth than p95."
            }
            Self::Negative => {
                "Peers that gossip scores below 0: what they send is passed on by fewer and fewer \
                (gossipsub v1.1)."
            }
            Self::Banned => {
                "Peers that this node has nothing to do with, for their faults or because a \
                person said so."
            }
            Self::Refresh => {
                "Since the routing table was last filled up by looking for this node's own \
                neighbourhood (Kademlia's bootstrap)."
            }
            Self::DialErrors => {
                "Why peers that were dialled in the last 5 minutes were not reached."
            }
            Self::Provenance => {
                "Where packages that were asked for came from since the start: this node itself, \
                the DHT, or peers."
            }
            Self::Duplicates => {
                "Messages of gossip that had come before by another way: the price of not missing \
                any."
            }
            Self::Churn => {
                "Peers that came and went in the last 5 minutes; without a word went those from \
                which nothing came any more."
            }
            Self::Agents => "What programs the connected peers run, and in which versions.",
            Self::Endangered => {
                "Own packages older than a day whose content fewer than two nodes have, this one \
                counted, or whose head expires within 10 days."
            }
            Self::Copies => {
                "Own releases that wait for nodes with room for their bytes, and bytes of others' \
                releases that are kept here (keep_for_others_mb)."
            }
            Self::Disk => "Space that is free where this node keeps its data.",
            Self::Clock => "This machine's clock against the median of the peers'.",
        }
    }
}
