//! Remembers the keys of this data directory: a key file that is gone differs from one that never
//! existed.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Store, catalogue::publisher};
use crate::{Result, domain::secret::Role};

/// Created besides the schema, so that an older database gets it without a new schema version.
pub(super) const TABLE: &str = "
-- The key that was last there of each role, by its id.
CREATE TABLE IF NOT EXISTS known_keys (role TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID;
";

impl Store {
    /// Returns the id of the last key.
    pub fn known_key(&self, role: Role) -> Result<Option<String>> {
        self.read(|db| known(db, role))
    }

    /// Remembers the current key. Nothing is written if it is known already.
    pub async fn remember_key(&self, role: Role, id: &str) -> Result<()> {
        if self.read(|db| recorded(db, role))?.as_deref() == Some(id) {
            return Ok(());
        }
        let id = id.to_owned();
        self.write(move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO known_keys (role, id) VALUES (?, ?)")?
                .execute(params![role.word(), id])
                .map(drop)
        })
        .await
    }
}

/// Returns the id of the last key of a data directory, whether or not a node runs on it; `None` if
/// there is no database.
///
/// # Errors
/// Fails if the database cannot be read.
pub fn known_key(data_dir: &Path, role: Role) -> Result<Option<String>> {
    let path = super::database_path(data_dir);
    if !path.exists() {
        return Ok(None);
    }
    let read = || {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(super::BUSY)?;
        known(&db, role)
    };
    Ok(read()?)
}

fn recorded(db: &Connection, role: Role) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT id FROM known_keys WHERE role = ?")?
        .query_row([role.word()], |row| row.get(0))
        .optional()
}

/// In a database from before keys were remembered, the signed packages show the publisher's key.
pub(super) fn known(db: &Connection, role: Role) -> rusqlite::Result<Option<String>> {
    let recorded = if db.table_exists(None, "known_keys")? {
        recorded(db, role)?
    } else {
        None
    };
    let has_heads = || {
        db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'heads'")?
            .exists([])
    };
    if recorded.is_some() || role != Role::Publisher || !has_heads()? {
        return Ok(recorded);
    }
    db.prepare("SELECT publisher FROM heads WHERE own = 1 ORDER BY signed_at DESC LIMIT 1")?
        .query_row([], |row| publisher(row, 0))
        .optional()
        .map(|publisher| publisher.map(|publisher| publisher.to_string()))
}
