//! What does not go together: kept when it comes, told once, listed and exported.

use std::collections::HashMap;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{P2pRegistry, blocking};
use crate::{
    Result,
    bus::Event,
    domain::{
        conflict::{Case, ConflictId, Conflicts, Evidence},
        manifest::Manifest,
        name::PublisherId,
        record::{Announcement, Authorised, Head},
        time::Timestamp,
    },
    store::Store,
};

/// Cases that are read at once.
const AT_ONCE: usize = 32;
/// Cases of one publisher that are told while the node runs: more would say no more.
const TOLD_OF_ONE: usize = 4;
/// Publishers whose cases are counted for that.
const MOST_TOLD: usize = 1_000;

impl P2pRegistry {
    /// Tells each new case once, until `stop` is called. Those of earlier runs were told then.
    pub async fn run_conflicts(self, stop: CancellationToken) {
        let mut last = match self.core.store.last_case() {
            Ok(last) => last,
            Err(error) => return tracing::error!(%error, "new conflicts will not be told"),
        };
        let mut told: HashMap<PublisherId, usize> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.core.store.wait_for_heads() => {}
            }
            loop {
                let cases = match self.core.store.cases_since(last, AT_ONCE) {
                    Ok(cases) => cases,
                    Err(error) => {
                        tracing::error!(%error, "new conflicts could not be read");
                        break;
                    }
                };
                let Some((number, _)) = cases.last() else {
                    break;
                };
                last = *number;
                for case in cases.into_iter().filter_map(|(_, case)| case) {
                    self.tell_conflict(case, &mut told);
                }
            }
        }
    }

    fn tell_conflict(&self, case: Case, told: &mut HashMap<PublisherId, usize>) {
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        let Some(newest) = case.sides.last() else {
            return;
        };
        let count = told.entry(newest.publisher).or_default();
        *count += 1;
        if *count <= TOLD_OF_ONE {
            tracing::warn!(id = %case.id, "{}", case.news());
            self.core.bus.emit(Event::Conflict(Box::new(case)));
        }
    }

    pub(super) async fn all_conflicts(&self) -> Result<Conflicts> {
        self.look(|store| store.cases()).await
    }

    pub(super) async fn evidence_of(&self, id: ConflictId) -> Result<Evidence> {
        self.look(move |store| store.evidence(&id)).await
    }

    /// Hundreds of rows take their time.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.core.store.clone();
        blocking("looking at conflicts", move || look(&store)).await
    }

    /// Takes a head that changes a version, with the manifest that came along: the evidence is kept
    /// with it.
    pub(super) fn keep_evidence(
        &self,
        head: Authorised<Head>,
        manifest: Option<Authorised<Manifest>>,
        now: Timestamp,
    ) -> BoxFuture<'static, ()> {
        let registry = self.clone();
        Box::pin(async move {
            if let Err(error) = registry
                .accept_head(head, manifest.into_iter().collect(), now)
                .await
            {
                tracing::error!(%error, "the evidence of a conflict could not be kept");
            }
        })
    }

    /// As [`Self::keep_evidence`], from an announcement.
    pub(super) fn keep_announced(
        &self,
        data: &[u8],
        now: Timestamp,
    ) -> Option<BoxFuture<'static, ()>> {
        let announcement = Announcement::verify(data, now).ok()?;
        Some(self.keep_evidence(announcement.head, Some(announcement.manifest), now))
    }
}
