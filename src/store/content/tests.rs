use std::{fs::File, io, sync::atomic::AtomicU64};

use bao_tree::io::{BaoContentItem, sync::DecodeResponseIter};
use proptest::prelude::*;

use super::{medium::Full, *};
use crate::metrics::Metrics;

const QUOTA: u64 = 1 << 30;

fn store(dir: &Path) -> Store {
    for _ in 0..200 {
        match Store::open(dir, Metrics::default()) {
            Err(RegistryError::DataDirInUse { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
    Store::open(dir, Metrics::default()).unwrap()
}

fn open(dir: &Path) -> ContentStore {
    ContentStore::open(dir, store(dir), QUOTA).unwrap()
}

/// Returns bytes that do not compress and do not repeat.
fn bytes(size: usize, seed: u8) -> Vec<u8> {
    let mut out = vec![0; size];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut out);
    out
}

async fn put(contents: &ContentStore, bytes: &[u8]) -> Content {
    contents
        .put(io::Cursor::new(bytes.to_vec()), false, QUOTA, |_| {})
        .await
        .unwrap()
}

fn read_all(contents: &ContentStore, content: &Content) -> Option<Vec<u8>> {
    contents
        .read(&content.root, &(0..groups(content.size)))
        .unwrap()
}

fn decoded(content: &Content, range: Range<u64>, encoded: &[u8]) -> Vec<BaoContentItem> {
    let chunks = chunks(&range);
    DecodeResponseIter::new(hash(&content.root), tree(content.size), encoded, &chunks)
        .map(Result::unwrap)
        .collect()
}

/// Returns the files below the content's directory, without the directory itself.
fn files(dir: &Path) -> Vec<String> {
    let below = |part: &str| {
        fs::read_dir(dir.join("content").join(part))
            .unwrap()
            .flatten()
            .map(|file| file.path())
    };
    let all = ["", "incoming", "partial"]
        .into_iter()
        .flat_map(below)
        .filter(|path| path.is_file());
    all.map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn content_of_every_size_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let contents = open(dir.path());
    let sizes = [
        0,
        1,
        16_383,
        16_384,
        16_385,
        SMALL as usize - 1,
        SMALL as usize,
        1 << 20,
        (1 << 20) + 1,
        3_333_333,
    ];
    for (seed, size) in (0..).zip(sizes) {
        let bytes = bytes(size, seed);
        let content = put(&contents, &bytes).await;
        assert_eq!(
            (content.root, content.size),
            (ContentRoot::of(&bytes), size as u64)
        );
        assert_eq!(read_all(&contents, &content).unwrap(), bytes, "{size}");
        assert!(contents.verify(content).await.unwrap());
        assert_eq!(
            contents.holding(&content.root).unwrap().unwrap().size(),
            size as u64
        );
    }
    assert_eq!(
        contents.usage().unwrap().bytes,
        sizes.iter().map(|size| *size as u64).sum::<u64>()
    );
}

#[tokio::test]
async fn the_same_content_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let contents = open(dir.path());
    for size in [100, 200_000] {
        let bytes = bytes(size, 1);
        let (one, two) = (put(&contents, &bytes).await, put(&contents, &bytes).await);
        assert_eq!(one, two);
    }
    assert_eq!(contents.list().unwrap().len(), 2);
    assert_eq!(
        files(dir.path()).len(),
        2,
        "data and hashes of the larger one"
    );
}

#[tokio::test]
async fn content_and_partials_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bytes(1_000_000, 3);
    let (content, half) = {
        let contents = open(dir.path());
        let content = put(&contents, &whole).await;
        // Another node has half of it.
        let other = tempfile::tempdir().unwrap();
        let fetching = open(other.path());
        let partial = fetching.partial(content).await.unwrap();
        let half = 0..groups(content.size) / 2;
        let encoded = contents.encode(&content.root, &half).unwrap().unwrap();
        partial
            .write(&decoded(&content, half.clone(), &encoded))
            .unwrap();
        assert!(!partial.is_complete());
        drop((partial, fetching));
        let fetching = open(other.path());
        let partial = fetching.partial(content).await.unwrap();
        assert_eq!(
            partial.have(),
            Groups::from(half.clone()),
            "what verifies is there without having been noted"
        );
        let served = fetching.encode(&content.root, &(3..7)).unwrap().unwrap();
        assert_eq!(
            decoded(&content, 3..7, &served)
                .iter()
                .filter(|item| item.is_leaf())
                .count(),
            4
        );
        assert_eq!(
            fetching
                .encode(&content.root, &(half.end - 1..half.end + 1))
                .unwrap(),
            None
        );
        let rest = half.end..groups(content.size);
        let encoded = contents.encode(&content.root, &rest).unwrap().unwrap();
        partial.write(&decoded(&content, rest, &encoded)).unwrap();
        assert!(partial.is_complete());
        fetching
            .finish(partial, "a test", FetchOrigin::default())
            .await
            .unwrap();
        assert_eq!(read_all(&fetching, &content).unwrap(), whole);
        (content, half)
    };
    assert!(half.end > 1);
    let contents = open(dir.path());
    assert_eq!(read_all(&contents, &content).unwrap(), whole);
}

#[tokio::test]
async fn a_byte_that_flips_on_the_disk_is_found_reported_and_only_its_group_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let contents = open(dir.path());
    let mut damaged = contents.damaged();
    let whole = bytes(500_000, 4);
    let content = put(&contents, &whole).await;
    let [data, _] = paths(&dir.path().join("content"), &content.root);
    let mut file = fs::read(&data).unwrap();
    file[123_456] ^= 1;
    fs::write(&data, file).unwrap();
    let bad = 123_456 / GROUP;
    assert_eq!(
        contents.read(&content.root, &(0..bad)).unwrap().unwrap(),
        whole[..(bad * GROUP) as usize]
    );
    assert_eq!(
        contents.encode(&content.root, &(bad..bad + 1)).unwrap(),
        None,
        "never served"
    );
    assert_eq!(damaged.recv().await.unwrap().content, content);
    assert_eq!(contents.get(&content.root).unwrap(), None);
    assert_eq!(contents.read(&content.root, &(0..1)).unwrap(), None);
    let partial = contents.partial(content).await.unwrap();
    assert_eq!(
        crate::domain::content::all(content.size) - partial.have(),
        Groups::from(bad..bad + 1),
        "the rest need not be fetched again"
    );
}

#[tokio::test]
async fn small_content_that_is_damaged_is_dropped_too() {
    let dir = tempfile::tempdir().unwrap();
    let contents = open(dir.path());
    let mut damaged = contents.damaged();
    let content = put(&contents, b"a small thing").await;
    let other = ContentRoot::of(b"other");
    contents
        .inner
        .store
        .write(move |db| {
            db.execute(
                "UPDATE contents SET data = x'00' WHERE root = ?",
                [content.root.0],
            )
            .map(drop)
        })
        .await
        .unwrap();
    assert_eq!(read_all(&contents, &content), None);
    assert_eq!(damaged.recv().await.unwrap().content, content);
    assert_eq!(contents.holding(&content.root).unwrap(), None);
    assert_eq!(contents.holding(&other).unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_cut_or_gone_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let contents = open(dir.path());
    for (seed, spoil) in [(5, true), (6, false)] {
        let content = put(&contents, &bytes(300_000, seed)).await;
        let mut damaged = contents.damaged();
        let [data, hashes] = paths(&dir.path().join("content"), &content.root);
        if spoil {
            File::options()
                .write(true)
                .open(&data)
                .unwrap()
                .set_len(100)
                .unwrap();
        } else {
            fs::remove_file(hashes).unwrap();
        }
        assert!(!contents.verify(content).await.unwrap());
        assert_eq!(
            contents.list().unwrap(),
            [],
            "forgotten before it is said to be damaged"
        );
        assert_eq!(damaged.recv().await.unwrap().content, content);
    }
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_under_a_final_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let whole = bytes(3 << 20, 7);
    let source = tempfile::tempdir().unwrap();
    let content = put(&open(source.path()), &whole).await;
    let others = open(source.path());
    for room in [0, 1, 70_000, 1 << 20, (3 << 20) - 1] {
        let medium = Arc::new(Full(AtomicU64::new(room)));
        let contents = ContentStore::open_on(dir.path(), store.clone(), QUOTA, medium).unwrap();
        let refused = contents
            .put(io::Cursor::new(whole.clone()), true, QUOTA, |_| {})
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("full"), "{refused}");
        assert_eq!(files(dir.path()), Vec::<String>::new(), "{room}");
        assert_eq!(contents.list().unwrap(), []);
    }
    let contents = ContentStore::open_on(
        dir.path(),
        store.clone(),
        QUOTA,
        Arc::new(Full(AtomicU64::new(1 << 20))),
    )
    .unwrap();
    let partial = contents.partial(content).await.unwrap();
    let all = 0..groups(content.size);
    let encoded = others.encode(&content.root, &all).unwrap().unwrap();
    assert!(partial.write(&decoded(&content, all, &encoded)).is_err());
    assert!(!partial.is_complete());
    assert_eq!(contents.get(&content.root).unwrap(), None);
    // Once there is space again, it continues with the part that was written.
    drop((partial, contents));
    let contents = ContentStore::open(dir.path(), store, QUOTA).unwrap();
    let have = contents.partial(content).await.unwrap().bytes();
    assert!(have > 0 && have < content.size, "{have}");
}

#[tokio::test]
async fn the_quota_takes_what_was_used_longest_ago_and_spares_own_and_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let contents = ContentStore::open(dir.path(), store(dir.path()), 1_000_000).unwrap();
    let own = contents
        .put(io::Cursor::new(bytes(300_000, 1)), true, QUOTA, |_| {})
        .await
        .unwrap();
    let pinned = put(&contents, &bytes(300_000, 2)).await;
    assert!(
        contents
            .set_pinned(pinned.root, "a".to_owned(), true)
            .await
            .unwrap()
    );
    let age = |root: ContentRoot, at: u64| {
        contents
            .inner
            .store
            .write(move |db| rows::used(db, &root, Timestamp(at)))
    };
    let (old, young) = (
        put(&contents, &bytes(150_000, 3)).await,
        put(&contents, &bytes(150_000, 4)).await,
    );
    age(old.root, 1).await.unwrap();
    age(young.root, 2).await.unwrap();
    let newest = put(&contents, &bytes(200_000, 5)).await;
    let held: Vec<ContentRoot> = contents
        .list()
        .unwrap()
        .into_iter()
        .map(|held| held.content.root)
        .collect();
    assert!(
        !held.contains(&old.root) && held.len() == 4,
        "only what had to go went"
    );
    assert!(
        [own, pinned, young, newest]
            .iter()
            .all(|content| held.contains(&content.root))
    );
    assert!(matches!(
        contents
            .partial(Content {
                size: 500_000,
                ..old
            })
            .await,
        Err(RegistryError::StoreFull { .. })
    ));
    let freed = contents.gc(0, Duration::ZERO).await.unwrap();
    assert_eq!((freed.contents, freed.bytes), (2, 350_000));
    assert_eq!(
        files(dir.path()).len(),
        4,
        "own and pinned: {:?}",
        files(dir.path())
    );
    assert!(
        contents
            .set_pinned(pinned.root, "a".to_owned(), false)
            .await
            .unwrap()
    );
    assert_eq!(contents.gc(0, Duration::ZERO).await.unwrap().contents, 1);
}

#[tokio::test]
async fn what_is_pinned_for_one_release_stays_when_another_is_unpinned() {
    let dir = tempfile::tempdir().unwrap();
    let contents = open(dir.path());
    let content = put(&contents, &bytes(200_000, 2)).await;
    let pin = async |release: &str, pin: bool| {
        contents
            .set_pinned(content.root, release.to_owned(), pin)
            .await
            .unwrap()
    };
    assert!(pin("a", true).await && pin("b", true).await && pin("b", true).await);
    assert!(pin("a", false).await && pin("c", false).await);
    assert_eq!(contents.gc(0, Duration::ZERO).await.unwrap().contents, 0);
    let held = contents.get(&content.root).unwrap().unwrap();
    assert_eq!((held.pinned, held.pinned_for), (true, vec!["b".to_owned()]));
    assert_eq!(contents.usage().unwrap().kept, 200_000);

    // Damaged and then restored, it is pinned as before.
    contents
        .inner
        .store
        .write(move |db| rows::lose(db, &content.root, Timestamp(1)))
        .await
        .unwrap();
    assert!(contents.lost().unwrap()[0].pinned);
    assert!(!pin("d", true).await, "it is not here");
    put(&contents, &bytes(200_000, 2)).await;
    assert_eq!(
        contents.get(&content.root).unwrap().unwrap().pinned_for,
        ["b"]
    );
    assert!(pin("b", false).await);
    assert_eq!(contents.gc(0, Duration::ZERO).await.unwrap().contents, 1);
}

#[tokio::test]
async fn what_a_killed_node_left_is_cleaned_up_or_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let content = {
        let contents = open(dir.path());
        let content = put(&contents, &bytes(200_000, 9)).await;
        // The file was renamed, and the process killed before that was recorded.
        contents
            .inner
            .store
            .write(move |db| rows::remove(db, &content.root))
            .await
            .unwrap();
        fs::write(dir.path().join("content/incoming/half"), b"half").unwrap();
        content
    };
    let contents = open(dir.path());
    assert_eq!(
        contents.holding(&content.root).unwrap(),
        None,
        "it is verified before it counts"
    );
    let partial = contents.partial(content).await.unwrap();
    assert!(partial.is_complete());
    contents
        .finish(partial, "a test", FetchOrigin::default())
        .await
        .unwrap();
    assert!(contents.verify(content).await.unwrap());
    assert!(!dir.path().join("content/incoming/half").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn groups_written_in_any_order_are_the_content(size in SMALL as usize..600_000, order in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (from, to) = (open(from.path()), open(to.path()));
            let whole = bytes(size, order as u8);
            let content = put(&from, &whole).await;
            let partial = to.partial(content).await.unwrap();
            let count = groups(content.size);
            let mut all: Vec<u64> = (0..count).collect();
            all.sort_by_key(|group| blake3::hash(&(order ^ group).to_le_bytes()).as_bytes().to_owned());
            for group in all {
                assert!(!partial.is_complete());
                let encoded = from.encode(&content.root, &(group..group + 1)).unwrap().unwrap();
                partial.write(&decoded(&content, group..group + 1, &encoded)).unwrap();
            }
            to.finish(partial, "a test", FetchOrigin::default()).await.unwrap();
            assert_eq!(read_all(&to, &content).unwrap(), whole);
        });
    }
}
