//! The routing table, as its buckets.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// The peers whose distance from this node has so many bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// See [`distance_bits`](super::distance_bits): 256 is the far half of all peers, 255 a
    /// quarter, and so on.
    pub bits: u16,
    pub peers: u16,
    /// Those of them that are connected now.
    pub connected: u16,
    /// One more waits for a place.
    pub pending: bool,
    /// When the one that was silent for longest was last connected; `None` where none ever was.
    pub oldest_contact: Option<Timestamp>,
    /// The last lookup of a key that falls into it; `None` for none since the node started.
    pub refreshed: Option<Timestamp>,
}

/// Whom Kademlia knows, by distance. Buckets without a peer are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingTable {
    pub me: PeerId,
    /// Peers that a bucket has room for.
    pub room: u16,
    /// The farthest first.
    pub buckets: Vec<Bucket>,
}

impl RoutingTable {
    pub fn peers(&self) -> usize {
        self.buckets
            .iter()
            .map(|bucket| usize::from(bucket.peers))
            .sum()
    }
}
