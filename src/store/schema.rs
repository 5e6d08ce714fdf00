//! The schema, and the checks of a database with another version of it.

mod from_12;
mod from_13;

use std::path::Path;

use rusqlite::Connection;

use crate::{RegistryError, Result};

/// The version of [`SCHEMA`], stored in the database's `user_version`. Versions 12 and 13 are
/// migrated (see `from_12.rs` and `from_13.rs`). Versions up to 6 have records with other hashes,
/// and version 7 split words differently and had no pins of releases, so they cannot be upgraded.
const VERSION: i64 = 14;
/// The earliest version that can be migrated when it is opened.
const OLDEST: i64 = 12;

/// The tables of records. Their rows refer to publishers by number, because a key is longer than a
/// name and would be in each of ten tables and indexes; the views have the keys.
const RECORDS: &str = r"
-- Numbers for public keys that have a row in `publishers` or a listed package.
CREATE TABLE keys (id INTEGER PRIMARY KEY, publisher BLOB NOT NULL UNIQUE);
-- Long rows (heads, manifests) are stored in order of arrival and found by indexes. In order of
-- hashes, each new row would change another page. `fold` summarises the versions that no record
-- lists any more (domain/fold.rs). `bytes` is what the row is charged with (usage.rs). The signed
-- envelope is packed (pack.rs).
CREATE TABLE head_rows (
    id INTEGER PRIMARY KEY, key INTEGER NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
    handle TEXT, signed_at INTEGER NOT NULL, received_at INTEGER NOT NULL,
    -- The last time at which other peers held the same state, and their number.
    confirmed_at INTEGER, confirmed_by INTEGER NOT NULL DEFAULT 0,
    own INTEGER NOT NULL DEFAULT 0, expires INTEGER NOT NULL, fold BLOB NOT NULL DEFAULT x'', bytes INTEGER NOT NULL,
    envelope BLOB NOT NULL, UNIQUE (key, name)
);
CREATE INDEX heads_by_handle ON head_rows (handle, key);
-- Reconciliation reads only this index.
CREATE INDEX heads_by_hash ON head_rows (hash, signed_at);
-- This node's own heads. The oldest one is renewed next.
CREATE INDEX heads_own ON head_rows (signed_at) WHERE own = 1;
CREATE VIEW heads AS SELECT h.id, k.publisher, h.name, h.seq, h.hash, h.handle, h.signed_at, h.received_at,
    h.confirmed_at, h.confirmed_by, h.own, h.envelope FROM head_rows h JOIN keys k ON k.id = h.key;
CREATE TRIGGER claim_gone BEFORE DELETE ON head_rows WHEN old.handle IS NOT NULL BEGIN
    DELETE FROM claims WHERE handle = old.handle AND publisher = (SELECT publisher FROM keys WHERE id = old.key)
        AND NOT EXISTS (SELECT 1 FROM head_rows WHERE handle = old.handle AND key = old.key AND id <> old.id);
END;
-- The highest state ever seen of each package whose head was evicted at `gone_at`, with its fold.
CREATE TABLE mark_rows (
    key INTEGER NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, expires INTEGER NOT NULL,
    gone_at INTEGER NOT NULL, fold BLOB NOT NULL, PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE INDEX marks_by_end ON mark_rows (gone_at);
-- The highest state ever seen of each package, evicted or not.
CREATE VIEW marks AS SELECT k.publisher, h.name, h.seq, h.hash, h.expires, h.fold
    FROM head_rows h JOIN keys k ON k.id = h.key
    UNION ALL SELECT k.publisher, m.name, m.seq, m.hash, m.expires, m.fold FROM mark_rows m JOIN keys k ON k.id = m.key;
-- The first manifest hash seen of each version, as long as a record lists the version. It never
-- changes. A release that may grow has several, in the order in which they were seen. Rows exist
-- only while the head is held; afterwards the fold has them.
CREATE TABLE release_rows (
    head INTEGER NOT NULL, version TEXT NOT NULL, manifest BLOB NOT NULL, nth INTEGER NOT NULL,
    PRIMARY KEY (head, version, manifest)
) WITHOUT ROWID;
CREATE VIEW releases AS SELECT k.publisher, h.name, r.version, r.manifest, r.nth
    FROM release_rows r JOIN head_rows h ON h.id = r.head JOIN keys k ON k.id = h.key;
CREATE TABLE manifests (
    id INTEGER PRIMARY KEY, head INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL,
    envelope BLOB NOT NULL
);
CREATE INDEX manifests_of ON manifests (head);
-- Without an index of its own: when a package goes, the rows of all its files are deleted first.
CREATE TRIGGER files_gone AFTER DELETE ON manifests BEGIN
    DELETE FROM files WHERE head = old.head AND manifest = old.id;
END;
-- Packages as searches read them and hits show them. Here and in other tables, `name` has its
-- ecosystem as a prefix, as in `cargo:serde`, except in `generic`. `manifest` is the row of the
-- listed release's manifest, which is deleted with the head. `skeleton` is a number made from the
-- name (look_alikes.rs).
CREATE TABLE package_rows (
    id INTEGER PRIMARY KEY, key INTEGER NOT NULL, name TEXT NOT NULL, popularity INTEGER NOT NULL,
    signed_at INTEGER NOT NULL, flags INTEGER NOT NULL, ecosystem TEXT NOT NULL, handle TEXT, version TEXT NOT NULL,
    title TEXT, summary TEXT NOT NULL, categories TEXT NOT NULL, tags TEXT NOT NULL, license TEXT, needs BLOB NOT NULL,
    manifest INTEGER, skeleton INTEGER NOT NULL, bare TEXT GENERATED ALWAYS AS (substr(name, instr(name, ':') + 1)) VIRTUAL,
    UNIQUE (key, name)
);
-- Finds names that look alike.
CREATE INDEX packages_by_skeleton ON package_rows (skeleton, key);
CREATE INDEX packages_by_name ON package_rows (bare, popularity);
CREATE INDEX packages_by_popularity ON package_rows (popularity);
CREATE INDEX packages_by_age ON package_rows (signed_at);
CREATE VIEW packages AS SELECT p.id, k.publisher, p.name, p.popularity, p.signed_at, p.flags, p.ecosystem, p.handle,
    p.version, p.title, p.summary, p.categories, p.tags, p.license, p.needs, p.manifest, p.skeleton, p.bare
    FROM package_rows p JOIN keys k ON k.id = p.key;
-- Packages whose dependents changed since they were counted. `package` is the package's row, if it
-- is known.
CREATE TABLE recount (need INTEGER PRIMARY KEY, package INTEGER);
CREATE TRIGGER publisher_gone AFTER DELETE ON publishers BEGIN
    DELETE FROM keys WHERE publisher = old.publisher AND NOT EXISTS (SELECT 1 FROM package_rows WHERE key = keys.id);
END;
CREATE TRIGGER package_gone AFTER DELETE ON package_rows BEGIN
    DELETE FROM keys WHERE id = old.key AND NOT EXISTS (SELECT 1 FROM package_rows WHERE key = old.key)
        AND NOT EXISTS (SELECT 1 FROM publishers WHERE publisher = keys.publisher);
END;
";

/// The index of words.
const WORDS: &str = r"
-- Words as `domain::query::words` makes them, separated by spaces, so that the index splits nowhere
-- else. `c++` and `c#` are words. `facets` has one word for each label, which no text contains
-- (listing.rs). Prefixes of one letter use those of two.
CREATE VIRTUAL TABLE words USING fts5 (
    name, title, description, labels, facets,
    content='', contentless_delete=1, prefix='2 3', tokenize='ascii tokenchars ''+#'''
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
";

const SCHEMA: &str = r"
-- The keys that claim each handle, and the time at which this node learned it. A row lasts as long
-- as a held head has the claim.
CREATE TABLE claims (
    publisher BLOB NOT NULL, handle TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (publisher, handle)
) WITHOUT ROWID;
CREATE INDEX claims_by_handle ON claims (handle, since);
-- Heads of the current seq that were not selected. The publisher joins them in its next head.
CREATE TABLE forks (
    publisher BLOB NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, seq INTEGER NOT NULL, envelope BLOB NOT NULL,
    own INTEGER NOT NULL, PRIMARY KEY (publisher, name, hash)
) WITHOUT ROWID;
-- Pages and manifests belong to a held head and are deleted with it.
CREATE TABLE pages (hash BLOB PRIMARY KEY, head INTEGER NOT NULL, envelope BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX pages_of ON pages (head);
-- The manifests of a package that list a file, by a number made of its version and name. A file
-- that is added to a release is checked against them without reading earlier manifests. Only
-- ecosystems whose releases grow have rows.
CREATE TABLE files (
    head INTEGER NOT NULL, file INTEGER NOT NULL, manifest INTEGER NOT NULL, PRIMARY KEY (head, file, manifest)
) WITHOUT ROWID;
-- Each publisher's packages and bytes, as the triggers of usage.rs count them, and when it was
-- first and last seen.
CREATE TABLE publishers (
    publisher BLOB PRIMARY KEY, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, own INTEGER NOT NULL,
    packages INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX publishers_own ON publishers (publisher) WHERE own = 1;
-- The sums over publishers and conflicts. `folds` is the part of evicted packages.
CREATE TABLE usage (bytes INTEGER NOT NULL, packages INTEGER NOT NULL, folds INTEGER NOT NULL, conflicts INTEGER NOT NULL);
INSERT INTO usage VALUES (0, 0, 0, 0);
-- Records that contradict each other: the signed bytes of both sides, if they were held at the
-- time, and the columns that a list shows. A handle has a row once several keys claim it; the held
-- heads say which keys.
CREATE TABLE conflicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, publisher BLOB NOT NULL, name TEXT NOT NULL,
    version TEXT NOT NULL, handle TEXT, kept BLOB NOT NULL, offered BLOB NOT NULL, seen_at INTEGER NOT NULL,
    kept_seq INTEGER, kept_at INTEGER, offered_seq INTEGER, offered_at INTEGER,
    kept_by BLOB, offered_by BLOB, kept_manifest BLOB, offered_manifest BLOB,
    -- The name of a changed file; the page between the two states if a release was removed.
    file TEXT NOT NULL DEFAULT '', page BLOB,
    UNIQUE (kind, publisher, name, version, file, kept, offered)
);
-- Numbers of evicted rows, by kind.
CREATE TABLE forgotten (what TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
-- The packages that depend on a package, by the hash of its id.
CREATE TABLE dependents (need INTEGER NOT NULL, package INTEGER NOT NULL, PRIMARY KEY (need, package)) WITHOUT ROWID;
-- Peers seen to have a package's content.
CREATE TABLE providers (package INTEGER NOT NULL, peer BLOB NOT NULL, PRIMARY KEY (package, peer)) WITHOUT ROWID;
-- Heads that were received and not stored. They are not requested again.
CREATE TABLE refused (hash BLOB PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX refused_by_age ON refused (since);
CREATE TABLE pins (handle TEXT PRIMARY KEY, publisher BLOB NOT NULL, pinned_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE distrusted (publisher BLOB PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
-- Publishes that are not delivered in full yet.
CREATE TABLE outbox (
    publisher BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, replicas INTEGER NOT NULL DEFAULT 0,
    announced INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL, PRIMARY KEY (publisher, name)
) WITHOUT ROWID;
-- The delivery of each package's last publish at the time it left the outbox.
CREATE TABLE deliveries (
    publisher BLOB NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, replicas INTEGER NOT NULL,
    announced INTEGER NOT NULL, delivered_at INTEGER NOT NULL, PRIMARY KEY (publisher, name)
) WITHOUT ROWID;
-- Own packages that are still to be put into the DHT in the background.
CREATE TABLE unspread (publisher BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (publisher, name)) WITHOUT ROWID;
CREATE TABLE peers (
    id BLOB PRIMARY KEY, addresses TEXT NOT NULL, standing TEXT NOT NULL, last_seen INTEGER NOT NULL
) WITHOUT ROWID;
-- Peer scores.
CREATE TABLE ledger (peer BLOB PRIMARY KEY, sheet TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, expires INTEGER NOT NULL, refreshed_at INTEGER NOT NULL,
    -- The peer whose quota it uses (NULL for this node), and the public prefix that it came from.
    peer BLOB, prefix TEXT
) WITHOUT ROWID;
-- Content by its root. Small content is in `data`, the last column; larger content is in files.
CREATE TABLE contents (
    id INTEGER PRIMARY KEY, root BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, own INTEGER NOT NULL DEFAULT 0,
    added_at INTEGER NOT NULL, used_at INTEGER NOT NULL, what TEXT, origin TEXT,
    data BLOB
);
CREATE INDEX contents_by_use ON contents (used_at);
-- Damaged content. It gets its purpose back when it is fetched again.
CREATE TABLE lost (
    root BLOB PRIMARY KEY, size INTEGER NOT NULL, own INTEGER NOT NULL, what TEXT, since INTEGER NOT NULL
) WITHOUT ROWID;
-- Pinned releases, whose content is kept, and stays pinned if it is damaged. Two releases may share
-- content, so each has its own pin.
CREATE TABLE content_pins (root BLOB NOT NULL, release TEXT NOT NULL, PRIMARY KEY (root, release)) WITHOUT ROWID;
-- Releases that this node keeps or fetches as a replica, by the hashes of their manifests. `copied`
-- lists those of their contents that no person asked for. When one of these is deleted, the release
-- is not kept any more.
CREATE TABLE copies (
    release BLOB PRIMARY KEY, publisher BLOB NOT NULL, bytes INTEGER NOT NULL, since INTEGER NOT NULL,
    elsewhere INTEGER NOT NULL DEFAULT 0, envelope BLOB NOT NULL
);
CREATE INDEX copies_by_publisher ON copies (publisher, bytes);
CREATE TABLE copied (root BLOB NOT NULL, release BLOB NOT NULL, PRIMARY KEY (root, release)) WITHOUT ROWID;
CREATE INDEX copied_of ON copied (release);
CREATE TRIGGER copy_gone AFTER DELETE ON copies BEGIN
    DELETE FROM copied WHERE release = old.release;
    DELETE FROM holders WHERE release = old.release;
END;
CREATE TRIGGER copied_gone AFTER DELETE ON contents BEGIN
    DELETE FROM copies WHERE release IN (SELECT release FROM copied WHERE root = old.root);
END;
-- Nodes seen to hold the bytes of an own release, or of a replicated one.
CREATE TABLE holders (
    release BLOB NOT NULL, peer BLOB NOT NULL, proved_at INTEGER NOT NULL, missing_since INTEGER,
    PRIMARY KEY (release, peer)
);
-- Own releases with too few replicas.
CREATE TABLE uncopied (
    release BLOB PRIMARY KEY, since INTEGER NOT NULL, tried_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX uncopied_by_trial ON uncopied (tried_at);
-- Unfinished fetches, which the next start resumes.
CREATE TABLE fetches (
    root BLOB PRIMARY KEY, wanted TEXT NOT NULL, paused INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL
) WITHOUT ROWID;
-- Tasks for the next start.
CREATE TABLE todo (what TEXT PRIMARY KEY) WITHOUT ROWID;
-- The owners of bare names: a person's rules by name or pattern, the keys trusted for names, and
-- the owner that a name was first served from, which keeps it. Blocked releases are not served; ''
-- means all versions, or all files.
CREATE TABLE names (pattern TEXT PRIMARY KEY, publisher BLOB NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE trusted (
    publisher BLOB NOT NULL, pattern TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (publisher, pattern)
) WITHOUT ROWID;
CREATE TABLE served (name TEXT PRIMARY KEY, publisher BLOB NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blocked (
    name TEXT NOT NULL, version TEXT NOT NULL, file TEXT NOT NULL, why TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (name, version, file)
) WITHOUT ROWID;
";

/// Returns the schema version of a database; 0 if it has none yet.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Checks that this program can use a database of version `found`.
///
/// # Errors
/// [`RegistryError::NewerSchema`] and [`RegistryError::OlderSchema`] if it cannot.
pub(super) fn check(found: i64, path: &Path) -> Result<()> {
    let path = path.to_owned();
    match found {
        OLDEST..=VERSION => Ok(()),
        found if found > VERSION => Err(RegistryError::NewerSchema {
            path,
            found,
            known: VERSION,
        }),
        found => Err(RegistryError::OlderSchema {
            path,
            found,
            known: VERSION,
        }),
    }
}

/// Creates the schema in a new database, migrates one of the versions before, and leaves one of any
/// other version unchanged.
///
/// # Errors
/// [`RegistryError::NewerSchema`] and [`RegistryError::OlderSchema`] for a database of another
/// version.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<()> {
    match version(connection)? {
        // In one transaction, so that a power cut leaves all of it or nothing.
        0 => connection.execute_batch(&format!(
            "BEGIN;{SCHEMA};{RECORDS};{WORDS};{};PRAGMA user_version={VERSION};COMMIT",
            super::usage::triggers()
        ))?,
        OLDEST => from_12::migrate(connection)?,
        13 => from_13::migrate(connection)?,
        found => check(found, path)?,
    }
    Ok(connection.execute_batch(super::known_keys::TABLE)?)
}
