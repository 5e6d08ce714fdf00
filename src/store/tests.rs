use std::{collections::HashSet, path::Path, time::Duration};

use libp2p::identity::Keypair;
use rusqlite::OptionalExtension;

use super::*;
use crate::domain::{
    hash::Hash,
    manifest::{Ecosystem, File, Manifest},
    name::PublisherId,
    query::Query,
    record::{Admission, Authorised, DEFAULT_LIFE, Head, HeadState, MAX_JUMP},
    release::ReleaseEntry,
    time::Timestamp,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn manifest(key: &Keypair, name: &str, version: &str, description: &str) -> Authorised<Manifest> {
    let manifest = Manifest {
        owner: PublisherId::of(&key.public()),
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        title: None,
        description: description.to_owned(),
        categories: vec!["net".to_owned()],
        tags: vec!["fast".to_owned()],
        license: None,
        authors: vec![],
        repository: None,
        homepage: None,
        dependencies: vec![],
        files: vec![File::of(&Ecosystem::Generic, "x", b"x")],
        readme: None,
        ecosystem: Ecosystem::Cargo,
        native: None,
        signed_at: NOW,
        ext: Default::default(),
    };
    Authorised::sign(key, manifest).unwrap()
}

fn head(key: &Keypair, manifests: &[&Authorised<Manifest>], seq: u64) -> Authorised<Head> {
    let releases = manifests
        .iter()
        .map(|m| ReleaseEntry::new(m.version.clone(), m.hash()))
        .collect();
    state(manifests[0].name.as_str(), releases, seq)
        .sign(key, NOW, DEFAULT_LIFE)
        .unwrap()
        .0
}

fn state(name: &str, releases: Vec<ReleaseEntry>, seq: u64) -> HeadState {
    let prev = if seq == 1 {
        vec![]
    } else {
        vec![Hash::of(b"before")]
    };
    HeadState {
        handle: Some("alice".parse().unwrap()),
        seq,
        prev,
        ..HeadState::first(Ecosystem::Cargo, name.parse().unwrap(), releases)
    }
}

async fn take(
    store: &Store,
    head: &Authorised<Head>,
    manifests: &[&Authorised<Manifest>],
) -> HeadVerdict {
    let manifests = manifests.iter().map(|m| (*m).clone()).collect();
    store
        .take_head(head.clone(), vec![], manifests, false, NOW)
        .await
        .unwrap()
}

fn open(dir: &Path) -> Store {
    // The operating system may close a dropped store's files a little later, and hold the lock
    // until then.
    for _ in 0..200 {
        match Store::open(dir, Metrics::default()) {
            Err(RegistryError::DataDirInUse { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
    Store::open(dir, Metrics::default()).unwrap()
}

#[tokio::test]
async fn heads_are_taken_by_the_rules_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let key = Keypair::generate_ed25519();
    let (one, two) = (
        manifest(&key, "web", "1.0.0", "A server"),
        manifest(&key, "web", "1.1.0", "A better server"),
    );
    let (first, second) = (head(&key, &[&one], 1), head(&key, &[&one, &two], 2));
    let package = first.package().clone();
    {
        let store = open(dir.path());
        assert_eq!(
            take(&store, &first, &[&one]).await,
            HeadVerdict::Admitted(Admission::Newer)
        );
        assert_eq!(
            take(&store, &second, &[&two]).await,
            HeadVerdict::Admitted(Admission::Newer)
        );
        assert_eq!(
            take(&store, &second, &[]).await,
            HeadVerdict::Admitted(Admission::Same)
        );
        assert_eq!(
            take(&store, &first, &[]).await,
            HeadVerdict::Admitted(Admission::Older)
        );
        assert_eq!(
            store.judge_head(&first, NOW).unwrap().refusal(),
            Some(crate::domain::record::Refusal::Superseded)
        );
    }
    let store = open(dir.path());
    assert_eq!(store.head(&package).unwrap().unwrap().head, second);
    assert_eq!(store.mark(&package).unwrap().unwrap().seq, 2);
    let hits = store.search(&Query::text("bett"), NOW).unwrap().hits;
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].version.to_string(), "1.1.0");
}

#[tokio::test]
async fn a_changed_manifest_costs_its_own_entry_and_is_kept_as_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (one, changed) = (
        manifest(&key, "web", "1.0.0", "A server"),
        manifest(&key, "web", "1.0.0", "A trojan"),
    );
    let first = head(&key, &[&one], 1);
    take(&store, &first, &[&one]).await;
    let two = manifest(&key, "web", "2.0.0", "A better server");
    let rewritten = head(&key, &[&changed, &two], 2);
    let disputed = HeadVerdict::Disputed(Admission::Newer);
    assert_eq!(take(&store, &rewritten, &[&changed, &two]).await, disputed);
    let package = first.package().clone();
    // The state is accepted, so that two parts of the network that saw different manifests first
    // converge.
    assert_eq!(store.head(&package).unwrap().unwrap().head, rewritten);
    let (releases, _) = store.releases(&rewritten).unwrap();
    assert_eq!(
        releases
            .iter()
            .map(|entry| entry.manifests[0])
            .collect::<Vec<_>>(),
        [one.hash(), two.hash()]
    );
    let own = store
        .take_own_head(
            head(&key, &[&changed], 3),
            vec![],
            None,
            "1.0.0".parse().unwrap(),
            NOW,
        )
        .await;
    assert!(matches!(own.unwrap(), HeadVerdict::Disputed(_)));
    assert_eq!(
        store.mark(&package).unwrap().unwrap().seq,
        2,
        "this node signs no such state"
    );
    let conflicts = store.conflicts(&package).unwrap();
    assert_eq!(
        (conflicts[0].kept, conflicts[0].offered),
        (one.hash(), changed.hash())
    );
}

#[tokio::test]
async fn a_manifest_that_is_listed_as_another_version_or_package_is_refused_once_both_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let two = manifest(&key, "web", "2.0.0", "A server");
    let lie = |name: &str, seq| {
        let entry = ReleaseEntry::new("3.0.0".parse().unwrap(), two.hash());
        state(name, vec![entry], seq)
            .sign(&key, NOW, DEFAULT_LIFE)
            .unwrap()
            .0
    };
    take(&store, &head(&key, &[&two], 1), &[&two]).await;
    assert_eq!(
        take(&store, &lie("web", 2), &[]).await,
        HeadVerdict::Inconsistent
    );
    assert_eq!(
        take(&store, &lie("other", 1), &[]).await,
        HeadVerdict::Inconsistent
    );

    // In the other order nothing is known when the head arrives, and the later manifest neither is
    // listed by the head nor came with it.
    let late = tempfile::tempdir().unwrap();
    let store = open(late.path());
    let lie = lie("web", 2);
    assert_eq!(
        take(&store, &lie, &[&two]).await,
        HeadVerdict::Admitted(Admission::Newer)
    );
    store.take_manifest(two.clone(), NOW).await.unwrap();
    assert!(
        store
            .search(&Query::text("web"), NOW)
            .unwrap()
            .hits
            .is_empty()
    );
    assert_eq!(
        store.raw_heads(&[lie.hash()]).unwrap(),
        [(lie.envelope().to_vec(), None)]
    );
}

#[tokio::test]
async fn a_release_that_grows_is_asked_for_its_files_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let of = |version: &str, file: &str| {
        let one = manifest(&key, "a", "1.0.0", file).into_value();
        let files = vec![File::of(&Ecosystem::Pypi, file, file.as_bytes())];
        let version = version.parse().unwrap();
        Authorised::sign(
            &key,
            Manifest {
                ecosystem: Ecosystem::Pypi,
                version,
                files,
                ..one
            },
        )
        .unwrap()
    };
    let (source, wheel, later) = (
        of("1.0", "a.tar.gz"),
        of("1.0", "a.whl"),
        of("1.1", "a.whl"),
    );
    let entry = |version: &str, manifests: &[&Authorised<Manifest>]| {
        let manifests = manifests.iter().map(|one| one.hash()).collect();
        ReleaseEntry {
            manifests,
            ..ReleaseEntry::new(version.parse().unwrap(), Hash([0; 32]))
        }
    };
    let releases = vec![entry("1.0", &[&source, &wheel]), entry("1.1", &[&later])];
    let state = HeadState {
        ecosystem: Ecosystem::Pypi,
        ..state("a", releases.clone(), 1)
    };
    let (head, _) = state.sign(&key, NOW, DEFAULT_LIFE).unwrap();
    take(&store, &head, &[&source, &wheel]).await;
    let listing = |version: &str, files: &[&str]| {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        store
            .listing_files(
                head.package(),
                &entry(version, &[&source, &wheel, &later]),
                &files,
            )
            .unwrap()
    };
    let one = |manifest: &Authorised<Manifest>| HashSet::from([manifest.hash()]);
    assert_eq!(
        listing("1.0.0", &["a.whl"]),
        (one(&wheel), vec![later.hash()]),
        "however the version is spelt"
    );
    assert_eq!(listing("1.0", &["b.whl", "a.tar.gz"]).0, one(&source));
    assert!(listing("1.0", &["b.whl"]).0.is_empty() && listing("1.1", &["a.whl"]).0.is_empty());
    store.take_manifest(later.clone(), NOW).await.unwrap();
    assert_eq!(listing("1.1", &["a.whl"]), (one(&later), vec![]));
    // An evicted package takes its rows along.
    let rows = || {
        store
            .read(|db| db.query_row("SELECT count(*) FROM files", [], |row| row.get::<_, i64>(0)))
            .unwrap()
    };
    assert_eq!(rows(), 3);
    store
        .write(|db| db.execute("DELETE FROM manifests", []))
        .await
        .unwrap();
    assert_eq!(rows(), 0);
}

#[tokio::test]
async fn a_number_far_beyond_what_was_seen_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let one = manifest(&key, "web", "1.0.0", "A server");
    assert_eq!(
        take(&store, &head(&key, &[&one], MAX_JUMP + 1), &[&one]).await,
        HeadVerdict::Ahead
    );
    assert_eq!(
        take(&store, &head(&key, &[&one], MAX_JUMP), &[&one]).await,
        HeadVerdict::Admitted(Admission::Newer)
    );
    assert_eq!(
        take(&store, &head(&key, &[&one], 2 * MAX_JUMP), &[&one]).await,
        HeadVerdict::Admitted(Admission::Newer)
    );
}

#[tokio::test]
async fn forks_keep_the_loser_for_the_publisher() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (one, two) = (
        manifest(&key, "web", "1.0.0", "a"),
        manifest(&key, "web", "1.1.0", "b"),
    );
    let (a, b) = (head(&key, &[&one], 1), head(&key, &[&two], 1));
    take(&store, &a, &[&one]).await;
    take(&store, &b, &[&two]).await;
    let package = a.package().clone();
    let (winner, loser) = if a.hash() < b.hash() { (a, b) } else { (b, a) };
    assert_eq!(store.head(&package).unwrap().unwrap().head, winner);
    assert_eq!(store.fork_losers(&package).unwrap(), [(loser, false)]);
}

#[tokio::test]
async fn search_ranks_names_first_and_filters_labels() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (name, description) in [
        ("json", "fast parser"),
        ("jsonpath", "query json"),
        ("yaml", "like json, not json"),
    ] {
        let key = Keypair::generate_ed25519();
        let manifest = manifest(&key, name, "1.0.0", description);
        take(&store, &head(&key, &[&manifest], 1), &[&manifest]).await;
    }
    let names = |query: &Query| -> Vec<String> {
        store
            .search(query, NOW)
            .unwrap()
            .hits
            .iter()
            .map(|hit| hit.package.name.to_string())
            .collect()
    };
    assert_eq!(
        names(&Query::text("json")),
        ["cargo:json", "cargo:jsonpath", "cargo:yaml"]
    );
    assert_eq!(
        names(&Query::text("not js"))[0],
        "cargo:yaml",
        "what has both words comes first"
    );
    assert_eq!(
        names(&Query {
            tags: vec!["slow".into()],
            ..Query::text("json")
        }),
        Vec::<String>::new()
    );
    assert_eq!(
        names(&Query {
            categories: vec!["net".into()],
            ..Query::text("")
        })
        .len(),
        3
    );
    for odd in ["\"", "AND", "NOT (", "*", "a\"b*", "col:", "-"] {
        names(&Query::text(odd));
    }
}

#[tokio::test]
async fn pins_are_set_once_and_distrust_hides() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (key, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (id, other) = (
        PublisherId::of(&key.public()),
        PublisherId::of(&other.public()),
    );
    let alice = "alice".parse().unwrap();
    assert_eq!(store.pin(&alice, id, NOW).await.unwrap(), id);
    assert_eq!(
        store.pin(&alice, other, NOW).await.unwrap(),
        id,
        "a pin is not moved by asking again"
    );
    let manifest = manifest(&key, "web", "1.0.0", "a");
    take(&store, &head(&key, &[&manifest], 1), &[&manifest]).await;
    assert_eq!(
        store.search(&Query::text("web"), NOW).unwrap().hits[0].trust,
        crate::domain::trust::Trust::Pinned
    );
    store.distrust(id, NOW).await.unwrap();
    assert!(
        store
            .search(&Query::text("web"), NOW)
            .unwrap()
            .hits
            .is_empty()
    );
}

#[tokio::test]
async fn a_second_node_is_kept_out_and_a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(
        Store::open(dir.path(), Metrics::default()),
        Err(RegistryError::DataDirInUse { .. })
    ));
    drop(store);
    let store = open(dir.path());
    drop(store);
    let db = rusqlite::Connection::open(dir.path().join("swarmdex.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = loop {
        match Store::open(dir.path(), Metrics::default()) {
            Err(RegistryError::DataDirInUse { .. }) => std::thread::yield_now(),
            other => break other.err().unwrap(),
        }
    };
    assert!(
        matches!(error, RegistryError::NewerSchema { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn an_older_database_is_left_as_it_is_and_told_what_to_do_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("swarmdex.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE heads (envelope BLOB); PRAGMA user_version=6")
        .unwrap();
    drop(db);
    let error = Store::open(dir.path(), Metrics::default()).err().unwrap();
    assert!(
        matches!(error, RegistryError::OlderSchema { found: 6, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("swarmdex key import"), "{error}");
    let db = rusqlite::Connection::open(&path).unwrap();
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn one_failed_write_does_not_undo_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let insert = |handle: &'static str| {
        store.write(move |db| {
            db.execute("INSERT INTO pins VALUES (?, x'00', 0)", [handle])
                .map(drop)
        })
    };
    let (a, b, c) = tokio::join!(insert("a"), insert("a"), insert("b"));
    assert!(a.is_ok() && b.is_err() && c.is_ok());
    let count: i64 = store
        .read(|db| db.query_row("SELECT count(*) FROM pins", [], |row| row.get(0)))
        .unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn peers_and_records_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let peers: Vec<_> = (0..5u64)
        .map(|n| StoredPeer {
            id: libp2p::PeerId::random(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
            standing: crate::domain::reputation::PeerStanding::new(
                NOW.after(Duration::from_secs(n)),
            ),
        })
        .collect();
    store.remember_peers(peers.clone(), 3).await.unwrap();
    let known = store.known_peers(10).unwrap();
    assert_eq!(
        known,
        peers.iter().rev().take(3).cloned().collect::<Vec<_>>()
    );
    let record = StoredRecord {
        key: crate::domain::record::DhtKey([1; 32]),
        value: vec![2],
        expires: NOW,
        refreshed_at: NOW,
        origin: crate::domain::shares::HolderId::OURSELVES,
    };
    store.write_dht(vec![record.clone()], vec![]).await.unwrap();
    assert_eq!(store.dht_records().unwrap(), std::slice::from_ref(&record));
    store.write_dht(vec![], vec![record.key]).await.unwrap();
    assert!(store.dht_records().unwrap().is_empty());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]
    /// The final state does not depend on the order of heads or on repetitions.
    #[test]
    fn reconciling_is_independent_of_order_and_idempotent(
        heads in proptest::collection::vec((0u8..4, 1u64..5, 0u8..3), 1..24),
        shuffled in proptest::prelude::any::<u64>(),
    ) {
        use rand::{SeedableRng, seq::SliceRandom};
        let keys: Vec<Keypair> = (0..2).map(|_| Keypair::generate_ed25519()).collect();
        let records: Vec<_> = heads
            .iter()
            .map(|(package, seq, fork)| {
                let key = &keys[usize::from(package % 2)];
                // Each state has a version of its own, so that forks are only forks and not
                // conflicts.
                let manifest = manifest(key, &format!("tool-{package}"), &format!("1.{seq}.{fork}"), "a tool");
                (head(key, &[&manifest], *seq), Some(manifest))
            })
            .collect();
        let mut others: Vec<_> = records.iter().chain(&records).cloned().collect();
        others.shuffle(&mut rand::rngs::StdRng::seed_from_u64(shuffled));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let held = |records: Vec<(Authorised<Head>, Option<Authorised<Manifest>>)>, times: usize| {
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let store = Store::open(dir.path(), Metrics::default()).unwrap();
                for _ in 0..times {
                    for batch in records.chunks(5) {
                        store.take_heads(batch.to_vec(), NOW).await.unwrap();
                    }
                }
                let mut hashes = store.head_hashes().unwrap();
                hashes.sort_by_key(|(hash, _)| hash.0);
                let listed = store.search(&Query::text("tool"), NOW).unwrap();
                let mut versions: Vec<_> =
                    listed.hits.iter().map(|hit| (hit.package.to_string(), hit.version.to_string())).collect();
                versions.sort();
                (hashes, versions)
            })
        };
        let once = held(records.clone(), 1);
        proptest::prop_assert_eq!(&held(records, 2), &once);
        proptest::prop_assert_eq!(held(others, 1), once);
    }
}

#[test]
fn a_read_ends_when_its_time_is_up_and_the_next_one_reads_again() {
    use std::time::Instant;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let endless = |store: &Store| {
        store.read(|db| {
            let sql =
                "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count) SELECT \
                 max(n) FROM count";
            db.query_row(sql, [], |row| row.get::<_, i64>(0))
        })
    };
    let begun = Instant::now();
    let bounded = store.until(begun + Duration::from_millis(50));
    assert!(is_interrupted(&endless(&bounded).unwrap_err()));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(
        is_interrupted(&bounded.package_count().unwrap_err()),
        "there is no time left"
    );
    assert_eq!(store.package_count().unwrap(), 0, "others are not affected");
}

/// Another program locks the database, and later its disk is full: each gets its own error, and no
/// part of a transaction remains.
#[tokio::test]
async fn a_database_that_cannot_be_written_says_why_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store
        .write(|db| db.busy_timeout(Duration::ZERO))
        .await
        .unwrap();
    let todo =
        |what: String| store.write(move |db| db.execute("INSERT INTO todo VALUES (?)", [what]));
    let other = rusqlite::Connection::open(dir.path().join("swarmdex.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = todo("locked".to_owned()).await.unwrap_err();
    assert_eq!(error.code(), "database_locked", "{error}");
    assert!(
        error.to_string().contains("another program has it open"),
        "{error}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    todo("free again".to_owned()).await.unwrap();

    let pages: i64 = store
        .read(|db| db.pragma_query_value(None, "page_count", |row| row.get(0)))
        .unwrap();
    store
        .write(move |db| db.pragma_update(None, "max_page_count", pages))
        .await
        .unwrap();
    let long = || "x".repeat(200_000);
    let small = |n: usize| format!("small {n}");
    let (first, full, last) = tokio::join!(todo(small(1)), todo(long()), todo(small(2)));
    let error = full.unwrap_err();
    assert_eq!(error.code(), "disk_full", "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    store
        .write(|db| db.pragma_update(None, "max_page_count", 1_000_000))
        .await
        .unwrap();
    let there: Vec<String> = store
        .read(|db| {
            db.prepare("SELECT what FROM todo ORDER BY what")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
        .unwrap();
    // Every acknowledged write is there, and every failed one is not.
    assert_eq!(there.contains(&small(1)), first.is_ok());
    assert_eq!(there.contains(&small(2)), last.is_ok());
    assert!(!there.contains(&long()) && there.contains(&"free again".to_owned()));
    todo(long()).await.unwrap();
}

#[test]
fn a_database_that_is_damaged_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("swarmdex.db");
    // It may be closed a little later, and the contents of its log would return.
    while dir.path().join("swarmdex.db-wal").exists() {
        std::thread::yield_now();
    }
    std::fs::write(&path, vec![b'?'; 40_000]).unwrap();
    let error = loop {
        match Store::open(dir.path(), Metrics::default()) {
            Err(RegistryError::DataDirInUse { .. }) => std::thread::yield_now(),
            other => break other.err().unwrap(),
        }
    };
    assert_eq!(error.code(), "database_damaged", "{error}");
    assert!(error.to_string().contains("swarmdex restore"), "{error}");
    assert_eq!(
        std::fs::read(&path).unwrap().len(),
        40_000,
        "it is left as it is"
    );
}

#[test]
fn a_kept_statement_is_planned_once_whatever_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let planned_again = store
        .read(|db| {
            // A partial index has a condition on this column, so that the value matters to a plan.
            let sql = "SELECT seq FROM head_rows WHERE own = ? AND name = ?";
            let mut statement = db.prepare(sql)?;
            for n in 0..8 {
                let row = statement.query_row((n, n.to_string()), |_| Ok(()));
                row.optional()?;
            }
            Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
        })
        .unwrap();
    assert_eq!(planned_again, 0);
}

#[test]
fn sqlite_is_built_without_statistics_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let built =
        "SELECT 1 FROM pragma_compile_options WHERE compile_options = 'DEFAULT_MEMSTATUS=0'";
    let found = store.read(|db| db.prepare(built)?.exists([])).unwrap();
    assert!(found, "see .cargo/config.toml");
}
