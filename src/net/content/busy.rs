//! The set of peers with a running content transfer. Their connections are not trimmed.

use std::{collections::HashMap, sync::Arc};

use libp2p::PeerId;
use parking_lot::Mutex;

#[derive(Clone, Default)]
pub struct BusyPeers(Arc<Mutex<HashMap<PeerId, usize>>>);

/// Marks a peer as busy until it is dropped.
pub struct Busy {
    peers: BusyPeers,
    peer: PeerId,
}

impl BusyPeers {
    pub fn hold(&self, peer: PeerId) -> Busy {
        *self.0.lock().entry(peer).or_default() += 1;
        Busy {
            peers: self.clone(),
            peer,
        }
    }

    pub fn list(&self) -> Vec<PeerId> {
        self.0.lock().keys().copied().collect()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut peers = self.peers.0.lock();
        if let Some(held) = peers.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}
