//! Search: the local catalogue at once, then what peers answer, until they all have or the time is up.

use std::{collections::HashMap, time::Instant};

use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::PeerId;
use tokio::sync::mpsc;
use tracing::field::Empty;

use super::{Coverage, Hit, P2pRegistry, SearchResults, SearchUpdate, Source, get::lists};
use crate::{
    Result, clock,
    domain::{
        manifest::Manifest,
        name::PackageId,
        query::Query,
        record::{Class, Head, Refusal, Signed},
        reputation::Outcome,
        trust::Trust,
    },
    ending::Ending,
    net::protocol::{Item, Request, Response},
};

/// Peers asked by one search.
const FAN_OUT: usize = 5;
/// Updates waiting for a reader; one that falls further behind gets a search that is cut short, and says so.
const BUFFER: usize = 64;

pub(super) fn start(registry: P2pRegistry, query: Query) -> mpsc::Receiver<SearchUpdate> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    // How many words, and not which: what a person looks for is nobody else's.
    let ending = Ending::of(tracing::info_span!(
        "search",
        words = query.words().len(),
        limit = query.limit,
        local_hits = Empty,
        peer_hits = Empty,
        asked = Empty,
        answered = Empty,
        outcome = Empty,
        ms = Empty
    ));
    let metrics = registry.metrics.clone();
    tokio::spawn(async move {
        let gone = sender.clone();
        let found = tokio::select! {
            biased;
            found = ending.within(run(registry, query.bounded(), sender)) => found,
            () = gone.closed() => return,
        };
        metrics.searched(found.local, found.peer);
        ending.count("local_hits", found.local);
        ending.count("peer_hits", found.peer);
        ending.count("asked", found.coverage.asked);
        ending.count("answered", found.coverage.answered);
        ending.ended(found.outcome());
    });
    receiver
}

/// What a search came to.
#[derive(Clone, Copy, Default)]
struct Found {
    /// Hits by who showed them first, or a newer state of them.
    local: usize,
    peer: usize,
    coverage: Coverage,
}

impl Found {
    fn outcome(&self) -> &'static str {
        match self.coverage {
            _ if self.local + self.peer > 0 => "found",
            Coverage { asked: 1.., answered: 0 } => "timeout",
            _ => "missing",
        }
    }
}

pub(super) async fn collect(mut updates: mpsc::Receiver<SearchUpdate>) -> SearchResults {
    let mut results = SearchResults::default();
    while let Some(update) = updates.recv().await {
        match update {
            SearchUpdate::Hits { hits, coverage } => {
                results.coverage = coverage;
                for hit in hits {
                    // A newer state of a package takes the older one's place.
                    match results.hits.iter_mut().find(|held| held.package == hit.package) {
                        Some(held) => *held = hit,
                        None => results.hits.push(hit),
                    }
                }
            }
            SearchUpdate::Done { coverage, elapsed, truncated } => {
                (results.coverage, results.elapsed, results.truncated) = (coverage, elapsed, truncated);
            }
        }
    }
    results
}

async fn run(registry: P2pRegistry, query: Query, updates: mpsc::Sender<SearchUpdate>) -> Found {
    let started = Instant::now();
    let mut search = Running {
        limit: query.limit,
        seen: HashMap::new(),
        found: Found::default(),
        truncated: false,
        updates: &updates,
    };
    let mut coverage = Coverage::default();

    let (store, local_query) = (registry.store.clone(), query.clone());
    let local = tokio::task::spawn_blocking(move || {
        let hits = store.search(&local_query)?;
        let seqs = hits.into_iter().map(|hit| {
            let seq = store.mark(&hit.package)?.map_or(0, |mark| mark.seq);
            Ok((seq, hit))
        });
        seqs.collect::<Result<Vec<_>>>()
    });
    match local.await {
        Ok(Ok(hits)) => search.show(hits, coverage),
        Ok(Err(error)) => tracing::error!(%error, "the catalogue could not be searched"),
        Err(error) => tracing::error!(%error, "searching the catalogue failed"),
    }

    let timeout = registry.net.query_timeout();
    let peers = registry.net.best_peers(query.min_reputation, FAN_OUT).await.unwrap_or_default();
    coverage.asked = peers.len();
    let ask = |peer: PeerId| {
        let (net, request) = (registry.net.clone(), Request::Search(query.clone()));
        async move { (peer, net.ask(peer, request, timeout).await) }
    };
    let mut answers: FuturesUnordered<_> = peers.into_iter().map(ask).collect();
    let mut accepted = Vec::new();
    while let Some((peer, answer)) = answers.next().await {
        match answer {
            Ok(Ok(Response::Packages { items, more })) => {
                coverage.answered += 1;
                search.truncated |= more && items.len() < query.limit;
                let verified = registry.verify_items(peer, items, query.limit);
                let hits = verified.iter().map(|(head, manifest)| (head.seq, registry.hit(peer, head, manifest)));
                search.show(hits.collect(), coverage);
                accepted.extend(verified);
            }
            Ok(Ok(response)) => {
                tracing::debug!(%peer, kind = response.kind(), "answered something else");
                registry.net.observe(peer, Outcome::AnswerWrong);
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no answer to a search"),
            Err(_) => break,
        }
    }
    let now = clock::now();
    let commits = accepted.into_iter().map(|(head, manifest)| registry.accept_head(head, vec![manifest], now));
    futures::future::join_all(commits).await;
    let done = SearchUpdate::Done { coverage, elapsed: started.elapsed(), truncated: search.truncated };
    let found = Found { coverage, ..search.found };
    let _ = updates.send(done).await;
    found
}

struct Running<'a> {
    limit: usize,
    /// The state shown of each package.
    seen: HashMap<PackageId, u64>,
    found: Found,
    truncated: bool,
    updates: &'a mpsc::Sender<SearchUpdate>,
}

impl Running<'_> {
    /// Sends what is new, or newer than what was shown; always sends, for the coverage.
    fn show(&mut self, hits: Vec<(u64, Hit)>, coverage: Coverage) {
        let mut fresh = Vec::new();
        for (seq, hit) in hits {
            let shown = self.seen.get(&hit.package).copied();
            if shown.is_some_and(|shown| shown >= seq) {
                continue;
            }
            if shown.is_none() && self.seen.len() >= self.limit {
                self.truncated = true;
                continue;
            }
            self.seen.insert(hit.package.clone(), seq);
            match hit.source {
                Source::Peer(_) => self.found.peer += 1,
                _ => self.found.local += 1,
            }
            fresh.push(hit);
        }
        if self.updates.try_send(SearchUpdate::Hits { hits: fresh, coverage }).is_err() {
            self.truncated = true;
        }
    }
}

impl P2pRegistry {
    /// The items of a peer's answer that hold, and what that says of the peer.
    fn verify_items(&self, peer: PeerId, items: Vec<Item>, limit: usize) -> Vec<(Signed<Head>, Signed<Manifest>)> {
        let now = clock::now();
        let mut verified = Vec::new();
        let mut wrong = false;
        for item in items.into_iter().take(limit) {
            match verify_item(&item) {
                Ok((head, manifest)) => {
                    let trust = self.store.trust(&head.publisher(), head.handle.as_ref());
                    let held = self.store.judge_head(&head, now).map(|verdict| verdict.refusal());
                    if !matches!(trust, Ok(Trust::Distrusted)) && matches!(held, Ok(None)) {
                        verified.push((head, manifest));
                    }
                }
                Err(refusal) => {
                    self.tally.refused(refusal);
                    wrong |= refusal.class() == Class::Reject;
                }
            }
        }
        self.net.observe(peer, if wrong { Outcome::AnswerWrong } else { Outcome::AnswerRight });
        verified
    }

    fn hit(&self, peer: PeerId, head: &Signed<Head>, manifest: &Signed<Manifest>) -> Hit {
        Hit {
            package: PackageId { publisher: head.publisher(), name: head.name.clone() },
            handle: head.handle.clone(),
            trust: self.store.trust(&head.publisher(), head.handle.as_ref()).unwrap_or_default(),
            version: manifest.version.clone(),
            summary: manifest.summary().to_string(),
            categories: manifest.categories.clone(),
            tags: manifest.tags.clone(),
            license: manifest.license.clone(),
            signed_at: head.signed_at,
            source: Source::Peer(peer),
        }
    }
}

fn verify_item(item: &Item) -> Result<(Signed<Head>, Signed<Manifest>), Refusal> {
    let head = Signed::<Head>::verify(&item.head)?;
    let manifest = Signed::<Manifest>::verify(item.manifest.as_ref().ok_or(Refusal::Malformed)?)?;
    if lists(&head, &manifest) { Ok((head, manifest)) } else { Err(Refusal::Mismatch) }
}
