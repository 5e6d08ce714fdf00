//! Tests which conflicts are kept, and how many.

use crate::ecosystem::Ecosystem;
use std::time::Duration;

use libp2p::identity::Keypair;

use super::*;
use crate::{
    domain::{
        manifest::{Draft, File},
        record::HeadState,
        release::ReleaseEntry,
    },
    metrics::Metrics,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn open(dir: &std::path::Path) -> Store {
    Store::open(dir, Metrics::default()).unwrap()
}

fn manifest(key: &Keypair, name: &str, version: &str, bytes: &[u8]) -> Authorised<Manifest> {
    let draft = format!(
        "ecosystem = \"cargo\"\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"The \
         {name} package\""
    );
    let draft: Draft = toml::from_str(&draft).unwrap();
    let content = File::of(&Ecosystem::Cargo, "web.crate", bytes);
    Authorised::sign(
        key,
        draft
            .into_manifest(PublisherId::of(&key.public()), content, NOW)
            .unwrap(),
    )
    .unwrap()
}

fn head(
    key: &Keypair,
    handle: &str,
    seq: u64,
    manifests: &[&Authorised<Manifest>],
) -> Authorised<Head> {
    let entry = |one: &&Authorised<Manifest>| ReleaseEntry::new(one.version.clone(), one.hash());
    let prev = if seq > 1 {
        vec![Hash::of(b"before")]
    } else {
        vec![]
    };
    let (name, handle) = (manifests[0].name.clone(), Some(handle.parse().unwrap()));
    let state = HeadState {
        handle,
        seq,
        prev,
        ..HeadState::first(
            Ecosystem::Cargo,
            name,
            manifests.iter().map(entry).collect(),
        )
    };
    state.sign(key, NOW, DAY).unwrap().0
}

async fn take(store: &Store, head: &Authorised<Head>, manifests: &[&Authorised<Manifest>]) {
    let manifests = manifests.iter().map(|one| (*one).clone()).collect();
    store
        .take_head(head.clone(), vec![], manifests, false, NOW)
        .await
        .unwrap();
}

#[tokio::test]
async fn both_sides_of_a_changed_version_are_kept_and_prove_it_when_the_first_is_superseded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (one, two) = (
        manifest(&key, "web", "1.0.0", b"one"),
        manifest(&key, "web", "1.1.0", b"two"),
    );
    let evil = manifest(&key, "web", "1.0.0", b"evil");
    take(&store, &head(&key, "alice", 1, &[&one]), &[&one]).await;
    take(&store, &head(&key, "alice", 2, &[&evil]), &[&evil]).await;
    take(&store, &head(&key, "alice", 2, &[&evil]), &[&evil]).await;
    take(&store, &head(&key, "alice", 3, &[&two]), &[&two]).await;
    let ConflictList { cases, forgotten } = store.cases().unwrap();
    let [case] = cases.as_slice() else {
        panic!("{cases:?}")
    };
    let about = format!(
        "alice/cargo:web ({}) 1.0.0",
        PublisherId::of(&key.public()).fingerprint()
    );
    assert_eq!(
        (case.kind, case.about(), forgotten),
        (Kind::Version, about, 0)
    );
    assert_eq!(
        [case.sides[0].hash, case.sides[1].hash],
        [one.hash(), evil.hash()]
    );
    assert_eq!([case.sides[0].seq, case.sides[1].seq], [Some(1), Some(2)]);
    assert!(case.is_provable() && case.sides.iter().all(|side| side.manifest));
    let proof = store.evidence(&case.id).unwrap().verify().unwrap();
    assert_eq!((proof.statements.len(), proof.manifests.len()), (2, 2));

    store
        .distrust(PublisherId::of(&key.public()), NOW)
        .await
        .unwrap();
    let case = &store.cases().unwrap().cases[0];
    assert!(case.is_settled() && case.standing() == "distrusted");
    let unknown = store.evidence(&ConflictId([9; 16])).unwrap_err();
    assert_eq!(unknown.code(), "no_conflict");
}

#[tokio::test]
async fn what_was_signed_first_and_is_gone_makes_it_one_sided_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (one, evil) = (
        manifest(&key, "web", "1.0.0", b"one"),
        manifest(&key, "web", "1.0.0", b"evil"),
    );
    let first = head(&key, "alice", 1, &[&one]);
    take(&store, &first, &[&one]).await;
    store.set_room(super::super::Room {
        packages: 0,
        ..Default::default()
    });
    assert_eq!(store.make_room(NOW).await.unwrap(), 1);
    take(&store, &head(&key, "alice", 2, &[&evil]), &[&evil]).await;
    let case = store.cases().unwrap().cases.remove(0);
    assert!(!case.is_provable(), "{case:?}");
    assert_eq!(store.evidence(&case.id).unwrap_err().code(), "one_sided");
    take(&store, &first, &[&one]).await;
    // Only now is the full hash of the first manifest known again, which is part of the case's id.
    let case = store.cases().unwrap().cases.remove(0);
    assert!(store.evidence(&case.id).unwrap().verify().is_ok());
    let cases = store.cases().unwrap().cases;
    assert!(cases.len() == 1 && cases[0].is_provable(), "{cases:?}");
}

#[tokio::test]
async fn a_fork_is_one_case_whichever_counts_and_is_settled_by_the_next_state() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (one, two) = (
        manifest(&key, "web", "1.0.0", b"one"),
        manifest(&key, "web", "1.1.0", b"two"),
    );
    let sides = [
        head(&key, "alice", 1, &[&one]),
        head(&key, "alice", 1, &[&one, &two]),
    ];
    for side in sides.iter().chain(&sides) {
        take(&store, side, &[&one]).await;
    }
    let cases = store.cases().unwrap().cases;
    assert_eq!(
        (cases.len(), cases[0].kind, cases[0].in_force),
        (1, Kind::Fork, InForce::Preferred)
    );
    let best = sides.iter().map(Authorised::hash).min().unwrap();
    assert_eq!(cases[0].sides[0].hash, best, "what counts comes first");
    assert!(store.evidence(&cases[0].id).unwrap().verify().is_ok());
    take(&store, &head(&key, "alice", 2, &[&one, &two]), &[]).await;
    let settled = store.cases().unwrap().cases.remove(0);
    assert!(settled.is_settled() && settled.in_force == InForce::Superseded);
    assert!(
        store.evidence(&settled.id).unwrap().verify().is_ok(),
        "and is still to be shown"
    );
}

#[tokio::test]
async fn a_handle_is_a_case_while_several_keys_claim_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keys = [(); 3].map(|()| Keypair::generate_ed25519());
    let ids = keys.each_ref().map(|key| PublisherId::of(&key.public()));
    let of = |n: usize, name: &str| manifest(&keys[n], name, "1.0.0", b"x");
    for name in ["a", "b", "c"] {
        take(&store, &head(&keys[0], "alice", 1, &[&of(0, name)]), &[]).await;
    }
    assert_eq!(store.cases().unwrap().cases, []);
    for n in [1, 2] {
        take(&store, &head(&keys[n], "alice", 1, &[&of(n, "web")]), &[]).await;
    }
    let cases = store.cases().unwrap().cases;
    let [case] = cases.as_slice() else {
        panic!("{cases:?}")
    };
    assert_eq!(
        (case.kind, case.sides.len(), case.in_force),
        (Kind::Handle, 3, InForce::Nobody)
    );
    assert_eq!(
        store
            .evidence(&case.id)
            .unwrap()
            .verify()
            .unwrap()
            .statements
            .len(),
        3
    );
    store
        .trust_again(ids[2], Some(&"alice".parse().unwrap()), NOW)
        .await
        .unwrap();
    let case = store.cases().unwrap().cases.remove(0);
    assert_eq!(
        (case.sides[0].publisher, case.in_force),
        (ids[2], InForce::Pinned)
    );
    assert!(case.is_settled());
    // The others use different handles from now on.
    take(&store, &head(&keys[1], "bob", 2, &[&of(1, "web")]), &[]).await;
    take(&store, &head(&keys[2], "carol", 2, &[&of(2, "web")]), &[]).await;
    assert_eq!(store.cases().unwrap().cases, []);
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_what_went_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let pinned = Keypair::generate_ed25519();
    let id = PublisherId::of(&pinned.public());
    store
        .trust_again(id, Some(&"dave".parse().unwrap()), NOW)
        .await
        .unwrap();
    let changed = async |key: &Keypair, handle: &str, count: u64| {
        let one = manifest(key, "web", "1.0.0", b"one");
        take(&store, &head(key, handle, 1, &[&one]), &[]).await;
        for n in 0..count {
            let evil = manifest(key, "web", "1.0.0", &n.to_be_bytes());
            take(&store, &head(key, handle, 2 + n, &[&evil]), &[&evil]).await;
        }
    };
    changed(&pinned, "dave", 1).await;
    changed(
        &Keypair::generate_ed25519(),
        "mallory",
        MOST_OF_ONE as u64 + 3,
    )
    .await;
    let ConflictList { cases, forgotten } = store.cases().unwrap();
    assert_eq!((cases.len() as i64, forgotten), (MOST_OF_ONE + 1, 3));
    for _ in 0..MOST / MOST_OF_ONE {
        changed(&Keypair::generate_ed25519(), "mallory", MOST_OF_ONE as u64).await;
    }
    let ConflictList { cases, forgotten } = store.cases().unwrap();
    let rows = cases
        .iter()
        .filter(|case| case.kind != Kind::Handle)
        .count() as i64;
    let made = MOST_OF_ONE * (MOST / MOST_OF_ONE + 1) + 1;
    assert_eq!((rows, forgotten as i64), (MOST, 3 + made - MOST));
    assert!(
        cases.iter().any(|case| case.sides[0].publisher == id),
        "what a person has pinned stays"
    );
    // Every other number: each accepted head also notes its handle, if that is new.
    assert_eq!(
        store
            .cases_since(store.last_case().unwrap() - 4, 10)
            .unwrap()
            .len(),
        2
    );
}

fn wheel(key: &Keypair, file: &str, bytes: &[u8]) -> Authorised<Manifest> {
    let draft =
        "ecosystem = \"pypi\"\nname = \"web\"\nversion = \"1.0\"\ndescription = \"A package\"";
    let draft: Draft = toml::from_str(draft).unwrap();
    let file = File::of(&Ecosystem::Pypi, file, bytes);
    Authorised::sign(
        key,
        draft
            .into_manifest(PublisherId::of(&key.public()), file, NOW)
            .unwrap(),
    )
    .unwrap()
}

fn grown(
    key: &Keypair,
    before: Option<&Authorised<Head>>,
    manifests: &[&Authorised<Manifest>],
) -> Authorised<Head> {
    let mut entry = ReleaseEntry::new(manifests[0].version.clone(), manifests[0].hash());
    entry.manifests = manifests.iter().map(|one| one.hash()).collect();
    let state = HeadState {
        seq: before.map_or(1, |before| before.seq + 1),
        prev: before.map(|before| before.hash()).into_iter().collect(),
        ..HeadState::first(Ecosystem::Pypi, "web".parse().unwrap(), vec![entry])
    };
    state.sign(key, NOW, DAY).unwrap().0
}

#[tokio::test]
async fn a_file_that_is_added_is_no_conflict_and_one_that_is_changed_is_a_conflict_of_that_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (sdist, wheel_1) = (
        wheel(&key, "web-1.0.tar.gz", b"source"),
        wheel(&key, "web-1.0-py3-none-any.whl", b"wheel"),
    );
    let evil = wheel(&key, "web-1.0.tar.gz", b"evil");
    let one = grown(&key, None, &[&sdist]);
    take(&store, &one, &[&sdist]).await;
    let two = grown(&key, Some(&one), &[&sdist, &wheel_1]);
    take(&store, &two, &[&wheel_1]).await;
    assert_eq!(store.cases().unwrap().cases, []);
    let id = one.package().clone();
    let manifests = |head: &Authorised<Head>| store.releases(head).unwrap().0[0].manifests.clone();
    assert_eq!(manifests(&two), [sdist.hash(), wheel_1.hash()]);
    assert!(store.is_first(&wheel_1).unwrap() && !store.is_first(&evil).unwrap());

    // The head lists the changed file before the first one, but the first one seen stays first.
    let three = grown(&key, Some(&two), &[&evil, &sdist, &wheel_1]);
    take(&store, &three, &[&evil]).await;
    assert_eq!(
        manifests(&three),
        [sdist.hash(), wheel_1.hash(), evil.hash()]
    );
    let ConflictList { cases, .. } = store.cases().unwrap();
    let [case] = cases.as_slice() else {
        panic!("{cases:?}")
    };
    assert_eq!(
        (case.kind, case.file.as_deref(), case.in_force),
        (Kind::File, Some("web-1.0.tar.gz"), InForce::FirstSeen)
    );
    assert_eq!(
        [case.sides[0].hash, case.sides[1].hash],
        [sdist.hash(), evil.hash()]
    );
    assert!(case.is_provable());
    let proof = store.evidence(&case.id).unwrap().verify().unwrap();
    assert_eq!((proof.statements.len(), proof.manifests.len()), (0, 2));
    assert!(
        proof.sentences(|at| at.0.to_string())[0]
            .contains("two different files web-1.0.tar.gz of pypi:web 1.0")
    );
    assert_eq!(
        store.conflicts(&id).unwrap()[0].file.as_deref(),
        Some("web-1.0.tar.gz")
    );
    // Search uses the first one seen, whichever the head lists first.
    let hits = store
        .search(&crate::domain::query::Query::text("web"), NOW)
        .unwrap()
        .hits;
    assert_eq!(hits.len(), 1);
}

#[tokio::test]
async fn what_is_taken_away_is_kept_as_evidence_and_proves_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Keypair::generate_ed25519();
    let (sdist, wheel_1) = (
        wheel(&key, "web-1.0.tar.gz", b"source"),
        wheel(&key, "web-1.0-py3-none-any.whl", b"wheel"),
    );
    let one = grown(&key, None, &[&sdist, &wheel_1]);
    take(&store, &one, &[&sdist, &wheel_1]).await;
    let two = grown(&key, Some(&one), &[&wheel_1]);
    let verdict = store
        .take_head(two.clone(), vec![], vec![], false, NOW)
        .await
        .unwrap();
    assert!(
        matches!(verdict, super::super::HeadVerdict::Disputed(_)),
        "{verdict:?}"
    );
    let ConflictList { cases, .. } = store.cases().unwrap();
    let [case] = cases.as_slice() else {
        panic!("{cases:?}")
    };
    assert_eq!(
        (case.kind, case.sides[0].hash),
        (Kind::Removed, sdist.hash())
    );
    let evidence = store.evidence(&case.id).unwrap();
    let proof = evidence.verify().unwrap();
    assert_eq!((proof.statements.len(), proof.manifests.len()), (2, 1));
    let said = proof.sentences(|at| at.0.to_string()).join(" ");
    assert!(
        said.contains("state 1, signed at") && said.contains("lacks manifest"),
        "{said}"
    );
    // It stays here while the version is listed.
    assert_eq!(
        store.releases(&two).unwrap().0[0].manifests,
        [sdist.hash(), wheel_1.hash()]
    );
    // With the files the other way round, there is no conflict.
    let text = evidence.to_text();
    let both =
        [one.envelope(), two.envelope()].map(|envelope| data_encoding::BASE64.encode(envelope));
    let swapped = text
        .replace(&both[0], "@")
        .replace(&both[1], &both[0])
        .replace('@', &both[1]);
    assert!(
        Evidence::read(swapped.as_bytes())
            .unwrap()
            .verify()
            .is_err()
    );
}
