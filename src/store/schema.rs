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
];

pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<()> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(RegistryError::NewerSchema { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        // One transaction each: a power cut leaves the schema before or after, never between.
        connection.execute_batch(&format!("BEGIN;{migration};PRAGMA user_version={version};COMMIT"))?;
    }
    Ok(())
}
