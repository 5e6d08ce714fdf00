//! Errors of SQLite as errors of the library.

use rusqlite::ErrorCode;

use crate::{RegistryError, error::Trouble};

impl From<rusqlite::Error> for RegistryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database {
            trouble: trouble(&error),
            said: error.to_string(),
        }
    }
}

/// Tells why SQLite refused.
pub(super) fn trouble(error: &rusqlite::Error) -> Trouble {
    // A column that cannot be what this program wrote.
    if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) {
        return Trouble::Damaged;
    }
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed,
        ) => Trouble::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
        Some(ErrorCode::DiskFull) => Trouble::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Trouble::ReadOnly,
        Some(ErrorCode::CannotOpen) => Trouble::Unopened,
        Some(ErrorCode::OperationInterrupted) => Trouble::Interrupted,
        Some(ErrorCode::SystemIoFailure) => Trouble::Disk,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use rusqlite::{Connection, OpenFlags};

    use super::*;

    fn filled(path: &Path) -> Connection {
        let db = Connection::open(path).unwrap();
        db.execute_batch(
            "CREATE TABLE t (x BLOB); INSERT INTO t SELECT zeroblob(3000) FROM (VALUES (1), (2), \
             (3), (4))",
        )
        .unwrap();
        db
    }

    fn refused<T>(outcome: rusqlite::Result<T>) -> Trouble {
        trouble(&outcome.err().unwrap())
    }

    #[test]
    fn what_sqlite_says_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let db = filled(&path);
        let write = |db: &Connection| db.execute_batch("INSERT INTO t VALUES (zeroblob(90000))");

        let other = Connection::open(&path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        db.execute_batch("BEGIN EXCLUSIVE").unwrap();
        assert_eq!(refused(write(&other)), Trouble::Locked);
        db.execute_batch("ROLLBACK").unwrap();

        let pages: i64 = db
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        db.pragma_update(None, "max_page_count", pages).unwrap();
        assert_eq!(refused(write(&db)), Trouble::Full);
        drop((db, other));

        let reading = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert_eq!(refused(write(&reading)), Trouble::ReadOnly);
        assert_eq!(
            refused(reading.execute_batch("INSERT INTO nothing VALUES (1)")),
            Trouble::Other
        );
        drop(reading);
        assert_eq!(
            refused(Connection::open(dir.path().join("missing/a.db"))),
            Trouble::Unopened
        );

        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[4096..].fill(0xa5);
        let mut foreign = whole.clone();
        foreign[..16].fill(b'?');
        let mut short = whole;
        short.truncate(6_000);
        for bytes in [damaged, foreign, short] {
            fs::write(&path, bytes).unwrap();
            let all = |db: Connection| {
                db.query_row("SELECT sum(length(x)) FROM t", [], |row| {
                    row.get::<_, i64>(0)
                })
            };
            assert_eq!(
                refused(Connection::open(&path).and_then(all)),
                Trouble::Damaged
            );
        }
        assert_eq!(trouble(&crate::store::damaged(0, "name")), Trouble::Damaged);
    }
}
