//! Fetches many small things from several peers at once: the manifests of a package's versions, and
//! the small companion files of releases.
//!
//! The caller fetches the rest, which no peer supplies here, one by one and with the DHT's help.

mod plan;

use std::time::Duration;

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use libp2p::PeerId;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use plan::RequestPlan;

/// Peers asked at once. When one has no more to give, the next takes its place.
const PEERS: usize = 4;
/// If a peer owes a thing for this long, an idle peer is asked for it too.
const LATE: Duration = Duration::from_millis(300);
/// A busy peer is asked again after this long, longer each time, up to [`TIMES`] times.
const AGAIN: Duration = Duration::from_millis(100);
const TIMES: u32 = 8;

/// The outcome of a request.
pub enum RequestOutcome {
    /// This many of the things arrived and are noted.
    Gave(usize),
    /// The peer is busy.
    Busy,
    /// The peer is of no use.
    Nothing,
}

/// A set of things that are requested together.
pub struct Many {
    plan: Mutex<RequestPlan>,
    changed: Notify,
}

/// The pace of the requests to one peer.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Concurrent requests to one peer.
    pub lanes: usize,
    /// Most things in a request.
    pub most: usize,
}

impl Many {
    pub fn of(count: usize) -> Self {
        Self {
            plan: Mutex::new(RequestPlan::new(count)),
            changed: Notify::new(),
        }
    }

    fn plan(&self) -> MutexGuard<'_, RequestPlan> {
        self.plan.lock()
    }

    pub fn got(&self, at: usize) {
        self.plan().got(at);
    }

    /// Asks these peers, in this order, until everything is here or no peer has more to give.
    pub async fn ask<F: Future<Output = RequestOutcome>>(
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
                // Peers that only owe what others have given are not waited for.
                () = changed => {}
                over = open.next() => match over {
                    Some(_) => open.extend(peers.next().map(one)),
                    None => return,
                },
            }
        }
    }

    /// Sends one request after the other to a peer, as long as it supplies things.
    async fn lane<F: Future<Output = RequestOutcome>>(
        &self,
        peer: PeerId,
        most: usize,
        ask: &impl Fn(PeerId, Vec<usize>) -> F,
    ) {
        let mut times = 0;
        while let Some(things) = self.turn(&peer, most).await {
            let said = ask(peer, things.clone()).await;
            match said {
                RequestOutcome::Busy => self.plan().put_off(&peer, &things),
                RequestOutcome::Gave(_) | RequestOutcome::Nothing => {
                    self.plan().answered(&peer, &things)
                }
            }
            self.changed.notify_waiters();
            match said {
                RequestOutcome::Gave(count) if count > 0 => times = 0,
                RequestOutcome::Busy if times < TIMES => {
                    times += 1;
                    sleep(AGAIN * times).await;
                }
                _ => return,
            }
        }
    }

    /// Waits for things that the peer can be asked for; `None` when nothing is left.
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
