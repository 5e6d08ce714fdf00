//! One attempt to fetch a content: the bytes that are here, the requests, and each peer's part.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bao_tree::io::BaoContentItem;
use bytes::Bytes;
use libp2p::PeerId;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};

use super::plan::Plan;
use crate::{
    Result,
    domain::{
        content::{GROUP, Groups, bytes_of, groups},
        held::Share,
        transfer::{Part, TransferPeer, Wanted},
    },
    metrics::Metrics,
    store::content::{ContentStore, Partial, SMALL},
};

/// Most pieces that wait to be written: a slow disk then slows the network down instead of filling
/// the memory.
const WRITES: usize = 4;
/// Written bytes are synced to the disk after this many, so that the end does not wait for all of
/// them.
const SYNC_EVERY: u64 = 64 << 20;

/// The destination of the bytes.
enum Into {
    Memory(Mutex<(Groups, Vec<u8>)>),
    File(Arc<Partial>),
}

pub(super) struct Run {
    pub wanted: Wanted,
    plan: Mutex<Plan>,
    into: Arc<Into>,
    writes: mpsc::Sender<Vec<BaoContentItem>>,
    parts: Mutex<BTreeMap<PeerId, TransferPeer>>,
    /// Signals that a request ended or that everything is here.
    pub changed: Arc<Notify>,
    began: Instant,
    /// Bytes that were here before.
    pub resumed: u64,
    failed: Arc<Mutex<Option<io::Error>>>,
    over: AtomicBool,
    other_size: AtomicU64,
    /// The last sign of progress, in milliseconds since the start.
    last: AtomicU64,
}

impl Run {
    /// Starts an attempt; `begin` is any number and chooses where the first peer starts.
    pub async fn begin(
        contents: &ContentStore,
        metrics: Metrics,
        wanted: Wanted,
        begin: u64,
    ) -> Result<Self> {
        let content = wanted.content;
        let into = if content.size < SMALL {
            contents.check_room(content.size)?;
            Into::Memory(Mutex::new((
                Groups::empty(),
                vec![0; content.size as usize],
            )))
        } else {
            Into::File(contents.partial(content).await?)
        };
        let have = match &into {
            Into::Memory(_) => Groups::empty(),
            Into::File(partial) => partial.have(),
        };
        let resumed = bytes_of(&have, content.size);
        let into = Arc::new(into);
        let (writes, queue) = mpsc::channel(WRITES);
        let (changed, failed) = (Arc::new(Notify::new()), Arc::default());
        let writer = PieceWriter {
            into: into.clone(),
            changed: changed.clone(),
            failed: Arc::clone(&failed),
            metrics,
        };
        tokio::task::spawn_blocking(move || writer.serve(queue));
        Ok(Self {
            wanted,
            plan: Mutex::new(Plan::new(content.size, have, begin)),
            into,
            writes,
            parts: Mutex::default(),
            changed,
            began: Instant::now(),
            resumed,
            failed,
            over: AtomicBool::new(false),
            other_size: AtomicU64::new(0),
            last: AtomicU64::new(0),
        })
    }

    pub fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock()
    }

    /// Returns the milliseconds since the start.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn next(&self, peer: &PeerId) -> Option<Range<u64>> {
        let now = self.millis();
        self.plan().next(peer, now)
    }

    pub fn part(&self, peer: PeerId, change: impl FnOnce(&mut TransferPeer)) {
        change(
            self.parts
                .lock()
                .entry(peer)
                .or_insert_with(|| TransferPeer::new(peer)),
        );
    }

    /// Notes that verified bytes arrived, or a peer that may have some.
    pub fn heard(&self) {
        self.last.store(self.millis(), Ordering::Relaxed);
    }

    /// Returns the time since [`heard`](Self::heard).
    pub fn silent_for(&self) -> Duration {
        Duration::from_millis(
            self.millis()
                .saturating_sub(self.last.load(Ordering::Relaxed)),
        )
    }

    /// Returns the verified bytes that a peer supplied.
    pub fn given(&self, peer: &PeerId) -> u64 {
        self.parts.lock().get(peer).map_or(0, |one| one.bytes)
    }

    /// Returns the verified bytes that all peers supplied.
    pub fn came(&self) -> u64 {
        self.parts.lock().values().map(|one| one.bytes).sum()
    }

    /// Returns the peers that are not asked again.
    pub fn given_up(&self) -> Vec<PeerId> {
        let over = |one: &&TransferPeer| matches!(one.part, Part::Lied | Part::Slow);
        self.parts
            .lock()
            .values()
            .filter(over)
            .map(|one| one.peer)
            .collect()
    }

    /// Returns the number of peers that were asked, are finished, and supplied nothing.
    pub fn in_vain(&self) -> usize {
        let over =
            |one: &&TransferPeer| one.bytes == 0 && !matches!(one.part, Part::Asked | Part::Giving);
        self.parts.lock().values().filter(over).count()
    }

    pub fn was_slow_or_lost(&self) -> bool {
        self.parts
            .lock()
            .values()
            .any(|one| matches!(one.part, Part::Slow | Part::Lost))
    }

    /// Allows slow peers to be asked again.
    pub fn forgive(&self) {
        for one in self
            .parts
            .lock()
            .values_mut()
            .filter(|one| one.part == Part::Slow)
        {
            one.part = Part::Idle;
        }
    }

    pub fn parts(&self) -> Vec<TransferPeer> {
        let mut parts: Vec<_> = self.parts.lock().values().cloned().collect();
        parts.sort_by_key(|one| std::cmp::Reverse(one.bytes));
        parts
    }

    /// Returns the bytes that each peer supplied, and those that lied.
    pub fn shares(&self) -> Vec<Share> {
        let counts = |one: &TransferPeer| one.bytes > 0 || one.part == Part::Lied;
        let share = |one: TransferPeer| Share {
            peer: one.peer,
            bytes: one.bytes,
            millis: one.millis,
            refused: one.refused,
        };
        self.parts().into_iter().filter(counts).map(share).collect()
    }

    /// Passes verified groups to the writer, and waits while its queue is full.
    pub async fn write(&self, items: Vec<BaoContentItem>) {
        if !items.is_empty() {
            // The writer lives as long as this, so sending cannot fail.
            let _ = self.writes.send(items).await;
        }
    }

    /// Returns true if everything is here and written.
    pub fn is_complete(&self) -> bool {
        self.done() == self.wanted.content.size && self.into.is_complete(self.wanted.content.size)
    }

    /// Returns true if no more requests are needed.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.plan().is_complete()
    }

    /// Returns the number of bytes that are here.
    pub fn done(&self) -> u64 {
        match &*self.into {
            Into::Memory(held) => bytes_of(&held.lock().0, self.wanted.content.size),
            Into::File(partial) => partial.bytes(),
        }
    }

    /// Takes the error that happened on our own side, if any.
    pub fn failure(&self) -> Option<io::Error> {
        let failed = self.failed.lock().take();
        self.over.fetch_or(failed.is_some(), Ordering::Relaxed);
        failed
    }

    /// Notes that a peer holds a content of that root with this size, which contradicts the
    /// manifest.
    pub fn other_size(&self, size: u64) {
        self.other_size.store(size, Ordering::Relaxed);
    }

    pub fn said_size(&self) -> Option<u64> {
        Some(self.other_size.load(Ordering::Relaxed)).filter(|size| *size != 0)
    }

    /// Explains for a person why no peer supplies the rest.
    pub fn why_not(&self, asked: usize) -> String {
        let size = self.wanted.content.size;
        why_not(&self.parts(), size, self.done(), self.said_size(), asked)
    }

    /// Returns the bytes if they are in memory, or else the file.
    pub fn take(&self) -> Result<Bytes, Arc<Partial>> {
        match &*self.into {
            Into::Memory(held) => Ok(std::mem::take(&mut held.lock().1).into()),
            Into::File(partial) => Err(partial.clone()),
        }
    }
}

/// Explains for a person why no peer supplies the rest of a content, by what each of the asked
/// peers did.
pub fn why_not(
    parts: &[TransferPeer],
    size: u64,
    done: u64,
    said: Option<u64>,
    asked: usize,
) -> String {
    if let Some(said) = said {
        return format!(
            "its manifest says that it has {size} bytes, and peers that have it say {said}; only \
             its publisher can correct that"
        );
    }
    let lied = parts.iter().filter(|one| one.part == Part::Lied).count();
    let lied = match lied {
        0 => String::new(),
        1 => ", of which one gave what does not verify".to_owned(),
        count => format!(", of which {count} gave what does not verify"),
    };
    let reached = parts
        .iter()
        .filter(|one| one.part != Part::Lost || one.bytes > 0)
        .count();
    if asked > 0 && reached == 0 {
        return format!(
            "none of the {asked} peers that may have it could be reached; check `status` for peers"
        );
    }
    match reached {
        0 => "no peer is connected that could have it; check `status` for peers".to_owned(),
        1 => format!(
            "the one peer that was asked does not give it{lied}; try again when others are there"
        ),
        _ if done > 0 => {
            format!(
                "none of {reached} peers that were asked gives the rest{lied}; try again when \
                 others are there"
            )
        }
        _ => format!(
            "none of {reached} peers that were asked has it{lied}; try again when others are there"
        ),
    }
}

impl Into {
    fn is_complete(&self, size: u64) -> bool {
        match self {
            // Even an empty content has a root to verify.
            Self::Memory(held) => held.lock().0 == Groups::from(0..groups(size)),
            Self::File(partial) => partial.is_complete(),
        }
    }

    fn write(&self, items: &[BaoContentItem]) -> io::Result<()> {
        match self {
            Self::File(partial) => partial.write(items),
            Self::Memory(held) => {
                let mut held = held.lock();
                for item in items {
                    let BaoContentItem::Leaf(leaf) = item else {
                        continue;
                    };
                    let start = leaf.offset as usize;
                    if let Some(place) = held.1.get_mut(start..start + leaf.data.len()) {
                        place.copy_from_slice(&leaf.data);
                    }
                    let group = leaf.offset / GROUP;
                    held.0 |= Groups::from(group..group + 1);
                }
                Ok(())
            }
        }
    }
}

/// Writes what the workers verified, outside the tasks that serve the network.
struct PieceWriter {
    into: Arc<Into>,
    changed: Arc<Notify>,
    failed: Arc<Mutex<Option<io::Error>>>,
    metrics: Metrics,
}

impl PieceWriter {
    fn serve(self, mut queue: mpsc::Receiver<Vec<BaoContentItem>>) {
        let mut since_sync = 0;
        let syncing = Arc::new(AtomicBool::new(false));
        while let Some(items) = queue.blocking_recv() {
            let bytes: u64 = items
                .iter()
                .map(|item| {
                    if let BaoContentItem::Leaf(leaf) = item {
                        leaf.data.len() as u64
                    } else {
                        0
                    }
                })
                .sum();
            if let Err(error) = self.into.write(&items) {
                *self.failed.lock() = Some(error);
                self.changed.notify_one();
                return;
            }
            self.metrics.fetched(bytes);
            self.changed.notify_one();
            since_sync += bytes;
            if since_sync >= SYNC_EVERY && !syncing.swap(true, Ordering::Relaxed) {
                since_sync = 0;
                let (into, syncing) = (self.into.clone(), syncing.clone());
                std::thread::spawn(move || {
                    if let Into::File(partial) = &*into
                        && let Err(error) = partial.sync()
                    {
                        // The last sync decides, and fails too.
                        tracing::warn!(%error, "content on its way could not be synced");
                    }
                    syncing.store(false, Ordering::Relaxed);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(part: Part, bytes: u64) -> TransferPeer {
        TransferPeer {
            part,
            bytes,
            ..TransferPeer::new(PeerId::random())
        }
    }

    #[test]
    fn a_person_is_told_why_nobody_gives_the_rest() {
        let why = |parts: &[TransferPeer], done, asked| why_not(parts, 100, done, None, asked);
        let (idle, lost) = (peer(Part::Idle, 0), peer(Part::Lost, 0));
        let lied = peer(Part::Lied, 0);
        assert!(why(&[], 0, 0).starts_with("no peer is connected that could have it"));
        assert!(
            why(&[lost.clone(), lost.clone()], 0, 2)
                .starts_with("none of the 2 peers that may have it could be reached")
        );
        assert!(why(&[idle.clone(), lost], 0, 2).starts_with("the one peer that was asked"));
        let two = [idle.clone(), lied.clone()];
        assert!(why(&two, 0, 2).contains("has it, of which one gave what does not verify"));
        assert!(why(&two, 5, 2).contains("gives the rest, of which one gave"));
        assert!(why(&[lied.clone(), lied], 0, 2).contains("of which 2 gave"));
        assert!(
            why_not(&[idle], 100, 0, Some(99), 1).starts_with(
                "its manifest says that it has 100 bytes, and peers that have it say 99"
            )
        );
    }
}
