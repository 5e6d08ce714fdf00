//! A running publish, and its result.

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
    /// `publisher-id/name@version`, which `get` accepts on any node.
    pub id: String,
    pub package: PackageId,
    pub version: VersionText,
    pub handle: Option<Handle>,
    pub seq: u64,
    pub manifest: Hash,
    pub content: ContentRoot,
    pub size: u64,
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
    #[serde(default)]
    pub copies_wanted: usize,
}

impl Steps {
    /// Returns text about the number of nodes that have the bytes.
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
    /// `nodes` of the `wanted` nodes have the bytes.
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
