//! A content on its way, in either direction, as readers of the bus see it.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    hash::ContentRoot,
    held::Origin,
    manifest::{Content, File, Manifest},
    name::PackageId,
    package::Release,
    time::Timestamp,
};

/// Which transfer: one fetch of a content, or one peer that is served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "direction")]
pub enum TransferId {
    Fetch { root: ContentRoot },
    Serve { root: ContentRoot, peer: PeerId },
}

impl TransferId {
    pub fn root(&self) -> ContentRoot {
        match self {
            Self::Fetch { root } | Self::Serve { root, .. } => *root,
        }
    }
}

/// How a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum TransferState {
    /// For a place, or for somebody who has it.
    Waiting,
    Running,
    /// A person said so.
    Paused,
    /// All of it is here, verified.
    Done,
    Cancelled,
    Failed(String),
}

impl TransferState {
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

    /// It goes on by itself, or can be told to.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Running | Self::Paused)
    }
}

/// What became of a peer in a fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It was asked whether it has it.
    #[default]
    Asked,
    /// It gives.
    Giving,
    /// It has nothing, or nothing more.
    Idle,
    /// It was given up: too slow, or silent.
    Slow,
    /// The connection with it was lost.
    Lost,
    /// It gave what does not verify, and is asked for nothing more.
    Lied,
}

impl Part {
    pub fn label(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Giving => "giving",
            Self::Idle => "idle",
            Self::Slow => "too slow",
            Self::Lost => "lost",
            Self::Lied => "LIED",
        }
    }
}

/// A peer's share of a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferPeer {
    pub peer: PeerId,
    pub part: Part,
    /// Verified bytes, or bytes that it was sent.
    pub bytes: u64,
    /// Time in which they came, in milliseconds.
    pub millis: u64,
    /// Answers that did not verify.
    pub refused: u64,
}

impl TransferPeer {
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            part: Part::default(),
            bytes: 0,
            millis: 0,
            refused: 0,
        }
    }

    /// Bytes a second while it gave.
    pub fn rate(&self) -> f64 {
        rate(self.bytes, self.millis)
    }
}

/// Bytes a second.
pub fn rate(bytes: u64, millis: u64) -> f64 {
    if millis == 0 {
        0.0
    } else {
        bytes as f64 * 1_000.0 / millis as f64
    }
}

/// A content on its way, or that was lately. A later value replaces an earlier one of the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    pub id: TransferId,
    /// The release, or the root where it is not known.
    pub what: String,
    /// Size of the content in bytes.
    pub size: u64,
    /// Bytes that are here and verified, or bytes sent.
    pub done: u64,
    /// Bytes of them that an earlier attempt had left here.
    pub resumed: u64,
    /// Bytes a second, lately.
    pub rate: f64,
    pub state: TransferState,
    pub peers: Vec<TransferPeer>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Nobody asked for it here: it is kept for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_others: bool,
    /// It travels with the content of a release, as a readme does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
}

impl Transfer {
    /// The part that is done, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.size == 0 {
            f64::from(self.state == TransferState::Done)
        } else {
            self.done as f64 / self.size as f64
        }
    }

    /// Seconds to the end at the rate of lately; `None` while nothing comes.
    pub fn remaining(&self) -> Option<f64> {
        (self.state == TransferState::Running && self.rate > 0.0)
            .then(|| self.size.saturating_sub(self.done) as f64 / self.rate)
    }

    /// Peers that give now, or are given.
    pub fn active(&self) -> usize {
        self.peers
            .iter()
            .filter(|peer| peer.part == Part::Giving)
            .count()
    }
}

/// A content to fetch, and the hints where to look for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    pub content: Content,
    /// The release it is of, for eyes.
    pub what: String,
    /// The package it is of: its publisher's nodes are asked first, and whoever has it counts as
    /// its provider.
    #[serde(default)]
    pub package: Option<PackageId>,
    /// The content beside which it travels: whoever has that has this, and only that is looked for
    /// in the DHT.
    #[serde(default)]
    pub beside: Option<ContentRoot>,
    /// Nobody asked for it here: it is kept for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_others: bool,
}

impl Wanted {
    /// The first file of a release.
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

    /// One file of a release.
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

    /// Returns the documents that travel beside the content of a release: its readme, and its
    /// ecosystem's own data.
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

/// Content that is here now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    pub content: Content,
    /// It was here already.
    pub was_held: bool,
    /// Its origin; `None` for content that was put here on this machine.
    pub origin: Option<Origin>,
}

/// An order that a person gives to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Pause,
    Resume,
    /// Ends it and throws away what came.
    Cancel,
}
