//! Tests with a database that a program of schema 12 wrote: 120 packages of Debian, of which one
//! was evicted and one listed again, an unsigned preview and a fork.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    domain::{query::Query, time::Timestamp},
    metrics::Metrics,
    store::{Store, database_path, usage},
};

use super::*;

const OLD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/schema-12.db.zst"
);
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn old(dir: &Path) -> PathBuf {
    let path = database_path(dir);
    let packed = std::fs::File::open(OLD).unwrap();
    std::fs::write(&path, zstd::decode_all(packed).unwrap()).unwrap();
    path
}

fn rows(db: &Connection, sql: &str) -> Vec<String> {
    let mut all = db.prepare(sql).unwrap();
    let columns = all.column_count();
    let mut read = all.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = read.next().unwrap() {
        let values: Vec<_> = (0..columns)
            .map(|at| format!("{:?}", row.get_ref(at).unwrap()))
            .collect();
        found.push(values.join(" "));
    }
    found
}

/// Returns the contents of the records, in the same form for both schemas, without previews.
fn said(db: &Connection) -> BTreeMap<&'static str, Vec<String>> {
    let version: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    let mut said = BTreeMap::from(
        [
            "SELECT id, publisher, name, seq, hash, handle, signed_at, received_at, confirmed_at, confirmed_by, own
             FROM heads ORDER BY id",
            "SELECT publisher, name, seq, hash, expires, fold FROM marks ORDER BY name",
            "SELECT publisher, name, version, manifest, nth FROM releases ORDER BY name, version, \
             manifest",
            "SELECT id, publisher, name, popularity, signed_at, flags, ecosystem, handle, version, title, summary,
             categories, tags, license, needs, bare FROM packages WHERE flags & 2 = 0 ORDER BY id",
            "SELECT id, head, hash FROM manifests ORDER BY id",
            "SELECT * FROM files ORDER BY head, file, manifest",
            "SELECT * FROM forks",
            "SELECT publisher, first_seen, last_seen, own, packages FROM publishers",
            "SELECT packages, folds, conflicts FROM usage",
            "SELECT * FROM claims",
            "SELECT * FROM dependents ORDER BY need, package",
            "SELECT need FROM recount GROUP BY need",
        ]
        .map(|sql| (sql, rows(db, sql))),
    );
    let listed = match version {
        12 => {
            "SELECT p.id, m.id FROM packages p JOIN manifests m ON m.hash = p.manifest ORDER BY \
             p.id"
        }
        _ => "SELECT id, manifest FROM package_rows WHERE manifest IS NOT NULL ORDER BY id",
    };
    said.insert("listed", rows(db, listed));
    // Facets have another prefix; nothing else in the index may differ.
    db.execute_batch("CREATE VIRTUAL TABLE temp.seen USING fts5vocab (main, words, 'instance');")
        .unwrap();
    let mut words = rows(
        db,
        "SELECT doc, col, offset, replace(term, char(57344), '') FROM temp.seen WHERE doc IN \
         (SELECT id FROM packages WHERE flags & 2 = 0)",
    );
    words.sort();
    said.insert("words", words);
    db.execute_batch("DROP TABLE temp.seen").unwrap();
    said
}

fn envelopes(db: &Connection) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for table in ["heads", "manifests"] {
        let mut all = db
            .prepare(&format!("SELECT envelope FROM {table} ORDER BY id"))
            .unwrap();
        let rows = all.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        found.extend(rows.map(|held| crate::store::pack::unpack(&held.unwrap()).unwrap().into()));
    }
    found
}

#[tokio::test]
async fn a_database_of_schema_12_is_led_to_this_one_and_nothing_of_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = old(dir.path());
    let (before, signed) = {
        let db = Connection::open(&path).unwrap();
        (said(&db), envelopes(&db))
    };
    assert!(before.values().filter(|rows| rows.is_empty()).count() == 0);
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let db = Connection::open(&path).unwrap();
    for (what, after) in said(&db) {
        assert_eq!(after, before[what], "{what}");
    }
    assert_eq!(envelopes(&db), signed);
    assert_eq!(usage::usage(&db).unwrap(), usage::counted(&db));
    let kept: u64 = db
        .query_row("SELECT sum(length(envelope)) FROM manifests", [], |row| {
            row.get(0)
        })
        .unwrap();
    let whole: u64 = db
        .query_row("SELECT sum(bytes) FROM manifests", [], |row| row.get(0))
        .unwrap();
    assert!(kept * 3 < whole * 2, "{kept} of {whole}");
    let found = store.search(&Query::text("library"), NOW).unwrap();
    assert!(!found.hits.is_empty());
    let hashes: Vec<_> = store
        .head_hashes()
        .unwrap()
        .into_iter()
        .map(|(hash, _)| hash)
        .collect();
    let raw = store.raw_heads(&hashes).unwrap();
    assert!(raw.iter().all(|(head, manifest)| {
        signed.contains(head)
            && manifest
                .as_ref()
                .is_none_or(|manifest| signed.contains(manifest))
    }));
    // Opened again, it is unchanged.
    drop(store);
    Store::open(dir.path(), Metrics::default()).unwrap();
    assert_eq!(said(&db)["words"], before["words"]);
}

#[tokio::test]
async fn previews_of_schema_12_are_dropped_with_everything_that_refers_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = old(dir.path());
    let preview = {
        let db = Connection::open(&path).unwrap();
        let preview: i64 = db
            .query_row("SELECT id FROM packages WHERE flags & 2 <> 0", [], |row| {
                row.get(0)
            })
            .unwrap();
        db.execute("INSERT INTO dependents VALUES (77, ?)", [preview])
            .unwrap();
        db.execute("INSERT INTO providers VALUES (?, x'00')", [preview])
            .unwrap();
        preview
    };
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let db = Connection::open(&path).unwrap();
    for count in [
        "SELECT count(*) FROM package_rows WHERE id = ?",
        "SELECT count(*) FROM words WHERE rowid = ?",
        "SELECT count(*) FROM dependents WHERE package = ?",
        "SELECT count(*) FROM providers WHERE package = ?",
    ] {
        let left: i64 = db.query_row(count, [preview], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{count}");
    }
    let recount = "SELECT 1 FROM recount WHERE need = 77";
    assert!(db.prepare(recount).unwrap().exists([]).unwrap());
    let found = store.search(&Query::text("previewed"), NOW).unwrap();
    assert_eq!(found.total, 0);
}

#[test]
fn whatever_interrupts_it_leaves_the_database_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = old(dir.path());
    let before = said(&Connection::open(&path).unwrap());
    let mut interrupted = 0;
    for step in (0..).map(|step| 1 << step) {
        static LEFT: AtomicU64 = AtomicU64::new(0);
        let mut db = Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        LEFT.store(step, Ordering::Relaxed);
        let is_over = || LEFT.fetch_sub(1, Ordering::Relaxed) == 0;
        db.progress_handler(50, Some(is_over)).unwrap();
        let migrated = migrate(&db);
        db.progress_handler(0, None::<fn() -> bool>).unwrap();
        if migrated.is_ok() {
            break;
        }
        interrupted += 1;
        drop(db);
        let db = Connection::open(&path).unwrap();
        assert_eq!(
            super::super::version(&db).unwrap(),
            12,
            "after {step} steps"
        );
        assert_eq!(said(&db), before, "after {step} steps");
    }
    assert!(interrupted > 5, "{interrupted}");
    let db = Connection::open(&path).unwrap();
    assert_eq!(super::super::version(&db).unwrap(), VERSION);
    for (what, after) in said(&db) {
        assert_eq!(after, before[what], "{what}");
    }
}
