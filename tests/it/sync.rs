//! Catalogues that differ become equal, and little more than the difference is transferred.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use crate::lab::{DAY, Lab, PATIENCE, TCP, head, manifest, options, reference};
use libp2p::identity::Keypair;
use swarmdex::{
    domain::{
        hash::Hash,
        manifest::{Ecosystem, File, Manifest},
        name::PublisherId,
        query::Query,
        record::{Authorised, Head},
        time::Timestamp,
    },
    metrics::Metrics,
    node::Node,
    registry::{Source, SyncReport},
    store::Store,
};

type Record = (Authorised<Head>, Authorised<Manifest>);

fn now() -> Timestamp {
    swarmdex::clock::now()
}

fn record(key: &Keypair, name: &str, seq: u64) -> Record {
    let manifest = manifest(key, name, &format!("1.{seq}.0"), name.as_bytes());
    (head(key, seq, &[&manifest], now(), DAY), manifest)
}

fn size((head, manifest): &Record) -> u64 {
    (head.envelope().len() + manifest.envelope().len()) as u64
}

/// Puts records into a directory before a node uses it.
async fn fill(dir: &Path, records: &[Record]) {
    let store = Store::open(dir, Metrics::default()).unwrap();
    let heads = records
        .iter()
        .cloned()
        .map(|(head, manifest)| (head, Some(manifest)))
        .collect();
    store.take_heads(heads, now()).await.unwrap();
}

/// Returns the heads in a node's database.
fn heads(dir: &Path) -> BTreeSet<Hash> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = rusqlite::Connection::open_with_flags(dir.join("swarmdex.db"), flags).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let mut all = db.prepare("SELECT hash FROM heads").unwrap();
    all.query_map([], |row| Ok(Hash(row.get(0)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

async fn until_it_has(lab: &Lab, expected: &BTreeSet<Hash>) {
    let waited = tokio::time::timeout(PATIENCE * 2, async {
        while heads(lab.dir.path()) != *expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let what = || {
        let held = heads(lab.dir.path());
        format!(
            "{} of {} heads, {} others",
            held.intersection(expected).count(),
            expected.len(),
            held.difference(expected).count()
        )
    };
    waited.await.unwrap_or_else(|_| panic!("it has {}", what()));
}

/// Makes a node compare its catalogue with another's, which refuses while it compares by itself or
/// has just done so.
async fn compared(lab: &Lab, with: &Lab) -> SyncReport {
    let begun = Instant::now();
    loop {
        match lab.node.sync_with(with.node.peer_id()).await {
            Ok(report) => return report,
            Err(error) => {
                let busy = error.to_string().contains("it is busy") && begun.elapsed() < PATIENCE;
                assert!(busy, "{error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn synced_bytes(lab: &Lab) -> u64 {
    let text = lab.node.metrics().await.unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("swarmdex_sync_bytes_total"))
        .unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_has_everything_and_equals_tell_each_other_nothing() {
    let key = Keypair::generate_ed25519();
    let records: Vec<Record> = (0..1_500)
        .map(|n| record(&key, &format!("tool-{n}"), 1))
        .collect();
    let all: BTreeSet<Hash> = records.iter().map(|(head, _)| head.hash()).collect();
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), &records).await;
    let full = Lab::start_in(dir, TCP, &[]).await;
    let fresh = Lab::start(TCP, &[full.address().await]).await;
    until_it_has(&fresh, &all).await;
    let moved = synced_bytes(&fresh).await;
    let least: u64 = records.iter().map(size).sum();
    assert!(moved < least * 3 / 2, "{moved} bytes for {least}");

    // It finds new entries without asking anyone.
    let local = Query {
        local: true,
        ..Query::text("tool-777")
    };
    let found = fresh.node.registry().search(&local).await.unwrap();
    assert_eq!(
        (found.hits[0].package.name.as_str(), found.hits[0].source),
        ("tool-777", Source::Local)
    );
    assert_eq!(found.coverage.asked, 0);
    let package = fresh
        .node
        .registry()
        .get_package(&reference(&found.hits[0].package))
        .await
        .unwrap();
    assert_eq!(package.latest.unwrap().version.to_string(), "1.1.0");

    let report = compared(&fresh, &full).await;
    assert!(
        (report.differed, report.taken, report.they_lack) == (0, 0, 0) && report.bytes < 10_240,
        "{report:?}"
    );
    full.stop().await;
    fresh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_on_both_sides_of_a_partition_is_everywhere_once_it_heals() {
    const NODES: usize = 8;
    let keys: Vec<Keypair> = (0..3).map(|_| Keypair::generate_ed25519()).collect();
    let of = |n: usize, seq| record(&keys[n % keys.len()], &format!("tool-{n}"), seq);
    let base: Vec<Record> = (0..240).map(|n| of(n, 1)).collect();
    // Each side has newer revisions of common packages, and packages of its own; one package is
    // equal.
    let sides: [Vec<Record>; 2] = [
        (0..20)
            .map(|n| of(n, 2))
            .chain((240..270).map(|n| of(n, 1)))
            .collect(),
        (20..40)
            .map(|n| of(n, 3))
            .chain((270..300).map(|n| of(n, 1)))
            .collect(),
    ];
    let mut newest: BTreeMap<(PublisherId, String), &Record> = BTreeMap::new();
    for one in base.iter().chain(&sides[0]).chain(&sides[1]) {
        let held = newest
            .entry((one.0.owner(), one.0.name.to_string()))
            .or_insert(one);
        if one.0.seq > held.0.seq {
            *held = one;
        }
    }
    let all: BTreeSet<Hash> = newest.values().map(|(head, _)| head.hash()).collect();

    let (mut labs, mut difference) = (Vec::new(), 0);
    let mut entrance: [Option<String>; 2] = [None, None];
    for n in 0..NODES {
        let side = n % 2;
        // The catalogues overlap: each lacks an eighth of the common part.
        let had = base
            .iter()
            .enumerate()
            .filter(|(at, _)| at % NODES != n)
            .map(|(_, record)| record);
        let mut had: Vec<Record> = had.cloned().collect();
        had.extend(sides[side].iter().filter(|_| n < 4).cloned());
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), &had).await;
        let held = heads(dir.path());
        difference += newest
            .values()
            .filter(|one| !held.contains(&one.0.hash()))
            .map(|one| size(one))
            .sum::<u64>();
        let lab = Lab::start_in(dir, TCP, entrance[side].as_slice()).await;
        entrance[side].get_or_insert(lab.address().await);
        labs.push(lab);
    }
    for (side, changed) in sides.iter().enumerate() {
        let mut expected: BTreeMap<(PublisherId, String), &Record> = BTreeMap::new();
        for one in base.iter().chain(changed) {
            expected.insert((one.0.owner(), one.0.name.to_string()), one);
        }
        let expected = expected.values().map(|(head, _)| head.hash()).collect();
        for lab in labs.iter().skip(side).step_by(2) {
            until_it_has(lab, &expected).await;
        }
    }
    // One connection is enough.
    let address = entrance[1].clone().unwrap().parse().unwrap();
    labs[0].node.dial(address, true, PATIENCE).await.unwrap();
    for lab in &labs {
        until_it_has(lab, &all).await;
    }
    let mut moved = 0;
    for lab in &labs {
        moved += synced_bytes(lab).await;
    }
    assert!(
        moved < difference * 3,
        "{moved} bytes moved for a difference of {difference}"
    );
    println!(
        "{moved} bytes moved for a difference of {difference}: {:.2}",
        moved as f64 / difference as f64
    );
    for lab in labs {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_catalogue_keeps_its_own_and_what_it_trusts() {
    let (flood, friend) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let needed = record(&flood, "needed", 1);
    let records: Vec<Record> = (0..400)
        .map(|n| record(&flood, &format!("junk-{n}"), 1))
        .chain([needed])
        .collect();
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), &records).await;
    let full = Lab::start_in(dir, TCP, &[]).await;

    let dir = tempfile::tempdir().unwrap();
    let mine = {
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        store
            .pin(
                &"friend".parse().unwrap(),
                PublisherId::of(&friend.public()),
                now(),
            )
            .await
            .unwrap();
        let flood = PublisherId::of(&flood.public());
        let mut manifest = crate::lab::draft("app", "1.0.0")
            .into_manifest(
                PublisherId::of(&friend.public()),
                File::of(&Ecosystem::Generic, "app", b"app"),
                now(),
            )
            .unwrap();
        manifest.dependencies = toml::from_str::<swarmdex::domain::manifest::Draft>(&format!(
            "name = \"x\"\nversion = \"1.0.0\"\ndependencies = [{{ package = \"{flood}/needed\", \
             requirement = \"*\" }}]"
        ))
        .unwrap()
        .dependencies;
        let manifest = Authorised::sign(&friend, manifest).unwrap();
        let head = head(&friend, 1, &[&manifest], now(), DAY);
        store
            .take_heads(vec![(head.clone(), Some(manifest))], now())
            .await
            .unwrap();
        head
    };
    let mut options = options(dir.path(), TCP, &[full.address().await]);
    options.registry.catalogue_max = 50;
    let node = Node::start(options);
    let small = Lab {
        node: node.await.unwrap(),
        dir,
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let held = heads(small.dir.path());
            if held.len() == 50 && held.contains(&mine.hash()) {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let held = waited.await.expect("room was made");
    assert!(
        held.contains(&records[400].0.hash()),
        "what a friend's package needs stays"
    );
    // Evicted entries are not requested again, however often catalogues are compared.
    for _ in 0..3 {
        let report = compared(&small, &full).await;
        assert_eq!((report.differed, report.taken), (0, 0), "{report:?}");
    }
    small.stop().await;
    full.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_no_catalogue_finds_rare_words_by_the_dht() {
    let key = Keypair::generate_ed25519();
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), &[record(&key, "zymurgy", 1)]).await;
    let holder = Lab::start_in(dir, TCP, &[]).await;
    let between = Lab::partial(TCP, &[holder.address().await]).await;
    let searcher = Lab::partial(TCP, &[between.address().await]).await;
    let query = Query::text("zymurgy");
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            // Connected peers are asked anyway.
            searcher
                .node
                .disconnect(holder.node.peer_id())
                .await
                .unwrap();
            let found = searcher.node.registry().search(&query).await.unwrap();
            if let Some(hit) = found.hits.first() {
                return hit.clone();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let hit = waited.await.expect("the holder is found");
    assert_eq!(
        (hit.package.name.as_str(), hit.source),
        ("zymurgy", Source::Peer(holder.node.peer_id()))
    );
    assert_eq!(
        between.node.status().await.unwrap().packages,
        0,
        "it was found there and nowhere else"
    );
    for lab in [searcher, between, holder] {
        lab.stop().await;
    }
}
