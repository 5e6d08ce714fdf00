//! Packages that are listed by another release than their latest, because its manifest must still
//! be fetched.
//!
//! An announcement brings the manifest of the release that it is about. After a fix of an older
//! version, or a yank, that is not the latest one.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::name::PackageId;

/// Most packages that wait to be fetched. Beyond that, a package stays listed by the announced
/// release.
const MOST: usize = 256;

#[derive(Default)]
pub struct Unlisted {
    waiting: Mutex<VecDeque<PackageId>>,
    added: Notify,
}

impl Unlisted {
    pub fn add(&self, id: PackageId) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MOST && !waiting.contains(&id) {
            waiting.push_back(id);
            self.added.notify_one();
        }
    }

    /// Waits for the next package.
    pub async fn next(&self) -> PackageId {
        loop {
            // Release the lock before waiting.
            let next = self.waiting.lock().pop_front();
            match next {
                Some(id) => return id,
                None => self.added.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::PublisherId;

    fn package(n: usize) -> PackageId {
        PackageId {
            owner: PublisherId::of(
                &libp2p::identity::Keypair::ed25519_from_bytes([7; 32])
                    .unwrap()
                    .public(),
            ),
            name: format!("package-{n}").parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn each_package_waits_once_in_its_turn_and_the_queue_is_bounded() {
        let unlisted = Unlisted::default();
        for n in (0..MOST + 10).chain(0..3) {
            unlisted.add(package(n));
        }
        assert_eq!(unlisted.waiting.lock().len(), MOST);
        assert_eq!(unlisted.next().await, package(0));
        unlisted.add(package(0));
        assert_eq!(unlisted.next().await, package(1));
        assert_eq!(
            unlisted.waiting.lock().back(),
            Some(&package(0)),
            "it waits again"
        );
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_what_comes() {
        let unlisted = Unlisted::default();
        let (next, ()) = tokio::join!(unlisted.next(), async { unlisted.add(package(1)) });
        assert_eq!(next, package(1));
    }
}
