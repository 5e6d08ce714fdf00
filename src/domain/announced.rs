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
pub struct Announced {
    pub at: Timestamp,
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub trust: Trust,
    pub version: VersionText,
    pub summary: String,
    pub yanked: bool,
    /// The peer that forwarded it; `None` for our own.
    pub via: Option<PeerId>,
    /// Time from the publisher's signature to our verification, by both clocks; never negative.
    pub delay: Duration,
    /// Time from the sending of this announcement to our verification, by both clocks: the share
    /// that gossip took.
    pub travelled: Duration,
    pub seq: u64,
}

/// A verified claim of a publisher that a node is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOwner {
    pub publisher: PublisherId,
    pub handle: Handle,
}

impl fmt::Display for NodeOwner {
    /// Writes the handle with its key's fingerprint, because anybody may claim a handle.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.handle, self.publisher.fingerprint())
    }
}
