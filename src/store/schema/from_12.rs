//! Migrates from schema 12, whose rows contained publishers' whole keys and unpacked envelopes.
//!
//! It is one transaction: an interruption leaves a database of schema 12, and the next start begins
//! again. A program that knows only schema 12 refuses the result.

use std::time::Instant;

use rusqlite::{Connection, params};

use super::{RECORDS, VERSION, WORDS, from_13};
use crate::{
    Result,
    store::{listing, pack::PackedEnvelope},
};

/// The tables that are created again, and those whose rows the triggers of usage.rs count.
const RENEWED: [&str; 7] = [
    "heads",
    "marks",
    "releases",
    "manifests",
    "packages",
    "recount",
    "words",
];
const COUNTED: [&str; 4] = ["forks", "pages", "publishers", "conflicts"];

/// Removes previews, which nobody signed: this version lists only what was signed. Bit 2 of the
/// flags was theirs.
const DROP_PREVIEWS: &str = "
CREATE TEMP TABLE previews AS SELECT id FROM packages_12 WHERE flags & 2 <> 0;
INSERT INTO recount_12 (need) SELECT need FROM dependents WHERE package IN (SELECT id FROM previews);
DELETE FROM dependents WHERE package IN (SELECT id FROM previews);
DELETE FROM providers WHERE package IN (SELECT id FROM previews);
DELETE FROM packages_12 WHERE id IN (SELECT id FROM previews);
DROP TABLE previews;
";

const COPY: &str = "
INSERT INTO keys (publisher) SELECT publisher FROM publishers UNION SELECT publisher FROM marks_12
    UNION SELECT publisher FROM heads_12 UNION SELECT publisher FROM packages_12;
INSERT INTO head_rows (id, key, name, seq, hash, handle, signed_at, received_at, confirmed_at, confirmed_by, own,
        expires, fold, bytes, envelope)
    SELECT h.id, k.id, h.name, h.seq, h.hash, h.handle, h.signed_at, h.received_at, h.confirmed_at, h.confirmed_by,
        h.own, coalesce(m.expires, h.signed_at), coalesce(m.fold, x''), length(h.envelope), h.envelope
    FROM heads_12 h CROSS JOIN keys k ON k.publisher = h.publisher
    LEFT JOIN marks_12 m ON m.publisher = h.publisher AND m.name = h.name ORDER BY h.id;
INSERT INTO mark_rows (key, name, seq, hash, expires, gone_at, fold)
    SELECT k.id, m.name, m.seq, m.hash, m.expires, coalesce(m.gone_at, 0), m.fold
    FROM marks_12 m CROSS JOIN keys k ON k.publisher = m.publisher
    WHERE NOT EXISTS (SELECT 1 FROM head_rows h WHERE h.key = k.id AND h.name = m.name);
INSERT INTO release_rows (head, version, manifest, nth)
    SELECT h.id, r.version, r.manifest, r.nth FROM releases_12 r CROSS JOIN keys k ON k.publisher = r.publisher
    CROSS JOIN head_rows h ON h.key = k.id AND h.name = r.name;
INSERT INTO manifests (id, head, hash, bytes, envelope)
    SELECT id, head, hash, length(envelope), envelope FROM manifests_12 ORDER BY id;
INSERT INTO package_rows (id, key, name, popularity, signed_at, flags, ecosystem, handle, version, title, summary,
        categories, tags, license, needs, manifest, skeleton)
    SELECT p.id, k.id, p.name, p.popularity, p.signed_at, p.flags, p.ecosystem, p.handle, p.version, p.title, p.summary,
        p.categories, p.tags, p.license, p.needs, (SELECT id FROM manifests WHERE hash = p.manifest), 0
    FROM packages_12 p CROSS JOIN keys k ON k.publisher = p.publisher ORDER BY p.id;
INSERT INTO recount (need) SELECT DISTINCT need FROM recount_12;
DROP INDEX files_of;
";

/// Migrates a database of schema 12 to the current one.
///
/// # Errors
/// Fails if it cannot be written, for instance because the disk is full. The database is unchanged
/// then.
pub(super) fn migrate(db: &Connection) -> Result<()> {
    let begun = Instant::now();
    tracing::info!("the database is of an earlier schema and is rewritten");
    let together = db.unchecked_transaction()?;
    set_aside(db)?;
    db.execute_batch(DROP_PREVIEWS)?;
    db.execute_batch(RECORDS)?;
    db.execute_batch(WORDS)?;
    db.execute_batch(COPY)?;
    for table in ["head_rows", "manifests"] {
        pack(db, table)?;
    }
    number_skeletons(db)?;
    copy_words(db)?;
    for table in RENEWED {
        db.execute_batch(&format!("DROP TABLE {table}_12"))?;
    }
    from_13::charge_again(db)?;
    db.pragma_update(None, "user_version", VERSION)?;
    together.commit()?;
    // Release the space that it took before, if there is enough for that now; otherwise new rows
    // use it.
    if let Err(error) = db.execute_batch("VACUUM") {
        tracing::warn!(%error, "the database could not be made smaller");
    }
    tracing::info!(
        ms = begun.elapsed().as_millis(),
        "the database was rewritten"
    );
    Ok(())
}

/// Renames the old tables, without their indexes and triggers.
fn set_aside(db: &Connection) -> rusqlite::Result<()> {
    let of = RENEWED.into_iter().chain(COUNTED);
    let mut hanging = Vec::new();
    for table in of {
        let mut found = db.prepare(
            "SELECT format('DROP %s %s', type, name) FROM sqlite_schema
             WHERE tbl_name = ? AND (type = 'trigger' OR type = 'index' AND sql IS NOT NULL AND ?)",
        )?;
        let renewed = RENEWED.contains(&table);
        let found = found.query_map(params![table, renewed], |row| row.get::<_, String>(0))?;
        hanging.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    db.execute_batch(&hanging.join(";"))?;
    db.execute_batch("DROP TABLE vocabulary")?;
    for table in RENEWED {
        db.execute_batch(&format!("ALTER TABLE {table} RENAME TO {table}_12"))?;
    }
    Ok(())
}

/// Packs the envelopes of a table.
fn pack(db: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut next = db.prepare(&format!(
        "SELECT id, envelope FROM {table} WHERE id > ? ORDER BY id LIMIT 1"
    ))?;
    let mut update = db.prepare(&format!("UPDATE {table} SET envelope = ? WHERE id = ?"))?;
    let mut last = i64::MIN;
    loop {
        // One by one: a row that is changed while reading may be read again.
        let mut rows = next.query([last])?;
        let Some(row) = rows.next()? else {
            return Ok(());
        };
        last = row.get(0)?;
        let envelope: Vec<u8> = row.get(1)?;
        drop(rows);
        update.execute(params![PackedEnvelope::of(&envelope), last])?;
    }
}

fn number_skeletons(db: &Connection) -> rusqlite::Result<()> {
    let names = db
        .prepare("SELECT id, name FROM package_rows")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let mut update = db.prepare("UPDATE package_rows SET skeleton = ? WHERE id = ?")?;
    for (id, name) in names {
        update.execute([listing::skeleton_of(&name), id])?;
    }
    Ok(())
}

/// Copies the index word by word: making it again would take reading every manifest.
fn copy_words(db: &Connection) -> rusqlite::Result<()> {
    const COLUMNS: [&str; 5] = ["name", "title", "description", "labels", "facets"];
    db.execute_batch("CREATE VIRTUAL TABLE instances_12 USING fts5vocab (words_12, 'instance')")?;
    let mut insert = db.prepare(
        "INSERT INTO words (rowid, name, title, description, labels, facets)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM package_rows WHERE id = ?1)",
    )?;
    let mut put = |package: i64, texts: &mut [String; 5]| {
        let [name, title, description, labels, facets] = std::mem::take(texts);
        insert.execute(params![package, name, title, description, labels, facets])
    };
    let mut of = None;
    let mut texts: [String; 5] = Default::default();
    let mut all =
        db.prepare("SELECT doc, col, term FROM instances_12 ORDER BY doc, col, offset")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let package = row.get(0)?;
        if let Some(before) = of.replace(package).filter(|before| *before != package) {
            put(before, &mut texts)?;
        }
        let (column, word) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
        let text = COLUMNS.iter().position(|one| *one == column);
        if let Some(text) = text.and_then(|at| texts.get_mut(at)) {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(&listing::mark_again(word));
        }
    }
    drop(rows);
    drop(all);
    if let Some(last) = of {
        put(last, &mut texts)?;
    }
    db.execute_batch("DROP TABLE instances_12")
}

#[cfg(test)]
mod tests;
