//! The routing table as a list of buckets.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// A bucket: the peers at a distance of `bits` bits from this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// See [`distance_bits`](super::distance_bits): 256 is the far half of all peers, 255 a
    /// quarter, and so on.
    pub bits: u16,
    /// The number of peers.
    pub peers: u16,
    /// The number of them that are connected now.
    pub connected: u16,
    /// Another peer is waiting for a place.
    pub pending: bool,
    /// The last contact with the peer that has been silent longest; `None` if there was none.
    pub oldest_contact: Option<Timestamp>,
    /// The last lookup of a key in this bucket; `None` if there was none since the node started.
    pub refreshed: Option<Timestamp>,
}

/// Kademlia's routing table, by distance. Empty buckets are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingTable {
    /// This node's id.
    pub me: PeerId,
    /// The capacity of a bucket, in peers.
    pub room: u16,
    /// The buckets, farthest first.
    pub buckets: Vec<Bucket>,
}

impl RoutingTable {
    /// Returns the number of peers in all buckets.
    pub fn peers(&self) -> usize {
        self.buckets
            .iter()
            .map(|bucket| usize::from(bucket.peers))
            .sum()
    }
}
