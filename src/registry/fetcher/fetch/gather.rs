//! One attempt at a content: who is asked, when others are, and when nobody gives the rest.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{super::Fetcher, Entry, crowd::Crowd, plan::ONE_PEER, run::Run, worker::work};
use crate::{
    RegistryError, Result,
    domain::{
        content::{GROUP, groups},
        record::DhtKey,
        transfer::{Wanted, rate},
    },
};

/// Peers that one content is fetched from at once.
const WORKERS: usize = 8;
/// A small content is asked of one more peer each time this has gone by without it, or a peer had
/// it not.
const STAGGER: Duration = Duration::from_millis(100);
/// Bytes that a peer is asked for at a time of a content that several give.
const AT_A_TIME: u64 = 1 << 20;
/// Progress is looked at this often.
const LOOK: Duration = Duration::from_millis(200);
/// Attempts to find more peers after those that were known have given what they have, while
/// something came of it.
const ROUNDS: usize = 5;
/// A fetch that takes long looks for more providers this often.
const SEARCH_AGAIN: Duration = Duration::from_secs(10);
/// A fetch to which nothing came for so many times as long as a peer may be silent has nobody who
/// gives the rest.
const STALLED: u32 = 2;
/// Before the next of these.
const BREATH: Duration = Duration::from_millis(500);

/// The most peers that are asked at once: of a small content one, and one more each time it is late
/// or was asked of one in vain.
fn at_once(single: bool, millis: u64, in_vain: usize) -> usize {
    let late = usize::try_from(millis / STAGGER.as_millis() as u64).unwrap_or(usize::MAX);
    match single {
        true => 1_usize
            .saturating_add(late)
            .saturating_add(in_vain)
            .min(WORKERS),
        false => WORKERS,
    }
}

/// Whom to ask once more when everybody has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Nobody,
    /// Those that were busy, or had only a part: something came of it.
    Others,
    /// Those that were slow or lost too, because there was nobody else: it may be our own side.
    AlsoTheSlow,
}

/// Decides whom to ask once more, by the rounds so far and the bytes that came before the last one
/// and until now.
fn asks_again(rounds: usize, before: u64, came: u64, was_slow_or_lost: bool) -> Again {
    let nothing = rounds == 0 && came == 0;
    match nothing {
        _ if rounds >= ROUNDS => Again::Nobody,
        true if was_slow_or_lost => Again::AlsoTheSlow,
        _ if came == before => Again::Nobody,
        _ => Again::Others,
    }
}

/// Tells if nothing has come for so long that nobody gives the rest.
fn is_stalled(silent_for: Duration, content_idle: Duration) -> bool {
    silent_for >= STALLED * content_idle
}

impl Fetcher {
    /// Asks everybody who may have it until all of it is here; returns why it is not, if it is not.
    pub(super) async fn ask_all(
        self: &Arc<Self>,
        entry: &Entry,
        run: &Arc<Run>,
    ) -> Result<Option<String>> {
        let single = groups(run.wanted.content.size) <= ONE_PEER;
        // Bytes that one peer is asked for.
        let share = if single {
            run.wanted.content.size.max(GROUP)
        } else {
            AT_A_TIME
        };
        let mut workers: JoinSet<()> = JoinSet::new();
        let mut crowd = Crowd::default();
        let (mut asked, mut rounds, mut before, mut searched) = (0, 0, 0, Instant::now());
        let mut pace = Pace::new(Instant::now(), run.done());
        let mut look = tokio::time::interval(if single { STAGGER } else { LOOK });
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.recruit(run, &mut crowd).await?;
        let mut provided = false;
        loop {
            if run.is_complete() {
                return Ok(None);
            }
            if let Some(error) = run.failure() {
                return Ok(Some(
                    RegistryError::file("the content store", "written to")(error).to_string(),
                ));
            }
            let most = at_once(single, run.millis(), run.in_vain());
            while workers.len() < most
                && let Some((peer, score)) = crowd.next(|peer| self.fetches.links.load(peer))
            {
                asked += 1;
                run.heard();
                let load = self.fetches.links.expect(peer, share);
                let working = work(self.clone(), run.clone(), peer, score);
                workers.spawn(async move {
                    working.await;
                    drop(load);
                });
            }
            if crowd.dht.is_none() && !crowd.searched && (!single || workers.len() < most) {
                self.search(&mut crowd, &run.wanted).await?;
            }
            if workers.is_empty() && crowd.is_exhausted() && !run.is_over() {
                // Somebody may have come since.
                self.recruit(run, &mut crowd).await?;
                if !crowd.waiting.is_empty() {
                    continue;
                }
                let came = run.came();
                let again = asks_again(rounds, before, came, run.was_slow_or_lost());
                if again == Again::Nobody {
                    return Ok(Some(run.why_not(asked)));
                }
                (rounds, before) = (rounds + 1, came);
                tokio::time::sleep(BREATH).await;
                crowd = Crowd::default();
                if again == Again::AlsoTheSlow {
                    run.forgive();
                }
                self.recruit(run, &mut crowd).await?;
                continue;
            }
            // Those who have a part may wait for one another, and for what none of them has.
            if is_stalled(run.silent_for(), self.core.content.idle)
                && crowd.dht.is_none()
                && !run.is_over()
            {
                return Ok(Some(run.why_not(asked)));
            }
            if searched.elapsed() >= SEARCH_AGAIN && crowd.dht.is_none() {
                (crowd.searched, searched) = (false, Instant::now());
            }
            tokio::select! {
                () = run.changed.notified() => {}
                Some(_) = workers.join_next(), if !workers.is_empty() => {}
                found = crowd.found() => crowd.add_found(found),
                _ = look.tick() => {
                    let done = run.done();
                    let now = pace.at(Instant::now(), done);
                    self.show(entry, |transfer| {
                        (transfer.done, transfer.rate, transfer.peers) = (done, now, run.parts());
                    });
                    // Whoever else wants it can have of us what there is.
                    if !provided && !single && done > 0 && self.core.content.provide {
                        provided = true;
                        self.provide_soon(run.wanted.content.root, &run.wanted.what);
                    }
                }
            }
        }
    }

    /// Those who are known already: who announced it, the publisher's own nodes, then everybody by
    /// reputation.
    async fn recruit(&self, run: &Run, crowd: &mut Crowd) -> Result<()> {
        let wanted = &run.wanted;
        let sources = self
            .core
            .net
            .sources(wanted.package.as_ref().map(|package| package.owner))
            .await?;
        crowd.scores = sources.iter().copied().collect();
        crowd.met.insert(self.core.net.peer_id());
        crowd.met.extend(run.given_up());
        if let Some(package) = &wanted.package {
            crowd.gave = self.fetches.givers.of(&package.owner);
        }
        for peer in self
            .catalogue
            .announcers
            .of(&wanted.beside.unwrap_or(wanted.content.root))
        {
            crowd.gave.insert(peer, true);
            crowd.add(peer);
        }
        sources.into_iter().for_each(|(peer, _)| crowd.add(peer));
        Ok(())
    }

    /// Asks the DHT who has it.
    async fn search(&self, crowd: &mut Crowd, wanted: &Wanted) -> Result<()> {
        crowd.searched = true;
        let root = wanted.beside.unwrap_or(wanted.content.root);
        let (key, timeout) = (DhtKey::of_content(&root), self.core.net.query_timeout());
        let what = format!("content of {}", wanted.what);
        crowd.dht = Some(self.core.net.find_providers(key, what, timeout).await?);
        Ok(())
    }
}

/// Bytes a second, smoothed so that one can read it.
struct Pace {
    at: Instant,
    done: u64,
    rate: Option<f64>,
}

impl Pace {
    fn new(at: Instant, done: u64) -> Self {
        Self {
            at,
            done,
            rate: None,
        }
    }

    /// The rate by what is there at this time.
    fn at(&mut self, now: Instant, done: u64) -> f64 {
        let millis = u64::try_from(now.duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let rate_now = rate(done.saturating_sub(self.done), millis);
        (self.at, self.done) = (now, done);
        let smooth = self
            .rate
            .map_or(rate_now, |rate| 0.7 * rate + 0.3 * rate_now);
        self.rate = Some(smooth);
        smooth
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_content_is_asked_of_one_more_each_time_it_is_late() {
        let stagger = STAGGER.as_millis() as u64;
        assert_eq!(at_once(true, 0, 0), 1);
        assert_eq!(at_once(true, stagger - 1, 0), 1);
        assert_eq!(at_once(true, stagger, 0), 2);
        assert_eq!(at_once(true, stagger, 2), 4, "two had it not");
        assert_eq!(at_once(true, u64::MAX, usize::MAX), WORKERS);
        assert_eq!(at_once(false, 0, 0), WORKERS);
    }

    #[test]
    fn whoever_was_slow_is_asked_again_once_and_only_where_nothing_came() {
        assert_eq!(asks_again(0, 0, 0, true), Again::AlsoTheSlow);
        assert_eq!(asks_again(0, 0, 0, false), Again::Nobody);
        assert_eq!(asks_again(1, 0, 0, true), Again::Nobody);
        assert_eq!(asks_again(0, 0, 5, true), Again::Others);
        assert_eq!(
            asks_again(1, 5, 5, true),
            Again::Nobody,
            "the last round brought nothing"
        );
        assert_eq!(asks_again(ROUNDS - 1, 5, 6, false), Again::Others);
        assert_eq!(asks_again(ROUNDS, 5, 6, false), Again::Nobody);
    }

    #[test]
    fn a_fetch_stalls_after_twice_a_peers_silence() {
        let idle = Duration::from_secs(10);
        assert!(!is_stalled(idle * 2 - Duration::from_millis(1), idle));
        assert!(is_stalled(idle * 2, idle));
    }

    proptest! {
        #[test]
        fn asking_again_ends(slow in any::<bool>(), came in proptest::collection::vec(0u64..5, 20)) {
            let (mut rounds, mut before, mut total) = (0, 0, 0);
            for more in came {
                total += more;
                if asks_again(rounds, before, total, slow) == Again::Nobody {
                    break;
                }
                (rounds, before) = (rounds + 1, total);
            }
            prop_assert!(rounds <= ROUNDS);
        }

        #[test]
        fn the_rate_stays_between_what_it_was(rates in proptest::collection::vec(1u64..100, 1..20)) {
            let start = Instant::now();
            let (mut pace, mut done, mut smooth) = (Pace::new(start, 0), 0, 0.0);
            for (n, kib) in (1..).zip(&rates) {
                done += kib * 1_024;
                smooth = pace.at(start + Duration::from_secs(n), done);
            }
            let (least, most) = (rates.iter().min().unwrap(), rates.iter().max().unwrap());
            prop_assert!(smooth >= *least as f64 * 1_023.0 && smooth <= *most as f64 * 1_025.0);
        }
    }
}
