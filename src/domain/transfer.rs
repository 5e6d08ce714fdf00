//! Transfers of content in either direction, as readers of the bus see them.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    hash::ContentRoot,
    held::FetchOrigin,
    manifest::{Content, File, Manifest},
    name::PackageId,
    package::Release,
    time::Timestamp,
};

/// Identifies a transfer: the download of a content, or its upload to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "direction")]
pub enum TransferId {
    /// The download of a content.
    Fetch {
        /// The root of the content.
        root: ContentRoot,
    },
    /// The upload of a content to a peer.
    Serve {
        /// The root of the content.
        root: ContentRoot,
        /// The peer.
        peer: PeerId,
    },
}

impl TransferId {
    /// Returns the root of the content.
    pub fn root(&self) -> ContentRoot {
        match self {
            Self::Fetch { root } | Self::Serve { root, .. } => *root,
        }
    }
}

/// The state of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum TransferState {
    /// Waiting for a slot or a provider.
    Waiting,
    /// Transferring.
    Running,
    /// Paused by a person.
    Paused,
    /// Complete and verified.
    Done,
    /// Cancelled by a person.
    Cancelled,
    /// Failed, for the given reason.
    Failed(String),
}

impl TransferState {
    /// Returns a short name for display.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
        }
    }

    /// Returns true if it can still continue.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Running | Self::Paused)
    }
}

/// The role of a peer in a download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It was asked for the content.
    #[default]
    Asked,
    /// It is sending.
    Giving,
    /// It has nothing, or nothing more.
    Idle,
    /// It was given up as too slow or silent.
    Slow,
    /// The connection to it was lost.
    Lost,
    /// It sent bytes that do not verify, and is not asked again.
    Lied,
}

impl Part {
    /// Returns a short name for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Giving => "sending",
            Self::Idle => "idle",
            Self::Slow => "too slow",
            Self::Lost => "lost",
            Self::Lied => "LIED",
        }
    }
}

/// A peer's part in a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferPeer {
    /// The peer.
    pub peer: PeerId,
    /// Its role.
    pub part: Part,
    /// Verified bytes received from it, or bytes sent to it.
    pub bytes: u64,
    /// Duration of its transfers, in milliseconds.
    pub millis: u64,
    /// The number of its answers that did not verify.
    pub refused: u64,
}

impl TransferPeer {
    /// Creates the part of a peer that has transferred nothing yet.
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            part: Part::default(),
            bytes: 0,
            millis: 0,
            refused: 0,
        }
    }

    /// Returns its throughput in bytes a second.
    pub fn rate(&self) -> f64 {
        rate(self.bytes, self.millis)
    }
}

/// Returns a throughput in bytes a second.
pub fn rate(bytes: u64, millis: u64) -> f64 {
    if millis == 0 {
        0.0
    } else {
        bytes as f64 * 1_000.0 / millis as f64
    }
}

/// A transfer, running or recent. A later value replaces an earlier one with the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The transfer's id.
    pub id: TransferId,
    /// The release, or the root if that is unknown.
    pub what: String,
    /// Size of the content in bytes.
    pub size: u64,
    /// Bytes received and verified, or bytes sent.
    pub done: u64,
    /// Bytes of these left by an earlier attempt.
    pub resumed: u64,
    /// The recent throughput in bytes a second.
    pub rate: f64,
    /// The state.
    pub state: TransferState,
    /// The peers that take part.
    pub peers: Vec<TransferPeer>,
    /// The start of the transfer.
    pub started_at: Timestamp,
    /// The end of the transfer, once it has ended.
    pub ended_at: Option<Timestamp>,
    /// Downloaded to be kept for others: nobody here asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_others: bool,
    /// It accompanies the content of a release, as a readme does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
}

impl Transfer {
    /// Returns the completed share, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.size == 0 {
            f64::from(self.state == TransferState::Done)
        } else {
            self.done as f64 / self.size as f64
        }
    }

    /// Returns the seconds left at the recent throughput; `None` while nothing arrives.
    pub fn remaining(&self) -> Option<f64> {
        (self.state == TransferState::Running && self.rate > 0.0)
            .then(|| self.size.saturating_sub(self.done) as f64 / self.rate)
    }

    /// Returns the number of peers that are sending or being sent to.
    pub fn active(&self) -> usize {
        self.peers
            .iter()
            .filter(|peer| peer.part == Part::Giving)
            .count()
    }
}

/// A content to fetch, with hints about its providers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// The content.
    pub content: Content,
    /// The release it belongs to, for display.
    pub what: String,
    /// The package it belongs to. Its publisher's nodes are asked first, and any node that has the
    /// content counts as a provider of the package.
    #[serde(default)]
    pub package: Option<PackageId>,
    /// The content it accompanies. Providers of that one have this one too, so only that one is
    /// looked up in the DHT.
    #[serde(default)]
    pub beside: Option<ContentRoot>,
    /// It is fetched to be kept for others: nobody here asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_others: bool,
}

impl Wanted {
    /// Returns the first file of a release.
    pub fn of(release: &Release) -> Self {
        let name = release.title();
        Self {
            content: release.manifest.content(),
            what: format!("{name} {}", release.manifest.version),
            package: Some(release.package.clone()),
            beside: None,
            for_others: false,
        }
    }

    /// Returns one file of a release.
    pub fn file(release: &Release, file: &File) -> Self {
        let whole = Self::of(release);
        let what = match release.files.len() {
            0 | 1 => whole.what,
            _ => format!("{} of {}", file.name, whole.what),
        };
        Self {
            content: file.content(),
            what,
            ..whole
        }
    }

    /// Returns the documents that accompany a release: its readme, and the ecosystem's native data.
    pub fn beside(release: &Release) -> Vec<Self> {
        let Manifest { readme, native, .. } = &release.manifest;
        let whole = Self::of(release);
        let first = whole.content.root;
        let beside = [
            ("readme of", *readme, first),
            ("ecosystem data of", *native, first),
        ];
        let files = release.files.iter().map(|one| {
            (
                "ecosystem data of a file of",
                one.file.native,
                one.file.root,
            )
        });
        let one = |(what, content, beside): (&str, Option<Content>, ContentRoot)| {
            let what = format!("{what} {}", whole.what);
            Some(Self {
                content: content?,
                what,
                beside: Some(beside),
                ..whole.clone()
            })
        };
        beside.into_iter().chain(files).filter_map(one).collect()
    }
}

/// Content that was fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// The content.
    pub content: Content,
    /// It was already held.
    pub was_held: bool,
    /// Its origin; `None` for content that was added on this machine.
    pub origin: Option<FetchOrigin>,
}

/// A person's command to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Pauses it.
    Pause,
    /// Resumes it.
    Resume,
    /// Ends it and discards the bytes received.
    Cancel,
}
