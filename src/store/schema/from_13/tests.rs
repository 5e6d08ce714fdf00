//! Tests with the database of `from_12/tests.rs`, as a program of schema 13 had migrated it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    domain::{query::Query, time::Timestamp},
    metrics::Metrics,
    store::{Store, database_path},
};

use super::*;

const OLD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/schema-13.db.zst"
);

fn old(dir: &std::path::Path) -> std::path::PathBuf {
    let path = database_path(dir);
    let packed = std::fs::File::open(OLD).unwrap();
    std::fs::write(&path, zstd::decode_all(packed).unwrap()).unwrap();
    path
}

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_database_of_schema_13_is_led_to_this_one_and_charged_as_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = old(dir.path());
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let db = Connection::open(&path).unwrap();
    assert_eq!(number(&db, "PRAGMA user_version"), VERSION);
    assert_eq!(usage::usage(&db).unwrap(), usage::counted(&db));
    let found = store
        .search(&Query::text("library"), Timestamp(1_800_000_000_000))
        .unwrap();
    assert!(!found.hits.is_empty());
    // The same triggers, tables and indexes as in a new database.
    let new = tempfile::tempdir().unwrap();
    drop(Store::open(new.path(), Metrics::default()).unwrap());
    let schema = |db: &Connection| {
        let mut all = db
            .prepare("SELECT type || ' ' || name FROM sqlite_schema ORDER BY 1")
            .unwrap();
        let names = all.query_map([], |row| row.get::<_, String>(0)).unwrap();
        names.map(Result::unwrap).collect::<Vec<_>>()
    };
    let fresh = Connection::open(database_path(new.path())).unwrap();
    assert_eq!(schema(&db), schema(&fresh));
    // Everything that is evicted is credited again.
    db.execute_batch(
        "DELETE FROM manifests; DELETE FROM release_rows; DELETE FROM pages; DELETE FROM forks;
         DELETE FROM head_rows; DELETE FROM mark_rows",
    )
    .unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM publishers"), 0);
    assert_eq!(number(&db, "SELECT count(*) FROM files"), 0);
    assert_eq!(usage::usage(&db).unwrap(), usage::counted(&db));
}

#[test]
fn whatever_interrupts_it_leaves_the_database_as_it_was() {
    static LEFT: AtomicU64 = AtomicU64::new(0);
    let dir = tempfile::tempdir().unwrap();
    let path = old(dir.path());
    let mut interrupted = 0;
    for step in (0..).map(|step| 1 << step) {
        let mut db = Connection::open(&path).unwrap();
        LEFT.store(step, Ordering::Relaxed);
        let is_over = || LEFT.fetch_sub(1, Ordering::Relaxed) == 0;
        db.progress_handler(50, Some(is_over)).unwrap();
        let migrated = migrate(&db);
        db.progress_handler(0, None::<fn() -> bool>).unwrap();
        drop(db);
        let db = Connection::open(&path).unwrap();
        if migrated.is_ok() {
            assert_eq!(number(&db, "PRAGMA user_version"), VERSION);
            break;
        }
        interrupted += 1;
        assert_eq!(number(&db, "PRAGMA user_version"), 13, "after {step} steps");
    }
    assert!(interrupted > 3, "{interrupted}");
}
