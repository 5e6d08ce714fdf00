//! What the registry answers with. Everything serialises: scripts get the same values the explorer shows.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::PathBuf,
    time::Duration,
};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::domain::{
    freshness::Freshness,
    hash::{ContentRoot, Hash},
    manifest::{File, Manifest},
    name::{Handle, PackageId, PublisherId},
    query::Facet,
    record::Refusal,
    release::{self, ReleaseEntry, check_reason},
    text::printable,
    time::Timestamp,
    trust::Trust,
    version::VersionText,
};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "from", content = "peer")]
pub enum Source {
    /// This process had it in memory.
    Cache,
    /// This node's own store.
    Local,
    /// A peer answered a direct question.
    Peer(PeerId),
    /// A lookup in the DHT.
    Dht,
}

impl Source {
    pub fn label(&self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Local => "local",
            Self::Peer(_) => "peer",
            Self::Dht => "DHT",
        }
    }
}

/// How much of the network's catalogue a node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Catalogue {
    /// All of it, as far as there is room.
    #[default]
    Full,
    /// What it published, heard of or asked for.
    Partial,
}

/// One package among a search's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub trust: Trust,
    pub version: VersionText,
    /// One line that says what it is.
    pub summary: String,
    pub categories: Vec<String>,
    pub tags: Vec<String>,
    pub license: Option<String>,
    /// The packages it is one of, such as `cargo`.
    #[serde(default)]
    pub ecosystem: String,
    /// Packages in this node's catalogue that need it.
    #[serde(default)]
    pub dependents: u64,
    /// Peers that were seen to have it.
    #[serde(default)]
    pub providers: u64,
    /// Every release is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// Nobody has signed it: a stanza that was imported for this node alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
    /// Its owner says to use something else, or not to use it.
    #[serde(default)]
    pub deprecated: bool,
    /// The package that this node's person knows, and that this one may be taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<LookAlike>,
    /// When the publisher signed the package's current state.
    pub signed_at: Timestamp,
    pub source: Source,
    /// How good it is for what was asked, 0 to 1.
    #[serde(default)]
    pub score: f64,
}

/// How many of a search's packages have a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCount {
    pub facet: Facet,
    /// As a search asks for it.
    pub value: String,
    /// As it is written.
    pub shown: String,
    pub packages: u64,
}

/// What the packages that a search finds here are told apart by, the most frequent labels of each kind first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    pub total: u64,
    pub counts: Vec<FacetCount>,
    /// Counted on an even sample, because there are many.
    pub sampled: bool,
}

impl Hit {
    /// For eyes: see [`title`].
    pub fn title(&self) -> String {
        title(&self.package, self.handle.as_ref(), self.trust)
    }
}

/// A package for eyes: `handle/name` where the handle is bound to the key on this node, else with the key's fingerprint,
/// because anybody may claim a handle.
pub fn title(package: &PackageId, handle: Option<&Handle>, trust: Trust) -> String {
    match handle {
        Some(_) if !trust.is_bound() => {
            format!("{} ({})", claimed(package, handle), package.owner.fingerprint())
        }
        handle => claimed(package, handle),
    }
}

/// A package as its publisher calls it, for eyes that see the fingerprint elsewhere; with the fingerprint where the
/// publisher calls itself nothing.
pub fn claimed(package: &PackageId, handle: Option<&Handle>) -> String {
    match handle {
        Some(handle) => format!("{handle}/{}", package.name),
        None => format!("{}/{}", package.owner.fingerprint(), package.name),
    }
}

/// The reason why this node's person knows a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// It is one of this node's own.
    Own,
    /// Its publisher is pinned.
    Pinned,
    /// An own package, or one of a pinned publisher, needs it.
    Needed,
}

/// A package of a certain name that this node knows of, by whose word it may be meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namesake {
    pub package: PackageId,
    pub handle: Option<Handle>,
    /// It is this node's own publisher's.
    pub own: bool,
}

/// A package that this node's person knows, and that another one may be taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub why: Known,
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (called, key) = (claimed(&self.package, self.handle.as_ref()), self.package.owner.fingerprint());
        match self.why {
            Known::Own => write!(f, "{called}, which is your own"),
            Known::Pinned => write!(f, "{called} ({key}), whose publisher you pinned"),
            Known::Needed => write!(f, "{called} ({key}), which packages that you know need"),
        }
    }
}

/// How much of the network a search's answer covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub asked: usize,
    pub answered: usize,
    /// Share of the packages there are, as far as can be told, that this node or one that answered holds, 0 to 1; `None`
    /// before anybody has said how many there are.
    #[serde(default)]
    pub share: Option<f64>,
}

/// What a streamed search sends, in order: local hits, then hits as peers answer, then exactly one `Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum SearchUpdate {
    Hits {
        hits: Vec<Hit>,
        coverage: Coverage,
        /// Packages that match, as far as is known so far.
        #[serde(default)]
        total: u64,
        /// What was searched for instead, where next to nothing had the words.
        #[serde(default)]
        instead: Option<String>,
    },
    /// What the local matches are told apart by; comes once.
    Facets {
        facets: Facets,
    },
    Done {
        coverage: Coverage,
        elapsed: Duration,
        truncated: bool,
    },
}

/// A collected search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchResults {
    /// Best first, from the query's offset on.
    pub hits: Vec<Hit>,
    /// Packages that match, as far as is known.
    #[serde(default)]
    pub total: u64,
    #[serde(default)]
    pub instead: Option<String>,
    #[serde(default)]
    pub facets: Facets,
    pub coverage: Coverage,
    pub elapsed: Duration,
    /// More was found than `limit` or the stream's buffer let through.
    pub truncated: bool,
}

/// A package as this node knows it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    pub id: PackageId,
    pub handle: Option<Handle>,
    pub trust: Trust,
    /// The publisher's count of the package's states.
    pub seq: u64,
    pub signed_at: Timestamp,
    /// How sure it is that this is its current state.
    #[serde(flatten)]
    pub freshness: Freshness,
    /// Names for versions, as the owner gives them.
    #[serde(default)]
    pub tags: BTreeMap<String, VersionText>,
    /// Every release, in the order they were published.
    pub releases: Vec<ReleaseEntry>,
    /// False when an older page could not be had, so `releases` lacks the oldest ones.
    pub complete: bool,
    /// The manifest of the release that a request without a version gets.
    pub latest: Option<Manifest>,
    /// Versions for which a second manifest has been seen: kept as evidence.
    pub conflicts: Vec<Conflict>,
    pub source: Source,
}

impl Package {
    /// For eyes: see [`title`].
    pub fn title(&self) -> String {
        title(&self.id, self.handle.as_ref(), self.trust)
    }

    /// What the owner calls a version.
    pub fn tags_of(&self, version: &VersionText) -> Vec<String> {
        let key = version.key(self.id.name.ecosystem());
        let named = self.tags.iter().filter(|(_, named)| named.key(self.id.name.ecosystem()) == key);
        named.map(|(tag, _)| tag.clone()).collect()
    }

    /// The latest release, as far as its manifest is known.
    pub fn latest_release(&self) -> Option<Release> {
        let manifest = self.latest.clone()?;
        let entry = release::find(self.id.name.ecosystem(), &self.releases, &manifest.version)?;
        Some(Release {
            package: self.id.clone(),
            handle: self.handle.clone(),
            trust: self.trust,
            manifest_hash: entry.first()?,
            files: files_of(entry, [(entry.first()?, &manifest)]),
            missing: entry.manifests.len() - 1,
            manifest,
            state: ReleaseState::of(entry),
            tags: self.tags_of(&entry.version),
            freshness: self.freshness,
            source: self.source,
        })
    }
}

/// A version that a publisher listed with two different manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub package: PackageId,
    pub version: VersionText,
    /// The first one seen, which counts.
    pub kept: Hash,
    pub offered: Hash,
    pub seen_at: Timestamp,
    /// Where it is one file that both list with different bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What its owner says of a release now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseState {
    /// The owner asks not to choose it.
    pub yanked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_yanked: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

impl ReleaseState {
    pub fn of(entry: &ReleaseEntry) -> Self {
        let why_yanked = entry.yanked.clone().filter(|why| !why.is_empty());
        Self { yanked: entry.is_yanked(), why_yanked, deprecated: entry.deprecated.clone() }
    }

    /// Returns true where the owner says more than that it is yanked.
    pub fn has_words(&self) -> bool {
        self.why_yanked.is_some() || self.deprecated.is_some()
    }

    /// What is said against it, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let yanked = match &self.why_yanked {
            Some(why) => Some(format!("yanked by its owner: {}", printable(why))),
            None => self.yanked.then(|| "yanked by its owner, who asks not to choose it".to_owned()),
        };
        let deprecated =
            self.deprecated.as_ref().map(|message| format!("deprecated by its owner: {}", printable(message)));
        yanked.into_iter().chain(deprecated).collect()
    }
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile {
    pub file: File,
    /// The manifest that lists it.
    pub manifest: Hash,
    /// When that was signed, by the owner's clock.
    pub signed_at: Timestamp,
    /// Why the owner asks not to choose it, if they do; the reason may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
}

/// The files that manifests of a release list, each name once: of two, the one in the earlier manifest counts.
pub fn files_of<'a>(
    entry: &ReleaseEntry,
    manifests: impl IntoIterator<Item = (Hash, &'a Manifest)>,
) -> Vec<ReleaseFile> {
    let mut names = HashSet::new();
    let files = manifests
        .into_iter()
        .flat_map(|(hash, manifest)| manifest.files.iter().map(move |file| (hash, manifest, file)));
    files
        .filter(|(.., file)| names.insert(&file.name))
        .map(|(manifest, signed, file)| ReleaseFile {
            file: file.clone(),
            manifest,
            signed_at: signed.signed_at,
            yanked: entry.why_yanked(&file.name).map(str::to_owned),
        })
        .collect()
}

/// What an owner says of releases after they were published. A person's act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub enum Change {
    /// Asks not to choose a version, or one file of it; it stays readable. The reason may be empty.
    Yank {
        version: VersionText,
        #[serde(default)]
        file: Option<String>,
        #[serde(default)]
        why: String,
    },
    /// Takes a yank back.
    Unyank {
        version: VersionText,
        #[serde(default)]
        file: Option<String>,
    },
    /// Says what to use instead, or why not to use it; without a message, no longer.
    Deprecate { version: VersionText, message: Option<String> },
    /// Names a version; without one, takes the name away.
    Tag { tag: String, version: Option<VersionText> },
}

impl Change {
    /// The command that says it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Yank { .. } => "yank",
            Self::Unyank { .. } => "unyank",
            Self::Deprecate { .. } => "deprecate",
            Self::Tag { .. } => "tag",
        }
    }

    /// The version, or the tag that is taken away.
    pub fn about(&self) -> &str {
        match self {
            Self::Yank { version, .. } | Self::Unyank { version, .. } | Self::Deprecate { version, .. } => {
                version.as_str()
            }
            Self::Tag { tag, version } => version.as_ref().map_or(tag, VersionText::as_str),
        }
    }

    /// What a person writes with it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Yank { .. } | Self::Unyank { .. } => "reason",
            Self::Deprecate { .. } => "message",
            Self::Tag { .. } => "tag",
        }
    }

    /// # Errors
    /// When its text may not be signed, as the end of a sentence that begins with what it is.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Yank { why: text, .. } | Self::Deprecate { message: Some(text), .. } => check_reason(text),
            Self::Unyank { .. } | Self::Deprecate { message: None, .. } | Self::Tag { .. } => Ok(()),
        }
    }
}

/// One release and its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub package: PackageId,
    pub handle: Option<Handle>,
    #[serde(default)]
    pub trust: Trust,
    /// The manifest that came first, which says what the release is.
    pub manifest_hash: Hash,
    pub manifest: Manifest,
    /// The files of all its manifests, in the order in which they were added.
    pub files: Vec<ReleaseFile>,
    /// Manifests of it that could not be had: it may have further files.
    #[serde(default)]
    pub missing: usize,
    #[serde(flatten)]
    pub state: ReleaseState,
    /// What its owner calls the version, such as `stable`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How sure it is that the package's state, by which this release was chosen, is its current one.
    #[serde(default)]
    pub freshness: Freshness,
    pub source: Source,
}

impl Release {
    /// For eyes: see [`title`].
    pub fn title(&self) -> String {
        title(&self.package, self.handle.as_ref(), self.trust)
    }
}

/// What this node publishes with, and what it has published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// `None` before the first publish, which makes a key.
    pub publisher: Option<PublisherId>,
    /// Where the publisher's key is, or will be, on the node's machine.
    pub key: PathBuf,
    /// By name.
    pub packages: Vec<OwnPackage>,
}

/// A package of this node's publisher, and how far its last publish got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnPackage {
    pub id: PackageId,
    pub handle: Option<Handle>,
    pub seq: u64,
    pub signed_at: Timestamp,
    pub releases: usize,
    /// Of all releases, in the order they were published.
    #[serde(default)]
    pub versions: Vec<VersionText>,
    /// The highest release, yanked or not.
    pub latest: Option<ReleaseEntry>,
    /// Its manifest, if it is held.
    pub manifest: Option<Manifest>,
    /// Peers from whom it was read back, and to whom it was announced; `None` when another node published it.
    pub replicas: Option<usize>,
    pub announced: Option<usize>,
    /// Other nodes that were seen to have the bytes of the latest release.
    #[serde(default)]
    pub copies: usize,
    /// The network has not taken all of it yet.
    pub pending: bool,
}

/// This node's publisher, whose key is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    pub id: PublisherId,
    /// Set when this made the key: where it is, so that it can be backed up.
    pub new_key: Option<PathBuf>,
}

/// What `publish`, `yank` and `unyank` reached.
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
    /// What is wrong with this machine's clock, where others refuse the announcement for it.
    #[serde(default)]
    pub clock: Option<String>,
    /// Set when this publish made the publisher's key: where it is, so that it can be backed up.
    pub new_key: Option<std::path::PathBuf>,
}

/// How far a publish got, and how long each step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Time to find the newest head, before signing.
    pub lookup: Duration,
    /// Time from signing to the acknowledged commit in the local store: from here on nothing is lost.
    pub stored: Duration,
    /// Peers from whom head and manifest were read back.
    pub replicas: usize,
    /// Peers in the mesh that the announcement was sent to.
    pub announced: usize,
    /// Other nodes that were seen to have the bytes, and how many are to have them. None of them is counted for a yank.
    #[serde(default)]
    pub copies: usize,
    #[serde(default)]
    pub copies_wanted: usize,
}

impl Steps {
    /// Where the bytes are, in words.
    pub fn copied(&self) -> String {
        match self.copies_wanted {
            0 => String::new(),
            wanted if self.copies < wanted => {
                format!("bytes {}, of {wanted} that are to have them", on_other_nodes(self.copies))
            }
            _ => format!("bytes {}", on_other_nodes(self.copies)),
        }
    }
}

/// How many other nodes something is on, in words.
pub fn on_other_nodes(count: usize) -> String {
    match count {
        0 => "on no other node".to_owned(),
        1 => "on 1 other node".to_owned(),
        count => format!("on {count} other nodes"),
    }
}

/// What a publish tells while it runs.
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

/// An announcement this node took from gossip, or made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    pub at: Timestamp,
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub trust: Trust,
    pub version: VersionText,
    pub summary: String,
    pub yanked: bool,
    /// The peer that passed it on; `None` for our own.
    pub via: Option<PeerId>,
    /// From the publisher's signature to our verification, by the two clocks; never negative.
    pub delay: Duration,
    /// From the sending of this announcement to our verification, likewise: what gossip itself took.
    pub travelled: Duration,
    pub seq: u64,
}

/// A publisher's claim that a node is its own, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOwner {
    pub publisher: PublisherId,
    pub handle: Handle,
}

impl fmt::Display for NodeOwner {
    /// Writes the handle with its key's fingerprint: anybody may claim a handle.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.handle, self.publisher.fingerprint())
    }
}

/// Dropped things by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub reason: Refusal,
    pub count: u64,
}
