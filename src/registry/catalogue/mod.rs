//! The catalogue: takes what peers send of it, compares it with theirs, and keeps it in order.

mod announcers;
mod answer;
mod conflicts;
mod intake;
pub(super) mod judged;
mod newcomers;
mod notices;
mod sync;
mod tidy;
mod unlisted;

use std::{sync::Arc, time::Instant};

use libp2p::PeerId;
use tokio::sync::Notify;

use super::core::Core;
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::{PackageId, PublisherId},
        record::{Authorised, Head, Horizon, MAX_AHEAD, Owned, Refusal},
        reputation::Outcome,
        time::Timestamp,
    },
    store::HeadVerdict,
};
use announcers::Announcers;
use answer::Threads;
use judged::Judged;
use newcomers::Newcomers;
use notices::Notices;
pub use sync::{SyncReport, schedule};
use unlisted::Unlisted;

/// The packages that this node knows of, by what their publishers signed.
pub(super) struct Catalogue {
    core: Arc<Core>,
    /// Who announced which content.
    pub announcers: Announcers,
    /// Packages whose latest release is to be asked for.
    pub unlisted: Unlisted,
    threads: Threads,
    newcomers: Newcomers,
    notices: Notices,
    /// Packages came or went.
    changed: Notify,
    /// A fork of one of this node's own packages is there to be joined.
    forked: Notify,
    /// Something was imported that others are to hear of.
    imported: Notify,
}

impl Catalogue {
    pub fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            announcers: Announcers::default(),
            unlisted: Unlisted::default(),
            threads: Threads::default(),
            newcomers: Newcomers::default(),
            notices: Notices::default(),
            changed: Notify::new(),
            forked: Notify::new(),
            imported: Notify::new(),
        }
    }

    /// Notes that packages came or went: they are counted soon.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Has this node's catalogue compared with others' soon, because much of it is new.
    pub fn compare_soon(&self) {
        self.imported.notify_one();
    }

    /// Waits until a fork of one of this node's own packages is there to be joined.
    pub async fn wait_for_fork(&self) {
        self.forked.notified().await;
    }

    /// The latest time that a record from the network may have.
    pub fn horizon(&self, now: Timestamp) -> Horizon {
        let newest = self.core.store.newest_signed_at().unwrap_or_else(|error| {
            tracing::error!(%error, "the newest record could not be read");
            None
        });
        let offset = self.core.net.clock_offset().map(|offset| offset.ms);
        Horizon::of(now, offset, newest)
    }

    /// Refuses what is dated ahead. The disk is looked at only for that, because nearly nothing is.
    fn check_dates(
        &self,
        head: &Authorised<Head>,
        manifest: Option<&Authorised<Manifest>>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let latest = manifest.map_or(head.signed_at, |manifest| {
            manifest.signed_at.max(head.signed_at)
        });
        if latest <= now.after(MAX_AHEAD) {
            Ok(())
        } else {
            self.horizon(now).check_time(latest)
        }
    }

    /// Tells if a publisher is known, or `peer` may bring one more that is not.
    fn is_welcome(&self, publisher: &PublisherId, peer: PeerId) -> Result<bool> {
        Ok(self.core.store.knows(publisher)? || self.newcomers.admit(peer, Instant::now()))
    }

    /// Takes a verified head of somebody else's, with what follows from it.
    pub async fn accept_head(
        &self,
        head: Authorised<Head>,
        manifests: Vec<Authorised<Manifest>>,
        now: Timestamp,
    ) -> Result<HeadVerdict> {
        let id = head.package().clone();
        if self.check_dates(&head, None, now).is_err() {
            return Ok(HeadVerdict::Ahead);
        }
        let taken = self
            .core
            .store
            .take_head(head, Vec::new(), manifests, false, now);
        let verdict = taken.await?;
        if self.follow(&id, &verdict) {
            self.changed();
        }
        Ok(verdict)
    }

    /// Does what follows from a head that was looked at; returns whether it was taken.
    fn follow(&self, id: &PackageId, verdict: &HeadVerdict) -> bool {
        let taken = verdict.refusal().is_none();
        if taken {
            self.core.cache().forget(id);
        }
        if matches!(verdict, HeadVerdict::Disputed(_)) {
            self.core.tally.refused(Refusal::Conflict);
        }
        if verdict.is_fork() && self.core.publisher_id() == Some(id.owner) {
            self.forked.notify_one();
        }
        taken
    }

    /// Notes what of an answer was refused.
    fn count_refused(&self, refused: &[Refusal]) {
        refused
            .iter()
            .for_each(|refusal| self.core.tally.refused(*refusal));
    }

    /// Notes what of an answer was refused, and what it says of the peer. An empty one is right
    /// too.
    pub fn weigh<T>(&self, peer: PeerId, judged: &Judged<T>) {
        self.count_refused(&judged.refused);
        let outcome = judged.outcome().unwrap_or(Outcome::AnswerRight);
        self.core.net.observe(peer, outcome);
    }

    /// The envelopes of an answer that verify and are what was asked for; what that says of the
    /// peer is noted. An empty one says nothing.
    pub fn verified<'a, T: Owned>(
        &self,
        peer: PeerId,
        envelopes: impl Iterator<Item = &'a [u8]>,
        is_asked_for: impl Fn(&Authorised<T>) -> bool,
    ) -> Vec<Authorised<T>> {
        let judged = judged::envelopes(envelopes, is_asked_for);
        self.count_refused(&judged.refused);
        if let Some(outcome) = judged.outcome() {
            self.core.net.observe(peer, outcome);
        }
        judged.right
    }
}
