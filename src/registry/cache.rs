//! Packages asked for lately: the first tier of a get.

use std::{collections::HashMap, time::Duration};

use super::Package;
use crate::domain::{name::PackageId, time::Timestamp};

/// Packages kept.
const CAPACITY: usize = 512;

/// How long a state counts as current after somebody last confirmed it. A newer head that gossip brings in the
/// meantime replaces it at once; this bounds what a missed announcement costs.
pub(super) const FRESH: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct Cache {
    packages: HashMap<PackageId, (Timestamp, Package)>,
}

impl Cache {
    pub fn get(&self, id: &PackageId, now: Timestamp) -> Option<&Package> {
        self.packages.get(id).filter(|(since, _)| now.since(*since) < FRESH).map(|(_, package)| package)
    }

    pub fn keep(&mut self, package: Package, since: Timestamp) {
        if self.packages.len() >= CAPACITY && !self.packages.contains_key(&package.id) {
            let oldest = self.packages.iter().min_by_key(|(_, (since, _))| *since).map(|(id, _)| id.clone());
            oldest.map(|id| self.packages.remove(&id));
        }
        self.packages.insert(package.id.clone(), (since, package));
    }

    pub fn forget(&mut self, id: &PackageId) {
        self.packages.remove(id);
    }

    /// Trust is part of an answer, and a person has just changed it.
    pub fn clear(&mut self) {
        self.packages.clear();
    }
}
