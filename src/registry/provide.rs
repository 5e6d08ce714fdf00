//! What a registry does for content by itself: tell the DHT what is here, go on with fetches, have
//! damaged content again.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{CatalogueScope, P2pRegistry, Wanted};
use crate::{
    RegistryError,
    domain::{hash::ContentRoot, held::Lost, manifest::Manifest, query::words, record::DhtKey},
};

/// Contents that are told of at once.
const AT_ONCE: usize = 4;
/// Between two of them: everything at once is what brings a small network down.
const PACE: Duration = Duration::from_millis(20);
/// Everything is told of again this often: twice in the life of a record.
const ROUND: Duration = Duration::from_secs(12 * 3_600);
/// Words of new packages are looked for this often.
const WORDS: Duration = Duration::from_secs(600);
/// A word that more packages have is at every peer one may ask.
const RARE: u64 = 3;
/// Words that are told of: of this node's own packages, and of others.
const OWN_WORDS: usize = 1_000;
const RARE_WORDS: usize = 1_000;
/// What was not used is closed.
const SWEEP: Duration = Duration::from_secs(20);
/// What was damaged is looked for this often, until somebody gives it.
const HEAL: Duration = Duration::from_secs(60);
/// Contents that wait to be told of; more are told of in the next round.
const MOST: usize = 100_000;

/// Contents of which the DHT is to be told, each with what it is called.
#[derive(Default)]
pub(super) struct Providing {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<(DhtKey, Box<str>)>,
    known: HashSet<DhtKey>,
}

impl Providing {
    fn add(&self, key: DhtKey, what: &str, soon: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { queue, known } = &mut *waiting;
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
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.queue.pop_front()?;
        waiting.known.remove(&next.0);
        Some(next)
    }
}

impl P2pRegistry {
    /// The DHT is told that this node has a content, by what it is called, before those that are
    /// only told of again.
    pub(super) fn provide_soon(&self, root: ContentRoot, what: &str) {
        self.state.providing.add(
            DhtKey::of_content(&root),
            &format!("content of {what}"),
            true,
        );
    }

    /// As [`Self::provide_soon`] for every file that a manifest lists.
    pub(super) fn provide_files_soon(&self, manifest: &Manifest) {
        let what = format!("{} {}", manifest.name, manifest.version);
        manifest
            .files
            .iter()
            .for_each(|file| self.provide_soon(file.root, &what));
    }

    /// Runs until `stop` is called.
    pub async fn run_contents(self, stop: CancellationToken) {
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
        let mut idle = false;
        let mut new_words = tokio::time::interval(WORDS);
        let mut told = HashSet::new();
        loop {
            let alone = *joined.borrow() == 0;
            if !alone {
                for wanted in unended.drain(..) {
                    if let Err(error) = self.begin_fetch(wanted) {
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
                _ = sweep.tick() => self.state.fetches.links.sweep(),
                Ok(held) = damaged.recv() => {
                    let what = held.what.unwrap_or_else(|| held.content.root.to_string());
                    self.core.warn(format!("the stored bytes of {what} were damaged and are dropped; they are fetched again"));
                    self.heal();
                }
                _ = healing.tick(), if !alone => self.heal(),
                changed = joined.changed() => if changed.is_err() { break },
                () = self.state.providing.added.notified(), if idle => idle = false,
                Some(_) = telling.join_next(), if !telling.is_empty() => {}
                _ = pace.tick(), if !idle && !alone && telling.len() < AT_ONCE => match self.state.providing.next() {
                    Some((key, what)) => {
                        let net = self.core.net.clone();
                        telling.spawn(async move { net.provide(key, what.into()).await });
                    }
                    None => idle = true,
                },
            }
        }
        let fetches = &self.state.fetches;
        fetches.stop.cancel();
        fetches.tasks.close();
        fetches.tasks.wait().await;
    }

    /// Everything that others may have of this node.
    pub(super) fn provide_everything(&self) {
        match self.contents.list() {
            Ok(held) => {
                let offered = held
                    .into_iter()
                    .filter(|held| held.own || self.core.options.provide);
                offered.for_each(|held| {
                    let what = held.what.map_or_else(
                        || "a content".to_owned(),
                        |what| format!("content of {what}"),
                    );
                    self.state
                        .providing
                        .add(DhtKey::of_content(&held.content.root), &what, false);
                });
            }
            Err(error) => tracing::error!(%error, "what is here could not be listed"),
        }
    }

    /// Words of packages that this node knows, for those who know few: its own packages' at once,
    /// and of the rare ones of all the catalogue those that are nearest to it, so that nodes share
    /// the work without a word.
    async fn provide_words(&self, told: &mut HashSet<DhtKey>) {
        let (store, full) = (
            self.core.store.clone(),
            self.core.options.catalogue == CatalogueScope::Full,
        );
        let read = tokio::task::spawn_blocking(move || {
            let own = store.own_words()?;
            let rare = if full {
                store.rare_words(RARE)?
            } else {
                Vec::new()
            };
            Ok::<_, RegistryError>((own, rare))
        });
        let Ok(Ok((own, rare))) = read.await else {
            return;
        };
        let here = DhtKey::of_word(&self.core.net.peer_id().to_base58());
        let mut rare: Vec<(DhtKey, &str)> = rare
            .iter()
            .map(|word| (DhtKey::of_word(word), word.as_str()))
            .collect();
        rare.sort_unstable_by_key(|(key, _)| key.distance(&here));
        let own = own
            .iter()
            .take(OWN_WORDS)
            .map(|word| (DhtKey::of_word(word), word.as_str()));
        for (key, word) in own.chain(rare.into_iter().take(RARE_WORDS)) {
            if told.insert(key) {
                self.state
                    .providing
                    .add(key, &format!("packages with “{word}”"), false);
            }
        }
    }

    /// Words of a package that was just published.
    pub(super) fn provide_words_soon(&self, text: &str) {
        words(text).for_each(|word| {
            self.state.providing.add(
                DhtKey::of_word(&word),
                &format!("packages with “{word}”"),
                true,
            );
        });
    }

    /// What came from others can come from them again; what was put here may be with them by now.
    fn heal(&self) {
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
            if let Err(error) = self.begin_fetch(wanted) {
                tracing::error!(%error, root = %content.root, "damaged content is not fetched again");
            }
        }
    }
}
