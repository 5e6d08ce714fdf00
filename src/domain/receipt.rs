//! A running publish, and its result.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    hash::{ContentRoot, Hash},
    name::{Handle, PackageId},
    text::quantity,
    version::VersionText,
};

/// The result of `publish`, `yank` and `unyank`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// `publisher-id/name@version`, which `get` accepts on any node.
    pub id: String,
    /// The package.
    pub package: PackageId,
    /// The version.
    pub version: VersionText,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The number of the new state.
    pub seq: u64,
    /// The hash of the manifest.
    pub manifest: Hash,
    /// The root of the first file.
    pub content: ContentRoot,
    /// The size of all files in bytes.
    pub size: u64,
    /// The steps that were completed.
    pub steps: Steps,
    /// The network has not taken everything yet; the node keeps trying.
    pub pending: bool,
    /// A sentence about this machine's clock, if other nodes refuse the announcement because of it.
    #[serde(default)]
    pub clock: Option<String>,
    /// Path of the publisher's key if this publish created it, so that it can be backed up.
    pub new_key: Option<PathBuf>,
}

/// The steps that were completed, with durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Time to find the newest head, before signing.
    pub lookup: Duration,
    /// Time from signing to the commit in the local store. From then on nothing is lost.
    pub stored: Duration,
    /// Peers from which head and manifest were read back.
    pub replicas: usize,
    /// Mesh peers to which the announcement was sent.
    pub announced: usize,
    /// Other nodes seen to have the bytes, and the number that should. Both are 0 for a yank.
    #[serde(default)]
    pub copies: usize,
    /// The number of other nodes that should have the bytes.
    #[serde(default)]
    pub copies_wanted: usize,
}

impl Steps {
    /// Returns text about the number of nodes that have the content.
    pub fn copied(&self) -> String {
        match self.copies_wanted {
            0 => String::new(),
            wanted if self.copies < wanted => {
                format!("content on {} of {wanted} other nodes", self.copies)
            }
            _ => format!("content {}", on_other_nodes(self.copies)),
        }
    }
}

/// Returns text such as "on 2 other nodes".
pub fn on_other_nodes(count: usize) -> String {
    match count {
        0 => "on no other node".to_owned(),
        1 => "on 1 other node".to_owned(),
        count => format!("on {count} other nodes"),
    }
}

/// A progress message of a running publish.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum PublishStep {
    /// The files were hashed.
    Hashed {
        /// Total size in bytes.
        size: u64,
    },
    /// The new state was signed.
    Signed {
        /// The number of the state.
        seq: u64,
    },
    /// The state was committed to the local store.
    Stored,
    /// The records were stored in the DHT.
    Put,
    /// The records were read back.
    ReadBack {
        /// The number of peers that returned them.
        replicas: usize,
    },
    /// The release was announced.
    Announced {
        /// The number of peers to which it was sent.
        peers: usize,
    },
    /// Replicas of the bytes were made.
    Copied {
        /// Nodes that have the bytes, this one not counted.
        nodes: usize,
        /// Nodes that should have them.
        wanted: usize,
    },
}

impl fmt::Display for PublishStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashed { size } => write!(f, "hashed: {size} bytes"),
            Self::Signed { seq } => write!(f, "signed: revision {seq} of the package"),
            Self::Stored => f.write_str("stored: the release is safe on this node"),
            Self::Put => f.write_str("put into the DHT"),
            Self::ReadBack { replicas } => {
                write!(f, "replicated to {}", quantity(*replicas, "peer"))
            }
            Self::Announced { peers } => write!(f, "announced to {}", quantity(*peers, "peer")),
            Self::Copied { nodes, wanted } => {
                write!(f, "content on {nodes} of {wanted} other nodes")
            }
        }
    }
}
