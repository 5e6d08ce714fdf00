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

    fn add_provider(&mut self, _: ProviderRecord) -> StoreResult<()> {
        Err(Error::MaxProvidedKeys)
    }

    fn providers(&self, _: &RecordKey) -> Vec<ProviderRecord> {
        Vec::new()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, _: &RecordKey, _: &PeerId) {}
}
