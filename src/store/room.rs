//! Room in the catalogue: who is never put out of it, who is first, and what is not asked for again.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::{Store, catalogue, catalogue::publisher, listing};
use crate::{
    Result,
    domain::{
        hash::Hash,
        name::{PackageId, PublisherId},
        time::Timestamp,
    },
};

/// Packages put out in one transaction: others wait no longer than for that.
const AT_ONCE: usize = 500;
/// Hashes of heads that are remembered as not wanted; the oldest are forgotten first.
const MAX_REFUSED: i64 = 100_000;

impl Store {
    /// Whether any package of the publisher has ever been seen.
    pub fn knows(&self, publisher: &PublisherId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM marks WHERE publisher = ? LIMIT 1")?.exists([publisher.to_bytes()])
        })
    }

    /// Publishers that are known: this node's own, those that a person pinned, and those that were seen first before then.
    /// `most` of them, without the distrusted.
    pub fn known_publishers(&self, before: Timestamp, most: usize) -> Result<HashSet<PublisherId>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT publisher FROM (
                     SELECT publisher, 0 AS since FROM pins
                     UNION ALL SELECT publisher, 0 FROM heads WHERE own = 1
                     UNION ALL SELECT publisher, first_seen FROM publishers WHERE first_seen < ?1
                 ) WHERE publisher NOT IN (SELECT publisher FROM distrusted) ORDER BY since LIMIT ?2",
            )?
            .query_map(params![before.0, most as i64], |row| publisher(row, 0))?
            .collect()
        })
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

    /// Puts packages out until there are no more than `most`: the oldest ones of whoever has most, but never own ones,
    /// those of pinned publishers, or what these need. What was seen of them is remembered. Returns how many went.
    pub async fn make_room(&self, most: u64, now: Timestamp) -> Result<u64> {
        let mut gone = 0;
        loop {
            let put_out = self.write(move |db| put_out(db, most, now)).await?;
            if put_out == 0 {
                return Ok(gone);
            }
            gone += put_out as u64;
            self.heads_changed();
        }
    }
}

fn refuse(db: &Connection, hashes: &[Hash], now: Timestamp) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO refused (hash, since) VALUES (?, ?)")?;
    for hash in hashes {
        insert.execute(params![hash.0, now.0])?;
    }
    let count: i64 = db.prepare_cached("SELECT count(*) FROM refused")?.query_row([], |row| row.get(0))?;
    if count > MAX_REFUSED {
        db.prepare_cached("DELETE FROM refused WHERE hash IN (SELECT hash FROM refused ORDER BY since LIMIT ?)")?
            .execute([count - MAX_REFUSED])?;
    }
    Ok(())
}

/// Publishers whose packages stay: those that this node has a key of, and those that a person has pinned.
const KEPT: &str = "SELECT publisher FROM pins UNION SELECT publisher FROM heads WHERE own = 1";

fn put_out(db: &Connection, most: u64, now: Timestamp) -> rusqlite::Result<usize> {
    let count: u64 = db.prepare_cached("SELECT count(*) FROM heads")?.query_row([], |row| row.get(0))?;
    let too_many = usize::try_from(count.saturating_sub(most)).unwrap_or(usize::MAX);
    if too_many == 0 {
        return Ok(0);
    }
    let needed: HashSet<i64> = db
        .prepare_cached(&format!(
            "SELECT DISTINCT need FROM dependents WHERE package IN (SELECT id FROM packages WHERE publisher IN ({KEPT}))"
        ))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    // Largest first; each is asked for what of it may go until there is enough.
    let publishers = db
        .prepare_cached(&format!(
            "SELECT publisher FROM heads WHERE publisher NOT IN ({KEPT}) GROUP BY publisher ORDER BY count(*) DESC"
        ))?
        .query_map([], |row| catalogue::publisher(row, 0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut gone = Vec::new();
    for publisher in publishers {
        let mut oldest =
            db.prepare_cached("SELECT name, hash FROM heads WHERE publisher = ? ORDER BY signed_at, name")?;
        let mut rows = oldest.query([publisher.to_bytes()])?;
        while let Some(row) = rows.next()?
            && gone.len() < too_many.min(AT_ONCE)
        {
            let Ok(name) = row.get_ref(0)?.as_str()?.parse() else { continue };
            let id = PackageId { publisher, name };
            if !needed.contains(&listing::need_of(&id)) {
                gone.push((id, Hash(row.get(1)?)));
            }
        }
        if !gone.is_empty() {
            break;
        }
    }
    for (id, _) in &gone {
        let key = id.publisher.to_bytes();
        // The versions stay: that one of them comes back as another is known.
        db.prepare_cached(
            "DELETE FROM manifests WHERE hash IN (SELECT manifest FROM releases WHERE publisher = ? AND name = ?)",
        )?
        .execute(params![key, id.name.as_str()])?;
        db.prepare_cached("DELETE FROM heads WHERE publisher = ? AND name = ?")?
            .execute(params![key, id.name.as_str()])?;
        listing::unlist(db, &id.publisher, &id.name)?;
        // Who has nothing here any more is nobody who is known: the table is no longer than there are heads.
        db.prepare_cached(
            "DELETE FROM publishers WHERE publisher = ?1 AND NOT EXISTS (SELECT 1 FROM heads WHERE publisher = ?1)",
        )?
        .execute(params![key])?;
    }
    let hashes: Vec<Hash> = gone.iter().map(|(_, hash)| *hash).collect();
    refuse(db, &hashes, now)?;
    Ok(gone.len())
}
