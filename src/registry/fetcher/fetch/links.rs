//! Keeps streams to peers for the next fetch: opening one takes a round trip, which is all that a
//! small content needs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use libp2p::PeerId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::net::{
    Net,
    content::{Broken, ContentLink},
};

/// Most streams to one peer: one less than it accepts, because it may not have noticed yet that one
/// was closed.
const MOST: usize = 3;
/// An unused stream is kept for this long; the other side keeps it for a minute.
const KEEP: Duration = Duration::from_secs(20);

#[derive(Default)]
struct PeerLinks {
    places: Option<Arc<Semaphore>>,
    idle: Vec<(Instant, ContentLink)>,
    /// Bytes requested from it.
    load: Arc<AtomicU64>,
}

/// Bytes requested from a peer, counted until this is dropped.
pub struct Load {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub struct Links(Mutex<HashMap<PeerId, PeerLinks>>);

impl Links {
    /// Waits for a permit, then takes a kept stream, unless it must be `fresh`, or opens one.
    pub async fn take(
        &self,
        net: &Net,
        peer: PeerId,
        most: Duration,
        fresh: bool,
    ) -> Result<(ContentLink, OwnedSemaphorePermit), Broken> {
        let places = {
            let mut peers = self.0.lock();
            peers
                .entry(peer)
                .or_default()
                .places
                .get_or_insert_with(|| Arc::new(Semaphore::new(MOST)))
                .clone()
        };
        let place = places.acquire_owned().await.map_err(|_| Broken::Silent)?;
        let idle = if fresh { None } else { self.idle(&peer) };
        let link = match idle {
            Some(link) => link,
            None => net.open_content(peer, most).await?,
        };
        Ok((link, place))
    }

    /// Returns the bytes requested from a peer now.
    pub fn load(&self, peer: &PeerId) -> u64 {
        let peers = self.0.lock();
        peers
            .get(peer)
            .map_or(0, |peer| peer.load.load(Ordering::Relaxed))
    }

    /// Counts this many more bytes as requested from a peer.
    pub fn expect(&self, peer: PeerId, bytes: u64) -> Load {
        let all = self.0.lock().entry(peer).or_default().load.clone();
        all.fetch_add(bytes, Ordering::Relaxed);
        Load { all, bytes }
    }

    fn idle(&self, peer: &PeerId) -> Option<ContentLink> {
        let mut peers = self.0.lock();
        let peer = peers.get_mut(peer)?;
        peer.idle.retain(|(since, _)| since.elapsed() < KEEP);
        peer.idle.pop().map(|(_, link)| link)
    }

    /// Keeps a stream without outstanding requests.
    pub fn give_back(&self, link: ContentLink, place: OwnedSemaphorePermit) {
        let mut peers = self.0.lock();
        peers
            .entry(link.peer)
            .or_default()
            .idle
            .push((Instant::now(), link));
        drop(place);
    }

    /// Closes streams that were not used for a while.
    pub fn sweep(&self) {
        let mut peers = self.0.lock();
        for peer in peers.values_mut() {
            peer.idle.retain(|(since, _)| since.elapsed() < KEEP);
        }
        peers.retain(|_, peer| {
            let free = peer
                .places
                .as_ref()
                .is_none_or(|places| places.available_permits() == MOST);
            let is_asked = peer.load.load(Ordering::Relaxed) > 0;
            !(free && peer.idle.is_empty() && !is_asked)
        });
    }
}
