//! The limits of the catalogue in bytes and packages, and eviction when it is full.

use std::{
    collections::{HashSet, VecDeque},
    sync::atomic::Ordering,
};

use rusqlite::{Connection, params};

use super::{
    Store, catalogue, conflicts, folds, listing,
    usage::{Usage, usage},
};
use crate::{
    Result,
    domain::{
        hash::Hash,
        name::{PackageId, PublisherId},
        room::{EVEN, EvictionNeed, KNOWN_AFTER, PublisherStanding, Tenant, owed, to_free},
        time::Timestamp,
    },
    metrics::Displaced,
};

/// Packages evicted in one transaction, so that other writers do not wait long.
const AT_ONCE: usize = 500;
/// Most hashes of unwanted heads remembered; the oldest are forgotten first.
const MAX_REFUSED: i64 = 100_000;
/// Folds of evicted packages may take one part in this many of the limit, and so may conflicts.
const OF_FOLDS: u64 = 16;
/// The same limit where the bytes must fit within the writing transaction: the packages of two
/// megabytes and more.
const AT_MOST: usize = 4_000;
/// A full catalogue is shrunk by one more part in this many, so that not each record causes an
/// eviction.
const SLACK: u64 = 256;
/// Most bytes that come with one head: the head, a manifest, a page or two, and a row for each
/// version.
pub(super) const ONE: u64 = 64 * 1024;

/// The limits of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of records: heads, manifests, pages, forks, conflicts, and folds.
    pub bytes: u64,
    /// Number of heads.
    pub packages: u64,
}

impl Default for Room {
    /// 1 GiB of records, or half a million packages.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            packages: 500_000,
        }
    }
}

impl Store {
    /// Returns true if any package of the publisher has ever been seen.
    pub fn knows(&self, publisher: &PublisherId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM marks WHERE publisher = ? LIMIT 1")?
                .exists([publisher.to_bytes()])
        })
    }

    /// Returns up to `most` known publishers: this node's own, those that a person pinned, and
    /// those first seen before `before`, without distrusted ones.
    pub fn known_publishers(&self, before: Timestamp, most: usize) -> Result<HashSet<PublisherId>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT publisher FROM (
                     SELECT publisher, 0 AS since FROM pins
                     UNION ALL SELECT publisher, 0 FROM publishers WHERE own = 1
                     UNION ALL SELECT publisher, first_seen FROM publishers WHERE first_seen < ?1 AND packages > 0
                 ) WHERE publisher NOT IN (SELECT publisher FROM distrusted) ORDER BY since LIMIT ?2",
            )?
            .query_map(params![before.0, most as i64], |row| catalogue::publisher(row, 0))?
            .collect()
        })
    }

    /// Returns the bytes of the catalogue's records.
    pub fn catalogue_bytes(&self) -> Result<u64> {
        self.read(|db| Ok(usage(db)?.bytes))
    }

    /// Sets the limits of the catalogue.
    pub fn set_room(&self, room: Room) {
        *self.inner.room.lock() = room;
    }

    pub(super) fn room(&self) -> Room {
        *self.inner.room.lock()
    }

    /// Remembers heads as unwanted, so that they are not requested again.
    pub async fn refuse(&self, hashes: Vec<Hash>, now: Timestamp) -> Result<()> {
        self.write(move |db| refuse(db, &hashes, now)).await
    }

    /// Returns those of `hashes` that are not remembered as unwanted.
    pub fn unrefused(&self, hashes: Vec<Hash>) -> Result<Vec<Hash>> {
        self.read(|db| {
            let mut refused = db.prepare_cached("SELECT 1 FROM refused WHERE hash = ?")?;
            let mut left = Vec::new();
            for hash in hashes {
                if !refused.exists([hash.0])? {
                    left.push(hash);
                }
            }
            Ok(left)
        })
    }

    /// Counts what a write evicted.
    pub(super) fn made_room(&self, gone: Gone) {
        self.inner
            .metrics
            .displaced(Displaced::Package, gone.packages);
        self.inner.metrics.displaced(Displaced::Fold, gone.folds);
        if gone.packages > 0 {
            self.inner.full.store(true, Ordering::Release);
        }
    }

    /// Evicts packages if the catalogue is, or was lately, full: in small steps, so that other
    /// writers do not wait. Folds of their versions are kept. Returns the number of packages
    /// evicted.
    pub async fn make_room(&self, now: Timestamp) -> Result<u64> {
        let room = self.room();
        let mut full = self.inner.full.swap(false, Ordering::AcqRel);
        let mut gone = 0;
        loop {
            let (usage, plan) = self.read(|db| {
                let usage = usage(db)?;
                full |= usage.bytes > room.bytes;
                Ok((usage, plan(db, &usage, room, full, now)?))
            })?;
            let mut plan: VecDeque<Free> = plan.into();
            let before = gone;
            while !plan.is_empty() {
                let (put_out, left) = self
                    .write(move |db| {
                        let put_out = free(db, &mut plan, AT_ONCE, now)?;
                        Ok((put_out, plan))
                    })
                    .await?;
                plan = left;
                gone += put_out;
                self.inner.metrics.displaced(Displaced::Package, put_out);
                self.heads_changed();
            }
            if gone == before {
                if gone > 0 {
                    tracing::info!(
                        gone,
                        bytes = usage.bytes,
                        packages = usage.packages,
                        "packages made room"
                    );
                }
                return Ok(gone);
            }
        }
    }
}

fn refuse(db: &Connection, hashes: &[Hash], now: Timestamp) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare_cached("INSERT OR REPLACE INTO refused (hash, since) VALUES (?, ?)")?;
    for hash in hashes {
        insert.execute(params![hash.0, now.0])?;
    }
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM refused")?
        .query_row([], |row| row.get(0))?;
    if count > MAX_REFUSED {
        db.prepare_cached(
            "DELETE FROM refused WHERE hash IN (SELECT hash FROM refused ORDER BY since LIMIT ?)",
        )?
        .execute([count - MAX_REFUSED])?;
    }
    Ok(())
}

/// The number of records evicted in a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub packages: u64,
    pub folds: u64,
}

/// Evicts until the catalogue has space for `headroom` more bytes. It runs in the writing
/// transaction, so the limit is never exceeded. Evicts nothing if there is space.
pub(super) fn fit(
    db: &Connection,
    room: Room,
    headroom: u64,
    now: Timestamp,
) -> rusqlite::Result<Gone> {
    let mut gone = Gone::default();
    let mut used = usage(db)?;
    if used.folds > room.bytes / OF_FOLDS {
        // Shrink them a little further, so that this is not needed for each evicted package.
        gone.folds = folds::forget(db, room.bytes / OF_FOLDS - room.bytes / OF_FOLDS / OF_FOLDS)?;
        used = usage(db)?;
    }
    if used.conflicts > room.bytes / OF_FOLDS {
        conflicts::shrink(db, room.bytes / OF_FOLDS)?;
        used = usage(db)?;
    }
    while used.bytes.saturating_add(headroom) > room.bytes {
        let target = room
            .bytes
            .saturating_sub(headroom)
            .saturating_sub(room.bytes / SLACK);
        let tenants = tenants(db, now)?;
        let owed = owed(
            &amounts(&tenants, |one| one.bytes),
            used.bytes,
            target,
            room.bytes,
            false,
        );
        let mut plan = plan_of(&tenants, owed, |one| one.bytes, EVEN, Amount::Bytes).into();
        let packages = free(db, &mut plan, AT_MOST, now)?;
        gone.packages += packages;
        if packages == 0 {
            // Nothing is left that may be evicted.
            break;
        }
        used = usage(db)?;
    }
    Ok(gone)
}

#[derive(Clone, Copy, Debug)]
enum Amount {
    Bytes(u64),
    Packages(u64),
}

/// The amount that a publisher must free.
struct Free {
    publisher: PublisherId,
    amount: Amount,
}

/// A publisher with stored packages.
struct StoredPublisher {
    id: PublisherId,
    bytes: u64,
    packages: u64,
    last_seen: Timestamp,
    standing: PublisherStanding,
}

/// Publishers whose packages are never evicted: those whose key this node has, and those that a
/// person pinned.
const KEPT: &str =
    "SELECT publisher FROM pins UNION ALL SELECT publisher FROM publishers WHERE own = 1";

fn tenants(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<StoredPublisher>> {
    let known = now.before(KNOWN_AFTER);
    db.prepare_cached(&format!(
        "SELECT publisher, bytes, packages, last_seen, first_seen, publisher IN ({KEPT}),
             publisher IN (SELECT publisher FROM distrusted)
         FROM publishers WHERE packages > 0"
    ))?
    .query_map([], |row| {
        let (kept, distrusted): (bool, bool) = (row.get(5)?, row.get(6)?);
        let first_seen = Timestamp(row.get(4)?);
        let standing = match () {
            () if kept => PublisherStanding::Kept,
            () if first_seen <= known && !distrusted => PublisherStanding::Known,
            () => PublisherStanding::Unknown,
        };
        Ok(StoredPublisher {
            id: catalogue::publisher(row, 0)?,
            bytes: row.get(1)?,
            packages: row.get(2)?,
            last_seen: Timestamp(row.get(3)?),
            standing,
        })
    })?
    .collect()
}

fn amounts(publishers: &[StoredPublisher], of: impl Fn(&StoredPublisher) -> u64) -> Vec<Tenant> {
    let one = |publisher: &StoredPublisher| Tenant {
        standing: publisher.standing,
        amount: of(publisher),
        last_seen: publisher.last_seen,
    };
    publishers.iter().map(one).collect()
}

fn plan_of(
    publishers: &[StoredPublisher],
    owed: EvictionNeed,
    of: impl Fn(&StoredPublisher) -> u64,
    even: u64,
    amount: impl Fn(u64) -> Amount,
) -> Vec<Free> {
    let free = to_free(&amounts(publishers, of), owed, even);
    let whose = |(at, free): (usize, u64)| {
        Some(Free {
            publisher: publishers.get(at)?.id,
            amount: amount(free),
        })
    };
    free.into_iter().filter_map(whose).collect()
}

/// Plans the eviction for a catalogue with too many bytes or packages. If it was full, unknown
/// publishers keep a quarter of it.
fn plan(
    db: &Connection,
    used: &Usage,
    room: Room,
    full: bool,
    now: Timestamp,
) -> rusqlite::Result<Vec<Free>> {
    if used.bytes <= room.bytes && used.packages <= room.packages && !full {
        return Ok(Vec::new());
    }
    let tenants = tenants(db, now)?;
    let of_bytes = owed(
        &amounts(&tenants, |one| one.bytes),
        used.bytes,
        room.bytes,
        room.bytes,
        full,
    );
    if of_bytes != EvictionNeed::default() {
        return Ok(plan_of(
            &tenants,
            of_bytes,
            |one| one.bytes,
            EVEN,
            Amount::Bytes,
        ));
    }
    let of = |one: &StoredPublisher| one.packages;
    let of_packages = owed(
        &amounts(&tenants, of),
        used.packages,
        room.packages,
        room.packages,
        false,
    );
    Ok(plan_of(&tenants, of_packages, of, 1, Amount::Packages))
}

/// Evicts up to `most` packages of a plan, and leaves the rest in it. Each publisher's oldest
/// packages go first, but none that kept packages depend on. Returns the number evicted.
fn free(
    db: &Connection,
    plan: &mut VecDeque<Free>,
    most: usize,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let needed = needed(db)?;
    let (mut gone, mut refused) = (0u64, Vec::new());
    while let Some(Free { publisher, amount }) = plan.pop_front() {
        let has = held_of(db, &publisher)?;
        let target = |has: (u64, u64)| match amount {
            Amount::Bytes(free) => (has.0.saturating_sub(free), 0),
            Amount::Packages(free) => (0, has.1.saturating_sub(free)),
        };
        let (bytes, packages) = target(has);
        let mut oldest = db.prepare_cached(
            "SELECT id, name, hash FROM heads WHERE publisher = ? ORDER BY signed_at, name",
        )?;
        let mut rows = oldest.query([publisher.to_bytes()])?;
        let mut left = has;
        let mut going = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            let Ok(name) = name.parse() else { continue };
            let id = PackageId {
                owner: publisher,
                name,
            };
            if !needed.contains(&listing::need_of(&id)) {
                going.push((row.get::<_, i64>(0)?, id, Hash(row.get(2)?)));
            }
            // Of a publisher with very many packages, only this many are read.
            if going.len() + refused.len() >= most {
                break;
            }
        }
        drop(rows);
        let is_over = |left: (u64, u64)| left.0 > bytes && left.1 > packages;
        for (row, id, hash) in going {
            if !is_over(left) || refused.len() >= most {
                break;
            }
            folds::put_out(db, row, &id.owner, &id.name, now)?;
            listing::unlist(db, &id.owner, &id.name)?;
            refused.push(hash);
            gone += 1;
            left = held_of(db, &publisher)?;
        }
        if refused.len() >= most {
            let amount = match amount {
                Amount::Bytes(_) => Amount::Bytes(left.0.saturating_sub(bytes)),
                Amount::Packages(_) => Amount::Packages(left.1.saturating_sub(packages)),
            };
            if is_over(left) {
                plan.push_front(Free { publisher, amount });
            }
            break;
        }
    }
    refuse(db, &refused, now)?;
    Ok(gone)
}

/// Returns the bytes and packages of a publisher.
fn held_of(db: &Connection, publisher: &PublisherId) -> rusqlite::Result<(u64, u64)> {
    let held = db
        .prepare_cached("SELECT bytes, packages FROM publishers WHERE publisher = ?")?
        .query_row([publisher.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
    match held {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok((0, 0)),
        held => held,
    }
}

/// Returns the dependencies of the packages that are never evicted. Only dependencies by key count:
/// a handle can be claimed by any key, which could then protect its packages.
fn needed(db: &Connection) -> rusqlite::Result<HashSet<i64>> {
    let mut needed = HashSet::new();
    let mut needs = db.prepare_cached(&format!(
        "SELECT needs FROM packages WHERE publisher IN ({KEPT})"
    ))?;
    let mut rows = needs.query([])?;
    while let Some(row) = rows.next()? {
        let needs = row.get_ref(0)?.as_blob()?.chunks_exact(8);
        needed.extend(needs.filter_map(|bytes| bytes.try_into().ok().map(i64::from_be_bytes)));
    }
    Ok(needed)
}

#[cfg(test)]
mod tests;
