//! Tests the limits of the catalogue and its eviction, by the bytes on the disk.

use crate::ecosystem::Ecosystem;
use std::{collections::HashMap, path::Path, time::Duration};

use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        manifest::{Draft, File, Manifest},
        record::{Admission, Authorised, DEFAULT_LIFE, Head, HeadState, Page},
        release::ReleaseEntry,
        room::OF_UNKNOWN,
    },
    metrics::Metrics,
    store::{HeadVerdict, usage::counted},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const WEEK: Duration = KNOWN_AFTER;

fn open(dir: &Path, bytes: u64) -> Store {
    let store = Store::open(dir, Metrics::default()).unwrap();
    store.set_room(Room {
        bytes,
        ..Room::default()
    });
    store
}

/// Returns a manifest of a little more than `long` bytes: a description of up to a thousand
/// characters, and then dependencies.
fn manifest(key: &Keypair, name: &str, version: &str, long: usize) -> Authorised<Manifest> {
    let text = "all kinds of words ".repeat(60);
    let owner = PublisherId::of(&key.public());
    let needs: Vec<String> = (0..(long.saturating_sub(1_000) / 120).min(48))
        .map(|n| {
            format!(
                "{{ package = \"{owner}/cargo:{}-{n}\", requirement = \"*\" }}",
                "a".repeat(40)
            )
        })
        .collect();
    let draft: Draft = toml::from_str(&format!(
        "ecosystem = \"cargo\"\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \
         \"{}\"\ndependencies = [{}]",
        &text[..long.clamp(1, 1_000)],
        needs.join(", ")
    ))
    .unwrap();
    let content = File::of(&Ecosystem::Generic, "x", name.as_bytes());
    Authorised::sign(
        key,
        draft
            .into_manifest(PublisherId::of(&key.public()), content, NOW)
            .unwrap(),
    )
    .unwrap()
}

fn entry(manifest: &Authorised<Manifest>) -> ReleaseEntry {
    ReleaseEntry::new(manifest.version.clone(), manifest.hash())
}

fn state(
    key: &Keypair,
    name: &str,
    seq: u64,
    releases: Vec<ReleaseEntry>,
) -> (Authorised<Head>, Vec<Authorised<Page>>) {
    let prev = if seq > 1 {
        vec![Hash::of(b"before")]
    } else {
        vec![]
    };
    let state = HeadState {
        seq,
        prev,
        ..HeadState::first(Ecosystem::Cargo, name.parse().unwrap(), releases)
    };
    state
        .sign(key, NOW.after(Duration::from_secs(seq)), DEFAULT_LIFE)
        .unwrap()
}

fn record(
    key: &Keypair,
    name: &str,
    long: usize,
) -> (Authorised<Head>, Option<Authorised<Manifest>>) {
    let manifest = manifest(key, name, "1.0.0", long);
    (
        state(key, name, 1, vec![entry(&manifest)]).0,
        Some(manifest),
    )
}

fn id(key: &Keypair, name: &str) -> PackageId {
    PackageId {
        owner: PublisherId::of(&key.public()),
        name: format!("cargo:{name}").parse().unwrap(),
    }
}

fn is_exact(store: &Store) -> Usage {
    let (kept, counted) = store.read(|db| Ok((usage(db)?, counted(db)))).unwrap();
    assert_eq!(
        kept, counted,
        "as it is counted with each write, and from the rows"
    );
    kept
}

fn rows(store: &Store, table: &str) -> u64 {
    store
        .read(|db| {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
        })
        .unwrap()
}

fn bytes_in(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// Waits until the log is emptied, which happens after a while without writes.
async fn until_log_is_empty(dir: &Path) {
    let log = dir.join("swarmdex.db-wal");
    let emptied = async {
        while std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), emptied)
        .await
        .expect("the log is emptied");
}

#[tokio::test]
async fn six_hundred_states_of_one_package_leave_less_than_a_megabyte() {
    // The states drop the version before, list only new versions, change one version, or fork.
    for (kind, per_head) in [
        ("replaced", 1),
        ("all new", 60),
        ("changed", 1),
        ("forks", 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), 1 << 30);
        let key = Keypair::generate_ed25519();
        for n in 0..600u64 {
            let seq = if kind == "forks" { 1 } else { n + 1 };
            let version = if kind == "changed" {
                "1.0.0".to_owned()
            } else {
                format!("1.{n}.0")
            };
            let manifest = manifest(&key, "web", &version, 4_000 + n as usize);
            let mut releases = vec![entry(&manifest)];
            releases.extend((1..per_head).map(|at| {
                ReleaseEntry::new(
                    format!("1.{n}.{at}-{}", "a".repeat(40)).parse().unwrap(),
                    Hash::of(&[at as u8]),
                )
            }));
            let (head, _) = state(&key, "web", seq, releases);
            store
                .take_head(head, vec![], vec![manifest], false, NOW)
                .await
                .unwrap();
        }
        store.recount().await.unwrap();
        let used = is_exact(&store);
        until_log_is_empty(dir.path()).await;
        let left = bytes_in(dir.path());
        println!(
            "{kind}: {left} bytes in the directory, {} counted",
            used.bytes
        );
        assert!(
            left < 1_000_000,
            "{kind}: {left} bytes in the directory, {} counted",
            used.bytes
        );
        assert!(rows(&store, "manifests") <= 8, "{kind}");
    }
}

#[tokio::test]
async fn manifests_that_nothing_lists_go_and_those_on_pages_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1 << 30);
    let key = Keypair::generate_ed25519();
    let manifests: Vec<_> = (0..100)
        .map(|n| manifest(&key, "web", &format!("1.{n}.0"), 10))
        .collect();
    let all: Vec<ReleaseEntry> = manifests.iter().map(entry).collect();
    let (head, pages) = state(&key, "web", 1, all.clone());
    assert_eq!(pages.len(), 1);
    store
        .take_head(head.clone(), pages.clone(), manifests.clone(), false, NOW)
        .await
        .unwrap();
    for manifest in &manifests {
        store.take_manifest(manifest.clone(), NOW).await.unwrap();
    }
    assert_eq!(
        (rows(&store, "manifests"), rows(&store, "releases")),
        (100, head.releases.len() as u64)
    );
    is_exact(&store);
    // The next state drops the newest fifty.
    let (head, pages) = state(&key, "web", 2, all[..50].to_vec());
    store
        .take_head(head.clone(), pages, vec![], false, NOW)
        .await
        .unwrap();
    let listed = |hash: &Hash| store.manifest(hash).unwrap().is_some();
    assert!(
        all[..50].iter().all(|entry| listed(&entry.manifests[0]))
            && !all[99..].iter().any(|one| listed(&one.manifests[0]))
    );
    // A manifest that no head lists is refused.
    store
        .take_manifest(manifests[99].clone(), NOW)
        .await
        .unwrap();
    assert!(!listed(&all[99].manifests[0]));
    // It is still known, so that it cannot return with other bytes.
    let evil = manifest(&key, "web", "1.99.0", 500);
    let (changed, _) = state(&key, "web", 3, vec![entry(&evil)]);
    assert_eq!(
        store.judge_head(&changed, NOW).unwrap(),
        HeadVerdict::Disputed(Admission::Newer)
    );
    let (back, _) = state(&key, "web", 3, vec![all[99].clone()]);
    assert!(store.judge_head(&back, NOW).unwrap().refusal().is_none());
    is_exact(&store);
}

#[tokio::test]
async fn a_package_that_was_put_out_leaves_its_mark_and_a_changed_version_is_seen_when_it_returns()
{
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1 << 30);
    let key = Keypair::generate_ed25519();
    let one = manifest(&key, "web", "1.0.0", 10);
    let (old, _) = state(&key, "web", 1, vec![entry(&one)]);
    let (head, _) = state(&key, "web", 2, vec![entry(&one)]);
    store
        .take_head(head.clone(), vec![], vec![one.clone()], false, NOW)
        .await
        .unwrap();
    store.set_room(Room {
        packages: 0,
        ..Room::default()
    });
    assert_eq!(store.make_room(NOW).await.unwrap(), 1);
    for table in [
        "heads",
        "manifests",
        "releases",
        "packages",
        "pages",
        "forks",
    ] {
        assert_eq!(rows(&store, table), 0, "{table}");
    }
    let used = is_exact(&store);
    assert!(used.folds == used.bytes && used.bytes < 250, "{used:?}");
    assert_eq!(store.mark(&id(&key, "web")).unwrap().unwrap().seq, 2);
    assert!(
        store.judge_head(&old, NOW).unwrap().refusal().is_some(),
        "an older state does not come back"
    );
    let evil = manifest(&key, "web", "1.0.0", 11);
    let other = manifest(&key, "web", "1.1.0", 11);
    let (changed, _) = state(&key, "web", 3, vec![entry(&evil), entry(&other)]);
    let verdict = store
        .take_head(
            changed.clone(),
            vec![],
            vec![evil.clone(), other],
            false,
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(verdict, HeadVerdict::Disputed(Admission::Newer));
    let releases = store.releases(&changed).unwrap().0;
    assert_eq!(
        releases
            .iter()
            .map(|one| one.version.to_string())
            .collect::<Vec<_>>(),
        ["1.1.0"],
        "the changed one is none"
    );
    assert!(!store.is_first(&evil).unwrap());
    let conflicts = store.conflicts(&id(&key, "web")).unwrap();
    assert_eq!(
        conflicts[0].kept.0[..8],
        one.hash().0[..8],
        "as much as is known of the first"
    );
    is_exact(&store);
    let (mended, _) = state(&key, "web", 4, vec![entry(&one)]);
    let verdict = store
        .take_head(mended.clone(), vec![], vec![one.clone()], false, NOW)
        .await
        .unwrap();
    assert_eq!(verdict, HeadVerdict::Admitted(Admission::Newer));
    assert_eq!(store.releases(&mended).unwrap().0, [entry(&one)]);
    assert_eq!((rows(&store, "heads"), is_exact(&store).folds), (1, 0));
}

#[tokio::test]
async fn a_file_that_comes_back_with_other_bytes_is_seen_after_its_package_was_put_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1 << 30);
    let key = Keypair::generate_ed25519();
    let of = |file: &str, bytes: &[u8]| {
        let files = vec![File::of(&Ecosystem::Pypi, file, bytes)];
        let base = manifest(&key, "web", "1.0.0", 10).into_value();
        Authorised::sign(
            &key,
            Manifest {
                ecosystem: Ecosystem::Pypi,
                files,
                ..base
            },
        )
        .unwrap()
    };
    let state = |seq: u64, manifests: &[&Authorised<Manifest>]| {
        let mut release = entry(manifests[0]);
        release.manifests = manifests.iter().map(|manifest| manifest.hash()).collect();
        let prev = if seq > 1 {
            vec![Hash::of(b"before")]
        } else {
            vec![]
        };
        let first = HeadState::first(Ecosystem::Pypi, "web".parse().unwrap(), vec![release]);
        HeadState { seq, prev, ..first }
            .sign(&key, NOW.after(Duration::from_secs(seq)), DEFAULT_LIFE)
            .unwrap()
            .0
    };
    let (source, wheel) = (
        of("web-1.0.0.tar.gz", b"first"),
        of("web-1.0.0-py3-none-any.whl", b"wheel"),
    );
    let head = state(1, &[&source, &wheel]);
    store
        .take_head(
            head,
            vec![],
            vec![source.clone(), wheel.clone()],
            false,
            NOW,
        )
        .await
        .unwrap();
    let put_out = async || {
        store.set_room(Room {
            packages: 0,
            ..Room::default()
        });
        assert_eq!(store.make_room(NOW).await.unwrap(), 1);
        store.set_room(Room {
            bytes: 1 << 30,
            ..Room::default()
        });
    };
    put_out().await;
    let listed = |head: &Authorised<Head>| -> Vec<Hash> {
        store
            .releases(head)
            .unwrap()
            .0
            .into_iter()
            .flat_map(|entry| entry.manifests)
            .collect()
    };
    // The same bytes return in another manifest, with one more file: that changes nothing.
    let again = of("web-1.0.0-py3-none-any.whl", b"wheel");
    let head = state(2, &[&again]);
    store
        .take_head(head.clone(), vec![], vec![again.clone()], false, NOW)
        .await
        .unwrap();
    assert_eq!(listed(&head), [again.hash()]);
    put_out().await;
    let changed = of("web-1.0.0.tar.gz", b"second");
    let head = state(3, &[&again, &changed]);
    store
        .take_head(
            head.clone(),
            vec![],
            vec![again.clone(), changed.clone()],
            false,
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(
        listed(&head),
        [again.hash()],
        "what changes a file is not offered"
    );
    let cases = store.read(|db| {
        db.query_row(
            "SELECT file, kept, offered FROM conflicts WHERE kind = 'file'",
            [],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    Hash(row.get(1)?),
                    Hash(row.get(2)?),
                ))
            },
        )
    });
    let (file, kept, offered) = cases.unwrap();
    assert_eq!(
        (file.as_str(), offered),
        ("web-1.0.0.tar.gz", changed.hash())
    );
    assert_eq!(
        kept.0[..8],
        source.files[0].root.0[..8],
        "as much as is known of the first"
    );
    is_exact(&store);
}

/// The first manifest of a version counts while a head lists the version, so it stays.
#[tokio::test]
async fn the_first_manifest_of_a_version_that_is_changed_stays_and_the_changed_ones_go_one_by_one()
{
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1 << 30);
    let key = Keypair::generate_ed25519();
    let one = manifest(&key, "web", "1.0.0", 10);
    store
        .take_head(
            state(&key, "web", 1, vec![entry(&one)]).0,
            vec![],
            vec![one.clone()],
            false,
            NOW,
        )
        .await
        .unwrap();
    for n in 2..20 {
        let changed = manifest(&key, "web", "1.0.0", 10 + n as usize);
        let (head, _) = state(&key, "web", n, vec![entry(&changed)]);
        store
            .take_head(head.clone(), vec![], vec![changed], false, NOW)
            .await
            .unwrap();
        assert_eq!(store.releases(&head).unwrap().0, [entry(&one)]);
        assert!(store.manifest(&one.hash()).unwrap().is_some() && rows(&store, "manifests") <= 2);
    }
    is_exact(&store);
}

#[tokio::test]
async fn many_new_keys_displace_each_other_and_nobody_else() {
    const ROOM: u64 = 512 * 1_024;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), ROOM);
    let [known, friend, own] = [0; 3].map(|_| Keypair::generate_ed25519());
    let before = NOW.before(WEEK);
    store
        .pin(
            &"friend".parse().unwrap(),
            PublisherId::of(&friend.public()),
            NOW,
        )
        .await
        .unwrap();
    let of = |key: &Keypair, count: usize| {
        (0..count)
            .map(|n| record(key, &format!("tool-{n}"), 1_000))
            .collect::<Vec<_>>()
    };
    store.take_heads(of(&known, 120), before).await.unwrap();
    store.take_heads(of(&friend, 20), NOW).await.unwrap();
    for (head, manifest) in of(&own, 20) {
        store
            .take_head(head, vec![], manifest.into_iter().collect(), true, NOW)
            .await
            .unwrap();
    }
    let heads = |key: &Keypair| {
        store
            .heads_of(&PublisherId::of(&key.public()))
            .unwrap()
            .len()
    };
    for n in 0..600u64 {
        let key = Keypair::generate_ed25519();
        let (head, manifest) = record(&key, "junk", 1_000);
        let at = NOW.after(Duration::from_secs(n));
        store
            .take_head(head, vec![], manifest.into_iter().collect(), false, at)
            .await
            .unwrap();
        let used = is_exact_every(&store, n);
        assert!(used.bytes <= ROOM, "{used:?}");
        assert_eq!(heads(&key), 1, "the newest is there");
        if n.is_multiple_of(50) {
            store.make_room(at).await.unwrap();
        }
    }
    store.make_room(NOW).await.unwrap();
    assert_eq!((heads(&known), heads(&friend), heads(&own)), (120, 20, 20));
    let unknown: u64 = store
        .read(|db| {
            Ok(tenants(db, NOW)?
                .iter()
                .filter(|one| one.standing == PublisherStanding::Unknown)
                .map(|one| one.bytes)
                .sum())
        })
        .unwrap();
    assert!(unknown <= ROOM / OF_UNKNOWN, "{unknown}");
    assert!(is_exact(&store).folds <= ROOM / OF_FOLDS);
}

fn is_exact_every(store: &Store, n: u64) -> Usage {
    if n.is_multiple_of(37) {
        is_exact(store)
    } else {
        store.read(usage).unwrap()
    }
}

#[tokio::test]
async fn one_unknown_key_may_have_everything_while_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 16 << 20);
    let key = Keypair::generate_ed25519();
    let records: Vec<_> = (0..3_000)
        .map(|n| record(&key, &format!("tool-{n}"), 300))
        .collect();
    for batch in records.chunks(1_000) {
        store.take_heads(batch.to_vec(), NOW).await.unwrap();
        store.make_room(NOW).await.unwrap();
    }
    assert_eq!(store.package_count().unwrap(), 3_000);
    let used = is_exact(&store);
    println!(
        "{} bytes a package, {} in the directory",
        used.bytes / 3_000,
        bytes_in(dir.path()) / 3_000
    );
    // The catalogue is full now, and the largest package is evicted for a small one of an equally
    // unknown publisher.
    store.set_room(Room {
        bytes: used.bytes,
        ..Room::default()
    });
    let small = Keypair::generate_ed25519();
    let (head, manifest) = record(&small, "small", 300);
    store
        .take_head(head, vec![], manifest.into_iter().collect(), false, NOW)
        .await
        .unwrap();
    assert!(store.head(&id(&small, "small")).unwrap().is_some());
    assert!(store.read(usage).unwrap().bytes <= used.bytes);
    store.make_room(NOW).await.unwrap();
    assert!(store.read(usage).unwrap().bytes <= used.bytes / OF_UNKNOWN);
    assert!(
        store.head(&id(&small, "small")).unwrap().is_some(),
        "whoever has most goes first"
    );
    is_exact(&store);
}

#[tokio::test]
async fn what_those_need_who_stay_is_needed_by_key_and_not_by_a_handle_that_anybody_claims() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1 << 30);
    let [friend, other] = [0; 2].map(|_| Keypair::generate_ed25519());
    store
        .pin(
            &"friend".parse().unwrap(),
            PublisherId::of(&friend.public()),
            NOW,
        )
        .await
        .unwrap();
    let needs = format!("{}/cargo:needed", PublisherId::of(&other.public()));
    let draft = format!(
        "ecosystem = \"cargo\"\nname = \"app\"\nversion = \"1.0.0\"\ndependencies = [{{ package = \
         \"{needs}\", requirement = \"*\" }}]"
    );
    let draft: Draft = toml::from_str(&draft).unwrap();
    let content = File::of(&Ecosystem::Generic, "app", b"app");
    let app = Authorised::sign(
        &friend,
        draft
            .into_manifest(PublisherId::of(&friend.public()), content, NOW)
            .unwrap(),
    )
    .unwrap();
    store
        .take_head(
            state(&friend, "app", 1, vec![entry(&app)]).0,
            vec![],
            vec![app],
            false,
            NOW,
        )
        .await
        .unwrap();
    let records: Vec<_> = (0..50)
        .map(|n| record(&other, &format!("tool-{n}"), 10))
        .chain([record(&other, "needed", 10)])
        .collect();
    store.take_heads(records, NOW).await.unwrap();
    store.set_room(Room {
        packages: 2,
        ..Room::default()
    });
    store.make_room(NOW).await.unwrap();
    assert!(
        store.head(&id(&other, "needed")).unwrap().is_some()
            && store.head(&id(&friend, "app")).unwrap().is_some()
    );
    assert_eq!(store.package_count().unwrap(), 2);
    is_exact(&store);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// After any writes, in any order, the count is exact and the bytes are within the limit
    /// after each write.
    #[test]
    fn the_bytes_are_exact_and_bounded_whatever_comes(
        steps in prop::collection::vec((0usize..6, 0u8..4, 1u64..5, 0u8..3, 0usize..1_500, 0u8..12), 1..60),
        room in prop::sample::select(vec![70_000u64, 90_000, 1 << 20]),
    ) {
        let keys: Vec<Keypair> = (0..6).map(|_| Keypair::generate_ed25519()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path(), room);
            store.pin(&"friend".parse().unwrap(), PublisherId::of(&keys[0].public()), NOW).await.unwrap();
            let mut seen: HashMap<Hash, Authorised<Manifest>> = HashMap::new();
            for (at, (who, package, seq, fork, long, what)) in steps.into_iter().enumerate() {
                let now = NOW.after(Duration::from_secs(at as u64 * 7_000));
                let (key, name) = (&keys[who], format!("tool-{package}"));
                let version = if what == 0 { "1.0.0".to_owned() } else { format!("1.{seq}.{fork}") };
                let manifest = manifest(key, &name, &version, long);
                seen.insert(manifest.hash(), manifest.clone());
                let mut releases = vec![entry(&manifest)];
                releases.extend((0..fork).map(|n| ReleaseEntry::new(format!("0.{n}.{}", long % 7).parse().unwrap(), Hash::of(&[n]))));
                let (head, pages) = state(key, &name, seq, releases);
                match what {
                    1 => store.take_manifest(manifest, now).await.unwrap(),
                    2 => drop(store.make_room(now).await.unwrap()),
                    3 => drop(store.take_heads(vec![(head, Some(manifest))], now).await.unwrap()),
                    _ => drop(store.take_head(head, pages, vec![manifest], who == 1, now).await.unwrap()),
                }
                let used = is_exact(&store);
                // Own and pinned packages are not limited.
                let kept: u64 = store.read(|db| {
                    Ok(tenants(db, now)?.iter().filter(|one| one.standing == PublisherStanding::Kept).map(|one| one.bytes).sum())
                }).unwrap();
                assert!(used.bytes <= room.max(kept + room / 2), "{used:?} with {kept} that stay");
                // Every stored manifest is listed by a stored record.
                for hash in seen.keys() {
                    if let Some(held) = store.manifest(hash).unwrap() {
                        let package = held.package().clone();
                        let head = store.head(&package).unwrap().expect("its head is held").head;
                        let forks = store.fork_losers(&package).unwrap();
                        let lists = |head: &Authorised<Head>| {
                            head.releases.iter().any(|entry| entry.lists(hash) || entry.version == held.version)
                        };
                        assert!(lists(&head) || forks.iter().any(|(fork, _)| lists(fork)));
                    }
                }
            }
        });
    }
}
