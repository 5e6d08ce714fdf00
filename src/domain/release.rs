//! Releases as heads list them, and the pure operations on such lists.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{hash::Hash, version::VersionText};
use crate::ecosystem::{Ecosystem, Requirement, Version};

/// One line of a head or page: a version, the hash of its manifest's signed payload, and whether it is yanked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    #[serde(rename = "v")]
    pub version: VersionText,
    #[serde(rename = "m")]
    pub manifest: Hash,
    #[serde(rename = "y", default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
}

/// Releases with their versions read, so that they can be compared; in the order given, those left out whose version the ecosystem
/// does not have. A verified head or page has none of these.
pub fn read<'a>(ecosystem: &Ecosystem, releases: &'a [ReleaseEntry]) -> Vec<(Version, &'a ReleaseEntry)> {
    releases.iter().filter_map(|entry| Some((entry.version.read(ecosystem).ok()?, entry))).collect()
}

/// The release that `requirement` asks for: the highest version that matches and is not yanked.
///
/// Without a requirement, the highest release proper, or the highest pre-release where there is nothing else. With one, pre-releases
/// count as its ecosystem has it. A yanked release is returned only where it is named exactly, as cargo does for a lock file.
pub fn resolve<'a>(
    ecosystem: &Ecosystem,
    releases: &'a [ReleaseEntry],
    requirement: Option<&Requirement>,
) -> Option<&'a ReleaseEntry> {
    let read = read(ecosystem, releases);
    let live = || read.iter().filter(|(_, release)| !release.yanked);
    let found = match requirement {
        Some(requirement) if !requirement.is_any() => live()
            .filter(|(version, _)| requirement.names(version))
            .max_by_key(|(version, _)| version)
            .or_else(|| read.iter().find(|(version, _)| requirement.is_exactly(version))),
        _ => live()
            .filter(|(version, _)| !version.is_pre_release())
            .max_by_key(|(version, _)| version)
            .or_else(|| live().max_by_key(|(version, _)| version)),
    };
    found.map(|(_, entry)| *entry)
}

/// The highest release, yanked or not.
pub fn highest<'a>(ecosystem: &Ecosystem, releases: &'a [ReleaseEntry]) -> Option<&'a ReleaseEntry> {
    read(ecosystem, releases).into_iter().max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, entry)| entry)
}

/// Versions to name to somebody whose requirement takes none: other builds of the version that was named, else the highest,
/// five at most.
pub fn instead(ecosystem: &Ecosystem, releases: &[ReleaseEntry], requirement: &Requirement) -> Vec<VersionText> {
    let mut others = read(ecosystem, releases);
    if others.iter().any(|(version, _)| requirement.names_build_of(version)) {
        others.retain(|(version, _)| requirement.names_build_of(version));
    }
    others.sort_by(|(a, _), (b, _)| b.cmp(a));
    others.into_iter().take(5).map(|(_, entry)| entry.version.clone()).collect()
}

/// A version whose manifest hash differs from the first one seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionConflict {
    pub version: VersionText,
    pub kept: Hash,
    pub offered: Hash,
}

/// The versions in `offered` that `known` has under another hash.
pub fn conflicts(ecosystem: &Ecosystem, known: &[ReleaseEntry], offered: &[ReleaseEntry]) -> Vec<VersionConflict> {
    let first: HashMap<Version, Hash> =
        read(ecosystem, known).into_iter().map(|(version, entry)| (version, entry.manifest)).collect();
    read(ecosystem, offered)
        .into_iter()
        .filter_map(|(version, entry)| {
            let kept = *first.get(&version)?;
            (kept != entry.manifest).then(|| VersionConflict {
                version: entry.version.clone(),
                kept,
                offered: entry.manifest,
            })
        })
        .collect()
}

/// Joins the release lists of forked heads: first come, first kept; yanked anywhere is yanked.
///
/// The result keeps the order of `base` and appends what only `other` has, so that old pages stay as they are.
pub fn merge(ecosystem: &Ecosystem, base: &[ReleaseEntry], other: &[ReleaseEntry]) -> Vec<ReleaseEntry> {
    let mut merged = base.to_vec();
    let at: HashMap<Version, usize> =
        (0..).zip(base).filter_map(|(at, entry)| Some((entry.version.read(ecosystem).ok()?, at))).collect();
    for (version, entry) in read(ecosystem, other) {
        match at.get(&version).and_then(|at| merged.get_mut(*at)) {
            Some(held) => held.yanked |= entry.yanked && held.manifest == entry.manifest,
            None => merged.push(entry.clone()),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(version: &str, manifest: u8, yanked: bool) -> ReleaseEntry {
        ReleaseEntry { version: version.parse().unwrap(), manifest: Hash([manifest; 32]), yanked }
    }

    #[test]
    fn the_highest_live_release_is_resolved() {
        let list = [
            entry("1.0.0", 1, false),
            entry("1.2.0", 2, true),
            entry("1.1.0", 3, false),
            entry("2.0.0-rc.1", 4, false),
        ];
        let pick = |req: Option<&str>| {
            let req = req.map(|text| Ecosystem::Cargo.requirement(text).unwrap());
            resolve(&Ecosystem::Cargo, &list, req.as_ref()).map(|release| release.version.to_string())
        };
        assert_eq!(pick(None).as_deref(), Some("1.1.0"));
        assert_eq!(pick(Some("^1")).as_deref(), Some("1.1.0"));
        assert_eq!(pick(Some("=1.2.0")).as_deref(), Some("1.2.0"), "a lock file may name a yanked release");
        assert_eq!(pick(Some("^1.2")), None);
        assert_eq!(pick(Some("2.0.0-rc.1")).as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(
            resolve(&Ecosystem::Cargo, &[entry("0.1.0-a", 1, false)], None).map(|r| r.version.to_string()).as_deref(),
            Some("0.1.0-a")
        );
    }

    #[test]
    fn a_changed_hash_is_a_conflict_and_a_new_version_is_not() {
        let known = [entry("1.0.0", 1, false)];
        let offered = [entry("1.0.0", 9, false), entry("1.1.0", 2, false)];
        let found = conflicts(&Ecosystem::Cargo, &known, &offered);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kept, found[0].offered), (Hash([1; 32]), Hash([9; 32])));
    }

    proptest! {
        #[test]
        fn merging_loses_no_version(a in prop::collection::vec(0u64..30, 0..20), b in prop::collection::vec(0u64..30, 0..20)) {
            let list = |minors: &[u64]| {
                let mut minors = minors.to_vec();
                minors.sort_unstable();
                minors.dedup();
                minors.iter().map(|m| entry(&format!("1.{m}.0"), *m as u8, false)).collect::<Vec<_>>()
            };
            let (a, b) = (list(&a), list(&b));
            let merged = merge(&Ecosystem::Cargo, &a, &b);
            prop_assert!(a.iter().chain(&b).all(|entry| merged.contains(entry)));
            prop_assert_eq!(&merged[..a.len()], &a[..]);
            prop_assert_eq!(merge(&Ecosystem::Cargo, &merged, &b), merged);
        }
    }
}
