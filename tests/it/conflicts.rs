//! Conflicts between real nodes: detected, reported once, kept with both sides, exported, and
//! verified by the program alone.

use std::{path::Path, process::Command, sync::Arc};

use crate::lab::{BarePeer, DAY, Lab, TCP, id_of, manifest, reference, wait_for};
use libp2p::identity::Keypair;
use serde_bytes::ByteBuf;
use serde_json::Value;
use swarmdex::{
    clock,
    domain::{
        conflict::{Case, Evidence, InForce, Kind},
        hash::Hash,
        manifest::Manifest,
        name::PublisherId,
        query::Query,
        record::{Authorised, DhtKey, Head, HeadState},
        release::ReleaseEntry,
        trust::Trust,
    },
    net::protocol::{Item, Keeping, Request, Response},
    registry::Registry,
};

/// Returns a revision of a package whose publisher uses the handle alice.
fn state(key: &Keypair, seq: u64, manifests: &[&Authorised<Manifest>]) -> Authorised<Head> {
    let entry = |one: &&Authorised<Manifest>| ReleaseEntry::new(one.version.clone(), one.hash());
    let prev = if seq > 1 {
        vec![Hash::of(b"before")]
    } else {
        vec![]
    };
    let (name, handle) = (manifests[0].name.clone(), Some("alice".parse().unwrap()));
    let state = HeadState {
        handle,
        seq,
        prev,
        ..HeadState::first(
            manifests[0].ecosystem.clone(),
            name,
            manifests.iter().map(entry).collect(),
        )
    };
    state.sign(key, clock::now(), DAY).unwrap().0
}

/// Answers every search, and every query for the publisher's package, with these heads.
fn with(heads: Vec<(Authorised<Head>, Authorised<Manifest>)>) -> crate::lab::Answers {
    let item = |(head, manifest): &(Authorised<Head>, Authorised<Manifest>)| Item {
        head: ByteBuf::from(head.envelope().to_vec()),
        manifest: Some(ByteBuf::from(manifest.envelope().to_vec())),
    };
    Arc::new(move |request| {
        Some(match request {
            Request::Head(id) => {
                let of_it = |(head, _): &&(Authorised<Head>, _)| *head.package() == id;
                Response::Packages {
                    items: heads.iter().filter(of_it).map(item).collect(),
                    more: false,
                }
            }
            Request::Search(_) => Response::Packages {
                items: heads.iter().map(item).collect(),
                more: false,
            },
            Request::Objects(_) => Response::Objects(vec![]),
            Request::Keep(_) => Response::Keeping(Keeping::Declined),
            _ => Response::Refused,
        })
    })
}

/// Makes the node receive a head during a search.
async fn hear(node: &Lab, head: &Authorised<Head>, manifest: &Authorised<Manifest>) -> BarePeer {
    let peer = BarePeer::start(with(vec![(head.clone(), manifest.clone())])).await;
    node.node
        .dial(peer.address.parse().unwrap(), false, crate::lab::PATIENCE)
        .await
        .unwrap();
    node.node
        .registry()
        .search(&Query::text("web"))
        .await
        .unwrap();
    peer
}

async fn one_case(registry: &Arc<dyn Registry>, kind: Kind) -> Case {
    let cases = registry.conflicts().await.unwrap().cases;
    let mut of_kind = cases.into_iter().filter(|case| case.kind == kind);
    let case = of_kind.next().unwrap_or_else(|| panic!("no {kind:?}"));
    assert!(of_kind.next().is_none());
    case
}

/// Runs the program alone: without a node, a network, or a home directory.
fn verified(dir: &Path, evidence: &Evidence) -> (Option<i32>, String, Value) {
    let file = dir.join("evidence.json");
    std::fs::write(&file, evidence.to_text()).unwrap();
    let run = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmdex"));
        command
            .args(["conflict", "verify"])
            .arg(&file)
            .args(flags)
            .env_clear()
            .env("HOME", dir);
        command.output().unwrap()
    };
    let plain = run(&[]);
    let json = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
    (
        plain.status.code(),
        String::from_utf8(plain.stdout).unwrap(),
        json,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_its_publisher_changes_is_told_and_proven_to_anybody() {
    let key = Keypair::generate_ed25519();
    let (one, evil) = (
        manifest(&key, "cargo:web", "1.0.0", b"one"),
        manifest(&key, "cargo:web", "1.0.0", b"evil"),
    );
    let (first, then) = (state(&key, 1, &[&one]), state(&key, 2, &[&evil]));
    let id = id_of(&key, "cargo:web");
    let publisher = BarePeer::start(with(vec![(first.clone(), one.clone())])).await;
    let node = Lab::start(TCP, std::slice::from_ref(&publisher.address)).await;
    let registry = node.node.registry();
    registry.get_package(&reference(&id)).await.unwrap();
    assert_eq!(registry.conflicts().await.unwrap().cases, []);

    let mut batches = node.node.subscribe();
    let dht = DhtKey::of_head(&id).0.to_vec();
    let mut told = 0;
    let about = format!("alice/cargo:web ({}) 1.0.0", id.owner.fingerprint());
    for _ in 0..2 {
        publisher
            .put_to(node.node.peer_id(), &dht, then.envelope())
            .await;
    }
    wait_for(&mut batches, "the notice", |batch| {
        told += batch
            .conflicts
            .iter()
            .filter(|case| case.about() == about)
            .count();
        told > 0
    })
    .await;
    let case = one_case(&registry, Kind::Version).await;
    assert_eq!((case.about(), case.in_force), (about, InForce::FirstSeen));
    assert_eq!(
        [case.sides[0].hash, case.sides[1].hash],
        [one.hash(), evil.hash()]
    );
    assert!(case.is_provable());
    assert_eq!(
        registry
            .get_package(&reference(&id))
            .await
            .unwrap()
            .releases[0]
            .manifests[0],
        one.hash()
    );

    // The publisher continues normally: the first head is no longer held, but the evidence is.
    let two = manifest(&key, "cargo:web", "1.1.0", b"two");
    let _later = hear(&node, &state(&key, 3, &[&two]), &two).await;
    let newest = async {
        while registry.get_package(&reference(&id)).await.unwrap().seq < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::lab::PATIENCE, newest)
        .await
        .expect("the later state");
    let evidence = registry.conflict_evidence(case.id).await.unwrap();
    let (code, said, json) = verified(node.dir.path(), &evidence);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "two different manifests for cargo:web 1.0.0",
        &id.owner.to_string(),
        &id.owner.fingerprint(),
        &one.hash().to_string(),
        &evil.hash().to_string(),
        "signed at",
    ] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert_eq!(json["holds"]["id"], case.id.to_string());

    registry.distrust(id.owner).await.unwrap();
    assert!(one_case(&registry, Kind::Version).await.is_settled());
    drop(registry);
    let dir = node.stop().await;
    let node = Lab::start_in(dir, TCP, &[]).await;
    assert!(
        one_case(&node.node.registry(), Kind::Version)
            .await
            .is_provable(),
        "it outlives the node"
    );
    assert!(told == 1, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_states_of_one_number_are_a_fork_with_both_as_evidence() {
    let key = Keypair::generate_ed25519();
    let (one, two) = (
        manifest(&key, "web", "1.0.0", b"one"),
        manifest(&key, "web", "1.1.0", b"two"),
    );
    let left = state(&key, 1, &[&one]);
    let right = state(&key, 1, &[&one, &two]);
    let witness = BarePeer::start(with(vec![(left.clone(), one.clone())])).await;
    let node = Lab::start(TCP, std::slice::from_ref(&witness.address)).await;
    let registry = node.node.registry();
    registry
        .get_package(&reference(&id_of(&key, "web")))
        .await
        .unwrap();
    let mut batches = node.node.subscribe();
    let _other = hear(&node, &right, &two).await;
    wait_for(&mut batches, "the notice", |batch| {
        batch.conflicts.iter().any(|case| case.kind == Kind::Fork)
    })
    .await;
    let case = one_case(&registry, Kind::Fork).await;
    assert_eq!(case.in_force, InForce::Preferred);
    assert_eq!(
        case.sides[0].hash,
        left.hash().min(right.hash()),
        "what every node prefers"
    );
    let evidence = registry.conflict_evidence(case.id).await.unwrap();
    let (code, said, _) = verified(node.dir.path(), &evidence);
    assert!(
        code == Some(0)
            && said.contains("two different states 1 of web")
            && said.contains("not misconduct"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_two_keys_claim_is_no_misdeed_and_a_person_chooses() {
    let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
    let held: Vec<_> = keys
        .iter()
        .map(|key| {
            let one = manifest(key, "web", "1.0.0", b"one");
            (state(key, 1, &[&one]), one)
        })
        .collect();
    let peer = BarePeer::start(with(held)).await;
    let node = Lab::start(TCP, std::slice::from_ref(&peer.address)).await;
    let registry = node.node.registry();
    let mut batches = node.node.subscribe();
    for key in &keys {
        registry
            .get_package(&reference(&id_of(key, "web")))
            .await
            .unwrap();
    }
    let told = |batch: &swarmdex::bus::Batch| {
        batch
            .conflicts
            .iter()
            .any(|case| case.kind == Kind::Handle && case.about() == "alice")
    };
    wait_for(&mut batches, "the notice", told).await;
    let case = one_case(&registry, Kind::Handle).await;
    assert_eq!((case.sides.len(), case.in_force), (2, InForce::Nobody));
    let evidence = registry.conflict_evidence(case.id).await.unwrap();
    let (code, said, _) = verified(node.dir.path(), &evidence);
    assert!(
        code == Some(0) && said.contains("2 different keys call themselves alice"),
        "{said}"
    );
    let chosen = PublisherId::of(&keys[1].public());
    registry
        .trust(chosen, Some(&"alice".parse().unwrap()))
        .await
        .unwrap();
    let case = one_case(&registry, Kind::Handle).await;
    assert_eq!(
        (case.sides[0].publisher, case.sides[0].trust),
        (chosen, Trust::Pinned)
    );
    assert!(case.in_force == InForce::Pinned && case.is_settled());
}
