//! Background work on contents: announces them in the DHT, resumes fetches, and restores damaged
//! ones.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Fetcher;
use crate::domain::{
    catalogue::CatalogueScope,
    hash::ContentRoot,
    held::{Held, Lost},
    manifest::Manifest,
    query::words,
    record::DhtKey,
    transfer::Wanted,
};

/// Contents announced at once.
const AT_ONCE: usize = 4;
/// Pause between two announcements: announcing everything at once would bring down a small network.
const PACE: Duration = Duration::from_millis(20);
/// The pause while something is being fetched that a person may wait for.
const PACE_BESIDE: Duration = Duration::from_secs(1);
/// Interval at which everything is announced again: twice in the life of a record.
const ROUND: Duration = Duration::from_secs(12 * 3_600);
/// Interval at which words of new packages are announced.
const WORDS: Duration = Duration::from_secs(600);
/// A word of more packages than this is found at any peer.
const RARE: u64 = 3;
/// Most announced words: of this node's own packages, and of others.
const OWN_WORDS: usize = 1_000;
const RARE_WORDS: usize = 1_000;
/// Interval at which unused streams and files are closed.
const SWEEP: Duration = Duration::from_secs(20);
/// Interval at which damaged contents are fetched again, until a peer supplies them.
const HEAL: Duration = Duration::from_secs(60);
/// Most contents that wait to be announced; more are announced in the next round.
const MOST: usize = 100_000;

/// Contents to announce in the DHT, each with its name.
#[derive(Default)]
pub struct Providing {
    waiting: Mutex<ProvideQueue>,
    added: Notify,
}

#[derive(Default)]
struct ProvideQueue {
    queue: VecDeque<(DhtKey, Box<str>)>,
    known: HashSet<DhtKey>,
}

impl Providing {
    fn add(&self, key: DhtKey, what: &str, soon: bool) {
        let mut waiting = self.waiting.lock();
        let ProvideQueue { queue, known } = &mut *waiting;
        if known.len() < MOST && known.insert(key) {
            if soon {
                queue.push_front((key, what.into()))
            } else {
                queue.push_back((key, what.into()))
            }
            self.added.notify_one();
        }
    }

    fn next(&self) -> Option<(DhtKey, Box<str>)> {
        let mut waiting = self.waiting.lock();
        let next = waiting.queue.pop_front()?;
        waiting.known.remove(&next.0);
        Some(next)
    }
}

/// Returns the words to announce: the own ones, and the rare ones that are nearest to this node.
fn told_words<'a>(
    own: &'a BTreeSet<String>,
    rare: &'a [String],
    here: &DhtKey,
) -> Vec<(DhtKey, &'a str)> {
    let keyed = |word: &'a String| (DhtKey::of_word(word), word.as_str());
    let mut rare: Vec<_> = rare.iter().map(keyed).collect();
    rare.sort_unstable_by_key(|(key, _)| key.distance(here));
    rare.truncate(RARE_WORDS);
    let own = own.iter().take(OWN_WORDS).map(keyed);
    own.chain(rare).collect()
}

/// Returns true if other nodes may fetch a content: own ones always, and the rest if `provide` is
/// true.
fn is_offered(held: &Held, provide: bool) -> bool {
    held.own || provide
}

impl Fetcher {
    /// Queues the announcement of a content, with its name, before those that are only renewed.
    pub fn provide_soon(&self, root: ContentRoot, what: &str) {
        self.providing.add(
            DhtKey::of_content(&root),
            &format!("content of {what}"),
            true,
        );
    }

    /// As [`Self::provide_soon`], for every file that a manifest lists.
    pub fn provide_files_soon(&self, manifest: &Manifest) {
        let what = format!("{} {}", manifest.name, manifest.version);
        manifest
            .files
            .iter()
            .for_each(|file| self.provide_soon(file.root, &what));
    }

    /// Runs until `stop` is cancelled.
    pub async fn run_contents(self: Arc<Self>, stop: CancellationToken) {
        if let Err(error) = self.tidy_copies().await {
            tracing::error!(%error, "what is kept for others could not be looked through");
        }
        let mut damaged = self.contents.damaged();
        let mut joined = self.core.net.joined();
        let mut round = tokio::time::interval(ROUND);
        let mut healing = tokio::time::interval(HEAL);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unended = self.unended_fetches().unwrap_or_else(|error| {
            tracing::error!(%error, "fetches of an earlier run are not gone on with");
            Vec::new()
        });
        let mut telling = tokio::task::JoinSet::new();
        let mut told_at: Option<Instant> = None;
        let mut idle = false;
        let mut new_words = tokio::time::interval(WORDS);
        let mut told = HashSet::new();
        loop {
            let alone = *joined.borrow() == 0;
            if !alone {
                for wanted in unended.drain(..) {
                    if let Err(error) = self.begin_fetch(wanted).map_err(crate::RegistryError::from)
                    {
                        tracing::error!(%error, "a fetch of an earlier run is not gone on with");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                _ = round.tick() => {
                    told.clear();
                    self.provide_everything();
                }
                _ = new_words.tick() => self.provide_words(&mut told).await,
                _ = sweep.tick() => self.fetches.links.sweep(),
                Ok(held) = damaged.recv() => {
                    let what = held.what.unwrap_or_else(|| held.content.root.to_string());
                    self.core.warn(format!("the stored bytes of {what} were damaged and are dropped; they are fetched again"));
                    self.heal();
                }
                _ = healing.tick(), if !alone => self.heal(),
                changed = joined.changed() => if changed.is_err() { break },
                () = self.providing.added.notified(), if idle => idle = false,
                Some(_) = telling.join_next(), if !telling.is_empty() => {}
                _ = pace.tick(), if !idle && !alone && telling.len() < AT_ONCE => {
                    let lately = told_at.is_some_and(|at| at.elapsed() < PACE_BESIDE);
                    if lately && self.is_fetching() {
                        continue;
                    }
                    let Some((key, what)) = self.providing.next() else {
                        idle = true;
                        continue;
                    };
                    told_at = Some(Instant::now());
                    let net = self.core.net.clone();
                    telling.spawn(async move { net.provide(key, what.into()).await });
                }
            }
        }
        let fetches = &self.fetches;
        fetches.stop.cancel();
        fetches.tasks.close();
        fetches.tasks.wait().await;
    }

    /// Queues the announcement of everything that other nodes may fetch.
    pub fn provide_everything(&self) {
        match self.contents.list() {
            Ok(held) => {
                let offered = held
                    .into_iter()
                    .filter(|held| is_offered(held, self.core.content.provide));
                offered.for_each(|held| {
                    let what = held.what.map_or_else(
                        || "a content".to_owned(),
                        |what| format!("content of {what}"),
                    );
                    self.providing
                        .add(DhtKey::of_content(&held.content.root), &what, false);
                });
            }
            Err(error) => tracing::error!(%error, "what is here could not be listed"),
        }
    }

    /// Announces words of packages for nodes that know few: all words of its own packages, and of
    /// the catalogue's rare words those that are nearest to it, so that nodes share the work
    /// without coordination.
    async fn provide_words(&self, told: &mut HashSet<DhtKey>) {
        let full = self.core.options.catalogue == CatalogueScope::Full;
        let read = self
            .core
            .read("reading the words of packages", move |store| {
                let rare = if full {
                    store.rare_words(RARE)?
                } else {
                    Vec::new()
                };
                Ok((store.own_words()?, rare))
            });
        let Ok((own, rare)) = read.await else {
            return;
        };
        let here = DhtKey::of_word(&self.core.net.peer_id().to_base58());
        for (key, word) in told_words(&own, &rare, &here) {
            if told.insert(key) {
                self.providing
                    .add(key, &format!("packages with “{word}”"), false);
            }
        }
    }

    /// Announces the words of a package that was just published.
    pub fn provide_words_soon(&self, text: &str) {
        words(text).for_each(|word| {
            self.providing.add(
                DhtKey::of_word(&word),
                &format!("packages with “{word}”"),
                true,
            );
        });
    }

    /// Restores damaged contents from other nodes: fetched ones come from there, and own ones may
    /// have been copied.
    fn heal(self: &Arc<Self>) {
        let lost = self.contents.lost().unwrap_or_else(|error| {
            tracing::error!(%error, "what was damaged could not be listed");
            Vec::new()
        });
        for Lost { content, what, .. } in lost {
            let what = what.unwrap_or_else(|| content.root.to_string());
            let wanted = Wanted {
                content,
                what,
                package: None,
                beside: None,
                for_others: false,
            };
            if let Err(error) = self.begin_fetch(wanted).map_err(crate::RegistryError::from) {
                tracing::error!(%error, root = %content.root, "damaged content is not fetched again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> DhtKey {
        DhtKey::of_word(&n.to_string())
    }

    #[test]
    fn what_is_new_is_told_before_what_is_told_again_and_each_waits_once() {
        let providing = Providing::default();
        providing.add(key(1), "1", false);
        providing.add(key(2), "2", false);
        providing.add(key(3), "3", true);
        providing.add(key(1), "again", true);
        let order: Vec<_> = std::iter::from_fn(|| providing.next())
            .map(|(_, what)| what.to_string())
            .collect();
        assert_eq!(order, ["3", "1", "2"]);
        providing.add(key(1), "later", false);
        assert!(providing.next().is_some(), "it may wait again");
    }

    #[test]
    fn what_waits_is_bounded() {
        let providing = Providing::default();
        (0..MOST + 5).for_each(|n| providing.add(key(n), "", false));
        assert_eq!(std::iter::from_fn(|| providing.next()).count(), MOST);
    }

    #[test]
    fn the_nearest_of_the_rare_words_are_told_after_the_own_ones() {
        let own: BTreeSet<String> = (0..OWN_WORDS + 3).map(|n| format!("own{n}")).collect();
        let rare: Vec<String> = (0..RARE_WORDS + 3).map(|n| format!("rare{n}")).collect();
        let here = key(0);
        let told = told_words(&own, &rare, &here);
        assert_eq!(told.len(), OWN_WORDS + RARE_WORDS);
        assert!(
            told[..OWN_WORDS]
                .iter()
                .all(|(_, word)| word.starts_with("own"))
        );
        let (near, words): (Vec<_>, Vec<_>) = told[OWN_WORDS..]
            .iter()
            .map(|(key, word)| (key.distance(&here), *word))
            .unzip();
        assert!(near.is_sorted());
        let left = rare.iter().filter(|word| !words.contains(&word.as_str()));
        let nearest_left = left.map(|word| DhtKey::of_word(word).distance(&here)).min();
        assert!(nearest_left >= near.last().cloned());
    }
}
