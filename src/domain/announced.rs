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

/// An announcement that this node received by gossip or made itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceivedAnnouncement {
    /// The time of our verification.
    pub at: Timestamp,
    /// The package announced.
    pub package: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The trust in the publisher.
    pub trust: Trust,
    /// The version announced.
    pub version: VersionText,
    /// A one-line summary of the package.
    pub summary: String,
    /// True if the version is yanked.
    pub yanked: bool,
    /// The peer that forwarded it; `None` for our own.
    pub via: Option<PeerId>,
    /// Time from the publisher's signature to our verification, by both clocks; never negative.
    pub delay: Duration,
    /// Time from the sending of this announcement to our verification, by both clocks: the share
    /// that gossip took.
    pub travelled: Duration,
    /// The number of the package's state.
    pub seq: u64,
}

/// A verified claim of a publisher that a node is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOwner {
    /// The publisher that owns the node.
    pub publisher: PublisherId,
    /// The publisher's handle.
    pub handle: Handle,
}

impl fmt::Display for NodeOwner {
    /// Writes the handle with its key's fingerprint, because anybody may claim a handle.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.handle, self.publisher.fingerprint())
    }
}
