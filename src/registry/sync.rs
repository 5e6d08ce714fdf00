//! Keeping the catalogue whole: compared with a few peers on joining, every now and then, and after
//! sleep.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    CatalogueScope, P2pRegistry, blocking,
    judged::{self, is_mostly_wrong},
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{Handle, PackageId, PublisherId},
        record::{Admission, Authorised, Head, Refusal},
        reputation::Outcome,
        trust::Trust,
    },
    net::{
        protocol::Item,
        sync::{Stopped, SyncLink, wire::MAX_WANTED},
    },
    store::HeadVerdict,
};

/// Peers that the catalogue is compared with in a round: good ones, and others.
const GOOD: usize = 2;
const OTHERS: usize = 1;
/// A peer that has joined is given so long to say hello first; and others as long to join, so that
/// it is one round.
const SETTLE: Duration = Duration::from_millis(300);
/// Nobody is compared with more often than this, however often somebody asks for it.
const GAP: Duration = Duration::from_secs(2);
/// A peer is reached within this.
const REACH: Duration = Duration::from_secs(5);
/// Questions for heads asked ahead of their answers, and answers that wait to be verified: of 256
/// heads each.
const AHEAD: usize = 2;
const WAITING: usize = 4;
/// Heads that are stored in one transaction, as far as they are there.
const AT_ONCE: usize = 1_000;
/// Heads that a peer may have and this node not: twice what a full catalogue has by default, or 32
/// MiB of hashes.
const MOST_CLAIMED: usize = 1_000_000;
/// Whether this machine slept is looked at this often; it did when so much more time has gone by.
const LOOK: Duration = Duration::from_secs(10);
const SLEPT: Duration = Duration::from_secs(60);
/// A comparison that failed is tried again so many times, each time later.
const TRIES: u32 = 3;
/// Peers whose last comparison is remembered.
const REMEMBERED: usize = 2_048;
/// What is told when its thread ends before it is done.
const COMPARING: &str = "comparing catalogues";
/// From so many new packages on, a person is told.
const WORTH_TELLING: usize = 100;

/// What came of comparing with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Messages of the comparison.
    pub rounds: usize,
    /// Heads that the peer had and this node had not.
    pub differed: usize,
    /// Those of them that are in the catalogue now.
    pub taken: usize,
    /// Heads that this node has and the peer has not.
    pub they_lack: usize,
    /// Bytes that went and came.
    pub bytes: u64,
}

/// Whom to compare with, and when.
struct Plan {
    /// With how often it has failed.
    queue: VecDeque<(PeerId, u32)>,
    /// Those with whom it failed, and when they are asked again.
    again: Vec<(Instant, PeerId, u32)>,
    /// Of peers that are connected, or were lately.
    last: HashMap<PeerId, Instant>,
    round_at: Instant,
    looked: (Instant, SystemTime),
}

impl Plan {
    fn add(&mut self, peer: PeerId) {
        if !self.queue.iter().any(|(queued, _)| *queued == peer) {
            self.queue.push_back((peer, 0));
        }
    }

    /// The next peer, unless it was compared with just now.
    fn next(&mut self) -> Option<(PeerId, u32)> {
        while let Some((peer, failed)) = self.queue.pop_front() {
            if self.last.get(&peer).is_none_or(|at| at.elapsed() >= GAP) {
                if self.last.len() >= REMEMBERED {
                    self.last.retain(|_, at| at.elapsed() < GAP);
                }
                self.last.insert(peer, Instant::now());
                return Some((peer, failed));
            }
        }
        None
    }

    fn failed(&mut self, peer: PeerId, failed: u32) {
        if failed < TRIES && self.again.len() < REMEMBERED {
            self.again
                .push((Instant::now() + GAP * (failed + 1), peer, failed + 1));
        }
    }

    /// When the first of those with whom it failed is asked again.
    fn again_at(&self) -> Option<Instant> {
        self.again.iter().map(|(at, ..)| *at).min()
    }

    fn take_due(&mut self) {
        let now = Instant::now();
        for (_, peer, failed) in self.again.extract_if(.., |(at, ..)| *at <= now) {
            self.queue.push_back((peer, failed));
        }
    }

    /// Whether more time has gone by than this process was awake.
    fn slept(&mut self) -> bool {
        let (now, time) = (Instant::now(), SystemTime::now());
        let (before, time_before) = std::mem::replace(&mut self.looked, (now, time));
        slept(
            now.duration_since(before),
            time.duration_since(time_before).unwrap_or_default(),
        )
    }
}

/// Whether the machine slept, by how long its timer says that it was and by how long the clock
/// does: of some systems the timer stands still meanwhile, of others it goes on.
fn slept(awake: Duration, gone: Duration) -> bool {
    gone > awake + SLEPT || awake > LOOK + SLEPT
}

/// A little earlier or later, so that nodes that started together do not ask together.
fn jittered(every: Duration, share: f64) -> Duration {
    every.mul_f64(0.8 + 0.4 * share)
}

impl P2pRegistry {
    /// Runs until `stop` is called. `lacking` says who has what this node lacks.
    pub async fn run_sync(self, mut lacking: mpsc::Receiver<PeerId>, stop: CancellationToken) {
        if self.core.options.catalogue == CatalogueScope::Partial {
            return;
        }
        let every = self.core.options.sync_every;
        let mut joined = self.core.net.joined();
        let mut look = tokio::time::interval(LOOK);
        let mut plan = Plan {
            queue: VecDeque::new(),
            again: Vec::new(),
            last: HashMap::new(),
            round_at: Instant::now() + jittered(every, self.core.chance().share()),
            looked: (Instant::now(), SystemTime::now()),
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = joined.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(SETTLE).await;
                    let here = self.core.net.catalogues().await.unwrap_or_default();
                    let known: HashSet<PeerId> = here.iter().map(|(peer, _)| *peer).collect();
                    // Who left and comes back has slept, or was elsewhere.
                    plan.last.retain(|peer, _| known.contains(peer));
                    let fresh: Vec<PeerId> =
                        known.into_iter().filter(|peer| !plan.last.contains_key(peer)).collect();
                    self.choose(&fresh, &mut plan).await;
                }
                Some(peer) = lacking.recv() => {
                    // One that is heard of just after it was asked is asked when it may be.
                    let wait = plan.last.get(&peer).map(|at| GAP.saturating_sub(at.elapsed())).unwrap_or_default();
                    tokio::time::sleep(wait).await;
                    plan.add(peer);
                }
                () = tokio::time::sleep_until(plan.round_at.into()) => {
                    plan.round_at = Instant::now() + jittered(every, self.core.chance().share());
                    self.round(&mut plan).await;
                }
                () = self.state.imported.notified() => {
                    // Those who are asked hear that they lack something, and ask in turn.
                    tokio::time::sleep(GAP).await;
                    self.round(&mut plan).await;
                }
                () = sleep_until(plan.again_at()) => plan.take_due(),
                _ = look.tick() => {
                    self.core.net.heads().sweep();
                    if plan.slept() {
                        tracing::info!("this machine slept: the catalogue is compared");
                        self.round(&mut plan).await;
                    }
                }
            }
            while let Some((peer, failed)) = plan.next() {
                let Some(compared) = stop.run_until_cancelled(self.sync_with(peer)).await else {
                    return;
                };
                if let Err(error) = compared {
                    tracing::debug!(%peer, %error, "catalogues could not be compared");
                    plan.failed(peer, failed);
                }
            }
        }
    }

    /// A few of the peers that joined: everything is at each of them, as a rule.
    async fn choose(&self, fresh: &[PeerId], plan: &mut Plan) {
        let good = self
            .core
            .net
            .best_peers(0.0, usize::MAX)
            .await
            .unwrap_or_default();
        good.iter()
            .filter(|peer| fresh.contains(peer))
            .take(GOOD + OTHERS)
            .for_each(|peer| plan.add(*peer));
    }

    async fn round(&self, plan: &mut Plan) {
        let good = self
            .core
            .net
            .best_peers(0.0, GOOD)
            .await
            .unwrap_or_default();
        let mut others = self.core.net.catalogues().await.unwrap_or_default();
        others.retain(|(peer, _)| !good.contains(peer));
        good.into_iter().for_each(|peer| plan.add(peer));
        for _ in 0..OTHERS.min(others.len()) {
            let at = self.core.chance().below(0..others.len() as u64) as usize;
            plan.add(others.swap_remove(at).0);
        }
    }

    /// Compares this node's catalogue with a peer's, and takes what the peer has and this node has
    /// not.
    ///
    /// # Errors
    /// When the peer cannot be reached or does not answer as it should, or the store cannot be
    /// used.
    pub async fn sync_with(&self, peer: PeerId) -> Result<SyncReport> {
        let begun = Instant::now();
        let mut report = SyncReport::default();
        let ended = self.compare_and_take(peer, &mut report).await;
        if report.taken > 0 {
            self.state.counted.notify_one();
        }
        self.core.metrics.synced(report.bytes, report.taken);
        tracing::info!(%peer, ?report, ms = begun.elapsed().as_millis(), "catalogues were compared");
        if report.taken >= WORTH_TELLING {
            let seconds = begun.elapsed().as_secs_f64();
            self.core.note(format!(
                "{} packages came from another node's catalogue in {seconds:.1} s",
                report.taken
            ));
        }
        match ended {
            Ok(()) => {
                self.core.net.observe(peer, Outcome::AnswerRight);
                Ok(report)
            }
            Err(Failed::Ours(error)) => Err(error),
            Err(Failed::Theirs(stopped)) => {
                match stopped {
                    Stopped::Lied(_) => {
                        self.core.tally.refused(Refusal::Endless);
                        self.core.net.observe(peer, Outcome::AnswerWrong);
                    }
                    Stopped::Silent => self.core.net.observe(peer, Outcome::AnswerLate),
                    Stopped::Lost(_) | Stopped::Busy => {}
                }
                Err(RegistryError::Internal {
                    what: COMPARING,
                    why: stopped.to_string(),
                })
            }
        }
    }

    async fn compare_and_take(&self, peer: PeerId, report: &mut SyncReport) -> Result<(), Failed> {
        let mut link = self.core.net.open_sync(peer, REACH).await?;
        let heads = self.core.net.heads().clone();
        let set = blocking(COMPARING, move || heads.get()).await?;
        let compared = link.compare(set, MOST_CLAIMED).await;
        report.bytes = link.bytes;
        let differences = compared?;
        (report.rounds, report.they_lack) = (differences.rounds, differences.ours);
        let store = self.core.store.clone();
        let wanted = blocking(COMPARING, move || store.unrefused(differences.theirs)).await?;
        report.differed = wanted.len();
        let taken = self.take_all(&mut link, wanted, &mut report.taken).await;
        report.bytes = link.bytes;
        taken?;
        if report.they_lack > 0 {
            link.tell_lacking().await?;
            report.bytes = link.bytes;
        }
        Ok(())
    }

    /// Asks for the heads, while those that came are verified and stored.
    async fn take_all(
        &self,
        link: &mut SyncLink,
        wanted: Vec<Hash>,
        taken: &mut usize,
    ) -> Result<(), Failed> {
        let peer = link.peer;
        let (sender, mut answers) = mpsc::channel::<(HashSet<Hash>, Vec<Item>)>(WAITING);
        let asking = async move {
            let mut chunks = wanted.chunks(MAX_WANTED);
            let mut asked = VecDeque::new();
            loop {
                while asked.len() <= AHEAD
                    && let Some(chunk) = chunks.next()
                {
                    link.want(chunk).await?;
                    asked.push_back(chunk.iter().copied().collect::<HashSet<_>>());
                }
                let Some(chunk) = asked.pop_front() else {
                    return Ok::<_, Failed>(());
                };
                let records = link.records().await?;
                if sender.send((chunk, records)).await.is_err() {
                    // What became of it is said by the other half.
                    return Ok(());
                }
            }
        };
        let (judged, mut good) = mpsc::channel::<Wanted>(WAITING);
        let judging = async {
            // Ends with this, and so does what waits for it.
            let judged = judged;
            while let Some((asked, items)) = answers.recv().await {
                let registry = self.clone();
                let done = blocking(COMPARING, move || {
                    Ok(registry.judge_items(peer, &asked, items))
                })
                .await??;
                if judged.send(done).await.is_err() {
                    break;
                }
            }
            Ok::<_, Failed>(())
        };
        let (mut sent, mut wrong) = (0, 0);
        let taking = async {
            while let Some(mut judged) = good.recv().await {
                // What has come meanwhile is stored in the same transaction.
                while judged.good.len() < AT_ONCE
                    && let Ok(more) = good.try_recv()
                {
                    judged.good.extend(more.good);
                    judged.unwanted.extend(more.unwanted);
                    (judged.sent, judged.wrong) =
                        (judged.sent + more.sent, judged.wrong + more.wrong);
                }
                (sent, wrong) = (sent + judged.sent, wrong + judged.wrong);
                *taken += self.take_judged(judged).await?;
            }
            Ok::<_, Failed>(())
        };
        // Each works on another part at the same time; what ends one of them ends those that wait
        // for it.
        let (asked, judged, took) = tokio::join!(asking, judging, taking);
        took.and(judged).and(asked)?;
        // What others made costs the items; the peer only where it had little else.
        if is_mostly_wrong(wrong, sent) {
            return Err(Failed::Theirs(Stopped::Lied(
                "most of the records that it sent break a rule",
            )));
        }
        if self.core.store.make_room(self.core.now()).await? > 0 {
            self.state.counted.notify_one();
        }
        Ok(())
    }

    /// Takes what holds; returns how many packages that changed.
    async fn take_judged(
        &self,
        Wanted {
            good, mut unwanted, ..
        }: Wanted,
    ) -> Result<usize, Failed> {
        let now = self.core.now();
        let ids: Vec<(PackageId, Hash)> = good
            .iter()
            .map(|(head, _)| (head.package().clone(), head.hash()))
            .collect();
        let verdicts = self.core.store.take_heads(good, now).await?;
        let mut taken = 0;
        for ((id, hash), verdict) in ids.into_iter().zip(verdicts) {
            match verdict.refusal() {
                Some(refusal) => {
                    self.core.tally.refused(refusal);
                    // What is ahead of its time is asked for again.
                    if refusal != Refusal::Ahead {
                        unwanted.push(hash);
                    }
                }
                None => {
                    taken += 1;
                    self.core.cache().forget(&id);
                    if matches!(verdict, HeadVerdict::Disputed(_)) {
                        self.core.tally.refused(Refusal::Conflict);
                    }
                    if verdict.is_fork() && self.core.publisher_id() == Some(id.owner) {
                        self.state.forked.notify_one();
                    }
                    if verdict.admission() == Some(Admission::ForkLoses) {
                        unwanted.push(hash);
                    }
                }
            }
        }
        if !unwanted.is_empty() {
            self.core.store.refuse(unwanted, now).await?;
        }
        Ok(taken)
    }

    /// As strict as with gossip; off the tasks that serve the network, because signatures take
    /// their time.
    fn judge_items(
        &self,
        peer: PeerId,
        asked: &HashSet<Hash>,
        items: Vec<Item>,
    ) -> Result<Wanted, Failed> {
        let judged = judged::records(items, asked, self.horizon(self.core.now()));
        judged
            .refused
            .iter()
            .for_each(|refusal| self.core.tally.refused(*refusal));
        if judged.refused.iter().any(|refusal| refusal.is_proven()) {
            self.core.net.observe(peer, Outcome::RecordInvalid);
            return Err(Failed::Theirs(Stopped::Lied(
                "it sent a record that was altered",
            )));
        }
        if judged.refused.contains(&Refusal::Irrelevant) {
            return Err(Failed::Theirs(Stopped::Lied(
                "it sent a record that was not asked for",
            )));
        }
        let mut wanted = Wanted {
            wrong: judged.wrong(),
            sent: judged.sent(),
            ..Wanted::default()
        };
        let mut known: HashMap<(PublisherId, Option<Handle>), (Trust, bool)> = HashMap::new();
        for (head, manifest) in judged.right {
            let whose = (head.owner(), head.handle.clone());
            let (trust, welcome) = match known.get(&whose) {
                Some(known) => *known,
                None => {
                    let trust = self.core.store.trust(&whose.0, whose.1.as_ref())?;
                    let judged = (
                        trust,
                        trust != Trust::Distrusted && self.is_welcome(&whose.0, peer)?,
                    );
                    known.insert(whose, judged);
                    judged
                }
            };
            if trust == Trust::Distrusted {
                self.core.tally.refused(Refusal::Distrusted);
                wanted.unwanted.push(head.hash());
            } else if welcome {
                wanted.good.push((head, manifest));
            } else {
                // Not for good: it is asked for again.
                self.core.tally.refused(Refusal::OverQuota);
            }
        }
        Ok(wanted)
    }

    /// Whether a publisher is known, or `peer` may bring one more that is not.
    pub(super) fn is_welcome(&self, publisher: &PublisherId, peer: PeerId) -> Result<bool> {
        Ok(self.core.store.knows(publisher)? || self.state.newcomers.admit(peer, Instant::now()))
    }
}

/// What of an answer can be taken, and what is not wanted.
#[derive(Default)]
struct Wanted {
    good: Vec<(Authorised<Head>, Option<Authorised<Manifest>>)>,
    unwanted: Vec<Hash>,
    /// Records that came, and those of them that break a rule.
    sent: usize,
    wrong: usize,
}

/// On whose side something went wrong.
enum Failed {
    Ours(RegistryError),
    Theirs(Stopped),
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self::Ours(error)
    }
}

impl From<Stopped> for Failed {
    fn from(stopped: Stopped) -> Self {
        Self::Theirs(stopped)
    }
}

/// Never, where there is nothing to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_told_from_a_clock_that_is_set_a_little() {
        let hour = Duration::from_secs(3_600);
        assert!(
            !slept(LOOK, LOOK) && !slept(LOOK, LOOK + SLEPT / 2) && !slept(LOOK, Duration::ZERO)
        );
        assert!(slept(LOOK, hour), "the timer stood still");
        assert!(slept(hour, hour), "the timer went on");
    }

    #[test]
    fn whoever_fails_is_asked_again_a_few_times() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut plan = Plan {
            queue: VecDeque::new(),
            again: Vec::new(),
            last: HashMap::new(),
            round_at: now,
            looked: (now, SystemTime::now()),
        };
        plan.add(peer);
        plan.add(peer);
        assert_eq!((plan.next(), plan.next()), (Some((peer, 0)), None), "once");
        plan.add(peer);
        assert_eq!(plan.next(), None, "and not again at once");
        plan.failed(peer, TRIES - 1);
        assert!(plan.again_at().is_some_and(|at| at > now));
        plan.again.clear();
        plan.failed(peer, TRIES);
        assert_eq!(plan.again_at(), None);
    }
}
