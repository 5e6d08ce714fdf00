//! A publish while it runs, and what it reached.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    hash::{ContentRoot, Hash},
    name::{Handle, PackageId},
    version::VersionText,
};

/// The result of `publish`, `yank` and `unyank`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// `publisher-id/name@version`: what `get` takes anywhere.
    pub id: String,
    pub package: PackageId,
    pub version: VersionText,
    pub handle: Option<Handle>,
    pub seq: u64,
    pub manifest: Hash,
    pub content: ContentRoot,
    pub size: u64,
    pub steps: Steps,
    /// The network did not take everything yet: the node goes on trying until it has.
    pub pending: bool,
    /// A sentence about this machine's clock, where others refuse the announcement for it.
    #[serde(default)]
    pub clock: Option<String>,
    /// Set when this publish made the publisher's key: where it is, so that it can be backed up.
    pub new_key: Option<PathBuf>,
}

/// The steps of a publish that were done, and the time that each took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Time to find the newest head, before signing.
    pub lookup: Duration,
    /// Time from signing to the acknowledged commit in the local store: from here on nothing is
    /// lost.
    pub stored: Duration,
    /// Peers from whom head and manifest were read back.
    pub replicas: usize,
    /// Peers in the mesh that the announcement was sent to.
    pub announced: usize,
    /// Other nodes that were seen to have the bytes, and how many are to have them. None of them is
    /// counted for a yank.
    #[serde(default)]
    pub copies: usize,
    #[serde(default)]
    pub copies_wanted: usize,
}

impl Steps {
    /// Says in words on how many nodes the bytes are.
    pub fn copied(&self) -> String {
        match self.copies_wanted {
            0 => String::new(),
            wanted if self.copies < wanted => {
                format!(
                    "bytes {}, of {wanted} that are to have them",
                    on_other_nodes(self.copies)
                )
            }
            _ => format!("bytes {}", on_other_nodes(self.copies)),
        }
    }
}

/// Says in words on how many other nodes something is.
pub fn on_other_nodes(count: usize) -> String {
    match count {
        0 => "on no other node".to_owned(),
        1 => "on 1 other node".to_owned(),
        count => format!("on {count} other nodes"),
    }
}

/// A message of a publish that runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum PublishStep {
    Hashed {
        size: u64,
    },
    Signed {
        seq: u64,
    },
    Stored,
    Put,
    ReadBack {
        replicas: usize,
    },
    Announced {
        peers: usize,
    },
    /// So many of the nodes that are to have the bytes have them.
    Copied {
        nodes: usize,
        wanted: usize,
    },
}

impl fmt::Display for PublishStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashed { size } => write!(f, "hashed: {size} bytes"),
            Self::Signed { seq } => write!(f, "signed: state {seq} of the package"),
            Self::Stored => f.write_str("stored: nothing is lost from here on"),
            Self::Put => f.write_str("put into the DHT"),
            Self::ReadBack { replicas } => write!(f, "read back from {replicas} peers"),
            Self::Announced { peers } => write!(f, "announced to {peers} peers"),
            Self::Copied { nodes, wanted } => write!(f, "bytes on {nodes} of {wanted} other nodes"),
        }
    }
}
