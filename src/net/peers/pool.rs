//! Pools of slots that limit the tasks of each peer.

use std::{collections::HashMap, sync::Arc, time::Instant};

use libp2p::PeerId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::places::{Caller, PoolFull, PoolSize, SlotId, SlotPool};

/// A pool. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Mutex<SlotCounts>>, Arc<Notify>);

struct SlotCounts {
    places: SlotPool,
    ends: HashMap<SlotId, CancellationToken>,
}

/// A slot, which is free again when this is dropped.
pub(crate) struct PoolSlot {
    pool: Pool,
    place: SlotId,
    end: CancellationToken,
}

impl Pool {
    pub fn new(size: PoolSize) -> Self {
        Self(
            Arc::new(Mutex::new(SlotCounts {
                places: SlotPool::new(size),
                ends: HashMap::new(),
            })),
            Arc::default(),
        )
    }

    /// Takes a slot. A task whose slot is idle may be ended for it.
    pub fn take(&self, caller: Caller) -> Result<PoolSlot, PoolFull> {
        let mut inner = self.0.lock();
        let (place, instead) = inner.places.take(caller, Instant::now())?;
        let ended = instead.and_then(|place| inner.ends.remove(&place));
        let end = CancellationToken::new();
        inner.ends.insert(place, end.clone());
        drop(inner);
        ended.inspect(CancellationToken::cancel);
        Ok(PoolSlot {
            pool: self.clone(),
            place,
            end,
        })
    }

    /// Takes a slot as soon as one is free.
    pub async fn wait(&self, caller: Caller) -> PoolSlot {
        loop {
            let freed = self.1.notified();
            tokio::pin!(freed);
            // Listen before checking, so that no release is missed.
            freed.as_mut().enable();
            if let Ok(held) = self.take(caller) {
                return held;
            }
            freed.await;
        }
    }

    /// Returns the peers whose slots are moving bytes now, those that moved most first.
    pub fn moving(&self) -> Vec<Caller> {
        self.0.lock().places.moving(Instant::now())
    }
}

impl PoolSlot {
    /// Notes that bytes moved, which is the purpose of the slot.
    pub fn moved(&self, bytes: u64) {
        self.pool
            .0
            .lock()
            .places
            .moved(self.place, bytes, Instant::now());
    }

    /// Returns a token that is cancelled when the slot is given to another peer.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        let mut inner = self.pool.0.lock();
        inner.places.give_back(self.place);
        inner.ends.remove(&self.place);
        drop(inner);
        self.pool.1.notify_waiters();
    }
}

/// The connected peers, with the facts that decide about their slots. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Callers(Arc<RwLock<HashMap<PeerId, Caller>>>);

impl Callers {
    pub fn of(&self, peer: PeerId) -> Caller {
        let known = self.0.read().get(&peer).copied();
        known.unwrap_or(Caller {
            peer,
            good: false,
            prefix: None,
        })
    }

    pub fn set(&self, caller: Caller) {
        self.0.write().insert(caller.peer, caller);
    }

    /// Replaces the set of connected peers.
    pub fn replace(&self, callers: HashMap<PeerId, Caller>) {
        *self.0.write() = callers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_has_the_place_that_is_given_back() {
        let pool = Pool::new(PoolSize {
            places: 2,
            of_a_peer: 1,
            yields: false,
        });
        let callers = Callers::default();
        let held = pool.take(callers.of(PeerId::random())).unwrap();
        let waiting = tokio::spawn({
            let (pool, caller) = (pool.clone(), callers.of(PeerId::random()));
            async move { pool.wait(caller).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        drop(waiting.await.unwrap());
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let pool = Pool::new(PoolSize {
            places: 2,
            of_a_peer: 1,
            yields: true,
        });
        let callers = Callers::default();
        let held = pool.take(callers.of(PeerId::random())).unwrap();
        let other = callers.of(PeerId::random());
        assert_eq!(pool.take(other).err(), Some(PoolFull::Pool));
        assert!(!held.end().is_cancelled());
        held.moved(1_000_000);
        assert_eq!(pool.moving().len(), 1);
        drop(held);
        assert!(pool.moving().is_empty() && pool.take(other).is_ok());
        callers.set(Caller {
            good: true,
            ..other
        });
        assert!(callers.of(other.peer).good);
        callers.replace(HashMap::new());
        assert!(!callers.of(other.peer).good);
    }
}
