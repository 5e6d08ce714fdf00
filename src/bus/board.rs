//! The node's transfers: listed on request, and emitted on the bus a few times a second each.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Bus, BusEvent};
use crate::domain::{
    time::Timestamp,
    transfer::{Part, Transfer, TransferId, TransferPeer, TransferState, rate},
};

/// The most transfers kept; those that ended longest ago are dropped first.
const MOST: usize = 500;
/// The least time between two events of a transfer that changes continuously.
const TELL: Duration = Duration::from_millis(200);
/// An upload without requests for this long has finished, or the peer has gone.
const OVER: Duration = Duration::from_secs(3);

struct BoardEntry {
    transfer: Transfer,
    told: Instant,
    /// Bytes done as of the last event.
    told_done: u64,
    changed: Instant,
}

/// The table of transfers. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    entries: Arc<Mutex<HashMap<TransferId, BoardEntry>>>,
    bus: Bus,
}

impl Board {
    pub fn new(bus: Bus) -> Self {
        Self {
            entries: Arc::default(),
            bus,
        }
    }

    /// Returns all running and recent transfers, newest first.
    pub fn list(&self) -> Vec<Transfer> {
        let mut all: Vec<Transfer> = self
            .entries
            .lock()
            .values()
            .map(|entry| entry.transfer.clone())
            .collect();
        all.sort_by_key(|transfer| (std::cmp::Reverse(transfer.started_at), transfer.id));
        all
    }

    /// Updates a transfer. A change of its state is emitted at once.
    pub fn put(&self, transfer: Transfer) {
        let mut entries = self.entries.lock();
        let now = Instant::now();
        if !entries.contains_key(&transfer.id) {
            make_room(&mut entries);
        }
        let known = entries.get(&transfer.id);
        let due = known.is_none_or(|known| {
            known.transfer.state != transfer.state || now.duration_since(known.told) >= TELL
        });
        let (told, told_done) = match known {
            Some(known) if !due => (known.told, known.told_done),
            _ => (now, transfer.done),
        };
        if due {
            self.bus
                .emit(BusEvent::Transfer(Box::new(transfer.clone())));
        }
        entries.insert(
            transfer.id,
            BoardEntry {
                transfer,
                told,
                told_done,
                changed: now,
            },
        );
    }

    /// Updates the upload to a peer. `what` supplies the name of the content, once.
    pub fn served(
        &self,
        id: TransferId,
        what: impl FnOnce() -> String,
        size: u64,
        now: Timestamp,
        change: impl FnOnce(&mut TransferPeer),
    ) {
        let TransferId::Serve { peer, .. } = id else {
            return;
        };
        let mut entries = self.entries.lock();
        let at = Instant::now();
        if !entries
            .get(&id)
            .is_some_and(|entry| entry.transfer.state.is_open())
        {
            make_room(&mut entries);
            let transfer = Transfer {
                id,
                what: what(),
                size,
                done: 0,
                resumed: 0,
                rate: 0.0,
                state: TransferState::Running,
                peers: vec![TransferPeer::new(peer)],
                started_at: now,
                ended_at: None,
                for_others: false,
                beside: false,
            };
            // Long ago, so that the first change is emitted.
            let told = at.checked_sub(TELL).unwrap_or(at);
            entries.insert(
                id,
                BoardEntry {
                    transfer,
                    told,
                    told_done: 0,
                    changed: at,
                },
            );
        }
        let Some(entry) = entries.get_mut(&id) else {
            return;
        };
        entry.changed = at;
        let transfer = &mut entry.transfer;
        if let Some(served) = transfer.peers.first_mut() {
            change(served);
            transfer.done = served.bytes;
        }
        let since = at.duration_since(entry.told);
        if since >= TELL {
            transfer.rate = rate(
                transfer.done - entry.told_done,
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            );
            (entry.told, entry.told_done) = (at, transfer.done);
            self.bus
                .emit(BusEvent::Transfer(Box::new(transfer.clone())));
        }
    }

    /// Ends uploads without recent requests. Call it periodically.
    pub fn settle(&self, now: Timestamp) {
        for entry in self.entries.lock().values_mut() {
            let transfer = &mut entry.transfer;
            let serves = matches!(transfer.id, TransferId::Serve { .. });
            if serves && transfer.state.is_open() && entry.changed.elapsed() >= OVER {
                transfer.state = TransferState::Done;
                transfer.ended_at = Some(now);
                transfer.rate = 0.0;
                transfer
                    .peers
                    .iter_mut()
                    .for_each(|peer| peer.part = Part::Idle);
                self.bus
                    .emit(BusEvent::Transfer(Box::new(transfer.clone())));
            }
        }
    }

    /// Emits everything again, for a new reader.
    pub fn tell_again(&self) {
        for entry in self.entries.lock().values() {
            self.bus
                .emit(BusEvent::Transfer(Box::new(entry.transfer.clone())));
        }
    }
}

fn make_room(entries: &mut HashMap<TransferId, BoardEntry>) {
    if entries.len() < MOST {
        return;
    }
    let ended = entries
        .values()
        .filter(|entry| !entry.transfer.state.is_open());
    if let Some(oldest) = ended
        .min_by_key(|entry| entry.changed)
        .map(|entry| entry.transfer.id)
    {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;
    use crate::domain::hash::ContentRoot;

    #[tokio::test]
    async fn what_changes_all_the_time_is_told_a_few_times_a_second_and_ends_once() {
        let bus = Bus::default();
        let board = Board::new(bus.clone());
        let mut reader = bus.subscribe();
        let id = TransferId::Serve {
            root: ContentRoot::of(b"x"),
            peer: PeerId::random(),
        };
        for _ in 0..1_000 {
            board.served(
                id,
                || "web".to_owned(),
                10_000,
                Timestamp(1),
                |peer| peer.bytes += 10,
            );
        }
        assert_eq!(board.list()[0].done, 10_000);
        let batch = reader.recv().await.unwrap();
        assert!(batch.events < 100, "{}", batch.events);
        let board_entries = board.entries.clone();
        let long_ago = Instant::now().checked_sub(OVER).unwrap();
        board_entries
            .lock()
            .values_mut()
            .for_each(|entry| entry.changed = long_ago);
        board.settle(Timestamp(2));
        board.settle(Timestamp(3));
        assert_eq!(board.list()[0].ended_at, Some(Timestamp(2)));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let board = Board::new(Bus::default());
        for n in 0..2 * MOST {
            let id = TransferId::Fetch {
                root: ContentRoot::of(&n.to_be_bytes()),
            };
            board.put(Transfer {
                id,
                what: String::new(),
                size: 1,
                done: 1,
                resumed: 0,
                rate: 0.0,
                state: TransferState::Done,
                peers: vec![],
                started_at: Timestamp(n as u64),
                ended_at: None,
                for_others: false,
                beside: false,
            });
        }
        assert_eq!(board.list().len(), MOST);
    }
}
