//! Replicates own releases: offers them to other nodes until enough of them hold a copy.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::PeerId;
use serde_bytes::ByteBuf;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::{super::Fetcher, holders::HolderCheck};
use crate::{
    Result,
    domain::{
        copies::{LEAST, order},
        manifest::Manifest,
        receipt::PublishStep,
        record::Authorised,
        reputation::Outcome,
    },
    net::{
        AskError,
        protocol::{Keeping, Request, Response},
    },
};

/// Own releases that are offered at once.
const AT_ONCE: usize = 4;
/// An own release that no peer took is offered again after this long, or when a peer with room
/// joins.
const AGAIN: Duration = Duration::from_secs(60);
/// After this many failed offers in a row, the remaining releases wait for the next run.
const IN_VAIN: usize = 20;
/// Pause between two requests for a peer's progress: short at first, because most releases are
/// small.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// No further peers are asked after this: a publish waits for those that are fetching, and the next
/// run is soon.
const ASKING: Duration = Duration::from_secs(60);
/// A peer is given up after this long without progress.
const STALLED: Duration = Duration::from_secs(40);

/// Returns true if one more peer should be asked, when `with` peers have the release or are asked
/// already.
fn may_ask_another(with: usize, wanted: usize, asking_for: Duration) -> bool {
    with < wanted && asking_for < ASKING
}

/// A peer's answer to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfferAnswer {
    Holds,
    /// It is fetching the release and has this many bytes.
    Has(u64),
    /// It is busy.
    Waits,
    Declines,
    /// It answers something else.
    Wrong,
}

fn said(answer: &Result<Response, AskError>) -> OfferAnswer {
    match answer {
        Ok(Response::Keeping(Keeping::Held)) => OfferAnswer::Holds,
        Ok(Response::Keeping(Keeping::Fetching { done })) => OfferAnswer::Has(*done),
        Err(AskError::Busy | AskError::TimedOut) => OfferAnswer::Waits,
        Ok(Response::Keeping(Keeping::Declined))
        | Err(AskError::Refused | AskError::Unreachable) => OfferAnswer::Declines,
        Ok(_) => OfferAnswer::Wrong,
    }
}

impl Fetcher {
    /// Offers own releases that lack copies to others: those that were not tried lately, or `all`.
    pub async fn copy_own(self: &Arc<Self>, all: bool) -> Result<()> {
        let begun = self.core.now();
        let before = if all { begun } else { begun.before(AGAIN) };
        let mut running = FuturesUnordered::new();
        let mut begun_now = HashSet::new();
        let mut in_vain = 0;
        loop {
            while running.len() < AT_ONCE && in_vain < IN_VAIN {
                let Some(release) = self.core.store.next_uncopied(before)? else {
                    break;
                };
                if !begun_now.insert(release) {
                    break;
                }
                // The next run begins with another release, also if this one fails.
                self.core.store.tried_to_copy(release, false, begun).await?;
                let Some(manifest) = self.core.store.manifest(&release)? else {
                    self.core.store.tried_to_copy(release, true, begun).await?;
                    continue;
                };
                running.push(async move { self.give_copies(&manifest, None).await });
            }
            match running.next().await {
                None => return Ok(()),
                Some(had) => in_vain = if had? == 0 { in_vain + 1 } else { 0 },
            }
        }
    }

    /// As [`Self::give_copies`], but in a task of its own that continues if the caller stops
    /// waiting.
    pub fn give_soon(
        self: &Arc<Self>,
        release: Authorised<Manifest>,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> JoinHandle<Option<Result<usize>>> {
        let (fetcher, stop) = (self.clone(), self.fetches.stop.clone());
        let giving = async move { fetcher.give_copies(&release, progress.as_ref()).await };
        self.fetches
            .tasks
            .spawn(async move { stop.run_until_cancelled(giving).await })
    }

    /// Replicates the bytes of an own release to as many other nodes as it wants. Each change of
    /// their number goes to `progress`. Returns the number of nodes that have it.
    pub async fn give_copies(
        self: &Arc<Self>,
        release: &Authorised<Manifest>,
        progress: Option<&mpsc::Sender<PublishStep>>,
    ) -> Result<usize> {
        let (wanted, hash) = (self.core.options.copies, release.hash());
        let underway = &self.copying.underway;
        if !underway.send_if_modified(|underway| underway.insert(hash)) {
            return self.copies_of(&hash);
        }
        let given = self.place_copies(release, wanted, progress).await;
        underway.send_if_modified(|underway| underway.remove(&hash));
        let nodes = given?;
        self.core
            .store
            .tried_to_copy(hash, nodes >= wanted, self.core.now())
            .await?;
        Ok(nodes)
    }

    pub async fn place_copies(
        self: &Arc<Self>,
        release: &Authorised<Manifest>,
        wanted: usize,
        progress: Option<&mpsc::Sender<PublishStep>>,
    ) -> Result<usize> {
        let hash = release.hash();
        let known: HashSet<PeerId> = self
            .core
            .store
            .holders(&hash)?
            .iter()
            .map(|holder| holder.peer)
            .collect();
        let mut nodes = self.copies_of(&hash)?;
        let bytes = release
            .contents()
            .iter()
            .fold(0_u64, |sum, content| sum.saturating_add(content.size))
            .max(LEAST);
        let rooms = self.core.net.rooms().await?;
        let takes = |(peer, room): &(PeerId, u64)| {
            *room >= bytes && !known.contains(peer) && !self.copying.unfit().contains(peer)
        };
        let mut left: VecDeque<PeerId> = order(
            &release.content().root,
            rooms.iter().filter(|one| takes(one)).map(|(peer, _)| *peer),
        )
        .into();
        let (mut offers, begun) = (JoinSet::new(), Instant::now());
        loop {
            while may_ask_another(nodes + offers.len(), wanted, begun.elapsed())
                && let Some(peer) = left.pop_front()
            {
                let (fetcher, release) = (self.clone(), release.clone());
                offers.spawn(async move { (peer, fetcher.offer(peer, &release).await) });
            }
            let Some(offered) = offers.join_next().await else {
                return Ok(nodes);
            };
            let Ok((peer, taken)) = offered else { continue };
            if taken? {
                self.core
                    .store
                    .saw_holder(hash, peer, self.core.now())
                    .await?;
                nodes += 1;
                progress.map(|progress| progress.try_send(PublishStep::Copied { nodes, wanted }));
            }
        }
    }

    /// Asks a peer to keep a release, and waits until it has it. Returns false if it does not take
    /// it.
    async fn offer(self: &Arc<Self>, peer: PeerId, release: &Authorised<Manifest>) -> Result<bool> {
        let envelope = ByteBuf::from(release.envelope().to_vec());
        let (mut done, mut came, mut pause) = (0, Instant::now(), FIRST_PAUSE);
        loop {
            let answer = self
                .core
                .net
                .ask(
                    peer,
                    Request::Keep(envelope.clone()),
                    self.core.net.query_timeout(),
                )
                .await?;
            match said(&answer) {
                OfferAnswer::Holds => {
                    let shown = self.shown(peer, release).await;
                    if shown.is_a_lie() {
                        self.pretends(peer, release);
                    }
                    return Ok(shown == HolderCheck::Holds);
                }
                OfferAnswer::Has(now) if now > done => (done, came) = (now, Instant::now()),
                OfferAnswer::Has(_) | OfferAnswer::Waits => {}
                OfferAnswer::Declines => return Ok(false),
                OfferAnswer::Wrong => {
                    self.core.net.observe(peer, Outcome::AnswerWrong);
                    return Ok(false);
                }
            }
            if came.elapsed() >= STALLED {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_busy_is_waited_for_and_who_says_something_else_is_wrong() {
        let keeping = |keeping| said(&Ok(Response::Keeping(keeping)));
        assert_eq!(keeping(Keeping::Held), OfferAnswer::Holds);
        assert_eq!(keeping(Keeping::Fetching { done: 7 }), OfferAnswer::Has(7));
        assert_eq!(keeping(Keeping::Declined), OfferAnswer::Declines);
        for waits in [AskError::Busy, AskError::TimedOut] {
            assert_eq!(said(&Err(waits)), OfferAnswer::Waits);
        }
        for declines in [AskError::Refused, AskError::Unreachable] {
            assert_eq!(said(&Err(declines)), OfferAnswer::Declines);
        }
        assert_eq!(said(&Ok(Response::Heads(Vec::new()))), OfferAnswer::Wrong);
    }

    #[test]
    fn peers_are_asked_until_there_are_enough_and_for_a_minute_at_most() {
        let second = Duration::from_secs(1);
        assert!(may_ask_another(0, 2, Duration::ZERO) && may_ask_another(1, 2, ASKING - second));
        assert!(!may_ask_another(2, 2, Duration::ZERO), "there are enough");
        assert!(
            !may_ask_another(0, 2, ASKING) && !may_ask_another(1, 2, ASKING + second),
            "the time is over"
        );
    }
}
