//! Compact memory of versions that no record lists any more: enough to notice if one of them comes
//! back changed.
//!
//! A node that saw a version once never accepts another in its place. While a head or page that is
//! held lists it, the whole hash of its manifest is kept. After that, twelve bytes are: four that
//! identify the version and eight of the manifest's hash. To change it unnoticed, a publisher would
//! have to find a manifest with the same eight bytes, 2^64 tries.

use super::{
    hash::Hash,
    manifest::File,
    release::{ReleaseEntry, VersionConflict},
    version::VersionText,
};
use crate::ecosystem::Ecosystem;

const VERSION: usize = 4;
const MANIFEST: usize = 8;
const ENTRY: usize = VERSION + MANIFEST;
/// The most versions remembered for one package, in 48 KiB; the first to be folded are forgotten
/// first. A package with more than four thousand unlisted versions invents them.
pub const MAX_FOLDED: usize = 4_096;

/// The folded versions of one package, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold(Vec<u8>);

fn entry(ecosystem: &Ecosystem, version: &VersionText, manifest: &Hash) -> [u8; ENTRY] {
    entry_of(version.key(ecosystem).as_bytes(), manifest)
}

/// Returns the entry of a file, which depends on its bytes and not on the manifest.
fn file_entry(ecosystem: &Ecosystem, version: &VersionText, file: &File) -> [u8; ENTRY] {
    entry_of(
        format!("{}\n{}", version.key(ecosystem), file.name).as_bytes(),
        &Hash(file.root.0),
    )
}

fn entry_of(what: &[u8], hash: &Hash) -> [u8; ENTRY] {
    let what = Hash::of(what).0;
    let bytes = what
        .iter()
        .take(VERSION)
        .chain(hash.0.iter().take(MANIFEST));
    let mut entry = [0; ENTRY];
    entry
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    entry
}

/// Returns the part of a hash that is kept, padded with zeros.
pub fn folded(hash: &Hash) -> Hash {
    first_bytes(hash.0.get(..MANIFEST).unwrap_or_default())
}

fn first_bytes(kept: &[u8]) -> Hash {
    let mut first = Hash([0; 32]);
    first
        .0
        .iter_mut()
        .zip(kept)
        .for_each(|(to, from)| *to = *from);
    first
}

impl Fold {
    /// Reads a stored fold. An incomplete entry at the end is dropped.
    pub fn from_bytes(mut bytes: Vec<u8>) -> Self {
        bytes.truncate(bytes.len() / ENTRY * ENTRY);
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns true if no version is folded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .chunks_exact(ENTRY)
            .filter_map(|entry| entry.split_at_checked(VERSION))
    }

    /// Folds versions in, with the manifest seen first of each. In an ecosystem whose releases
    /// grow, another manifest is no change, so nothing is folded.
    pub fn add<'a>(
        &mut self,
        ecosystem: &Ecosystem,
        releases: impl IntoIterator<Item = &'a ReleaseEntry>,
    ) {
        for (release, first) in releases
            .into_iter()
            .filter_map(|one| Some((one, one.first()?)))
        {
            if ecosystem.grows() {
                continue;
            }
            self.fold(entry(ecosystem, &release.version, &first));
        }
        self.cut();
    }

    /// Folds the files of a manifest in, with the bytes seen first of each, in an ecosystem whose
    /// releases grow.
    pub fn add_files(&mut self, ecosystem: &Ecosystem, version: &VersionText, files: &[File]) {
        if ecosystem.grows() {
            files
                .iter()
                .for_each(|file| self.fold(file_entry(ecosystem, version, file)));
            self.cut();
        }
    }

    fn fold(&mut self, entry: [u8; ENTRY]) {
        // Only a few versions are folded at a time: building a set of the entries would cost more
        // than this search.
        let what = entry.get(..VERSION).unwrap_or_default();
        if !self
            .0
            .chunks_exact(ENTRY)
            .any(|held| held.starts_with(what))
        {
            self.0.extend(entry);
        }
    }

    fn cut(&mut self) {
        let over = (self.0.len() / ENTRY).saturating_sub(MAX_FOLDED);
        self.0.drain(..over * ENTRY);
    }

    /// Returns the files seen with other bytes, each with the part of the first hash that was kept:
    /// see [`folded`].
    pub fn changed_files(
        &self,
        ecosystem: &Ecosystem,
        version: &VersionText,
        files: &[File],
    ) -> Vec<(String, Hash)> {
        if self.is_empty() || !ecosystem.grows() {
            return Vec::new();
        }
        let changed = |file: &File| {
            let sought = file_entry(ecosystem, version, file);
            let (what, root) = sought.split_at_checked(VERSION)?;
            let (_, kept) = self.entries().find(|(known, _)| *known == what)?;
            (kept != root).then(|| (file.name.clone(), first_bytes(kept)))
        };
        files.iter().filter_map(changed).collect()
    }

    /// Returns the versions in `offered` that were seen with another manifest. Only the first bytes
    /// of that one's hash are known: see [`folded`].
    pub fn conflicts(
        &self,
        ecosystem: &Ecosystem,
        offered: &[ReleaseEntry],
    ) -> Vec<VersionConflict> {
        if self.is_empty() || ecosystem.grows() {
            return Vec::new();
        }
        let changed = |release: &ReleaseEntry| {
            let offered = release.first()?;
            let sought = entry(ecosystem, &release.version, &offered);
            let (version, manifest) = sought.split_at_checked(VERSION)?;
            let (_, kept) = self.entries().find(|(known, _)| *known == version)?;
            let first = first_bytes(kept);
            (kept != manifest).then(|| VersionConflict {
                version: release.version.clone(),
                kept: first,
                offered,
            })
        };
        offered.iter().filter_map(changed).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release(n: u64, manifest: u8) -> ReleaseEntry {
        let version = format!("1.{n}.0").parse().unwrap();
        ReleaseEntry::new(version, Hash::of(&[manifest]))
    }

    #[test]
    fn a_file_that_comes_back_with_other_bytes_is_seen() {
        let (ecosystem, version) = (Ecosystem::Pypi, "1.0".parse().unwrap());
        let file = |name: &str, bytes: &[u8]| File::of(&ecosystem, name.to_owned(), bytes);
        let mut fold = Fold::default();
        fold.add_files(
            &ecosystem,
            &version,
            &[file("a.whl", b"first"), file("b.whl", b"other")],
        );
        fold.add_files(&ecosystem, &version, &[file("a.whl", b"second")]);
        let seen =
            |files: &[File]| fold.changed_files(&ecosystem, &"1.0.0".parse().unwrap(), files);
        assert!(seen(&[file("a.whl", b"first"), file("c.whl", b"new")]).is_empty());
        let kept = folded(&Hash(file("a.whl", b"first").root.0));
        assert_eq!(
            seen(&[file("a.whl", b"second"), file("b.whl", b"other")]),
            [("a.whl".to_owned(), kept)]
        );
        assert!(
            fold.changed_files(
                &ecosystem,
                &"2.0".parse().unwrap(),
                &[file("a.whl", b"second")]
            )
            .is_empty()
        );
        let mut none = Fold::default();
        none.add_files(&Ecosystem::Cargo, &version, &[file("a.crate", b"first")]);
        assert!(
            none.is_empty(),
            "of a release that does not grow its manifest is kept"
        );
    }

    #[test]
    fn the_first_to_be_folded_are_forgotten_first() {
        let mut fold = Fold::default();
        let most = MAX_FOLDED as u64;
        for from in (0..most + 100).step_by(64) {
            fold.add(
                &Ecosystem::Cargo,
                &(from..(from + 64).min(most + 100))
                    .map(|n| release(n, 1))
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(fold.as_bytes().len(), MAX_FOLDED * ENTRY);
        assert!(
            fold.conflicts(&Ecosystem::Cargo, &[release(99, 2)])
                .is_empty()
        );
        let [conflict] = fold
            .conflicts(&Ecosystem::Cargo, &[release(100, 2)])
            .try_into()
            .unwrap();
        assert_eq!(
            (conflict.version.to_string().as_str(), conflict.offered),
            ("1.100.0", Hash::of(&[2]))
        );
        assert_eq!(conflict.kept.0[..MANIFEST], Hash::of(&[1]).0[..MANIFEST]);
    }

    proptest! {
        /// In whatever order versions are folded in, exactly the changed ones are seen.
        #[test]
        fn a_folded_version_that_is_changed_is_seen(
            seen in prop::collection::vec((0u64..40, any::<u8>()), 0..60),
            offered in prop::collection::vec((0u64..60, any::<u8>()), 0..60),
            parts in 1usize..5,
        ) {
            let mut fold = Fold::default();
            let seen: Vec<ReleaseEntry> = seen.iter().map(|(n, manifest)| release(*n, *manifest)).collect();
            for part in seen.chunks(seen.len() / parts + 1) {
                fold.add(&Ecosystem::Cargo, part);
                fold = Fold::from_bytes(fold.as_bytes().to_vec());
            }
            let offered: Vec<ReleaseEntry> = offered.iter().map(|(n, manifest)| release(*n, *manifest)).collect();
            let expected: Vec<String> = offered
                .iter()
                .filter(|one| {
                    let first = seen.iter().find(|first| first.version == one.version);
                    first.is_some_and(|first| first.manifests != one.manifests)
                })
                .map(|one| one.version.to_string())
                .collect();
            let found: Vec<String> = fold.conflicts(&Ecosystem::Cargo, &offered).iter().map(|one| one.version.to_string()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
