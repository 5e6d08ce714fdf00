//! The set of peers with a running content transfer. Their connections are not trimmed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;

#[derive(Clone, Default)]
pub struct BusyPeers(Arc<Mutex<HashMap<PeerId, usize>>>);

/// Marks a peer as busy until it is dropped.
pub struct Busy {
    peers: BusyPeers,
    peer: PeerId,
}

impl BusyPeers {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn hold(&self, peer: PeerId) -> Busy {
        *self.lock().entry(peer).or_default() += 1;
        Busy {
            peers: self.clone(),
            peer,
        }
    }

    pub fn list(&self) -> Vec<PeerId> {
        self.lock().keys().copied().collect()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut peers = self.peers.lock();
        if let Some(held) = peers.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}
