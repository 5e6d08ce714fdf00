//! The DHT records that this node holds: an index in memory that the swarm task writes behind to
//! the store.
//!
//! Kademlia calls it synchronously, so nothing here touches a disk or a clock: the task sets the
//! time and takes the changes. It accepts only verified records, and [`Shares`] chooses the ones to
//! evict when there are too many.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    time::Duration,
};

use libp2p::{
    PeerId,
    kad::{
        ProviderRecord, Record as KadRecord, RecordKey,
        store::{Error, RecordStore, Result as StoreResult},
    },
};

use crate::net::dht::claims::{ProviderRecords, first_of};
use crate::{
    domain::{
        hash::Hash,
        lookup::position,
        name::PublisherId,
        prefix::Prefix,
        record::{DhtKey, HeadMark, Record, Refusal, prefer},
        shares::{HolderId, Shares},
        time::Timestamp,
    },
    store::StoredRecord,
};

/// Most records held. [`Shares`] allows 256 put by one peer and 1,024 put from one public prefix.
pub const MAX_RECORDS: usize = 16_384;
/// Most bytes of values held. A small record is charged an even share of them.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most records of one publisher, whoever puts them.
const MAX_PER_PUBLISHER: usize = 4_096;
/// Manifests and pages have no expiry of their own and are dropped this long after the last put.
const LIFE: Duration = Duration::from_secs(48 * 3_600);
/// A holder puts a record again if nobody has for this long. Each put that it sees restarts the
/// time.
const REPUT_AFTER: Duration = Duration::from_secs(20 * 3_600);
/// Holders wait up to this much longer, each differently, so that the first one's put spares the
/// others theirs.
const REPUT_SPREAD: Duration = Duration::from_secs(4 * 3_600);

struct StoredDhtRecord {
    record: KadRecord,
    publisher: PublisherId,
    /// The order by which a newer head replaces an older one; `None` for immutable records.
    mark: Option<HeadMark>,
    expires: Timestamp,
    refreshed_at: Timestamp,
}

/// Changes since the last write to the disk.
#[derive(Debug, Default)]
pub struct Dirty {
    pub put: Vec<StoredRecord>,
    pub removed: Vec<DhtKey>,
}

/// An in-memory [`RecordStore`] of verified records.
pub struct KadStore {
    here: Hash,
    now: Timestamp,
    records: HashMap<DhtKey, StoredDhtRecord>,
    shares: Shares<DhtKey>,
    by_publisher: HashMap<PublisherId, usize>,
    changed: HashSet<DhtKey>,
    displaced: u64,
    pub providers: ProviderRecords,
}

impl KadStore {
    /// Loads the stored records, without those that no longer verify.
    pub fn new(me: PeerId, mut stored: Vec<StoredRecord>, now: Timestamp) -> Self {
        let mut store = Self {
            here: position(&me),
            now,
            records: HashMap::new(),
            shares: Shares::new(MAX_BYTES as u64, MAX_RECORDS as u64),
            by_publisher: HashMap::new(),
            changed: HashSet::new(),
            displaced: 0,
            providers: ProviderRecords::new(me),
        };
        // Oldest first, because the limits evict in the order of arrival.
        stored.sort_by_key(|row| row.refreshed_at);
        for row in stored {
            let kept = Record::verify(&row.key, &row.value)
                .and_then(|record| store.accept_at(&record, row.origin, row.refreshed_at))
                .is_ok();
            if kept {
                store.changed.remove(&row.key);
            } else {
                store.changed.insert(row.key);
            }
        }
        store
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Sets the time and drops expired records.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = now;
        let expired: Vec<DhtKey> = self
            .records
            .iter()
            .filter(|(_, held)| held.expires <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in expired {
            self.drop_record(&key);
        }
        self.providers.tick(now);
    }

    /// Returns the number of records and the bytes charged for them.
    pub fn held(&self) -> (usize, u64) {
        (self.records.len(), self.shares.charged())
    }

    /// Returns the number of records that were evicted since the last call.
    pub fn take_displaced(&mut self) -> u64 {
        std::mem::take(&mut self.displaced)
    }

    /// Accepts a verified record that `origin` put, if the rules of selection and the limits allow
    /// it.
    pub fn accept(&mut self, record: &Record, origin: HolderId) -> Result<(), Refusal> {
        self.accept_at(record, origin, self.now)
    }

    fn accept_at(
        &mut self,
        record: &Record,
        origin: HolderId,
        refreshed_at: Timestamp,
    ) -> Result<(), Refusal> {
        let (mark, expires) = match record {
            Record::Head(head) => (Some(HeadMark::of(head)), head.expires),
            Record::Page(_) | Record::Manifest(_) => (None, refreshed_at.after(LIFE)),
        };
        if expires <= self.now {
            return Err(Refusal::Expired);
        }
        let key = record.key();
        if let Some(held) = self.records.get_mut(&key) {
            if let (Some(old), Some(new)) = (&held.mark, &mark)
                && old.hash != new.hash
                && prefer(new, old, self.now).is_lt()
            {
                return Err(Refusal::Superseded);
            }
            if held.mark == mark {
                held.refreshed_at = refreshed_at;
                held.expires = expires;
                self.changed.insert(key);
                // The peer that put it first stays charged: otherwise a flooding peer could take
                // the record over and then evict it.
                self.shares.touch(&key);
                return Ok(());
            }
        }
        let publisher = record.owner();
        let is_new = !self.records.contains_key(&key);
        if is_new
            && self
                .by_publisher
                .get(&publisher)
                .is_some_and(|count| *count >= MAX_PER_PUBLISHER)
        {
            return Err(Refusal::OverQuota);
        }
        self.drop_record(&key);
        let distance = first_of(&DhtKey(self.here.0).distance(&DhtKey(Hash::of(&key.0).0)));
        let gone = self
            .shares
            .put(key, origin, record.envelope().len(), distance);
        let taken = !gone.contains(&key);
        for gone in gone.iter().filter(|gone| **gone != key) {
            self.displaced += 1;
            self.drop_record(gone);
        }
        if !taken {
            return Err(Refusal::OverQuota);
        }
        *self.by_publisher.entry(publisher).or_default() += 1;
        let record = KadRecord::new(RecordKey::new(&key.0), record.envelope().to_vec());
        self.records.insert(
            key,
            StoredDhtRecord {
                record,
                publisher,
                mark,
                expires,
                refreshed_at,
            },
        );
        self.changed.insert(key);
        Ok(())
    }

    fn drop_record(&mut self, key: &DhtKey) {
        let Some(held) = self.records.remove(key) else {
            return;
        };
        self.shares.remove(key);
        if let Some(count) = self.by_publisher.get_mut(&held.publisher) {
            *count -= 1;
            if *count == 0 {
                self.by_publisher.remove(&held.publisher);
            }
        }
        self.changed.insert(*key);
    }

    /// Accepts the provider record of a peer that connects from `prefix`. Kademlia has checked that
    /// the peer names itself as the provider.
    pub fn claim(&mut self, record: ProviderRecord, prefix: Option<Prefix>) -> Result<(), Refusal> {
        let key = dht_key(&record.key).ok_or(Refusal::WrongKey)?;
        let taken = self
            .providers
            .add(key, record.provider, prefix, record.addresses, self.now);
        if taken {
            Ok(())
        } else {
            Err(Refusal::OverQuota)
        }
    }

    /// Returns a record that nobody has put for [`REPUT_AFTER`], to be put again unchanged.
    pub fn due_for_reput(&self) -> Option<KadRecord> {
        let due = |(key, held): &(&DhtKey, &StoredDhtRecord)| {
            held.refreshed_at
                .after(REPUT_AFTER + spread(&self.here, key))
                <= self.now
        };
        let oldest = self
            .records
            .iter()
            .filter(due)
            .min_by_key(|(_, held)| held.refreshed_at);
        oldest.map(|(_, held)| held.record.clone())
    }

    /// Returns the value of an unexpired record.
    pub fn value(&self, key: &DhtKey) -> Option<&[u8]> {
        let held = self.records.get(key)?;
        (held.expires > self.now).then_some(&held.record.value)
    }

    /// Returns the changes since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        let mut dirty = Dirty::default();
        for key in std::mem::take(&mut self.changed) {
            match self.records.get(&key) {
                Some(held) => dirty.put.push(StoredRecord {
                    key,
                    value: held.record.value.clone(),
                    expires: held.expires,
                    refreshed_at: held.refreshed_at,
                    origin: self.shares.origin(&key).unwrap_or(HolderId::OURSELVES),
                }),
                None => dirty.removed.push(key),
            }
        }
        dirty
    }
}

/// Returns a part of [`REPUT_SPREAD`] that depends on the node and the record.
fn spread(here: &Hash, key: &DhtKey) -> Duration {
    let distance = DhtKey(here.0).distance(&DhtKey(Hash::of(&key.0).0));
    let share = distance
        .last_chunk()
        .map_or(0, |last| u64::from_be_bytes(*last));
    REPUT_SPREAD.mul_f64((share % 1_000) as f64 / 1_000.0)
}

fn dht_key(key: &RecordKey) -> Option<DhtKey> {
    DhtKey::from_bytes(key.as_ref())
}

impl RecordStore for KadStore {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, KadRecord>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, KadRecord>> {
        let held = self.records.get(&dht_key(key)?)?;
        (held.expires > self.now).then_some(Cow::Borrowed(&held.record))
    }

    /// Called only for this node's own puts: those of others pass the filter first. A record that
    /// does not fit here is still put at other peers.
    fn put(&mut self, record: KadRecord) -> StoreResult<()> {
        let key = dht_key(&record.key).ok_or(Error::ValueTooLarge)?;
        let record = Record::verify(&key, &record.value).map_err(|_| Error::ValueTooLarge)?;
        match self.accept(&record, HolderId::OURSELVES) {
            Ok(()) | Err(Refusal::OverQuota) => Ok(()),
            Err(_) => Err(Error::MaxRecords),
        }
    }

    fn remove(&mut self, key: &RecordKey) {
        if let Some(key) = dht_key(key) {
            self.drop_record(&key);
        }
    }

    /// Only Kademlia's own replication calls this, and it is off.
    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    /// Called for this node's own contents; provider records of others come by [`Self::claim`]. A
    /// content is still announced to others if it does not fit here.
    fn add_provider(&mut self, record: ProviderRecord) -> StoreResult<()> {
        let key = dht_key(&record.key).ok_or(Error::ValueTooLarge)?;
        self.providers
            .add(key, record.provider, None, record.addresses, self.now);
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        dht_key(key).map_or_else(Vec::new, |key| self.providers.of(&key, self.now))
    }

    /// Only Kademlia's own republication calls this, and it is off.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, peer: &PeerId) {
        if let Some(key) = dht_key(key) {
            self.providers.remove(&key, peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        manifest::{Draft, File, Manifest},
        record::{Authorised, HeadState},
        release::ReleaseEntry,
    };
    use crate::ecosystem::Ecosystem;
    use libp2p::identity::Keypair;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn manifest(key: &Keypair, name: &str) -> Record {
        let draft: Draft =
            toml::from_str(&format!("name = \"{name}\"\nversion = \"1.0.0\"")).unwrap();
        let manifest: Manifest = draft
            .into_manifest(
                PublisherId::of(&key.public()),
                File::of(&Ecosystem::Generic, "x", b"x"),
                NOW,
            )
            .unwrap();
        Record::Manifest(Authorised::sign(key, manifest).unwrap())
    }

    fn head(key: &Keypair, seq: u64, life: Duration) -> Record {
        let manifest = crate::domain::hash::Hash::of(&seq.to_be_bytes());
        let releases = vec![ReleaseEntry::new("1.0.0".parse().unwrap(), manifest)];
        let prev = if seq > 1 { vec![manifest] } else { vec![] };
        let state = HeadState {
            seq,
            prev,
            ..HeadState::first(Ecosystem::Generic, "web".parse().unwrap(), releases)
        };
        Record::Head(state.sign(key, NOW, life).unwrap().0)
    }

    fn store() -> KadStore {
        KadStore::new(PeerId::random(), Vec::new(), NOW)
    }

    fn anybody() -> HolderId {
        HolderId::of(PeerId::random(), None)
    }

    fn kad_key(record: &Record) -> RecordKey {
        RecordKey::new(&record.key().0)
    }

    #[test]
    fn a_head_gives_way_to_a_preferred_one_only() {
        let key = Keypair::generate_ed25519();
        let mut store = store();
        let (old, new) = (head(&key, 1, 24 * HOUR), head(&key, 2, 24 * HOUR));
        store.accept(&new, anybody()).unwrap();
        assert_eq!(store.accept(&old, anybody()), Err(Refusal::Superseded));
        assert_eq!(
            store.get(&kad_key(&new)).unwrap().value,
            new.envelope().to_vec()
        );
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn expired_heads_are_not_taken_and_not_kept() {
        let key = Keypair::generate_ed25519();
        let mut store = store();
        let short = head(&key, 1, HOUR);
        store.accept(&short, anybody()).unwrap();
        store.tick(NOW.after(2 * HOUR));
        assert!(store.get(&kad_key(&short)).is_none());
        assert_eq!(store.accept(&short, anybody()), Err(Refusal::Expired));
        let dirty = store.take_dirty();
        assert_eq!((dirty.put.len(), dirty.removed), (0, vec![short.key()]));
    }

    #[test]
    fn what_nobody_puts_again_is_put_again_and_in_the_end_dropped() {
        let mut store = store();
        let record = manifest(&Keypair::generate_ed25519(), "web");
        store.accept(&record, anybody()).unwrap();
        assert!(store.due_for_reput().is_none());
        store.tick(NOW.after(25 * HOUR));
        let due = store.due_for_reput().expect("nobody has put it for a day");
        store.put(due).unwrap();
        assert!(store.due_for_reput().is_none(), "a put starts it anew");
        store.tick(NOW.after(25 * HOUR + LIFE));
        assert_eq!(store.len(), 0);
    }

    /// Returns a record of more than 9 KiB.
    fn large(key: &Keypair, n: usize) -> Record {
        large_head(key, &format!("large-{n}"), 1, n)
    }

    fn large_head(key: &Keypair, name: &str, seq: u64, n: usize) -> Record {
        let entry = |at: usize| {
            ReleaseEntry::new(
                format!("1.{n}.{at}-{}", "a".repeat(50)).parse().unwrap(),
                Hash::of(&at.to_be_bytes()),
            )
        };
        let releases = (0..95).map(entry).collect();
        let prev = if seq > 1 {
            vec![Hash::of(b"before")]
        } else {
            vec![]
        };
        let state = HeadState {
            seq,
            prev,
            ..HeadState::first(Ecosystem::Generic, name.parse().unwrap(), releases)
        };
        Record::Head(state.sign(key, NOW, 24 * HOUR).unwrap().0)
    }

    #[test]
    fn whoever_puts_much_displaces_its_own_and_the_last_one_put_is_held() {
        let mut store = store();
        let (key, honest, greedy) = (Keypair::generate_ed25519(), anybody(), anybody());
        let kept = manifest(&key, "kept");
        store.accept(&kept, honest).unwrap();
        for n in 0..1_000 {
            let record = manifest(&key, &format!("p{n}"));
            store.accept(&record, greedy).unwrap();
            assert!(store.get(&kad_key(&record)).is_some());
        }
        assert_eq!(store.len(), MAX_RECORDS / 64 + 1);
        assert_eq!(store.take_displaced(), 1_000 - MAX_RECORDS as u64 / 64);
        // The greedy peer puts it again, but it stays charged to the honest one.
        store.accept(&kept, greedy).unwrap();
        for n in 0..1_000 {
            store
                .accept(&manifest(&key, &format!("q{n}")), greedy)
                .unwrap();
        }
        assert!(store.get(&kad_key(&kept)).is_some());
    }

    #[test]
    fn the_bytes_hold_whatever_the_sizes_and_whoever_has_most_yields() {
        const ROOM: usize = 64 * 40 * 1_024;
        // A smaller limit, because two thousand signatures over 10 KiB take long.
        let mut store = KadStore {
            shares: Shares::new(ROOM as u64, 64 * 20),
            ..store()
        };
        let publisher = Keypair::generate_ed25519();
        let bytes = |store: &KadStore| {
            store
                .records
                .values()
                .map(|held| held.record.value.len())
                .sum::<usize>()
        };
        for n in 0..70 {
            let origin = anybody();
            for at in 0..5 {
                let _ = store.accept(&large(&publisher, n * 5 + at), origin);
                assert!(bytes(&store) <= ROOM);
            }
        }
        assert!(bytes(&store) > ROOM * 9 / 10, "it is full");
        // A large record of the same key replaces a small one.
        let late = anybody();
        store.accept(&head(&publisher, 1, 24 * HOUR), late).unwrap();
        store
            .accept(&large_head(&publisher, "web", 2, 1), late)
            .unwrap();
        assert!(bytes(&store) <= ROOM);
        let kept = (1_000..1_003)
            .filter(|n| store.accept(&large(&publisher, *n), late).is_ok())
            .count();
        assert!(
            kept >= 2 && bytes(&store) <= ROOM,
            "{kept} of 3 are held for one that came late"
        );
    }

    #[test]
    fn one_publisher_cannot_fill_it_through_whomever() {
        let mut store = store();
        let key = Keypair::generate_ed25519();
        let mut origin = anybody();
        let mut refused = 0;
        for n in 0..MAX_PER_PUBLISHER + 10 {
            if n % 200 == 0 {
                origin = anybody();
            }
            refused += usize::from(
                store
                    .accept(&manifest(&key, &format!("p{n}")), origin)
                    .is_err(),
            );
        }
        assert_eq!((refused, store.len()), (10, MAX_PER_PUBLISHER));
        // A record that does not fit here is still put at other peers.
        let own = manifest(&key, "own");
        store
            .put(KadRecord::new(kad_key(&own), own.envelope().to_vec()))
            .unwrap();
        assert!(store.get(&kad_key(&own)).is_none());
    }

    #[test]
    fn what_was_held_comes_back_and_damage_does_not() {
        let key = Keypair::generate_ed25519();
        let (mut before, me) = (store(), PeerId::random());
        let origin = HolderId::of(
            PeerId::random(),
            Prefix::of(std::net::Ipv4Addr::new(81, 2, 3, 4).into()),
        );
        before.accept(&head(&key, 3, 24 * HOUR), origin).unwrap();
        before.accept(&manifest(&key, "web"), origin).unwrap();
        let mut rows = before.take_dirty().put;
        assert_eq!(rows.len(), 2);
        rows[0].value.push(0);
        let mut after = KadStore::new(me, rows, NOW);
        assert_eq!(after.len(), 1);
        let key = *after.records.keys().next().unwrap();
        assert_eq!(
            after.shares.origin(&key),
            Some(origin),
            "whoever put it is charged for it after a restart too"
        );
        assert_eq!(
            after.take_dirty().removed.len(),
            1,
            "the damaged row goes from the disk too"
        );
    }
}
