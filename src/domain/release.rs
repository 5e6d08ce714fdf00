//! Releases as heads list them, and the pure operations on such lists.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::{hash::Hash, requirement::Requirement};

/// Longest version, in characters: semver itself sets no bound, a head of 14 KiB must.
pub const MAX_VERSION: usize = 64;

/// One line of a head or page: a version, the hash of its manifest's signed payload, and whether it is yanked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    #[serde(rename = "v")]
    pub version: Version,
    #[serde(rename = "m")]
    pub manifest: Hash,
    #[serde(rename = "y", default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
}

/// The release that `requirement` asks for: the highest version that matches and is not yanked.
///
/// Without a requirement, the highest release proper, or the highest pre-release where there is nothing else.
/// A yanked release is returned only for `=x.y.z`, as cargo does for a lock file.
pub fn resolve<'a>(releases: &'a [ReleaseEntry], requirement: Option<&Requirement>) -> Option<&'a ReleaseEntry> {
    let live = || releases.iter().filter(|release| !release.yanked);
    let highest = |a: &&ReleaseEntry, b: &&ReleaseEntry| a.version.cmp(&b.version);
    match requirement {
        None => {
            live().filter(|release| release.version.pre.is_empty()).max_by(highest).or_else(|| live().max_by(highest))
        }
        Some(requirement) => live()
            .filter(|release| requirement.matches(&release.version))
            .max_by(highest)
            .or_else(|| releases.iter().find(|release| requirement.is_exactly(&release.version))),
    }
}

/// Releases to name to somebody whose requirement takes none: other builds of the version that was named, else the highest,
/// five at most.
pub fn instead<'a>(releases: &'a [ReleaseEntry], requirement: &Requirement) -> Vec<&'a Version> {
    let mut others: Vec<&Version> = releases.iter().map(|release| &release.version).collect();
    let build_of_named = |version: &&Version| {
        requirement.comparators().any(|(_, named)| named.is_some_and(|named| is_build_of(version, &named)))
    };
    if others.iter().any(build_of_named) {
        others.retain(build_of_named);
    }
    others.sort_by(|a, b| b.cmp(a));
    others.truncate(5);
    others
}

/// Returns true where the two differ in their build metadata at most.
pub fn is_build_of(version: &Version, other: &Version) -> bool {
    version.cmp_precedence(other).is_eq()
}

/// A version whose manifest hash differs from the first one seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionConflict {
    pub version: Version,
    pub kept: Hash,
    pub offered: Hash,
}

/// The versions in `offered` that `known` has under another hash.
pub fn conflicts(known: &[ReleaseEntry], offered: &[ReleaseEntry]) -> Vec<VersionConflict> {
    offered
        .iter()
        .filter_map(|entry| {
            let first = known.iter().find(|first| first.version == entry.version)?;
            (first.manifest != entry.manifest).then(|| VersionConflict {
                version: entry.version.clone(),
                kept: first.manifest,
                offered: entry.manifest,
            })
        })
        .collect()
}

/// Joins the release lists of forked heads: first come, first kept; yanked anywhere is yanked.
///
/// The result keeps the order of `base` and appends what only `other` has, so that old pages stay as they are.
pub fn merge(base: &[ReleaseEntry], other: &[ReleaseEntry]) -> Vec<ReleaseEntry> {
    let mut merged = base.to_vec();
    for entry in other {
        match merged.iter_mut().find(|held| held.version == entry.version) {
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
            let req = req.map(|text| text.parse().unwrap());
            resolve(&list, req.as_ref()).map(|release| release.version.to_string())
        };
        assert_eq!(pick(None).as_deref(), Some("1.1.0"));
        assert_eq!(pick(Some("^1")).as_deref(), Some("1.1.0"));
        assert_eq!(pick(Some("=1.2.0")).as_deref(), Some("1.2.0"), "a lock file may name a yanked release");
        assert_eq!(pick(Some("^1.2")), None);
        assert_eq!(pick(Some("2.0.0-rc.1")).as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(
            resolve(&[entry("0.1.0-a", 1, false)], None).map(|r| r.version.to_string()).as_deref(),
            Some("0.1.0-a")
        );
    }

    #[test]
    fn a_changed_hash_is_a_conflict_and_a_new_version_is_not() {
        let known = [entry("1.0.0", 1, false)];
        let offered = [entry("1.0.0", 9, false), entry("1.1.0", 2, false)];
        let found = conflicts(&known, &offered);
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
            let merged = merge(&a, &b);
            prop_assert!(a.iter().chain(&b).all(|entry| merged.contains(entry)));
            prop_assert_eq!(&merged[..a.len()], &a[..]);
            prop_assert_eq!(merge(&merged, &b), merged);
        }
    }
}
