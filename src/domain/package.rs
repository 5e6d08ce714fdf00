//! Packages and releases as a node knows them now. Everything serialises, so scripts get the same
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
    /// A peer answered a direct request.
    Peer(PeerId),
    /// A DHT lookup.
    Dht,
}

impl Source {
    /// Returns a short name for display.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Local => "local",
            Self::Peer(_) => "peer",
            Self::Dht => "DHT",
        }
    }
}

/// Returns a package's display name: `handle/name` if the handle is bound to the key on this node,
/// otherwise with the key's fingerprint, because anybody may claim a handle.
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

/// Returns a package's display name next to a separate fingerprint: the publisher's handle and the
/// name, with the fingerprint only if there is no handle.
pub fn claimed(package: &PackageId, handle: Option<&Handle>) -> String {
    match handle {
        Some(handle) => format!("{handle}/{}", package.name),
        None => format!("{}/{}", package.owner.fingerprint(), package.name),
    }
}

/// A package as this node knows it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The owner and name.
    pub id: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The trust in the publisher.
    pub trust: Trust,
    /// The publisher's number for this state of the package.
    pub seq: u64,
    /// The time of signing, by the publisher's clock.
    pub signed_at: Timestamp,
    /// The evidence that this is its current state.
    #[serde(flatten)]
    pub freshness: Freshness,
    /// The owner's tags, each naming a version.
    #[serde(default)]
    pub tags: BTreeMap<String, VersionText>,
    /// Every release, in order of publication.
    pub releases: Releases,
    /// False if an older page was unavailable, so `releases` lacks the oldest ones.
    pub complete: bool,
    /// The manifest of the release that a request without a version gets.
    pub latest: Option<Manifest>,
    /// Versions for which a second manifest was seen, kept as evidence.
    pub conflicts: Vec<Conflict>,
    /// The origin of the answer.
    pub source: Source,
}

impl Package {
    /// Returns the display name: see [`title`].
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

    /// Returns the latest release, if its manifest is known.
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
    /// The package.
    pub package: PackageId,
    /// The version.
    pub version: VersionText,
    /// The manifest seen first, which counts.
    pub kept: Hash,
    /// The other manifest.
    pub offered: Hash,
    /// The time at which it was seen.
    pub seen_at: Timestamp,
    /// The file concerned, if both list one file with different bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The owner's current remarks about a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseState {
    /// The owner asks package managers not to choose it.
    pub yanked: bool,
    /// The owner's reason for the yank, unless it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_yanked: Option<String>,
    /// The owner's message, if the release is deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

impl ReleaseState {
    /// Returns the state in an entry.
    pub fn of(entry: &ReleaseEntry) -> Self {
        let why_yanked = entry.yanked.clone().filter(|why| !why.is_empty());
        Self {
            yanked: entry.is_yanked(),
            why_yanked,
            deprecated: entry.deprecated.clone(),
        }
    }

    /// Returns true if the owner gave a reason or a message.
    pub fn has_words(&self) -> bool {
        self.why_yanked.is_some() || self.deprecated.is_some()
    }

    /// Returns the owner's warnings, as sentences.
    pub fn warnings(&self) -> Vec<String> {
        let yanked = match &self.why_yanked {
            Some(why) => Some(format!("yanked by its owner: {}", printable(why))),
            None => self
                .yanked
                .then(|| "yanked by its owner, who advises against using it".to_owned()),
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
    /// The file.
    pub file: File,
    /// The manifest that lists it.
    pub manifest: Hash,
    /// The time of the signature, by the owner's clock.
    pub signed_at: Timestamp,
    /// The owner's reason not to choose it, if they ask for that; it may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
}

/// Returns the files that a release's manifests list, each name once: if two manifests list one,
/// the earlier counts.
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
    /// The package.
    pub package: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The trust in the publisher.
    #[serde(default)]
    pub trust: Trust,
    /// The first manifest, which describes the release.
    pub manifest_hash: Hash,
    /// The manifest.
    pub manifest: Manifest,
    /// The files of all its manifests, in the order in which they were added.
    pub files: Vec<ReleaseFile>,
    /// The number of its manifests that were unavailable: it may have further files.
    #[serde(default)]
    pub missing: usize,
    /// The owner's current remarks.
    #[serde(flatten)]
    pub state: ReleaseState,
    /// The owner's tags for the version, such as `stable`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The evidence that the package's state, by which this release was chosen, is its current one.
    #[serde(default)]
    pub freshness: Freshness,
    /// The origin of the answer.
    pub source: Source,
}

impl Release {
    /// Returns the display name: see [`title`].
    pub fn title(&self) -> String {
        title(&self.package, self.handle.as_ref(), self.trust)
    }
}

/// This node's publisher and its packages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnPackages {
    /// `None` before the first publish, which creates a key.
    pub publisher: Option<PublisherId>,
    /// The path of the publisher's key on the node's machine. The file may not exist yet.
    pub key: PathBuf,
    /// Its packages, sorted by name.
    pub packages: Vec<OwnPackage>,
}

/// A package of this node's publisher, with the progress of its last publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnPackage {
    /// The owner and name.
    pub id: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The number of the latest state.
    pub seq: u64,
    /// The time of signing of the latest state.
    pub signed_at: Timestamp,
    /// The number of releases.
    pub releases: usize,
    /// The versions of all releases, in order of publication.
    #[serde(default)]
    pub versions: Vec<VersionText>,
    /// The highest release, yanked or not.
    pub latest: Option<ReleaseEntry>,
    /// The manifest of the latest release, if it is held.
    pub manifest: Option<Manifest>,
    /// Peers from which it was read back, and peers to which it was announced; `None` if another
    /// node published it.
    pub replicas: Option<usize>,
    /// Peers to which it was announced.
    pub announced: Option<usize>,
    /// Other nodes seen to have the bytes of the latest release.
    #[serde(default)]
    pub copies: usize,
    /// Delivery to the network is not complete yet.
    pub pending: bool,
}

/// This node's publisher, whose key exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPublisher {
    /// The publisher.
    pub id: PublisherId,
    /// Path of the key if this call created it, so that it can be backed up.
    pub new_key: Option<PathBuf>,
}
