//! Limits this node's concurrent requests to each peer. A peer answers eight at a time and takes
//! more for flooding, however many tasks of this node send them.

use std::{collections::HashMap, sync::Arc};

use libp2p::PeerId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most concurrent requests to one peer: a few less than it answers, because it may not have
/// noticed yet that an answer was sent.
const MOST: usize = 6;

/// The semaphores of the peers with requests. Cheap to clone.
#[derive(Clone, Default)]
pub struct PeerPermits(Arc<Mutex<HashMap<PeerId, Arc<Semaphore>>>>);

impl PeerPermits {
    /// Waits for a permit. The request counts as running while the caller holds it.
    pub async fn place(&self, peer: PeerId) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut peers = self.0.lock();
            // A semaphore with a strong count above 1 is still in use.
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
        let (asking, peer) = (PeerPermits::default(), PeerId::random());
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
            asking.0.lock().len() <= 2,
            "nothing is kept of who is not asked"
        );
    }
}
