//! What many releases need, asked of several peers, much of it at once: the manifests of a
//! package's versions, and the small documents that travel beside their files.
//!
//! What nobody gives here is left to whoever asks for it alone, which looks in the DHT too.

mod plan;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use libp2p::PeerId;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use plan::Plan;

/// Peers that are asked at once; another one takes the place of each that gives no more.
const PEERS: usize = 4;
/// A thing that one peer owes for so long is asked of another one too, which has nothing else to
/// give.
const LATE: Duration = Duration::from_millis(300);
/// A peer that is busy is asked again after this long, longer each time, and so many times.
const AGAIN: Duration = Duration::from_millis(100);
const TIMES: u32 = 8;

/// The result of a question.
pub enum Said {
    /// So many of the things came, and are noted.
    Gave(usize),
    /// It has no time now.
    Busy,
    /// It is of no use.
    Nothing,
}

/// Things that are asked for together.
pub struct Many {
    plan: Mutex<Plan>,
    changed: Notify,
}

/// The pace at which a peer is asked.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Questions to one peer at once.
    pub lanes: usize,
    /// Things in a question.
    pub most: usize,
}

impl Many {
    pub fn of(count: usize) -> Self {
        Self {
            plan: Mutex::new(Plan::new(count)),
            changed: Notify::new(),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn got(&self, at: usize) {
        self.plan().got(at);
    }

    /// Asks these peers, the first ones first, until all is here or nobody has more to give.
    pub async fn ask<F: Future<Output = Said>>(
        &self,
        peers: impl Iterator<Item = PeerId>,
        pace: Pace,
        ask: impl Fn(PeerId, Vec<usize>) -> F,
    ) {
        let mut peers = peers.fuse();
        let ask = &ask;
        let one = |peer| join_all((0..pace.lanes).map(move |_| self.lane(peer, pace.most, ask)));
        let mut open: FuturesUnordered<_> = peers.by_ref().take(PEERS).map(one).collect();
        loop {
            let changed = self.changed.notified();
            if self.plan().is_over() {
                return;
            }
            tokio::select! {
                // Of those that owe what others gave nobody waits for an answer.
                () = changed => {}
                over = open.next() => match over {
                    Some(_) => open.extend(peers.next().map(one)),
                    None => return,
                },
            }
        }
    }

    /// Asks one peer for one thing after the other, as long as it gives any.
    async fn lane<F: Future<Output = Said>>(
        &self,
        peer: PeerId,
        most: usize,
        ask: &impl Fn(PeerId, Vec<usize>) -> F,
    ) {
        let mut times = 0;
        while let Some(things) = self.turn(&peer, most).await {
            let said = ask(peer, things.clone()).await;
            match said {
                Said::Busy => self.plan().put_off(&peer, &things),
                Said::Gave(_) | Said::Nothing => self.plan().answered(&peer, &things),
            }
            self.changed.notify_waiters();
            match said {
                Said::Gave(count) if count > 0 => times = 0,
                Said::Busy if times < TIMES => {
                    times += 1;
                    sleep(AGAIN * times).await;
                }
                _ => return,
            }
        }
    }

    /// Waits for what a peer can be asked for; `None` when there is nothing any more.
    async fn turn(&self, peer: &PeerId, most: usize) -> Option<Vec<usize>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut plan = self.plan();
                let next = plan.next(peer, most);
                if !next.is_empty() {
                    return Some(next);
                }
                if plan.is_over() || !plan.has_work(peer) {
                    return None;
                }
            }
            if timeout(LATE, changed).await.is_err() {
                let owed = self.plan().owed(peer, most);
                if !owed.is_empty() {
                    return Some(owed);
                }
            }
        }
    }
}
