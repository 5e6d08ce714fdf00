//! Finds this node's own packages that would be lost with it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Fetcher;
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::PackageId,
        record::{Authorised, Head},
        time::Timestamp,
    },
    net::Safety,
};

/// Interval of the checks; each package costs a DHT lookup.
const ROUND: Duration = Duration::from_secs(300);
/// Packages per check. The next check continues after them.
const A_ROUND: usize = 50;
/// Nodes that must have a content, including this one.
const ENOUGH: usize = 2;
/// A head that expires within this time was not renewed in time; that is due after a third of its
/// life.
const SOON: Duration = Duration::from_secs(10 * 86_400);
/// A release must be older than this before other nodes can be expected to have it.
const YOUNG: Duration = Duration::from_secs(86_400);
/// Most packages that are named.
const NAMED: usize = 20;

#[derive(Default)]
pub(super) struct Looking {
    /// Signals that a check is wanted now.
    again: Notify,
    at: AtomicUsize,
    /// The packages that were endangered at the last check, with their names.
    found: Mutex<BTreeMap<PackageId, String>>,
}

impl Fetcher {
    /// Announces everything again in the DHT, and checks again which of it others have.
    pub fn offer_everything(&self) {
        self.provide_everything();
        self.looking.again.notify_one();
    }

    /// Runs until `stop` is cancelled.
    pub async fn run_safety(self: Arc<Self>, stop: CancellationToken) {
        let mut joined = self.core.net.joined();
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = round.tick() => {}
                // A new peer may have what no other peer has.
                changed = joined.changed() => if changed.is_err() { return },
                () = self.looking.again.notified() => {}
            }
            if *self.core.net.joined().borrow() == 0 {
                continue;
            }
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look_for_danger() => looked,
            };
            match looked {
                Ok(safety) => self.core.net.tell_safety(safety),
                Err(error) => {
                    tracing::debug!(%error, "the holders of own packages could not be checked")
                }
            }
            // Several changes in a short time are checked together.
            const REST: Duration = Duration::from_secs(10);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.looking.again.notified() => self.looking.again.notify_one(),
                () = tokio::time::sleep(REST) => {}
            }
        }
    }

    async fn look_for_danger(&self) -> Result<Safety> {
        let now = self.core.now();
        let from = self.looking.at.load(Ordering::Relaxed);
        let read = self.core.read("reading the own packages", move |store| {
            let own = store.own_count()?;
            let from = from.checked_rem(own).unwrap_or_default();
            Ok((own, from, store.own_heads(from, A_ROUND)?))
        });
        let (own, from, heads) = read.await?;
        let looking = &self.looking;
        let found = || looking.found.lock();
        if heads.len() >= own {
            // Drop packages that are no longer own.
            found().clear();
        }
        for stored in &heads {
            let head = &stored.head;
            let id = head.package().clone();
            if expires_soon(head, now) || self.is_alone(head, now).await? {
                let handle = head
                    .handle
                    .as_ref()
                    .map_or_else(|| head.owner().fingerprint(), ToString::to_string);
                found().insert(id, format!("{handle}/{}", head.package().name));
            } else {
                found().remove(&id);
            }
        }
        looking.at.store(from + heads.len(), Ordering::Relaxed);
        let found = found();
        Ok(Safety {
            own: own as u64,
            endangered: found.len() as u64,
            endangered_named: found.values().take(NAMED).cloned().collect(),
        })
    }

    /// Returns true if too few nodes have the content of a package's newest release, although they
    /// had time to fetch it.
    async fn is_alone(&self, head: &Authorised<Head>, now: Timestamp) -> Result<bool> {
        let Some(entry) = head.latest() else {
            return Ok(false);
        };
        let Some(hash) = entry.manifests.last() else {
            return Ok(false);
        };
        let Some(manifest) = self.core.store.manifest(hash)? else {
            return Ok(false);
        };
        if is_young(&manifest, now) {
            return Ok(false);
        }
        let what = format!("who else has {} {}", manifest.name, manifest.version);
        Ok(self
            .find_holders(manifest.content().root, what, ENOUGH - 1)
            .await?
            .len()
            < ENOUGH - 1)
    }
}

fn expires_soon(head: &Head, now: Timestamp) -> bool {
    head.expires < now.after(SOON)
}

fn is_young(manifest: &Manifest, now: Timestamp) -> bool {
    manifest.signed_at.after(YOUNG) > now
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;
    use crate::{
        domain::{
            hash::Hash,
            manifest::{Draft, File},
            name::PublisherId,
            record::HeadState,
            release::ReleaseEntry,
        },
        ecosystem::Ecosystem,
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const A_MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_head_is_in_danger_from_ten_days_before_it_expires() {
        let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let release = ReleaseEntry::new("1.0.0".parse().unwrap(), Hash::of(b"1"));
        let name = "web".parse().unwrap();
        let state = HeadState::first(Ecosystem::Generic, name, vec![release]);
        let (head, _) = state.sign(&key, NOW, SOON * 3).unwrap();
        let soon = NOW.after(SOON * 2);
        assert!(!expires_soon(&head, NOW));
        assert!(!expires_soon(&head, soon));
        assert!(expires_soon(&head, soon.after(A_MOMENT)));
    }

    #[test]
    fn nobody_is_expected_to_have_a_release_of_the_last_day() {
        let owner = PublisherId::from(libp2p::PeerId::random());
        let draft = Draft::of(
            Ecosystem::Generic,
            "web".parse().unwrap(),
            "1.0.0".parse().unwrap(),
        );
        let file = File::of(&Ecosystem::Generic, "web.tar", b"bytes");
        let manifest = draft.into_manifest(owner, file, NOW).unwrap();
        assert!(is_young(&manifest, NOW));
        let day = NOW.after(YOUNG);
        assert!(!is_young(&manifest, day));
        assert!(is_young(&manifest, day.before(A_MOMENT)));
    }
}
