//! DHT keys of records.

use super::super::{
    hash::{ContentRoot, Hash},
    name::PackageId,
};

/// A DHT key, derived from the publisher's key or the payload's hash, so that nobody can squat or
/// overwrite another publisher's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhtKey(pub [u8; 32]);

impl DhtKey {
    /// Returns the key of a package's head.
    pub fn of_head(package: &PackageId) -> Self {
        let (ecosystem, name) = (package.name.ecosystem().as_str(), package.name.bare());
        Self(
            Hash::of_parts(&[
                b"swarmdex-head",
                &package.owner.to_bytes(),
                ecosystem.as_bytes(),
                name.as_bytes(),
            ])
            .0,
        )
    }

    /// Returns the key of a page, given its hash.
    pub fn of_page(payload: &Hash) -> Self {
        Self(Hash::of_parts(&[b"swarmdex-page", &payload.0]).0)
    }

    /// Returns the key of a manifest, given its hash.
    pub fn of_manifest(payload: &Hash) -> Self {
        Self(Hash::of_parts(&[b"swarmdex-manifest", &payload.0]).0)
    }

    /// Returns the key of the provider records of a content.
    pub fn of_content(root: &ContentRoot) -> Self {
        Self(Hash::of_parts(&[b"swarmdex-content", &root.0]).0)
    }

    /// Returns the key of the provider records for a word: peers worth asking about packages with
    /// it, which need not be believed.
    pub fn of_word(word: &str) -> Self {
        Self(Hash::of_parts(&[b"swarmdex-word", word.as_bytes()]).0)
    }

    /// Returns Kademlia's distance between two keys; greater is farther.
    pub fn distance(&self, other: &Self) -> [u8; 32] {
        std::array::from_fn(|at| match (self.0.get(at), other.0.get(at)) {
            (Some(a), Some(b)) => a ^ b,
            _ => 0,
        })
    }

    /// Reads a key from its 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}
