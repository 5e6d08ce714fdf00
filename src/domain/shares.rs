//! Fair shares of a bounded store: nobody holds more than a share, and when it is full the largest
//! holder yields.
//!
//! Identities cost nothing and public prefixes cost little, so both have a share. A holder over its
//! share evicts its own items. Only if the whole store is full is another's item evicted: the
//! farthest one of the largest holder. So a holder with less than the others always finds room.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use libp2p::PeerId;

use super::prefix::Prefix;

/// An identity holds at most one part in this many, of places and of bytes.
pub const OF_IDENTITY: u64 = 64;
/// A public prefix holds at most one part in this many: as much as four identities.
pub const OF_PREFIX: u64 = 16;
/// This node itself holds at most one part in this many, and nobody evicts that.
pub const OF_OURSELVES: u64 = 4;

/// The holder of an item. The prefix is an argument and not derived from an address here, so that
/// tests on loopback can run the strict rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderId {
    /// The identity; `None` for this node itself.
    pub peer: Option<PeerId>,
    /// The public prefix of its connection; peers without one are not grouped.
    pub prefix: Option<Prefix>,
}

impl HolderId {
    /// This node itself.
    pub const OURSELVES: Self = Self {
        peer: None,
        prefix: None,
    };

    /// Returns the origin of a peer behind a prefix.
    pub fn of(peer: PeerId, prefix: Option<Prefix>) -> Self {
        Self {
            peer: Some(peer),
            prefix,
        }
    }
}

/// Holders are numbered, because an identity takes 80 bytes and every item refers to one.
type HolderNumber = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Group {
    Prefix(Prefix),
    Alone(HolderNumber),
}

struct ShareItem {
    holder: HolderNumber,
    charge: u64,
    /// Grows with each item that is put or touched.
    age: u64,
    distance: u64,
}

struct ShareHolder<K> {
    origin: HolderId,
    charge: u64,
    oldest_first: BTreeMap<u64, K>,
    farthest_last: BTreeSet<(u64, K)>,
}

/// Accounts of a bounded store. They know keys and sizes, but not the stored values.
///
/// One measure bounds places and bytes at once: an item is charged its bytes, but at least an even
/// share of the room for one place. So neither many small items nor a few large ones exceed a
/// bound.
pub struct Shares<K> {
    room: u64,
    place: u64,
    total: u64,
    ages: u64,
    items: HashMap<K, ShareItem>,
    numbers: HashMap<Option<PeerId>, HolderNumber>,
    holders: HashMap<HolderNumber, ShareHolder<K>>,
    next_number: HolderNumber,
    groups: BTreeMap<Group, u64>,
    largest_last: BTreeSet<(u64, Group)>,
    /// The holders of each prefix, the largest last.
    within: BTreeMap<Prefix, BTreeSet<(u64, HolderNumber)>>,
}

impl<K: Copy + Ord + Hash> Shares<K> {
    /// Creates accounts for a store of `room` bytes and `places` items.
    pub fn new(room: u64, places: u64) -> Self {
        Self {
            room,
            place: room.checked_div(places).unwrap_or(room).max(1),
            total: 0,
            ages: 0,
            items: HashMap::new(),
            numbers: HashMap::new(),
            holders: HashMap::new(),
            next_number: 0,
            groups: BTreeMap::new(),
            largest_last: BTreeSet::new(),
            within: BTreeMap::new(),
        }
    }

    /// Adds an item of `bytes` bytes, replacing the one with its key. Returns the evicted keys,
    /// with the key itself among them if there is no room for it.
    ///
    /// `distance` orders eviction when the store is full: the greater goes first.
    pub fn put(&mut self, key: K, origin: HolderId, bytes: usize, distance: u64) -> Vec<K> {
        self.remove(&key);
        let holder = self.enter(origin);
        let charge = (bytes as u64).max(self.place);
        self.ages += 1;
        let item = ShareItem {
            holder,
            charge,
            age: self.ages,
            distance,
        };
        if let Some(of) = self.holders.get_mut(&holder) {
            of.oldest_first.insert(item.age, key);
            of.farthest_last.insert((distance, key));
        }
        self.items.insert(key, item);
        self.charge(holder, charge as i64);
        let mut gone = Vec::new();
        while let Some(victim) = self.next_to_go(holder) {
            self.remove(&victim);
            gone.push(victim);
        }
        gone
    }

    /// Returns the next item to evict after `newcomer` has added one.
    fn next_to_go(&self, newcomer: HolderNumber) -> Option<K> {
        let oldest = |of: &ShareHolder<K>| of.oldest_first.first_key_value().map(|(_, key)| *key);
        let holder = self.holders.get(&newcomer)?;
        let share = if holder.origin.peer.is_none() {
            OF_OURSELVES
        } else {
            OF_IDENTITY
        };
        if holder.charge > self.room / share {
            return oldest(holder);
        }
        if let Some(prefix) = holder.origin.prefix
            && self
                .groups
                .get(&Group::Prefix(prefix))
                .is_some_and(|charge| *charge > self.room / OF_PREFIX)
        {
            return oldest(self.largest_within(prefix)?);
        }
        if self.total <= self.room {
            return None;
        }
        let ours = self.numbers.get(&None).map(|number| Group::Alone(*number));
        let (most, largest) = self
            .largest_last
            .iter()
            .rev()
            .find(|(_, group)| Some(*group) != ours)?;
        // Among equals the newcomer yields: nobody loses an item to a holder with as much.
        let own = group_of(newcomer, &holder.origin);
        let yields = if Some(own) != ours && self.groups.get(&own) >= Some(most) {
            own
        } else {
            *largest
        };
        let of = match yields {
            Group::Prefix(prefix) => self.largest_within(prefix)?,
            Group::Alone(number) => self.holders.get(&number)?,
        };
        of.farthest_last.last().map(|(_, key)| *key)
    }

    fn largest_within(&self, prefix: Prefix) -> Option<&ShareHolder<K>> {
        let (_, number) = self.within.get(&prefix)?.last()?;
        self.holders.get(number)
    }

    /// Returns the holder's number. If it now connects from another prefix, its items move there
    /// with it.
    fn enter(&mut self, origin: HolderId) -> HolderNumber {
        let number = match self.numbers.get(&origin.peer) {
            Some(number) => *number,
            None => {
                self.next_number = self.next_number.wrapping_add(1);
                self.numbers.insert(origin.peer, self.next_number);
                self.next_number
            }
        };
        match self
            .holders
            .get(&number)
            .map(|holder| (holder.origin, holder.charge))
        {
            Some((before, charge)) if before != origin => {
                self.regroup(number, &before, charge, 0);
                self.regroup(number, &origin, 0, charge);
                self.holders
                    .entry(number)
                    .and_modify(|holder| holder.origin = origin);
            }
            Some(_) => {}
            None => {
                let (oldest_first, farthest_last) = (BTreeMap::new(), BTreeSet::new());
                self.holders.insert(
                    number,
                    ShareHolder {
                        origin,
                        charge: 0,
                        oldest_first,
                        farthest_last,
                    },
                );
            }
        }
        number
    }

    fn charge(&mut self, number: HolderNumber, by: i64) {
        let Some(holder) = self.holders.get_mut(&number) else {
            return;
        };
        let (origin, before) = (holder.origin, holder.charge);
        holder.charge = before.saturating_add_signed(by);
        let after = holder.charge;
        self.total = self.total.saturating_add_signed(by);
        self.regroup(number, &origin, before, after);
        if after == 0 {
            self.holders.remove(&number);
            self.numbers.remove(&origin.peer);
        }
    }

    /// Updates a holder's charge within its group from `before` to `after`.
    fn regroup(&mut self, number: HolderNumber, origin: &HolderId, before: u64, after: u64) {
        let group = group_of(number, origin);
        let had = self.groups.remove(&group).unwrap_or(0);
        self.largest_last.remove(&(had, group));
        let has = had.saturating_sub(before).saturating_add(after);
        if has > 0 {
            self.groups.insert(group, has);
            self.largest_last.insert((has, group));
        }
        if let Group::Prefix(prefix) = group {
            let within = self.within.entry(prefix).or_default();
            within.remove(&(before, number));
            if after > 0 {
                within.insert((after, number));
            }
            if within.is_empty() {
                self.within.remove(&prefix);
            }
        }
    }

    /// Marks an item that was put again as its holder's newest.
    pub fn touch(&mut self, key: &K) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        self.ages += 1;
        let before = std::mem::replace(&mut item.age, self.ages);
        if let Some(holder) = self.holders.get_mut(&item.holder) {
            holder.oldest_first.remove(&before);
            holder.oldest_first.insert(self.ages, *key);
        }
    }

    /// Removes an item.
    pub fn remove(&mut self, key: &K) {
        let Some(item) = self.items.remove(key) else {
            return;
        };
        if let Some(holder) = self.holders.get_mut(&item.holder) {
            holder.oldest_first.remove(&item.age);
            holder.farthest_last.remove(&(item.distance, *key));
        }
        self.charge(item.holder, -(item.charge as i64));
    }

    /// Returns the holder of an item.
    pub fn origin(&self, key: &K) -> Option<HolderId> {
        Some(self.holders.get(&self.items.get(key)?.holder)?.origin)
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns true if there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the charged bytes.
    pub fn charged(&self) -> u64 {
        self.total
    }
}

fn group_of(number: HolderNumber, origin: &HolderId) -> Group {
    origin.prefix.map_or(Group::Alone(number), Group::Prefix)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const ROOM: u64 = 64 * 16;
    const PLACES: u64 = 64 * 4;

    fn prefix(n: u8) -> Option<Prefix> {
        Prefix::of(Ipv4Addr::new(81, 2, n, 1).into())
    }

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    /// Counts the charge of a holder or a prefix from the items alone.
    fn counted(shares: &Shares<u64>, is: impl Fn(&HolderId) -> bool) -> (u64, u64) {
        let of = shares
            .items
            .iter()
            .filter(|(key, _)| shares.origin(key).is_some_and(|origin| is(&origin)));
        of.fold((0, 0), |(places, bytes), (_, item)| {
            (places + 1, bytes + item.charge)
        })
    }

    #[test]
    fn whoever_exceeds_its_share_displaces_its_own_oldest() {
        let mut shares = Shares::new(ROOM, PLACES);
        let (greedy, other) = (PeerId::random(), PeerId::random());
        assert!(shares.put(0, HolderId::of(other, None), 1, 0).is_empty());
        for n in 1..=4 {
            assert!(shares.put(n, HolderId::of(greedy, None), 1, n).is_empty());
        }
        shares.touch(&1);
        assert_eq!(
            shares.put(5, HolderId::of(greedy, None), 1, 5),
            [2],
            "what was put again is no longer the oldest"
        );
        assert_eq!(
            shares.put(6, HolderId::of(greedy, None), 13, 6),
            [3, 4, 1, 5],
            "bytes count as places do"
        );
        assert_eq!(
            shares.put(7, HolderId::of(greedy, None), 17, 7),
            [6, 7],
            "it is larger than a share"
        );
        assert_eq!(
            (shares.len(), shares.origin(&0)),
            (1, Some(HolderId::of(other, None)))
        );
    }

    #[test]
    fn a_prefix_has_a_share_whoever_is_in_it_and_nobody_else_pays() {
        let mut shares = Shares::new(ROOM, PLACES);
        let honest = HolderId::of(PeerId::random(), prefix(2));
        assert!(shares.put(0, honest, 1, u64::MAX).is_empty());
        let mut gone = 0;
        for (n, peer) in (1u64..).zip(peers(100)) {
            gone += shares.put(n, HolderId::of(peer, prefix(1)), 1, n).len();
        }
        assert_eq!(shares.len(), (PLACES / OF_PREFIX) as usize + 1);
        assert_eq!(gone, 100 - (PLACES / OF_PREFIX) as usize);
        assert_eq!(shares.origin(&0), Some(honest));
    }

    #[test]
    fn when_all_is_full_whoever_has_most_yields_its_farthest() {
        let mut shares = Shares::new(ROOM, PLACES);
        let mut n = 0;
        for peer in peers(64) {
            for _ in 0..4 {
                n += 1;
                assert!(shares.put(n, HolderId::of(peer, None), 1, n % 4).is_empty());
            }
        }
        let late = HolderId::of(PeerId::random(), None);
        let gone = shares.put(1_000, late, 1, u64::MAX);
        assert_eq!(
            gone.iter().map(|key| key % 4).collect::<Vec<_>>(),
            [3],
            "the farthest, and not the newcomer's"
        );
        for far in 0..3 {
            shares.put(1_001 + far, late, 1, 7);
        }
        assert_eq!(
            counted(&shares, |origin| *origin == late).0,
            3,
            "it gets as much as others have, and no more"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// The bounds hold at every step, the accounts are exact, and nobody within its share loses
        /// an item to a holder with as much or more.
        #[test]
        fn bounds_hold_whatever_is_put(
            steps in prop::collection::vec((0usize..90, 0u8..8, 0u64..400, 0usize..40, any::<u64>(), 0u8..10), 1..250),
        ) {
            let peers = peers(90);
            let mut shares: Shares<u64> = Shares::new(ROOM, PLACES);
            for (who, group, key, bytes, distance, what) in steps {
                let group = (group > 3).then(|| prefix(group)).flatten();
                let origin = if who == 0 { HolderId::OURSELVES } else { HolderId::of(peers[who], group) };
                match what {
                    0 => shares.remove(&key),
                    1 => shares.touch(&key),
                    _ => {
                        let held: Vec<(u64, HolderId)> = shares
                            .items
                            .keys()
                            .filter_map(|key| Some((*key, shares.origin(key)?)))
                            .collect();
                        let had = |is: &dyn Fn(&HolderId) -> bool| {
                            held.iter().filter(|(_, origin)| is(origin)).map(|(key, _)| shares.items[key].charge).sum::<u64>()
                        };
                        let charges: HashMap<u64, u64> =
                            held.iter().map(|(_, origin)| had(&|other| same_group(other, origin))).zip(held.iter())
                                .map(|(charge, (key, _))| (*key, charge)).collect();
                        let moved = held.iter().any(|(_, other)| other.peer == origin.peer && *other != origin);
                        let gone = shares.put(key, origin, bytes, distance);
                        for lost in gone.iter().filter(|lost| **lost != key) {
                            let Some((_, whose)) = held.iter().find(|(key, _)| key == lost) else { continue };
                            if !moved && !same_group(whose, &origin) && whose.peer != origin.peer {
                                let has = counted(&shares, |other| same_group(other, &origin)).1;
                                prop_assert!(charges[lost] >= has, "{} lost to \
                                    {has}", charges[lost]);
                                prop_assert!(whose.peer.is_some(), "nobody displaces this node's \
                                    own");
                            }
                        }
                        prop_assert_eq!(shares.items.contains_key(&key), !gone.contains(&key));
                    }
                }
                let (places, bytes) = counted(&shares, |_| true);
                prop_assert_eq!((places, bytes), (shares.len() as u64, shares.charged()));
                prop_assert!(bytes <= ROOM && places <= PLACES);
                for peer in &peers[1..] {
                    let (places, bytes) = counted(&shares, |origin| origin.peer == Some(*peer));
                    prop_assert!(bytes <= ROOM / OF_IDENTITY && places <= PLACES / OF_IDENTITY);
                }
                for group in 4..8 {
                    let (places, bytes) = counted(&shares, |origin| origin.prefix == prefix(group));
                    prop_assert!(bytes <= ROOM / OF_PREFIX && places <= PLACES / OF_PREFIX);
                }
                let listed: usize = shares.holders.values().map(|holder| holder.oldest_first.len()).sum();
                prop_assert_eq!(listed, shares.len());
                prop_assert_eq!(shares.numbers.len(), shares.holders.len());
                prop_assert_eq!(shares.groups.values().sum::<u64>(), shares.charged());
            }
        }
    }

    fn same_group(a: &HolderId, b: &HolderId) -> bool {
        match (a.prefix, b.prefix) {
            (None, None) => a.peer == b.peer,
            (a, b) => a == b,
        }
    }
}
