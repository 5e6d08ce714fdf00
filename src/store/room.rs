//! Room in the catalogue: how many bytes and packages it may have, and who makes room when it is
//! full.

use std::{
    collections::{HashSet, VecDeque},
    sync::{PoisonError, atomic::Ordering},
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

/// Packages put out in one transaction: others wait no longer than for that.
const AT_ONCE: usize = 500;
/// Hashes of heads that are remembered as not wanted; the oldest are forgotten first.
const MAX_REFUSED: i64 = 100_000;
/// What is remembered of packages that are not held any more takes one part in so many of the room
/// at most, and so do conflicts.
const OF_FOLDS: u64 = 16;
/// And so many where the bytes have to fit in the transaction that writes: the packages of two
/// megabytes and more.
const AT_MOST: usize = 4_000;
/// A full catalogue is brought below its bound by one part in so many, so that not each record
/// looks for who makes room.
const SLACK: u64 = 256;
/// Most bytes that come with one head: itself, a manifest, a page or two, and a row for each
/// version.
pub(super) const ONE: u64 = 64 * 1024;

/// How much the catalogue may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of records: heads, manifests, pages, forks, conflicts, and what is remembered of
    /// versions.
    pub bytes: u64,
    /// Heads.
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
    /// Whether any package of the publisher has ever been seen.
    pub fn knows(&self, publisher: &PublisherId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM marks WHERE publisher = ? LIMIT 1")?
                .exists([publisher.to_bytes()])
        })
    }

    /// Publishers that are known: this node's own, those that a person pinned, and those that were
    /// seen first before then.
    /// `most` of them, without the distrusted.
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

    /// Bytes of the catalogue's records.
    pub fn catalogue_bytes(&self) -> Result<u64> {
        self.read(|db| Ok(usage(db)?.bytes))
    }

    /// Bounds the catalogue from now on.
    pub fn set_room(&self, room: Room) {
        *self
            .inner
            .room
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = room;
    }

    pub(super) fn room(&self) -> Room {
        *self
            .inner
            .room
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Heads that were seen and are not wanted: they are not asked for again.
    pub async fn refuse(&self, hashes: Vec<Hash>, now: Timestamp) -> Result<()> {
        self.write(move |db| refuse(db, &hashes, now)).await
    }

    /// Those of `hashes` that were not refused.
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

    /// Notes what a write had to put out.
    pub(super) fn made_room(&self, gone: Gone) {
        self.inner
            .metrics
            .displaced(Displaced::Package, gone.packages);
        self.inner.metrics.displaced(Displaced::Fold, gone.folds);
        if gone.packages > 0 {
            self.inner.full.store(true, Ordering::Release);
        }
    }

    /// Puts packages out where the catalogue is, or was lately, full: a step at a time, so that
    /// others do not wait. What was seen of their versions is remembered. Returns how many went.
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

/// What made room in a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub packages: u64,
    pub folds: u64,
}

/// Brings the catalogue within its bytes, with room for `headroom` more, in the transaction that
/// writes: so it is never beyond them. Nothing goes where nothing has to.
pub(super) fn fit(
    db: &Connection,
    room: Room,
    headroom: u64,
    now: Timestamp,
) -> rusqlite::Result<Gone> {
    let mut gone = Gone::default();
    let mut used = usage(db)?;
    if used.folds > room.bytes / OF_FOLDS {
        // A little less, so that this is not done for each package that goes.
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
            // What is left is nobody's who may be put out.
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

/// What a publisher is to free.
struct Free {
    publisher: PublisherId,
    amount: Amount,
}

/// A publisher with packages that are held.
struct Publisher {
    id: PublisherId,
    bytes: u64,
    packages: u64,
    last_seen: Timestamp,
    standing: PublisherStanding,
}

/// Publishers whose packages stay: those that this node has a key of, and those that a person has
/// pinned.
const KEPT: &str =
    "SELECT publisher FROM pins UNION ALL SELECT publisher FROM publishers WHERE own = 1";

fn tenants(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Publisher>> {
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
        Ok(Publisher {
            id: catalogue::publisher(row, 0)?,
            bytes: row.get(1)?,
            packages: row.get(2)?,
            last_seen: Timestamp(row.get(3)?),
            standing,
        })
    })?
    .collect()
}

fn amounts(publishers: &[Publisher], of: impl Fn(&Publisher) -> u64) -> Vec<Tenant> {
    let one = |publisher: &Publisher| Tenant {
        standing: publisher.standing,
        amount: of(publisher),
        last_seen: publisher.last_seen,
    };
    publishers.iter().map(one).collect()
}

fn plan_of(
    publishers: &[Publisher],
    owed: EvictionNeed,
    of: impl Fn(&Publisher) -> u64,
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

/// What is to go of a catalogue that has too many bytes or packages. Of one that was full, unknown
/// publishers keep a quarter.
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
    let of = |one: &Publisher| one.packages;
    let of_packages = owed(
        &amounts(&tenants, of),
        used.packages,
        room.packages,
        room.packages,
        false,
    );
    Ok(plan_of(&tenants, of_packages, of, 1, Amount::Packages))
}

/// Puts out what a plan says, `most` packages at once, and leaves the rest in it: the oldest of
/// each publisher first, but for what those need whose packages stay. Returns how many.
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
            // Of a publisher with very many packages only so many are looked at.
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

/// Bytes and packages of a publisher.
fn held_of(db: &Connection, publisher: &PublisherId) -> rusqlite::Result<(u64, u64)> {
    let held = db
        .prepare_cached("SELECT bytes, packages FROM publishers WHERE publisher = ?")?
        .query_row([publisher.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
    match held {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok((0, 0)),
        held => held,
    }
}

/// What those need whose packages stay. Only needs that name a key: anybody may claim a handle, and
/// with it to be needed.
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
