//! Keeps releases that other nodes ask this one to hold, within the space for that.

use std::{collections::HashSet, sync::Arc, time::Duration};

use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{super::Fetcher, Copying};
use crate::{
    Result,
    domain::{
        copies::{CopyFigures, is_among},
        hash::ContentRoot,
        manifest::{Content, Manifest},
        record::Authorised,
        transfer::{TransferState, Wanted},
        trust::Trust,
    },
    net::protocol::{Keeping, Response},
    store::Reserved,
};

/// Most releases fetched for others at once, and most of publishers that are not known here.
pub(super) const FOR_OTHERS: usize = 4;
pub(super) const FOR_UNKNOWN: usize = 2;
/// A release without copies is reported after this long: right after the start, peers have not told
/// their free space yet.
const PATIENT: Duration = Duration::from_secs(120);
/// If the release arrives within this time, the asking peer gets the final answer at once.
const AT_ONCE_HERE: Duration = Duration::from_millis(200);
/// Number of steps in which free space is told to peers.
const STEPS: u64 = 64;

/// Returns the bytes that may be kept for others in all, beside what a person fetched. `kept` of
/// the `used` bytes are such copies already.
fn room_beside(most: u64, quota: u64, used: u64, kept: u64) -> u64 {
    most.min(quota.saturating_sub(used).saturating_add(kept))
}

/// Returns the free space to tell peers: without what is kept of known publishers, and rounded to
/// steps, so that not every content changes it.
fn in_steps(most: u64, of_known: u64) -> u64 {
    let step = (most / STEPS).max(1);
    most.saturating_sub(of_known) / step * step
}

/// Returns the progress of a kept release of which `done` bytes are here; `None` if this node does
/// nothing about it. It does not count as held while it is fetched.
fn progress(has_all: bool, is_fetched: bool, done: u64) -> Option<Keeping> {
    match (has_all, is_fetched) {
        (true, false) => Some(Keeping::Held),
        (_, true) => Some(Keeping::Fetching { done }),
        (false, false) => None,
    }
}

impl Fetcher {
    /// Tells peers the space for copies, and the health screen its use. Copies of unknown
    /// publishers are evicted for known ones.
    pub fn tell_room(&self) -> Result<()> {
        let Copying { underway, .. } = &self.copying;
        let (kept, of_known) = self.core.store.copies_usage(&self.core.net.known())?;
        let most = if self.core.options.stays {
            self.room_for_others()?
        } else {
            0
        };
        let room = in_steps(most, of_known);
        self.core.net.greet(|greeting| greeting.room = room);
        let waiting = self
            .core
            .store
            .tried_in_vain(self.core.now().before(PATIENT))?
            .saturating_sub(underway.borrow().len() as u64);
        let waiting = if self.core.options.copies == 0 {
            0
        } else {
            waiting
        };
        self.core.net.tell_copies(CopyFigures {
            waiting,
            kept,
            room: most,
        });
        Ok(())
    }

    /// Returns the bytes that may be kept for others in all; contents that a person fetched are not
    /// evicted for them.
    fn room_for_others(&self) -> Result<u64> {
        let most = self.core.options.keep_for_others;
        if most == 0 || !self.core.content.provide {
            return Ok(0);
        }
        let usage = self.contents.usage()?;
        let (kept, _) = self.core.store.copies_usage(&HashSet::new())?;
        Ok(room_beside(most, usage.quota, usage.bytes, kept))
    }

    /// Drops copies that an earlier run began to fetch, and those that no longer fit.
    pub async fn tidy_copies(&self) -> Result<()> {
        let now = self.core.now();
        let known = self
            .core
            .read("reading the publishers", move |store| {
                store.known_publishers(now, usize::MAX >> 1)
            })
            .await?;
        let room = self.room_for_others()?;
        let gone = self.core.store.tidy_copies(Arc::new(known), room).await?;
        self.forget_contents(gone).await?;
        self.tell_room()
    }

    async fn forget_contents(&self, gone: Vec<ContentRoot>) -> Result<()> {
        for root in &gone {
            self.core.store.forget_fetch(*root).await?;
        }
        self.contents.remove_files_of(gone).await;
        Ok(())
    }

    /// Answers a peer that asks this node to keep a release.
    pub async fn keep_for(self: &Arc<Self>, from: PeerId, envelope: &[u8]) -> Response {
        let Ok(release) = Authorised::<Manifest>::verify(envelope) else {
            return Response::Refused;
        };
        match self.keep(from, release).await {
            Ok(Some(keeping)) => Response::Keeping(keeping),
            Ok(None) => Response::Busy,
            Err(error) => {
                tracing::warn!(%error, "a peer's request to keep a release failed");
                Response::Busy
            }
        }
    }

    /// Returns `None` if the node is busy.
    async fn keep(
        self: &Arc<Self>,
        from: PeerId,
        release: Authorised<Manifest>,
    ) -> Result<Option<Keeping>> {
        let (publisher, contents) = (release.owner(), release.contents());
        if let Some(keeping) = self.keeping(&release, &contents)? {
            return Ok(Some(keeping));
        }
        let room = self.room_for_others()?;
        if !self.core.options.stays {
            return Ok(Some(Keeping::Declined));
        }
        let fits = contents
            .iter()
            .all(|content| content.size <= self.core.content.max.min(room));
        if !fits || self.core.store.trust(&publisher, None)? == Trust::Distrusted {
            return Ok(Some(Keeping::Declined));
        }
        let me = self.core.net.peer_id();
        let rooms = self.core.net.rooms().await?;
        let neighbours = rooms
            .iter()
            .filter(|(_, room)| *room > 0)
            .map(|(peer, _)| *peer);
        if !is_among(&release.content().root, &me, neighbours) {
            return Ok(Some(Keeping::Declined));
        }
        let known = Arc::new(self.core.net.known());
        let copying = &self.copying;
        let place = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        let of_unknown = if known.contains(&publisher) {
            None
        } else {
            Some(place(&copying.of_unknown))
        };
        let (Some(all), Some(of_unknown)) = (
            place(&copying.places),
            of_unknown.map_or(Some(None), |one| one.map(Some)),
        ) else {
            return Ok(None);
        };
        match self
            .core
            .store
            .reserve_copy(release.clone(), known, room, self.core.now())
            .await?
        {
            Reserved::Declined => return Ok(Some(Keeping::Declined)),
            // A kept release that is no longer complete is fetched again.
            Reserved::Kept => {}
            Reserved::Taken { gone } => self.forget_contents(gone).await?,
        }
        if !copying.fetching().insert(release.hash()) {
            return Ok(Some(Keeping::Fetching { done: 0 }));
        }
        self.catalogue.announcers.note(release.content().root, from);
        let fetcher = self.clone();
        let places = [Some(all), of_unknown];
        let (ended, end) = oneshot::channel::<()>();
        let (fetches, stop) = (&self.fetches, self.fetches.stop.clone());
        let fetched = release.clone();
        fetches.tasks.spawn(async move {
            stop.run_until_cancelled(fetcher.fetch_for_others(fetched, places))
                .await;
            drop(ended);
        });
        // A small release is here before the peer could ask again.
        let _ = tokio::time::timeout(AT_ONCE_HERE, end).await;
        Ok(Some(
            self.keeping(&release, &contents)?
                .unwrap_or(Keeping::Declined),
        ))
    }

    /// Returns this node's progress with a release; `None` if it does nothing about it.
    fn keeping(
        &self,
        release: &Authorised<Manifest>,
        contents: &[Content],
    ) -> Result<Option<Keeping>> {
        let mut done = 0;
        let mut all = true;
        for content in contents {
            match self
                .contents
                .get(&content.root)?
                .filter(|held| held.content == *content)
            {
                Some(held) => done += held.content.size,
                None => {
                    all = false;
                    done += self.fetched_of(&content.root);
                }
            }
        }
        let is_fetched = self.copying.fetching().contains(&release.hash());
        Ok(progress(all, is_fetched, done))
    }

    async fn fetch_for_others(
        self: Arc<Self>,
        release: Authorised<Manifest>,
        _places: [Option<OwnedSemaphorePermit>; 2],
    ) {
        let hash = release.hash();
        let kept = self.fetch_all_of(&release).await;
        self.copying.fetching().remove(&hash);
        let noted = async {
            if kept {
                self.provide_soon(
                    release.content().root,
                    &format!("{} {}", release.name, release.version),
                );
            } else {
                let gone = self.core.store.drop_copy(hash).await?;
                self.forget_contents(gone).await?;
            }
            self.tell_room()
        };
        if let Err(error) = noted.await {
            tracing::error!(%error, package = %release.name, "a copy for others could not be recorded");
        }
    }

    async fn fetch_all_of(self: &Arc<Self>, release: &Authorised<Manifest>) -> bool {
        let package = release.package().clone();
        let what = format!(
            "copy of {}/{} {}",
            package.owner.fingerprint(),
            release.name,
            release.version
        );
        for (content, beside) in release.contents_with_hosts() {
            if self
                .contents
                .get(&content.root)
                .is_ok_and(|held| held.is_some())
            {
                continue;
            }
            let wanted = Wanted {
                content,
                what: what.clone(),
                package: Some(package.clone()),
                beside,
                for_others: true,
            };
            let Ok(mut shown) = self.begin_fetch(wanted) else {
                return false;
            };
            let ended = |state: &TransferState| {
                !matches!(state, TransferState::Waiting | TransferState::Running)
            };
            let end = shown
                .wait_for(|transfer| ended(&transfer.state))
                .await
                .map(|transfer| transfer.state.clone());
            if !matches!(end, Ok(TransferState::Done)) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_release_is_held_when_all_of_it_is_here_and_nothing_fetches_it() {
        let is = |has_all, is_fetched| progress(has_all, is_fetched, 5);
        assert!(matches!(is(true, false), Some(Keeping::Held)));
        assert!(matches!(
            is(true, true),
            Some(Keeping::Fetching { done: 5 })
        ));
        assert!(matches!(
            is(false, true),
            Some(Keeping::Fetching { done: 5 })
        ));
        assert!(is(false, false).is_none());
    }

    proptest! {
        #[test]
        fn what_a_person_fetched_is_not_displaced(
            most in 0u64..1_000, quota in 0u64..1_000, own in 0u64..1_000, kept in 0u64..1_000,
        ) {
            let room = room_beside(most, quota, own + kept, kept);
            prop_assert!(room <= most);
            prop_assert!(room <= quota.saturating_sub(own).max(kept));
        }

        #[test]
        fn room_is_told_in_steps_and_never_too_much(most in any::<u64>(), of_known in any::<u64>()) {
            let room = in_steps(most, of_known);
            prop_assert!(room <= most.saturating_sub(of_known));
            prop_assert!(most.saturating_sub(of_known) - room < (most / STEPS).max(1));
        }
    }
}
