//! Reads many manifests at once by their hashes.

use std::collections::HashSet;

use super::{Store, catalogue::has_manifest};
use crate::{Result, domain::hash::Hash};

impl Store {
    /// Returns those of these manifests that are not held, without duplicates.
    pub fn missing_manifests(&self, hashes: &[Hash]) -> Result<Vec<Hash>> {
        self.read_together(|db| {
            let (mut missing, mut met) = (Vec::new(), HashSet::new());
            for hash in hashes {
                if met.insert(*hash) && !has_manifest(db, hash)? {
                    missing.push(*hash);
                }
            }
            Ok(missing)
        })
    }
}
