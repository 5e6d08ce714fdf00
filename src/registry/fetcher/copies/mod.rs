//! Replication: the bytes of a new release are copied to other nodes, so that its publisher may go
//! offline, and this node keeps copies for others.
//!
//! The publishing node asks others to keep a release ([`give`]). Later, when a replica is lost
//! ([`holders`]), the holder that comes first by [`order`](crate::domain::copies::order) asks. The
//! node that is asked ([`keep`]) fetches and verifies it as usual. A claim to hold a release is
//! believed once the node has supplied randomly chosen groups that verify.

mod give;
mod holders;
mod keep;

use std::{collections::HashSet, sync::Arc, time::Duration};

use libp2p::PeerId;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Semaphore, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::Fetcher;
use crate::{Result, domain::hash::Hash};
use holders::ROUNDS;
use keep::{FOR_OTHERS, FOR_UNKNOWN};

/// Interval at which own releases that lack copies are sought.
const LOOK: Duration = Duration::from_secs(5);
/// Shortest interval between two checks of the replicas.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);
const LONGEST_ROUND: Duration = Duration::from_secs(3_600);

/// The state of the replication.
pub struct Copying {
    /// Own releases that are offered to others now.
    underway: watch::Sender<HashSet<Hash>>,
    unfit: Mutex<HashSet<PeerId>>,
    /// Releases that are fetched for others now.
    fetching: Mutex<HashSet<Hash>>,
    places: Arc<Semaphore>,
    of_unknown: Arc<Semaphore>,
    /// The last release that each of the two checks reached.
    at: Mutex<[Hash; 2]>,
}

impl Default for Copying {
    fn default() -> Self {
        Self {
            underway: watch::Sender::default(),
            unfit: Mutex::default(),
            fetching: Mutex::default(),
            places: Arc::new(Semaphore::new(FOR_OTHERS)),
            of_unknown: Arc::new(Semaphore::new(FOR_UNKNOWN)),
            at: Mutex::new([Hash([0; 32]); 2]),
        }
    }
}

impl Copying {
    /// Waits until no release is being offered.
    pub async fn idle(&self) {
        // The sender lives as long as this, so waiting cannot fail.
        let _ = self.underway.subscribe().wait_for(HashSet::is_empty).await;
    }

    fn fetching(&self) -> MutexGuard<'_, HashSet<Hash>> {
        self.fetching.lock()
    }

    fn unfit(&self) -> MutexGuard<'_, HashSet<PeerId>> {
        self.unfit.lock()
    }
}

impl Fetcher {
    /// Runs until `stop` is cancelled.
    pub async fn run_copies(self: Arc<Self>, stop: CancellationToken) {
        let mut joined = self.core.net.joined();
        let every = self.core.options.copy_lost_after / ROUNDS;
        let mut round = tokio::time::interval(every.clamp(SHORTEST_ROUND, LONGEST_ROUND));
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Peers that had free space at the last look.
        let mut roomy = HashSet::new();
        loop {
            let mut look_after = false;
            tokio::select! {
                () = stop.cancelled() => return,
                changed = joined.changed() => if changed.is_err() { return },
                _ = look.tick() => {}
                _ = round.tick() => look_after = true,
            }
            if let Err(error) = self.tell_room() {
                tracing::debug!(%error, "the space for copies could not be computed");
            }
            if self.core.options.copies == 0 || *joined.borrow_and_update() == 0 {
                continue;
            }
            let done = stop.run_until_cancelled(async {
                if look_after {
                    self.look_after_copies().await?;
                }
                let rooms = self.core.net.rooms().await?;
                let now: HashSet<PeerId> = rooms
                    .iter()
                    .filter(|(_, room)| *room > 0)
                    .map(|(peer, _)| *peer)
                    .collect();
                // A new peer may take what the others declined.
                let all = now.iter().any(|peer| !roomy.contains(peer));
                roomy = now;
                self.copy_own(all).await
            });
            if let Some(Err(error)) = done.await {
                tracing::warn!(%error, "checking copies failed and is tried again later");
            }
        }
    }

    /// Returns the number of nodes, without this one, that were seen to have a release.
    pub fn copies_of(&self, release: &Hash) -> Result<usize> {
        Ok(self
            .core
            .store
            .holders(release)?
            .iter()
            .filter(|holder| holder.missing_since.is_none())
            .count())
    }
}
