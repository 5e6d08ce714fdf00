//! A cache of packages requested lately: the first tier of a get.

use std::collections::HashMap;

use crate::domain::{freshness::CONFIRMED_FOR, name::PackageId, package::Package, time::Timestamp};

/// Most packages kept.
const CAPACITY: usize = 512;

#[derive(Default)]
pub struct Cache {
    packages: HashMap<PackageId, (Timestamp, Package)>,
}

impl Cache {
    pub fn get(&self, id: &PackageId, now: Timestamp) -> Option<&Package> {
        self.packages
            .get(id)
            .filter(|(since, _)| now.since(*since) < CONFIRMED_FOR)
            .map(|(_, package)| package)
    }

    pub fn keep(&mut self, package: Package, since: Timestamp) {
        if self.packages.len() >= CAPACITY && !self.packages.contains_key(&package.id) {
            let oldest = self
                .packages
                .iter()
                .min_by_key(|(_, (since, _))| *since)
                .map(|(id, _)| id.clone());
            oldest.map(|id| self.packages.remove(&id));
        }
        self.packages.insert(package.id.clone(), (since, package));
    }

    pub fn forget(&mut self, id: &PackageId) {
        self.packages.remove(id);
    }

    /// Drops everything: trust is part of the answers, and a person has just changed it.
    pub fn clear(&mut self) {
        self.packages.clear();
    }
}
