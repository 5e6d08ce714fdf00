//! Search: returns local hits at once, then those of peers as they answer, until all have or the
//! time is up.

mod peers;
mod shown;

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;
use tracing::field::Empty;

use super::{
    catalogue::Catalogue,
    core::Core,
    packages::{Answers, Packages},
};
use crate::{
    Result,
    domain::{
        query::{Coverage, Query, SearchResults, SearchUpdate},
        time::Timestamp,
    },
    ending::Ending,
    store::Store,
};
use peers::PeerSearch;
use shown::{HitCounts, ShownHits};

/// Updates waiting for a reader. If it falls further behind, the search is cut short and says so.
const BUFFER: usize = 64;

/// Searches this node's catalogue and those of peers.
pub(super) struct Search {
    core: Arc<Core>,
    catalogue: Arc<Catalogue>,
    packages: Arc<Packages>,
    /// The answer times of peers.
    times: Answers,
}

impl Search {
    pub fn new(core: Arc<Core>, catalogue: Arc<Catalogue>, packages: Arc<Packages>) -> Self {
        Self {
            core,
            catalogue,
            packages,
            times: Answers::default(),
        }
    }

    /// Searches and collects results until enough peers answered or the timeout ran out.
    pub async fn collect(self: &Arc<Self>, query: &Query) -> SearchResults {
        let query = query.clone().bounded();
        let mut updates = self.stream(query.clone());
        let mut results = SearchResults::default();
        while let Some(update) = updates.recv().await {
            shown::merge(&mut results, update);
        }
        shown::page(results, &query)
    }

    /// Searches and streams results; dropping the receiver ends the search.
    pub fn stream(self: &Arc<Self>, query: Query) -> mpsc::Receiver<SearchUpdate> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        // Record the number of words but not the words: a person's search is private.
        let ending = Ending::of(tracing::info_span!(
            "search",
            words = query.terms().words().count(),
            limit = query.limit,
            local_hits = Empty,
            peer_hits = Empty,
            asked = Empty,
            answered = Empty,
            outcome = Empty,
            ms = Empty
        ));
        let search = self.clone();
        tokio::spawn(async move {
            let gone = sender.clone();
            let found = tokio::select! {
                biased;
                found = ending.within(search.run(query.bounded(), sender)) => found,
                () = gone.closed() => return,
            };
            search.core.metrics.searched(found.local, found.peer);
            ending.count("local_hits", found.local);
            ending.count("peer_hits", found.peer);
            ending.count("asked", found.coverage.asked);
            ending.count("answered", found.coverage.answered);
            ending.ended(found.outcome());
        });
        receiver
    }

    async fn run(self: &Arc<Self>, query: Query, updates: mpsc::Sender<SearchUpdate>) -> HitCounts {
        let started = Instant::now();
        // Replace bound handles by their keys, so that they mean the same at peers, whoever else
        // claims them.
        let query = Query {
            text: self.packages.name_publishers(&query.text),
            ..query
        };
        let terms = query.terms();
        // The first page is needed to find the second, because hits of peers belong between the
        // local ones.
        let query = Query {
            limit: query.offset + query.limit,
            offset: 0,
            ..query
        };
        let mut shown = ShownHits::new(query.limit, &updates);
        let mut coverage = Coverage::default();

        match self
            .in_store(&query, |store, query, now| {
                let mut found = store.search(query, now)?;
                let hits = std::mem::take(&mut found.hits).into_iter().map(|hit| {
                    let seq = store.mark(&hit.package)?.map_or(0, |mark| mark.seq);
                    Ok((seq, hit))
                });
                Ok((hits.collect::<Result<Vec<_>>>()?, found))
            })
            .await
        {
            Ok((hits, found)) => {
                (shown.total, shown.instead) = (found.total, found.instead);
                shown.show(hits, coverage);
            }
            Err(error) => tracing::error!(%error, "the catalogue could not be searched"),
        }
        match self.in_store(&query, Store::facets).await {
            Ok(facets) => {
                shown.truncated |= updates.try_send(SearchUpdate::Facets { facets }).is_err()
            }
            Err(error) => {
                tracing::error!(%error, "the labels of a search's matches could not be counted")
            }
        }
        let mut accepted = Vec::new();
        if let Some(asking) = PeerSearch::of(self, &query, terms) {
            accepted = asking.ask(&mut shown, &mut coverage).await;
        }
        let now = self.core.now();
        let commits = accepted
            .into_iter()
            .map(|(head, manifest)| self.catalogue.accept_head(head, vec![manifest], now));
        futures::future::join_all(commits).await;
        let done = SearchUpdate::Done {
            coverage,
            elapsed: started.elapsed(),
            truncated: shown.truncated,
        };
        let found = HitCounts {
            coverage,
            ..shown.found
        };
        let _ = updates.send(done).await;
        found
    }

    /// Reads the store on a blocking thread.
    async fn in_store<T: Send + 'static>(
        &self,
        query: &Query,
        read: impl FnOnce(&Store, &Query, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (query, now) = (query.clone(), self.core.now());
        let read = move |store: &Store| read(store, &query, now);
        self.core.read("searching the catalogue", read).await
    }
}
