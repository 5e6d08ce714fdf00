use std::{collections::BTreeMap, io::Cursor};

use libp2p::identity::Keypair;

use super::{
    restore::{STAGE, advance, prepare, read_list, restore_telling},
    *,
};
use crate::{
    metrics::Metrics,
    store::{Store, content::ContentStore},
};

const QUOTA: u64 = 1 << 30;

fn open(dir: &Path) -> Store {
    loop {
        match Store::open(dir, Metrics::default()) {
            // The operating system may close a dropped store's files a little later.
            Err(RegistryError::DataDirInUse { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

async fn put(contents: &ContentStore, size: usize, seed: u8) -> ContentRoot {
    let bytes: Vec<u8> = (0..size)
        .map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed))
        .collect();
    contents
        .put(Cursor::new(bytes), false, QUOTA, |_| {})
        .await
        .unwrap()
        .root
}

/// Creates a data directory with both keys, and with own, pinned and other contents, large and
/// small.
async fn filled(dir: &Path) -> (Store, ContentStore, BTreeMap<&'static str, ContentRoot>) {
    let store = open(dir);
    let identity = keys::load_or_create(&keys::identity_path(dir)).unwrap();
    store
        .remember_key(Role::Identity, &identity.public().to_peer_id().to_string())
        .await
        .unwrap();
    keys::save(&keys::publisher_path(dir), &Keypair::generate_ed25519()).unwrap();
    store
        .remember_key(Role::Publisher, "the publisher")
        .await
        .unwrap();
    let contents = ContentStore::open(dir, store.clone(), QUOTA).unwrap();
    let mut roots = BTreeMap::new();
    for (name, size, seed) in [
        ("own", 300_000, 1),
        ("own small", 300, 2),
        ("pinned", 200_000, 3),
        ("pinned small", 200, 4),
        ("other", 100_000, 5),
        ("other small", 100, 6),
    ] {
        let root = put(&contents, size, seed).await;
        if name.starts_with("own") {
            contents.set_own(root, name.to_owned()).await.unwrap();
        }
        if name.starts_with("pinned") {
            contents
                .set_pinned(root, "web 1.0.0".to_owned(), true)
                .await
                .unwrap();
        }
        roots.insert(name, root);
    }
    (store, contents, roots)
}

fn ask(dir: PathBuf, contents: Choice) -> Ask {
    Ask {
        dir,
        keys: true,
        contents,
    }
}

/// Returns every file of a directory with its bytes.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else {
                files.insert(
                    entry.path().strip_prefix(dir).unwrap().to_owned(),
                    fs::read(entry.path()).unwrap(),
                );
            }
        }
    }
    files
}

/// Returns the files that make up a node: keys, database and contents.
fn node(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(dir);
    let key = |path: &Path| {
        path.extension() == Some("key".as_ref()) && path.parent() == Some(Path::new(""))
    };
    files.retain(|path, _| path.starts_with(CONTENT) || path == Path::new(DATABASE) || key(path));
    files
}

/// The error of a step at which the process is killed.
fn killed() -> RegistryError {
    RegistryError::Interrupted
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_comes_back_with_the_content_that_was_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (store, contents, roots) = filled(&data).await;
    let writing = async {
        for number in 0..200 {
            let what = format!("written {number}");
            store
                .write(move |db| db.execute("INSERT INTO todo VALUES (?)", [what]))
                .await
                .unwrap();
        }
    };
    let (from, into) = (data.clone(), dir.path().join("meanwhile"));
    let making = tokio::task::spawn_blocking(move || make(&from, &ask(into, Choice::All)));
    let (made, ()) = tokio::join!(making, writing);
    assert_eq!(made.unwrap().unwrap().missing, Vec::<String>::new());

    for (choice, kept) in [
        (Choice::None, 0),
        (Choice::Own, 2),
        (Choice::Pinned, 4),
        (Choice::All, 6),
    ] {
        let (to, back) = (
            dir.path().join(format!("{choice:?}")),
            dir.path().join(format!("{choice:?} back")),
        );
        let backup = make(&data, &ask(to.clone(), choice)).unwrap();
        assert_eq!(backup.publisher.as_deref(), Some("the publisher"));
        let mode = |path: &Path| {
            std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777
        };
        assert_eq!(
            (
                mode(&to),
                mode(&to.join("publisher.key")),
                mode(&to.join(DATABASE))
            ),
            (0o700, 0o600, 0o600)
        );
        assert!(
            make(&data, &ask(to.clone(), choice))
                .unwrap_err()
                .is_usage(),
            "nothing is written over"
        );
        restore(&back, &to, &Restoring::default()).unwrap();
        for key in ["identity.key", "publisher.key"] {
            assert_eq!(
                fs::read(data.join(key)).unwrap(),
                fs::read(back.join(key)).unwrap()
            );
        }
        let restored = open(&back);
        assert_eq!(
            restored.known_key(Role::Publisher).unwrap().as_deref(),
            Some("the publisher")
        );
        let restored = ContentStore::open(&back, restored, QUOTA).unwrap();
        let held: Vec<_> = restored
            .list()
            .unwrap()
            .iter()
            .map(|held| held.content)
            .collect();
        assert_eq!(held.len(), kept, "{choice:?}");
        for content in held {
            assert!(restored.verify(content).await.unwrap(), "{choice:?}");
        }
        // Contents that were kept and are not here are listed as missing.
        let lost: Vec<_> = restored
            .lost()
            .unwrap()
            .iter()
            .map(|lost| lost.content.root)
            .collect();
        assert_eq!(lost.contains(&roots["own"]), choice == Choice::None);
        assert_eq!(
            lost.contains(&roots["pinned"]),
            matches!(choice, Choice::None | Choice::Own)
        );
        assert!(!lost.contains(&roots["other"]));
    }
    // Damaged contents are left out and named.
    let [data_file, _] = content::paths_of(&data.join(CONTENT), &roots["own"]);
    fs::write(&data_file, b"damage").unwrap();
    let backup = make(&data, &ask(dir.path().join("damaged"), Choice::Own)).unwrap();
    assert_eq!(backup.missing, ["own"]);
    drop((store, contents));
}

#[tokio::test]
async fn a_backup_that_is_killed_anywhere_is_not_there_and_the_next_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (_store, _contents, _) = filled(&data).await;
    let what = ask(dir.path().join("backup"), Choice::All);
    let mut steps = 0;
    write(
        &data,
        &what,
        &private_dir(&dir.path().join("count")),
        &mut |_| {
            steps += 1;
            Ok(())
        },
    )
    .unwrap();
    assert!(steps > 8, "{steps}");
    for end in 0..steps {
        // Leave the remains of a backup that was killed at this step.
        let left = private_dir(&dir.path().join(format!(".backup.unfinished-{end}")));
        let mut step = 0;
        write(&data, &what, &left, &mut |_| {
            step += 1;
            if step > end { Err(killed()) } else { Ok(()) }
        })
        .unwrap_err();
        assert!(!what.dir.exists() && left.exists());
    }
    let backup = make(&data, &what).unwrap();
    let left = fs::read_dir(dir.path())
        .unwrap()
        .flatten()
        .filter(|one| one.path().to_string_lossy().contains(".unfinished"));
    assert_eq!(left.count(), 0, "what the others left is gone");
    assert_eq!(read_list(&what.dir).unwrap(), backup);
    // A backup that fails removes its remains.
    let other = ask(dir.path().join("other"), Choice::All);
    make_telling(&data, &other, &mut |path| {
        if path == other.dir {
            Err(killed())
        } else {
            Ok(())
        }
    })
    .unwrap_err();
    assert!(
        fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .all(|one| !one.path().to_string_lossy().contains("other"))
    );
}

fn private_dir(dir: &Path) -> PathBuf {
    private(dir).unwrap();
    dir.to_owned()
}

/// The restore is killed at every step, and again at every step of its recovery. Each time the data
/// directory equals the old one or the backup.
#[tokio::test]
async fn a_restore_that_is_killed_anywhere_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let old = path("old");
    drop(filled(&path("data")).await);
    let backup = path("backup");
    while make_stopped(&path("data"), &ask(backup.clone(), Choice::All)).is_err() {
        std::thread::yield_now();
    }
    // There is another node, whose database was not closed properly.
    let store = open(&old);
    keys::load_or_create(&keys::identity_path(&old)).unwrap();
    let contents = ContentStore::open(&old, store.clone(), QUOTA).unwrap();
    put(&contents, 90_000, 9).await;
    drop((store, contents));
    drop(open(&old));
    while old.join("swarmdex.db-wal").exists() {
        std::thread::yield_now();
    }
    let (before, after) = (node(&old), {
        let mut files = tree(&backup);
        files.remove(Path::new(LIST));
        files
    });
    let how = Restoring {
        replace: true,
        new_identity: false,
    };
    let list = read_list(&backup).unwrap();
    let run = |data: &Path, step: Step<'_>| {
        prepare(data, &backup, &list, &how, &data.join(STAGE), step)?;
        advance(data, step)
    };
    let fresh = |name: String| {
        let data = private_dir(&path(&name));
        for (name, bytes) in &before {
            fs::create_dir_all(data.join(name).parent().unwrap()).unwrap();
            fs::write(data.join(name), bytes).unwrap();
        }
        fs::write(data.join("swarmdex.db-wal"), "of the old database").unwrap();
        data
    };
    let mut steps = 0;
    run(&fresh("count".to_owned()), &mut |_| {
        steps += 1;
        Ok(())
    })
    .unwrap();
    let (mut not_there, mut whole) = (0, 0);
    for end in 0..steps {
        for again in 0..6 {
            let data = fresh(format!("killed {end} {again}"));
            let dying = |most: usize| {
                let mut step = 0;
                move |_: &Path| {
                    step += 1;
                    if step > most { Err(killed()) } else { Ok(()) }
                }
            };
            run(&data, &mut dying(end)).unwrap_err();
            if data.join(STAGE).join("complete").exists() {
                // The next start is killed too.
                let _ = advance(&data, &mut dying(again));
            }
            recover(&data).unwrap();
            assert!(!data.join(STAGE).exists());
            let now = node(&data);
            if now == before {
                assert!(data.join("swarmdex.db-wal").exists(), "its log is its own");
                not_there += 1;
            } else {
                assert_eq!(
                    now.keys().collect::<Vec<_>>(),
                    after.keys().collect::<Vec<_>>(),
                    "{end} {again}"
                );
                assert!(now == after, "{end} {again}");
                assert!(
                    !data.join("swarmdex.db-wal").exists(),
                    "the log of another database"
                );
                assert_eq!(
                    node(&data.join("before-restore-1")),
                    before,
                    "and nothing of the old one is lost"
                );
                whole += 1;
            }
        }
    }
    assert!(not_there > 0 && whole > 0, "{not_there} {whole}");
}

#[tokio::test]
async fn what_is_no_backup_or_a_damaged_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (_store, _contents, roots) = filled(&data).await;
    let backup = dir.path().join("backup");
    make(&data, &ask(backup.clone(), Choice::Own)).unwrap();
    let back = dir.path().join("back");
    let refused = |said: &str| {
        let error = restore(&back, &backup, &Restoring::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(node(&back), BTreeMap::new());
        assert!(!back.join(STAGE).exists());
    };
    let [content, _] = content::paths_of(Path::new(CONTENT), &roots["own"]);
    for file in [
        content,
        DATABASE.into(),
        "publisher.key".into(),
        LIST.into(),
    ] {
        let path = backup.join(&file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        refused(if file == Path::new(LIST) {
            "backup"
        } else {
            "changed since it was written"
        });
        fs::remove_file(&path).unwrap();
        refused(if file == Path::new(LIST) {
            "no backup.json"
        } else {
            "is not in it"
        });
        fs::write(&path, whole).unwrap();
    }
    let list = fs::read_to_string(backup.join(LIST)).unwrap();
    for (from, to, said) in [
        (
            "\"swarmdex_backup\": 1",
            "\"swarmdex_backup\": 9",
            "format 9",
        ),
        (
            "\"path\": \"swarmdex.db\"",
            "\"path\": \"../../swarmdex.db\"",
            "not a file of a backup",
        ),
        (
            "\"path\": \"swarmdex.db\"",
            "\"path\": \"/etc/passwd\"",
            "not a file of a backup",
        ),
        ("\"schema\": ", "\"schema\": 9", "newer Swarmdex"),
    ] {
        fs::write(backup.join(LIST), list.replace(from, to)).unwrap();
        refused(said);
    }
    fs::write(backup.join(LIST), &list).unwrap();
    // The disk is full in the middle, as far as the error tells.
    let full = |path: &Path| {
        if path.ends_with(DATABASE) {
            Err(killed())
        } else {
            Ok(())
        }
    };
    restore_telling(&back, &backup, &Restoring::default(), &mut { full }).unwrap_err();
    assert_eq!(node(&back), BTreeMap::new());
    restore(&back, &backup, &Restoring::default()).unwrap();
    // An existing node is kept, unless `--replace` moves it aside.
    let key = fs::read(back.join("identity.key")).unwrap();
    let error = restore(&back, &backup, &Restoring::default()).unwrap_err();
    assert!(error.to_string().contains("--replace"), "{error}");
    let again = restore(
        &back,
        &backup,
        &Restoring {
            replace: true,
            new_identity: true,
        },
    )
    .unwrap();
    assert_eq!(
        fs::read(back.join("identity.key")).unwrap(),
        key,
        "only what the backup brings takes a place"
    );
    assert!(
        again
            .before
            .is_some_and(|before| before.join(DATABASE).exists())
    );
    let twin = dir.path().join("twin");
    restore(
        &twin,
        &backup,
        &Restoring {
            replace: false,
            new_identity: true,
        },
    )
    .unwrap();
    assert!(!twin.join("identity.key").exists() && twin.join("publisher.key").exists());
    assert_eq!(
        open(&twin).known_key(Role::Identity).unwrap(),
        None,
        "another node, and none whose key is lost"
    );
}
