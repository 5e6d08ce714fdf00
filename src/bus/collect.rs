//! Merges events for each reader and sends them in batches.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use libp2p::PeerId;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::event::{Batch, BusEvent};
use crate::{
    bus::{Counters, NodeSnapshot, Notice, PeerSnapshot},
    domain::{
        announced::ReceivedAnnouncement,
        conflict::Case,
        health::Sample,
        lookup::Trace,
        request::ClientRequest,
        transfer::{Transfer, TransferId},
    },
};

/// Shortest time between two batches to one reader.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// The most announcements, and the most notices, waiting for a reader before the oldest are
/// dropped.
pub const RING: usize = 1_000;
/// Batches waiting in a reader's channel.
const CHANNEL: usize = 4;
/// The most different peers in one batch; the node itself bounds larger tables.
const PEERS: usize = 10_000;

/// Unsent changes for one reader.
#[derive(Default)]
struct Collector {
    node: Option<NodeSnapshot>,
    peers: HashMap<PeerId, PeerSnapshot>,
    gone: Vec<PeerId>,
    announcements: VecDeque<ReceivedAnnouncement>,
    notices: VecDeque<Notice>,
    counters: Option<Counters>,
    health: Option<Sample>,
    transfers: HashMap<TransferId, Transfer>,
    conflicts: VecDeque<Case>,
    lookups: HashMap<u64, Trace>,
    requests: BTreeMap<u64, ClientRequest>,
    dropped: u64,
    events: u64,
}

impl Collector {
    fn merge(&mut self, event: BusEvent) {
        self.events += 1;
        match event {
            BusEvent::Node(node) => self.node = Some(*node),
            BusEvent::Peer(peer) => {
                if self.peers.len() < PEERS || self.peers.contains_key(&peer.id) {
                    self.gone.retain(|gone| *gone != peer.id);
                    self.peers.insert(peer.id, *peer);
                } else {
                    self.dropped += 1;
                }
            }
            BusEvent::PeerGone(peer) => {
                self.peers.remove(&peer);
                if self.gone.len() < PEERS {
                    self.gone.push(peer);
                } else {
                    self.dropped += 1;
                }
            }
            BusEvent::Announced(announced) => {
                self.dropped += push(&mut self.announcements, *announced)
            }
            BusEvent::Notice(notice) => self.dropped += push(&mut self.notices, notice),
            BusEvent::Counters(counters) => self.counters = Some(counters),
            BusEvent::Health(sample) => self.health = Some(*sample),
            BusEvent::Conflict(case) => self.dropped += push(&mut self.conflicts, *case),
            BusEvent::Transfer(transfer) => {
                if self.transfers.len() < RING || self.transfers.contains_key(&transfer.id) {
                    self.transfers.insert(transfer.id, *transfer);
                } else {
                    self.dropped += 1;
                }
            }
            BusEvent::Request(request) => {
                // A person looks at the newest ones.
                self.requests.insert(request.id, *request);
                if self.requests.len() > RING {
                    self.requests.pop_first();
                    self.dropped += 1;
                }
            }
            BusEvent::Lookup(trace) => {
                if self.lookups.len() < RING || self.lookups.contains_key(&trace.id) {
                    self.lookups.insert(trace.id, *trace);
                } else {
                    self.dropped += 1;
                }
            }
        }
    }

    fn take(&mut self) -> Batch {
        let taken = std::mem::take(self);
        self.dropped = taken.dropped;
        Batch {
            node: taken.node,
            peers: taken.peers.into_values().collect(),
            gone: taken.gone,
            announcements: taken.announcements.into(),
            notices: taken.notices.into(),
            counters: taken.counters,
            health: taken.health,
            transfers: taken.transfers.into_values().collect(),
            conflicts: taken.conflicts.into(),
            lookups: taken.lookups.into_values().collect(),
            requests: taken.requests.into_values().collect(),
            dropped: taken.dropped,
            events: taken.events,
        }
    }
}

/// Appends to a bounded ring. Returns the number of dropped elements.
fn push<T>(ring: &mut VecDeque<T>, value: T) -> u64 {
    let full = ring.len() >= RING;
    if full {
        ring.pop_front();
    }
    ring.push_back(value);
    u64::from(full)
}

struct BusReader {
    collector: Mutex<Collector>,
    changed: Notify,
}

/// The event bus: writers emit events, and readers subscribe. Cheap to clone.
#[derive(Clone, Default)]
pub struct Bus {
    readers: Arc<Mutex<Vec<Arc<BusReader>>>>,
    dropped: Arc<AtomicU64>,
}

impl Bus {
    /// Merges `event` for every reader. Never waits for a reader; the lock is held only while
    /// merging.
    pub fn emit(&self, event: BusEvent) {
        let readers = self.readers.lock();
        if let Some((last, others)) = readers.split_last() {
            let mut dropped = 0;
            for reader in others {
                dropped += reader.merge(event.clone());
            }
            dropped += last.merge(event);
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    /// Returns the number of events lost by all readers, including those that have left.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns true if there is a reader, to avoid building snapshots for nobody.
    pub fn has_readers(&self) -> bool {
        !self.readers.lock().is_empty()
    }

    /// Adds a reader, which is removed when the receiver is dropped. Must be called within a tokio
    /// runtime.
    pub fn subscribe(&self) -> mpsc::Receiver<Batch> {
        let reader = Arc::new(BusReader {
            collector: Mutex::default(),
            changed: Notify::new(),
        });
        self.readers.lock().push(reader.clone());
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let readers = self.readers.clone();
        tokio::spawn(async move {
            flush(&reader, &sender).await;
            readers.lock().retain(|other| !Arc::ptr_eq(other, &reader));
        });
        receiver
    }
}

impl BusReader {
    /// Merges an event. Returns the number of events dropped for it.
    fn merge(&self, event: BusEvent) -> u64 {
        let mut collector = self.collector.lock();
        let before = collector.dropped;
        collector.merge(event);
        let dropped = collector.dropped - before;
        drop(collector);
        self.changed.notify_one();
        dropped
    }
}

/// Sends batches until the receiver is dropped. It reserves a slot before it takes a batch, so a
/// slow reader loses only what its rings cannot hold.
async fn flush(reader: &BusReader, sender: &mpsc::Sender<Batch>) {
    loop {
        tokio::select! {
            () = reader.changed.notified() => {}
            () = sender.closed() => return,
        }
        match sender.try_reserve() {
            Ok(permit) => {
                let batch = reader.collector.lock().take();
                if !batch.is_empty() {
                    permit.send(batch);
                }
            }
            Err(mpsc::error::TrySendError::Full(())) => reader.changed.notify_one(),
            Err(mpsc::error::TrySendError::Closed(())) => return,
        }
        tokio::time::sleep(FLUSH_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bus::Level, domain::time::Timestamp};

    fn notice(n: u64) -> BusEvent {
        BusEvent::Notice(Notice {
            at: Timestamp(n),
            level: Level::Info,
            text: n.to_string(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_merged_bounded_and_counted() {
        let bus = Bus::default();
        let mut reader = bus.subscribe();
        for n in 0..100_000 {
            bus.emit(notice(n));
        }
        let batch = reader.recv().await.unwrap();
        assert_eq!(batch.notices.len(), RING);
        assert_eq!(batch.dropped, 100_000 - RING as u64);
        assert_eq!(bus.dropped(), batch.dropped);
        assert_eq!(
            batch.notices.last().unwrap().at,
            Timestamp(99_999),
            "the newest are kept"
        );
        assert_eq!(batch.events, 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_holds_nobody_up_and_gets_the_latest() {
        let bus = Bus::default();
        let mut reader = bus.subscribe();
        for n in 0..50 {
            bus.emit(notice(n));
            tokio::time::sleep(FLUSH_INTERVAL * 2).await;
        }
        let mut seen = Vec::new();
        while let Ok(Some(batch)) = tokio::time::timeout(FLUSH_INTERVAL * 4, reader.recv()).await {
            seen.extend(batch.notices.iter().map(|notice| notice.at.0));
        }
        assert_eq!(
            seen,
            (0..50).collect::<Vec<_>>(),
            "merged, none lost, none twice"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_leaves_is_forgotten() {
        let bus = Bus::default();
        drop(bus.subscribe());
        tokio::time::sleep(FLUSH_INTERVAL).await;
        assert!(!bus.has_readers());
        bus.emit(notice(1));
    }
}
