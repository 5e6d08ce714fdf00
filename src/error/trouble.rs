//! Reasons for which the database fails, as SQLite gives them, and what a person can do about each.

use rusqlite::ErrorCode;

/// A reason for which the database failed. Result codes are those of <https://sqlite.org/rescode.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another program holds it.
    Locked,
    /// The bytes in the file are not those that were written.
    Damaged,
    /// There is no room on its disk.
    Full,
    /// It may be read and not written.
    ReadOnly,
    /// Its file, or one beside it, cannot be opened.
    Unopened,
    /// The system could not read or write it; also where a limit or quota keeps the file from
    /// growing.
    Disk,
    /// Anything else is this program's own doing.
    Other,
}

impl Trouble {
    pub fn of(error: &rusqlite::Error) -> Self {
        // A column that cannot be what this program wrote.
        if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) {
            return Self::Damaged;
        }
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::CannotOpen) => Self::Unopened,
            Some(ErrorCode::SystemIoFailure) => Self::Disk,
            _ => Self::Other,
        }
    }

    /// The word for programs; `None` where the failure has no kind of its own.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Locked => Some("database_locked"),
            Self::Damaged => Some("database_damaged"),
            Self::Full => Some("disk_full"),
            Self::ReadOnly => Some("database_read_only"),
            Self::Unopened | Self::Disk | Self::Other => None,
        }
    }

    /// The end of a sentence: what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Locked => {
                "another program has it open: end that (a backup, or sqlite3), and try again"
            }
            Self::Damaged => {
                "it is damaged: bring back a backup with `swarmdex restore DIR --replace`, or move swarmdex.db away to begin with an empty \
                 one; the keys are in files of their own and stay"
            }
            Self::Full => {
                "its disk is full: free some space and try again; `swarmdex gc` removes content that is not yours"
            }
            Self::ReadOnly => {
                "it cannot be written to: check that its disk is not mounted read-only, and that swarmdex.db and the \
                 directory are yours"
            }
            Self::Unopened => {
                "check that its directory is there and yours, and that enough files may be open (ulimit -n)"
            }
            Self::Disk => {
                "the system cannot read or write it: check the free space and quota of its disk, and the disk itself (dmesg)"
            }
            Self::Other => "this is a defect, please report it with the log file",
        }
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
            "CREATE TABLE t (x BLOB); INSERT INTO t SELECT zeroblob(3000) FROM (VALUES (1), (2), (3), (4))",
        )
        .unwrap();
        db
    }

    fn trouble<T>(outcome: rusqlite::Result<T>) -> Trouble {
        Trouble::of(&outcome.err().unwrap())
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
        assert_eq!(trouble(write(&other)), Trouble::Locked);
        db.execute_batch("ROLLBACK").unwrap();

        let pages: i64 = db
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        db.pragma_update(None, "max_page_count", pages).unwrap();
        assert_eq!(trouble(write(&db)), Trouble::Full);
        drop((db, other));

        let reading = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert_eq!(trouble(write(&reading)), Trouble::ReadOnly);
        assert_eq!(
            trouble(reading.execute_batch("INSERT INTO nothing VALUES (1)")),
            Trouble::Other
        );
        drop(reading);
        assert_eq!(
            trouble(Connection::open(dir.path().join("missing/a.db"))),
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
                trouble(Connection::open(&path).and_then(all)),
                Trouble::Damaged
            );
        }
        assert_eq!(
            Trouble::of(&crate::store::damaged(0, "name")),
            Trouble::Damaged
        );
    }
}
