//! The catalogue: accepts records from peers, compares catalogues with them, and keeps its own
//! tidy.

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

/// The packages that this node knows, as signed by their publishers.
pub(super) struct Catalogue {
    core: Arc<Core>,
    /// The announcers of each content.
    pub announcers: Announcers,
    /// Packages whose latest release must be fetched.
    pub unlisted: Unlisted,
    threads: Threads,
    newcomers: Newcomers,
    notices: Notices,
    /// Signals that packages were added or removed.
    changed: Notify,
    /// Signals a fork of one of this node's own packages, to be joined.
    forked: Notify,
    /// Signals an import that others should hear of.
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

    /// Notes that packages were added or removed; they are counted soon.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Makes this node compare its catalogue with others soon, because much of it is new.
    pub fn compare_soon(&self) {
        self.imported.notify_one();
    }

    /// Waits until there is a fork of an own package to join.
    pub async fn wait_for_fork(&self) {
        self.forked.notified().await;
    }

    /// Returns the latest date that a record from the network may have.
    pub fn horizon(&self, now: Timestamp) -> Horizon {
        let newest = self.core.store.newest_signed_at().unwrap_or_else(|error| {
            tracing::error!(%error, "the newest record could not be read");
            None
        });
        let offset = self.core.net.clock_offset().map(|offset| offset.ms);
        Horizon::of(now, offset, newest)
    }

    /// Refuses records with a date in the future. The disk is read only for those, which are rare.
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

    /// Returns true if a publisher is known, or if `peer` may introduce one more unknown one.
    fn is_welcome(&self, publisher: &PublisherId, peer: PeerId) -> Result<bool> {
        Ok(self.core.store.knows(publisher)? || self.newcomers.admit(peer, Instant::now()))
    }

    /// Accepts a verified head of another publisher, and triggers the follow-up work.
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

    /// Triggers the follow-up work after the verdict on a head. Returns true if the head was
    /// accepted.
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

    /// Counts the refused items of an answer.
    fn count_refused(&self, refused: &[Refusal]) {
        refused
            .iter()
            .for_each(|refusal| self.core.tally.refused(*refusal));
    }

    /// Counts the refused items of an answer, and records its outcome for the peer. An empty answer
    /// is right, too.
    pub fn weigh<T>(&self, peer: PeerId, judged: &Judged<T>) {
        self.count_refused(&judged.refused);
        let outcome = judged.outcome().unwrap_or(Outcome::AnswerRight);
        self.core.net.observe(peer, outcome);
    }

    /// Returns the requested envelopes of an answer that verify, and records the outcome for the
    /// peer. An empty answer says nothing about it.
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
