//! Contents as rows: small contents themselves, and the sizes and flags of the others.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{FetchOrigin, Held, Lost};
use crate::{
    domain::{hash::ContentRoot, manifest::Content, time::Timestamp},
    store::damaged,
};

/// The columns of [`held`], in its order.
const COLUMNS: &str =
    "root, size, own, (SELECT group_concat(release, char(10)) FROM content_pins p WHERE p.root = contents.root),
     added_at, used_at, origin, data IS NULL, what, EXISTS (SELECT 1 FROM copied WHERE copied.root = contents.root)";

pub(super) fn root(row: &Row<'_>, column: usize) -> rusqlite::Result<ContentRoot> {
    let bytes: [u8; 32] = row.get(column)?;
    Ok(ContentRoot(bytes))
}

fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    let origin: Option<String> = row.get(6)?;
    let origin = origin
        .map(|text| serde_json::from_str(&text).map_err(|_| damaged(6, "origin")))
        .transpose()?;
    let pins: Option<String> = row.get(3)?;
    Ok(Held {
        content: Content {
            root: root(row, 0)?,
            size: row.get(1)?,
        },
        own: row.get(2)?,
        pinned: pins.is_some(),
        pinned_for: pins
            .iter()
            .flat_map(|pins| pins.lines())
            .map(str::to_owned)
            .collect(),
        added_at: Timestamp(row.get(4)?),
        used_at: Timestamp(row.get(5)?),
        origin,
        in_file: row.get(7)?,
        what: row.get(8)?,
        for_others: row.get(9)?,
    })
}

pub(super) fn get(db: &Connection, root: &ContentRoot) -> rusqlite::Result<Option<Held>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM contents WHERE root = ?"))?
        .query_row([root.0], held)
        .optional()
}

/// Returns all contents that are held, those used last first.
pub(super) fn list(db: &Connection) -> rusqlite::Result<Vec<Held>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM contents ORDER BY used_at DESC, root"
    ))?
    .query_map([], held)?
    .collect()
}

/// Returns the bytes of a small content.
pub(super) fn data(db: &Connection, root: &ContentRoot) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT data FROM contents WHERE root = ?")?
        .query_row([root.0], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Records a content, with `data` if it is small. An existing row stays; it is own if it was or is
/// now.
pub(super) fn put(
    db: &Connection,
    content: &Content,
    own: bool,
    what: Option<&str>,
    origin: Option<&FetchOrigin>,
    data: Option<&[u8]>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let origin = origin.and_then(|origin| serde_json::to_string(origin).ok());
    db.prepare_cached(
        "INSERT INTO contents (root, size, own, added_at, used_at, what, origin, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (root) DO UPDATE SET own = max(own, excluded.own), used_at = excluded.used_at",
    )?
    .execute(params![content.root.0, content.size, own, now.0, now.0, what, origin, data])?;
    db.prepare_cached(
        "UPDATE contents SET own = max(contents.own, lost.own), what = coalesce(lost.what, contents.what)
         FROM lost WHERE lost.root = contents.root AND contents.root = ?",
    )?
    .execute([content.root.0])?;
    db.prepare_cached("DELETE FROM lost WHERE root = ?")?
        .execute([content.root.0])
        .map(drop)
}

/// Removes a damaged content but keeps its pins and own mark. Returns false if it is not held.
pub(super) fn lose(db: &Connection, root: &ContentRoot, now: Timestamp) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO lost (root, size, own, what, since)
         SELECT root, size, own, what, ? FROM contents WHERE root = ?",
    )?
    .execute(params![now.0, root.0])?;
    remove(db, root)
}

/// Returns the contents that were damaged and are not restored yet, oldest first.
pub(super) fn lost(db: &Connection) -> rusqlite::Result<Vec<Lost>> {
    let sql = format!(
        "SELECT root, size, own, {}, what, since FROM lost ORDER BY since, root",
        pinned("lost")
    );
    db.prepare_cached(&sql)?
        .query_map([], |row| {
            Ok(Lost {
                content: Content {
                    root: root(row, 0)?,
                    size: row.get(1)?,
                },
                own: row.get(2)?,
                pinned: row.get(3)?,
                what: row.get(4)?,
                since: Timestamp(row.get(5)?),
            })
        })?
        .collect()
}

/// Forgets old damaged contents that are neither own nor pinned.
pub(super) fn forget_lost(db: &Connection, before: Timestamp) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM lost WHERE own = 0 AND NOT {} AND since < ?",
        pinned("lost")
    );
    db.prepare_cached(&sql)?.execute([before.0]).map(drop)
}

pub(super) fn set_own(db: &Connection, root: &ContentRoot, what: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("UPDATE contents SET own = 1, what = ? WHERE root = ?")?
        .execute(params![what, root.0])
        .map(|rows| rows > 0)
}

/// Pins a content for a release, or removes that pin; pins of other releases stay. Returns false if
/// it is not held.
pub(super) fn set_pinned(
    db: &Connection,
    root: &ContentRoot,
    release: &str,
    pin: bool,
) -> rusqlite::Result<bool> {
    let is_held = db
        .prepare_cached("SELECT 1 FROM contents WHERE root = ?")?
        .exists([root.0])?;
    if !pin {
        let mut unpin =
            db.prepare_cached("DELETE FROM content_pins WHERE root = ? AND release = ?")?;
        unpin.execute(params![root.0, release])?;
    } else if is_held {
        let mut pin =
            db.prepare_cached("INSERT OR IGNORE INTO content_pins (root, release) VALUES (?, ?)")?;
        pin.execute(params![root.0, release])?;
    }
    Ok(is_held)
}

/// Returns an SQL condition that a row of `table` is pinned.
fn pinned(table: &str) -> String {
    format!("EXISTS (SELECT 1 FROM content_pins p WHERE p.root = {table}.root)")
}

pub(super) fn used(db: &Connection, root: &ContentRoot, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE contents SET used_at = ? WHERE root = ?")?
        .execute(params![now.0, root.0])
        .map(drop)
}

pub(super) fn remove(db: &Connection, root: &ContentRoot) -> rusqlite::Result<bool> {
    db.prepare_cached("DELETE FROM contents WHERE root = ?")?
        .execute([root.0])
        .map(|rows| rows > 0)
}

/// Returns the bytes of all contents, and of those that are own or pinned.
pub(super) fn usage(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let kept = format!(
        "CASE WHEN own OR {} THEN size ELSE 0 END",
        pinned("contents")
    );
    db.prepare_cached(&format!(
        "SELECT coalesce(sum(size), 0), coalesce(sum({kept}), 0) FROM contents"
    ))?
    .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Evicts contents that are neither own nor pinned until the total is at most `most` bytes: first
/// those kept for others, of these first the ones with most copies elsewhere, and then those unused
/// for longest. `spared` contents stay. Returns the evicted roots and their sizes.
pub(super) fn evict(
    db: &Connection,
    most: u64,
    spared: &[ContentRoot],
) -> rusqlite::Result<Vec<(ContentRoot, u64)>> {
    let (mut bytes, _) = usage(db)?;
    let mut gone = Vec::new();
    if bytes <= most {
        return Ok(gone);
    }
    let sql = format!(
        "SELECT contents.root, size FROM contents LEFT JOIN (
             SELECT root, max(elsewhere) AS elsewhere FROM copied JOIN copies USING (release) GROUP BY root
         ) AS kept USING (root)
         WHERE own = 0 AND NOT {} ORDER BY kept.elsewhere IS NULL, kept.elsewhere DESC, used_at, contents.root",
        pinned("contents")
    );
    let mut oldest = db.prepare_cached(&sql)?;
    let mut rows = oldest.query([])?;
    while let Some(row) = rows.next()? {
        let (root, size) = (root(row, 0)?, row.get::<_, u64>(1)?);
        if bytes <= most {
            break;
        }
        if !spared.contains(&root) {
            bytes -= size;
            gone.push((root, size));
        }
    }
    for (root, _) in &gone {
        remove(db, root)?;
    }
    Ok(gone)
}
