//! Releases as heads and pages list them, and pure operations on such lists.
//!
//! Several records may list a version. If a later one lists it again, the later state counts, and
//! its manifests are added to the earlier ones. So a page never changes, and a change to an old
//! version is one entry.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{hash::Hash, text::safe_or_not, version::VersionText};
use crate::ecosystem::{Ecosystem, Plain, Requirement, Version};

/// Longest reason of a yank and longest message of a deprecation, in characters.
pub const MAX_REASON: usize = 500;
/// The most files of one version that may be yanked individually.
pub const MAX_YANKED_FILES: usize = 64;
/// The most bytes of reasons and messages in one entry, so that an entry always fits into a page.
pub const MAX_STATE: usize = 4 * 1024;

/// An entry of a head or page: a version, its manifests, and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    /// The version.
    #[serde(rename = "v")]
    pub version: VersionText,
    /// Hashes of the signed manifests, in the order in which they were added.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Hash>,
    /// An older record lists further manifests of it.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
    /// The owner asks package managers not to choose it. The reason may be empty.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    /// The owner recommends a replacement, or advises against it.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Files that are yanked individually.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub yanked_files: Vec<YankedFile>,
}

/// A yanked file, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YankedFile {
    /// The name of the file.
    #[serde(rename = "n")]
    pub name: String,
    /// The owner's reason, which may be empty.
    #[serde(rename = "y", default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl ReleaseEntry {
    /// Creates an entry with a version's first manifest.
    pub fn new(version: VersionText, manifest: Hash) -> Self {
        let manifests = vec![manifest];
        Self {
            version,
            manifests,
            older: false,
            yanked: None,
            deprecated: None,
            yanked_files: Vec::new(),
        }
    }

    /// Returns an entry with the state of the version for another record, without its manifests.
    fn again(&self) -> Self {
        Self {
            manifests: Vec::new(),
            older: true,
            ..self.clone()
        }
    }

    /// Splits off all manifests except the `last` ones, as an entry for an older record. The state
    /// of the version stays here.
    pub(super) fn split_off(&mut self, last: usize) -> Self {
        /// Small enough for the split-off part to fit into a page.
        const MOST: usize = 128;
        let count = self.manifests.len().saturating_sub(last).min(MOST);
        let front: Vec<Hash> = self.manifests.drain(..count).collect();
        let older = std::mem::replace(&mut self.older, true);
        Self {
            manifests: front,
            older,
            yanked: None,
            deprecated: None,
            yanked_files: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns true if the version is yanked as a whole.
    pub fn is_yanked(&self) -> bool {
        self.yanked.is_some()
    }

    /// Returns the first manifest, which describes the release. An entry that continues an older
    /// record's may have none.
    pub fn first(&self) -> Option<Hash> {
        self.manifests.first().copied()
    }

    /// Returns true if the entry lists the manifest.
    pub fn lists(&self, manifest: &Hash) -> bool {
        self.manifests.contains(manifest)
    }

    /// Returns the reason why a file of it is yanked; `None` if it is not.
    pub fn why_yanked(&self, file: &str) -> Option<&str> {
        let one = self.yanked_files.iter().find(|yanked| yanked.name == file);
        self.yanked
            .as_deref()
            .or(one.map(|yanked| yanked.why.as_str()))
    }

    /// Checks the rules that hold for a single entry.
    ///
    /// # Errors
    /// The name of the field that breaks one.
    pub fn check(&self, ecosystem: &Ecosystem) -> Result<(), &'static str> {
        let texts = || [&self.yanked, &self.deprecated].into_iter().flatten();
        let whys = || self.yanked_files.iter().map(|file| &file.why);
        let bytes: usize = texts()
            .chain(whys())
            .chain(self.yanked_files.iter().map(|file| &file.name))
            .map(String::len)
            .sum();
        let once = |names: &[YankedFile]| {
            names
                .iter()
                .map(|file| &file.name)
                .collect::<HashSet<_>>()
                .len()
                == names.len()
        };
        if self.version.read(ecosystem).is_err() {
            Err("version")
        } else if self.manifests.is_empty() && !self.older
            || !ecosystem.grows() && self.manifests.len() > 1
        {
            Err("manifests")
        } else if texts()
            .chain(whys())
            .any(|text| check_reason(text).is_err())
        {
            Err("reason")
        } else if self.yanked_files.len() > MAX_YANKED_FILES
            || !once(&self.yanked_files)
            || self
                .yanked_files
                .iter()
                .any(|file| super::manifest::check_file(&file.name).is_err())
        {
            Err("yanked files")
        } else if bytes > MAX_STATE {
            Err("state")
        } else {
            Ok(())
        }
    }
}

/// Checks that a reason or message may be signed. Like a description, it may have several lines.
///
/// # Errors
/// The problem, as the end of a sentence that begins with the kind of text.
pub fn check_reason(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length > MAX_REASON {
        return Err(format!(
            "is {length} characters long, but at most {MAX_REASON} are allowed"
        ));
    }
    let is_bad = |(c, is_unsafe): (char, bool)| is_unsafe && c != '\n';
    match safe_or_not(text).any(is_bad) {
        true => Err("has control or invisible characters; remove them".to_owned()),
        false => Ok(()),
    }
}

/// Returns the releases with their parsed versions, in the given order. Versions that the ecosystem
/// does not allow are left out; a verified head or page has none.
pub fn read<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
) -> Vec<(Version, &'a ReleaseEntry)> {
    releases
        .iter()
        .filter_map(|entry| Some((entry.version.read(ecosystem).ok()?, entry)))
        .collect()
}

/// Merges the entries of records, from the earliest to the latest: each version once, at the place
/// of its first entry, with all its manifests and its latest state.
pub fn gather<'a>(
    ecosystem: &Ecosystem,
    records: impl IntoIterator<Item = &'a [ReleaseEntry]>,
) -> Vec<ReleaseEntry> {
    let mut gathered: Vec<ReleaseEntry> = Vec::new();
    let mut at: HashMap<String, usize> = HashMap::new();
    for entry in records.into_iter().flatten() {
        let key = entry.version.key(ecosystem);
        let Some(held) = at.get(&key).and_then(|at| gathered.get_mut(*at)) else {
            at.insert(key, gathered.len());
            gathered.push(entry.clone());
            continue;
        };
        let mut manifests = std::mem::take(&mut held.manifests);
        let known: HashSet<Hash> = manifests.iter().copied().collect();
        manifests.extend(
            entry
                .manifests
                .iter()
                .filter(|manifest| !known.contains(manifest)),
        );
        *held = ReleaseEntry {
            manifests,
            older: held.older,
            version: held.version.clone(),
            ..entry.clone()
        };
    }
    gathered
}

/// Returns the release that satisfies `requirement`: the highest version that matches and is not
/// yanked.
///
/// Without a requirement, that is the highest release proper, or the highest pre-release if there
/// is nothing else. With one, pre-releases count as the ecosystem defines. A yanked release is
/// returned only if it is named exactly, as cargo does for a lock file.
pub fn resolve<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
    requirement: Option<&Requirement>,
) -> Option<&'a ReleaseEntry> {
    let Some(requirement) = requirement.filter(|requirement| !requirement.is_any()) else {
        return latest(ecosystem, releases);
    };
    let read = read(ecosystem, releases);
    let found = read
        .iter()
        .filter(|(version, release)| !release.is_yanked() && requirement.names(version))
        .max_by_key(|(version, _)| version)
        .or_else(|| {
            read.iter()
                .find(|(version, _)| requirement.is_exactly(version))
        });
    found.map(|(_, entry)| *entry)
}

/// Returns the highest release proper that is not yanked, or the highest pre-release if there is
/// nothing else. Of plain versions, by far the most frequent, only the highest is parsed.
fn latest<'a>(ecosystem: &Ecosystem, releases: &'a [ReleaseEntry]) -> Option<&'a ReleaseEntry> {
    let mut highest_plain: Option<(Plain<'_>, &ReleaseEntry)> = None;
    let mut others = Vec::new();
    for entry in releases.iter().filter(|release| !release.is_yanked()) {
        match ecosystem.plain_version(entry.version.as_str()) {
            Some(plain) if highest_plain.is_none_or(|(highest, _)| plain >= highest) => {
                highest_plain = Some((plain, entry));
            }
            Some(_) => {}
            None => others.push(entry),
        }
    }
    let read: Vec<(Version, &ReleaseEntry)> = others
        .into_iter()
        .chain(highest_plain.map(|(_, entry)| entry))
        .filter_map(|entry| Some((entry.version.read(ecosystem).ok()?, entry)))
        .collect();
    let highest = |wanted: fn(&Version) -> bool| {
        read.iter()
            .filter(|(version, _)| wanted(version))
            .max_by_key(|(version, _)| version)
    };
    highest(|version| !version.is_pre_release())
        .or_else(|| highest(|_| true))
        .map(|(_, entry)| *entry)
}

/// Returns the highest release, yanked or not.
pub fn highest<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
) -> Option<&'a ReleaseEntry> {
    read(ecosystem, releases)
        .into_iter()
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, entry)| entry)
}

/// Returns the entry of a version, in any spelling.
pub fn find<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
    version: &VersionText,
) -> Option<&'a ReleaseEntry> {
    let key = version.key(ecosystem);
    releases
        .iter()
        .find(|entry| entry.version.has_key(ecosystem, &key))
}

/// Suggests versions for a requirement that matches none: other builds of the version named,
/// otherwise the highest, five at most.
pub fn instead(
    ecosystem: &Ecosystem,
    releases: &[ReleaseEntry],
    requirement: &Requirement,
) -> Vec<VersionText> {
    let mut others = read(ecosystem, releases);
    if others
        .iter()
        .any(|(version, _)| requirement.names_build_of(version))
    {
        others.retain(|(version, _)| requirement.names_build_of(version));
    }
    others.sort_by(|(a, _), (b, _)| b.cmp(a));
    others
        .into_iter()
        .take(5)
        .map(|(_, entry)| entry.version.clone())
        .collect()
}

/// A version whose manifest differs from the first one seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionConflict {
    /// The version.
    pub version: VersionText,
    /// The manifest seen first, which counts.
    pub kept: Hash,
    /// The other manifest.
    pub offered: Hash,
}

/// Returns the versions that `known` lists with another manifest. In an ecosystem whose releases
/// grow, another manifest is an addition and no conflict.
pub fn conflicts(
    ecosystem: &Ecosystem,
    known: &[ReleaseEntry],
    offered: &[ReleaseEntry],
) -> Vec<VersionConflict> {
    if ecosystem.grows() {
        return Vec::new();
    }
    let first: HashMap<String, Hash> = known
        .iter()
        .filter_map(|entry| Some((entry.version.key(ecosystem), entry.first()?)))
        .collect();
    let changed = |entry: &ReleaseEntry| {
        let kept = *first.get(&entry.version.key(ecosystem))?;
        let offered = *entry.manifests.iter().find(|manifest| **manifest != kept)?;
        Some(VersionConflict {
            version: entry.version.clone(),
            kept,
            offered,
        })
    };
    offered.iter().filter_map(changed).collect()
}

/// Returns the manifests that a later state has removed from an earlier one. `later` must list
/// everything that the later state lists in place of `earlier`.
pub fn removed(
    ecosystem: &Ecosystem,
    earlier: &[ReleaseEntry],
    later: &[ReleaseEntry],
) -> Vec<(VersionText, Hash)> {
    let listed: HashSet<(String, Hash)> = later
        .iter()
        .flat_map(|entry| {
            entry
                .manifests
                .iter()
                .map(|one| (entry.version.key(ecosystem), *one))
        })
        .collect();
    let gone = earlier
        .iter()
        .flat_map(|entry| entry.manifests.iter().map(move |one| (entry, *one)));
    gone.filter(|(entry, one)| !listed.contains(&(entry.version.key(ecosystem), *one)))
        .map(|(entry, one)| (entry.version.clone(), one))
        .collect()
}

/// The entries of a head in preparation: the newest ones, which it lists itself, and those in
/// pages, which do not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEntries {
    /// The entries that the head lists itself.
    pub recent: Vec<ReleaseEntry>,
    /// The merged entries of all records that are held.
    pub all: Vec<ReleaseEntry>,
}

impl HeadEntries {
    /// Adds a manifest to a version, or adds the version.
    pub fn add(&mut self, ecosystem: &Ecosystem, version: &VersionText, manifest: Hash) {
        if find(ecosystem, &self.all, version).is_some() {
            self.change(ecosystem, version, |entry| {
                if !entry.lists(&manifest) {
                    entry.manifests.push(manifest);
                }
            });
        } else {
            let entry = ReleaseEntry::new(version.clone(), manifest);
            self.recent.push(entry.clone());
            self.all.push(entry);
        }
    }

    /// Changes the state of a version. Returns false if there is no such version.
    pub fn change(
        &mut self,
        ecosystem: &Ecosystem,
        version: &VersionText,
        change: impl Fn(&mut ReleaseEntry),
    ) -> bool {
        let key = version.key(ecosystem);
        let is_it = |entry: &&mut ReleaseEntry| entry.version.has_key(ecosystem, &key);
        let Some(whole) = self.all.iter_mut().find(is_it) else {
            return false;
        };
        match self.recent.iter_mut().find(is_it) {
            Some(entry) => change(entry),
            None => {
                let mut entry = whole.again();
                change(&mut entry);
                self.recent.push(entry);
            }
        }
        change(whole);
        true
    }

    /// Joins the entries of another state of the package: its versions, the manifests of versions
    /// that may have several, and yanks and deprecations of either state. If a version may have one
    /// manifest only, ours stays.
    pub fn join(&mut self, ecosystem: &Ecosystem, other: &[ReleaseEntry]) {
        for theirs in other {
            let known = find(ecosystem, &self.all, &theirs.version).cloned();
            for manifest in &theirs.manifests {
                let takes = known
                    .as_ref()
                    .is_none_or(|known| ecosystem.grows() && !known.lists(manifest));
                if takes {
                    self.add(ecosystem, &theirs.version, *manifest);
                }
            }
            // A yank of another manifest does not apply to ours.
            let same = known.as_ref().is_none_or(|known| {
                ecosystem.grows()
                    || theirs
                        .manifests
                        .iter()
                        .all(|manifest| known.lists(manifest))
            });
            let says_more = known
                .as_ref()
                .is_none_or(|known| said(known, theirs) != *known);
            if same && says_more {
                self.change(ecosystem, &theirs.version, |entry| {
                    *entry = said(entry, theirs)
                });
            }
        }
    }

    /// Makes the head itself list the latest release, because packages are listed and shown by
    /// their heads.
    pub fn keep_latest(&mut self, ecosystem: &Ecosystem) {
        let Some(latest) = resolve(ecosystem, &self.all, None) else {
            return;
        };
        if find(ecosystem, &self.recent, &latest.version)
            .is_none_or(|entry| entry.manifests.is_empty())
        {
            let (latest, first) = (latest.clone(), latest.first());
            self.recent
                .retain(|entry| entry.version.key(ecosystem) != latest.version.key(ecosystem));
            let older = latest.manifests.len() > 1 || latest.older;
            self.recent.push(ReleaseEntry {
                manifests: first.into_iter().collect(),
                older,
                ..latest
            });
        }
    }
}

/// Returns an entry with the yanks and deprecations of another one added.
fn said(entry: &ReleaseEntry, other: &ReleaseEntry) -> ReleaseEntry {
    let mut said = entry.clone();
    said.yanked = said.yanked.or_else(|| other.yanked.clone());
    said.deprecated = said.deprecated.or_else(|| other.deprecated.clone());
    for file in &other.yanked_files {
        if said.yanked_files.len() < MAX_YANKED_FILES
            && said
                .yanked_files
                .iter()
                .all(|known| known.name != file.name)
        {
            said.yanked_files.push(file.clone());
        }
    }
    said
}

#[cfg(test)]
mod tests;
