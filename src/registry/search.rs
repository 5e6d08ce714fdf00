//! Search: the local catalogue at once, then what peers answer, until they all have or the time is
//! up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use tokio::sync::mpsc;
use tracing::field::Empty;

use super::{
    CatalogueScope, Coverage, Hit, P2pRegistry, SearchResults, SearchUpdate, Source, blocking,
    catalogue::judged, panel::Panel,
};
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::PackageId,
        query::{Candidate, Query, Ranking, Terms, estimate, share},
        record::{Authorised, DhtKey, Head},
        release::{self, ReleaseEntry},
        reputation::Outcome,
        time::Timestamp,
        trust::Trust,
    },
    ending::Ending,
    net::protocol::{Item, Request, Response},
    store::Store,
};

/// Peers asked by one search.
const FAN_OUT: usize = 5;
/// Others that may be asked in the place of those that fail, or are slow.
const SPARE: usize = 3;
/// And by a node that keeps no full catalogue, of those that the DHT names, for so many of the
/// words.
const HOLDERS: usize = 8;
const WORDS_LOOKED_UP: usize = 3;
/// Updates waiting for a reader; one that falls further behind gets a search that is cut short, and
/// says so.
const BUFFER: usize = 64;

pub(super) fn start(registry: P2pRegistry, query: Query) -> mpsc::Receiver<SearchUpdate> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    // How many words, and not which: what a person looks for is nobody else's.
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
    let metrics = registry.core.metrics.clone();
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
            Coverage {
                asked: 1..,
                answered: 0,
                ..
            } => "timeout",
            _ => "missing",
        }
    }
}

/// The page of a search that `query` asks for.
pub(super) async fn collect(
    query: &Query,
    mut updates: mpsc::Receiver<SearchUpdate>,
) -> SearchResults {
    let mut results = SearchResults::default();
    while let Some(update) = updates.recv().await {
        match update {
            SearchUpdate::Hits {
                hits,
                coverage,
                total,
                instead,
            } => {
                (results.coverage, results.total) = (coverage, total);
                results.instead = results.instead.or(instead);
                for hit in hits {
                    // A newer state of a package takes the older one's place.
                    match results
                        .hits
                        .iter_mut()
                        .find(|held| held.package == hit.package)
                    {
                        Some(held) => *held = hit,
                        None => results.hits.push(hit),
                    }
                }
            }
            SearchUpdate::Facets { facets } => results.facets = facets,
            SearchUpdate::Done {
                coverage,
                elapsed,
                truncated,
            } => {
                (results.coverage, results.elapsed, results.truncated) =
                    (coverage, elapsed, truncated);
            }
        }
    }
    if !query.terms().wanted.is_empty() {
        // Stable: equals stay in the order in which they came.
        results.hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    }
    results.hits = results
        .hits
        .into_iter()
        .skip(query.offset)
        .take(query.limit)
        .collect();
    results
}

async fn run(registry: P2pRegistry, query: Query, updates: mpsc::Sender<SearchUpdate>) -> Found {
    let started = Instant::now();
    // A handle that is bound here names one key, here and at others, whoever else claims it.
    let query = Query {
        text: registry.name_publishers(&query.text),
        ..query
    };
    let terms = query.terms();
    // Whoever wants the second page is shown the first one too, and passes it over: what others
    // have is between the two.
    let query = Query {
        limit: query.offset + query.limit,
        offset: 0,
        ..query
    };
    let mut search = Running {
        limit: query.limit,
        seen: HashMap::new(),
        found: Found::default(),
        total: 0,
        instead: None,
        truncated: false,
        updates: &updates,
    };
    let mut coverage = Coverage::default();

    match in_store(&registry, &query, |store, query, now| {
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
            (search.total, search.instead) = (found.total, found.instead);
            search.show(hits, coverage);
        }
        Err(error) => tracing::error!(%error, "the catalogue could not be searched"),
    }
    match in_store(&registry, &query, Store::facets).await {
        Ok(facets) => {
            search.truncated |= updates.try_send(SearchUpdate::Facets { facets }).is_err()
        }
        Err(error) => {
            tracing::error!(%error, "the labels of a search's matches could not be counted")
        }
    }
    let mut accepted = Vec::new();
    // Whoever understands it otherwise would answer with everything.
    if !query.local && !terms.asks_nothing() {
        let asking = Asking::of(&registry, &query, terms);
        accepted = ask_peers(asking, &mut search, &mut coverage).await;
    }
    let now = registry.core.now();
    let commits = accepted
        .into_iter()
        .map(|(head, manifest)| registry.catalogue.accept_head(head, vec![manifest], now));
    futures::future::join_all(commits).await;
    let done = SearchUpdate::Done {
        coverage,
        elapsed: started.elapsed(),
        truncated: search.truncated,
    };
    let found = Found {
        coverage,
        ..search.found
    };
    let _ = updates.send(done).await;
    found
}

/// Reads the store on a thread that may wait for the disk.
async fn in_store<T: Send + 'static>(
    registry: &P2pRegistry,
    query: &Query,
    read: impl FnOnce(&Store, &Query, Timestamp) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (store, query, now) = (
        registry.core.store.clone(),
        query.clone(),
        registry.core.now(),
    );
    blocking("searching the catalogue", move || read(&store, &query, now)).await
}

/// What peers are asked.
struct Asking<'a> {
    registry: &'a P2pRegistry,
    terms: Terms,
    /// As it goes to peers: within what they take.
    query: Query,
    min_reputation: f64,
    timeout: Duration,
}

impl<'a> Asking<'a> {
    fn of(registry: &'a P2pRegistry, query: &Query, terms: Terms) -> Self {
        let timeout = query.timeout.unwrap_or(registry.core.net.query_timeout());
        let min_reputation = query.min_reputation;
        // Whom we trust, and how long we wait, is nobody's business.
        let query = Query {
            min_reputation: 0.0,
            timeout: None,
            ..query.clone()
        }
        .bounded();
        Self {
            registry,
            terms,
            query,
            min_reputation,
            timeout,
        }
    }
}

/// Asks a few peers at once, and others in the place of those that fail, or take longer than nearly
/// all did lately.
async fn ask_peers(
    asking: Asking<'_>,
    search: &mut Running<'_>,
    coverage: &mut Coverage,
) -> Vec<(Authorised<Head>, Authorised<Manifest>)> {
    let Asking {
        registry,
        ref terms,
        query,
        min_reputation,
        timeout,
    } = asking;
    let net = &registry.core.net;
    let limit = query.limit;
    let times = registry.state.search_times.clone();
    let panel = Panel::of_best(
        net,
        Request::Search(query),
        min_reputation,
        (FAN_OUT, SPARE),
        times,
        timeout,
    )
    .await;
    let Ok(mut panel) = panel else {
        return Vec::new();
    };
    let catalogues: HashMap<PeerId, u64> = net
        .catalogues()
        .await
        .unwrap_or_default()
        .into_iter()
        .collect();
    let own = registry.core.store.package_count().unwrap_or_default();
    let there_are = estimate(own, &catalogues.values().copied().collect::<Vec<_>>());
    let mut searched = vec![own];
    coverage.share = share(there_are, searched.iter().copied());

    // Of whom nothing is known there is no score to be sure of.
    let mut holders = match registry.core.options.catalogue {
        CatalogueScope::Partial if min_reputation <= 0.0 => {
            Some(holders(registry.clone(), terms, timeout))
        }
        _ => None,
    };
    let mut accepted = Vec::new();
    loop {
        coverage.asked = panel.asked;
        let (peer, answer) = tokio::select! {
            biased;
            Some(answer) = panel.next(), if !panel.is_over() => answer,
            found = next_of(&mut holders), if holders.is_some() => {
                match found {
                    Some(peer) if panel.asked < FAN_OUT + SPARE + HOLDERS => drop(panel.ask(peer)),
                    Some(_) => {}
                    None => holders = None,
                }
                continue;
            }
            else => break,
        };
        match answer {
            Ok(Response::Packages { items, more }) => {
                coverage.answered += 1;
                search.truncated |= more && items.len() < limit;
                let verified = registry.verify_items(peer, items, limit, terms);
                searched.extend(catalogues.get(&peer));
                coverage.share = share(there_are, searched.iter().copied());
                let hits = verified
                    .iter()
                    .map(|(head, manifest)| (head.seq, registry.hit(peer, terms, head, manifest)));
                coverage.asked = panel.asked;
                search.show(hits.collect(), *coverage);
                accepted.extend(verified);
            }
            Ok(response) => {
                tracing::debug!(%peer, kind = response.kind(), "answered something else");
                net.observe(peer, Outcome::AnswerWrong);
                panel.replace();
            }
            Err(_) => {}
        }
    }
    accepted
}

/// Peers that the DHT names as having packages with one of the words; a name, and nothing more.
fn holders(registry: P2pRegistry, terms: &Terms, timeout: Duration) -> mpsc::Receiver<PeerId> {
    let (sender, receiver) = mpsc::channel(HOLDERS);
    let mut words: Vec<String> = terms.words().map(str::to_owned).collect();
    // The longest is the rarest, as a rule.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.truncate(WORDS_LOOKED_UP);
    let name_them = async move {
        for word in words {
            let (key, what) = (
                DhtKey::of_word(&word),
                format!("who has packages with “{word}”"),
            );
            let Ok(mut found) = registry.core.net.find_providers(key, what, timeout).await else {
                return;
            };
            while let Some(peer) = found.recv().await {
                if sender.send(peer).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::spawn(tokio::time::timeout(timeout, name_them));
    receiver
}

async fn next_of(holders: &mut Option<mpsc::Receiver<PeerId>>) -> Option<PeerId> {
    holders.as_mut()?.recv().await
}

struct Running<'a> {
    limit: usize,
    /// The state shown of each package.
    seen: HashMap<PackageId, u64>,
    found: Found,
    /// Packages that match here, and those that only others have.
    total: u64,
    instead: Option<String>,
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
                Source::Peer(_) => {
                    self.found.peer += 1;
                    self.total += u64::from(shown.is_none());
                }
                _ => self.found.local += 1,
            }
            fresh.push(hit);
        }
        let (total, instead) = (self.total, self.instead.clone());
        if self
            .updates
            .try_send(SearchUpdate::Hits {
                hits: fresh,
                coverage,
                total,
                instead,
            })
            .is_err()
        {
            self.truncated = true;
        }
    }
}

impl P2pRegistry {
    /// The items of a peer's answer that hold, and what that says of the peer.
    fn verify_items(
        &self,
        peer: PeerId,
        items: Vec<Item>,
        limit: usize,
        terms: &Terms,
    ) -> Vec<(Authorised<Head>, Authorised<Manifest>)> {
        let now = self.core.now();
        let mut judged = judged::hits(items, limit, terms, self.catalogue.horizon(now));
        self.catalogue.weigh(peer, &judged);
        judged.right.retain(|(head, _)| {
            let trust = self.core.store.trust(&head.owner(), head.handle.as_ref());
            let held = self
                .core
                .store
                .judge_head(head, now)
                .map(|verdict| verdict.refusal());
            !matches!(trust, Ok(Trust::Distrusted)) && matches!(held, Ok(None))
        });
        judged.right
    }

    fn hit(
        &self,
        peer: PeerId,
        terms: &Terms,
        head: &Authorised<Head>,
        manifest: &Authorised<Manifest>,
    ) -> Hit {
        let (categories, tags) = (manifest.categories.join(" "), manifest.tags.join(" "));
        let candidate = Candidate {
            name: head.package().name.bare(),
            title: manifest.title.as_deref(),
            summary: manifest.summary(),
            categories: &categories,
            tags: &tags,
            dependents: 0,
            providers: 0,
        };
        let entry = release::find(&head.ecosystem, &head.releases, &manifest.version);
        let id = head.package().clone();
        Hit {
            score: Ranking::of(terms).score(&candidate),
            package: id.clone(),
            handle: head.handle.clone(),
            trust: self
                .core
                .store
                .trust(&head.owner(), head.handle.as_ref())
                .unwrap_or_default(),
            version: manifest.version.clone(),
            summary: manifest.summary().to_string(),
            categories: manifest.categories.clone(),
            tags: manifest.tags.clone(),
            license: manifest.license.clone(),
            ecosystem: manifest.ecosystem.as_str().to_owned(),
            dependents: 0,
            providers: 0,
            yanked: entry.is_some_and(ReleaseEntry::is_yanked),
            preview: false,
            deprecated: entry.is_some_and(|entry| entry.deprecated.is_some()),
            looks_like: self.core.store.look_alike(&id).unwrap_or_default(),
            signed_at: head.signed_at,
            source: Source::Peer(peer),
        }
    }
}
