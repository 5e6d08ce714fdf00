//! The content that a node holds, without its bytes, as a person sees it.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    content::{Groups, all},
    manifest::Content,
    time::Timestamp,
};

/// The part of a content that one peer supplied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The peer.
    pub peer: PeerId,
    /// Verified bytes.
    pub bytes: u64,
    /// Duration of its transfers, in milliseconds.
    pub millis: u64,
    /// The number of its answers that did not verify.
    #[serde(default)]
    pub refused: u64,
}

/// The origin of content that was fetched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FetchOrigin {
    /// The parts that peers supplied.
    pub shares: Vec<Share>,
    /// Time from the request to the complete content, in milliseconds.
    pub millis: u64,
    /// Bytes left from an earlier attempt.
    #[serde(default)]
    pub resumed: u64,
}

/// Content that is held, without its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The root and size.
    #[serde(flatten)]
    pub content: Content,
    /// It belongs to a release that this node published.
    pub own: bool,
    /// A person pinned it.
    pub pinned: bool,
    /// The releases for which a person pinned it, as `publisher-id/name@version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_for: Vec<String>,
    /// It is kept for other nodes: nobody here asked for it.
    #[serde(default)]
    pub for_others: bool,
    /// The time at which it was added.
    pub added_at: Timestamp,
    /// The time at which it was last read or fetched.
    pub used_at: Timestamp,
    /// The release it belongs to, for display.
    pub what: Option<String>,
    /// `None` if it was added on this machine.
    pub origin: Option<FetchOrigin>,
    /// Stored in a file of its own rather than in the database.
    pub in_file: bool,
}

/// Content that was damaged and dropped and has not been fetched again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The root and size.
    #[serde(flatten)]
    pub content: Content,
    /// It belongs to a release that this node published.
    pub own: bool,
    /// A person pinned it.
    pub pinned: bool,
    /// The release it belongs to, for display.
    pub what: Option<String>,
    /// The time at which the damage was found.
    pub since: Timestamp,
}

/// The part of a content that is held.
#[derive(Clone, Debug, PartialEq)]
pub enum Holding {
    /// All of it.
    Complete {
        /// The size in bytes.
        size: u64,
    },
    /// Some groups.
    Partial {
        /// The size in bytes.
        size: u64,
        /// The groups that are held.
        have: Groups,
    },
}

/// The storage used for content, and its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageUsage {
    /// Bytes used.
    pub bytes: u64,
    /// Bytes that are own or pinned and so never evicted.
    pub kept: u64,
    /// The quota in bytes.
    pub quota: u64,
}

/// The result of a clean-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// The number of contents removed.
    pub contents: u64,
    /// The bytes freed.
    pub bytes: u64,
}

impl Holding {
    /// Returns the groups that are held.
    pub fn have(&self) -> Groups {
        match self {
            Self::Complete { size } => all(*size),
            Self::Partial { have, .. } => have.clone(),
        }
    }

    /// Returns the size of the content in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Complete { size } | Self::Partial { size, .. } => *size,
        }
    }
}
