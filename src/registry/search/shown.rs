//! Merges search results: each package once, in its newest state.

use std::collections::HashMap;

use tokio::sync::mpsc;

use crate::domain::{
    name::PackageId,
    package::Source,
    query::{Coverage, Hit, Query, SearchResults, SearchUpdate},
};

/// The counts of a search's results.
#[derive(Clone, Copy, Default)]
pub struct HitCounts {
    /// Hits by where they, or a newer state of them, were found first.
    pub local: usize,
    pub peer: usize,
    pub coverage: Coverage,
}

impl HitCounts {
    pub fn outcome(&self) -> &'static str {
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

/// Merges an update into the results of a search.
pub fn merge(results: &mut SearchResults, update: SearchUpdate) {
    match update {
        SearchUpdate::Hits {
            hits,
            coverage,
            total,
            instead,
        } => {
            (results.coverage, results.total) = (coverage, total);
            results.instead = results.instead.take().or(instead);
            for hit in hits {
                // A newer state of a package replaces the older one.
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
            (results.coverage, results.elapsed, results.truncated) = (coverage, elapsed, truncated);
        }
    }
}

/// Returns the page of the results that `query` asks for.
pub fn page(mut results: SearchResults, query: &Query) -> SearchResults {
    if !query.terms().wanted.is_empty() {
        // A stable sort: equal hits keep their order of arrival.
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

/// The results of a search shown so far.
pub struct ShownHits<'a> {
    limit: usize,
    /// The state shown of each package.
    seen: HashMap<PackageId, u64>,
    pub found: HitCounts,
    /// The number of matching packages here and of those that only others have.
    pub total: u64,
    pub instead: Option<String>,
    pub truncated: bool,
    updates: &'a mpsc::Sender<SearchUpdate>,
}

impl<'a> ShownHits<'a> {
    pub fn new(limit: usize, updates: &'a mpsc::Sender<SearchUpdate>) -> Self {
        Self {
            limit,
            seen: HashMap::new(),
            found: HitCounts::default(),
            total: 0,
            instead: None,
            truncated: false,
            updates,
        }
    }

    /// Sends the hits that are new, or newer than those shown. Always sends the coverage.
    pub fn show(&mut self, hits: Vec<(u64, Hit)>, coverage: Coverage) {
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

#[cfg(test)]
mod tests {
    use libp2p::{PeerId, identity::Keypair};

    use super::*;
    use crate::domain::{name::PublisherId, time::Timestamp};

    fn hit(name: &str, score: f64, source: Source) -> Hit {
        let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        Hit {
            package: PackageId {
                owner: PublisherId::of(&key.public()),
                name: name.parse().unwrap(),
            },
            handle: None,
            trust: Default::default(),
            version: "1.0.0".parse().unwrap(),
            summary: String::new(),
            categories: Vec::new(),
            tags: Vec::new(),
            license: Default::default(),
            ecosystem: "generic".to_owned(),
            dependents: 0,
            providers: 0,
            yanked: false,
            deprecated: false,
            looks_like: None,
            signed_at: Timestamp(0),
            score,
            source,
        }
    }

    fn hits_of(update: SearchUpdate) -> (Vec<String>, u64) {
        let SearchUpdate::Hits { hits, total, .. } = update else {
            panic!("hits were sent");
        };
        let names = hits.iter().map(|hit| hit.package.name.bare().to_owned());
        (names.collect(), total)
    }

    #[test]
    fn a_package_is_shown_once_and_again_only_in_a_newer_state() {
        let (sender, mut updates) = mpsc::channel(8);
        let mut shown = ShownHits::new(2, &sender);
        let peer = Source::Peer(PeerId::random());
        shown.total = 1;
        shown.show(
            vec![(3, hit("web", 1.0, Source::Local))],
            Coverage::default(),
        );
        assert_eq!(
            hits_of(updates.try_recv().unwrap()),
            (vec!["web".to_owned()], 1)
        );
        let same = vec![(3, hit("web", 1.0, peer)), (2, hit("web", 1.0, peer))];
        shown.show(same, Coverage::default());
        assert_eq!(
            hits_of(updates.try_recv().unwrap()),
            (vec![], 1),
            "for the coverage"
        );
        shown.show(vec![(4, hit("web", 1.0, peer))], Coverage::default());
        assert_eq!(
            hits_of(updates.try_recv().unwrap()),
            (vec!["web".to_owned()], 1)
        );
        shown.show(vec![(1, hit("lib", 1.0, peer))], Coverage::default());
        assert_eq!(
            hits_of(updates.try_recv().unwrap()),
            (vec!["lib".to_owned()], 2)
        );
        assert!(!shown.truncated);
        shown.show(vec![(1, hit("third", 1.0, peer))], Coverage::default());
        assert!(shown.truncated, "it has a limit of two");
        assert_eq!((shown.found.local, shown.found.peer), (1, 2));
    }

    #[test]
    fn a_reader_that_is_slow_gets_a_search_that_is_cut() {
        let (sender, _updates) = mpsc::channel(1);
        let mut shown = ShownHits::new(2, &sender);
        shown.show(Vec::new(), Coverage::default());
        assert!(!shown.truncated);
        shown.show(Vec::new(), Coverage::default());
        assert!(shown.truncated);
    }

    #[test]
    fn what_a_search_came_to() {
        let coverage = |asked, answered| Coverage {
            asked,
            answered,
            ..Coverage::default()
        };
        let outcome = |local, peer, coverage| {
            HitCounts {
                local,
                peer,
                coverage,
            }
            .outcome()
        };
        assert_eq!(outcome(1, 0, coverage(5, 0)), "found");
        assert_eq!(outcome(0, 1, coverage(5, 1)), "found");
        assert_eq!(outcome(0, 0, coverage(5, 0)), "timeout");
        assert_eq!(outcome(0, 0, coverage(5, 1)), "missing");
        assert_eq!(outcome(0, 0, coverage(0, 0)), "missing", "nobody was asked");
    }

    #[test]
    fn a_page_has_the_newest_states_in_the_order_of_their_scores() {
        let mut results = SearchResults::default();
        let peer = Source::Peer(PeerId::random());
        for hits in [
            vec![hit("a", 1.0, Source::Local), hit("b", 2.0, Source::Local)],
            vec![hit("c", 3.0, peer), hit("a", 4.0, peer)],
        ] {
            let update = SearchUpdate::Hits {
                hits,
                coverage: Coverage::default(),
                total: 3,
                instead: None,
            };
            merge(&mut results, update);
        }
        let names = |query: &Query| -> Vec<String> {
            let page = page(results.clone(), query);
            page.hits
                .iter()
                .map(|hit| hit.package.name.bare().to_owned())
                .collect()
        };
        let query = Query {
            limit: 2,
            ..Query::text("web")
        };
        assert_eq!(names(&query), ["a", "c"]);
        assert_eq!(names(&Query { offset: 2, ..query }), ["b"]);
        assert_eq!(names(&Query::text("")), ["a", "b", "c"], "as they came");
    }
}
