//! Hedged requests: asks several peers the same at once, and others in place of those that fail or
//! are slow.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::PeerId;
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::{
    Result, clock,
    net::{
        AskError, Net,
        protocol::{Request, Response},
    },
};

/// Answer times remembered, and the time that counts as late before there are enough.
const REMEMBERED: usize = 64;
const ENOUGH: usize = 8;
const LATE: Duration = Duration::from_millis(300);

/// The answer times of peers.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<VecDeque<Duration>>>);

impl Answers {
    fn note(&self, took: Duration) {
        let mut times = self.0.lock();
        if times.len() >= REMEMBERED {
            times.pop_front();
        }
        times.push_back(took);
    }

    /// Returns the 90th percentile of the answer times.
    fn late(&self) -> Duration {
        let mut times: Vec<_> = self.0.lock().iter().copied().collect();
        times.sort_unstable();
        let at = times.len() * 9 / 10;
        times
            .get(at)
            .copied()
            .filter(|_| times.len() >= ENOUGH)
            .unwrap_or(LATE)
    }
}

/// The peers to ask next, and those asked before.
struct Turns {
    /// Peers to ask in place of others, best first.
    spare: VecDeque<PeerId>,
    met: HashSet<PeerId>,
}

impl Turns {
    fn new(me: PeerId, best: Vec<PeerId>) -> Self {
        Self {
            spare: best.into(),
            met: HashSet::from([me]),
        }
    }

    /// Returns true if a peer may be asked, which it may once.
    fn meet(&mut self, peer: PeerId) -> bool {
        self.met.insert(peer)
    }

    fn next(&mut self) -> Option<PeerId> {
        self.spare.pop_front()
    }
}

/// A peer's answer.
pub type PeerAnswer = Result<Response, AskError>;

/// The peers that are asked the same.
pub struct Hedged {
    net: Net,
    request: Request,
    times: Answers,
    deadline: Instant,
    turns: Turns,
    open: FuturesUnordered<BoxFuture<'static, (PeerId, Duration, Result<PeerAnswer>)>>,
    late: Pin<Box<Sleep>>,
    is_late: bool,
    /// Number of peers asked.
    pub asked: usize,
}

impl Hedged {
    /// Asks the best peers of at least `min_reputation`; up to `spare` more may be asked in their
    /// place.
    pub async fn of_best(
        net: &Net,
        request: Request,
        min_reputation: f64,
        (count, spare): (usize, usize),
        times: Answers,
        timeout: Duration,
    ) -> Result<Self> {
        let best = net.best_peers(min_reputation, count + spare).await?;
        let mut hedged = Self {
            net: net.clone(),
            request,
            deadline: clock::deadline(Instant::now(), timeout),
            turns: Turns::new(net.peer_id(), best),
            open: FuturesUnordered::new(),
            late: Box::pin(tokio::time::sleep(times.late().min(timeout))),
            is_late: false,
            asked: 0,
            times,
        };
        (0..count).for_each(|_| hedged.replace());
        Ok(hedged)
    }

    /// Asks one more peer. Returns false if it was asked already or no time is left.
    pub fn ask(&mut self, peer: PeerId) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !self.turns.meet(peer) {
            return false;
        }
        let (net, request) = (self.net.clone(), self.request.clone());
        let asking = async move {
            let begun = Instant::now();
            let answer = net.ask(peer, request, left).await;
            (peer, begun.elapsed(), answer)
        };
        self.open.push(asking.boxed());
        self.asked += 1;
        true
    }

    /// Asks another peer in place of one that was of no use.
    pub fn replace(&mut self) {
        while let Some(peer) = self.turns.next() {
            if self.ask(peer) {
                return;
            }
        }
    }

    /// Returns true if no answer is outstanding.
    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the next peer that answers or fails; `None` once all have. A slow peer is still
    /// waited for, but another one is asked as well.
    pub async fn next(&mut self) -> Option<(PeerId, PeerAnswer)> {
        loop {
            tokio::select! {
                biased;
                answer = self.open.next() => {
                    let (peer, took, answer) = answer?;
                    // Without an answer, the node is shutting down; the caller continues until it
                    // has heard of all peers.
                    let answer = answer.unwrap_or(Err(AskError::Unreachable));
                    match &answer {
                        Ok(_) => self.times.note(took),
                        Err(error) => {
                            tracing::debug!(%peer, %error, "asked for nothing");
                            self.replace();
                        }
                    }
                    return Some((peer, answer));
                }
                () = &mut self.late, if !self.is_late => {
                    self.is_late = true;
                    (0..self.open.len()).for_each(|_| self.replace());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_asked_first_and_nobody_twice() {
        let me = PeerId::random();
        let best: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        let mut turns = Turns::new(me, vec![best[0], me, best[1], best[2]]);
        assert!(turns.meet(best[1]), "whom the DHT names");
        let asked: Vec<PeerId> = std::iter::from_fn(|| {
            let next = turns.next()?;
            Some(turns.meet(next).then_some(next))
        })
        .flatten()
        .collect();
        assert_eq!(
            asked,
            [best[0], best[2]],
            "not this node, nor the one that was asked"
        );
    }

    #[test]
    fn late_is_later_than_nine_of_ten() {
        let answers = Answers::default();
        assert_eq!(answers.late(), LATE);
        for ms in (0..100).rev() {
            answers.note(Duration::from_millis(ms));
        }
        assert_eq!(
            answers.late(),
            Duration::from_millis(57),
            "of the 64 that came last"
        );
    }
}
