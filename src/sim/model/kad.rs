//! A model of `libp2p-kad`: the routing table, and the search of a query for the closest peers.
//!
//! Distances are the first 64 bits of Kademlia's. Among 20,000 positions, two share these only once
//! in 90 billion runs.

use std::collections::BTreeMap;

use crate::{
    net::machines::{K, PARALLELISM},
    sim::Id,
};

/// A peer in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BucketEntry {
    id: Id,
    position: u64,
    connected: bool,
}

/// The peers that a node knows, by their distance from it.
#[derive(Debug)]
pub struct KadTable {
    here: u64,
    /// By the number of leading bits that agree; the peer connected longest ago comes first.
    buckets: BTreeMap<u32, Vec<BucketEntry>>,
}

impl KadTable {
    pub fn new(here: u64) -> Self {
        Self {
            here,
            buckets: BTreeMap::new(),
        }
    }

    pub fn bucket_of(&self, position: u64) -> u32 {
        (self.here ^ position).leading_zeros()
    }

    /// Adds a connected peer. In a full bucket it replaces one that is not connected.
    pub fn insert(&mut self, id: Id, position: u64) {
        let bucket = self.buckets.entry(self.bucket_of(position)).or_default();
        bucket.retain(|entry| entry.id != id);
        if bucket.len() >= K {
            let Some(gone) = bucket.iter().position(|entry| !entry.connected) else {
                return;
            };
            bucket.remove(gone);
        }
        bucket.push(BucketEntry {
            id,
            position,
            connected: true,
        });
    }

    pub fn disconnected(&mut self, id: Id, position: u64) {
        let bucket = self.buckets.get_mut(&self.bucket_of(position));
        let entry = bucket.and_then(|bucket| bucket.iter_mut().find(|entry| entry.id == id));
        if let Some(entry) = entry {
            entry.connected = false;
        }
    }

    pub fn remove(&mut self, id: Id, position: u64) {
        if let Some(bucket) = self.buckets.get_mut(&self.bucket_of(position)) {
            bucket.retain(|entry| entry.id != id);
        }
    }

    pub fn contains(&self, id: Id, position: u64) -> bool {
        let bucket = self.buckets.get(&self.bucket_of(position));
        bucket.is_some_and(|bucket| bucket.iter().any(|entry| entry.id == id))
    }

    /// Returns every peer with its bucket.
    pub fn peers(&self) -> impl Iterator<Item = (u32, Id)> {
        let all = self.buckets.iter();
        all.flat_map(|(bucket, entries)| entries.iter().map(|entry| (*bucket, entry.id)))
    }

    pub fn len(&self) -> usize {
        self.buckets.values().map(Vec::len).sum()
    }

    /// Returns the peers closest to a position, closest first, without `but`.
    pub fn closest(&self, target: u64, but: Option<Id>) -> Vec<Id> {
        // All peers of one bucket are closer than all of another, so only the first buckets need
        // sorting.
        let distance = |bucket: u32| {
            let below = u64::MAX.checked_shr(bucket + 1).unwrap_or(0);
            (self.here ^ (1 << (63 - bucket.min(63))) ^ target) & !below
        };
        let filled = self.buckets.iter();
        let mut order: Vec<(u64, &Vec<BucketEntry>)> = filled
            .map(|(bucket, entries)| (distance(*bucket), entries))
            .collect();
        order.sort_unstable_by_key(|(distance, _)| *distance);
        let mut closest = Vec::with_capacity(K);
        let mut near: Vec<(u64, Id)> = Vec::with_capacity(K);
        for (_, entries) in order {
            near.clear();
            for entry in entries {
                if Some(entry.id) != but {
                    near.push((entry.position ^ target, entry.id));
                }
            }
            near.sort_unstable();
            for (_, id) in &near {
                if closest.len() >= K {
                    return closest;
                }
                closest.push(*id);
            }
        }
        closest
    }

    /// Returns positions in the buckets beyond that of the closest peer, which a bootstrap looks up
    /// after this node's own.
    pub fn to_refresh(&self, mut draw: impl FnMut() -> u64) -> Vec<u64> {
        let filled = self
            .buckets
            .iter()
            .filter(|(_, entries)| !entries.is_empty());
        let Some(closest) = filled.map(|(bucket, _)| *bucket).max() else {
            return Vec::new();
        };
        let within = |bucket: u32, drawn: u64| {
            let flipped = 1u64 << (63 - bucket);
            (self.here ^ flipped) & !(flipped - 1) | drawn & (flipped - 1)
        };
        (0..closest.min(63))
            .map(|bucket| within(bucket, draw()))
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContactState {
    NotContacted,
    Waiting,
    Succeeded,
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Contact {
    id: Id,
    state: ContactState,
    /// Number of peers asked one after the other to learn of it, including itself.
    depth: u32,
}

/// The next step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Ask(Id),
    Wait,
    Done,
}

/// An iterative query for the peers closest to a target: `ClosestPeersIter` of `libp2p-kad` 0.49,
/// without its timeout of a peer, which is longer than that of our queries.
#[derive(Debug)]
pub struct Walk {
    pub target: u64,
    contacts: BTreeMap<u64, Contact>,
    waiting: usize,
    /// Answers in a row without a closer peer; from [`PARALLELISM`] on the query is stalled.
    no_progress: usize,
    is_done: bool,
}

impl Walk {
    pub fn new(target: u64, start: &[Id], positions: &[u64]) -> Self {
        let mut walk = Self {
            target,
            contacts: BTreeMap::new(),
            waiting: 0,
            no_progress: 0,
            is_done: false,
        };
        walk.learn(start, 1, positions);
        walk
    }

    /// Adds peers. Returns the distance of the closest new one.
    fn learn(&mut self, peers: &[Id], depth: u32, positions: &[u64]) -> u64 {
        let mut nearest_new = u64::MAX;
        for id in peers {
            let Some(position) = positions.get(*id as usize) else {
                continue;
            };
            let distance = position ^ self.target;
            self.contacts.entry(distance).or_insert_with(|| {
                nearest_new = nearest_new.min(distance);
                Contact {
                    id: *id,
                    state: ContactState::NotContacted,
                    depth,
                }
            });
        }
        nearest_new
    }

    pub fn next(&mut self) -> Next {
        if self.is_done {
            return Next::Done;
        }
        let most = if self.no_progress >= PARALLELISM {
            K
        } else {
            PARALLELISM
        };
        let at_capacity = self.waiting >= most;
        let mut answered = Some(0);
        for contact in self.contacts.values_mut() {
            match contact.state {
                ContactState::Waiting if at_capacity => return Next::Wait,
                ContactState::Waiting => answered = None,
                ContactState::Succeeded => {
                    if let Some(count) = &mut answered {
                        *count += 1;
                        if *count >= K {
                            self.is_done = true;
                            return Next::Done;
                        }
                    }
                }
                ContactState::NotContacted if at_capacity => return Next::Wait,
                ContactState::NotContacted => {
                    contact.state = ContactState::Waiting;
                    self.waiting += 1;
                    return Next::Ask(contact.id);
                }
                ContactState::Failed => {}
            }
        }
        if self.waiting > 0 {
            return Next::Wait;
        }
        self.is_done = true;
        Next::Done
    }

    /// Takes an answer with the peers that it names. Returns the depth of the answering peer;
    /// `None` if no answer of it was awaited.
    pub fn answered(&mut self, from: Id, closer: &[Id], positions: &[u64]) -> Option<u32> {
        let depth = self.settle(from, ContactState::Succeeded, positions)?;
        let range = self.contacts.keys().nth(K - 1);
        let range = range.or_else(|| self.contacts.keys().last()).copied();
        let few = self.contacts.len() < K;
        let nearest = self.learn(closer, depth + 1, positions);
        self.no_progress = if few || nearest < range.unwrap_or(u64::MAX) {
            0
        } else {
            self.no_progress + 1
        };
        Some(depth)
    }

    pub fn failed(&mut self, peer: Id, positions: &[u64]) {
        self.settle(peer, ContactState::Failed, positions);
    }

    fn settle(&mut self, peer: Id, state: ContactState, positions: &[u64]) -> Option<u32> {
        let distance = positions.get(peer as usize)? ^ self.target;
        let contact = self.contacts.get_mut(&distance)?;
        if contact.state != ContactState::Waiting {
            return None;
        }
        contact.state = state;
        self.waiting -= 1;
        Some(contact.depth)
    }

    /// Returns the closest peers that answered, closest first.
    pub fn closest(&self) -> Vec<Id> {
        let answered = self.contacts.values();
        answered
            .filter(|contact| contact.state == ContactState::Succeeded)
            .map(|contact| contact.id)
            .take(K)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::dice::Dice;

    /// Returns the positions of `count` peers, and the table of each, which knows all others.
    fn swarm(count: usize) -> (Vec<u64>, Vec<KadTable>) {
        let mut dice = Dice::of(3, "positions", 0);
        let positions: Vec<u64> = (0..count).map(|_| dice.draw()).collect();
        let table = |here: u64| {
            let mut table = KadTable::new(here);
            for (id, position) in positions.iter().enumerate() {
                if *position != here {
                    table.insert(id as Id, *position);
                }
            }
            table
        };
        let tables = positions.iter().map(|here| table(*here)).collect();
        (positions, tables)
    }

    #[test]
    fn a_walk_finds_the_closest_of_all_and_asks_few() {
        let (positions, tables) = swarm(400);
        for (from, target) in [(0usize, 1u64), (17, u64::MAX), (399, 0x5555_5555_5555_5555)] {
            let mut walk = Walk::new(target, &tables[from].closest(target, None), &positions);
            let (mut asked, mut open) = (0, Vec::new());
            loop {
                match walk.next() {
                    Next::Ask(id) => {
                        asked += 1;
                        open.push(id);
                    }
                    Next::Wait => {
                        let id = open.remove(0);
                        let closer = tables[id as usize].closest(target, Some(from as Id));
                        walk.answered(id, &closer, &positions);
                    }
                    Next::Done => break,
                }
            }
            let mut all: Vec<Id> = (0..400).filter(|id| *id != from as Id).collect();
            all.sort_by_key(|id| positions[*id as usize] ^ target);
            assert_eq!(walk.closest(), all[..K]);
            assert!((K..4 * K).contains(&asked), "{asked} were asked");
        }
    }

    #[test]
    fn the_closest_are_those_of_all_that_are_closest() {
        let (positions, tables) = swarm(300);
        let mut dice = Dice::of(5, "targets", 0);
        for table in &tables[..40] {
            let target = dice.draw();
            let mut known: Vec<Id> = table.peers().map(|(_, id)| id).collect();
            known.sort_by_key(|id| positions[*id as usize] ^ target);
            let but = known.remove(1);
            assert_eq!(table.closest(target, Some(but)), known[..K]);
        }
    }

    #[test]
    fn a_walk_ends_when_nobody_answers() {
        let (positions, tables) = swarm(30);
        let mut walk = Walk::new(9, &tables[0].closest(9, None), &positions);
        let mut asked = 0;
        while let Next::Ask(id) = walk.next() {
            asked += 1;
            walk.failed(id, &positions);
        }
        assert_eq!((asked, walk.next()), (K, Next::Done));
        assert!(walk.closest().is_empty());
    }

    #[test]
    fn a_full_bucket_takes_nobody_but_for_one_that_left() {
        let mut table = KadTable::new(0);
        let position = |id: Id| (1 << 63) | u64::from(id);
        (0..30).for_each(|id| table.insert(id, position(id)));
        assert!(table.len() == K && !table.contains(25, position(25)));
        table.disconnected(3, position(3));
        table.insert(25, position(25));
        let has = |id| table.contains(id, position(id));
        assert!(table.len() == K && has(25) && !has(3));
    }
}
