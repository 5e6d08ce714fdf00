//! Migrates from schema 13, which charged publishers with other numbers of bytes, and had indexes
//! that took more space than they were worth.
//!
//! It is one transaction, as in `from_12.rs`.

use rusqlite::Connection;

use super::VERSION;
use crate::{Result, store::usage};

const CHANGE: &str = "
DROP INDEX files_of;
DROP INDEX heads_by_age;
DROP TRIGGER files_gone;
CREATE TRIGGER files_gone AFTER DELETE ON manifests BEGIN
    DELETE FROM files WHERE head = old.head AND manifest = old.id;
END;
ALTER TABLE recount RENAME TO recount_13;
CREATE TABLE recount (need INTEGER PRIMARY KEY, package INTEGER);
INSERT INTO recount (need) SELECT need FROM recount_13;
DROP TABLE recount_13;
";

/// Migrates a database of schema 13 to the current one.
///
/// # Errors
/// Fails if it cannot be written, for instance because the disk is full. The database is unchanged
/// then.
pub(super) fn migrate(db: &Connection) -> Result<()> {
    let together = db.unchecked_transaction()?;
    for trigger in usage::trigger_names(db)? {
        db.execute_batch(&format!("DROP TRIGGER {trigger}"))?;
    }
    db.execute_batch(CHANGE)?;
    charge_again(db)?;
    db.pragma_update(None, "user_version", VERSION)?;
    Ok(together.commit()?)
}

/// Charges publishers anew, in a database whose heads have the lengths of their envelopes as bytes
/// and that has no triggers for this yet.
pub(super) fn charge_again(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "UPDATE head_rows SET bytes = bytes + 2 * (32 + 38 + length(name)) + coalesce(length(handle), 0) + 32",
    )?;
    usage::charge_again(db)?;
    db.execute_batch(&usage::triggers())
}

#[cfg(test)]
mod tests;
