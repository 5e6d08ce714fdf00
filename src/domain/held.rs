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
pub struct Origin {
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
    #[serde(flatten)]
    pub content: Content,
    /// It belongs to a release that this node published.
    pub own: bool,
    pub pinned: bool,
    /// The releases for which a person pinned it, as `publisher-id/name@version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_for: Vec<String>,
    /// It is kept for other nodes: nobody here asked for it.
    #[serde(default)]
    pub for_others: bool,
    pub added_at: Timestamp,
    pub used_at: Timestamp,
    /// The release it belongs to, for display.
    pub what: Option<String>,
    /// `None` if it was added on this machine.
    pub origin: Option<Origin>,
    /// Stored in a file of its own rather than in the database.
    pub in_file: bool,
}

/// Content that was damaged and dropped and has not been fetched again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    #[serde(flatten)]
    pub content: Content,
    pub own: bool,
    pub pinned: bool,
    pub what: Option<String>,
    pub since: Timestamp,
}

/// The part of a content that is held.
#[derive(Clone, Debug, PartialEq)]
pub enum Holding {
    Complete { size: u64 },
    Partial { size: u64, have: Groups },
}

/// The storage used for content, and its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub bytes: u64,
    /// Bytes that are own or pinned and so never evicted.
    pub kept: u64,
    pub quota: u64,
}

/// The result of a clean-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    pub contents: u64,
    pub bytes: u64,
}

impl Holding {
    pub fn have(&self) -> Groups {
        match self {
            Self::Complete { size } => all(*size),
            Self::Partial { have, .. } => have.clone(),
        }
    }

    pub fn size(&self) -> u64 {
        match self {
            Self::Complete { size } | Self::Partial { size, .. } => *size,
        }
    }
}
