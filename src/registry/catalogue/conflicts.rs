//! Conflicts: stored when found, reported once, listed and exported.

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Catalogue;
use crate::{
    Result,
    bus::BusEvent,
    domain::{
        conflict::{Case, ConflictId, ConflictList, Evidence},
        manifest::Manifest,
        name::PublisherId,
        record::{Authorised, Head},
        time::Timestamp,
    },
};

/// Cases read at once.
const AT_ONCE: usize = 32;
/// Most cases of one publisher that a person is told of per run: more would add nothing.
const TOLD_OF_ONE: usize = 4;
/// Most publishers whose cases are counted for that.
const MOST_TOLD: usize = 1_000;
/// The name of this work in errors. It may take a while, with hundreds of rows.
const LOOKING: &str = "looking at conflicts";

impl Catalogue {
    /// Reports each new case once, until `stop` is cancelled. Cases of earlier runs were reported
    /// then.
    pub async fn run_conflicts(self: Arc<Self>, stop: CancellationToken) {
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
            tracing::warn!(id = %case.id, "{}", case.headline());
            self.core.bus.emit(BusEvent::Conflict(Box::new(case)));
        }
    }

    pub async fn conflicts(&self) -> Result<ConflictList> {
        self.core.read(LOOKING, |store| store.cases()).await
    }

    pub async fn evidence(&self, id: ConflictId) -> Result<Evidence> {
        self.core
            .read(LOOKING, move |store| store.evidence(&id))
            .await
    }

    /// Accepts a head that changes a published version, and keeps the manifest that came with it as
    /// evidence.
    pub(super) fn keep_evidence(
        self: &Arc<Self>,
        head: Authorised<Head>,
        manifest: Option<Authorised<Manifest>>,
        now: Timestamp,
    ) -> BoxFuture<'static, ()> {
        let catalogue = self.clone();
        Box::pin(async move {
            if let Err(error) = catalogue
                .accept_head(head, manifest.into_iter().collect(), now)
                .await
            {
                tracing::error!(%error, "the evidence of a conflict could not be kept");
            }
        })
    }
}
