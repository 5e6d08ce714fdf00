//! Questions of this node that are with its peers: a peer answers eight at a time and takes more
//! for a flood, however many of this node's own tasks want something of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions that are with one peer at once: a few less than it answers, because it may not have
/// noticed yet that it did.
const MOST: usize = 6;

/// The places of the questions of each peer that there are any for. Cheap to clone.
#[derive(Clone, Default)]
pub struct Asking(Arc<Mutex<HashMap<PeerId, Arc<Semaphore>>>>);

impl Asking {
    /// Waits for a place; the question counts as being with the peer for as long as the caller has
    /// it.
    pub async fn place(&self, peer: PeerId) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever waits or asks holds it too.
            peers.retain(|_, places| Arc::strong_count(places) > 1);
            peers
                .entry(peer)
                .or_insert_with(|| Arc::new(Semaphore::new(MOST)))
                .clone()
        };
        places.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_peer_is_asked_no_more_at_once_than_it_answers() {
        let (asking, peer) = (Asking::default(), PeerId::random());
        let mut places = Vec::new();
        for _ in 0..MOST {
            places.extend(asking.place(peer).await);
        }
        assert!(asking.place(peer).now_or_never().is_none());
        assert!(
            asking.place(PeerId::random()).now_or_never().is_some(),
            "another one is not asked"
        );
        places.pop();
        assert!(asking.place(peer).now_or_never().is_some());
        places.clear();
        asking.place(PeerId::random()).await;
        assert!(
            asking.0.lock().unwrap().len() <= 2,
            "nothing is kept of who is not asked"
        );
    }
}
