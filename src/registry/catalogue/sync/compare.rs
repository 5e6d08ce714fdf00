//! Compares the catalogue with one peer's, and downloads what is missing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::super::{
    super::core::blocking,
    Catalogue,
    judged::{self, is_mostly_wrong},
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{Handle, PackageId, PublisherId},
        record::{Admission, Authorised, Head, Keys, Refusal},
        reputation::Outcome,
        trust::Trust,
    },
    net::{
        protocol::Item,
        sync::{Stopped, SyncLink, wire::MAX_WANTED},
    },
    store::{HeadVerdict, processors},
};

/// Time to reach a peer.
const REACH: Duration = Duration::from_secs(5);
/// Requests for 256 heads each that are sent ahead of their answers, and answers that wait to be
/// verified.
const AHEAD: usize = 2;
const WAITING: usize = 8;
/// Most heads stored in one transaction. Each transaction writes most pages of the indexes by hash,
/// however few heads it has.
const AT_ONCE: usize = 2_000;
/// Most heads that a peer may claim to have and this node lacks: twice a full catalogue by default,
/// or 32 MiB of hashes.
const MOST_CLAIMED: usize = 1_000_000;
/// The name of this work in errors.
const COMPARING: &str = "comparing catalogues";
/// A person is told of this many new packages or more.
const WORTH_TELLING: usize = 100;

/// The result of a comparison with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Messages of the comparison.
    pub rounds: usize,
    /// Heads that the peer had and this node lacked.
    pub differed: usize,
    /// Those of them that are in the catalogue now.
    pub taken: usize,
    /// Heads that this node has and the peer lacks.
    pub they_lack: usize,
    /// Bytes sent and received.
    pub bytes: u64,
}

impl Catalogue {
    /// Compares this node's catalogue with a peer's, and downloads what this node lacks.
    ///
    /// # Errors
    /// Fails if the peer cannot be reached or misbehaves, or if the store fails.
    pub async fn sync_with(self: &Arc<Self>, peer: PeerId) -> Result<SyncReport, SyncFailure> {
        self.sync_telling(peer, || ()).await
    }

    /// As [`Self::sync_with`], and calls `answered` once the peer has given its first answer.
    pub(super) async fn sync_telling(
        self: &Arc<Self>,
        peer: PeerId,
        answered: impl FnOnce() + Send,
    ) -> Result<SyncReport, SyncFailure> {
        let begun = Instant::now();
        let mut report = SyncReport::default();
        let ended = self.compare_and_take(peer, &mut report, answered).await;
        if report.taken > 0 {
            self.changed();
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
            Err(failure) => {
                match &failure {
                    SyncFailure::Theirs(Stopped::Lied(_)) => {
                        self.core.tally.refused(Refusal::Endless);
                        self.core.net.observe(peer, Outcome::AnswerWrong);
                    }
                    SyncFailure::Theirs(Stopped::Silent) => {
                        self.core.net.observe(peer, Outcome::AnswerLate);
                    }
                    SyncFailure::Theirs(Stopped::Lost(_) | Stopped::Busy)
                    | SyncFailure::Ours(_) => {}
                }
                Err(failure)
            }
        }
    }

    async fn compare_and_take(
        self: &Arc<Self>,
        peer: PeerId,
        report: &mut SyncReport,
        answered: impl FnOnce() + Send,
    ) -> Result<(), SyncFailure> {
        let mut link = self.core.net.open_sync(peer, REACH).await?;
        let heads = self.core.net.heads().clone();
        let set = blocking(COMPARING, move || heads.get()).await?;
        let compared = link.compare(set, MOST_CLAIMED, answered).await;
        report.bytes = link.bytes;
        let differences = compared?;
        (report.rounds, report.they_lack) = (differences.rounds, differences.ours);
        let wanted = self
            .core
            .read(COMPARING, move |store| store.unrefused(differences.theirs))
            .await?;
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

    /// Requests the heads, while those that arrived are verified and stored.
    async fn take_all(
        self: &Arc<Self>,
        link: &mut SyncLink,
        wanted: Vec<Hash>,
        taken: &mut usize,
    ) -> Result<(), SyncFailure> {
        let peer = link.peer;
        let (sender, answers) = mpsc::channel::<(HashSet<Hash>, Vec<Item>)>(WAITING);
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
                    return Ok::<_, SyncFailure>(());
                };
                let records = link.records().await?;
                if sender.send((chunk, records)).await.is_err() {
                    // The other half reports the reason.
                    return Ok(());
                }
            }
        };
        let (judged, good) = mpsc::channel::<StorableItems>(WAITING);
        let keys = Keys::default();
        let judging = async {
            // Both are dropped when this ends, which also ends the next stage.
            let (judged, mut answers) = (judged, answers);
            let answers = stream::poll_fn(|context| answers.poll_recv(context));
            let judge = |(asked, items): (HashSet<Hash>, Vec<Item>)| {
                let (catalogue, keys) = (self.clone(), keys.clone());
                blocking(COMPARING, move || {
                    catalogue.judge_items(peer, &asked, &items, &keys)
                })
            };
            // In order, with as many running at once as there are processors.
            let mut done = answers.map(judge).buffered(processors().min(WAITING));
            while let Some(done) = done.next().await {
                if judged.send(done?).await.is_err() {
                    break;
                }
            }
            Ok::<_, SyncFailure>(())
        };
        let (mut sent, mut wrong) = (0, 0);
        let taking = async {
            let mut good = good;
            while let Some(mut judged) = good.recv().await {
                // Heads that arrived meanwhile are stored in the same transaction.
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
            Ok::<_, SyncFailure>(())
        };
        // The three stages run concurrently on different parts; when one fails, those that wait for
        // it end too.
        let (asked, judged, took) = tokio::join!(asking, judging, taking);
        took.and(judged).and(asked)?;
        // Bad records of others only lose these records; the peer is blamed only if it sent little
        // else.
        if is_mostly_wrong(wrong, sent) {
            return Err(SyncFailure::Theirs(Stopped::Lied(
                "most of the records that it sent break a rule",
            )));
        }
        if self.core.store.make_room(self.core.now()).await? > 0 {
            self.changed();
        }
        Ok(())
    }

    /// Stores valid records. Returns the number of packages that this changed.
    async fn take_judged(
        &self,
        StorableItems {
            good, mut unwanted, ..
        }: StorableItems,
    ) -> Result<usize, SyncFailure> {
        let now = self.core.now();
        let ids: Vec<(PackageId, Hash)> = good
            .iter()
            .map(|(head, _)| (head.package().clone(), head.hash()))
            .collect();
        let verdicts = self.core.store.take_heads(good, now).await?;
        let mut count = 0;
        for ((id, hash), verdict) in ids.into_iter().zip(verdicts) {
            count += usize::from(self.follow(&id, &verdict));
            if let Some(refusal) = verdict.refusal() {
                self.core.tally.refused(refusal);
            }
            if is_unwanted(&verdict) {
                unwanted.push(hash);
            }
        }
        if !unwanted.is_empty() {
            self.core.store.refuse(unwanted, now).await?;
        }
        Ok(count)
    }

    /// Verifies records as strictly as with gossip, and outside the tasks that serve the network,
    /// because signatures take time.
    fn judge_items(
        &self,
        peer: PeerId,
        asked: &HashSet<Hash>,
        items: &[Item],
        keys: &Keys,
    ) -> Result<StorableItems, SyncFailure> {
        let judged = judged::records(items, asked, self.horizon(self.core.now()), keys);
        self.count_refused(&judged.refused);
        if judged.refused.iter().any(|refusal| refusal.is_proven()) {
            self.core.net.observe(peer, Outcome::RecordInvalid);
            return Err(SyncFailure::Theirs(Stopped::Lied(
                "it sent a record that was altered",
            )));
        }
        if judged.refused.contains(&Refusal::Irrelevant) {
            return Err(SyncFailure::Theirs(Stopped::Lied(
                "it sent a record that was not asked for",
            )));
        }
        let mut wanted = StorableItems {
            wrong: judged.wrong(),
            sent: judged.sent(),
            ..StorableItems::default()
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
                // Only for now: the head is requested again later.
                self.core.tally.refused(Refusal::OverQuota);
            }
        }
        Ok(wanted)
    }
}

/// The part of an answer that can be stored, and the heads that are not wanted.
#[derive(Default)]
struct StorableItems {
    good: Vec<(Authorised<Head>, Option<Authorised<Manifest>>)>,
    unwanted: Vec<Hash>,
    /// Records received, and those of them that break a rule.
    sent: usize,
    wrong: usize,
}

/// Returns true if a head should not be requested again, by its verdict. One that is refused only
/// for now ([`Refusal::Ahead`]) should be, and so should one that is held.
fn is_unwanted(verdict: &HeadVerdict) -> bool {
    match verdict.refusal() {
        Some(refusal) => refusal != Refusal::Ahead,
        None => verdict.admission() == Some(Admission::ForkLoses),
    }
}

/// The side on which something went wrong.
#[derive(Debug)]
pub enum SyncFailure {
    Ours(Box<RegistryError>),
    Theirs(Stopped),
}

impl From<RegistryError> for SyncFailure {
    fn from(error: RegistryError) -> Self {
        Self::Ours(Box::new(error))
    }
}

impl From<SyncFailure> for RegistryError {
    fn from(failure: SyncFailure) -> Self {
        match failure {
            SyncFailure::Ours(error) => *error,
            SyncFailure::Theirs(stopped) => Self::NotCompared {
                why: stopped.to_string(),
            },
        }
    }
}

impl From<Stopped> for SyncFailure {
    fn from(stopped: Stopped) -> Self {
        Self::Theirs(stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_held_for_good_is_not_asked_for_again() {
        use Admission::{ForkLoses, ForkWins, Newer, Older, Same};
        for admission in [Newer, Same, ForkWins] {
            assert!(
                !is_unwanted(&HeadVerdict::Admitted(admission)),
                "it is held now"
            );
            assert!(
                !is_unwanted(&HeadVerdict::Disputed(admission)),
                "and so is its evidence"
            );
        }
        for admission in [ForkLoses, Older] {
            assert!(is_unwanted(&HeadVerdict::Admitted(admission)));
            assert!(is_unwanted(&HeadVerdict::Disputed(admission)));
        }
        assert!(is_unwanted(&HeadVerdict::Inconsistent));
        assert!(is_unwanted(&HeadVerdict::TooManyHandles));
        assert!(!is_unwanted(&HeadVerdict::Ahead), "its time may come");
    }
}
