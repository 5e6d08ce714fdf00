//! Packages and releases as a node knows them now. Everything serialises: scripts get the same
//! values that the explorer shows.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    freshness::Freshness,
    hash::Hash,
    manifest::{File, Manifest},
    name::{Handle, PackageId, PublisherId},
    release::{self, ReleaseEntry},
    releases::Releases,
    text::printable,
    time::Timestamp,
    trust::Trust,
    version::VersionText,
};

/// The origin of an answer.
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

/// A package for eyes: `handle/name` where the handle is bound to the key on this node, else with
/// the key's fingerprint, because anybody may claim a handle.
pub fn title(package: &PackageId, handle: Option<&Handle>, trust: Trust) -> String {
    match handle {
        Some(_) if !trust.is_bound() => {
            format!(
                "{} ({})",
                claimed(package, handle),
                package.owner.fingerprint()
            )
        }
        handle => claimed(package, handle),
    }
}

/// A package as its publisher calls it, for eyes that see the fingerprint elsewhere; with the
/// fingerprint where the publisher calls itself nothing.
pub fn claimed(package: &PackageId, handle: Option<&Handle>) -> String {
    match handle {
        Some(handle) => format!("{handle}/{}", package.name),
        None => format!("{}/{}", package.owner.fingerprint(), package.name),
    }
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
    /// The evidence that this is its current state.
    #[serde(flatten)]
    pub freshness: Freshness,
    /// Names for versions, as the owner gives them.
    #[serde(default)]
    pub tags: BTreeMap<String, VersionText>,
    /// Every release, in the order they were published.
    pub releases: Releases,
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

    /// Returns the owner's tags for a version.
    pub fn tags_of(&self, version: &VersionText) -> Vec<String> {
        let key = version.key(self.id.name.ecosystem());
        let named = self
            .tags
            .iter()
            .filter(|(_, named)| named.key(self.id.name.ecosystem()) == key);
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
    /// Set for a conflict about one file, which both list with different bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The owner's present words about a release.
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
        Self {
            yanked: entry.is_yanked(),
            why_yanked,
            deprecated: entry.deprecated.clone(),
        }
    }

    /// Returns true where the owner says more than that it is yanked.
    pub fn has_words(&self) -> bool {
        self.why_yanked.is_some() || self.deprecated.is_some()
    }

    /// Returns the owner's warnings, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let yanked = match &self.why_yanked {
            Some(why) => Some(format!("yanked by its owner: {}", printable(why))),
            None => self
                .yanked
                .then(|| "yanked by its owner, who asks not to choose it".to_owned()),
        };
        let deprecated = self
            .deprecated
            .as_ref()
            .map(|message| format!("deprecated by its owner: {}", printable(message)));
        yanked.into_iter().chain(deprecated).collect()
    }
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile {
    pub file: File,
    /// The manifest that lists it.
    pub manifest: Hash,
    /// The time of the signature, by the owner's clock.
    pub signed_at: Timestamp,
    /// The owner's reason not to choose it, if they ask for that; it may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
}

/// The files that manifests of a release list, each name once: of two, the one in the earlier
/// manifest counts.
pub fn files_of<'a>(
    entry: &ReleaseEntry,
    manifests: impl IntoIterator<Item = (Hash, &'a Manifest)>,
) -> Vec<ReleaseFile> {
    let mut names = HashSet::new();
    let files = manifests.into_iter().flat_map(|(hash, manifest)| {
        manifest
            .files
            .iter()
            .map(move |file| (hash, manifest, file))
    });
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
    /// The owner's tags for the version, such as `stable`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The evidence that the package's state, by which this release was chosen, is its current one.
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

/// This node's publisher, and the packages that it has published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// `None` before the first publish, which makes a key.
    pub publisher: Option<PublisherId>,
    /// The path of the publisher's key on the node's machine; the key may not be there yet.
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
    /// Peers from whom it was read back, and to whom it was announced; `None` when another node
    /// published it.
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
