//! One attempt to fetch a content: chooses the peers, adds others when needed, and gives up if none
//! supplies the rest.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{super::Fetcher, RunningFetch, crowd::Crowd, plan::ONE_PEER, run::Run, worker::work};
use crate::{
    RegistryError, Result,
    domain::{
        content::{GROUP, groups},
        record::DhtKey,
        transfer::{Wanted, rate},
    },
};

/// Most peers that one content is fetched from at once.
const WORKERS: usize = 8;
/// For a small content, one more peer is asked each time this has passed, or a peer lacked it.
const STAGGER: Duration = Duration::from_millis(100);
/// Bytes requested from a peer at a time, for a content from several peers.
const AT_A_TIME: u64 = 1 << 20;
/// Interval at which progress is checked.
const LOOK: Duration = Duration::from_millis(200);
/// Most further rounds after the known peers have supplied what they have, as long as each round
/// helps.
const ROUNDS: usize = 5;
/// Interval at which a long fetch looks for more providers.
const SEARCH_AGAIN: Duration = Duration::from_secs(10);
/// A fetch is stalled after this many times the longest silence allowed of a peer.
const STALLED: u32 = 2;
/// Pause before each further round.
const BREATH: Duration = Duration::from_millis(500);

/// Returns the most peers to ask at once. For a small content that is one, and one more each time
/// it is late or a peer lacked it.
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

/// The peers to ask again once all have been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Nobody,
    /// Those that were busy or had only a part, because the last round helped.
    Others,
    /// Slow and lost ones, too, because there are no others and the problem may be on our side.
    AlsoTheSlow,
}

/// Decides which peers to ask again, by the number of rounds and the bytes received before and
/// after the last one.
fn asks_again(rounds: usize, before: u64, came: u64, was_slow_or_lost: bool) -> Again {
    let nothing = rounds == 0 && came == 0;
    match nothing {
        _ if rounds >= ROUNDS => Again::Nobody,
        true if was_slow_or_lost => Again::AlsoTheSlow,
        _ if came == before => Again::Nobody,
        _ => Again::Others,
    }
}

/// Returns true if nothing has arrived for so long that no peer supplies the rest.
fn is_stalled(silent_for: Duration, content_idle: Duration) -> bool {
    silent_for >= STALLED * content_idle
}

impl Fetcher {
    /// Asks all peers that may have the content until everything is here. Otherwise returns the
    /// reason why it is not.
    pub(super) async fn ask_all(
        self: &Arc<Self>,
        entry: &RunningFetch,
        run: &Arc<Run>,
    ) -> Result<Option<String>> {
        let single = groups(run.wanted.content.size) <= ONE_PEER;
        // Bytes requested from one peer.
        let share = if single {
            run.wanted.content.size.max(GROUP)
        } else {
            AT_A_TIME
        };
        let mut workers: JoinSet<()> = JoinSet::new();
        let mut crowd = Crowd::default();
        let (mut asked, mut rounds, mut before, mut searched) = (0, 0, 0, Instant::now());
        let mut pace = TransferRate::new(Instant::now(), run.done());
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
                // New peers may have come since.
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
            // Peers with parts of it may wait for one another, and for a part that none of them
            // has.
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
                    // Other nodes can now fetch from us what is here.
                    if !provided && !single && done > 0 && self.core.content.provide {
                        provided = true;
                        self.provide_soon(run.wanted.content.root, &run.wanted.what);
                    }
                }
            }
        }
    }

    /// Adds the peers that are known already: announcers, then the publisher's own nodes, then all
    /// others by score.
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

    /// Starts a lookup of providers in the DHT.
    async fn search(&self, crowd: &mut Crowd, wanted: &Wanted) -> Result<()> {
        crowd.searched = true;
        let root = wanted.beside.unwrap_or(wanted.content.root);
        let (key, timeout) = (DhtKey::of_content(&root), self.core.net.query_timeout());
        let what = format!("content of {}", wanted.what);
        crowd.dht = Some(self.core.net.find_providers(key, what, timeout).await?);
        Ok(())
    }
}

/// The rate in bytes per second, smoothed to be readable.
struct TransferRate {
    at: Instant,
    done: u64,
    rate: Option<f64>,
}

impl TransferRate {
    fn new(at: Instant, done: u64) -> Self {
        Self {
            at,
            done,
            rate: None,
        }
    }

    /// Returns the rate, given the bytes that are here at this time.
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
            let (mut pace, mut done, mut smooth) = (TransferRate::new(start, 0), 0, 0.0);
            for (n, kib) in (1..).zip(&rates) {
                done += kib * 1_024;
                smooth = pace.at(start + Duration::from_secs(n), done);
            }
            let (least, most) = (rates.iter().min().unwrap(), rates.iter().max().unwrap());
            prop_assert!(smooth >= *least as f64 * 1_023.0 && smooth <= *most as f64 * 1_025.0);
        }
    }
}
