//! Announcements as they arrived, and the owners of nodes.

use std::{fmt, time::Duration};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    name::{Handle, PackageId, PublisherId},
    time::Timestamp,
    trust::Trust,
    version::VersionText,
};

/// An announcement this node took from gossip, or made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    pub at: Timestamp,
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub trust: Trust,
    pub version: VersionText,
    pub summary: String,
    pub yanked: bool,
    /// The peer that passed it on; `None` for our own.
    pub via: Option<PeerId>,
    /// From the publisher's signature to our verification, by the two clocks; never negative.
    pub delay: Duration,
    /// From the sending of this announcement to our verification, likewise: what gossip itself
    /// took.
    pub travelled: Duration,
    pub seq: u64,
}

/// A publisher's claim that a node is its own, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOwner {
    pub publisher: PublisherId,
    pub handle: Handle,
}

impl fmt::Display for NodeOwner {
    /// Writes the handle with its key's fingerprint: anybody may claim a handle.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.handle, self.publisher.fingerprint())
    }
}
