//! The schema and how older ones become it.

use std::path::Path;

use rusqlite::Connection;

use crate::{RegistryError, Result};

/// Each entry takes the schema from its index to the next. Never edited once released: add one.
const MIGRATIONS: &[&str] = &[
    r"
CREATE TABLE heads (
    publisher BLOB NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, handle TEXT,
    envelope BLOB NOT NULL, received_at INTEGER NOT NULL, confirmed_at INTEGER, own INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (publisher, name)
) WITHOUT ROWID;
CREATE INDEX heads_by_handle ON heads (handle);
-- The highest state ever seen of a package: outlives the head itself.
CREATE TABLE marks (
    publisher BLOB NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (publisher, name)
) WITHOUT ROWID;
-- Heads of the current seq that lost to the selected one: the publisher joins them in its next head.
CREATE TABLE forks (
    publisher BLOB NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, seq INTEGER NOT NULL, envelope BLOB NOT NULL,
    own INTEGER NOT NULL, PRIMARY KEY (publisher, name, hash)
) WITHOUT ROWID;
CREATE TABLE pages (hash BLOB PRIMARY KEY, envelope BLOB NOT NULL) WITHOUT ROWID;
-- The first manifest hash seen of each version: it never changes.
CREATE TABLE releases (
    publisher BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, manifest BLOB NOT NULL,
    PRIMARY KEY (publisher, name, version)
) WITHOUT ROWID;
CREATE TABLE conflicts (
    publisher BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, kept BLOB NOT NULL, offered BLOB NOT NULL,
    seen_at INTEGER NOT NULL, evidence BLOB NOT NULL, PRIMARY KEY (publisher, name, version, offered)
) WITHOUT ROWID;
CREATE TABLE manifests (hash BLOB PRIMARY KEY, envelope BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE packages (
    id INTEGER PRIMARY KEY, publisher BLOB NOT NULL, name TEXT NOT NULL, handle TEXT, version TEXT NOT NULL,
    summary TEXT NOT NULL, categories TEXT NOT NULL, tags TEXT NOT NULL, license TEXT, signed_at INTEGER NOT NULL,
    UNIQUE (publisher, name)
);
CREATE INDEX packages_by_age ON packages (signed_at);
CREATE VIRTUAL TABLE words USING fts5 (
    name, title, description, labels,
    content='', contentless_delete=1, prefix='1 2 3', tokenize='unicode61 remove_diacritics 2'
);
CREATE TABLE pins (handle TEXT PRIMARY KEY, publisher BLOB NOT NULL, pinned_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE distrusted (publisher BLOB PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
-- Publishes that the network has not taken in full yet.
CREATE TABLE outbox (
    publisher BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, replicas INTEGER NOT NULL DEFAULT 0,
    announced INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL, PRIMARY KEY (publisher, name)
) WITHOUT ROWID;
CREATE TABLE peers (
    id BLOB PRIMARY KEY, addresses TEXT NOT NULL, standing TEXT NOT NULL, last_seen INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE records (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, expires INTEGER NOT NULL, refreshed_at INTEGER NOT NULL
) WITHOUT ROWID;
",
    r"
-- How far the network had taken each package's last publish when it left the outbox.
CREATE TABLE deliveries (
    publisher BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, replicas INTEGER NOT NULL,
    announced INTEGER NOT NULL, delivered_at INTEGER NOT NULL, PRIMARY KEY (publisher, name)
) WITHOUT ROWID;
",
    r"
-- Content by its root. `data` is last and only of what is small; the rest is in files.
CREATE TABLE contents (
    id INTEGER PRIMARY KEY, root BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, own INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0, added_at INTEGER NOT NULL, used_at INTEGER NOT NULL, what TEXT, origin TEXT,
    data BLOB
);
CREATE INDEX contents_by_use ON contents (used_at);
-- What was damaged: what it was kept for comes back with it.
CREATE TABLE lost (
    root BLOB PRIMARY KEY, size INTEGER NOT NULL, own INTEGER NOT NULL, pinned INTEGER NOT NULL, what TEXT,
    since INTEGER NOT NULL
) WITHOUT ROWID;
-- Fetches that have not ended: a node that starts again goes on with them.
CREATE TABLE fetches (
    root BLOB PRIMARY KEY, wanted TEXT NOT NULL, paused INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL
) WITHOUT ROWID;
",
    r"
-- Long rows are kept in the order in which they come, and found by indexes: in the order of hashes, each that comes
-- changes another page.
CREATE TABLE new_manifests (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, envelope BLOB NOT NULL);
INSERT INTO new_manifests (hash, envelope) SELECT hash, envelope FROM manifests;
DROP TABLE manifests;
ALTER TABLE new_manifests RENAME TO manifests;
CREATE TABLE new_heads (
    id INTEGER PRIMARY KEY, publisher BLOB NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
    handle TEXT, signed_at INTEGER NOT NULL, received_at INTEGER NOT NULL, confirmed_at INTEGER,
    own INTEGER NOT NULL DEFAULT 0, envelope BLOB NOT NULL, UNIQUE (publisher, name)
);
INSERT INTO new_heads (publisher, name, seq, hash, handle, signed_at, received_at, confirmed_at, own, envelope)
    SELECT publisher, name, seq, hash, handle, 0, received_at, confirmed_at, own, envelope FROM heads;
DROP TABLE heads;
ALTER TABLE new_heads RENAME TO heads;
CREATE INDEX heads_by_handle ON heads (handle);
-- What is reconciled; read without the heads themselves.
CREATE INDEX heads_by_hash ON heads (hash, signed_at);
-- The index is made anew: it knows facets, and how many depend on a package.
DROP TABLE packages;
DROP TABLE words;
CREATE TABLE packages (
    id INTEGER PRIMARY KEY, publisher BLOB NOT NULL, name TEXT NOT NULL, popularity INTEGER NOT NULL,
    signed_at INTEGER NOT NULL, flags INTEGER NOT NULL, ecosystem TEXT NOT NULL, handle TEXT, version TEXT NOT NULL,
    title TEXT, summary TEXT NOT NULL, categories TEXT NOT NULL, tags TEXT NOT NULL, license TEXT, needs BLOB NOT NULL,
    UNIQUE (publisher, name)
);
CREATE INDEX packages_by_name ON packages (name, popularity);
CREATE INDEX packages_by_popularity ON packages (popularity);
CREATE INDEX packages_by_age ON packages (signed_at);
-- `facets` has a word for each label, which no text has: see listing.rs.
CREATE VIRTUAL TABLE words USING fts5 (
    name, title, description, labels, facets,
    content='', contentless_delete=1, prefix='1 2 3', tokenize='unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
-- Who needs whom, by the hash of what dependencies call a package; and whose dependents have changed since they were
-- counted, where known with what it is called.
CREATE TABLE recount (id INTEGER PRIMARY KEY, need INTEGER NOT NULL, called TEXT);
CREATE TABLE dependents (need INTEGER NOT NULL, package INTEGER NOT NULL, PRIMARY KEY (need, package)) WITHOUT ROWID;
-- Peers that were seen to have a package's content.
CREATE TABLE providers (package INTEGER NOT NULL, peer BLOB NOT NULL, PRIMARY KEY (package, peer)) WITHOUT ROWID;
-- Heads that were seen and not kept: they are not asked for again.
CREATE TABLE refused (hash BLOB PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX refused_by_age ON refused (since);
-- This node's own heads, the oldest of which is renewed next.
CREATE INDEX heads_own ON heads (signed_at) WHERE own = 1;
-- Own packages that the DHT is told of in the background.
CREATE TABLE unspread (publisher BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (publisher, name)) WITHOUT ROWID;
-- What a migration leaves to be done.
CREATE TABLE todo (what TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO todo VALUES ('index');
",
    r"
-- What is held against peers, or for them.
CREATE TABLE ledger (peer BLOB PRIMARY KEY, sheet TEXT NOT NULL) WITHOUT ROWID;
",
    r"
-- What does not go together: both sides as they were signed, as far as they were held when it was seen, and of each what a
-- list shows. A handle has a row from when several keys claim it; the heads that are held say which.
ALTER TABLE conflicts RENAME TO old_conflicts;
CREATE TABLE conflicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, publisher BLOB NOT NULL, name TEXT NOT NULL,
    version TEXT NOT NULL, handle TEXT, kept BLOB NOT NULL, offered BLOB NOT NULL, seen_at INTEGER NOT NULL,
    kept_seq INTEGER, kept_at INTEGER, offered_seq INTEGER, offered_at INTEGER,
    kept_by BLOB, offered_by BLOB, kept_manifest BLOB, offered_manifest BLOB,
    UNIQUE (kind, publisher, name, version, kept, offered)
);
INSERT INTO conflicts (kind, publisher, name, version, kept, offered, seen_at, offered_by)
    SELECT 'version', publisher, name, version, kept, offered, seen_at, evidence
    FROM (SELECT * FROM old_conflicts ORDER BY seen_at DESC LIMIT 500) ORDER BY seen_at;
DROP TABLE old_conflicts;
-- How many had to make room.
CREATE TABLE forgotten (what TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
DROP INDEX heads_by_handle;
CREATE INDEX heads_by_handle ON heads (handle, publisher);
INSERT INTO conflicts (kind, publisher, name, version, kept, offered, seen_at)
    SELECT 'handle', x'', handle, '', x'', x'', max(received_at) FROM heads WHERE handle IS NOT NULL
    GROUP BY handle HAVING min(publisher) <> max(publisher) LIMIT 200;
",
];

pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<()> {
    migrate_by(connection, path, MIGRATIONS)
}

fn migrate_by(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(RegistryError::NewerSchema { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1i64..).zip(migrations).filter(|(version, _)| *version > found) {
        // One transaction each: a power cut leaves the schema before or after, never between.
        connection.execute_batch(&format!("BEGIN;{migration};PRAGMA user_version={version};COMMIT"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Takes longer than anybody waits, and fills a table while it does.
    const ENDLESS: &str = "CREATE TABLE much (n INTEGER);
INSERT INTO much WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count) SELECT n FROM count;";

    #[test]
    fn a_migration_that_is_interrupted_leaves_what_was_and_the_next_start_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let version = |connection: &Connection| {
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
        };
        let connection = Connection::open(&path).unwrap();
        migrate_by(&connection, &path, &MIGRATIONS[..1]).unwrap();
        connection.execute("INSERT INTO pins VALUES ('alice', x'01', 5)", []).unwrap();
        let handle = connection.get_interrupt_handle();
        let interrupting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            handle.interrupt();
        });
        assert!(migrate_by(&connection, &path, &[MIGRATIONS[0], ENDLESS]).is_err());
        interrupting.join().unwrap();
        // As when the process ends: nobody says what becomes of the transaction.
        drop(connection);

        let connection = Connection::open(&path).unwrap();
        assert_eq!(version(&connection), 1);
        migrate(&connection, &path).unwrap();
        assert_eq!(version(&connection), MIGRATIONS.len() as i64);
        let pins: i64 = connection.query_row("SELECT count(*) FROM pins", [], |row| row.get(0)).unwrap();
        assert_eq!(pins, 1);
        assert!(connection.prepare("SELECT * FROM much").is_err(), "nothing of it is there");
    }

    #[test]
    fn conflicts_of_earlier_versions_are_kept_and_handles_that_several_keys_claim_are_found() {
        const BEFORE: usize = 5;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let connection = Connection::open(&path).unwrap();
        migrate_by(&connection, &path, &MIGRATIONS[..BEFORE]).unwrap();
        let head = |key: &str, name: &str, handle: &str| {
            format!(
                "INSERT INTO heads (publisher, name, seq, hash, handle, signed_at, received_at, envelope)
                 VALUES (x'{key}', '{name}', 1, x'00', '{handle}', 1, 2, x'');"
            )
        };
        let heads =
            [head("01", "a", "alice"), head("01", "b", "alice"), head("02", "a", "alice"), head("02", "c", "bob")];
        connection.execute_batch(&heads.concat()).unwrap();
        connection
            .execute_batch(
                "INSERT INTO conflicts VALUES (x'01', 'a', '1.0.0', x'01', x'02', 9, x'ee');
                 INSERT INTO conflicts VALUES (x'01', 'a', '0.9.0', x'01', x'02', 5, x'ee');",
            )
            .unwrap();
        migrate(&connection, &path).unwrap();
        let mut statement = connection.prepare("SELECT kind, name, version FROM conflicts ORDER BY id").unwrap();
        let rows: Vec<String> = statement
            .query_map([], |row| {
                let [kind, name, version]: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
                Ok(format!("{kind} {name} {version}"))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows, ["version a 0.9.0", "version a 1.0.0", "handle alice "]);
    }
}
