//! The releases of a package, shared between copies: cloning two thousand of them costs nothing.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{hash::Hash, release::ReleaseEntry};

/// Releases in order of publication.
#[derive(Clone, Debug, Default)]
pub struct Releases(Arc<SharedReleases>);

#[derive(Debug, Default)]
struct SharedReleases {
    entries: Vec<ReleaseEntry>,
    digest: OnceLock<Hash>,
}

impl Releases {
    /// Returns a hash of all entries and their states; equal lists have equal digests. It is
    /// computed once.
    pub fn digest(&self) -> Hash {
        *self.0.digest.get_or_init(|| digest_of(&self.0.entries))
    }

    /// Returns the releases that satisfy `is_wanted`.
    #[must_use]
    pub fn only(&self, is_wanted: impl Fn(&ReleaseEntry) -> bool) -> Self {
        match self.iter().all(&is_wanted) {
            true => self.clone(),
            false => self
                .iter()
                .filter(|entry| is_wanted(entry))
                .cloned()
                .collect(),
        }
    }
}

fn digest_of(entries: &[ReleaseEntry]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    for ReleaseEntry {
        version,
        manifests,
        older,
        yanked,
        deprecated,
        yanked_files,
    } in entries
    {
        add(version.as_str().as_bytes());
        add(&(manifests.len() as u64).to_le_bytes());
        manifests.iter().for_each(|manifest| add(&manifest.0));
        add(&[
            u8::from(*older),
            u8::from(yanked.is_some()),
            u8::from(deprecated.is_some()),
        ]);
        add(yanked.as_deref().unwrap_or_default().as_bytes());
        add(deprecated.as_deref().unwrap_or_default().as_bytes());
        add(&(yanked_files.len() as u64).to_le_bytes());
        for file in yanked_files {
            add(file.name.as_bytes());
            add(file.why.as_bytes());
        }
    }
    Hash(*hasher.finalize().as_bytes())
}

impl Deref for Releases {
    type Target = Vec<ReleaseEntry>;

    fn deref(&self) -> &Self::Target {
        &self.0.entries
    }
}

impl PartialEq for Releases {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl From<Vec<ReleaseEntry>> for Releases {
    fn from(entries: Vec<ReleaseEntry>) -> Self {
        Self(Arc::new(SharedReleases {
            entries,
            digest: OnceLock::new(),
        }))
    }
}

impl From<Releases> for Vec<ReleaseEntry> {
    fn from(releases: Releases) -> Self {
        match Arc::try_unwrap(releases.0) {
            Ok(shared) => shared.entries,
            Err(shared) => shared.entries.clone(),
        }
    }
}

impl FromIterator<ReleaseEntry> for Releases {
    fn from_iter<T: IntoIterator<Item = ReleaseEntry>>(entries: T) -> Self {
        entries.into_iter().collect::<Vec<_>>().into()
    }
}

impl IntoIterator for Releases {
    type Item = ReleaseEntry;
    type IntoIter = std::vec::IntoIter<ReleaseEntry>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl<'a> IntoIterator for &'a Releases {
    type Item = &'a ReleaseEntry;
    type IntoIter = std::slice::Iter<'a, ReleaseEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Releases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Releases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::release::YankedFile;

    fn entry() -> impl Strategy<Value = ReleaseEntry> {
        let text = || prop::option::of("[a-c]{0,2}");
        let files = prop::collection::vec(("[a-b]{1,2}", "[a-b]{0,2}"), 0..3);
        let parts = (
            "[0-2]",
            prop::collection::vec(0u8..3, 0..3),
            any::<bool>(),
            text(),
            text(),
            files,
        );
        parts.prop_map(
            |(version, manifests, older, yanked, deprecated, files)| ReleaseEntry {
                version: version.parse().unwrap(),
                manifests: manifests.into_iter().map(|n| Hash([n; 32])).collect(),
                older,
                yanked,
                deprecated,
                yanked_files: files
                    .into_iter()
                    .map(|(name, why)| YankedFile { name, why })
                    .collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn lists_have_one_digest_where_they_are_alike_and_only_there(
            one in prop::collection::vec(entry(), 0..3),
            other in prop::collection::vec(entry(), 0..3),
        ) {
            let (first, again, second) =
                (Releases::from(one.clone()), Releases::from(one.clone()), Releases::from(other.clone()));
            prop_assert_eq!(first.digest(), again.digest());
            prop_assert_eq!(first.digest() == second.digest(), one == other);
            let text = serde_json::to_string(&first).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&one).unwrap());
            prop_assert_eq!(&serde_json::from_str::<Releases>(&text).unwrap(), &first);
            let some = first.only(|entry| !entry.older);
            prop_assert!(some.iter().eq(one.iter().filter(|entry| !entry.older)));
        }
    }
}
