//! Packages that are being delivered now, which the outbox leaves alone.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::domain::name::PackageId;

/// The number of running deliveries of each package. Clones share it.
#[derive(Clone, Default)]
pub struct Underway(Arc<Mutex<HashMap<PackageId, usize>>>);

/// A running delivery of a package, which ends when this is dropped.
pub struct Delivering {
    underway: Underway,
    package: PackageId,
}

impl Underway {
    /// Starts a delivery of a package, even if others are running.
    pub fn begin(&self, package: &PackageId) -> Delivering {
        *self.0.lock().entry(package.clone()).or_default() += 1;
        Delivering {
            underway: self.clone(),
            package: package.clone(),
        }
    }

    /// Starts a delivery of a package if none is running.
    pub fn begin_alone(&self, package: &PackageId) -> Option<Delivering> {
        // Check and insert under one lock, so that only one of two callers starts.
        let mut underway = self.0.lock();
        if underway.contains_key(package) {
            return None;
        }
        underway.insert(package.clone(), 1);
        Some(Delivering {
            underway: self.clone(),
            package: package.clone(),
        })
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        let mut underway = self.underway.0.lock();
        if let Some(count) = underway.get_mut(&self.package) {
            *count -= 1;
            if *count == 0 {
                underway.remove(&self.package);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;
    use crate::domain::name::PublisherId;

    #[test]
    fn the_outbox_leaves_alone_what_anybody_delivers() {
        let owner = PublisherId::of(&Keypair::ed25519_from_bytes([1; 32]).unwrap().public());
        let package = |name: &str| PackageId {
            owner,
            name: name.parse().unwrap(),
        };
        let (web, lib) = (package("web"), package("lib"));
        let underway = Underway::default();
        let first = underway.begin(&web);
        let second = underway.begin(&web);
        assert!(underway.begin_alone(&web).is_none());
        assert!(underway.begin_alone(&lib).is_some(), "another package");
        drop(first);
        assert!(underway.begin_alone(&web).is_none(), "the second goes on");
        drop(second);
        let alone = underway.begin_alone(&web);
        assert!(alone.is_some() && underway.begin_alone(&web).is_none());
        drop(alone);
        assert!(underway.0.lock().is_empty());
    }
}
