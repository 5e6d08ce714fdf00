//! Releases as heads and pages list them, and the pure operations on such lists.
//!
//! A version may be listed by several records: where a later one lists it again, what that says of
//! its state counts, and its manifests are added to those that were listed before. So a page never
//! changes, and a change of an old version is one entry.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{hash::Hash, text::safe_or_not, version::VersionText};
use crate::ecosystem::{Ecosystem, Plain, Requirement, Version};

/// Longest reason of a yank and longest message of a deprecation, in characters.
pub const MAX_REASON: usize = 500;
/// Most files of one version that may be yanked one by one.
pub const MAX_YANKED_FILES: usize = 64;
/// Most bytes of what one entry says of its version's state, so that an entry always fits into a
/// page.
pub const MAX_STATE: usize = 4 * 1024;

/// One line of a head or page: a version, the manifests of its files, and what its owner says of it
/// now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    #[serde(rename = "v")]
    pub version: VersionText,
    /// Hashes of the signed payloads, in the order in which they were added.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Hash>,
    /// An older record lists manifests of it too.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
    /// The owner asks not to choose it; the reason may be empty.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    /// The owner says what to use instead, or why not to use it.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Files that the owner asks not to choose, while others of the version stay.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub yanked_files: Vec<YankedFile>,
}

/// A file that is yanked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YankedFile {
    #[serde(rename = "n")]
    pub name: String,
    #[serde(rename = "y", default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl ReleaseEntry {
    /// A version with its first manifest.
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

    /// What is said of a version now, in a record that is not the one with its manifests.
    fn again(&self) -> Self {
        Self {
            manifests: Vec::new(),
            older: true,
            ..self.clone()
        }
    }

    /// Cuts off the manifests but the `last` ones, as an entry for an older record; what is said of
    /// the version stays here.
    pub(super) fn split_off(&mut self, last: usize) -> Self {
        /// So that the part that is cut off fits into a page.
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

    pub fn is_yanked(&self) -> bool {
        self.yanked.is_some()
    }

    /// The manifest that came first, which says what the release is. An entry that continues an
    /// older record's may have none.
    pub fn first(&self) -> Option<Hash> {
        self.manifests.first().copied()
    }

    pub fn lists(&self, manifest: &Hash) -> bool {
        self.manifests.contains(manifest)
    }

    /// Why a file of it is not to be chosen, if it is not.
    pub fn why_yanked(&self, file: &str) -> Option<&str> {
        let one = self.yanked_files.iter().find(|yanked| yanked.name == file);
        self.yanked
            .as_deref()
            .or(one.map(|yanked| yanked.why.as_str()))
    }

    /// Every rule that holds for an entry by itself; the error names the field.
    ///
    /// # Errors
    /// When one is broken.
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

/// A reason or message as it may be signed: one line or several, as a description is.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with what it is.
pub fn check_reason(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length > MAX_REASON {
        return Err(format!("is {length} characters long, {MAX_REASON} at most"));
    }
    let is_bad = |(c, is_unsafe): (char, bool)| is_unsafe && c != '\n';
    match safe_or_not(text).any(is_bad) {
        true => Err("has control or invisible characters; remove them".to_owned()),
        false => Ok(()),
    }
}

/// Releases with their versions read, so that they can be compared; in the order given, those left
/// out whose version the ecosystem does not have. A verified head or page has none of these.
pub fn read<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
) -> Vec<(Version, &'a ReleaseEntry)> {
    releases
        .iter()
        .filter_map(|entry| Some((entry.version.read(ecosystem).ok()?, entry)))
        .collect()
}

/// What records list, each of them later than the one before: a version once, in the place where it
/// is listed first, with all its manifests and its latest state.
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

/// The release that `requirement` asks for: the highest version that matches and is not yanked.
///
/// Without a requirement, the highest release proper, or the highest pre-release where there is
/// nothing else. With one, pre-releases count as its ecosystem has it. A yanked release is returned
/// only where it is named exactly, as cargo does for a lock file.
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

/// The highest release proper that is not yanked, or the highest pre-release where there is nothing
/// else. Of those with plain versions, which most are, only the highest is read.
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

/// The highest release, yanked or not.
pub fn highest<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
) -> Option<&'a ReleaseEntry> {
    read(ecosystem, releases)
        .into_iter()
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, entry)| entry)
}

/// The entry of a version, however it is spelt.
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

/// Versions to name to somebody whose requirement takes none: other builds of the version that was
/// named, else the highest, five at most.
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

/// A version whose manifest hash differs from the first one seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionConflict {
    pub version: VersionText,
    pub kept: Hash,
    pub offered: Hash,
}

/// The versions in `offered` that `known` has under another hash. Where releases grow, another
/// manifest is an addition, and there are none.
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

/// What a later state must list of an earlier one and does not: manifests that were taken away.
/// `later` is everything that the later state lists where the earlier one listed `earlier`.
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

/// The entries of a head that is being made: the newest ones, which it lists itself, before older
/// ones in pages that stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    pub recent: Vec<ReleaseEntry>,
    /// What all records list together, as far as they are held.
    pub all: Vec<ReleaseEntry>,
}

impl Entries {
    /// Adds a manifest to a version, or a version.
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

    /// Changes what is said of a version; false when there is none.
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

    /// Takes in what another state of the package lists: its versions, the manifests of those that
    /// may have several, and what either of them says against a version. Where a version may have
    /// one manifest, the one that is here stays.
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
            // What is said of another manifest is not said of this one.
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

    /// Has the latest release among those that the head itself lists: a package is listed, and
    /// shown, by what its head says.
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

/// An entry with what another one says against its version too.
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
