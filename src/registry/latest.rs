//! Packages that are listed by another release than their latest, because its manifest is not here:
//! it is asked for.
//!
//! An announcement brings the manifest of the release that it is about, which after a fix of an
//! older line, or a yank, is not the latest.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::P2pRegistry;
use crate::{
    Result,
    domain::{
        name::PackageId,
        record::{Authorised, Head},
    },
};

/// Packages that wait to be asked for. Who announces more of them at once is listed by what was
/// announced.
const MOST: usize = 256;

#[derive(Default)]
pub(super) struct Unlisted {
    waiting: Mutex<VecDeque<PackageId>>,
    added: Notify,
}

impl Unlisted {
    fn add(&self, id: PackageId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST && !waiting.contains(&id) {
            waiting.push_back(id);
            self.added.notify_one();
        }
    }

    fn next(&self) -> Option<PackageId> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

impl P2pRegistry {
    /// Notes that the latest release of a package is to be asked for, if its manifest is not here.
    pub(super) fn note_latest(&self, head: &Authorised<Head>) -> Result<()> {
        let Some(latest) = head.latest() else {
            return Ok(());
        };
        if self.core.store.first_held(latest)?.is_none() {
            self.state.unlisted.add(head.package().clone());
        }
        Ok(())
    }

    /// Asks for what was noted, one after the other, until `stop` is called.
    pub async fn run_latest(self, stop: CancellationToken) {
        loop {
            let Some(id) = self.state.unlisted.next() else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.state.unlisted.added.notified() => continue,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                asked = self.fetch_latest(&id) => if let Err(error) = asked {
                    tracing::debug!(%error, package = %id, "the manifest of the latest release could not be had");
                },
            }
        }
    }

    /// Has the package listed by its latest release.
    async fn fetch_latest(&self, id: &PackageId) -> Result<()> {
        let Some(held) = self.core.store.head(id)? else {
            return Ok(());
        };
        let Some(latest) = held.head.latest() else {
            return Ok(());
        };
        match latest.first() {
            Some(first) => self.manifest(id, &first).await.map(drop),
            None => Ok(()),
        }
    }
}
