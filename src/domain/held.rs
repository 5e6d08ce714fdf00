//! The contents that a node holds, as a person sees them: without their bytes.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    content::{Groups, all},
    manifest::Content,
    time::Timestamp,
};

/// A peer's part of a content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub peer: PeerId,
    /// Verified bytes.
    pub bytes: u64,
    /// Time in which they came, in milliseconds.
    pub millis: u64,
    /// Answers of it that did not verify.
    #[serde(default)]
    pub refused: u64,
}

/// The origin of content that was fetched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub shares: Vec<Share>,
    /// From asking for it to having it, in milliseconds.
    pub millis: u64,
    /// Bytes that an earlier attempt had left.
    #[serde(default)]
    pub resumed: u64,
}

/// Content that is held, without its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    #[serde(flatten)]
    pub content: Content,
    /// Of a release that this node published.
    pub own: bool,
    pub pinned: bool,
    /// The releases that a person has pinned it for, as `publisher-id/name@version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_for: Vec<String>,
    /// Nobody asked for it here: it is kept for others.
    #[serde(default)]
    pub for_others: bool,
    pub added_at: Timestamp,
    pub used_at: Timestamp,
    /// The release it is of, for eyes.
    pub what: Option<String>,
    /// `None` for what was put here on this machine.
    pub origin: Option<Origin>,
    /// In a file of its own rather than in the database.
    pub in_file: bool,
}

/// Content that was damaged and dropped, and is not here again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    #[serde(flatten)]
    pub content: Content,
    pub own: bool,
    pub pinned: bool,
    pub what: Option<String>,
    pub since: Timestamp,
}

/// The part of a content that is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Holding {
    Complete { size: u64 },
    Partial { size: u64, have: Groups },
}

/// The bytes that are held, and may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub bytes: u64,
    /// Bytes of it that are own or pinned, and so never evicted.
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
