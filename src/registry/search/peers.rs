//! The part of a search that asks peers, and judges their answers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use libp2p::PeerId;
use tokio::sync::mpsc;

use super::{
    super::{catalogue::judged, core::blocking, packages::Hedged},
    Search,
    shown::ShownHits,
};
use crate::{
    domain::{
        catalogue::CatalogueScope,
        manifest::Manifest,
        package::Source,
        query::{Coverage, Hit, HitCandidate, Query, Ranking, SearchTerms, estimate, share},
        record::{Authorised, DhtKey, Head},
        release::{self, ReleaseEntry},
        reputation::Outcome,
        trust::Trust,
    },
    net::{
        Net,
        protocol::{Item, Request, Response},
    },
};

/// Peers asked by one search.
const FAN_OUT: usize = 5;
/// Further peers that may be asked in place of those that fail or are slow.
const SPARE: usize = 3;
/// If this node keeps no full catalogue, it also asks this many providers from the DHT, for
/// [`WORDS_LOOKED_UP`] of the words.
const HOLDERS: usize = 8;
const WORDS_LOOKED_UP: usize = 3;

/// A package found by a peer whose signatures are valid.
type Verified = (Authorised<Head>, Authorised<Manifest>);

/// A search at peers.
pub struct PeerSearch {
    search: Arc<Search>,
    terms: Arc<SearchTerms>,
    /// The query as sent to peers.
    query: Query,
    min_reputation: f64,
    timeout: Duration,
}

impl PeerSearch {
    /// Returns `None` if peers should not be asked.
    pub fn of(search: &Arc<Search>, query: &Query, terms: SearchTerms) -> Option<Self> {
        // A peer might understand an empty query as one for everything.
        (!query.local && !terms.asks_nothing()).then(|| Self {
            search: search.clone(),
            terms: Arc::new(terms),
            query: for_peers(query),
            min_reputation: query.min_reputation,
            timeout: query.timeout.unwrap_or(search.core.net.query_timeout()),
        })
    }

    /// Asks a few peers at once, and others in place of those that fail or are slow. Returns the
    /// valid parts of their answers.
    pub async fn ask(self, shown: &mut ShownHits<'_>, coverage: &mut Coverage) -> Vec<Verified> {
        let (search, terms) = (&self.search, &self.terms);
        let (net, limit) = (&search.core.net, self.query.limit);
        let hedged = Hedged::of_best(
            net,
            Request::Search(self.query),
            self.min_reputation,
            (FAN_OUT, SPARE),
            search.times.clone(),
            self.timeout,
        );
        let Ok(mut hedged) = hedged.await else {
            return Vec::new();
        };
        let catalogues = net.catalogues().await.unwrap_or_default();
        let catalogues: HashMap<PeerId, u64> = catalogues.into_iter().collect();
        let own = search.core.store.package_count().unwrap_or_default();
        let mut searched = Searched::new(own, catalogues.values().copied());
        coverage.share = searched.share();

        let scope = search.core.options.catalogue;
        let mut holders = asks_holders(scope, self.min_reputation)
            .then(|| holders(net.clone(), rarest(terms), self.timeout));
        let mut accepted = Vec::new();
        loop {
            coverage.asked = hedged.asked;
            let (peer, answer) = tokio::select! {
                biased;
                Some(answer) = hedged.next(), if !hedged.is_over() => answer,
                found = next_of(&mut holders), if holders.is_some() => {
                    match found {
                        Some(peer) if hedged.asked < FAN_OUT + SPARE + HOLDERS => {
                            hedged.ask(peer);
                        }
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
                    shown.truncated |= is_cut(more, items.len(), limit);
                    let verified = search.clone().verify(peer, items, limit, terms.clone());
                    let (hits, verified) = verified.await;
                    catalogues.get(&peer).inspect(|count| searched.add(**count));
                    coverage.share = searched.share();
                    coverage.asked = hedged.asked;
                    shown.show(hits, *coverage);
                    accepted.extend(verified);
                }
                Ok(response) => {
                    tracing::debug!(%peer, kind = response.kind(), "answered something else");
                    net.observe(peer, Outcome::AnswerWrong);
                    hedged.replace();
                }
                Err(_) => {}
            }
        }
        accepted
    }
}

/// Returns the query as sent to peers: within their limits, and without private settings, which are
/// our trust and timeout.
fn for_peers(query: &Query) -> Query {
    Query {
        min_reputation: 0.0,
        timeout: None,
        ..query.clone()
    }
    .bounded()
}

/// Returns true if providers from the DHT are asked, too: by a node without a full catalogue, and
/// only without a minimum score, because nothing is known of them.
fn asks_holders(scope: CatalogueScope, min_reputation: f64) -> bool {
    scope == CatalogueScope::Partial && min_reputation <= 0.0
}

/// Returns the words to look up: the longest ones, which are usually the rarest.
fn rarest(terms: &SearchTerms) -> Vec<String> {
    let mut words: Vec<String> = terms.words().map(str::to_owned).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.truncate(WORDS_LOOKED_UP);
    words
}

/// Returns true if a peer had more hits than it sent although there was room.
fn is_cut(more: bool, sent: usize, limit: usize) -> bool {
    more && sent < limit
}

/// The part of the network's packages that was searched.
struct Searched {
    there_are: u64,
    /// Package counts of this node and of each peer that answered.
    counts: Vec<u64>,
}

impl Searched {
    fn new(own: u64, others: impl Iterator<Item = u64>) -> Self {
        Self {
            there_are: estimate(own, &others.collect::<Vec<_>>()),
            counts: vec![own],
        }
    }

    fn add(&mut self, count: u64) {
        self.counts.push(count);
    }

    fn share(&self) -> Option<f64> {
        share(self.there_are, self.counts.iter().copied())
    }
}

/// Looks up peers that the DHT names as having packages with one of the words, which they only
/// claim.
fn holders(net: Net, words: Vec<String>, timeout: Duration) -> mpsc::Receiver<PeerId> {
    let (sender, receiver) = mpsc::channel(HOLDERS);
    let name_them = async move {
        for word in words {
            let what = format!("who has packages with “{word}”");
            let key = DhtKey::of_word(&word);
            let Ok(mut found) = net.find_providers(key, what, timeout).await else {
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

impl Search {
    /// Returns the hits of a peer's answer to show, each with the number of its state, and the
    /// valid records. Runs outside the tasks that serve the network, because signatures and the
    /// disk take time.
    async fn verify(
        self: Arc<Self>,
        peer: PeerId,
        items: Vec<Item>,
        limit: usize,
        terms: Arc<SearchTerms>,
    ) -> (Vec<(u64, Hit)>, Vec<Verified>) {
        let verify = move || {
            let verified = self.verify_items(peer, items, limit, &terms);
            let hit =
                |(head, manifest): &Verified| (head.seq, self.hit(peer, &terms, head, manifest));
            Ok::<_, crate::RegistryError>((verified.iter().map(hit).collect(), verified))
        };
        let verified = blocking("verifying what a peer found", verify).await;
        verified.unwrap_or_else(|error| {
            tracing::error!(%error, %peer, "an answer was left out");
            Default::default()
        })
    }

    /// Returns the valid items of a peer's answer, and records the outcome for the peer.
    fn verify_items(
        &self,
        peer: PeerId,
        items: Vec<Item>,
        limit: usize,
        terms: &SearchTerms,
    ) -> Vec<Verified> {
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
        terms: &SearchTerms,
        head: &Authorised<Head>,
        manifest: &Authorised<Manifest>,
    ) -> Hit {
        let (categories, tags) = (manifest.categories.join(" "), manifest.tags.join(" "));
        let candidate = HitCandidate {
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
            deprecated: entry.is_some_and(|entry| entry.deprecated.is_some()),
            looks_like: self.core.store.look_alike(&id).unwrap_or_default(),
            signed_at: head.signed_at,
            source: Source::Peer(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn peers_are_not_told_whom_we_trust_nor_how_long_we_wait() {
        let query = Query {
            min_reputation: 0.7,
            timeout: Some(Duration::from_secs(3)),
            ..Query::text("web server")
        };
        let told = for_peers(&query);
        assert_eq!((told.min_reputation, told.timeout), (0.0, None));
        assert_eq!(told.text, query.text);
    }

    #[test]
    fn the_longest_words_are_looked_up() {
        let terms = Query::text("a parser of yaml documents quickly").terms();
        assert_eq!(rarest(&terms), ["documents", "quickly", "parser"]);
    }

    #[test]
    fn the_dht_names_peers_for_a_part_of_a_catalogue_and_for_any_score() {
        assert!(asks_holders(CatalogueScope::Partial, 0.0));
        assert!(!asks_holders(CatalogueScope::Partial, 0.1));
        assert!(!asks_holders(CatalogueScope::Full, 0.0));
    }

    #[test]
    fn an_answer_is_cut_where_there_was_room_for_more() {
        assert!(is_cut(true, 3, 20));
        assert!(!is_cut(true, 20, 20), "as many as were asked for");
        assert!(!is_cut(false, 3, 20));
    }

    proptest! {
        #[test]
        fn who_answers_never_makes_less_of_the_network_searched(
            own in 0u64..10_000,
            others in proptest::collection::vec(0u64..10_000, 0..8),
        ) {
            let mut searched = Searched::new(own, others.iter().copied());
            let mut before = searched.share().unwrap_or(0.0);
            for count in others {
                searched.add(count);
                let now = searched.share().unwrap_or(0.0);
                prop_assert!(now >= before - 1e-9 && now <= 1.0 + 1e-9, "{} after {}", now, before);
                before = now;
            }
        }
    }
}
