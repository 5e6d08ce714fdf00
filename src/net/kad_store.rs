//! The DHT records this node holds: an index in memory, written behind to the store by the swarm task.
//!
//! Kademlia asks it synchronously, so nothing here touches a disk or a clock: the task sets the time and takes what
//! changed. Only verified records get in; the quota is kept by dropping what is farthest from this node's own key.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use libp2p::{
    PeerId,
    kad::{
        KBucketDistance, KBucketKey, ProviderRecord, Record as KadRecord, RecordKey,
        store::{Error, RecordStore, Result as StoreResult},
    },
};

use super::providers::ProviderRecords;
use crate::{
    domain::{
        name::PublisherId,
        record::{DhtKey, HeadMark, Record, Refusal, prefer},
        time::Timestamp,
    },
    store::StoredRecord,
};

/// Most records held.
pub(super) const MAX_RECORDS: usize = 16_384;
/// Most bytes of values held.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most records of one publisher.
const MAX_PER_PUBLISHER: usize = 4_096;
/// Manifests and pages, which never expire themselves, are dropped this long after anybody last put them.
const LIFE: Duration = Duration::from_secs(48 * 3_600);
/// A record nobody has put for this long is put again by whoever holds it; a put that is seen starts it anew.
const REPUT_AFTER: Duration = Duration::from_secs(20 * 3_600);
/// Holders wait up to this much longer, each differently, so that the first one's put spares the others theirs.
const REPUT_SPREAD: Duration = Duration::from_secs(4 * 3_600);

struct Held {
    record: KadRecord,
    publisher: PublisherId,
    /// What a head is selected by; `None` for what never changes.
    mark: Option<HeadMark>,
    expires: Timestamp,
    refreshed_at: Timestamp,
    distance: KBucketDistance,
}

/// What happened since the last time: for the disk.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub put: Vec<StoredRecord>,
    pub removed: Vec<DhtKey>,
}

/// An in-memory [`RecordStore`] of verified records.
pub(super) struct KadStore {
    me: PeerId,
    now: Timestamp,
    records: HashMap<DhtKey, Held>,
    /// Farthest last.
    by_distance: BTreeSet<(KBucketDistance, DhtKey)>,
    by_publisher: HashMap<PublisherId, usize>,
    bytes: usize,
    changed: HashSet<DhtKey>,
    pub providers: ProviderRecords,
}

impl KadStore {
    /// Starts from what was held before; whatever does not verify any more is left out.
    pub fn new(me: PeerId, stored: Vec<StoredRecord>, now: Timestamp) -> Self {
        let mut store = Self {
            me,
            now,
            records: HashMap::new(),
            by_distance: BTreeSet::new(),
            by_publisher: HashMap::new(),
            bytes: 0,
            changed: HashSet::new(),
            providers: ProviderRecords::default(),
        };
        for row in stored {
            let kept = Record::verify(&row.key, &row.value)
                .and_then(|record| store.accept_at(&record, row.refreshed_at))
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

    /// Moves the time on and drops what has expired.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = now;
        let expired: Vec<DhtKey> =
            self.records.iter().filter(|(_, held)| held.expires <= now).map(|(key, _)| *key).collect();
        for key in expired {
            self.drop_record(&key);
        }
        self.providers.tick(now);
    }

    /// Takes a verified record by the rules of selection and the quotas.
    pub fn accept(&mut self, record: &Record) -> Result<(), Refusal> {
        self.accept_at(record, self.now)
    }

    fn accept_at(&mut self, record: &Record, refreshed_at: Timestamp) -> Result<(), Refusal> {
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
                return Ok(());
            }
        }
        let publisher = record.publisher();
        let is_new = !self.records.contains_key(&key);
        if is_new && self.by_publisher.get(&publisher).is_some_and(|count| *count >= MAX_PER_PUBLISHER) {
            return Err(Refusal::OverQuota);
        }
        let kad_key = RecordKey::new(&key.0);
        let distance = KBucketKey::from(self.me).distance(&KBucketKey::new(kad_key.clone()));
        let size = record.envelope().len();
        if is_new && (self.records.len() >= MAX_RECORDS || self.bytes + size > MAX_BYTES) {
            match self.by_distance.last().copied() {
                Some((farthest, victim)) if farthest > distance => self.drop_record(&victim),
                _ => return Err(Refusal::OverQuota),
            }
        }
        self.drop_record(&key);
        self.bytes += size;
        *self.by_publisher.entry(publisher).or_default() += 1;
        self.by_distance.insert((distance, key));
        let record = KadRecord::new(kad_key, record.envelope().to_vec());
        self.records.insert(key, Held { record, publisher, mark, expires, refreshed_at, distance });
        self.changed.insert(key);
        Ok(())
    }

    fn drop_record(&mut self, key: &DhtKey) {
        let Some(held) = self.records.remove(key) else { return };
        self.bytes -= held.record.value.len();
        self.by_distance.remove(&(held.distance, *key));
        if let Some(count) = self.by_publisher.get_mut(&held.publisher) {
            *count -= 1;
            if *count == 0 {
                self.by_publisher.remove(&held.publisher);
            }
        }
        self.changed.insert(*key);
    }

    /// A record that nobody has put for long, if there is one: to be put again as it is.
    pub fn due_for_reput(&self) -> Option<KadRecord> {
        let due = |held: &&Held| held.refreshed_at.after(REPUT_AFTER + spread(&held.distance)) <= self.now;
        self.records.values().filter(due).min_by_key(|held| held.refreshed_at).map(|held| held.record.clone())
    }

    /// What changed since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        let mut dirty = Dirty::default();
        for key in std::mem::take(&mut self.changed) {
            match self.records.get(&key) {
                Some(held) => dirty.put.push(StoredRecord {
                    key,
                    value: held.record.value.clone(),
                    expires: held.expires,
                    refreshed_at: held.refreshed_at,
                }),
                None => dirty.removed.push(key),
            }
        }
        dirty
    }
}

/// A share of [`REPUT_SPREAD`] that depends on the node and the record.
fn spread(distance: &KBucketDistance) -> Duration {
    let share = distance.0.low_u64();
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

    /// Reached for this node's own puts only: those of others go through the filter.
    fn put(&mut self, record: KadRecord) -> StoreResult<()> {
        let key = dht_key(&record.key).ok_or(Error::ValueTooLarge)?;
        let record = Record::verify(&key, &record.value).map_err(|_| Error::ValueTooLarge)?;
        self.accept(&record).map_err(|_| Error::MaxRecords)
    }

    fn remove(&mut self, key: &RecordKey) {
        if let Some(key) = dht_key(key) {
            self.drop_record(&key);
        }
    }

    /// Only Kademlia's own replication asks, which is off.
    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    /// Kademlia checks that others are the provider they name.
    fn add_provider(&mut self, record: ProviderRecord) -> StoreResult<()> {
        let key = dht_key(&record.key).ok_or(Error::ValueTooLarge)?;
        let taken = self.providers.add(key, record.provider, record.addresses, self.now);
        if taken { Ok(()) } else { Err(Error::MaxProvidedKeys) }
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        dht_key(key).map_or_else(Vec::new, |key| self.providers.of(&key, self.now))
    }

    /// Only Kademlia's own publication asks, which is off.
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
        hash::ContentRoot,
        manifest::{Content, Draft, Manifest},
        record::{HeadState, Signed},
        release::ReleaseEntry,
    };
    use libp2p::identity::Keypair;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn manifest(key: &Keypair, name: &str) -> Record {
        let draft: Draft = toml::from_str(&format!("name = \"{name}\"\nversion = \"1.0.0\"")).unwrap();
        let manifest: Manifest = draft.into_manifest(Content { root: ContentRoot::of(b"x"), size: 1 }, NOW).unwrap();
        Record::Manifest(Signed::sign(key, manifest).unwrap())
    }

    fn head(key: &Keypair, seq: u64, life: Duration) -> Record {
        let manifest = crate::domain::hash::Hash::of(&seq.to_be_bytes());
        let releases = vec![ReleaseEntry { version: "1.0.0".parse().unwrap(), manifest, yanked: false }];
        let prev = if seq > 1 { vec![manifest] } else { vec![] };
        let state = HeadState { name: "web".parse().unwrap(), handle: None, seq, prev, releases };
        Record::Head(state.sign(key, NOW, life).unwrap().0)
    }

    fn store() -> KadStore {
        KadStore::new(PeerId::random(), Vec::new(), NOW)
    }

    fn kad_key(record: &Record) -> RecordKey {
        RecordKey::new(&record.key().0)
    }

    #[test]
    fn a_head_gives_way_to_a_preferred_one_only() {
        let key = Keypair::generate_ed25519();
        let mut store = store();
        let (old, new) = (head(&key, 1, 24 * HOUR), head(&key, 2, 24 * HOUR));
        store.accept(&new).unwrap();
        assert_eq!(store.accept(&old), Err(Refusal::Superseded));
        assert_eq!(store.get(&kad_key(&new)).unwrap().value, new.envelope().to_vec());
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn expired_heads_are_not_taken_and_not_kept() {
        let key = Keypair::generate_ed25519();
        let mut store = store();
        let short = head(&key, 1, HOUR);
        store.accept(&short).unwrap();
        store.tick(NOW.after(2 * HOUR));
        assert!(store.get(&kad_key(&short)).is_none());
        assert_eq!(store.accept(&short), Err(Refusal::Expired));
        let dirty = store.take_dirty();
        assert_eq!((dirty.put.len(), dirty.removed), (0, vec![short.key()]));
    }

    #[test]
    fn what_nobody_puts_again_is_put_again_and_in_the_end_dropped() {
        let mut store = store();
        let record = manifest(&Keypair::generate_ed25519(), "web");
        store.accept(&record).unwrap();
        assert!(store.due_for_reput().is_none());
        store.tick(NOW.after(25 * HOUR));
        let due = store.due_for_reput().expect("nobody has put it for a day");
        store.put(due).unwrap();
        assert!(store.due_for_reput().is_none(), "a put starts it anew");
        store.tick(NOW.after(25 * HOUR + LIFE));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn the_farthest_makes_room_and_one_publisher_cannot_fill_it() {
        let mut store = store();
        let keys: Vec<Keypair> = (0..5).map(|_| Keypair::generate_ed25519()).collect();
        for n in 0..MAX_PER_PUBLISHER {
            store.accept(&manifest(&keys[0], &format!("p{n}"))).unwrap();
        }
        assert_eq!(store.accept(&manifest(&keys[0], "one-more")), Err(Refusal::OverQuota));
        let mut refused = 0;
        for n in 0..MAX_RECORDS {
            let record = manifest(&keys[1 + n % 4], &format!("p{n}"));
            refused += usize::from(store.accept(&record).is_err());
        }
        assert_eq!(store.len(), MAX_RECORDS);
        assert!(refused > 0, "the farthest of all are not taken");
        let farthest = store.by_distance.last().unwrap().0;
        let held = store.records.values().map(|held| held.distance).max().unwrap();
        assert_eq!(farthest, held);
    }

    #[test]
    fn what_was_held_comes_back_and_damage_does_not() {
        let key = Keypair::generate_ed25519();
        let mut before = store();
        before.accept(&head(&key, 3, 24 * HOUR)).unwrap();
        before.accept(&manifest(&key, "web")).unwrap();
        let mut rows = before.take_dirty().put;
        assert_eq!(rows.len(), 2);
        rows[0].value.push(0);
        let mut after = KadStore::new(before.me, rows, NOW);
        assert_eq!(after.len(), 1);
        assert_eq!(after.take_dirty().removed.len(), 1, "the damaged row goes from the disk too");
    }
}
